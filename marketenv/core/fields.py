"""Named slices of a flat vector: what an observation or an action means, and its bounds.

A market's actions lie in a box. The field alone knows what a place in that box means: it reads
meanings from actions and writes actions from meanings, so nobody decodes a box by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from marketenv.core.kinds import Choice, Field, Money, Multiple, Share
from marketenv.core.lookup import unknown
from marketenv.core.numbers import has_nan, real

__all__ = ["TOLERANCE", "Choice", "Field", "Fields", "Money", "Multiple", "Share", "just_above"]

TOLERANCE = 1e-6  # how far outside its box a value may lie before it is refused


def just_above(actions: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The next action of a box [-1, 1] that means more, clipped to the box.

    Near 0 the next float32 would mean the same.

    >>> float(just_above(torch.zeros(()))) > 5e-8
    True
    """
    return actions.nextafter(torch.ones_like(actions)).maximum(actions + 1e-7).clamp(max=1.0)


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

    def __post_init__(self) -> None:
        names = [field.name for field in self.items]
        if len(set(names)) < len(names):
            raise ValueError(
                f"fields are named {', '.join(names)}, wanted every name once: rename one of the"
                " two."
            )

    def __getitem__(self, name: str) -> Field:
        """The field of a name; ValueError for an unknown one, with its neighbour."""
        if name not in self.slices:
            raise unknown("field", name, tuple(self.slices))
        return next(field for field in self.items if field.name == name)

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
        bounds = [f.low for f in self.items for _ in range(f.size)]
        return torch.tensor(bounds, dtype=torch.float32, device="cpu")

    @cached_property
    def high(self) -> Float[Tensor, "dim"]:
        """Upper bounds, float32 [dim]."""
        bounds = [f.high for f in self.items for _ in range(f.size)]
        return torch.tensor(bounds, dtype=torch.float32, device="cpu")

    def pack(self, **parts: Tensor) -> Float[Tensor, "*batch dim"]:
        """Join named parts [*batch, size] into float32 [*batch, dim], clipped to the bounds.

        NaN becomes the upper bound.
        """
        if parts.keys() != self.slices.keys():
            raise ValueError(
                f"pack got {sorted(parts)}, wanted {sorted(self.slices)}; give every field once."
            )
        flat = _joined([parts[f.name] for f in self.items])
        if has_nan(flat):
            flat = torch.where(flat.isnan(), self.high.to(flat.device), flat)
        return self._clipped(flat)

    def unpack(self, flat: Float[Tensor, "*batch wide"]) -> dict[str, Tensor]:
        """Split [*batch, >=dim] into its named parts [*batch, size]."""
        return {name: flat[..., where] for name, where in self.slices.items()}

    def read(
        self, flat: Float[Tensor, "*batch wide"], of: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What actions [*batch, >=dim] mean, by name: float64 [*batch, size] each.

        of: by a field's name the amount that it multiplies, where this may be 0
            [*batch, size] each
        """
        amounts, parts = of or {}, self.unpack(flat)
        return {f.name: f.read(parts[f.name], amounts.get(f.name)) for f in self.items}

    def write(
        self,
        like: Float[Tensor, "*batch any"],
        of: Mapping[str, Tensor] | None = None,
        /,
        **meanings: Tensor | float | str,
    ) -> Float32[Tensor, "*batch dim"]:
        """The actions that mean this, clipped to the box; ``read`` undoes it.

        like:     a tensor of as many rows and of the same device, such as the agents'
                  observations   [*batch, ...]
        of:       as in ``read``
        meanings: of every field, [*batch, size] or anything that broadcasts to it; an option by its
                  name

        Raises ValueError for missing and unknown meanings, for NaN and for shapes that do not fit.

        >>> fields = Fields(
        ...     (Money("bid", 2, most=4.0), Choice("upload", options=("honest", "ones")))
        ... )
        >>> fields.write(torch.zeros(1, 7), bid=1.0, upload="ones")
        tensor([[-0.5000, -0.5000,  1.0000]])
        """
        if meanings.keys() != self.slices.keys():
            raise ValueError(
                f"write got {sorted(meanings)}, wanted {sorted(self.slices)}; give every field"
                " once."
            )
        amounts = of or {}
        parts = [_written(f, meanings[f.name], amounts.get(f.name), like) for f in self.items]
        actions = torch.cat(parts, -1)
        if has_nan(actions):
            pairs = zip(self.items, parts, strict=True)
            raise _meaningless(next(f for f, part in pairs if bool(part.isnan().any())))
        return actions

    def check(self, values: Tensor, who: str) -> Tensor:
        """Return values [*batch, dim] clipped to the bounds, or refuse them.

        Raises ValueError for a wrong length, NaN, or a value further than 1e-6 outside its bounds;
        names the field.
        """
        if values.shape[-1:] != (self.dim,):
            names = ", ".join(f"{f.name} ({f.size})" for f in self.items)
            raise ValueError(
                f"{who} has shape {list(values.shape)}, wanted [..., {self.dim}]: {names}."
            )
        clipped = self._clipped(values)
        if torch.equal(clipped, values):  # which NaN never is
            return clipped
        low, high, least, most = self._bounds.to(values.device).unbind()
        inside = (values >= least) & (values <= most)  # no NaN is
        if not bool(inside.all()):
            where = tuple((~inside).nonzero()[0].tolist())
            name = next(n for n, s in self.slices.items() if s.start <= where[-1] < s.stop)
            box = f"[{float(low[where[-1]]):g}, {float(high[where[-1]]):g}]"
            raise ValueError(
                f"{who}: {name!r} is {float(values[where]):.7g} at index {list(where)}, wanted a"
                f" number in {box}. Clip the action to its space before stepping; nothing was"
                " changed."
            )
        return clipped

    def _clipped(self, flat: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The values clipped to the bounds."""
        if self._same_bounds is not None:
            return flat.clamp(*self._same_bounds)
        return flat.clamp(self.low.to(flat.device), self.high.to(flat.device))

    @cached_property
    def _same_bounds(self) -> tuple[float, float] | None:
        """The bounds of all numbers where they are equal; a clip to two numbers is far faster."""
        low, high = self.low.unique(), self.high.unique()
        return (float(low), float(high)) if low.numel() == high.numel() == 1 else None

    @cached_property
    def _bounds(self) -> Float[Tensor, "four dim"]:
        """The ends of the box, and those that ``check`` accepts, in one tensor."""
        return torch.stack([self.low, self.high, self.low - TOLERANCE, self.high + TOLERANCE])


def _joined(parts: Sequence[Tensor]) -> Float32[Tensor, "*batch dim"]:
    """Parts side by side as float32; parts of one type are converted together."""
    if any(part.dtype != parts[0].dtype for part in parts):
        parts = [part.to(torch.float32) for part in parts]
    return torch.cat(list(parts), -1).to(torch.float32)


def _written(
    field: Field, meaning: Tensor | float | str, of: Tensor | None, like: Tensor
) -> Float32[Tensor, "*batch size"]:
    """The actions of one field that mean this; see ``Fields.write``."""
    wanted = (*like.shape[:-1], field.size)
    by_tens = isinstance(field, Multiple) and bool(field.decades)
    if isinstance(meaning, str | float | int) and (of is None or not by_tens):
        action = _constant(field, meaning)
        return torch.full(wanted, action, dtype=torch.float32, device=like.device)
    subject = f"what {field.name!r} is to mean"
    numbers = real(meaning, subject).to(like.device, torch.float64)
    try:
        numbers = numbers.expand(wanted)
    except RuntimeError as error:
        raise ValueError(
            f"{subject} has shape {list(numbers.shape)}, wanted {list(wanted)} or one number for"
            " all."
        ) from error
    return field.write(numbers, of)


def _meaningless(field: Field) -> ValueError:
    """The error for NaN, and for the number of no option."""
    if not isinstance(field, Choice):
        return ValueError(f"{field.name!r} is to mean NaN, wanted real numbers.")
    return ValueError(
        f"{field.name!r} is to mean no option, wanted numbers of its options, from 0 to"
        f" {len(field.options) - 1}, or one of them by its name."
    )


@lru_cache(maxsize=1024)
def _constant(field: Field, meaning: float | str) -> float:
    """The action that always means this, cached, since torch is slow with single numbers."""
    if not isinstance(meaning, str):
        return float(field.write(torch.tensor(meaning, dtype=torch.float64, device="cpu")))
    if not isinstance(field, Choice):
        raise ValueError(
            f"{field.name!r} is to mean {meaning!r}, wanted a number: it is no choice between"
            " options."
        )
    return float(field.write(field.number(meaning)))
