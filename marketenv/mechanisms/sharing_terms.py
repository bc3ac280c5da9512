"""Types that clients report, and all else that decides who buys whose model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.mechanisms.gain_families import GainFamily, InverseSqrt

Types = Float64[Tensor, "markets clients"]
Trades = Bool[Tensor, "markets buyers sellers"]


@dataclass(frozen=True)
class ClientTypes:
    """The clients' true or reported types.

    sizes: samples N, > 0                                   float64 [markets, clients]
    costs: money c that one sale of the model costs, >= 0   float64 [markets, clients]
    needs: K of the gain, >= 0; 0 is a pure seller          float64 [markets, clients]

    A reported cost of inf means not for sale.
    Raises ValueError for shapes that disagree, another dtype, NaN, and numbers out of these ranges.
    """

    sizes: Types
    costs: Types
    needs: Types

    def __post_init__(self) -> None:
        shapes = [list(numbers.shape) for numbers in (self.sizes, self.costs, self.needs)]
        if self.sizes.dim() != 2 or self.sizes.shape[1] < 2 or shapes[1:] != shapes[:-1]:
            raise ValueError(
                f"sizes {shapes[0]}, costs {shapes[1]} and needs {shapes[2]} do not fit; wanted"
                " three tensors [markets, clients] with at least two clients."
            )
        _check("size", self.sizes, self.sizes.isfinite() & (self.sizes > 0), "finite samples > 0")
        _check("cost", self.costs, self.costs >= 0, "money >= 0; inf means not for sale")
        good = self.needs.isfinite() & (self.needs >= 0)
        _check("need", self.needs, good, "a finite number >= 0; 0 is a pure seller")


@dataclass(frozen=True)
class SharingTerms:
    """All that a graph and its payments depend on.

    hurdle C_ij = c_j + discount_ij: what buyer i's purchase from j must be worth

    reported:  the clients' reported types, each               float64 [markets, clients]
    discounts: lambda (N_j / N_i) d_ij >= 0, inf: unusable; the diagonal is never read
               float64 [markets, buyers, sellers]
    gain:      the family of g, by default the paper's
    present:   False for a client that has left; by default all are present
               bool [markets, clients]

    Raises ValueError for shapes that disagree, another dtype, and a NaN or negative discount
    between present clients.
    """

    reported: ClientTypes
    discounts: PerPair
    gain: GainFamily = field(default_factory=InverseSqrt)
    present: Bool[Tensor, "markets clients"] | None = None

    def __post_init__(self) -> None:
        markets, clients = self.reported.sizes.shape
        shape = (markets, clients) if self.present is None else tuple(self.present.shape)
        if self.discounts.shape != (markets, clients, clients) or shape != (markets, clients):
            raise ValueError(
                f"discounts {list(self.discounts.shape)} and present {list(shape)} do not fit sizes"
                f" {[markets, clients]}; wanted [{markets}, {clients}, {clients}] and [{markets},"
                f" {clients}]."
            )
        good = (self.discounts >= 0) | ~self.pairs
        _check("discount", self.discounts, good, "money >= 0; inf means unusable")

    @cached_property
    def pairs(self) -> Trades:
        """Pairs that may trade: two different clients that are both present."""
        clients, present = self.reported.sizes.shape[1], self.present
        other = ~torch.eye(clients, dtype=torch.bool, device=self.discounts.device)
        if present is None:
            return other.expand_as(self.discounts)
        return other & present[:, :, None] & present[:, None, :]

    @cached_property
    def hurdles(self) -> PerPair:
        """C_ij, inf where there is nothing to sell."""
        return torch.where(self.pairs, self.reported.costs[:, None] + self.discounts, torch.inf)

    @cached_property
    def queue(self) -> Queue:
        """Every buyer's sellers in the order of Algorithm 2."""
        own, need = self.reported.sizes[..., None], self.reported.needs[..., None]
        sizes, hurdles = self.reported.sizes[:, None].expand_as(self.discounts), self.hurdles
        beyond = self.gain.beyond(hurdles, sizes, need).masked_fill(hurdles.isinf(), -torch.inf)
        order = (sizes + beyond).sort(dim=-1, descending=True, stable=True).indices
        ordered = [numbers.gather(-1, order) for numbers in (sizes, hurdles, beyond)]
        return Queue(order, own, need, *ordered)


@dataclass(frozen=True)
class Queue:
    """Sellers by threshold, the highest first; what is not for sale comes last.

    Sellers of equal thresholds keep their order.

    order:      index of the seller at each place               int64 [..., buyers, sellers]
    own, need:  the buyer's N and K                             float64 [..., buyers, 1]
    sizes, hurdles: N_j and C_ij there                          float64 [..., buyers, sellers]
    beyond:     N^Th_j - N_j there, exact even where it is small beside N_j; -inf for what is not
                for sale
    """

    order: Tensor
    own: Tensor
    need: Tensor
    sizes: Tensor
    hurdles: Tensor
    beyond: Tensor

    @property
    def thresholds(self) -> Tensor:
        """N^Th_j at each place: float64 [..., buyers, sellers]."""
        return self.sizes + self.beyond

    def less(self, size: Tensor) -> Tensor:
        """N^Th_j - size at each place, computed without cancellation.

        This is the total, without a seller of that size, at which j is worth C_ij.
        """
        return self.sizes - size + self.beyond

    def back(self, values: Tensor) -> Tensor:
        """Values at the queue's places, in the sellers' own order."""
        return torch.zeros_like(values).scatter(-1, self.order, values)


def distance_discounts(sizes: Types, distance: PerPair, strength: float) -> PerPair:
    """Money by which distance makes a model worth less: lambda (N_j / N_i) d_ij.

    sizes:    reported samples, > 0           [markets, clients]
    distance: d_ij >= 0, inf: unusable        [markets, buyers, sellers]
    strength: lambda, money per distance of an equally large seller, >= 0
    Returns float64 [markets, buyers, sellers]; where the distance is infinite so is the discount,
    even at lambda = 0.

    Raises ValueError for shapes that disagree, a negative, NaN or infinite strength, and a negative
    or NaN distance. Source: arXiv 2505.02462, Algorithm 2.

    >>> sizes = torch.tensor([[1.0, 2.0]]).double()
    >>> distance_discounts(sizes, torch.full((1, 2, 2), 0.5).double(), 1.0)
    tensor([[[0.5000, 1.0000],
             [0.2500, 0.5000]]], dtype=torch.float64)
    """
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength is {strength}; wanted lambda as a finite number >= 0.")
    if sizes.dim() != 2 or distance.shape != (*sizes.shape, sizes.shape[-1]):
        raise ValueError(
            f"sizes {list(sizes.shape)} and distance {list(distance.shape)} do not fit; wanted"
            " [markets, clients] and [markets, clients, clients]."
        )
    _check("distance", distance, distance >= 0, "a number >= 0; inf means unusable")
    ratio = sizes[:, None, :] / sizes[:, :, None]
    return torch.where(distance.isinf(), torch.inf, strength * ratio * distance)


def _check(what: str, values: Tensor, good: Tensor, wanted: str) -> None:
    if values.dtype != torch.float64:
        raise ValueError(
            f"{what}s are {values.dtype}; wanted torch.float64. Convert with .double()."
        )
    if not bool(good.all()):
        where = tuple((~good).nonzero()[0].tolist())
        raise ValueError(
            f"{what} {float(values[where]):g} at index {list(where)}; wanted {wanted}."
        )
