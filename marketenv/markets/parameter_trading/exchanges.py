"""How a round of the parameter market is settled: the broker's exchange of Train 'n Trade, or
plain averaging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.precision import full_precision
from marketenv.learners import Scores
from marketenv.markets.parameter_trading.reports import Quotes, Reports
from marketenv.mechanisms import Outcome, apply_rule


@dataclass(frozen=True)
class Terms:
    """What an exchange is bound to.

    mechanism: the payment rule;   mask: 1 for parameters that are traded [params];
        max_purchases: of one buyer
    shares: of the data;   purse: the most that each can pay   [markets, agents];
        round: rounds that are over [markets]
    """

    mechanism: Callable[[Tensor, Tensor], Outcome]
    mask: Float[Tensor, "params"]
    max_purchases: int
    shares: Float[Tensor, "markets agents"]
    purse: Float64[Tensor, "markets agents"]
    round: Int[Tensor, "markets"]


@dataclass(frozen=True)
class Exchange:
    """Who ends the round with which parameters, who bought from whom at which price, and why
    not.
    """

    params: Float[Tensor, "markets agents params"]
    bought: Bool[Tensor, "markets buyers sellers"]
    prices: Float64[Tensor, "markets buyers sellers"]
    reason: Int[Tensor, "markets agents"]


def trade(quotes: Quotes, reports: Reports, terms: Terms) -> Exchange:
    """The broker's exchange: each buyer requests its best affordable offers, and the payment rule
    settles them.

    Who requests what is told at ``requests``, and what is paid at ``settle``.
    """
    order = requests(quotes.gain.worth, reports, terms.purse, terms.max_purchases)
    bought, prices = settle(terms.mechanism, reports, torch.stack(order).any(0))
    params = quotes.trained
    for pick in order:  # later purchases are merged into what the earlier ones made
        buys, seller = (pick & bought).any(2)[..., None], pick.int().argmax(2)[..., None]
        alpha = quotes.alpha.take_along_dim(seller, 2)
        chosen = quotes.offers.take_along_dim(seller[..., None], 2)[:, :, 0]
        params = torch.where(buys, params + alpha * terms.mask * (chosen - params), params)
    return Exchange(params, bought, prices, _reasons(quotes, reports, terms.purse, bought))


def requests(
    gain: Float[Tensor, "markets buyers sellers"],
    reports: Reports,
    purse: Float64[Tensor, "markets buyers"],
    most: int,
) -> list[Bool[Tensor, "markets buyers sellers"]]:
    """Each buyer's first request, its second, and so on: at most ``most``, as far as its money
    before the round reaches.

    A request needs a gain > 0, a bid > 0 and a bid >= ask. The largest bid - ask comes first, ties
    to the lower index.
    """
    payable = _tests(gain, reports, purse)[-1]
    surplus, left = torch.where(payable, reports.bids - reports.asks, -torch.inf), purse
    requested, order = torch.zeros_like(payable), []
    for _ in range(min(most, payable.shape[2])):
        open_ = payable & ~requested & (reports.bids <= left[..., None])
        best = torch.where(open_, surplus, -torch.inf)
        first = (best == best.amax(2, keepdim=True)) & open_
        pick = first & (first.cumsum(2) == 1)
        requested, left = requested | pick, left - (pick * reports.bids).sum(2)
        order.append(pick)
    return order


def settle(
    mechanism: Callable[[Tensor, Tensor], Outcome],
    reports: Reports,
    requested: Bool[Tensor, "markets buyers sellers"],
) -> tuple[Bool[Tensor, "markets buyers sellers"], Float64[Tensor, "markets buyers sellers"]]:
    """What the payment rule sells of what was requested, and the prices, 0 where nothing is sold.

    The rule sees money above the seller's cost, to which prices of every rule here are equivariant.
    """
    bids = torch.where(requested, reports.bids - reports.cost, 0.0).clamp(min=0)
    outcome = apply_rule(mechanism, bids, reports.markup)
    bought = outcome.allocation & requested
    return bought, (outcome.prices + reports.cost) * bought


@full_precision()
def fedavg(quotes: Quotes, reports: Reports, terms: Terms) -> Exchange:
    """No broker and no money: everybody takes the average of all models, weighted by their data
    (McMahan et al. 2017).
    """
    shares = terms.shares[:, None]
    average = (shares @ quotes.trained).expand_as(quotes.trained)
    params = torch.where(terms.mask > 0, average, quotes.trained)
    nothing = torch.zeros_like(reports.bids)
    return Exchange(params, nothing.bool(), nothing, torch.where(quotes.diverged, 6, 7))


def sound(done: Exchange, quotes: Quotes, before: Scores, after: Scores) -> tuple[Exchange, Scores]:
    """The exchange and its scores; purchases that merge to a model that is not finite do not take
    place.

    Their buyer keeps the model that it trained, and no money moves for them.

    before, after: scores of the trained models, and of those that the
        exchange made   [markets, agents] each
    """
    broken = ~(done.params.isfinite().all(-1) & after.loss.isfinite())
    if not bool(broken.any()):
        return done, after
    row = broken[..., None]
    params, reason = (
        torch.where(row, quotes.trained, done.params),
        torch.where(broken, 8, done.reason),
    )
    kept = Exchange(params, done.bought & ~row, done.prices.masked_fill(row, 0.0), reason)
    return kept, Scores(
        *(torch.where(broken, old, new) for old, new in zip(before, after, strict=True))
    )


def critical_bids(
    reports: Reports, buyer: int, exclusive: bool
) -> Float64[Tensor, "markets sellers points"]:
    """Bids of one buyer at which ``trade`` may change what it gets from a seller, money.

    They are the seller's ask and, where a seller has only one copy, the other buyers' bids; the
    rule compares bids above each buyer's cost. Between them a payment that is linear in the bid is
    linear, so one of them (or the next number above it) is a best bid.
    """
    asks, above = reports.asks[:, buyer, :, None], reports.bids - reports.cost
    others = torch.cat([above[:, :buyer], above[:, buyer + 1 :]], 1).mT
    return torch.cat([asks, others + reports.cost[:, buyer, :, None]], 2) if exclusive else asks


def critical_markups(
    reports: Reports, seller: int, open_: Bool[Tensor, "markets buyers sellers"]
) -> Float64[Tensor, "markets points"]:
    """Markups of one seller at which ``trade`` may change who buys from it, money; buyers make one
    purchase each.

    A buyer is lost where the ask passes its bid, or leaves it less than the best of the other
    sellers does: markup = bid - cost,
    markup = bid - cost - max over the others of (bid - ask)
    open_: purchases that a buyer gains from, bids for and can afford
    """
    surplus = torch.where(open_, reports.bids - reports.asks, -torch.inf)
    surplus[:, :, seller] = -torch.inf
    lost = (reports.bids - reports.cost)[:, :, seller]
    return torch.cat([lost, lost - surplus.amax(2).clamp(min=0)], 1)


EXCHANGES = {"trade": trade, "fedavg": fedavg}


def _tests(gain: Tensor, reports: Reports, purse: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a request has to pass, each including the one before: a gain, a bid, a bid that
    reaches the ask, money for it.
    """
    useful = gain > 0
    wanted = useful & (reports.bids > 0)
    willing = wanted & (reports.bids >= reports.asks)
    return useful, wanted, willing, willing & (reports.bids <= purse[..., None])


def _reasons(quotes: Quotes, reports: Reports, purse: Tensor, bought: Tensor) -> Tensor:
    """Why each buyer ended as it did, as a number of ``REASONS``: the first of the tests that
    no seller passed.
    """
    tests = (*_tests(quotes.gain.worth, reports, purse), bought)
    reason = torch.zeros_like(quotes.diverged, dtype=torch.int64)
    for code, passed in reversed(list(enumerate(tests, start=1))):
        reason = torch.where(passed.any(2), reason, code)
    return torch.where(quotes.diverged & ~bought.any(2), 6, reason)
