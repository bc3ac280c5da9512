"""Random contests and tripartite games, and what a deviation from given play would gain."""

import torch
from data_cases import money

from marketenv.core import draws
from marketenv.mechanisms import contest_response, contest_utilities, contributions, leader_utility

# the example of the design page, with its sigma
QUALITY = money([[1.0, 0.97, 0.95, 0.92, 0.90, 0.60]])
SIGMA = money([[0.1, 0.3, 0.5, 0.7, 0.9, 1.0]])


def random_contests(seed, markets, contestants):
    """Prizes, costs and caps: costs of one size in some markets, of many in others; some caps
    are 0 and some inf.
    """
    key = torch.tensor(seed)
    u = [draws.uniform(draws.fold(key, k), markets, contestants) for k in range(3)]
    v = [draws.uniform(draws.fold(key, k), markets, 1) for k in range(3, 6)]
    prize = 10 ** (4 * v[0][:, 0] - 2)
    costs = 10 ** (3 * v[1] * (u[0] - 0.5))
    caps = prize[:, None] / costs * 10 ** (4 * v[2] * (u[1] - 0.8))
    caps = torch.where(u[2] < 0.1, 0.0, torch.where(u[2] > 0.9, torch.inf, caps))
    return prize, costs, caps


def random_games(seed, markets, owners):
    """Qualities from .1 to 1, caps that bind for about half of the owners, and the leader's
    alpha.
    """
    key = torch.tensor(seed)
    u = [draws.uniform(draws.fold(key, k), markets, owners) for k in range(2)]
    return 0.1 + 0.9 * u[0], 0.3 * u[1], 1 + 20 * draws.uniform(draws.fold(key, 2), markets)


def gains_by_efforts(prize, costs, efforts, caps=None):
    """What the best other effort of each would gain, as a part of the prize: [markets,
    contestants].
    """
    response = contest_response(prize, costs, efforts, caps)
    now = contest_utilities(prize, costs, efforts)
    gains = []
    for i in range(costs.shape[1]):
        changed = efforts.clone()
        changed[:, i] = response[:, i]
        gains.append(contest_utilities(prize, costs, changed)[:, i] - now[:, i])
    return torch.stack(gains, -1) / prize[:, None]


def leader_curve(etas, quality, alpha, k, cost, caps=None):
    """The leader's utility at many payments, followers re-equilibrated: etas [markets, tries]
    -> [markets, tries].
    """
    tries = etas.shape[1]
    repeat = [None if x is None else x.repeat_interleave(tries, 0) for x in (quality, caps)]
    x = contributions(etas.flatten(), repeat[0], cost, repeat[1])
    alpha = alpha.repeat_interleave(tries, 0) if isinstance(alpha, torch.Tensor) else alpha
    return leader_utility(etas.flatten(), (repeat[0] * x).sum(-1), alpha, k).view(-1, tries)
