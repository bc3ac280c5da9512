"""States as trees: dataclasses, dicts and tuples whose leaves are tensors that lead with the market
axis.

A field of ``metadata=STATIC`` is no part of the tree, and None is an empty one. A node that answers
``rows``, ``put`` and ``reopen`` itself, as shared worlds do, is indexed by its own rule and never
saved. Anything else is a TypeError, so that nothing is left out in silence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from jaxtyping import Int
from torch import Tensor

Tree = TypeVar("Tree")

# metadata of a dataclass field: no part of the tree, and of two trees the first one's stays
STATIC = {"static": True}


class Node(Protocol):
    """What is shared by the markets of a batch and follows from their seeds, such as their data."""

    def rows(self, index: Int[Tensor, "rows"]) -> Any:
        """The same for the markets of an index, which may name one several times."""
        ...

    def put(self, index: Int[Tensor, "some"], fresh: Any) -> Any:
        """The same with the markets of an index taken from another node, in its order."""
        ...

    def reopen(self, seeds: Int[Tensor, "markets"]) -> Any:
        """What other seeds have in its place; a loaded state calls it, since a node is not
        saved.
        """
        ...


def is_node(value: Any) -> bool:
    """Whether a value answers as a ``Node`` does: the question is put of every leaf, and
    ``isinstance`` would take long.
    """
    return hasattr(value, "reopen") and hasattr(value, "rows") and hasattr(value, "put")


def leaves(tree: Any) -> dict[str, Tensor]:
    """All tensors of a tree by dotted name; static fields, None, and nodes with rules of their own
    are left out.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Report:
    ...     paid: Tensor
    ...     seconds: dict[str, float] = dataclasses.field(metadata=STATIC)
    >>> import torch
    >>> list(leaves(Report(torch.zeros(2), {"train": 0.5})))
    ['paid']
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            found[name] = leaf
        return leaf

    _mapped(keep, (tree,))
    return found


def replaced(tree: Tree, tensors: dict[str, Tensor]) -> Tree:
    """The same tree with its tensors taken from a dictionary by dotted name."""
    return _mapped(lambda name, leaf: tensors[name] if isinstance(leaf, Tensor) else leaf, (tree,))


def reopened(tree: Tree, seeds: Int[Tensor, "markets"]) -> Tree:
    """The same tree with every node as these seeds have it."""
    return _mapped(
        lambda _, leaf: leaf if isinstance(leaf, Tensor) else leaf.reopen(seeds), (tree,)
    )


def rows(tree: Tree, index: Int[Tensor, "rows"]) -> Tree:
    """The markets of a tree in the order of an index, which may name one several times."""
    return _mapped(
        lambda _, leaf: leaf[index] if isinstance(leaf, Tensor) else leaf.rows(index), (tree,)
    )


def put(tree: Tree, index: Int[Tensor, "some"], fresh: Tree) -> Tree:
    """The tree with the markets of an index, each named once, taken from another one of its
    shape, in that one's order.
    """

    def rule(_: str, old: Any, new: Any) -> Any:
        return old.index_put((index,), new) if isinstance(old, Tensor) else old.put(index, new)

    return _mapped(rule, (tree, fresh))


def size(tree: Any) -> int:
    """Bytes that the tensors of a tree take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(tree).values())


def _mapped(rule: Callable[..., Any], trees: tuple[Any, ...], name: str = "") -> Any:
    """The tree that ``rule(name, *leaves)`` makes of trees of one shape; leaves are tensors and
    nodes.

    Raises TypeError for anything that is no tree, by its name.
    """
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, Tensor) or is_node(first):
        return rule(name, *trees)
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        parts = [
            field.name for field in dataclasses.fields(first) if not field.metadata.get("static")
        ]
        made = {
            part: _mapped(rule, tuple(getattr(t, part) for t in trees), _joined(name, part))
            for part in parts
        }
        return dataclasses.replace(first, **made)
    if isinstance(first, dict):
        if not all(isinstance(key, str) and "." not in key for key in first):
            raise TypeError(
                f"{name or 'the tree'} has the keys {list(first)}, wanted text without dots, by"
                " which tensors are saved."
            )
        return {
            key: _mapped(rule, tuple(t[key] for t in trees), _joined(name, key)) for key in first
        }
    if isinstance(first, tuple):
        names = getattr(first, "_fields", range(len(first)))
        zipped = zip(names, zip(*trees, strict=True), strict=True)
        items = [_mapped(rule, some, _joined(name, str(part))) for part, some in zipped]
        return type(first)(*items) if hasattr(first, "_fields") else tuple(items)
    raise TypeError(
        f"{name or 'the tree'} is a {type(first).__name__}, wanted a tensor, a dataclass, a dict, a"
        " tuple or None. If it belongs to no market, mark its field: seconds: dict[str, float] ="
        " field(metadata=STATIC), from marketenv.core.tree."
    )


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def copied(value: Any) -> Any:
    """The same with memory of its own: tensors in tuples, dicts and dataclasses are cloned, without
    their gradients; what holds none stays as it is.

    A node stays too: worlds are shared, and large.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if is_node(value):
        return value
    if isinstance(value, dict):
        named = {key: copied(part) for key, part in value.items()}
        return named if any(named[key] is not value[key] for key in value) else value
    if isinstance(value, tuple):
        parts = [copied(part) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    held = {
        field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init
    }
    fresh = {name: copied(part) for name, part in held.items()}
    changed = any(fresh[name] is not part for name, part in held.items())
    return dataclasses.replace(value, **fresh) if changed else value


def apart(part: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
    """Return a user's own part as one that shares no memory with the market; a part of our own
    tables comes back as it is.

    It works on copies, so that an edit in place changes nothing of the market's, and its answer is
    copied, so that a later edit of memory that the part keeps changes no state.

    >>> import torch
    >>> mine, bids = lambda bids: bids.add_(1), torch.zeros(2)
    >>> apart(mine)(bids), bids
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    if not own:
        return part
    return lambda *given, **more: copied(
        part(*copied(given), **{name: copied(value) for name, value in more.items()})
    )
