"""The game of the resource market: the design page's numbers, played through the market, and
what a strategic agent may try.
"""

import math

import pytest
import torch
from resource_market_cases import (
    FLOAT32,
    SIX,
    begun_again,
    equals,
    game_of,
    of_role,
    one_round,
    played,
)

from marketenv.core import rounds
from marketenv.markets.resource_market import Committed, Computed, Contributed, Matched, Posted
from marketenv.mechanisms import contributions, stackelberg


def mean_of(report, role):
    return float(of_role(report, role).mean())


# --- golden numbers of the page -------------------------------------------------------------------


def test_ten_equal_owners_and_centres():
    """eta* = alpha k - 1/kappa = 2.5 - 10/9; kappa = 9/10, so S = 1.25 and x = .125; U_n = eta
    (1/10)^2; U_m = 1.25 / 100.
    """
    report = one_round(equals(10))
    assert float(report.of(Committed).eta) == pytest.approx(2.5 - 10 / 9, **FLOAT32)
    assert float(of_role(report, "leader")) == pytest.approx(0.638437, abs=1e-6)
    assert report.of(Contributed).x[0].tolist() == pytest.approx([0.125] * 10, **FLOAT32)
    assert of_role(report, "owner")[0].tolist() == pytest.approx([0.0138889] * 10, abs=1e-7)
    assert of_role(report, "centre")[0].tolist() == pytest.approx([0.0125] * 10, abs=1e-7)


def test_two_equal_owners():
    """N = 2: kappa = 1/2, eta* = 2.5 - 2 = .5."""
    assert float(one_round(equals(2)).of(Committed).eta) == pytest.approx(0.5, **FLOAT32)


def test_many_equal_owners_come_near_the_limit():
    """eta* -> 1.5 and U_s -> 2.5 ln 2.5 - 1.5 = .7907; at N = 200 kappa = 199/200: eta* = 2.5 -
    200/199 = 1.494975.
    """
    report = one_round(equals(200))
    kappa = 199 / 200
    assert float(report.of(Committed).eta) == pytest.approx(2.5 - 1 / kappa, **FLOAT32)
    assert mean_of(report, "leader") == pytest.approx(
        2.5 * math.log(2.5 * kappa) - 2.5 + 1 / kappa, abs=1e-5
    )
    assert mean_of(report, "leader") == pytest.approx(0.7907, abs=0.01)


def test_six_unequal_owners_and_centres():
    """The page's printed digits, and its owner and centres who stay out."""
    report = one_round(game_of(n_owners=6, n_centres=6, types=SIX))
    assert float(report.of(Committed).eta) == pytest.approx(1.179593, abs=1e-6)
    given = report.of(Contributed)
    assert given.x[0].tolist() == pytest.approx(
        [0.21678, 0.20191, 0.19071, 0.17168, 0.15734, 0], abs=5e-6
    )
    assert float((given.x * given.true).sum()) == pytest.approx(0.893356, abs=1e-6)
    assert of_role(report, "owner")[0].tolist() == pytest.approx(
        [0.06946, 0.05670, 0.04851, 0.03687, 0.02964, 0], abs=5e-6
    )
    assert report.of(Computed).work[0].tolist() == pytest.approx(
        [1.75953, 0.58651, 0, 0, 0, 0], abs=1e-5
    )
    assert float(of_role(report, "leader")) == pytest.approx(0.416284, abs=1e-6)


def test_the_authors_saved_results_of_two_owners():
    """NIID, N = 2, f = 1 and .9: U_s .033802 and a mean U_n of .09749; at a fixed eta of 1:
    -.030586 and .2507.
    """
    market = game_of(n_owners=2, n_centres=2, types={"quality": (1.0, 0.9)})
    solved, fixed = one_round(market), one_round(market, commit={0: {"eta": 1.0}})
    assert float(of_role(solved, "leader")) == pytest.approx(0.033802, abs=1e-6)
    assert mean_of(solved, "owner") == pytest.approx(0.09749, abs=5e-6)
    assert float(of_role(fixed, "leader")) == pytest.approx(-0.030586, abs=1e-6)
    assert mean_of(fixed, "owner") == pytest.approx(0.2507, abs=5e-5)


