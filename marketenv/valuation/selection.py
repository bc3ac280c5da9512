"""The mixture of the best predicted score: among listed ones, or along the score's gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.checks import whole
from marketenv.core.parts import taken
from marketenv.valuation.estimator import Estimator
from marketenv.valuation.mixtures import (
    Distances,
    Mixtures,
    checked_caps,
    checked_mixtures,
    finite,
    nearest,
)

# p [.., mixtures, sellers] -> (W [.., mixtures], dW/dp [.., mixtures, sellers])
Distance = Callable[[Tensor], tuple[Tensor, Tensor]]

FIRST = 0.25  # the first step of an ascent moves the share of steepest slope by so much
ENOUGH = 0.25  # of the rise that the slopes promise: less of it means that a step went too far
LEAST = 1e-9  # by which a listed share may pass its cap: .3 admits three steps of .1
FLAT = 1e-12  # slopes below this are no direction


@dataclass(frozen=True)
class Selection:
    """A mixture, its distance to the buyer's data, and its predicted score."""

    p: Float64[Tensor, "*batch sellers"]
    wad: Float64[Tensor, "*batch"]
    predicted: Float64[Tensor, "*batch"]


def shadow_price(
    estimator: Estimator,
    p: Mixtures,
    wad: Distances,
    wad_slopes: Float[Tensor, "*#batch mixtures sellers"],
) -> Float64[Tensor, "..."]:
    """How fast the predicted score rises with each seller's share, the others giving way alike.

    s_i = g_i - mean_j g_j,   g_i = dL_hat/dp_i + dL_hat/dW dW/dp_i;   sum_i s_i = 0

    p, wad: mixtures [.., mixtures, sellers] and their distances [.., mixtures]
    wad_slopes: dW/dp_i of W itself [.., mixtures, sellers]; a constant added to all sellers'
        changes nothing
    Returns float64 [.., mixtures, sellers], in units of score per whole share: .01 of share more
    brings about .01 s_i.

    From optimal transport, dW/dp_i is the mean of seller i's dual potentials over 2 W, as W^2 is
    what the transport minimises. Raises ValueError as ``Estimator.predict`` does. Source: derived
    here; the public code of arXiv 2509.18104 differs.

    >>> from marketenv.valuation import fit_estimator
    >>> pilots, wad = torch.eye(2), torch.tensor([0.0, 1.0])
    >>> falls = fit_estimator(
    ...     pilots, wad, torch.tensor([1.0, 0.5]), "ot_only"
    ... )  # by .5 per unit of W
    >>> shadow_price(falls, pilots, wad, torch.tensor([[0.0, 4.0], [0.0, 4.0]]))[
    ...     0
    ... ]  # 0 and -2, less their mean
    tensor([ 1.0000, -1.0000], dtype=torch.float64)
    """
    if wad_slopes.shape[-2:] != p.shape[-2:]:
        raise ValueError(
            f"wad_slopes {list(wad_slopes.shape)} do not fit p {list(p.shape)}; wanted a slope for"
            " each share."
        )
    direct, by_wad = estimator.slopes(p, wad)
    return _centred(direct + by_wad[..., None] * finite(wad_slopes, "wad_slopes"))


def select_gradient(
    estimator: Estimator,
    starts: Mixtures,
    distance: Distance,
    caps: Float[Tensor, "*#batch sellers"] | None = None,
    steps: int = 50,
) -> Selection:
    """Climb the predicted score from every start and take the best mixture that is reached.

    p <- project(p + rate s(p)) onto the simplex within the caps,   s: ``shadow_price``

    estimator: for each market [..]
    starts: [.., starts, sellers]; they are first moved within the caps
    distance: p [.., starts, sellers] -> (W [.., starts], dW/dp [.., starts, sellers]), called once
        a step and once before
    caps: largest shares [.., sellers], such as declared points over wanted points; None: no caps
    Each start has its own rate: the first step moves the steepest share by .25. A step that brings
    a quarter of the rise that its slopes promise is taken and doubles the rate, another one is left
    and halves it. So scores never fall, and each start nears a local optimum; where distances are
    known to a tolerance only, it stops where steps gain less than that.

    Raises ValueError for starts that are no mixtures, caps that leave none, and distances or slopes
    that are not finite. Source: the ascent is that of arXiv 2509.18104; caps, rates and the choice
    among starts are ours.
    """
    steps, starts = whole(steps, "steps", 1), checked_mixtures(starts, "starts")
    if starts.ndim < 2 or starts.shape[-1] != estimator.n_sellers:
        raise ValueError(
            f"starts {list(starts.shape)} do not fit an estimator of {estimator.n_sellers} sellers."
        )
    caps = (
        torch.ones_like(starts[..., 0, :]) if caps is None else checked_caps(caps, starts.shape[-1])
    )
    batch = np.broadcast_shapes(
        estimator.coefficients.shape[:-2], starts.shape[:-2], caps.shape[:-1]
    )
    caps = caps[..., None, :]
    here = _Place.at(estimator, nearest(starts, caps).expand(*batch, *starts.shape[-2:]), distance)
    rate = FIRST / here.slopes.abs().amax(-1, keepdim=True).clamp(min=FLAT)
    known = here.known
    for _ in range(steps):
        tried = _Place.at(estimator, nearest(here.p + rate * here.slopes, caps), distance)
        known = known & tried.known
        better = tried.predicted - here.predicted > ENOUGH * ((tried.p - here.p) * here.slopes).sum(
            -1
        )
        here, rate = here.moved(better, tried), torch.where(better[..., None], 2 * rate, rate / 2)
    if not bool(known.all()):
        raise ValueError(
            "distance returned a distance or a slope that is not finite; wanted W and dW/dp of"
            " every mixture."
        )
    return _chosen(here.p, here.wad, here.predicted)


