"""Welfare of a market: gains, efficiency, revenue, and shares of the agents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.checks import choice
from marketenv.core.ledger import net
from marketenv.core.report import Report
from marketenv.metrics.statistics import Interval, mean_interval, ratio_interval


def mean_utilities(utilities: Float64[Tensor, "markets agents"]) -> tuple[Interval, ...]:
    """Mean utility of each agent over markets, money.

    utilities: of the round or the episode   float64 [markets, agents]

    Raises ValueError for NaN and no markets.

    >>> [
    ...     interval.mean
    ...     for interval in mean_utilities(
    ...         torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    ...     )
    ... ]
    [2.0, 0.0]
    """
    return tuple(mean_interval(column) for column in utilities.T)


def total_gain(
    before: Float64[Tensor, "markets agents"],
    after: Float64[Tensor, "markets agents"],
    lower_is_better: bool = False,
) -> Interval:
    """Total gain of all agents of a market: in accuracy, or in loss, which is better when lower.

    mean over markets of  sum_i after[m, i] - before[m, i];   of a loss  before - after

    before, after: accuracy or loss, or money   float64 [markets, agents]
    Raises ValueError for shapes that differ, NaN and no markets.

    >>> loss = torch.tensor([[0.5, 0.25]], dtype=torch.float64)
    >>> total_gain(loss, loss / 2, lower_is_better=True).mean
    0.375
    """
    if before.shape != after.shape:
        raise ValueError(
            f"before is {list(before.shape)} and after {list(after.shape)}; wanted the same markets"
            " and agents."
        )
    return mean_interval((before - after if lower_is_better else after - before).sum(1))


def efficiency(
    welfare: Float64[Tensor, "markets"], optimum: Float64[Tensor, "markets"]
) -> Interval:
    """Share of the best possible welfare that a market reaches.

    mean(welfare) / mean(optimum) over the same markets

    welfare: total utility, money, or total accuracy   float64 [markets]
    optimum: the exact best of each market; or what pooled training reaches,
        which may be beaten   float64 [markets]
    Raises ValueError for NaN, and where the optimum is not above 0 on average.

    >>> efficiency(
    ...     torch.tensor([1.0, 2.0], dtype=torch.float64),
    ...     torch.tensor([2.0, 2.0], dtype=torch.float64),
    ... ).mean
    0.75
    """
    return ratio_interval(welfare, optimum)


def price_of_anarchy(optimum: float, equilibria: Float64[Tensor, "equilibria"]) -> float:
    """Ratio of the best possible welfare to that of the worst known equilibrium.

    optimum / min_e equilibria[e], >= 1

    optimum:    best possible welfare, money
    equilibria: welfare of each known equilibrium, money   [equilibria]
    A lower bound where not all equilibria are known. Raises ValueError for welfare that is not
    above 0 or above the optimum. Source: Koutsoupias and Papadimitriou, Worst-case equilibria,
    STACS 1999.

    >>> price_of_anarchy(4.0, torch.tensor([4.0, 2.0], dtype=torch.float64))
    2.0
    """
    if not len(equilibria) or not bool(
        (equilibria > 0).all() & (equilibria <= optimum * (1 + 1e-9)).all()
    ):
        raise ValueError(
            f"optimum is {optimum:g} and equilibria {equilibria.tolist()}; wanted 0 < equilibria <="
            " optimum."
        )
    return optimum / float(equilibria.min())


def gini(amounts: Float64[Tensor, "markets agents"]) -> Float64[Tensor, "markets"]:
    """Gini index of amounts over the agents of each market: 0 if equal, 1 - 1/n if one has all.

    sum_ij |x_i - x_j| / (2 n sum_i x_i);   0 where nobody has anything

    amounts: >= 0, such as money received or accuracy   float64 [markets, agents]
    Raises ValueError for amounts below 0 or not finite: the index means nothing there, so shift
    utilities first. Source: Gini (1912), in the form for sorted amounts.

    >>> gini(torch.tensor([[1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)).tolist()
    [0.0, 0.5]
    """
    if not amounts.shape[1] or not bool((amounts.isfinite() & (amounts >= 0)).all()):
        raise ValueError("gini wants finite amounts >= 0 of one agent or more.")
    n, total = amounts.shape[1], amounts.sum(1)
    rank = 2 * torch.arange(1, n + 1, dtype=amounts.dtype, device=amounts.device) - n - 1
    share = (amounts.sort(1).values * rank).sum(1) / (n * total).where(total > 0, 1.0)
    return share.clamp(min=0.0)  # rounding of equal amounts


def revenue(
    transfers: Float64[Tensor, "markets payers payees"] | Report, who: Sequence[int] | str
) -> Interval:
    """Money received less money paid of sellers, or of an operator, per market.

    mean over markets of  sum over k of who of  net[m, k]

    transfers: money from payer to payee, float64 [markets, payers, payees], or a round's report
    who:       places of the sellers or operators on the payee axis; in a report the name of a role
               or an account
    Raises ValueError for unknown rows and names, NaN and no markets.

    >>> revenue(torch.tensor([[[0.0, 2.0], [0.5, 0.0]]], dtype=torch.float64), [1]).mean
    1.5
    """
    if isinstance(transfers, Report):
        return mean_interval(
            transfers.net[
                :, transfers.rows[choice(who, "role or account", tuple(transfers.rows))]
            ].sum(1)
        )
    if isinstance(who, str) or not who or not all(0 <= row < transfers.shape[2] for row in who):
        raise ValueError(
            f"who is {who!r}; wanted one or more of 0 .. {transfers.shape[2] - 1}, or a report and"
            " a name in it."
        )
    return mean_interval(net(transfers)[:, list(who)].sum(1))


def per_capita(
    utilities: Float64[Tensor, "markets agents"], focal: Bool[Tensor, "markets agents"]
) -> Interval:
    """Mean return of the focal agents, which play the strategy under test.

    mean over markets of  mean over focal i of  utilities[m, i]

    utilities: of the episode, money                        float64 [markets, agents]
    focal:     True for agents that play the strategy; the others are background agents that the
               strategy has not met   bool [markets, agents]
    Raises ValueError where a market has no focal agent, for NaN and no markets.
    Source: Leibo et al., Scalable evaluation of multi-agent RL with Melting Pot, ICML 2021, sec. 3.

    >>> per_capita(
    ...     torch.tensor([[1.0, 3.0, 9.0]], dtype=torch.float64),
    ...     torch.tensor([[True, True, False]]),
    ... ).mean
    2.0
    """
    if not bool(focal.any(1).all()):
        raise ValueError("a market has no focal agent: nobody plays the strategy there.")
    return mean_interval((utilities.where(focal, 0.0)).sum(1) / focal.sum(1))
