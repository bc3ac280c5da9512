"""Budget-feasible procurement: one budget for many sellers, each paid by what the others ask."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.mechanisms.sales import LARGEST, Sales, refuse

PerSeller = Float64[Tensor, "markets sellers"]
Budget = Float64[Tensor, "markets"]


def procurement(asks: PerSeller, values: PerSeller, budget: Budget) -> Sales:
    """Buy in the order of ask / value while an ask is at most its value's share of the budget.

    order: a_1 / v_1 <= a_2 / v_2 <= ...;   k: the largest with a_k <= B v_k / (v_1 + ... + v_k)
    price[i] = v_i min(B / (v_1 + ... + v_k), a_(k+1) / v_(k+1))   for the first k, who are bought

    asks:   money wanted for all that a seller offers; inf is not for sale   [markets, sellers]
    values: what that is worth, in any unit, added up; <= 0 is never bought   [markets, sellers]
    budget: the most that is spent, money >= 0                               [markets]
    Returns allocation and prices [markets, 1, sellers]: one buyer. Prices sum to <= budget.

    Truthful in the ask: the price is the largest ask at which the seller is still bought, so it is
    at least the ask (to rounding, 1e-12 of it). Not in what the values are made of: a higher value
    is bought sooner and paid more. Ties go to the lower number. A seller that asks more than the
    budget is left out before the others are ordered. No sellers whose asks together fit the budget
    are worth more than 2 v(bought) + the largest value.
    Raises ValueError for reports that ``check_offers`` refuses.
    Source: Singer, FOCS 2010; equal values give his min(B / k, a_(k+1)). We differ: values add up,
    so the whole budget can be shared, and no single seller of great value is bought alone instead.

    >>> asks, values = torch.tensor([[2.0, 3.0, 8.0]]), torch.tensor([[2.0, 2.0, 4.0]])
    >>> procurement(asks.double(), values.double(), torch.tensor([12.0]).double()).prices
    tensor([[[4., 4., 0.]]], dtype=torch.float64)
    """
    check_offers(asks, values, budget)
    for_sale, purse = (values > 0) & (asks <= budget[:, None]), budget[:, None]
    worth = torch.where(for_sale, values, 0.0)
    weights, money = worth / unit(worth.amax(-1, keepdim=True)), unit(purse)
    wanted = torch.where(for_sale, asks / money, torch.inf)
    rates = torch.where(wanted > 0, wanted / weights, 0.0)  # a tiny value may have the weight 0
    rates, order = rates.sort(dim=-1, stable=True)
    wanted, queued = wanted.gather(-1, order), weights.gather(-1, order)
    total = queued.cumsum(-1)
    first = (wanted * total <= purse / money * queued).cummin(-1).values
    rate = _rate(first, rates)
    share = weights / torch.where(first, queued, 0.0).sum(-1, keepdim=True)
    prices = (purse / money * share).fmin(rate * weights) * money  # fmin: inf * 0 is no bound
    bought = torch.zeros_like(first).scatter(-1, order, first)
    return settled(bought, prices.maximum(asks), budget)


def _rate(first: Tensor, rates: Tensor) -> Tensor:
    """Ask / value of the first in the queue that is not bought, inf where all are: [markets, 1].

    Why one rate bounds all prices: let d_q = a_q / v_q, in order, V_q = v_1 + ... + v_q, and let i
    be bought. Let U_q be the value of all others before q. An ask of x v_i just before place q is
    bought where x <= B / (U_q + v_i), so the threshold of i is, as Singer writes it,
        v_i max over q of min(d_q, B / (U_q + v_i)),   q also the end of the queue, where d_q = inf
    For q < i the first is at most d_i. For q > i, U_q + v_i = V_(q-1). Up to q = k the first is the
    lesser one, and at most d_k, because k is bought. At q = k + 1 the lesser is
        min(d_(k+1), B / V_k) >= d_k
    Beyond, it is at most B / V_(k+1), which is less than B / V_k, and less than d_(k+1), because
    k + 1 is not bought. So the maximum stands at q = k + 1, for every i that is bought.
    """
    after = torch.nn.functional.pad(rates, (0, 1), value=torch.inf)
    return after.gather(-1, first.sum(-1, keepdim=True))


def settled(bought: Bool[Tensor, "markets sellers"], prices: PerSeller, budget: Budget) -> Sales:
    """Pay the prices of what one buyer buys, and never more than its budget.

    price[i] * min(1, B / sum of the prices)   where something is bought, 0 elsewhere

    bought, prices: [markets, sellers];   budget: money [markets]
    Returns allocation and prices [markets, 1, sellers]; prices.sum(-1) <= budget holds to the bit.

    >>> settled(torch.tensor([[True, False]]), torch.ones(1, 2).double(), torch.ones(1).double())
    Sales(allocation=tensor([[[ True, False]]]), prices=tensor([[[1., 0.]]], dtype=torch.float64))
    """
    paid = torch.where(bought, prices, 0.0)
    total, purse = paid.sum(-1, keepdim=True), budget[:, None]
    below = 1 - (paid.shape[-1] + 2) * torch.finfo(paid.dtype).eps  # more than a sum may round up
    paid = torch.where(total > purse, paid * (purse / total) * below, paid)
    return Sales(bought[:, None], paid[:, None])


def unit(money: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Worth of the last binary digit of numbers >= 0, a power of 2; dividing by it rounds nothing.

    >>> unit(torch.tensor([1.0, 3.0]).double()).log2()
    tensor([-52., -51.], dtype=torch.float64)
    """
    return torch.nextafter(money, torch.full_like(money, torch.inf)) - money


def check_offers(asks: PerSeller, values: PerSeller, budget: Budget) -> None:
    """Refuse what no data rule can settle.

    asks:   money wanted for all that a seller offers, inf means not for sale   [markets, sellers]
    values: what that is worth to the buyer                                     [markets, sellers]
    budget: the most that is spent                                              [markets]

    Raises ValueError for shapes that disagree, another dtype than float64, a negative or NaN ask, a
    value that is not finite, and a budget that is negative, NaN or above 1e300.
    """
    shapes = [list(x.shape) for x in (asks, values, budget)]
    if asks.dim() != 2 or 0 in shapes[0][1:] or shapes[1:] != [shapes[0], shapes[0][:1]]:
        raise ValueError(
            f"asks {shapes[0]}, values {shapes[1]} and budget {shapes[2]} do not fit; wanted "
            "asks and values [markets, sellers] and budget [markets], with at least one seller."
        )
    check_money(asks=asks, values=values, budget=budget)
    refuse("ask", asks, ~(asks >= 0), "an amount >= 0; inf means not for sale")
    refuse("value", values, ~values.isfinite(), "a finite number; <= 0 is never bought")
    fair = (budget >= 0) & (budget <= LARGEST)
    refuse("budget", budget, ~fair, f"a finite amount >= 0, at most {LARGEST:g}")


def check_money(**amounts: Tensor) -> None:
    """Raise ValueError, with the name of the argument, unless all amounts are float64.

    >>> check_money(budget=torch.ones(1))
    Traceback (most recent call last):
    ValueError: budget is torch.float32; wanted torch.float64. Convert with .double().
    """
    for name, numbers in amounts.items():
        if numbers.dtype != torch.float64:
            wanted = "wanted torch.float64. Convert with .double()."
            raise ValueError(f"{name} is {numbers.dtype}; {wanted}")
