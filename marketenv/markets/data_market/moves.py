"""What sellers and the buyer of a data market see and do."""

from __future__ import annotations

from collections.abc import Sequence

from marketenv.core.fields import Field, Fields, Multiple, Share
from marketenv.core.moves import Move
from marketenv.markets.data_market.conduct import CONDUCT

BUYER, SELLER = "buyer", "seller"


def sellers_move(cost_max: float, conduct: Sequence[str]) -> Move:
    """What a seller sees when it makes its offer, and what it asks and does.

    cost_max: largest cost of a point, money;   conduct: names of ``CONDUCT`` that it may choose
    """
    sees = Fields(
        (
            Field(
                "cost",
                1,
                0.0,
                max(cost_max, 1e-6),
                "own type: what collecting and sharing a point costs, money",
            ),
            Field("size", 1, 0.0, 1e7, "rows that it has"),
            Field(
                "reputation",
                1,
                0.0,
                1.0,
                "how far purchases that it was part of kept their promise; 1 at first",
            ),
            Field("last_paid", 1, 0.0, 1e6, "money received in the last round"),
            Field("money", 1, 0.0, 1e6, "money of the buyer in hand"),
            Field(
                "round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"
            ),
        )
    )
    asks = (
        Multiple(
            "ask", decades=1.0, of="cost", unit="times the cost", text="money wanted per point"
        ),
        Multiple(
            "reserve",
            most=2.0,
            of="cost",
            unit="times the cost",
            text="least average price per point that it accepts",
        ),
    )
    return Move(sees, Fields((*asks, *(CONDUCT[name] for name in conduct))))


def buyers_move(count: int, worth_max: float, cost_max: float) -> Move:
    """What the buyer sees of the offers, and its choice among them.

    count: number of sellers;   worth_max: most money per unit of accuracy
    cost_max: largest cost of a point, money
    """
    sees = Fields(
        (
            Field(
                "ask", count, 0.0, 10 * max(cost_max, 1e-6), "each seller's ask, money per point"
            ),
            Field("declared", count, 0.0, 1e7, "points that each seller offers"),
            Field("distance", count, 0.0, 1e3, "of each seller's pilot from the buyer's examples"),
            Field("reputation", count, 0.0, 1.0, "of each seller"),
            Field(
                "recommended",
                count,
                0.0,
                1.0,
                "share of the points that the platform would buy of each seller",
            ),
            Field(
                "worth",
                count,
                -worth_max,
                worth_max,
                "of each seller in the recommended purchase by the rule, money",
            ),
            Field(
                "predicted", 1, 0.0, 1.0, "accuracy that is predicted of the recommended purchase"
            ),
            Field("gain", 1, 0.0, worth_max, "what that is worth beyond the outside option, money"),
            Field(
                "money_per_accuracy",
                1,
                0.0,
                max(worth_max, 1e-6),
                "own type: money per unit of accuracy",
            ),
            Field("money", 1, 0.0, 1e6, "money that it can pay now"),
            Field(
                "round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"
            ),
        )
    )
    does = Fields(
        (
            Share("budget", unit="of its money", text="most money that is spent"),
            Share(
                "mixture",
                count,
                unit="relative weight",
                text="how much of the points comes from each seller",
            ),
            Share("verify", unit="of deliveries", text="chance that each delivery is audited"),
            Share("hold_back", unit="of prices", text="paid by realised accuracy alone"),
        )
    )
    return Move(sees, does)
