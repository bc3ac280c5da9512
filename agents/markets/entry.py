"""What this layer knows of a market beyond its phases: a round in numbers, and its money."""

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
Statement = tuple[
    str, str, str, float, float
]  # who, what, the action's field, the truth, what was said


@dataclass(frozen=True)
class Books:
    """How a market's money is computed a second time, from where a round begins and where it ends.

    goods:  (market, before, report, after) -> the part of each agent's reward that is not money
                                                                   [markets, agents]
    agreed: (market, before, report) -> what payers owe by the rule for what was reported and
            traded, agents first                                   [markets, payers, payees]
    """

    goods: Callable[[Market, Situation, Report, Situation], Float64[Tensor, "markets agents"]]
    agreed: Callable[[Market, Situation, Report], Float64[Tensor, "markets payers payees"]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """All that this layer knows of a market: a new one is entered here and nowhere else.

    strategies: its own scripted strategies by name
    plays:      builders of strategies that several markets know, by name
    facts:      (where the round's last move was made, report) -> a round in numbers; a ratio is the
                sum of all numerators over the sum of all denominators
    statements: (market, where the round's last move was made, report, agents) -> each truth beside
                the agent's statement about it
    books:      how its money is computed a second time
    learning:   by algorithm, the values of ``agents.rl.SETTINGS`` that it changes
    episodes:   arguments of the market for each episode of its playthrough
    """

    strategies: Mapping[str, Strategy]
    plays: Mapping[str, Callable[..., Policy]]
    facts: Callable[[Situation, Report], Facts]
    statements: Callable[[Market, Situation, Report, Sequence[str]], Iterator[Statement]]
    books: Books
    learning: Mapping[str, Mapping[str, Any]]
    episodes: tuple[Mapping[str, Any], ...]