@pytest.mark.parametrize(
    "terms",
    [
        {"alpha": 8.0, "k": 1.0},
        {"lam": 0.5, "rho": 3.0, "eps": 2.0},
        {"caps": [0.05, 0.1, 1.0], "alpha": 9.0},
        {"sigma": (0.2, 3.0), "quality": (0.3, 1.0)},
    ],
    ids=str,
)
def test_truthful_play_is_the_equilibrium_of_the_solver(terms):
    """Of every seed: eta, x, work and all three utilities are those of ``stackelberg`` for the
    market's types.
    """
    market = game_of(n_centres=4, **terms)
    now = rounds.begin(market, torch.arange(8))
    own, centres = now.floor.types["owner"], now.floor.types["centre"]
    report, c = played(market, now)[1], market.config
    solved = stackelberg(
        own["quality"], centres["sigma"], c.alpha, c.k, c.lam, c.rho, c.eps, own["cap"]
    )
    pairs = {
        "eta": (report.of(Committed).eta, solved.eta),
        "x": (report.of(Contributed).x, solved.x),
        "d": (report.of(Computed).work, solved.d),
        "leader": (of_role(report, "leader")[:, 0], solved.leader),
        "owners": (of_role(report, "owner"), solved.owners),
        "centres": (of_role(report, "centre"), solved.centres),
    }
    for name, (one, two) in pairs.items():
        assert torch.allclose(one, two, rtol=1e-4, atol=2e-6), name
    assert (report.of(Contributed).x <= own["cap"]).all()


def test_exact_types_and_caps_are_those_of_float64():
    """0.97 and 0.3 are no numbers of float32, which would come as .9700000286 and .3000000119."""
    floor = rounds.begin(
        game_of(types={"quality": (1.0, 0.97, 0.3)}, caps=[0.3, 0.7, 1.0]), torch.tensor([0])
    ).floor
    assert floor.types["owner"]["quality"].tolist() == [[1.0, 0.97, 0.3]]
    assert floor.types["owner"]["cap"].tolist() == [[0.3, 0.7, 1.0]]


# --- what a strategic agent may try ---------------------------------------------------------------


def test_a_leader_that_reneges_gains_its_payment_without_escrow():
    """N = 10: eta* = 1.3889 more than it would have; with escrow there is no such move."""
    market = equals(10, escrow=False)
    kept, broken = one_round(market), one_round(market, pay={0: {"pay": 0.0}})
    gained = of_role(broken, "leader") - of_role(kept, "leader")
    assert float(gained) == pytest.approx(1.3889, abs=5e-5)
    half = one_round(market, pay={0: {"pay": 0.5}})
    assert float(half.flows["payment"].money.sum()) == pytest.approx(
        float(kept.flows["payment"].money.sum()) / 2, rel=1e-6
    )
    assert list(kept.flows) == ["charge", "payment", "fee", "fee_back"]
    assert kept.rewards[0].tolist() == pytest.approx(
        one_round(equals(10)).rewards[0].tolist(), abs=1e-9
    )
    assert [stage.name for stage in equals(10).stages] == ["commit", "contribute", "compute"]


def test_a_misreport_doubles_the_utility_once_the_leader_solves_by_it():
    """All .95, owner_0 reports 1 and contributes as of 1: .01330 -> .02645; U_s on the true
    data .5687 -> .5659.
    """
    market = equals(10, types={"quality": (0.95,) * 10})
    honest = one_round(market)
    assert mean_of(honest, "owner") == pytest.approx(0.01330, abs=5e-6)
    assert mean_of(honest, "leader") == pytest.approx(0.5687, abs=5e-5)
    told = torch.tensor([[1.0] + [0.95] * 9]).double()
    first = begun_again(market, contribute={0: {"report": 1.0}})
    eta = stackelberg(told, torch.ones(1, 10).double()).eta
    x = contributions(eta, told, 1.0)
    second = played(market, first, contribute={0: {"report": 1.0, "share": x[:, :1]}})[1]
    assert float(second.of(Committed).eta) == pytest.approx(float(eta), **FLOAT32)
    assert float(of_role(second, "owner")[0, 0]) == pytest.approx(0.02645, abs=5e-6)
    assert mean_of(second, "leader") == pytest.approx(0.5659, abs=5e-5)


def test_two_names_earn_more_than_one():
    """N = 10: with 11 names U = 1.4 / 121 each: .02314 for two where the leader solves by it;
    .02296 at once, by the old eta.
    """
    market = equals(10, identities=2)
    eta = torch.tensor([25 / 18]).double()
    by_eleven = 2 * contributions(eta, torch.ones(1, 11).double(), 1.0)[:, :1]
    others = {"identities": "1"}
    edits = {0: {"identities": "2", "share": by_eleven}}
    first = one_round(market, contribute=edits)
    assert first.of(Contributed).identities[0].tolist() == [2.0] + [1.0] * 9
    now = begun_again(market, contribute=edits)
    # 2.5 - 11/10 = 1.4
    again = float(stackelberg(torch.ones(1, 11).double(), torch.ones(1, 10).double()).eta)
    x = 2 * contributions(torch.tensor([again]).double(), torch.ones(1, 11).double(), 1.0)[:, :1]
    second = played(market, now, contribute={"all": others, 0: {"identities": "2", "share": x}})[1]
    assert float(second.of(Committed).eta) == pytest.approx(1.4, **FLOAT32)
    assert float(of_role(second, "owner")[0, 0]) == pytest.approx(0.02314, abs=5e-6)
    # the others see it: each contributes as one of eleven
    assert second.of(Contributed).x[0, 1:].tolist() == pytest.approx([float(x) / 2] * 9, **FLOAT32)


