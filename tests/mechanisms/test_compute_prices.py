"""Compute fees and posted prices: worked rows, golden numbers, and prices by brute force."""

import math

import pytest
import torch
from data_cases import money
from hypothesis import given, settings
from hypothesis import strategies as st
from resource_cases import QUALITY, SIGMA

from marketenv.core import draws
from marketenv.mechanisms import (
    COMPUTE_FEES,
    PRICINGS,
    bertrand_price,
    cheapest_shares,
    collusive_price,
    contest_utilities,
    leader_optimum,
    posted_profits,
    price_response,
    reservation_price,
    stackelberg,
)

INF = math.inf
TEN = torch.ones(1, 10).double()

# --- fees -----------------------------------------------------------------------------------------

FEES = {  # name: (charges, d, matching, fees, where they come from)
    "proportional": (
        [6, 3],
        [1, 2],
        [0, 0],
        [2, 4, 1, 2],
        "U_m: d / sum d = 1/3, 2/3 of every charge",
    ),
    "matched": (
        [6, 3],
        [1, 2],
        [1, -1],
        [0, 6, 0, 0],
        "owner 0 has centre 1, owner 1 has none and pays nothing",
    ),
}
ZERO = {  # whoever is charged or works
    "an owner contributes nothing": ([0, 3], [1, 2], [0, 1]),
    "nobody contributes": ([0, 0], [1, 2], [0, 1]),
    "nobody contributes or works": ([0, 0], [0, 0], [0, 1]),
}


def test_every_fee_rule_has_a_worked_row():
    assert FEES.keys() == COMPUTE_FEES.keys()


@pytest.mark.parametrize("name", FEES)
def test_fees(name):
    charges, d, matching, fees, reason = FEES[name]
    found = COMPUTE_FEES[name](money([charges]), money([d]), torch.tensor([matching]))
    assert found[0].flatten().tolist() == pytest.approx(fees, rel=1e-15), reason


@pytest.mark.parametrize("rule", COMPUTE_FEES)
@pytest.mark.parametrize("name", ZERO)
def test_contributions_of_zero_pay_no_fee(name, rule):
    charges, d, matching = ZERO[name]
    found = COMPUTE_FEES[rule](money([charges]), money([d]), torch.tensor([matching]))[0]
    assert found.sum(-1).tolist() == charges  # 0 where the charge is 0, never NaN


@pytest.mark.parametrize("name", COMPUTE_FEES)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**40), owners=st.integers(1, 6), centres=st.integers(1, 6))
def test_no_owner_pays_more_than_its_charge(name, seed, owners, centres):
    key = torch.tensor(seed)
    charges, d = (
        draws.uniform(draws.fold(key, 0), 5, owners),
        draws.uniform(draws.fold(key, 1), 5, centres),
    )
    d[0] = 0  # no centre offers work
    matching = draws.integers(draws.fold(key, 2), centres + 1, 5, owners) - 1
    fees = COMPUTE_FEES[name](charges, d, matching)
    assert (fees >= 0).all() and (fees.sum(-1) <= charges).all()  # to the bit
    served = d.sum(-1, keepdim=True) > 0 if name == "proportional" else matching >= 0
    assert torch.allclose(fees.sum(-1), torch.where(served, charges, 0.0), rtol=1e-13, atol=0)


def test_the_centres_receive_what_their_utility_says():
    solved = stackelberg(QUALITY, SIGMA)
    fees = COMPUTE_FEES["proportional"](solved.x, solved.d, torch.zeros(1, 6, dtype=torch.int64))
    assert torch.allclose(fees.sum(1) - SIGMA * solved.d, solved.centres, rtol=1e-12, atol=1e-15)
    assert torch.allclose(contest_utilities(solved.x.sum(-1), SIGMA, solved.d), solved.centres)


