"""Claims that money adds up, by utilities and by changes of cash, whatever a market reports."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marketenv.core.ledger import net
from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.metrics import budget_balance

from ...markets import Books, entry_of
from ...stress.attack import JUDGE, seeds_of
from .claim import Claim
from .effort import Effort
from .evidence import Evidence
from .played import steps
from .rules import Never
from .samples import MOST
from .truthfulness import Build
from .words import AS_STATED

# episodes of a market that trains: where none of so many breaks a promise, at most 1 % do, even
# with three statistics
FEW = 512


def books_of(market: Market) -> Books:
    """The books of a market's kind; ValueError for a kind that has none."""
    entry = entry_of(market)
    if entry is None:
        kinds = ", ".join(phase.outcome.__name__ for phase in market.phases)
        raise ValueError(
            f"there are no books for {market.name}, whose outcomes are {kinds}. Pass"
            " books=Books(goods, agreed): goods(market, before, report, after) [..., agents],"
            " agreed(market, before, report) [..., payers, payees]."
        )
    return entry.books


# --- experiments ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _BookCheck:
    """Episodes whose books are compared with what is observed; a sample is an episode's greatest.

    play:   what everybody plays
    costly: the market trains models, so that episodes are few
    books:  of a market of one's own kind; None for those that have an entry
    """

    build: Build
    play: Any = "random"
    costly: bool = False
    books: Books | None = None

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The greatest amount of any round, by episode."""
        market = self.build(condition, effort)
        count = max(effort.seeds, FEW) if self.costly else MOST
        books, rows, moved = self.books or books_of(market), [], 0.0
        for before, report, after in steps(market, self.play, seeds_of(JUDGE, count)):
            cash = after.floor.ledger.cash - before.floor.ledger.cash
            money = {
                "utilities": report.rewards - books.goods(market, before, report, after),
                "cash": cash[:, : report.rewards.shape[1]],
            }
            rows.append(self.compare(market, books, before, report, money))
            moved += float(report.transfers.sum((1, 2)).mean())
        if not moved:
            return Evidence(untested="no money moves, so that there is nothing to add up")
        samples = {
            name: torch.stack([row[name] for row in rows]).amax(0).tolist() for name in rows[0]
        }
        return Evidence(samples=samples, seeds=f"JUDGE + 0..{count - 1}", scale=moved / len(rows))

    def compare(
        self,
        market: Market,
        books: Books,
        before: Situation,
        report: Report,
        money: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Amounts of a round that should be 0, each [markets].

        money: of each agent, by where it is observed [markets, agents]
        """
        raise NotImplementedError


class Balance(_BookCheck):
    """An experiment: money that appears or vanishes among all agents and the operator."""

    def compare(
        self,
        market: Market,
        books: Books,
        before: Situation,
        report: Report,
        money: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """How far the sum of all money is from zero, and what the operator pays."""
        operator = budget_balance(report.transfers, market.people.count)
        sums = {
            f"money that appears or vanishes, by {where}": (amount.sum(1) + operator).abs()
            for where, amount in money.items()
        }
        return sums | {"money that the operator adds": operator.clamp(max=0).abs()}


class Accounts(_BookCheck):
    """An experiment: each agent's money beside what the rule says for the actual reports."""

    def compare(
        self,
        market: Market,
        books: Books,
        before: Situation,
        report: Report,
        money: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """The greatest amount of any agent that the rule does not explain."""
        owed = net(books.agreed(market, before, report))[:, : market.people.count]
        return {
            f"what is not explained of {where}": (amount - owed).abs().amax(1)
            for where, amount in money.items()
        }


def balance(
    *,
    id: str,
    market: str,
    paper: str,
    place: str,
    words: str,
    build: Build,
    conditions: tuple[str, ...] = (AS_STATED,),
    tolerance: float = 1e-9,
    **played: Any,
) -> Claim:
    """A claim that payments sum to zero and nobody subsidises the market.

    tolerance: of the money, as a part of what moves in a round
    played:    ``play``, ``costly``, and ``books`` of a market of one's own kind
    """
    return Claim(
        id=id,
        market=market,
        paper=paper,
        place=place,
        words=words,
        statistic=(
            "money of all agents and the operator together, by utilities less all that is no money"
            " and by changes of cash; greatest amount in any round of an episode"
        ),
        unit="money",
        rule=Never(tolerance),
        conditions=conditions,
        experiment=Balance(build=build, **played),
    )


def accounts(**about: Any) -> Claim:
    """A claim that goods, costs and the payments of the rule explain all that agents earn.

    about: the arguments of ``balance``
    """
    claim = balance(**about)
    statistic = (
        "what goods, costs and the payments that the rule asks for do not explain of an agent's"
        " utility and cash; greatest amount in any round of an episode"
    )
    return dataclasses.replace(
        claim, statistic=statistic, experiment=Accounts(**vars(claim.experiment))
    )
