"""What sets single agents of a parameter market apart: the options that their strategies need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.rounds import Situation

from ..scripted import Strategy
from .strategies import STRATEGIES


def with_options(
    now: Situation, who: Int[Tensor, "markets agents"], strategies: Sequence[str | Strategy]
) -> Situation:
    """Give every agent its strategy's options: noise, layers offered, a coalition.

    now: where the markets of ``parameter_trading_v0`` stand before a round begins, as
        ``rounds.opened`` has it
    who: agent i of market m plays ``strategies[who[m, i]]``; -1 plays something
        else   [markets, agents]
    strategies: names in ``STRATEGIES``, or strategies

    Options that the markets already have are kept: the larger noise, the fewer layers, both
    coalitions as one. All members of a market form one coalition. Raises ValueError for unknown
    names and for numbers that name no strategy.
    """
    parts: list[Strategy] = [
        named_part(one, "strategy", STRATEGIES, "a Strategy", kind=Strategy) for one in strategies
    ]
    old = now.owns["trade"].options
    if who.shape != old.sabotage.shape or not bool(((who >= -1) & (who < len(parts))).all()):
        raise ValueError(
            f"who is {list(who.shape)} with numbers {who.unique().tolist()}; wanted"
            f" {list(old.sabotage.shape)} (markets, agents) with numbers from -1 to"
            f" {len(parts) - 1}, one for each of {len(parts)} strategies."
        )
    who = who.to(old.sabotage.device)
    noise, members = (
        [s.config.get("sabotage", 0.0) for s in parts],
        ["coalition" in s.config for s in parts],
    )
    layers = [_layers(s, old.offered.shape[-1]) for s in parts]
    options = dataclasses.replace(
        old,
        # -1 takes the last entry: nothing
        sabotage=old.sabotage.maximum(old.sabotage.new_tensor([*noise, 0.0])[who]),
        offered=old.offered.minimum(
            old.offered.new_tensor([*layers, [1.0] * old.offered.shape[-1]])[who]
        ),
        coalition=old.coalition | torch.tensor([*members, False], device=who.device)[who],
    )
    return dataclasses.replace(
        now, owns={**now.owns, "trade": dataclasses.replace(now.owns["trade"], options=options)}
    )


def _layers(strategy: Strategy, n_layers: int) -> list[float]:
    """1 for each layer that a strategy offers."""
    offered = strategy.config.get("offered_layers", (None,))[0]
    return [float(offered is None or k in offered) for k in range(n_layers)]
