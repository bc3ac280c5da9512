"""What a market is: five methods over a batch of states. Everything else in the library is built on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from marketenv.core.checks import choice
from marketenv.core.fields import Fields, Multiple
from marketenv.core.tree import STATIC

Past = tuple[tuple[Any, Tensor], ...]  # (quotes, actions) of this round's earlier stages


@dataclass(frozen=True)
class Role:
    """Agents that see and do the same kind of things: ``name_0 .. name_{count-1}``."""

    name: str
    count: int
    observation: Fields
    action: Fields

    def __post_init__(self) -> None:
        for field in self._multiples:
            choice(field.of, f"observed field for {field.name!r} to be a multiple of:", tuple(self.observation.slices))
            seen = self.observation[field.of].size
            if seen != field.size:
                raise ValueError(
                    f"{field.name!r} has the size {field.size}, wanted {seen} as {field.of!r}, whose multiple it is."
                )

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the role's agents in order."""
        return tuple(f"{self.name}_{i}" for i in range(self.count))

    def read(self, observation: Float[Tensor, "*batch dim"], actions: Float[Tensor, "*batch width"]) -> dict[str, Tensor]:
        """What actions mean to an agent that sees this, by field: float64 [*batch, size] each."""
        return self.action.read(actions, self._known(observation))

    def write(
        self, observation: Float[Tensor, "*batch dim"], /, **meanings: Tensor | float | str
    ) -> Float32[Tensor, "*batch actions"]:
        """The actions by which an agent that sees this reports these meanings; see ``Fields.write``."""
        return self.action.write(observation, self._known(observation), **meanings)

    def _known(self, observation: Tensor) -> dict[str, Tensor]:
        """By an action's field what it is a multiple of, as the agent sees it."""
        return {field.name: observation[..., self.observation.slices[field.of]] for field in self._multiples}

    @property
    def _multiples(self) -> list[Multiple]:
        """The action's fields that are multiples of something that is seen."""
        return [field for field in self.action.items if isinstance(field, Multiple) and field.of]


@dataclass(frozen=True)
class Stage:
    """One move of a round: its name and the names of the roles that act in it, at once."""

    name: str
    movers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What every market says of a finished round; a market's own report adds fields to it.

    rewards:    utility of the round                        float64 [markets, agents]
    transfers:  money from payer to payee; rows and columns beyond the agents are operators, subsidies or fees
                                                            float64 [markets, payers, payees]
    terminated: the game is really over; ``clear`` says so for rules of its own only, the last round is added  bool [markets]
    seconds:    wall-clock seconds of each named step of the round

    ``INFO`` names the fields of shape [markets, agents] that PettingZoo's infos show.
    """

    INFO: ClassVar[tuple[str, ...]] = ()

    rewards: Float64[Tensor, "markets agents"]
    transfers: Float64[Tensor, "markets payers payees"]
    terminated: Bool[Tensor, "markets"]
    seconds: dict[str, float] = dataclasses.field(metadata=STATIC)

    def infos(self) -> dict[str, Tensor]:
        """The numeric fields that infos show: each [markets, agents]."""
        return {name: getattr(self, name) for name in self.INFO}

    def story(self, agents: Sequence[str]) -> list[str]:
        """Tell the first market's round in lines of text: payments and utilities; markets tell more in their own."""
        names = [*agents, *(f"operator_{k}" for k in range(self.transfers.shape[-1] - len(agents)))]
        amounts = [(p, q, float(self.transfers[0, p, q])) for p, q in self.transfers[0].nonzero().tolist()]
        paid = [f"{names[p]} pays {names[q]} {amount:.4f}." for p, q, amount in amounts]
        utilities = ", ".join(f"{a} {u:+.4f}" for a, u in zip(agents, self.rewards[0].tolist(), strict=True))
        return [*(paid or ["Nobody pays anybody."]), f"Utility: {utilities}."]


@runtime_checkable
class State(Protocol):
    """What every market's state has; it is a frozen dataclass of tensors that lead with the market axis."""

    @property
    def seeds(self) -> Int[Tensor, "markets"]:
        """Seed of each market's episode."""
        ...

    @property
    def round(self) -> Int[Tensor, "markets"]:
        """Rounds that are finished."""
        ...


@runtime_checkable
class Market(Protocol):
    """A batch of markets of one kind; every method is a pure function of its arguments.

    ``roles`` and ``stages`` say who acts when; ``horizon`` is the number of rounds of an episode; ``policies`` holds
    at least ``truthful`` and ``random``; ``report_type`` is the class of its reports. A market may have ``cut``, True
    where the horizon is no part of the game (see ``marketenv.core.horizon``).
    """

    stages: tuple[Stage, ...]
    policies: dict[str, Any]
    report_type: type[Report]
    horizon: int
    device: torch.device

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles in the order of the agent axis."""
        ...

    def reset(self, seeds: Int[Tensor, "markets"]) -> State:
        """Draw the first state of one market per seed."""
        ...

    def quote(self, state: Any, past: Past) -> Any:
        """Compute what the movers of the next stage are shown: training, alignment, valuation."""
        ...

    def observe(self, state: Any, past: Past, quotes: Any | None) -> Float[Tensor, "markets agents dim"]:
        """Flatten what each agent may see, padded to the widest role; quotes are None after the last round."""
        ...

    def clear(self, state: Any, past: Past) -> tuple[Any, Report]:
        """Merge and settle: who pays whom, who ends up with which parameters; return the next state and a report."""
        ...


def agent_names(market: Market) -> tuple[str, ...]:
    """Names of all agents of a market, roles in order; the order of every agent axis."""
    return tuple(name for role in market.roles for name in role.agents)


def role_of(market: Market, agent: str) -> Role:
    """The role of an agent; ValueError for an unknown name."""
    choice(agent, "agent", agent_names(market))
    return next(role for role in market.roles if agent in role.agents)


def action_width(market: Market) -> int:
    """Length of the padded action axis: the widest role's."""
    return max(role.action.dim for role in market.roles)