FAULTS = {
    "charges \\[1, 2\\], d \\[1, 2\\] and matching \\[1, 1\\] do not fit": (
        TEN[:, :2],
        TEN[:, :2],
        torch.zeros(1, 1).long(),
    ),
    "charge -1 at index": (-TEN[:, :2], TEN[:, :2], torch.zeros(1, 2).long()),
    "work inf at index": (TEN[:, :2], INF * TEN[:, :2], torch.zeros(1, 2).long()),
    "match 2 at index \\[0, 0\\]; wanted a centre's number, or -1": (
        TEN[:, :2],
        TEN[:, :2],
        2 * torch.ones(1, 2).long(),
    ),
    "charges is torch.float32": (TEN[:, :2].float(), TEN[:, :2], torch.zeros(1, 2).long()),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("name", COMPUTE_FEES)
@pytest.mark.parametrize("message", FAULTS)
def test_what_no_fee_rule_can_divide_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        COMPUTE_FEES[name](*FAULTS[message])


# --- prices ---------------------------------------------------------------------------------------

# name: rows of (costs, price, where it comes from); ten owners of f = 1: alpha k K = 2.25
PRICES = {
    "bertrand": [
        ([1, 1], 1, "design page: equal costs, r = c"),
        ([1, 1.2, 3], 1.2, "the second cheapest cost, below 1.5"),
        ([1, 2], 1.5, "the monopoly's price sqrt(2.25) is below 2"),
        ([1, INF], 1.5, "a single centre is a monopoly"),
        ([4], 4, "above 2.25 nothing is traded"),
    ],
    "collusive": [
        ([1, 1], 1.5, "design page: r = sqrt(c alpha k K) = sqrt(2.25)"),
        ([0.25, 9], 0.75, "sqrt(.25 * 2.25) of the cheapest"),
        ([4, 5], 4, "above 2.25 nothing is traded"),
    ],
}


def test_every_pricing_has_a_worked_row():
    assert PRICES.keys() == PRICINGS.keys()


@pytest.mark.parametrize("name", PRICES)
def test_prices(name):
    for costs, price, reason in PRICES[name]:
        assert float(PRICINGS[name](money([costs]), TEN)) == pytest.approx(price, rel=1e-14), reason


def test_collusion_in_golden_numbers():
    # design page, c = 1: r = 1.5, joint profit .25, U_s .638 -> .180
    costs = torch.ones(1, 3).double()
    price = collusive_price(costs, TEN)
    assert float(posted_profits(price[:, None].expand(-1, 3), costs, TEN).sum()) == pytest.approx(
        0.25, rel=1e-12
    )
    utilities = [
        float(stackelberg(TEN, TEN, rho=r).leader) for r in (bertrand_price(costs, TEN), price)
    ]
    assert utilities == pytest.approx([0.638, 0.180], abs=5e-4)
    assert utilities[1] == pytest.approx(2.5 * math.log(1.5) - 2.5 + 1.5 / 0.9, rel=1e-12)
    assert float(posted_profits(costs, costs, TEN).abs().max()) == 0


def random_prices(seed, markets, centres):
    key = torch.tensor(seed)
    u = [draws.uniform(draws.fold(key, k), markets, centres) for k in range(2)]
    return (
        0.1 + u[0],
        (0.1 + u[0]) * (0.5 + 2 * u[1]),
        0.5 + 0.5 * draws.uniform(draws.fold(key, 2), markets, 5),
    )


def profits_on_grid(costs, prices, quality, centre, grid):
    """Profit of one centre at every price of a grid, the others' fixed: [markets, prices]."""
    tries = grid.shape[1]
    repeated = [x.repeat_interleave(tries, 0) for x in (prices, costs, quality)]
    repeated[0][:, centre] = grid.flatten()
    return posted_profits(*repeated)[:, centre].view(-1, tries)


def test_the_best_response_by_brute_force():
    costs, prices, quality = random_prices(2, 60, 3)
    response = price_response(prices, costs, quality)
    grid = torch.linspace(0.05, 3, 160).double().expand(60, -1)
    gains = []
    for centre in range(3):
        tried = torch.cat([response[:, centre, None], grid], -1)
        profits = profits_on_grid(costs, prices, quality, centre, tried)
        assert (profits[:, :1] >= profits - 1e-5).all()  # it undercuts by a millionth
        gains.append(profits[:, 0])
    assert (torch.stack(gains) >= 0).all() and float(
        (torch.stack(gains) > 1e-3).double().mean()
    ) > 0.2


def test_competition_at_equal_costs_is_an_equilibrium_and_collusion_is_none():
    costs = torch.ones(1, 3).double()
    grid = torch.linspace(0.5, 2.5, 401).double()[None]
    assert float(profits_on_grid(costs, costs, TEN, 0, grid).max()) <= 1e-12
    agreed = 1.5 * costs
    assert float(posted_profits(agreed, costs, TEN)[0, 0]) == pytest.approx(0.25 / 3, rel=1e-12)
    # undercutting takes the whole
    assert float(profits_on_grid(costs, agreed, TEN, 0, grid).max()) > 0.249
    undercut = price_response(agreed, costs, TEN, step=1e-3)
    assert torch.allclose(undercut, 0.999 * agreed, rtol=1e-14)


def test_no_common_price_earns_more_than_the_collusive_one():
    costs, _, quality = random_prices(3, 50, 3)
    best = collusive_price(costs, quality)
    factors = torch.linspace(0.3, 3, 100).double()
    cheapest = costs.amin(-1, keepdim=True)

    def joint(price):
        return posted_profits(
            torch.nn.functional.pad(price, (0, 1), value=INF), cheapest.expand(-1, 2), quality
        ).sum(-1)

    reached = joint(best[:, None])
    assert (reached >= 0).all() and float((reached > 1e-3).double().mean()) > 0.5
    assert all((joint(part * best[:, None]) <= reached + 1e-12).all() for part in factors)


def test_trade_ends_at_the_reservation_price():
    _, _, quality = random_prices(4, 200, 2)
    most = reservation_price(quality)
    assert (leader_optimum(quality, 5.0, 0.5, most * 0.999) > 0).all()
    assert not leader_optimum(quality, 5.0, 0.5, most * 1.001).any()


@pytest.mark.parametrize("quality", [money([[1.0]]), money([[1.0, 0.0]]), TEN])
def test_where_no_centre_takes_part_there_is_no_price(quality):
    # also where owners too few for a contest would buy nothing at any price
    nobody = money([[INF, INF]])
    for price in PRICINGS.values():
        assert price(nobody, quality).tolist() == [INF]
    costs = money([[1.0, INF]])
    assert float(price_response(costs, costs, quality)[0, 1]) == INF


def test_caps_bound_the_work_that_is_paid():
    costs, caps = money([[1.0, 2.0]]), 0.01 * TEN
    profits = posted_profits(money([[1.2, 2.0]]), costs, TEN, caps=caps)
    assert profits.tolist() == [pytest.approx([0.2 * 0.1, 0.0], rel=1e-12)]  # ten owners at x = .01


def test_who_posts_no_price_does_no_work():
    assert cheapest_shares(money([[INF, INF], [INF, 2.0]])).tolist() == [[0, 0], [0, 1]]
    assert posted_profits(money([[INF, INF]]), money([[1.0, 1.0]]), TEN).tolist() == [[0, 0]]


BAD = {
    "cost 0 at index \\[0, 1\\]; wanted money per unit of work > 0": money([[1.0, 0.0]]),
    "cost nan at index": money([[math.nan, 1.0]]),
    "costs \\[2, 1\\] do not fit quality \\[1, 10\\]": torch.ones(2, 1).double(),
    "costs \\[1, 0\\] do not fit": torch.ones(1, 0).double(),
    "costs is torch.float32": torch.ones(1, 2),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", BAD)
def test_costs_that_are_none_are_refused(message):
    for price in PRICINGS.values():
        with pytest.raises(ValueError, match=message):
            price(BAD[message], TEN)


@pytest.mark.usefixtures("as_for_a_user")
def test_prices_and_steps_that_are_none_are_refused():
    costs = torch.ones(1, 2).double()
    with pytest.raises(
        ValueError, match=r"price -1 at index \[0, 0\]; wanted money per unit of work > 0"
    ):
        posted_profits(-costs, costs, TEN)
    for step in (0.0, 1.0, math.nan):
        with pytest.raises(
            ValueError, match=r"step is .* the part by which a rival's price is undercut"
        ):
            price_response(costs, costs, TEN, step=step)
