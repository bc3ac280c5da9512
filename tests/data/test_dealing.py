"""Partitions of one's own: what they deal is checked wherever they are called, and they draw
from their keys alone.
"""

import numpy as np
import pytest
import torch

from marketenv import make_market, make_parallel
from marketenv.core import draws
from marketenv.data import PARTITIONS, Dataset, from_arrays, make_source
from marketenv.data.dealing import checked

SEEDS = torch.tensor([5, 0])


def toy(official=4):
    """Rows 0..19 and an official test part 20..23 of two classes."""
    x = torch.arange(20.0 + official)[:, None]
    y = torch.arange(20 + official) % 2
    return Dataset("toy", x[:20], y[:20], 2, x[20:], y[20:])


def mine(change):
    """A partition that deals as "balanced" does, and then changes (index, size); it knows the
    row numbers of the toy.
    """

    def mine(labels, rows, n_agents, keys):
        index, size = PARTITIONS["balanced"](labels, rows, n_agents, keys)
        return change(index.clone(), size.clone(), rows)

    return mine


def put(row, place):
    def change(index, size, rows):
        index[place] = row
        return index, size

    return change


# 16 training rows of 0..19, 4 for validation, 20..23 for the test
SPLIT = make_source(toy(), "balanced", 2).split
VALIDATION = int(SPLIT.validation[1])
WRONG = {
    "every row of the pool": (
        lambda index, size, rows: (
            torch.arange(24).expand(*size.shape, 24),
            torch.full_like(size, 24),
        ),
        (
            f"agent 0 of market 0 row {int(SPLIT.validation[0])}, which is a validation row, wanted"
            " training rows"
        ),
    ),
    "a validation row": (
        put(VALIDATION, (0, 1, 3)),
        f"agent 1 of market 0 row {VALIDATION}, which is a validation row",
    ),
    "a test row": (put(21, (0, 0, 7)), "agent 0 of market 0 row 21, which is a test row"),
    "a row too large": (put(24, (0, 0, 0)), "row 24 of a pool of 24"),
    "a row below 0, which torch would count from the end": (
        put(-1, (0, 1, 0)),
        "row -1 of a pool of 24",
    ),
    "padding outside the pool": (
        lambda index, size, rows: (torch.nn.functional.pad(index, (0, 1), value=-1), size),
        "row -1 of a pool of 24",
    ),
    "a row twice": (
        lambda index, size, rows: (index[..., :1].expand(-1, -1, 8), size),
        r"row \d+ twice",
    ),
    "nothing for an agent": (
        lambda index, size, rows: (index, size * torch.tensor([1, 0])),
        "agent 1 of market 0 0 rows",
    ),
    "more than there is": (lambda index, size, rows: (index, size + 1), r"9 rows, wanted 1\.\.8"),
    "other integers": (
        lambda index, size, rows: (index.int(), size),
        r"torch\.int32 \[1, 2, 8\].*wanted torch\.int64 row numbers",
    ),
    "floats": (lambda index, size, rows: (index, size.float()), r"torch\.float32 \[1, 2\]"),
    "arrays": (lambda index, size, rows: (index.numpy(), size), "returned ndarray"),
    "one tensor": (
        lambda index, size, rows: index,
        r"returned torch\.int64 \[1, 2, 8\] on cpu, wanted",
    ),
    "no market axis": (lambda index, size, rows: (index[0], size[0]), r"torch\.int64 \[2, 8\]"),
    "one agent for all": (
        lambda index, size, rows: (index[:, :1], size),
        r"torch\.int64 \[1, 1, 8\]",
    ),
    "nobody's rows": (
        lambda index, size, rows: (index[..., :0], size),
        r"torch\.int64 \[1, 2, 0\].*width >= 1",
    ),
    "another device": (
        lambda index, size, rows: (index.to("meta"), size),
        r"\[1, 2, 8\] on meta.*for 1 markets and 2 agents, on cpu",
    ),
    "sizes of no agents": (lambda index, size, rows: (index, size[:, 0]), r"torch\.int64 \[1\]"),
    "torch's generator": (
        lambda index, size, rows: (index + 0 * torch.randint(2, (1,)), size),
        "partition 'mine' draws from torch's generator",
    ),
    "NumPy's generator": (
        lambda index, size, rows: (index + 0 * int(np.random.randint(2)), size),
        "draws from NumPy's random, so equal seeds would give other numbers",
    ),
}


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG)
def test_a_partition_that_deals_wrongly_is_refused_where_it_is_named(change, message):
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        make_source(toy(), mine(change), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["parameter_trading_v0", "model_sharing_v0"])
@pytest.mark.parametrize("data", ["digits", "breast_cancer"])
def test_every_market_refuses_it(name, data):
    def everything(labels, rows, n_agents, keys):
        return torch.arange(len(labels)).expand(len(keys), n_agents, -1), torch.full(
            (len(keys), n_agents), len(labels)
        )

    with pytest.raises(
        ValueError,
        match=(
            r"partition 'everything' gave agent 0 of market 0 row \d+, which is a (test|validation)"
        ),
    ):
        make_market(name, n_agents=2, data=data, partition=everything)


