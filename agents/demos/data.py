"""The demo's third market: a seller of digits cheats, and the buyer uses no guard, one or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agents.demos.line_ups import STANDS, TRUTHFUL, market_of, meanings
from agents.markets import STRATEGIES
from agents.papers.core.units import Unit, beat
from marketenv.core import rounds
from marketenv.markets.data_market import TrainedOnPurchase
from marketenv.render import table

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
    arguments = [{"words": (*SMALL, *guard), "seeds": seeds} for guard in GUARDS.values()]
    return [Unit(play, one, rounds=seeds * len(SELLERS), stands=STANDS) for one in arguments]


def play(folder: Path, words: Sequence[str], seeds: int) -> dict[str, Any]:
    """One round in which seller_0 plays each strategy and all others the truth, as plain data."""
    market = market_of(MARKET, words, 1)
    who = torch.zeros(len(SELLERS), seeds, market.people.count, dtype=torch.int64)
    who[:, :, 0] = torch.arange(len(SELLERS))[:, None]
    seats = who.flatten(0, 1)
    policies = [STRATEGIES[name].build(market) for name in SELLERS]
    now, report = rounds.begin(market, torch.arange(seeds).repeat(len(SELLERS))), None
    while report is None:
        now, report = rounds.advance(market, now, rounds.act_mixed(market, policies, seats, now))
    beat(folder, len(seats))
    earned, accuracy = report.rewards[:, 0], report.of(TrainedOnPurchase).realised
    return {
        "earned": earned.view(-1, seeds).tolist(),
        "accuracy": accuracy.view(-1, seeds).tolist(),
    }


def rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """One line a strategy: earnings by guard, and accuracy without one, means over seeds."""
    earned = [torch.tensor(one["earned"]).mean(1).tolist() for one in results]
    accuracy = torch.tensor(results[0]["accuracy"]).mean(1).tolist()
    return [
        (name, *(f"{column[k]:.2f}" for column in earned), f"{accuracy[k]:.3f}")
        for k, name in enumerate(SELLERS)
    ]


def section(results: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The report's section of this market as (heading, HTML)."""
    seeds, points = len(results[0]["earned"][0]), SMALL[3].split("=")[1]
    text = (
        f"A buyer procures {points} digits from three sellers at a posted price; one of them"
        " cheats. The table shows its utility in one procurement, money, and in the last column the"
        f" accuracy of the bought model; mean over {seeds} seeds. An audit compares deliveries"
        " with pilots. Named labels let an audit tell classes apart by name, not by the moments of"
        " their rows alone. Money held back is paid by the realised accuracy."
    )
    note = f'<p class="note">{text}</p>'
    return "Data market: one seller cheats", table(HEAD, rows(results)) + meanings(SELLERS) + note
