"""States as trees of tensors: listing, replacing, choosing market by market."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core import tree


@dataclasses.dataclass(frozen=True)
class Inner:
    cash: torch.Tensor
    note: str = "kept"


@dataclasses.dataclass(frozen=True)
class Outer:
    seeds: torch.Tensor
    inner: Inner
    seconds: dict
    optimum: Any = None


def outer(seeds, cash, note="kept"):
    return Outer(torch.tensor(seeds), Inner(torch.tensor(cash), note), {"train": 1.0})


def test_leaves_have_dotted_names_and_leave_out_what_is_no_tensor():
    assert list(tree.leaves(outer([1, 2], [[1.0], [2.0]]))) == ["seeds", "inner.cash"]


def test_replaced_takes_tensors_by_name_and_keeps_the_rest():
    old = outer([1, 2], [[1.0], [2.0]])
    new = tree.replaced(old, {"seeds": torch.tensor([8, 9]), "inner.cash": torch.zeros(2, 1)})
    assert new.seeds.tolist() == [8, 9] and new.inner.cash.sum() == 0
    assert new.inner.note == "kept" and new.seconds == {"train": 1.0} and new.optimum is None
    assert old.seeds.tolist() == [1, 2]


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_where_takes_the_masked_markets_from_the_new_tree(mask):
    n = len(mask)
    new, old = outer([1] * n, [[1.0, 1.0]] * n, "new"), outer([0] * n, [[0.0, 0.0]] * n, "old")
    mixed = tree.where(torch.tensor(mask), new, old)
    assert mixed.seeds.tolist() == [int(m) for m in mask]
    assert mixed.inner.cash[:, 1].tolist() == [float(m) for m in mask]
    assert mixed.inner.note == "old"  # what is no tensor is the old tree's


def test_rows_copies_markets_in_the_order_of_the_index():
    picked = tree.rows(outer([4, 5], [[1.0], [2.0]]), torch.tensor([1, 0, 1]))
    assert picked.seeds.tolist() == [5, 4, 5] and picked.inner.cash[:, 0].tolist() == [2.0, 1.0, 2.0]
    assert picked.inner.note == "kept" and picked.seconds == {"train": 1.0}


def test_size_counts_the_bytes_of_all_tensors():
    assert tree.size(outer([4, 5], [[1.0], [2.0]])) == 2 * 8 + 2 * 4  # two int64 and two float32
