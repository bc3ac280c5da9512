"""The PettingZoo doors: a parallel environment over a batch of one market, and its AEC form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from pettingzoo import ParallelEnv
from pettingzoo.utils.conversions import parallel_to_aec_wrapper
from pettingzoo.utils.wrappers import OrderEnforcingWrapper
from torch import Tensor

from marketenv.core.batch import Batch
from marketenv.core.checks import choice, or_none
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Report, agent_names, role_of
from marketenv.core.numbers import numbers
from marketenv.core.policy import Policy
from marketenv.envs import spaces
from marketenv.render import draw_frame, tell_round

RENDER_MODES = ("rgb_array", "ansi", "human")


class MarketParallelEnv(ParallelEnv[str, np.ndarray, Any]):
    """Any market as a PettingZoo parallel environment; one step is one stage of a round.

    market:        a batch of markets of one kind (see ``marketenv.core.market.Market``)
    name:          what ``str(env)`` and PettingZoo's metadata show
    render_mode:   ``rgb_array`` (a picture), ``ansi`` (the round told in words), ``human`` (the words, printed
                   by ``reset`` and after every round) or None
    action_levels: None for Box actions, or the number of grid points per action for learners that need discrete ones

    Observations are float32 inside their Box; infos hold the same numbers at reset and after every step; the whole
    last round is at ``env.unwrapped.report``. Actions of agents that are not to move in a stage are ignored.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  as in PettingZoo
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "is_parallelizable": True,
    }

    def __init__(self, market: Market, name: str, render_mode: str | None = None, action_levels: int | None = None) -> None:
        self.metadata = {**type(self).metadata, "name": name}
        self.market, self.render_mode = market, or_none(choice, known=RENDER_MODES)(render_mode, "render_mode")
        self.action_levels = action_levels = spaces.LEVELS(action_levels, "action_levels")
        self.possible_agents = list(agent_names(market))
        self.agents: list[str] = []
        self._roles = {agent: role_of(market, agent) for agent in self.possible_agents}
        seen = {role.name: spaces.box(role.observation) for role in market.roles}
        self.observation_spaces = {a: seen[r.name] for a, r in self._roles.items()}
        self.action_spaces = {a: spaces.action_space(r, action_levels) for a, r in self._roles.items()}
        low, high = (np.concatenate([getattr(seen[r.name], side) for r in self._roles.values()]) for side in ("low", "high"))
        self.state_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self._batch = Batch(market, 1)
        self._observations: dict[str, np.ndarray] = {}

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The Box of what an agent sees; the same object on every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The space of what an agent may do; the same object on every call."""
        return self.action_spaces[agent]

    @property
    def report(self) -> Report | None:
        """The last finished round in full, None before the first."""
        return self._batch.report

    @property
    def quotes(self) -> Any:
        """What the movers of the coming stage are shown, in full; None after the last round."""
        return self._batch.running().quotes

    @property
    def market_state(self) -> Any:
        """The market's own state (a frozen dataclass of tensors that lead with an axis of length 1)."""
        return self._batch.running().state

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        """Start an episode. A seed fixes everything; without one the next episode of the last seed is drawn.

        There are no options; PettingZoo's suites give one nevertheless, so they are ignored here.
        """
        started = self._start(self._batch.reset(seed))
        self._tell()
        return started

    def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Play one stage with one action per agent; ValueError, and no change at all, for a bad action.

        An episode that is over takes no actions and gives empty dicts, as PettingZoo's environments do; SuperSuit's
        ``black_death_v3`` goes one step too far.
        """
        if not self.agents and not actions and self._batch.running():
            return {}, {}, {}, {}, {}
        missing = [a for a in self.agents if a not in actions]
        if missing or not self.agents:
            hint = f"no action for {', '.join(missing)}" if missing else "the episode is over"
            raise ValueError(f"{hint}; wanted one action for each of {self.agents or 'no agents: call reset()'}.")
        for agent in actions:
            if agent not in self._roles:
                raise unknown("agent", agent, tuple(self.possible_agents))
        return self._take(self._rows(actions))

    def step_one(
        self, agent: str, action: Any, policies: Mapping[str, Policy]
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, float]]:
        """Play one stage with one agent's action while policies play the others: that agent's part of ``step``."""
        mine = self.check_action(agent, action)
        rows = self._batch.act(policies, frozenset({agent}))
        rows[0, self.possible_agents.index(agent), : len(mine)] = mine
        seen, rewards, terminated, truncated, infos = (part[agent] for part in self._take(rows))
        return seen, rewards, terminated, truncated, infos

    def _take(self, rows: Tensor) -> tuple[dict[str, Any], ...]:
        turn = self._batch.step(rows)
        rewards = turn.rewards[0].tolist()
        terminated, truncated = bool(turn.terminated[0]), bool(turn.truncated[0])
        agents = list(self.agents)
        observations = self._see(turn.seen)
        if terminated or truncated:
            self.agents = []
        if turn.report is not None:
            self._tell()
        return (
            observations,
            {a: float(r) for a, r in zip(agents, rewards, strict=True)},
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, truncated),
            self._infos(agents),
        )

    def check_action(self, agent: str, action: Any) -> Tensor:
        """Return one agent's action as a checked tensor; ValueError says what is wrong with it."""
        return spaces.to_actions(action, self._roles[agent], self.action_levels, f"action of {agent}", self.market.device)

    def state(self) -> np.ndarray:
        """What all agents see, joined in the order of ``possible_agents``: float32."""
        self._batch.running()
        return np.concatenate([self._observations[a] for a in self.possible_agents])

    def render(self) -> np.ndarray | str | None:
        """Show the last round: a uint8 picture, or words. None without a render mode and for ``human``, which was shown."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() was called without a render_mode; nothing is drawn.")
            return None
        if self.render_mode == "rgb_array":
            return draw_frame(self.report, self.possible_agents)
        return tell_round(self.report, self.possible_agents) if self.render_mode == "ansi" else None

    def save(self, path: str | Path) -> None:
        """Write the running market to a file; an environment that loads it goes on to the bit on a CPU."""
        self._batch.save(path)

    def load(self, path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        """Take up a saved market: its observations and last infos (``report`` is None); ValueError for a damaged file."""
        observations, infos = self._start(self._batch.load(path))
        if self._batch.running().quotes is None:
            self.agents = []
        return observations, infos

    def close(self) -> None:
        """Nothing to release."""

    def __str__(self) -> str:
        return str(self.metadata["name"])

    def _tell(self) -> None:
        if self.render_mode == "human":
            print(tell_round(self.report, self.possible_agents))

    def _start(self, seen: Tensor) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        self.agents = list(self.possible_agents)
        return self._see(seen), self._infos(self.agents)

    def _see(self, seen: Tensor) -> dict[str, np.ndarray]:
        flat = seen[0].cpu().numpy()
        self._observations = {a: flat[i, : self._roles[a].observation.dim].copy() for i, a in enumerate(self.possible_agents)}
        return {a: o.copy() for a, o in self._observations.items()}

    def _infos(self, agents: list[str]) -> dict[str, dict[str, float]]:
        columns = {key: values[0].tolist() for key, values in self._batch.infos().items()}
        return {a: {key: float(values[i]) for key, values in columns.items()} for i, a in enumerate(agents)}

    def _rows(self, actions: dict[str, Any]) -> Tensor:
        width = max(r.action.dim for r in self.market.roles)
        rows = torch.zeros(1, len(self.possible_agents), width, dtype=torch.float32, device=self.market.device)
        for i, agent in enumerate(self.possible_agents):
            checked = self.check_action(agent, actions[agent])
            rows[0, i, : len(checked)] = checked
        return rows


class MarketAECEnv(parallel_to_aec_wrapper):
    """The agent-by-agent form: within a stage agents act without seeing each other, rewards come after the last."""

    def step(self, action: Any) -> None:
        """Take the selected agent's action; a bad one is refused at once and may be given again."""
        agent = self.agent_selection
        if not (self.terminations[agent] or self.truncations[agent]):
            self.env.unwrapped.check_action(agent, action)
            action = numbers(action, agent, torch.device("cpu")).numpy()  # a copy: the caller may reuse its array
        super().step(action)


def aec(env: MarketParallelEnv, ordered: bool = True) -> Any:
    """The AEC view of a parallel market; ``ordered`` adds PettingZoo's check of the order of calls."""
    raw = MarketAECEnv(env)
    return OrderEnforcingWrapper(raw) if ordered else raw
