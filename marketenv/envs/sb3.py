"""Many markets at once for stable-baselines3: a VecEnv over one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from marketenv.core.batch import Batch
from marketenv.core.checks import whole
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.core.undo import undone
from marketenv.envs import spaces
from marketenv.envs.learner import LearnerBatch


class MarketSB3Env(VecEnv):
    """A stable-baselines3 VecEnv of ``num_envs`` markets.

    agent:     one agent's name (the others are ``opponents``); a role, whose agents all learn; or
               ``"all"``: every agent. The agents of a market are rows of the batch, market by
               market, and share one policy (with ``"all"`` roles must have equal spaces and stages)
    opponents: who plays the others; see ``marketenv.envs.opponents``
    stages:    in which the learner moves, None for all of its stages; its other moves are played
               truthfully

    A step leads to the learner's next move, and what it earns in between is summed without
    discount: use gamma=1 for it to mean what a round earns. ``seat`` is what the learner sees and
    does.
    """

    def __init__(
        self,
        market: Market,
        num_envs: int,
        agent: str = "all",
        opponents: Any = "truthful",
        action_levels: int | None = None,
        stages: Sequence[str] | None = None,
    ) -> None:
        num_envs = whole(num_envs, "num_envs", 1)
        self.market, self.agent = market, agent
        self.action_levels = action_levels = spaces.LEVELS(action_levels, "action_levels")
        self._batch = Batch(market, num_envs)
        self._learner = LearnerBatch(self._batch, agent, opponents, stages)
        self.seat, self._rows = self._learner.seat, self._learner.rows
        self._markets = num_envs
        self._seed: int | None = None
        self._given: Tensor | None = None
        self.reset_infos = []
        self.render_mode = None
        super().__init__(
            num_envs * len(self._rows),
            spaces.box(self.seat.observation),
            spaces.action_space(self.seat, action_levels),
        )

    @property
    def report(self) -> Report | None:
        """The last finished round of all markets, None before the first."""
        return self._batch.report

    @property
    def elsewhere(self) -> Policy:
        """Who plays the learner's moves in other stages than ``stages``; of several learners,
        the first one's.
        """
        return self._learner.policies[agent_names(self.market)[self._rows[0]]]

    def reset(self) -> np.ndarray:
        """Start all markets with the seed that ``seed()`` named, or the next episodes of the
        last one.
        """
        with undone(self, self._batch):
            seen = self._learner.reset(self._seed)
            self._seed = None
            self.reset_infos = self._infos()
        return self._mine(seen)

    def step_async(self, actions: Any) -> None:
        """Keep a checked copy of the actions [num_envs, ...] for ``step_wait``."""
        self._given = spaces.to_actions(
            actions, self.seat, self.action_levels, "actions", self.market.device, (self.num_envs,)
        )

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all markets; a market that ends restarts at once and its last observation is in
        the infos.
        """
        if self._given is None:
            raise ValueError("no actions: call step_async(actions) before step_wait().")
        mine, self._given = self._given, None
        with undone(self._batch):
            turn = self._learner.step(
                mine.unflatten(0, (self._markets, len(self._rows))), restart=True
            )
            infos = self._infos(turn.report)
        over = (turn.terminated | turn.truncated).repeat_interleave(len(self._rows)).cpu().numpy()
        cut = turn.truncated.repeat_interleave(len(self._rows)).tolist()
        for info, truncated in zip(infos, cut, strict=True):
            info["TimeLimit.truncated"] = truncated
        if over.any():
            last = self._mine(turn.final)
            for k in over.nonzero()[0]:
                infos[k]["terminal_observation"] = last[k]
        rewards = turn.rewards.flatten().cpu().numpy().astype(np.float32)
        return self._mine(turn.seen), rewards, over, infos

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Name the seed of the next reset: market k gets seed + k."""
        self._seed = seed
        return [None if seed is None else seed + k for k in range(self.num_envs)]

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Refuse options of the next reset: there are none."""
        if options and (isinstance(options, dict) or any(options)):
            raise ValueError(
                f"options is {options!r}, but reset has no options: give what the market takes to"
                " make_sb3."
            )

    def close(self) -> None:
        """Nothing to release."""

    def save(self, path: str | Path) -> None:
        """Write all running markets to a file; an environment that loads it goes on to the bit
        on a CPU.
        """
        self._batch.save(path)

    def load(self, path: str | Path) -> np.ndarray:
        """Take up saved markets: the observations of where they stood; ValueError for a damaged
        or foreign file.
        """
        with undone(self, self._batch):
            seen = self._learner.load(path, restart=True)
            self.reset_infos = self._infos()
        return self._mine(seen)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """One attribute of the batch, repeated for the rows asked for."""
        return [getattr(self, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the whole batch; rows cannot differ."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the batch once and repeat its answer."""
        return [getattr(self, method_name)(*args, **kwargs)] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """No row is wrapped."""
        return [False] * self._count(indices)

    def _count(self, indices: Any) -> int:
        return (
            self.num_envs
            if indices is None
            else len(list(indices))
            if isinstance(indices, Iterable)
            else 1
        )

    def _mine(self, seen: Tensor) -> np.ndarray:
        return seen.flatten(0, 1).cpu().numpy().copy()

    def _infos(self, report: Report | None = None) -> list[dict[str, Any]]:
        facts = self._batch.infos() if report is None else report.infos()
        columns = {key: values[:, self._rows].flatten().tolist() for key, values in facts.items()}
        return [
            {key: float(values[k]) for key, values in columns.items()} for k in range(self.num_envs)
        ]
