"""The arguments of the parameter market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    each,
    interval,
    number,
    one_or_each,
    or_none,
    whole,
)
from marketenv.learners import Training
from marketenv.markets.arguments import LARGEST_MONEY, TRAINED, check_ready_made

DISCLOSURES = ("full", "bounds", "none")


@dataclass(frozen=True, kw_only=True)
class ParameterTradingConfig:
    """Arguments of ``parameter_trading_v0``; docs/environments/parameter_trading.md gives reasons.

    n_agents, max_cycles: traders and rounds
    horizon:        ``end``: the last round ends the game; ``cut``: the game would go on, and no
                    agent sees the cut
    data, root, download, partition, data_options: what agents own (see
        ``marketenv.data.make_source``)
    learner, learner_options, training: what they train (see ``marketenv.learners.LEARNERS``)
    augmentation:   what happens to images before they are learned from: a name of
                    ``AUGMENTATIONS``, or one per agent
    after_purchase: ``keep`` or ``reset`` the buyer's optimiser state
    alignment:      ``weight_matching``, ``none``, a callable, or ``auto``: matching where the
                    learner can be permuted
    alpha:          the weight of a purchase: ``grid`` (the paper's ten points), ``closed_form``
                    (linear models), ``by_share`` (of the data), a callable, or ``auto``: closed
                    form where the loss is quadratic, the grid elsewhere
    layers:         numbers of the layers that are traded, None for all
    valuation, mechanism: the gain that is disclosed, and the payment rule, by name or as callables
    exchange:       ``trade``, or ``fedavg``: no broker, everybody takes the average weighted by
                    data
    disclosure:     what a seller learns of its buyers: ``full`` (weight and gain), ``bounds`` or
                    ``none``
    bid_mode:       ``gain``: a bid is a multiple of the worth m max(gain, 0); ``absolute``: it is
                    money
    partners:       number of sellers that each buyer tries in a round; None for all
    partner_rule:   which they are: ``random``, ``best_gain``, ``nearest``, or a callable
    max_purchases:  most purchases of one buyer in one round
    money_per_loss, effort_cost: intervals of the agents' uniform types, money per unit of loss and
        per full effort
    externality:    what a sale costs its seller per unit of the buyer's gain, money
    cash, credit:   money at the start, and how far below zero it may go
    bid_max, ask_max: largest bid and largest ask above cost, money; None: the top of money_per_loss
                    times the loss of guessing (regression: half the targets' variance), and a tenth
                    of that
    sabotage:       noise on what each agent sells, in units of its parameters' root mean square;
                    one number or one per agent
    offered_layers: layers that each agent offers, None for all; one entry per agent
    coalition:      agents whose asks are set together, at the largest of them
    device:         where everything is computed
    """

    n_agents: int = 4
    max_cycles: int = 20
    horizon: str = "end"
    data: Any = "digits"
    root: Any = None
    download: bool = False
    partition: Any = "class_imbalance"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    learner: Any = "mlp"
    learner_options: Mapping[str, Any] = field(default_factory=dict)
    training: Training | None = None
    augmentation: Any = "none"
    after_purchase: str = "keep"
    alignment: Any = "auto"
    alpha: Any = "auto"
    layers: tuple[int, ...] | None = None
    valuation: Any = "loss_difference"
    mechanism: Any = "nash_bargaining"
    exchange: Any = "trade"
    disclosure: str = "bounds"
    bid_mode: str = "gain"
    partners: int | None = None
    partner_rule: Any = "random"
    max_purchases: int = 1
    money_per_loss: tuple[float, float] = (5.0, 15.0)
    effort_cost: tuple[float, float] = (0.2, 0.6)
    externality: float = 0.0
    cash: float = 20.0
    credit: float = 0.0
    bid_max: float | None = None
    ask_max: float | None = None
    sabotage: float | tuple[float, ...] = 0.0
    offered_layers: tuple[tuple[int, ...] | None, ...] | None = None
    coalition: tuple[int, ...] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)
        check_fields(self, _of_agents(self.n_agents))
        check_ready_made(self.learner, self.learner_options, self.training)
        chance = isinstance(self.partner_rule, str) and self.partner_rule == "random"
        if self.partners is None and not chance:
            raise ValueError(
                f"partner_rule is {self.partner_rule!r} and partners None, wanted partners such as"
                " 4: how many the rule chooses."
            )

    @property
    def few_partners(self) -> int | None:
        """Number of partners; None where each buyer tries all others."""
        few = self.partners is not None and self.partners < self.n_agents - 1
        return self.partners if few else None


_LAYERS = or_none(each, check=whole, wanted="numbers of layers", fix=", or None for all")
_MONEY = or_none(number, least=0.0, most=1e9, fix=", or None for the market's own")


def _traders(value: Any, name: str) -> int:
    """How many traders there are; one alone is part of a larger market, which is checked there."""
    return 1 if type(value) is int and value == 1 else whole(value, name, 2)


_FIELDS: dict[str, Check] = TRAINED | {
    "n_agents": _traders,
    "after_purchase": partial(choice, known=("keep", "reset")),
    "layers": _LAYERS,
    "disclosure": partial(choice, known=DISCLOSURES),
    "bid_mode": partial(choice, known=("gain", "absolute")),
    "partners": or_none(whole, least=1, fix=", or None for all"),
    "max_purchases": partial(whole, least=1),
    "money_per_loss": partial(interval, least=0.0, most=LARGEST_MONEY),
    "cash": partial(number, least=0.0, infinite=True),
    "externality": partial(number, least=0.0, most=1e9),
    "bid_max": _MONEY,
    "ask_max": _MONEY,
}


def _of_agents(n: int) -> dict[str, Check]:
    """Checks of arguments that have one value for each of n agents."""
    return {
        "sabotage": partial(
            one_or_each, check=partial(number, least=0.0), n=n, wanted="numbers >= 0"
        ),
        "offered_layers": or_none(
            each, check=_LAYERS, n=n, wanted="tuples of layers (None: all)", fix=", or None for all"
        ),
        "coalition": partial(
            each, check=partial(whole, most=n - 1), wanted=f"numbers of agents from 0 to {n - 1}"
        ),
    }
