"""States as trees of tensors: listing, replacing, indexing, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core import tree


class Pair(NamedTuple):
    low: torch.Tensor
    high: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Shared:
    """Numbers that the markets of a batch share, one a distinct seed: it answers for itself."""

    seeds: list[int]

    def rows(self, index):
        return Shared([self.seeds[k] for k in index])

    def put(self, index, fresh):
        taken = dict(zip(index.tolist(), fresh.seeds, strict=True))
        return Shared([taken.get(k, seed) for k, seed in enumerate(self.seeds)])

    def reopen(self, seeds):
        return Shared(seeds.tolist())


@dataclasses.dataclass(frozen=True)
class Inner:
    cash: torch.Tensor
    note: str = dataclasses.field(default="kept", metadata=tree.STATIC)


@dataclasses.dataclass(frozen=True)
class Outer:
    seeds: torch.Tensor
    inner: Inner
    world: Shared
    types: dict[str, torch.Tensor]
    bounds: Pair
    past: tuple[Inner, ...]
    seconds: dict[str, float] = dataclasses.field(metadata=tree.STATIC)
    optimum: Any = None


def outer(seeds, note="kept"):
    """A market a seed, in which every number is its seed."""
    numbers = torch.tensor(seeds)
    wide = numbers[:, None].double()
    types = {"size": wide, "need": wide + 0.5}
    return Outer(
        numbers,
        Inner(wide, note),
        Shared(seeds),
        types,
        Pair(wide, -wide),
        (Inner(wide), Inner(wide)),
        {"train": 1.0},
    )


NAMES = [
    "seeds",
    "inner.cash",
    "types.size",
    "types.need",
    "bounds.low",
    "bounds.high",
    "past.0.cash",
    "past.1.cash",
]


def same(one, other):
    a, b = tree.leaves(one), tree.leaves(other)
    return (
        a.keys() == b.keys()
        and all(torch.equal(a[name], b[name]) for name in a)
        and one.world == other.world
    )


def test_leaves_have_dotted_names_through_dataclasses_dicts_and_tuples():
    # neither what is static, nor None, nor a node with rules of its own
    assert list(tree.leaves(outer([1, 2]))) == NAMES


def test_replaced_takes_tensors_by_name_and_keeps_the_rest():
    old = outer([1, 2])
    new = tree.replaced(old, {name: torch.full((2, 1), 7.0) for name in NAMES})
    assert all((tensor == 7).all() for tensor in tree.leaves(new).values())
    assert (
        new.inner.note == "kept"
        and new.seconds == {"train": 1.0}
        and new.optimum is None
        and new.world == old.world
    )
    assert type(new.bounds) is Pair and old.seeds.tolist() == [1, 2]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=7))
def test_rows_are_the_markets_of_an_index_in_its_order(index):
    seeds = [4, 5, 6, 7, 8]
    assert same(tree.rows(outer(seeds), torch.tensor(index)), outer([seeds[k] for k in index]))


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_put_takes_the_named_markets_from_the_fresh_tree(mask):
    old, fresh = list(range(len(mask))), [10 + k for k, taken in enumerate(mask) if taken]
    index = torch.tensor([k for k, taken in enumerate(mask) if taken], dtype=torch.int64)
    mixed = tree.put(outer(old, "old"), index, outer(fresh, "fresh")) if fresh else outer(old)
    assert same(mixed, outer([10 + k if taken else k for k, taken in enumerate(mask)]))
    assert not fresh or mixed.inner.note == "old"  # of what is static the first tree's stays


def test_put_changes_neither_tree():
    old, fresh = outer([1, 2]), outer([9])
    tree.put(old, torch.tensor([1]), fresh)
    assert same(old, outer([1, 2])) and same(fresh, outer([9]))


def test_reopened_asks_every_node_for_other_seeds():
    new = tree.reopened(outer([1, 2]), torch.tensor([3, 4]))
    assert new.world == Shared([3, 4]) and new.seeds.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("stray", "said"),
    [
        ([torch.zeros(2)], "past.1 is a list"),
        (0.5, "past.1 is a float"),
        ("word", "past.1 is a str"),
        ({"deep": (torch.zeros(1), {1, 2})}, "past.1.deep.1 is a set"),
        (Inner, "past.1 is a type"),
    ],
)
def test_what_is_no_tree_is_refused_by_its_name_wherever_it_stands(stray, said):
    """A stray part would be neither indexed nor saved: two markets would share it, and a loaded
    one would lack it.
    """
    state = dataclasses.replace(outer([1]), past=(Inner(torch.zeros(1)), stray))
    uses = {
        "leaves": tree.leaves,
        "rows": lambda t: tree.rows(t, torch.tensor([0])),
        "put": lambda t: tree.put(t, torch.tensor([0]), t),
        "size": tree.size,
    }
    for use in uses.values():
        with pytest.raises(TypeError, match=f"{said}, wanted a tensor, .*STATIC"):
            use(state)


@pytest.mark.parametrize("types", [{1: torch.zeros(1)}, {"a.b": torch.zeros(1)}])
def test_keys_that_could_name_another_tensor_are_refused(types):
    with pytest.raises(TypeError, match=r"types has the keys .*, wanted text without dots"):
        tree.leaves(dataclasses.replace(outer([1]), types=types))


def test_size_counts_the_bytes_of_all_tensors():
    # of two markets: int64 seeds, and seven float64 columns
    assert tree.size(outer([4, 5])) == 2 * 8 + 7 * 2 * 8


def test_copies_share_no_memory_and_what_holds_none_stays():
    old = outer([1, 2])
    new = tree.copied(old)
    assert same(old, new) and new.world is old.world and new.seconds is old.seconds
    for tensor in tree.leaves(new).values():
        tensor.add_(1)
    assert same(old, outer([1, 2]))
