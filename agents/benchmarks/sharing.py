"""Speed of the model-sharing market: a batch against single markets, 1,000 clients, training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from agents.benchmarks.case import Case, case
from agents.benchmarks.learners import seconds
from agents.benchmarks.markets import best_threads
from agents.lineups import find_profile
from agents.papers.ipfl.graphs import drawn_terms
from marketenv import make_market
from marketenv.core import clock, rounds, tree
from marketenv.core.market import Market
from marketenv.learners.exams import Exam
from marketenv.markets.model_sharing.rules import CLIENT
from marketenv.mechanisms import SharingTerms, share_models


def batch_against_loop(
    n_markets: int = 1024, n_clients: int = 10, looped: int = 64, device: str = "cpu"
) -> list[Case]:
    """Seconds to clear a round of many markets as one batch and market by market, and their ratio.

    The loop is scaled up from a few markets.

    Distances are drawn, nobody trains. Both settle the same markets with the same actions.
    """
    config = {"learner": None, "n_agents": n_clients, "max_cycles": 2, "device": device}
    market = make_market("model_sharing_v0", **config)
    now = _begun(market, n_markets)
    whole, threads = best_threads(partial(_cleared, market, now))
    ones = [_begun(market, 1, seed) for seed in range(min(looped, n_markets))]
    torch.set_num_threads(1)
    alone, together = [_cleared(market, one) for one in ones], _cleared(market, now)
    torch.testing.assert_close(torch.cat(alone), together[: len(ones)])  # so that the times compare
    each = _seconds(lambda: [_cleared(market, one) for one in ones]) / len(ones) * n_markets
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
    now = rounds.begin(market, torch.arange(first, first + n_markets, device=market.device))
    return now, rounds.act(market, find_profile(market), now)


def _cleared(market: Market, begun: tuple[rounds.Situation, rounds.ByRole]) -> Tensor:
    """The rewards of that round, once the market's device has finished it."""
    _, report = rounds.play_stage(market, *begun)
    assert report is not None
    clock.seconds(market.device)
    return report.rewards


def _seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def many_clients(n_clients: int = 1000, device: str = "cpu") -> list[Case]:
    """Seconds for graph and payments of one large market."""
    terms = drawn_terms(1, n_clients)
    reported, discounts = tree.mapped(
        lambda part: part.to(device), (terms.reported, terms.discounts)
    )

    def share() -> None:
        # terms remember their queue, so each call gets new ones
        share_models(SharingTerms(reported, discounts))
        clock.seconds(torch.device(device))

    least, threads = best_threads(share, 3)
    return [case(f"graph and payments, {n_clients} clients", least, "s", threads=threads)]


def training_round(n_rounds: int = 5, **arguments: Any) -> list[Case]:
    """Seconds of a round of ten clients on digits, and of its phases, medians."""
    market = make_market("model_sharing_v0", max_cycles=n_rounds + 1, **arguments)
    torch.set_num_threads(1)
    now, times, phases = rounds.begin(market, torch.arange(1, device=market.device)), [], []
    for _ in range(n_rounds):
        start = clock.seconds(market.device)
        now, report = rounds.advance(market, now, rounds.act(market, find_profile(market), now))
        times.append(clock.seconds(market.device) - start)
        assert report is not None
        phases.append(report.seconds)
    name = f"model_sharing_v0 on digits, {market.people.count} clients, one round"
    parts = {phase: statistics.median(s[phase] for s in phases) for phase in phases[0]}
    return [
        case(f"{name}: {k}", v, "s") for k, v in ({"all": statistics.median(times)} | parts).items()
    ]


def scores(
    n_markets: int = 128, n_clients: int = 10, repeats: int = 7, device: str = "cpu"
) -> list[Case]:
    """Seconds of the scores of all clients' models on each of ten classes of digits, both ways.

    In one pass, and class by class on an exam for each. The sides take turns. On a CPU the seconds
    are CPU time of the process, on one thread.
    """
    torch.set_num_threads(1)
    market = make_market("model_sharing_v0", n_agents=n_clients, max_cycles=1, device=device)
    floor = rounds.begin(market, torch.arange(n_markets, device=market.device)).floor
    world, models = floor.world, floor.models[CLIENT].params
    learner, exams = world.content.learner, world.content.validation
    whole = exams.exams[0].made
    parts = zip(whole.x.split(exams.sizes, 1), whole.y.split(exams.sizes, 1), strict=True)
    classes = [Exam(x, y, x.new_full(y.shape, 1 / y.shape[1])) for x, y in parts]
    times = seconds(
        {
            "one pass": lambda: learner.class_scores(models, whole, exams.sizes),
            "class by class": lambda: [learner.scores(models, exam) for exam in classes],
        },
        repeats,
        (1,),
        market.device,
        _busy_seconds,
    )
    name = f"model_sharing_v0 scores on digits, {n_markets} markets x {n_clients}"
    unit = "CPU s" if market.device.type == "cpu" else "s"
    ratio = times["class by class"] / times["one pass"]
    return [
        *(case(f"{name}: {side}", value, unit) for side, value in times.items()),
        case(f"{name}: class by class / one pass", ratio, "times"),
    ]


def _busy_seconds(device: torch.device) -> float:
    """CPU time of the process; on another device seconds, once it has finished all its work."""
    return time.process_time() if device.type == "cpu" else clock.seconds(device)


def cases(quick: bool = False, device: str = "cpu") -> Iterator[list[Case]]:
    """All measurements of this file, one after another; ``quick`` runs small sizes, for tests."""
    sizes = {"n_markets": 4, "n_clients": 3, "looped": 2} if quick else {}
    yield batch_against_loop(**sizes, device=device)
    yield many_clients(10 if quick else 1000, device)
    yield training_round(1 if quick else 5, device=device)
    sizes = {"n_markets": 2, "n_clients": 3, "repeats": 1} if quick else {}
    yield scores(**sizes, device=device)
