"""What the leader, the owners and the centres of a resource market see and do."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from marketenv.core.fields import Choice, Field, Fields, Money, Share
from marketenv.core.moves import Move

LEADER, OWNER, CENTRE = "leader", "owner", "centre"
LARGEST = 1e12  # of costs and prices


def in_float64(move: Move, observation: Tensor) -> dict[str, Tensor]:
    """What is seen by name, in float64."""
    fields = move.observation.unpack(observation)
    return {name: numbers.double() for name, numbers in fields.items()}


def _money_and_round() -> tuple[Field, ...]:
    return (
        Field("money", 1, 0.0, 1e9, "money that it can pay now"),
        Field("round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"),
    )


def leaders_move(owners: int, centres: int, worth: float) -> Move:
    """What the leader sees when it commits, and its payment.

    worth: alpha k, the most that it can gain by any payment, money
    """
    sees = (
        Field(
            "quality",
            owners,
            0.0,
            1.0,
            "of each owner, as it is known: honest at first, then by the last audit, or report",
        ),
        Field("identities", owners, 0.0, 8.0, "under how many names each owner contributed"),
        Field("cap", owners, 0.0, 1.0, "share of its data that each owner may contribute at most"),
        Field("unit_cost", 1, 0.0, LARGEST, "what a unit of data costs its owner, money"),
        Field("sigma", centres, 0.0, 1e6, "cost of a unit of each centre's work"),
        Field("last_share", owners, 0.0, 1.0, "what each owner contributed in the last round"),
        *_money_and_round(),
    )
    eta = Money("eta", most=worth, text="payment that the owners contest")
    return Move(Fields(sees), Fields((eta,)))


def owners_move(others: int, worth: float, conduct: Sequence[str], identities: int) -> Move:
    """What an owner sees when it contributes, and what it contributes and reports.

    others:  number of other owners;   worth: alpha k, money
    conduct: names of ``CONDUCTS`` that it may choose
    identities: the most names under which it may contribute
    """
    rest = max(others, 1)
    sees = (
        Field("eta", 1, 0.0, worth, "the leader's payment, money"),
        Field(
            "own_quality",
            1,
            0.0,
            1.0,
            "own type: what its data are worth to the leader, a share of the best",
        ),
        Field(
            "own_standing",
            1,
            0.0,
            1.0,
            "what is known of that: honest at first, then by the last audit, or report",
        ),
        Field("own_cap", 1, 0.0, 1.0, "share of its data that it may contribute at most"),
        Field("quality", rest, 0.0, 1.0, "of each other owner, as it is known"),
        Field(
            "identities",
            rest,
            0.0,
            8.0,
            "under how many names each other owner contributed in the last round",
        ),
        Field("cap", rest, 0.0, 1.0, "of each other owner"),
        Field("last_share", rest, 0.0, 1.0, "what each other owner contributed in the last round"),
        Field("unit_cost", 1, 0.0, LARGEST, "what a unit of data costs, money"),
        *_money_and_round(),
    )
    does = [
        Share("share", unit="of its cap", text="data that it contributes"),
        Share("report", unit="of the best quality", text="quality that it says its data have"),
        Choice("conduct", options=tuple(conduct), text="what it does with its data"),
    ]
    if identities > 1:
        counts = tuple(str(k + 1) for k in range(identities))
        text = "under how many names it contributes"
        does.append(Choice("identities", options=counts, text=text))
    return Move(Fields(sees), Fields(tuple(does)))


def centres_move(others: int, owners: int, fees: float, rank: bool) -> Move:
    """What a centre sees when it offers work, and what it offers.

    others: number of other centres;   fees: the most that owners can owe, money
    rank:   whether the centre says which owners it wants to work for
    """
    rest = max(others, 1)
    sees = (
        Field("fees", 1, 0.0, fees, "what owners pay for work together, money"),
        Field("own_cost", 1, 0.0, LARGEST, "own type: what a unit of work costs it, money"),
        Field("cost", rest, 0.0, LARGEST, "of each other centre"),
        Field("last_work", rest, 0.0, LARGEST, "what each other centre offered in the last round"),
        Field("share", owners, 0.0, 1.0, "what each owner contributes"),
        *_money_and_round(),
    )
    does = [Share("spend", unit="of the fees", text="what its work costs it")]
    if rank:
        text = "how much it wants to work for each owner"
        does.append(Share("liking", owners, unit="of the most", text=text))
    return Move(Fields(sees), Fields(tuple(does)))


def posters_move(others: int, owners: int, worth: float) -> Move:
    """What a centre sees when it posts a price, and the price.

    others, owners: numbers of other centres and of owners;   worth: alpha k, money
    """
    rest = max(others, 1)
    sees = (
        Field("own_cost", 1, 0.0, LARGEST, "own type: what a unit of work costs it, money"),
        Field("cost", rest, 0.0, LARGEST, "of each other centre"),
        Field("last_price", rest, 0.0, LARGEST, "what each other centre posted in the last round"),
        Field("quality", owners, 0.0, 1.0, "of each owner, as it is known"),
        Field("identities", owners, 0.0, 8.0, "under how many names each owner contributed"),
        *_money_and_round(),
    )
    text = "wanted for the work on a unit of data"
    price = Money("price", least=1e-6 * worth, most=worth, text=text)
    return Move(Fields(sees), Fields((price,)))


def payers_move(worth: float) -> Move:
    """What a leader without escrow sees in the end, and what it pays.   worth: alpha k, money"""
    sees = (
        Field("eta", 1, 0.0, worth, "payment that it committed to, money"),
        Field("accuracy", 1, 0.0, 1.0, "of its model"),
        *_money_and_round(),
    )
    pay = Share("pay", unit="of its commitment", text="what it pays in the end")
    return Move(Fields(sees), Fields((pay,)))
