"""Scripted strategies: one table by name, one file a market.

To add one, write ``builder(market) -> policy`` in the market's file, name it below, and add ``test_claim_<name>``.

>>> from marketenv import make_market
>>> market = make_market("reference_v0", game="double_auction")
>>> policy = STRATEGIES["linear_equilibrium"].build(market)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.policy import Policy
from marketenv.markets.parameter_trading_types import TradingState
from marketenv.mechanisms import best_midpoint, lower_bound, myerson

from . import model_sharing, parameter_trading, reference
from .strategy import Strategy

__all__ = ["STRATEGIES", "Strategy", "shade", "with_options"]

REFERENCE, TRADING, SHARING = "reference_v0", "parameter_trading_v0", "model_sharing_v0"


def both(of_reference: Callable[..., Policy], of_trading: Callable[..., Policy], *first: Any) -> dict[str, Any]:
    """Builders for both markets, with the same first arguments."""
    return {REFERENCE: partial(of_reference, *first), TRADING: partial(of_trading, *first)}


def sharing(builder: Callable[..., Policy], summary: str, claim: str) -> Strategy:
    """A strategy of the model-sharing market alone."""
    return Strategy(builders={SHARING: builder}, summary=summary, claim=claim)


def shade(factor: float = 2 / 3) -> Strategy:
    """Bid ``factor`` times the true value; ValueError for a factor outside [0, 2], beyond which the box ends.

    >>> shade(0.8).summary
    'Bids 0.8 times the value, truthful otherwise.'
    """
    if not 0 <= factor <= 2:
        raise ValueError(f"factor is {factor}, wanted a number in [0, 2]: the bid as a multiple of the value.")
    return Strategy(
        builders=both(reference.shade, parameter_trading.shade, factor),
        summary=f"Bids {factor:.3g} times the value, truthful otherwise.",
        claim="In the double auction on U[0, 1] a factor of 2/3 earns 1/9 against a truthful seller, where truth earns 1/12.",
    )


STRATEGIES: dict[str, Strategy] = {
    "truthful": Strategy(
        builders={
            REFERENCE: partial(reference.builtin, "truthful"),
            TRADING: parameter_trading.truthful,
            SHARING: partial(model_sharing.builtin, "truthful"),
        },
        summary="Bids its value, asks its cost, reports its types, uploads its model, trains at full effort.",
        claim="In a second-price auction no other bid earns more, whatever the others bid.",
    ),
    "random": Strategy(
        builders=both(reference.builtin, reference.builtin, "random") | {SHARING: partial(model_sharing.builtin, "random")},
        summary="Draws every action uniformly from its box.",
        claim="Its actions lie inside the box, with mean 0 and variance 1/3.",
    ),
    "never_trade": Strategy(
        builders=both(reference.never_trade, parameter_trading.never_trade) | {SHARING: model_sharing.never_trade},
        summary="Bids nothing and asks the maximum; leaves a model-sharing market at once.",
        claim="Where all play it no money moves.",
    ),
    "shade": shade(),
    "linear_equilibrium": Strategy(
        builders={REFERENCE: reference.linear_equilibrium},
        summary="Plays the linear equilibrium of the midpoint double auction (Chatterjee and Samuelson 1983).",
        claim="On U[0, 1] a pair that plays it earns 9/128 each, and no other linear bid or ask earns more against it.",
        config={"game": "double_auction"},
    ),
    "first_price_equilibrium": Strategy(
        builders={REFERENCE: reference.first_price_equilibrium},
        summary="Bids the first-price equilibrium, the value times (n - 1) / n (Vickrey 1961).",
        claim="On U[0, 1] each of n buyers that play it earns 1 / (n (n + 1)).",
        config={"game": "first_price"},
    ),
    "myerson_seller": Strategy(
        builders=both(reference.ask_rule_seller, parameter_trading.ask_rule_seller, myerson),
        summary="Asks the best take-it-or-leave-it price for what it believes of its buyers, truthful otherwise.",
        claim="At cost 0 against truthful U[0, 1] buyers that pay the midpoint it asks 1/2 and earns .3125.",
    ),
    "best_midpoint_seller": Strategy(
        builders=both(reference.ask_rule_seller, parameter_trading.ask_rule_seller, best_midpoint),
        summary="Asks what earns most where a truthful buyer pays the midpoint, truthful otherwise.",
        claim="At cost 0 against truthful U[0, 1] buyers that pay the midpoint it asks 1/3 and earns 1/3.",
    ),
    "lower_bound_seller": Strategy(
        builders=both(reference.ask_rule_seller, parameter_trading.ask_rule_seller, lower_bound),
        summary="Asks the least value that a buyer can have, as in the paper's experiment, truthful otherwise.",
        claim="At cost 0 against truthful U[0, 1] buyers that pay the midpoint it always sells and earns 1/4.",
    ),
    "free_rider": Strategy(
        builders={TRADING: parameter_trading.free_rider},
        summary="Trades truthfully and leaves the training to others.",
        claim="From the second round it pays no effort cost, and its trained loss is higher than with effort.",
    ),
    "saboteur": Strategy(
        builders={TRADING: parameter_trading.truthful},
        summary="Plays truthfully and sells parameters with noise as large as themselves.",
        claim="Trying before buying catches it: buyers gain less from it than from its honest copy, and it sells less.",
        config={"sabotage": 1.0},
    ),
    "first_layer_seller": Strategy(
        builders={TRADING: parameter_trading.truthful},
        summary="Plays truthfully and offers only the first layer of its model.",
        claim="What it ships differs from the buyer's own model in the first layer only.",
        config={"offered_layers": ((0,),) * 4},
    ),
    "colluding_pair": Strategy(
        builders={TRADING: partial(parameter_trading.ask_rule_seller, best_midpoint)},
        summary="Two sellers ask a monopolist's price together, set at the larger of their asks.",
        claim="Both asks are the larger of what the two would ask alone, and never below the truthful ask.",
        config={"coalition": (0, 2)},
    ),
    "cost_liar": sharing(
        model_sharing.cost_liar,
        "Reports twice its cost per sale.",
        "In one round it never earns more than truth would, under any of the three payments.",
    ),
    "undercutter": sharing(
        model_sharing.undercutter,
        "Reports four tenths of its cost per sale.",
        "Where marginal values are paid it can earn more than truth; where critical values are paid it never does.",
    ),
    "size_liar": sharing(
        model_sharing.size_liar,
        "Reports three times its samples.",
        "Who buys a model of one sample as one of three pays 5 for it and is left with -2.0711.",
    ),
    "eagerness_shader": sharing(
        model_sharing.eagerness_shader,
        "Reports half of what it needs data for.",
        "It pays 2.0711 for what truth would pay 2.9289 for.",
    ),
    "buyers_only": sharing(
        model_sharing.buyers_only,
        "Reports ten times its cost, the most it can, so that it sells only where even that is paid.",
        "It never sells to more than truth would, and in the mean to less than a third as many.",
    ),
    "sellers_only": sharing(
        model_sharing.sellers_only,
        "Reports a tenth of its need, the least it can, so that it hardly buys.",
        "In the mean it buys less than a third of what truth would, and sells as often.",
    ),
    "relay_rider": sharing(
        model_sharing.relay_rider,
        "Stops training and uploads the prox centre that it was sent last.",
        "After its first round it pays no effort cost, and at cost 0 it earns over half of what an honest client does.",
    ),
    "copy": sharing(
        model_sharing.copy,
        "Stops training and uploads the mean of the others' models.",
        "Nearly everybody buys it although it adds nothing: its distance is less than that of honest models.",
    ),
    "shuffle": sharing(
        model_sharing.shuffle,
        "Uploads its model's numbers in random order.",
        "At lambda 2 it sells to less than a tenth of the buyers.",
    ),
    "gauss": sharing(
        model_sharing.gauss,
        "Uploads standard normal numbers.",
        "At lambda 2 it sells to less than a tenth of the buyers.",
    ),
    "ones": sharing(
        model_sharing.ones,
        "Uploads a model of ones.",
        "At lambda 2 it sells to less than a fifth of the buyers.",
    ),
    "sign_flip": sharing(
        model_sharing.sign_flip,
        "Uploads its model with all signs turned.",
        "At lambda 2 it sells to fewer than an honest client and still to some.",
    ),
    "noise": sharing(
        model_sharing.noise,
        "Uploads its model with noise as large as its update.",
        "In the mean it is farther from the others than its honest copy, and sells less.",
    ),
}


def with_options(state: TradingState, who: Int[Tensor, "markets agents"], strategies: Sequence[str | Strategy]) -> TradingState:
    """Give every agent the options that its strategy needs: noise, layers offered, membership of the coalition.

    who: agent i of market m plays ``strategies[who[m, i]]``; -1 plays something else   [markets, agents]
    strategies: names in ``STRATEGIES``, or strategies

    Options that the state already has are kept: the larger noise, the fewer layers, both coalitions as one. All members
    of a market form one coalition. Raises ValueError for unknown names and for numbers that name no strategy.
    """
    chosen: list[Strategy] = [named_part(one, "strategy", STRATEGIES, "a Strategy", kind=Strategy) for one in strategies]
    if who.shape != state.loss.shape or not bool(((who >= -1) & (who < len(chosen))).all()):
        raise ValueError(
            f"who is {list(who.shape)} with numbers {who.unique().tolist()}; wanted {list(state.loss.shape)} (markets, agents) "
            f"with numbers from -1 to {len(chosen) - 1}, one for each of {len(chosen)} strategies."
        )
    old, who = state.options, who.to(state.loss.device)
    noise, members = ([s.config.get("sabotage", 0.0) for s in chosen], ["coalition" in s.config for s in chosen])
    layers = [_layers(s, old.offered.shape[-1]) for s in chosen]
    options = dataclasses.replace(
        old,
        sabotage=old.sabotage.maximum(old.sabotage.new_tensor([*noise, 0.0])[who]),  # -1 takes the last entry: nothing
        offered=old.offered.minimum(old.offered.new_tensor([*layers, [1.0] * old.offered.shape[-1]])[who]),
        coalition=old.coalition | torch.tensor([*members, False], device=who.device)[who],
    )
    return dataclasses.replace(state, options=options)


def _layers(strategy: Strategy, n_layers: int) -> list[float]:
    """1 for each layer that a strategy offers."""
    chosen = strategy.config.get("offered_layers", (None,))[0]
    return [float(chosen is None or k in chosen) for k in range(n_layers)]
