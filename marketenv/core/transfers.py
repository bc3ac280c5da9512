"""Money: transfers between agents, and the books that they settle. Conserved by construction."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

TransferMatrix = Float64[Tensor, "markets payers payees"]
Money = Float64[Tensor, "markets agents"]


def net(transfers: TransferMatrix) -> Money:
    """Money received less money paid.

    net[m, i] = sum_j transfers[m, j, i] - sum_j transfers[m, i, j]

    transfers: money from payer to payee, >= 0   [markets, payers, payees], square
    Returns what each agent's cash changes by [markets, agents]; it sums to zero over agents up to rounding.

    >>> import torch
    >>> net(torch.tensor([[[0.0, 2.0], [0.5, 0.0]]], dtype=torch.float64))
    tensor([[-1.5000,  1.5000]], dtype=torch.float64)
    """
    return transfers.sum(-2) - transfers.sum(-1)


@dataclass(frozen=True)
class Ledger:
    """Cash of every agent and how far below zero it may go.

    cash:   money in hand                                   float64 [markets, agents]
    credit: how far cash may fall below zero (inf: no limit) float64 [markets, agents]
    """

    cash: Money
    credit: Money

    @property
    def purse(self) -> Money:
        """The most that each agent can pay now: cash + credit, never below 0."""
        return (self.cash + self.credit).clamp(min=0.0)

    def affordable(self, bids: Float64[Tensor, "markets buyers sellers"]) -> Tensor:
        """True where a single bid can be paid from the purse: bool [markets, buyers, sellers]."""
        return bids <= self.purse[..., None]

    def settle(self, transfers: TransferMatrix) -> Ledger:
        """Move the money; who is paid may spend it from the next round on.

        Raises ValueError for a negative or non-finite transfer or a payer beyond its purse; nothing moves then.
        """
        if not bool((transfers.isfinite() & (transfers >= 0)).all()):
            worst = float(transfers[~(transfers.isfinite() & (transfers >= 0))][0])
            raise ValueError(f"a transfer is {worst}, wanted a finite amount >= 0; a payment rule returned it. No money moved.")
        paid = transfers.sum(-1)
        over = paid > self.purse * (1 + 1e-9) + 1e-9
        if over.any():
            market, agent = over.nonzero()[0].tolist()
            raise ValueError(
                f"agent {agent} of market {market} would pay {float(paid[market, agent]):g} from a purse of "
                f"{float(self.purse[market, agent]):g}. A payment may not be above what the payer holds. No money moved."
            )
        return Ledger(self.cash + net(transfers), self.credit)