def select_enumerated(
    estimator: Estimator,
    p: Mixtures,
    wad: Distances,
    caps: Float[Tensor, "*#batch sellers"] | None = None,
) -> Selection:
    """Take the listed mixture of the best predicted score, among those within the caps.

    p:   mixtures, as ``enumerate_mixtures`` lists them   [.., mixtures, sellers]
    wad: their distances                                  [.., mixtures]
    caps: largest shares [.., sellers];   of equal scores the first in the list is taken

    Raises ValueError as ``Estimator.predict`` does, and where no listed mixture is within a
    market's caps.

    >>> from marketenv.valuation import enumerate_mixtures, fit_estimator
    >>> p, wad = enumerate_mixtures(2, 4), torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])
    >>> fit = fit_estimator(p, wad, 1 - wad / 4, "ot_only")
    >>> select_enumerated(fit, p, wad).p, select_enumerated(fit, p, wad, torch.tensor([0.6, 1.0])).p
    (tensor([1., 0.], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64))
    """
    predicted = estimator.predict(p, wad)
    p, wad = p.detach().double(), wad.detach().double()
    if caps is not None:
        within = (p <= checked_caps(caps, p.shape[-1])[..., None, :] + LEAST).all(-1)
        if not bool(within.any(-1).all()):
            raise ValueError(
                "no listed mixture is within the caps; list a finer grid, or use select_gradient."
            )
        predicted = torch.where(within, predicted, -torch.inf)
    return _chosen(p, wad, predicted)


@dataclass(frozen=True)
class _Place:
    """Present point of each start: p and slopes [.., starts, sellers], the others [.., starts]."""

    p: Tensor
    wad: Tensor
    predicted: Tensor
    slopes: Tensor
    known: Tensor

    @staticmethod
    def at(estimator: Estimator, p: Tensor, distance: Distance) -> _Place:
        wad, wad_slopes = distance(p.clone())
        wad = taken(wad, "distance returned W", p[..., 0], "..., starts")
        wad_slopes = taken(wad_slopes, "distance returned dW/dp", p, "..., starts, sellers")
        slopes = _centred(
            estimator.share_slopes(p, wad) + estimator.wad_slopes(p)[..., None] * wad_slopes
        )
        return _Place(
            p, wad, estimator.values(p, wad), slopes, wad.isfinite() & wad_slopes.isfinite().all(-1)
        )

    def moved(self, better: Tensor, other: _Place) -> _Place:
        """The other place where it is better [.., starts], this one elsewhere."""
        pairs = ((getattr(other, part.name), getattr(self, part.name)) for part in fields(self))
        return _Place(
            *(
                torch.where(better if new.ndim == better.ndim else better[..., None], new, old)
                for new, old in pairs
            )
        )


def _centred(slopes: Tensor) -> Tensor:
    return slopes - slopes.mean(-1, keepdim=True)


def _chosen(p: Tensor, wad: Tensor, predicted: Tensor) -> Selection:
    """Of each market's mixtures the first one of the best predicted score."""
    p = p.expand(*predicted.shape, p.shape[-1])
    best = predicted.argmax(-1, keepdim=True)
    wad, predicted = (
        numbers.expand(predicted.shape).gather(-1, best).squeeze(-1) for numbers in (wad, predicted)
    )
    return Selection(p.take_along_dim(best[..., None], -2).squeeze(-2), wad, predicted)
