"""The market of two linear agents: A has few clean examples, B more and noisy ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from marketenv.alignment import alpha_closed_form
from marketenv.core.market import Market
from marketenv.data.linear import SyntheticLinear
from marketenv.learners import Training
from marketenv.markets.parameter_trading import ParameterTradingConfig, parameter_trading
from marketenv.markets.parameter_trading.weights import Merger, Weighed, weighed
from marketenv.markets.worlds import Laid

from ..core.effort import Effort
from ..core.words import AS_STATED
from .settings import AGENTS

FEWER = "fewer parameters"  # than the paper's 1000 of figures 3 and 4
OWN_TASK = f"{FEWER}, a broker with examples of the buyer's own task"
FULL = "it wants the effort full"
NOISE = (0.0, math.sqrt(0.5))  # standard deviation of the label noise of A and of B


def sizes(condition: str, effort: Effort) -> dict[str, Any]:
    """The market of figure 3 at the paper's sizes as stated, at the effort's otherwise."""
    n_rounds, dimension = (100, 1000) if condition == AS_STATED else effort.linear[1:]
    return {
        "rounds": n_rounds,
        "rate": 1 / n_rounds,
        "dimension": dimension,
        "examples": (dimension // 2, dimension * 4 // 5),
        "noise": NOISE,
        "validation": 10 * dimension,
        "test": 10 * dimension,
    }


def in_words(n_seeds: int, n_rounds: int) -> str:
    """The seeds and rounds of a claim's evidence."""
    return f"JUDGE + 0..{n_seeds - 1}, {n_rounds} rounds"


def source_of(arguments: Mapping[str, Any]) -> SyntheticLinear:
    """The data of a market; ValueError for sizes that make none."""
    names = {field.name for field in dataclasses.fields(SyntheticLinear)}
    known = {name: value for name, value in arguments.items() if name in names}
    return SyntheticLinear(n_agents=len(AGENTS), **known)


def options_of(
    arguments: Mapping[str, Any], valuation: Any = "error_ratio", alpha: Any = "auto"
) -> dict[str, Any]:
    """Options of the market: a unit of money a unit of gain, and effort costs nothing.

    arguments: rounds, rate (size of a gradient step), and fields of ``SyntheticLinear``
    """
    training = Training(optimizer="sgd", learning_rate=arguments["rate"], batch_size=None, steps=1)
    learner = {"learner": "linear", "training": training, "max_cycles": arguments["rounds"]}
    free = {"money_per_loss": (1.0, 1.0), "effort_cost": (0.0, 0.0)}
    broker = {"valuation": valuation, "alpha": alpha}
    return {"data": source_of(arguments)} | learner | free | broker


def market_of(arguments: Mapping[str, Any], **broker: Any) -> Market:
    """The market of these arguments, where cash never ends.

    broker: valuation and alpha, as ``options_of`` takes them
    """
    options = options_of(arguments, **broker)
    return parameter_trading(ParameterTradingConfig(n_agents=len(AGENTS), cash=math.inf, **options))


# --- a broker for each task -----------------------------------------------------------------------


def own_weights(merger: Merger) -> Weighed:
    """The best weights of each purchase for noiseless labels of the buyer's own task.

    The broker's data otherwise hold both tasks in turn, so that a weight serves their average.
    """
    world = merger.world
    assert world.optimum is not None
    of_exam = partial(_own_weights, merger.mask)
    (alpha,) = world.asked(world.content.exam, of_exam, world.optimum, merger.models, merger.offers)
    return weighed(merger, alpha)


def _own_weights(
    mask: Tensor, laid: Laid, optimum: Tensor, trained: Tensor, offers: Tensor
) -> tuple[Tensor]:
    """The best weights for noiseless labels of each buyer's own task: X^T y / n = G theta*."""
    gram = laid.made.gram.repeat_interleave(len(trained) // laid.owners, 0)
    cross = optimum.double() @ gram
    weights = [
        alpha_closed_form(gram, cross[:, k], trained, offers, mask)[:, k]
        for k in range(trained.shape[1])
    ]
    return (torch.stack(weights, 1),)
