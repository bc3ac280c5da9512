"""The seats of all agents of a market at a door, their spaces, and their part in each stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.checks import refused
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, agent_names, role_of
from marketenv.envs import spaces
from marketenv.envs.seats import door_seat, nothing


class Places:
    """The seats of all agents of a market, with their spaces; agents of one role share theirs.

    levels: grid points per action, or None for Box actions
    """

    def __init__(self, market: Market, levels: int | None) -> None:
        self.market, self.levels, names = market, levels, agent_names(market)
        seats = {role.name: door_seat(market, role.name) for role in market.roles}
        boxes = {name: spaces.box(seat.observation) for name, seat in seats.items()}
        grids = {name: spaces.action_space(seat, levels) for name, seat in seats.items()}
        self.seats = {agent: seats[role_of(market, agent).name] for agent in names}
        self.observations = {agent: boxes[seat.name] for agent, seat in self.seats.items()}
        self.actions = {agent: grids[seat.name] for agent, seat in self.seats.items()}
        every = self.observations.values()
        low = np.concatenate([box.low for box in every])
        high = np.concatenate([box.high for box in every])
        self.state = gymnasium.spaces.Box(low, high, dtype=np.float32)

    def see(self, now: rounds.Situation, observations: rounds.ByRole) -> dict[str, np.ndarray]:
        """What every agent of a single market sees, from what the movers of its stage see.

        Where the episode is over it is the first stage, without a turn flag unless a cut hides the
        end of the game. The arrays share the market's memory.
        """
        stage = rounds.stage_of(self.market, now) if now.playing else self.market.stages[0]
        turn = now.playing or (self.market.cut and not bool(now.floor.ended[0]))
        views: dict[str, np.ndarray] = {}
        for role in self.market.roles:
            seat, moves = self.seats[role.agents[0]], role.name in stage.moves
            mine = observations[role.name] if moves else nothing(self.market, role.count, 1)
            flat = seat.see(stage.name if moves else None, mine, turn)[0].cpu().numpy()
            views |= {agent: flat[k] for k, agent in enumerate(role.agents)}
        return views

    def check(self, agent: str, action: Any) -> Tensor:
        """Return one agent's action as a checked tensor; ValueError says what is wrong with it."""
        return spaces.to_actions(
            action, self.seats[agent], self.levels, f"action of {agent}", self.market.device
        )

    def moves(self, movers: list[str], actions: Any, now: rounds.Situation) -> rounds.ByRole:
        """The movers' actions in the present stage, by role, from the actions by agent.

        Raises ValueError for actions without names, where a mover's action is missing, for an
        unknown agent, and for an impossible action, also of an agent that does not move.
        """
        if not isinstance(actions, Mapping):
            raise refused("actions", actions, "a dict from the movers' names to their actions")
        missing = [agent for agent in movers if agent not in actions]
        if missing or not movers:
            hint = f"no action for {', '.join(missing)}" if missing else "the episode is over"
            raise ValueError(
                f"{hint}; wanted one action for each of {movers or 'no agents: call reset()'}."
            )
        for agent in actions:
            if agent not in self.seats:
                raise unknown("agent", agent, tuple(self.seats))
        checked = {agent: self.check(agent, action) for agent, action in actions.items()}
        stage, by_role = rounds.stage_of(self.market, now), {}
        for role, move in stage.moves.items():
            parts = [self.seats[agent].do(stage.name, checked[agent]) for agent in move.agents]
            by_role[role] = torch.stack(parts)[None]
        return by_role
