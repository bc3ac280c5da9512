"""The demo's third market: a seller of digits cheats in every known way, and the buyer guards
itself in none, one or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agents.markets import STRATEGIES
from marketenv.core import rounds
from marketenv.markets.data_market import TrainedOnPurchase
from marketenv.render import table
from scripts.demos.line_ups import STANDS, TRUTHFUL, market_of
from scripts.units import Unit, beat

MARKET = "data_market_v0"
SMALL = (
    "rule=posted",
    "communications=4",
    "mixtures=6",
    "points=120",
    "pilots=(20, 40)",
    "private=False",
)
GUARDS = {  # by the head of a column
    "no guard": (),
    "all audited": ("verify=1.0",),
    "labels named too": ("verify=1.0", "vocabulary=1.0"),
    "all held back": ("hold_back=1.0",),
}
SELLERS = (
    TRUTHFUL,
    "price_shader",
    "duplicator",
    "padder",
    "label_flipper",
    "label_permuter",
    "imitator",
    "spoofer",
    "bait_and_switch",
)
SEEDS = 8  # at most: every market trains a dozen models
HEAD = ("seller_0", *GUARDS, "accuracy, no guard")


def units(seeds: int) -> list[Unit]:
    """All strategies under one guard each."""
    seeds = min(seeds, SEEDS)
    given = [{"words": (*SMALL, *guard), "seeds": seeds} for guard in GUARDS.values()]
    return [Unit(play, one, rounds=seeds * len(SELLERS), stands=STANDS) for one in given]


def play(folder: Path, words: Sequence[str], seeds: int) -> dict[str, Any]:
    """One round in which seller_0 plays each strategy and all others the truth, on the same
    seeds, as plain data.
    """
    market = market_of(MARKET, words, 1)
    who = torch.zeros(len(SELLERS), seeds, market.people.count, dtype=torch.int64)
    who[:, :, 0] = torch.arange(len(SELLERS))[:, None]
    policies = [STRATEGIES[name].build(market) for name in SELLERS]
    now, report = rounds.begin(market, torch.arange(seeds).repeat(len(SELLERS))), None
    while report is None:
        now, report = rounds.advance(
            market, now, rounds.act_mixed(market, policies, who.flatten(0, 1), now)
        )
    beat(folder, len(who.flatten(0, 1)))
    earned, accuracy = report.rewards[:, 0], report.of(TrainedOnPurchase).realised
    return {
        "earned": earned.view(-1, seeds).tolist(),
        "accuracy": accuracy.view(-1, seeds).tolist(),
    }


def rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """One line a strategy: what it earns under each guard, and the accuracy of the model
    without one; means over seeds.
    """
    earned = [torch.tensor(one["earned"]).mean(1).tolist() for one in results]
    accuracy = torch.tensor(results[0]["accuracy"]).mean(1).tolist()
    return [
        (name, *(f"{column[k]:.2f}" for column in earned), f"{accuracy[k]:.3f}")
        for k, name in enumerate(SELLERS)
    ]


def section(results: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The report's section of this market as (heading, HTML)."""
    seeds = len(results[0]["earned"][0])
    text = (
        f"A buyer procures {SMALL[3].split('=')[1]} digits of three sellers at a posted price; one"
        f" of them cheats. What it earns in one procurement, in money, mean over {seeds} seeds. An"
        " audit compares deliveries with pilots; named labels make two classes differ by more than"
        " their moments; what is held back is paid by realised accuracy."
    )
    return (
        "Data market: one seller cheats",
        table(HEAD, rows(results)) + f'<p class="note">{text}</p>',
    )
