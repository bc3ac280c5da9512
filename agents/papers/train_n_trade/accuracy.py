"""Experiments of tables 1 and 2: test accuracy of two agents by one method less that by another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from marketenv.markets.parameter_trading import Scored

from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from .images import local
from .methods import METHODS, Ending, played
from .settings import AGENTS, digits, five_layers, join_of, mnist

OPTIONS = {"digits": digits, "five layers": five_layers, "mnist": mnist}
MISSING = "it wants the effort full and a folder with MNIST, named by the variable MARKETENV_DATA"
MNIST_SEEDS = 20  # at most
SHOWN = 20  # seeds in a picture


def compared(
    pairs: tuple[tuple[str, str], ...], each: bool, data: str, condition: str, effort: Effort
) -> Evidence:
    """Test accuracy by the second method of each pair less that by the first, same seeds, % of the
    test rows.

    each: one statistic for each agent; otherwise one for the mean of both, who hold models that are
        equally good where both buy
    """
    if data == "mnist" and not (effort.data and local("mnist")):
        return Evidence(untested=MISSING)
    options = OPTIONS[data](condition, effort)
    count = min(effort.seeds, MNIST_SEEDS) if data == "mnist" else effort.seeds
    seeds, n_rounds = seeds_of(JUDGE, count), options["max_cycles"]
    names = dict.fromkeys(name for pair in pairs for name in pair)
    ends = {name: played(options, name, seeds) for name in names}
    return Evidence(
        samples=_differences(pairs, each, ends),
        seeds=f"JUDGE + 0..{count - 1}",
        tables=({"title": f"{data}: means over {count} seeds", **_means(ends)},),
        series=({"kind": "lines", **_losses(data, ends)},),
        notes=(f"{n_rounds} rounds, in the market after the first {join_of(n_rounds)}",),
    )


def _differences(
    pairs: Iterable[tuple[str, str]], each: bool, ends: Mapping[str, Ending]
) -> dict[str, list[float]]:
    """Samples by name: what the second method of each pair adds, percentage points."""
    samples = {}
    for less, more in pairs:
        points = 100 * (ends[more].accuracy - ends[less].accuracy)
        by_agent = dict(zip(AGENTS, points.T, strict=True))
        for who, values in (by_agent if each else {"mean of A and B": points.mean(1)}).items():
            name = f"{METHODS[more].label} less {METHODS[less].label}, {who}"
            samples[name] = values.tolist()
    return samples


def _means(ends: Mapping[str, Ending]) -> dict[str, Any]:
    """A table of accuracies and losses by method and agent."""
    rows = [
        [METHODS[name].label, *(100 * end.accuracy.mean(0)).tolist(), *end.loss.mean(0).tolist()]
        for name, end in ends.items()
    ]
    return {"head": ["method", "A, % right", "B, % right", "A, loss", "B, loss"], "rows": rows}


def _losses(data: str, ends: Mapping[str, Ending]) -> dict[str, Any]:
    """The broker's loss round by round, a curve a seed."""
    curves = {
        METHODS[name].label: torch.stack([r.of(Scored).loss.mean(1) for r in end.reports], 1)
        for name, end in ends.items()
    }
    return {
        "title": f"{data}: broker's loss, mean of A and B",
        "x": "round",
        "y": "loss",
        "curves": {label: losses[:SHOWN].tolist() for label, losses in curves.items()},
    }
