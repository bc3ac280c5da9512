"""Speed of the model-sharing market: a batch against single markets, 1,000 clients, training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from agents.benchmarks.case import Case, case
from agents.benchmarks.markets import best_threads
from agents.lineups import find_profile
from agents.papers.ipfl.graphs import drawn_terms
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market
from marketenv.mechanisms import SharingTerms, share_models


def batch_against_loop(n_markets: int = 1024, n_clients: int = 10, looped: int = 64) -> list[Case]:
    """Seconds to clear a round of many markets as one batch and market by market, and their ratio.

    The loop is scaled up from a few markets.

    Distances are drawn, nobody trains. Both settle the same markets with the same actions.
    """
    market = make_market("model_sharing_v0", learner=None, n_agents=n_clients, max_cycles=2)
    now = _begun(market, n_markets)
    whole, threads = best_threads(partial(rounds.play_stage, market, *now))
    ones = [_begun(market, 1, seed) for seed in range(min(looped, n_markets))]
    torch.set_num_threads(1)
    alone, together = [_cleared(market, one) for one in ones], _cleared(market, now)
    torch.testing.assert_close(torch.cat(alone), together[: len(ones)])  # so that the times compare
    each = (
        _seconds(lambda: [rounds.play_stage(market, *one) for one in ones]) / len(ones) * n_markets
    )
    name = f"model_sharing_v0 clear, {n_markets} markets x {n_clients}"
    return [
        case(f"{name}: one batch", whole, "s", threads=threads),
        case(f"{name}: market by market, from {len(ones)}", each, "s"),
        case(f"{name}: loop / batch", each / whole, "times"),
    ]


def _begun(
    market: Market, n_markets: int, first: int = 0
) -> tuple[rounds.Situation, rounds.ByRole]:
    """Where truthful clients stand in their first round, and what they do."""
    now = rounds.begin(market, torch.arange(first, first + n_markets))
    return now, rounds.act(market, find_profile(market), now)


def _cleared(market: Market, begun: tuple[rounds.Situation, rounds.ByRole]) -> Tensor:
    """The rewards of that round."""
    _, report = rounds.play_stage(market, *begun)
    assert report is not None
    return report.rewards


def _seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def many_clients(n_clients: int = 1000) -> list[Case]:
    """Seconds for graph and payments of one large market."""
    terms = drawn_terms(1, n_clients)
    # terms remember their queue, so each call gets new ones
    seconds, threads = best_threads(
        lambda: share_models(SharingTerms(terms.reported, terms.discounts)), 3
    )
    return [case(f"graph and payments, {n_clients} clients", seconds, "s", threads=threads)]


def training_round(n_rounds: int = 5, **arguments: Any) -> list[Case]:
    """Seconds of a round of ten clients on digits, and of its phases, medians."""
    market = make_market("model_sharing_v0", max_cycles=n_rounds + 1, **arguments)
    torch.set_num_threads(1)
    now, times, phases = rounds.begin(market, torch.arange(1)), [], []
    for _ in range(n_rounds):
        start = time.perf_counter()
        now, report = rounds.advance(market, now, rounds.act(market, find_profile(market), now))
        times.append(time.perf_counter() - start)
        assert report is not None
        phases.append(report.seconds)
    name = f"model_sharing_v0 on digits, {market.people.count} clients, one round"
    parts = {phase: statistics.median(s[phase] for s in phases) for phase in phases[0]}
    return [
        case(f"{name}: {k}", v, "s") for k, v in ({"all": statistics.median(times)} | parts).items()
    ]


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    if quick:
        return batch_against_loop(4, 3, 2) + many_clients(10) + training_round(1)
    return batch_against_loop() + many_clients() + training_round()
