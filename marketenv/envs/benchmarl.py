"""The markets as tasks of BenchMARL; ``pip install 'marketenv[benchmarl]'``. Nothing of BenchMARL
is edited.

>>> task = MarketTask.REFERENCE_V0.get_task({"game": "double_auction"})
>>> env = task.get_env_fun(num_envs=1, continuous_actions=True, seed=0, device="cpu")()
>>> task.group_map(env)
{'buyer': ['buyer_0'], 'seller': ['seller_0']}
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch
from benchmarl.environments.common import Task
from benchmarl.environments.pettingzoo.common import PettingZooClass
from torchrl.envs import EnvBase
from torchrl.envs.libs.pettingzoo import PettingZooWrapper

from marketenv.core import draws
from marketenv.envs.make import MARKETS, make_market, make_parallel
from marketenv.envs.seats import door_seat


class Maker:
    """Makes one market's environments, each with episodes of its own.

    BenchMARL gives one seed to all environments of an experiment, those for evaluation among them,
    and they would all play the same episodes. Here the k-th environment of a process plays
    fold(seed, purpose, process, k).
    """

    def __init__(
        self, name: str, config: dict[str, Any], seed: int | None, purpose: int, device: Any
    ) -> None:
        self.name, self.config, self.seed, self.purpose, self.device = (
            name,
            config,
            seed,
            purpose,
            device,
        )
        self.made = 0

    def __call__(self) -> EnvBase:
        """Make the next environment, in the form that BenchMARL wants."""
        self.made += 1
        env = make_parallel(self.name, render_mode="rgb_array", **self.config)
        return PettingZooWrapper(
            env,
            return_state=True,
            categorical_actions=True,
            seed=self._next_seed(),
            device=self.device,
        )

    def _next_seed(self) -> int | None:
        if self.seed is None:
            return None
        # with parallel collection: one number a worker
        process = multiprocessing.current_process()._identity or (0,)
        return int(
            draws.integers(
                draws.fold(torch.tensor([self.seed]), self.purpose, process[-1], self.made), 2**31
            )
        )


class MarketClass(PettingZooClass):
    """A market as BenchMARL sees it: agents of one role form a group, the state is what all agents
    see.

    name:   a market's name in capitals, as in ``MarketTask``
    config: the market's arguments; with ``action_levels`` actions are discrete. BenchMARL knows a
            single discrete action per agent, which the reference markets have and the parameter
            market (bid, ask, effort) has not.

    Raises ValueError for an unknown argument, naming the nearest one.
    """

    def __init__(self, name: str, config: dict[str, Any] | None = None) -> None:
        super().__init__(name, dict(config or {}))
        levels = self.config.get("action_levels")
        market = make_market(
            name.lower(), **{k: v for k, v in self.config.items() if k != "action_levels"}
        )
        if levels is not None and any(
            door_seat(market, role.name).action.dim > 1 for role in market.roles
        ):
            raise ValueError(
                f"{name} has several actions per agent, BenchMARL only one discrete one: leave out"
                " action_levels."
            )
        self._steps, self._asked = market.horizon * len(market.stages), 0

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], EnvBase]:
        """Return what makes an environment; BenchMARL asks twice an experiment, for evaluation
        and then for training.
        """
        self._asked += 1
        return Maker(self.name.lower(), self.config, seed, self._asked % 2, device)

    def supports_continuous_actions(self) -> bool:
        """True without ``action_levels``."""
        return self.config.get("action_levels") is None

    def supports_discrete_actions(self) -> bool:
        """True with ``action_levels``."""
        return not self.supports_continuous_actions()

    def has_state(self) -> bool:
        """Every market has a state; central critics see it."""
        return True

    def max_steps(self, env: EnvBase) -> int:
        """Steps of an episode: rounds times stages."""
        return self._steps

    @staticmethod
    def env_name() -> str:
        """The family's name in BenchMARL's tables and files."""
        return "marketenv"


class LibraryTask(Task):
    """What every market of this library is as a task; ``get_task(config)`` takes its arguments,
    none means its defaults.
    """

    def get_task(self, config: dict[str, Any] | None = None) -> MarketClass:
        """Return the task with the market's arguments; ValueError for an unknown one."""
        return MarketClass(self.name, config)

    @staticmethod
    def associated_class() -> type[MarketClass]:
        """The class of these tasks."""
        return MarketClass


# every market of the library, by its name in capitals
MarketTask = LibraryTask("MarketTask", {name.upper(): None for name in MARKETS}, module=__name__)
