"""The mutable shell around the pure rounds that every door shares: a batch of running markets."""

from __future__ import annotations

import copy
import dataclasses
import operator
import secrets
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws, rounds, saved, tree
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy


@dataclass(frozen=True)
class Turn:
    """What one step of a batch gives back; ``report`` is None in the middle of a round."""

    seen: Float[Tensor, "markets agents dim"]
    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    truncated: Bool[Tensor, "markets"]
    report: Report | None
    final_seen: Float[Tensor, "markets agents dim"]  # before a restart; equal to ``seen`` where nothing restarted


class Batch:
    """A batch of running markets: reset, step, restart, save and load. It adds no rule of its own."""

    def __init__(self, market: Market, n_markets: int) -> None:
        self.market, self.n_markets = market, n_markets
        self.now: rounds.Situation | None = None
        self.report: Report | None = None
        self._facts: dict[str, Tensor] = {}
        self._base: Tensor | None = None
        self._episode = torch.zeros(n_markets, dtype=torch.int64, device=market.device)
        self.over = torch.zeros(n_markets, dtype=torch.bool, device=market.device)  # ended, and the next episode not begun
        self._seen: Tensor | None = None

    def reset(self, seed: Any, mask: Bool[Tensor, "markets"] | None = None) -> Float[Tensor, "markets agents dim"]:
        """Start an episode: an integer seeds market k with seed + k, None goes on to fresh episodes of the last seed.

        A list names a seed, or None, for each market. With a mask only its markets start; the others stay where they are.
        Raises ValueError for impossible seeds, and where a mask leaves markets out before they started or in mid-round.
        """
        seeds = self._seeds(seed)
        if mask is not None and not bool(mask.all()) and self.running().past:
            raise ValueError("a round is not over: all markets of a batch play a stage together. Reset all of them, or none.")
        fresh = copy.copy(self)
        seen = fresh._begin(seeds, torch.ones_like(self.over) if mask is None else mask)
        if mask is None:
            fresh.report, fresh._facts = None, {}
        vars(self).update(vars(fresh))
        return seen

    def _begin(self, seeds: Int[Tensor, "markets"], mask: Bool[Tensor, "markets"]) -> Float[Tensor, "markets agents dim"]:
        """Start the masked markets; the others stay where they are.

        All are quoted in one call, which changes nothing for those that were quoted so before: a smaller batch would round
        otherwise, and a loaded file, which is quoted in one call too, would not go on to the bit.
        """
        index, fresh = self._opened(seeds, mask)
        self.now = rounds.quoted(self.market, fresh if self.now is None else self._placed(self.now, index, fresh))
        self._seen = self._look(self.now, self.over)
        return self._seen

    def _opened(self, seeds: Int[Tensor, "markets"], mask: Bool[Tensor, "markets"]) -> tuple[Tensor, rounds.Situation]:
        """The masked markets' numbers, and where they start, not yet quoted; a seed of -1 goes on to the next episode."""
        index = mask.nonzero()[:, 0]
        self._base = torch.where(mask & (seeds >= 0), seeds, seeds if self._base is None else self._base)
        self._episode = torch.where(mask, torch.where(seeds >= 0, 0, self._episode + 1), self._episode)
        self._facts = _without(mask, self._facts)
        self.over = self.over & ~mask
        return index, rounds.opened(self.market, _episode_seeds(self._base, self._episode)[index])

    def _placed(self, now: rounds.Situation, index: Int[Tensor, "some"], fresh: rounds.Situation) -> rounds.Situation:
        """Fresh markets in their places; where all are fresh, nothing is copied."""
        return fresh if len(index) == self.n_markets else rounds.put(now, index, fresh)

    def running(self) -> rounds.Situation:
        """Where the markets stand; ValueError before the first reset."""
        if self.now is None:
            raise ValueError("the market has not started: call reset() first.")
        return self.now

    def step(
        self,
        actions: Float[Tensor, "markets agents width"],
        restart: bool = False,
        hold: Bool[Tensor, "markets"] | None = None,
    ) -> Turn:
        """Play one stage; with ``restart`` every market that is over begins its next episode in the same step.

        The markets of ``hold`` stay where they are, as if no stage had been played: in markets of one stage only. Where anything
        is refused, also of the next episodes, nothing has changed.
        """
        fresh = copy.copy(self)
        turn = fresh._step(actions, restart, hold)
        vars(self).update(vars(fresh))
        return turn

    def _step(self, actions: Tensor, restart: bool, hold: Tensor | None) -> Turn:
        before = self.running()
        now, report = rounds.play_stage(self.market, before, actions)
        if report is None:
            self.now = rounds.quoted(self.market, now)
            seen = self._seen = rounds.observe(self.market, self.now)
            nobody = torch.zeros(self.n_markets, dtype=torch.bool, device=seen.device)
            return Turn(seen, torch.zeros(seen.shape[:2], dtype=torch.float64, device=seen.device), nobody, nobody, None, seen)
        last, self._facts = report, report.infos()
        if hold is not None:
            index = hold.nonzero()[:, 0]
            now = dataclasses.replace(now, state=tree.put(now.state, index, tree.rows(before.state, index)))
            report = _unplayed(hold, report)
            last = report if self.report is None else tree.put(report, index, tree.rows(self.report, index))
            self._facts = _without(hold, self._facts)
        self.report, self.over = last, rounds.ended(self.market, now.state, report)
        truncated = self.over & ~report.terminated
        self.now, self._seen, final = self._go_on(now, restart)
        return Turn(self._seen, report.rewards, report.terminated, truncated, report, final)

    def _go_on(self, now: rounds.Situation, restart: bool) -> tuple[rounds.Situation, Tensor, Tensor]:
        """The next round, what agents see of it, and what they would see if nothing restarted.

        Markets that restart are opened before anything of the new round is computed for anybody.
        """
        index = self.over.nonzero()[:, 0]
        if not restart or not len(index):
            now = now if len(index) == self.n_markets else rounds.quoted(self.market, now)
            seen = self._look(now, self.over)
            return now, seen, seen
        ends = rounds.observe_end(self.market, now.state if len(index) == self.n_markets else tree.rows(now.state, index))
        now = rounds.quoted(self.market, self._placed(now, *self._opened(torch.full_like(self._episode, -1), self.over)))
        seen = rounds.observe(self.market, now)
        return now, seen, seen.index_put((index,), ends)

    def _look(self, now: rounds.Situation, over: Bool[Tensor, "markets"]) -> Float[Tensor, "markets agents dim"]:
        """What every agent sees. Agents of a market that is over see what they would see if it were the only one."""
        seen, index = rounds.observe(self.market, now), over.nonzero()[:, 0]
        if now.quotes is None or not len(index):
            return seen
        return seen.index_put((index,), rounds.observe_end(self.market, tree.rows(now.state, index)))

    def act(self, policies: Mapping[str, Policy], skip: frozenset[str] = frozenset()) -> Float[Tensor, "markets agents width"]:
        """Actions of all agents by their policies; rows of ``skip`` stay zero."""
        return rounds.act(self.market, policies, self.running(), skip)

    def infos(self) -> dict[str, Tensor]:
        """The last round's numeric facts [markets, agents], zeros before an episode's first round is over."""
        zeros = torch.zeros(self.n_markets, len(agent_names(self.market)), dtype=torch.float32, device=self.market.device)
        return {name: self._facts.get(name, zeros) for name in self.market.report_type.INFO}

    def save(self, path: str | Path) -> None:
        """Write the whole running state: a loaded copy goes on to the bit on a CPU.

        Warns where the market holds a part that cannot be compared, so that no market can be sure to go on from the file.
        """
        now = self.running()
        assert self._base is not None
        unknown = [name for name, words in self._about.items() if words is None]
        if unknown:
            warnings.warn(
                f"{', '.join(unknown)} holds an object that cannot be compared, so load() will refuse {path}.", stacklevel=3
            )
        actions = tuple(actions for _, actions in now.past)
        held = saved.Saved(now.state, actions, self.infos(), self._base, self._episode, self.over)
        saved.write(path, self._about, held)

    def load(self, path: str | Path, restart: bool = False) -> Float[Tensor, "markets agents dim"]:
        """Take up a saved state; ValueError for a damaged, foreign or impossible file, and nothing changes then.

        With ``restart`` the markets that are over begin their next episodes, as in ``step``.

        What was quoted is computed again from the state, so files stay small; of the last round only its infos are kept.
        """
        fresh = copy.copy(self)
        seen = fresh._load(path, restart)
        vars(self).update(vars(fresh))
        return seen

    def _load(self, path: str | Path, restart: bool) -> Float[Tensor, "markets agents dim"]:
        held = saved.read(path, self.market, self._about, self.n_markets)
        if not torch.equal(held.state.seeds, _episode_seeds(held.base, held.episode)):
            raise ValueError(f"{path} is no whole saved market: its seeds are not those of its episodes.")
        now = rounds.resume(self.market, held.state, held.actions, held.over)
        seen = self._look(now, held.ended)
        self.now, self.report, self._facts, self._seen = now, None, held.infos, seen
        self._base, self._episode, self.over = held.base, held.episode, held.ended
        return self._begin(torch.full_like(self._episode, -1), self.over) if restart and bool(self.over.any()) else seen

    @cached_property
    def _about(self) -> saved.Facts:
        """What tells the market from others; computed once, for it reads all of the data."""
        return saved.facts_of(self.market)

    def _seeds(self, seed: Any) -> Int[Tensor, "markets"]:
        """One seed a market, -1 where the episodes of its last seed go on; drawn where there is no last one."""
        try:
            seeds = [None if k is None else _whole(k) for k in self._each(seed)]
        except TypeError:
            seeds = []
        if len(seeds) != self.n_markets or any(k is not None and not 0 <= k < 2**63 for k in seeds):
            raise ValueError(f"seed is {seed!r}; wanted an integer >= 0, or {self.n_markets} of them, below 2**63.")
        drawn = secrets.randbits(40) if self._base is None else None
        filled = [(-1 if drawn is None else drawn + k) if s is None else s for k, s in enumerate(seeds)]
        return torch.tensor(filled, dtype=torch.int64, device=self.market.device)

    def _each(self, seed: Any) -> list[Any]:
        if seed is None or isinstance(seed, Sequence | np.ndarray):
            return [None] * self.n_markets if seed is None else list(seed)
        return [_whole(seed) + k for k in range(self.n_markets)]


def _whole(seed: Any) -> int:
    """The seed as an int; TypeError where it is no whole number."""
    if isinstance(seed, bool):
        raise TypeError("True and False are no seeds")
    return operator.index(seed)


def _unplayed(mask: Tensor, report: Report) -> Report:
    """The report with no reward and no end for the masked markets, which have not played its round."""
    terminated = report.terminated & ~mask
    return dataclasses.replace(report, rewards=report.rewards.masked_fill(mask[:, None], 0), terminated=terminated)


def _without(mask: Bool[Tensor, "markets"], facts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Infos that are 0 in the masked markets, where no round of the present episode is over."""
    return {name: values.masked_fill(mask[:, None], 0) for name, values in facts.items()}


def _episode_seeds(base: Tensor, episode: Tensor) -> Int[Tensor, "markets"]:
    """Seeds of each market's present episode; the first one's are the seeds that were given."""
    return torch.where(episode > 0, draws.fold(base, "episode", episode), base)
