"""Rounds of the resource market: by hand, without trade, beyond what can be paid, who is known
for what, and what is shown.
"""

import math

import pytest
import torch
from resource_market_cases import (
    FLOAT32,
    acted,
    begun_again,
    equals,
    game_of,
    of_role,
    one_round,
    played,
    reports,
)

from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.markets.resource_market import Committed, Computed, Contributed, Matched, Paid
from marketenv.mechanisms import TripartiteGame
from marketenv.mechanisms.stackelberg import sne

# --- by hand --------------------------------------------------------------------------------------


def test_a_round_by_hand():
    """Two owners and two centres: eta = 1, x = (.2, .4), reports (1, .5), so that q = (.2, .2), and
    each is paid .5.

    Fees: lam rho x = 3 (.2, .4) = (.6, 1.2), V = 1.8. Centres spend .25 V and .5 V at costs e = 2
    (1, 2) = (2, 4): work .225 and .225, so each gets .9. True qualities are (.8, 0), the second
    owner's rows are junk: q true = (.16, 0).
    """
    market = game_of(
        n_owners=2,
        n_centres=2,
        lam=1.5,
        rho=2.0,
        eps=2.0,
        types={"quality": (0.8, 1.0), "sigma": (1.0, 2.0)},
        cash=100.0,
    )
    report = one_round(
        market,
        commit={0: {"eta": 1.0}},
        contribute={
            0: {"share": 0.2, "report": 1.0},
            1: {"share": 0.4, "report": 0.5, "conduct": "junk"},
        },
        compute={0: {"spend": 0.25}, 1: {"spend": 0.5}},
    )
    gain = 2.5 * math.log(1.16)
    wanted = [gain - 1, 0.5 - 0.6, 0.5 - 1.2, 0.9 - 0.45, 0.9 - 0.9]
    assert report.rewards[0].tolist() == pytest.approx(wanted, abs=1e-6)
    assert report.of(Computed).work[0].tolist() == pytest.approx([0.225, 0.225], abs=1e-6)
    money = {name: flow.money[0].tolist() for name, flow in report.flows.items()}
    near = lambda rows: [pytest.approx(row, abs=1e-6) for row in rows]  # noqa: E731
    assert list(money) == ["commitment", "charge", "payment", "refund", "fee", "fee_back"]
    assert money["commitment"] == near([[1.0]])
    assert money["charge"] == near([[0.6, 0.0], [0.0, 1.2]])
    assert money["payment"] == near([[0.5, 0.5]])
    assert money["refund"] == near([[0.0]])
    assert money["fee"] == near([[0.3, 0.3], [0.6, 0.6]])
    assert money["fee_back"] == near([[0.0, 0.0], [0.0, 0.0]])
    assert report.ledger.cash[0].tolist() == pytest.approx(
        [99, 99.9, 99.3, 100.9, 100.9, 0, 0, 0], abs=1e-6
    )
    assert float(report.terms["gain"]["leader"]) == pytest.approx(gain, abs=1e-6)
    assert report.terms["work"]["centre"][0].tolist() == pytest.approx([-0.45, -0.9], abs=1e-6)


def test_a_payment_that_nobody_is_due_goes_back():
    """All report a quality of 0: the fees are paid, since the work is done, and the escrow
    returns to the leader.
    """
    report = one_round(game_of(), contribute={"all": {"report": 0.0}})
    assert not report.flows["payment"].money.any() and report.flows["fee"].money.any()
    assert torch.equal(report.flows["refund"].money, report.flows["commitment"].money)
    assert float(of_role(report, "leader")) > 0  # it gains by true quality, and pays nothing


# --- where there is no trade ----------------------------------------------------------------------

