"""Named slices of a flat vector: what an observation or an action means, and its bounds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

TOLERANCE = 1e-6  # how far outside its box a value may lie before it is refused


def just_above(actions: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The next action of a box [-1, 1] that means more, clipped to the box; near 0 the next float32 would mean the same.

    >>> float(just_above(torch.zeros(()))) > 5e-8
    True
    """
    return actions.nextafter(torch.ones_like(actions)).maximum(actions + 1e-7).clamp(max=1.0)


@dataclass(frozen=True)
class Meaning:
    """What an action a in [-1, 1] reports: a number from ``low`` to ``high`` in a unit, or one of several choices.

    evenly:     low + (1 + a) / 2 (high - low)
    by factors: low^((1 - a) / 2) high^((1 + a) / 2), where ``factors`` is set
    choices:    their number, in equal bins of [-1, 1]
    of:         observed field that a multiple is a multiple of; where that is not above 0 the action means something else

    >>> Meaning("times the truth", 0.1, 10.0, factors=True).read(torch.tensor([-1.0, 0.0, 0.75]))
    tensor([0.1000, 1.0000, 5.6234], dtype=torch.float64)
    >>> Meaning(choices=("honest", "noise", "ones")).read(torch.tensor([-1.0, 1.0]))
    tensor([0., 2.], dtype=torch.float64)
    """

    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    factors: bool = False
    of: str = ""
    choices: tuple[str, ...] = ()

    def read(self, actions: Float[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
        """What actions in [-1, 1] report: float64 of their shape."""
        share = (1 + actions.double()) / 2
        if self.choices:
            return (share * len(self.choices)).floor().clamp(0, len(self.choices) - 1)
        if self.factors:
            return self.low ** (1 - share) * self.high**share
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class Field:
    """One named part of a flat vector: ``size`` numbers in ``[low, high]``; ``meaning`` says what an action reports by it."""

    name: str
    size: int
    low: float
    high: float
    text: str = ""
    meaning: Meaning | None = None


@dataclass(frozen=True)
class Fields:
    """The parts of a flat vector in order.

    >>> fields = Fields((Field("loss", 1, 0.0, 9.0), Field("gain", 2, -1.0, 1.0)))
    >>> fields.dim, fields.slices["gain"]
    (3, slice(1, 3, None))
    >>> fields.pack(loss=torch.tensor([[12.0]]), gain=torch.zeros(1, 2))
    tensor([[9., 0., 0.]])
    """

    items: tuple[Field, ...]

    @cached_property
    def dim(self) -> int:
        """Length of the flat vector."""
        return sum(f.size for f in self.items)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each name lies in the flat vector."""
        ends = list(itertools.accumulate(f.size for f in self.items))
        return {f.name: slice(end - f.size, end) for f, end in zip(self.items, ends, strict=True)}

    @cached_property
    def low(self) -> Float[Tensor, "dim"]:
        """Lower bounds, float32 [dim]."""
        return torch.tensor([f.low for f in self.items for _ in range(f.size)], dtype=torch.float32, device="cpu")

    @cached_property
    def high(self) -> Float[Tensor, "dim"]:
        """Upper bounds, float32 [dim]."""
        return torch.tensor([f.high for f in self.items for _ in range(f.size)], dtype=torch.float32, device="cpu")

    def pack(self, **parts: Tensor) -> Float[Tensor, "*batch dim"]:
        """Join named parts [*batch, size] into float32 [*batch, dim], clipped to the bounds; NaN becomes the upper bound."""
        if parts.keys() != self.slices.keys():
            raise ValueError(f"pack got {sorted(parts)}, wanted {sorted(self.slices)}; give every field once.")
        flat = torch.cat([parts[f.name].to(torch.float32) for f in self.items], -1)
        low, high = self.low.to(flat.device), self.high.to(flat.device)
        return torch.where(flat.isnan(), high, flat).clamp(low, high)

    def unpack(self, flat: Float[Tensor, "*batch wide"]) -> dict[str, Tensor]:
        """Split [*batch, >=dim] into its named parts [*batch, size]."""
        return {name: flat[..., where] for name, where in self.slices.items()}

    def check(self, values: Tensor, who: str) -> Tensor:
        """Return values [*batch, dim] clipped to the bounds, or refuse them.

        Raises ValueError for a wrong length, NaN, or a value further than 1e-6 outside its bounds; names the field.
        """
        if values.shape[-1:] != (self.dim,):
            names = ", ".join(f"{f.name} ({f.size})" for f in self.items)
            raise ValueError(f"{who} has shape {list(values.shape)}, wanted [..., {self.dim}]: {names}.")
        low, high = self.low.to(values.device), self.high.to(values.device)
        bad = values.isnan() | (values < low - TOLERANCE) | (values > high + TOLERANCE)
        if bad.any():
            where = tuple(bad.nonzero()[0].tolist())
            name = next(n for n, s in self.slices.items() if s.start <= where[-1] < s.stop)
            box = f"[{float(low[where[-1]]):g}, {float(high[where[-1]]):g}]"
            raise ValueError(
                f"{who}: {name!r} is {float(values[where]):g} at index {list(where)}, wanted a number in {box}. "
                "Clip the action to its space before stepping; nothing was changed."
            )
        return values.clamp(low, high)
