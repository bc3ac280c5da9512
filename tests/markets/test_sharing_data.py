"""What the clients of model sharing own: every kind of data, types drawn and given, and data
that drift.
"""

import itertools

import numpy as np
import pytest
import torch
from sharing_market import (
    LABELS,
    ROWS,
    best_of,
    episode,
    market_of,
    models_of,
    one_round,
    scored,
    trained_market,
    type_of,
)

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.core.shards import Shards
from marketenv.data import make_source
from marketenv.data.dataset import from_arrays
from marketenv.data.linear import SyntheticLinear
from marketenv.learners import MLP, Scores
from marketenv.markets.model_sharing import ShareModels
from marketenv.markets.training import Train
from marketenv.mechanisms import GAINS


def npz(folder):
    np.savez(folder / "mine.npz", x=ROWS, y=LABELS)
    return folder / "mine.npz"


DATA = {
    "digits": lambda _: "digits",
    "german_credit": lambda _: "german_credit",
    "breast_cancer": lambda _: "breast_cancer",
    "linear": lambda _: "linear",
    "npz": lambda folder: str(npz(folder)),
    "npz path": npz,
    "arrays": lambda _: (ROWS, LABELS),
    "dataset": lambda _: from_arrays(ROWS, LABELS),
    "finished source": lambda _: make_source("digits", "balanced", 4),
    "finished linear source": lambda _: SyntheticLinear(n_agents=4, dimension=3),
}


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_of_data_trades_with_the_default_arguments(kind, tmp_path):
    """The Dirichlet partition's options go where it deals the rows out, and nowhere else."""
    market = make_market("model_sharing_v0", data=DATA[kind](tmp_path), n_agents=4, max_cycles=1)
    report = one_round(market)
    assert report.loss.isfinite().all() and report.rewards.isfinite().all()
    sizes = type_of(rounds.opened(market, torch.arange(20)), "sizes")
    uneven = bool((sizes.amax(1) > 1.5 * sizes.amin(1)).any())
    # dealt out by Dirichlet .1
    assert uneven == ("linear" not in kind and kind != "finished source")
    assert sizes.min() >= 5  # its min_size


def scale_of(market):
    return market.phase(ShareModels).rules.gain.scale


def test_the_scale_of_a_gain_is_the_mean_size_of_a_client():
    given = {"types": {"sizes": (10.0, 20.0, 30.0, 60.0)}}
    assert scale_of(market_of(gain="log", **given)) == 30  # (10 + 20 + 30 + 60) / 4
    assert scale_of(market_of(gain="log", sizes=(100.0, 300.0))) == 200  # the interval's middle
    # given types stand before drawn ones
    assert scale_of(market_of(gain="log", sizes=(100.0, 300.0), **given)) == 30
    # a lognormal of median 5000 and deviation .6 has the mean 5000 exp(.18) = 5986
    drawn = market_of(gain="log")
    assert scale_of(drawn) == pytest.approx(5986.1, abs=0.1)
    sizes = type_of(rounds.opened(drawn, torch.arange(5000)), "sizes")
    # 20,000 draws of deviation .66: .5 %
    assert float(sizes.mean()) == pytest.approx(scale_of(drawn), rel=0.02)
    # training rows of digits
    assert scale_of(trained_market(gain="log")) == pytest.approx(1079 / 4, abs=1)
    assert scale_of(trained_market(gain="log", sizes=(100.0, 300.0))) == 200
    assert scale_of(market_of(sizes=(100.0, 300.0))) == 1  # the paper's gain has none


def test_given_types_are_copied():
    sizes = [1.0, 2.0, 3.0]
    market = make_market("model_sharing_v0", learner=None, n_agents=3, types={"sizes": sizes})
    sizes[0] = 9.0
    assert type_of(rounds.opened(market, torch.tensor([0])), "sizes").tolist() == [[1.0, 2.0, 3.0]]


