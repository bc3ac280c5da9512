"""Claims that money adds up, judged by utilities and by changes of cash; the reported transfers are not believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.market import Market, Report, agent_names
from marketenv.core.transfers import net
from marketenv.markets.exchanges import EXCHANGES, requests, settle
from marketenv.markets.model_sharing import ModelSharingMarket
from marketenv.markets.model_sharing_types import SharingReport, SharingState
from marketenv.markets.parameter_trading import ParameterTradingMarket
from marketenv.markets.parameter_trading_types import Reports, TradingReport, TradingState
from marketenv.markets.reference import ReferenceMarket, ReferenceReport
from marketenv.mechanisms import SHARING_PAYMENTS, SharingTerms, gains
from marketenv.metrics import budget_balance

from ..attack import JUDGE, seeds_of
from .claim import AS_STATED, Claim, Effort, Evidence, Never
from .truthfulness import MOST, Build, steps

FEW = 512  # episodes of a market that trains: none that breaks a promise tells 1 %, also of three statistics


@dataclass(frozen=True)
class Books:
    """How the money of a kind of market is put together anew.

    goods:  (market, state before, report, state after) -> what of each agent's reward is no money   [markets, agents]
    agreed: (market, state before, report) -> what payers owe by the rule for what was reported and traded
                                                                                          [markets, payers, payees]
    """

    goods: Callable[[Any, Any, Any, Any], Float64[Tensor, "markets agents"]]
    agreed: Callable[[Any, Any, Any], Float64[Tensor, "markets payers payees"]]


# --- reference markets: values of what is bought, the cost of what is sold ----------------------------------------------


def _reference_goods(market: ReferenceMarket, before: Any, report: ReferenceReport, after: Any) -> Tensor:
    buys = torch.arange(report.types.shape[1], device=report.types.device) < market.n_buyers
    return torch.where(buys, report.types, -report.types)[:, : report.traded.shape[1]] * report.traded


def _reference_agreed(market: ReferenceMarket, before: Any, report: ReferenceReport) -> Tensor:
    outcome = market.mechanism(report.offers[:, :-1, None], report.offers[:, -1:])
    owed = report.offers.new_zeros(len(report.offers), market.n_buyers + 1, market.n_buyers + 1)
    owed[:, :-1, -1:] = outcome.prices * outcome.allocation
    return owed


# --- parameter trading: the fall of one's loss, effort, what sales cost; what the rule asks of requests ------------------


def _trading_goods(market: ParameterTradingMarket, before: TradingState, report: TradingReport, after: TradingState) -> Tensor:
    value = before.money_per_loss * (before.loss.double() - after.loss.double())
    harm = (_trading_cost(market, report) * report.trades).sum(1)
    return value - before.effort_cost * before.effort - harm


def _trading_cost(market: ParameterTradingMarket, report: TradingReport) -> Tensor:
    return market.config.externality * report.gain.worth.double().clamp(min=0)


def _trading_agreed(market: ParameterTradingMarket, before: TradingState, report: TradingReport) -> Tensor:
    """Prices by the market's rule; it is asked about all requests, since a price may depend on those that were not met."""
    if market.exchange not in EXCHANGES.values():
        raise ValueError("what an exchange of one's own asks payers for is not known. Pass books=Books(goods, agreed).")
    cost = _trading_cost(market, report)
    markup = (report.asks - cost).amin(1).clamp(min=0)  # the same for all buyers, to rounding
    reports = Reports(report.bids, markup, report.asks, cost, report.effort)
    order = requests(report.gain.worth, reports, before.ledger, market.config.max_purchases)
    return settle(market.mechanism, reports, torch.stack(order).any(0))[1] * report.trades


# --- model sharing: what bought models are worth, the cost of sales, effort ---------------------------------------------


def _sharing_goods(market: ModelSharingMarket, before: SharingState, report: SharingReport, after: SharingState) -> Tensor:
    worth = gains(before.types, market.gain, report.trades)
    effort = torch.where(market.present(before), before.effort, 0.0)
    return worth - before.types.costs * report.trades.sum(1) - before.effort_cost * effort


