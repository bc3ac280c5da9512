"""A batch of markets that stops only where a learner moves; policies play everything else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.batch import Batch, Turn
from marketenv.core.checks import choice
from marketenv.core.floor import Floor
from marketenv.core.market import Market, Report, agent_names, role_of
from marketenv.core.policy import Policy
from marketenv.core.undo import undone
from marketenv.envs.opponents import find_opponents
from marketenv.envs.seats import nothing, same_seat


@dataclass(frozen=True)
class LearnerTurn:
    """The results of a step up to the learner's next move.

    observations: what the learner's agents see at that move; in markets that began anew, of the new
                  episode
    rewards:      the sum over all stages of the step: they arrive with the learner's last move of a
                  round
    report:       of the round that ended in this step, or None
    ends:         computes ``final``, once
    """

    observations: Float[Tensor, "markets agents dim"]
    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    truncated: Bool[Tensor, "markets"]
    report: Report | None
    ends: Callable[[], Tensor]

    @property
    def final(self) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see of the old episode in markets that ended; if asked for.

        Elsewhere it is as ``observations``.
        """
        return self.ends()


class LearnerBatch:
    """Markets that are stepped from one move of a learner to its next.

    agent:     one agent; a role, whose agents all learn; or ``"all"``: every agent, where all roles
               have equal spaces and stages
    opponents: who plays the others (see ``marketenv.envs.opponents``)
    stages:    where the learner moves, None for all of its stages; its other moves are played
               truthfully, or by the policy in ``opponents`` under the agent's own name
    """

    def __init__(
        self,
        batch: Batch,
        agent: str,
        opponents: Any = "truthful",
        stages: Sequence[str] | None = None,
    ) -> None:
        self.batch, market = batch, batch.market
        names, roles = agent_names(market), tuple(role.name for role in market.roles)
        choice(agent, "agent", (*names, *roles, "all"))
        self.alone = agent in names
        if self.alone:
            self.roles: tuple[str, ...] = (role_of(market, agent).name,)
            learners = [agent]
        else:
            self.roles = roles if agent == "all" else (agent,)
            learners = [n for r in market.roles if r.name in self.roles for n in r.agents]
        self.rows = [names.index(name) for name in learners]
        self._columns = slice(self.rows[0], self.rows[-1] + 1)  # roles are neighbours
        self.seat = same_seat(market, self.roles, stages)
        self.learners = frozenset(learners)
        self.policies: dict[str, Policy] = find_opponents(opponents, market, learners)
        by_name = opponents if isinstance(opponents, Mapping) else {}
        own = find_opponents({name: by_name.get(name, "truthful") for name in learners}, market)
        self.policies |= {name: own[name] for name in learners}

    @property
    def market(self) -> Market:
        """The market that is played."""
        return self.batch.market

    def reset(
        self, seed: Any, mask: Bool[Tensor, "markets"] | None = None
    ) -> Float[Tensor, "markets agents dim"]:
        """Start episodes as ``Batch.reset`` does, and play up to the learner's first move."""
        with undone(self.batch):
            self.batch.reset(seed, mask)
            self._play_on(self.batch, restart=False)
            return self._observations(self.batch)

    def step(
        self,
        actions: Float[Tensor, "markets agents width"],
        restart: bool = False,
        anew: Bool[Tensor, "markets"] | None = None,
    ) -> LearnerTurn:
        """Play the learner's move and everything up to its next one.

        restart: markets that end begin their next episodes at once
        anew:    markets that begin their next episodes in this step while the others play; their
                 actions count for nothing

        After an error nothing has changed.
        """
        with undone(self.batch):
            if anew is not None:
                self.batch.reset(None, anew)
            if anew is not None and bool(anew.all()):
                turns = [_nothing_happened(self.batch)]
            else:
                turns = [
                    self.batch.step(
                        self._everybody(self.batch, actions), restart=restart, hold=anew
                    )
                ]
            turns += self._play_on(self.batch, restart)
            # at most one round ends in a step
            last = next((turn for turn in turns if turn.report is not None), turns[0])
            observations, rewards = self._observations(self.batch), last.rewards[:, self._columns]
            ends = functools.cache(lambda: self._final(last, observations))
            if self.market.cut:
                ends()  # policies of a user's own may play on, and fail: then nothing shall change
            return LearnerTurn(
                observations, rewards, last.terminated, last.truncated, last.report, ends
            )

    def load(self, path: str | Path, restart: bool) -> Float[Tensor, "markets agents dim"]:
        """Take up a saved batch, and play up to the learner's next move.

        Raises ValueError for a damaged or foreign file, and where the round would end before that
        move: the learner's reward of this round would be lost.
        """
        with undone(self.batch):
            self.batch.load(path, restart=restart)
            stands = self._stage(self.batch.running())
            if any(turn.report is not None for turn in self._play_on(self.batch, restart)):
                raise ValueError(
                    f"{path} stands at stage {stands!r}, where this learner does not move, and its"
                    f" round would end before the learner's next move in {self.seat.stages[0]!r}:"
                    " what it earned there would be lost. Load it in the door that saved it, or"
                    f" save at a move of the learner, in {', '.join(self.seat.stages)}."
                )
            return self._observations(self.batch)

    def _play_on(self, batch: Batch, restart: bool) -> list[Turn]:
        """Let policies play until the learner moves, or until all is over."""
        turns = []
        while batch.running().playing and self._stage(batch.running()) not in self.seat.stages:
            turns.append(batch.step(batch.act(self.policies), restart=restart))
        return turns

    def _stage(self, now: rounds.Situation) -> str:
        """Name of the stage at which markets stand; the first one's where all are over."""
        return rounds.stage_of(self.market, now).name if now.playing else self.market.stages[0].name

    def _everybody(
        self, batch: Batch, mine: Float[Tensor, "markets agents width"]
    ) -> rounds.ByRole:
        """Actions of all movers: the learner's, and what policies answer for the others."""
        stage = rounds.stage_of(self.market, batch.running())
        actions = batch.act(self.policies, self.learners)
        own, start = self.seat.do(stage.name, mine), 0
        for role in self.roles:
            places = self._places(role)
            stop = start + places.stop - places.start
            actions[role][:, places] = own[:, start:stop]
            start = stop
        return actions

    def _places(self, role: str) -> slice:
        """Where the learner's agents stand in their role."""
        span = self.market.people.rows[role]
        if not self.alone:
            return slice(0, span.stop - span.start)
        return slice(self.rows[0] - span.start, self.rows[0] - span.start + 1)

    def _observations(self, batch: Batch) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see where the batch stands."""
        state = batch.state()
        turn = self.seat.flagged and ~state.over | self._goes_on(state.start.floor)
        return self._mine(self._stage(batch.running()), batch.observations(), turn)

    def _goes_on(self, floor: Floor) -> Bool[Tensor, "markets"]:
        """Which markets would have a next round if the horizon did not cut them."""
        return ~floor.ended & self.market.cut

    def _mine(
        self, stage: str, observations: rounds.ByRole, turn: Bool[Tensor, "markets"] | bool
    ) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see, from what the movers of a stage see.

        turn: the markets in which it is the learner's turn; of no account in a seat without flags
        """
        if stage not in self.seat.stages:
            n_markets = len(next(iter(observations.values())))
            return self.seat.see(None, nothing(self.market, len(self.rows), n_markets))
        flat = observations[self.roles[0]]
        if len(self.roles) > 1:
            flat = torch.cat([observations[role] for role in self.roles], 1)
        if self.alone:
            flat = flat[:, self._places(self.roles[0])]
        return self.seat.see(stage, flat, turn if isinstance(turn, bool) else turn[:, None])

    def _final(
        self, turn: Turn, observations: Float[Tensor, "markets agents dim"]
    ) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see of the episodes that ended.

        A cut is hidden: there the next round is played up to the learner's move, for which a
        learner needs a value. Where the game is really over, and the learner does not move first,
        there is nothing to see.
        """
        ends = turn.final_observations
        if turn.over is None or turn.last is None or ends is None:
            return observations
        first, goes_on = self.market.stages[0].name, self._goes_on(turn.last.floor)
        final = self._mine(first, ends, goes_on)
        if first not in self.seat.stages and bool(goes_on.any()):
            final[goes_on] = self._peek(tree.rows(turn.last, goes_on.nonzero()[:, 0]))
        if len(turn.over) == len(observations):
            return final
        return observations.index_put((turn.over,), final)

    def _peek(self, last: rounds.Situation) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents would see at their next move, if the market went on."""
        now = rounds.begun(self.market, last)
        while self._stage(now) not in self.seat.stages:
            actions = rounds.act(self.market, self.policies, now)
            now, _ = rounds.play_stage(self.market, now, actions)
        everybody = torch.ones_like(now.floor.ended)
        return self._mine(self._stage(now), rounds.observe(self.market, now), everybody)


def _nothing_happened(batch: Batch) -> Turn:
    """The turn of markets that only began anew."""
    market, n_markets = batch.market, batch.n_markets
    nobody = torch.zeros(n_markets, dtype=torch.bool, device=market.device)
    rewards = torch.zeros(n_markets, market.people.count, dtype=torch.float64, device=market.device)
    return Turn(batch.observations(), rewards, nobody, nobody)
