"""Growth of the parameter market with the number of agents, where each buyer tries all sellers or a
few, and what so few cost in welfare.

All times are CPU time of the process on one thread, so that other work on the machine does not
count. Welfare is the sum of all agents' utilities over an episode: payments cancel.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from agents.benchmarks.case import Case, case
from agents.benchmarks.marketplace import seconds_of_round
from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.core.market import Market, Move, agent_names
from marketenv.core.policy import Policy
from marketenv.markets.parameter_trading.partners import PARTNER_RULES
from marketenv.metrics import Interval, paired_difference, ratio_interval

MARKET = "parameter_trading_v0"
# digits have too few rows for hundreds of owners that share none
SHARED = {"data_options": {"overlap": True}}


# --- growth ---------------------------------------------------------------------------------------


def growth(counts: tuple[int, ...], n_rounds: int = 2, **config: Any) -> list[Case]:
    """CPU seconds of a round of one market by its number of agents, and MiB of its quotes.

    Last comes the exponent: the slope of the logarithm of the seconds in that of the number, by
    least squares.
    """
    partners = config.get("partners")
    name = f"{MARKET} on digits, partners {partners or 'all'}"
    cases, seconds = [], []
    for n in counts:
        arguments = {**SHARED, **config, "n_agents": n}
        seconds.append(seconds_of_round(1, n_rounds, MARKET, **arguments))
        cases.append(case(f"{name}: {n} agents", seconds[-1], "CPU s/round", threads=1))
        market = make_market(MARKET, max_cycles=1, **arguments)
        quotes = rounds.begin(market, torch.arange(1)).quotes
        cases.append(case(f"{name}: quotes of {n} agents", tree.size(quotes) / 2**20, "MiB"))
    slope = statistics.linear_regression(*(list(map(math.log, v)) for v in (counts, seconds)))
    return [*cases, case(f"{name}: exponent in agents", slope.slope, "power")]


# --- welfare --------------------------------------------------------------------------------------


def silent(observation: Tensor, move: Move, keys: Tensor) -> Tensor:
    """Train at full effort, and buy nothing."""
    return move.write(observation, bid=0.0, ask=0.0, effort=1.0)


def welfare(market: Market, policy: Policy, n_seeds: int) -> Float64[Tensor, "seeds"]:
    """The sum of all agents' utilities over an episode, for each seed, money."""
    policies = dict.fromkeys(agent_names(market), policy)
    total = torch.zeros(n_seeds, dtype=torch.float64)
    for _, _, report in rounds.play(market, policies, torch.arange(n_seeds)):
        total += 0.0 if report is None else report.rewards.sum(1)
    return total


def cost_of_few(
    n_agents: int, counts: tuple[int, ...], n_seeds: int, n_rounds: int = 20, **config: Any
) -> list[Case]:
    """What few partners cost in welfare: paired by seeds with the market in which all are tried."""
    fixed = {"n_agents": n_agents, "max_cycles": n_rounds, **config}
    whole = make_market(MARKET, **fixed)
    everybody = welfare(whole, whole.policies["truthful"], n_seeds)
    # who buys nothing may as well try one seller only, which is faster
    alone = welfare(make_market(MARKET, partners=1, **fixed), silent, n_seeds)
    name = f"{MARKET} on digits, {n_agents} agents, {n_rounds} rounds, {n_seeds} seeds"
    rows = [
        case(f"{name}: welfare, all are tried", float(everybody.mean()), "money/episode"),
        case(f"{name}: welfare, nobody trades", float(alone.mean()), "money/episode"),
    ]
    for rule in PARTNER_RULES:
        for count in counts:
            market = make_market(MARKET, partners=count, partner_rule=rule, **fixed)
            few = welfare(market, market.policies["truthful"], n_seeds)
            title = f"{name}, partners {count} {rule}"
            cost, kept = (
                paired_difference(everybody, few),
                ratio_interval(few - alone, everybody - alone),
            )
            rows += interval_cases(f"{title}: cost", cost, "money/episode")
            rows += interval_cases(f"{title}: part of the gain of trade", kept, "ratio")
    return rows


def interval_cases(name: str, interval: Interval, unit: str) -> list[Case]:
    """The mean and the ends of its 95 % interval, where there are enough samples for one."""
    ends = {"": interval.mean, ", low": interval.low, ", high": interval.high}
    return [case(f"{name}{end}", value, unit) for end, value in ends.items() if value is not None]


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    if quick:
        small = {"data_options": {"max_examples": 300}}
        return [
            *growth((3, 4), partners=1, n_rounds=1),
            *cost_of_few(3, (1,), 2, n_rounds=1, **small),
        ]
    return [
        *growth((8, 16, 32, 64, 128, 256), partners=4),
        *growth((8, 16, 32, 64, 128)),
        *cost_of_few(16, (1, 2, 4, 8), 20),
    ]
