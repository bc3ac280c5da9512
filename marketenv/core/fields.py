"""Named slices of a flat vector: what an observation or an action means, and its bounds.

A market's actions lie in a box. What a place in that box means is said by the field alone: it reads actions into what they mean
and writes what is meant into actions, so nobody decodes a box by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from marketenv.core.lookup import check_choice, unknown
from marketenv.core.numbers import real

TOLERANCE = 1e-6  # how far outside its box a value may lie before it is refused


def just_above(actions: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The next action of a box [-1, 1] that means more, clipped to the box; near 0 the next float32 would mean the same.

    >>> float(just_above(torch.zeros(()))) > 5e-8
    True
    """
    return actions.nextafter(torch.ones_like(actions)).maximum(actions + 1e-7).clamp(max=1.0)


@dataclass(frozen=True)
class Field:
    """One named part of a flat vector: ``size`` numbers in ``[low, high]``, which mean themselves.

    An action's field is one of the kinds below, or a plain number as this one; ``unit`` is what its meaning is measured in.
    """

    name: str
    size: int = 1
    low: float = -1.0
    high: float = 1.0
    text: str = ""
    unit: str = ""

    @property
    def range(self) -> tuple[float, float]:
        """What the ends of the box mean."""
        return self.low, self.high

    def read(self, actions: Float[Tensor, "*shape"], of: Tensor | None = None) -> Float64[Tensor, "*shape"]:
        """What actions mean; ``of`` is what a multiple is a multiple of, where it matters."""
        return self._meaning(actions.double(), of)

    def write(self, meanings: Tensor, of: Tensor | None = None) -> Float32[Tensor, "*shape"]:
        """The actions that mean this, clipped to the box: what ``read`` undoes up to float32."""
        return self._action(meanings.double(), of).clamp(self.low, self.high).float()

    def grid(self, points: int) -> Float32[Tensor, "points"]:
        """So many actions evenly apart from one end of the box to the other; of a choice one an option."""
        steps = torch.arange(points, dtype=torch.float32, device="cpu")
        return self.low + (self.high - self.low) * steps / (points - 1)

    def _meaning(self, actions: Tensor, of: Tensor | None) -> Tensor:
        """Evenly over the box from one end of the range to the other."""
        least, most = self.range
        if (least, most) == (self.low, self.high):
            return actions  # to the bit
        return least + (actions - self.low) / (self.high - self.low) * (most - least)

    def _action(self, meanings: Tensor, of: Tensor | None) -> Tensor:
        """Undoes ``_meaning``, not clipped; where everything means the same, the lower end of the box."""
        least, most = self.range
        if (least, most) == (self.low, self.high):
            return meanings
        part = (meanings - least) / (most - least) if most > least else torch.zeros_like(meanings)
        return self.low + (self.high - self.low) * part


@dataclass(frozen=True)
class Money(Field):
    """An amount of money from ``least`` to ``most``, evenly over the box.

    money = least + (1 + a) / 2 (most - least),   a in [-1, 1]

    >>> Money("ask", most=8.0).read(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0., 4., 8.], dtype=torch.float64)
    >>> Money("ask", most=8.0).write(torch.tensor([2.0, 99.0]))
    tensor([-0.5000,  1.0000])
    """

    unit: str = "money"
    least: float = 0.0
    most: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most money."""
        return self.least, self.most


@dataclass(frozen=True)
class Multiple(Field):
    """A multiple of something that the agent knows, so that 1 is the truth: evenly, or by powers of ten.

    evenly:  multiple = (1 + a) / 2 most              where ``decades`` is 0
    by tens: multiple = 10^(decades a)                where what it is a multiple of is above 0
             multiple = 1 + a of what stands in its place   where that is 0

    of: the observed field that it is a multiple of

    >>> Multiple("cost", decades=1.0, of="cost").read(torch.tensor([-1.0, 0.0, 0.75]))
    tensor([0.1000, 1.0000, 5.6234], dtype=torch.float64)
    >>> Multiple("cost", decades=1.0, of="cost").read(torch.tensor([-1.0, 0.0]), of=torch.zeros(2))
    tensor([0., 1.], dtype=torch.float64)
    """

    unit: str = "times the truth"
    most: float = 2.0
    decades: float = 0.0
    of: str = ""

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest multiple."""
        return (10.0**-self.decades, 10.0**self.decades) if self.decades else (0.0, self.most)

    def _meaning(self, actions: Tensor, of: Tensor | None) -> Tensor:
        if not self.decades:
            return super()._meaning(actions, of)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        place = (actions - middle) / half
        tens = 10.0 ** (self.decades * place)
        return tens if of is None else torch.where(of > 0, tens, 1 + place)

    def _action(self, meanings: Tensor, of: Tensor | None) -> Tensor:
        if not self.decades:
            return super()._action(meanings, of)
        place = meanings.clamp(min=0).log10() / self.decades
        place = place if of is None else torch.where(of > 0, place, meanings - 1)
        return (self.low + self.high) / 2 + (self.high - self.low) / 2 * place


@dataclass(frozen=True)
class Share(Field):
    """A part of a whole, from 0 to 1: share = (1 + a) / 2.

    >>> Share("effort", unit="of full effort").write(torch.tensor([0.0, 0.5, 1.0]))
    tensor([-1.,  0.,  1.])
    """

    @property
    def range(self) -> tuple[float, float]:
        """Nothing, and the whole."""
        return 0.0, 1.0


