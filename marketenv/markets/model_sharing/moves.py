"""What the clients of a model-sharing market see and do."""

from __future__ import annotations

from marketenv.core.fields import Choice, Field, Fields, Multiple, Share
from marketenv.markets.model_sharing.uploads import UPLOADS

LEAVES = -0.9  # a client with a lower ``stay`` leaves
LARGEST = 100.0  # loss that any agent is shown
# the reported fields, and the types that they report
REPORTED = {"cost": "costs", "size": "sizes", "need": "needs"}
STAY = Choice(
    "stay",
    options=("leave", "stay"),
    edges=(LEAVES,),
    text=f"below {LEAVES} the client leaves for good, before anything is sold",
)
ACTION = Fields(
    (
        *(Multiple(name, decades=1.0, of=name, text=f"reported {name}") for name in REPORTED),
        Share(
            "effort",
            unit="of full effort",
            text="effort of the next training: the share of its steps that are done",
        ),
        Choice("upload", options=tuple(UPLOADS), text="kind of upload"),
        STAY,
    )
)


def observation_fields(others: int, effort_cost: float) -> Fields:
    """What a client sees, by name.

    others: number of other clients, in the order of agents without the client itself
    effort_cost: the largest, money
    """
    return Fields(
        (
            Field("size", 1, 0.0, 1e6, "own type: samples, as a multiple of the market's mean"),
            Field("cost", 1, 0.0, 1e6, "own type: money that a sale costs"),
            Field(
                "need",
                1,
                0.0,
                1e6,
                "own type: K, as a multiple of the market's mean; 0 is a pure seller",
            ),
            Field("effort_cost", 1, 0.0, max(effort_cost, 1e-6), "own type: money per full effort"),
            Field("loss", 1, 0.0, LARGEST, "own loss on validation data weighted by own labels"),
            Field("accuracy", 1, 0.0, 1.0, "own accuracy on them"),
            Field("bought", others, 0.0, 1.0, "whose models one bought in the last round"),
            Field("sold", others, 0.0, 1.0, "to whom one sold"),
            Field("last_paid", 1, 0.0, 1e6, "money paid in the last round"),
            Field("last_received", 1, 0.0, 1e6, "money received in the last round"),
            Field("present", 1, 0.0, 1.0, "whether one is in the market"),
            Field(
                "round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"
            ),
        )
    )
