"""How far a profile is from equilibrium: against a known one, and by what best responses gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.metrics.bayesian_games import is_distribution
from marketenv.metrics.statistics import Interval, mean_interval, ratio_interval


@dataclass(frozen=True)
class NashConv:
    """Best-response gain of each player, and their sum, in the unit of the payoffs."""

    players: tuple[Interval, ...]
    total: Interval


def relative_loss(
    utilities: Float64[Tensor, "pairs"], equilibrium: Float64[Tensor, "pairs"]
) -> Interval:
    """Share by which a strategy earns less than the equilibrium one, against the same opponents.

    L = 1 - mean(utilities) / mean(equilibrium)

    utilities:   of the strategy against the known equilibrium              float64 [pairs]
    equilibrium: of the equilibrium strategy, same seeds (or its closed form at
        every pair)   float64 [pairs]
    Raises ValueError where the equilibrium earns nothing: no share is meant then.

    Source: Bichler et al., Nature Machine Intelligence 3 (2021), there the relative utility loss.

    >>> relative_loss(
    ...     torch.tensor([0.5, 1.0], dtype=torch.float64),
    ...     torch.tensor([1.0, 1.0], dtype=torch.float64),
    ... ).mean
    0.25
    """
    ratio = ratio_interval(utilities, equilibrium)
    if ratio.low is None or ratio.high is None:
        return Interval(1 - ratio.mean, None, None)
    return Interval(1 - ratio.mean, 1 - ratio.high, 1 - ratio.low)


def strategy_l2(ours: Float64[Tensor, "types"], theirs: Float64[Tensor, "types"]) -> float:
    """Root mean square distance of two price rules over the same types.

    sqrt(mean_k (ours[k] - theirs[k])^2)

    ours, theirs: price at each type, money; types drawn from the prior, or a grid [types]
    Raises ValueError for prices that are not finite or not of the same types.

    >>> strategy_l2(
    ...     torch.tensor([0.0, 0.0], dtype=torch.float64),
    ...     torch.tensor([1.0, 7.0], dtype=torch.float64),
    ... )
    5.0
    """
    return float(_apart(ours, theirs).square().mean().sqrt())


def strategy_linf(ours: Float64[Tensor, "types"], theirs: Float64[Tensor, "types"]) -> float:
    """Largest distance of two price rules over the same types.

    max_k |ours[k] - theirs[k]|

    Arguments and errors are those of ``strategy_l2``. The maximum over types that were tried: a
    lower bound.

    >>> strategy_linf(
    ...     torch.tensor([0.0, 0.0], dtype=torch.float64),
    ...     torch.tensor([3.0, -4.0], dtype=torch.float64),
    ... )
    4.0
    """
    return float(_apart(ours, theirs).abs().max())


def nash_conv(gains: Float64[Tensor, "players pairs"]) -> NashConv:
    """Sum over players of what a best response gains against the profile.

    NashConv = sum_i gain_i,   gain_i = mean over pairs of gains[i, p]

    gains: utility of player i's best response less that of its strategy,
        one column a seed   float64 [players, pairs]
    Unclipped; a lower bound where best responses were searched (``bayesian_nash_conv`` is exact).
    The total's interval is of the sum in each pair, since players share seeds. Raises ValueError
    for NaN and no pairs. Source: Lanctot et al., NeurIPS 2017, sec. 2.

    >>> nash_conv(torch.tensor([[0.0, 1.0], [2.0, 2.0]], dtype=torch.float64)).total.mean
    2.5
    """
    return NashConv(tuple(mean_interval(row) for row in gains), mean_interval(gains.sum(0)))


def exploitability(
    gains: Float64[Tensor, "players"], payoffs: Float64[Tensor, "players *profiles"]
) -> float:
    """Half of NashConv in a two-player constant-sum game: the mean loss to the worst opponent.

    exploitability = (gain_1 + gain_2) / 2

    gains:   best-response gain of each player   float64 [2]
    payoffs: of each player at every pure profile, to see that they sum to
        a constant   float64 [2, *profiles]
    Raises ValueError in any other game: there the word has no meaning, use ``nash_conv``.

    Source: Timbers et al., Approximate exploitability, IJCAI 2022; the mean over players, as
    OpenSpiel has it.

    >>> pennies = torch.tensor([[[1.0, -1], [-1, 1]], [[-1, 1], [1, -1]]], dtype=torch.float64)
    >>> exploitability(torch.tensor([0.0, 2.0], dtype=torch.float64), pennies)
    1.0
    """
    sums = payoffs.sum(0)
    constant = len(payoffs) == len(gains) == 2 and float(sums.max() - sums.min()) <= 1e-9 * max(
        1.0, float(payoffs.abs().max())
    )
    if not constant:
        raise ValueError(
            f"exploitability is for two players and a constant sum; got {len(payoffs)} players. Use"
            " nash_conv."
        )
    return float(gains.sum()) / 2


def meta_regret(
    payoffs: Float64[Tensor, "players *profiles"], mixes: Sequence[Float64[Tensor, "_"]]
) -> tuple[Float64[Tensor, "_"], ...]:
    """What every strategy of a meta-game earns more than its player's mix does.

    regret_i[s] = E payoff_i(s, others) - E payoff_i(mix),
    others drawn from their mixes; all <= 0 at an equilibrium

    payoffs: mean payoff of each player at every profile   float64 [players, S_1, ..., S_n]
    mixes:   chances of strategies, one tensor a player    float64 [S_i], each sums to 1
    Returns one tensor a player [S_i]; below 0 where a strategy earns less. Over the strategies at
    hand only: a lower bound of the regret over all. Raises ValueError for shapes that do not fit
    and for what is no distribution.

    Source: Wellman, Methods for empirical game-theoretic analysis, AAAI 2006.

    >>> pennies = torch.tensor([[[1.0, -1], [-1, 1]], [[-1, 1], [1, -1]]], dtype=torch.float64)
    >>> heads = torch.tensor([1.0, 0.0], dtype=torch.float64)
    >>> [regret.tolist() for regret in meta_regret(pennies, [heads, heads])]
    [[0.0, -2.0], [0.0, 2.0]]
    """
    if list(payoffs.shape) != [len(mixes), *map(len, mixes)] or not all(
        is_distribution(mix) for mix in mixes
    ):
        raise ValueError(
            f"payoffs are {list(payoffs.shape)} and mixes of {[len(mix) for mix in mixes]}"
            " strategies; wanted [players, *strategies] and one distribution a player."
        )
    if not bool(payoffs.isfinite().all()):
        raise ValueError("a payoff is not finite; play every profile before asking for regrets.")
    earned = [_against(payoff, mixes, player) for player, payoff in enumerate(payoffs)]
    return tuple(each - mix @ each for each, mix in zip(earned, mixes, strict=True))


def _against(payoff: Tensor, mixes: Sequence[Tensor], player: int) -> Float64[Tensor, "_"]:
    """Expected payoff of each strategy of a player when the others mix."""
    # the last axis first, so that the axes before it keep their places
    for other in reversed(range(len(mixes))):
        if other != player:
            payoff = torch.tensordot(payoff, mixes[other], ([other], [0]))
    return payoff


def _apart(ours: Tensor, theirs: Tensor) -> Float64[Tensor, "types"]:
    if ours.shape != theirs.shape or not len(ours) or not bool((ours - theirs).isfinite().all()):
        raise ValueError(
            f"prices {list(ours.shape)} and {list(theirs.shape)}; wanted finite ones of the same"
            " types."
        )
    return ours - theirs
