"""Who buys whose model: collaboration graphs for all rows of all markets at once.

A graph is ``SharingTerms -> bool [markets, buyers, sellers]``. Rows are independent: each buyer's
set depends only on what was reported and on its own discounts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.mechanisms.gain_families import GainFamily, InverseSqrt

Types = Float64[Tensor, "markets clients"]
Bought = Bool[Tensor, "markets buyers sellers"]
Rows = Float64[Tensor, "rows others"]
Surplus = Float64[Tensor, "rows subsets"]

MOST_EXACT = 12  # clients; the exact graph tries 2^(clients - 1) sets for every buyer
AT_ONCE = 2**20  # numbers in one intermediate tensor, 8 MiB: larger ones leave the cache


@dataclass(frozen=True)
class ClientTypes:
    """What clients are, or what they report to be.

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
        shapes = [list(x.shape) for x in (self.sizes, self.costs, self.needs)]
        if self.sizes.dim() != 2 or self.sizes.shape[1] < 2 or shapes[1:] != shapes[:-1]:
            raise ValueError(
                f"sizes {shapes[0]}, costs {shapes[1]} and needs {shapes[2]} do not fit; wanted"
                " three tensors [markets, clients] with at least two clients."
            )
        _check("size", self.sizes, self.sizes.isfinite() & (self.sizes > 0), "finite samples > 0")
        _check("cost", self.costs, self.costs >= 0, "money >= 0; inf means not for sale")
        _check(
            "need",
            self.needs,
            self.needs.isfinite() & (self.needs >= 0),
            "a finite number >= 0; 0 is a pure seller",
        )


@dataclass(frozen=True)
class SharingTerms:
    """All that a graph and its payments depend on: reports, discounts for distance, the gain, and
    who is still there.

    hurdle C_ij = c_j + discount_ij: what buyer i's purchase from j must be worth

    reported:  what the clients say   each float64 [markets, clients]
    discounts: lambda (N_j / N_i) d_ij >= 0; inf: unusable; diagonal unread  float64 [markets,
        buyers, sellers]
    gain:      the family of g, by default the paper's
    present:   False for a client that has left; by default all are there    bool [markets, clients]

    Raises ValueError for shapes that disagree, another dtype, and a NaN or negative discount
    between present clients.
    """

    reported: ClientTypes
    discounts: PerPair
    gain: GainFamily = field(default_factory=InverseSqrt)
    present: Bool[Tensor, "markets clients"] | None = None

    def __post_init__(self) -> None:
        markets, clients = self.reported.sizes.shape
        here = (markets, clients) if self.present is None else tuple(self.present.shape)
        if self.discounts.shape != (markets, clients, clients) or here != (markets, clients):
            raise ValueError(
                f"discounts {list(self.discounts.shape)} and present {list(here)} do not fit sizes"
                f" {[markets, clients]}; wanted [{markets}, {clients}, {clients}] and [{markets},"
                f" {clients}]."
            )
        _check(
            "discount",
            self.discounts,
            (self.discounts >= 0) | ~self.pairs,
            "money >= 0; inf means unusable",
        )

    @cached_property
    def pairs(self) -> Bought:
        """Who could deal with whom: two different clients that are both present."""
        clients = self.reported.sizes.shape[1]
        other = ~torch.eye(clients, dtype=torch.bool, device=self.discounts.device)
        present = self.present
        return (
            other.expand_as(self.discounts)
            if present is None
            else other & present[:, :, None] & present[:, None, :]
        )

    @cached_property
    def hurdles(self) -> PerPair:
        """C_ij, inf where there is nothing to sell."""
        return torch.where(self.pairs, self.reported.costs[:, None] + self.discounts, torch.inf)

    @cached_property
    def queue(self) -> Queue:
        """Every buyer's sellers in the order of Algorithm 2."""
        own, need = self.reported.sizes[..., None], self.reported.needs[..., None]
        sizes = self.reported.sizes[:, None].expand_as(self.discounts)
        beyond = self.gain.beyond(self.hurdles, sizes, need).masked_fill(
            self.hurdles.isinf(), -torch.inf
        )
        order = (sizes + beyond).sort(dim=-1, descending=True, stable=True).indices
        return Queue(
            order,
            own,
            need,
            *(values.gather(-1, order) for values in (sizes, self.hurdles, beyond)),
        )


