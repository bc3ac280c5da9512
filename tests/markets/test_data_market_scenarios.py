"""The data market under the paper's scenarios and at its ends: skewed, wrong, hidden and
shifted data, few rows, many sellers.
"""

import pytest
import torch
from data_market_cases import LOUD, acted, market_of, one_round, parts, played

from marketenv.core import rounds
from marketenv.data import Dataset
from marketenv.markets.data_market import TrainedOnPurchase
from marketenv.markets.data_market.pilot import stock

BAD = {  # corruption, kind, rates of the three sellers
    "symmetric labels": ("mislabeled", {"kind": "symmetric", "rate": (0.0, 1.0, 0.0)}),
    "pairwise labels": ("mislabeled", {"kind": "pairwise", "rate": (0.0, 1.0, 0.0)}),
    "covariate shift": ("covariate_shift", {"kind": "offset", "rate": (0.0, 1.0, 0.0)}),
    "feature noise": ("feature_noise", {"rate": (0.0, 5.0, 0.0)}),
}
UNLABELED = {"corruption": "unlabeled", "corruption_options": {"rate": (0.5, 1.0, 0.0)}}


def bad(name):
    corruption, options = BAD[name]
    return {"corruption": corruption, "corruption_options": options}


def apart(**config):
    market = market_of(distance="exact", partition="balanced", **config)
    return parts(one_round(market))[1].apart[0]


@pytest.mark.parametrize("name", BAD)
def test_bad_data_lie_farther_off_than_clean_ones(name):
    """Only the second seller's are bad; pairwise labels are renamed classes, which moments do
    not see.
    """
    wide = {"pilots": (16, 32), "points": 32}
    clean, spoilt = apart(**wide), apart(**wide, data_options=bad(name))
    assert torch.equal(clean[[0, 2]], spoilt[[0, 2]])
    if name == "pairwise labels":
        assert float(spoilt[1]) == pytest.approx(float(clean[1]), rel=1e-9)
    else:
        assert spoilt[1] > 1.02 * clean[1]


def test_by_default_each_seller_holds_a_block_of_classes():
    """Ten classes in blocks of 4, 3 and 3; 97 % of a seller's rows are of its own block."""
    world = rounds.begin(market_of(), torch.tensor([0])).floor.world
    labels = world.train.y[world.train.index[0]]
    for labels_of, size, block in zip(
        labels, world.train.size[0], ((0, 3), (4, 6), (7, 9)), strict=True
    ):
        own = labels_of[:size]
        share = ((own >= block[0]) & (own <= block[1])).double().mean()
        assert float(share) == pytest.approx(0.97, abs=0.01)


@pytest.mark.parametrize("labels", ["given", "features", "pseudo"])
def test_rows_without_labels_are_sold_in_every_mode(labels):
    report = one_round(market_of(rule="posted", labels=labels, data_options=UNLABELED))
    assert parts(report)[2].points.tolist() == [[6, 5, 5]]


def test_labels_are_hidden_where_the_corruption_says_so_and_only_pseudo_labels_are_others():
    """pseudo: the class whose mean among the buyer's examples is nearest; given: the buyer
    labels rightly what has no label.
    """
    market = market_of(labels="pseudo", data_options=UNLABELED)
    floor = rounds.play_stage(market, *at_offers(market))[0].floor
    offered = floor.outcomes["offer"]
    truth, guessed = (
        stock(floor, offered, 8, delivered=False, pseudo=pseudo) for pseudo in (False, True)
    )
    hidden = ~truth.labelled[0]
    assert hidden.sum(1)[1:].tolist() == [8, 0] and 0 < int(hidden[0].sum()) < 8
    assert torch.equal(guessed.y[0][~hidden], truth.y[0][~hidden])
    buyer = floor.world.buyer
    means = torch.stack(
        [
            buyer.x[0][: buyer.size[0]][buyer.y[0][: buyer.size[0]] == c].double().mean(0)
            for c in range(10)
        ]
    )
    near = torch.cdist(
        (truth.x[0, 1].double() - buyer.mean[0]) @ buyer.basis[0],
        (means - buyer.mean[0]) @ buyer.basis[0],
    )
    assert torch.equal(guessed.y[0, 1], near.argmin(1))


def at_offers(market):
    now = rounds.begin(market, torch.tensor([0]))
    return now, acted(market, now)


