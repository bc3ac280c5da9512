"""The performance estimator: the score of a mixture of sellers' data, by its distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.parts import taken
from marketenv.valuation.mixtures import Distances, Mixtures, checked_mixtures, finite

# sellers -> which terms a form keeps, as Estimator.coefficients lists them
Form = Callable[[int], Bool[Tensor, "2 terms"]]

RANK = 1e-10  # of the largest singular value, or of a regressor's size: what is smaller is rounding


@dataclass(frozen=True)
class Estimator:
    """Expected score of a mixture p at distance W: quadratics in each share, with and without W.

    L_hat(p, W) = (sum_i b2_i p_i^2 + sum_i b1_i p_i + b0) W + sum_i c2_i p_i^2 + sum_i c1_i p_i +
    c0

    coefficients: b, then c, each as (x2_1 .. x2_S, x1_1 .. x1_S, x0); 0 where the form lacks the
        term   [.., 2, 2S + 1]
    r2:     share of the variance of the pilots' scores that the fit explains; 0 where all scores
            are equal   [..]
    spread: sqrt(sum of squared residuals / (pilots - rank)), in units of score; inf where rank >=
        pilots   [..]
    rank:   how many coefficients, c0 among them, the pilots determine   int64 [..]

    All are float64 but the rank, and all lead with the axes of the markets, so a market's state can
    hold an estimator. Source: arXiv 2509.18104 after Kang et al., NeurIPS 2023 (projektor); one b0
    and one c0 stand for their sums over sellers.
    """

    coefficients: Float64[Tensor, "*batch 2 terms"]
    r2: Float64[Tensor, "*batch"]
    spread: Float64[Tensor, "*batch"]
    rank: Int64[Tensor, "*batch"]

    @property
    def n_sellers(self) -> int:
        """How many sellers a mixture has."""
        return self.coefficients.shape[-1] // 2

    def predict(self, p: Mixtures, wad: Distances) -> Float64[Tensor, "..."]:
        """Expected score of each mixture [.., mixtures], in the unit of the pilots' scores.

        p:   mixtures                              [.., mixtures, sellers]
        wad: their distances to the buyer's data   [.., mixtures]

        A prediction is not clamped: an accuracy may pass 1, by much far from the pilots.
        Raises ValueError for another number of sellers, for numbers that are not finite and shares
        that are no mixture.
        """
        return self.values(*self._checked(p, wad))

    def slopes(
        self, p: Mixtures, wad: Distances
    ) -> tuple[Float64[Tensor, "..."], Float64[Tensor, "..."]]:
        """dL_hat/dp_i at a fixed distance [.., mixtures, sellers], and dL_hat/dW [.., mixtures].

        Arguments and errors as in ``predict``. Only differences between sellers mean anything in
        the direct part: shares sum to 1, so pilots say nothing of what all of them would do if they
        rose together.
        """
        p, wad = self._checked(p, wad)
        return self.share_slopes(p, wad), self.wad_slopes(p)

    def values(self, p: Tensor, wad: Tensor) -> Tensor:
        """Predict as ``predict`` does, of checked arguments: waits for no device."""
        times, alone = (_powers(p) @ self.coefficients.mT).unbind(-1)
        return times * wad + alone

    def share_slopes(self, p: Tensor, wad: Tensor) -> Tensor:
        """dL_hat/dp_i = (2 b2_i p_i + b1_i) W + 2 c2_i p_i + c1_i   [.., mixtures, sellers]."""
        square, plain, _ = self.coefficients[..., None, :, :].split(
            [self.n_sellers, self.n_sellers, 1], -1
        )
        times, alone = (2 * square * p[..., None, :] + plain).unbind(-2)
        return times * wad[..., None] + alone

    def wad_slopes(self, p: Tensor) -> Tensor:
        """dL_hat/dW = sum_i b2_i p_i^2 + sum_i b1_i p_i + b0   [.., mixtures]."""
        return (_powers(p) @ self.coefficients[..., 0, :, None]).squeeze(-1)

    def _checked(self, p: Tensor, wad: Tensor) -> tuple[Tensor, Tensor]:
        if p.ndim < 2 or p.shape[-1] != self.n_sellers or wad.shape[-1:] != p.shape[-2:-1]:
            raise ValueError(
                f"p {list(p.shape)} and wad {list(wad.shape)} do not fit an estimator of"
                f" {self.n_sellers} sellers; wanted [.., mixtures, {self.n_sellers}] and [..,"
                " mixtures]."
            )
        return checked_mixtures(p), finite(wad, "wad")


def fit_estimator(
    p: Mixtures, wad: Distances, score: Distances, form: str | Form = "projektor"
) -> Estimator:
    """Fit an estimator to pilots by least squares.

    min sum_k (score_k - L_hat(p_k, W_k))^2;
    of all minimisers the one of least norm, each regressor in units of its spread

    p:     the pilots' mixtures                              [.., pilots, sellers]
    wad:   their distances to the buyer's data               [.., pilots]
    score: what was measured of them, such as accuracies     [.., pilots]
    form:  a name of ``FORMS``, or a callable sellers -> terms bool [2, 2 sellers + 1]; every form
           has c0

    Shares sum to 1, so the regressors of ``projektor`` are never independent: at most 4S
    coefficients are determined (6 for two sellers). Among pilots that cover the simplex all
    minimisers predict alike on it; with fewer pilots the fit passes through every score, its spread
    is inf, and ``ot_only`` is the form to take. Other units of W or of the score change no
    prediction.

    Raises ValueError for shapes that do not fit, numbers that are not finite, shares that are no
    mixture, unknown forms.

    >>> p, wad = torch.eye(3), torch.tensor([0.0, 1.0, 2.0])
    >>> fit = fit_estimator(p, wad, torch.tensor([1.0, 0.0, 0.0]), "ot_only")  # score = 5/6 - W / 2
    >>> fit.predict(p, wad), float(fit.r2.round(decimals=9))
    (tensor([ 0.8333,  0.3333, -0.1667], dtype=torch.float64), 0.75)
    """
    if p.ndim < 2 or not p.shape[-2] == wad.shape[-1] == score.shape[-1] > 0:
        raise ValueError(
            f"p {list(p.shape)}, wad {list(wad.shape)} and score {list(score.shape)} do not fit;"
            " wanted [.., pilots, sellers], [.., pilots] and [.., pilots] with one pilot or more."
        )
    chosen = _chosen_terms(form, p.shape[-1])
    p, wad, score = checked_mixtures(p), finite(wad, "wad"), finite(score, "score")
    wad, score, _ = torch.broadcast_tensors(wad, score, p[..., 0])
    terms = _powers(p)
    # [.., pilots, 2, terms]
    regressors = torch.stack(torch.broadcast_tensors(terms * wad[..., None], terms), -2)
    weights, intercept, rank = _regress(regressors.flatten(-2)[..., chosen.to(p.device)], score)
    coefficients = weights.new_zeros(*weights.shape[:-1], 2 * terms.shape[-1])
    coefficients[..., chosen.to(p.device)] = weights
    coefficients[..., -1] = intercept
    return _judged(coefficients.unflatten(-1, (2, -1)), p, wad, score, rank)


def _powers(p: Tensor) -> Tensor:
    """p_1^2 .. p_S^2, p_1 .. p_S, 1: [.., mixtures, 2 sellers + 1]."""
    return torch.cat([p * p, p, torch.ones_like(p[..., :1])], -1)


def _chosen_terms(form: str | Form, n_sellers: int) -> Tensor:
    """Places of the terms that a form keeps, c0 left out: int64 [terms], on the CPU."""
    part: Form = named_part(form, "form", FORMS, "a callable sellers -> terms", takes=1)
    like = torch.zeros(2, 2 * n_sellers + 1, dtype=torch.bool, device="cpu")
    return (
        taken(part(n_sellers), "form returned terms", like, "times W and alone, terms")
        .flatten()[:-1]
        .nonzero()[:, 0]
    )


def _regress(regressors: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Least squares with a free intercept: weights [.., terms], intercept [..], rank [..]."""
    if not regressors.shape[-1]:
        return (
            score.new_zeros(*score.shape[:-1], 0),
            score.mean(-1),
            torch.ones_like(score[..., 0], dtype=torch.int64),
        )
    centre, mean = regressors.mean(-2, keepdim=True), score.mean(-1, keepdim=True)
    apart = regressors - centre
    size = apart.square().mean(-2, keepdim=True).sqrt()
    varies = size > RANK * regressors.abs().amax(-2, keepdim=True)
    left, sizes, right = torch.linalg.svd(
        torch.where(varies, apart / size, 0.0), full_matrices=False
    )
    sure = sizes > RANK * sizes.amax(-1, keepdim=True)
    along = torch.where(sure, (left.mT @ (score - mean)[..., None]).squeeze(-1) / sizes, 0.0)
    weights = torch.where(
        varies.squeeze(-2), (right.mT @ along[..., None]).squeeze(-1) / size.squeeze(-2), 0.0
    )
    return weights, mean.squeeze(-1) - (centre.squeeze(-2) * weights).sum(-1), sure.sum(-1) + 1


