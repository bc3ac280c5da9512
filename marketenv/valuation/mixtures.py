"""Mixtures: each seller's share of the training points; grids, and the nearest one within caps."""

from __future__ import annotations

from itertools import combinations
from math import comb

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.checks import whole

Mixtures = Float[Tensor, "*#batch mixtures sellers"]
Distances = Float[Tensor, "*#batch mixtures"]

AT_MOST = 10**6  # mixtures of a grid
# by which the shares of a mixture may miss a sum of 1, or a share 0: a thousand float32 shares do
ROUNDING = 1e-5


def enumerate_mixtures(
    n_sellers: int, steps: int, among: Int[Tensor, "*batch chosen"] | None = None
) -> Float64[Tensor, "*batch mixtures sellers"]:
    """List every mixture whose shares are multiples of 1 / steps.

    p_i = k_i / steps,   k_i >= 0,   sum_i k_i = steps;
    there are C(steps + sellers - 1, sellers - 1) of them

    n_sellers: 1 or more;   steps: parts of the whole, 1 or more
    among: sellers between whom the grid varies, all
        others have share 0   int64 [.., chosen] or None for all of them
    Returns float64 [.., mixtures, sellers] on the device of ``among``, in the order of k, the first
    seller's slowest.

    Raises ValueError for a grid of more than a million mixtures, and for indices that name no
    seller or one twice.

    >>> enumerate_mixtures(2, 2)
    tensor([[0.0000, 1.0000],
            [0.5000, 0.5000],
            [1.0000, 0.0000]], dtype=torch.float64)
    >>> (
    ...     enumerate_mixtures(3, 10).shape,
    ...     enumerate_mixtures(1000, 10, torch.tensor([7, 400, 2])).shape,
    ... )
    (torch.Size([66, 3]), torch.Size([66, 1000]))
    """
    n_sellers, steps = whole(n_sellers, "n_sellers", 1), whole(steps, "steps", 1)
    if among is None:
        return _grid(n_sellers, steps)
    _check_among(among, n_sellers)
    grid = _grid(among.shape[-1], steps).to(among.device)
    places = among[..., None, :].expand(*among.shape[:-1], *grid.shape)
    empty = grid.new_zeros(*places.shape[:-1], n_sellers)
    return empty.scatter(-1, places, grid.expand(places.shape))


def project_to_simplex(
    x: Float[Tensor, "*#batch sellers"], caps: Float[Tensor, "*#batch sellers"] | None = None
) -> Float64[Tensor, "..."]:
    """Find the mixture within the caps that is nearest to a point.

    p = argmin |p - x|^2   over   0 <= p_i <= cap_i,  sum_i p_i = 1;
    p_i = min(max(x_i - tau, 0), cap_i)

    x: any finite numbers       [.., sellers]
    caps: largest shares, >= 0  [.., sellers], such as declared points over wanted points; None: no
        caps
    Returns float64 [.., sellers]: exact up to rounding, by the sorted places where a share leaves 0
    or meets its cap.

    Raises ValueError for numbers that are not finite, caps that are negative or NaN, and caps whose
    sum is below 1. Source: without caps, Held, Wolfe and Crowder, Mathematical Programming 6
    (1974); with them, the same search for tau.

    >>> x = torch.tensor([1.0, 0.5, 0.0])
    >>> (
    ...     project_to_simplex(x),
    ...     project_to_simplex(x, torch.tensor([0.6, 1.0, 1.0])),
    ... )  # tau = .25 and .1
    (tensor([0.7500, 0.2500, 0.0000], dtype=torch.float64), tensor([0.6000, 0.4000, 0.0000],
    dtype=torch.float64))
    """
    x = finite(x, "x")
    return nearest(x, torch.ones_like(x) if caps is None else checked_caps(caps, x.shape[-1]))


