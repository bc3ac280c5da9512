"""Many markets at once for one learning agent: a Gymnasium vector environment."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from marketenv.core.batch import Batch, Turn
from marketenv.core.checks import whole
from marketenv.core.lookup import lookup, unknown
from marketenv.core.market import Market, Report, agent_names, role_of
from marketenv.core.numbers import numbers
from marketenv.envs import spaces
from marketenv.envs.opponents import find_opponents

MODES = {mode.name: mode for mode in AutoresetMode} | {mode.value: mode for mode in AutoresetMode}


class MarketVectorEnv(VectorEnv):
    """The single-agent view of ``num_envs`` markets, stepped as one batch on the market's device.

    agent:     the learner's name; opponents: who plays the others (see ``marketenv.envs.opponents``).
    autoreset_mode: what follows an episode's end, as in Gymnasium's own vector environments: an ``AutoresetMode``, its name
               or its value. ``SAME_STEP``: the observation is the new episode's first, the old one's last is
               ``infos["final_obs"]``. ``NEXT_STEP``: the next step ignores that market's action, gives it reward 0 and the new
               episode's first observation; for markets of one stage. ``DISABLED``: ``reset(options={"reset_mask": mask})``
               starts the next episodes, and ``step`` refuses to go on without it.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  as in Gymnasium
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": [],
    }

    def __init__(
        self,
        market: Market,
        num_envs: int,
        agent: str,
        opponents: Any = "truthful",
        action_levels: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        self.market, self.num_envs, self.agent = market, whole(num_envs, "num_envs", 1), agent
        self.action_levels = action_levels = spaces.LEVELS(action_levels, "action_levels")
        self.autoreset_mode = _autoreset(autoreset_mode, market)
        self.metadata = type(self).metadata | {"autoreset_mode": self.autoreset_mode}
        self._role = role_of(market, agent)
        self._row = agent_names(market).index(agent)
        self._opponents = find_opponents(opponents, market)
        self.single_observation_space = spaces.box(self._role.observation)
        self.single_action_space = spaces.action_space(self._role, action_levels)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._batch = Batch(market, self.num_envs)

    @property
    def report(self) -> Report | None:
        """The last finished round of every market, None before the first."""
        return self._batch.report

    @property
    def _over(self) -> np.ndarray:
        """Which markets are over and have not begun their next episodes: bool [num_envs]."""
        return self._batch.over.cpu().numpy()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all markets, or those of ``options["reset_mask"]`` (bool [num_envs]); the others stay where they are.

        An integer seeds market k with seed + k; a market without a seed goes on to the next episode of its last one.
        Raises ValueError for another option, a mask that is none, and a mask that leaves markets out in mid-round.
        """
        mask = self._reset_mask(options or {})
        seen = self._batch.reset(seed, None if mask is None else torch.as_tensor(mask, device=self.market.device))
        everyone = np.ones(self.num_envs, dtype=bool)
        return self._mine(seen), self._info_columns(self._batch.infos(), everyone if mask is None else mask)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all markets with the learner's actions [num_envs, ...]; the opponents answer by their policies.

        Raises ValueError for bad actions, and in mode ``DISABLED`` where a market is over; nothing changes then.
        """
        if self._over.any() and self.autoreset_mode is AutoresetMode.DISABLED:
            over = self._over.nonzero()[0].tolist()
            raise ValueError(f"markets {over} are over: start their next episodes with reset(options={{'reset_mask': mask}}).")
        mine = self._checked(actions)
        same = self.autoreset_mode is AutoresetMode.SAME_STEP
        turn = self._after_ends(mine) if self._over.any() else self._batch.step(self._everyone(self._batch, mine), restart=same)
        terminated, truncated = turn.terminated.cpu().numpy(), turn.truncated.cpu().numpy()
        infos, over = self._infos(), terminated | truncated
        if same and turn.report is not None and over.any():
            infos |= self._final(turn.final_seen, turn.report, over)
        return self._mine(turn.seen), turn.rewards[:, self._row].cpu().numpy().copy(), terminated, truncated, infos

    def save(self, path: str | Path) -> None:
        """Write all running markets to a file; an environment that loads it goes on to the bit on a CPU."""
        self._batch.save(path)

    def load(self, path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Take up saved markets: observations and infos of where they stood; ValueError for a damaged or foreign file."""
        seen = self._batch.load(path, restart=self.autoreset_mode is AutoresetMode.SAME_STEP)
        return self._mine(seen), self._infos()

    def _after_ends(self, mine: Tensor) -> Turn:
        """The step after an end, in mode ``NEXT_STEP``: the markets that were over begin anew while the others play."""
        batch, waiting = copy.copy(self._batch), torch.as_tensor(self._over, device=self.market.device)
        seen = batch.reset(None, waiting)
        if self._over.all():
            nobody = torch.zeros_like(waiting)
            turn = Turn(seen, torch.zeros(seen.shape[:2], dtype=torch.float64, device=seen.device), nobody, nobody, None, seen)
        else:
            turn = batch.step(self._everyone(batch, mine), hold=waiting)
        self._batch = batch  # only now: nothing has changed if a policy raised an error
        return turn

    def _everyone(self, batch: Batch, mine: Tensor) -> Tensor:
        everyone = batch.act(self._opponents, frozenset({self.agent}))
        everyone[:, self._row, : mine.shape[1]] = mine
        return everyone

    def _checked(self, actions: Any) -> Tensor:
        """The learner's actions; those of markets that are over count for nothing, so anything may be given for them."""
        device = self.market.device
        if self._over.any():
            actions = numbers(actions, "actions", device)
            if actions.shape in (self.action_space.shape, (self.num_envs, self._role.action.dim)):
                actions[torch.as_tensor(self._over, device=device)] = spaces.idle(self._role, self.action_levels).to(device)
        return spaces.to_actions(actions, self._role, self.action_levels, "actions", device, (self.num_envs,))

    def _reset_mask(self, options: dict[str, Any]) -> np.ndarray | None:
        """The markets to reset, None for all; the dictionary stays as it is, for wrappers read it afterwards."""
        for name in options:
            if name != "reset_mask":
                raise unknown("option of reset", name, ("reset_mask",))
        if "reset_mask" not in options:
            return None
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"reset_mask is {options['reset_mask']!r}, wanted {self.num_envs} bools, one of them True at least.")
        return mask

    def _mine(self, seen: Tensor) -> np.ndarray:
        return seen[:, self._row, : self._role.observation.dim].cpu().numpy().copy()

    def _final(self, seen: Tensor, report: Report, over: np.ndarray) -> dict[str, Any]:
        """What infos say of episodes that ended in a step that began the next ones."""
        last, final = self._mine(seen), np.empty(self.num_envs, dtype=object)
        final[:] = [last[k] if over[k] else None for k in range(self.num_envs)]
        masks = {"_final_obs": over.copy(), "_final_info": over.copy()}
        return {"final_obs": final, "final_info": self._info_columns(report.infos(), over)} | masks

    def _infos(self) -> dict[str, Any]:
        return self._info_columns(self._batch.infos(), np.ones(self.num_envs, dtype=bool))

    def _info_columns(self, facts: dict[str, Tensor], mask: np.ndarray) -> dict[str, Any]:
        """The learner's facts [num_envs] and, as Gymnasium does, the mask under ``_name``; 0 outside the mask."""
        rows = {key: np.where(mask, values[:, self._row].cpu().double().numpy(), 0.0) for key, values in facts.items()}
        return rows | {f"_{key}": mask.copy() for key in rows}


def _autoreset(mode: Any, market: Market) -> AutoresetMode:
    """The mode of that name or value; ValueError for another, and for ``NEXT_STEP`` in markets of several stages."""
    found = mode if isinstance(mode, AutoresetMode) else lookup(MODES, mode, "autoreset_mode")
    if found is AutoresetMode.NEXT_STEP and len(market.stages) > 1:
        raise ValueError(
            f"autoreset_mode NEXT_STEP wants markets of one stage, this one has {len(market.stages)}: a market that begins anew "
            "while others play their first stage would be a stage behind. Take SAME_STEP or DISABLED."
        )
    return found