def _judged(coefficients: Tensor, p: Tensor, wad: Tensor, score: Tensor, rank: Tensor) -> Estimator:
    """The estimator of these coefficients with what its residuals say of it."""
    nothing = score.new_zeros(score.shape[:-1])
    left = (score - Estimator(coefficients, nothing, nothing, rank).values(p, wad)).square().sum(-1)
    apart = (score - score.mean(-1, keepdim=True)).square()
    differ = apart.amax(-1).sqrt() > RANK * score.abs().amax(-1)
    free = score.shape[-1] - rank
    spread = torch.where(free > 0, (left / free.clamp(min=1)).sqrt(), torch.inf)
    return Estimator(coefficients, torch.where(differ, 1 - left / apart.sum(-1), 0.0), spread, rank)


def _projektor(n_sellers: int) -> Bool[Tensor, "2 terms"]:
    """Every term: the full form."""
    return torch.ones(2, 2 * n_sellers + 1, dtype=torch.bool, device="cpu")


def _projektor7(n_sellers: int) -> Bool[Tensor, "2 terms"]:
    """W, p_i, p_i W and p_i^2 W of all sellers but the last: 3S - 2 terms for S sellers."""
    square, plain, constant = (
        range(n_sellers - 1),
        range(n_sellers, 2 * n_sellers - 1),
        2 * n_sellers,
    )
    terms = torch.zeros(2, 2 * n_sellers + 1, dtype=torch.bool, device="cpu")
    terms[0, [*square, *plain, constant]] = True
    terms[1, [*plain]] = True
    return terms


def _ot_only(n_sellers: int) -> Bool[Tensor, "2 terms"]:
    """W alone: two coefficients with c0, for few pilots."""
    terms = torch.zeros(2, 2 * n_sellers + 1, dtype=torch.bool, device="cpu")
    terms[0, -1] = True
    return terms


FORMS: dict[str, Form] = {"projektor": _projektor, "projektor7": _projektor7, "ot_only": _ot_only}
