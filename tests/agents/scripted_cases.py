"""What the tests of the scripted strategies share: building, playing, and means with their
standard errors.
"""

import torch

from agents.markets import STRATEGIES
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names

PAIRS = [(name, market) for name, strategy in STRATEGIES.items() for market in strategy.markets]
SMALL = {
    "parameter_trading_v0": {"max_cycles": 2},
    "model_sharing_v0": {"max_cycles": 2, "learner": None},
    "data_market_v0": {
        **{
            "max_cycles": 2,
            "learner_options": {"hidden": (4,)},
            "communications": 1,
            "pilots": (4, 8),
            "points": 16,
        },
        **{"mixtures": 2, "dimensions": 4, "private": False, "selection": "uniform"},
    },
    "resource_market_v0": {"max_cycles": 2, "learner": None, "n_owners": 3, "n_centres": 3},
    "marketplace_v0": {
        **{"n_developers": 4, "n_owners": 2, "n_centres": 2, "max_cycles": 1, "own_data": True},
        **{"data_options": {"max_examples": 120}, "learner_options": {"hidden": (4,)}},
    },
}
PURCHASE = {name: SMALL["data_market_v0"][name] for name in ("communications", "pilots", "points")}
PURCHASE |= {"mixtures": 2, "dimensions": 4, "private": False, "selection": "uniform"}

MANY = 40_960  # the standard error of a mean payoff is then about 0.001
SIGMAS = 4.5  # a sound mean leaves this band once in 150,000 seeds; the seeds are fixed


def policy(name, market):
    return STRATEGIES[name].build(market)


def play_once(market, policies, n_markets=MANY):
    """Report of the first round, where agent k plays policies[k]; a single policy is played by
    all.
    """
    names = agent_names(market)
    policies = policies if isinstance(policies, list) else [policies] * len(names)
    chosen = dict(zip(names, policies, strict=True))
    return next(
        report
        for _, _, report in rounds.play(market, chosen, torch.arange(n_markets))
        if report is not None
    )


def trade(market, who, policies, start=None, n_rounds=None):
    """Reports of every round; who [markets, agents] numbers the policies, start is where no
    round has begun.
    """
    now, reports = (
        rounds.begun(
            market, rounds.opened(market, torch.arange(len(who))) if start is None else start
        ),
        [],
    )
    while len(reports) < (n_rounds or market.horizon):
        now, report = rounds.advance(market, now, rounds.act_mixed(market, policies, who, now))
        if report is not None:
            reports.append(report)
    return reports


def assert_mean(sample, expected):
    """The mean of independent draws is as expected, within its own standard error."""
    error = float(sample.std() / len(sample) ** 0.5)
    found = float(sample.mean())
    assert abs(found - expected) <= SIGMAS * error + 1e-9, (
        f"mean {found:.5f} +- {error:.5f}, expected {expected:.5f}"
    )


MADE = {}  # markets by kind and arguments: nothing changes them, so strategies share them


def market_for(name, kind):
    """A market that the strategy can play, with what its config asks for."""
    arguments = arguments_for(name, kind)
    key = (kind, repr(arguments))
    if key not in MADE:
        MADE[key] = make_market(kind, **arguments)
    return MADE[key]


def arguments_for(name, kind):
    """The arguments of a small market that the strategy can play."""
    arguments = {**SMALL.get(kind, {}), **STRATEGIES[name].arguments(kind)}
    if arguments.get("rule") == "procurement":
        arguments["data_market"] = PURCHASE | arguments.get("data_market", {})
    return arguments
