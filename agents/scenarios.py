"""Scenarios of the shipped markets: focal agents among fixed mixes of scripted strategies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marketenv.core.lookup import unknown
from marketenv.core.market import Market, agent_names
from marketenv.envs import make_market

from .lineups import MixedStrategy, find_profile


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A market with focal agents; all others draw from fixed mixes of strategies every episode.

    market, arguments: what ``make_market`` takes
    focal:      the agents that play the strategy in question, all the same one
    background: role or agent to strategy name to chance, for all others; keep such mixes out of
                training
    scale:      divides differences to truth, money an agent and episode; None takes truth's mean
                absolute return there, which must not be 0
    words:      the scenario in one sentence
    """

    name: str
    market: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    focal: tuple[str, ...]
    background: Mapping[str, Mapping[str, float]]
    scale: float | None = None
    words: str

    def build(self) -> tuple[Market, dict[str, Any]]:
        """The market, and the background's mixture of every agent that is not focal.

        Raises ValueError for unknown names, and for an agent that is both focal and background, or
        neither.
        """
        market = make_market(self.market, **self.arguments)
        agents = agent_names(market)
        names = (*agents, *(role.name for role in market.roles))
        for name in (*self.focal, *self.background):
            if name not in names:
                raise unknown("agent or role", name, names)
        mixtures = {name: _mixture(market, chances) for name, chances in self.background.items()}
        others = {
            agent: mixtures.get(agent, mixtures.get(role.name))
            for role in market.roles
            for agent in role.agents
            if agent not in self.focal
        }
        odd = [name for name, part in others.items() if part is None]
        odd += [name for name in self.focal if name in self.background]
        if odd or not self.focal or not set(self.focal) <= set(agents):
            raise ValueError(
                f"scenario {self.name!r}: focal are {self.focal}, and {odd} are both or neither;"
                " wanted agents' names as focal, and a background for every other agent, by its"
                " name or its role's."
            )
        return market, others


def _mixture(market: Market, chances: Mapping[str, float]) -> MixedStrategy:
    first = agent_names(market)[0]
    return MixedStrategy(
        tuple(find_profile(market, name)[first] for name in chances), tuple(chances.values())
    )


DOUBLE, FIRST, SECOND = (
    {"game": game} for game in ("double_auction", "first_price", "second_price")
)
SMALL = {"n_agents": 4, "max_cycles": 3}
MARKETPLACE = {"n_developers": 3, "n_owners": 3, "max_cycles": 2, "own_data": True}
CENTRES = {"centre_colluder": 0.5, "best_replying_centre": 0.5}
# models without a hidden layer and few pilots make rounds of the data market cheap
DATA = {"max_cycles": 3, "points": 60, "pilots": (20, 40), "mixtures": 4}
DATA |= {"calibration": "first_round", "learner_options": {"hidden": ()}}
WORK = {"learner": None, "n_owners": 4, "n_centres": 3, "max_cycles": 3}

