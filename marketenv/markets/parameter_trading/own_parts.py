"""How the trade calls parts of a user's own: see ``marketenv.markets.own_parts``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, Aligned, Alignment
from marketenv.core import tree
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.parts import made, taken
from marketenv.learners import Learner
from marketenv.markets.own_parts import MODELS, PAIRS, check_payable
from marketenv.markets.parameter_trading.exchanges import EXCHANGES, Inputs, Settlement
from marketenv.markets.parameter_trading.partners import PARTNER_RULES, Candidates
from marketenv.markets.parameter_trading.reports import REASONS, Messages, Quotes
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
    returned = align(trained, learner.layout, learner.permutations, keys, orders)
    offers, new_orders = made(returned, Aligned, "alignment")
    wanted = trained[:, None].expand(-1, trained.shape[1], -1, -1)
    return Aligned(
        taken(offers, "alignment returned offers", wanted, f"{PAIRS}, params"),
        taken(new_orders, "alignment returned orders", orders, "markets, pairs, units"),
    )


def partner_scores(rule: Callable[[Candidates], PerPair], candidates: Candidates) -> PerPair:
    """A partner rule's scores of all sellers for each buyer.

    Raises ValueError for NaN, which has no place among the scores.
    """
    returned = tree.apart(rule, rule not in PARTNER_RULES.values())(candidates)
    scores = taken(returned, "partner_rule returned scores", candidates.gain, PAIRS)
    if bool(scores.isnan().any()):
        raise ValueError(
            "partner_rule returned NaN, wanted numbers: the sellers with the largest are tried, so"
            " give -inf where a seller shall come last."
        )
    return scores


def weighed(rule: Callable[[Merger], Weighed], merger: Merger) -> Weighed:
    """Weights of all purchases, and the losses after them.

    Raises ValueError for weights outside [0, 1] that a user's own rule returns.
    """
    own, like = rule not in WEIGHTS.values(), merger.offers[..., 0]
    returned = made(tree.apart(rule, own)(merger), Weighed, "alpha")
    alpha = taken(returned.alpha, "alpha returned alpha", like, PAIRS)
    loss = taken(returned.loss, "alpha returned loss", like, PAIRS)
    if own and not bool(((alpha >= 0) & (alpha <= 1)).all()):
        wrong = alpha[~((alpha >= 0) & (alpha <= 1))][0]
        raise ValueError(
            f"alpha returned a weight of {float(wrong):g}, wanted numbers from 0 to 1."
        )
    return Weighed(alpha, loss)


def value(valuation: Callable[[Trial], Gain], trial: Trial) -> Gain:
    """What every purchase would bring its buyer.

    Raises ValueError for NaN, which would be shown as the largest gain.
    """
    own, like = valuation not in VALUATIONS.values(), trial.loss_after
    gain = made(tree.apart(valuation, own)(trial), Gain, "valuation")
    shown = taken(gain.shown, "valuation returned shown", like, PAIRS)
    worth = taken(gain.worth, "valuation returned worth", like, PAIRS)
    if own and bool((shown.isnan() | worth.isnan()).any()):
        raise ValueError(
            "valuation returned NaN, wanted numbers: give the value of a useless model where a loss"
            " is not finite."
        )
    return Gain(shown, worth)


def exchange(
    rule: Callable[..., Settlement], quotes: Quotes, messages: Messages, inputs: Inputs
) -> Settlement:
    """The settlement of an exchange, in the types and shapes that the market goes on with.

    An exchange of a user's own must keep what those of the table keep: prices from 0 to the bid, 0
    where nothing is sold, no purchase from oneself, no payment beyond cash and credit, reasons of
    ``REASONS``. Raises ValueError elsewhere.
    """
    own, what = rule not in EXCHANGES.values(), "exchange returned"
    returned = made(tree.apart(rule, own)(quotes, messages, inputs), Settlement, "exchange")
    one = quotes.diverged
    settlement = Settlement(
        params=taken(returned.params, f"{what} params", quotes.trained, MODELS),
        trades=taken(returned.trades, f"{what} trades", messages.bids, PAIRS, torch.bool),
        prices=taken(returned.prices, f"{what} prices", messages.bids, PAIRS),
        reason=taken(returned.reason, f"{what} reason", one, "markets, agents", torch.int64),
    )
    if not own:
        return settlement
    _check_tried(settlement.trades & ~quotes.partners.tried)
    return _fair(settlement, returned.prices.dtype, messages, inputs.purse)


def _check_tried(untried: Bool[Tensor, "markets buyers sellers"]) -> None:
    """Refuse purchases of models that were not aligned to the buyer."""
    if bool(untried.any()):
        market, buyer, seller = untried.nonzero()[0].tolist()
        raise ValueError(
            f"exchange let agent {buyer} of market {market} buy from agent {seller}, which it did"
            " not try; wanted trades False where quotes.partners.tried is False."
        )


def _fair(
    settlement: Settlement,
    computed: torch.dtype,
    messages: Messages,
    purse: Float64[Tensor, "markets agents"],
) -> Settlement:
    """The settlement with prices of at most the bids; ValueError for one that breaks a rule."""
    itself = settlement.trades.diagonal(dim1=1, dim2=2)
    if bool(itself.any()):
        market, agent = itself.nonzero()[0].tolist()
        raise ValueError(
            f"exchange let agent {agent} of market {market} buy from itself, wanted trades False"
            " there."
        )
    prices = fair_prices("exchange", settlement.trades, settlement.prices, messages.bids, computed)
    check_payable("exchange", prices, purse)
    unknown = (settlement.reason < 0) | (settlement.reason >= len(REASONS))
    if bool(unknown.any()):
        raise ValueError(
            f"exchange returned a reason of {int(settlement.reason[unknown][0])}, wanted numbers of"
            f" REASONS: 0 to {len(REASONS) - 1}."
        )
    return dataclasses.replace(settlement, prices=prices)
