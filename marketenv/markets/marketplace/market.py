"""The whole marketplace: data, compute and parameters traded by one population.

A round is the rounds of the markets that it is made of, one after another, on one ledger and with
one model of every developer: developers buy data, by the contest of ``resource_market_v0`` or by a
rule of ``data_market_v0``, and the work on it; they train on their own data; they buy parameters of
each other, as in ``parameter_trading_v0``, or models, as in ``model_sharing_v0``. Every developer
leads a copy of the data market in which all owners and all centres are.

Source: ours, of the papers' parts. Nothing here is a paper's claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.inside import Inside
from marketenv.core.joined import joined
from marketenv.core.market import Market, Phase
from marketenv.core.within import Within
from marketenv.data import Source
from marketenv.data.part import PartOfSource
from marketenv.markets.arguments import source_of
from marketenv.markets.data_market import data_market
from marketenv.markets.data_market.config import MODEL
from marketenv.markets.data_market.moves import BUYER, SELLER
from marketenv.markets.data_market.select import HELD, PLATFORM
from marketenv.markets.marketplace.compute import contest, fields_of, with_work
from marketenv.markets.marketplace.config import DEVELOPER, VALUES, MarketplaceConfig, made
from marketenv.markets.model_sharing import model_sharing
from marketenv.markets.model_sharing.rules import CLIENT, SECOND
from marketenv.markets.model_sharing.share import AS_TRAINED
from marketenv.markets.parameter_trading import ROLE, Trade
from marketenv.markets.parameter_trading.market import components
from marketenv.markets.resource_market.moves import OWNER
from marketenv.markets.training import Train, Trained

NAME = "marketplace_v0"
# as a part of the mean money per unit of accuracy, as by the data market's own defaults
COST_PER_POINT = (0.0002, 0.001)


def marketplace(config: MarketplaceConfig | None = None) -> Market:
    """A batch of marketplaces; see the module's text for a round and the config for its parts.

    >>> [phase.name for phase in marketplace(MarketplaceConfig(rule=None)).phases]
    ['train', 'trade', 'score']
    """
    c = config or MarketplaceConfig()
    source = _source(c)
    rate = _loss_per_accuracy(source)
    phases: list[Within] = []
    if c.sells_data:
        of_owners = _common(c, source, tuple(range(c.n_owners)))
        phases += contest(c, of_owners) if c.contest else _purchase(c, of_owners, rate)
    if c.learner is not None and (c.sells_data or not c.shares):
        phases += _trading(c, source)
    if c.shares:
        phases += _sharing(c, source)
    parts = dict.fromkeys(phase.inside for phase in phases)
    first = sorted(parts, key=lambda part: part.name != "resource_market")  # its accounts are first
    money = {"cash": c.cash, "credit": c.credit}
    people = joined(first, roles=c.roles, device=device_of(c.device), **money)
    given = None if "money_per_accuracy" in c.data_market else rate
    people = replace(people, furnish=partial(_judged, people.furnish, given))
    cut = c.horizon == "cut"
    return Market(people, phases, horizon=c.max_cycles, cut=cut, name=NAME, config=c, source=source)


def _source(c: MarketplaceConfig) -> Source | None:
    """The data of owners, and after them those of developers; None where nothing is trained."""
    if c.learner is None:
        return None
    count = c.roles[OWNER] + (c.n_developers if c.trains else 0)
    return source_of(c, device_of(c.device), n_agents=count)


def _loss_per_accuracy(source: Source | None) -> float:
    """Fall of the loss from guessing to knowing, ln C, over the rise of the accuracy, 1 - 1/C."""
    classes = 2 if source is None else source.n_outputs
    return math.log(classes) / (1 - 1 / classes)


def _common(
    c: MarketplaceConfig, source: Source | None = None, agents: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Arguments that all markets have; the data are those of some agents of the source."""
    names = ["max_cycles", "horizon", "cash", "credit", "device"]
    if source is None:
        return {"learner": None} | {name: getattr(c, name) for name in names}
    names += ["learner", "learner_options", "training"]
    all_of_them = agents == tuple(range(source.n_agents))
    data = source if all_of_them else PartOfSource(source, agents)
    return {"data": data} | {name: getattr(c, name) for name in names}