def _sharing_agreed(market: ModelSharingMarket, before: SharingState, report: SharingReport) -> Tensor:
    terms = SharingTerms(report.reported, report.discounts, market.gain, report.present)
    return SHARING_PAYMENTS[market.config.payment](terms, report.trades, market.config.graph)


BOOKS: dict[type[Report], Books] = {
    ReferenceReport: Books(_reference_goods, _reference_agreed),
    TradingReport: Books(_trading_goods, _trading_agreed),
    SharingReport: Books(_sharing_goods, _sharing_agreed),
}


def books_of(market: Market) -> Books:
    """The books of a market's kind; ValueError for a kind that has none."""
    if market.report_type not in BOOKS:
        raise ValueError(
            f"what of a reward is no money is not known of {market.report_type.__name__}. Pass books=Books(goods, agreed): "
            "goods(market, state before, report, state after) [..., agents], "
            "agreed(market, state before, report) [..., payers, payees]."
        )
    return BOOKS[market.report_type]


# --- experiments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Played:
    """Episodes in which the books are compared with what is observed; a sample is the greatest amount of an episode.

    play:   what everybody plays;   costly: the market trains models, so that episodes are few
    books:  of a market of one's own kind; None for those of ``BOOKS``
    """

    build: Build
    play: Any = "random"
    costly: bool = False
    books: Books | None = None

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The greatest amount of any round, a sample an episode."""
        market, count = self.build(condition, effort), max(effort.seeds, FEW) if self.costly else MOST
        books, rows, moved = self.books or books_of(market), [], 0.0
        for before, report, after in steps(market, self.play, seeds_of(JUDGE, count)):
            money = {"utilities": report.rewards - books.goods(market, before, report, after)}
            if hasattr(after, "ledger"):
                money["cash"] = after.ledger.cash - before.ledger.cash
            rows.append(self.compare(market, books, before, report, money))
            moved += float(report.transfers.sum((1, 2)).mean())
        if not moved:
            return Evidence(untested="no money moves, so that there is nothing to add up")
        samples = {name: torch.stack([row[name] for row in rows]).amax(0).tolist() for name in rows[0]}
        return Evidence(samples=samples, seeds=f"JUDGE + 0..{count - 1}", scale=moved / len(rows))

    def compare(self, market: Market, books: Books, before: Any, report: Report, money: dict[str, Tensor]) -> dict[str, Tensor]:
        """Amounts of a round that should be 0, each [markets]; money: what agents got, by where it is seen [markets, agents]."""
        raise NotImplementedError


class Balance(_Played):
    """An experiment: money that appears or vanishes among all agents and the operator, and what the operator adds."""

    def compare(self, market: Market, books: Books, before: Any, report: Report, money: dict[str, Tensor]) -> dict[str, Tensor]:
        """What agents' money and the operator's do not sum to zero by, and what the operator pays."""
        operator = budget_balance(report.transfers, len(agent_names(market)))
        found = {f"money that appears or vanishes, by {where}": (m.sum(1) + operator).abs() for where, m in money.items()}
        return found | {"money that the operator adds": operator.clamp(max=0).abs()}


class Accounts(_Played):
    """An experiment: each agent's money beside what the rule says for the bids, asks or types that were reported."""

    def compare(self, market: Market, books: Books, before: Any, report: Report, money: dict[str, Tensor]) -> dict[str, Tensor]:
        """The greatest amount of any agent that the rule does not explain."""
        owed = net(books.agreed(market, before, report))[:, : len(agent_names(market))]
        return {f"what is not explained of {where}": (got - owed).abs().amax(1) for where, got in money.items()}


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
        statistic="money of all agents and the operator together, by utilities less all that is no money and by changes of cash; "
        "greatest amount in any round of an episode",
        unit="money",
        rule=Never(tolerance),
        conditions=conditions,
        experiment=Balance(build=build, **played),
    )


def accounts(**about: Any) -> Claim:
    """A claim that nothing is earned but goods and payments by the rule, and nothing is lost but costs and these.

    about: the arguments of ``balance``
    """
    claim = balance(**about)
    statistic = (
        "what goods, costs and the payments that the rule asks for do not explain of an agent's utility and cash; "
        "greatest amount in any round of an episode"
    )
    return dataclasses.replace(claim, statistic=statistic, experiment=Accounts(**vars(claim.experiment)))
