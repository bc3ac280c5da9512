"""Equilibrium reports in closed form: what strategic traders are measured against."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from marketenv.core.checks import number, whole
from marketenv.mechanisms.priors import Number


def linear_equilibrium_bid(
    values: Float[Tensor, "..."],
    weight: float,
    v0: Number,
    v1: Number,
    c0: Number,
    c1: Number,
    *,
    check: bool = True,
) -> Float[Tensor, "..."]:
    """Bid of the linear equilibrium of the k-double auction.

    bid = min(v, (v + w A) / (1 + w)),
    A = ((1 - w) v1 + (1 + w) c0) / 2, the lowest equilibrium ask

    values: the buyer's values v ~ U[v0, v1]     [...]
    weight: w, the bid's share in the price w * bid + (1 - w) * ask
    c0, c1: the seller's cost c ~ U[c0, c1]

    An exact equilibrium against ``linear_equilibrium_ask`` where v0 <= A and c1 >= B; there is a
    continuum of others. Raises ValueError where this fails; ``check=False`` returns the line all
    the same. Source: Chatterjee and Samuelson, Operations Research 31 (1983), example 1, for
    general w.

    >>> import torch
    >>> linear_equilibrium_bid(torch.tensor([1.0]), 0.5, 0, 1, 0, 1)  # 2/3 + 1/12
    tensor([0.7500])
    """
    lowest, _ = _ends(weight, v0, v1, c0, c1, check)
    return ((values + weight * lowest) / (1 + weight)).minimum(values)


def linear_equilibrium_ask(
    costs: Float[Tensor, "..."],
    weight: float,
    v0: Number,
    v1: Number,
    c0: Number,
    c1: Number,
    *,
    check: bool = True,
) -> Float[Tensor, "..."]:
    """Ask of the linear equilibrium of the k-double auction.

    ask = max(c, (c + (1 - w) B) / (2 - w)),
    B = ((2 - w) v1 + w c0) / 2, the highest equilibrium bid

    costs: the seller's costs c ~ U[c0, c1]     [...]; the other arguments, errors and source as in
    ``linear_equilibrium_bid``.

    >>> import torch
    >>> linear_equilibrium_ask(torch.tensor([0.0]), 0.5, 0, 1, 0, 1)  # 1/4
    tensor([0.2500])
    """
    _, highest = _ends(weight, v0, v1, c0, c1, check)
    return ((costs + (1 - weight) * highest) / (2 - weight)).maximum(costs)


def first_price_equilibrium_bid(values: Float[Tensor, "..."], n: int) -> Float[Tensor, "..."]:
    """Bid of the symmetric equilibrium of a first-price auction: v (n - 1) / n.

    values: the bidder's values, n bidders with independent values ~ U[0, 1] and no reserve   [...]

    Raises ValueError for fewer than two bidders. Source: Vickrey, Journal of Finance 16 (1961).

    >>> import torch
    >>> first_price_equilibrium_bid(torch.tensor([0.8]), 2)
    tensor([0.4000])
    """
    n = whole(n, "n", 2, fix=" bidders; a lone bidder has no least winning bid")
    return values * (n - 1) / n


def _ends(
    weight: float, v0: Number, v1: Number, c0: Number, c1: Number, check: bool
) -> tuple[Number, Number]:
    """Lowest equilibrium ask A and highest equilibrium bid B; trades have prices between them."""
    weight = number(weight, "weight", 0.0, 1.0, fix=", the bid's share in the price")
    lowest = ((1 - weight) * v1 + (1 + weight) * c0) / 2
    highest = ((2 - weight) * v1 + weight * c0) / 2
    fits = (v0 <= lowest) & (c1 >= highest)  # both are bools, or tensors of bools
    if check and not bool(fits if isinstance(fits, bool) else fits.all()):
        raise ValueError(
            f"values U[{v0}, {v1}] and costs U[{c0}, {c1}] have no exact linear equilibrium at"
            f" weight {weight}: it wants v0 <= {lowest} and c1 >= {highest}. Widen the priors, or"
            " pass check=False for the line itself."
        )
    return lowest, highest


def grim_trigger_patience(
    agreement: Float[Tensor, "..."],
    defection: Float[Tensor, "..."],
    punishment: Float[Tensor, "..."],
) -> Float[Tensor, "..."]:
    """The least discount factor at which an agreement holds if a defection ends it for ever.

    delta = (defection - agreement) / (defection - punishment)

    agreement:  utility a round while all keep it      [...]
    defection:  the most that one round's breach earns, > punishment
    punishment: utility a round from then on
    Returns delta [...]; <= 0 where the agreement needs no patience, > 1 where none is enough.

    Source: Friedman, Review of Economic Studies 38 (1971).

    >>> import torch
    >>> grim_trigger_patience(torch.tensor(3.0), torch.tensor(4.0), torch.tensor(2.0))
    tensor(0.5000)
    """
    return (defection - agreement) / (defection - punishment)
