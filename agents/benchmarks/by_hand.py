"""The games of two markets in plain NumPy, to compare with: no checks, ledger, reports or infos."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

PerClient = Float[np.ndarray, "markets clients"]
Pairs = Float[np.ndarray, "markets buyers sellers"]
NEWTON_STEPS = 8  # from this start they end at the last digit


def sharing(
    sizes: PerClient, costs: PerClient, needs: PerClient, efforts: PerClient, distances: Pairs
) -> PerClient:
    """Utilities of a round of ``model_sharing_v0`` without a learner, all clients truthful.

    A buyer takes sellers by falling threshold until the first one that is not worth its hurdle, and
    pays what a model adds to all the others that it has, less the discount for the distance.

    sizes, costs, needs: types;   efforts: what a full effort costs, money
    """
    clients = sizes.shape[1]
    discounts = sizes[:, None] / sizes[:, :, None] * distances
    hurdles = costs[:, None] + discounts
    hurdles[:, range(clients), range(clients)] = np.inf
    added = np.broadcast_to(sizes[:, None], hurdles.shape)
    threshold = added + _beyond(hurdles, added, needs[:, :, None])
    order = (-threshold).argsort(-1, kind="stable")
    queue = np.take_along_axis(added, order, -1)
    before = sizes[:, :, None] + queue.cumsum(-1) - queue
    worth = _marginal(before, queue, needs[:, :, None])
    bought = np.logical_and.accumulate(worth > np.take_along_axis(hurdles, order, -1), -1)
    trades = np.zeros_like(bought)
    np.put_along_axis(trades, order, bought, -1)
    total = sizes + (trades * added).sum(-1)
    without = np.where(trades, total[:, :, None] - added, 1.0)
    prices = np.where(trades, _marginal(without, added, needs[:, :, None]) - discounts, 0.0)
    gains = _marginal(sizes, total - sizes, needs)
    return gains - costs * trades.sum(1) - efforts + prices.sum(1) - prices.sum(2)


def _marginal(before: np.ndarray, added: np.ndarray, need: np.ndarray) -> np.ndarray:
    """sqrt(K / x) - sqrt(K / (x + n)): what data add to what a client has, money."""
    low, high = np.sqrt(before), np.sqrt(before + added)
    return np.sqrt(need) / low * (added / high / (low + high))


def _beyond(worth: np.ndarray, added: np.ndarray, need: np.ndarray) -> np.ndarray:
    """The data total before a purchase at which the purchase is worth just so much money.

    n ((z - 1/z) / 2)^2 with the root z of z^4 - a z - 1 = 0, a = 4 sqrt(K / n) / worth
    """
    a = 4 * np.sqrt(need / added) / worth
    z = 1 + np.cbrt(a)
    for _ in range(NEWTON_STEPS):
        z -= (z**4 - a * z - 1) / (4 * z**3 - a)
    return added * ((z - 1 / z) / 2) ** 2


class Contest(NamedTuple):
    """A round of the resource market.

    utilities: of the leader, the owners and the centres   [markets, agents]
    centre:    that computes for each owner, -1 for none   [markets, owners]
    """

    utilities: Float[np.ndarray, "markets agents"]
    centre: Int[np.ndarray, "markets owners"]


def resources(
    quality: Float[np.ndarray, "markets owners"],
    cost: Float[np.ndarray, "markets centres"],
    eta: Float[np.ndarray, "markets"],
    share: Float[np.ndarray, "markets owners"],
    report: Float[np.ndarray, "markets owners"],
    spend: Float[np.ndarray, "markets centres"],
    *,
    worth: float,
) -> Contest:
    """A round of ``resource_market_v0`` without a learner, from what the agents do.

    quality: of the owners' data;   cost: of a unit of each centre's work, money
    eta:     the leader's payment, money;   share, report: of data contributed, and their quality
    spend:   what each centre spends on work, as a share of all fees
    worth:   alpha k of the leader's gain, money; a unit of data costs its owner 1
    """
    fees = share.sum(1, keepdims=True)
    spent = spend * fees
    work = spent / cost
    trade: Bool[np.ndarray, "markets 1"] = (fees > 0) & (work.sum(1, keepdims=True) > 0)
    counted, true = trade * share * report, trade * share * quality
    total = counted.sum(1, keepdims=True)
    paid = eta[:, None] * np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
    gain = worth * np.log1p(true.sum(1, keepdims=True))
    earned = np.divide(
        fees * work, work.sum(1, keepdims=True), out=np.zeros_like(work), where=trade
    )
    parts = (gain - paid.sum(1, keepdims=True), paid - trade * share, earned - trade * spent)
    return Contest(np.concatenate(parts, 1), _matched(share, work, trade))


def _shares(values: np.ndarray) -> np.ndarray:
    """Shares of the sum of each row, 0 where it is 0."""
    total = values.sum(1, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total > 0)


def _matched(share: np.ndarray, work: np.ndarray, trade: np.ndarray) -> np.ndarray:
    """The owner of most data gets the centre of most work, and so on; equal ones by number."""
    owners, centres = share.shape[1], work.shape[1]
    places = -(-owners // centres)
    by_share, by_work = ((-x).argsort(1, kind="stable") for x in (share, work))
    centre = np.empty_like(by_share)
    np.put_along_axis(centre, by_share, by_work[:, np.arange(owners) // places], 1)
    return np.where(trade, centre, -1)