@dataclass(frozen=True)
class Choice(Field):
    """One of several options by its number: bins of the box in their order, equal ones where no ``edges`` are given.

    edges: of the box between one option and the next; an edge belongs to the option above it

    The first option is written as the lower end of the box, the last as the upper one, the others as the middle of their bins.

    >>> upload = Choice("upload", options=("honest", "noise", "ones"))
    >>> upload.read(torch.tensor([-1.0, 0.0, 1.0])), upload.write(upload.number("noise"))
    (tensor([0., 1., 2.], dtype=torch.float64), tensor(0.))
    """

    options: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        ends = (self.low, *self.borders, self.high)
        unlike = len(set(self.options)) == len(self.options) > 0
        if not unlike or len(ends) != len(self.options) + 1 or not all(a < b for a, b in itertools.pairwise(ends)):
            raise ValueError(
                f"{self.name!r} has the options {self.options} and the edges {self.edges}, wanted options, no two alike, and "
                f"rising edges between them, inside ({self.low:g}, {self.high:g}); without edges the bins are of one size."
            )

    @property
    def range(self) -> tuple[float, float]:
        """The first number and the last."""
        return 0.0, len(self.options) - 1.0

    @cached_property
    def borders(self) -> tuple[float, ...]:
        """The ends of the bins inside the box."""
        n = len(self.options)
        return self.edges or tuple((self.low * (n - k) + self.high * k) / n for k in range(1, n))

    def number(self, option: str) -> Float64[Tensor, ""]:
        """The number of an option; ValueError for an unknown one, with its neighbour."""
        check_choice(self.options, option, self.name)
        return torch.tensor(self.options.index(option), dtype=torch.float64, device="cpu")

    def read(self, actions: Float[Tensor, "*shape"], of: Tensor | None = None) -> Float64[Tensor, "*shape"]:
        """The numbers of the options, whole numbers as float64."""
        borders = torch.tensor(self.borders, dtype=torch.float64, device=actions.device)
        return torch.bucketize(actions.double(), borders, right=True).double()

    def write(self, meanings: Tensor, of: Tensor | None = None) -> Float32[Tensor, "*shape"]:
        """The actions that choose these numbers."""
        inner = [(one + other) / 2 for one, other in itertools.pairwise(self.borders)]
        places = torch.tensor([self.low, *inner, self.high], dtype=torch.float32, device=meanings.device)
        chosen = places[meanings.nan_to_num().round().long().clamp(0, len(self.options) - 1)]
        return torch.where(meanings.isnan(), meanings.float(), chosen)

    def grid(self, points: int) -> Float32[Tensor, "points"]:
        """One action an option, in their order."""
        return self.write(torch.arange(len(self.options), dtype=torch.float64, device="cpu"))


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
            raise ValueError(f"fields are named {', '.join(names)}, wanted every name once: rename one of the two.")

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

    def read(self, flat: Float[Tensor, "*batch wide"], of: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """What actions [*batch, >=dim] mean, by name: float64 [*batch, size] each.

        of: by a field's name what it is a multiple of, where that may be 0   [*batch, size] each
        """
        return {f.name: f.read(flat[..., self.slices[f.name]], (of or {}).get(f.name)) for f in self.items}

    def write(
        self, like: Float[Tensor, "*batch any"], of: Mapping[str, Tensor] | None = None, /, **meanings: Tensor | float | str
    ) -> Float32[Tensor, "*batch dim"]:
        """The actions that mean this, clipped to the box: what ``read`` undoes.

        like:     says how many there are and on which device, as what the agents see does   [*batch, ...]
        of:       as in ``read``
        meanings: of every field, [*batch, size] or anything that broadcasts to it; an option by its name
        Raises ValueError for missing and unknown meanings, for NaN and for shapes that do not fit.

        >>> fields = Fields((Money("bid", 2, most=4.0), Choice("upload", options=("honest", "ones"))))
        >>> fields.write(torch.zeros(1, 7), bid=1.0, upload="ones")
        tensor([[-0.5000, -0.5000,  1.0000]])
        """
        if meanings.keys() != self.slices.keys():
            raise ValueError(f"write got {sorted(meanings)}, wanted {sorted(self.slices)}; give every field once.")
        known = of or {}
        actions = torch.cat([_written(f, meanings[f.name], known.get(f.name), like) for f in self.items], -1)
        if bool(actions.isnan().any()):
            name = next(n for n, where in self.slices.items() if bool(actions[..., where].isnan().any()))
            raise ValueError(f"{name!r} is to mean NaN, wanted real numbers.")
        return actions

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


def _written(field: Field, meaning: Tensor | float | str, of: Tensor | None, like: Tensor) -> Float32[Tensor, "*batch size"]:
    """The actions of one field that mean this, as ``Fields.write`` says."""
    wanted = (*like.shape[:-1], field.size)
    if isinstance(meaning, str | float | int) and (of is None or not isinstance(field, Multiple) or not field.decades):
        return torch.full(wanted, _constant(field, meaning), dtype=torch.float32, device=like.device)
    numbers = real(meaning, f"what {field.name!r} is to mean").to(like.device, torch.float64)
    try:
        return field.write(numbers.expand(wanted), of)
    except RuntimeError as error:
        said = f"what {field.name!r} is to mean has shape {list(numbers.shape)}"
        raise ValueError(f"{said}, wanted {list(wanted)} or one number for all.") from error


@lru_cache(maxsize=1024)
def _constant(field: Field, meaning: float | str) -> float:
    """The action that always means this; policies write the same ones in every round, and torch is slow with single numbers."""
    if not isinstance(meaning, str):
        return float(field.write(torch.tensor(meaning, dtype=torch.float64, device="cpu")))
    if not isinstance(field, Choice):
        raise ValueError(f"{field.name!r} is to mean {meaning!r}, wanted a number: it is no choice between options.")
    return float(field.write(field.number(meaning)))
