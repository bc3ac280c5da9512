"""What a trader sees and does, and the scales of money and losses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from marketenv.core.fields import Field, Fields, Money, Multiple, Share
from marketenv.core.moves import Move
from marketenv.markets.parameter_trading.config import ParameterTradingConfig


@dataclass(frozen=True)
class Scales:
    """The largest numbers of a market.

    largest: loss and gain that agents see; a model beyond it is useless
    bid_max, ask_max: bid, and ask above cost, money
    """

    largest: float
    bid_max: float
    ask_max: float


def traders_move(config: ParameterTradingConfig, scales: Scales) -> Move:
    """What a trader sees and does; ``others`` stand in the order of agents without itself."""
    return Move(Fields(_seen(config, scales)), Fields(_does(config, scales)))


def _seen(config: ParameterTradingConfig, scales: Scales) -> tuple[Field, ...]:
    others, largest, bid_max = config.n_agents - 1, scales.largest, scales.bid_max
    m_high, cost_high = max(config.money_per_loss[1], 1e-6), max(config.effort_cost[1], 1e-6)
    gain = "own gain from each seller, in the unit that money prices"
    shown = "the same in the form that the valuation discloses"
    least = "least that each buyer may value one's model at, money"
    most = "most that each buyer may value one's model at, money"
    weight = "weight at which each buyer would merge it (0 unless disclosed)"
    cost = "what a sale to each buyer costs oneself, money"
    return (
        Field("loss", 1, 0.0, largest, "own loss on the broker's data"),
        Field("accuracy", 1, 0.0, 1.0, "own accuracy (regression: share of variance explained)"),
        Field("gain", others, -largest, largest, gain),
        Field("shown", others, -largest, largest, shown),
        Field("alpha", others, 0.0, 1.0, "best weight of each seller's parameters"),
        Field("buyer_low", others, 0.0, bid_max, least),
        Field("buyer_high", others, 0.0, bid_max, most),
        Field("buyer_alpha", others, 0.0, 1.0, weight),
        Field("money_per_loss", 1, 0.0, m_high, "own type: money per unit of loss"),
        Field("effort_cost", 1, 0.0, cost_high, "own type: money per full effort"),
        Field("sale_cost", others, 0.0, bid_max, cost),
        Field("cash", 1, -1e6, 1e6, "money in hand"),
        Field("last_paid", 1, 0.0, 1e6, "money paid in the last round"),
        Field("last_received", 1, 0.0, 1e6, "money received in the last round"),
        Field("round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"),
    )


def _does(config: ParameterTradingConfig, scales: Scales) -> tuple[Field, ...]:
    others, bid_max = config.n_agents - 1, scales.bid_max
    bid: Field = Money("bid", others, most=bid_max, text="one bid per seller")
    if config.bid_mode == "gain":
        text = "one bid per seller, at most bid_max"
        bid = Multiple("bid", others, most=2.0, of="gain", unit="times the worth", text=text)
    text = "one ask, above one's own cost of the sale"
    ask = Money("ask", most=scales.ask_max, unit="money above cost", text=text)
    text = "effort of the next training: the share of its steps that are done"
    return bid, ask, Share("effort", unit="of full effort", text=text)


def bids_of(factor: float, observation: Tensor, move: Move) -> Tensor | float:
    """Bids of ``factor`` times the worth in the action's unit: the factor itself, or money."""
    if isinstance(move.action["bid"], Multiple):
        return factor
    fields = move.observation.unpack(observation)
    return factor * fields["money_per_loss"] * fields["gain"].clamp(min=0)


def truthful(observation: Tensor, move: Move, keys: Tensor) -> Tensor:
    """Bid what a gain is worth, ask one's cost, train at full effort: [markets, others + 2]."""
    return move.write(observation, bid=bids_of(1.0, observation, move), ask=0.0, effort=1.0)
