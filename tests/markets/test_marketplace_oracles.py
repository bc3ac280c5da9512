"""Oracles of the marketplace: with all other parts switched off it is each of the markets that it
is made of, to the bit.
"""

from dataclasses import replace

import pytest
import torch

from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets.data_market import TrainedOnPurchase
from marketenv.markets.data_market.config import OUTSIDE_OPTIONS
from marketenv.markets.table import make_market

SEEDS = torch.tensor([3, 4, 5])
PLAYERS = {"leader": "developer", "buyer": "developer", "seller": "owner"}
PLAYERS |= {"trader": "developer", "client": "developer"}
# what the part, and the whole in which it is alone, are told
CONTEST = {"learner": None, "n_owners": 3, "n_centres": 3}
DIRICHLET = {"partition": "dirichlet", "data_options": {"alpha": 0.1, "min_size": 5}}
PARTS = {
    "the contest": (
        ("resource_market_v0", CONTEST),
        CONTEST | {"n_developers": 1, "trade": None},
    ),
    "the contest with posted prices": (
        ("resource_market_v0", CONTEST | {"pricing": "posted"}),
        CONTEST | {"n_developers": 1, "trade": None, "compute": "posted"},
    ),
    "the contest with matched fees": (
        ("resource_market_v0", CONTEST | {"fees": "matched"}),
        CONTEST | {"n_developers": 1, "trade": None, "compute": "matched"},
    ),
    "trade of parameters": (
        ("parameter_trading_v0", {"n_agents": 4, "max_cycles": 3}),
        {"n_developers": 4, "n_owners": 0, "n_centres": 0, "cash": 20.0, "max_cycles": 3}
        | {"partition": "class_imbalance"},
    ),
    "models that are shared": (
        ("model_sharing_v0", {"n_agents": 4, "max_cycles": 3, "cash": 20.0, "credit": 0.0}),
        {"n_developers": 4, "n_owners": 0, "n_centres": 0, "cash": 20.0, "max_cycles": 3}
        | {"trade": "ipfl"}
        | DIRICHLET,
    ),
    "models that are shared, without training": (
        ("model_sharing_v0", {"n_agents": 4, "learner": None, "cash": 20.0, "credit": 0.0}),
        {"n_developers": 4, "n_owners": 0, "n_centres": 0, "cash": 20.0, "learner": None}
        | {"trade": "ipfl", "max_cycles": 20},
    ),
}


def replayed(part, whole, policy, one_model=False):
    """Both markets, the actions of the part's players played by those of the whole: pairs of what
    is seen, and of reports.

    one_model: the buyer of the part begins with the model of the whole's developer
    """
    here, there = rounds.begin(part, SEEDS), rounds.begin(whole, SEEDS)
    if one_model:
        models = {"buyer": there.floor.models["developer"]}
        here = replace(here, floor=here.floor.but(models=models))
    policies = dict.fromkeys(agent_names(part), part.policies[policy])
    while here.playing:
        seen = rounds.observe(part, here), rounds.observe(whole, there)
        actions = rounds.act(part, policies, here)
        here, report = rounds.advance(part, here, actions)
        named = {PLAYERS.get(role, role): action for role, action in actions.items()}
        there, other = rounds.advance(whole, there, named)
        yield seen, (report, other)
    assert not there.playing


@pytest.mark.parametrize("policy", ["truthful", "random"])
@pytest.mark.parametrize("name", PARTS)
def test_the_whole_with_the_rest_switched_off_is_each_part(name, policy):
    (market, arguments), config = PARTS[name]
    part, whole = make_market(market, **arguments), make_market("marketplace_v0", **config)
    closed = 0
    for (seen, other_seen), (report, other) in replayed(part, whole, policy):
        for role, value in seen.items():
            assert torch.equal(value, other_seen[PLAYERS.get(role, role)])
        assert (report is None) == (other is None)
        if report is not None:
            assert torch.equal(report.rewards, other.rewards)
            closed += 1
    assert closed == part.horizon


@pytest.mark.long
@pytest.mark.parametrize("outside_option", OUTSIDE_OPTIONS)
@pytest.mark.parametrize("rule", ["procurement", "posted", "leave_one_out", "shapley"])
def test_a_purchase_of_one_developer_is_that_of_the_data_market(rule, outside_option):
    """Selection, payments and models; the developer's utility is the fall of its loss instead.

    The first models of the two markets are drawn apart. It matters where the buyer may keep its
    own, so there both begin with one model.
    """
    types = {"money_per_accuracy": (300.0, 400.0), "cost_per_point": (0.05, 0.1)}
    types |= {"outside_option": outside_option}
    types |= {"points": 16, "pilots": (4, 8), "mixtures": 2, "communications": 2}
    same = {"rule": rule, "max_cycles": 2, "cash": 1000.0, "data_options": {"max_examples": 120}}
    same |= {"learner_options": {"hidden": (4,)}, "training": Training(learning_rate=0.5, steps=3)}
    part = make_market("data_market_v0", n_sellers=3, **same, **types)
    whole = make_market(
        "marketplace_v0",
        **same,
        **{"n_developers": 1, "n_owners": 3, "compute": None, "trade": None},
        partition="class_blocks",
        data_market=types,
    )
    owner, seller = whole.people.rows["owner"], part.people.rows["seller"]
    paid, one_model = 0.0, outside_option == "model"
    for (seen, other_seen), (report, other) in replayed(part, whole, "random", one_model):
        for role, value in seen.items():
            assert torch.equal(value, other_seen[PLAYERS.get(role, role)])
        if report is None:
            continue
        for name, flow in report.flows.items():
            booked = {"fee": "platform_fee"}.get(name, name)
            assert torch.equal(flow.money, other.flows[booked].money)
        assert torch.equal(report.rewards[:, seller], other.rewards[:, owner])
        purchase, same_purchase = report.of(TrainedOnPurchase), other.of(TrainedOnPurchase)
        assert torch.equal(purchase.realised, same_purchase.realised)
        assert torch.equal(purchase.adopted, same_purchase.adopted)
        paid += float(report.received[:, seller].sum())
    assert paid > 0
