"""Mixtures of three sellers: rows and points by hand, correlations, extrapolation and choices
that can be worked out.
"""

import dataclasses
import itertools
import math

import pytest
import torch

from agents.papers import EFFORTS
from agents.papers.data_valuation import correlation, mixtures, scaling, selection, settings
from agents.papers.data_valuation.mixtures import (
    AGG,
    COMBINE,
    FEATURES,
    Measurements,
    extrapolated,
    measure,
    pearson,
    spearman,
)
from agents.papers.data_valuation.sellers_data import Lots, embedded, lots, mixed_rows
from agents.papers.data_valuation.settings import DATA_SETS, SCENARIOS, MixtureSetting, missing
from agents.papers.data_valuation.training import accuracies
from marketenv.core.shards import Shards
from marketenv.valuation import FeatureMap

TINY = dataclasses.replace(EFFORTS["quick"], name="tiny", cases=400)
SMALL = MixtureSetting(pilots=(30, 60), points=90, shown=30, targets=40, communications=2)
IDENTITY = FeatureMap(torch.zeros(1, 1).double(), torch.eye(1).double())


def by_hand(x, y, goal_x, goal_y, n_classes=2):
    nothing = Shards(
        torch.zeros(1, 1), torch.zeros(1).long(), torch.zeros(1, 1).long(), torch.ones(1).long()
    )
    return Lots(nothing, x, y, goal_x, goal_y, nothing, IDENTITY, n_classes)


# --- rows and points ------------------------------------------------------------------------------


def test_who_has_too_few_rows_gives_them_again():
    owned = Shards(
        torch.zeros(9, 1),
        torch.zeros(9).long(),
        torch.tensor([[[4, 5, 5], [6, 7, 8]]]),
        torch.tensor([[2, 3]]),
    )
    rows, seller, model, count = mixed_rows(owned, torch.tensor([[[3, 0], [1, 2]]]))
    assert seller.tolist() == [0, 0, 1]  # who is asked for nothing is left out
    assert model.tolist() == [0, 1, 1] and count.tolist() == [3, 1, 2]
    taken = [index[:n].tolist() for index, n in zip(rows.index, rows.size.tolist(), strict=True)]
    assert taken == [[4, 5, 4], [4], [6, 7]]


def test_a_vocabulary_adds_its_part_of_the_mean_distance_of_the_buyers_rows():
    x = torch.tensor([[[[0.0], [0.0]]]])  # one seed, one seller, two equal rows of two classes
    made = by_hand(x, torch.tensor([[[0, 1]]]), torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]))
    without, _ = embedded(made, made.x, made.y)
    told, _ = embedded(made, made.x, made.y, vocabulary=3.0)
    apart = [
        float((points[0, 0, 0] - points[0, 0, 1]).square().sum()) for points in (without, told)
    ]
    # the buyer's rows have variance 1: 2 is their mean squared distance
    assert apart == pytest.approx([0.0, 3 * 2.0])


def test_unlabeled_points_are_features_alone():
    made = by_hand(
        torch.ones(1, 1, 2, 1), torch.tensor([[[0, 1]]]), torch.ones(2, 1), torch.tensor([0, 1])
    )
    assert embedded(made, made.x, made.y, labels=False)[0].shape[-1] == 1
    assert embedded(made, made.x, made.y)[0].shape[-1] == 3  # with mean and deviation of the class


def test_a_seed_deals_alone_what_it_deals_among_others():
    both, alone = lots(SMALL, [3, 4]), lots(SMALL, [4])
    assert torch.equal(both.x[1], alone.x[0]) and torch.equal(both.y[1], alone.y[0])
    assert both.x.shape == (2, 3, 30, 64) and both.goal_x.shape == (40, 64)


def test_the_first_seller_has_the_classes_that_the_page_names():
    made = lots(dataclasses.replace(SMALL, shown=200), range(8))
    share = torch.stack([(made.y[:, 0] == label).double().mean() for label in range(10)])
    # classes 0-3 at 24.25 % each
    assert share[:4].tolist() == pytest.approx([0.2425] * 4, abs=0.02)


def test_models_of_a_seed_and_a_mixture_do_not_depend_on_others():
    made, p = lots(SMALL, [3, 4]), torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]).double()
    together = accuracies(SMALL, made.owned, made.test, p, 60, [3, 4])
    part = Shards(made.owned.x, made.owned.y, made.owned.index[1:], made.owned.size[1:])
    alone = accuracies(SMALL, part, made.test, p[1:], 60, [4])
    # of 359 rows a tie may fall otherwise
    assert together[1, 1] == pytest.approx(float(alone[0, 0]), abs=0.01)
    assert 0.1 < float(together[:, 0].mean()) < 0.45  # who sees mostly four classes of ten
    assert not torch.equal(together[:, 0], together[:, 1])


# --- what goes with what --------------------------------------------------------------------------


def test_correlations_by_hand():
    a, b = (
        torch.tensor([[1.0, 2.0, 3.0, 4.0]]).double(),
        torch.tensor([[1.0, 3.0, 2.0, 4.0]]).double(),
    )
    # 4 / 5: products of the deviations over their squares
    assert float(pearson(a, b)) == pytest.approx(0.8)
    assert float(spearman(a, b.exp())) == pytest.approx(0.8)  # ranks alone
    assert float(pearson(a, torch.ones_like(a))) == 0.0  # a constant goes with nothing


