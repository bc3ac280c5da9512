"""Sellers of blocks of classes: the paper's three, more of them than classes, and a thousand on
a small set.
"""

import pytest
import torch

from marketenv.data import make_source
from marketenv.data.class_blocks import class_blocks

KEYS = torch.tensor([3, 11, 12])


def labels_of(*counts):
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def class_counts(labels, index, size):
    """How many examples of each class each agent holds: [markets, agents, classes]."""
    held = torch.nn.functional.one_hot(labels[index], int(labels.max()) + 1)
    return (held * (torch.arange(index.shape[-1]) < size[..., None])[..., None]).sum(-2)


def test_blocks_are_contiguous_and_agents_take_them_in_turn():
    # 5 classes in 2 blocks: 3 + 2. own 1: agents 0 and 2 share classes 0-2, 1/3 each; agents 1 and
    # 3 classes 3-4, 1/2 each. A class of the second block is wanted by 2 * 1/2 = 1 of a size, so
    # its 12 rows allow a size of 12; then 4 + 4 of the 12 rows of classes 0-2 are dealt out, and 6
    # + 6 of the others
    labels = labels_of(*[12] * 5)
    counts = class_counts(
        labels, *class_blocks(labels, torch.arange(60), 4, KEYS, own=1.0, blocks=2)
    )
    assert counts.tolist() == [[[4, 4, 4, 0, 0], [0, 0, 0, 6, 6]] * 2] * 3


def test_a_size_is_what_every_agent_holds_where_they_overlap():
    # own .5 of 8 rows is 4 of the 2 classes of the block: 2 each; the other 4 rows are 2 of each
    # other class
    labels = labels_of(*[8] * 4)
    index, size = class_blocks(
        labels, torch.arange(32), 5, KEYS, own=0.5, blocks=2, size=8, overlap=True
    )
    assert index.shape == (3, 5, 8) and size.unique().tolist() == [8]
    assert class_counts(labels, index, size).unique().tolist() == [2]
    own = [[set(rows) for rows in market] for market in index.tolist()]
    assert all(len(rows) == 8 for market in own for rows in market)  # none twice in one agent
    assert any(market[0] & market[2] for market in own) and any(
        market[0] != market[2] for market in own
    )


def test_what_is_no_whole_row_is_right_on_average():
    # own .5: a quarter of the size of each of 4 classes, for both agents. Of a size of 6 that is
    # 1.5, rounded either way: a deviation of .5, over 2,000 markets .0112, four of them .045
    labels = labels_of(*[30] * 4)
    for options in ({"overlap": True}, {}):
        counts = class_counts(
            labels,
            *class_blocks(
                labels, torch.arange(120), 2, torch.arange(2000), own=0.5, size=6, **options
            ),
        )
        assert counts.unique().tolist() == [1, 2]
        assert float((counts.double().mean(0) - 1.5).abs().max()) < 0.045
    # of a size of 3 it is .75, which is 0 or 1: a deviation of sqrt(3/16) = .433, four of the
    # mean's are .039
    few = class_blocks(
        labels, torch.arange(120), 2, torch.arange(2000), own=0.5, size=3, overlap=True
    )
    counts = class_counts(labels, *few)
    assert few[1].unique().tolist() == [3] and counts.unique().tolist() == [0, 1]
    assert float((counts.double().mean(0) - 0.75).abs().max()) < 0.039


def test_a_thousand_sellers_of_twenty_rows_on_digits():
    options = {"own": 0.97, "blocks": 3, "size": 20, "overlap": True}
    source = make_source("digits", "class_blocks", 1000, **options)
    train = source.federation(torch.tensor([4])).train
    assert train.index.shape == (1, 1000, 20) and train.size.unique().tolist() == [20]
    rows = train.index[0]
    assert bool((rows.sort(-1).values.diff(dim=-1) > 0).all())  # no row twice in one seller
    # of 1,079 training rows nearly all are held
    assert torch.isin(rows, source.split.train).all() and len(rows.unique()) > 1000
    block = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])[train.y[rows]]
    own = (block == torch.arange(1000)[:, None] % 3).sum(-1)
    assert own.min() >= 18 and own.max() <= 20  # 19.4, whose two borders are rounded
    # the mean of 1,000 numbers within 1 of 19.4 has a deviation below 1 / sqrt(1000) = .032; four
    # of them are .127
    assert abs(float(own.double().mean()) - 19.4) < 0.127
    alone = source.federation(torch.tensor([9, 4])).train
    assert torch.equal(alone.index[1], rows)


def test_chunks_change_no_row(monkeypatch):
    labels, rows = labels_of(*[8] * 4), torch.arange(32)
    options = {"own": 0.6, "size": 7, "overlap": True}
    whole = class_blocks(labels, rows, 5, KEYS, **options)
    monkeypatch.setattr("marketenv.data.gathering.CHUNK", 64)  # two agents at a time
    parts = class_blocks(labels, rows, 5, KEYS, **options)
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("n_agents", "options", "message"),
    [
        (2, {"own": 1.5}, "own is 1.5, wanted a finite number >= 0 and <= 1"),
        (
            2,
            {"own": (0.5, 0.5, 0.5)},
            (
                r"own is \(0.5, 0.5, 0.5\), wanted a tuple of 2 numbers from 0 to 1, one for each"
                r" agent"
            ),
        ),
        (2, {"own": float("nan")}, "own is nan"),
        (2, {"blocks": 1}, "blocks is 1, wanted a whole number from 2 to 4, the number of classes"),
        (2, {"blocks": 5}, "blocks is 5, wanted a whole number from 2 to 4"),
        (2, {"overlap": 1}, "overlap is 1, wanted True or False"),
        # own 1: each of two agents wants half its size of each of two classes of 10 rows: 20
        (
            2,
            {"own": 1.0, "size": 21},
            "size is 21, wanted a whole number from 1 to 20, the most .* with overlap=True",
        ),
        (
            4,
            {"own": 1.0, "size": 21, "overlap": True},
            "size is 21, wanted a whole number from 1 to 10, the most that every class",
        ),
        # 10 rows of each class for 15 agents each: less than 1
        (
            60,
            {"own": 1.0},
            (
                r"40 training rows give each of 60 owners \(a market's n_agents or n_sellers\) less"
                r" than one; wanted fewer owners"
            ),
        ),
        # .5 of each of two classes of one row in all may be none
        (
            2,
            {"own": 1.0, "size": 1},
            (
                "2 owners .* of 1 rows each may be left with none, as the rows of each class are"
                " rounded"
            ),
        ),
    ],
)
def test_bad_options_are_refused(n_agents, options, message):
    with pytest.raises(ValueError, match=message):
        class_blocks(labels_of(10, 10, 10, 10), torch.arange(40), n_agents, KEYS, **options)