def nearest(x: Tensor, caps: Tensor) -> Tensor:
    """Project as ``project_to_simplex`` does, of checked arguments: waits for no device."""
    x, caps = torch.broadcast_tensors(x - x.amax(-1, keepdim=True), caps)
    # as tau falls: a share leaves 0, meets its cap
    ends, order = torch.cat([x, x - caps], -1).sort(-1, descending=True)
    # shares between 0 and cap below this end
    moving = torch.where(order < x.shape[-1], 1.0, -1.0).to(x.dtype).cumsum(-1)
    total = torch.zeros_like(ends)
    # sum of the shares at it
    total[..., 1:] = (moving * -ends.diff(dim=-1, append=ends[..., -1:])).cumsum(-1)[..., :-1]
    # the last end with a sum below 1
    last = ((total < 1).sum(-1, keepdim=True) - 1).clamp(max=ends.shape[-1] - 2)
    missing = 1 - total.gather(-1, last)
    tau = ends.gather(-1, last) - missing / moving.gather(-1, last).clamp(min=1)
    return (x - tau).clamp(min=0).minimum(caps)


def checked_mixtures(p: Tensor, name: str = "p") -> Float64[Tensor, "..."]:
    """Mixtures [.., sellers] as float64; ValueError unless >= 0 and of sum 1, up to 1e-5."""
    p = finite(p, name)
    wrong = ((p.sum(-1) - 1).abs() > ROUNDING) | (p < -ROUNDING).any(-1)
    if bool(wrong.any()):
        first = p[tuple(wrong.nonzero()[0].tolist())]
        told = ", ".join(f"{share:.4g}" for share in first[:6].tolist()) + (
            ", ..." if len(first) > 6 else ""
        )
        raise ValueError(
            f"{name} holds ({told}) with the sum {float(first.sum()):.6g}; wanted shares >= 0 that"
            " sum to 1. Divide points by their sum, or use project_to_simplex."
        )
    return p


def checked_caps(caps: Tensor, n_sellers: int) -> Float64[Tensor, "..."]:
    """Caps [.., sellers] as float64, at most 1; ValueError if negative, NaN, or too low."""
    if caps.ndim == 0 or caps.shape[-1] != n_sellers:
        raise ValueError(
            f"caps {list(caps.shape)} do not fit {n_sellers} sellers; wanted a largest share for"
            " each."
        )
    caps = caps.detach().double()
    if not bool((caps >= 0).all()):
        raise ValueError(f"caps hold {float(caps[~(caps >= 0)][0]):g}; wanted largest shares >= 0.")
    least = float(caps.sum(-1).amin())
    if least < 1 - ROUNDING:
        raise ValueError(
            f"caps sum to {least:.6g}, so no mixture is within them; wanted a sum of at least 1. "
            "Ask for fewer points: a cap is a seller's points over the wanted ones."
        )
    return caps.clamp(max=1.0)


def finite(values: Tensor, name: str, fix: str = "") -> Float64[Tensor, "..."]:
    """Real numbers as float64 without a gradient; ValueError, with the fix, for infinite ones."""
    values = values.detach().double()
    if not bool(values.isfinite().all()):
        raise ValueError(
            f"{name} holds {float(values[~values.isfinite()][0]):g}; wanted finite numbers.{fix}"
        )
    return values


def _grid(n_sellers: int, steps: int) -> Tensor:
    """All mixtures of the grid on the CPU: bars among stars, whose gaps are the k_i."""
    count = comb(steps + n_sellers - 1, n_sellers - 1)
    if count > AT_MOST:
        raise ValueError(
            f"{n_sellers} sellers in {steps} steps have {count:.3g} mixtures; wanted at most"
            f" {AT_MOST:.0e}. Take fewer steps, vary few of the sellers (among=...), or use"
            " select_gradient."
        )
    bars = torch.tensor(
        list(combinations(range(steps + n_sellers - 1), n_sellers - 1)),
        dtype=torch.float64,
        device="cpu",
    )
    ends = [
        torch.full((count, 1), end, dtype=torch.float64, device="cpu")
        for end in (-1.0, steps + n_sellers - 1.0)
    ]
    return (
        torch.cat([ends[0], bars.reshape(count, n_sellers - 1), ends[1]], -1).diff(dim=-1) - 1
    ) / steps


def _check_among(among: Tensor, n_sellers: int) -> None:
    if not bool(((among >= 0) & (among < n_sellers)).all()):
        raise ValueError(
            f"among holds {among.amin()} to {among.amax()}; wanted indices from 0 to"
            f" {n_sellers - 1}."
        )
    if among.shape[-1] == 0 or not bool((among.sort(-1).values.diff(dim=-1) > 0).all()):
        raise ValueError(f"among is {among.tolist()}; wanted one seller or more, each named once.")