# A scale in money is what theory says an agent earns: 1/12 by truth on both sides of the double
# auction, 1 / (n (n + 1)) in an auction of n buyers at equilibrium. Truth earns nothing in a
# first-price auction, so it is no scale there.
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="double_auction_buyer",
            market="reference_v0",
            arguments=DOUBLE,
            focal=("buyer_0",),
            background={
                "seller": {
                    "linear_equilibrium": 0.4,
                    "best_midpoint_seller": 0.3,
                    "myerson_seller": 0.3,
                }
            },
            scale=1 / 12,
            words="A buyer meets sellers that ask above their cost in three ways.",
        ),
        Scenario(
            name="double_auction_seller",
            market="reference_v0",
            arguments=DOUBLE,
            focal=("seller_0",),
            background={"buyer": {"shade": 0.5, "linear_equilibrium": 0.5}},
            scale=1 / 12,
            words="A seller meets buyers that bid below their value.",
        ),
        Scenario(
            name="first_price_shaders",
            market="reference_v0",
            arguments=FIRST,
            focal=("buyer_0",),
            background={"buyer_1": {"shade": 0.5, "first_price_equilibrium": 0.5}},
            scale=1 / 6,
            words="A bidder meets one that shades too little or plays the equilibrium.",
        ),
        Scenario(
            name="first_price_majority",
            market="reference_v0",
            arguments=FIRST | {"n_buyers": 3},
            focal=("buyer_0", "buyer_1"),
            background={"buyer_2": {"shade": 0.7, "random": 0.3}},
            scale=1 / 12,
            words=(
                "Two bidders with one policy meet a third that shades or bids at random: when they"
                " outbid each other, they lose money themselves."
            ),
        ),
        Scenario(
            name="second_price_crowd",
            market="reference_v0",
            arguments=SECOND | {"n_buyers": 3},
            focal=("buyer_0",),
            background={"buyer_1": {"shade": 1.0}, "buyer_2": {"shade": 0.5, "random": 0.5}},
            scale=1 / 12,
            words="No bid earns more than truth here, whatever the others bid.",
        ),
        Scenario(
            name="auction_crowd",
            market="reference_v0",
            arguments=FIRST | {"n_buyers": 3},
            focal=("buyer_0",),
            background={"buyer_1": {"shade": 0.7, "random": 0.3}, "buyer_2": {"shade": 1.0}},
            scale=1 / 12,
            words="A bidder meets two others that mostly bid two thirds of their value.",
        ),
        Scenario(
            name="trading_dear_sellers",
            market="parameter_trading_v0",
            arguments=SMALL,
            focal=("trader_0",),
            background={"trader": {"myerson_seller": 0.5, "best_midpoint_seller": 0.5}},
            words="A trader meets sellers that ask more than their cost.",
        ),
        Scenario(
            name="trading_free_riders",
            market="parameter_trading_v0",
            arguments=SMALL,
            focal=("trader_0",),
            background={"trader": {"free_rider": 0.6, "shade": 0.2, "never_trade": 0.2}},
            words="A trader meets others that mostly do not train.",
        ),
        Scenario(
            name="trading_pair",
            market="parameter_trading_v0",
            arguments=SMALL,
            focal=("trader_0", "trader_1"),
            background={"trader": {"shade": 0.5, "lower_bound_seller": 0.5}},
            words=(
                "Two traders with one policy meet two that shade their bids or ask the least value."
            ),
        ),
        Scenario(
            name="sharing_liars",
            market="model_sharing_v0",
            arguments={"n_agents": 6, "max_cycles": 2, "learner": None},
            focal=("client_0",),
            background={
                "client": {"undercutter": 0.5, "size_liar": 0.25, "eagerness_shader": 0.25}
            },
            words=(
                "A client meets others that report lower costs, more samples or less need than they"
                " have."
            ),
        ),
        Scenario(
            name="data_liars",
            market="data_market_v0",
            arguments=DATA,
            focal=("seller_0",),
            background={
                "seller": {"price_shader": 0.4, "duplicator": 0.3, "label_flipper": 0.3},
                "buyer": {"holder_back": 0.5, "auditor": 0.5},
            },
            words="A seller meets others that ask too much or deliver bad rows.",
        ),
        Scenario(
            name="work_liars",
            market="resource_market_v0",
            arguments=WORK,
            focal=("owner_0",),
            background={
                "leader": {"random_leader": 1.0},
                "owner": {"over_reporter": 0.4, "best_replying_owner": 0.6},
                "centre": CENTRES,
            },
            words="An owner meets others that over-report or reply to the last round.",
        ),
        Scenario(
            name="work_colluders",
            market="resource_market_v0",
            arguments=WORK,
            focal=("centre_0",),
            background={
                "leader": {"random_leader": 1.0},
                "owner": {"owner_colluder": 0.5, "best_replying_owner": 0.5},
                "centre": CENTRES,
            },
            words="A centre meets others that collude or reply to the last round.",
        ),
        Scenario(
            name="marketplace_resellers",
            market="marketplace_v0",
            arguments=MARKETPLACE,
            focal=("developer_0",),
            background={
                "developer": {"reseller": 0.6, "shade": 0.2, "data_buyer": 0.2},
                "owner": {"over_reporter": 0.5, "junk_supplier": 0.5},
                "centre": CENTRES,
            },
            words=(
                "A developer that buys data meets others that mostly buy parameters alone, and"
                " owners that lie."
            ),
        ),
        Scenario(
            name="marketplace_liars",
            market="marketplace_v0",
            arguments=MARKETPLACE,
            focal=("owner_0",),
            background={
                "developer": {"shade": 0.5, "reseller": 0.5},
                "owner": {"over_reporter": 0.5, "owner_colluder": 0.5},
                "centre": CENTRES,
            },
            words="An owner meets others that over-report or collude, and buyers that pay less.",
        ),
    )
}
