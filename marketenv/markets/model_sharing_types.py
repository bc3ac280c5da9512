"""What the model-sharing market is told, holds, shows and reports: its arguments, state, quotes and report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.axes import Parameters, PerPair
from marketenv.core.checks import Check, check_fields, choice, each, interval, number, options, or_none, whole
from marketenv.core.market import Report
from marketenv.core.transfers import Ledger
from marketenv.core.tree import STATIC
from marketenv.learners import Training
from marketenv.markets.arguments import TRAINED, check_ready_made
from marketenv.markets.sharing_worlds import SharingWorlds
from marketenv.markets.uploads import UPLOADS
from marketenv.mechanisms import ClientTypes

REASONS = {
    0: "bought",
    1: "not in the market",
    2: "needs nothing",
    3: "no model is worth its hurdle",
    4: "cannot pay for what it would buy, or the seller cannot",
    5: "uploaded a model that is not finite: isolated in this round",
    6: "training diverged: the client was isolated in this round and reset to its last finite parameters",
    7: "shared without money",
    8: "got nobody's model, without money",
    9: "would have merged to a model that is not finite: got nobody's model, paid nothing and kept its own",
}
# from the least to the largest, money and discounts, which are made of ratios and products, stay finite
LEAST, LARGEST_TYPE = {"sizes": 1e-12, "costs": 0.0, "needs": 0.0}, 1e100
TYPES = tuple(LEAST)
CHOICES = {
    "reports": ("once", "each_round"),
    "exits": ("none", "ir_strict", "ir_prob"),
    "select": ("validation", "test"),
}

STRONGEST = torch.finfo(torch.float32).max  # pull of a training that its parameters' type can hold


@dataclass(frozen=True, kw_only=True)
class ModelSharingConfig:
    """Arguments of ``model_sharing_v0``; docs/environments/model_sharing.md gives the reason of each default.

    n_agents, max_cycles: clients and rounds
    horizon:  ``end``: the last round ends the game; ``cut``: the game would go on, and no agent sees the cut
    data, root, download, partition, data_options: what clients own (see ``marketenv.data.make_source``)
    learner, learner_options, training: what they train (see ``LEARNERS``); None draws distances and trains nothing
    distance: between models, a name of ``DISTANCES`` or such an object;   strength: lambda;   eta: step of the prox centre
    gain:     what data are worth, a name of ``GAINS`` or such an object
    graph, payment: names of ``GRAPHS`` and ``SHARING_PAYMENTS``, or callables
    scheme:   ``ipfl``, or what it is compared with: a name of ``SCHEMES`` or such an object
    reports:  ``once``, when a client joins (the paper's), or ``each_round``
    exits:    ``none``; ``ir_strict``: who loses in a round leaves; ``ir_prob``: with probability 1/2
    costs, needs, sizes: intervals of uniform types. Costs: money per sale. Needs: K as a multiple of the market's mean
              size for the paper's gain, money otherwise. Sizes: None takes the data's, or lognormal(5000, .6) without data
    types:    given types instead of drawn ones: ``{"sizes": [...], "costs": [...], "needs": [...]}``, any of the three
    effort_cost: interval of the uniform cost of a full effort, money
    joins:    the round at which each client joins, from 0; None: all are there from the start
    cost_drift, need_drift: standard deviation of the log of c and K from round to round; neither walks out of [1e-12, 1e12]
    data_drift: share of a client's examples that is exchanged in a round, until all are those of another partition
    select:   which accuracy chooses a client's best model; ``test`` is the public code's
    cash, credit: money at the start, and how far below zero it may go
    """

    n_agents: int = 10
    max_cycles: int = 20
    horizon: str = "end"
    data: Any = "digits"
    root: Any = None
    download: bool = False
    partition: Any = "dirichlet"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    learner: Any = "mlp"
    learner_options: Mapping[str, Any] = field(default_factory=dict)
    training: Training | None = None
    distance: Any = "cosine"
    strength: float = 1.0
    eta: float = 5.0
    gain: Any = "inverse_sqrt"
    graph: Any = "break"
    payment: Any = "marginal"
    scheme: Any = "ipfl"
    reports: str = "once"
    exits: str = "none"
    costs: tuple[float, float] = (0.2, 2.0)
    needs: tuple[float, float] | None = None
    sizes: tuple[float, float] | None = None
    types: Mapping[str, Sequence[float]] = field(default_factory=dict)
    effort_cost: tuple[float, float] = (0.2, 0.6)
    joins: tuple[int, ...] | None = None
    cost_drift: float = 0.0
    need_drift: float = 0.0
    data_drift: float = 0.0
    select: str = "validation"
    cash: float = 0.0
    credit: float = math.inf
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)
        check_fields(self, {"joins": or_none(each, check=whole, n=self.n_agents, wanted="rounds >= 0", fix=", or None")})
        object.__setattr__(self, "types", {name: self._type(name, given) for name, given in self.types.items()})
        check_ready_made(self.learner, self.learner_options, self.training)
        if self.learner is None and self.data_drift:
            raise ValueError(f"data_drift is {self.data_drift}, but learner=None has no data that could drift; pass 0.")
        if self.eta and self.strength / self.eta > STRONGEST:
            raise ValueError(
                f"strength / eta is {self.strength!r} / {self.eta!r}, wanted a pull of at most {STRONGEST:.1e}, the largest "
                "number that training can hold; pass a larger eta, or eta=0, which pulls nowhere."
            )

    def _type(self, name: str, given: Any) -> tuple[float, ...]:
        """The given types of that name, as numbers that nobody changes from outside."""
        check, wanted = partial(number, least=LEAST[name], most=LARGEST_TYPE), f"numbers >= {LEAST[name]:g}"
        return each(given, f"types[{name!r}]", check, self.n_agents, wanted)


_FIELDS: dict[str, Check] = TRAINED | {
    **{name: partial(choice, known=known) for name, known in CHOICES.items()},
    **dict.fromkeys(("strength", "eta", "cost_drift", "need_drift", "data_drift"), partial(number, least=0.0)),
    "costs": partial(interval, least=LEAST["costs"], most=LARGEST_TYPE),
    "needs": or_none(interval, least=LEAST["needs"], most=LARGEST_TYPE),
    "sizes": or_none(interval, least=LEAST["sizes"], most=LARGEST_TYPE),
    "effort_cost": partial(interval, least=0.0, most=LARGEST_TYPE),
    "types": partial(options, known=TYPES),
}


@dataclass(frozen=True)
class SharingState:
    """Everything that a round hands to the next.

    params:  where the next training starts;   trained: models as last trained   [markets, clients, params]
    start:   the model that all began with                                       [markets, 1, params]
    centre, pull: what holds the next training, and how hard (0: nothing does)   [markets, clients, params], [..., clients]
    second:  the models that are trained for the others, where the scheme has them   [markets, clients, params or 0]
    best, best_accuracy, best_loss: each client's best model so far, by the accuracy that ``select`` names, then by the loss
    types, reported: what clients are, and what they said;   effort: what this round's training is done with
    gone:    who has left for good;   bought: the last graph
    world:   what the seeds fix for good; None where nobody trains
    """

    seeds: Int[Tensor, "markets"]
    round: Int[Tensor, "markets"]
    params: Parameters
    trained: Parameters
    start: Float[Tensor, "markets 1 params"]
    centre: Parameters
    pull: Float[Tensor, "markets agents"]
    second: Float[Tensor, "markets agents second"]
    best: Parameters
    best_accuracy: Float[Tensor, "markets agents"]
    best_loss: Float[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    effort: Float[Tensor, "markets agents"]
    effort_cost: Float64[Tensor, "markets agents"]
    types: ClientTypes
    reported: ClientTypes
    gone: Bool[Tensor, "markets agents"]
    ledger: Ledger
    bought: Bool[Tensor, "markets buyers sellers"]
    last_paid: Float64[Tensor, "markets agents"]
    last_earned: Float64[Tensor, "markets agents"]
    world: SharingWorlds | None


@dataclass(frozen=True)
class SharingQuotes:
    """What this round's training came to, and who is there."""

    trained: Parameters
    second: Float[Tensor, "markets agents second"]
    diverged: Bool[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    present: Bool[Tensor, "markets agents"]
    seconds: dict[str, float] = field(metadata=STATIC)


@dataclass(frozen=True, kw_only=True)
class SharingReport(Report):
    """A finished round; pair matrices are [markets, buyers, sellers], money per client and round.

    utility: U_i of the paper, by the true types;   rewards: U_i less the cost of the effort;   gain: G_i
    discounts: lambda (N_j / N_i) d_ij, inf where a model was unusable;   upload: number of the kind in ``UPLOADS``
    """

    INFO: ClassVar[tuple[str, ...]] = (
        *("utility", "gain", "paid", "received", "effort", "bought", "sold", "loss", "accuracy", "cash", "present", "upload"),
        "reason",
    )

    utility: Float64[Tensor, "markets agents"]
    gain: Float64[Tensor, "markets agents"]
    paid: Float64[Tensor, "markets agents"]
    received: Float64[Tensor, "markets agents"]
    effort: Float[Tensor, "markets agents"]
    bought: Int[Tensor, "markets agents"]
    sold: Int[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    cash: Float64[Tensor, "markets agents"]
    present: Bool[Tensor, "markets agents"]
    upload: Int[Tensor, "markets agents"]
    reason: Int[Tensor, "markets agents"]
    distance: PerPair
    discounts: PerPair
    prices: PerPair
    trades: Bool[Tensor, "markets buyers sellers"]
    reported: ClientTypes

    def story(self, agents: Sequence[str]) -> list[str]:
        """Tell the first market's round: reports, uploads, who bought whose model at which price, and why not."""
        lines, kinds = [], list(UPLOADS)
        for i, agent in enumerate(agents):
            said = ", ".join(f"{name[:-1]} {float(getattr(self.reported, name)[0, i]):.4g}" for name in TYPES)
            lines.append(f"{agent} reports {said}; trained at effort {self.effort[0, i]:.2f}, loss {self.loss[0, i]:.4f}.")
            if self.upload[0, i]:
                lines.append(f"  uploads {UPLOADS[kinds[int(self.upload[0, i])]].text}")
            for j in self.trades[0, i].nonzero()[:, 0].tolist():
                price, apart = float(self.prices[0, i, j]), float(self.distance[0, i, j])
                lines.append(f"  buys from {agents[j]} at distance {apart:.4f} for {price:.4f}")
            lines.append(f"  {REASONS[int(self.reason[0, i])]}; gain {self.gain[0, i]:.4f}")
        return [*lines, *super().story(agents)]
