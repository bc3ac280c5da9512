"""A batch of markets as a learner meets it: it stops only where the learner moves, and policies
play everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """What a step up to the learner's next move gives back.

    seen:    what the learner's agents see at that move; in markets that ended and began anew, of
             the new episode
    rewards: of all stages in between, summed: they arrive with the learner's last move of a round
    report:  of the round that ended in this step, None where none did
    final:   in markets that ended, what the learner's agents see of the old episode;
             elsewhere as ``seen``
    """

    seen: Float[Tensor, "markets agents dim"]
    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    truncated: Bool[Tensor, "markets"]
    report: Report | None
    final: Float[Tensor, "markets agents dim"]


class LearnerBatch:
    """Markets that are stepped from one move of a learner to its next.

    agent:     one agent; a role, whose agents all learn; or ``"all"``: every agent, where all roles
               have equal spaces and stages
    opponents: who plays the others (see ``marketenv.envs.opponents``)
    stages:    where the learner moves, None for all of its stages; its other moves are played
               truthfully, or by what ``opponents`` gives under the agent's own name
    """

    def __init__(
        self,
        batch: Batch,
        agent: str,
        opponents: Any = "truthful",
        stages: Sequence[str] | None = None,
    ) -> None:
        self.batch, market = batch, batch.market
        roles = tuple(role.name for role in market.roles)
        choice(agent, "agent", (*agent_names(market), *roles, "all"))
        self.roles = (
            roles
            if agent == "all"
            else (agent,)
            if agent in roles
            else (role_of(market, agent).name,)
        )
        self.alone = agent in agent_names(market)
        names = agent_names(market)
        learners = (
            (agent,)
            if self.alone
            else tuple(n for r in market.roles if r.name in self.roles for n in r.agents)
        )
        self.rows = [names.index(name) for name in learners]
        self.seat = same_seat(market, self.roles, stages)
        self.learners = frozenset(learners)
        named = opponents if isinstance(opponents, Mapping) else {}
        own = {name: named.get(name, "truthful") for name in learners}
        self.policies: dict[str, Policy] = find_opponents(opponents, market) | {
            name: policy for name, policy in find_opponents(own, market).items() if name in learners
        }

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
            return self._seen(self.batch)

    def step(
        self,
        actions: Float[Tensor, "markets agents width"],
        restart: bool = False,
        anew: Bool[Tensor, "markets"] | None = None,
    ) -> LearnerTurn:
        """Play the learner's move and everything up to its next one; where anything is refused
        nothing has changed.

        restart: markets that end begin their next episodes at once
        anew:    markets that begin their next episodes in this step while the others play; their
                 actions count for nothing
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
            seen, rewards = self._seen(self.batch), last.rewards[:, self.rows]
            return LearnerTurn(
                seen, rewards, last.terminated, last.truncated, last.report, self._final(last, seen)
            )

    def load(self, path: str | Path, restart: bool) -> Float[Tensor, "markets agents dim"]:
        """Take up a saved batch, and play up to the learner's next move; ValueError for a damaged
        or foreign file.

        ValueError too where the round would be over before that move: nobody would be told what the
        learner earned in it.
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
            return self._seen(self.batch)

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
        done, rows = self.seat.do(stage.name, mine), torch.tensor(self.rows, device=mine.device)
        for role in self.roles:
            span = self.market.people.rows[role]
            inside = (rows >= span.start) & (rows < span.stop)
            actions[role][:, rows[inside] - span.start] = done[:, inside]
        return actions

    def _seen(self, batch: Batch) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see where the batch stands."""
        standing = batch.standing()
        turn = ~standing.over | self._goes_on(standing.start.floor)
        return self._mine(self._stage(batch.running()), batch.seen(), turn)

    def _goes_on(self, floor: Floor) -> Bool[Tensor, "markets"]:
        """Which markets would have a next round if the horizon did not cut them."""
        return ~floor.ended & self.market.cut

    def _mine(
        self, stage: str, seen: rounds.ByRole, turn: Bool[Tensor, "markets"]
    ) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see where movers of a stage see this, and where it is their
        turn.
        """
        if stage not in self.seat.stages:
            return self.seat.see(None, nothing(self.market, len(self.rows), len(turn)))
        flat = (
            seen[self.roles[0]]
            if len(self.roles) == 1
            else torch.cat([seen[role] for role in self.roles], 1)
        )
        if self.alone:
            row = self.rows[0] - self.market.people.rows[self.roles[0]].start
            flat = flat[:, row : row + 1]
        return self.seat.see(stage, flat, turn[:, None])

    def _final(
        self, turn: Turn, seen: Float[Tensor, "markets agents dim"]
    ) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents see of the episodes that ended.

        A cut cannot be seen: there the next round is played up to the learner's move, which a
        learner values. Where the game is really over, and the learner does not move first, there is
        nothing to see.
        """
        if turn.over is None or turn.last is None or turn.final_seen is None:
            return seen
        first, goes_on = self.market.stages[0].name, self._goes_on(turn.last.floor)
        final = self._mine(first, turn.final_seen, goes_on)
        if first not in self.seat.stages and bool(goes_on.any()):
            final[goes_on] = self._peek(tree.rows(turn.last, goes_on.nonzero()[:, 0]))
        return seen.index_put((turn.over,), final)

    def _peek(self, last: rounds.Situation) -> Float[Tensor, "markets agents dim"]:
        """What the learner's agents would see at their next move, if the market went on."""
        now = rounds.begun(self.market, last)
        while self._stage(now) not in self.seat.stages:
            now, _ = rounds.play_stage(
                self.market, now, rounds.act(self.market, self.policies, now)
            )
        return self._mine(
            self._stage(now), rounds.observe(self.market, now), torch.ones_like(now.floor.ended)
        )


def _nothing_happened(batch: Batch) -> Turn:
    """The turn of markets that only began anew."""
    nobody = torch.zeros(batch.n_markets, dtype=torch.bool, device=batch.market.device)
    rewards = torch.zeros(
        batch.n_markets, batch.market.people.count, dtype=torch.float64, device=batch.market.device
    )
    return Turn(batch.seen(), rewards, nobody, nobody)
