"""What searched deviations earn more than the truth: ex post, at each type, and ex ante.

No search tries everything, so every figure here is a lower bound of what a deviation can earn, and
its name says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.metrics.statistics import Interval, mean_interval


@dataclass(frozen=True)
class Regret:
    """What the tested deviations earn more than the truth, in the unit of the utilities.

    Ex post: the best deviation of each pair, clipped at 0 (an agent may stay truthful). Noise that
    the paired markets do not share biases these upward.
    mean_lower_bound, max_lower_bound, quantile_lower_bound: the last one is the 99 % quantile, the
        highest observed gain below it
    relative_lower_bound: the mean as a part of the scale; None without a scale

    Ex ante: one deviation for all pairs, not clipped, chosen on one half of the pairs and judged on
    the other.
    deviation: its number;   single_lower_bound: its mean gain, without bias; below 0 where the
        truth is better
    """

    mean_lower_bound: Interval
    max_lower_bound: float
    quantile_lower_bound: float
    relative_lower_bound: float | None
    deviation: int
    single_lower_bound: Interval


@dataclass(frozen=True)
class InterimLoss:
    """What the best deviation of each tested type earns more than the truth, in utility.

    edges:             bin k holds the types in (edges[k], edges[k+1]], the first also its lower
                       edge; equal edges hold the one type there is, which is the lowest where the
                       first two are equal   float64 [bins + 1]
    deviation:         the deviation chosen for each bin   int [bins]
    loss_lower_bounds: its mean gain in each bin, not clipped; with 95 % chance all bins' intervals
        hold at once
    ex_ante:           mean gain of deviating so at every type, with its own 95 % interval
    """

    edges: Float64[Tensor, "edges"]
    deviation: Int[Tensor, "bins"]
    loss_lower_bounds: tuple[Interval, ...]
    ex_ante: Interval


def regret(
    utilities: Float64[Tensor, "deviations pairs"],
    truthful: Float64[Tensor, "pairs"],
    scale: float | None = None,
) -> Regret:
    """Measure by how much tried deviations beat the truth in paired markets.

    rgt[p] = max(0, max_d utilities[d, p] - truthful[p]);   mean, maximum and 99 % quantile over p;
    mean / scale

    utilities: of the deviator, the others truthful, same seeds   float64 [deviations, pairs]
    truthful:  of the same agent when it tells the truth          float64 [pairs]
    scale:     what gains are told relative to (a mean payment or utility), same unit, > 0

    Raises ValueError for fewer than two pairs, no deviation, numbers that are not finite, and a
    scale <= 0. Source: Duetting et al., Optimal auctions through deep learning, ICML 2019, sec. 2;
    we do not call it the regret but its lower bound, and add the unclipped gain of a single
    deviation.

    >>> truth = torch.ones(4, dtype=torch.float64)
    >>> result = regret(
    ...     torch.stack([truth - 1, torch.tensor([3.0, 0, 3, 0]).double()]), truth, scale=4.0
    ... )
    >>> (
    ...     result.mean_lower_bound.mean,
    ...     result.max_lower_bound,
    ...     result.relative_lower_bound,
    ...     result.deviation,
    ... )
    (1.0, 2.0, 0.25, 1)
    """
    gains = _gains(utilities, truthful)
    if scale is not None and not 0 < scale < float("inf"):
        raise ValueError(
            f"scale is {scale}; wanted a finite amount above 0, such as the mean payment."
        )
    each = gains.amax(0).clamp(min=0.0)
    mean, best = mean_interval(each), int(gains[:, ::2].mean(1).argmax())
    quantile = float(each.quantile(0.99, interpolation="lower"))
    relative = None if scale is None else mean.mean / scale
    return Regret(
        mean, float(each.max()), quantile, relative, best, mean_interval(gains[best, 1::2])
    )


def interim_loss(
    types: Float64[Tensor, "pairs"],
    utilities: Float64[Tensor, "deviations pairs"],
    truthful: Float64[Tensor, "pairs"],
    bins: int = 10,
) -> InterimLoss:
    """Measure, for bins of the own type, how much the best of the tried deviations beats the truth.

    loss[k] = mean of utilities[d_k, p] - truthful[p] over odd pairs p in bin k,
    d_k the best by the even pairs of the bin;
    ex ante = mean over all odd pairs of the gain of their bin's deviation

    types:     own type of the deviator, any unit   float64 [pairs]
    utilities: of the deviator, same seeds          float64 [deviations, pairs]
    truthful:  of the same agent without deviation  float64 [pairs]
    bins:      bins of about equally many pairs; fewer where types repeat

    Choosing and judging on the same pairs would show gains where there are none, so each bin is cut
    in two. Raises ValueError for numbers that are not finite, shapes that do not fit, and bins too
    narrow to be cut. Source: Bichler et al., Learning equilibria in symmetric auction games, Nature
    Machine Intelligence 3 (2021).
    We differ: no expectation of the others for one type at a time, but bins of types; means are not
    clipped.

    >>> types = torch.tensor([1.0, 1, 5, 5], dtype=torch.float64)
    >>> gains = torch.tensor(
    ...     [[2.0, 2, -1, -1], [0, 0, 0, 0]], dtype=torch.float64
    ... )  # the first helps low types only
    >>> result = interim_loss(types, gains, torch.zeros(4, dtype=torch.float64), bins=2)
    >>> (
    ...     [loss.mean for loss in result.loss_lower_bounds],
    ...     result.deviation.tolist(),
    ...     result.ex_ante.mean,
    ... )
    ([2.0, 0.0], [0, 1], 1.0)
    """
    gains = _gains(utilities, truthful)
    if types.shape != truthful.shape or bins < 1 or not bool(types.isfinite().all()):
        raise ValueError(
            f"types {list(types.shape)} and {bins} bins; wanted one finite type a pair"
            f" ({len(truthful)}), bins >= 1."
        )
    shares = torch.linspace(0, 1, bins + 1, dtype=types.dtype, device=types.device)
    # types themselves, so no bin lies between two and is empty
    ends = types.quantile(shares, interpolation="lower")
    inner = ends[1:-1].unique()
    # a lowest type that repeats is a bin of its own, as any other
    inner = inner[inner < types.max()]
    edges = torch.cat([ends[:1], inner, ends[-1:]])
    place = torch.bucketize(types, inner)
    member = torch.nn.functional.one_hot(place, len(inner) + 1).double()  # [pairs, bins]
    if not bool(((member[::2].sum(0) > 0) & (member[1::2].sum(0) > 0)).all()):
        raise ValueError(
            f"{len(types)} pairs are too few for {bins} bins: one has no pair to choose or none to"
            " judge by."
        )
    best = (gains[:, ::2] @ member[::2] / member[::2].sum(0)).argmax(0)
    judged, where = gains.gather(0, best[place][None])[0, 1::2], place[1::2]
    # all bins at once (Bonferroni)
    level, resamples = 1 - 0.05 / member.shape[1], max(2000, 400 * member.shape[1])
    losses = tuple(
        mean_interval(judged[where == k], resamples, level=level) for k in range(member.shape[1])
    )
    return InterimLoss(edges, best, losses, mean_interval(judged))


def ex_ante_loss(
    types: Float64[Tensor, "pairs"],
    utilities: Float64[Tensor, "deviations pairs"],
    truthful: Float64[Tensor, "pairs"],
    bins: int = 10,
) -> Interval:
    """Mean interim loss over types: a lower bound of the ex-ante gain of deviating.

    Arguments, errors and source are those of ``interim_loss``.

    >>> zeros = torch.zeros(4, dtype=torch.float64)
    >>> ex_ante_loss(torch.arange(4).double(), torch.stack([zeros + 0.5]), zeros, bins=1).mean
    0.5
    """
    return interim_loss(types, utilities, truthful, bins).ex_ante


def epsilon_equilibrium(losses: Sequence[Interval], epsilon: float) -> bool | None:
    """Whether the losses of all agents and types are <= epsilon; None where intervals cannot tell.

    True: every upper bound is <= epsilon, so none of the deviations that were tried gains more.
    False: some lower bound is above epsilon, so the profile is no epsilon-equilibrium.

    losses: interim losses, over agents and bins of types; epsilon: their unit, >= 0
    True is no proof: deviations that were not tried may gain. Raises ValueError for no losses and
    for epsilon < 0. Source: definition of an epsilon-Bayes-Nash equilibrium, at every type.

    >>> (
    ...     epsilon_equilibrium([Interval(0.0, -0.1, 0.1)], 0.2),
    ...     epsilon_equilibrium([Interval(0.0, -0.1, 0.1)], 0.05),
    ... )
    (True, None)
    """
    if not losses or not epsilon >= 0:
        raise ValueError(
            f"epsilon_equilibrium got {len(losses)} losses and epsilon {epsilon}; wanted >= 1 and"
            " epsilon >= 0."
        )
    if any(loss.low is not None and loss.low > epsilon for loss in losses):
        return False
    return True if all(loss.high is not None and loss.high <= epsilon for loss in losses) else None


def _gains(utilities: Tensor, truthful: Tensor) -> Float64[Tensor, "deviations pairs"]:
    fits = utilities.shape[1:] == truthful.shape and len(utilities) >= 1 and len(truthful) >= 2
    if not fits or not bool((utilities - truthful).isfinite().all()):
        raise ValueError(
            f"utilities {list(utilities.shape)} and truthful {list(truthful.shape)}; wanted finite"
            " [deviations, pairs] and [pairs], with a deviation and two pairs or more."
        )
    return utilities - truthful
