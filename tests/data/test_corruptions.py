"""Sources of bad data: every corruption of the table, what stays clean, and the same rows alone
and in a batch.
"""

import numpy as np
import pytest
import torch

from marketenv.core.shards import Shards
from marketenv.data import (
    CORRUPTIONS,
    CorruptedSource,
    Federation,
    Source,
    SyntheticLinear,
    from_arrays,
    make_source,
)

SEEDS = torch.tensor([5, 0, 1])
CASES = [(name, kind) for name, rule in CORRUPTIONS.items() for kind in rule.kinds or (None,)]
RATE = (0.0, 0.2, 0.5)


def options_of(kind, rate=RATE):
    return {"rate": rate} | ({} if kind is None else {"kind": kind})


def bad(name, kind=None, rate=RATE, data="digits", partition="dirichlet", **options):
    return make_source(
        data, partition, 3, corruption=name, corruption_options=options_of(kind, rate), **options
    )


def held(federation, market, agent):
    """What one agent owns: features, labels, and which of these it knows."""
    shards, n = federation.train, int(federation.train.size[market, agent])
    rows = shards.index[market, agent, :n]
    known = (
        torch.ones(n, dtype=torch.bool)
        if federation.labelled is None
        else federation.labelled[market, agent, :n]
    )
    return shards.x[rows], shards.y[rows], known


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- by hand --------------------------------------------------------------------------------------

# 8 rows of two classes and one feature for two agents; 4 validation rows of features 0, 0, 2, 2:
# mean 1, deviation 1
HAND_X = torch.tensor([[10.0]] * 8 + [[0.0], [0.0], [2.0], [2.0]] + [[7.0]] * 2)
HAND_Y = torch.tensor([0, 1] * 7)


class Hand:
    """A source of one's own, worked by hand: agent 0 owns rows 0, 1, 2 and agent 1 rows 3, 4,
    5, 6, 7.
    """

    n_agents, feature_shape, n_outputs, task = 2, (1,), 2, "classification"

    def federation(self, seeds):
        index = torch.tensor([[0, 1, 2, 0, 0, 0], [3, 4, 5, 6, 7, 3]]).repeat(len(seeds), 1, 1)
        train = Shards(HAND_X, HAND_Y, index, torch.tensor([[3, 5]]).repeat(len(seeds), 1))
        judge = Shards(HAND_X, HAND_Y, torch.tensor([[8, 9, 10, 11]]), torch.tensor([4]))
        return Federation(
            train, judge, Shards(HAND_X, HAND_Y, torch.tensor([[12, 13]]), torch.tensor([2]))
        )

    def to(self, device):
        return self


