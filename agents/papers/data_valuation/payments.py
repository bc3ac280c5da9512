"""Random auctions under every payment rule: gains of other asks than the cost, and spending.

The paper has no payment rule; these are the library's (``DATA_RULES``), so that the claims are
ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.mechanisms import DATA_RULES, DataRule, apply_data_rule, hold_back

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.samples import greatest
from .settings import SEED

MOST_CASES = 10_000
AT_ONCE = 1000
SELLERS = 5
BESIDE = 1e-9  # how near to a breakpoint asks are tried, as a part of it
LARGEST_BUDGET = 10.0


@dataclass(frozen=True)
class Auctions:
    """Asks and values [auctions, sellers], budgets [auctions]; asks are the sellers' costs."""

    asks: Float64[Tensor, "auctions sellers"]
    values: Float64[Tensor, "auctions sellers"]
    budget: Float64[Tensor, "auctions"]


def auctions(cases: int, n_sellers: int = SELLERS) -> Auctions:
    """Random auctions: costs and values over three decades, budgets from 0 to 10 money.

    A tenth of the values are 0 or below.
    """
    key = draws.fold(torch.tensor(SEED), "auctions", n_sellers)
    asks, values, bad = (
        draws.uniform(draws.fold(key, name), cases, n_sellers) for name in ("asks", "values", "bad")
    )
    values = 10 ** (3 * values - 2)
    values = torch.where(bad < 0.05, 0.0, torch.where(bad < 0.1, -values, values))
    return Auctions(
        10 ** (3 * asks - 2),
        values,
        LARGEST_BUDGET * draws.uniform(draws.fold(key, "budget"), cases),
    )


def candidates(some: Auctions) -> Float64[Tensor, "auctions sellers asks"]:
    """Asks that matter to each seller: both sides of every breakpoint of its ask, and between them.

    a_j v_i / v_j, where the order changes;
    B v_i / (v_i + the values before it), where the budget binds; v_i, its share of the budget, and
    the budget: where a fixed offer is refused
    """
    v, budget = some.values.clamp(min=0), some.budget[:, None]
    rates = torch.where(v > 0, some.asks / v, torch.inf)
    apart = ~torch.eye(v.shape[-1], dtype=torch.bool)
    others = torch.where(apart, rates[:, None], torch.inf)  # [auctions, sellers, others]
    order = others.argsort(-1)
    before = torch.where(apart, v[:, None].expand_as(others), 0.0).gather(-1, order).cumsum(-1)
    shares = budget[..., None] * v[..., None] / (v[..., None] + before).clamp(min=1e-300)
    whole = budget * v / v.sum(-1, keepdim=True).clamp(min=1e-300)
    fixed = torch.stack([v, whole, budget.expand_as(v), budget * (v > 0)], -1)
    places = (
        torch.cat([others * v[..., None], shares, fixed], -1)
        .nan_to_num(0.0, posinf=0.0)
        .sort(-1)
        .values
    )
    middle = (places[..., 1:] + places[..., :-1]) / 2
    beyond = 2 * places[..., -1:] + 1
    return torch.cat(
        [torch.zeros_like(beyond), places * (1 - BESIDE), places * (1 + BESIDE), middle, beyond], -1
    )


def regrets(rule: str | DataRule, some: Auctions) -> Float64[Tensor, "auctions sellers"]:
    """What the best other ask earns each seller above asking its cost, money; 0 where none does."""
    asks_tried = candidates(some)
    n, sellers, k = asks_tried.shape
    asks = some.asks[:, None, None].expand(n, sellers, k, sellers)
    own = torch.eye(sellers, dtype=torch.bool)[:, None]
    asks = torch.where(own, asks_tried[..., None], asks).reshape(-1, sellers)
    values = some.values[:, None, None].expand(n, sellers, k, sellers).reshape(-1, sellers)
    budget = some.budget[:, None, None].expand(n, sellers, k).reshape(-1)
    outcome = apply_data_rule(rule, asks, values, budget)
    mine = own.expand(n, sellers, k, sellers).reshape(-1, sellers)
    price, bought = (
        x[:, 0][mine].reshape(n, sellers, k) for x in (outcome.prices, outcome.allocation)
    )
    gains = torch.where(bought, price - some.asks[..., None], 0.0)
    truth = apply_data_rule(rule, some.asks, some.values, some.budget)
    earned = torch.where(truth.allocation[:, 0], truth.prices[:, 0] - some.asks, 0.0)
    return (gains.amax(-1) - earned).clamp(min=0)


def truthful(condition: str, effort: Effort, rule: str | DataRule) -> Evidence:
    """The regret of each seller's cost as its ask, whatever the others ask."""
    some = auctions(min(effort.cases, MOST_CASES))
    blocks = torch.arange(len(some.budget)).split(AT_ONCE)
    parts = [regrets(rule, Auctions(some.asks[k], some.values[k], some.budget[k])) for k in blocks]
    regret = torch.cat(parts).amax(-1)
    worst = int(regret.argmax())
    return Evidence(
        samples={"regret": greatest(regret)},
        seeds=f"{len(regret)} random auctions of {SELLERS} sellers, key {SEED}",
        scale=LARGEST_BUDGET,
        exact=True,  # of the auctions all asks that can matter were tried
        counterexample=(
            f"asks {some.asks[worst].tolist()}, values {some.values[worst].tolist()}, budget"
            f" {float(some.budget[worst]):.4g}: another ask earns {float(regret[worst]):.4g} more"
        ),
    )


def within_budget(condition: str, effort: Effort, rule: str | DataRule) -> Evidence:
    """What is spent beyond the budget, and what a seller that sells is paid less than it asks.

    The rule itself is asked: ``apply_data_rule`` would refuse what is looked for here.
    """
    some = auctions(min(20 * effort.cases, 20 * MOST_CASES))
    outcome = (DATA_RULES[rule] if isinstance(rule, str) else rule).pay(
        some.asks, some.values, some.budget
    )
    over = outcome.prices.sum((1, 2)) - some.budget
    short = torch.where(outcome.allocation[:, 0], some.asks - outcome.prices[:, 0], 0.0).amax(-1)
    return Evidence(
        samples={
            "spent beyond the budget": greatest(over.clamp(min=0)),
            "paid below the ask": greatest(short.clamp(min=0)),
        },
        seeds=f"{len(over)} random auctions of {SELLERS} sellers, key {SEED}",
        scale=LARGEST_BUDGET,
    )


def nothing_vanishes(condition: str, effort: Effort) -> Evidence:
    """Money that vanishes from a price held back, and money that a greater gain costs a seller."""
    cases = min(20 * effort.cases, 20 * MOST_CASES)
    key = draws.fold(torch.tensor(SEED), "hold-back")
    price, share, promised, realised, more = draws.uniform(key, 5, cases)
    promised, realised = (2 * x - 0.5 for x in (promised, realised))
    split = hold_back(price[:, None, None], share[:, None], promised[:, None], realised[:, None])
    better = hold_back(
        price[:, None, None], share[:, None], promised[:, None], (realised + more)[:, None]
    )
    lost = (split.at_once + split.released + split.returned - price[:, None, None]).abs().flatten()
    return Evidence(
        samples={
            "money that vanishes": greatest(lost),
            "money that more gain costs": greatest(
                (split.released - better.released).clamp(min=0).flatten()
            ),
        },
        seeds=f"{cases} random prices, key {SEED}",
    )
