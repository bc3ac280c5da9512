"""Work in the marketplace: the contest of the resource market, which every developer leads, and the
work of its centres on data that are sold by another rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.inside import Inside
from marketenv.core.market import Market
from marketenv.core.phase import Outcome, Phase
from marketenv.core.within import Within
from marketenv.markets.data_market import Select, Selected
from marketenv.markets.marketplace.config import (
    DEVELOPER,
    MATCHED,
    REPORTED,
    VALUES,
    MarketplaceConfig,
    made,
)
from marketenv.markets.resource_market import (
    Compute,
    Computed,
    Contributed,
    Match,
    Matched,
    Paid,
    Pay,
    Post,
    Serve,
    resource_market,
)
from marketenv.markets.resource_market.commit import ESCROW
from marketenv.markets.resource_market.contribute import FEES, charged
from marketenv.markets.resource_market.moves import CENTRE, LEADER, OWNER
from marketenv.markets.resource_market.pay import pay_centres

IDLE = 2  # centres without which nothing is contributed
# what owners and centres see and say once for each developer, and not once for all
EACH = frozenset(("eta", "share", "fees", "spend", "liking"))


def contest(c: MarketplaceConfig, arguments: Mapping[str, Any]) -> list[Within]:
    """Every developer's contest of the owners, and of the centres for their fees.

    arguments: of the resource market, as all markets have them
    """
    market, inside = _resources(c, arguments)
    phases = market.phases
    if not c.sells_work:
        at_home = {Compute: WorkAtHome(), Match: Match(None)}
        phases = tuple(at_home.get(type(phase), phase) for phase in phases)
    return [Within(phase, inside) for phase in phases]


def with_work(
    c: MarketplaceConfig, arguments: Mapping[str, Any], purchase: list[Within]
) -> list[Within]:
    """A purchase of data, in which owners pay centres for the work on what they sold.

    arguments: as in ``contest``, without a learner;   purchase: phases, of which one selects owners
    """
    market, inside = _resources(c, arguments)
    posts = [Within(phase, inside) for phase in market.phases if isinstance(phase, Post)]
    cost = None if posts else market.config.lam * market.config.rho
    work = [phase for phase in market.phases if isinstance(phase, Compute | Serve | Match)]
    after = [Within(phase, inside) for phase in (Charge(cost), *work)]
    pay = Within(PayWork(market.phase(Pay).fees), inside)
    place = 1 + next(k for k, each in enumerate(purchase) if isinstance(each.phase, Select))
    return [*posts, *purchase[:place], *after, *purchase[place:], pay]


def _resources(c: MarketplaceConfig, arguments: Mapping[str, Any]) -> tuple[Market, Inside]:
    """The resource market, which every developer leads. Where nobody sells work, centres stand idle
    that nobody plays: as many as it takes for trade.
    """
    own: dict[str, Any] = {
        "n_owners": c.n_owners,
        "n_centres": c.n_centres if c.sells_work else IDLE,
        "audit": None if c.quality == REPORTED else c.quality,
        "pricing": "posted" if c.sells_work and c.compute == "posted" else "contest",
        "fees": MATCHED if c.compute == MATCHED else "proportional",
    }
    fees = {} if c.sells_work else {"fees": no_fees}
    market = made(
        c, "resource_market", lambda it: resource_market(replace(it, **fees)), **arguments, **own
    )
    names = {LEADER: DEVELOPER, OWNER: OWNER, FEES: FEES}
    names |= {ESCROW: ESCROW} if c.contest else {}
    names |= {CENTRE: CENTRE} if c.sells_work else {}
    inside = Inside(
        name="resource_market",
        people=market.people,
        names=names,
        alone=LEADER,
        copies=c.n_developers,
        common=fields_of(market) - EACH,
        goods={OWNER: "data", CENTRE: "compute"},
        market=market,
    )
    if c.learner is not None:
        inside = replace(inside, without=VALUES, silent=frozenset((Paid,)))
    if not c.sells_work:
        silent = inside.silent | {Computed, Matched}
        inside = replace(inside, untold=frozenset(("offered", "matches")), silent=silent)
    return market, inside


def fields_of(market: Market) -> frozenset[str]:
    """Names of all that the agents of a market see and do."""
    fields = [field for move in market.moves for field in (move.observation, move.action)]
    return frozenset(name for part in fields for name in part.slices)


class WorkAtHome(Phase):
    """Every owner does the work on its own data, at the cost that centres would be paid.

    U_owner = its part of the payment - lam rho x

    Idle centres, which nobody plays, stand in for those that do the work.
    """

    name, outcome = "work_at_home", Computed

    def __init__(self, name: str = "work_at_home") -> None:
        self.name = name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Computed]:
        """Charge the owners for their own work, where two or more contribute anything."""
        x, charge = floor.of(Contributed).x, floor.of(Contributed).charge
        trade = (x.sum(1) > 0) & (x.shape[1] > 1)
        floor = floor.term(self.named("own_work"), OWNER, -(trade[:, None] * charge))
        free = torch.zeros_like(floor.cash(CENTRE))
        return floor, own, Computed(1 + free, free, free[..., None][..., :0], floor.everyone())


def no_fees(charges: Tensor, work: Tensor, matching: Tensor) -> Tensor:
    """Fees where nobody sells work: none."""
    return torch.zeros_like(charges)[:, :, None].expand(-1, -1, work.shape[1])


class Charge(Phase):
    """Owners that sold data owe for the work on it, as far as they can pay; it is held.

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
        x, one = points / points.sum(1, keepdim=True).clamp(min=1), torch.ones_like(points)
        told = {"reported": one, "true": one, "conduct": 0 * points.long(), "identities": one}
        floor, outcome = charged(floor, self, self.cost, x, names=("honest",), **told)
        return floor, own, outcome


class PayWork(Phase):
    """Centres get the fees of the owners that they work for, and bear the cost of their work."""

    name = "pay_work"

    def __init__(
        self, fees: Callable[[Tensor, Tensor, Tensor], Tensor], name: str = "pay_work"
    ) -> None:
        self.fees, self.name = fees, name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Outcome]:
        """Settle the fees; payments and costs are all there is to tell."""
        return pay_centres(floor, self, self.fees)[0], own, Outcome()
