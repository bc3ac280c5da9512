"""What ends an episode: the last round of a game, or a cut that no agent can see."""

from __future__ import annotations

from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core.market import Market

HORIZONS = ("end", "cut")  # the argument ``horizon`` of every market


def is_cut(market: Market) -> bool:
    """True where the horizon cuts a game that would go on: the market's ``cut``, False where it has no such attribute.

    False: the number of rounds is part of the game, so its last round ends it (``terminated``).
    True:  agents do not know when it comes, so what would have come later still counts (``truncated``).
    """
    return bool(getattr(market, "cut", False))


def share_played(market: Market, finished: Int[Tensor, "markets"]) -> Float64[Tensor, "markets"]:
    """The horizon as agents see it: finished rounds / horizon, and 0 throughout where it is a cut.

    finished: rounds that are over   [markets]
    """
    share = finished.double() / market.horizon
    return share.zero_() if is_cut(market) else share
