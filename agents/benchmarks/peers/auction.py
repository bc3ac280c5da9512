"""The k-double auction of many markets: our batch against NumPy, as one writes it by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from agents.benchmarks.peers.side_by_side import Comparison, ready
from marketenv.core import draws
from marketenv.mechanisms import double_auction


def reports(markets: int, agents: int) -> tuple[Tensor, Tensor]:
    """Bids [markets, buyers, sellers] and asks [markets, sellers] from 0 to 1; half can trade."""
    keys = torch.arange(markets)
    bids = draws.uniform(draws.fold(keys, "bid"), agents, agents)
    return bids, draws.uniform(draws.fold(keys, "ask"), agents)


def pair_by_pair(bids: np.ndarray, asks: np.ndarray) -> np.ndarray:
    """Prices by a loop over markets, buyers and sellers."""
    prices = np.zeros_like(bids)
    for m in range(len(bids)):
        for b in range(bids.shape[1]):
            for s in range(bids.shape[2]):
                bid, ask = bids[m, b, s], asks[m, s]
                if bid > 0 and bid >= ask:
                    prices[m, b, s] = 0.5 * bid + 0.5 * ask
    return prices


def at_once(bids: np.ndarray, asks: np.ndarray) -> np.ndarray:
    """Prices by one expression; of any number of markets, or of one without an axis for it."""
    wanted = asks[..., None, :]
    return np.where((bids > 0) & (bids >= wanted), 0.5 * bids + 0.5 * wanted, 0.0)


def market_by_market(bids: np.ndarray, asks: np.ndarray) -> np.ndarray:
    """Prices by one expression a market."""
    return np.stack([at_once(*reports) for reports in zip(bids, asks, strict=True)])


WAYS = {
    "NumPy pair by pair": pair_by_pair,
    "NumPy market by market": market_by_market,
    "NumPy, one expression without checks": at_once,
}


def compared(markets: int, agents: int, repeats: int) -> Comparison:
    """Our rule beside NumPy's three ways, some times over; the mean price shall be the same."""
    bids, asks = reports(markets, agents)
    arrays = bids.numpy(), asks.numpy()

    def repeated(call: Callable[[], Tensor | np.ndarray]) -> Tensor | np.ndarray:
        return [call() for _ in range(repeats)][-1]

    def ours() -> Tensor:
        return double_auction(bids, asks).prices

    theirs = {name: ready(partial(repeated, partial(way, *arrays))) for name, way in WAYS.items()}
    many = "1 market" if markets == 1 else f"{markets} markets"
    name = f"double auction, {many} x {agents} buyers x {agents} sellers"
    side = ready(partial(repeated, ours))
    return Comparison(name, side, theirs, lambda prices: float(prices.mean()), "mean price", 1e-12)


def comparisons(quick: bool) -> list[Callable[[], Comparison]]:
    """One market and many; tiny sizes where they shall be quick."""
    if quick:
        return [partial(compared, 4, 2, 1)]
    return [partial(compared, 1, 4, 200), partial(compared, 4096, 4, 2)]
