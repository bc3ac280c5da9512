"""Many markets at once for stable-baselines3: a VecEnv over one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from marketenv.core.batch import Batch
from marketenv.core.checks import choice, whole
from marketenv.core.market import Market, Report, agent_names, role_of
from marketenv.envs import spaces
from marketenv.envs.opponents import find_opponents


class MarketSB3Env(VecEnv):
    """A stable-baselines3 VecEnv of ``num_envs`` markets.

    agent:     one agent's name (the others are ``opponents``), or ``"all"``: every agent of every market is one row of
               the batch, market by market, and they share one policy (all roles must then have equal spaces)
    opponents: who plays the others; see ``marketenv.envs.opponents``
    """

    def __init__(
        self, market: Market, num_envs: int, agent: str = "all", opponents: Any = "truthful", action_levels: int | None = None
    ) -> None:
        num_envs, names = whole(num_envs, "num_envs", 1), agent_names(market)
        self.market, self.agent = market, choice(agent, "agent", ("all", *names))
        self.action_levels = action_levels = spaces.LEVELS(action_levels, "action_levels")
        self._rows = list(range(len(names))) if agent == "all" else [names.index(agent)]
        self._role = role_of(market, names[self._rows[0]])
        dims = {(r.observation.dim, r.action.dim) for r in market.roles}
        if agent == "all" and len(dims) > 1:
            raise ValueError('agent="all" wants roles of equal spaces; choose one agent or train one policy per role.')
        self._skip = frozenset(names[row] for row in self._rows)
        self._policies = {} if agent == "all" else find_opponents(opponents, market)
        self._batch = Batch(market, num_envs)
        self._markets = num_envs
        self._seed: int | None = None
        self._given: Tensor | None = None
        self.reset_infos = []
        self.render_mode = None
        super().__init__(
            num_envs * len(self._rows), spaces.box(self._role.observation), spaces.action_space(self._role, action_levels)
        )

    @property
    def report(self) -> Report | None:
        """The last finished round of all markets, None before the first."""
        return self._batch.report

    def reset(self) -> np.ndarray:
        """Start all markets with the seed that ``seed()`` named, or the next episodes of the last one."""
        seen = self._batch.reset(self._seed)
        self._seed = None
        self.reset_infos = self._infos()
        return self._mine(seen)

    def step_async(self, actions: Any) -> None:
        """Keep a checked copy of the actions [num_envs, ...] for ``step_wait``."""
        self._given = spaces.to_actions(actions, self._role, self.action_levels, "actions", self.market.device, (self.num_envs,))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all markets; a market that ends restarts at once and its last observation is in the infos."""
        if self._given is None:
            raise ValueError("no actions: call step_async(actions) before step_wait().")
        mine, self._given = self._given, None
        everyone = self._batch.act(self._policies, self._skip)
        everyone[:, self._rows, : mine.shape[1]] = mine.unflatten(0, (self._markets, len(self._rows)))
        turn = self._batch.step(everyone, restart=True)
        infos = self._infos(turn.report)
        over = (turn.terminated | turn.truncated).repeat_interleave(len(self._rows)).cpu().numpy()
        cut = turn.truncated.repeat_interleave(len(self._rows)).tolist()
        for info, truncated in zip(infos, cut, strict=True):
            info["TimeLimit.truncated"] = truncated
        if over.any():
            last = self._mine(turn.final_seen)
            for k in over.nonzero()[0]:
                infos[k]["terminal_observation"] = last[k]
        rewards = turn.rewards[:, self._rows].flatten().cpu().numpy().astype(np.float32)
        return self._mine(turn.seen), rewards, over, infos

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Name the seed of the next reset: market k gets seed + k."""
        self._seed = seed
        return [None if seed is None else seed + k for k in range(self.num_envs)]

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Refuse options of the next reset: there are none."""
        if options and (isinstance(options, dict) or any(options)):
            raise ValueError(f"options is {options!r}, but reset has no options: give what the market takes to make_sb3.")

    def close(self) -> None:
        """Nothing to release."""

    def save(self, path: str | Path) -> None:
        """Write all running markets to a file; an environment that loads it goes on to the bit on a CPU."""
        self._batch.save(path)

    def load(self, path: str | Path) -> np.ndarray:
        """Take up saved markets: the observations of where they stood; ValueError for a damaged or foreign file."""
        seen = self._batch.load(path, restart=True)
        self.reset_infos = self._infos()
        return self._mine(seen)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """One attribute of the batch, repeated for the rows asked for."""
        return [getattr(self, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the whole batch; rows cannot differ."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the batch once and repeat its answer."""
        return [getattr(self, method_name)(*args, **kwargs)] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """No row is wrapped."""
        return [False] * self._count(indices)

    def _count(self, indices: Any) -> int:
        return self.num_envs if indices is None else len(list(indices)) if isinstance(indices, Iterable) else 1

    def _mine(self, seen: Tensor) -> np.ndarray:
        return seen[:, self._rows, : self._role.observation.dim].flatten(0, 1).cpu().numpy().copy()

    def _infos(self, report: Report | None = None) -> list[dict[str, Any]]:
        facts = self._batch.infos() if report is None else report.infos()
        columns = {key: values[:, self._rows].flatten().tolist() for key, values in facts.items()}
        return [{key: float(values[k]) for key, values in columns.items()} for k in range(self.num_envs)]
