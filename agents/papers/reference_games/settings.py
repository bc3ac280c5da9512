"""The games and their conditions."""

from __future__ import annotations

from marketenv import make_market
from marketenv.core.market import Market

from ..core.effort import Effort
from ..core.words import AS_STATED

MARKET = "reference"
BIDDERS = {AS_STATED: 2, "three bidders": 3, "five bidders": 5}  # by condition
GAMES = {AS_STATED: "double_auction", "first price": "first_price", "second price": "second_price"}


def game(name: str, condition: str, effort: Effort) -> Market:
    """A game by its name, with the number of bidders that the condition names."""
    bidders = {} if name == "double_auction" else {"n_buyers": BIDDERS.get(condition, 2)}
    return make_market("reference_v0", game=name, **bidders)


def any_game(condition: str, effort: Effort) -> Market:
    """The game that the condition names."""
    return make_market("reference_v0", game=GAMES[condition])
