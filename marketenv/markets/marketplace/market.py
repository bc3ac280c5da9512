"""The whole marketplace: data, compute and parameters traded by one population.

A round is the rounds of the markets that it is made of, one after another, on one ledger and with
one model of every developer: developers buy data, by the contest of ``resource_market_v0`` or by a
rule of ``data_market_v0``, and the work on it; they train on their own data; they buy parameters of
each other, as in ``parameter_trading_v0``, or models, as in ``model_sharing_v0``. Every developer
leads a copy of the data market in which all owners and all centres are.

Source: ours, of the papers' parts. Nothing here is a paper's claim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.market import Market, People
from marketenv.data import Source
from marketenv.markets.arguments import source_of
from marketenv.markets.marketplace.config import MarketplaceConfig
from marketenv.markets.marketplace.parts import DEVELOPER, Part, loss_per_accuracy, parts_of
from marketenv.markets.resource_market.moves import CENTRE, OWNER

NAME = "marketplace_v0"


def marketplace(config: MarketplaceConfig | None = None) -> Market:
    """A batch of marketplaces; see the module's text for a round and the config for its parts.

    >>> [phase.name for phase in marketplace(MarketplaceConfig(rule=None)).phases]
    ['train', 'trade', 'score']
    """
    c = config or MarketplaceConfig()
    source = _source(c)
    parts = parts_of(c, source)
    priced = "money_per_accuracy" in c.data_market
    accounts: dict[str, int] = {}
    empty: set[str] = set()
    for inside in (part.inside for part in parts):
        people = inside.people
        accounts |= {n: k * inside.copies for n, k in people.accounts.items() if n in inside.names}
        empty |= set(people.empty)
    people = People(
        roles={
            DEVELOPER: c.n_developers,
            OWNER: c.n_owners if c.sells_data else 0,
            CENTRE: c.n_centres if c.sells_work else 0,
        },
        accounts=accounts,
        empty=tuple(name for name in accounts if name in empty),
        cash=c.cash,
        credit=c.credit,
        furnish=Furnish(tuple(parts), None if priced else loss_per_accuracy(source)),
        device=device_of(c.device),
    )
    return Market(
        people,
        [phase for part in parts for phase in part.within()],
        horizon=c.max_cycles,
        cut=c.horizon == "cut",
        name=NAME,
        config=c,
        source=source,
    )


def _source(c: MarketplaceConfig) -> Source | None:
    """The data of owners, and after them those of developers; None where nothing is trained."""
    if c.learner is None:
        return None
    owners = c.n_owners if c.sells_data else 0
    count = owners + (c.n_developers if c.trains else 0)
    return source_of(c, device_of(c.device), n_agents=count)


@dataclass(frozen=True, eq=False)
class Furnish:
    """What is on the floor at the start of an episode: what every part begins with. Where two parts
    have a model of a developer, it begins with that of the later part, scored as it is valued.

    rate: money per accuracy over money per loss; None where the user gives both
    """

    parts: tuple[Part, ...]
    rate: float | None

    def __call__(self, floor: Floor) -> Floor:
        """The furnished floor."""
        for part in self.parts:
            if part.furnish is not None:
                floor = part.inside.furnish(part.furnish)(floor)
        judge = None if floor.world is None else floor.world.parts.get("parameter_trading")
        if judge is None:
            return floor
        models, types = floor.models[DEVELOPER], dict(floor.types[DEVELOPER])
        scores = judge.score(models.params, floor.round)
        judged = replace(models, loss=scores.loss, before=scores.loss, accuracy=scores.accuracy)
        if "money_per_accuracy" in types and self.rate is not None:
            types["money_per_accuracy"] = self.rate * types["money_per_loss"]
        return floor.but(
            models={**floor.models, DEVELOPER: judged}, types={**floor.types, DEVELOPER: types}
        )
