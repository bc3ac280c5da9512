"""Money: transfers between agents, and the books that they settle. Conserved by construction."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from marketenv.core.parts import taken

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
        """Move the money; who is paid may spend it from the next round on. Every market's money goes through here.

        Raises ValueError for transfers of another shape, a negative or non-finite one, and a payer beyond its purse; nothing
        moves then.
        """
        agents = self.cash[..., None].expand(*self.cash.shape, self.cash.shape[-1])
        transfers = taken(transfers, "settle was given transfers", agents, "markets, payers, payees")
        impossible, paid = ~(transfers.isfinite() & (transfers >= 0)), transfers.sum(-1)
        over = paid > self.purse * (1 + 1e-9) + 1e-9
        if bool((impossible.any(-1) | over).any()):
            self._refuse(transfers, impossible, over)
        return Ledger(self.cash + net(transfers), self.credit)

    def _refuse(self, transfers: TransferMatrix, impossible: Tensor, over: Tensor) -> None:
        if impossible.any():
            market, payer, payee = impossible.nonzero()[0].tolist()
            raise ValueError(
                f"a transfer is {float(transfers[market, payer, payee])}, wanted a finite amount >= 0: agent {payer} of "
                f"market {market} would pay it to {payee}. No money moved."
            )
        market, agent = over.nonzero()[0].tolist()
        raise ValueError(
            f"agent {agent} of market {market} would pay {float(transfers[market, agent].sum()):g} from a purse of "
            f"{float(self.purse[market, agent]):g}: more than its cash and credit. No money moved."
        )
