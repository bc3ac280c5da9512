"""The marketplace's entry: its money computed a second time from its parts, a round in numbers, and
truths beside statements.
"""

import functools

import pytest
import torch
from scripted_cases import PURCHASE, SMALL, policy

from agents.markets import ENTRIES
from agents.papers.core.money import net
from agents.papers.core.played import steps
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names

KIND = "marketplace_v0"
ENTRY = ENTRIES[KIND]
TINY = SMALL[KIND] | {"n_developers": 2, "n_owners": 3, "max_cycles": 2}
PLAIN = {name: value for name, value in TINY.items() if name != "learner_options"}
CASES = {
    "contest and bargaining": {},
    "no work to sell": {"compute": None, "trade": "posted_price"},
    "an audit": {"quality": "wasserstein", "trade": None, "compute": "matched"},
    "contest and shared models": {"compute": "posted", "trade": "ipfl"},
    "procurement": {"rule": "procurement"},
    "purchase and shared models": {"rule": "posted", "compute": None, "trade": "ipfl"},
    "little cash": {"cash": 1.0},
    "one developer": {"n_developers": 1, "own_data": False},
    "parameters alone": {"rule": None},
    "models alone": {"rule": None, "trade": "ipfl"},
}
GAMES = {
    "a game": {"trade": None},
    "a game without work": {"compute": None, "trade": "ipfl"},
}


@functools.cache  # nothing changes a market
def market_of(name):
    if name in GAMES:
        return make_market(KIND, **PLAIN, learner=None, **GAMES[name])
    more = {"data_market": PURCHASE} if "rule" in CASES[name] and CASES[name]["rule"] else {}
    return make_market(KIND, **TINY | more | CASES[name])


@pytest.mark.parametrize("play", ["truthful", "random"])
@pytest.mark.parametrize("name", [*CASES, *GAMES])
def test_money_is_what_the_parts_say_that_it_is(name, play):
    """Net payments by the rules are the utility less what is not money, and the change of cash."""
    market = market_of(name)
    for before, report, after in steps(market, play, torch.arange(2)):
        owed = net(ENTRY.books.agreed(market, before, report))[:, : market.people.count]
        utility = report.rewards - ENTRY.books.goods(market, before, report, after)
        cash = (after.floor.ledger.cash - before.floor.ledger.cash)[:, : market.people.count]
        assert torch.allclose(utility, owed, rtol=0, atol=1e-9)
        assert torch.allclose(cash, owed, rtol=0, atol=1e-9)


def last_round(market, played=()):
    """Where the last move of the first round was made, and its report."""
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    policies |= {agent: policy(name, market) for agent, name in dict(played).items()}
    now, report = rounds.begin(market, torch.arange(2)), None
    while report is None:
        before = now
        now, report = rounds.advance(market, now, rounds.act(market, policies, now))
    return before, report


def test_facts_are_those_of_all_parts():
    """Sums over weights: an agent in two copies has a weight of 2 in a fact of these."""
    market = market_of("contest and bargaining")
    before, report = last_round(market, {"owner_0": "junk_supplier"})
    facts = ENTRY.facts(before, report)
    infos, rows = report.infos(), market.people.rows
    assert torch.equal(facts["payment"][0], infos["committed"])
    dishonest, weight = facts["dishonest"]
    assert dishonest[:, rows["owner"]].tolist() == [[2, 0, 0]] * 2
    assert weight[:, rows["owner"]].eq(2).all() and not weight[:, rows["developer"]].any()
    assert torch.equal(facts["loss"][0], infos["loss"].double())
    assert torch.equal(facts["paid"][0], report.paid)
    assert "gain" not in facts and "bid / worth" in facts  # the loss counts, not the formula


def test_every_kind_of_marketplace_tells_its_parts():
    names = {
        name: set(ENTRY.facts(*last_round(market_of(name))))
        for name in ("a game", "procurement", "models alone")
    }
    assert {"payment", "gain", "work"} <= names["a game"]
    assert {"ask / cost", "points", "work", "loss"} <= names["procurement"]
    assert {"cost / type", "effort"} <= names["models alone"]
    assert "payment" not in names["procurement"]


def test_statements_are_said_once_in_the_names_of_the_marketplace():
    market = market_of("contest and bargaining")
    before, report = last_round(market, {"owner_1": "over_reporter"})
    lines = list(ENTRY.statements(market, before, report, agent_names(market)))
    reports = [line for line in lines if line[2] == "report"]
    assert [line[0] for line in reports] == ["owner_0", "owner_1", "owner_2"]
    assert reports[1][4] == pytest.approx(1.0) and reports[0][3] == pytest.approx(reports[0][4])
    bids = [line for line in lines if line[2] == "bid"]
    assert [line[:2] for line in bids] == [
        ("developer_0", "worth of developer_1's model and bid"),
        ("developer_1", "worth of developer_0's model and bid"),
    ]
