"""Does everybody want to take part, and does the money add up?"""

from __future__ import annotations

from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.ledger import net
from marketenv.core.report import Report
from marketenv.metrics.statistics import Interval, mean_interval


def ir_violation(utilities: Float64[Tensor, "markets agents"], outside: float = 0.0) -> Interval:
    """How much agents lose on average by taking part: 0 where taking part is individually rational.

    mean over markets of  mean_i max(0, outside - utilities[m, i])

    utilities: of the round or the episode, money   float64 [markets, agents]
    outside:   what staying away is worth, money

    Agents of one market are not independent, so the interval is over markets. Individual
    rationality while others lie is the same figure of another profile: the truthful agents' columns
    of markets in which the others deviate. Raises ValueError for NaN and no markets. Source:
    definition of ex-post individual rationality.

    >>> import torch
    >>> ir_violation(torch.tensor([[1.0, -0.5]], dtype=torch.float64)).mean
    0.25
    """
    return mean_interval((outside - utilities).clamp(min=0.0).mean(1))


def participation(traded: Bool[Tensor, "markets agents"]) -> Interval:
    """Share of agents that take part, with an interval over markets.

    mean over markets of  mean_i 1{traded[m, i]}

    traded: True where the agent took part   bool [markets, agents]

    Raises ValueError for no markets.
    Of single agents that may take part or not, independent of each other, ``share_interval`` is
    exact.

    >>> import torch
    >>> participation(torch.tensor([[True, False], [True, True]])).mean
    0.75
    """
    return mean_interval(traded.double().mean(1))


def budget_balance(
    transfers: Float64[Tensor, "markets payers payees"] | Report, n_agents: int | None = None
) -> Float64[Tensor, "markets"]:
    """Money that accounts (operator, subsidy, fee) receive; 0 where agents only pay each other.

    balance[m] = sum over rows k >= n_agents of  net[m, k];
    > 0: the market takes money from its agents, < 0: it adds some

    transfers: money from payer to payee, >= 0
        float64 [markets, payers, payees], square, agents first;   or a round's report
    n_agents:  how many of the rows are agents; a report knows it
    Raises ValueError for amounts that are negative or not finite, and where money appears or
    vanishes.

    >>> import torch
    >>> budget_balance(
    ...     torch.tensor([[[0.0, 2.0], [0.5, 0.0]]], dtype=torch.float64), n_agents=1
    ... ).tolist()
    [1.5]
    """
    if isinstance(transfers, Report):
        return transfers.net[:, transfers.rewards.shape[1] :].sum(1)
    rows = transfers.shape[1]
    if n_agents is None or not 1 <= n_agents <= rows or rows != transfers.shape[2]:
        raise ValueError(
            f"transfers are {list(transfers.shape)} with {n_agents} agents; wanted a square, 1 <="
            " agents <= rows."
        )
    if not bool((transfers.isfinite() & (transfers >= 0)).all()):
        raise ValueError("a transfer is negative or not finite; a payment rule returned it.")
    money = net(transfers)
    lost = float(money.sum(1).abs().max()) if len(money) else 0.0
    if lost > 1e-9 * max(1.0, float(transfers.sum((1, 2)).max()) if len(money) else 1.0):
        raise ValueError(
            f"{lost:g} of money appeared or vanished in a market; transfers should sum to zero."
        )
    return money[:, n_agents:].sum(1)
