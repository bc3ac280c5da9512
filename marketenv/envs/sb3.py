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

    A step leads to the learner's next move, and its rewards in between are summed without discount:
    use gamma=1, so that a return is the reward of whole rounds. ``seat`` has the learner's
    observation and action.
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
        self._waiting: Tensor | None = None
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
        """The policy of the (first) learner's moves in other stages than ``stages``."""
        return self._learner.policies[agent_names(self.market)[self._rows[0]]]

    def reset(self) -> np.ndarray:
        """Start all markets with the seed that ``seed()`` named, or else their next episodes."""
        with undone(self, self._batch):
            observations = self._learner.reset(self._seed)
            self._seed = None
            self.reset_infos = self._infos()
        return self._mine(observations)

    def step_async(self, actions: Any) -> None:
        """Keep a checked copy of the actions [num_envs, ...] for ``step_wait``."""
        self._waiting = spaces.to_actions(
            actions, self.seat, self.action_levels, "actions", self.market.device, (self.num_envs,)
        )

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all markets; a market that ends restarts at once.

        The last observation of the old episode is in the infos.
        """
        if self._waiting is None:
            raise ValueError("no actions: call step_async(actions) before step_wait().")
        mine, self._waiting = self._waiting, None
        n_rows = len(self._rows)
        with undone(self._batch):
            turn = self._learner.step(mine.unflatten(0, (self._markets, n_rows)), restart=True)
            infos = self._infos(turn.report)
        over = (turn.terminated | turn.truncated).repeat_interleave(n_rows).cpu().numpy()
        cut = turn.truncated.repeat_interleave(n_rows).tolist()
        for info, truncated in zip(infos, cut, strict=True):
            info["TimeLimit.truncated"] = truncated
        if over.any():
            last = self._mine(turn.final)
            for k in over.nonzero()[0]:
                infos[k]["terminal_observation"] = last[k]
        rewards = turn.rewards.flatten().cpu().numpy().astype(np.float32)
        return self._mine(turn.observations), rewards, over, infos

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
        """Write all running markets to a file; an environment that loads it goes on to the bit.

        This holds on a CPU.
        """
        self._batch.save(path)

    def load(self, path: str | Path) -> np.ndarray:
        """Take up saved markets, and return their observations.

        Raises ValueError for a damaged or foreign file.
        """
        with undone(self, self._batch):
            observations = self._learner.load(path, restart=True)
            self.reset_infos = self._infos()
        return self._mine(observations)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """One attribute of the batch, once for each row of ``indices``."""
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
        if indices is None:
            return self.num_envs
        return len(list(indices)) if isinstance(indices, Iterable) else 1

    def _mine(self, observations: Tensor) -> np.ndarray:
        return observations.flatten(0, 1).cpu().numpy().copy()

    def _infos(self, report: Report | None = None) -> list[dict[str, Any]]:
        facts = self._batch.infos() if report is None else report.infos()
        columns = {key: values[:, self._rows].flatten().tolist() for key, values in facts.items()}
        rows = range(self.num_envs)
        return [{key: float(values[k]) for key, values in columns.items()} for k in rows]
