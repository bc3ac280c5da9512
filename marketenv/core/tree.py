"""States as trees: frozen dataclasses whose leaves are tensors that lead with the market axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

Tree = TypeVar("Tree")


def leaves(tree: Any, prefix: str = "") -> dict[str, Tensor]:
    """All tensors of a tree by dotted name; fields that are None are left out."""
    if isinstance(tree, Tensor):
        return {prefix: tree}
    if not dataclasses.is_dataclass(tree):
        return {}
    found: dict[str, Tensor] = {}
    for field in dataclasses.fields(tree):
        found |= leaves(getattr(tree, field.name), f"{prefix}.{field.name}" if prefix else field.name)
    return found


def replaced(tree: Tree, tensors: dict[str, Tensor], prefix: str = "") -> Tree:
    """The same tree with its tensors taken from a dictionary by dotted name."""
    if isinstance(tree, Tensor):
        return tensors[prefix]  # type: ignore[return-value]
    if not dataclasses.is_dataclass(tree) or isinstance(tree, type):
        return tree
    names = [f.name for f in dataclasses.fields(tree)]
    new = {n: replaced(getattr(tree, n), tensors, f"{prefix}.{n}" if prefix else n) for n in names}
    return dataclasses.replace(tree, **new)


def copied(value: Any) -> Any:
    """The same with memory of its own: tensors in tuples and dataclasses are cloned, what holds none stays the object it is."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple):
        parts = [copied(part) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    fresh = {name: copied(part) for name, part in held.items()}
    changed = any(fresh[name] is not part for name, part in held.items())
    return dataclasses.replace(value, **fresh) if changed else value


def apart(part: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
    """Return a user's own part as one that shares no memory with the market; a part of our own tables comes back as it is.

    It works on copies, so that an edit in place changes nothing of the market's, and its answer is copied, so that a later
    edit of memory that the part keeps changes no state.

    >>> mine, bids = lambda bids: bids.add_(1), torch.zeros(2)
    >>> apart(mine)(bids), bids
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    if not own:
        return part
    return lambda *given, **more: copied(part(*copied(given), **{name: copied(value) for name, value in more.items()}))


def where(mask: Bool[Tensor, "markets"], new: Tree, old: Tree) -> Tree:
    """Take the masked markets from ``new`` and the others from ``old``: both trees of one shape."""
    fresh, stale = leaves(new), leaves(old)
    pick = {n: torch.where(mask.reshape(-1, *[1] * (t.dim() - 1)), fresh[n], t) for n, t in stale.items()}
    return replaced(old, pick)


def rows(tree: Tree, index: Int[Tensor, "rows"]) -> Tree:
    """The markets of a tree in the order of an index, which may name one several times."""
    return replaced(tree, {name: tensor[index] for name, tensor in leaves(tree).items()})


def size(tree: Any) -> int:
    """Bytes that the tensors of a tree take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(tree).values())
