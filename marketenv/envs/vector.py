"""Many markets at once for one learning agent: a Gymnasium vector environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from marketenv.core.batch import Batch
from marketenv.core.market import Market, Report, agent_names, role_of
from marketenv.envs import spaces
from marketenv.envs.opponents import find_opponents


class MarketVectorEnv(VectorEnv):
    """The single-agent view of ``num_envs`` markets, stepped as one batch on the market's device.

    agent:     the learner's name; opponents: who plays the others (see ``marketenv.envs.opponents``).
    Episodes that end restart in the same step (``AutoresetMode.SAME_STEP``): the observation is the new episode's
    first, the old one's last is ``infos["final_obs"]``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  as in Gymnasium
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": [],
    }

    def __init__(
        self, market: Market, num_envs: int, agent: str, opponents: Any = "truthful", action_levels: int | None = None
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}, wanted >= 1.")
        self.market, self.num_envs, self.agent, self.action_levels = market, num_envs, agent, action_levels
        self._role = role_of(market, agent)
        self._row = agent_names(market).index(agent)
        self._opponents = find_opponents(opponents, market)
        self.single_observation_space = spaces.box(self._role.observation)
        self.single_action_space = spaces.action_space(self._role, action_levels)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._batch = Batch(market, num_envs)

    @property
    def report(self) -> Report | None:
        """The last finished round of all markets, None before the first."""
        return self._batch.report

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all markets; an integer seeds market k with seed + k."""
        return self._mine(self._batch.reset(seed)), self._infos()

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all markets with the learner's actions [num_envs, ...]; the opponents answer by their policies."""
        mine = spaces.to_actions(actions, self._role, self.action_levels, "actions", self.market.device, (self.num_envs,))
        everyone = self._batch.act(self._opponents, frozenset({self.agent}))
        everyone[:, self._row, : mine.shape[1]] = mine
        turn = self._batch.step(everyone, restart=True)
        terminated, truncated = turn.terminated.cpu().numpy(), turn.truncated.cpu().numpy()
        infos, over = self._infos(), terminated | truncated
        if turn.report is not None and over.any():
            last = self._mine(turn.final_seen)
            rows = [last[k] if over[k] else None for k in range(self.num_envs)]
            final = np.empty(self.num_envs, dtype=object)
            final[:] = rows
            infos |= {"final_obs": final, "_final_obs": over.copy(), "_final_info": over.copy()}
            infos["final_info"] = self._info_columns(turn.report.infos(), over)
        return self._mine(turn.seen), turn.rewards[:, self._row].cpu().numpy().copy(), terminated, truncated, infos

    def save(self, path: str | Path) -> None:
        """Write all running markets to a file; an environment that loads it goes on to the bit on a CPU."""
        self._batch.save(path)

    def load(self, path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Take up saved markets: observations and infos of where they stood; ValueError for a damaged or foreign file."""
        return self._mine(self._batch.load(path)), self._infos()

    def _mine(self, seen: torch.Tensor) -> np.ndarray:
        return seen[:, self._row, : self._role.observation.dim].cpu().numpy().copy()

    def _infos(self) -> dict[str, Any]:
        return self._info_columns(self._batch.infos(), np.ones(self.num_envs, dtype=bool))

    def _info_columns(self, facts: dict[str, torch.Tensor], mask: np.ndarray) -> dict[str, Any]:
        """The learner's facts [num_envs] and, as Gymnasium does, the mask under ``_name``; 0 outside the mask."""
        rows = {key: np.where(mask, values[:, self._row].cpu().double().numpy(), 0.0) for key, values in facts.items()}
        return rows | {f"_{key}": mask.copy() for key in rows}
