"""Random auctions of data, every ask that could change one, and what a seller gains by it."""

import math

import torch

from marketenv.core import draws


def money(values):
    return torch.tensor(values, dtype=torch.float64)


def smooth_auctions(seed, markets, sellers):
    """Asks and values uniform on (0, 1), budgets for some of the sellers: no ties."""
    key = torch.tensor(seed)
    asks, values = (draws.uniform(draws.fold(key, k), markets, sellers) for k in range(2))
    return asks, values, sellers / 2 * draws.uniform(draws.fold(key, 2), markets)


def coarse_auctions(seed, markets, sellers):
    """Small whole numbers: ties, asks and budgets of 0, values <= 0, asks of inf."""
    key = torch.tensor(seed)
    asks = draws.integers(draws.fold(key, 0), 6, markets, sellers).double()
    values = draws.integers(draws.fold(key, 1), 6, markets, sellers).double() - 1
    budget = draws.integers(draws.fold(key, 2), 13, markets).double()
    return torch.where(asks == 5, math.inf, asks), values, budget


def extreme_auctions(seed, markets, sellers):
    """Asks, values and budgets from 1e-140 to 1e140, each market's around a magnitude of its
    own.
    """
    key = torch.tensor(seed)
    u = [draws.uniform(draws.fold(key, k), markets, sellers) for k in range(2)]
    v = [draws.uniform(draws.fold(key, k), markets, 1) for k in range(2, 6)]
    spread = 150 * v[3] ** 3
    asks, values = (10 ** (200 * v[k] - 100 + spread * (u[k] - 0.5)) for k in range(2))
    budget = asks.median(-1).values * 10 ** (spread[:, 0] * (v[2][:, 0] - 0.5) + v[2][:, 0])
    return asks, values, budget


def mixed_auctions(seed, markets, sellers):
    """A third of each kind."""
    kinds = (smooth_auctions, coarse_auctions, extreme_auctions)
    parts = [kind(seed + k, (markets + k) // 3, sellers) for k, kind in enumerate(kinds)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def asks_to_try(asks, values, budget, seller):
    """All asks of one seller between which nothing changes, their neighbours, and what lies
    between: [markets, tries].

    Under the rules of the table a sale can turn on these alone: another's ask / value; the value's
    share of the budget among any number of the others in the order of ask / value, or among all;
    the value itself; the budget.
    """
    others = [j for j in range(asks.shape[1]) if j != seller]
    value = values[:, seller, None]
    worth = torch.where(asks <= budget[:, None], values.clamp(min=0), 0.0)[:, others]
    rates = (asks / values)[:, others].nan_to_num(0.0, posinf=math.inf, neginf=math.inf)
    order = rates.argsort(dim=-1, stable=True)
    before = torch.nn.functional.pad(worth.gather(-1, order).cumsum(-1), (1, 0))
    everybody = values.clamp(min=0).sum(-1, keepdim=True)
    turns = [
        rates * value,
        budget[:, None] * (value / (before + value)),
        budget[:, None] * (value / everybody),
        value,
        budget[:, None],
        torch.zeros_like(value),
    ]
    turns = torch.cat(turns, -1).nan_to_num(0.0, posinf=0.0).clamp(min=0).sort(-1).values
    between = (turns[:, 1:] + turns[:, :-1]) / 2
    beyond = torch.full_like(value, math.inf)
    return torch.cat([turns, between, turns * (1 - 1e-11), turns * (1 + 1e-11), beyond], -1)


def with_asks(pay, asks, values, budget, seller, tries):
    """Whether the seller sells, and its price, at each of its asks: both [markets, tries]."""
    markets, count = tries.shape
    repeated = [x.repeat_interleave(count, 0) for x in (asks, values, budget)]
    repeated[0][:, seller] = tries.flatten()
    outcome = pay(*repeated)
    return tuple(x[:, 0, seller].view(markets, count) for x in (outcome.allocation, outcome.prices))


def gains_by_asks(pay, asks, values, budget):
    """The most that each seller gains by another ask than its cost, as a part of its price or cost:
    [markets, sellers].

    The given asks are the costs; inf, not for sale, is a cost that no price covers.
    """
    gains = []
    truth = pay(asks, values, budget)
    for seller in range(asks.shape[1]):
        cost = asks[:, seller, None]
        sold, price = with_asks(
            pay, asks, values, budget, seller, asks_to_try(asks, values, budget, seller)
        )
        honest = torch.where(truth.allocation, truth.prices - asks[:, None], 0.0)[
            :, 0, seller, None
        ]
        gain = torch.where(sold, price - cost, 0.0) - honest
        size = torch.maximum(price, truth.prices[:, 0, seller, None]).maximum(cost)
        gains.append(torch.where(gain == 0, 0.0, gain / size).nan_to_num(neginf=-1.0).amax(-1))
    return torch.stack(gains, -1)
