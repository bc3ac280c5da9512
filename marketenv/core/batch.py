"""The mutable shell around the pure rounds that every door shares: a batch of running markets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import rounds, saved, tree
from marketenv.core.episodes import read_seeds
from marketenv.core.finished import Finished
from marketenv.core.market import Market, Report
from marketenv.core.policy import Policy
from marketenv.core.standing import Standing, look, opened, played


@dataclass(frozen=True)
class Turn:
    """What one step of a batch gives back.

    seen:    what the movers of the coming stage see, by role [markets, count, dim];
             rewards: 0 in the middle of a round
    report:  None in the middle of a round;
             terminated, truncated: also of markets that were over before
    over:    numbers of the markets that ended in this step;
             last: where those stand, before a restart
    final_seen: what is seen there
    """

    seen: rounds.ByRole
    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    truncated: Bool[Tensor, "markets"]
    report: Report | None = None
    over: Int[Tensor, "some"] | None = None
    last: rounds.Situation | None = None
    final_seen: rounds.ByRole | None = None


class Batch:
    """A batch of running markets: reset, step, restart, save and load. It adds no rule of its own.

    now: where the markets stand; None before the first reset
    """

    def __init__(self, market: Market, n_markets: int) -> None:
        self.market, self.n_markets = market, n_markets
        self.now: rounds.Situation | None = None
        self._standing: Standing | None = None
        self._seen: rounds.ByRole | None = None

    def reset(self, seed: Any, mask: Bool[Tensor, "markets"] | None = None) -> rounds.ByRole:
        """Start an episode: an integer seeds market k with seed + k, None goes on to fresh episodes
        of the last seed.

        A list names a seed, or None, for each market. With a mask only its markets start; the
        others stay where they are. Raises ValueError for impossible seeds, and where a mask leaves
        markets out before they started or in mid-round.
        """
        seeds = read_seeds(seed, self.n_markets, self.market.device, first=self._standing is None)
        if mask is not None and not bool(mask.all()) and self.in_round():
            raise ValueError(
                "a round is not over: all markets of a batch play a stage together. Reset all of"
                " them, or none."
            )
        everybody = torch.ones(self.n_markets, dtype=torch.bool, device=self.market.device)
        standing = opened(self.market, self._standing, everybody if mask is None else mask, seeds)
        if mask is None:
            standing = dataclasses.replace(
                standing, finished=Finished.nothing(self.market, self.n_markets)
            )
        return self._begin(standing)

    def _begin(self, standing: Standing, ends: rounds.ByRole | None = None) -> rounds.ByRole:
        """Begin the round, and say what the movers see; nobody plays where all are over.

        All are quoted in one call, which changes nothing for those that were quoted so before: a
        smaller batch would round otherwise, and a loaded file, which is quoted in one call too,
        would not go on to the bit.
        """
        now = (
            standing.start
            if bool(standing.over.all())
            else rounds.begun(self.market, standing.start)
        )
        return self._stand(standing, now, look(self.market, standing, now, ends))

    def _stand(
        self, standing: Standing, now: rounds.Situation, seen: rounds.ByRole
    ) -> rounds.ByRole:
        """Assign everything at once, when nothing can fail any more."""
        self._standing, self.now, self._seen = standing, now, seen
        return seen

    def step(
        self,
        actions: Mapping[str, Float[Tensor, "markets agents width"]],
        restart: bool = False,
        hold: Bool[Tensor, "markets"] | None = None,
    ) -> Turn:
        """Play one stage, by the actions of each role that moves; with ``restart`` every market
        that is over begins its next episode in the same step.

        Markets that were over before stay where they are, and so do those of ``hold``, in markets
        of one stage only: for them it is as if no round had been played. Raises ValueError as
        ``rounds.play_stage`` does; where anything is refused, also of the next episodes, nothing
        has changed.
        """
        if hold is not None and len(self.market.stages) > 1:
            raise ValueError(
                f"hold was given in a market of {len(self.market.stages)} stages, wanted one of one"
                " stage: a market that waits would be a stage behind the others."
            )
        (now, report), before = (
            rounds.play_stage(self.market, self.running(), actions),
            self.standing(),
        )
        if report is not None:
            return self._end_round(before, *played(before, now, report, hold), restart)
        made = {role: done.detach().to(torch.float32, copy=True) for role, done in actions.items()}
        standing = dataclasses.replace(before, moves=(*before.moves, made))
        seen, nobody = (
            self._stand(standing, now, rounds.observe(self.market, now)),
            torch.zeros_like(before.over),
        )
        return Turn(seen, torch.zeros_like(before.finished.earned), nobody, nobody)

    def _end_round(
        self, before: Standing, standing: Standing, report: Report, restart: bool
    ) -> Turn:
        """The end of a round, and the beginning of the next one.

        Markets that restart are opened before anything of the new round is computed for anybody.
        """
        over, old = standing.over, before.over
        index, truncated, last, ends = (
            (over & ~old).nonzero()[:, 0],
            over & ~report.terminated,
            None,
            None,
        )
        if len(index):
            last = (
                standing.start if len(index) == self.n_markets else tree.rows(standing.start, index)
            )
            ends = rounds.observe_end(self.market, last)
        if restart and bool(over.any()):
            standing = opened(self.market, standing, over)
        seen = self._begin(standing, None if bool(old.any()) else ends)
        of_ended = (None, None, None) if ends is None else (index, last, ends)
        return Turn(seen, report.rewards, report.terminated, truncated, report, *of_ended)

    def running(self) -> rounds.Situation:
        """Where the markets stand; ValueError before the first reset."""
        if self.now is None:
            raise ValueError("the market has not started: call reset() first.")
        return self.now

    def standing(self) -> Standing:
        """The round's beginning, its moves, who is over, and what is told; ValueError before
        the first reset.
        """
        self.running()
        assert self._standing is not None
        return self._standing

    def in_round(self) -> bool:
        """Whether a stage of the present round is played; ValueError before the first reset."""
        return len(self.standing().moves) > 0

    @property
    def report(self) -> Report | None:
        """The last finished round in full; None before the first one, and after a load."""
        return None if self._standing is None else self._standing.finished.report

    def infos(self) -> Mapping[str, Tensor]:
        """Facts of the last finished round [markets, agents], zeros before the first one and in
        markets that began anew.
        """
        return self.standing().finished.facts

    def seen(self) -> rounds.ByRole:
        """What the movers saw last: by role [markets, count, dim]."""
        assert self._seen is not None
        return self._seen

    def act(
        self, policies: Mapping[str, Policy], skip: frozenset[str] = frozenset()
    ) -> rounds.ByRole:
        """What the movers' policies do now, by role; rows of ``skip`` stay zero."""
        return rounds.act(self.market, policies, self.running(), skip, self._seen)

    def save(self, path: str | Path) -> None:
        """Write the whole running state: a loaded copy goes on to the bit on a CPU.

        Warns where the market holds a part that cannot be compared, so that no market can be sure
        to go on from the file.
        """
        saved.write(path, self._about, self.standing())

    def load(self, path: str | Path, restart: bool = False) -> rounds.ByRole:
        """Take up a saved state; ValueError for a damaged, foreign or impossible file, and nothing
        changes then.

        With ``restart`` the markets that are over begin their next episodes, as in ``step``.

        What was quoted is computed again from the state, so files stay small; of the last round
        only its infos are kept.
        """
        standing = saved.read(path, self.market, self._about, self.n_markets)
        if restart and bool(standing.over.any()):
            if standing.moves:
                raise ValueError(
                    f"a round is not over in {path}, where some markets are: they cannot begin anew"
                    " before it is."
                )
            return self._begin(opened(self.market, standing, standing.over))
        now = rounds.resume(self.market, standing.start, standing.moves, bool(standing.over.all()))
        return self._stand(standing, now, look(self.market, standing, now))

    @cached_property
    def _about(self) -> saved.Facts:
        """What tells the market from others; computed once, for it reads all of the data."""
        return saved.facts_of(self.market)
