"""Ask rules: a seller's ask where it knows only a prior of the buyer's value; no payment rules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.mechanisms.priors import Number, Prior, alike

HALVINGS = 60  # 2^-60 of the interval is below the spacing of float64 numbers


def myerson(prior: Prior, cost: Number) -> Float64[Tensor, "..."]:
    """Ask that earns most when the buyer pays the ask: the seller's virtual valuation.

    ask = argmax_P (P - c)(1 - F(P)) = max(lo, root of P = c + (1 - F(P)) / f(P))

    prior: F and f of the buyer's value   parameters that broadcast with the cost
    cost:  what a copy costs the seller   [...]
    Returns asks >= max(lo, cost), float64 of the broadcast shape; the cost itself where no buyer
    can cover it.

    The root is the maximum where the log of the value has an increasing hazard rate, as every prior
    of the table has. Source: Myerson (1981); Huang et al., NeurIPS 2023, eq. 2, which leaves out
    the cost and the end of the support.

    >>> from marketenv.mechanisms.priors import Uniform
    >>> myerson(Uniform(0.0, 1.0), torch.tensor([0.0, 0.5]))  # (hi + c) / 2
    tensor([0.5000, 0.7500], dtype=torch.float64)
    """
    return best_ask(prior, cost, 0.0)


def best_midpoint(prior: Prior, cost: Number) -> Float64[Tensor, "..."]:
    """Ask that earns most when a truthful buyer pays the middle of bid and ask.

    ask = argmax_s E[((v + s) / 2 - c) 1{v >= s}] = max(lo, root of s = c + (1 - F(s)) / (2 f(s)))

    prior, cost, result as in ``myerson``. For a uniform prior it is max(lo, (hi + 2c) / 3), so that
    asking the lower bound, as the paper's experiment does, is optimal at cost 0 only if hi <= 3 lo.
    Source: derived; Huang et al., NeurIPS 2023, use eq. 2 although they settle in the middle.

    >>> from marketenv.mechanisms.priors import Uniform
    >>> best_midpoint(Uniform(0.0, 1.0), 0.0)
    tensor(0.3333, dtype=torch.float64)
    """
    return best_ask(prior, cost, 0.5)


def lower_bound(prior: Prior, cost: Number) -> Float64[Tensor, "..."]:
    """Ask the least value that the buyer can have, or the cost if that is more.

    prior, cost, result as in ``myerson``. Source: Huang et al., NeurIPS 2023, section 6.2, where
    the cost is 0.

    >>> from marketenv.mechanisms.priors import Uniform
    >>> lower_bound(Uniform(1.0, 4.0), 0.0)
    tensor(1., dtype=torch.float64)
    """
    low, _, _ = _range(prior, cost)
    return low


def best_ask(prior: Prior, cost: Number, weight: float) -> Float64[Tensor, "..."]:
    """The ask that earns most against a truthful buyer at price weight * bid + (1 - weight) * ask.

    ask = max(lo, root of s = c + (1 - w)(1 - F(s)) / f(s)), found by bisection between max(lo, c)
    and max(hi, c)

    The derivative of the seller's payoff is (1 - w)(1 - F(s)) - (s - c) f(s). prior, cost, result
    as in ``myerson``. Raises ValueError for a weight outside [0, 1] and a cost that is negative or
    NaN.
    """
    weight = number(weight, "weight", 0.0, 1.0, fix=", the bid's share in the price")
    low, high, c = _range(prior, cost)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        worth_more = (1 - weight) * (1 - prior.cdf(middle)) > (middle - c) * prior.pdf(middle)
        low, high = torch.where(worth_more, middle, low), torch.where(worth_more, high, middle)
    return low


def _range(prior: Prior, cost: Number) -> tuple[Tensor, Tensor, Tensor]:
    """Least and greatest ask worth a thought, and the cost: float64 of one broadcast shape."""
    lo, hi, c = alike(prior.lo, prior.hi, cost)
    if not bool((c >= 0).all()):
        raise ValueError(f"cost is {float(c[~(c >= 0)][0]):g}; wanted an amount >= 0.")
    return lo.maximum(c), hi.maximum(c), c


AskRule = Callable[[Prior, Number], Tensor]

ASK_RULES: dict[str, AskRule] = {
    "myerson": myerson,
    "best_midpoint": best_midpoint,
    "lower_bound": lower_bound,
}
