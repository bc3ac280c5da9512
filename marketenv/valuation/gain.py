"""Gain-from-trade of a merge, in the form that is disclosed and in the form that money prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Trial:
    """What the broker measured when it tried every merge before anyone bought.

    loss_before:  broker loss of each agent's model                             [markets, agents]
    loss_after:   the buyer's broker loss if it merged that seller's
                  model   [markets, buyers, sellers]
    error_before: squared parameter error ||theta - theta*||^2, linear
        models   [markets, agents] or None
    error_after:  the same after that merge   [markets, buyers, sellers] or None
    """

    loss_before: Float[Tensor, "markets agents"]
    loss_after: Float[Tensor, "markets buyers sellers"]
    error_before: Float[Tensor, "markets agents"] | None = None
    error_after: Float[Tensor, "markets buyers sellers"] | None = None

    def __post_init__(self) -> None:
        for before, after in (
            (self.loss_before, self.loss_after),
            (self.error_before, self.error_after),
        ):
            if before is not None and after is not None and before.shape != after.shape[:2]:
                raise ValueError(
                    f"before {list(before.shape)} and after {list(after.shape)} do not fit; wanted"
                    " [markets, agents] and [markets, buyers, sellers] with every agent a buyer."
                )


@dataclass(frozen=True)
class Gain:
    """The gain of every possible purchase.

    shown: what the broker discloses, in the valuation's own form        [markets, buyers, sellers]
    worth: the same gain in the unit that money prices; <= 0 is useless   [markets, buyers, sellers]
    """

    shown: Float[Tensor, "markets buyers sellers"]
    worth: Float[Tensor, "markets buyers sellers"]


def loss_difference(trial: Trial) -> Gain:
    """Fall of the buyer's broker loss.

    shown = worth = L(before) - L(after)   [markets, buyers, sellers], in units of loss

    A merge whose loss is not finite counts as no gain, 0: such a model cannot be sold.
    Source: Huang et al., NeurIPS 2023, eq. 4.

    >>> loss_difference(Trial(torch.tensor([[2.0]]), torch.tensor([[[0.5]]]))).worth
    tensor([[[1.5000]]])
    """
    fall = trial.loss_before[..., None] - trial.loss_after
    return _gain(fall, fall, fall.isfinite(), 0.0)


def relative_loss(trial: Trial) -> Gain:
    """Fall of the buyer's broker loss as a part of that loss.

    shown = (L(before) - L(after)) / L(before),   worth = L(before) -
    L(after)   [markets, buyers, sellers]

    A loss below the rounding unit of its dtype is taken as that unit. A merge whose loss is not
    finite counts as no gain, 0 in both: such a model cannot be sold.
    Source: named in Huang et al., NeurIPS 2023, section 3.3; the form of the authors' public
    experiments.

    >>> relative_loss(Trial(torch.tensor([[2.0]]), torch.tensor([[[0.5]]]))).shown
    tensor([[[0.7500]]])
    """
    before = trial.loss_before[..., None]
    fall = before - trial.loss_after
    return _gain(fall / before.clamp(min=torch.finfo(before.dtype).eps), fall, fall.isfinite(), 0.0)


def error_ratio(trial: Trial) -> Gain:
    """Squared parameter error before the merge over that after it.

    shown = Delta = ||e_before||^2 / ||e_after||^2,   worth =
    Delta - 1   [markets, buyers, sellers], no unit

    A useless good has Delta = 1, so money prices Delta - 1. Delta is at most 1 / (rounding unit),
    which a merge that hits the truth would exceed. A merge whose error is not finite counts as no
    gain, Delta = 1 and worth 0. Raises ValueError where the trial holds no errors: they need known
    true parameters (linear models). Source: Huang et al., NeurIPS 2023, eq. 3; that worth is Delta
    - 1 is ours.

    >>> loss = torch.ones(1, 1), torch.ones(1, 1, 1)
    >>> error_ratio(Trial(*loss, torch.tensor([[4.0]]), torch.tensor([[[1.0]]]))).worth
    tensor([[[3.]]])
    """
    if trial.error_before is None or trial.error_after is None:
        raise ValueError(
            "error_ratio got a trial without parameter errors; they exist only where the true"
            " parameters are known. Use the linear data set, or valuation='loss_difference'."
        )
    before, after = torch.broadcast_tensors(trial.error_before[..., None], trial.error_after)
    ratio = before / after.maximum(before * torch.finfo(before.dtype).eps)
    # 0 / 0: both are exact, so nothing is gained
    usable = before.isfinite() & after.isfinite() & ratio.isfinite()
    return _gain(ratio, ratio - 1, usable, 1.0)


def _gain(
    shown: Tensor, worth: Tensor, usable: Bool[Tensor, "markets buyers sellers"], useless: float
) -> Gain:
    """Keep what can be sold; the rest shows the value of a useless good and is worth 0."""
    return Gain(torch.where(usable, shown, useless), torch.where(usable, worth, 0.0))


Valuation = Callable[[Trial], Gain]

VALUATIONS: dict[str, Valuation] = {
    "loss_difference": loss_difference,
    "relative_loss": relative_loss,
    "error_ratio": error_ratio,
}
