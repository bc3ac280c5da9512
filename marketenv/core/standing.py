"""How a running batch of markets stands, and how that changes: the pure part of ``Batch``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.episodes import Episodes
from marketenv.core.finished import Finished
from marketenv.core.market import Market, Report


@dataclass(frozen=True)
class Standing:
    """All that a running batch depends on, as a file holds it: what is quoted and seen follows from
    it.

    start:    the beginning of the present round;
              moves: actions of its earlier stages, by role [markets, count, width] each
    finished: what is told of the last rounds;   episodes: what the seeds are made of
    over:     which markets ended and have not begun their next episodes   [markets]
    """

    start: rounds.Situation
    moves: tuple[rounds.ByRole, ...]
    finished: Finished
    episodes: Episodes
    over: Tensor  # not yet checked where it was just read


def opened(
    market: Market,
    before: Standing | None,
    mask: Bool[Tensor, "markets"],
    seeds: Int[Tensor, "markets"] | None = None,
) -> Standing:
    """The masked markets begin episodes of these seeds, their next ones where a seed is -1 or none
    is given; no round has begun.

    The others stay where they are.
    """
    index, seeds = (
        mask.nonzero()[:, 0],
        torch.full_like(mask, -1, dtype=torch.int64) if seeds is None else seeds,
    )
    episodes = (
        Episodes(seeds, torch.zeros_like(seeds)) if before is None else before.episodes
    ).begun(seeds, mask)
    start = rounds.opened(market, episodes.seeds[index])
    if before is None:
        return Standing(
            start, (), Finished.nothing(market, len(mask)), episodes, torch.zeros_like(mask)
        )
    start = start if len(index) == len(mask) else tree.put(before.start, index, start)
    return Standing(start, (), before.finished.cleared(mask), episodes, before.over & ~mask)


def played(
    before: Standing, now: rounds.Situation, report: Report, hold: Bool[Tensor, "markets"] | None
) -> tuple[Standing, Report]:
    """Where all stand at the end of a round, and its report; those that were over, and those of
    ``hold``, have not played it.

    now: the next round's beginning, if all had played. Who has not played earns nothing, and its
        last round is told as before.
    """
    waits = before.over if hold is None else before.over | hold
    waiting = bool(waits.any())
    if waiting:
        index = waits.nonzero()[:, 0]
        now = tree.put(now, index, tree.rows(before.start, index))
        rewards = report.rewards.masked_fill(waits[:, None], 0)
        report = dataclasses.replace(
            report, rewards=rewards, terminated=rounds.terminated(now.floor)
        )
    finished = Finished.of(report)
    finished = finished.but(waits, before.finished) if waiting else finished
    return Standing(now, (), finished, before.episodes, rounds.ended(now, report)), report


def look(
    market: Market, standing: Standing, now: rounds.Situation, ends: rounds.ByRole | None = None
) -> rounds.ByRole:
    """What the movers see where a batch stands. In a market that is over: what they would see if it
    were the only one.

    ends: the latter, where it is known
    """
    index = standing.over.nonzero()[:, 0]
    if standing.moves or not len(index):
        return rounds.observe(market, now)
    if ends is None:
        ends = rounds.observe_end(market, tree.rows(standing.start, index))
    if not now.playing:
        return ends
    return {
        role: seen.index_put((index,), ends[role])
        for role, seen in rounds.observe(market, now).items()
    }
