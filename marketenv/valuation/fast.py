"""Distances of many mixtures at once: they share one cost matrix, and each step is one product."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.valuation.clouds import Columns, Costs, Rows, largest_costs, without_rounding
from marketenv.valuation.exact import solved
from marketenv.valuation.pool import PerMixture, Pool
from marketenv.valuation.scaling_kernel import conjugate, feasible_cost, quotient

Schedule = tuple[tuple[float, int], ...]

# (smoothing as a share of the largest cost, iterations): first steps for mixtures without a start,
# then a schedule for all, and further ones for mixtures that are not known by then. Below .002 the
# kernel's smallest entries leave float64.
FIRST: Schedule = ((0.05, 8), (0.02, 8))
SCHEDULES: tuple[Schedule, ...] = (
    ((0.008, 8), (0.004, 10)),
    ((0.01, 15), (0.004, 10)),
    ((0.01, 40), (0.0025, 40)),
)
# smoothing from which float32 does: the kernel is at least exp(-50), and a product takes half as
# long
COARSE = 0.02
# of its own length a column's step goes on: 20 iterations do what plain scaling does in 60
OVERRELAXED = 0.8
LONGEST = 2.0  # factor by which it goes on at most: far from the solution longer steps diverge


@dataclass(frozen=True)
class Combined:
    """What is known of W2 between every mixture and the target.

    wad: the value   low, high: what it surely lies between                     [*batch, mixtures]
    gradient: d wad / d p, centred on the simplex (its entries sum to
        0)   [*batch, mixtures, sellers]
    g: potentials of the target's points: a start for the next like call   [*batch, mixtures, m]
    """

    wad: Float64[Tensor, "*batch mixtures"]
    low: Float64[Tensor, "*batch mixtures"]
    high: Float64[Tensor, "*batch mixtures"]
    gradient: Float64[Tensor, "*batch mixtures sellers"]
    g: Float64[Tensor, "*batch mixtures m"]


def exact_combination(pool: Pool) -> Combined:
    """Solve one transport problem for each mixture."""
    solution = solved(pool.costs(), pool.rows(), pool.columns())
    wad = solution.cost.sqrt()
    return Combined(wad, wad, wad, gradient(pool, wad, solution.f), solution.g)


def fast_combination(pool: Pool, tolerance: float, start: Columns | None) -> Combined:
    """Scale all mixtures together up to the tolerance, and solve the rest exactly."""
    tolerance = number(tolerance, "tolerance", above=0, infinite=True)
    costs, a, b = pool.costs(), pool.rows(), pool.columns()
    bounds = _bounded(costs, a, b, _first_potentials(costs, a, b, start), SCHEDULES[0])
    for schedule in SCHEDULES[1:]:
        known = bounds.known(tolerance)
        if bool(known.all()):
            break
        places = _wanted_first(~known)
        some_a, some_b, start_g = (_taken(numbers, places) for numbers in (a, b, bounds.g))
        again = _bounded(costs, some_a, some_b, start_g, schedule)
        # known mixtures that only fill up the width stay, so that the batch does not change them
        bounds = bounds.replaced(~known, bounds.with_rows(places, again))
    unknown = ~bounds.known(tolerance)
    if bool(unknown.any()):
        solution = solved(costs, a, b, unknown)
        exact = _Bounds(solution.cost, solution.cost, solution.f, solution.g)
        bounds = bounds.replaced(unknown, exact)
    low, high = bounds.low.sqrt(), bounds.high.sqrt()
    wad = (low + high) / 2
    return Combined(wad, low, high, gradient(pool, wad, bounds.f), bounds.g)


def gradient(pool: Pool, wad: PerMixture, f: Rows) -> Float64[Tensor, "*batch mixtures sellers"]:
    """d W / d p_i: mean potential of seller i less the mean over sellers, over 2 W; 0 where W is 0.

    Moving p within the simplex by dp changes W by gradient . dp; at a kink it is one of the
    subgradients of W^2.
    """
    slopes = (f.unflatten(-1, pool.weights.shape[-2:]) * pool.weights[..., None, :, :]).sum(-1)
    slopes = slopes - slopes.mean(-1, keepdim=True)
    return torch.where(wad[..., None] > 0, slopes / (2 * wad[..., None]), 0.0)


@dataclass(frozen=True)
class _Bounds:
    """What W2^2 lies between [*batch, mixtures], and the potentials that say so."""

    low: Tensor
    high: Tensor
    f: Tensor
    g: Tensor

    def known(self, tolerance: float) -> Bool[Tensor, "*batch mixtures"]:
        """Whether the middle of the bounds is within that share of W2; False beyond float64."""
        return self.high.isfinite() & (
            (self.high.sqrt() - self.low.sqrt()) / 2 <= tolerance * self.low.sqrt()
        )

    def with_rows(self, places: Tensor, other: _Bounds) -> _Bounds:
        """These bounds, with those of another set for the mixtures at the places [*batch, k]."""

        def put(mine: Tensor, new: Tensor) -> Tensor:
            index = places if mine.dim() == places.dim() else places[..., None].expand(new.shape)
            return mine.scatter(places.dim() - 1, index, new)

        return _Bounds(*(put(getattr(self, x.name), getattr(other, x.name)) for x in fields(self)))

    def replaced(self, where: Tensor, other: _Bounds) -> _Bounds:
        """These bounds with the other's where the mask says so."""
        pairs = [(where, self.low, other.low), (where, self.high, other.high)]
        pairs += [(where[..., None], self.f, other.f), (where[..., None], self.g, other.g)]
        return _Bounds(*(torch.where(mask, new, mine) for mask, mine, new in pairs))


