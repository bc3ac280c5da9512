"""Money of the resource market adds up, whatever is played under whatever rules."""

from functools import partial

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from resource_market_cases import NAME, drawn, game_of, market_of, one_round

from marketenv.core import rounds
from marketenv.markets.resource_market import (
    AUDITS,
    CONDUCTS,
    Audited,
    Committed,
    Computed,
    Contributed,
    Matched,
    Paid,
)
from marketenv.markets.resource_market.config import AGGREGATIONS, BASES, GAINS, PRICES
from marketenv.mechanisms import (
    COMPUTE_FEES,
    PREFERENCES,
    QUALITY_SCALES,
    STACKELBERG_SOLVERS,
    matched_fees,
)
from marketenv.mechanisms.quality_scales import fixed

SEEDS = torch.tensor([0, 1])
FLOWS = {"commitment", "charge", "payment", "refund", "fee", "fee_back"}
CHOICES = {
    "escrow": [True, False],
    "fees": list(COMPUTE_FEES),
    "preferences": list(PREFERENCES),
    "rank": [False, True],
    "pricing": list(PRICES),
    "solver": list(STACKELBERG_SOLVERS),
    "identities": [1, 2, 5],
    "ratchet": [False, True],
    "caps": [1.0, 0.3, 1e-6],
    "n_owners": [1, 2, 5],
    "n_centres": [1, 2, 4],
    "cash": [0.0, 0.2, 1000.0],
    "credit": [0.0, 0.3],
    "alpha": [0.5, 5.0, 1e6],
    "sigma": [(1.0, 1.0), (1e-6, 1e6)],
    "horizon": ["end", "cut"],
}
TRAINED = {
    "audit": [None, *AUDITS],
    "audit_round": [0, 1],
    "basis": [*BASES],
    "scale": list(QUALITY_SCALES),
    "aggregation": list(AGGREGATIONS),
    "gain": list(GAINS),
    "conduct": [None, ("honest",), ("honest", "junk", "few"), tuple(CONDUCTS)],
    "algorithm": ["fedavg", "fedprox"],
}
DISTANCES = partial(fixed, ends=(-5.0, 0.0))  # a scale on which a distance of 5 is the worst
GIVEN = {"quality": [(1.0, 1.0), (0.1, 1.0)], "conduct": [None, ("honest",), tuple(CONDUCTS)]}


def check_round(market, start, report):
    """What holds of every round; start: where it began."""
    c, committed, given_, paid = (
        market.config,
        report.of(Committed),
        report.of(Contributed),
        report.of(Paid),
    )
    cash, before, rows = report.ledger.cash, start.floor.ledger.cash, report.rows
    assert (cash[:, rows["escrow"]] == 0).all() and (cash[:, rows["fees"]] == 0).all()
    assert torch.allclose(cash.sum(1), before.sum(1), rtol=1e-12, atol=1e-9)
    assert (cash >= -c.credit - 1e-9).all()
    assert report.flows.keys() == (FLOWS if c.escrow else FLOWS - {"commitment", "refund"})
    flows = {name: flow.money.sum((1, 2)) for name, flow in report.flows.items()}
    assert torch.allclose(flows["charge"], flows["fee"] + flows["fee_back"], rtol=1e-12, atol=1e-12)
    assert (report.flows["fee"].paid <= given_.charge * (1 + 1e-12)).all()
    if c.escrow:
        assert torch.equal(flows["commitment"], committed.eta)
        assert torch.allclose(
            flows["commitment"], flows["payment"] + flows["refund"], rtol=1e-12, atol=1e-12
        )
    assert (flows["payment"] <= committed.eta * (1 + 1e-12)).all() and (
        committed.eta[committed.refused] == 0
    ).all()
    check_shares(report, given_, paid)
    check_utility(report)
    assert ((paid.quality >= 0) & (paid.quality <= 1)).all()


