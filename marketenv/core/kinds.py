"""Kinds of fields: what a place in the box of an action means, and which place means it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from marketenv.core.checks import choice, each, interval, number, text, whole


@dataclass(frozen=True)
class Field:
    """One named part of a flat vector: ``size`` numbers in ``[low, high]``, which mean themselves.

    An action's field is one of the kinds below, or a plain number as this one; ``unit`` is what its
    meaning is measured in.
    """

    name: str
    size: int = 1
    low: float = -1.0
    high: float = 1.0
    text: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        whole(self.size, f"size of field {self.name!r}", 1)
        for low, high in ((self.low, self.high), self.range):
            interval((low, high), f"the range of field {self.name!r}", -math.inf)

    @property
    def range(self) -> tuple[float, float]:
        """What the ends of the box mean."""
        return self.low, self.high

    def read(
        self, actions: Float[Tensor, "*shape"], of: Tensor | None = None
    ) -> Float64[Tensor, "*shape"]:
        """The meanings of actions; ``of`` is the amount that a multiple multiplies."""
        return self._meaning(actions.double(), of)

    def write(self, meanings: Tensor, of: Tensor | None = None) -> Float32[Tensor, "*shape"]:
        """The actions that mean this, clipped to the box; ``read`` undoes it, up to float32."""
        return self._action(meanings.double(), of).clamp(self.low, self.high).float()

    def grid(self, points: int) -> Float32[Tensor, "points"]:
        """So many actions, evenly from one end of the box to the other; of a choice one each."""
        steps = torch.arange(points, dtype=torch.float32, device="cpu")
        return self.low + (self.high - self.low) * steps / (points - 1)

    def _meaning(self, actions: Tensor, of: Tensor | None) -> Tensor:
        """Evenly over the box from one end of the range to the other."""
        least, most = self.range
        if (least, most) == (self.low, self.high):
            return actions  # to the bit
        return least + (actions - self.low) / (self.high - self.low) * (most - least)

    def _action(self, meanings: Tensor, of: Tensor | None) -> Tensor:
        """Undoes ``_meaning``, not clipped; the lower end of the box where all means the same."""
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
    """A multiple of an amount that the agent knows, so that 1 is the truth.

    evenly:  multiple = (1 + a) / 2 most     where ``decades`` is 0
    by tens: multiple = 10^(decades a)       where the amount is above 0
             multiple = 1 + a                where the amount is 0, of another amount that the phase
                                             puts in its place; there 0 is the truth

    of: the observed field that is the amount

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
    """One of several options by its number: bins of the box in their order.

    edges: between one option and the next, none for bins of equal size; an edge belongs to the
           option above it

    The first option is written as the lower end of the box, the last as the upper one, the others
    as the middle of their bins.

    >>> upload = Choice("upload", options=("honest", "noise", "ones"))
    >>> upload.read(torch.tensor([-1.0, 0.0, 1.0])), upload.write(upload.number("noise"))
    (tensor([0., 1., 2.], dtype=torch.float64), tensor(0.))
    """

    options: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, check in (("options", text), ("edges", number)):
            entries = each(getattr(self, name), f"{name} of {self.name!r}", check)
            object.__setattr__(self, name, entries)  # a tuple, since a list has no hash
        ends = (self.low, *self.borders, self.high)
        unlike = len(set(self.options)) == len(self.options) > 0
        rising = all(a < b for a, b in itertools.pairwise(ends))
        if not unlike or not rising or len(ends) != len(self.options) + 1:
            raise ValueError(
                f"{self.name!r} has the options {self.options} and the edges {self.edges}, wanted"
                f" options, no two alike, and rising edges between them, inside ({self.low:g},"
                f" {self.high:g}); without edges the bins are of one size."
            )
        super().__post_init__()

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
        choice(option, self.name, self.options)
        return torch.tensor(self.options.index(option), dtype=torch.float64, device="cpu")

    def read(
        self, actions: Float[Tensor, "*shape"], of: Tensor | None = None
    ) -> Float64[Tensor, "*shape"]:
        """The numbers of the options, whole numbers as float64."""
        borders = torch.tensor(self.borders, dtype=torch.float64, device=actions.device)
        return torch.bucketize(actions.double(), borders, right=True).double()

    def write(self, meanings: Tensor, of: Tensor | None = None) -> Float32[Tensor, "*shape"]:
        """The actions that choose these numbers, and NaN where no option has that number."""
        inner = [(one + other) / 2 for one, other in itertools.pairwise(self.borders)]
        actions = [self.low, *inner, self.high]
        places = torch.tensor(actions, dtype=torch.float32, device=meanings.device)
        none = ~((meanings == meanings.round()) & (meanings >= 0) & (meanings < len(places)))
        return places[torch.where(none, 0, meanings).long()].masked_fill(none, torch.nan)

    def grid(self, points: int) -> Float32[Tensor, "points"]:
        """One action an option, in their order."""
        return self.write(torch.arange(len(self.options), dtype=torch.float64, device="cpu"))
