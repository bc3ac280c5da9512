"""Exact payoffs of learned prices in the reference games, without sampling noise.

Inner integrals are closed forms, outer ones quadrature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.market import Market, agent_names, move_of, role_of
from marketenv.core.policy import Policy
from marketenv.envs.opponents import find_opponents
from marketenv.markets.reference import Auction
from marketenv.mechanisms import first_price_equilibrium_bid

from ..lineups import members

PANELS, NODES = 512, 4
GRID = 1001  # values and bids of the first-price auction

Range = tuple[float, float]
Rule = Callable[[Tensor], Tensor]  # types [types] to prices [types], float64 money


def nodes(low: float, high: float) -> tuple[Float64[Tensor, "nodes"], Float64[Tensor, "nodes"]]:
    """Points and weights (sum 1) of a Gauss-Legendre rule for the mean over U[low, high]."""
    x, w = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    edges = torch.linspace(low, high, PANELS + 1, dtype=torch.float64)[:-1, None]
    return (edges + (high - low) / PANELS * (1 + x) / 2).flatten(), (w / 2 / PANELS).repeat(PANELS)


def buyer_payoff(bid: Rule, values: Range, costs: Range) -> float:
    """Mean payoff of a buyer's bid rule against a truthful seller in the midpoint double auction.

    E = mean over v of ((v - b/2)(x - c0) - (x^2 - c0^2)/4) / (c1 - c0),   x = b clipped to [c0, c1]

    which is the integral of v - (b + c)/2 over the costs c ~ U[c0, c1] up to b; v ~ U[values]. On
    U[0, 1]: v b - 3/4 b^2.

    >>> round(12 * buyer_payoff(lambda v: v, (0.0, 1.0), (0.0, 1.0)), 6)  # truth earns 1/12
    1.0
    """
    (v, weight), (c0, c1) = nodes(*values), costs
    b = bid(v)
    x = b.clamp(c0, c1)
    return float((weight * ((v - b / 2) * (x - c0) - (x**2 - c0**2) / 4)).sum() / (c1 - c0))


def seller_payoff(ask: Rule, values: Range, costs: Range) -> float:
    """Mean payoff of a seller's ask rule against a truthful buyer in the midpoint double auction.

    E = mean over c of ((a/2 - c)(v1 - x) + (v1^2 - x^2)/4) / (v1 - v0),   x = a clipped to [v0, v1]

    which is the integral of (v + a)/2 - c over the values v ~ U[v0, v1] from a on; c ~ U[costs].

    >>> round(
    ...     9 * seller_payoff(lambda c: (1 + 2 * c) / 3, (0.0, 1.0), (0.0, 1.0)), 6
    ... )  # the best ask earns 1/9
    1.0
    """
    (c, weight), (v0, v1) = nodes(*costs), values
    a = ask(c)
    x = a.clamp(v0, v1)
    return float((weight * ((a / 2 - c) * (v1 - x) + (v1**2 - x**2) / 4)).sum() / (v1 - v0))


def best_bid(values: Range, costs: Range) -> Rule:
    """The best bid against a truthful seller: (2v + c0)/3, and never above c1."""
    return lambda v: ((2 * v + costs[0]) / 3).clamp(max=costs[1])


def best_ask(values: Range, costs: Range) -> Rule:
    """The best ask of a truthful buyer: (2c + v1)/3, and never below v0."""
    return lambda c: ((2 * c + values[1]) / 3).clamp(min=values[0])


# What the payoff of a role is, and what answers truth best, in the double auction.
SIDES = {"buyer": (buyer_payoff, best_bid), "seller": (seller_payoff, best_ask)}


def price_rule(policy: Policy, market: Market, agent: str) -> Rule:
    """The prices that a policy names in the first round, as a function of its type."""
    move = move_of(market, agent)

    def price(types: Tensor) -> Tensor:
        zeros = torch.zeros_like(types)[:, None]
        observation = move.observation.pack(type=types[:, None], last_price=zeros, round=zeros)
        keys = torch.arange(len(types))
        return move.read(observation, policy(observation, move, keys))["price"][:, 0]

    return price


@dataclass(frozen=True)
class Exact:
    """Exact mean payoffs of the policy, of truth and of the best answer to a truthful partner."""

    payoff: float
    truth: float
    best: float

    @property
    def above_truth(self) -> float:
        """What the policy earns more than truth, as a share of truth."""
        return self.payoff / self.truth - 1


def exact_payoff(market: Market, policy: Policy, agent: str) -> Exact:
    """Exact payoff of a policy against truth in the one-round double auction.

    Raises ValueError for another market.
    """
    if not has_exact_payoff(market):
        raise ValueError(
            "exact payoffs are known for reference_v0 with game='double_auction', its own rule and"
            " max_cycles=1."
        )
    payoff, best = SIDES[role_of(market, agent).name]
    values, costs = market.config.values, market.config.costs
    rules = (price_rule(policy, market, agent), lambda types: types, best(values, costs))
    return Exact(*(payoff(rule, values, costs) for rule in rules))


def has_exact_payoff(market: Market) -> bool:
    """True for the one-round midpoint double auction in which truth trades at all."""
    return (
        market.name == "reference_v0"
        and market.config.values[1] > market.config.costs[0]
        and market.config.game == "double_auction"
        and market.config.mechanism in (None, "double_auction")
        and market.horizon == 1
    )


@dataclass(frozen=True)
class FirstPriceGap:
    """A symmetric bid function beside the equilibrium of a first-price auction.

    distance:       mean absolute distance from v (n - 1) / n, money
    payoff:         mean payoff where all play it (1 / (n (n + 1)) in equilibrium on U[0, 1]), money
    exploitability: what a best response to it earns more, mean over values, money
    """

    distance: float
    payoff: float
    exploitability: float


def has_first_price_gap(market: Market) -> bool:
    """True for the one-round first-price auction of two or more on U[0, 1] without a reserve."""
    return (
        market.name == "reference_v0"
        and (market.config.values, market.config.reserve) == ((0.0, 1.0), 0.0)
        and market.config.game == "first_price"
        and market.config.mechanism in (None, "first_price")
        and market.horizon == 1
        and market.phase(Auction).n_buyers > 1
    )


def first_price_gap(bid: Rule, n: int) -> FirstPriceGap:
    """Distance and exploitability where n bidders with values ~ U[0, 1] share one rule; no reserve.

    exploitability = mean over v of max_b (v - b) W(b) - (v - beta(v)) W(beta(v))
    W(b) = (U^n - L^n) / (n (U - L)),   U = P(beta(V) <= b), L = P(beta(V) < b);
    L^(n-1) where U = L

    W is the chance to win: k of the n - 1 others tie with chance (n-1 over k) (U - L)^k L^(n-1-k),
    and then each of the k + 1 wins equally often; 0 is no bid and wins nothing. Values lie on a
    grid of midpoints, which stand for the others too; bids tried are those and a fine grid. Raises
    ValueError for fewer than two bidders.
    """
    v = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    beta = bid(v)
    ordered = beta.sort().values

    def winning(bids: Tensor) -> Tensor:
        below, upto = (
            torch.searchsorted(ordered, bids.contiguous(), right=side).double()
            for side in (False, True)
        )
        low, high = below / GRID, upto / GRID
        chance = torch.where(upto > below, (high**n - low**n) / (n * (high - low)), low ** (n - 1))
        return chance * (bids > 0)

    distance = (beta - first_price_equilibrium_bid(v, n)).abs().mean()
    payoff = (v - beta) * winning(beta)
    bids_tried = torch.cat([ordered + 1e-9, torch.linspace(0, 1, GRID, dtype=torch.float64)])
    best = ((v[:, None] - bids_tried) * winning(bids_tried)).amax(1).maximum(payoff)
    return FirstPriceGap(float(distance), float(payoff.mean()), float((best - payoff).mean()))


@dataclass(frozen=True)
class PartnerGap:
    """A price rule of the double auction beside a best response to its partner's rule.

    payoff:         mean payoff of the rule, money
    exploitability: what a best response to the partner earns more, mean over types, money
    """

    payoff: float
    exploitability: float


def buyer_gap(bid: Rule, ask: Rule, values: Range, costs: Range) -> PartnerGap:
    """A bid rule against a seller's ask rule in the midpoint double auction.

    exploitability = mean over v of max_b E(v, b) - E(v, bid(v))
    E(v, b) = mean over c of (v - (b + ask(c)) / 2) 1{b >= ask(c)}

    v ~ U[values], c ~ U[costs], both on a grid of midpoints: exact to about 1e-4 of their ranges.
    Bids tried are the asks, of which one is best where any trade is worth it, and no bid.

    >>> gap = buyer_gap(lambda v: v, lambda c: c, (0.0, 1.0), (0.0, 1.0))
    >>> round(36 * gap.exploitability, 2)  # truth earns 1/12, the best response to it 1/9
    1.0
    """
    v, c = (_midpoints(*types) for types in (values, costs))
    asks = ask(c).sort().values
    summed = torch.cat([asks.new_zeros(1), asks.cumsum(0)])

    def expected(bids: Tensor, trades: Tensor) -> Tensor:
        return ((v[:, None] - bids / 2) * trades - summed[trades] / 2) / GRID

    bids = bid(v)[:, None].contiguous()
    payoff = expected(bids, torch.searchsorted(asks, bids, right=True))[:, 0]
    best = expected(asks, torch.searchsorted(asks, asks, right=True)).amax(1).clamp(min=0.0)
    return PartnerGap(float(payoff.mean()), float((best.maximum(payoff) - payoff).mean()))


def seller_gap(ask: Rule, bid: Rule, values: Range, costs: Range) -> PartnerGap:
    """An ask rule against a buyer's bid rule: a buyer of prices and types below zero."""
    below = [(-types[1], -types[0]) for types in (costs, values)]
    return buyer_gap(lambda c: -ask(-c), lambda v: -bid(-v), *below)


