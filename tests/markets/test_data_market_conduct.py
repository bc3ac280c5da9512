"""What sellers of the data market may do with their data: what the platform sees of it, and
what it is paid for.
"""

import dataclasses

import pytest
import torch
from data_market_cases import LOUD, acted, lies, market_of, one_round, parts, played

from marketenv.core import rounds
from marketenv.markets.data_market import CONDUCT, Offered, Piloted
from marketenv.markets.data_market.conduct import TRUTH
from marketenv.markets.data_market.pilot import stock

AUDITED = LOUD | {"verify": 1.0}
TRUE, SOME_NOISE, NOISE = {}, {"bait": 0.5}, {"bait": 1.0}
RENAMED, RENAMED_LATER, WRONG = {"permute": "always"}, {"permute": "delivered"}, {"flip": 1.0}
SPOOFED, HALF_SPOOFED, MOVED = {"spoof": 1.0}, {"spoof": 0.5}, {"shift": 0.5}
WIDE = {"pilots": (16, 32), "points": 32, "distance": "exact"}


def offered(market, *told):
    """Where markets of one seed stand when seller_0 of each has offered what is told; the
    others are honest.
    """
    now = rounds.begin(market, torch.zeros(len(told), dtype=torch.int64))
    return rounds.play_stage(market, now, acted(market, now, lies(*told)))[0].floor


def goods_of(floor, delivered, width=8):
    """The rows that sellers show or deliver."""
    return stock(floor, floor.of(Offered), width, delivered=delivered, pseudo=False)


def apart(market, *told):
    """Distance of seller_0's pilot by lie."""
    return offered(market, *told).of(Piloted).apart[:, 0]


# --- what is shown and what is delivered ----------------------------------------------------------


def test_an_honest_delivery_begins_with_the_pilot_which_is_the_sellers_first_rows():
    floor = offered(market_of(), TRUE)
    shown, delivered = (goods_of(floor, delivered=late) for late in (False, True))
    assert torch.equal(shown.x, delivered.x) and torch.equal(shown.y, delivered.y)
    first = floor.world.train.index[:, :, :8]
    assert torch.equal(shown.x, floor.world.train.x[first]) and torch.equal(
        shown.y, floor.world.train.y[first]
    )
    assert shown.size.tolist() == [[8] * 3] and shown.labelled.all()


def test_what_is_done_to_the_delivery_alone_is_not_in_the_pilot():
    floor = offered(market_of(), TRUE, NOISE, RENAMED_LATER)
    shown, delivered = (goods_of(floor, delivered=late) for late in (False, True))
    for lie in (1, 2):
        assert torch.equal(shown.x[lie], shown.x[0]) and torch.equal(shown.y[lie], shown.y[0])
        assert not torch.equal(delivered.y[lie, 0], delivered.y[0, 0])
        # the others deliver what they have
        assert torch.equal(delivered.x[lie, 1:], delivered.x[0, 1:])
        assert torch.equal(delivered.y[lie, 1:], delivered.y[0, 1:])
    assert (delivered.x[1, 0] != delivered.x[0, 0]).any() and torch.equal(
        delivered.x[2, 0], delivered.x[0, 0]
    )


def test_labels_are_renamed_or_wrong_and_features_move_to_the_buyers():
    floor = offered(market_of(), TRUE, RENAMED, WRONG, {"shift": 1.0})
    rows = goods_of(floor, delivered=False)
    honest, renamed, wrong, moved = rows.y[:, 0]
    assert (
        torch.equal(renamed, (honest + 1) % 10)
        and (wrong != honest).all()
        and torch.equal(moved, honest)
    )
    assert torch.equal(rows.x[1:3, 0], rows.x[:1, 0].expand(2, -1, -1))
    public = floor.world.buyer.x[0]
    assert all(any(torch.allclose(row, wanted) for wanted in public) for row in rows.x[3, 0])