def test_the_principal_components_are_the_buyers_and_have_a_mean_variance_of_one():
    buyer = rounds.begin(market_of(dimensions=5), torch.tensor([0])).floor.world.buyer
    features = (buyer.x[0, : buyer.size[0]].double() - buyer.mean[0]) @ buyer.basis[0]
    covariance = features.mT @ features / len(features)
    assert features.shape[1] == 5 and float(covariance.diagonal().mean()) == pytest.approx(1.0)
    assert torch.allclose(covariance, covariance.diagonal().diag(), atol=1e-9)
    assert (covariance.diagonal().diff() <= 1e-12).all()  # the largest first
    commonest = buyer.y[0, : buyer.size[0]].bincount().max() / buyer.size[0]
    assert float(buyer.baseline) == pytest.approx(float(commonest))


def test_all_features_are_seen_where_no_number_is_given():
    buyer = rounds.begin(market_of(dimensions=None), torch.tensor([0])).floor.world.buyer
    assert buyer.basis.shape == (1, 64, 64) and buyer.basis.isfinite().all()


# --- the ends -------------------------------------------------------------------------------------


def rows_of(counts, seed=0):
    """A data set of so many rows of each class, in four features."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return 0.3 * torch.randn(len(y), 4, generator=draw) + y[:, None], y


def test_sellers_of_disjoint_classes_and_a_class_that_only_the_buyer_has():
    """Two sellers with two classes each of five; the fifth is in the buyer's examples alone."""
    x, y = rows_of([30] * 5)
    own = torch.tensor([0, 1])[(y[:120] >= 2).long()]
    groups = (own == 0).nonzero()[:, 0], (own == 1).nonzero()[:, 0]

    def deal(labels, rows, n_agents, keys):
        index = torch.stack([g[:40] for g in groups])[None].expand(len(keys), -1, -1)
        return index, torch.full((len(keys), 2), 40)

    data = Dataset("five", x[:120], y[:120], 5, x[100:], y[100:])
    market = market_of(
        n_sellers=2, data=data, partition=deal, data_options={"broker_data": "test"}, rule="posted"
    )
    report = one_round(market)
    _, piloted, selected, trained, _ = parts(report)
    assert (
        selected.points.tolist() == [[8, 8]]
        and piloted.apart.isfinite().all()
        and trained.realised.isfinite().all()
    )


@pytest.mark.parametrize("n_sellers", [1, 5])
def test_other_numbers_of_sellers(n_sellers):
    market = market_of(n_sellers=n_sellers, rule="posted", mixtures=None, selection="gradient")
    report = one_round(market)
    assert int(parts(report)[2].points.sum()) == 16 and parts(report)[
        1
    ].recommended.sum().item() == pytest.approx(1.0)


def test_a_hundred_sellers_are_measured_by_slices():
    market = market_of(
        n_sellers=100,
        rule="posted",
        pilots=(100, 200),
        points=200,
        data_options={"size": 4, "overlap": True},
        selection="gradient",
    )
    assert market.phases[1].distances.method == "sliced"
    report = one_round(market)
    assert parts(report)[2].points.tolist() == [[2] * 100]
    received = report.flows["price"].received
    assert torch.allclose(received, received.new_full((1, 100), 5.0), rtol=1e-6)


def test_sellers_of_one_row_sell_it():
    """Two points to fill, one row each: a seller's one row has no spread, and a training of one
    row is one.
    """
    market = market_of(
        rule="posted",
        pilots=(1, 2),
        points=3,
        data_options={"size": 1, "overlap": True},
        private=True,
        anchors=2,
    )
    report = one_round(market)
    assert parts(report)[2].points.tolist() == [[1, 1, 1]] and report.rewards.isfinite().all()


def test_constant_features_are_no_trouble():
    x, y = rows_of([20] * 3)
    market = market_of(
        data=(torch.ones_like(x), y), partition="balanced", rule="posted", private=True, anchors=2
    )
    report = one_round(market)
    assert parts(report)[1].apart.isfinite().all() and report.rewards.isfinite().all()


def test_fewer_points_than_are_wanted_are_all_that_is_bought():
    market = market_of(
        rule="posted", points=1000, data_options={"size": 20}, selection="gradient", mixtures=None
    )
    start = rounds.begin(market, torch.tensor([0]))
    _, report = played(market, start, buyer=LOUD)
    assert torch.equal(parts(report)[2].points, start.floor.world.size)


