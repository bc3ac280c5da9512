"""What the experiments play: all rounds of many markets, or one market kept round by round."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.batch import Batch
from marketenv.core.market import Market
from marketenv.learners import Training
from marketenv.markets.model_sharing import Left, Shared

from ...lineups import find_profile
from ...scripted.model_sharing import client
from ..core.played import steps
from ..core.study import number, play
from .data import dataset
from .settings import PAPER_TYPES, PARTITIONS, TASKS

# uploads that need no model of one's own: after the first round such a client trains no more
LAZY = ("relay", "copy")
EVERY = 60.0  # seconds between checkpoints inside a unit


def shared(market: Market, parts: Any, seeds: Tensor) -> list[Shared]:
    """What every round's sharing came to, where all play a profile to the end."""
    return [report.of(Shared) for _, report, _ in steps(market, parts, seeds)]


def utility(market: Market, parts: Any, seeds: Tensor) -> Float64[Tensor, "markets agents"]:
    """The paper's utilities, summed over rounds."""
    return torch.stack([one.utility for one in shared(market, parts, seeds)]).sum(0)


# --- one market of a study ------------------------------------------------------------------------


def trained_market(
    setting: str,
    partition: str,
    scheme: str,
    *,
    data: str,
    rounds: int,
    clients: int,
    steps: int,
    strength: float,
    eta: float,
    device: str,
    **more: Any,
) -> Market:
    """The market of a task, with the paper's types and training.

    more: further arguments of the market
    """
    training = Training(
        optimizer="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=1e-5,
        batch_size=64,
        steps=steps,
    )
    return make_market(
        "model_sharing_v0",
        n_agents=clients,
        max_cycles=rounds,
        data=dataset(data),
        partition=partition,
        data_options=PARTITIONS[partition],
        learner=TASKS[setting].learner,
        training=training,
        scheme=scheme,
        strength=strength,
        eta=eta,
        device=device,
        **PAPER_TYPES,
        **more,
    )


def trade(
    folder: Path,
    partition: str,
    scheme: str,
    seed: int,
    attack: str = "honest",
    cost: float = 1.0,
    **arguments: Any,
) -> list[dict[str, Any]]:
    """Play one market through all rounds and keep the ``facts`` of each.

    attack: what client 0 uploads;   cost: what a sale costs it, and what it reports   money
    """
    if cost != 1.0:
        arguments["types"] = {"costs": [cost] + [1.0] * (arguments["clients"] - 1)}
    market = trained_market(partition=partition, scheme=scheme, **arguments)
    policies = find_profile(market)
    if attack != "honest":
        policies["client_0"] = client(market, upload=attack, effort=0.0 if attack in LAZY else 1.0)
    return play(market, policies, seed, partial(facts, market), folder, EVERY)


def facts(market: Market, batch: Batch) -> dict[str, Any]:
    """What is kept of a round, one entry a client.

    Accuracies are in %; those on test data, of both kinds of model, come with the last round alone.
    """
    report, now = batch.report, batch.running()
    assert report is not None
    sharing = report.of(Shared)
    kept = {
        "utility": sharing.utility,
        "bought": sharing.bought,
        "sold": sharing.sold,
        "validation": 100 * report.of(Left).accuracy,
    }
    if not now.playing:
        for at in ("last", "best"):
            kept[at] = 100 * rounds.test_scores(market, now, at=at).accuracy
    return {name: [number(value) for value in values[0].tolist()] for name, values in kept.items()}