def _wanted_first(wanted: Tensor) -> Tensor:
    """Places of the wanted mixtures, equally many for each batch   [*batch, k]."""
    return (~wanted).long().argsort(dim=-1, stable=True)[..., : int(wanted.sum(-1).max())]


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    return rows.gather(-2, places[..., None].expand(*places.shape, rows.shape[-1]))


def _first_potentials(costs: Costs, a: Rows, b: Columns, start: Columns | None) -> Columns:
    """Potentials to start from: the given ones, or those of the first steps where all are 0."""
    if start is None:
        return _scaled(costs, a, b, torch.zeros_like(b), FIRST)[0]
    if start.shape != b.shape:
        raise ValueError(
            f"start has potentials {list(start.shape)}, wanted {list(b.shape)}; leave it out."
        )
    g, new = start.to(b), (start == 0).all(-1)
    if not bool(new.any()):
        return g
    places = _wanted_first(new)
    steps, *_ = _scaled(costs, _taken(a, places), _taken(b, places), _taken(g, places), FIRST)
    # a start that only fills up the width stays, so that it does not depend on the rest of the
    # batch
    return torch.where(
        new[..., None], g.scatter(-2, places[..., None].expand(steps.shape), steps), g
    )


def _bounded(costs: Costs, a: Rows, b: Columns, g: Columns, schedule: Schedule) -> _Bounds:
    # one that left float64 begins anew
    g, v, kernel = _scaled(costs, a, b, torch.where(g.isfinite(), g, 0.0), schedule)
    f, u = conjugate(costs, g, b), quotient(a, v @ kernel.mT)
    high = feasible_cost(costs, kernel, u, v, a, b)
    high = without_rounding(high, largest_costs(costs, a, b))
    low = ((a * f).sum(-1) + (b * g).sum(-1)).clamp(min=0)
    return _Bounds(torch.where(high == 0, 0.0, low), high, f, g)


def _scaled(
    costs: Costs, a: Rows, b: Columns, g: Columns, schedule: Schedule
) -> tuple[Columns, Columns, Costs]:
    """Potentials g after a schedule, the columns' scales of the last plan, and its kernel."""
    largest = costs.amax((-2, -1))[..., None, None]
    scale = torch.where(largest > 0, largest, 1.0)
    for share, iterations in schedule:
        eps, dtype = share * scale, torch.float32 if share >= COARSE else torch.float64
        kernel = (-costs / eps).exp()
        start = torch.where(b > 0, (g / eps).exp(), 0.0)
        v = _fitted(
            kernel.to(dtype), a.to(dtype), b.to(dtype), start.to(dtype), iterations
        ).double()
        g = torch.where(b > 0, eps * v.log(), 0.0)
    return g, v, kernel


def _fitted(kernel: Tensor, a: Tensor, b: Tensor, v: Tensor, iterations: int) -> Tensor:
    """Scalings of the columns after so many overrelaxed iterations."""
    for _ in range(iterations):
        u = quotient(a, v @ kernel.mT)
        ratio = quotient(b, v * (u @ kernel))
        v = v * ratio * ratio.clamp(1 / LONGEST, LONGEST) ** OVERRELAXED
    return v
