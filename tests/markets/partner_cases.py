"""Small parameter markets in which buyers try a few sellers, and their episodes."""

import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names

LINEAR = {
    "data": "linear",
    "learner": "linear",
    "data_options": {"dimension": 5, "examples": 12, "validation_size": 40, "test_size": 20},
}
SMALL = {"data_options": {"overlap": True}, "learner_options": {"hidden": (6,)}, "max_cycles": 3}
SEEDS = torch.arange(3)


def market_of(**config):
    return make_market("parameter_trading_v0", **(SMALL | config))


def linear_market(**config):
    return make_market("parameter_trading_v0", **(LINEAR | {"max_cycles": 3} | config))


def everybody_plays(market, policy="truthful"):
    plays = market.policies[policy] if isinstance(policy, str) else policy
    return dict.fromkeys(agent_names(market), plays)


def episode(market, seeds=SEEDS, policy="truthful"):
    """(quotes, report) of every round."""
    now, played = rounds.begin(market, seeds), []
    policies = everybody_plays(market, policy)
    while now.playing:
        quotes = now.quotes
        now, report = rounds.advance(market, now, rounds.act(market, policies, now))
        played.append((quotes, report))
    return played, now