def test_padded_and_repeated_rows_are_copies():
    """Without any different rows one is left; of five times the rows each comes five times
    before the next one.
    """
    market = market_of(data_options={"size": 10})
    floor = offered(market, {"distinct": 0.0}, {"declared": 5.0})
    size = floor.world.size[0]
    rows = goods_of(floor, delivered=True, width=16)
    assert all(torch.equal(row, rows.x[0, 0, 0]) for row in rows.x[0, 0])
    assert rows.size.tolist() == [size.tolist(), [16, *size[1:].tolist()]]
    train = floor.world.train
    assert torch.equal(rows.x[1, 0], train.x[train.index[1, 0, torch.arange(16) // 5]])


# --- what the platform sees -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "sliced"])
@pytest.mark.parametrize("private", [False, True])
def test_renaming_classes_changes_no_distance_unless_a_vocabulary_is_agreed_on(method, private):
    """The label is seen by the moments of its class alone, which a permutation of names leaves
    as they are.
    """
    measured = {"distance": method, "private": private, "anchors": 4}
    honest, renamed = apart(market_of(**measured), TRUE, RENAMED).tolist()
    assert renamed == pytest.approx(honest, rel=1e-9)
    honest, renamed = apart(market_of(**measured, vocabulary=1.0), TRUE, RENAMED).tolist()
    assert abs(renamed - honest) > 0.001


def test_with_a_vocabulary_renamed_classes_lie_farther_off():
    honest, renamed = apart(market_of(**WIDE, vocabulary=5.0), TRUE, RENAMED).tolist()
    assert renamed > 1.01 * honest


def test_wrong_labels_raise_the_distance_where_data_are_alike():
    """Of balanced sellers classes are what tells rows apart: random labels mix their moments."""
    honest, wrong = apart(
        market_of(**WIDE | {"dimensions": 8}, partition="balanced"), TRUE, WRONG
    ).tolist()
    assert wrong > 1.02 * honest


def test_a_pilot_lies_nearer_the_more_of_it_is_spoofed_or_moved():
    honest, half, spoofed, moved = apart(
        market_of(**WIDE | {"pilots": (16, 64), "points": 64}), TRUE, HALF_SPOOFED, SPOOFED, MOVED
    ).tolist()
    # 64 rows for the 64 that distances are taken to
    assert spoofed < 1e-6 < 0.1 < half < 0.9 * honest and moved < honest


def test_no_labels_are_seen_where_features_alone_are_measured():
    honest, wrong, renamed = apart(
        market_of(labels="features", distance="exact"), TRUE, WRONG, RENAMED
    ).tolist()
    assert wrong == renamed == honest


# --- what it is paid for, and what an audit finds -------------------------------------------------


CAUGHT = [  # lie, whether an audit sees it, and whether it does where labels have names
    (TRUE, False, False),
    (RENAMED_LATER, False, True),
    (RENAMED, False, False),  # the pilot is renamed too
    (WRONG, False, False),
    (NOISE, True, True),
    (SPOOFED, True, True),
    (SPOOFED | NOISE, True, True),
]


@pytest.mark.parametrize(
    ("vocabulary", "private"), [(0.0, False), (0.0, True), (1.0, False), (1.0, True)]
)
def test_an_audit_catches_who_delivers_other_rows_than_it_showed(vocabulary, private):
    """Without an audit all are paid in full; with one, those that are caught get nothing and
    the others as much as before.
    """
    market = market_of(rule="posted", vocabulary=vocabulary, private=private, anchors=4)
    told = [lie for lie, _, _ in CAUGHT]
    verify = torch.tensor([[0.0]] * len(told) + [[1.0]] * len(told)).double()
    report = one_round(
        market, lies(*told, *told), LOUD | {"verify": verify}, seeds=[0] * 2 * len(told)
    )
    alone, checked = report.flows["price"].received[:, 0].chunk(2)
    assert alone.tolist() == pytest.approx([500 * 6 / 16] * len(told), rel=1e-6)
    caught = torch.tensor([with_names if vocabulary else seen for _, seen, with_names in CAUGHT])
    assert torch.equal(checked, torch.where(caught, 0.0, alone))


@pytest.mark.parametrize("method", ["exact", "fast", "sliced"])
def test_honest_deliveries_pass_an_audit_without_any_tolerance(method):
    market = market_of(rule="posted", tolerance=0.0, distance=method, private=True, anchors=4)
    assert not parts(one_round(market, {}, AUDITED, (0, 1)))[4].caught.any()


def test_noise_passes_an_audit_of_a_wide_tolerance():
    market = market_of(rule="posted", tolerance=1e9)
    delivered = parts(one_round(market, lies(NOISE), AUDITED))[4]
    assert not delivered.caught.any()


# lie -> rows of seller_0's 6 that it has to pay for, where half of a row's cost is its label
COSTS = {
    "truth": (TRUE, 6.0),
    "wrong labels": (WRONG, 3.0),
    "half of them": ({"flip": 0.5}, 4.5),
    "renamed classes": (RENAMED_LATER, 3.0),
    "noise": (NOISE, 0.0),
    "half noise": (SOME_NOISE, 3.0),
    "one row and its copies": ({"distinct": 0.0}, 1.0),
    "moved rows": ({"shift": 1.0}, 6.0),
}


def test_a_seller_pays_for_different_right_rows():
    market = market_of(rule="posted", cost_per_point=(2.0, 2.0))
    report = one_round(market, lies(*(lie for lie, _ in COSTS.values())), seeds=[0] * len(COSTS))
    assert report.terms["cost"]["seller"][:, 0].tolist() == pytest.approx(
        [-2 * rows for _, rows in COSTS.values()], rel=1e-6
    )
    assert (report.terms["cost"]["seller"][:, 1:] == -10.0).all()


def test_copies_beyond_ones_rows_cost_nothing_more():
    """Thirty points of fifty and more that are offered, each row five times: six rows are paid
    for.
    """
    market = market_of(
        rule="posted",
        cost_per_point=(2.0, 2.0),
        points=60,
        data_options={"size": 10},
        labelling=0.0,
    )
    before = rounds.begin(market, torch.tensor([0]))
    size = int(before.floor.world.size[0, 0])
    buyer = {"budget": 1.0, "mixture": torch.tensor([[0.5, 0.25, 0.25]]).double()}
    report = played(market, before, {0: {"declared": 5.0}}, buyer)[1]
    assert parts(report)[2].points[0, 0] == 30 and size < 12
    assert float(report.terms["cost"]["seller"][0, 0]) == pytest.approx(-2.0 * 6)


def test_conduct_that_a_market_does_not_know_is_the_truth():
    market = market_of(conduct=("bait",))
    fields = [field.name for field in market.moves[0].action.items]
    assert fields == ["ask", "reserve", "bait"]
    report = one_round(market, {0: {"bait": 0.5}})
    conduct = dataclasses.asdict(parts(report)[0].conduct)
    assert float(conduct["bait"][0, 0]) == pytest.approx(0.5, abs=1e-6)
    world = rounds.begin(market, torch.tensor([0])).floor.world
    assert torch.equal(conduct.pop("declared"), world.size)
    for name in CONDUCT.keys() - {"bait", "declared"}:
        assert (conduct[name] == TRUTH[name]).all(), name


def test_the_truthful_policy_is_honest():
    report = one_round(market_of())
    assert not any(", " in line or "; " in line for line in parts(report)[0].story(()))


def test_noise_among_copies_is_noise_that_an_audit_sees():
    """Copies have no deviation of their own; noise has the buyer's, so that it cannot be the
    honest row again.
    """
    market = market_of(rule="posted", cost_per_point=(1.0, 1.0), pilots=(8, 16), points=48)
    cheats = lies({}, {"bait": 1.0}, {"distinct": 0.0}, {"distinct": 0.0, "bait": 1.0})
    delivered = parts(one_round(market, cheats, LOUD | {"verify": 1.0}, [0] * 4))[4]
    assert delivered.caught[:, 0].tolist() == [False, True, False, True]


def test_a_label_that_nobody_reads_saves_nothing():
    """Rows without labels cost their collection alone, whatever is done to labels that they do
    not have.
    """
    hidden = {"corruption": "unlabeled", "corruption_options": {"rate": 1.0}}
    market = market_of(
        rule="posted", labels="pseudo", cost_per_point=(1.0, 1.0), data_options=hidden
    )
    report = one_round(market, lies({}, {"flip": 1.0}, {"permute": "delivered"}), LOUD, [0] * 3)
    cost, points = -report.terms["cost"]["seller"][:, 0], parts(report)[2].points[:, 0]
    assert torch.allclose(cost, 0.5 * points.double())
