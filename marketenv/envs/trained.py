"""Trained policies: a small network, the scaling of what it sees, and the facts of its training.

Their files are in ``marketenv.envs.policy_files``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    each,
    flag,
    number,
    options,
    or_none,
    text,
    whole,
)
from marketenv.core.fields import Fields
from marketenv.core.market import Market, Move
from marketenv.core.plain_forms import plain
from marketenv.core.policy import Policy, draws_keys
from marketenv.envs.seats import Seat, learner_seat

EPSILON = 1e-8  # of the scaling, as in stable-baselines3's VecNormalize
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}

Layer = tuple[Float32[Tensor, "_ _"], Float32[Tensor, "_"]]  # weight and bias


@dataclass(frozen=True, kw_only=True)
class PolicyFacts:
    """The facts of a trained policy, as the header of its file holds them.

    market, role:     whose policy it is
    stages:           in which it moves
    sees, does:       sizes of the fields of its observations and actions, by name
    network:          units of the hidden layers
    activation:       tanh or relu, after every hidden layer
    squashed:         its actions are tanh of the network's numbers, stretched to the box (SAC), and
                      not the numbers themselves, clipped to the box (PPO)
    clip:             scaled observations lie in [-clip, clip]
    algorithm, steps: of its training; a step is one move of the learner
    seed:             of its training; None where it is not known
    arguments:        of the market in which it was trained; all others had their defaults
    utility:          money per episode on fresh seeds: learned, truthful, their difference with its
                      interval of 95 % (low, high), and the number of pairs of episodes
    command:          that trained it; None where no command did
    """

    market: str
    role: str
    stages: Sequence[str]
    sees: Mapping[str, int]
    does: Mapping[str, int]
    network: Sequence[int]
    activation: str
    squashed: bool
    clip: float
    algorithm: str
    steps: int
    seed: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    utility: Mapping[str, float | None] | None = None
    command: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, _FACTS)

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers that go through the network: what it sees, its hidden layers, its actions."""
        return (sum(self.sees.values()), *self.network, sum(self.does.values()))


def _whole_sizes(value: Any, name: str) -> dict[str, int]:
    """Sizes of fields by name, each a whole number."""
    return {key: whole(size, f"{name}[{key!r}]", 1) for key, size in options(value, name).items()}