@dataclass(frozen=True)
class Queue:
    """Sellers by threshold, the highest first; equal ones keep their order, and what is not for
    sale comes last.

    order:      index of the seller at each place               int64 [..., buyers, sellers]
    own, need:  the buyer's N and K                             float64 [..., buyers, 1]
    sizes, hurdles: N_j and C_ij there                          float64 [..., buyers, sellers]
    beyond:     N^Th_j - N_j there, with all its digits where it is small beside N_j, and -inf for
                what is not for sale
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
        """N^Th_j - size at each place, without cancellation: the total without a seller of that
        size at which j is worth C_ij.
        """
        return self.sizes - size + self.beyond

    def back(self, placed: Tensor) -> Tensor:
        """What stands at the queue's places, in the sellers' own order."""
        return torch.zeros_like(placed).scatter(-1, self.order, placed)


def distance_discounts(sizes: Types, distance: PerPair, strength: float) -> PerPair:
    """Money by which distance makes a model worth less: lambda (N_j / N_i) d_ij.

    sizes: reported samples, > 0   [markets, clients];   distance: d_ij
        >= 0, inf: unusable   [markets, buyers, sellers]
    strength: lambda, money per distance of an equally large seller, >= 0
    Returns float64 [markets, buyers, sellers]; an infinite distance stays infinite even at lambda =
    0.

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


def break_graph(terms: SharingTerms) -> Bought:
    """Buy in the order of the thresholds until the first seller that is not worth its hurdle.

    T_0 = N_i;   buy the k-th in the queue while g(T_k + N_j) - g(T_k) > C_ij,   T_(k+1) = T_k + N_j

    Returns bool [markets, buyers, sellers]. With equal sizes it is the exact graph. A seller whose
    reported size is large and whose hurdle is not met may come first and so end the row:
    ``continue_graph`` passes it by. Source: Algorithm 2, arXiv 2505.02462.

    >>> ones = torch.ones(1, 3).double()
    >>> reported = ClientTypes(
    ...     ones,
    ...     torch.tensor([[9.0, 1.5, 2.0]]).double(),
    ...     torch.tensor([[100.0, 0.0, 0.0]]).double(),
    ... )
    >>> break_graph(SharingTerms(reported, torch.zeros(1, 3, 3).double()))[0, 0]
    tensor([False,  True, False])
    """
    queue = terms.queue
    before = torch.cat([queue.own, queue.own + queue.sizes[..., :-1].cumsum(-1)], -1)
    worth_it = terms.gain.marginal(before, queue.sizes, queue.need) > queue.hurdles
    return queue.back(worth_it.cummin(-1).values)


def continue_graph(terms: SharingTerms) -> Bought:
    """As ``break_graph``, but pass by a seller that is not worth its hurdle and go on: never worse.

    Returns bool [markets, buyers, sellers]. Source: ours; the place that stops Algorithm 2 is left
    out.
    """
    queue = terms.queue
    return queue.back(pass_along(terms.gain, queue)[1])


def pass_along(gain: GainFamily, queue: Queue) -> tuple[Tensor, Tensor]:
    """Walk along queues that skip failures: the total before each place, and who is bought;
    both [..., buyers, sellers].
    """
    total, need = queue.own[..., 0], queue.need[..., 0]
    before, bought = [], []
    # a place lies in one piece
    sizes, hurdles = (x.movedim(-1, 0).contiguous() for x in (queue.sizes, queue.hurdles))
    for size, hurdle in zip(sizes, hurdles, strict=True):
        before.append(total)
        bought.append(gain.marginal(total, size, need) > hurdle)
        total = total + torch.where(bought[-1], size, 0.0)
    return torch.stack(before, -1), torch.stack(bought, -1)


