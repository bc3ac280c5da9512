"""Episodes of an experiment, round by round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from marketenv.core import rounds
from marketenv.core.market import Market, Report

from ...lineups import find_profile, seat


def steps(
    market: Market, play: Any, seeds: Tensor
) -> Iterator[tuple[rounds.Situation, Report, rounds.Situation]]:
    """Every round of episodes in which all play a profile, as (before, report, after)."""
    policies, who = seat(market, find_profile(market, play), seeds)
    before, over = rounds.opened(market, seeds), False
    while not over:
        now, report = rounds.begun(market, before), None
        while report is None:
            now, report = rounds.play_stage(
                market, now, rounds.act_mixed(market, policies, who, now)
            )
        yield before, report, now
        before, over = now, bool(rounds.ended(now, report).all())
