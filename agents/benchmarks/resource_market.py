"""Speed of the resource market: rounds by phase, and one batch against market by market."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from agents.benchmarks.case import Case, case
from agents.benchmarks.data import round_seconds
from agents.lineups import find_profile
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market, Report

MARKET = "resource_market_v0"
QUICK = {"n_owners": 3, "n_centres": 2, "communications": 1, "audit_rows": 8}


def timed_rounds(market: Market, seeds: torch.Tensor) -> list[tuple[float, Report]]:
    """Seconds and report of every round of truthful agents, their answers included."""
    profile = find_profile(market)
    now, timings, start = rounds.begin(market, seeds), [], time.perf_counter()
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
        if report is not None:
            timings.append((time.perf_counter() - start, report))
            start = time.perf_counter()
    return timings


def resource_rounds(kind: str, n_markets: int, n_rounds: int = 3, **config: Any) -> list[Case]:
    """Market-rounds a second, seconds by phase, and of all else: solving, observations.

    The first round warms up.
    """
    market = make_market(MARKET, max_cycles=n_rounds + 1, **config)
    torch.set_num_threads(1)
    timings = timed_rounds(market, torch.arange(n_markets))[1:]
    whole = statistics.median(seconds for seconds, _ in timings)
    split = [round_seconds(report) for _, report in timings]
    parts = {phase: statistics.median(one[phase] for one in split) for phase in split[0]}
    parts["all but phases"] = statistics.median(
        seconds - sum(one.values()) for (seconds, _), one in zip(timings, split, strict=True)
    )
    name = (
        f"{MARKET} {kind}, {n_markets} markets x {market.config.n_owners} owners and"
        f" {market.config.n_centres} centres"
    )
    rate: Case = case(f"{name}: rounds", n_markets / whole, "market-rounds/s", threads=1)
    return [
        rate,
        *(case(f"{name}: {part}", value, "s/round") for part, value in parts.items()),
    ]


def batch_against_loop(n_markets: int = 4096, looped: int = 32) -> list[Case]:
    """How much faster one batch plays a round than market after market, with equal utilities."""
    market = make_market(MARKET, learner=None, max_cycles=2)
    torch.set_num_threads(1)
    together, report = timed_rounds(market, torch.arange(n_markets))[-1]
    alone = [
        timed_rounds(market, torch.tensor([seed]))[-1] for seed in range(min(looped, n_markets))
    ]
    torch.testing.assert_close(
        torch.cat([one.rewards for _, one in alone]),
        report.rewards[: len(alone)],
        rtol=1e-6,
        atol=1e-6,
    )
    each = statistics.median(seconds for seconds, _ in alone) * n_markets
    name = f"{MARKET} the game alone, {n_markets} markets"
    return [case(f"{name}: loop / batch", each / together, "times")]


def audits(n_markets: int = 4, **config: Any) -> list[Case]:
    """Seconds of a round's audit of each kind, and how many times the loss drop's that is."""
    by_audit = {}
    for audit in ("loss_drop", "heldout", "shapley", "wasserstein"):
        market = make_market(MARKET, audit=audit, audit_round=0, max_cycles=2, **config)
        torch.set_num_threads(1)
        by_audit[audit] = round_seconds(timed_rounds(market, torch.arange(n_markets))[-1][1])[
            "audit"
        ]
    name = f"{MARKET} audit, {n_markets} markets"
    cases: list[Case] = [
        case(f"{name}: {audit}", value, "s/round") for audit, value in by_audit.items()
    ]
    ratios = {
        audit: value / by_audit["loss_drop"]
        for audit, value in by_audit.items()
        if audit != "loss_drop"
    }
    return cases + [
        case(f"{name}: {audit} / loss_drop", value, "times") for audit, value in ratios.items()
    ]


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    if quick:
        game = resource_rounds("the game alone", 4, 1, learner=None) + batch_against_loop(4, 2)
        return game + resource_rounds("on digits", 2, 1, **QUICK) + audits(1, **QUICK)
    game = resource_rounds("the game alone", 4096, learner=None) + batch_against_loop()
    return game + resource_rounds("on digits", 64) + audits()