def known(accuracy):
    p = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).double()
    wad = torch.tensor([[0.0, 1.0, 2.0]]).double()
    return Measurements(p, {COMBINE: wad, AGG: wad.flip(-1), FEATURES: wad}, accuracy)


SIZES = MixtureSetting(pilots=(100, 200), points=800)


def test_two_pilots_are_carried_on_in_the_logarithm():
    first, second = (
        torch.tensor([[0.5, 0.4, 0.3]]).double(),
        torch.tensor([[0.6, 0.5, 0.4]]).double(),
    )
    found = known({100: first, 200: second, 800: second})
    for form in ("ot_only", "projektor"):  # both fit a line in W without error
        # 0.1 more for each doubling
        assert extrapolated(SIZES, found, form)[0].tolist() == pytest.approx([0.8, 0.7, 0.6])
    judged = scaling.fit_statistics(SIZES, found)
    assert judged["MAE"] == pytest.approx([20.0]) and judged[
        "MAE of the second pilot"
    ] == pytest.approx([0.0])
    # 3 x 0.2^2 / 2 x 0.1^2
    assert judged["r"] == pytest.approx([1.0]) and judged["R^2"] == pytest.approx([1 - 0.12 / 0.02])


def test_every_rule_is_judged_by_the_best_of_the_grid():
    rising = torch.tensor([[0.2, 0.4, 0.6]]).double()
    found = known({100: rising, 200: rising, 800: torch.tensor([[0.9, 0.5, 0.8]]).double()})
    regret = selection.regrets(SIZES, found)
    assert regret["least CombineWad"] == [0.0]  # it takes the first
    # the last
    assert regret["least AggWad"] == pytest.approx([0.1]) and regret[
        selection.PILOT
    ] == pytest.approx([0.1])
    # pilots rise with W, and so does what they predict
    assert regret["estimator ot_only"] == pytest.approx([0.1])
    assert regret[selection.ANY] == pytest.approx([0.9 - 2.2 / 3])


# --- evidence -------------------------------------------------------------------------------------


def test_digits_with_skewed_labels_show_what_the_page_says():
    found = measure(
        dataclasses.replace(MixtureSetting(), communications=5), 2, 3, (100,)
    )  # 10 mixtures
    r = {name: pearson(d, found.accuracy[100]) for name, d in found.distances.items()}
    assert bool((r[COMBINE] < -0.5).all())  # -0.87 on the page
    assert bool((r[AGG] > r[COMBINE] + 0.3).all())  # blind to what sellers are worth together


def test_evidence_is_of_the_second_pilot_and_can_be_of_the_wrong_sign(monkeypatch):
    accuracy = {200: torch.tensor([[0.1, 0.2, 0.3]]).double()}
    monkeypatch.setattr(
        correlation, "measure", lambda setting, seeds, steps, points: known(accuracy)
    )
    evidence = correlation.negative(correlation.DIGITS_DATA, TINY, "label_skew")
    # the farther, the better: the claim fails
    assert evidence.samples == {f"-r of {COMBINE}": [pytest.approx(-1.0)]}
    worse = correlation.agg_is_worse(correlation.DIGITS_DATA, TINY, "label_skew")
    assert list(worse.samples.values()) == [[pytest.approx(-2.0)]]
    near = correlation.as_reported(correlation.DIGITS_DATA, TINY).samples
    assert near["CombineWad above -0.87"] == [pytest.approx(1.87)] and near[
        "AggWad below 0.28"
    ] == [pytest.approx(1.28)]


def test_what_is_not_here_is_untested_with_a_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("MARKETENV_DATA", str(tmp_path))
    assert "MARKETENV_DATA" in missing("cifar10") and missing("digits") == ""
    large = dataclasses.replace(TINY, name="standard")
    for evidence in (
        correlation.negative(correlation.CIFAR, large, "label_skew"),
        scaling.fits(correlation.CIFAR, large, "r"),
        selection.near_best(correlation.CIFAR, large, "label_skew"),
    ):
        assert "small/cifar10_8k_2k.npz" in evidence.untested
    assert "effort" in correlation.negative(correlation.CIFAR, TINY, "label_skew").untested
    with pytest.raises(ValueError, match="cifar10 lies in"):
        MixtureSetting(data="cifar10").source()


def test_efforts_grow_and_settings_are_known():
    sizes = [settings.size_of(effort) for effort in (TINY, *EFFORTS.values())]
    assert all(a.seeds <= b.seeds and a.steps <= b.steps for a, b in itertools.pairwise(sizes))
    # mixtures of three sellers
    assert settings.size_of(EFFORTS["standard"]).steps == 10 and math.comb(12, 2) == 66
    with pytest.raises(ValueError, match="label_skew"):
        _ = MixtureSetting(scenario="labelskew").dealt
    assert (
        all(about.learner == "mlp" for about in DATA_SETS.values())
        and not SCENARIOS["unlabeled"].labels
    )


def test_unlabeled_sellers_train_as_labelled_ones():
    few = dataclasses.replace(SMALL, communications=1)
    one, other = (
        measure(dataclasses.replace(few, scenario=s), 1, 1, (30,))
        for s in ("label_skew", "unlabeled")
    )
    assert torch.equal(one.accuracy[30], other.accuracy[30])
    assert torch.equal(other.distances[COMBINE], other.distances[FEATURES])
    assert not torch.equal(one.distances[COMBINE], other.distances[COMBINE])
    assert mixtures.seeds_of(2) == (settings.SEED, settings.SEED + 1)
