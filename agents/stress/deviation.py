"""Deviations: maps from an agent's report to another report, in families with parameters.

A report is what an action means: money, a multiple of the truth, a share, an option (see
``marketenv.core.fields``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.market import Move
from marketenv.core.policy import Policy, draws_keys

Reports = Mapping[str, Tensor]  # by field what actions mean   [rows, size] each
Map = Callable[[Reports, Tensor, Tensor, Move], Reports]


@dataclass(frozen=True)
class Usual:
    """Reports of one field without a deviation, and their possible ends: [reports] each."""

    report: Float64[Tensor, "reports"]
    least: Float64[Tensor, "reports"]
    most: Float64[Tensor, "reports"]


@dataclass(frozen=True)
class Family:
    """Maps from reports to reports, told apart by k parameters.

    low, high: box of the parameters [k];   identity: the parameters that change nothing [k]
    apply:     (reports by field, parameters [rows, k], observation [rows, dim], move) -> the
               reports of the fields that change [rows, size]; what no action means is clipped to
               what the nearest does
    field:     that changes, and unit: of the parameter, both of a family of one
    stage:     in which it changes reports, "" for every stage
    label:     the field in words, with the stage where that must be said
    powers:    points of a line are spaced evenly by the logarithm of the parameter
    options:   what the parameters 0, 1, ... stand for, where it is a choice
    fit:       (this family, what is usual in its field) -> the same without parameters at which all
               reports are clipped
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    identity: tuple[float, ...]
    apply: Map
    field: str = ""
    unit: str = ""
    powers: bool = False
    options: tuple[str, ...] = ()
    fit: Callable[[Family, Usual], Family] | None = None
    stage: str = ""
    label: str = ""

    def changed(
        self, reports: Reports, parameters: Tensor, observation: Tensor, move: Move
    ) -> Reports:
        """The reports that ``apply`` changes in this stage, by field; none in another stage."""
        return (
            self.apply(reports, parameters, observation, move)
            if self.stage in ("", move.stage)
            else {}
        )

    def within(self, usual: Mapping[str, Usual]) -> Family:
        """The same family, ending where the box begins to clip every report.

        A family of several parameters stays as it is.

        usual: by field what is reported without a deviation
        """
        return self if self.fit is None else self.fit(self, usual[self.field])

    def line(self, points: int) -> Float64[Tensor, "points k"]:
        """Evenly spaced parameters of a family of one, two or more; each option once for a choice.

        The identity is among them; points nearer to it than a quarter of a step, which hardly
        differ from it, give way to it. Raises ValueError for a family of several.
        """
        if len(self.low) != 1:
            raise ValueError(
                f"{self.name!r} has {len(self.low)} parameters; a line wants a family of one, for"
                " instance scale."
            )
        low, high, same = torch.tensor(
            [*self.low, *self.high, *self.identity], dtype=torch.float64, device="cpu"
        )
        points = round(float(high - low)) + 1 if self.options else max(points, 2)
        if self.powers:
            low, high, same = low.log10(), high.log10(), same.log10()
        grid = torch.linspace(float(low), float(high), points, dtype=torch.float64, device="cpu")
        near = (grid - same).abs() < 0.25 * (high - low) / max(points - 1, 1)
        grid = torch.cat([grid[~near], same[None]]).sort().values[:, None]
        return 10.0**grid if self.powers else grid

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Deviation:
    """A policy that reports what a base policy would, changed by a family's map.

    With one row of parameters it is a policy like any other. With several rows it plays all of them
    at once: the markets that it is asked about come in as many equal runs as there are rows, and
    run l is played with row l. Whatever the family leaves as it is keeps the base's action, to the
    bit.

    parameters: [rows, k]
    """

    base: Policy
    family: Family
    parameters: Float64[Tensor, "rows k"]

    @property
    def draws(self) -> bool:
        """Whether the base policy wants keys; a change of its reports needs none."""
        return draws_keys(self.base)

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "_"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the move's box, float32 [markets, actions]."""
        each = self.parameters.to(observation.device).repeat_interleave(
            len(observation) // len(self.parameters), 0
        )
        actions = self.base(observation, move, keys)
        before = move.read(observation, actions)
        after = self.family.changed(before, each, observation, move)
        if not after:
            return actions
        new_actions = move.action.unpack(move.write(observation, **{**before, **after}))
        parts = move.action.unpack(actions.float()) | {
            name: torch.where(
                new == before[name], actions[:, move.action.slices[name]].float(), new_actions[name]
            )
            for name, new in after.items()
        }
        low, high = (end.to(actions.device) for end in (move.action.low, move.action.high))
        return torch.cat(list(parts.values()), 1).clamp(low, high)

    def __str__(self) -> str:
        (values,) = self.parameters[:1].tolist()
        if self.family.options and values[0] >= 0:
            return (
                f"{self.family.label or self.family.field}: {self.family.options[round(values[0])]}"
            )
        return (
            f"{self.family.name} by {', '.join(f'{value:.4g}' for value in values)}"
            f" {self.family.unit}".rstrip()
        )


@dataclass(frozen=True)
class Within:
    """A policy's answer in some fields and stages, and a base's in all others.

    fields: names of the parts of the action that are the policy's, None for all
    stage:  where they are, None for every stage
    """

    base: Policy
    policy: Policy
    fields: tuple[str, ...] | None = None
    stage: str | None = None

    @property
    def draws(self) -> bool:
        """Whether one of the two policies wants keys."""
        return draws_keys(self.base) or draws_keys(self.policy)

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "_"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the move's box, float32 [markets, actions]."""
        if self.stage not in (None, move.stage):
            return self.base(observation, move, keys)
        new = self.policy(observation, move, keys)
        if self.fields is None:
            return new
        old = self.base(observation, move, keys)
        return torch.cat(
            [
                (new if name in self.fields else old)[:, where]
                for name, where in move.action.slices.items()
            ],
            1,
        )


def together(members: Sequence[Family]) -> Family:
    """Several families as one, applied in turn; their parameters stand side by side."""
    ends = [0]
    for member in members:
        ends.append(ends[-1] + len(member.low))

    def apply(reports: Reports, parameters: Tensor, observation: Tensor, move: Move) -> Reports:
        changed: dict[str, Tensor] = {}
        for member, start, stop in zip(members, ends, ends[1:], strict=False):
            changed |= member.changed(
                {**reports, **changed}, parameters[:, start:stop], observation, move
            )
        return changed

    low, high, identity = (
        tuple(value for member in members for value in getattr(member, end))
        for end in ("low", "high", "identity")
    )
    return Family(" + ".join(member.name for member in members), low, high, identity, apply)
