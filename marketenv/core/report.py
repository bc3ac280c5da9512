"""A finished round: what every phase came to, who paid whom, and what it was worth to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    ledger:     cash, and the round's net, at the end of the round;
                rows: of roles and accounts in it
    done, flows, terms: as on the floor;
        seconds: wall-clock seconds of each phase, and of what it quoted
    told:       by phase and fact of its outcome the name under which infos show it
    """

    rewards: Float64[Tensor, "markets agents"]
    terminated: Bool[Tensor, "markets"]
    ledger: Ledger
    done: Mapping[str, Any]
    flows: Mapping[str, Flow]
    terms: Mapping[str, Mapping[str, Tensor]]
    rows: Mapping[str, slice] = field(metadata=STATIC)
    seconds: Mapping[str, float] = field(metadata=STATIC)
    told: Mapping[str, Mapping[str, str]] = field(metadata=STATIC)

    def of(self, kind: type[T]) -> T:
        """The latest outcome of a kind; ValueError where no phase gave one."""
        found = [outcome for outcome in self.done.values() if isinstance(outcome, kind)]
        if not found:
            names = ", ".join(type(outcome).__name__ for outcome in self.done.values())
            raise ValueError(f"the report has no {kind.__name__}, wanted one of {names}.")
        return found[-1]

    @property
    def paid(self) -> Float64[Tensor, "markets agents"]:
        """Money that each agent paid."""
        return self._summed(lambda flow: (flow.payer, flow.paid))[:, : self.rewards.shape[1]]

    @property
    def received(self) -> Float64[Tensor, "markets agents"]:
        """Money that each agent received."""
        return self._summed(lambda flow: (flow.payee, flow.received))[:, : self.rewards.shape[1]]

    @property
    def net(self) -> Amounts:
        """Money that each agent, and each account, received less what it paid."""
        return self._summed(lambda flow: (flow.payee, flow.received)) - self._summed(
            lambda flow: (flow.payer, flow.paid)
        )

    @property
    def transfers(self) -> Float64[Tensor, "markets rows rows"]:
        """All payments in one matrix over agents and accounts, for pictures and small markets."""
        return ledger.dense(self.flows, self.rows, self.ledger.cash)

    @property
    def names(self) -> list[str]:
        """Names of the agents, then of the accounts, as the rows of ``transfers``: seller_0,
        account held, account escrow_1.
        """
        agents, named = self.rewards.shape[1], []
        for name, where in self.rows.items():
            many = where.stop <= agents or where.stop - where.start > 1
            kind = "" if where.stop <= agents else "account "
            named += [
                f"{kind}{name}_{k}" if many else f"{kind}{name}"
                for k in range(where.stop - where.start)
            ]
        return named

    def between_names(self) -> tuple[Float64[Tensor, "markets names names"], list[str]]:
        """``transfers`` and ``names`` where all rows of an account are one, ``account escrow``:
        for pictures.
        """
        agents, names = self.rewards.shape[1], self.names
        shown = [
            f"account {name}" if where.start >= agents else names[row]
            for name, where in self.rows.items()
            for row in range(where.start, where.stop)
        ]
        kept = list(dict.fromkeys(shown))
        place = torch.tensor([kept.index(name) for name in shown], device=self.rewards.device)
        money = self.transfers
        for side in (1, 2):
            shape = list(money.shape)
            shape[side] = len(kept)
            money = money.new_zeros(shape).index_add(side, place, money)
        return money, kept

    def infos(self) -> dict[str, Tensor]:
        """The numbers that infos show: each [markets, agents]; a phase may tell a fact of every
        market in its own way.
        """
        agents = self.rewards.shape[1]
        facts = {
            "utility": self.rewards,
            "paid": self.paid,
            "received": self.received,
            "cash": self.ledger.cash[:, :agents],
        }
        for phase, outcome in self.done.items():
            facts |= {self.told[phase][fact]: value for fact, value in outcome.facts().items()}
        return facts

    def story(self, agents: Sequence[str]) -> list[str]:
        """Tell the first market's round in lines of text: every phase's part, payments, and
        utilities.
        """
        lines = [line for outcome in self.done.values() for line in outcome.story(agents)]
        transfers, names = self.between_names()
        money = transfers[0]
        # not what a hold leaves over by rounding
        moved = (money > ledger.RELATIVE * money.max()).nonzero()
        paid = [f"{names[p]} pays {names[q]} {float(money[p, q]):.4f}." for p, q in moved.tolist()]
        utilities = ", ".join(
            f"{a} {u:+.4f}" for a, u in zip(agents, self.rewards[0].tolist(), strict=True)
        )
        return [*lines, *(paid or ["Nobody pays anybody."]), f"Utility: {utilities}."]

    def _summed(self, side: Callable[[Flow], tuple[str, Tensor]]) -> Amounts:
        """One side of all payments, over agents and accounts."""
        total = torch.zeros_like(self.ledger.cash)
        for flow in self.flows.values():
            who, money = side(flow)
            total[:, self.rows[who]] += money
        return total
