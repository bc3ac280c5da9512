"""States as trees: dataclasses, dicts and tuples; the leaves are tensors that lead with markets.

A field of ``metadata=STATIC`` is no part of the tree, and None is an empty tree. A node, such as a
shared world, has methods ``rows``, ``put`` and ``reopen`` of its own and is never saved. Anything
else is a TypeError, so that nothing is left out in silence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from jaxtyping import Int
from torch import Tensor

Tree = TypeVar("Tree")

# metadata of a dataclass field that is no part of the tree; of two trees the first one's stays
STATIC = {"static": True}


class Node(Protocol):
    """A thing that the markets of a batch share and that follows from their seeds, such as data."""

    def rows(self, index: Int[Tensor, "rows"]) -> Any:
        """The same for the markets of an index, which may name one several times."""
        ...

    def put(self, index: Int[Tensor, "some"], fresh: Any) -> Any:
        """The same with the markets of an index taken from another node, in its order."""
        ...

    def reopen(self, seeds: Int[Tensor, "markets"]) -> Any:
        """The same for other seeds; a loaded state calls it, since a node is not saved."""
        ...


def is_node(value: Any) -> bool:
    """Whether a value has a ``Node``'s methods; ``isinstance`` would take long, leaf by leaf."""
    return hasattr(value, "reopen") and hasattr(value, "rows") and hasattr(value, "put")


def leaves(tree: Any) -> dict[str, Tensor]:
    """All tensors of a tree by dotted name, without static fields, None and nodes.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Report:
    ...     paid: Tensor
    ...     seconds: dict[str, float] = dataclasses.field(metadata=STATIC)
    >>> import torch
    >>> list(leaves(Report(torch.zeros(2), {"train": 0.5})))
    ['paid']
    """
    tensors: dict[str, Tensor] = {}

    def keep(name: str, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            tensors[name] = leaf
        return leaf

    _mapped(keep, (tree,))
    return tensors


def replaced(tree: Tree, tensors: dict[str, Tensor]) -> Tree:
    """The same tree with its tensors taken from a dictionary by dotted name."""
    return _mapped(lambda name, leaf: tensors[name] if isinstance(leaf, Tensor) else leaf, (tree,))


def reopened(tree: Tree, seeds: Int[Tensor, "markets"]) -> Tree:
    """The same tree with every node as these seeds have it."""

    def rule(_: str, leaf: Any) -> Any:
        return leaf if isinstance(leaf, Tensor) else leaf.reopen(seeds)

    return _mapped(rule, (tree,))


def mapped(rule: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """The same tree with every tensor as a rule changes it; nodes with rules of their own stay."""
    return _mapped(lambda _, leaf: rule(leaf) if isinstance(leaf, Tensor) else leaf, (tree,))


def rows(tree: Tree, index: Int[Tensor, "rows"]) -> Tree:
    """The markets of a tree in the order of an index, which may name one several times."""

    def rule(_: str, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf.rows(index)
        # index_select takes half the time of an index, of an expanded tensor seven times as long
        return leaf.index_select(0, index) if leaf.is_contiguous() else leaf[index]

    return _mapped(rule, (tree,))


def put(tree: Tree, index: Int[Tensor, "some"], fresh: Tree) -> Tree:
    """The tree with some markets replaced by those of another tree, in the order of that tree.

    index: the markets that are replaced, each once
    """

    def rule(_: str, old: Any, new: Any) -> Any:
        return old.index_put((index,), new) if isinstance(old, Tensor) else old.put(index, new)

    return _mapped(rule, (tree, fresh))


def size(tree: Any) -> int:
    """Bytes that the tensors of a tree take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(tree).values())


def _mapped(rule: Callable[..., Any], trees: tuple[Any, ...], name: str = "") -> Any:
    """The tree that ``rule(name, *leaves)`` makes of trees of one shape.

    Leaves are tensors and nodes. Raises TypeError, with the name, for anything that is no tree.
    """
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, Tensor) or is_node(first):
        return rule(name, *trees)
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        parts = {}
        for field in dataclasses.fields(first):
            if not field.metadata.get("static"):
                branches = tuple(getattr(tree, field.name) for tree in trees)
                parts[field.name] = _mapped(rule, branches, _joined(name, field.name))
        return dataclasses.replace(first, **parts)
    if isinstance(first, dict):
        _check_keys(first, name)
        return {k: _mapped(rule, tuple(t[k] for t in trees), _joined(name, k)) for k in first}
    if isinstance(first, tuple):
        names = getattr(first, "_fields", range(len(first)))
        branches_of = zip(names, zip(*trees, strict=True), strict=True)
        items = [_mapped(rule, some, _joined(name, str(part))) for part, some in branches_of]
        return type(first)(*items) if hasattr(first, "_fields") else tuple(items)
    raise TypeError(
        f"{name or 'the tree'} is a {type(first).__name__}, wanted a tensor, a dataclass, a dict, a"
        " tuple or None. If it belongs to no market, mark its field: seconds: dict[str, float] ="
        " field(metadata=STATIC), from marketenv.core.tree."
    )


def _check_keys(tree: dict[Any, Any], name: str) -> None:
    if not all(isinstance(key, str) and "." not in key for key in tree):
        raise TypeError(
            f"{name or 'the tree'} has the keys {list(tree)}, wanted text without dots, by which"
            " tensors are saved."
        )


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def copied(value: Any) -> Any:
    """The same with its tensors cloned, in tuples, dicts and dataclasses, without their gradients.

    A part without tensors stays the same object, and so does a node: worlds are shared, and large.
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
    names = [field.name for field in dataclasses.fields(value) if field.init]
    fresh = {name: copied(getattr(value, name)) for name in names}
    changed = any(part is not getattr(value, name) for name, part in fresh.items())
    return dataclasses.replace(value, **fresh) if changed else value


def apart(part: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
    """Return a user's own part as one that shares no memory with the market.

    It works on copies, so that an edit in place changes nothing of the market's, and its answer is
    copied, so that a later edit of memory that the part keeps changes no state. Parts of the
    library (``own=False``) stay as they are.

    >>> import torch
    >>> mine, bids = lambda bids: bids.add_(1), torch.zeros(2)
    >>> apart(mine)(bids), bids
    (tensor([1., 1.]), tensor([0., 0.]))
    """
    if not own:
        return part

    def alone(*arguments: Any, **named: Any) -> Any:
        copies = {name: copied(value) for name, value in named.items()}
        return copied(part(*copied(arguments), **copies))

    return alone