def test_what_goes_wrong_for_some_keys_is_seen_when_it_is_dealt():
    wrong = int(draws.fold(torch.tensor(9), "partition"))  # of the market with seed 9

    def odd(labels, rows, n_agents, keys):
        index, size = PARTITIONS["balanced"](labels, rows, n_agents, keys)
        return torch.where((keys == wrong)[:, None, None], 20, index), size

    source = make_source(toy(), odd, 2)
    assert source.federation(SEEDS).train.size.tolist() == [[8, 8], [8, 8]]
    with pytest.raises(
        ValueError, match="partition 'odd' gave agent 0 of market 1 row 20, which is a test row"
    ):
        source.federation(torch.tensor([5, 9]))


def test_a_drifting_market_checks_the_later_partition_too():
    later = int(draws.fold(draws.fold(torch.tensor(7), "later"), "partition"))

    def drifts(labels, rows, n_agents, keys):
        index, size = PARTITIONS["balanced"](labels, rows, n_agents, keys)
        return torch.where((keys == later)[:, None, None], index[..., :1], index), size

    env = make_parallel(
        "model_sharing_v0", n_agents=3, max_cycles=2, data_drift=0.5, partition=drifts
    )
    env.reset(seed=6)
    with pytest.raises(
        ValueError, match=r"partition 'drifts' gave agent 0 of market 0 row .* twice"
    ):
        env.reset(seed=7)


@pytest.mark.parametrize("options", [{}, {"overlap": True}], ids=["apart", "shared rows"])
def test_a_right_one_passes_and_agents_may_share_rows(options):
    def named_otherwise(labels, rows, n_agents, keys, *, overlap=False):
        return PARTITIONS["class_imbalance"](labels, rows, n_agents, keys, overlap=overlap)

    fed = make_source(toy(), named_otherwise, 2, **options).federation(SEEDS)
    known = make_source(toy(), "class_imbalance", 2, **options).federation(SEEDS)
    assert torch.equal(fed.train.index, known.train.index) and torch.equal(
        fed.train.size, known.train.size
    )


def test_rows_that_max_examples_leaves_out_are_named():
    data = from_arrays(np.arange(40.0)[:, None], np.arange(40) % 2)
    source = make_source(data, "balanced", 2, max_examples=20)
    held = torch.cat([source.split.train, source.split.validation, source.split.test])
    left_out = next(row for row in range(40) if row not in held.tolist())
    with pytest.raises(ValueError, match=f"row {left_out}, which was left out by max_examples"):
        make_source(data, mine(put(left_out, (0, 0, 0))), 2, max_examples=20)


@pytest.mark.parametrize("name", PARTITIONS)
def test_the_partitions_of_the_table_pass(name):
    x, y = np.arange(60.0)[:, None], np.arange(60) % 2
    split = make_source(from_arrays(x, y, groups=np.arange(60) % 3), name, 3).split
    options = {"groups": split.groups} if name == "by_group" else {}
    dealt = PARTITIONS[name](split.labels, split.train, 3, torch.arange(20), **options)
    assert checked(dealt, split, 20, 3, name) == dealt


def test_a_partition_that_edits_the_rows_it_was_given_deals_no_others():
    """Else row numbers written over those of the split would make validation rows look like
    training rows.
    """

    def greedy(labels, rows, n_agents, keys):
        rows.copy_(torch.arange(len(rows)))
        labels.zero_()
        return PARTITIONS["balanced"](labels, rows, n_agents, keys)

    with pytest.raises(ValueError, match="which is a validation row"):
        make_source(toy(), greedy, 2)
    assert torch.equal(make_source(toy(), "balanced", 2).split.train, SPLIT.train)