def test_a_regression_and_a_market_without_a_learner_are_refused():
    with pytest.raises(
        ValueError,
        match=(
            r"real-valued targets, wanted classes: the distances of the data market compare labels"
        ),
    ):
        market_of(data="linear", learner="linear", learner_options={}, partition="balanced")
    with pytest.raises(
        ValueError,
        match="learner is None, wanted a learner: the market pays for what a trained model can do",
    ):
        market_of(learner=None, learner_options={}, training=None)


def test_features_that_are_no_numbers_are_refused():
    x, y = rows_of([20] * 3)
    x[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"nan|finite"):
        one_round(market_of(data=(x, y), partition="balanced"))


def test_fedprox_pulls_each_sellers_training_back_to_the_shared_model():
    config = {"rule": "posted", "training": None, "communications": 2}
    free, pulled = (
        parts(one_round(market_of(**config, algorithm=name)))[3].loss
        for name in ("fedavg", "fedprox")
    )
    assert not torch.equal(free, pulled) and torch.allclose(free, pulled, rtol=0.2)


def test_matching_changes_what_is_averaged():
    config = {"rule": "posted", "training": None, "communications": 2}
    names = ("none", "weight_matching", "auto")
    alone, matched, auto = (
        parts(one_round(market_of(**config, alignment=name)))[3].loss for name in names
    )
    assert torch.equal(auto, matched) and matched.isfinite().all() and alone.isfinite().all()


def edits(case):
    case.mixtures.zero_()
    case.near.zero_()
    case.apart.fill_(7.0)
    return torch.full_like(case.apart, 1 / 3)


SELECTIONS_OF_ONES_OWN = {
    "NaN": (
        lambda case: torch.full_like(case.apart, torch.nan),
        "selection returned the share nan",
    ),
    "more than all": (lambda case: torch.ones_like(case.apart), "sum to 3"),
    "a negative share": (
        lambda case: -torch.ones_like(case.apart),
        "selection returned the share -1",
    ),
    "another shape": (lambda case: torch.zeros(1, 2).double(), "selection returned shares"),
    "nothing": (lambda case: None, "selection returned shares"),
}


@pytest.mark.parametrize("name", SELECTIONS_OF_ONES_OWN)
def test_a_selection_of_ones_own_that_gives_no_mixture_is_refused(name, as_for_a_user):
    selection, said = SELECTIONS_OF_ONES_OWN[name]
    with pytest.raises(ValueError, match=said):
        one_round(market_of(selection=selection, rule="posted"))


def test_a_selection_of_ones_own_works_on_copies():
    piloted = parts(one_round(market_of(selection=edits, rule="posted")))[1]
    assert (
        (piloted.apart != 7.0).all()
        and bool(piloted.mixtures.any())
        and bool(piloted.distances.any())
    )


def test_a_buyer_that_buys_nothing_keeps_its_last_model():
    market = market_of(rule="posted")
    start = rounds.begin(market, torch.tensor([0]))
    now, _ = played(market, start)
    before = now.floor.models["buyer"]
    after, report = played(market, rounds.begun(market, now), buyer={"budget": 0.0})
    assert torch.equal(after.floor.models["buyer"].params, before.params) and not bool(
        report.of(TrainedOnPurchase).delivery
    )


def test_a_posted_prices_worth_is_a_part_of_the_gain():
    market = market_of(rule="posted")
    now, _ = rounds.play_stage(
        market,
        *(lambda start: (start, acted(market, start)))(rounds.begin(market, torch.tensor([4]))),
    )
    seen = (
        rounds.stage_of(market, now)
        .moves["buyer"]
        .observation.unpack(rounds.observe(market, now)["buyer"])
    )
    assert (
        float(seen["worth"].sum()) == pytest.approx(float(seen["gain"]), rel=1e-5)
        and float(seen["gain"]) > 0
    )


def test_pilots_that_stand_for_an_episode_keep_their_mixtures():
    """With more than three sellers mixtures are drawn; scores of the first round stay beside
    those that they belong to.
    """
    config = {"n_sellers": 5, "mixtures": 6, "rule": "posted"}
    for calibration, same in (("first_round", True), ("each_round", False)):
        market = market_of(calibration=calibration, **config)
        now, one = played(market, rounds.begin(market, torch.tensor([0])))
        _, two = played(market, rounds.begun(market, now))
        first, second = (parts(report)[1] for report in (one, two))
        assert torch.equal(first.mixtures, second.mixtures) is same
        assert torch.equal(first.scores, second.scores) is same
