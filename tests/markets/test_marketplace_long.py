"""A million random legal actions over random combinations of the marketplace's parts: no crash,
money is conserved, and all numbers stay finite.
"""

import random

import pytest
import torch

from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.core.policy import uniform_random
from marketenv.markets.resource_market import AUDITS
from marketenv.markets.table import make_market
from marketenv.mechanisms import DATA_RULES, MECHANISMS, SHARING_PAYMENTS

TRADES = (None, "ipfl", *MECHANISMS)
# actions of agents without training, and with it, which takes a thousand times as long
ALONE, TRAINED = 950_000, 50_000
SMALL = {"data_options": {"max_examples": 300}}


def ends_of_the_box(observation, move, keys):
    """Every action at an end of its box or in the middle: the smallest and largest bids and asks,
    no work at all, every audit.
    """
    return uniform_random(observation, move, keys).mul(1.5).round().clamp(-1, 1)


def config_of(draw, trained):
    """A random combination of parts; ``draw`` is a seeded ``random.Random``."""
    rules = (None, "contest", "contest", *(DATA_RULES if trained else ()))
    config = {
        "n_developers": draw.randint(1, 4),
        "n_owners": draw.choice((0, 1, 2, 3, 5)),
        "n_centres": draw.choice((0, 1, 2, 4)),
        "max_cycles": draw.randint(1, 2 if trained else 6),
        "horizon": draw.choice(("end", "cut")),
        "rule": draw.choice(rules),
        "compute": draw.choice((None, "contest", "posted", "matched")),
        "trade": draw.choice(TRADES),
        "cash": draw.choice((0.0, 0.5, 20.0, 1000.0)),
        "credit": draw.choice((0.0, 0.0, 3.0)),
        "own_data": draw.random() < 0.5,
        "resource_market": {
            "escrow": draw.random() < 0.7,
            "ratchet": draw.random() < 0.3,
            "identities": draw.choice((1, 1, 3)),
        },
        "model_sharing": {
            "payment": draw.choice(tuple(SHARING_PAYMENTS)),
            "graph": "exact",  # for which every payment is defined
            "exits": draw.choice(("none", "ir_strict", "ir_prob")),
            "reports": draw.choice(("once", "each_round")),
        },
    }
    config |= with_training(draw, config) if trained else {"learner": None}
    rule, trade = config["rule"], config["trade"]
    parts = {
        "data_market": rule in DATA_RULES,
        "resource_market": rule == "contest",  # these arguments of it are the contest's
        "parameter_trading": trade not in (None, "ipfl"),
        "model_sharing": trade == "ipfl",
    }
    return {name: value for name, value in config.items() if parts.get(name, True)}


def with_training(draw, config):
    """Further arguments where models are trained."""
    audited = config["rule"] == "contest" and draw.random() < 0.5
    data_market = {"points": 30, "pilots": (8, 16), "mixtures": 3, "communications": 2}
    data_market |= {"fee": draw.choice((0.0, 0.1)), "verify": draw.choice((0.0, 0.5))}
    parameters = {"max_purchases": draw.choice((1, 3))}
    return SMALL | {
        "quality": draw.choice(tuple(AUDITS)) if audited else "reported",
        "partition": draw.choice(("balanced", "class_imbalance")),
        "resource_market": config["resource_market"] | {"audit_round": 0, "communications": 1},
        "data_market": data_market,
        "parameter_trading": parameters,
    }


def check(market, report):
    """Money is conserved, nobody's escrow keeps any, and all numbers are finite."""
    ledger = report.ledger
    scale = max(1.0, float(ledger.cash.abs().max()))
    assert bool((ledger.net.sum(1).abs() < 1e-9 * scale).all())
    assert torch.allclose(report.net, ledger.net, atol=1e-9 * scale)
    for name in market.people.empty:
        assert bool((ledger.cash[:, market.people.rows[name]] == 0).all())
    credit = ledger.credit[:, : market.people.count]
    assert bool((ledger.cash[:, : market.people.count] >= -credit - 1e-6 * scale).all())
    assert bool(report.rewards.isfinite().all())
    for name, fact in report.infos().items():
        assert bool(fact.isfinite().all()), name


def play(market, policy, n_markets, seed):
    """Play an episode; returns the number of actions of agents."""
    policies = dict.fromkeys(agent_names(market), policy)
    seeds, actions_taken = seed * 4096 + torch.arange(n_markets), 0
    for observations, actions, report in rounds.play(market, policies, seeds):
        assert all(bool(part.isfinite().all()) for part in observations.values())
        actions_taken += sum(part.shape[0] * part.shape[1] for part in actions.values())
        if report is not None:
            check(market, report)
    return actions_taken


def many(trained, wanted, n_markets, seed):
    """Play random marketplaces up to a number of actions; returns the number of combinations."""
    draw, actions, combinations = random.Random(seed), 0, 0
    while actions < wanted:
        config = config_of(draw, trained)
        policy = draw.choice((uniform_random, ends_of_the_box))
        try:
            market = make_market("marketplace_v0", **config)
        except ValueError as error:
            assert "nobody moves" in str(error), config
            continue
        try:
            actions += play(market, policy, n_markets, combinations)
        except Exception as error:
            error.add_note(f"{policy.__name__}, episode {combinations}: {config}")
            raise
        combinations += 1
    print(f"{actions} actions of agents in {combinations} combinations, trained: {trained}")
    return combinations


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("trained", "wanted", "n_markets"), [(False, ALONE, 256), (True, TRAINED, 64)]
)
def test_a_million_random_actions_break_nothing(trained, wanted, n_markets):
    assert many(trained, wanted, n_markets, seed=0) > 20


@pytest.mark.parametrize("trained", [False, True])
def test_some_random_actions_break_nothing(trained):
    assert many(trained, 40, 2, seed=1) > 0
