"""The people of a market in which several others are played: see ``within``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from marketenv.core.floor import Floor
from marketenv.core.inside import Inside
from marketenv.core.people import People


def joined(insides: Iterable[Inside], **people: Any) -> People:
    """Everybody in a market of several: the accounts of all, and what each of them begins with.

    insides: who plays whom in each smaller market; one that comes twice counts once
    people:  further arguments of ``People``, such as the roles and their cash
    """
    parts = tuple(dict.fromkeys(insides))
    booked = [(part, name) for part in parts for name in part.people.accounts if name in part.names]
    return People(
        accounts={part.names[n]: part.people.accounts[n] * part.copies for part, n in booked},
        empty=tuple({part.names[n]: None for part, n in booked if n in part.people.empty}),
        operators=tuple({part.names[n]: None for part, n in booked if n in part.people.operators}),
        furnish=Furnish(parts),
        **people,
    )


@dataclass(frozen=True, eq=False)
class Furnish:
    """Puts on the floor what each smaller market begins with, one after another; a callable."""

    parts: tuple[Inside, ...]

    def __call__(self, floor: Floor) -> Floor:
        """The furnished floor."""
        for part in self.parts:
            if part.people.furnish is not None:
                floor = part.furnish(part.people.furnish)(floor)
        return floor
