"""Copies of a market that stand in one larger market: trees of them, and their worlds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import tree
from marketenv.core.fields import Fields
from marketenv.core.tree import STATIC


@dataclass(frozen=True)
class Folded:
    """A tree of the copies of a market, as a tree of the markets that hold them.

    leaves: its tensors by name   [markets, copies, ...];   like: a tree of the same structure
    """

    leaves: dict[str, Tensor]
    like: Any = field(metadata=STATIC)

    @classmethod
    def of(cls, value: Any, copies: int) -> Folded | None:
        """The tree, whose tensors lead with markets x copies; None for None."""
        return None if value is None else cls(cls.leaves_of(value, copies), value)

    @staticmethod
    def leaves_of(value: Any, copies: int) -> dict[str, Tensor]:
        """The tensors of a tree of the copies, market by market."""
        return {_key(name): unfold(part, copies) for name, part in tree.leaves(value).items()}

    @property
    def tree(self) -> Any:
        """The tree of the copies."""
        names = tree.leaves(self.like)
        return tree.replaced(self.like, {n: self.leaves[_key(n)].flatten(0, 1) for n in names})


def _key(name: str) -> str:
    return name.replace(".", "/") or "it"


def unfold(value: Tensor, copies: int) -> Tensor:
    """Numbers of the copies of a market [markets x copies, ...], market by market."""
    return value.unflatten(0, (-1, copies))


@dataclass(frozen=True, eq=False)
class SeveralWorlds:
    """The worlds of several markets that are played as one, by the name of each."""

    parts: Mapping[str, Any]
    # the worlds of copies by name, each made once
    _copies: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def of_copies(self, name: str, index: Int[Tensor, "copies"]) -> Any:
        """The world of one of the markets, for its copies; None for a market without a world.

        index: the market that each copy is of, always the same for a name
        """
        if name in self.parts and name not in self._copies:
            self._copies[name] = self.parts[name].rows(index)
        return self._copies.get(name)

    def rows(self, index: Int[Tensor, "rows"]) -> SeveralWorlds:
        """The same for the markets of an index."""
        return SeveralWorlds({name: part.rows(index) for name, part in self.parts.items()})

    def put(self, index: Int[Tensor, "some"], fresh: SeveralWorlds) -> SeveralWorlds:
        """The same with the markets of an index taken from other worlds."""
        return SeveralWorlds({n: part.put(index, fresh.parts[n]) for n, part in self.parts.items()})

    def reopen(self, seeds: Int[Tensor, "markets"]) -> SeveralWorlds:
        """The worlds of other seeds."""
        return SeveralWorlds({name: part.reopen(seeds) for name, part in self.parts.items()})


# --- fields of an agent that is in all copies -----------------------------------------------------


def into_copies(
    fields: Fields, flat: Tensor, common: frozenset[str], copies: int
) -> Float[Tensor, "*batch copies dim"]:
    """Flat fields of an agent that is in all copies [..., wide], as those of each copy.

    common: fields that stand once; of all others there is one for each copy
    """
    parts, start = [], 0
    for one in fields.items:
        size = one.size if one.name in common else one.size * copies
        part = flat[..., start : start + size]
        start += size
        if one.name in common:
            parts.append(part[..., None, :].expand(*part.shape[:-1], copies, one.size))
        else:
            parts.append(part.unflatten(-1, (copies, one.size)))
    return torch.cat(parts, -1)


def out_of_copies(
    fields: Fields, flat: Float[Tensor, "*batch copies dim"], common: frozenset[str]
) -> Tensor:
    """Undoes ``into_copies``; a common field is that of the first copy."""
    parts = []
    for name, where in fields.slices.items():
        part = flat[..., where]
        parts.append(part[..., 0, :] if name in common else part.flatten(-2))
    return torch.cat(parts, -1)
