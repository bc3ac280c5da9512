"""The divisions of the board: who is judged, under which payment rules, among whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market
from marketenv.mechanisms import MECHANISMS

from ..markets import STRATEGIES
from ..scenarios import SCENARIOS, Scenario


@dataclass(frozen=True, kw_only=True)
class Division:
    """One place in one market, for which all contenders play.

    rules:     payment rules by name, each as arguments that it changes
    scenarios: names of scenarios of one market, one set of arguments and one focal agent, which all
               contenders play under every rule
    words:     who is judged, in one sentence
    Raises ValueError for scenarios that differ in market, arguments or their first focal agent.
    """

    name: str
    rules: Mapping[str, Mapping[str, Any]]
    scenarios: tuple[str, ...]
    words: str

    def __post_init__(self) -> None:
        places = [(one.market, dict(one.arguments), one.focal[0]) for one in self._scenarios]
        if not places or any(place != places[0] for place in places) or not self.rules:
            raise ValueError(
                f"division {self.name!r} has the scenarios {self.scenarios} and the rules"
                f" {tuple(self.rules)}; wanted one rule at least, and scenarios of one market, one"
                " set of arguments and one focal agent."
            )

    @property
    def _scenarios(self) -> list[Scenario]:
        return [SCENARIOS[name] for name in self.scenarios]

    @property
    def market_name(self) -> str:
        """The market's name."""
        return self._scenarios[0].market

    @property
    def agent(self) -> str:
        """The agent for which a contender is trained."""
        return self._scenarios[0].focal[0]

    def market(self, rule: str) -> Market:
        """The market under a rule."""
        return make_market(self.market_name, **self.arguments(rule))

    def arguments(self, rule: str) -> dict[str, Any]:
        """Arguments of the market under a rule."""
        return {**self._scenarios[0].arguments, **self.rules[rule]}

    def played(self, rule: str) -> list[Scenario]:
        """The scenarios under a rule."""
        arguments = self.arguments(rule)
        return [dataclasses.replace(one, arguments=arguments) for one in self._scenarios]

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the scripted strategies that know the market."""
        return tuple(name for name, one in STRATEGIES.items() if self.market_name in one.markets)


def _mechanisms(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"mechanism": name} for name in names}


DATA_RULES = ("procurement", "posted", "leave_one_out", "shapley", "shadow_price")
WORK: dict[str, dict[str, Any]] = {  # how work is sold in the resource market
    "contest": {},
    "posted prices": {"pricing": "posted"},
}
# data are sold by contest: a round with pilots costs fifteen times as much, too much for a board
TRADES = ("nash_bargaining", "posted_price", "ipfl")

DIVISIONS: dict[str, Division] = {
    division.name: division
    for division in (
        Division(
            name="auction_bidder",
            rules={
                "first_price": {"game": "first_price"},
                "second_price": {"game": "second_price"},
                "second_price, reserve 0.5": {"game": "second_price", "reserve": 0.5},
            },
            scenarios=("auction_crowd",),
            words="A bidder for one good.",
        ),
        Division(
            name="double_auction_buyer",
            rules=_mechanisms("double_auction", "posted_price"),
            scenarios=("double_auction_buyer",),
            words="The buyer of a bilateral trade.",
        ),
        Division(
            name="double_auction_seller",
            rules=_mechanisms("double_auction", "posted_price"),
            scenarios=("double_auction_seller",),
            words="The seller of a bilateral trade.",
        ),
        Division(
            name="parameter_trader",
            # "double_auction" asks the same prices as "nash_bargaining" here
            rules=_mechanisms(*(name for name in MECHANISMS if name != "double_auction")),
            scenarios=("trading_dear_sellers", "trading_free_riders", "trading_pair"),
            words="An agent that trains, and buys and sells parameters.",
        ),
        Division(
            name="sharing_client",
            rules={
                "marginal": {"payment": "marginal"},
                "critical": {"payment": "critical"},
                "vcg": {"payment": "vcg", "graph": "exact"},
            },
            scenarios=("sharing_liars",),
            words="A client that reports its cost, size and need, and trades models.",
        ),
        Division(
            name="data_seller",
            rules={name: {"rule": name} for name in DATA_RULES},
            scenarios=("data_liars",),
            words="A seller of data that names a price and chooses what it delivers.",
        ),
        Division(
            name="resource_owner",
            rules=WORK,
            scenarios=("work_liars",),
            words="An owner of data that reports a quality and chooses what it contributes.",
        ),
        Division(
            name="resource_centre",
            rules=WORK | {"matched": {"fees": "matched"}},
            scenarios=("work_colluders",),
            words="A computing centre that offers work, or posts a price.",
        ),
        Division(
            name="marketplace_developer",
            # who buys data alone, or sells parameters again, is no player of "ipfl"
            rules={name: {"trade": name} for name in TRADES if name != "ipfl"},
            scenarios=("marketplace_resellers",),
            words="A developer that buys data, and buys and sells parameters.",
        ),
        Division(
            name="marketplace_owner",
            rules={name: {"trade": name} for name in TRADES},
            scenarios=("marketplace_liars",),
            words="An owner of data in the marketplace.",
        ),
    )
}
