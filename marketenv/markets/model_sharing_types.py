"""What the model-sharing market is told, holds, shows and reports: its arguments, state, quotes and report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.axes import Parameters, PerPair
from marketenv.core.horizon import HORIZONS
from marketenv.core.lookup import check_choice, unknown
from marketenv.core.market import Report
from marketenv.core.transfers import Ledger
from marketenv.core.tree import STATIC
from marketenv.learners import Training
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
TYPES = ("sizes", "costs", "needs")
LEAST_SIZE, LARGEST_TYPE = 1e-12, 1e100  # between them money and discounts, which are made of ratios and products, stay finite
CHOICES = {
    "horizon": HORIZONS,
    "reports": ("once", "each_round"),
    "exits": ("none", "ir_strict", "ir_prob"),
    "select": ("validation", "test"),
}

STRONGEST = torch.finfo(torch.float32).max  # pull of a training that its parameters' type can hold


def _number(value: Any) -> float:
    """The value as a float; NaN, which no range accepts, where it is no number."""
    try:
        return float(value + 0.0)  # a text is no number, even if it reads like one
    except (TypeError, ValueError, RuntimeError):
        return math.nan


def _numbers(values: Any) -> list[float]:
    """The values as floats, none where they are no list."""
    return [_number(value) for value in values] if isinstance(values, Iterable) else []


def _least(name: str) -> float:
    """The least that a type may be."""
    return LEAST_SIZE if name == "sizes" else 0.0


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
        for name, known in CHOICES.items():
            check_choice(known, getattr(self, name), name)
        for name, least in (("n_agents", 2), ("max_cycles", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}, wanted a whole number >= {least}.")
        for name in ("strength", "eta", "cost_drift", "need_drift", "data_drift", "cash"):
            if not 0 <= _number(getattr(self, name)) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)!r}, wanted a finite number >= 0.")
        if not _number(self.credit) >= 0:
            raise ValueError(f"credit is {self.credit!r}, wanted a number >= 0; inf sets no limit.")
        if self.eta and self.strength / self.eta > STRONGEST:
            raise ValueError(
                f"strength / eta is {self.strength!r} / {self.eta!r}, wanted a pull of at most {STRONGEST:.1e}, the largest "
                "number that training can hold; pass a larger eta, or eta=0, which pulls nowhere."
            )
        self._check_learner()
        self._check_intervals()
        self._check_lists()

    def _check_learner(self) -> None:
        """Refuse what only a learner of the table can be told, and a drift of no data."""
        if self.learner is None and self.data_drift:
            raise ValueError(f"data_drift is {self.data_drift}, but learner=None has no data that could drift; pass 0.")
        if not isinstance(self.learner, str) and (self.learner_options or self.training is not None):
            what = "None" if self.learner is None else f"a ready-made {type(self.learner).__name__}"
            raise ValueError(
                f"learner is {what}, which is told neither learner_options nor training, wanted a name with them; leave them "
                "out, or give them where the learner is made."
            )

    def _check_intervals(self) -> None:
        """Refuse intervals of types that are no two numbers in order and in range."""
        for name in ("costs", "needs", "sizes", "effort_cost"):
            value = getattr(self, name)
            if value is None and name in ("needs", "sizes"):
                continue
            ends = _numbers(value)
            least = _least(name)
            if len(ends) != 2 or not least <= ends[0] <= ends[1] <= LARGEST_TYPE:
                raise ValueError(
                    f"{name} is {value!r}, wanted an interval (low, high), {least:g} <= low <= high <= {LARGEST_TYPE:g}."
                )

    def _check_lists(self) -> None:
        """Refuse given types and joins that are no numbers in range, or not one a client."""
        for name, values in self.types.items():
            if name not in TYPES:
                raise unknown("type", name, TYPES)
            least, numbers = _least(name), _numbers(values)
            if len(numbers) != self.n_agents or not all(least <= number <= LARGEST_TYPE for number in numbers):
                wanted = f"{self.n_agents} finite numbers >= {least:g}, at most {LARGEST_TYPE:g}"
                raise ValueError(f"types[{name!r}] is {values!r}, wanted {wanted}.")
        copies = {name: tuple(_numbers(values)) for name, values in self.types.items()}  # nobody changes them from outside
        object.__setattr__(self, "types", copies)
        joins = (0,) * self.n_agents if self.joins is None else self.joins
        given = isinstance(joins, tuple | list) and len(joins) == self.n_agents
        if not given or any(not isinstance(r, int) or r < 0 for r in joins):
            raise ValueError(f"joins is {self.joins!r}, wanted {self.n_agents} rounds >= 0, or None.")


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
