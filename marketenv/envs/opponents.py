"""Policies for the agents that do not learn: scripted ones, trained ones, or SB3 models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from marketenv.envs.policy_files import PREFIX, load_trained
from marketenv.envs.seats import Seat, door_seat, learner_seat
from marketenv.envs.trained import TrainedPolicy


@dataclass(frozen=True)
class ModelPolicy:
    """A trained stable-baselines3 model as a policy; it acts deterministically and on the CPU.

    seat: the moves that it learned side by side; None where its spaces are the move's own
    """

    model: Any
    seat: Seat | None = None

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Predict actions [markets, actions] in the move's box."""
        mover = move if self.seat is None else self.seat
        view = observation if self.seat is None else self.seat.see(move.stage, observation)
        answer = _predict(self.model, view.detach().cpu().numpy())
        levels = spaces.levels_of(getattr(self.model, "action_space", None), mover)
        actions = spaces.to_actions(
            answer, mover, levels, "the model's action", observation.device, (len(observation),)
        )
        return actions if self.seat is None else self.seat.do(move.stage, actions)


@dataclass(frozen=True)
class SeatedModel:
    """A model with the seat at which it was trained; it is truthful in stages of no such seat."""

    model: Any
    market: Market

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Actions [markets, actions] in the move's box.

        Raises ValueError where the model fits no seat of the role.
        """
        seat = self._seats[move.name].get(move.stage) or self._no_seat(move.name)
        return seat(observation, move, keys)

    def check(self, role: str) -> None:
        """Raise ValueError where the model fits no seat of a role."""
        if not self._seats[role]:
            self._no_seat(role)

    @cached_property
    def _seats(self) -> dict[str, dict[str, Policy]]:
        """The policies by role and stage; none for a role that the model does not fit."""
        return {role.name: self._at(role.name) for role in self.market.roles}

    def _at(self, role: str) -> dict[str, Policy]:
        """The policy of each stage of a role: the model at its first seat that has the stage."""
        moves, truthful = self.market.moves_of(role), self.market.policies["truthful"]
        exact, seats = len(moves) > 1, role_seats(self.market, role)
        seats = [seat for seat in seats if _fits(self.model, seat, exact)]
        policies: dict[str, Policy] = {}
        for move in moves if seats else ():
            seat = next((seat for seat in seats if move.stage in seat.stages), None)
            policies[move.stage] = truthful if seat is None else ModelPolicy(self.model, seat)
        return policies

    def _no_seat(self, role: str) -> NoReturn:
        lines = []
        for seat in role_seats(self.market, role):
            boxes = f"{spaces.box(seat.observation)}, actions {spaces.box(seat.action)}"
            lines.append(f"{', '.join(seat.stages)}: {boxes}")
        sees, does = _spaces(self.model)
        raise ValueError(
            f"the model sees {sees} and acts in {does}, which is no seat of a {role}. By stages"
            f" these are: {'; '.join(lines)}. Build the market with the arguments that it was"
            " trained with."
        )


def role_seats(market: Market, role: str) -> list[Seat]:
    """Every seat that a door gives a role.

    First those of a learner, in all of its stages, then in fewer; last the seat where everybody
    steps in every stage.
    """
    stages = [move.stage for move in market.moves_of(role)]
    some = [names for k in range(len(stages), 0, -1) for names in combinations(stages, k)]
    return [*(learner_seat(market, role, names) for names in some), door_seat(market, role)]


def _spaces(model: Any) -> tuple[Any, Any]:
    """A model's observation and action space, None where it has none."""
    return getattr(model, "observation_space", None), getattr(model, "action_space", None)


def _fits(model: Any, seat: Seat, exact: bool) -> bool:
    """Whether a model's spaces are those of a seat; a model without spaces always fits.

    exact: its boxes must be the seat's; otherwise only their shapes, as in stable-baselines3
    """
    sees, does = _spaces(model)
    for space, fields in ((sees, seat.observation), (does, seat.action)):
        box = spaces.box(fields)
        other = space != box if exact else getattr(space, "shape", None) != box.shape
        if isinstance(space, gymnasium.spaces.Box) and other:
            return False
    try:
        spaces.levels_of(does, seat)
    except ValueError:
        return False
    return True


def asked(model: Any) -> Any:
    """The model itself, after a first question: a model that cannot play is refused at once.

    Raises ValueError for a model that keeps a memory, as RecurrentPPO does: policies have none.
    """
    space = getattr(model, "observation_space", None)
    if isinstance(space, gymnasium.spaces.Box):
        _predict(model, np.zeros((1, *space.shape), space.dtype).clip(space.low, space.high))
    return model


def _predict(model: Any, observation: np.ndarray) -> Any:
    """The actions that a model predicts; ValueError for a model that keeps a memory.

    Raises ValueError too for any other answer than that of stable-baselines3's models.
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
    """A policy: an object, a name in the market's table, ``"module:name"``, a model or its file.

    A model's file is named with its algorithm: ``"ppo:file.zip"``; a trained policy by
    ``"trained:name"`` or ``"trained:file.safetensors"``.
    """
    if isinstance(part, str) and part.startswith(PREFIX):
        return load_trained(part.removeprefix(PREFIX), market)
    if isinstance(part, str) and part.endswith(".zip"):
        return SeatedModel(load_model(part), market)
    if hasattr(part, "predict"):
        return SeatedModel(asked(part), market)
    return find_policy(part, market.policies)


def find_opponents(parts: Any, market: Market, learners: Collection[str] = ()) -> dict[str, Policy]:
    """One policy per agent, from one part for all or a mapping from agent or role names to parts.

    learners: agents that somebody else plays

    Agents that are not in the mapping play truthfully. Raises ValueError for a name that is neither
    an agent nor a role, for a trained policy or model that fits no seat of the agent or role, and
    for a trained policy, for all or for its role, where learners play the whole role.
    """
    names, roles = agent_names(market), market.people.roles
    played = {role_of(market, a).name for a in names if a not in learners}
    if not isinstance(parts, Mapping):
        policy = one_policy(parts, market)
        if isinstance(policy, TrainedPolicy):
            policy.check_played(played)
        return dict.fromkeys(names, policy)
    known = (*names, *(role.name for role in market.roles))
    for name in parts:
        if name not in known:
            raise unknown("agent or role", name, known)
    shared = {name: one_policy(part, market) for name, part in parts.items()}
    for name, policy in shared.items():
        if isinstance(policy, SeatedModel | TrainedPolicy):
            policy.check(name if name in roles else role_of(market, name).name)
        if isinstance(policy, TrainedPolicy) and name in roles:
            policy.check_played(played)
    truthful, policies = one_policy("truthful", market), {}
    for role in market.roles:
        for a in role.agents:
            policies[a] = shared.get(a, shared.get(role.name, truthful))
    return policies
