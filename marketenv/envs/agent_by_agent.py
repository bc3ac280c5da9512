"""The agent-by-agent form of a market, PettingZoo's AEC, of our own for markets of many stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from pettingzoo import AECEnv
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from marketenv.core.market import Market, Report
from marketenv.core.numbers import numbers
from marketenv.envs.parallel import MarketParallelEnv


class MarketAECEnv(AECEnv[str, np.ndarray, Any]):
    """The agent-by-agent form: in every stage its movers are asked one after another.

    A mover does not see the other moves of its stage; in the next stage they can be seen. Rewards
    come when the round is over; ``last()`` gives an agent its rewards since its last move.
    """

    def __init__(self, env: MarketParallelEnv) -> None:
        super().__init__()
        everybody = all(len(stage.moves) == len(env.market.roles) for stage in env.market.stages)
        # only where all move in every stage
        self.metadata = {**env.metadata, "is_parallelizable": everybody}
        self.env, self.render_mode, self.state_space = env, env.render_mode, env.state_space
        self.possible_agents = list(env.possible_agents)
        self.observation_spaces, self.action_spaces = env.observation_spaces, env.action_spaces
        self.agents: list[str] = []
        self._actions: dict[str, Any] = {}

    @property
    def market(self) -> Market:
        """The market that is played."""
        return self.env.market

    @property
    def report(self) -> Report | None:
        """The last finished round in full, None before the first."""
        return self.env.report

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The Box of what an agent sees; the same object on every call."""
        return self.env.observation_space(agent)

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The space of what an agent may do; the same object on every call."""
        return self.env.action_space(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode, as the parallel form does."""
        self._begin(*self.env.reset(seed, options))

    def _begin(
        self, observations: dict[str, np.ndarray], infos: dict[str, dict[str, float]]
    ) -> None:
        """Stand at the beginning of a stage."""
        self.agents = list(self.env.possible_agents)
        self._observations, self.infos = observations, infos
        over = not self.env.agents
        # a rule may end it before a cut
        terminated = over and (not self.market.cut or bool(self.env.situation.floor.ended[0]))
        self.terminations = dict.fromkeys(self.agents, terminated)
        self.truncations = dict.fromkeys(self.agents, over and not terminated)
        self.rewards: dict[str, float] = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards: dict[str, float] = dict.fromkeys(self.agents, 0.0)
        self._skip_agent_selection = None
        self._actions = {}
        self.agent_selection = self.agents[0] if over else self.env.movers[0]

    def observe(self, agent: str) -> np.ndarray:
        """What an agent sees in the present stage."""
        return self._observations[agent].copy()

    def step(self, action: Any) -> None:
        """Take the selected agent's action; after an error for a bad action it may act again."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self.env.check_action(agent, action)
        # a copy: the caller may reuse its array
        action = numbers(action, agent, torch.device("cpu")).numpy()
        waiting = self.env.movers
        if agent != waiting[-1]:
            self._actions[agent] = action
            self._moved(agent)
            self.agent_selection = waiting[waiting.index(agent) + 1]
            return
        result = self.env.step({**self._actions, agent: action})
        self._actions = {}
        self._moved(agent)
        self._observations, self.rewards, self.terminations, self.truncations, self.infos = result
        self._accumulate_rewards()
        if self.env.agents:
            self.agent_selection = self.env.movers[0]
        else:
            self._deads_step_first()

    def _moved(self, agent: str) -> None:
        """The agent has moved: its rewards count from 0 again."""
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()

    def state(self) -> np.ndarray:
        """What all agents see, joined in the order of ``possible_agents``: float32."""
        return self.env.state()

    def render(self) -> np.ndarray | str | None:
        """Show the last round as the parallel form does."""
        return self.env.render()

    def save(self, path: str | Path) -> None:
        """Write the running market to a file; ValueError in the middle of a stage.

        A file has no place for the actions of a stage that is not over.
        """
        if self._actions:
            raise ValueError(
                f"{', '.join(self._actions)} have moved in a stage that is not over; save before or"
                " after the stage."
            )
        self.env.save(path)

    def load(self, path: str | Path) -> None:
        """Take up a saved market; ValueError for a damaged file, and nothing changes then.

        An agent that has not moved since the last round still gets its reward of that round.
        """
        self._begin(*self.env.load(path))
        state = self.env.batch.state()
        played = self.market.stages[: len(state.moves)]
        movers = {agent for stage in played for m in stage.moves.values() for agent in m.agents}
        rewards = dict(zip(self.agents, state.finished.earned[0].tolist(), strict=True))
        self._cumulative_rewards = {a: 0.0 if a in movers else rewards[a] for a in self.agents}
        self.rewards = self.rewards if played else rewards

    def close(self) -> None:
        """Close the window of mode ``human``, if there is one."""
        self.env.close()


class Ordered(OrderEnforcingWrapper[str, np.ndarray, Any]):
    """PettingZoo's check of the order of calls; ``load`` begins an episode as ``reset`` does."""

    def load(self, path: str | Path) -> None:
        """Take up a saved market; see ``MarketAECEnv.load``."""
        self.env.load(path)
        self._has_reset = self._has_updated = True

    def __str__(self) -> str:
        return str(self.env)


def aec(env: MarketParallelEnv, ordered: bool = True) -> Any:
    """The AEC view of a parallel market.

    ordered: with PettingZoo's check of the order of calls
    """
    raw = MarketAECEnv(env)
    return Ordered(raw) if ordered else raw
