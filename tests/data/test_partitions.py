"""Who gets which rows: exact counts, disjointness, and the same deal alone and in a batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core.shards import Shards
from marketenv.data import PARTITIONS
from marketenv.data.gathering import gathered
from marketenv.data.partitions import balanced, by_group, class_imbalance, dirichlet, label_skew

KEYS = torch.tensor([3, 11, 12])
DISJOINT = [
    ("balanced", {}),
    ("class_imbalance", {}),
    ("class_imbalance", {"keep": 0.0}),
    ("dirichlet", {"alpha": 0.1}),
    ("dirichlet", {"alpha": 5.0, "min_size": 3, "max_size": 8}),
    ("label_skew", {"classes_per_agent": 1}),
    ("label_skew", {}),
    ("by_group", {}),
    ("by_group", {"max_size": 3}),
    ("class_blocks", {}),
    ("class_blocks", {"own": 0.5, "blocks": 2}),
]


def deal(name, labels, *arguments, **options):
    """Deal by the named partition; by owners that take turns, where it deals by group."""
    own = {"groups": torch.arange(len(labels)) % 4} if name == "by_group" else {}
    return PARTITIONS[name](labels, *arguments, **own, **options)


def labels_of(*counts):
    """Labels with these class counts, interleaved by a stride so that classes are not
    contiguous.
    """
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return labels[torch.arange(len(labels)) * 7 % len(labels)] if len(labels) % 7 else labels


def owned(index, size):
    """Rows of each agent as lists: [markets][agents]."""
    return [
        [row[:n].tolist() for row, n in zip(rows, sizes)]
        for rows, sizes in zip(index, size.tolist())
    ]


def class_counts(labels, index, size):
    """How many examples of each class each agent holds: [markets, agents, classes]."""
    n_classes = int(labels.max()) + 1
    held = torch.nn.functional.one_hot(labels[index], n_classes)
    return (held * Shards(labels[:, None].float(), labels, index, size).mask[..., None]).sum(-2)


# name -> (labels, n_agents, options, expected class counts of each agent, why)
WORKED = {
    # 10 rows for 3 agents: 4 + 3 + 3, the first takes what does not divide; classes fall at random,
    # so one class only
    "balanced": (labels_of(10), 3, {}, [[4], [3], [3]]),
    # Paper, section 6: A keeps 10 % of the first half of the classes, B of the second; with shared
    # rows each of the counts below is that share of the whole class: .1 * (40, 30) = (4, 3), and .1
    # * (20, 50) = (2, 5)
    "class_imbalance": (
        labels_of(40, 30, 20, 50),
        2,
        {"overlap": True},
        [[4, 3, 20, 50], [40, 30, 2, 5]],
    ),
    # alpha -> infinity makes every share exactly 1/n (the Dirichlet's variance (n-1)/(n^2 (n alpha
    # + 1)) vanishes). One row an agent is dealt first; here there is one class of 3 + 9 alike rows
    # beside an equal one, so totals are 8.
    "dirichlet": (labels_of(12, 12), 3, {"alpha": 1e6}, None),
    # 4 classes, 2 agents of 2 classes: every class has one holder, who gets all its 10 rows
    "label_skew": (labels_of(10, 10, 10, 10), 2, {}, None),
    # owners 4, 9, 2 hold 2, 5, 3 rows, one after another, of one class: the largest goes to agent
    # 0, the next to agent 1, and the third's 2 rows to nobody
    "by_group": (
        labels_of(10),
        2,
        {"groups": torch.tensor([4, 4, 9, 9, 9, 9, 9, 2, 2, 2])},
        [[5], [3]],
    ),
    # Paper: classes 0-3 at 24.25 % each, 4-6 at 32 %, 7-9 at 33 %. Of 2,800 rows that is 679, 896
    # and 924 of each; the rest is 3 % / 6, 4 % / 7 and 1 % / 7 of 2,800: 14, 16 and 4 of each.
    # Classes 7-9 need most: 14 + 16 + 924 = 954, which there are, so nobody can have more than
    # 2,800.
    "class_blocks": (
        labels_of(*[954] * 10),
        3,
        {"own": (0.97, 0.96, 0.99)},
        [[679] * 4 + [14] * 6, [16] * 4 + [896] * 3 + [16] * 3, [4] * 7 + [924] * 3],
    ),
}


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_partition_has_a_worked_example(name):
    labels, n_agents, options, expected = WORKED[name]
    index, size = PARTITIONS[name](labels, torch.arange(len(labels)), n_agents, KEYS, **options)
    counts = class_counts(labels, index, size)
    if name == "dirichlet":
        assert counts.sum(-1).tolist() == [[8, 8, 8]] * 3
    elif name == "label_skew":
        assert counts.sort(-1).values.tolist() == [[[0, 0, 10, 10]] * 2] * 3
        assert counts.sum(1).tolist() == [[10] * 4] * 3
    else:
        assert counts.tolist() == [expected] * 3


def test_class_imbalance_without_overlap_deals_each_class_first():
    # 41 rows of each of 4 classes for 2 agents: the deal gives agent 0 21 and agent 1 20 of each
    # class. keep .1: agent 0 holds floor(2.1 + .5) = 2 of classes 0, 1 and all 21 of 2, 3; agent 1
    # all 20 and floor(2.5) = 2.
    labels = labels_of(41, 41, 41, 41)
    index, size = class_imbalance(labels, torch.arange(164), 2, KEYS)
    assert class_counts(labels, index, size).tolist() == [[[2, 2, 21, 21], [20, 20, 2, 2]]] * 3


def test_class_imbalance_with_three_classes_and_agents():
    # C // 2 = 1: class 0 is the first half. 30 rows a class, 10 an agent; agents 0 and 2 are even,
    # agent 1 is odd.
    labels = labels_of(30, 30, 30)
    index, size = class_imbalance(labels, torch.arange(90), 3, KEYS, keep=0.2)
    assert class_counts(labels, index, size)[0].tolist() == [[2, 10, 10], [10, 2, 2], [2, 10, 10]]


def test_overlapping_agents_draw_apart_from_all_rows():
    labels = labels_of(100, 100)
    index, size = class_imbalance(labels, torch.arange(200), 4, KEYS, overlap=True)
    first, _, third, _ = (set(rows) for rows in owned(index, size)[0])
    assert len(first) == len(third) == 110  # no row twice in one agent
    # both hold all 100 rows of class 1 and each 10 of 100 of class 0, drawn apart: they share all
    # of the former, and P(at least 9 of 10 in common) is below 1e-9 (hypergeometric)
    assert 100 <= len(first & third) < 109


def test_label_skew_holders_and_equal_dealing():
    # 3 agents of 2 classes among 3: 6 seats, 2 holders a class, 9 rows a class are dealt 5 and 4
    labels = labels_of(9, 9, 9)
    index, size = label_skew(labels, torch.arange(27), 3, torch.arange(20))
    counts = class_counts(labels, index, size)
    assert ((counts > 0).sum(-1) == 2).all() and (counts.sum(1) == 9).all()
    assert counts.sort(1).values.tolist() == [[[0] * 3, [4] * 3, [5] * 3]] * 20


def test_label_skew_leaves_classes_without_a_holder_to_nobody():
    # 2 agents of one class each, of 5 classes: 2 classes of 8 rows are dealt out whole
    labels = labels_of(8, 8, 8, 8, 8)
    _, size = label_skew(labels, torch.arange(40), 2, KEYS, classes_per_agent=1)
    assert size.tolist() == [[8, 8]] * 3


def test_label_skew_changes_who_meets_whom():
    labels = labels_of(*[10] * 10)
    counts = class_counts(labels, *label_skew(labels, torch.arange(100), 10, torch.arange(30))) > 0
    twins = (counts[:, 0] == counts[:, 5]).all(-1)
    # two agents with the same pair of classes are not always the same two
    assert 0 < twins.sum() < 30


def test_dirichlet_shares_have_the_mean_and_variance_of_the_distribution():
    # One agent's share of a class: mean 1/n = 1/3, variance (n-1)/(n^2 (n alpha + 1)) = 2/(9 * 2.5)
    # = .08889 at alpha .5. 3,000 markets: standard error of the mean sqrt(.08889/3000) = .0054,
    # four of them .022. Shares lie in [0, 1], so the squared deviation is at most (2/3)^2 and its
    # mean has a standard error below .111/sqrt(3000) = .002 at most; rounding to 1/200 and the
    # minimum of one row (3 of 400 rows are dealt alike) change the variance by less than 2 %: .010
    # in all.
    labels = labels_of(200, 200)
    index, size = dirichlet(labels, torch.arange(400), 3, torch.arange(3000), alpha=0.5)
    share = class_counts(labels, index, size) / 200.0
    assert (share.mean(0) - 1 / 3).abs().max() < 0.022
    assert (share.var(0) - 0.08889).abs().max() < 0.010
    # classes apart: 4/sqrt(3000)
    assert abs(float(torch.corrcoef(torch.stack([share[:, 0, 0], share[:, 0, 1]]))[0, 1])) < 0.075


@pytest.mark.parametrize("alpha", [1e-3, 0.05, 1.0, 1e6])
def test_dirichlet_deals_every_row_at_any_alpha(alpha):
    labels = labels_of(20, 31, 4)
    index, size = dirichlet(labels, torch.arange(55), 4, torch.arange(50), alpha=alpha, min_size=2)
    assert (size.sum(-1) == 55).all() and (size >= 2).all()
    assert (class_counts(labels, index, size).sum(1) == torch.tensor([20, 31, 4])).all()


def test_dirichlet_minimum_may_use_all_rows():
    # 12 rows, 4 agents, 3 each: nothing is left to split
    assert (
        dirichlet(labels_of(6, 6), torch.arange(12), 4, KEYS, min_size=3)[1].tolist()
        == [[3] * 4] * 3
    )


def test_dirichlet_maximum_cuts_and_narrows():
    labels = labels_of(50, 50)
    index, size = dirichlet(labels, torch.arange(100), 2, torch.arange(40), alpha=0.1, max_size=30)
    assert index.shape == (40, 2, 30) and int(size.max()) == 30 and int(size.sum(-1).min()) >= 31


@pytest.mark.parametrize(("name", "options"), DISJOINT)
@settings(max_examples=15)
@given(
    counts=st.lists(st.integers(12, 30), min_size=2, max_size=5),
    n_agents=st.integers(1, 4),
    seed=st.integers(-(2**62), 2**62),
    left_out=st.integers(0, 3),
)
def test_dealt_rows_are_available_and_no_two_agents_share_one(
    name, options, counts, n_agents, seed, left_out
):
    labels = labels_of(*counts)
    rows = torch.arange(left_out, len(labels)).flip(0)
    keys = torch.tensor([seed, seed + 1])
    index, size = deal(name, labels, rows, n_agents, keys, **options)
    assert (
        index.shape[:2] == size.shape == (2, n_agents)
        and int(size.min()) >= 1
        and int(size.max()) <= index.shape[2]
    )
    for agents in owned(index, size):
        dealt = [row for rows_of_one in agents for row in rows_of_one]
        assert len(set(dealt)) == len(dealt) and set(dealt) <= set(rows.tolist())


@pytest.mark.parametrize(("name", "options"), [*DISJOINT, ("class_imbalance", {"overlap": True})])
def test_batch_equals_singles_and_markets_differ(name, options):
    labels = labels_of(24, 24, 24, 24)
    rows, keys = torch.arange(96), torch.arange(6) * 1000
    index, size = deal(name, labels, rows, 3, keys, **options)
    for market, key in enumerate(keys):
        alone, alone_size = deal(name, labels, rows, 3, key[None], **options)
        # widths agree too
        assert torch.equal(alone[0], index[market]) and torch.equal(alone_size[0], size[market])
    assert len({str(market) for market in owned(index, size)}) == 6
    again = deal(name, labels, rows, 3, keys, **options)
    assert torch.equal(again[0], index) and torch.equal(again[1], size)


@pytest.mark.parametrize(("name", "options"), [*DISJOINT, ("class_imbalance", {"overlap": True})])
def test_padding_repeats_a_row_of_the_same_agent(name, options):
    index, size = deal(name, labels_of(25, 23, 27, 22), torch.arange(97), 3, KEYS, **options)
    for rows, n in zip(index.flatten(0, 1).tolist(), size.flatten().tolist()):
        assert set(rows[n:]) <= set(rows[:n])


def test_an_agents_rows_come_in_random_order():
    # the first half of an agent's rows should hold either class at random; sorted rows would hold
    # only one
    labels = labels_of(200, 200)
    index, _ = balanced(labels, torch.arange(400), 2, KEYS)
    half = labels[index[..., :100]].float().mean(-1)
    assert ((half - 0.5).abs() < 0.2).all()  # 4 standard deviations of a mean of 100 coin throws


@pytest.mark.parametrize(("name", "options"), DISJOINT)
def test_many_agents_are_dealt_as_few_are(name, options, monkeypatch):
    labels = labels_of(20, 24)
    few = deal(name, labels, torch.arange(44), 3, KEYS, **options)
    monkeypatch.setattr("marketenv.data.gathering.MOST_GROUPS", 1)
    many = deal(name, labels, torch.arange(44), 3, KEYS, **options)
    assert all(torch.equal(*pair) for pair in zip(few, many, strict=True))


def test_owners_too_many_for_a_sort_by_one_number_get_their_own_rows():
    own = torch.arange(2**15 + 2)[None]
    assert torch.equal(gathered(own, own, own.shape[1], 1, KEYS[:1])[0][..., 0], own)


def test_groups_are_ranked_by_available_rows_and_never_mixed():
    # owner 0 has 4 rows of which 1 is available, owners 1 and 2 have 3 and 3: 1 before 2 by number,
    # 0 last; -1 is nobody
    groups = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, -1, -1, -1, -1])
    rows = torch.tensor([13, 12, 11, 10, 8, 7, 5, 4, 2, 1, 0])
    index, size = by_group(torch.zeros(14).long(), rows, 3, KEYS, groups=groups)
    assert size.tolist() == [[3, 3, 1]] * 3 and index.shape == (3, 3, 3)
    assert [[sorted(rows) for rows in agents] for agents in owned(index, size)] == [
        [[1, 4, 7], [2, 5, 8], [0]]
    ] * 3
    few, cut = by_group(
        torch.zeros(14).long(), rows, 2, torch.arange(40), groups=groups, max_size=2
    )
    assert few.shape == (40, 2, 2) and cut.unique().tolist() == [2]
    # a cut keeps any of them: P(one never in 40) = 3 / 3^40
    assert set(few[:, 0].flatten().tolist()) == {1, 4, 7}


@pytest.mark.parametrize(
    ("name", "n_agents", "options", "message"),
    [
        ("balanced", 9, {}, "agent 8 of market 0 would get no example: 8 rows for 9 agents"),
        ("class_imbalance", 2, {"keep": 1.5}, r"keep is 1.5, wanted a finite number >= 0 and <= 1"),
        ("class_imbalance", 2, {"keep": float("nan")}, "keep is nan"),
        ("dirichlet", 2, {"alpha": 0.0}, "alpha is 0.0"),
        (
            "dirichlet",
            2,
            {"min_size": 0},
            "min_size is 0, wanted a whole number from 1 to 4: 8 rows for 2 agents",
        ),
        ("dirichlet", 2, {"min_size": 5}, "min_size is 5, wanted a whole number from 1 to 4"),
        (
            "dirichlet",
            2,
            {"min_size": 3, "max_size": 2},
            "max_size is 2, wanted a whole number >= 3, which is min_size",
        ),
        (
            "label_skew",
            2,
            {"classes_per_agent": 3},
            "classes_per_agent is 3, wanted a whole number from 1 to 2, the number of classes",
        ),
        ("label_skew", 9, {"classes_per_agent": 1}, "would get no example"),
        ("by_group", 3, {"groups": torch.arange(8) % 2}, "rows are of 2 groups, wanted at least 3"),
        ("by_group", 2, {"groups": torch.arange(8) % 2, "max_size": 0}, "max_size is 0"),
    ],
)
def test_bad_options_are_refused(name, n_agents, options, message):
    with pytest.raises(ValueError, match=message):
        PARTITIONS[name](labels_of(4, 4), torch.arange(8), n_agents, KEYS, **options)


@pytest.mark.parametrize("name", ["class_imbalance", "dirichlet", "label_skew", "class_blocks"])
def test_partitions_by_class_refuse_a_single_class(name):
    with pytest.raises(ValueError, match="for a regression use partition 'balanced'"):
        PARTITIONS[name](torch.zeros(8).long(), torch.arange(8), 2, KEYS)


def test_a_lone_agent_with_one_class_gets_each_class_equally_often():
    """Classes are taken in random order: of 4 classes and 400 markets 100 each, give or take
    four times sqrt(400 * 3/16) = 35.
    """
    labels = torch.arange(40) % 4
    index, _ = label_skew(labels, torch.arange(40), 1, torch.arange(400), classes_per_agent=1)
    counts = labels[index[:, 0, 0]].bincount(minlength=4)
    assert counts.sum() == 400 and bool(((counts - 100).abs() < 35).all())


def test_kept_counts_are_rounded_to_the_nearest():
    """.1 of 17 rows is 1.7, so 2 are kept; of 14 it is 1.4, so 1 is."""
    labels = labels_of(17, 14)
    _, size = class_imbalance(labels, torch.arange(31), 2, KEYS, overlap=True)
    assert size.tolist() == [[2 + 14, 17 + 1]] * 3


def test_a_class_of_one_row_goes_to_either_agent():
    """A border at .7 of a row is nearer to 1 than to 0: of 200 markets of 38 such rows half go to
    each of two agents.

    One row each is dealt first, and 40 classes of one row leave 38: mean 20 each, deviation sqrt(38
    / 4 / 200) = .22.
    """
    _, size = dirichlet(torch.arange(40), torch.arange(40), 2, torch.arange(200), alpha=1.0)
    assert size.double().mean(0).tolist() == pytest.approx([20, 20], abs=0.9)
