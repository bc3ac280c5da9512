"""Arguments of the model-sharing market."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    each,
    interval,
    number,
    options,
    or_none,
    whole,
)
from marketenv.learners import Training
from marketenv.markets.arguments import TRAINED, check_ready_made

# between them, money and discounts, which are ratios and products of types, stay finite
LEAST, LARGEST_TYPE = {"sizes": 1e-12, "costs": 0.0, "needs": 0.0}, 1e100
TYPES = tuple(LEAST)
CHOICES = {
    "reports": ("once", "each_round"),
    "exits": ("none", "ir_strict", "ir_prob"),
    "select": ("validation", "test"),
}

STRONGEST = torch.finfo(torch.float32).max  # the largest pull that parameters' type can hold


@dataclass(frozen=True, kw_only=True)
class ModelSharingConfig:
    """Arguments of ``model_sharing_v0``; docs/environments/model_sharing.md gives the reasons.

    n_agents, max_cycles: clients and rounds
    horizon:  ``end``: the last round ends the game; ``cut``: the game would go on, and no agent
              sees the cut
    data, root, download, partition, data_options: what clients own (see
        ``marketenv.data.make_source``)
    learner, learner_options, training: what they train (see ``LEARNERS``); None draws distances and
        trains nothing
    distance: between models, a name of ``DISTANCES`` or such an object
    strength: lambda;   eta: step of the prox centre
    gain:     what data are worth, a name of ``GAINS`` or such an object
    graph, payment: names of ``GRAPHS`` and ``SHARING_PAYMENTS``, or callables
    scheme:   ``ipfl``, or what it is compared with: a name of ``SCHEMES`` or such an object
    reports:  ``once``, when a client joins (the paper's), or ``each_round``
    exits:    ``none``; ``ir_strict``: a client that loses in a round leaves; ``ir_prob``: it leaves
              with probability 1/2
    costs, needs, sizes: intervals of uniform types. Costs: money per sale. Needs: K as a multiple
              of the market's mean size for the paper's gain, money otherwise. Sizes: None takes the
              data's, or lognormal(5000, 0.6) without data
    types:    given types instead of drawn ones: ``{"sizes": [...], "costs": [...], "needs":
              [...]}``, any of the three
    effort_cost: interval of the uniform cost of a full effort, money
    joins:    the round at which each client joins, from 0; None: all are there from the start
    cost_drift, need_drift: standard deviation of the log of c and K from round to round; neither
        walks out of [1e-12, 1e12]
    data_drift: share of a client's examples that is exchanged in a round, until all are those of
        another partition
    select:   which accuracy chooses a client's best model; ``test`` is the public code's
    cash, credit: money at the start, and how far below zero it may go
    device:   where everything is computed
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
        wanted = {"wanted": "rounds >= 0", "fix": ", or None"}
        check_fields(self, {"joins": or_none(each, check=whole, n=self.n_agents, **wanted)})
        types = {name: self._type(name, values) for name, values in self.types.items()}
        object.__setattr__(self, "types", types)
        check_ready_made(self.learner, self.learner_options, self.training)
        if self.learner is None and self.data_drift:
            raise ValueError(
                f"data_drift is {self.data_drift}, but learner=None has no data that could drift;"
                " pass 0."
            )
        if self.eta and self.strength / self.eta > STRONGEST:
            raise ValueError(
                f"strength / eta is {self.strength!r} / {self.eta!r}, wanted a pull of at most"
                f" {STRONGEST:.1e}, the largest number that training can hold; pass a larger eta,"
                " or eta=0, which pulls nowhere."
            )

    def _type(self, name: str, values: Any) -> tuple[float, ...]:
        """The types of that name as a tuple of numbers, which nobody can change."""
        check = partial(number, least=LEAST[name], most=LARGEST_TYPE)
        wanted = f"numbers >= {LEAST[name]:g}"
        return each(values, f"types[{name!r}]", check, self.n_agents, wanted)


_FIELDS: dict[str, Check] = TRAINED | {
    **{name: partial(choice, known=known) for name, known in CHOICES.items()},
    **dict.fromkeys(
        ("strength", "eta", "cost_drift", "need_drift", "data_drift"), partial(number, least=0.0)
    ),
    "costs": partial(interval, least=LEAST["costs"], most=LARGEST_TYPE),
    "needs": or_none(interval, least=LEAST["needs"], most=LARGEST_TYPE),
    "sizes": or_none(interval, least=LEAST["sizes"], most=LARGEST_TYPE),
    "effort_cost": partial(interval, least=0.0, most=LARGEST_TYPE),
    "types": partial(options, known=TYPES),
}
