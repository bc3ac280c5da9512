"""Money: named payments, and the cash that they move; it is conserved by construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.numbers import finite, total, zeros
from marketenv.core.tree import STATIC

Transfers = Float64[Tensor, "markets payers payees"]
Amounts = Float64[Tensor, "markets rows"]
# how far beyond its purse a payer may go, since prices are rounded: money, and a share of the purse
ROUNDING, RELATIVE = 1e-9, 1e-12
# a payment of at most this share of the largest one is what a hold leaves over by rounding
LEFT_OVER = 10 * RELATIVE


def net(transfers: Transfers) -> Amounts:
    """Money received less money paid.

    net[m, i] = sum_j transfers[m, j, i] - sum_j transfers[m, i, j]

    transfers: money from payer to payee, >= 0   [markets, payers, payees], square
    Returns what each row's cash changes by [markets, rows]; it sums to zero over rows up to
    rounding.

    >>> net(torch.tensor([[[0.0, 2.0], [0.5, 0.0]]], dtype=torch.float64))
    tensor([[-1.5000,  1.5000]], dtype=torch.float64)
    """
    return transfers.sum(-2) - transfers.sum(-1)


@dataclass(frozen=True)
class Flow:
    """Payments of one name: from the agents of a role, or an account, to those of another.

    payer, payee: names of roles or accounts
    money:        >= 0   float64 [markets, payers, payees]
    """

    payer: str = field(metadata=STATIC)
    payee: str = field(metadata=STATIC)
    money: Transfers

    @cached_property
    def paid(self) -> Float64[Tensor, "markets payers"]:
        """What each payer pays."""
        return total(self.money, 2)

    @cached_property
    def received(self) -> Float64[Tensor, "markets payees"]:
        """What each payee gets."""
        return total(self.money, 1)


@dataclass(frozen=True)
class Ledger:
    """Cash of every agent and account, its credit, and the net money of the present round.

    cash:   money in hand                                        float64 [markets, rows]
    credit: how far cash may fall below zero (inf: no limit)     float64 [markets, rows]
    net:    money received less money paid in this round         float64 [markets, rows]
    """

    cash: Amounts
    credit: Amounts
    net: Amounts

    @classmethod
    def of(cls, cash: Amounts, credit: Amounts) -> Ledger:
        """A ledger before the first payment."""
        return cls(cash, credit, zeros(cash.device, *cash.shape))

    @property
    def purse(self) -> Amounts:
        """The most that each row can pay now: cash + credit, never below 0."""
        return (self.cash + self.credit).clamp(min=0.0)

    def book(self, payers: slice, payees: slice, money: Transfers) -> Ledger:
        """Move money from some rows to others at once; ``check`` looks whether they have it.

        >>> ledger = Ledger.of(
        ...     torch.tensor([[5.0, 1.0, 0.0]], dtype=torch.float64),
        ...     torch.zeros(1, 3, dtype=torch.float64),
        ... )
        >>> ledger.book(
        ...     slice(0, 1), slice(1, 3), torch.tensor([[[2.0, 1.0]]], dtype=torch.float64)
        ... ).cash
        tensor([[2., 3., 1.]], dtype=torch.float64)
        """
        return self.moved(payers, payees, money.sum(2), money.sum(1))

    def moved(self, payers: slice, payees: slice, paid: Tensor, received: Tensor) -> Ledger:
        """The same from the sums of each payer [markets, payers] and payee [markets, payees]."""
        change = torch.zeros_like(self.cash)
        change[:, payees].add_(received)
        change[:, payers].sub_(paid)
        return Ledger(self.cash + change, self.credit, self.net + change)

    def new_round(self) -> Ledger:
        """The same cash at the start of a round, before its first payment."""
        return Ledger(self.cash, self.credit, zeros(self.net.device, *self.net.shape))


def check(
    before: Ledger, after: Ledger, flows: Mapping[str, Flow], rows: Mapping[str, slice], agents: int
) -> None:
    """Refuse payments of a phase that are negative, not finite, or more than the payer had.

    before, after: books before and after these flows, as ``Floor.pay`` books them
    rows:   of every role and account
    agents: how many rows are agents', which come first

    An agent pays from what it had before the phase; it may spend what it gets in the phase in the
    next one. An account may pass on what it gets. Raises ValueError that names the flow and the
    payer; no money has moved then, for the phase has not happened.
    """
    if not flows:
        return
    paid = torch.zeros_like(before.cash)
    for flow in flows.values():
        paid[:, rows[flow.payer]].add_(flow.paid)
    limit = before.cash + before.credit
    if agents < limit.shape[1]:  # an account passes on what it gets
        limit[:, agents:] += after.cash[:, agents:] - before.cash[:, agents:] + paid[:, agents:]
    affordable = bool((paid <= limit).all())
    if affordable and all(finite(flow.money, least=0.0) for flow in flows.values()):
        return  # nearly always, and soon seen
    over = (paid > 0) & (paid > limit + ROUNDING + RELATIVE * limit.abs())
    bad = [over.any(), *(~_possible(flow).all() for flow in flows.values())]
    if bool(torch.stack(bad).any()):
        _refuse(before, flows, rows, over)


def check_booked(
    before: Ledger, after: Ledger, flows: Mapping[str, Flow], rows: Mapping[str, slice]
) -> None:
    """Refuse books that these flows do not make of the books before; no money has moved then."""
    ledger = before
    for flow in flows.values():
        ledger = ledger.moved(rows[flow.payer], rows[flow.payee], flow.paid, flow.received)
    pairs = ((ledger.cash, after.cash), (ledger.net, after.net))
    same = torch.stack([(one == two) | one.isnan() for one, two in pairs])
    if after.credit is not before.credit or not bool(same.all()):
        raise ValueError(
            "the ledger is not what the flows make of it, wanted payments by floor.pay alone. No"
            " money moved."
        )


def _possible(flow: Flow) -> Tensor:
    """Which payments of a flow are finite amounts >= 0: bool [markets, payers, payees]."""
    return (flow.money >= 0) & (flow.money < torch.inf)


def _refuse(
    before: Ledger, flows: Mapping[str, Flow], rows: Mapping[str, slice], over: Tensor
) -> None:
    """Raise ValueError that says which payment is refused, and why."""
    for name, flow in flows.items():
        impossible = ~_possible(flow)
        if bool(impossible.any()):
            market, payer, payee = impossible.nonzero()[0].tolist()
            raise ValueError(
                f"a payment {name!r} is {float(flow.money[market, payer, payee])}, wanted a finite"
                f" amount >= 0: {flow.payer}_{payer} of market {market} would pay it to"
                f" {flow.payee}_{payee}. No money moved."
            )
    market, row = over.nonzero()[0].tolist()
    who = next(name for name, where in rows.items() if where.start <= row < where.stop)
    place = row - rows[who].start
    bill = {name: float(f.paid[market, place]) for name, f in flows.items() if f.payer == who}
    raise ValueError(
        f"{who}_{place} of market {market} would pay {sum(bill.values()):g} ({', '.join(bill)})"
        f" from a purse of {float(before.purse[market, row]):g}: more than its cash and credit. No"
        " money moved."
    )


def dense(flows: Mapping[str, Flow], rows: Mapping[str, slice], like: Amounts) -> Transfers:
    """All flows in one square matrix over all rows, for pictures and reports of small markets.

    like: numbers of the ledger's shape   [markets, rows]
    Returns money from row to row         [markets, rows, rows].
    """
    total = like.new_zeros(*like.shape, like.shape[1])
    for flow in flows.values():
        total[:, rows[flow.payer], rows[flow.payee]] += flow.money
    return total
