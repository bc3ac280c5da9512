"""Deviations: maps from what an agent would report to what it reports instead, in families with parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.fields import Fields
from marketenv.core.lookup import unknown
from marketenv.core.market import Role
from marketenv.core.policy import Policy

Map = Callable[[Tensor, Tensor, Tensor, Role], Tensor]


@dataclass(frozen=True)
class Family:
    """Maps from reports to reports, told apart by k parameters.

    low, high: box of the parameters [k];   identity: the parameters that change nothing [k]
    apply:     (actions [rows, a], parameters [rows, k], observation [rows, dim], role) -> actions [rows, a]; what leaves
               the role's box is clipped to it
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    identity: tuple[float, ...]
    apply: Map

    def line(self, points: int) -> Float64[Tensor, "points k"]:
        """Evenly spaced parameters of a family of one, the identity among them; ValueError for a family of several."""
        if len(self.low) != 1:
            raise ValueError(f"{self.name!r} has {len(self.low)} parameters; a line wants a family of one, for instance scale.")
        grid = torch.linspace(self.low[0], self.high[0], points, dtype=torch.float64, device="cpu")
        same = (grid - self.identity[0]).abs() <= 1e-9 * (self.high[0] - self.low[0])  # linspace(0, 2, 7) has 1 + 2e-16
        return torch.cat([grid[~same], grid.new_tensor(self.identity)]).sort().values[:, None]


@dataclass(frozen=True)
class Deviation:
    """A policy that reports a base policy's actions through a family's map.

    With one row of parameters it is a policy like any other. With several rows it plays all of them at once: the markets
    that it is asked about come in as many equal runs as there are rows, and run l is played with row l.

    parameters: [rows, k]
    """

    base: Policy
    family: Family
    parameters: Float64[Tensor, "rows k"]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the role's box, float32 [markets, actions]."""
        each = self.parameters.to(observation.device).repeat_interleave(len(observation) // len(self.parameters), 0)
        actions = self.family.apply(self.base(observation, role, keys).double(), each, observation, role)
        return actions.float().clamp(role.action.low.to(actions.device), role.action.high.to(actions.device))

    def __str__(self) -> str:
        parameters = ", ".join(f"{value:.4g}" for value in self.parameters[0].tolist())
        return f"{self.family.name}, in its box, by {parameters}"


@dataclass(frozen=True)
class Within:
    """A policy's answer in some fields of the action, and a base's in all others.

    fields: names of the parts that are the policy's
    """

    base: Policy
    policy: Policy
    fields: tuple[str, ...]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the role's box, float32 [markets, actions]."""
        actions, new = (policy(observation, role, keys) for policy in (self.base, self.policy))
        return torch.cat([(new if name in self.fields else actions)[:, where] for name, where in role.action.slices.items()], 1)


@dataclass(frozen=True)
class Field:
    """One named part of an action as a share u of its box: 0 at its lower end, 1 at its upper one."""

    where: slice
    low: float
    high: float

    def change(self, actions: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
        """The actions with ``rule`` of this part's shares in place of them."""
        width = self.high - self.low
        new = self.low + width * rule((actions[:, self.where] - self.low) / width)
        return torch.cat([actions[:, : self.where.start], new, actions[:, self.where.stop :]], 1)


def scale(name: str, field: Field) -> Family:
    """u' = k u, k in [0, 2]: a price of k times what it would be."""
    return Family(f"scale {name}", (0.0,), (2.0,), (1.0,), lambda a, p, seen, role: field.change(a, lambda u: p * u))


def shift(name: str, field: Field) -> Family:
    """u' = u + d, d in [-1, 1]: more or less by a part of the box."""
    return Family(f"shift {name}", (-1.0,), (1.0,), (0.0,), lambda a, p, seen, role: field.change(a, lambda u: u + p))


def affine(name: str, field: Field) -> Family:
    """u' = i + k u, i in [-1/2, 1/2], k in [0, 2]."""
    return Family(
        f"affine {name}",
        (-0.5, 0.0),
        (0.5, 2.0),
        (0.0, 1.0),
        lambda a, p, seen, role: field.change(a, lambda u: p[:, :1] + p[:, 1:] * u),
    )


def knots(name: str, field: Field, count: int = 5) -> Family:
    """u' runs through the values p_j at u = j / (count - 1), straight between them: any curve, roughly."""

    def bend(u: Tensor, values: Tensor) -> Tensor:
        place = u.clamp(0, 1) * (count - 1)
        left = place.floor().clamp(max=count - 2).long()
        part = place - left
        return (1 - part) * values.gather(1, left) + part * values.gather(1, left + 1)

    same = tuple(k / (count - 1) for k in range(count))
    return Family(
        f"knots {name}",
        (0.0,) * count,
        (1.0,) * count,
        same,
        lambda a, p, seen, role: field.change(a, lambda u: bend(u, p)),
    )


KINDS: dict[str, Callable[[str, Field], Family]] = {"scale": scale, "shift": shift, "affine": affine, "knots": knots}


def families(role: Role, kinds: Sequence[str] = tuple(KINDS), fields: Sequence[str] | None = None) -> dict[str, Family]:
    """Every kind of deviation for every field of a role's action, by name: ``"scale price"``, ``"shift effort"``, ...

    fields: of the action that may change, None for all
    Every kind acts on the place of an action in its box, not on what it reports: where a report is 10^a times the truth, 1.75
    times the place 1/2 is 5.6 times the truth; ``words.say`` says what is reported. Raises ValueError for an unknown kind.

    >>> from marketenv import make_market
    >>> list(families(make_market("reference_v0").roles[0]))
    ['scale price', 'shift price', 'affine price', 'knots price']
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of deviation", kind, KINDS)
    parts = {name: part for name, part in _parts(role.action).items() if fields is None or name in fields}
    return {family.name: family for name, part in parts.items() for family in (KINDS[kind](name, part) for kind in kinds)}


def together(members: Sequence[Family]) -> Family:
    """Several families as one, applied one after another: their parameters side by side."""
    ends = [0]
    for member in members:
        ends.append(ends[-1] + len(member.low))

    def apply(actions: Tensor, parameters: Tensor, seen: Tensor, role: Role) -> Tensor:
        for member, start, stop in zip(members, ends, ends[1:], strict=False):
            actions = member.apply(actions, parameters[:, start:stop], seen, role)
        return actions

    low, high, identity = (
        tuple(value for member in members for value in getattr(member, end)) for end in ("low", "high", "identity")
    )
    return Family(" + ".join(member.name for member in members), low, high, identity, apply)


def _parts(action: Fields) -> dict[str, Field]:
    return {item.name: Field(action.slices[item.name], item.low, item.high) for item in action.items}
