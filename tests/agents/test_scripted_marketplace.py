"""Strategies in the marketplace: its own, and those of the markets that it is made of."""

import functools

import pytest
import torch
from scripted_cases import PURCHASE, SMALL, policy

from agents.markets import STRATEGIES
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.markets.data_market import Selected
from marketenv.markets.resource_market import Committed, Contributed
from marketenv.markets.training import Trained

KIND = "marketplace_v0"
TINY = SMALL[KIND] | {"n_developers": 2}


@functools.cache
def market_of(**config):
    return make_market(KIND, **TINY | config)


def first_round(market, played=(), seeds=2):
    """The first round; played: by agent the name of its strategy, the others are truthful."""
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    policies |= {agent: policy(name, market) for agent, name in dict(played).items()}
    reports = [report for *_, report in rounds.play(market, policies, torch.arange(seeds))]
    return next(report for report in reports if report is not None)


# --- its own --------------------------------------------------------------------------------------


def test_claim_reseller():
    """What developer_0 pays goes to developer_1 alone, and developer_1 pays owners as before."""
    market = market_of()
    report, truth = first_round(market, {"developer_0": "reseller"}), first_round(market)
    committed = report.of(Committed).eta.unflatten(0, (2, 2))
    assert not committed[:, 0].any() and torch.equal(
        committed[:, 1], truth.of(Committed).eta.unflatten(0, (2, 2))[:, 1]
    )
    rows = market.people.rows
    assert not report.transfers[:, 0, rows["owner"]].any()
    assert torch.equal(report.paid[:, 0], report.transfers[:, 0, 1])


def test_claim_data_buyer():
    """Where data_buyer is played by all no developer pays another one; owners and centres are paid
    as by the truth, for these parts of the first round come before.
    """
    market = market_of()
    report = first_round(market, dict.fromkeys(("developer_0", "developer_1"), "data_buyer"))
    truth = first_round(market)
    bought, before = (one.flows["purchases"].money for one in (report, truth))
    assert before.any() and not bought.any()
    others = slice(2, None)
    assert torch.equal(report.received[:, others], truth.received[:, others])
    assert bool((report.received[:, 2:4] > 0).all())


def test_a_reseller_buys_no_data_by_another_rule_either():
    market = make_market(KIND, **TINY, rule="posted", data_market=PURCHASE)
    report = first_round(market, {"developer_0": "reseller"})
    budget = report.of(Selected).budget.unflatten(0, (2, 2))
    assert not budget[:, 0].any()
    truth = first_round(market).of(Selected).budget.unflatten(0, (2, 2))
    assert torch.equal(budget[:, 1], truth[:, 1]) and bool((truth[:, 0] > 0).any())


# --- those of its parts ---------------------------------------------------------------------------


def test_a_strategy_plays_its_own_part_alone():
    market = market_of()
    truth, liar = market.policies["truthful"], policy("over_reporter", market)
    now = rounds.begin(market, torch.arange(2))
    changed = set()
    while now.playing:
        seen, stage = rounds.observe(market, now), rounds.stage_of(market, now)
        for role, move in stage.moves.items():
            flat, keys = seen[role][:, 0], torch.arange(2)
            if not torch.equal(truth(flat, move, keys), liar(flat, move, keys)):
                changed.add((stage.name, role))
        actions = rounds.act(market, dict.fromkeys(agent_names(market), truth), now)
        now, _ = rounds.advance(market, now, actions)
    assert changed == {("contribute", "owner")}


def test_an_over_reporter_says_one_to_every_developer():
    report = first_round(market_of(), {"owner_0": "over_reporter"})
    reported = report.of(Contributed).reported
    assert reported.shape == (4, 2)  # markets x developers, owners
    assert torch.allclose(reported[:, 0], torch.ones(4, dtype=torch.float64))
    assert bool((reported[:, 1] < 1).all())


def test_a_free_rider_leaves_training_and_buys_data():
    """The effort that is chosen in a round is that of the next one."""
    market = market_of(max_cycles=2)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    policies["developer_0"] = policy("free_rider", market)
    reports = [report for *_, report in rounds.play(market, policies, torch.arange(2))]
    second = [report for report in reports if report is not None][1]
    assert torch.equal(second.of(Trained).effort, torch.tensor([[0.0, 1.0]] * 2))
    assert bool((second.of(Committed).eta > 0).all())


@pytest.mark.parametrize("name", ["never_trade", "shade"])
def test_what_several_markets_know_is_played_in_all_parts(name):
    """Nobody pays a developer or an owner where developers never trade; who shades to two thirds
    commits two thirds.
    """
    market = market_of()
    developers = dict.fromkeys(("developer_0", "developer_1"), name)
    report, truth = first_round(market, developers), first_round(market)
    part = 0.0 if name == "never_trade" else 2 / 3
    assert torch.allclose(report.of(Committed).eta, part * truth.of(Committed).eta, rtol=1e-5)
    if name == "never_trade":
        assert not report.net.any()


def test_what_a_strategy_needs_is_said_in_the_marketplaces_words():
    assert STRATEGIES["sybil"].arguments(KIND) == {"resource_market": {"identities": 2}}
    assert STRATEGIES["price_shader"].arguments(KIND) == {"rule": "procurement"}
    assert STRATEGIES["cost_liar"].arguments(KIND) == {"trade": "ipfl"}
    assert STRATEGIES["reseller"].arguments(KIND) == STRATEGIES["truthful"].arguments(KIND) == {}
    assert STRATEGIES["sybil"].arguments("resource_market_v0") == {"identities": 2}
    assert STRATEGIES["fixed_leader"].role_in(KIND) == "developer"
    assert STRATEGIES["fixed_leader"].role_in("resource_market_v0") == "leader"
    assert STRATEGIES["price_shader"].role_in(KIND) == "owner"


def test_what_a_part_calls_otherwise_or_numbers_fits_the_marketplace():
    assert STRATEGIES["price_colluder"].arguments(KIND) == {"compute": "posted"}
    assert STRATEGIES["colluding_pair"].arguments(KIND) == {
        "parameter_trading": {"coalition": (0, 2)},
        "n_developers": 4,
    }


@pytest.mark.parametrize("name", [n for n, one in STRATEGIES.items() if KIND in one.markets])
def test_every_strategy_can_be_built_for_a_marketplace_of_its_own_arguments(name):
    small = {"data_options": {"max_examples": 100}, "max_cycles": 1}
    strategy = STRATEGIES[name]
    market = make_market(KIND, **small | strategy.arguments(KIND))
    assert callable(strategy.build(market))
    assert strategy.role_in(KIND) in (None, *(role.name for role in market.roles))


def test_a_strategy_refuses_a_marketplace_without_its_part():
    with pytest.raises(
        ValueError, match=r"has the parts resource_market_v0, parameter.*'trade': 'ipfl'"
    ):
        policy("cost_liar", market_of())
    with pytest.raises(ValueError, match="no builder for market 'marketplace_v0'"):
        policy("linear_equilibrium", market_of())
