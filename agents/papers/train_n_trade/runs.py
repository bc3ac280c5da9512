"""Runs of two agents on images: one unit of work a pair of agents, and what all of them come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from marketenv.core import rounds
from marketenv.core.batch import Batch
from marketenv.core.market import Market, agent_names
from marketenv.markets.parameter_trading import Traded
from marketenv.markets.training import Trained

from ..core.study import number, play
from .methods import METHODS, market_of, policy_of
from .settings import ImageSetting

EVERY = 60.0  # seconds between checkpoints inside a unit


def image_market(
    setting: ImageSetting,
    method: str,
    broker: str,
    seed: int,
    data: str,
    root: str | None,
    device: str,
) -> Market:
    """The market of a pair of agents; ``data`` and ``root`` say where the images lie."""
    images = setting.images(data, root)
    options = setting.market(images, broker, torch.tensor([seed])) | {"device": device}
    return market_of(METHODS[method], setting.join, options)


def round_facts(market: Market, batch: Batch) -> dict[str, Any]:
    """What is kept of a round, one entry an agent: test loss and accuracy (%), purchases, their
    weights, divergence.
    """
    # where the round ended; the situation that is running has trained for the next one
    report, end = batch.report, batch.state().start
    assert report is not None and end is not None
    test, trade = rounds.test_scores(market, end), report.of(Traded)
    weights = trade.alpha[0].sum(1) * trade.bought[0]
    return {
        "loss": [number(loss) for loss in test.loss[0].tolist()],
        "accuracy": [round(100 * share, 4) for share in test.accuracy[0].tolist()],
        "bought": trade.bought[0].tolist(),
        "alpha": [round(weight, 6) for weight in weights.tolist()],
        "diverged": report.of(Trained).diverged[0].tolist(),
    }


def trade(
    folder: Path,
    setting: ImageSetting,
    method: str,
    broker: str,
    seed: int,
    data: str,
    root: str | None,
    device: str,
) -> list[dict[str, Any]]:
    """Play one pair of agents through all epochs and keep the ``round_facts`` of each."""
    market = image_market(setting, method, broker, seed, data, root, device)
    policy = policy_of(METHODS[method], setting.join, market)
    policies = dict.fromkeys(agent_names(market), policy)
    return play(market, policies, seed, partial(round_facts, market), folder, EVERY)


@dataclass(frozen=True)
class TradingRuns:
    """All runs of a study.

    name:   of the setting;   scaled: what is smaller than in the paper, in words
    rounds: ``round_facts`` of every round of every seed, by (method, broker)
    """

    name: str
    setting: ImageSetting
    scaled: str
    rounds: Mapping[tuple[str, str], list[list[dict[str, Any]]]]

    def of(self, method: str, broker: str, fact: str) -> np.ndarray:
        """One fact of every round: [seeds, rounds, agents]; a value that is not finite is inf."""
        values = [[facts[fact] for facts in run] for run in self.rounds[method, broker]]
        return finite_or_inf(values)

    def accuracy(self, method: str, broker: str, agent: int, epoch: int = 0) -> np.ndarray:
        """Test accuracy after an epoch (0: the last), % [seeds]."""
        return self.of(method, broker, "accuracy")[:, epoch - 1, agent]

    def diverged(self) -> int:
        """In how many of the agents' epochs training diverged."""
        return sum(int(self.of(*key, "diverged").sum()) for key in self.rounds)

    def curves(self) -> dict[str, Any]:
        """Test loss, accuracy and weights of every run [seeds, rounds, agents], as plain data."""
        return {
            f"{method}, {broker}": {
                fact: [[facts[fact] for facts in run] for run in runs]
                for fact in ("loss", "accuracy", "alpha")
            }
            for (method, broker), runs in self.rounds.items()
        }


def finite_or_inf(values: Any) -> np.ndarray:
    """Nested lists of numbers as an array; None, which stands for a value not finite, is inf."""
    numbers = np.array(values, dtype=float)  # None becomes nan
    return np.where(np.isnan(numbers), np.inf, numbers)
