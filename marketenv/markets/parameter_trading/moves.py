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

    largest: loss and gain that anybody is told; beyond it a model is useless;
        bid_max, ask_max: bid, and ask above cost, money
    """

    largest: float
    bid_max: float
    ask_max: float


def traders_move(config: ParameterTradingConfig, scales: Scales) -> Move:
    """What a trader sees by name (``others`` in the order of agents without itself), and what
    it may do.
    """
    others, (_, m_high), (_, cost_high) = (
        config.n_agents - 1,
        config.money_per_loss,
        config.effort_cost,
    )
    largest, bid_max = scales.largest, scales.bid_max
    seen = Fields(
        (
            Field("loss", 1, 0.0, largest, "own loss on the broker's data"),
            Field(
                "accuracy", 1, 0.0, 1.0, "own accuracy (regression: share of variance explained)"
            ),
            Field(
                "gain",
                others,
                -largest,
                largest,
                "own gain from each seller, in the unit that money prices",
            ),
            Field(
                "shown",
                others,
                -largest,
                largest,
                "the same in the form that the valuation discloses",
            ),
            Field("alpha", others, 0.0, 1.0, "best weight of each seller's parameters"),
            Field(
                "buyer_low",
                others,
                0.0,
                bid_max,
                "least that each buyer may value one's model at, money",
            ),
            Field(
                "buyer_high",
                others,
                0.0,
                bid_max,
                "most that each buyer may value one's model at, money",
            ),
            Field(
                "buyer_alpha",
                others,
                0.0,
                1.0,
                "weight at which each buyer would merge it (0 unless disclosed)",
            ),
            Field("money_per_loss", 1, 0.0, max(m_high, 1e-6), "own type: money per unit of loss"),
            Field("effort_cost", 1, 0.0, max(cost_high, 1e-6), "own type: money per full effort"),
            Field(
                "sale_cost", others, 0.0, bid_max, "what a sale to each buyer costs oneself, money"
            ),
            Field("cash", 1, -1e6, 1e6, "money in hand"),
            Field("last_paid", 1, 0.0, 1e6, "money paid in the last round"),
            Field("last_earned", 1, 0.0, 1e6, "money received in the last round"),
            Field(
                "round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"
            ),
        )
    )
    bid: Field = Money("bid", others, most=bid_max, text="one bid per seller")
    if config.bid_mode == "gain":
        bid = Multiple(
            "bid",
            others,
            most=2.0,
            of="gain",
            unit="times the worth",
            text="one bid per seller, at most bid_max",
        )
    does = Fields(
        (
            bid,
            Money(
                "ask",
                most=scales.ask_max,
                unit="money above cost",
                text="one ask, above one's own cost of the sale",
            ),
            Share(
                "effort",
                unit="of full effort",
                text="effort of the next training: the share of its steps that are done",
            ),
        )
    )
    return Move(seen, does)


def bids_of(factor: float, observation: Tensor, move: Move) -> Tensor | float:
    """What bids of ``factor`` times the worth are written as: the factor, or the money where
    bids are money.
    """
    if isinstance(move.action["bid"], Multiple):
        return factor
    seen = move.observation.unpack(observation)
    return factor * seen["money_per_loss"] * seen["gain"].clamp(min=0)


def truthful(observation: Tensor, move: Move, keys: Tensor) -> Tensor:
    """Bid what a gain is worth, ask one's cost, train at full effort: float32 [markets, others
    + 2].
    """
    return move.write(observation, bid=bids_of(1.0, observation, move), ask=0.0, effort=1.0)
