"""Compute fees: how an owner's payment for training is divided among the centres."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.mechanisms.contest import proportional_payments
from marketenv.mechanisms.procurement import check_money
from marketenv.mechanisms.sales import refuse

PerOwner = Float64[Tensor, "markets owners"]
PerCentre = Float64[Tensor, "markets centres"]
Matching = Int[Tensor, "markets owners"]
Fees = Float64[Tensor, "markets owners centres"]


def proportional_fees(charges: PerOwner, d: PerCentre, matching: Matching) -> Fees:
    """Divide what every owner pays among all centres, in proportion to the work that they offer.

    fee[n, m] = charge_n d_m / sum d,   and 0 where no centre offers work

    charges:  lambda rho x_n, money >= 0            [markets, owners]
    d:        work offered, >= 0                    [markets, centres]
    matching: the centre of each owner, not used    int64 [markets, owners]
    Returns money [markets, owners, centres]; no owner's sum is above its charge, to the bit.

    Raises ValueError for shapes that disagree and for numbers out of these ranges.
    Source: U_m of arXiv 2501.14588: a centre is paid from the sum of all contributions, whoever is
    matched to it.

    >>> one = torch.ones(1, 1).double()
    >>> proportional_fees(8 * one, torch.tensor([[1.0, 3.0]]).double(), torch.tensor([[0]]))
    tensor([[[2., 6.]]], dtype=torch.float64)
    """
    check_fees(charges, d, matching)
    owners, centres = charges.shape[1], d.shape[1]
    work = d[:, None].expand(-1, owners, -1).reshape(-1, centres)
    return proportional_payments(charges.reshape(-1), work).reshape(-1, owners, centres)


def matched_fees(charges: PerOwner, d: PerCentre, matching: Matching) -> Fees:
    """Pay all that an owner pays to the centre that it is matched to; without one it pays nothing.

    Arguments, result and errors as in ``proportional_fees``; d is not used.
    Source: ours. A centre then gains by whom it gets, and so by the preferences that it reports.

    >>> one = torch.ones(1, 1).double()
    >>> matched_fees(8 * one, torch.tensor([[1.0, 3.0]]).double(), torch.tensor([[1]]))
    tensor([[[0., 8.]]], dtype=torch.float64)
    """
    check_fees(charges, d, matching)
    centre = torch.arange(d.shape[1], device=d.device)
    return torch.where(matching[..., None] == centre, charges[..., None], 0.0)


def check_fees(charges: Tensor, d: Tensor, matching: Tensor) -> None:
    """Refuse what no fee rule can divide, by ValueError."""
    shapes = [list(x.shape) for x in (charges, d, matching)]
    if charges.dim() != 2 or d.dim() != 2 or shapes[0][0] != shapes[1][0] or shapes[2] != shapes[0]:
        raise ValueError(
            f"charges {shapes[0]}, d {shapes[1]} and matching {shapes[2]} do not fit; wanted"
            " charges and matching [markets, owners] and d [markets, centres]."
        )
    check_money(charges=charges, d=d)
    refuse("charge", charges, ~(charges.isfinite() & (charges >= 0)), "a finite amount >= 0")
    refuse("work", d, ~(d.isfinite() & (d >= 0)), "a finite number >= 0")
    refuse(
        "match",
        matching,
        ~((matching >= -1) & (matching < shapes[1][1])),
        "a centre's number, or -1 for none",
    )


COMPUTE_FEES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "proportional": proportional_fees,
    "matched": matched_fees,
}
