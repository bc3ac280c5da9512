"""Episodes of two linear agents, and what every round comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from marketenv.alignment import merge
from marketenv.core import rounds
from marketenv.core.market import Market, Report
from marketenv.core.policy import Policy
from marketenv.core.rounds import Situation
from marketenv.markets.parameter_trading import ROLE, Trade, Traded
from marketenv.markets.parameter_trading.reports import Quotes

from ...lineups import find_profile

OTHER = [1, 0]  # of two agents, the other one
PLAYS = {"in": "truthful", "out": "never_trade"}  # everybody's strategy in the market and out of it

Curves = dict[str, np.ndarray]  # by name: [seeds, rounds, agents]
Watch = Callable[[Quotes, Situation, Report], dict[str, Tensor]]


def squares(x: Tensor) -> Tensor:
    """Squared length of the last axis, float64."""
    return x.double().square().sum(-1)


def steps(
    market: Market, policies: Mapping[str, Policy], start: Situation
) -> Iterator[tuple[Quotes, Situation, Report]]:
    """(quotes of the trade, where the round ended, report) of every round of some episodes.

    start: where a first round has begun, so that several line-ups can start from one draw of data
    """
    now, over = start, False
    while not over:
        quotes = now.quotes
        end, report = rounds.play_stage(market, now, rounds.act(market, policies, now))
        assert report is not None  # a market of one stage
        yield quotes, end, report
        over = bool(rounds.ended(end, report).all())
        now = end if over else rounds.begun(market, end)


def watched(
    market: Market, policies: Mapping[str, Policy], start: Situation, watch: Watch
) -> dict[str, Tensor]:
    """What ``watch(quotes, end, report)`` notes of every round, stacked: [rounds, ...] by name."""
    notes = [watch(*step) for step in steps(market, policies, start)]
    return {name: torch.stack([note[name] for note in notes]) for name in notes[0]}


def note(market: Market, quotes: Quotes, end: Situation, report: Report) -> dict[str, Tensor]:
    """What a round came to, one number a market and an agent.

    trained, error: squared parameter error before and after trade
    test:           test loss;   bought: 1 for a purchase
    gain, alpha:    Delta and weight of the purchase that the agent could make, in float64: a small
                    weight divides the rounding of Delta in theorem 4.1
    low, high:      what the other agent is told of it, money (Delta - 1)
    """
    optimum, trained = end.floor.world.optimum, quotes.trained.double()
    offers, mask = quotes.offers.double(), market.phase(Trade).mask.double()
    merged = merge(trained, offers, quotes.alpha.double(), mask)
    error = squares(trained - optimum)
    gain = error[..., None] / squares(merged - optimum[:, :, None])
    pairs = {"gain": gain, "alpha": quotes.alpha, "low": quotes.low, "high": quotes.high}
    return {
        "trained": error,
        "error": squares(end.floor.models[ROLE].params - optimum),
        "test": rounds.test_scores(market, end).loss.double(),
        "bought": report.of(Traded).bought.double(),
    } | {name: values[:, [0, 1], OTHER].double() for name, values in pairs.items()}


def curves(market: Market, seeds: Tensor, where: Sequence[str] = ("in",)) -> dict[str, Curves]:
    """What every round came to, by place: episodes in the market and out of it start alike."""
    start, watch = rounds.begin(market, seeds), partial(note, market)
    played = {p: watched(market, everybody(market, PLAYS[p]), start, watch) for p in where}
    return {
        place: {name: values.transpose(0, 1).numpy() for name, values in notes.items()}
        for place, notes in played.items()
    }


def everybody(market: Market, strategy: str) -> dict[str, Policy]:
    """Every agent plays one scripted strategy."""
    return find_profile(market, strategy)


def joined(results: Sequence[Mapping[str, np.ndarray]]) -> Curves:
    """Curves of several batches as those of one: [seeds, rounds, agents] by name."""
    return {name: np.concatenate([one[name] for one in results]) for name in results[0]}
