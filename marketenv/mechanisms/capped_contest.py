"""Capped proportional-share contests: all equilibria of one contest, by the size of the prize.

While the prize grows, total effort Q grows and Q / P falls, so that a contestant first stays out,
then makes an effort inside its cap, then reaches its cap, and never turns back. Between two such
events, with m contestants inside, C the sum of their costs, and H the sum of the caps that are
reached, the condition that shares sum to 1 is

    Q = m Q - C Q^2 / P + H,   so   P(Q) = C Q^2 / ((m - 1) Q + H)

which is convex in Q. The events are found in order and in closed form, at most two for each
contestant. Source: derived here, from the share functions of Cornes and Hartley, Economic Theory 26
(2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

PerMarket = Float64[Tensor, "markets"]
PerContestant = Float64[Tensor, "markets contestants"]
PerSegment = Float64[Tensor, "markets segments"]


@dataclass(frozen=True)
class Equilibria:
    """Equilibria of a capped contest by segments between events; after the last event it repeats.

    start, end: total effort Q where the segment begins and ends; inf where nothing ends it
    prize:      P where the segment begins
    inside:     m, the number of contestants with an effort inside their cap
    cost:       C, the sum of their costs
    capped:     H, the sum of the caps that are reached

    All float64 [markets, segments].
    """

    start: PerSegment
    end: PerSegment
    prize: PerSegment
    inside: PerSegment
    cost: PerSegment
    capped: PerSegment

    def total(self, prize: PerMarket) -> PerMarket:
        """Total effort at a prize: Q [markets].

        The root of C u^2 - (m - 1) u - H / P = 0 in u = Q / P, and Q = H where all caps are
        reached.
        """
        last = (self.prize <= prize[:, None]).sum(-1, keepdim=True) - 1
        inside, cost, capped = (
            x.gather(-1, last)[:, 0] for x in (self.inside, self.cost, self.capped)
        )
        positive = prize.clamp(min=torch.finfo(prize.dtype).tiny)
        root = ((inside - 1) ** 2 + 4 * cost * (capped / positive)).sqrt()
        rate = (inside - 1 + root) / torch.where(inside > 0, 2 * cost, 1.0)
        return torch.where(inside > 0, rate * prize, torch.where(prize > 0, capped, 0.0))

    def prizes(self, total: PerSegment) -> PerSegment:
        """The prize P(Q) of total effort Q, in every segment [markets, segments]; 0 at Q = 0."""
        per_effort = self.cost * total / ((self.inside - 1) * total + self.capped)
        return torch.where(total > 0, per_effort * total, 0.0)

    def slopes(self, total: PerSegment) -> PerSegment:
        """dP/dQ = C Q ((m - 1) Q + 2 H) / ((m - 1) Q + H)^2 for Q > 0."""
        below = (self.inside - 1) * total + self.capped
        return self.cost * total / below * ((below + self.capped) / below)


def equilibria(
    costs: PerContestant, caps: PerContestant, active: Bool[Tensor, "markets contestants"]
) -> Equilibria:
    """Follow a capped contest from prize 0 on.

    costs, caps: as in ``contest``
    active: contestants that make an effort where no cap binds   bool [markets, contestants]
    """
    waiting = costs.isfinite() & (caps > 0) & ~active & active.any(-1, keepdim=True)
    walk = _Walk(costs, caps, inside=active, waiting=waiting)
    return walk.segments()


class _Walk:
    """Contestants by where they stand, moved on from event to event."""

    def __init__(self, costs: Tensor, caps: Tensor, inside: Tensor, waiting: Tensor) -> None:
        self.costs, self.caps, self.inside, self.waiting = costs, caps, inside, waiting
        self.capped = torch.zeros_like(inside)
        self.start = torch.zeros_like(costs[:, :1])
        self.prize = torch.zeros_like(self.start)

    def segments(self) -> Equilibria:
        """All segments, until no event is left in any market."""
        parts = []
        while True:
            sums = inside, cost, capped = self._sums()
            event, who = self._events(*sums).min(-1, keepdim=True)
            parts.append((self.start, event, self.prize, inside, cost, capped))
            happens = event.isfinite()
            if not bool(happens.any()):
                return Equilibria(*(torch.cat(part, -1) for part in zip(*parts, strict=True)))
            self._move(event, who, happens, sums)

    def _sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Present m, C and H, each [markets, 1], as sums, so that no difference loses digits."""
        inside = self.inside.sum(-1, keepdim=True).to(self.costs.dtype)
        cost = torch.where(self.inside, self.costs, 0.0).sum(-1, keepdim=True)
        return inside, cost, torch.where(self.capped, self.caps, 0.0).sum(-1, keepdim=True)

    def _events(self, inside: Tensor, cost: Tensor, capped: Tensor) -> Tensor:
        """Total effort at each contestant's next event, inf for none: [markets, contestants].

        enters: 1 = c_i Q / P, so Q = H / (C / c_i - (m - 1))
        reaches its cap: Q (1 - c_i Q / P) = cap_i, so Q = (cap_i + c_i H / C) / (1 - c_i (m - 1) /
        C)
        """
        waiting = torch.where(self.waiting, self.costs, torch.inf)
        # they enter in the order of their costs
        first = self.waiting & (waiting == waiting.amin(-1, keepdim=True))
        rate = cost / self.costs - (inside - 1)
        entry = torch.where(first & (rate > 0) & (capped > 0), capped / rate, torch.inf)
        part = self.costs / cost
        # 0 by rounding where somebody only just takes part
        slack = (1 - part * (inside - 1)).clamp(min=0.0)
        limit = torch.where(self.inside, (self.caps + part * capped) / slack, torch.inf)
        return entry.minimum(limit).maximum(self.start)

    def _move(self, event: Tensor, who: Tensor, happens: Tensor, sums: tuple[Tensor, ...]) -> None:
        """Move one contestant of each market on, and note total effort and the prize there."""
        inside, cost, capped = sums
        chosen = torch.zeros_like(self.inside).scatter(-1, who, happens)
        enters, fills = chosen & self.waiting, chosen & self.inside
        at_cap = cost * event * (event / ((inside - 1) * event + capped))
        there = torch.where(
            enters.any(-1, keepdim=True), self.costs.gather(-1, who) * event, at_cap
        )
        self.prize = torch.where(happens, there.maximum(self.prize), torch.inf)
        self.start = torch.where(happens, event, self.start)
        self.inside = self.inside & ~fills | enters
        self.waiting, self.capped = self.waiting & ~enters, self.capped | fills