LOUD = {
    "commit": {0: {"eta": 1.0}},
    "contribute": {"all": {"share": 0.5}},
    "compute": {"all": {"spend": 0.5}},
}
NOTHING = {
    "one owner": ({"n_owners": 1}, LOUD),
    "one centre": ({"n_centres": 1}, LOUD),
    "one of each": ({"n_owners": 1, "n_centres": 1}, LOUD),
    "no data": ({}, LOUD | {"contribute": {"all": {"share": 0.0}}}),
    "no work": ({}, LOUD | {"compute": {"all": {"spend": 0.0}}}),
    "no money": ({"cash": 0.0}, LOUD),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("escrow", [True, False])
@pytest.mark.parametrize("fees", ["proportional", "matched"])
def test_without_trade_everybody_gets_back_what_was_held(name, escrow, fees):
    config, edits = NOTHING[name]
    report = one_round(game_of(**config, escrow=escrow, fees=fees), **edits)
    assert not report.of(Matched).trade.any() and (report.of(Matched).centre == -1).all()
    assert not report.rewards.any() and not report.net.any()
    assert not report.of(Matched).edges().any()
    assert "There is no trade" in "\n".join(
        report.story([f"agent_{k}" for k in range(report.rewards.shape[1])])
    )


@pytest.mark.parametrize("name", ["one owner", "one centre", "one of each"])
def test_a_truthful_leader_commits_nothing_where_there_can_be_no_trade(name):
    assert not one_round(game_of(**NOTHING[name][0])).of(Committed).eta.any()


@pytest.mark.parametrize(("alpha", "trades"), [(2.2, False), (2.3, True)])
def test_there_is_trade_where_alpha_k_kappa_is_above_one(alpha, trades):
    """N = 10, f = 1: kappa = .9, k = 1/2, so the border is alpha = 1 / (.5 * .9) = 2.2222."""
    assert bool(one_round(equals(10, alpha=alpha)).of(Matched).trade) == trades


# --- what cannot be paid --------------------------------------------------------------------------


def test_a_payment_above_the_leaders_cash_counts_as_nothing_and_the_report_says_so():
    market = game_of(cash=1.0)
    report = one_round(market, commit={0: {"eta": 1.5}})
    assert (
        bool(report.of(Committed).refused)
        and not report.of(Committed).eta.any()
        and not report.flows["commitment"].money.any()
    )
    assert "The leader offers more than it has, which counts as nothing." in report.story(
        list("abcdefg")
    )
    fine = one_round(market, commit={0: {"eta": 1.0}})
    assert not fine.of(Committed).refused.any() and float(fine.of(Committed).eta) == pytest.approx(
        1.0, **FLOAT32
    )
    rich = one_round(game_of(cash=1.0, credit=1.0), commit={0: {"eta": 1.5}})
    assert float(rich.of(Committed).eta) == pytest.approx(1.5, **FLOAT32)


@pytest.mark.parametrize("cash", [0.1, 0.3333, 1e-3])
def test_a_truthful_leader_commits_all_that_it_has_where_that_is_too_little(cash):
    """eta* is about 1, and the box rounds cash up or down by 1e-7: neither is refused."""
    committed = one_round(game_of(cash=cash)).of(Committed)
    assert not committed.refused.any() and float(committed.eta) == pytest.approx(cash, abs=3e-7)
    assert float(committed.eta) <= cash


def test_owners_contribute_no_more_than_they_can_pay_the_computing_of():
    """lam rho = 2 and a purse of .5 let .25 of the data be computed, whatever is said."""
    report = one_round(
        game_of(cash=0.5, lam=2.0),
        commit={0: {"eta": 0.4}},
        contribute={"all": {"share": 1.0}, 1: {"share": 0.1}},
    )
    assert report.of(Contributed).x[0].tolist() == pytest.approx([0.25, 0.1, 0.25], **FLOAT32)
    assert report.of(Contributed).charge[0].tolist() == pytest.approx([0.5, 0.2, 0.5], **FLOAT32)
    assert (report.ledger.cash >= 0).all()


# --- who knows what of whom, and later rounds -----------------------------------------------------


def test_owners_are_known_by_what_they_were_paid_by_and_the_leader_solves_anew():
    market = game_of(types={"quality": (0.9, 0.95, 1.0)})
    now = rounds.begin(market, torch.tensor([0]))
    assert now.floor.types["owner"]["standing"].tolist() == [[0.9, 0.95, 1.0]]  # honest at first
    first, report = played(market, now, contribute={0: {"report": 0.6}, 1: {"conduct": "junk"}})
    types = first.floor.types["owner"]
    assert types["standing"][0].tolist() == pytest.approx([0.6, 0.95, 1.0], abs=1e-6)
    assert types["quality"].tolist() == [[0.9, 0.95, 1.0]]  # its own type stays
    assert torch.equal(types["last_share"], report.of(Contributed).x)
    assert report.of(Contributed).true[0].tolist() == [0.9, 0.0, 1.0]
    second = played(market, rounds.begun(market, first))[1]
    solved = sne(
        TripartiteGame(torch.tensor([[0.6, 0.95, 1.0]]).double(), torch.ones(1, 3).double())
    )
    assert float(second.of(Committed).eta) == pytest.approx(float(solved.eta), **FLOAT32)


def test_with_a_ratchet_no_contribution_falls():
    shares = [0.5, 0.2, 0.7]
    for ratchet, wanted in ((False, shares), (True, [0.5, 0.5, 0.7])):
        market = game_of(ratchet=ratchet, max_cycles=3)
        now, x = rounds.begin(market, torch.tensor([0])), []
        for share in shares:
            now, report = played(
                market, rounds.begun(market, now), contribute={0: {"share": share}}
            )
            x.append(float(report.of(Contributed).x[0, 0]))
        assert x == pytest.approx(wanted, **FLOAT32)


# --- matching, fees -------------------------------------------------------------------------------


def test_the_owner_of_most_data_gets_the_centre_of_most_work_and_ties_go_by_number():
    market = game_of(n_owners=3, n_centres=3)
    edits = {
        "contribute": {0: {"share": 0.1}, 1: {"share": 0.3}, 2: {"share": 0.2}},
        "compute": {0: {"spend": 0.1}, 1: {"spend": 0.2}, 2: {"spend": 0.3}},
    }
    report = one_round(market, **edits)
    assert report.of(Matched).centre.tolist() == [[0, 2, 1]]
    links = report.of(Matched).edges()[0]
    # leader 0, owners 1..3, centres 4..6
    assert links.nonzero().tolist() == [[1, 4], [2, 6], [3, 5]]
    assert of_role(report, "centre", report.of(Matched).matches)[0].tolist() == [1, 1, 1]
    same = {"contribute": {"all": {"share": 0.2}}, "compute": {"all": {"spend": 0.2}}}
    assert one_round(market, **same).of(Matched).centre.tolist() == [[0, 1, 2]]


def test_equal_costs_and_official_preferences_still_match_everybody():
    """sigma = 1: (1 - sigma) x = 0, so centres like all owners alike, and numbers decide."""
    assert one_round(equals(4, preferences="official")).of(Matched).centre.tolist() == [
        [0, 1, 2, 3]
    ]


def test_official_preferences_are_by_sigma():
    """Owners want high sigma, which the code calls power; a centre of sigma < 1 likes who
    contributes most.
    """
    market = game_of(types={"sigma": (0.2, 0.5, 0.4)}, preferences="official")
    report = one_round(market, contribute={0: {"share": 0.1}, 1: {"share": 0.3}, 2: {"share": 0.2}})
    # 1 takes the power of .5, then 2 that of .4
    assert report.of(Matched).centre.tolist() == [[0, 1, 2]]


def test_where_owners_outnumber_centres_each_centre_takes_as_many_as_it_has_to():
    """Five owners, two centres: three places each."""
    report = one_round(
        game_of(n_owners=5, n_centres=2),
        contribute={k: {"share": 0.1 + 0.1 * k} for k in range(5)},
        compute={0: {"spend": 0.1}, 1: {"spend": 0.2}},
    )
    assert report.of(Matched).centre.tolist() == [[0, 0, 1, 1, 1]]
    assert of_role(report, "centre", report.of(Matched).matches)[0].tolist() == [2, 3]


def test_matched_fees_go_to_the_centre_that_computes():
    report = one_round(
        game_of(fees="matched"), contribute={k: {"share": 0.1 * (k + 1)} for k in range(3)}
    )
    fee, centre = report.flows["fee"].money[0], report.of(Matched).centre[0]
    assert sorted(centre.tolist()) == [0, 1, 2]
    for n, m in enumerate(centre.tolist()):
        assert fee[n].nonzero().flatten().tolist() == [m] and float(fee[n, m]) == pytest.approx(
            0.1 * (n + 1), **FLOAT32
        )


def test_centres_say_whom_they_want_and_a_lie_changes_whom_they_get():
    """Owner 2 contributes most; truthful centres want it. Centre 0, whose work all want, says
    that it wants owner 0.
    """
    market = game_of(rank=True, fees="matched")
    shares = {k: {"share": 0.1 * (k + 1)} for k in range(3)}
    works = {k: {"spend": 0.3 - 0.1 * k} for k in range(3)}
    honest = one_round(market, contribute=shares, compute=works)
    assert honest.of(Matched).centre.tolist() == [[2, 1, 0]]
    liking = torch.tensor([[1.0, 0.5, 0.0]])
    lied = one_round(
        market, contribute=shares, compute=works | {0: {"spend": 0.3, "liking": liking}}
    )
    assert lied.of(Matched).centre.tolist() == [[0, 2, 1]]


# --- what is shown --------------------------------------------------------------------------------

EXTREMES = {
    "large": {
        "alpha": 1e6,
        "k": 1e6,
        "lam": 1e6,
        "rho": 1e6,
        "eps": 1e6,
        "sigma": (1e6, 1e6),
        "cash": 1e6,
        "credit": 1e6,
    },
    "small": {
        "alpha": 1e-6,
        "k": 1e-6,
        "lam": 1e-6,
        "rho": 1e-6,
        "eps": 1e-6,
        "sigma": (1e-6, 1e-6),
        "caps": 1e-6,
    },
    "large gain, small costs": {"alpha": 1e6, "lam": 1e-6, "eps": 1e-6, "sigma": (1e-6, 1e-6)},
    "small gain, large costs": {
        "alpha": 1e-6,
        "lam": 1e6,
        "eps": 1e6,
        "sigma": (1e-6, 1e6),
        "quality": (1e-6, 1.0),
    },
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("pricing", ["contest", "posted"])
@pytest.mark.parametrize("policy", ["truthful", "random"])
def test_observations_stay_in_their_boxes_and_utilities_finite_at_the_ends_of_the_numbers(
    name, pricing, policy
):
    market = game_of(
        pricing=pricing, escrow=False, identities=2, rank=pricing == "contest", **EXTREMES[name]
    )
    now = rounds.begin(market, torch.arange(2))
    while now.playing:
        for role, values in rounds.observe(market, now).items():
            box = rounds.stage_of(market, now).moves[role].observation
            assert ((values >= box.low) & (values <= box.high)).all() and values.isfinite().all()
        now, report = rounds.advance(
            market,
            now,
            rounds.act(market, dict.fromkeys(agent_names(market), market.policies[policy]), now),
        )
        assert report is None or (
            report.rewards.isfinite().all() and not report.ledger.cash[:, report.rows["fees"]].any()
        )
    assert all(values.isfinite().all() for values in rounds.observe_end(market, now).values())


def test_what_each_is_shown_of_the_others():
    """Owner_1 sees owners 0 and 2, in their order, and its own quality, whatever it said;
    centre_2 the centres 0 and 1.
    """
    market = game_of(
        types={"quality": (0.5, 0.6, 0.7), "sigma": (1.0, 2.0, 4.0)}, caps=[0.2, 0.4, 0.8], eps=0.5
    )
    now = begun_again(
        market, contribute={0: {"report": 0.9, "share": 0.5, "conduct": "junk"}, 1: {"report": 0.3}}
    )
    now, _ = rounds.play_stage(market, now, {"leader": torch.zeros(1, 1, 1)})
    move = rounds.stage_of(market, now).moves["owner"]
    shown = move.observation.unpack(rounds.observe(market, now)["owner"][0, 1])
    near = lambda *values: pytest.approx(values, rel=1e-6)  # noqa: E731
    assert shown["own_quality"].tolist() == near(0.6) and shown["own_cap"].tolist() == near(0.4)
    assert shown["quality"].tolist() == near(0.9, 0.7) and shown["cap"].tolist() == near(0.2, 0.8)
    assert float(shown["last_share"][0]) == pytest.approx(0.1, rel=1e-6)
    assert (
        shown["eta"].tolist() == near(1.25)
        and shown["unit_cost"].tolist() == near(1.0)
        and shown["round"].tolist() == [0.5]
    )
    now, _ = rounds.play_stage(market, now, {"owner": torch.zeros(1, 3, move.action.dim)})
    shown = (
        rounds.stage_of(market, now)
        .moves["centre"]
        .observation.unpack(rounds.observe(market, now)["centre"][0, 2])
    )
    assert shown["own_cost"].tolist() == near(2.0) and shown["cost"].tolist() == near(0.5, 1.0)
    assert shown["share"].tolist() == near(0.1, 0.2, 0.4) and shown["fees"].tolist() == near(0.7)


def test_who_is_alone_sees_nobody_else():
    market = game_of(n_owners=1, n_centres=1)
    now = rounds.begin(market, torch.tensor([0]))
    now, _ = rounds.play_stage(market, now, acted(market, now))
    shown = (
        rounds.stage_of(market, now)
        .moves["owner"]
        .observation.unpack(rounds.observe(market, now)["owner"][0, 0])
    )
    assert [shown[name].tolist() for name in ("quality", "cap", "identities", "last_share")] == [
        [0.0]
    ] * 4


def test_the_last_round_ends_the_game_and_a_cut_is_seen_by_nobody():
    for horizon, ends, share in (("end", True, 1.0), ("cut", False, 0.0)):
        market = game_of(horizon=horizon)
        now, told = rounds.begin(market, torch.tensor([0])), []
        for _ in range(2):
            now, report = played(market, rounds.begun(market, now))
            told.append(bool(report.terminated))
        assert told == [False, ends]
        last = rounds.observe(market, now)["leader"][0, 0]
        shown = market.moves[0].observation.unpack(last)
        assert float(shown["round"]) == share
        assert shown["quality"].tolist() == pytest.approx(
            now.floor.types["owner"]["standing"][0].tolist(), abs=1e-6
        )


def test_gains_and_quality_are_told_to_everybody_in_infos():
    report = reports(game_of())[0]
    facts = report.infos()
    assert torch.equal(facts["gain"], report.of(Paid).gain) and torch.equal(
        facts["counted"], report.of(Paid).counted
    )
    assert float(facts["committed"][0, 0]) == float(report.of(Committed).eta)
    assert of_role(report, "owner", facts["share"]).tolist() == report.of(Contributed).x.tolist()
    assert (
        of_role(report, "centre", facts["work_cost"]).tolist()
        == (-report.terms["work"]["centre"]).tolist()
    )
