"""Distances from equilibrium, rationality, welfare: worked cases, properties, and what is
refused.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_market import a_round, relay_market

from marketenv import make_market
from marketenv.core import draws, rounds
from marketenv.core.ledger import net
from marketenv.core.market import agent_names
from marketenv.metrics import (
    budget_balance,
    efficiency,
    exploitability,
    gini,
    ir_violation,
    meta_regret,
    nash_conv,
    participation,
    per_capita,
    price_of_anarchy,
    relative_loss,
    revenue,
    strategy_l2,
    strategy_linf,
    total_gain,
)

SEEDS = st.integers(0, 2**40)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# --- equilibrium ----------------------------------------------------------------------------------


def test_truth_in_a_double_auction_loses_to_the_linear_equilibrium():
    """Chatterjee and Samuelson: against the seller's ask 2/3 c + 1/4, the bid 2/3 v + 1/12
    earns 9/128, the truth 91/1728.
    """
    v, c = draws.uniform(torch.tensor(1), 2, 4000)
    ask = 2 / 3 * c + 1 / 4

    def buyer(bid):
        return torch.where(bid >= ask, v - (bid + ask) / 2, 0.0)

    best = buyer(2 / 3 * v + 1 / 12)
    assert float(best.mean()) == pytest.approx(9 / 128, abs=4 * float(best.std()) / 4000**0.5)
    # a truthful bid earns (v - ask) / 2 where the ask, uniform on 1/4 .. 11/12, is below v: with x
    # = v - 1/4 int 3/8 x^2 over x < 2/3, and int 3/8 (x^2 - (x - 2/3)^2) up to 3/4: 1/27 + 1/64
    truth = 1 / 27 + 1 / 64
    found = relative_loss(buyer(v), best)
    assert found.low <= 1 - truth / (9 / 128) <= found.high and found.low > 0
    assert relative_loss(best, best).mean == 0.0


def test_a_relative_loss_turns_its_interval_round():
    found = relative_loss(
        0.5 + draws.uniform(torch.tensor(1), 100), torch.full((100,), 2.0).double()
    )
    assert found.low < found.mean < found.high


@settings(max_examples=25)
@given(seed=SEEDS, n=st.integers(1, 30), scale=st.floats(1e-3, 1e3))
def test_strategy_distances(seed, n, scale):
    ours, theirs = draws.normal(torch.tensor(seed), 2, n)
    l2, linf = strategy_l2(ours, theirs), strategy_linf(ours, theirs)
    assert 0 <= l2 <= linf * (1 + 1e-12) and linf <= l2 * n**0.5 * (1 + 1e-12)
    assert strategy_l2(scale * ours, scale * theirs) == pytest.approx(scale * l2)
    assert strategy_linf(ours, ours) == 0.0


def test_players_share_the_seeds_of_their_nash_conv():
    noise = draws.normal(torch.tensor(2), 300)
    # what one gains by luck the other loses: the sum is always 3
    found = nash_conv(torch.stack([1 + noise, 2 - noise]))
    assert found.total.mean == pytest.approx(3.0) and found.total.high - found.total.low < 1e-9
    assert found.players[0].high - found.players[0].low > 0.1 and len(found.players) == 2


@settings(max_examples=25)
@given(seed=SEEDS, shape=st.sampled_from([(2,), (2, 3), (3, 2, 2)]))
def test_a_mix_earns_the_mean_of_its_strategies(seed, shape):
    payoffs = draws.normal(torch.tensor(seed), len(shape), *shape)
    mixes = [draws.uniform(draws.fold(torch.tensor(seed), k), n) for k, n in enumerate(shape)]
    mixes = [mix / mix.sum() for mix in mixes]
    for mix, regrets in zip(mixes, meta_regret(payoffs, mixes), strict=True):
        assert (
            float(mix @ regrets) == pytest.approx(0.0, abs=1e-12) and float(regrets.max()) >= -1e-12
        )


def test_exploitability_is_only_for_two_players_and_a_constant_sum():
    pennies = torch.stack([tensor((1, -1), (-1, 1)), tensor((-1, 1), (1, -1))])
    assert exploitability(tensor(0, 2), pennies + 5) == 1.0  # a constant sum of 10 will do
    prisoners = tensor((3, 0), (5, 1))
    for gains, payoffs in (
        (tensor(2, 2), torch.stack([prisoners, prisoners.T])),
        (tensor(0, 0, 0), torch.zeros(3, 2, 2, 2).double()),
    ):
        with pytest.raises(ValueError, match="Use nash_conv"):
            exploitability(gains, payoffs)


# --- rationality ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=SEEDS, scale=st.floats(1e-3, 1e3))
def test_violations_scale_and_vanish_where_nobody_loses(seed, scale):
    utilities = draws.normal(torch.tensor(seed), 30, 3)
    found = ir_violation(utilities)
    assert (
        ir_violation(scale * utilities).mean == pytest.approx(scale * found.mean)
        and found.mean >= 0
    )
    assert ir_violation(utilities.abs()).mean == 0.0
    assert ir_violation(utilities, outside=float(utilities.min())).mean == 0.0
    assert ir_violation(utilities, outside=1.0).mean == pytest.approx(
        ir_violation(utilities - 1).mean
    )


def relay_report(**meant):
    """A round of the relay market: of its two buyers only the first one buys, at 1/2; a carrier
    takes 1/8.
    """
    market = relay_market(carriers=1)
    return a_round(
        market,
        rounds.begin(market, torch.arange(3)),
        price=0.5,
        take=[1.0, -1.0],
        fee=0.125,
        **meant,
    )[1]


def test_a_report_knows_who_took_in_what():
    report = relay_report()
    # 1/2 - 1/8, and 1/8
    assert revenue(report, "seller").mean == 0.375 and revenue(report, "carrier").mean == 0.125
    # both buyers together
    assert revenue(report, "buyer").mean == -0.5 and revenue(report, "escrow").mean == 0
    assert budget_balance(report).tolist() == [0, 0, 0]  # what was held has come back
    assert torch.equal(report.net, net(report.transfers)) and report.net[0].tolist() == [
        0.375,
        -0.5,
        0,
        0.125,
        0,
        0,
    ]


def test_what_an_auctions_operator_takes_in_is_its_revenue_and_no_agents():
    market = make_market("reference_v0", game="first_price", reserve=0.1)
    ((_, _, report),) = rounds.play(
        market, dict.fromkeys(agent_names(market), market.policies["truthful"]), torch.arange(40)
    )
    assert revenue(report, "operator") == revenue(report.transfers, [2])
    assert budget_balance(report).tolist() == pytest.approx(
        budget_balance(report.transfers, 2).tolist(), abs=1e-12
    )
    # no seller plays
    assert float(budget_balance(report).min()) >= 0 and revenue(report, "seller").mean == 0


def test_agents_of_one_market_are_one_sample():
    """Ten equal agents in each of 19 markets: 190 numbers, 19 samples, so no interval."""
    utilities = -draws.uniform(torch.tensor(1), 19, 1).expand(19, 10)
    assert ir_violation(utilities).low is None and participation(utilities < -0.5).low is None


@settings(max_examples=25)
@given(seed=SEEDS, agents=st.integers(1, 4), rows=st.integers(0, 2), scale=st.floats(1e-3, 1e6))
def test_money_is_conserved(seed, agents, rows, scale):
    transfers = scale * draws.uniform(torch.tensor(seed), 5, agents + rows, agents + rows)
    balance = budget_balance(transfers, agents)
    paid, received = (
        transfers[:, :agents, agents:].sum((1, 2)),
        transfers[:, agents:, :agents].sum((1, 2)),
    )
    # the agents' own cancel
    assert balance.tolist() == pytest.approx((paid - received).tolist(), abs=1e-9 * scale)
    assert float(revenue(transfers, list(range(agents + rows))).mean) == pytest.approx(
        0.0, abs=1e-9 * scale
    )


# --- welfare --------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=SEEDS, n=st.integers(1, 12), scale=st.floats(1e-3, 1e3))
def test_gini_lies_in_0_to_1_and_knows_no_unit(seed, n, scale):
    amounts = draws.uniform(torch.tensor(seed), 4, n)
    found = gini(amounts)
    assert bool((found >= 0).all()) and bool((found <= 1 - 1 / n + 1e-12).all())
    assert gini(scale * amounts).tolist() == pytest.approx(found.tolist())
    assert gini(amounts.flip(1)).tolist() == pytest.approx(found.tolist())
    # the definition
    apart = (amounts[:, :, None] - amounts[:, None]).abs().sum((1, 2)) / (2 * n * amounts.sum(1))
    assert found.tolist() == pytest.approx(apart.tolist(), abs=1e-12)


def test_gini_at_its_ends():
    # equal; one has all; nothing
    assert gini(tensor((2, 2, 2, 2), (0, 0, 0, 1), (0, 0, 0, 0))).tolist() == [0.0, 0.75, 0.0]


def test_total_gain_has_the_sign_of_what_is_better():
    accuracy = tensor((0.5, 0.5), (0.75, 0.5))
    assert total_gain(accuracy, accuracy + 0.125).mean == 0.25  # two agents
    assert total_gain(accuracy, accuracy + 0.125, lower_is_better=True).mean == -0.25


def test_pooled_training_may_be_beaten():
    assert efficiency(tensor(3.0), tensor(2.0)).mean == 1.5


def test_only_focal_agents_count():
    utilities = tensor((1, 100, 3), (5, 100, math.nan))
    focal = torch.tensor([[True, False, True], [True, False, False]])
    assert per_capita(utilities, focal).mean == 3.5  # (2 + 5) / 2: each market counts once


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relative_loss(tensor(1.0), tensor(0.0)), "above 0"),
        (lambda: strategy_l2(tensor(math.nan), tensor(1.0)), "finite"),
        (lambda: strategy_linf(tensor(), tensor()), "finite"),
        (lambda: nash_conv(tensor((math.nan, 1.0))), "finite"),
        (
            lambda: meta_regret(torch.zeros(2, 2, 2).double(), [tensor(1, 0), tensor(0.5, 0.6)]),
            "distribution",
        ),
        (
            lambda: meta_regret(torch.zeros(2, 2, 3).double(), [tensor(1, 0), tensor(1, 0)]),
            "wanted",
        ),
        (
            lambda: meta_regret(torch.full((2, 1, 1), math.nan).double(), [tensor(1), tensor(1)]),
            "not finite",
        ),
        (lambda: ir_violation(tensor((math.nan, 1.0))), "finite"),
        (lambda: budget_balance(torch.zeros(1, 2, 3).double(), 2), "square"),
        (lambda: budget_balance(torch.zeros(1, 2, 2).double(), 3), "agents"),
        (lambda: budget_balance(-torch.ones(1, 2, 2).double(), 2), "negative"),
        (lambda: budget_balance(torch.full((1, 2, 2), math.inf).double(), 2), "not finite"),
        (
            lambda: total_gain(torch.zeros(2, 2).double(), torch.zeros(2, 2).double() * math.nan),
            "finite",
        ),
        (lambda: price_of_anarchy(4.0, tensor(5.0)), "equilibria"),
        (lambda: price_of_anarchy(4.0, tensor(0.0)), "equilibria"),
        (lambda: price_of_anarchy(4.0, tensor()), "equilibria"),
        (lambda: gini(tensor((-1.0, 2.0))), "finite amounts"),
        (lambda: gini(tensor((math.nan, 2.0))), "finite amounts"),
        (lambda: budget_balance(torch.zeros(1, 2, 2).double()), "agents"),
        (
            lambda: revenue(torch.zeros(1, 2, 2).double(), [2]),
            r"who is \[2\]; wanted one or more of 0 .. 1",
        ),
        (lambda: revenue(torch.zeros(1, 2, 2).double(), []), "wanted one or more of"),
        (lambda: revenue(torch.zeros(1, 2, 2).double(), "seller"), "or a report and a name in it"),
        (
            lambda: revenue(relay_report(), "sellers"),
            r"no role or account 'sellers'\. Did you mean 'seller'",
        ),
        (lambda: per_capita(tensor((1.0, 2.0)), torch.tensor([[False, False]])), "focal"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
