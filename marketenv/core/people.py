"""The agents and accounts of a market, and their part of the floor at the start of an episode."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core.checks import choice, number, whole
from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.ledger import Ledger
from marketenv.core.parts import made

# parts of the floor that ``furnish`` must not change
FIXED = ("seeds", "round", "rows", "horizon", "cut", "ended", "flows", "terms", "outcomes")


@dataclass(frozen=True, kw_only=True)
class People:
    """The agents and accounts of a market, and everything that they begin with.

    roles:     agents by role, in the order of the agent axis; 0 leaves a role out
    accounts:  rows by named account, such as an escrow with a row for each developer
    empty:     accounts that end every round at exactly 0
    operators: accounts with unlimited credit
    cash, credit: of every agent at the start, money; accounts begin with no cash, and with no
               credit but for the operators
    furnish:   puts the rest on the floor at the start of an episode: world, models, types
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
            object.__setattr__(self, kind, _counts(getattr(self, kind), kind))
        self._check_names()
        object.__setattr__(self, "cash", number(self.cash, "cash", -math.inf, infinite=True))
        object.__setattr__(self, "credit", number(self.credit, "credit", 0.0, infinite=True))
        object.__setattr__(self, "device", device_of(self.device))
        for kind in ("empty", "operators"):
            names = getattr(self, kind)
            if isinstance(names, str):
                raise ValueError(
                    f"{kind} is {names!r}, wanted several names, for instance ({names!r},)."
                )
        for name in (*self.empty, *self.operators):
            choice(name, "account", tuple(self.accounts))

    def _check_names(self) -> None:
        """Refuse a name that stands twice, is an agent's, or means everybody."""
        agents = {f"{role}_{k}" for role, count in self.roles.items() for k in range(count)}
        for name in (*self.roles, *self.accounts):
            if name in agents or name == "all":
                raise ValueError(
                    f"{name!r} names a role or account, wanted another name: it is an agent's, or"
                    " means everybody."
                )
        if self.roles.keys() & self.accounts.keys():
            raise ValueError(
                f"roles {dict(self.roles)} and accounts {dict(self.accounts)}: wanted counts >= 0,"
                " and no name twice."
            )

    @cached_property
    def rows(self) -> dict[str, slice]:
        """Where each role's agents and each account lie in the ledger."""
        counts = {**self.roles, **self.accounts}
        rows = zip(counts.items(), itertools.accumulate(counts.values()), strict=True)
        return {name: slice(end - count, end) for (name, count), end in rows}

    @cached_property
    def count(self) -> int:
        """Agents of all roles."""
        return sum(self.roles.values())

    def open(self, seeds: Int[Tensor, "markets"], horizon: int, cut: bool) -> Floor:
        """The floor at the start of an episode."""
        floor = Floor(
            seeds=seeds,
            round=torch.zeros_like(seeds),
            ledger=self._ledger(seeds.shape[0]),
            present=torch.ones(seeds.shape[0], self.count, dtype=torch.bool, device=self.device),
            ended=torch.zeros_like(seeds, dtype=torch.bool),
            rows=self.rows,
            horizon=horizon,
            cut=cut,
        )
        if self.furnish is None:
            return floor
        full = made(self.furnish(floor), Floor, "furnish")
        changed = [name for name in FIXED if getattr(full, name) is not getattr(floor, name)]
        if changed:
            raise ValueError(
                f"furnish changed {', '.join(changed)} of the floor, wanted them as they were."
            )
        return full

    def _ledger(self, n_markets: int) -> Ledger:
        """The books at the start of an episode."""
        cash, credit = (row.expand(n_markets, -1).contiguous() for row in self._purses)
        return Ledger.of(cash, credit)

    @cached_property
    def _purses(self) -> tuple[Float64[Tensor, "rows"], Float64[Tensor, "rows"]]:
        """Cash and credit of one market's agents and accounts at the start of an episode."""
        rows = self.count + sum(self.accounts.values())
        cash = torch.zeros(rows, dtype=torch.float64, device=self.device)
        credit = torch.zeros_like(cash)
        cash[: self.count], credit[: self.count] = self.cash, self.credit
        for name in self.operators:
            credit[self.rows[name]] = torch.inf
        return cash, credit


def _counts(counts: Any, kind: str) -> dict[str, int]:
    """Counts by name; ValueError for anything else."""
    if not isinstance(counts, Mapping) or not all(
        isinstance(name, str) and name.isidentifier() for name in counts
    ):
        raise ValueError(f"{kind} is {counts!r}, wanted counts by name, such as {{'buyer': 2}}.")
    return {name: whole(count, f"count of {name!r}") for name, count in counts.items()}
