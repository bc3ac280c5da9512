"""The phase in which owners are matched to the centres that compute for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.markets.resource_market.compute import Computed
from marketenv.markets.resource_market.contribute import Contributed
from marketenv.markets.resource_market.moves import CENTRE, OWNER
from marketenv.markets.resource_market.own_parts import preferred
from marketenv.mechanisms import deferred_acceptance, preference_ranks

Preferences = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Matched(Outcome):
    """Which centre computes for which owner.

    centre:  of each owner, -1 where it has none               int64 [markets, owners]
    trade:   whether there is any: it takes two owners, two centres, some data and some work
             bool [markets]
    matches: number of owners that each agent computes for     float64 [markets, agents]
    links:   from each owner to its centre                     bool [markets, agents, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("matches",)
    EDGES: ClassVar[str] = "matches"

    centre: Int[Tensor, "markets owners"]
    trade: Bool[Tensor, "markets"]
    matches: Float64[Tensor, "markets agents"]
    links: Bool[Tensor, "markets agents agents"]

    def edges(self) -> Tensor:
        """Every owner and its centre."""
        return self.links

    def story(self, agents: Sequence[str]) -> list[str]:
        """Who computes for whom."""
        if not bool(self.trade[0]):
            return ["There is no trade: it takes two owners, two centres, some data and some work."]
        return [
            f"centre_{m} computes for owner_{n}."
            for n, m in enumerate(self.centre[0].tolist())
            if m >= 0
        ]


class Match(Phase):
    """Owners propose to centres, by deferred acceptance.

    preferences: as those of ``PREFERENCES``: (x, work, sigma) -> the owners' ranks, and the
                 centres' where they report none; None: centres that work take the owners in turn
    Where there are more owners than centres, a centre has several places.
    Source: Gale-Shapley, owners propose, in arXiv 2501.14588. We differ: there centres are as many
    as owners.
    """

    name, outcome = "match", Matched

    def __init__(self, preferences: Preferences | None, name: str = "match") -> None:
        self.name, self.preferences = name, preferences

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Matched]:
        """Match, where there is anything to compute."""
        x, computed = floor.of(Contributed).x, floor.of(Computed)
        owners, centres = x.shape[1], computed.work.shape[1]
        enough = owners > 1 and centres > 1
        trade = (x.sum(1) > 0) & (computed.work.sum(1) > 0) & enough
        if self.preferences is None:
            centre = _in_turn(computed.work, owners)
        else:
            centre = _accepted(self.preferences, x, computed, floor.types[CENTRE]["sigma"])
        centre = torch.where(trade[:, None], centre, -1)
        return floor, own, Matched(centre, trade, *_links(floor, centre, centres))


def _accepted(
    preferences: Preferences,
    x: Float64[Tensor, "markets owners"],
    computed: Computed,
    sigma: Float64[Tensor, "markets centres"],
) -> Int[Tensor, "markets owners"]:
    """The centre that accepts each owner in the end, -1 for none."""
    by_owners, by_centres = preferred(preferences, x, computed.work, sigma)
    if computed.liking.shape[2]:
        by_centres = preference_ranks(computed.liking)
    places = -(-x.shape[1] // computed.work.shape[1])
    by_owners = by_owners.repeat_interleave(places, 2)
    place = deferred_acceptance(by_owners, by_centres.repeat_interleave(places, 1))
    return torch.where(place >= 0, place // places, -1)


def _in_turn(
    work: Float64[Tensor, "markets centres"], owners: int
) -> Int[Tensor, "markets owners"]:
    """Centres that work take one owner after another."""
    works = work > 0
    first = (~works).long().argsort(dim=-1, stable=True)
    turn = torch.arange(owners, device=work.device) % works.sum(1, keepdim=True).clamp(min=1)
    return first.gather(1, turn)


def _links(
    floor: Floor, centre: Int[Tensor, "markets owners"], centres: int
) -> tuple[Tensor, Tensor]:
    """Number of owners that each agent computes for, and links from owners to centres."""
    pairs = centre[..., None] == torch.arange(centres, device=centre.device)
    agents = floor.present.shape[1]
    links = torch.zeros(len(centre), agents, agents, dtype=torch.bool, device=centre.device)
    links[:, floor.where(OWNER), floor.where(CENTRE)] = pairs
    return floor.everyone(**{CENTRE: pairs.double().sum(1)}), links