def test_names_share_what_an_owner_may_contribute():
    """A cap of .1 stays one of .1 under two names; without it each would give .126, together
    .252.
    """
    market = equals(10, identities=2, caps=0.1)
    now = begun_again(market, contribute={0: {"identities": "2"}})
    leader = rounds.observe(market, now)["leader"][0, 0]
    shown = rounds.stage_of(market, now).moves["leader"].observation.unpack(leader)
    assert shown["identities"].tolist() == [2.0] + [1.0] * 9 and shown[
        "cap"
    ].tolist() == pytest.approx([0.1] * 10)
    second = played(market, now, contribute={0: {"identities": "2", "share": 1.0}})[1]
    assert float(second.of(Contributed).x[0, 0]) == pytest.approx(0.1, **FLOAT32)


def test_a_rivals_names_share_its_cap():
    """Owner_0 may give .06, so .03 under each of two names; the others answer as to eleven, of
    whom two are held to that.
    """
    market = equals(10, identities=2, caps=[0.06] + [1.0] * 9)
    now = begun_again(market, contribute={0: {"identities": "2"}})
    report = played(
        market, now, commit={0: {"eta": 1.4}}, contribute={0: {"identities": "2", "share": 1.0}}
    )[1]
    caps = torch.tensor([[0.03] * 2 + [1.0] * 9]).double()
    x = contributions(torch.tensor([1.4]).double(), torch.ones(1, 11).double(), 1.0, caps)
    assert report.of(Contributed).x[0].tolist() == pytest.approx(
        [0.06, *x[0, 2:].tolist()], **FLOAT32
    )


def test_owners_who_agree_on_half_the_supply_earn_five_and_a_half_times_as_much():
    """eta fixed: U = eta/10 - x/1 with x = .0625: (.138889 - .0625) / .0138889 = 5.5; one
    defects best by .184.
    """
    market, half = equals(10), {"share": 0.0625}
    usual, agreed = one_round(market), one_round(market, contribute={"all": half})
    assert mean_of(agreed, "owner") / mean_of(usual, "owner") == pytest.approx(5.5, rel=1e-5)
    best = math.sqrt(25 / 18 * 9 / 16) - 9 / 16  # sqrt(P R) - R against R = 9/16 of the others
    defects = one_round(market, contribute={"all": half, 0: {"share": best}})
    # .184
    assert float(of_role(defects, "owner")[0, 0]) == pytest.approx(
        (math.sqrt(25 / 18) - 0.75) ** 2, rel=1e-5
    )


def test_centres_who_agree_on_little_work_earn_ten_times_as_much():
    """U_m = V/10 - cost: 1.25/10 = .125 against .0125."""
    agreed = one_round(equals(10), compute={"all": {"spend": 1e-6}})
    assert mean_of(agreed, "centre") == pytest.approx(0.125, rel=1e-4)


def test_official_play_leaves_out_what_cannot_be_contributed():
    """The six: interior first-order conditions give the owner of .6 less than nothing, of which
    nothing is played.

    All six owners: 1/kappa = sum(1/f) / 5; eta = 2.5 - 1/kappa; x_n = kappa eta / f (1 - kappa /
    f), below 0 for the last.
    """
    market = game_of(n_owners=6, n_centres=6, types=SIX, solver="official_foc")
    report = one_round(market)
    rates = [1 / f for f in SIX["quality"]]
    kappa = 5 / sum(rates)
    eta = 2.5 - 1 / kappa
    x = [kappa * eta * rate * (1 - kappa * rate) for rate in rates]
    assert x[-1] < 0 < min(x[:-1])
    assert float(report.of(Committed).eta) == pytest.approx(eta, **FLOAT32)
    assert report.of(Contributed).x[0].tolist() == pytest.approx([*x[:-1], 0.0], **FLOAT32)
    # answers to another payment are in proportion
    other = one_round(market, commit={0: {"eta": 2 * eta}})
    assert other.of(Contributed).x[0].tolist() == pytest.approx(
        [2 * y for y in x[:-1]] + [0.0], **FLOAT32
    )


