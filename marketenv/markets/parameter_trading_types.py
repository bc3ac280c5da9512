"""What the parameter market is told, holds, shows and reports: its arguments, state, quotes and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.checks import Check, check_fields, choice, each, interval, number, one_or_each, or_none, whole
from marketenv.core.market import Report
from marketenv.core.transfers import Ledger
from marketenv.core.tree import STATIC
from marketenv.learners import Training
from marketenv.markets.arguments import LARGEST_MONEY, TRAINED, check_ready_made
from marketenv.markets.trading_worlds import TradingWorlds
from marketenv.valuation import Gain

REASONS = {
    0: "bought",
    1: "no seller offers a gain",
    2: "bids nothing",
    3: "bids less than every ask",
    4: "cannot pay its bid",
    5: "the rule declined",
    6: "training diverged: the agent was reset to its last finite parameters",
    7: "averaged with everybody, without a broker",
    8: "merged to a model that is not finite: bought nothing, paid nothing and kept its own",
}
DISCLOSURES = ("full", "bounds", "none")


@dataclass(frozen=True, kw_only=True)
class ParameterTradingConfig:
    """Arguments of ``parameter_trading_v0``; docs/environments/parameter_trading.md gives the reason of each default.

    n_agents, max_cycles: traders and rounds
    horizon:        ``end``: the last round ends the game; ``cut``: the game would go on, and no agent sees the cut
    data, root, download, partition, data_options: what agents own (see ``marketenv.data.make_source``)
    learner, learner_options, training: what they train (see ``marketenv.learners.LEARNERS``)
    augmentation:   what happens to images before they are learned from: a name of ``AUGMENTATIONS``, or one per agent
    after_purchase: ``keep`` or ``reset`` the buyer's optimiser state
    alignment:      ``weight_matching``, ``none``, a callable, or ``auto``: matching where the learner can be permuted
    alpha:          ``grid`` (the paper's ten points), ``closed_form`` (linear models) or ``auto``
    layers:         numbers of the layers that are traded, None for all
    valuation, mechanism: the gain that is disclosed, and the payment rule, by name or as callables
    exchange:       ``trade``, or ``fedavg``: no broker, everybody takes the average weighted by data
    disclosure:     what a seller learns of its buyers: ``full`` (weight and gain), ``bounds`` or ``none``
    bid_mode:       ``gain``: a bid is a multiple of the worth m max(gain, 0); ``absolute``: it is money
    max_purchases:  most purchases of one buyer in one round
    money_per_loss, effort_cost: intervals of the agents' uniform types, money per unit of loss and per full effort
    externality:    what a sale costs its seller per unit of the buyer's gain, money
    cash, credit:   money at the start, and how far below zero it may go
    bid_max, ask_max: largest bid and largest ask above cost, money; None: the top of money_per_loss times the loss of
                    guessing (regression: half the targets' variance), and a tenth of that
    sabotage:       noise on what each agent sells, in units of its parameters' root mean square; one number or one per agent
    offered_layers: layers that each agent offers, None for all; one entry per agent
    coalition:      agents whose asks are set together, at the largest of them
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
    alpha: str = "auto"
    layers: tuple[int, ...] | None = None
    valuation: Any = "loss_difference"
    mechanism: Any = "nash_bargaining"
    exchange: Any = "trade"
    disclosure: str = "bounds"
    bid_mode: str = "gain"
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


_LAYERS = or_none(each, check=whole, wanted="numbers of layers", fix=", or None for all")
_MONEY = or_none(number, least=0.0, most=1e9, fix=", or None for the market's own")
_FIELDS: dict[str, Check] = TRAINED | {
    "after_purchase": partial(choice, known=("keep", "reset")),
    "alpha": partial(choice, known=("auto", "grid", "closed_form")),
    "layers": _LAYERS,
    "disclosure": partial(choice, known=DISCLOSURES),
    "bid_mode": partial(choice, known=("gain", "absolute")),
    "max_purchases": partial(whole, least=1),
    "money_per_loss": partial(interval, least=0.0, most=LARGEST_MONEY),
    "cash": partial(number, least=0.0, infinite=True),
    "externality": partial(number, least=0.0, most=1e9),
    "bid_max": _MONEY,
    "ask_max": _MONEY,
}


def _of_agents(n: int) -> dict[str, Check]:
    """Checks of what there is one of for each of n agents."""
    return {
        "sabotage": partial(one_or_each, check=partial(number, least=0.0), n=n, wanted="numbers >= 0"),
        "offered_layers": or_none(each, check=_LAYERS, n=n, wanted="tuples of layers (None: all)", fix=", or None for all"),
        "coalition": partial(each, check=partial(whole, most=n - 1), wanted=f"numbers of agents from 0 to {n - 1}"),
    }


@dataclass(frozen=True)
class Options:
    """What sets agents apart beside their reports: sabotage noise, offered layers, coalition membership."""

    sabotage: Float[Tensor, "markets agents"]
    offered: Float[Tensor, "markets agents layers"]
    coalition: Bool[Tensor, "markets agents"]


@dataclass(frozen=True)
class TradingState:
    """Everything that a round hands to the next.

    effort: what this round's training is done with;   orders: how the last alignment reordered the units of each pair
    of agents, from which the next one starts; -1 where there was none;   world: what the seeds fix for good
    """

    seeds: Int[Tensor, "markets"]
    round: Int[Tensor, "markets"]
    params: Float[Tensor, "markets agents params"]
    slots: Float[Tensor, "markets agents slots"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    effort: Float[Tensor, "markets agents"]
    money_per_loss: Float64[Tensor, "markets agents"]
    effort_cost: Float64[Tensor, "markets agents"]
    ledger: Ledger
    last_paid: Float64[Tensor, "markets agents"]
    last_earned: Float64[Tensor, "markets agents"]
    orders: Int[Tensor, "markets pairs units"]
    options: Options
    world: TradingWorlds


@dataclass(frozen=True)
class TradingQuotes:
    """What this round's training and the broker's trials came to; ``low`` and ``high`` bound a buyer's value, money."""

    trained: Float[Tensor, "markets agents params"]
    slots: Float[Tensor, "markets agents slots"]
    diverged: Bool[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    offers: Float[Tensor, "markets buyers sellers params"]
    orders: Int[Tensor, "markets pairs units"]
    alpha: Float[Tensor, "markets buyers sellers"]
    gain: Gain
    low: Float[Tensor, "markets buyers sellers"]
    high: Float[Tensor, "markets buyers sellers"]
    seconds: dict[str, float] = field(metadata=STATIC)


@dataclass(frozen=True)
class Reports:
    """What the agents said, as money [markets, buyers, sellers]: bids, asks = cost + markup, cost; and their next effort."""

    bids: Float64[Tensor, "markets buyers sellers"]
    markup: Float64[Tensor, "markets sellers"]
    asks: Float64[Tensor, "markets buyers sellers"]
    cost: Float64[Tensor, "markets buyers sellers"]
    effort: Float[Tensor, "markets buyers"]


@dataclass(frozen=True, kw_only=True)
class TradingReport(Report):
    """A finished round; pair matrices are [markets, buyers, sellers], ``value`` and money per agent and round."""

    INFO: ClassVar[tuple[str, ...]] = (
        *("utility", "value", "paid", "received", "effort", "bought", "sold", "loss", "accuracy", "cash", "reason"),
    )

    utility: Float64[Tensor, "markets agents"]
    value: Float64[Tensor, "markets agents"]
    paid: Float64[Tensor, "markets agents"]
    received: Float64[Tensor, "markets agents"]
    effort: Float[Tensor, "markets agents"]
    bought: Int[Tensor, "markets agents"]
    sold: Int[Tensor, "markets agents"]
    trained_loss: Float[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    diverged: Bool[Tensor, "markets agents"]
    cash: Float64[Tensor, "markets agents"]
    reason: Int[Tensor, "markets agents"]
    gain: Gain
    alpha: Float[Tensor, "markets buyers sellers"]
    bids: Float64[Tensor, "markets buyers sellers"]
    asks: Float64[Tensor, "markets buyers sellers"]
    trades: Bool[Tensor, "markets buyers sellers"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Tell the first market's round: losses, gains, bids, asks, who paid whom and why not."""
        lines = []
        for i, agent in enumerate(agents):
            lines.append(f"{agent} trains at effort {self.effort[0, i]:.2f} to a loss of {self.trained_loss[0, i]:.4f}.")
            for j in [j for j in range(len(agents)) if j != i]:
                gain, bid, ask = float(self.gain.worth[0, i, j]), float(self.bids[0, i, j]), float(self.asks[0, i, j])
                fact = f"  from {agents[j]}: gain {gain:+.4f} at weight {self.alpha[0, i, j]:.2f}, bid {bid:.4f}, ask {ask:.4f}"
                price = f", bought for {self.transfers[0, i, j]:.4f}" if self.trades[0, i, j] else ""
                lines.append(fact + price)
            lines.append(f"  {REASONS[int(self.reason[0, i])]}; loss {self.loss[0, i]:.4f}, accuracy {self.accuracy[0, i]:.3f}")
        return [*lines, *super().story(agents)]
