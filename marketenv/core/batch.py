"""The mutable shell around the pure rounds that every door shares: a batch of running markets."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import rounds, saved, tree
from marketenv.core.batch_state import BatchState, look, opened, played
from marketenv.core.episodes import read_seeds
from marketenv.core.finished import Finished
from marketenv.core.market import Market, Report
from marketenv.core.phase import library
from marketenv.core.policy import Policy


@dataclass(frozen=True)
class Turn:
    """The results of one step of a batch.

    observations: what the movers of the coming stage see, by role [markets, count, dim]
    rewards:      0 in the middle of a round
    terminated, truncated: also of markets that were over before; False in the middle of a round
    report:       None in the middle of a round
    over:         numbers of the markets that ended in this step
    last:         where these markets stand, before a restart
    ends:         computes ``final_observations``, once
    """

    observations: rounds.ByRole
    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    truncated: Bool[Tensor, "markets"]
    report: Report | None = None
    over: Int[Tensor, "some"] | None = None
    last: rounds.Situation | None = None
    ends: Callable[[], rounds.ByRole] | None = None

    @property
    def final_observations(self) -> rounds.ByRole | None:
        """What the movers see of the markets that ended, before a restart; computed if asked for.

        None where no market ended.
        """
        return None if self.ends is None else self.ends()


class Batch:
    """A batch of running markets: reset, step, restart, save and load. It adds no rule of its own.

    now: where the markets stand; None before the first reset
    """

    def __init__(self, market: Market, n_markets: int) -> None:
        self.market, self.n_markets = market, n_markets
        self.now: rounds.Situation | None = None
        self._state: BatchState | None = None
        self._observations: rounds.ByRole | None = None

    def reset(self, seed: Any, mask: Bool[Tensor, "markets"] | None = None) -> rounds.ByRole:
        """Start an episode; an integer seeds market k with seed + k.

        None goes on to the next episodes of the last seed; a list names a seed, or None, for each
        market. With a mask only its markets start; the others stay where they are. Raises
        ValueError for impossible seeds, and where a mask leaves markets out before they started or
        in mid-round.
        """
        seeds = read_seeds(seed, self.n_markets, self.market.device, first=self._state is None)
        if mask is not None and not bool(mask.all()) and self.in_round():
            raise ValueError(
                "a round is not over: all markets of a batch play a stage together. Reset all of"
                " them, or none."
            )
        everybody = torch.ones(self.n_markets, dtype=torch.bool, device=self.market.device)
        state = opened(self.market, self._state, everybody if mask is None else mask, seeds)
        if mask is None:
            nothing = Finished.nothing(self.market, self.n_markets)
            state = dataclasses.replace(state, finished=nothing)
        return self._begin(state)

    def _begin(self, state: BatchState, ends: rounds.ByRole | None = None) -> rounds.ByRole:
        """Begin the round, and return what the movers see; nobody plays where all are over.

        All markets are quoted in one call: a smaller batch would round otherwise, and a loaded
        file, which is quoted in one call too, would not go on to the bit. For markets that were
        quoted before nothing changes.
        """
        now = state.start
        if state.n_over < self.n_markets:
            now = rounds.begun(self.market, now)
        return self._stand(state, now, look(self.market, state, now, ends))

    def _stand(
        self, state: BatchState, now: rounds.Situation, observations: rounds.ByRole
    ) -> rounds.ByRole:
        """Assign everything at once, when nothing can fail any more."""
        self._state, self.now, self._observations = state, now, observations
        return observations

    def step(
        self,
        actions: Mapping[str, Float[Tensor, "markets agents width"]],
        restart: bool = False,
        hold: Bool[Tensor, "markets"] | None = None,
    ) -> Turn:
        """Play one stage, by the actions of each role that moves.

        restart: every market that is over begins its next episode in the same step
        hold:    markets that stay where they are, as if no round had been played; in markets of one
                 stage only

        Markets that were over before stay where they are too. Raises ValueError as
        ``rounds.play_stage`` does; after an error, also in the next episodes, nothing has changed.
        """
        if hold is not None and len(self.market.stages) > 1:
            raise ValueError(
                f"hold was given in a market of {len(self.market.stages)} stages, wanted one of one"
                " stage: a market that waits would be a stage behind the others."
            )
        now, report = rounds.play_stage(self.market, self.running(), actions)
        before = self.state()
        if report is not None:
            return self._end_round(before, *played(before, now, report, hold), restart)
        copies = {role: of.detach().to(torch.float32, copy=True) for role, of in actions.items()}
        state = dataclasses.replace(before, moves=(*before.moves, copies))
        observations = self._stand(state, now, rounds.observe(self.market, now))
        nobody, nothing = torch.zeros_like(before.over), torch.zeros_like(before.finished.earned)
        return Turn(observations, nothing, nobody, nobody)

    def _end_round(
        self, before: BatchState, state: BatchState, report: Report, restart: bool
    ) -> Turn:
        """The end of a round, and the beginning of the next one.

        Markets that restart are opened before anything of the new round is computed for anybody.
        """
        over, old = state.over, before.over
        again = before.n_over > 0
        index = (over & ~old).nonzero()[:, 0] if again else state.over_markets
        last, ends = state.start, None
        if n_ended := index.shape[0]:
            last = last if n_ended == self.n_markets else tree.rows(last, index)
            ends = functools.cache(lambda: rounds.observe_end(self.market, last))
            if not all(map(library, self.market.phases)):
                ends()  # a phase of a user's own may fail, and then nothing shall change
        if restart and state.n_over:
            state = opened(self.market, state, over)
        return Turn(
            observations=self._begin(state, None if again or restart or not ends else ends()),
            rewards=report.rewards,
            terminated=report.terminated,
            truncated=over & ~report.terminated,
            report=report,
            over=None if ends is None else index,
            last=None if ends is None else last,
            ends=ends,
        )

    def running(self) -> rounds.Situation:
        """Where the markets stand; ValueError before the first reset."""
        if self.now is None:
            raise ValueError("the market has not started: call reset() first.")
        return self.now

    def state(self) -> BatchState:
        """All that the batch depends on; ValueError before the first reset."""
        self.running()
        assert self._state is not None
        return self._state

    def in_round(self) -> bool:
        """Whether a stage of the present round was played; ValueError before the first reset."""
        return len(self.state().moves) > 0

    @property
    def report(self) -> Report | None:
        """The last finished round in full; None before the first one, and after a load."""
        return None if self._state is None else self._state.finished.report

    def infos(self) -> Mapping[str, Tensor]:
        """Facts of the last finished round of the present episode [markets, agents], or 0."""
        return self.state().finished.facts

    def observations(self) -> rounds.ByRole:
        """What the movers saw last: by role [markets, count, dim]."""
        assert self._observations is not None
        return self._observations

    def act(
        self, policies: Mapping[str, Policy], skip: frozenset[str] = frozenset()
    ) -> rounds.ByRole:
        """What the movers' policies do now, by role; rows of ``skip`` stay zero."""
        return rounds.act(self.market, policies, self.running(), skip, self._observations)

    def save(self, path: str | Path) -> None:
        """Write the whole running state: a loaded copy goes on to the bit on a CPU.

        Warns where a part of the market cannot be compared, so that no market may load the file.
        """
        saved.write(path, self._about, self.state())

    def load(self, path: str | Path, restart: bool = False) -> rounds.ByRole:
        """Take up a saved state, and return what the movers see.

        With ``restart`` the markets that are over begin their next episodes, as in ``step``.
        Quotes are computed again from the state, so files stay small; of the last round a file
        keeps its infos alone. Raises ValueError for a damaged, foreign or impossible file, and
        nothing changes then.
        """
        state = saved.read(path, self.market, self._about, self.n_markets)
        if restart and bool(state.over.any()):
            if state.moves:
                raise ValueError(
                    f"{path} stands in the middle of a round, wanted the end of one: some of its"
                    " markets are over and cannot restart before it. Load it without restart."
                )
            return self._begin(opened(self.market, state, state.over))
        now = rounds.resume(self.market, state.start, state.moves, bool(state.over.all()))
        return self._stand(state, now, look(self.market, state, now))

    @functools.cached_property
    def _about(self) -> saved.Facts:
        """Facts that differ between markets; computed once, for they depend on all of the data."""
        return saved.facts_of(self.market)
