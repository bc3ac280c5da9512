"""One market for one learning agent: a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from marketenv.core.market import Report, agent_names, role_of
from marketenv.core.undo import undone
from marketenv.envs import spaces
from marketenv.envs.learner import LearnerBatch
from marketenv.envs.parallel import MarketParallelEnv


class SingleAgentEnv(gymnasium.Env[np.ndarray, Any]):
    """A parallel market as one agent sees it, while opponents play the others.

    A step leads to the agent's next move; its rewards in between are summed. ``stages`` names the
    stages in which it moves, None for all; its other moves are played truthfully. See
    ``MarketVectorEnv`` for many markets at once.
    """

    metadata: dict[str, Any] = MarketParallelEnv.metadata

    def __init__(
        self,
        env: MarketParallelEnv,
        agent: str | None = None,
        opponents: Any = "truthful",
        stages: Sequence[str] | None = None,
    ) -> None:
        self.env, self.agent = env, agent_names(env.market)[0] if agent is None else agent
        role_of(env.market, self.agent)
        self._learner = LearnerBatch(env.batch, self.agent, opponents, stages)
        self._seat = self._learner.seat
        self.observation_space = spaces.box(self._seat.observation)
        self.action_space = spaces.action_space(self._seat, env.action_levels)
        self.render_mode = env.render_mode

    @property
    def report(self) -> Report | None:
        """The last finished round in full."""
        return self.env.report

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; a seed fixes everything. There are no options: ValueError for one."""
        if options:
            raise ValueError(
                f"options is {options!r}, but reset has no options: give what the market takes to"
                " make_single."
            )
        with undone(self.env.batch):
            observations = self._learner.reset(seed)
            self.env.screen.show(self.report)
            results = self._row(observations), self._infos()
        super().reset(seed=seed)
        return results

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play up to the agent's next move against the opponents' policies."""
        subject, device = f"action of {self.agent}", self.env.market.device
        mine = spaces.to_actions(action, self._seat, self.env.action_levels, subject, device)
        with undone(self.env.batch):
            turn = self._learner.step(mine[None, None])
            if turn.report is not None:
                self.env.screen.show(self.report)
            ended = bool(turn.terminated[0]), bool(turn.truncated[0])
            return self._row(turn.final), float(turn.rewards[0, 0]), *ended, self._infos()

    def render(self) -> Any:
        """Show the last round as the parallel environment does."""
        return self.env.render()

    def close(self) -> None:
        """Close the window of mode ``human``, if there is one."""
        self.env.close()

    def _row(self, observations: Any) -> np.ndarray:
        return observations[0, 0].cpu().numpy().copy()

    def _infos(self) -> dict[str, Any]:
        row, facts = self._learner.rows[0], self.env.batch.infos()
        return {name: float(values[0, row]) for name, values in facts.items()}
