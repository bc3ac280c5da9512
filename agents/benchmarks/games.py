"""Rounds of two markets without a learner, beside the same rules in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.benchmarks import by_hand
from agents.benchmarks.case import Case, case
from agents.benchmarks.clocks import cpu_seconds
from agents.lineups import find_profile
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market, Report
from marketenv.markets.model_sharing.reports import Shared
from marketenv.markets.resource_market.match import Matched

LONG = 1_000_000_000  # rounds of an episode that does not end while it is measured


class Played(NamedTuple):
    """A round that truthful agents played.

    start:   where it began;   actions: of its stages;   report: of the round
    """

    market: Market
    start: rounds.Situation
    actions: list[rounds.ByRole]
    report: Report

    def again(self) -> None:
        """Play the round once more with the same actions, up to the next one's first move."""
        now = self.start
        for actions in self.actions:
            now, _ = rounds.advance(self.market, now, actions)


def truthful_round(name: str, n_markets: int) -> Played:
    """The first round of a market without a learner."""
    market = make_market(name, learner=None, max_cycles=LONG)
    start = now = rounds.begin(market, torch.arange(n_markets))
    profile, actions, report = find_profile(market), [], None
    while report is None:
        actions.append(rounds.act(market, profile, now))
        now, report = rounds.advance(market, now, actions[-1])
    return Played(market, start, actions, report)


def sharing_by_hand(played: Played) -> Callable[[], np.ndarray]:
    """That round of the model-sharing market in NumPy, from the clients' types and distances."""
    types = played.start.floor.types["client"]
    return partial(
        by_hand.sharing,
        sizes=types["sizes"].numpy(),
        costs=types["costs"].numpy(),
        needs=types["needs"].numpy(),
        efforts=types["effort_cost"].numpy(),
        distances=played.report.of(Shared).distance.numpy(),
    )


def resources_by_hand(played: Played) -> Callable[[], by_hand.Contest]:
    """That round of the resource market in NumPy, from types and what the agents do."""
    market, types = played.market, played.start.floor.types
    moves = {move.name: move for move in market.moves}
    does = {
        role: moves[role].action.read(actions)
        for stage in played.actions
        for role, actions in stage.items()
    }
    done: dict[str, Tensor] = {}
    for fields in does.values():
        done |= {name: numbers[..., 0] for name, numbers in fields.items()}
    return partial(
        by_hand.resources,
        quality=types["owner"]["quality"].numpy(),
        cost=types["centre"]["cost"].numpy(),
        eta=done["eta"][:, 0].numpy(),
        share=done["share"].numpy(),
        report=done["report"].numpy(),
        spend=done["spend"].numpy(),
        worth=market.config.alpha * market.config.k,
    )


def check_sharing(played: Played, utilities: np.ndarray) -> None:
    """Refuse to compare times of rules that give other numbers."""
    np.testing.assert_allclose(utilities, played.report.rewards.numpy(), rtol=1e-9, atol=1e-9)


def check_resources(played: Played, contest: by_hand.Contest) -> None:
    """The same for the resource market, whose matches are whole numbers."""
    report = played.report
    np.testing.assert_allclose(contest.utilities, report.rewards.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(contest.centre, report.of(Matched).centre.numpy())


# by market: the round in NumPy, and the check of its numbers
GAMES: dict[str, tuple[Callable[[Played], Callable[[], Any]], Callable[[Played, Any], None]]] = {
    "model_sharing_v0": (sharing_by_hand, check_sharing),
    "resource_market_v0": (resources_by_hand, check_resources),
}


def games_by_hand(n_markets: int = 4096, repeats: int = 5) -> list[Case]:
    """Agent-rounds a CPU second from given actions, in the market and by hand.

    Types are there before; by hand nothing is drawn, checked or kept.
    """
    torch.set_num_threads(1)
    cases: list[Case] = []
    for name, (rules, check) in GAMES.items():
        played = truthful_round(name, n_markets)
        plain = rules(played)
        check(played, plain())  # so that the times compare
        ours, theirs = cpu_seconds(played.again, repeats), cpu_seconds(plain, repeats)
        count, title = played.market.people.count * n_markets, f"{name}, {n_markets} markets"
        cases += [
            case(f"{title}: round from actions", count / ours, "agent-rounds/CPU s"),
            case(f"{title}: NumPy by hand", count / theirs, "agent-rounds/CPU s"),
            case(f"{title}: round / NumPy by hand", ours / theirs, "times its time"),
        ]
    return cases