# --- posted prices --------------------------------------------------------------------------------


def test_equal_costs_bring_the_price_down_to_the_cost():
    """Bertrand: r = c = 1, so owners and leader get what they get in the game, and centres
    nothing.
    """
    report = one_round(equals(10, pricing="posted"))
    assert report.of(Posted).lowest.tolist() == pytest.approx([1.0], **FLOAT32)
    assert mean_of(report, "leader") == pytest.approx(0.638437, abs=2e-6)
    assert of_role(report, "centre")[0].tolist() == pytest.approx([0.0] * 10, abs=1e-6)
    # equal shares of 1.25
    assert report.of(Computed).work[0].tolist() == pytest.approx([0.125] * 10, rel=1e-5)


def test_a_cartel_of_centres():
    """r = sqrt(c alpha k kappa_1) = sqrt(2.25) = 1.5: joint profit .25, U_s .638 -> .180."""
    report = one_round(equals(10, pricing="posted"), post={"all": {"price": 1.5}})
    assert float(of_role(report, "centre").sum()) == pytest.approx(0.25, abs=1e-5)
    assert mean_of(report, "leader") == pytest.approx(0.180, abs=5e-4)


def test_the_cheapest_centre_takes_all_at_just_below_the_second_cost():
    market = equals(3, pricing="posted", types={"sigma": (1.2, 1.0, 1.3)})
    report = one_round(market)
    price = report.of(Posted).price[0]
    assert price.tolist() == pytest.approx([1.2, 1.2, 1.3], rel=5e-6) and float(price[1]) < float(
        price[0]
    )
    assert report.of(Computed).work[0].nonzero().tolist() == [[1]]
    assert not report.flows["fee"].money[0, :, [0, 2]].any()
    profit = float(of_role(report, "centre")[0, 1])
    assert profit == pytest.approx(0.2 * float(report.of(Contributed).x.sum()), rel=1e-4)


@pytest.mark.parametrize("alpha", [5.0, 100.0, 1e3, 1e5])
@pytest.mark.parametrize("second", [1.1, 1.25, 1.4])
def test_the_cheapest_takes_all_and_none_works_at_a_loss_however_coarse_the_box_of_prices_is(
    alpha, second
):
    """Numbers of the box are up to 6e-8 apart, which is 3e-8 alpha k of money, far more than a
    millionth of the price 1.

    What it posts lies below the second cost by 1e-7 alpha k, or a millionth, and by no more than
    two such numbers beyond that.
    """
    market = equals(5, pricing="posted", alpha=alpha, types={"sigma": (second, 1.0, 2.0, 2.0, 2.0)})
    report = one_round(market)
    price, worth = report.of(Posted).price[0], alpha / 2
    assert (price >= torch.tensor([second, 1.0, 2.0, 2.0, 2.0]).double() * (1 - 1e-7)).all()
    assert report.of(Computed).work[0].nonzero().tolist() == [[1]]
    assert 0 < second - float(price[1]) < 1.5e-6 + 2.2e-7 * worth


def test_two_lowest_prices_share_the_work():
    report = one_round(
        equals(3, pricing="posted"), post={0: {"price": 1.2}, 1: {"price": 1.1}, 2: {"price": 1.1}}
    )
    work = report.of(Computed).work[0]
    assert work[0] == 0 and work[1] == work[2] > 0
    assert float(report.of(Contributed).charge.sum()) == pytest.approx(
        1.1 * float(report.of(Contributed).x.sum()), rel=1e-5
    )


@pytest.mark.parametrize("fees", ["proportional", "matched"])
def test_who_posts_more_computes_for_nobody_and_gets_nothing(fees):
    """Centres 1 and 2 post the lowest price and do all the work: they take the five owners in
    turn, and their fees.
    """
    market = equals(5, pricing="posted", fees=fees)
    report = one_round(market, post={"all": {"price": 1.2}, 1: {"price": 1.1}, 2: {"price": 1.1}})
    assert report.of(Matched).centre.tolist() == [[1, 2, 1, 2, 1]]
    assert of_role(report, "centre", report.of(Matched).matches)[0].tolist() == [0, 3, 2, 0, 0]
    assert report.flows["fee"].money.sum((0, 1)).nonzero().flatten().tolist() == [1, 2]
    charge = report.of(Contributed).charge[0]
    # equal charges of whom each has, or equal shares of all
    wanted = [3 / 5, 2 / 5] if fees == "matched" else [1 / 2, 1 / 2]
    got = report.flows["fee"].money[0, :, [1, 2]].sum(0) / charge.sum()
    assert got.tolist() == pytest.approx(wanted, rel=1e-6)
