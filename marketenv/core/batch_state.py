"""The state of a running batch of markets, and how it changes: the pure part of ``Batch``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.episodes import EpisodeSeeds
from marketenv.core.finished import Finished
from marketenv.core.market import Market, Report


@dataclass(frozen=True)
class BatchState:
    """All that a running batch depends on, as a file holds it; quotes and observations follow.

    start:    the beginning of the present round
    moves:    actions of its earlier stages, by role [markets, count, width] each
    finished: what infos show of the last rounds;   episodes: what the seeds are made of
    over:     which markets ended and have not begun their next episodes   [markets]
    """

    start: rounds.Situation
    moves: tuple[rounds.ByRole, ...]
    finished: Finished
    episodes: EpisodeSeeds
    over: Tensor  # not checked yet where a file was just read

    @cached_property
    def over_markets(self) -> Int[Tensor, "some"]:
        """Numbers of the markets that are over."""
        return self.over.nonzero()[:, 0]

    @cached_property
    def n_over(self) -> int:
        """How many markets are over."""
        return self.over_markets.shape[0]


def opened(
    market: Market,
    before: BatchState | None,
    mask: Bool[Tensor, "markets"],
    seeds: Int[Tensor, "markets"] | None = None,
) -> BatchState:
    """The masked markets open episodes of these seeds; the others stay where they are.

    Where a seed is -1, or there are none, a market opens its next episode. No round has begun.
    """
    if before is not None and mask is before.over:
        index = before.over_markets
    else:
        index = mask.nonzero()[:, 0]
    everyone = index.shape == mask.shape
    if before is None:
        seeds = torch.full_like(mask, -1, dtype=torch.int64) if seeds is None else seeds
        episodes = EpisodeSeeds(seeds, torch.zeros_like(seeds)).begun(seeds, mask)
        nothing = Finished.nothing(market, len(mask))
        start = rounds.opened(market, episodes.seeds[index])
        return BatchState(start, (), nothing, episodes, torch.zeros_like(mask))
    episodes = before.episodes.begun(seeds, mask)
    start = rounds.opened(market, episodes.seeds if everyone else episodes.seeds[index])
    start = start if everyone else tree.put(before.start, index, start)
    finished = before.finished.emptied() if everyone else before.finished.cleared(mask)
    return BatchState(start, (), finished, episodes, before.over & ~mask)


def played(
    before: BatchState, now: rounds.Situation, report: Report, hold: Bool[Tensor, "markets"] | None
) -> tuple[BatchState, Report]:
    """The state of all markets at the end of a round, and its report.

    Markets that were over, and those of ``hold``, have not played it: they earn nothing, and infos
    show their last round as before.

    now: the next round's beginning, if all had played
    """
    waits = before.over if hold is None else before.over | hold
    waiting = before.n_over > 0 if hold is None else bool(waits.any())
    if waiting:
        index = waits.nonzero()[:, 0]
        now = tree.put(now, index, tree.rows(before.start, index))
        rewards = report.rewards.masked_fill(waits[:, None], 0)
        terminated = rounds.terminated(now.floor)
        report = dataclasses.replace(report, rewards=rewards, terminated=terminated)
    finished = Finished.of(report)
    finished = finished.but(waits, before.finished) if waiting else finished
    return BatchState(now, (), finished, before.episodes, rounds.ended(now, report)), report


def look(
    market: Market, state: BatchState, now: rounds.Situation, ends: rounds.ByRole | None = None
) -> rounds.ByRole:
    """What the movers see where a batch stands.

    In a market that is over they see what they would see if it were the only one.

    ends: what they see there, where it is known
    """
    if state.moves or not state.n_over:
        return rounds.observe(market, now)
    index = state.over_markets
    if ends is None:
        ends = rounds.observe_end(market, tree.rows(state.start, index))
    if not now.playing:
        return ends
    observations = rounds.observe(market, now)
    return {role: rows.index_put((index,), ends[role]) for role, rows in observations.items()}
