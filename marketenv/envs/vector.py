"""Many markets at once for one learning agent: a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool
from torch import Tensor

from marketenv.core.batch import Batch
from marketenv.core.checks import whole
from marketenv.core.lookup import lookup, unknown
from marketenv.core.market import Market, Report, role_of
from marketenv.core.numbers import numbers
from marketenv.core.undo import undone
from marketenv.envs import spaces
from marketenv.envs.lazy_infos import LazyInfos
from marketenv.envs.learner import LearnerBatch, LearnerTurn

MODES = {mode.name: mode for mode in AutoresetMode} | {mode.value: mode for mode in AutoresetMode}


class MarketVectorEnv(VectorEnv):
    """The single-agent view of ``num_envs`` markets, stepped as one batch on the market's device.

    agent:     the learner's name
    opponents: who plays the others (see ``marketenv.envs.opponents``)
    stages:    in which the learner moves, None for all of its stages; its other moves are played
               truthfully. A step leads to its next move, and its rewards in between are summed.
    autoreset_mode: what follows an episode's end, as in Gymnasium's own vector environments: an
               ``AutoresetMode``, its name or its value. ``SAME_STEP``: the observation is the new
               episode's first, the old one's last is ``infos["final_obs"]``. ``NEXT_STEP``: the
               next step ignores that market's action, gives it reward 0 and the new episode's first
               observation; for markets of one stage. ``DISABLED``, for learners that move first in
               a round: ``reset(options={"reset_mask": mask})`` starts the next episodes, and
               ``step`` refuses to go on without it.
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
        stages: Sequence[str] | None = None,
    ) -> None:
        self.market, self.num_envs, self.agent = market, whole(num_envs, "num_envs", 1), agent
        self.action_levels = action_levels = spaces.LEVELS(action_levels, "action_levels")
        role_of(market, agent)
        self._batch = Batch(market, self.num_envs)
        self._learner = LearnerBatch(self._batch, agent, opponents, stages)
        self._seat, self._row = self._learner.seat, self._learner.rows[0]
        self.autoreset_mode = _autoreset(autoreset_mode, market, self._seat.stages[0])
        self.metadata = type(self).metadata | {"autoreset_mode": self.autoreset_mode}
        self.single_observation_space = spaces.box(self._seat.observation)
        self.single_action_space = spaces.action_space(self._seat, action_levels)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def report(self) -> Report | None:
        """The last finished round of every market, None before the first."""
        return self._batch.report

    @property
    def _over(self) -> Bool[Tensor, "markets"] | None:
        """Which markets are over and have not begun their next episodes; None where none is."""
        state = self._batch.state()
        return state.over if state.n_over else None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start all markets, or those of ``options["reset_mask"]`` (bool [num_envs]).

        The others stay where they are. An integer seeds market k with seed + k; a market without a
        seed goes on to the next episode of its last seed. Raises ValueError for another option, a
        mask of another shape or type, and a mask that leaves markets out in mid-round.
        """
        mask = self._reset_mask(options or {})
        some = None if mask is None else torch.as_tensor(mask, device=self.market.device)
        shown = np.ones(self.num_envs, dtype=bool) if mask is None else mask
        with undone(self._batch):
            observations = self._learner.reset(seed, some)
            return self._mine(observations), self._info_columns(self._batch.infos(), shown)

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all markets with the learner's actions [num_envs, ...]; infos are made when read.

        Raises ValueError for bad actions, and in mode ``DISABLED`` where a market is over; nothing
        changes then.
        """
        anew = self._over
        if anew is not None and self.autoreset_mode is AutoresetMode.DISABLED:
            over = anew.nonzero()[:, 0].tolist()
            raise ValueError(
                f"markets {over} are over: start their next episodes with"
                " reset(options={'reset_mask': mask})."
            )
        mine = self._checked(actions)
        same = self.autoreset_mode is AutoresetMode.SAME_STEP
        with undone(self._batch):
            turn = self._learner.step(mine[:, None], restart=same, anew=anew)
            infos = LazyInfos(partial(self._after, turn if same else None, self._batch.infos()))
        rewards = turn.rewards[:, 0].cpu().numpy().copy()
        # a CPU's arrays share the market's memory
        terminated = turn.terminated.cpu().numpy().copy()
        truncated = turn.truncated.cpu().numpy().copy()
        return self._mine(turn.observations), rewards, terminated, truncated, infos

    def save(self, path: str | Path) -> None:
        """Write all running markets to a file; an environment that loads it goes on to the bit.

        This holds on a CPU.
        """
        self._batch.save(path)

    def load(self, path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Take up saved markets, and return their observations and infos.

        Raises ValueError for a damaged or foreign file.
        """
        restart = self.autoreset_mode is AutoresetMode.SAME_STEP
        with undone(self._batch):
            observations = self._learner.load(path, restart=restart)
            return self._mine(observations), self._infos()

    def _checked(self, actions: Any) -> Tensor:
        """The learner's actions; in markets that are over they may be anything and do not count."""
        device, seat, levels = self.market.device, self._seat, self.action_levels
        if self._over is not None:
            actions = numbers(actions, "actions", device)
            if actions.shape in (self.action_space.shape, (self.num_envs, seat.action.dim)):
                actions[self._over] = spaces.idle(seat, levels).to(device)
        return spaces.to_actions(actions, seat, levels, "actions", device, (self.num_envs,))

    def _reset_mask(self, options: dict[str, Any]) -> np.ndarray | None:
        """The markets to reset, None for all; the dictionary stays as it is, for wrappers."""
        for name in options:
            if name != "reset_mask":
                raise unknown("option of reset", name, ("reset_mask",))
        if "reset_mask" not in options:
            return None
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"reset_mask is {options['reset_mask']!r}, wanted {self.num_envs} bools, one of"
                " them True at least."
            )
        return mask

    def _mine(self, observations: Tensor) -> np.ndarray:
        return observations[:, 0].cpu().numpy().copy()

    def _after(self, turn: LearnerTurn | None, facts: Mapping[str, Tensor]) -> dict[str, Any]:
        """The infos of a step; turn: None where episodes that end do not begin anew in it."""
        infos = self._info_columns(facts, np.ones(self.num_envs, dtype=bool))
        if turn is None or turn.report is None:
            return infos
        over = (turn.terminated | turn.truncated).cpu().numpy()
        return infos | self._final(turn.final, turn.report, over) if over.any() else infos

    def _final(self, observations: Tensor, report: Report, over: np.ndarray) -> dict[str, Any]:
        """The infos of episodes that ended in a step that began the next ones."""
        last, final = self._mine(observations), np.empty(self.num_envs, dtype=object)
        final[over] = np.fromiter(last[over], dtype=object)
        masks = {"_final_obs": over.copy(), "_final_info": over.copy()}
        return {"final_obs": final, "final_info": self._info_columns(report.infos(), over)} | masks

    def _infos(self) -> dict[str, Any]:
        return self._info_columns(self._batch.infos(), np.ones(self.num_envs, dtype=bool))

    def _info_columns(self, facts: Mapping[str, Tensor], mask: np.ndarray) -> dict[str, Any]:
        """The learner's facts [num_envs], 0 outside the mask; the mask itself under ``_name``.

        Gymnasium does so too.
        """
        rows = torch.stack([values[:, self._row].double() for values in facts.values()])
        columns: dict[str, Any] = dict(zip(facts, rows.cpu().numpy(), strict=True))
        if not mask.all():
            columns = {key: np.where(mask, row, 0.0) for key, row in columns.items()}
        return columns | {f"_{key}": mask.copy() for key in facts}


def _autoreset(mode: Any, market: Market, first: str) -> AutoresetMode:
    """The mode of that name or value; ValueError where it does not fit the first stage."""
    known = mode if isinstance(mode, AutoresetMode) else lookup(MODES, mode, "autoreset_mode")
    if known is AutoresetMode.NEXT_STEP and len(market.stages) > 1:
        raise ValueError(
            "autoreset_mode NEXT_STEP wants markets of one stage, this one has"
            f" {len(market.stages)}: a market that begins anew while others play their first stage"
            " would be a stage behind. Take SAME_STEP or DISABLED."
        )
    if known is AutoresetMode.DISABLED and first != market.stages[0].name:
        raise ValueError(
            "autoreset_mode DISABLED wants a learner that moves in the first stage,"
            f" {market.stages[0].name!r}, this one moves first in {first!r}: markets that wait for"
            " a reset would be a stage behind. Take SAME_STEP."
        )
    return known
