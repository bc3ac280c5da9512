"""The PettingZoo door: a parallel environment over a batch of one market."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.batch import Batch, Turn
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.undo import undone
from marketenv.envs import spaces
from marketenv.envs.places import Places
from marketenv.envs.screen import RENDER_MODES, Screen


class MarketParallelEnv(ParallelEnv[str, np.ndarray, Any]):
    """Any market as a PettingZoo parallel environment; one step is one stage of a round.

    market:        a batch of markets of one kind (see ``marketenv.core.market.Market``)
    name:          what ``str(env)`` and PettingZoo's metadata show
    render_mode:   ``rgb_array`` (a picture), ``ansi`` (the round in words), ``human`` (by ``reset``
                   and after every round the words are printed, and the picture is drawn in a
                   notebook or a window where there is one) or None
    action_levels: None for Box actions, or the number of grid points per action for learners that
                   need discrete ones

    Observations are float32 inside their Box; infos hold the same numbers at reset and after every
    step; the whole last round is at ``env.unwrapped.report``. In a market of several stages an
    agent's spaces join the fields of its stages, each with a flag that is 1 where it is the agent's
    turn; ``movers`` names the agents that move. Actions of other agents may be missing. Every
    action is checked whole, also of other agents and in the fields of other stages, since a mistake
    is a mistake; only a mover's fields of the present stage count.

    Infos are facts of the last finished round, and 0 before the first one; this holds for ``cash``
    too, while ``situation.floor`` has the present cash.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  as in PettingZoo
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        market: Market,
        name: str,
        render_mode: str | None = None,
        action_levels: int | None = None,
    ) -> None:
        self.metadata = {**type(self).metadata, "name": name}
        self.market, self.possible_agents = market, list(agent_names(market))
        self.screen = Screen(render_mode, market, self.possible_agents)
        self.render_mode = render_mode
        self.action_levels = action_levels = spaces.LEVELS(action_levels, "action_levels")
        self.agents: list[str] = []
        self._places = places = Places(market, action_levels)
        self.observation_spaces, self.action_spaces = places.observations, places.actions
        self.state_space = places.state
        self.batch = Batch(market, 1)
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
        return self.batch.report

    @property
    def quotes(self) -> Any:
        """What the movers of the coming stage are shown, in full; None after the last round."""
        return self.batch.running().quotes

    @property
    def situation(self) -> rounds.Situation:
        """Where the market stands: its floor and each phase's memory, with a market axis of 1."""
        return self.batch.running()

    @property
    def movers(self) -> list[str]:
        """The agents that move in the coming stage; nobody when the episode is over."""
        now = self.batch.running()
        moves = rounds.stage_of(self.market, now).moves.values() if now.playing else ()
        return [agent for move in moves for agent in move.agents]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        """Start an episode; a seed fixes everything.

        Without a seed it is the next episode of the last one. Options are ignored: there are none,
        but PettingZoo's suites give one.
        """
        with undone(self, self.batch):
            started = self._start(self.batch.reset(seed))
            self.screen.show(self.report)
        return started

    def step(self, actions: Any) -> tuple[dict[str, Any], ...]:
        """Play one stage with a dict of the movers' names and actions.

        Raises ValueError for a bad action, and nothing changes then. An episode that is over takes
        no actions and gives empty dicts, as PettingZoo's environments do, since SuperSuit's
        ``black_death_v3`` goes one step too far.
        """
        if not self.agents and not actions and self.batch.running():
            return {}, {}, {}, {}, {}
        moves = self._places.moves(self.movers if self.agents else [], actions, self.situation)
        # the round's words and infos are a phase's own code, which may fail
        with undone(self, self.batch):
            return self.results(self.batch.step(moves))

    def results(self, turn: Turn) -> tuple[dict[str, Any], ...]:
        """PettingZoo's results of a step of the batch.

        They are observations, rewards, terminations, truncations and infos.
        """
        agents = list(self.agents)
        rewards = dict(zip(agents, turn.rewards[0].tolist(), strict=True))
        terminated, truncated = bool(turn.terminated[0]), bool(turn.truncated[0])
        observations = self._see(turn.observations)
        if terminated or truncated:
            self.agents = []
        if turn.report is not None:
            self.screen.show(turn.report)
        ends = dict.fromkeys(agents, terminated), dict.fromkeys(agents, truncated)
        return observations, rewards, *ends, self._infos(agents)

    def check_action(self, agent: str, action: Any) -> Tensor:
        """Return one agent's action as a checked tensor; ValueError says what is wrong with it."""
        return self._places.check(agent, action)

    def state(self) -> np.ndarray:
        """What all agents see, joined in the order of ``possible_agents``: float32."""
        self.batch.running()
        return np.concatenate([self._observations[a] for a in self.possible_agents])

    def render(self) -> np.ndarray | str | None:
        """Show the last round: a uint8 picture, or words; None without a mode and for ``human``."""
        return self.screen.render(self.report)

    def save(self, path: str | Path) -> None:
        """Write the running market to a file; an environment that loads it goes on to the bit.

        This holds on a CPU.
        """
        self.batch.save(path)

    def load(self, path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        """Take up a saved market, and return its observations and last infos.

        ``report`` is None then. Raises ValueError for a damaged file.
        """
        with undone(self, self.batch):
            observations, infos = self._start(self.batch.load(path))
            if not self.batch.running().playing:
                self.agents = []
        return observations, infos

    def close(self) -> None:
        """Close the window of mode ``human``, if there is one."""
        self.screen.close()

    def __str__(self) -> str:
        return str(self.metadata["name"])

    def _start(
        self, observations: rounds.ByRole
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
        self.agents = list(self.possible_agents)
        return self._see(observations), self._infos(self.agents)

    def _see(self, observations: rounds.ByRole) -> dict[str, np.ndarray]:
        self._observations = self._places.see(self.situation, observations)
        return {a: o.copy() for a, o in self._observations.items()}

    def _infos(self, agents: list[str]) -> dict[str, dict[str, float]]:
        columns = {key: values[0].tolist() for key, values in self.batch.infos().items()}
        infos: dict[str, dict[str, float]] = {}
        for i, agent in enumerate(agents):
            infos[agent] = {key: float(values[i]) for key, values in columns.items()}
        return infos
