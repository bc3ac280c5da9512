"""How the trade calls parts that a user may have written: see ``marketenv.markets.own_parts``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, Aligned, Alignment
from marketenv.core import tree
from marketenv.core.axes import Parameters
from marketenv.core.parts import made, taken
from marketenv.learners import Learner
from marketenv.markets.own_parts import MODELS, PAIRS, check_payable
from marketenv.markets.parameter_trading.exchanges import EXCHANGES, Exchange, Terms
from marketenv.markets.parameter_trading.reports import REASONS, Quotes, Reports
from marketenv.markets.parameter_trading.weights import WEIGHTS, Merger, Weighed
from marketenv.mechanisms import fair_prices
from marketenv.valuation import VALUATIONS, Gain, Trial


def aligned(
    alignment: Alignment,
    learner: Learner,
    trained: Parameters,
    keys: Int[Tensor, "markets"],
    orders: Int[Tensor, "markets pairs units"],
) -> Aligned:
    """Offers and orders that an alignment of these models returns."""
    align = tree.apart(alignment, alignment not in ALIGNMENTS.values())
    offers, found = made(
        align(trained, learner.layout, learner.permutations, keys, orders), Aligned, "alignment"
    )
    wanted = trained[:, None].expand(-1, trained.shape[1], -1, -1)
    return Aligned(
        taken(offers, "alignment returned offers", wanted, f"{PAIRS}, params"),
        taken(found, "alignment returned orders", orders, "markets, pairs, units"),
    )


def weighed(rule: Callable[[Merger], Weighed], merger: Merger) -> Weighed:
    """Weights of all purchases and the losses after them; ValueError for weights of one's own
    that are not in [0, 1].
    """
    own, like = rule not in WEIGHTS.values(), merger.offers[..., 0]
    found = made(tree.apart(rule, own)(merger), Weighed, "alpha")
    alpha, loss = (
        taken(getattr(found, x), f"alpha returned {x}", like, PAIRS) for x in ("alpha", "loss")
    )
    if own and not bool(((alpha >= 0) & (alpha <= 1)).all()):
        wrong = alpha[~((alpha >= 0) & (alpha <= 1))][0]
        raise ValueError(
            f"alpha returned a weight of {float(wrong):g}, wanted numbers from 0 to 1."
        )
    return Weighed(alpha, loss)


def value(valuation: Callable[[Trial], Gain], trial: Trial) -> Gain:
    """What every purchase would bring its buyer; ValueError for NaN, which would be shown as
    the largest gain.
    """
    own = valuation not in VALUATIONS.values()
    gain, like = made(tree.apart(valuation, own)(trial), Gain, "valuation"), trial.loss_after
    shown, worth = (
        taken(getattr(gain, x), f"valuation returned {x}", like, PAIRS) for x in ("shown", "worth")
    )
    if own and bool((shown.isnan() | worth.isnan()).any()):
        raise ValueError(
            "valuation returned NaN, wanted numbers: give the value of a useless model where a loss"
            " is not finite."
        )
    return Gain(shown, worth)


def exchange(
    rule: Callable[..., Exchange], quotes: Quotes, reports: Reports, terms: Terms
) -> Exchange:
    """Who ends the round with which parameters, who bought what, at which price, and why not.

    One of a user's own is held to what the table's keep: prices from 0 to the bid, 0 where nothing
    is sold, no purchase from oneself, nobody beyond its cash and credit, reasons that are known.
    """
    own = rule not in EXCHANGES.values()
    done, said = (
        made(tree.apart(rule, own)(quotes, reports, terms), Exchange, "exchange"),
        "exchange returned",
    )
    kept = Exchange(
        params=taken(done.params, f"{said} params", quotes.trained, MODELS),
        bought=taken(done.bought, f"{said} bought", reports.bids, PAIRS, torch.bool),
        prices=taken(done.prices, f"{said} prices", reports.bids, PAIRS),
        reason=taken(
            done.reason, f"{said} reason", quotes.diverged, "markets, agents", torch.int64
        ),
    )
    return _kept_to_bids(kept, done.prices.dtype, reports, terms.purse) if own else kept


def _kept_to_bids(
    done: Exchange,
    computed: torch.dtype,
    reports: Reports,
    purse: Float64[Tensor, "markets agents"],
) -> Exchange:
    itself = done.bought.diagonal(dim1=1, dim2=2)
    if bool(itself.any()):
        market, agent = itself.nonzero()[0].tolist()
        raise ValueError(
            f"exchange let agent {agent} of market {market} buy from itself, wanted bought False"
            " there."
        )
    prices = fair_prices("exchange", done.bought, done.prices, reports.bids, computed)
    check_payable("exchange", prices, purse)
    unknown = (done.reason < 0) | (done.reason >= len(REASONS))
    if bool(unknown.any()):
        raise ValueError(
            f"exchange returned a reason of {int(done.reason[unknown][0])}, wanted numbers of"
            f" REASONS: 0 to {len(REASONS) - 1}."
        )
    return dataclasses.replace(done, prices=prices)
