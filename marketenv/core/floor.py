"""The floor that all phases of a market share: agents, money, models, and this round so far."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.ledger import Flow, Ledger
from marketenv.core.lookup import unknown
from marketenv.core.parts import fits, taken
from marketenv.core.tree import STATIC

T = TypeVar("T")


@dataclass(frozen=True)
class Floor:
    """What phases hand to one another; tensors lead with the market axis.

    seeds:   of each market's episode                                      int64 [markets]
    round:   number of finished rounds                                     int64 [markets]
    ledger:  cash, credit and this round's net of agents, then accounts    [markets, rows]
    present: who is in the market                                          bool [markets, agents]
    ended:   the game is over by a rule of its own                         bool [markets]
    rows:    where each role's agents and each account lie in the ledger, agents first
    horizon: rounds of an episode;   cut: no agent sees where they end
    world:   what the seeds fix for good, such as data (see ``marketenv.markets.worlds``)
    models:  of each role's agents
    types:   private types, by role and name                               [markets, count]

    Of this round so far:
    flows:    payments by name
    terms:    parts of the utility that are no money, by name and role     [markets, count]
    outcomes: every phase's outcome, by the phase's name
    """

    seeds: Int[Tensor, "markets"]
    round: Int[Tensor, "markets"]
    ledger: Ledger
    present: Bool[Tensor, "markets agents"]
    ended: Bool[Tensor, "markets"]
    rows: Mapping[str, slice] = field(metadata=STATIC)
    horizon: int = field(metadata=STATIC, default=1)
    cut: bool = field(metadata=STATIC, default=False)
    world: Any = None
    models: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    flows: Mapping[str, Flow] = field(default_factory=dict)
    terms: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    outcomes: Mapping[str, Any] = field(default_factory=dict)

    def keys(self, *purpose: int | str) -> Int[Tensor, "markets"]:
        """Keys of this round's random draws for a purpose."""
        return draws.fold(self.seeds, self.round, *purpose)

    def count(self, who: str) -> int:
        """How many rows a role or an account has; ValueError for an unknown name."""
        where = self.where(who)
        return where.stop - where.start

    def where(self, who: str) -> slice:
        """The rows of a role or an account; ValueError for an unknown name."""
        if who not in self.rows:
            raise unknown("role or account", who, tuple(self.rows))
        return self.rows[who]

    def cash(self, who: str) -> Float64[Tensor, "markets count"]:
        """Money in hand of a role's agents or of an account."""
        return self.ledger.cash[:, self.where(who)].clone()

    def purse(self, who: str) -> Float64[Tensor, "markets count"]:
        """The most that each can pay now."""
        return self.ledger.purse[:, self.where(who)]

    @property
    def played(self) -> Float64[Tensor, "markets"]:
        """Finished rounds / horizon, as agents may see it: always 0 where the horizon is a cut."""
        share = self.round.double() / self.horizon
        return share.zero_() if self.cut else share

    def everyone(self, **by_role: Tensor) -> Tensor:
        """Numbers of some roles over all agents, 0 for the others.

        [markets, count] of each role -> [markets, agents]
        """
        for role, values in by_role.items():
            where = self._agents(role)
            shape = (self.present.shape[0], where.stop - where.start)
            if not isinstance(values, Tensor) or values.shape != shape:
                subject, like = f"everyone was given {role}", self.present[:, where]
                taken(values, subject, like, f"markets, {role}", torch.float64)
        if len(by_role) == 1 and values.shape == self.present.shape:
            return values.clone()  # they are everybody
        if sum(self.count(role) for role in by_role) == self.present.shape[1]:
            return torch.cat([by_role[role] for role in self.rows if role in by_role], 1)
        kinds = [values.dtype for values in by_role.values()] or [torch.float64]
        kind = functools.reduce(torch.promote_types, kinds)
        total = self.ledger.cash.new_zeros(self.present.shape, dtype=kind)
        for role, values in by_role.items():
            total[:, self.where(role)] = values.to(total.dtype)
        return total

    def _agents(self, role: str) -> slice:
        """The rows of a role; ValueError for an account, which is no agent and has no utility."""
        where = self.where(role)
        if where.stop > self.present.shape[1]:
            roles = [name for name, rows in self.rows.items() if rows.stop <= self.present.shape[1]]
            raise ValueError(f"{role!r} is an account, wanted a role: {', '.join(roles)}.")
        return where

    def of(self, kind: type[T], **fields: Any) -> T:
        """This round's latest outcome of a class and with these fields (``role="trader"``).

        Raises ValueError where there is none.
        """
        latest = None
        for outcome in (each.of(kind) for each in self.outcomes.values()):
            if outcome is not None and _has(outcome, fields):
                latest = outcome
        if latest is None:
            of = "".join(f" of {name} {value!r}" for name, value in fields.items())
            raise ValueError(
                f"no phase of this round has given a {kind.__name__}{of} yet, wanted one before"
                f" this phase; outcomes are there of: {', '.join(self.outcomes) or 'no phase'}. Put"
                " the phase that gives it earlier into the chain."
            )
        return latest

    def pay(
        self, name: str, payer: str, payee: str, money: Float[Tensor, "markets payers payees"]
    ) -> Floor:
        """Book payments at once; a hold is a payment to an account, and a release one from it.

        name:         of these payments, once a round
        payer, payee: a role or an account
        money:        >= 0   [markets, payers, payees]

        At the end of the phase it is checked that the payers have the money. Raises ValueError for
        unknown names, a name that is booked already, and another shape or type.
        """
        if name in self.flows:
            raise ValueError(
                f"payments {name!r} are booked already in this round, wanted a name once: rename"
                " one of the two."
            )
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(
                f"payments are named {name!r}, wanted text without dots, under which they are kept."
            )
        payers, payees = self.where(payer), self.where(payee)
        shape = (self.seeds.shape[0], self.count(payer), self.count(payee))
        if not fits(money, shape, self.seeds.device, torch.float64):
            like = self.ledger.cash[:, payers, None].expand(shape)
            subject, axes = f"payments {name!r} came", f"markets, {payer}, {payee}"
            money = taken(money, subject, like, axes, torch.float64)
        flow = Flow(payer, payee, money)
        ledger = self.ledger.moved(payers, payees, flow.paid, flow.received)
        return self.but(flows={**self.flows, name: flow}, ledger=ledger)

    def term(self, name: str, role: str, value: Float[Tensor, "markets count"]) -> Floor:
        """Add a part of a role's utility that is no money: a value or, below 0, a cost.

        Raises ValueError where the role has a term of this name already in this round.
        """
        by_role = self.terms.get(name, {})
        if role in by_role:
            raise ValueError(
                f"the term {name!r} of {role} stands already in this round, wanted it once: rename"
                " one of the two."
            )
        where = self._agents(role)
        shape = (self.seeds.shape[0], where.stop - where.start)
        if not fits(value, shape, self.seeds.device, torch.float64):
            like, subject = self.ledger.cash[:, where], f"the term {name!r} came"
            value = taken(value, subject, like, f"markets, {role}", torch.float64)
        return self.but(terms={**self.terms, name: {**by_role, role: value}})

    def but(self, **parts: Any) -> Floor:
        """The same floor with other parts; ``dataclasses.replace`` takes ten times as long."""
        if not parts.keys() <= vars(self).keys():
            name = next(name for name in parts if name not in vars(self))
            raise unknown("part of the floor", name, tuple(vars(self)))
        floor = object.__new__(type(self))
        vars(floor).update(vars(self), **parts)
        return floor


def _has(outcome: Any, values: Mapping[str, Any]) -> bool:
    """Whether the outcome's fields of these names have these values."""
    return all(getattr(outcome, name) == value for name, value in values.items())