def _judged(furnish: Callable[[Floor], Floor] | None, rate: float | None, floor: Floor) -> Floor:
    """What is on the floor at the start of an episode: what every part begins with. Where two parts
    have a model of a developer, it begins with that of the later part, scored as it is valued.

    rate: money per unit of accuracy over money per unit of loss; None where the user gives both
    """
    floor = floor if furnish is None else furnish(floor)
    judge = None if floor.world is None else floor.world.parts.get("parameter_trading")
    if judge is None:
        return floor
    models, types = floor.models[DEVELOPER], dict(floor.types[DEVELOPER])
    scores = judge.score(models.params, floor.round)
    judged = replace(models, loss=scores.loss, before=scores.loss, accuracy=scores.accuracy)
    if "money_per_accuracy" in types and rate is not None:
        types["money_per_accuracy"] = rate * types["money_per_loss"]
    return floor.but(
        models={**floor.models, DEVELOPER: judged}, types={**floor.types, DEVELOPER: types}
    )


# --- data ---------------------------------------------------------------------------------------


def _purchase(c: MarketplaceConfig, of_owners: dict[str, Any], rate: float) -> list[Within]:
    """Every developer's purchase of data by a rule, and the work on what owners sell.

    of_owners: arguments of the data market, as all markets have them
    rate:      a developer's money per unit of accuracy over its money per unit of loss
    """
    low, high = (rate * end for end in c.money_per_loss)
    arguments = {
        "n_sellers": c.n_owners,
        "rule": c.rule,
        "outside_option": MODEL,
        "money_per_accuracy": (low, high),
        "cost_per_point": tuple(part * (low + high) / 2 for part in COST_PER_POINT),
    }
    market = made(c, "data_market", data_market, **arguments | of_owners)
    inside = Inside(
        name="data_market",
        people=market.people,
        names={SELLER: OWNER, BUYER: DEVELOPER, HELD: HELD, PLATFORM: PLATFORM},
        alone=BUYER,
        copies=c.n_developers,
        common=fields_of(market) - {"money"},
        without=VALUES,
        renamed={"bought": "points_bought", "fee": "platform_fee"},
        goods={OWNER: "data"},
        market=market,
    )
    phases = [Within(phase, inside) for phase in market.phases]
    return with_work(c, _common(c), phases) if c.sells_work else phases


# --- models ---------------------------------------------------------------------------------------


def _of_developers(c: MarketplaceConfig, source: Source | None) -> dict[str, Any]:
    """Arguments of the markets of models. A developer without own data never trains on what stands
    in for them, and its effort costs nothing.
    """
    first = c.roles[OWNER]
    agents = range(first, first + c.n_developers) if c.trains else [0] * c.n_developers
    effort_cost = c.effort_cost if c.trains else (0.0, 0.0)
    own = {"n_agents": c.n_developers, "effort_cost": effort_cost}
    return own | _common(c, source, tuple(agents))


def _own_training(c: MarketplaceConfig, phase: Phase) -> Phase:
    """Training on own data, of nothing where developers have none; other phases as they are.

    Where owners' data are trained on too it has a name of its own, since phases draw by their
    names: one key would choose the examples of a developer and of an owner.
    """
    if not isinstance(phase, Train):
        return phase
    if not c.trains:
        return Train(phase.role, None)
    name = "train_own" if c.sells_data else phase.name
    return Train(phase.role, phase.learner, phase.second, name)


def _trading(c: MarketplaceConfig, source: Source | None) -> list[Within]:
    """Training on own data, trade of parameters, and what the fall of a developer's loss is worth;
    the last alone where models are shared.
    """
    own = {"money_per_loss": c.money_per_loss, **_of_developers(c, source)}
    own |= {"mechanism": c.trade} if c.sells_parameters else {}
    config, (people, phases, data) = made(
        c, "parameter_trading", lambda config: (config, components(config)), **own
    )
    inside = Inside(
        name="parameter_trading",
        people=people,
        names={ROLE: DEVELOPER},
        silent=frozenset() if c.trains else frozenset((Trained,)),
        goods={DEVELOPER: "parameters"},
        market=Market(people, phases, config=config, source=data) if c.n_developers > 1 else None,
    )
    left_out: tuple[type[Phase], ...] = (Train,) if c.shares else ()
    left_out += () if c.sells_parameters else (Trade,)
    kept = [phase for phase in phases if not isinstance(phase, left_out)]
    return [Within(_own_training(c, phase), inside) for phase in kept]


def _sharing(c: MarketplaceConfig, source: Source | None) -> list[Within]:
    """Training on own data, and the market of models; losses are told where they are valued."""
    market = made(c, "model_sharing", model_sharing, **_of_developers(c, source))
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
    return [Within(_own_training(c, phase), inside) for phase in market.phases]
