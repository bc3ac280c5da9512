"""Who is in a market, and what they begin an episode with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core.checks import choice, number, whole
from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.ledger import Ledger
from marketenv.core.parts import made


@dataclass(frozen=True, kw_only=True)
class People:
    """Who is in a market and what they begin with.

    roles:    agents by role, in the order of the agent axis; 0 leaves a role out
    accounts: rows by named account, such as an escrow with a row a developer;
        empty: accounts that end every round at exactly 0
    cash, credit: of every agent at the start, money; accounts begin with 0 and no credit,
        ``operators`` with any
    furnish:  what else is on the floor at the start of an episode: world, models, types
    """

    roles: Mapping[str, int]
    accounts: Mapping[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    cash: float = 0.0
    credit: float = float("inf")
    furnish: Callable[[Floor], Floor] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        for kind in ("roles", "accounts"):
            given = getattr(self, kind)
            if not isinstance(given, Mapping) or not all(
                isinstance(name, str) and name.isidentifier() for name in given
            ):
                raise ValueError(
                    f"{kind} is {given!r}, wanted counts by name, such as {{'buyer': 2}}."
                )
            counts = {name: whole(count, f"count of {name!r}") for name, count in given.items()}
            object.__setattr__(self, kind, counts)
        agents = {f"{role}_{k}" for role, count in self.roles.items() for k in range(count)}
        for name in (*self.roles, *self.accounts):
            if name in agents or name == "all":
                raise ValueError(
                    f"{name!r} names a role or account, wanted another name: it is an agent's, or"
                    " means everybody."
                )
        object.__setattr__(self, "cash", number(self.cash, "cash", -math.inf, infinite=True))
        object.__setattr__(self, "credit", number(self.credit, "credit", 0.0, infinite=True))
        object.__setattr__(self, "device", device_of(self.device))
        counts = {**self.roles, **self.accounts}
        if len(counts) < len(self.roles) + len(self.accounts) or any(
            count < 0 for count in counts.values()
        ):
            raise ValueError(
                f"roles {dict(self.roles)} and accounts {dict(self.accounts)}: wanted counts >= 0,"
                " and no name twice."
            )
        for kind in ("empty", "operators"):
            if isinstance(getattr(self, kind), str):
                raise ValueError(
                    f"{kind} is {getattr(self, kind)!r}, wanted several names, for instance"
                    f" ({getattr(self, kind)!r},)."
                )
        for name in (*self.empty, *self.operators):
            choice(name, "account", tuple(self.accounts))

    @cached_property
    def rows(self) -> dict[str, slice]:
        """Where each role's agents and each account lie in the ledger."""
        counts = {**self.roles, **self.accounts}
        ends = list(itertools.accumulate(counts.values()))
        return {
            name: slice(end - count, end)
            for (name, count), end in zip(counts.items(), ends, strict=True)
        }

    @cached_property
    def count(self) -> int:
        """Agents of all roles."""
        return sum(self.roles.values())

    def open(self, seeds: Int[Tensor, "markets"], horizon: int, cut: bool) -> Floor:
        """The floor at the start of an episode."""
        rows = self.count + sum(self.accounts.values())
        cash = torch.zeros(len(seeds), rows, dtype=torch.float64, device=self.device)
        credit = torch.zeros_like(cash)
        cash[:, : self.count], credit[:, : self.count] = self.cash, self.credit
        for name in self.operators:
            credit[:, self.rows[name]] = torch.inf
        floor = Floor(
            seeds=seeds,
            round=torch.zeros_like(seeds),
            ledger=Ledger.of(cash, credit),
            present=torch.ones(len(seeds), self.count, dtype=torch.bool, device=self.device),
            ended=torch.zeros_like(seeds, dtype=torch.bool),
            rows=self.rows,
            horizon=horizon,
            cut=cut,
        )
        if self.furnish is None:
            return floor
        furnished = made(self.furnish(floor), Floor, "furnish")
        kept = ("seeds", "round", "rows", "horizon", "cut", "ended", "flows", "terms", "done")
        changed = [name for name in kept if getattr(furnished, name) is not getattr(floor, name)]
        if changed:
            raise ValueError(
                f"furnish changed {', '.join(changed)} of the floor, wanted them as they were."
            )
        return furnished
