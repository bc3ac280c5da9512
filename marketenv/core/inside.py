"""Who plays whom: how the floor of a market looks to the phases of a smaller one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.fields import Fields
from marketenv.core.floor import Floor
from marketenv.core.folded import SeveralWorlds, unfold
from marketenv.core.ledger import Ledger
from marketenv.core.moves import Move
from marketenv.core.people import People
from marketenv.core.phase import Outcome


@dataclass(frozen=True, eq=False)
class Inside:
    """Who plays whom: how the floor of a market looks to the phases of a smaller one.

    name:   of the smaller market, under which its world is kept
    people: of the smaller market;   market: the smaller market itself, where it stands alone too
    names:  by its roles, accounts and models, who that is in the larger market; what is not named
            is not there. An account has its rows in every copy
    alone:  the role of which every copy has one agent; "" for one market without copies
    copies: how many agents of the larger market play that role
    common: fields that are shown and answered once for all copies; of all others there is one for
            each copy
    without: facts and terms of the smaller market that do not count;   untold: facts alone
    silent:  outcomes of the smaller market whose words are not true in the larger one
    renamed: facts and payments of the smaller market that have another name in the larger one
    goods:   by roles of the larger market, what those who play one are paid for, for pictures
    """

    name: str
    people: People
    names: Mapping[str, str]
    alone: str = ""
    copies: int = 1
    common: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()
    silent: frozenset[type[Outcome]] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    goods: Mapping[str, str] = field(default_factory=dict)
    market: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the latest floor."""
        return {name: value for name, value in vars(self).items() if name != "_last"}

    @cached_property
    def _last(self) -> dict[str, Any]:
        """The latest floor and its copies: a stage is quoted, shown and played on one floor. It is
        no field, since a saved file compares fields.
        """
        return {}

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Roles of the smaller market that somebody plays."""
        return tuple(role for role in self.people.roles if role in self.names)

    @cached_property
    def _typed(self) -> dict[str, str]:
        """By a role the name under which its types are kept; one that nobody plays has them too."""
        return {role: self.names.get(role, f"idle {role}") for role in self.people.roles}

    @cached_property
    def players(self) -> dict[str, str]:
        """By a role of the larger market the role that it plays in the smaller one."""
        return {self.names[role]: role for role in self.roles}

    def shared(self, name: str) -> bool:
        """Whether a role is in all copies at once."""
        return name in self.people.roles and name != self.alone

    def booked(self, name: str) -> str:
        """The name in the larger market of a payment of the smaller one."""
        return self.renamed.get(name, name)

    # --- numbers ----------------------------------------------------------------------------------

    def enter(self, name: str, values: Tensor) -> Tensor:
        """Numbers of who plays a role [markets, count, ...], for the copies."""
        if self.shared(name):
            return values[:, None].expand(-1, self.copies, *values.shape[1:]).flatten(0, 1)
        return values.unflatten(1, (self.copies, -1)).flatten(0, 1)

    def leave(self, name: str, values: Tensor, total: bool = False) -> Tensor:
        """Numbers of a role in the copies, for the markets; a role that is in all copies gets the
        mean of them, or their total.
        """
        each = unfold(values, self.copies)
        if not self.shared(name):
            return each.flatten(1, 2)
        if self.copies == 1:
            return each[:, 0]
        if each.dtype == torch.bool:
            return each.any(1)
        return each.sum(1) if total else each.double().mean(1).to(each.dtype)

    def money(self, payer: str, payee: str, money: Tensor) -> Tensor:
        """Payments of the copies, as payments of the markets: [markets, payers, payees]."""
        each = unfold(money, self.copies)
        if self.shared(payer) and self.shared(payee):
            return each.sum(1)
        if self.shared(payee):
            return each.flatten(1, 2)
        if self.shared(payer):
            return each.transpose(1, 2).flatten(2, 3)
        blocks = torch.diag_embed(each.permute(0, 2, 3, 1)).permute(0, 3, 1, 4, 2)
        return blocks.flatten(3, 4).flatten(1, 2)

    # --- the floor --------------------------------------------------------------------------------

    def inner(self, floor: Floor) -> Floor:
        """The floor of the copies. An agent in all copies may spend in each an equal part of what
        it has, so that it can pay everywhere.
        """
        last = self._last
        known = last.get("floor")
        if known is None or known[0]() is not floor:
            origin = weakref.ref(floor, lambda _: last.clear())
            last["floor"] = known = origin, self._copied(floor)
        copies: Floor = known[1]
        return copies

    def _copied(self, floor: Floor) -> Floor:
        books = floor.ledger.cash, floor.ledger.credit, floor.ledger.net
        return Floor(
            seeds=self._seeds(floor),
            round=floor.round.repeat_interleave(self.copies),
            ledger=Ledger(*(self._rows(floor, part) for part in books)),
            present=self._present(floor),
            ended=floor.ended.repeat_interleave(self.copies),
            rows=self.people.rows,
            horizon=floor.horizon,
            cut=floor.cut,
            world=self._world(floor),
            models={
                name: tree.mapped(partial(self.enter, name), floor.models[own])
                for name, own in self.names.items()
                if own in floor.models and (self.copies == 1 or not self.shared(name))
            },
            types={
                role: {n: self.enter(role, part) for n, part in floor.types[own].items()}
                for role, own in self._typed.items()
                if own in floor.types
            },
            outcomes={n: o for n, o in floor.outcomes.items() if self._mine(o)},
        )

    def outer(self, floor: Floor, before: Floor, after: Floor) -> Floor:
        """The floor with what a phase has made of its copies.

        before, after: the copies before and after the phase
        """
        for name, flow in after.flows.items():
            if flow.payer not in self.names or flow.payee not in self.names:
                continue  # nobody plays who would be paid: it is paid nothing
            money = self.money(flow.payer, flow.payee, flow.money)
            floor = floor.pay(
                self.booked(name), self.names[flow.payer], self.names[flow.payee], money
            )
        for name, by_role in after.terms.items():
            for role, value in by_role.items():
                if name not in self.without and role in self.names:
                    floor = floor.term(name, self.names[role], self.leave(role, value, total=True))
        return floor.but(
            models={**floor.models, **self._changed_models(before, after)},
            types=self._types(floor, before, after),
            present=self._left(floor, before, after),
            ended=self._over(floor, before, after),
        )

    def furnish(self, furnish: Callable[[Floor], Floor]) -> Callable[[Floor], Floor]:
        """What furnishes the larger market with what the smaller one begins with: one world for
        all copies, and types of its own for every agent.
        """
        return partial(self._furnished, furnish)

    def _furnished(self, furnish: Callable[[Floor], Floor], floor: Floor) -> Floor:
        before = self.inner(floor)
        after = furnish(before)
        floor = self.outer(floor, before, after)
        known = {} if floor.world is None else floor.world.parts
        if after.world is None:
            return floor
        first = torch.arange(len(floor.seeds), device=floor.seeds.device) * self.copies
        return floor.but(world=SeveralWorlds({**known, self.name: after.world.rows(first)}))

    def _mine(self, outcome: Outcome) -> bool:
        """Whether an outcome is one of phases with the same copies."""
        inside = getattr(outcome, "inside", None)
        return isinstance(inside, Inside) and inside.copies == self.copies

    def _seeds(self, floor: Floor) -> Tensor:
        """A seed for each copy, the market's own for the first."""
        own = floor.seeds[:, None]
        more = torch.arange(1, self.copies, device=own.device)
        each = own.expand(-1, self.copies - 1)
        return torch.cat([own, draws.fold(each, "copy", more)], 1).flatten()

    def _world(self, floor: Floor) -> Any:
        if floor.world is None or self.copies == 1:
            return None if floor.world is None else floor.world.parts.get(self.name)
        places = torch.arange(len(floor.seeds), device=floor.seeds.device)
        return floor.world.of_copies(self.name, places.repeat_interleave(self.copies))

    def _rows(self, floor: Floor, money: Tensor) -> Tensor:
        """Money of the rows of the copies; roles and accounts that nobody plays have none."""
        parts = []
        for name, where in self.people.rows.items():
            if name not in self.names:
                size = len(money) * self.copies, where.stop - where.start
                parts.append(money.new_zeros(size))
                continue
            part = self.enter(name, money[:, floor.where(self.names[name])])
            parts.append(part / self.copies if self.shared(name) else part)
        return torch.cat(parts, 1)

    def _present(self, floor: Floor) -> Tensor:
        size = len(floor.seeds) * self.copies
        parts = [
            self.enter(role, floor.present[:, floor.where(self.names[role])])
            if role in self.names
            else floor.present.new_zeros(size, count)
            for role, count in self.people.roles.items()
        ]
        return torch.cat(parts, 1)

    def _left(self, floor: Floor, before: Floor, after: Floor) -> Tensor:
        """Who is in the market; who leaves a copy leaves it."""
        if after.present is before.present:
            return floor.present
        present = floor.present.clone()
        for role in self.roles:
            mine = floor.where(self.names[role])
            present[:, mine] = self.leave(role, after.present[:, self.people.rows[role]])
        return present

    def _over(self, floor: Floor, before: Floor, after: Floor) -> Tensor:
        """Which markets are over: those with a copy that is."""
        if after.ended is before.ended:
            return floor.ended
        return floor.ended | unfold(after.ended, self.copies).any(1)

    def _changed_models(self, before: Floor, after: Floor) -> dict[str, Any]:
        return {
            self.names[name]: tree.mapped(partial(self.leave, name), models)
            for name, models in after.models.items()
            if models is not before.models.get(name) and name in self.names
        }

    def _types(self, floor: Floor, before: Floor, after: Floor) -> dict[str, dict[str, Tensor]]:
        """Types with those that a phase has changed."""
        types = {role: dict(named) for role, named in floor.types.items()}
        for role, own in self._typed.items():
            old = before.types.get(role, {})
            for name, value in after.types.get(role, {}).items():
                if value is not old.get(name):
                    types.setdefault(own, {})[name] = self.leave(role, value)
        return types

    # --- fields -----------------------------------------------------------------------------------

    def widened(self, role: str, move: Move) -> Move:
        """What who plays a role sees and does: a field for every copy, where it is in all."""
        if not self.shared(role) or self.copies == 1:
            return move
        return replace(
            move, observation=self._wide(move.observation), action=self._wide(move.action)
        )

    def _wide(self, fields: Fields) -> Fields:
        return Fields(
            tuple(
                f if f.name in self.common else replace(f, size=f.size * self.copies)
                for f in fields.items
            )
        )
