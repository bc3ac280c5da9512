"""What this layer knows of a market beyond its phases: how a round is told in numbers, and how
its money adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.policy import Policy
from marketenv.core.rounds import Situation

from ..scripted import Strategy

Facts = dict[str, tuple[Tensor, Tensor]]  # name to (sum, weight) of a round, each [markets, agents]
Said = tuple[str, str, str, float, float]  # who, what, the action's field, the truth, what was said


@dataclass(frozen=True)
class Books:
    """How the money of a kind of market is put together anew; before and after are where a round
    begins and where it ended.

    goods:  (market, before, report, after) -> what of each agent's reward is no
            money   [markets, agents]
    agreed: (market, before, report) -> what payers owe by the rule for what was reported and
        traded, agents first
                                                                                          [markets,
                                                                                              payers,
                                                                                              payees]
    """

    goods: Callable[[Market, Situation, Report, Situation], Float64[Tensor, "markets agents"]]
    agreed: Callable[[Market, Situation, Report], Float64[Tensor, "markets payers payees"]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """All that this layer knows of a market: a new one is entered here and nowhere else.

    strategies: its own scripted ones by name;
        plays: builders of strategies that several markets know
    facts:    (where the round's last move was made, report) -> what is told of a round; a ratio is
              the sum of all numerators over the sum of all denominators
    said:     (market, where the round's last move was made, report, agents) -> what was true beside
              what was said
    books:    how its money is put together anew
    learning: by algorithm, what of ``agents.rl.SETTINGS`` it changes
    episodes: arguments of the market for each episode that its playthrough tells
    """

    strategies: Mapping[str, Strategy]
    plays: Mapping[str, Callable[..., Policy]]
    facts: Callable[[Situation, Report], Facts]
    said: Callable[[Market, Situation, Report, Sequence[str]], Iterator[Said]]
    books: Books
    learning: Mapping[str, Mapping[str, Any]]
    episodes: tuple[Mapping[str, Any], ...]