def test_needs_are_multiples_of_the_mean_size():
    # of the paper's gain K runs from 50 to 100 times the mean size of a client, which is about
    # 5,000
    now = rounds.opened(market_of(n_agents=6), torch.arange(50))
    ratio = type_of(now, "needs") / type_of(now, "sizes").mean(1, keepdim=True)
    assert 50 <= float(ratio.min()) < 52 and 98 < float(ratio.max()) <= 100


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("name", ["sizes", "costs", "needs"])
@pytest.mark.parametrize(
    "values", [(1e-12, 1e-12, 1e-12), (1e-12, 1.0, 1e100), (1e100, 1e100, 1e100)], ids=str
)
def test_types_at_the_ends_of_their_range_have_finite_rewards(gain, name, values):
    market = make_market(
        "model_sharing_v0", learner=None, n_agents=3, max_cycles=2, gain=gain, types={name: values}
    )
    for policy in ("truthful", "random"):
        policies = dict.fromkeys(agent_names(market), market.policies[policy])
        for seen, _, report in rounds.play(market, policies, torch.arange(5)):
            assert bool(report.rewards.isfinite().all()) and bool(seen["client"].isfinite().all())


# --- scores by class ---------------------------------------------------------------------------


IMAGES = np.random.default_rng(1).normal(size=(90, 1, 4, 4)).astype("float32")


class Gentle(MLP):
    """A learner of one's own: it halves the losses."""

    def scores(self, params, exam):
        loss, accuracy = super().scores(params, exam)
        return Scores(loss / 2, accuracy)


LEARNER_KINDS = {
    "mlp": ({"learner": "mlp"}, True),
    "cnn": ({"learner": "cnn", "learner_options": {"width": 1}}, True),
    # statistics of a batch norm are those of the whole exam, here of one class
    "batch norms": ({"learner": "cnn", "learner_options": {"width": 1, "norm": "batch"}}, False),
    # what a class of one's own scores is asked of its scores alone
    "own": ({"learner": Gentle((1, 4, 4), 3, "classification"), "training": None}, False),
}


@pytest.mark.parametrize("kind", LEARNER_KINDS)
def test_clients_are_scored_by_the_classes_of_their_own_labels(kind):
    """loss_i = sum over classes of the share of the class in i's labels times the mean loss on
    it; of each class an exam of its own, whether the market asks for all at once or not.
    """
    config, at_once = LEARNER_KINDS[kind]
    uneven = {"data": (IMAGES, LABELS), "data_options": {"alpha": 0.03, "min_size": 2}}
    market = trained_market(**uneven | {"learner_options": {}} | config)
    seeds = torch.tensor([3, 4, 3])
    world, learner = rounds.opened(market, seeds).floor.world, market.phase(Train).learner
    models = learner.init(torch.arange(12)).unflatten(0, (3, 4))
    models[2, 1, 0] = torch.nan
    for name, held_out in (("validation", False), ("test", True)):
        judge = getattr(market.source.federation(seeds), name)
        exams = getattr(world.content, name)
        assert len(exams.exams) == (1 if at_once else 3) and bool(exams.sizes) == at_once
        loss, accuracy = torch.zeros(3, 4), torch.zeros(3, 4)
        owned, unowned = world.owned(torch.zeros(3).long()), 0
        for label in range(3):
            rows = judge.index[0][judge.y[judge.index[0]] == label]
            exam = learner.exam(Shards(judge.x, judge.y, rows[None], torch.tensor([len(rows)])))
            share = (owned.mask & (owned.y[owned.index] == label)).sum(-1) / owned.size
            scores = learner.scores(models, exam)
            # a class that a client does not own says nothing of it
            unowned += int(share[2, 1] == 0)
            loss += torch.where(share > 0, share * scores.loss, 0.0)
            accuracy += share * scores.accuracy
        found = world.score(models, torch.zeros(3).long(), held_out)
        torch.testing.assert_close(found.loss, loss, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found.accuracy, accuracy, atol=1e-6, rtol=1e-5)
        assert found.loss[2, 1] == torch.inf and found.loss.isinf().sum() == 1 and unowned > 0


