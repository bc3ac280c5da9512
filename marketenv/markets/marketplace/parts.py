"""The markets that a marketplace is made of, and who plays them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from marketenv.core.floor import Floor
from marketenv.core.inside import Inside
from marketenv.core.market import Market, Phase
from marketenv.core.within import Within
from marketenv.data import Source
from marketenv.data.part import PartOfSource
from marketenv.markets.data_market import DataMarketConfig, data_market
from marketenv.markets.data_market.config import MODEL
from marketenv.markets.data_market.moves import BUYER, SELLER
from marketenv.markets.data_market.select import HELD, PLATFORM, Select
from marketenv.markets.marketplace.compute import Charge, PayWork, WorkAtHome, fees_of, no_fees
from marketenv.markets.marketplace.config import REPORTED, MarketplaceConfig
from marketenv.markets.model_sharing import ModelSharingConfig, model_sharing
from marketenv.markets.model_sharing.rules import CLIENT, SECOND
from marketenv.markets.model_sharing.share import AS_TRAINED
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.market import ROLE, components
from marketenv.markets.parameter_trading.score import Score
from marketenv.markets.parameter_trading.trade import Trade
from marketenv.markets.resource_market import (
    Compute,
    Match,
    Paid,
    Post,
    ResourceMarketConfig,
    Serve,
    resource_market,
)
from marketenv.markets.resource_market.commit import ESCROW
from marketenv.markets.resource_market.contribute import FEES
from marketenv.markets.resource_market.moves import CENTRE, LEADER, OWNER
from marketenv.markets.training import Train, Trained

DEVELOPER = "developer"
IDLE = 2  # centres without which nothing is contributed
WORK = (Compute, Match, Post, Serve)
# what agents of all copies see and say once: an owner offers the same data to every developer
KNOWN = frozenset(("quality", "identities", "cap", "last_share", "unit_cost", "money", "round"))
OWNERS = frozenset(("own_quality", "own_standing", "own_cap", "report", "conduct"))
CENTRES = frozenset(("own_cost", "cost", "last_work", "last_price", "sigma", "price"))
SELLERS = frozenset(("cost", "size", "reputation", "last_paid", "round"))
# as a part of the mean money per unit of accuracy, as by the data market's own defaults
COST_PER_POINT = (0.0002, 0.001)
# of a part, for which the value of the fall of a developer's own loss stands
VALUES = frozenset(("gain", "value", "accuracy", "loss"))


class Part(NamedTuple):
    """Phases of a market, who plays them, and what that market begins with."""

    phases: tuple[Phase, ...]
    inside: Inside
    furnish: Callable[[Floor], Floor] | None = None

    def within(self) -> list[Phase]:
        """The phases, played by the people of the marketplace."""
        return [Within(phase, self.inside) for phase in self.phases]


def parts_of(c: MarketplaceConfig, source: Source | None) -> list[Part]:
    """All parts of a marketplace in the order of their phases.

    source: the data of owners, and after them those of developers
    """
    parts = [] if not c.sells_data else contest(c, source) if c.contest else purchase(c, source)
    if c.learner is not None and (c.sells_data or not c.shares):
        parts.append(trading(c, source))
    return [*parts, sharing(c, source)] if c.shares else parts


def shared(c: MarketplaceConfig, source: Source | None, agents: Iterable[int]) -> dict[str, Any]:
    """Arguments that all markets have; the data are those of some agents of the source."""
    mine = tuple(agents)
    same = {"max_cycles": c.max_cycles, "horizon": c.horizon, "device": c.device}
    same |= {"cash": c.cash, "credit": c.credit, "learner": c.learner}
    if source is None:
        return same
    whole = mine == tuple(range(source.n_agents))
    same |= {"learner_options": c.learner_options, "training": c.training}
    return same | {"data": source if whole else PartOfSource(source, mine)}


# --- data and work --------------------------------------------------------------------------------


def resources(c: MarketplaceConfig, **arguments: Any) -> tuple[Market, Inside]:
    """The resource market, which every developer leads. Where nobody sells work, centres stand idle
    that nobody plays: as many as it takes for trade.
    """
    game: dict[str, Any] = {
        "n_owners": c.n_owners,
        "n_centres": c.n_centres if c.sells_work else IDLE,
    }
    game |= {"pricing": "posted" if c.sells_work and c.compute == "posted" else "contest"}
    game |= {"fees": fees_of(c.compute) if c.sells_work else no_fees}
    market = resource_market(ResourceMarketConfig(**{**game, **arguments, **c.resource_market}))
    names = {LEADER: DEVELOPER, OWNER: OWNER, ESCROW: ESCROW, FEES: FEES}
    names |= {CENTRE: CENTRE} if c.sells_work else {}
    inside = Inside(
        name="resource_market",
        people=market.people,
        names=names,
        alone=LEADER,
        copies=c.n_developers,
        common=KNOWN | OWNERS | CENTRES,
        without=VALUES if c.learner is not None else frozenset(),
        silent=frozenset() if c.learner is None else frozenset((Paid,)),
        goods={OWNER: "data", CENTRE: "compute"},
        market=market,
    )
    return market, inside


def contest(c: MarketplaceConfig, source: Source | None) -> list[Part]:
    """Every developer's contest of the owners, and of the centres for their fees."""
    audit = None if c.quality == REPORTED else c.quality
    market, inside = resources(c, audit=audit, **shared(c, source, range(c.n_owners)))
    phases = list(market.phases)
    if not c.sells_work:
        place = next(k for k, phase in enumerate(phases) if isinstance(phase, WORK))
        phases = [phase for phase in phases if not isinstance(phase, WORK)]
        phases.insert(place, WorkAtHome())
    return [Part(tuple(phases), inside, market.people.furnish)]


