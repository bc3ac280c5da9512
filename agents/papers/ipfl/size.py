"""What many clients in one market cost."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from marketenv import make_market
from marketenv.markets.model_sharing import ShareModels
from marketenv.markets.training import Train
from marketenv.mechanisms import SharingTerms, share_models

from .settings import drawn_market
from .sharing import shared


def one_size(folder: Path, clients: int, seed: int) -> dict[str, float]:
    """One round of one market of truthful clients without training.

    Returns seconds of graph and payments, edges, and how many clients buy.
    """
    market = drawn_market(clients)
    (sharing,) = shared(market, "truthful", torch.tensor([seed]))
    gain, seconds = market.phase(ShareModels).rules.gain, []
    for _ in range(3):
        # terms remember their queue: new ones each time
        terms = SharingTerms(sharing.reported, sharing.discounts, gain)
        start = time.perf_counter()
        share_models(terms)
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": min(seconds),
        "edges": float(sharing.trades.sum()),
        "buyers": float((sharing.bought > 0).sum()),
    }


def default_size() -> int:
    """Numbers in a model of the default network on digits."""
    learner = make_market("model_sharing_v0").phase(Train).learner
    assert learner is not None
    return learner.layout.size