_FACTS: dict[str, Check] = {
    **dict.fromkeys(("market", "role", "algorithm"), text),
    **dict.fromkeys(("sees", "does"), _whole_sizes),
    "arguments": lambda value, name: plain(options(value, name)),
    "stages": lambda value, name: each(value, name, text, wanted="names of stages"),
    "network": lambda value, name: each(value, name, partial(whole, least=1), wanted="units"),
    "activation": lambda value, name: choice(value, name, ACTIVATIONS),
    "squashed": flag,
    "clip": lambda value, name: number(value, name, above=0),
    "steps": whole,
    "seed": or_none(whole),
    "utility": or_none(options),
    "command": or_none(text),
}


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """A network that sees scaled observations; it acts deterministically and draws nothing.

    x = clip((observation - mean) / sqrt(var + 1e-8), -clip, clip);   action = network(x) in its box

    layers:    weight and bias of every layer, the hidden ones first
    mean, var: of the observations that it was trained on                 [dim]
    low, high: the box of its actions                                     [width]
    seat:      the moves that it learned, side by side; None: its only one
    elsewhere: the policy of all moves that it did not learn; None: it has only its own
    """

    facts: PolicyFacts
    layers: tuple[Layer, ...]
    mean: Float64[Tensor, "dim"]
    var: Float64[Tensor, "dim"]
    low: Float32[Tensor, "width"]
    high: Float32[Tensor, "width"]
    seat: Seat | None = None
    elsewhere: Policy | None = None

    @property
    def draws(self) -> bool:
        """Whether it wants keys: only where the policy of its other moves does."""
        return self.elsewhere is not None and draws_keys(self.elsewhere)

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "_"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the move's box, float32 [markets, actions].

        Raises ValueError for observations of another width, and without a market for a move that it
        did not learn.
        """
        if move.name != self.facts.role or move.stage not in self.facts.stages:
            if self.elsewhere is None:
                raise ValueError(
                    f"the policy learned to move as a {self.facts.role} in"
                    f" {', '.join(self.facts.stages)}, and nobody plays a {move.name}'s"
                    f" {move.stage!r} for it: load it with the market that it shall play."
                )
            return self.elsewhere(observation, move, keys)
        view = observation if self.seat is None else self.seat.see(move.stage, observation)
        if view.shape[-1] != len(self.mean):
            raise ValueError(
                f"the policy was trained on {len(self.mean)} numbers, this {move.name} sees"
                f" {view.shape[-1]}. Build the market with the arguments that it was trained with,"
                " and load the policy with the market where agents move in several stages."
            )
        actions = self.act(view)
        return actions if self.seat is None else self.seat.do(move.stage, actions)

    @torch.no_grad()
    def act(self, observation: Float[Tensor, "markets dim"]) -> Float32[Tensor, "markets width"]:
        """The actions of all of its stages, from the joined observations of its seat."""
        device, clip = observation.device, self.facts.clip
        mean, scale = self.mean.to(device), (self.var.to(device) + EPSILON).sqrt()
        x = ((observation - mean) / scale).clamp(-clip, clip).float()
        activation = ACTIVATIONS[self.facts.activation]
        *hidden, last = ((weight.to(device), bias.to(device)) for weight, bias in self.layers)
        for weight, bias in hidden:
            x = activation(torch.nn.functional.linear(x, weight, bias))
        x = torch.nn.functional.linear(x, *last)
        low, high = self.low.to(device), self.high.to(device)
        if self.facts.squashed:
            x = low + 0.5 * (x.tanh() + 1.0) * (high - low)
        return x.clamp(low, high)

    def check(self, role: str) -> None:
        """Raise ValueError for another role than its own."""
        mine = self.facts.role
        if role != mine:
            raise ValueError(
                f"the trained policy is a {mine}'s, and a {role} shall play it. Give it to its role"
                f" alone, for instance opponents={{{mine!r}: ...}}; all others are truthful then."
            )

    def check_played(self, roles: Collection[str]) -> None:
        """Raise ValueError where its role is not among these: it would play nobody's moves."""
        mine, others = self.facts.role, " or ".join(sorted(roles))
        if mine not in roles:
            fix = f"Let another agent learn, or give a policy of the role {others}."
            raise ValueError(
                f"the trained policy is a {mine}'s, and no other agent is a {mine}: it would play"
                f" nobody's moves. {fix if others else 'Leave it out: every agent learns.'}"
            )

    def at(self, market: Market) -> TrainedPolicy:
        """The same policy at its seat in a market, truthful in all moves that it did not learn.

        Raises ValueError for another market, and for one in which it would see or do other things.
        """
        facts = self.facts
        if market.name != facts.market:
            raise ValueError(
                f"it was trained in {facts.market}, and this market is {market.name}. Give a policy"
                " of this market: the command marketenv list names those that are shipped."
            )
        _check_seat(market, facts)
        seat = learner_seat(market, facts.role, facts.stages)
        _check_fields_of("sees", facts.sees, seat.observation, facts)
        _check_fields_of("does", facts.does, seat.action, facts)
        box = seat.action
        if not (torch.equal(self.low, box.low) and torch.equal(self.high, box.high)):
            raise ValueError(
                f"its actions lie in {self.low.tolist()} to {self.high.tolist()}, those of this"
                f" market in {box.low.tolist()} to {box.high.tolist()}.{_fix(facts)}"
            )
        return dataclasses.replace(self, seat=seat, elsewhere=market.policies["truthful"])

    def tensors(self) -> dict[str, Tensor]:
        """All numbers of the policy, by their names in its file."""
        named = {"mean": self.mean, "var": self.var, "low": self.low, "high": self.high}
        for k, (weight, bias) in enumerate(self.layers):
            named |= {f"weight_{k}": weight, f"bias_{k}": bias}
        return named


def _check_seat(market: Market, facts: PolicyFacts) -> None:
    """Refuse a market without the role, or in which the role lacks a stage."""
    stages = {
        role.name: [move.stage for move in market.moves_of(role.name)] for role in market.roles
    }
    missing = [stage for stage in facts.stages if stage not in stages.get(facts.role, ())]
    if missing:
        known = "; ".join(f"{role}: {', '.join(names)}" for role, names in stages.items())
        raise ValueError(
            f"it moves as a {facts.role} in {', '.join(missing)}, and the stages of this market are"
            f" {known}.{_fix(facts)}"
        )


def _check_fields_of(
    verb: str, mine: Mapping[str, int], fields: Fields, facts: PolicyFacts
) -> None:
    """Refuse a market whose fields have other names, sizes or another order."""
    here = field_sizes(fields)
    if list(mine.items()) != list(here.items()):
        raise ValueError(
            f"it {verb} {_sizes(mine)}, and a {facts.role} of this market {verb} {_sizes(here)}."
            f"{_fix(facts)}"
        )


def _sizes(fields: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({size})" for name, size in fields.items())


def _fix(facts: PolicyFacts) -> str:
    """What to do where a market does not fit."""
    given = ", ".join(f"{name}={value!r}" for name, value in facts.arguments.items())
    return f" Build the market as it was trained: with {given or 'its defaults'}."


def field_sizes(fields: Fields) -> dict[str, int]:
    """Names and sizes of fields, as the facts of a policy hold them."""
    return {one.name: one.size for one in fields.items}
