"""The markets as tasks of BenchMARL; ``pip install 'marketenv[benchmarl]'``.

BenchMARL itself stays as it is.

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

    BenchMARL gives one seed to all environments of an experiment, also to those for evaluation, so
    that all would play the same episodes. Here the k-th environment of a process has the seed
    fold(seed, purpose, process, k).
    """

    def __init__(
        self, name: str, config: dict[str, Any], seed: int | None, purpose: int, device: Any
    ) -> None:
        self.name, self.config, self.device = name, config, device
        self.seed, self.purpose = seed, purpose
        self.count = 0

    def __call__(self) -> EnvBase:
        """Make the next environment, in the form that BenchMARL wants."""
        self.count += 1
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
        # in parallel collection every worker has a number
        process = multiprocessing.current_process()._identity or (0,)
        key = draws.fold(torch.tensor([self.seed]), self.purpose, process[-1], self.count)
        return int(draws.integers(key, 2**31))


class MarketClass(PettingZooClass):
    """A market as BenchMARL sees it: a group for each role; the state is what all agents see.

    name:   a market's name in capitals, as in ``MarketTask``
    config: the market's arguments; with ``action_levels`` actions are discrete. BenchMARL knows
            only one discrete action per agent: so it is in the reference markets, but not in the
            parameter market (bid, ask, effort).

    Raises ValueError for an unknown argument, naming the nearest one.
    """

    def __init__(self, name: str, config: dict[str, Any] | None = None) -> None:
        super().__init__(name, dict(config or {}))
        levels = self.config.get("action_levels")
        arguments = {key: value for key, value in self.config.items() if key != "action_levels"}
        market = make_market(name.lower(), **arguments)
        widths = [door_seat(market, role.name).action.dim for role in market.roles]
        if levels is not None and max(widths) > 1:
            raise ValueError(
                f"{name} has several actions per agent, BenchMARL only one discrete one: leave out"
                " action_levels."
            )
        self._steps, self._requests = market.horizon * len(market.stages), 0

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], EnvBase]:
        """Return a maker of environments.

        BenchMARL asks for two makers in an experiment: first for evaluation, then for training.
        """
        self._requests += 1
        return Maker(self.name.lower(), self.config, seed, self._requests % 2, device)

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
    """A market of this library as a task; ``get_task(config)`` takes its arguments."""

    def get_task(self, config: dict[str, Any] | None = None) -> MarketClass:
        """Return the task with the market's arguments; ValueError for an unknown one."""
        return MarketClass(self.name, config)

    @staticmethod
    def associated_class() -> type[MarketClass]:
        """The class of these tasks."""
        return MarketClass


# every market of the library, by its name in capitals
MarketTask = LibraryTask("MarketTask", {name.upper(): None for name in MARKETS}, module=__name__)