def exact_graph(terms: SharingTerms) -> Bought:
    """Give every buyer its best set of sellers by trying them all.

    S_i = argmax over S of g(N_i + sum_S N_j) - g(N_i) - sum_S C_ij; of equally good sets the first
    in binary order

    Returns bool [markets, buyers, sellers]. Raises ValueError above 12 clients. Source: the problem
    that Algorithm 2 of arXiv 2505.02462 approximates.
    """
    return over_subsets(terms, lambda surplus: _members(surplus.argmax(-1), surplus)) > 0.5


def over_subsets(terms: SharingTerms, of_row: Callable[[Surplus], Rows]) -> PerPair:
    """Apply a function to the surplus of all sets of sellers of each buyer.

    of_row: float64 [rows, 2^(clients - 1)] -> float64 [rows, clients - 1]; bit b of a set's number
        is the row's b-th other
    Returns float64 [markets, buyers, sellers], 0 where there is no pair. Raises ValueError above 12
    clients.
    """
    others = _others(terms)
    near = terms.hurdles.gather(-1, others)
    for_sale = near.isfinite()
    sizes = terms.reported.sizes[:, None].expand_as(terms.hurdles).gather(-1, others)
    columns = (torch.where(for_sale, x, 0.0) for x in (sizes, near))
    flat = [
        x.flatten(0, 1)
        for x in (terms.reported.sizes[..., None], terms.reported.needs[..., None], *columns)
    ]
    step = max(1, AT_ONCE >> others.shape[-1])
    parts = [
        of_row(_surplus(terms.gain, *part))
        for part in zip(*(x.split(step) for x in flat), strict=True)
    ]
    found = torch.where(for_sale, torch.cat(parts).view_as(near), 0.0)
    return torch.zeros_like(terms.hurdles).scatter(-1, others, found)


def never_bought(terms: SharingTerms) -> Bought:
    """Whether no set of other sellers could make buyer i want j's model: the isolation of
    attackers.

    g(N_i + N_j) - g(N_i) <= c_j + lambda (N_j / N_i) d_ij

    Returns bool [markets, buyers, sellers]; where it is False, i buys from j if both are alone.
    Source: theorem 3 of arXiv 2505.02462 as a condition, derived here: g is concave, so any other
    purchase lowers the left.
    """
    own, need = terms.reported.sizes[..., None], terms.reported.needs[..., None]
    return ~(terms.gain.marginal(own, terms.reported.sizes[:, None], need) > terms.hurdles)


def _others(terms: SharingTerms) -> Tensor:
    """Numbers of the other clients, [markets, buyers, clients - 1]."""
    markets, clients = terms.reported.sizes.shape
    if clients > MOST_EXACT:
        raise ValueError(
            f"the exact graph got {clients} clients; it tries 2^(clients - 1) sets and takes at"
            f" most {MOST_EXACT}. Use graph='continue'."
        )
    place = torch.arange(clients - 1, device=terms.discounts.device)
    buyers = torch.arange(clients, device=terms.discounts.device)[:, None]
    return (place + (place >= buyers)).expand(markets, clients, clients - 1)


def _surplus(
    gain: GainFamily, own: Tensor, need: Tensor, sizes: Tensor, hurdles: Tensor
) -> Surplus:
    """What each set of sellers is worth to its buyer beyond the hurdles: [rows, subsets]."""
    count = sizes.shape[-1]
    member = _bits(torch.arange(2**count, device=sizes.device), count).to(sizes.dtype).mT
    return gain.marginal(own, sizes @ member, need) - hurdles @ member


def _members(numbers: Tensor, surplus: Tensor) -> Rows:
    """1 for the members of the sets with these numbers: [rows, others]."""
    return _bits(numbers, surplus.shape[-1].bit_length() - 1).to(surplus.dtype)


def _bits(numbers: Tensor, count: int) -> Tensor:
    return (numbers[..., None] >> torch.arange(count, device=numbers.device)) & 1


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


Graph = Callable[[SharingTerms], Bought]

GRAPHS: dict[str, Graph] = {"break": break_graph, "continue": continue_graph, "exact": exact_graph}
