"""Who plays the agents that are not learning: scripted policies or saved stable-baselines3
models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NoReturn

import gymnasium
import numpy as np
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Move, agent_names, role_of
from marketenv.core.policy import Policy, find_policy
from marketenv.envs import spaces
from marketenv.envs.seats import Seat, door_seat, learner_seat


@dataclass(frozen=True)
class ModelPolicy:
    """A trained stable-baselines3 model as a policy; it acts deterministically and on the CPU copy
    of what it sees.

    seat: the moves that it learned side by side, None where it sees and fills the move's own fields
    """

    model: Any
    seat: Seat | None = None

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Predict actions [markets, actions] in the move's box."""
        mover = move if self.seat is None else self.seat
        seen = observation if self.seat is None else self.seat.see(move.stage, observation)
        actions = _predict(self.model, seen.detach().cpu().numpy())
        levels = spaces.levels_of(getattr(self.model, "action_space", None), mover)
        done = spaces.to_actions(
            actions, mover, levels, "the model's action", observation.device, (len(observation),)
        )
        return done if self.seat is None else self.seat.do(move.stage, done)


@dataclass(frozen=True)
class SeatedModel:
    """A model at whichever door's seat it was trained: in the stages that it learned it plays,
    in others the truth is told.
    """

    model: Any
    market: Market

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Actions [markets, actions] in the move's box; ValueError where the model fits no seat
        of the role.
        """
        seat = self._seats[move.name].get(move.stage) or self._no_seat(move.name)
        return seat(observation, move, keys)

    def check(self, role: str) -> None:
        """Raise ValueError where the model fits no seat of a role."""
        if not self._seats[role]:
            self._no_seat(role)

    @cached_property
    def _seats(self) -> dict[str, dict[str, Policy]]:
        """Who plays, by role and stage; nobody in a role that the model does not fit."""
        return {role.name: self._at(role.name) for role in self.market.roles}

    def _at(self, role: str) -> dict[str, Policy]:
        """Who plays in each stage of a role: the model at the first seat that fits and has the
        stage.
        """
        moves, truthful = self.market.moves_of(role), self.market.policies["truthful"]
        seats = [
            seat
            for seat in role_seats(self.market, role)
            if _fits(self.model, seat, exact=len(moves) > 1)
        ]
        at = {
            move.stage: next((seat for seat in seats if move.stage in seat.stages), None)
            for move in moves
        }
        return (
            {
                s: truthful if seat is None else ModelPolicy(self.model, seat)
                for s, seat in at.items()
            }
            if seats
            else {}
        )

    def _no_seat(self, role: str) -> NoReturn:
        shown = "; ".join(
            f"{', '.join(seat.stages)}: {spaces.box(seat.observation)}, actions"
            f" {spaces.box(seat.action)}"
            for seat in role_seats(self.market, role)
        )
        sees, does = (
            getattr(self.model, name, None) for name in ("observation_space", "action_space")
        )
        raise ValueError(
            f"the model sees {sees} and acts in {does}, which is no seat of a {role}. By stages"
            f" these are: {shown}. Build the market with the arguments that it was trained with."
        )


def role_seats(market: Market, role: str) -> list[Seat]:
    """Every seat that a door gives a role: of a learner in all or some of its stages, most
    first, and where everybody steps.
    """
    stages = [move.stage for move in market.moves_of(role)]
    some = [named for k in range(len(stages), 0, -1) for named in combinations(stages, k)]
    return [*(learner_seat(market, role, named) for named in some), door_seat(market, role)]


def _fits(model: Any, seat: Seat, exact: bool) -> bool:
    """Whether a model sees and fills the fields of a seat; of one that does not tell, nothing is
    known.

    exact: its boxes must be the seat's; otherwise their shapes, as stable-baselines3 itself asks
    """
    pairs = (
        (getattr(model, "observation_space", None), seat.observation),
        (getattr(model, "action_space", None), seat.action),
    )
    for space, fields in pairs:
        box = spaces.box(fields)
        if isinstance(space, gymnasium.spaces.Box) and (
            space != box if exact else space.shape != box.shape
        ):
            return False
    try:
        spaces.levels_of(pairs[1][0], seat)
    except ValueError:
        return False
    return True


def asked(model: Any) -> Any:
    """The model itself, asked once, so that one that cannot play is refused before the game starts.

    Raises ValueError for a model that keeps a memory, as RecurrentPPO does: policies have none.
    """
    space = getattr(model, "observation_space", None)
    if isinstance(space, gymnasium.spaces.Box):
        _predict(model, np.zeros((1, *space.shape), space.dtype).clip(space.low, space.high))
    return model


def _predict(model: Any, observation: np.ndarray) -> Any:
    """The actions that a model predicts; ValueError where it answers otherwise than
    stable-baselines3's models without memory.
    """
    kind = type(model).__name__
    try:
        answer = model.predict(observation, deterministic=True)
    except TypeError as error:
        raise ValueError(
            f"{kind}.predict(observation, deterministic=True) failed: {error}. Wanted (actions,"
            " None)."
        ) from error
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ValueError(
            f"{kind}.predict returned a {type(answer).__name__}, wanted a pair (actions, None)."
        )
    if answer[1] is not None:
        raise ValueError(
            f"{kind} is recurrent: its predict returned a state. Policies keep no memory, so it"
            " would play without it; train one without memory, or write a policy of your own from"
            " the model."
        )
    return answer[0]


def load_model(spec: str) -> Any:
    """Load ``"ppo:path/to/model.zip"`` (or a2c, sac, td3, ddpg, dqn).

    Such files are pickles: load only your own. Raises ValueError for an unknown algorithm or an
    unreadable file.
    """
    import stable_baselines3

    algorithm, _, path = spec.partition(":")
    known = {name.lower(): name for name in ("PPO", "A2C", "SAC", "TD3", "DDPG", "DQN")}
    if algorithm.lower() not in known:
        raise unknown("stable-baselines3 algorithm", algorithm, known)
    try:
        model = getattr(stable_baselines3, known[algorithm.lower()]).load(path, device="cpu")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"cannot load {path!r} as a {algorithm} model: {error}. Wanted a model.save() file."
        ) from error
    return asked(model)


def one_policy(part: Any, market: Market) -> Policy:
    """A policy from an object, a name of the market's table, ``"module:name"``, a model, or
    ``"ppo:file.zip"``.
    """
    if isinstance(part, str) and part.endswith(".zip"):
        return SeatedModel(load_model(part), market)
    return (
        SeatedModel(asked(part), market)
        if hasattr(part, "predict")
        else find_policy(part, market.policies)
    )


def find_opponents(parts: Any, market: Market) -> dict[str, Policy]:
    """One policy per agent, from one part for all or a mapping from agent or role names to parts.

    Agents that a mapping leaves out play truthfully; ValueError for a name that is neither an agent
    nor a role, and for a model at a name whose seats it does not fit.
    """
    if not isinstance(parts, Mapping):
        return dict.fromkeys(agent_names(market), one_policy(parts, market))
    known = (*agent_names(market), *(role.name for role in market.roles))
    for name in parts:
        if name not in known:
            raise unknown("agent or role", name, known)
    shared = {name: one_policy(part, market) for name, part in parts.items()}
    for name, policy in shared.items():
        if isinstance(policy, SeatedModel):
            policy.check(name if name in market.people.roles else role_of(market, name).name)
    truthful = one_policy("truthful", market)
    return {
        a: shared.get(a, shared.get(role.name, truthful))
        for role in market.roles
        for a in role.agents
    }
