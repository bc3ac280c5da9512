"""A finished round: what every phase came to, who paid whom, and what it was worth to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core import ledger
from marketenv.core.ledger import Amounts, Flow, Ledger
from marketenv.core.tree import STATIC

T = TypeVar("T")
EVERYWHERE = ("utility", "paid", "received", "cash")  # facts of every market


@dataclass(frozen=True)
class Report:
    """A finished round: every phase's outcome, who paid whom, and what it was worth.

    rewards:    utility of the round: net money + terms   float64 [markets, agents]
    terminated: the game is really over                                              bool [markets]
    ledger:     cash and the round's net, at the end of the round
    rows:       where roles and accounts lie in the ledger
    outcomes, flows, terms: as on the floor
    seconds:    wall-clock seconds of each phase, and of its quotes
    fact_names: by phase and fact of its outcome, the name under which infos show it
    """

    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    ledger: Ledger
    outcomes: Mapping[str, Any]
    flows: Mapping[str, Flow]
    terms: Mapping[str, Mapping[str, Tensor]]
    rows: Mapping[str, slice] = field(metadata=STATIC)
    seconds: Mapping[str, float] = field(metadata=STATIC)
    fact_names: Mapping[str, Mapping[str, str]] = field(metadata=STATIC)

    def of(self, kind: type[T]) -> T:
        """The latest outcome of a kind; ValueError where no phase gave one."""
        held = [outcome.of(kind) for outcome in self.outcomes.values()]
        outcomes = [outcome for outcome in held if outcome is not None]
        if not outcomes:
            names = ", ".join(type(outcome).__name__ for outcome in self.outcomes.values())
            raise ValueError(f"the report has no {kind.__name__}, wanted one of {names}.")
        return outcomes[-1]

    @property
    def paid(self) -> Float64[Tensor, "markets agents"]:
        """Money that each agent paid."""
        return self._payments()[:, : self.rewards.shape[1]]

    @property
    def received(self) -> Float64[Tensor, "markets agents"]:
        """Money that each agent received."""
        return self._receipts()[:, : self.rewards.shape[1]]

    @property
    def net(self) -> Amounts:
        """Money that each agent, and each account, received less what it paid."""
        return self._receipts() - self._payments()

    @property
    def transfers(self) -> Float64[Tensor, "markets rows rows"]:
        """All payments in one matrix over agents and accounts, for pictures and small markets."""
        return ledger.dense(self.flows, self.rows, self.ledger.cash)

    @property
    def names(self) -> list[str]:
        """Names of the agents, then of the accounts, in the order of the rows of ``transfers``.

        For instance seller_0, account held, account escrow_1.
        """
        agents, names = self.rewards.shape[1], []
        for name, where in self.rows.items():
            kind, count = "" if where.stop <= agents else "account ", where.stop - where.start
            if kind and count == 1:
                names.append(f"{kind}{name}")
            else:
                names += [f"{kind}{name}_{k}" for k in range(count)]
        return names

    def between_names(self) -> tuple[Float64[Tensor, "markets names names"], list[str]]:
        """``transfers`` and ``names`` with one row for each account, for pictures."""
        agents, names = self.rewards.shape[1], self.names
        row_names = [
            f"account {name}" if where.start >= agents else names[row]
            for name, where in self.rows.items()
            for row in range(where.start, where.stop)
        ]
        unique = list(dict.fromkeys(row_names))
        place = torch.tensor([unique.index(name) for name in row_names], device=self.rewards.device)
        money = self.transfers
        for side in (1, 2):
            shape = list(money.shape)
            shape[side] = len(unique)
            money = money.new_zeros(shape).index_add(side, place, money)
        return money, unique

    def infos(self) -> dict[str, Tensor]:
        """The numbers that infos show, by name: each [markets, agents].

        A phase may show a fact of every market, such as utility, in its own way.
        """
        return dict(self._infos)

    @cached_property
    def _infos(self) -> dict[str, Tensor]:
        cash = self.ledger.cash[:, : self.rewards.shape[1]]
        numbers = (self.rewards, self.paid, self.received, cash)
        facts = dict(zip(EVERYWHERE, numbers, strict=True))
        for phase, outcome in self.outcomes.items():
            facts |= {
                self.fact_names[phase][fact]: value for fact, value in outcome.facts().items()
            }
        return facts

    def story(self, agents: Sequence[str]) -> list[str]:
        """The first market's round in lines of text: every phase's part, payments, utilities."""
        lines = [line for outcome in self.outcomes.values() for line in outcome.story(agents)]
        transfers, names = self.between_names()
        money = transfers[0]
        pairs = (money > ledger.LEFT_OVER * money.max()).nonzero().tolist()
        payments = [f"{names[p]} pays {names[q]} {float(money[p, q]):.4f}." for p, q in pairs]
        utilities = zip(agents, self.rewards[0].tolist(), strict=True)
        last = ", ".join(f"{agent} {utility:+.4f}" for agent, utility in utilities)
        return [*lines, *(payments or ["Nobody pays anybody."]), f"Utility: {last}."]

    def _payments(self) -> Amounts:
        """Money that each agent, and each account, paid."""
        return self._summed(lambda flow: (flow.payer, flow.paid))

    def _receipts(self) -> Amounts:
        """Money that each agent, and each account, received."""
        return self._summed(lambda flow: (flow.payee, flow.received))

    def _summed(self, side: Callable[[Flow], tuple[str, Tensor]]) -> Amounts:
        """One side of all payments, over agents and accounts."""
        total = torch.zeros_like(self.ledger.cash)
        for flow in self.flows.values():
            who, money = side(flow)
            total[:, self.rows[who]].add_(money)
        return total