# name -> (options, features of agent 1, its labels, how many of these it knows); agent 0 has a rate
# of 0
WORKED = {
    # at rate 1 of two classes every label is the other one: 1, 0, 1, 0, 1 become 0, 1, 0, 1, 0
    "mislabeled": ({"rate": (0.0, 1.0)}, [10.0] * 5, [0, 1, 0, 1, 0], 5),
    # round(.5 * 5) = round(2.5) = 2, to the even number: 3 labels are known
    "unlabeled": ({"rate": (0.0, 0.5)}, [10.0] * 5, [1, 0, 1, 0, 1], 3),
    # half the deviation of the one feature among the broker's examples, 1: brighter by .5
    "covariate_shift": ({"rate": (0.0, 0.5)}, [10.5] * 5, [1, 0, 1, 0, 1], 5),
    # a millionth of a deviation is less than float32 can add to 10; what noise is otherwise is said
    # by its size below
    "feature_noise": ({"rate": (0.0, 1e-9)}, [10.0] * 5, [1, 0, 1, 0, 1], 5),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_has_a_worked_example(name):
    options, features, labels, known = WORKED[name]
    clean = Hand().federation(SEEDS)
    source = CorruptedSource(source=Hand(), corruption=name, options=options)
    federation = source.federation(SEEDS)
    for market in range(len(SEEDS)):
        x, y, knows = held(federation, market, 1)
        assert x[:, 0].tolist() == features and y.tolist() == labels and int(knows.sum()) == known
        assert same(held(federation, market, 0), held(clean, market, 0))
    assert federation.train.size.tolist() == [[3, 5]] * 3 and federation.train.index.shape == (
        3,
        2,
        6,
    )


def test_noise_is_measured_among_the_brokers_examples():
    # their deviation is 1 while the training rows have none at all; 1,000 markets x 5 rows at rate
    # .5: within 4 / sqrt(10,000)
    source = CorruptedSource(
        source=Hand(), corruption="feature_noise", options={"rate": (0.0, 0.5)}
    )
    x, _, mask = source.federation(torch.arange(1000)).train.padded()
    assert float(x[:, 1][mask[:, 1]].std()) == pytest.approx(0.5, rel=0.04)
    assert x[:, 0].unique().tolist() == [10.0]


# --- of every corruption --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_it_is_a_source_whose_clean_parts_are_untouched(name, kind):
    source = bad(name, kind)
    assert isinstance(source, Source) and isinstance(source, CorruptedSource)
    assert (source.n_agents, source.feature_shape, source.n_outputs, source.task) == (
        3,
        (64,),
        10,
        "classification",
    )
    federation, clean = source.federation(SEEDS), source.source.federation(SEEDS)
    for part in ("validation", "test"):
        assert (
            getattr(federation, part).x is source.source.split.x
            and getattr(federation, part).y is source.source.split.y
        )
        assert torch.equal(getattr(federation, part).index, getattr(clean, part).index)
    # nothing was written into it
    assert torch.equal(source.source.split.y, make_source("digits", "dirichlet", 3).split.y)
    assert torch.equal(source.source.split.x, make_source("digits", "dirichlet", 3).split.x)
    assert (
        torch.equal(federation.train.size, clean.train.size)
        and federation.train.index.shape == clean.train.index.shape
    )
    for market in range(3):
        assert same(held(federation, market, 0), held(clean, market, 0))  # a rate of 0
        assert not same(held(federation, market, 2), held(clean, market, 2))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_market_alone_gets_what_it_gets_in_a_batch(name, kind):
    source = bad(name, kind)
    together, again = source.federation(SEEDS), source.federation(SEEDS)
    for market, seed in enumerate(SEEDS):
        alone = source.federation(seed[None])
        for agent in range(3):
            rows = held(together, market, agent)
            assert same(rows, held(alone, 0, agent)) and same(rows, held(again, market, agent))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_padding_shows_an_agents_own_rows_as_they_are_now(name, kind):
    federation = bad(name, kind).federation(SEEDS)
    shards = federation.train
    for rows, n in zip(
        shards.index.flatten(0, 1).tolist(), shards.size.flatten().tolist(), strict=True
    ):
        assert set(rows[n:]) <= set(rows[:n])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_where_nothing_is_bad_nothing_is_copied(name, kind):
    source = bad(name, kind, rate=0)
    federation = source.federation(SEEDS)
    assert (
        federation.train.x is source.source.split.x and federation.train.y is source.source.split.y
    )
    assert torch.equal(federation.train.index, source.source.federation(SEEDS).train.index)
    assert federation.supervised.size.tolist() == federation.train.size.tolist()


def test_only_rows_that_changed_are_copied():
    source = bad("mislabeled", rate=(0, 0, 0.1), partition="balanced")
    federation, clean = source.federation(SEEDS), source.source.federation(SEEDS)
    wrong = (
        federation.train.y[federation.train.index] != clean.train.y[clean.train.index]
    ) & clean.train.mask
    assert len(federation.train.x) == len(source.source.split.x) + int(wrong.sum())
    mask = clean.train.mask
    assert torch.equal(
        federation.train.x[federation.train.index][mask], clean.train.x[clean.train.index][mask]
    )


# --- rates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CORRUPTIONS["mislabeled"].kinds)
def test_wrong_labels_come_as_often_as_each_agents_rate_says(kind):
    # 60 markets of about 360 rows an agent: 21,600 labels, of which .2 and .5 are wrong with a
    # deviation of .0027 and .0034
    source = bad("mislabeled", kind, partition="balanced")
    seeds = torch.arange(60)
    before, after = source.source.federation(seeds).train, source.federation(seeds).train
    step = (after.y[after.index] - before.y[before.index]) % 10
    wrong = ((step != 0) & before.mask).sum((0, 2)) / before.size.sum(0)
    assert wrong.tolist() == pytest.approx([0.0, 0.2, 0.5], abs=4 * 0.0034)
    assert len(step[(step != 0) & before.mask].unique()) == (9 if kind == "symmetric" else 1)


def test_hidden_labels_are_a_share_of_each_agents_rows_drawn_at_random():
    source = bad("unlabeled")
    federation = source.federation(torch.arange(40))
    size, mask = federation.train.size, federation.train.mask
    known = federation.labelled & mask
    hidden = (torch.tensor(RATE, dtype=torch.float64) * size).round().long()
    assert torch.equal(known.sum(-1), size - torch.minimum(hidden, size - 1))
    # the first row is hidden in half of 40 markets, give or take four times sqrt(10)
    assert abs(int((~known[:, 2, 0]).sum()) - 20) < 13


def test_below_a_rate_of_1_every_agent_knows_a_label_and_at_1_none():
    one_row = {"partition": "dirichlet", "max_size": 1}
    assert bad("unlabeled", rate=0.99, **one_row).federation(SEEDS).labelled[..., 0].all()
    nothing = bad("unlabeled", rate=(0, 0, 1)).federation(SEEDS)
    assert not bool((nothing.labelled & nothing.train.mask)[:, 2].any())
    with pytest.raises(
        ValueError,
        match=r"agent 2 of market 0 knows no label at all, wanted one or more .* a rate below 1",
    ):
        _ = nothing.supervised


def test_supervised_are_the_rows_whose_labels_are_known_in_their_order():
    federation = bad("unlabeled").federation(SEEDS)
    few = federation.supervised
    assert few.x is federation.train.x
    for market in range(3):
        for agent in range(3):
            x, y, known = held(federation, market, agent)
            n = int(few.size[market, agent])
            rows = few.index[market, agent]
            assert torch.equal(few.x[rows[:n]], x[known]) and torch.equal(few.y[rows[:n]], y[known])
            assert set(rows[n:].tolist()) <= set(rows[:n].tolist())
    whole = make_source("digits", "balanced", 3).federation(SEEDS)
    assert whole.labelled is None and whole.supervised is whole.train


# --- any source -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unlabeled", "feature_noise", "covariate_shift"])
def test_generated_data_of_many_pools_can_be_bad_too(name):
    source = make_source(
        "linear",
        "balanced",
        3,
        dimension=4,
        examples=(5, 9, 9),
        corruption=name,
        corruption_options={"rate": RATE},
    )
    assert (
        source.source == SyntheticLinear(n_agents=3, dimension=4, examples=(5, 9, 9))
        and source.task == "regression"
    )
    federation, clean = source.federation(SEEDS), source.source.federation(SEEDS)
    assert torch.equal(federation.optimum, clean.optimum)
    for market, seed in enumerate(SEEDS):
        alone = source.federation(seed[None])
        assert same(held(federation, market, 0), held(clean, market, 0))
        assert all(
            same(held(federation, market, agent), held(alone, 0, agent)) for agent in range(3)
        )
        assert not same(held(federation, market, 2), held(clean, market, 2))


def test_one_corruption_may_stand_on_another():
    inner = bad("mislabeled")
    outer = make_source(
        inner, "balanced", 3, corruption="unlabeled", corruption_options={"rate": 0.5}
    )
    both, wrong = outer.federation(SEEDS), inner.federation(SEEDS)
    assert torch.equal(both.train.y[both.train.index], wrong.train.y[wrong.train.index])
    assert (
        not bool(both.labelled[both.train.mask].all()) and not inner.one_pool and not outer.one_pool
    )
    hidden = CorruptedSource(source=bad("unlabeled"), corruption="unlabeled", options={"rate": 0.5})
    assert hidden.one_pool
    known, first = hidden.federation(SEEDS), hidden.source.federation(SEEDS).labelled
    assert bool((known.labelled <= first).all())  # what was hidden stays hidden
    # half of the rows that are known are hidden by draws of their own: a quarter of agent 2's is
    # known, within 4 / sqrt(400)
    share = (known.labelled & known.train.mask)[:, 2].sum() / known.train.size[:, 2].sum()
    assert float(share) == pytest.approx(0.25, abs=0.1)
    noisy = CorruptedSource(
        source=bad("unlabeled"), corruption="feature_noise", options={"rate": 0.5}
    )
    assert torch.equal(noisy.federation(SEEDS).labelled, noisy.source.federation(SEEDS).labelled)


def test_images_are_shifted_as_they_lie():
    x, y = np.random.default_rng(0).random((60, 3, 4, 4)), np.arange(60) % 2
    for kind in CORRUPTIONS["covariate_shift"].kinds:
        source = bad("covariate_shift", kind, data=(x, y), partition="balanced")
        assert source.federation(SEEDS).train.x.shape[1:] == source.feature_shape == (3, 4, 4)


def test_a_plain_rate_is_one_for_all_and_settings_have_plain_forms():
    one = bad("mislabeled", rate=np.float64(0.25))
    assert one.options == {"rate": 0.25, "kind": "symmetric"}
    assert bad("mislabeled", "pairwise", rate=[0, 0, 1]).options == {
        "rate": (0.0, 0.0, 1.0),
        "kind": "pairwise",
    }
    assert (
        make_source("digits", "balanced", 3, corruption_options={}).__class__.__name__
        == "PartitionedSource"
    )
    assert one.to("cpu") is one


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bad("mislabelled"), "no corruption 'mislabelled'. Did you mean 'mislabeled'"),
        (
            lambda: make_source("digits", "balanced", 3, corruption=5),
            "no corruption 5. Known: covariate_shift, feature_noise",
        ),
        (
            lambda: make_source("digits", "balanced", 3, corruption="unlabeled"),
            "corruption_options is {}, wanted a rate too",
        ),
        (lambda: bad("mislabeled", rate=1.2), "rate is 1.2, wanted a finite number >= 0 and <= 1"),
        (
            lambda: bad("mislabeled", rate=(0, 0.1)),
            r"rate is \(0, 0.1\), wanted a tuple of 3 numbers, one for each agent, or one",
        ),
        (lambda: bad("mislabeled", rate=(0, 0, -0.1)), r"rate\[2\] is -0.1"),
        (lambda: bad("feature_noise", rate=float("nan")), "rate is nan"),
        (
            lambda: bad("feature_noise", rate=1e7),
            r"rate is 10000000.0, wanted a finite number >= 0 and <= 1e\+06",
        ),
        (lambda: bad("mislabeled", "pairs"), "no kind 'pairs'. Did you mean 'pairwise'"),
        (lambda: bad("unlabeled", "pairwise"), "no entry of corruption_options 'kind'"),
        (
            lambda: make_source(
                "digits", "balanced", 3, corruption="unlabeled", corruption_options={"rates": 0.1}
            ),
            "no entry of corruption_options 'rates'. Did you mean 'rate'",
        ),
        (
            lambda: make_source(
                "digits", "balanced", 3, corruption="unlabeled", corruption_options=0.1
            ),
            "corruption_options is 0.1, wanted a mapping",
        ),
        (
            lambda: make_source("digits", "balanced", 3, corruption_options={"rate": 0.1}),
            (
                r"corruption_options is {'rate': 0.1}, wanted nothing without corruption=, one of"
                r" mislabeled"
            ),
        ),
        (
            lambda: bad("mislabeled", data="linear"),
            (
                "corruption is 'mislabeled', wanted one that is not for classes alone: the data are"
                " a regression"
            ),
        ),
        (
            lambda: make_source("digits", "balanced", 3, coruption="unlabeled"),
            "'coruption'. Did you mean 'corruption'",
        ),
        (lambda: make_source("linear", "balanced", 3, corupt=1), "Known: .*corruption"),
        (
            lambda: bad(
                "feature_noise", data=from_arrays(np.eye(30), np.arange(30) % 2), validation_size=1
            ).federation(SEEDS),
            "the broker has a single validation example, which shows no feature's deviation",
        ),
    ],
)
@pytest.mark.usefixtures("as_for_a_user")
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_gpu_makes_the_same_data_bad(name, kind):
    source = bad(name, kind)
    here, there = source.federation(SEEDS), source.to("cuda").federation(SEEDS.cuda())
    (x, y, mask), (other_x, other_y, _) = here.train.padded(), there.train.padded()
    assert other_x.is_cuda and torch.equal(y[mask], other_y.cpu()[mask])
    assert torch.allclose(x[mask], other_x.cpu()[mask], atol=1e-5)
    assert here.labelled is None or torch.equal(here.labelled[mask], there.labelled.cpu()[mask])
