"""The mutable shell around the pure rounds that every door shares: a batch of running markets."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import rounds, saved, tree
from marketenv.core.episodes import Episodes, read_seeds
from marketenv.core.market import Market, Report
from marketenv.core.policy import Policy
from marketenv.core.undo import undone


@dataclass(frozen=True)
class Turn:
    """What one step of a batch gives back.

    seen:    what the movers of the coming stage see, by role [markets, count, dim];   rewards: 0 in the middle of a round
    report:  None in the middle of a round
    over:    numbers of the markets that ended;   last: where those stand, before a restart;   final_seen: what is seen there
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
    """A batch of running markets: reset, step, restart, save and load. It adds no rule of its own."""

    def __init__(self, market: Market, n_markets: int) -> None:
        self.market, self.n_markets = market, n_markets
        self.now: rounds.Situation | None = None
        self.start: rounds.Situation | None = None  # the round's beginning, from which a saved file plays it again
        self.moves: tuple[rounds.ByRole, ...] = ()  # of the round's earlier stages
        self.report: Report | None = None
        self._facts: dict[str, Tensor] = {}
        self.earned = torch.zeros(n_markets, market.people.count, dtype=torch.float64, device=market.device)  # as ``infos``
        self._episodes: Episodes | None = None
        self.over = torch.zeros(n_markets, dtype=torch.bool, device=market.device)  # ended, and the next episode not begun
        self._seen: rounds.ByRole | None = None

    def reset(self, seed: Any, mask: Bool[Tensor, "markets"] | None = None) -> rounds.ByRole:
        """Start an episode: an integer seeds market k with seed + k, None goes on to fresh episodes of the last seed.

        A list names a seed, or None, for each market. With a mask only its markets start; the others stay where they are.
        Raises ValueError for impossible seeds, and where a mask leaves markets out before they started or in mid-round.
        """
        seeds = read_seeds(seed, self.n_markets, self.market.device, first=self._episodes is None)
        if mask is not None and not bool(mask.all()) and self.in_round():
            raise ValueError("a round is not over: all markets of a batch play a stage together. Reset all of them, or none.")
        with undone(self):
            seen = self._begin(seeds, torch.ones_like(self.over) if mask is None else mask)
        if mask is None:
            self.report, self._facts, self.earned = None, {}, torch.zeros_like(self.earned)
        return seen

    def in_round(self) -> bool:
        """Whether a stage of the present round is played; ValueError before the first reset."""
        return self.running() is not None and len(self.moves) > 0

    def _begin(self, seeds: Int[Tensor, "markets"], mask: Bool[Tensor, "markets"]) -> rounds.ByRole:
        """Start the masked markets; the others stay where they are.

        All are quoted in one call, which changes nothing for those that were quoted so before: a smaller batch would round
        otherwise, and a loaded file, which is quoted in one call too, would not go on to the bit.
        """
        index, fresh = self._opened(seeds, mask)
        self.start, self.moves = fresh if self.start is None else self._placed(self.start, index, fresh), ()
        self.now = rounds.begun(self.market, self.start)
        self._seen = self._look()
        return self._seen

    def _opened(self, seeds: Int[Tensor, "markets"], mask: Bool[Tensor, "markets"]) -> tuple[Tensor, rounds.Situation]:
        """The masked markets' numbers, and where they start, no round begun; a seed of -1 goes on to the next episode."""
        index = mask.nonzero()[:, 0]
        episodes = Episodes(seeds, torch.zeros_like(seeds)) if self._episodes is None else self._episodes
        self._episodes = episodes.begun(seeds, mask)
        self._facts, self.earned = _without(mask, self._facts), self.earned.masked_fill(mask[:, None], 0)
        self.over = self.over & ~mask
        return index, rounds.opened(self.market, self._episodes.seeds[index])

    def _next(self) -> Int[Tensor, "markets"]:
        """Seeds by which all markets go on to their next episodes."""
        return torch.full((self.n_markets,), -1, dtype=torch.int64, device=self.market.device)

    def _placed(self, now: rounds.Situation, index: Int[Tensor, "some"], fresh: rounds.Situation) -> rounds.Situation:
        """Fresh markets in their places; where all are fresh, nothing is copied."""
        return fresh if len(index) == self.n_markets else tree.put(now, index, fresh)

    def _started(self) -> rounds.Situation:
        """The beginning of the present round."""
        assert self.start is not None
        return self.start

    def running(self) -> rounds.Situation:
        """Where the markets stand; ValueError before the first reset."""
        if self.now is None:
            raise ValueError("the market has not started: call reset() first.")
        return self.now

    def step(
        self,
        actions: Mapping[str, Float[Tensor, "markets agents width"]],
        restart: bool = False,
        hold: Bool[Tensor, "markets"] | None = None,
    ) -> Turn:
        """Play one stage, by the actions of each role that moves; with ``restart`` every market that is over begins its next
        episode in the same step.

        The markets of ``hold`` stay where they are, as if no stage had been played: in markets of one stage only. Where anything
        is refused, also of the next episodes, nothing has changed.
        """
        if hold is not None and len(self.market.stages) > 1:
            raise ValueError(
                f"hold was given in a market of {len(self.market.stages)} stages, wanted one of one stage: a market that waits "
                "would be a stage behind the others."
            )
        with undone(self):
            return self._step(actions, restart, hold)

    def _step(self, actions: Mapping[str, Tensor], restart: bool, hold: Tensor | None) -> Turn:
        now, report = rounds.play_stage(self.market, self.running(), actions)
        if report is None:
            self.now, self.moves = now, (*self.moves, {role: made.clone() for role, made in actions.items()})
            self._seen = rounds.observe(self.market, now)
            nobody = torch.zeros(self.n_markets, dtype=torch.bool, device=self.market.device)
            return Turn(self._seen, torch.zeros_like(self.earned), nobody, nobody)
        last, self._facts = report, report.infos()
        if hold is not None:
            index = hold.nonzero()[:, 0]
            now = tree.put(now, index, tree.rows(self._started(), index))
            report = _unplayed(hold, report)
            last = report if self.report is None else tree.put(report, index, tree.rows(self.report, index))
            self._facts = _without(hold, self._facts)
        self.report, self.over, self.start, self.moves = last, rounds.ended(now, report), now, ()
        self.earned = report.rewards
        turn = Turn({}, report.rewards, report.terminated, self.over & ~report.terminated, report)
        return self._go_on(turn, restart)

    def _go_on(self, turn: Turn, restart: bool) -> Turn:
        """The next round, what the movers see of it, and what agents of markets that ended would see if nothing restarted.

        Markets that restart are opened before anything of the new round is computed for anybody.
        """
        assert self.start is not None
        index = self.over.nonzero()[:, 0]
        if len(index):
            last = self.start if len(index) == self.n_markets else tree.rows(self.start, index)
            turn = dataclasses.replace(turn, over=index, last=last, final_seen=rounds.observe_end(self.market, last))
            if restart:
                self.start = self._placed(self.start, *self._opened(self._next(), self.over))
        self.now = self.start if bool(self.over.all()) else rounds.begun(self.market, self.start)
        self._seen = self._look(turn.final_seen)
        return dataclasses.replace(turn, seen=self._seen)

    def _look(self, final: rounds.ByRole | None = None) -> rounds.ByRole:
        """What the movers see. In a market that is over: what they would see if it were the only one."""
        now, index = self.running(), self.over.nonzero()[:, 0]
        if self.moves or not len(index):
            return rounds.observe(self.market, now)
        if final is None:
            final = rounds.observe_end(self.market, tree.rows(self._started(), index))
        if not now.playing:
            return final
        return {role: seen.index_put((index,), final[role]) for role, seen in rounds.observe(self.market, now).items()}

    def seen(self) -> rounds.ByRole:
        """What the movers saw last: by role [markets, count, dim]."""
        assert self._seen is not None
        return self._seen

    def act(self, policies: Mapping[str, Policy], skip: frozenset[str] = frozenset()) -> rounds.ByRole:
        """What the movers' policies do now, by role; rows of ``skip`` stay zero."""
        return rounds.act(self.market, policies, self.running(), skip, self._seen)

    def infos(self) -> dict[str, Tensor]:
        """Facts of the last finished round [markets, agents], zeros before the first one and in markets that began anew."""
        if self._facts:
            return self._facts
        return dict.fromkeys(self.market.facts, torch.zeros_like(self.earned))

    def save(self, path: str | Path) -> None:
        """Write the whole running state: a loaded copy goes on to the bit on a CPU.

        Warns where the market holds a part that cannot be compared, so that no market can be sure to go on from the file.
        """
        self.running()
        assert self._episodes is not None and self.start is not None
        unknown = [name for name, words in self._about.items() if words is None]
        if unknown:
            warnings.warn(
                f"{', '.join(unknown)} holds an object that cannot be compared, so load() will refuse {path}.", stacklevel=3
            )
        held = saved.Saved(self.start, self.moves, self.infos(), self.earned, self._episodes, self.over)
        saved.write(path, self._about, held)

    def load(self, path: str | Path, restart: bool = False) -> rounds.ByRole:
        """Take up a saved state; ValueError for a damaged, foreign or impossible file, and nothing changes then.

        With ``restart`` the markets that are over begin their next episodes, as in ``step``.

        What was quoted is computed again from the state, so files stay small; of the last round only its infos are kept.
        """
        with undone(self):
            return self._load(path, restart)

    def _load(self, path: str | Path, restart: bool) -> rounds.ByRole:
        held = saved.read(path, self.market, self._about, self.n_markets)
        if not torch.equal(held.start.floor.seeds, held.episodes.seeds):
            raise ValueError(f"{path} is no whole saved market: its seeds are not those of its episodes.")
        self.start = tree.reopened(held.start, held.start.floor.seeds)
        self.now, self.moves = rounds.resume(self.market, self.start, held.moves, held.over), held.moves
        self.report, self._facts, self.earned = None, held.infos, held.earned
        self._episodes, self.over = held.episodes, held.ended
        self._seen = seen = self._look()
        if not restart or not bool(self.over.any()):
            return seen
        if self.moves:
            raise ValueError(f"a round is not over in {path}, where some markets are: they cannot begin anew before it is.")
        return self._begin(self._next(), self.over)

    @cached_property
    def _about(self) -> saved.Facts:
        """What tells the market from others; computed once, for it reads all of the data."""
        return saved.facts_of(self.market)


def _unplayed(mask: Tensor, report: Report) -> Report:
    """The report with no reward and no end for the masked markets, which have not played its round."""
    terminated = report.terminated & ~mask
    return dataclasses.replace(report, rewards=report.rewards.masked_fill(mask[:, None], 0), terminated=terminated)


def _without(mask: Bool[Tensor, "markets"], facts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Infos that are 0 in the masked markets, where no round of the present episode is over."""
    return {name: values.masked_fill(mask[:, None], 0) for name, values in facts.items()}