def check_shares(report, given_, paid):
    """Payments go by x times quality; without trade nobody is paid and nobody works."""
    trade = report.of(Matched).trade
    money, q = (
        report.flows["payment"].money[:, 0],
        given_.x * paid.quality * (report.of(Matched).centre >= 0),
    )
    assert torch.allclose(
        money * q.sum(1, keepdim=True), money.sum(1, keepdim=True) * q, rtol=1e-9, atol=1e-9
    )
    assert not money[~trade].any() and not report.flows["fee"].money[~trade].any()
    assert not report.rewards[~trade].abs().gt(1e-9).any()
    centre = report.of(Matched).centre
    assert ((centre >= 0) == trade[:, None]).all() and (
        centre < report.of(Computed).work.shape[1]
    ).all()
    work = report.of(Computed).work
    # who takes owners
    takes = (
        (work > 0).sum(1, keepdim=True).clamp(min=1) if "post" in report.outcomes else work.shape[1]
    )
    assert (report.of(Matched).matches <= -(-centre.shape[1] // takes)).all()


def check_utility(report):
    """Utility is net money and named terms."""
    terms = torch.zeros_like(report.rewards)
    for by_role in report.terms.values():
        for role, value in by_role.items():
            terms[:, report.rows[role]] += value
    assert torch.allclose(
        report.rewards, report.net[:, : terms.shape[1]] + terms, rtol=1e-9, atol=1e-9
    )
    assert {name: set(by_role) for name, by_role in report.terms.items()} == {
        "gain": {"leader"},
        "work": {"centre"},
    }
    assert (report.terms["work"]["centre"] <= 0).all()


def play(market, seed, spread):
    now = rounds.opened(market, SEEDS)
    for turn in range(market.horizon):
        start = now = rounds.begun(market, now)
        report = None
        while report is None:
            now, report = rounds.play_stage(
                market, now, drawn(now, market, seed + 7 * turn + now.at, spread)
            )
        check_round(market, start, report)
        known = (
            report.of(Audited).quality
            if "audit" in report.outcomes
            else report.of(Contributed).reported
        )
        assert torch.equal(now.floor.types["owner"]["standing"], known)
    return report


def allowed(chosen):
    """A choice without what the market refuses: a basis without its audit, and posted prices
    where matches count.
    """
    if chosen.get("audit") is None and chosen.get("basis") == "audited":
        chosen = chosen | {"basis": "auto"}
    if chosen.get("audit") is not None and chosen.get("scale") == "fixed":
        chosen = chosen | {"audit_scale": DISTANCES}
    return chosen | {"rank": False} if chosen.get("pricing") == "posted" else chosen


def options(choices):
    return st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in choices.items()}
    )


