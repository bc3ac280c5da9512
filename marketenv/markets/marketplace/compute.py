"""Computing in the marketplace: at home where nobody sells work, and for owners that sold data by
another rule than the contest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.markets.data_market.select import Selected
from marketenv.markets.resource_market import Computed, Contributed, Matched
from marketenv.markets.resource_market.contribute import FEES
from marketenv.markets.resource_market.moves import CENTRE, OWNER
from marketenv.markets.resource_market.pay import settle_fees
from marketenv.markets.resource_market.post import unit_cost
from marketenv.mechanisms import COMPUTE_FEES


@dataclass(frozen=True)
class AtHome(Outcome):
    """Nobody sells work: what the idle centre does, and that every owner is its own centre."""

    computed: Computed
    matched: Matched

    def of(self, kind: type[Any]) -> Any:
        """What later phases ask for."""
        parts = (self, self.computed, self.matched)
        return next((part for part in parts if isinstance(part, kind)), None)


class WorkAtHome(Phase):
    """Every owner does the work on its own data, at the cost that centres would be paid.

    U_owner = its part of the payment - lam rho x
    """

    name, outcome = "work_at_home", AtHome

    def __init__(self, name: str = "work_at_home") -> None:
        self.name = name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, AtHome]:
        """Charge the owners for their own work, where two or more contribute anything."""
        x, charge = floor.of(Contributed).x, floor.of(Contributed).charge
        trade = (x.sum(1) > 0) & (x.shape[1] > 1)
        floor = floor.term(self.named("own_work"), OWNER, -(trade[:, None] * charge))
        nothing, everybody = torch.zeros_like(floor.cash(CENTRE)), floor.everyone()
        centre = torch.where(trade[:, None], 0, -1).expand(x.shape).contiguous()
        links = torch.zeros_like(floor.present)[:, :, None].expand(-1, -1, everybody.shape[1])
        computed = Computed(nothing, nothing, nothing[..., None][..., :0], everybody)
        return floor, own, AtHome(computed, Matched(centre, trade, everybody, links.clone()))


def no_fees(charges: Tensor, work: Tensor, matching: Tensor) -> Tensor:
    """Fees where nobody sells work: none."""
    return torch.zeros_like(charges)[:, :, None].expand(-1, -1, work.shape[1])


def fees_of(compute: str | None) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Which centre gets what owners pay, by how computing is sold."""
    return COMPUTE_FEES["matched" if compute == "matched" else "proportional"]


class Charge(Phase):
    """Owners that sold data owe for the work on it, as far as they can pay; it is held for the
    centres.

    charge = cost x,   x = an owner's part of all points that are sold

    cost: money; None: what the cheapest centre posts
    """

    name, outcome = "charge", Contributed

    def __init__(self, cost: float | None, name: str = "charge") -> None:
        self.cost, self.name = cost, name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Contributed]:
        """Hold what owners owe."""
        points = floor.of(Selected).points.double()
        x = points / points.sum(1, keepdim=True).clamp(min=1)
        cost = unit_cost(floor, self.cost)[:, None]
        x = x.minimum(floor.purse(OWNER) / cost)
        charge = (cost * x).minimum(floor.purse(OWNER))
        floor = floor.pay(self.named("charge"), OWNER, FEES, torch.diag_embed(charge))
        ones = torch.ones_like(x)
        return (
            floor,
            own,
            Contributed(
                x=x,
                reported=ones,
                true=ones,
                charge=charge,
                conduct=torch.zeros_like(points, dtype=torch.int64),
                identities=ones,
                share=floor.everyone(**{OWNER: x}),
                report=floor.everyone(**{OWNER: ones}),
                names=("honest",),
            ),
        )


@dataclass(frozen=True)
class Worked(Outcome):
    """What work on sold data came to; its payments and costs are all there is to tell."""


class PayWork(Phase):
    """Centres get the fees of the owners that they work for, and bear the cost of their work."""

    name, outcome = "pay_work", Worked

    def __init__(
        self, fees: Callable[[Tensor, Tensor, Tensor], Tensor], name: str = "pay_work"
    ) -> None:
        self.fees, self.name = fees, name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Worked]:
        """Settle the fees."""
        matched = floor.of(Matched)
        charge = (matched.centre >= 0).double() * floor.of(Contributed).charge
        floor = settle_fees(floor, self, self.fees, charge)
        cost = matched.trade[:, None] * floor.of(Computed).cost
        return floor.term(self.named("work"), CENTRE, -cost), own, Worked()
