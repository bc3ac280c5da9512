"""Data payment rules: what sellers of data are paid, by what the buyer values them at.

A rule is a ``DataRule``: which values it wants, and ``(asks, values, budget) -> Sales`` for one
buyer. All rules of the table are truthful in the ask as long as no ask changes the values, the
quantities that the buyer wants, or the budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from marketenv.core import tree
from marketenv.core.checks import (
    callable_with,
    check_fields,
    choice,
    named_part,
    number,
    refused,
    text,
)
from marketenv.core.parts import made, taken
from marketenv.mechanisms.procurement import (
    Budget,
    PerSeller,
    check_offers,
    procurement,
    settled,
    unit,
)
from marketenv.mechanisms.sales import ROUNDING, Sales

DATA_VALUES: dict[str, str] = {
    "points": "points that the buyer wants, or the money that it offers for them",
    "additive": "what the seller's data are worth, in any unit, where values add up",
    "leave_one_out": "predicted gain of all sellers less that of all others, in any unit",
    "shapley": "the seller's Shapley value in the game of predicted gains, in any unit",
    "shadow_price": "money: what the next point of the seller adds, times its points",
}

DataPayment = Callable[[Tensor, Tensor, Tensor], Sales]


def _payment(value: Any, name: str) -> DataPayment:
    if not callable(value) or not callable_with(value, 3):
        raise refused(name, value, "a callable (asks, values, budget) -> Sales")
    return value


@dataclass(frozen=True)
class DataRule:
    """A payment rule of a data market.

    value:    what the market has to pass as values: a name of ``DATA_VALUES``
    pay:      (asks, values [markets, sellers], budget [markets]) -> Sales [markets, 1, sellers]
    truthful: what it is truthful in, and what not

    Raises ValueError for an unknown value, and for a payment that does not take three arguments.
    """

    value: str
    pay: DataPayment
    truthful: str

    def __post_init__(self) -> None:
        value = partial(choice, known=DATA_VALUES)
        check_fields(self, {"value": value, "pay": _payment, "truthful": text})


def posted(asks: PerSeller, values: PerSeller, budget: Budget, *, price: float = 1.0) -> Sales:
    """Offer every seller a price per point, and buy from who accepts until the budget is spent.

    offer[i] = price * points[i];   i accepts if ask[i] <= offer[i]
    Sellers are asked by number, until one accepts an offer that is more than what is left.

    asks:   money wanted for all points together    float64 [markets, sellers]
    values: points, <= 0 are never bought           float64 [markets, sellers]
    budget: the most that is spent, money           float64 [markets]
    price:  money per point; where markets differ in it, pass price * points as values

    Who would be offered more than the whole budget is not asked.
    Truthful in the ask: no ask changes an offer or the queue. Not in the points: who declares more
    is offered more.
    Raises ValueError for reports that ``check_offers`` refuses and for a price that is negative or
    not finite.
    Source: a posted price, as in ``posted_price``; the queue is ours.

    >>> asks, points = torch.tensor([[3.0, 9.0, 5.0]]), torch.tensor([[4.0, 6.0, 5.0]])
    >>> posted(asks.double(), points.double(), torch.tensor([10.0]).double()).prices
    tensor([[[4., 0., 5.]]], dtype=torch.float64)
    """
    check_offers(asks, values, budget)
    offers = number(price, "price", 0.0, fix=": money per point") * values
    accepted = (values > 0) & (asks <= offers) & (offers <= budget[:, None])
    spent = torch.where(accepted, offers, 0.0).cumsum(-1)
    return settled(accepted & (spent <= budget[:, None]), offers, budget)


def value_shares(asks: PerSeller, values: PerSeller, budget: Budget) -> Sales:
    """Share the budget in proportion to the values, and buy from those who ask at most their share.

    offer[i] = B max(v_i, 0) / sum_j max(v_j, 0);   i is bought if v_i > 0 and ask[i] <= offer[i]

    asks:   money wanted for all that a seller offers   float64 [markets, sellers]
    values: leave-one-out or Shapley, in any unit       float64 [markets, sellers]
    budget: the most that is spent, money               float64 [markets]

    The buyer keeps the share of a seller that asks for more; nobody else's share changes. If the
    others got it, a seller that is refused could gain by asking less than its cost.
    Truthful in the ask: no ask changes a share. Not in what the values are made of: see the
    sentences of ``DATA_RULES``.
    Raises ValueError for reports that ``check_offers`` refuses.
    Source: ours; values as in Ghorbani and Zou, ICML 2019.

    >>> asks, values = torch.tensor([[5.0, 0.0, 3.0]]), torch.tensor([[3.0, -1.0, 1.0]])
    >>> value_shares(asks.double(), values.double(), torch.tensor([8.0]).double()).prices
    tensor([[[6., 0., 0.]]], dtype=torch.float64)
    """
    check_offers(asks, values, budget)
    offers = _shares(values, budget)
    return settled((values > 0) & (asks <= offers), offers, budget)


def shadow_price(asks: PerSeller, values: PerSeller, budget: Budget) -> Sales:
    """Pay the marginal price of a seller's points times their number, scaled down to the budget.

    offer[i] = max(v_i, 0) min(1, B / sum_j max(v_j, 0))
    i is bought if v_i > 0 and ask[i] <= offer[i]

    asks:   money wanted for all that a seller offers                  float64 [markets, sellers]
    values: money, (d predicted gain / d p_i) times the quantity       float64 [markets, sellers]
    budget: the most that is spent, money                              float64 [markets]

    The sum is over all sellers, also those that ask for more: so no ask changes an offer.
    Truthful in the ask: no ask changes an offer. Not in the quantity: who declares more is offered
    more.
    Raises ValueError for reports that ``check_offers`` refuses.
    Source: ours; a price is the derivative of what is bought for, as in a competitive market.

    >>> asks, values = torch.tensor([[4.0, 3.0, 0.0]]), torch.tensor([[6.0, 3.0, -2.0]])
    >>> shadow_price(asks.double(), values.double(), torch.tensor([6.0]).double()).prices  # * 6 / 9
    tensor([[[4., 0., 0.]]], dtype=torch.float64)
    """
    check_offers(asks, values, budget)
    shares = _shares(values, budget)  # the scaled values, where those sum to more than the budget
    offers = values.minimum(shares)
    return settled((values > 0) & (asks <= offers), offers, budget)


def _shares(values: Tensor, budget: Tensor) -> Tensor:
    """The budget in proportion to the values above 0, and 0 for the others."""
    worth = values.clamp(min=0.0)
    weights = worth / unit(worth.amax(-1, keepdim=True))  # the sum of large values is a number too
    shares = budget[:, None] * (weights / weights.sum(-1, keepdim=True))
    # rounding is settled before anybody declines, so that no ask changes a share even by that
    return settled(values > 0, shares, budget).prices[:, 0]


def apply_data_rule(
    rule: str | DataRule,
    asks: PerSeller,
    values: PerSeller,
    budget: Budget,
) -> Sales:
    """Ask a data rule who is bought at which price, and refuse what cannot be settled.

    price >= ask where something is bought, price = 0 elsewhere, and the sum of the prices <= budget

    rule: a name of ``DATA_RULES`` or a ``DataRule``;   asks, values, budget: as in ``check_offers``
    Returns allocation and prices [markets, 1, sellers] in float64. Rounding, 1e-9 or two rounding
    units of the type that the rule computed in, is no fault: a price below its ask by such a part
    is the ask, and prices that sum to more than the budget by such a part are scaled to it.

    A rule of one's own works on copies, so that what it edits in place changes no ask.

    Raises ValueError for an unknown name, for reports that ``check_offers`` refuses, and, by the
    word ``rule``, for anything but ``Sales`` of these shapes and such prices.

    >>> def pay(asks, values, budget):
    ...     return Sales(asks[:, None] <= 3, asks[:, None])
    >>> rule = DataRule("points", pay, "Not truthful in the ask, which is paid.")
    >>> one = torch.ones(1, 1).double()
    >>> apply_data_rule(rule, one, one, one[0]).prices
    tensor([[[1.]]], dtype=torch.float64)
    """
    part = named_part(rule, "rule", DATA_RULES, "a DataRule(value, pay, truthful)", kind=DataRule)
    check_offers(asks, values, budget)
    own = part not in DATA_RULES.values()
    sales = made(tree.apart(part.pay, own)(asks, values, budget), Sales, "rule")
    like, axes = asks[:, None], "markets, 1, sellers"
    bought = taken(sales.allocation, "rule returned allocation", like, axes, torch.bool)
    prices = taken(sales.prices, "rule returned prices", like, axes)
    _check_prices(bought[:, 0], prices[:, 0], asks, budget, sales.prices.dtype)
    return settled(bought[:, 0], prices[:, 0].maximum(asks), budget)


def _check_prices(
    bought: Tensor,
    prices: Tensor,
    asks: Tensor,
    budget: Tensor,
    computed: torch.dtype,
) -> None:
    """Refuse prices that cannot be settled, but for rounding of the type they were computed in."""
    rounding = max(ROUNDING, 2 * torch.finfo(computed).eps if computed.is_floating_point else 0.0)
    enough = prices.isfinite() & (prices >= asks * (1 - rounding))
    wrong = torch.where(bought, ~enough, prices != 0)
    if bool(wrong.any()):
        m, i = wrong.nonzero()[0].tolist()
        least = f"wanted a finite amount, at least the ask of {float(asks[m, i]):g}"
        wanted = least if bought[m, i] else "where nothing is bought; wanted 0 there"
        price = f"a price of {float(prices[m, i]):g} at index {[m, 0, i]}"
        raise ValueError(f"rule returned {price}, {wanted}. No money moved.")
    total = prices.sum(-1)
    over = total > budget * (1 + rounding)
    if bool(over.any()):
        m = int(over.nonzero()[0])
        spent = f"prices that sum to {float(total[m]):g} in market {m}"
        wanted = f"wanted at most the budget of {float(budget[m]):g}"
        raise ValueError(f"rule returned {spent}; {wanted}. No money moved.")


_POSTED = (
    "Truthful in the ask: no ask changes an offer or the queue. "
    "Not in the points: a seller that declares more points is offered more money."
)
_PROCUREMENT = (
    "Truthful in the ask: the price is the largest ask at which the seller is still bought. "
    "Not in what the values are made of: a higher value is bought sooner and paid more."
)
_LEAVE_ONE_OUT = (
    "Truthful in the ask: no ask changes a share. Not in the data: a seller that offers a copy of "
    "another's data under a second name takes away that value, and so raises its own share."
)
_SHAPLEY = (
    "Truthful in the ask: no ask changes a share. Not in names: a seller that offers its data "
    "twice, under two names, gets a larger share where others hold the same data."
)
_SHADOW_PRICE = (
    "Truthful in the ask: no ask changes an offer. "
    "Not in the quantity: a seller that declares a larger quantity is offered more money."
)

DATA_RULES: dict[str, DataRule] = {
    "posted": DataRule("points", posted, _POSTED),
    "procurement": DataRule("additive", procurement, _PROCUREMENT),
    "leave_one_out": DataRule("leave_one_out", value_shares, _LEAVE_ONE_OUT),
    "shapley": DataRule("shapley", value_shares, _SHAPLEY),
    "shadow_price": DataRule("shadow_price", shadow_price, _SHADOW_PRICE),
}