@pytest.mark.long
@settings(max_examples=60, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(options(CHOICES | GIVEN), st.integers(0, 999), st.sampled_from([1.0, 5.0]))
def test_money_adds_up_in_the_game_alone(chosen, seed, spread):
    """By random actions and by those at the ends of their boxes."""
    play(game_of(**allowed(chosen)), seed, spread)


# to shrink a market takes minutes
@pytest.mark.long
@settings(max_examples=25, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(options(CHOICES | TRAINED), st.integers(0, 999), st.sampled_from([1.0, 5.0]))
def test_money_adds_up_where_models_are_trained_and_data_audited(chosen, seed, spread):
    play(market_of(**allowed(chosen)), seed, spread)


@pytest.mark.parametrize("escrow", [True, False])
@pytest.mark.parametrize(
    ("pricing", "fees"),
    [
        ("contest", "proportional"),
        ("contest", "matched"),
        ("posted", "proportional"),
        ("posted", "matched"),
    ],
)
def test_every_rule_trades(escrow, fees, pricing):
    """Truthful play of ten trades under each, so that what holds of rounds does not hold of
    empty ones alone.
    """
    market = game_of(escrow=escrow, fees=fees, pricing=pricing, n_owners=10, n_centres=4)
    now = rounds.begin(market, SEEDS)
    start, report = now, None
    policies = dict.fromkeys(
        [agent for role in market.roles for agent in role.agents], market.policies["truthful"]
    )
    while report is None:
        now, report = rounds.play_stage(market, now, rounds.act(market, policies, now))
    check_round(market, start, report)
    assert report.of(Matched).trade.all() and (report.flows["payment"].money.sum((1, 2)) > 0).all()
    assert (report.flows["fee"].money.sum((1, 2)) > 0).all() and market.name == NAME


def test_an_owner_without_a_centre_is_paid_nothing_owes_nothing_and_is_worth_nothing():
    """Owner 0 wants no centre: the others share the payment and the leader gains by them alone,
    2.5 ln(1 + sum of their q).
    """

    def nobody_for_the_first(x, d, sigma):
        wanted, liked = PREFERENCES["volume"](x, d, sigma)
        return wanted.index_fill(1, torch.tensor([0]), torch.inf), liked

    report = one_round(game_of(preferences=nobody_for_the_first))
    given_, paid = report.of(Contributed), report.of(Paid)
    assert report.of(Matched).centre[0].tolist() == [-1, 0, 1] and float(given_.x[0, 0]) > 0
    assert float(report.rewards[0, 1]) == 0
    assert float(report.flows["payment"].money.sum()) == pytest.approx(
        float(report.of(Committed).eta[0])
    )
    worth = 2.5 * (given_.x * given_.true)[0, 1:].sum().log1p()
    assert float(paid.gain.sum()) == pytest.approx(float(worth))


def test_fees_of_ones_own_that_are_rounded_above_a_charge_pay_the_charge():
    """A part of 1e-10 too much counts as rounding: 1e-11 of money, which no account ends a
    round with.
    """
    market = game_of(
        fees=lambda charges, d, matching: matched_fees(charges, d, matching) * (1 + 1e-10)
    )
    now, report = rounds.begin(market, SEEDS), None
    policies = dict.fromkeys(
        [agent for role in market.roles for agent in role.agents], market.policies["truthful"]
    )
    while report is None:
        start = now
        now, report = rounds.play_stage(market, now, rounds.act(market, policies, now))
    check_round(market, start, report)
    assert torch.allclose(
        report.flows["fee"].paid, report.of(Contributed).charge, rtol=1e-14, atol=0
    )


def equally(part, dtype=torch.float64):
    """Fees by which every centre gets an equal share of a part of what each owner is charged."""
    return lambda charges, d, matching: (
        (part * charges[:, :, None] / d.shape[1]).expand(-1, -1, d.shape[1]).to(dtype)
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"fees": equally(1.001)}, "more than an owner is charged, .* at most the charges"),
        # which rounds some tenth up
        ({"fees": equally(1.0, torch.float32), "n_centres": 10}, "compute in float64"),
        ({"fees": equally(-1.0)}, "an amount that is negative or not finite"),
        ({"fees": equally(torch.nan)}, "an amount that is negative or not finite"),
        (
            {"fees": lambda charges, d, matching: charges},
            r"money of shape \[4, 3\] float64, wanted \[4, 3, 3\] float64",
        ),
        (
            {"preferences": lambda x, d, sigma: x},
            "preferences returned a Tensor, wanted .ranks that owners give centres",
        ),
        (
            {"preferences": lambda x, d, sigma: (torch.full((4, 3, 3), torch.nan),) * 2},
            "preferences returned NaN",
        ),
        ({"solver": lambda game: 3}, "solver returned a int, wanted Stackelberg"),
    ],
    ids=["too much", "float32", "negative", "nan", "shape", "one rank", "nan ranks", "solver"],
)
def test_own_parts_that_return_what_nobody_can_pay_or_match_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        one_round(game_of(**config), seeds=range(4))


def test_own_fees_pay_what_they_say_and_the_rest_goes_back():
    report = one_round(game_of(fees=equally(0.5)))
    charged = report.of(Contributed).charge.sum()
    assert float(report.flows["fee"].money.sum()) == pytest.approx(float(charged) / 2)
    assert float(report.flows["fee_back"].money.sum()) == pytest.approx(float(charged) / 2)
