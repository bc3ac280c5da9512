"""What a seller can infer of a buyer's gain from its own gain and the merge weights.

With errors e_a, e_b of the trained models: after merging, A has (1 - alpha) e_a + alpha e_b and B
has (1 - beta) e_b + beta e_a. Delta_a = ||e_a||^2 / ||A's merged error||^2, and Delta_b in the same
way. Throughout, r = sqrt(Delta_a), h = 1 - alpha - beta and c = h + 2 alpha beta.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from marketenv.core.lookup import lookup

Weights = Float[Tensor, "..."]


def theorem_4_1(
    gain_a: Weights, alpha: Weights, beta: Weights, form: str = "paper"
) -> tuple[Weights, Weights]:
    """Bounds (low, high) on the buyer's gain Delta_b.

    paper: ((1 - (1-alpha) r) / ((1-beta) + r c))^2  <=  Delta_b  <=  ((1 + (1-alpha) r) / ((1-beta)
        - r c))^2
    sharp: the lesser and the greater of ((1 - (1-alpha) r) / ((1-beta) - h r))^2, ((1 + (1-alpha)
        r) / ((1-beta) + h r))^2

    gain_a: the seller's own gain Delta_a >= 0; alpha: its merge weight; beta: the buyer's; both in
        [0, 1]   [...]
    Returns two tensors of the broadcast shape; a zero denominator gives inf.

    The sharp form always holds, both ends are reached. The paper's lower bound always holds; its
    upper bound can fail where ``paper_bound_is_safe`` is False, because the square hides a negative
    denominator. Raises ValueError for an unknown form, weights outside [0, 1], and a gain that is
    negative or not finite. Source: Huang et al., NeurIPS 2023, theorem 4.1; the sharp form is
    derived here: Delta_b is a ratio of two linear functions of cos(e_a, A's merged error), so its
    extremes are at cos = +1 and -1.

    >>> one = torch.ones(1)
    >>> theorem_4_1(4.0 * one, 0.5 * one, 0.5 * one, "sharp")
    (tensor([0.]), tensor([16.]))
    """
    _check(gain_a, alpha, beta)
    return lookup(_FORMS, form, "form of theorem 4.1")(gain_a.sqrt(), alpha, beta)


def paper_bound_is_safe(gain_a: Weights, alpha: Weights, beta: Weights) -> Bool[Tensor, "..."]:
    """Whether the paper's upper bound is sure to hold before the errors are seen.

    (1 - beta) > r c   or   alpha = 1   or   beta = 1

    Arguments and errors as in ``theorem_4_1``. It holds as well wherever <e_a, e_b> >= 0, which no
    agent is told. Source: derived here.
    """
    _check(gain_a, alpha, beta)
    return (1 - beta > gain_a.sqrt() * _c(alpha, beta)) | (alpha == 1) | (beta == 1)


def disclosed_gain(alpha: Weights, gain_a: Weights) -> Weights:
    """The buyer's exact gain by the seller's numbers, at an interior optimum of the weights.

    Delta_b = 1 + ((1 - alpha) / alpha)^2 (Delta_a - 1)

    alpha: the seller's own merge weight, in (0, 1]; gain_a: its gain Delta_a   [...]

    Holds where the broker minimises the Euclidean error over all weights: both merges then reach
    the same point (beta = 1 - alpha). Raises ValueError for a weight outside (0, 1]. Source:
    derived here.

    >>> disclosed_gain(torch.tensor([0.5]), torch.tensor([3.0]))
    tensor([3.])
    """
    if not bool(((alpha > 0) & (alpha <= 1)).all()):
        raise ValueError(
            f"alpha is {alpha.tolist()}; wanted weights in (0, 1]: at 0 the seller learns nothing"
            " of the buyer."
        )
    return 1 + ((1 - alpha) / alpha) ** 2 * (gain_a - 1)


def _c(alpha: Tensor, beta: Tensor) -> Tensor:
    return 1 - alpha - beta + 2 * alpha * beta


def _paper(r: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    own, rc = (1 - alpha) * r, r * _c(alpha, beta)
    return ((1 - own) / (1 - beta + rc)) ** 2, ((1 + own) / (1 - beta - rc)) ** 2


def _sharp(r: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    own, rh = (1 - alpha) * r, (1 - alpha - beta) * r
    ends = ((1 - own) / (1 - beta - rh)) ** 2, ((1 + own) / (1 - beta + rh)) ** 2
    low, high = torch.minimum(*ends), torch.maximum(*ends)
    # without a merge the formulas can read 0 / 0: at beta = 0 the gain is 1, at alpha = 0, or so
    # near that 1 - alpha rounds to 1, nothing is learned of e_b
    low, high = (torch.where(beta == 0, 1.0, end) for end in (low, high))
    blind = ((alpha == 0) & (beta > 0)) | low.isnan() | high.isnan()
    return torch.where(blind, 0.0, low), torch.where(blind, torch.inf, high)


def _check(gain_a: Tensor, alpha: Tensor, beta: Tensor) -> None:
    for name, weight in (("alpha", alpha), ("beta", beta)):
        if not bool(((weight >= 0) & (weight <= 1)).all()):
            raise ValueError(
                f"{name} is {float(weight[~((weight >= 0) & (weight <= 1))][0]):g}; wanted a weight"
                " in [0, 1]."
            )
    if not bool((gain_a.isfinite() & (gain_a >= 0)).all()):
        worst = float(gain_a[~(gain_a.isfinite() & (gain_a >= 0))][0])
        raise ValueError(
            f"gain_a is {worst:g}; wanted the error ratio Delta_a of eq. 3, a finite number >= 0."
        )


_FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "paper": _paper,
    "sharp": _sharp,
}