def _midpoints(low: float, high: float) -> Float64[Tensor, "grid"]:
    return low + (high - low) * (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID


def partner_gaps(market: Market, policies: Mapping[str, Policy]) -> dict[str, dict[str, float]]:
    """By agent, the exact numbers of policies that play each other; empty where none are known.

    They are known in the double auction of one round.
    """
    if not has_exact_payoff(market):
        return {name: {} for name in policies}
    buyer, seller = agent_names(market)
    bid, ask = (price_rule(policies[name], market, name) for name in (buyer, seller))
    types = market.config.values, market.config.costs
    gaps = {buyer: buyer_gap(bid, ask, *types), seller: seller_gap(ask, bid, *types)}
    return {
        agent: {f"exact/{name}": value for name, value in vars(gap).items()}
        for agent, gap in gaps.items()
    }


def exact_numbers(
    market: Market, policy: Policy, agent: str, opponents: Any
) -> dict[str, float | int]:
    """Exact numbers of a policy in the reference games; empty where none are known.

    In the double auction they are known against a truthful partner only.
    """
    names = agent_names(market)
    if agent == "all":
        if not has_first_price_gap(market):
            return {}
        gap = first_price_gap(price_rule(policy, market, names[0]), len(names))
        return {f"exact/{name}": value for name, value in vars(gap).items()}
    agent = members(market, agent)[0]  # a role of the double auction has one agent
    others = (other for name, other in find_opponents(opponents, market).items() if name != agent)
    truth = market.policies["truthful"]
    if not has_exact_payoff(market) or any(other is not truth for other in others):
        return {}
    payoffs = exact_payoff(market, policy, agent)
    numbers = {**vars(payoffs), "above_truth": payoffs.above_truth}
    return {f"exact/{name}": value for name, value in numbers.items()}
