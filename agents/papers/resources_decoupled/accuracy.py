"""Accuracy with and without the adjustment of qualities, and by payment: ``rdfl_accuracy``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.market import Market

from ..core.data_folder import data_folder
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..data_valuation.settings import DATA_SETS, missing
from .market import LEADER, Changes, played, uniform_part
from .settings import OWNERS, SEED, size_of

WITH, WITHOUT = "with the adjustment", "without"
SEQUENTIAL = "models are kept if accuracy rises"
ADJUSTED: dict[str, dict[str, Any]] = {
    WITH: {"audit": "loss_drop", "audit_round": 1},
    "adjusted by heldout": {"audit": "heldout", "audit_round": 1},
    WITHOUT: {},
}
PAYMENTS: dict[str, Changes] = {
    "equilibrium": {},
    "FIXED": {"eta": 1.0},
    "RANDOM": {"eta": uniform_part},
}


def market_of(data: str, n_rounds: int, sequential: bool = False) -> dict[str, Any]:
    """Arguments of a market with the paper's noise on a data set."""
    place = DATA_SETS[data].place
    folder = data_folder()
    config = {"n_owners": OWNERS, "n_centres": OWNERS, "max_cycles": n_rounds, "noise": (0.0, 0.1)}
    if place.endswith(".npz") and folder is not None:
        config["data"] = str(folder / place)
    else:
        config["data"] = place
    return config | {"aggregation": "sequential_accept" if sequential else "weighted"}


def realised(market: Market, now: rounds.Situation) -> Tensor:
    """Accuracy of the leader's model on rows that nobody trades by."""
    accuracy: Tensor = rounds.test_scores(market, now).accuracy[:, 0].double()
    return accuracy


@lru_cache(maxsize=64)
def accuracies(
    data: str, adjusted: str, n_rounds: int, n_seeds: int, sequential: bool = False
) -> dict[str, Float64[Tensor, "rounds seeds"]]:
    """Test accuracy after each round, by the leader's payment."""
    config = market_of(data, n_rounds, sequential) | ADJUSTED[adjusted]
    notes = played(
        config, [(LEADER, changes) for changes in PAYMENTS.values()], n_seeds, realised
    ).notes
    accuracy = torch.stack(notes).unflatten(1, (len(PAYMENTS), n_seeds))
    return {name: accuracy[:, k] for k, name in enumerate(PAYMENTS)}


# --- evidence -------------------------------------------------------------------------------------

CONDITIONS = {  # data set, and whether models are kept only if they are better
    "digits": ("digits", False),
    f"digits, {SEQUENTIAL}": ("digits", True),
    "MNIST subset": ("mnist", False),
}
MARKETS = 20  # that are played, whatever the effort


def adjustment_helps(condition: str, effort: Effort) -> Evidence:
    """Final accuracy with the adjustment less that without it, percentage points, seed by seed."""
    data, sequential = CONDITIONS[condition]
    if reason := missing(data):
        return Evidence(untested=reason)
    if condition != next(iter(CONDITIONS)) and effort.name not in ("standard", "full"):
        return Evidence(
            untested="more than the weighted mean on digits wants the effort standard or full"
        )
    size = size_of(effort)
    n_seeds = min(size.seeds, MARKETS)
    with_it, without = (
        accuracies(data, name, size.rounds, n_seeds, sequential)["equilibrium"][-1]
        for name in (WITH, WITHOUT)
    )
    rows = [
        [name, float(100 * values.mean())] for name, values in ((WITH, with_it), (WITHOUT, without))
    ]
    return Evidence(
        samples={"accuracy with less without": (100 * (with_it - without)).tolist()},
        seeds=f"{SEED} + 0..{n_seeds - 1}",
        tables=[{"title": condition, "head": ["qualities", "test accuracy, %"], "rows": rows}],
    )
