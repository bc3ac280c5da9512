"""How a round of trading is settled: by the broker of Train 'n Trade, or by plain averaging."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.bank import finite
from marketenv.core.precision import full_precision
from marketenv.learners import Scores
from marketenv.markets.parameter_trading.reports import Messages, Quotes
from marketenv.mechanisms import Sales, apply_rule


@dataclass(frozen=True)
class Inputs:
    """What an exchange decides from, beside the quotes and the agents' messages.

    mechanism: the payment rule
    mask:      1 for parameters that are traded, 0 for the others   [params]
    max_purchases: most purchases of one buyer
    shares:    each agent's part of the training data   [markets, agents]
    purse:     the most that each agent can pay, money   [markets, agents]
    round:     number of finished rounds   [markets]
    """

    mechanism: Callable[[Tensor, Tensor], Sales]
    mask: Float[Tensor, "params"]
    max_purchases: int
    shares: Float[Tensor, "markets agents"]
    purse: Float64[Tensor, "markets agents"]
    round: Int[Tensor, "markets"]


@dataclass(frozen=True)
class Settlement:
    """What an exchange decides.

    params: every agent's parameters at the end of the round   [markets, agents, params]
    trades: who buys whose model;   prices: money, 0 without a sale   [markets, buyers, sellers]
    reason: why each buyer ends as it does, a number of ``REASONS``   [markets, agents]
    """

    params: Float[Tensor, "markets agents params"]
    trades: Bool[Tensor, "markets buyers sellers"]
    prices: Float64[Tensor, "markets buyers sellers"]
    reason: Int[Tensor, "markets agents"]


def trade(quotes: Quotes, messages: Messages, inputs: Inputs) -> Settlement:
    """The broker's exchange: buyers request the best offers that they can pay, the rule decides.

    ``requests`` makes the requests, ``settle`` the sales and their prices.
    """
    order = requests(quotes.gain.worth, messages, inputs.purse, inputs.max_purchases)
    trades, prices = settle(inputs.mechanism, messages, torch.stack(order).any(0))
    params = quotes.trained
    for pick in order:  # later purchases are merged into what the earlier ones made
        buys, seller = (pick & trades).any(2)[..., None], pick.int().argmax(2)[..., None]
        alpha = quotes.alpha.take_along_dim(seller, 2)
        chosen = quotes.offer(seller)
        params = torch.where(buys, params + alpha * inputs.mask * (chosen - params), params)
    return Settlement(params, trades, prices, _reasons(quotes, messages, inputs.purse, trades))


def requests(
    gain: Float[Tensor, "markets buyers sellers"],
    messages: Messages,
    purse: Float64[Tensor, "markets buyers"],
    most: int,
) -> list[Bool[Tensor, "markets buyers sellers"]]:
    """Each buyer's first request, its second, and so on: at most ``most``, as its purse allows.

    A request needs a gain > 0, a bid > 0 and a bid >= ask. The largest bid - ask comes first, ties
    go to the lower index. The purse is the money before the round.
    """
    payable = _tests(gain, messages, purse)[-1]
    surplus, left = torch.where(payable, messages.bids - messages.asks, -torch.inf), purse
    requested, order = torch.zeros_like(payable), []
    for _ in range(min(most, payable.shape[2])):
        open_ = payable & ~requested & (messages.bids <= left[..., None])
        best = torch.where(open_, surplus, -torch.inf)
        first = (best == best.amax(2, keepdim=True)) & open_
        pick = first & (first.cumsum(2) == 1)
        requested, left = requested | pick, left - (pick * messages.bids).sum(2)
        order.append(pick)
    return order


def settle(
    mechanism: Callable[[Tensor, Tensor], Sales],
    messages: Messages,
    requested: Bool[Tensor, "markets buyers sellers"],
) -> tuple[Bool[Tensor, "markets buyers sellers"], Float64[Tensor, "markets buyers sellers"]]:
    """The requests that the payment rule grants, and their prices, 0 where nothing is sold.

    The rule sees money above the seller's cost: with every rule here, a price rises by the cost.
    """
    bids = torch.where(requested, messages.bids - messages.cost, 0.0).clamp(min=0)
    outcome = apply_rule(mechanism, bids, messages.markup)
    trades = outcome.allocation & requested
    return trades, (outcome.prices + messages.cost) * trades


@full_precision()
def fedavg(quotes: Quotes, messages: Messages, inputs: Inputs) -> Settlement:
    """Everybody takes the average of all models, weighted by data; there is no broker or money.

    Source: McMahan et al., AISTATS 2017.
    """
    shares = inputs.shares[:, None]
    average = (shares @ quotes.trained).expand_as(quotes.trained)
    params = torch.where(inputs.mask > 0, average, quotes.trained)
    nothing = torch.zeros_like(messages.bids)
    return Settlement(params, nothing.bool(), nothing, torch.where(quotes.diverged, 6, 7))


def sound(
    settlement: Settlement, quotes: Quotes, before: Scores, after: Scores
) -> tuple[Settlement, Scores]:
    """The settlement and its scores, without purchases that merge to a model that is not finite.

    The buyer of such a purchase keeps the model that it trained, and no money moves.

    before, after: scores of the trained models, and of the merged ones   [markets, agents] each
    """
    broken = ~(finite(settlement.params) & after.loss.isfinite())
    if not bool(broken.any()):
        return settlement, after
    row = broken[..., None]
    sound_part = Settlement(
        params=torch.where(row, quotes.trained, settlement.params),
        trades=settlement.trades & ~row,
        prices=settlement.prices.masked_fill(row, 0.0),
        reason=torch.where(broken, 8, settlement.reason),
    )
    pairs = zip(before, after, strict=True)
    return sound_part, Scores(*(torch.where(broken, old, new) for old, new in pairs))


def voided(
    messages: Messages, tried: Bool[Tensor, "markets buyers sellers"]
) -> tuple[Messages, Bool[Tensor, "markets buyers"]]:
    """Drop bids for sellers that are not tried, and return who bids for such sellers alone."""
    bids = torch.where(tried, messages.bids, 0.0)
    only = (messages.bids > 0).any(2) & ~(bids > 0).any(2)
    return dataclasses.replace(messages, bids=bids), only


def critical_bids(
    messages: Messages, buyer: int, exclusive: bool
) -> Float64[Tensor, "markets sellers points"]:
    """Bids of one buyer at which ``trade`` may change what it gets from a seller, money.

    They are the seller's ask and, where a seller has only one copy (``exclusive``), the other
    buyers' bids: the rule compares bids less each buyer's cost. Where payments are linear in the
    bid between these points, one of them (or the next number above it) is a best bid.
    """
    asks, above = messages.asks[:, buyer, :, None], messages.bids - messages.cost
    others = torch.cat([above[:, :buyer], above[:, buyer + 1 :]], 1).mT
    return torch.cat([asks, others + messages.cost[:, buyer, :, None]], 2) if exclusive else asks


def critical_markups(
    messages: Messages, seller: int, open_: Bool[Tensor, "markets buyers sellers"]
) -> Float64[Tensor, "markets points"]:
    """Markups of one seller at which ``trade`` may change who buys from it, money.

    A buyer is lost where the ask passes its bid, or leaves it less than another seller does:
    markup = bid - cost,   markup = bid - cost - max over the other sellers of (bid - ask)

    open_: purchases that a buyer gains from, bids for and can pay
    Every buyer makes one purchase.
    """
    surplus = torch.where(open_, messages.bids - messages.asks, -torch.inf)
    surplus[:, :, seller] = -torch.inf
    most = (messages.bids - messages.cost)[:, :, seller]
    return torch.cat([most, most - surplus.amax(2).clamp(min=0)], 1)


EXCHANGES = {"trade": trade, "fedavg": fedavg}


def _tests(
    gain: Tensor, messages: Messages, purse: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The tests of a request: a gain; also a bid; also a bid >= ask; also money for it."""
    useful = gain > 0
    wanted = useful & (messages.bids > 0)
    willing = wanted & (messages.bids >= messages.asks)
    return useful, wanted, willing, willing & (messages.bids <= purse[..., None])


def _reasons(quotes: Quotes, messages: Messages, purse: Tensor, trades: Tensor) -> Tensor:
    """Why each buyer ends as it does: the first test that no seller passes, by ``REASONS``."""
    tests = (*_tests(quotes.gain.worth, messages, purse), trades)
    reason = torch.zeros_like(quotes.diverged, dtype=torch.int64)
    for code, passed in reversed(list(enumerate(tests, start=1))):
        reason = torch.where(passed.any(2), reason, code)
    return torch.where(quotes.diverged & ~trades.any(2), 6, reason)
