"""One market for one learning agent: a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from marketenv.core.market import Market, Report, agent_names, role_of
from marketenv.core.policy import Policy
from marketenv.envs.opponents import find_opponents
from marketenv.envs.parallel import MarketParallelEnv


class SingleAgentEnv(gymnasium.Env[np.ndarray, Any]):
    """A parallel market seen by one agent while given opponents play the others; see ``MarketVectorEnv`` for many at once."""

    metadata: dict[str, Any] = MarketParallelEnv.metadata

    def __init__(self, env: MarketParallelEnv, agent: str | None = None, opponents: Any = "truthful") -> None:
        market: Market = env.market
        self.env, self.agent = env, agent_names(market)[0] if agent is None else agent
        role_of(market, self.agent)
        self._opponents: dict[str, Policy] = find_opponents(opponents, market)
        self.observation_space = env.observation_space(self.agent)
        self.action_space = env.action_space(self.agent)
        self.render_mode = env.render_mode

    @property
    def report(self) -> Report | None:
        """The last finished round in full."""
        return self.env.report

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; a seed fixes everything. Raises ValueError for options: there are none."""
        if options:
            raise ValueError(f"options is {options!r}, but reset has no options: give what the market takes to make_single.")
        super().reset(seed=seed)
        observations, infos = self.env.reset(seed=seed)
        return observations[self.agent], dict(infos[self.agent])

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one stage against the opponents' policies."""
        seen, reward, terminated, truncated, infos = self.env.step_one(self.agent, action, self._opponents)
        return seen, reward, terminated, truncated, infos

    def render(self) -> Any:
        """Show the last round as the parallel environment does."""
        return self.env.render()