def purchase(c: MarketplaceConfig, source: Source | None) -> list[Part]:
    """Every developer's purchase of data by a rule, and the work on what owners sell.

    A developer's money per unit of accuracy is its money per unit of loss times the fall of the
    loss from guessing to knowing, ln C, over the rise of the accuracy, 1 - 1/C.
    """
    arguments = shared(c, source, range(c.n_owners))
    low, high = (loss_per_accuracy(source) * end for end in c.money_per_loss)
    scale = {
        "money_per_accuracy": (low, high),
        "cost_per_point": tuple(part * (low + high) / 2 for part in COST_PER_POINT),
    }
    arguments = {"rule": c.rule, "outside_option": MODEL, **scale, **arguments, **c.data_market}
    market = data_market(DataMarketConfig(n_sellers=c.n_owners, **arguments))
    offers = {field.name for field in market.moves_of(SELLER)[0].action.items}
    inside = Inside(
        name="data_market",
        people=market.people,
        names={SELLER: OWNER, BUYER: DEVELOPER, HELD: HELD, PLATFORM: PLATFORM},
        alone=BUYER,
        copies=c.n_developers,
        common=SELLERS | offers,
        without=VALUES,
        renamed={"bought": "points_bought", "fee": "platform_fee"},
        goods={OWNER: "data"},
        market=market,
    )
    bought = Part(market.phases, inside, market.people.furnish)
    return with_work(c, bought) if c.sells_work else [bought]


def loss_per_accuracy(source: Source | None) -> float:
    """Fall of the loss from guessing to knowing, over the rise of the accuracy."""
    classes = 2 if source is None else source.n_outputs
    return math.log(classes) / (1 - 1 / classes)


def with_work(c: MarketplaceConfig, bought: Part) -> list[Part]:
    """A purchase of data, in which owners pay centres for the work on what they sold."""
    market, inside = resources(c, learner=None, max_cycles=c.max_cycles, device=c.device)
    names = {name: own for name, own in inside.names.items() if name != ESCROW}
    inside = replace(inside, names=names)
    work = [phase for phase in market.phases if isinstance(phase, WORK)]
    posts = tuple(phase for phase in work if isinstance(phase, Post))
    cost = None if posts else market.config.lam * market.config.rho
    after = (Charge(cost), *(phase for phase in work if not isinstance(phase, Post)))
    place = 1 + next(k for k, phase in enumerate(bought.phases) if isinstance(phase, Select))
    return [
        Part(posts, inside, market.people.furnish),
        bought._replace(phases=bought.phases[:place]),
        Part(after, inside),
        bought._replace(phases=bought.phases[place:], furnish=None),
        Part((PayWork(fees_of(c.compute)),), inside),
    ]


# --- models ---------------------------------------------------------------------------------------


def own_data(c: MarketplaceConfig) -> Iterable[int]:
    """Whose data of the source developers have. One without own data never trains on what stands in
    for them.
    """
    owners = c.n_owners if c.sells_data else 0
    return range(owners, owners + c.n_developers) if c.trains else [0] * c.n_developers


def own_training(c: MarketplaceConfig, phase: Train) -> Train:
    """Training on own data, of nothing where developers have none.

    Where owners' data are trained on too it has a name of its own, since phases draw by their
    names: one key would choose the examples of a developer and of an owner.
    """
    if not c.trains:
        return Train(phase.role, None)
    name = "train_own" if c.sells_data else phase.name
    return Train(phase.role, phase.learner, phase.second, name)


def trading(c: MarketplaceConfig, source: Source | None) -> Part:
    """Training on own data, trade of parameters, and what the fall of a developer's loss is worth;
    the last alone where models are shared.
    """
    own: dict[str, Any] = {"money_per_loss": c.money_per_loss, "effort_cost": c.cost_of_effort}
    own |= {"mechanism": c.trade} if c.sells_parameters else {}
    arguments = {**shared(c, source, own_data(c)), **own, **c.parameter_trading}
    config = ParameterTradingConfig(n_agents=c.n_developers, **arguments)
    people, phases, data = components(config)
    chosen: list[Phase] = []
    for phase in phases:
        if isinstance(phase, Train) and not c.shares:
            chosen.append(own_training(c, phase))
        elif isinstance(phase, Score) or (isinstance(phase, Trade) and c.sells_parameters):
            chosen += [] if isinstance(phase, Trade) and c.shares else [phase]
    market = Market(people, phases, config=config, source=data) if c.n_developers > 1 else None
    inside = Inside(
        name="parameter_trading",
        people=people,
        names={ROLE: DEVELOPER},
        silent=frozenset() if c.trains else frozenset((Trained,)),
        goods={DEVELOPER: "parameters"},
        market=market,
    )
    return Part(tuple(chosen), inside, people.furnish)


def sharing(c: MarketplaceConfig, source: Source | None) -> Part:
    """Training on own data, and the market of models; losses are told where they are valued."""
    own = {"effort_cost": c.cost_of_effort}
    arguments = {**shared(c, source, own_data(c)), **own, **c.model_sharing}
    market = model_sharing(ModelSharingConfig(n_agents=c.n_developers, **arguments))
    inside = Inside(
        name="model_sharing",
        people=market.people,
        names={CLIENT: DEVELOPER, AS_TRAINED: AS_TRAINED, SECOND: SECOND},
        untold=VALUES if c.sells_data else frozenset(),
        silent=frozenset() if c.trains else frozenset((Trained,)),
        renamed={"price": "model_price"},
        goods={DEVELOPER: "models"},
        market=market,
    )
    phases = tuple(
        own_training(c, phase) if isinstance(phase, Train) else phase for phase in market.phases
    )
    return Part(phases, inside, market.people.furnish)