# --- data that drift ------------------------------------------------------------------------------


BY_GROUP = {"data": from_arrays(ROWS, LABELS, groups=np.arange(90) // 15), "partition": "by_group"}


def test_data_drift_exchanges_a_growing_share_of_the_examples():
    market, still = trained_market(data_drift=0.25, max_cycles=6), trained_market(max_cycles=6)
    seeds = torch.arange(2)
    world, train = (rounds.opened(m, seeds).floor.world for m in (market, still))
    train = train.content.train
    assert torch.equal(world.content.train.index, train.index)
    moved = [world.owned(torch.full((2,), r)).index != train.index for r in range(6)]
    # a quarter more in every round, and what has moved never comes back; all after four
    assert not moved[0].any() and torch.equal(moved[4], moved[5])
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(moved))
    shares = [float(m.sum() / moved[5].sum()) for m in moved]
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=0.08)
    a, b = episode(market, [0, 1]), episode(market, [0, 1])
    assert torch.equal(models_of(a[-1][1]).params, models_of(b[-1][1]).params)
    c = episode(still, [0, 1])
    # nothing has moved in the first round
    assert torch.equal(models_of(a[0][0]).params, models_of(c[0][0]).params)
    assert not torch.equal(models_of(a[2][0]).params, models_of(c[2][0]).params)


def test_under_drift_scores_count_the_labels_of_the_round():
    """All examples are exchanged after the first round, so the second one's classes count as in
    the later partition.
    """
    market, seeds = trained_market(data_drift=1.0, select="test"), torch.arange(2)
    (_, first, _), (before, after, _), _ = episode(market, seeds)
    world, learner, federation = (
        before.floor.world,
        market.phase(Train).learner,
        market.source.federation(seeds),
    )
    owned = world.owned(torch.ones(2).long())

    def expected(judge):
        """Accuracy by hand: on each class's examples, times the share of the class in the
        client's own.
        """
        right = torch.zeros(2, 4)
        for label in range(10):
            rows = judge.index[0][judge.y[judge.index[0]] == label]
            exam = learner.exam(Shards(judge.x, judge.y, rows[None], torch.tensor([len(rows)])))
            share = (owned.mask & (owned.y[owned.index] == label)).sum(-1) / owned.size
            right += share * learner.scores(models_of(before).params, exam).accuracy
        return right

    assert torch.allclose(models_of(before).accuracy, expected(federation.validation), atol=1e-6)
    tested = expected(federation.test)
    assert torch.allclose(scored(market, after).accuracy, tested, atol=1e-6)
    assert torch.allclose(
        best_of(after).accuracy, best_of(first).accuracy.maximum(tested), atol=1e-6
    )
    old = world.score(models_of(before).params, torch.zeros(2).long()).accuracy
    assert not torch.allclose(
        models_of(before).accuracy, old, atol=1e-2
    )  # the labels of the first round would say something else


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"data": "linear"}, "every seed draws examples of its own"),
        (
            {"data": SyntheticLinear(n_agents=4, dimension=3)},
            "every seed draws examples of its own",
        ),
        (BY_GROUP, "own the same rows whatever the seed"),
    ],
    ids=["linear", "a finished linear source", "by_group"],
)
def test_data_that_cannot_drift_are_refused(config, said):
    trained_market(**config)
    with pytest.raises(ValueError, match=f"data_drift is 0.2, but .*{said}"):
        trained_market(data_drift=0.2, **config)


def test_groups_can_drift_where_each_client_draws_some_rows_of_its_own():
    market = trained_market(data_drift=1.0, data_options={"max_size": 3}, **BY_GROUP)
    world = rounds.opened(market, torch.arange(2)).floor.world
    assert not torch.equal(
        world.owned(torch.ones(2).long()).index.sort(-1).values,
        world.content.train.index.sort(-1).values,
    )
