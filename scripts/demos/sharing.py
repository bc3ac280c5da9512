"""The demo's second market: ten clients with uneven digits share models, by the paper's market and by other schemes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agents.lineups import Played, play
from agents.scripted import STRATEGIES
from agents.stress.claims.sharing_experiments import episodes
from marketenv import make_market
from marketenv.core.market import agent_names
from marketenv.markets.model_sharing import ModelSharingMarket
from marketenv.markets.sharing_schemes import SCHEMES
from marketenv.metrics import paired_difference
from marketenv.render import draw_bars, draw_network, figure, picture, table

MARKET = "model_sharing_v0"
SCHEME_HEAD = ("scheme", "test accuracy, last", "test accuracy, best", "summed utility a round", "models passed on a round")
LIAR_HEAD = ("client 0", "utility", "less truthful [95 %]", "sales a round", "loss of the others")


@dataclass(frozen=True)
class Schemes:
    """All schemes on the same seeds: what each came to, and the money that moved on seed 0 of the paper's [payers, payees].

    facts: by scheme the means over seeds of what ``SCHEME_HEAD`` names
    """

    facts: dict[str, tuple[float, ...]]
    money: np.ndarray
    agents: tuple[str, ...]


def market_of(n_rounds: int, **arguments: Any) -> ModelSharingMarket:
    """Ten clients, digits dealt by Dirichlet .1, lambda 2."""
    market = make_market(MARKET, max_cycles=n_rounds, strength=2.0, **arguments)
    assert isinstance(market, ModelSharingMarket)
    return market


def schemes(seeds: int, n_rounds: int) -> Schemes:
    """Play every scheme with truthful clients on the same seeds."""
    facts: dict[str, tuple[float, ...]] = {}
    money = np.zeros(0)
    agents: tuple[str, ...] = ()
    for name in SCHEMES:
        market = market_of(n_rounds, scheme=name)
        done, agents = episodes(market, "truthful", torch.arange(seeds)), agent_names(market)
        told = [float(done.sum(field).sum(1).mean()) / n_rounds for field in ("utility", "bought")]
        facts[name] = (*(float(market.test_scores(done.end, at).accuracy.mean()) for at in ("last", "best")), *told)
        money = sum(r.transfers[0] for r in done.reports).numpy() if name == "ipfl" else money
    return Schemes(facts, money, agents)


def liars(seeds: int, n_rounds: int) -> tuple[list[str], Played]:
    """Client 0 plays each strategy of this market against nine truthful ones, all markets as one batch."""
    market = market_of(n_rounds)
    names = [name for name, strategy in STRATEGIES.items() if MARKET in strategy.markets]
    policies = [market.policies["truthful"], *(STRATEGIES[name].build(market) for name in names)]
    who = torch.zeros(len(names), seeds, market.n_agents, dtype=torch.int64)
    who[:, :, 0] = torch.arange(1, len(policies))[:, None]
    return names, play(market, policies, who, torch.arange(seeds))


def rows_of(names: list[str], played: Played) -> list[tuple[str, ...]]:
    """One line a strategy: client 0's episode, and the loss of the others' models."""
    mine, truth = played.utility[..., 0], played.utility[names.index("truthful"), :, 0]
    return [
        (
            name,
            f"{mine[k].mean():.2f}",
            "-" if name == "truthful" else str(paired_difference(mine[k], truth)),
            f"{played.facts['sales'][k, 0]:.2f}",
            f"{played.facts['loss'][k, 1:].mean():.3f}",
        )
        for k, name in enumerate(names)
    ]


def sections(seeds: int, n_rounds: int) -> tuple[list[tuple[str, str]], list[tuple[str, ...]]]:
    """The report's sections of this market as (heading, HTML), and the schemes' table."""
    found, (names, played) = schemes(seeds, n_rounds), liars(seeds, n_rounds)
    shown = [(name, *(f"{value:.3f}" for value in values)) for name, values in found.facts.items()]
    network, gains = figure(1, 6.0, 5.4), figure(1, 6.5, 4.2)
    draw_network(network[1][0], found.money, found.agents, "money paid for models over the episode, seed 0")
    mine = played.utility[..., 0].mean(1)
    less = {name: float(mine[k] - mine[names.index("truthful")]) for k, name in enumerate(names) if name != "truthful"}
    draw_bars(gains[1][0], less, "client 0's utility less that of truth, same seeds", "money per episode")
    text = f"Ten clients own digits dealt out by a Dirichlet distribution of .1. Means over {seeds} seeds and {n_rounds} rounds."
    drawn = picture(network[0], f"Who bought whose model from whom under iPFL; the width is money. {text}")
    told = "Test data are weighted by each client's own labels. Only iPFL has money; every copy of a model costs its owner."
    bars = picture(
        gains[0], "Lies about cost, samples and need, and uploads that are not the trained model; the others are truthful."
    )
    return [
        (
            "Model sharing: the paper's market and others",
            table(SCHEME_HEAD, shown) + f'<p class="note">{text} {told}</p>' + drawn,
        ),
        ("Model sharing: liars and attackers", table(LIAR_HEAD, rows_of(names, played)) + bars),
    ], shown
