"""Rows of the studies of networks that trade, and what their picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.reported import Reported
from ..core.rows import row
from ..core.study import Row
from .methods import METHODS, TABLE_1
from .network_figures import Dots
from .numbers import Pair
from .runs import TradingRuns
from .settings import AGENTS, BROKERS

SHORT = {"test": "broker: test data", "validation": "broker: own data"}  # in names of rows
POINTS = "points"
Losses = Mapping[tuple[str, str], np.ndarray]  # by method and broker: [seeds, rounds]


def accuracies(runs: TradingRuns, paper: Mapping[str, Pair]) -> list[Row]:
    """Test accuracy of both agents by every method, for both brokers."""
    return [
        row(
            f"{METHODS[method].label}, {agent}, {SHORT[broker]}, epoch {epoch}",
            "% right",
            runs.accuracy(method, broker, k, epoch).tolist(),
            pair[k],
        )
        for epoch in runs.setting.epochs()
        for broker in BROKERS
        for method, pair in paper.items()
        for k, agent in enumerate(AGENTS)
    ]


def gaps(runs: TradingRuns, against: str, paper: Mapping[str, Pair]) -> list[Row]:
    """What aligned trade adds to another method, paired by seed, for both brokers."""
    rows = []
    for broker in BROKERS:
        for k, agent in enumerate(AGENTS):
            gap = runs.accuracy("aligned", broker, k) - runs.accuracy(against, broker, k)
            what = f"aligned less {METHODS[against].label}, {agent}, {SHORT[broker]}"
            reported = _difference(paper["aligned"][k], paper[against][k])
            rows.append(row(what, POINTS, gap.tolist(), reported))
    return rows


def _difference(more: Reported, less: Reported) -> Reported:
    return Reported(round(more.value - less.value, 2), f"difference of {more.place}")


def leaks(runs: TradingRuns, methods: Sequence[str]) -> list[Row]:
    """How much better each method looks where the broker holds the test data, paired by seed."""
    rows = []
    for method in methods:
        for k, agent in enumerate(AGENTS):
            leak = runs.accuracy(method, "test", k) - runs.accuracy(method, "validation", k)
            what = f"test-data broker less own-data broker, {METHODS[method].label}, {agent}"
            rows.append(row(what, POINTS, leak.tolist()))
    return rows


def loss_rows(loss: Losses, broker: str) -> list[Row]:
    """Final test loss of every method, and the first epoch in which it is as low as that of the
    agents out of the market at the end.
    """
    target, rows = loss["out_of_market", broker][:, -1:], []
    for method in TABLE_1:
        curve, label = loss[method, broker], f"{METHODS[method].label}, {SHORT[broker]}"
        # a curve that never gets there counts one epoch more than there are
        first = np.append(curve <= target, np.ones_like(target, dtype=bool), 1).argmax(1) + 1
        never = len(curve[0]) + 1
        rows += [
            row(f"final test loss, {label}", "nats", curve[:, -1].tolist()),
            row(
                f"first epoch at the final loss out of the market (never: {never}), {label}",
                "epochs",
                first.astype(float).tolist(),
            ),
        ]
    return rows


def panels(runs: TradingRuns, paper: Mapping[str, Pair]) -> dict[str, Any]:
    """What the picture of accuracies shows, by broker and method."""

    def dots(method: str, broker: str, k: int, reported: Reported) -> Dots:
        earlier = {
            f"mean of epoch {epoch}": runs.accuracy(method, broker, k, epoch).mean()
            for epoch in runs.setting.epochs()[1:]
        }
        return Dots(runs.accuracy(method, broker, k), reported.value, earlier)

    return {
        held: {
            METHODS[method].label: [dots(method, broker, k, one) for k, one in enumerate(pair)]
            for method, pair in paper.items()
        }
        for broker, held in BROKERS.items()
    }
