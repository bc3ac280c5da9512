"""The demo's second market: ten clients with uneven digits share models, by the paper's market
and by other schemes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.render import draw_network, figure, picture, table
from scripts.demos.line_ups import (
    TRUTHFUL,
    Played,
    below,
    differences,
    gap_picture,
    joined,
    names_of,
    units_of,
)
from scripts.intervals import heading
from scripts.units import Unit

MARKET = "model_sharing_v0"
FIELDS = ("utility", "bought", "sold", "loss")
STRENGTH = "strength=2.0"  # lambda
SCHEME_SEEDS = 2  # at most, of the schemes, whose part is to take seconds
LIAR_ROUNDS = 5  # at most, of the liars: with all seeds
SEED = 0  # the market whose payments are shown
SCHEME_HEAD = (
    "scheme",
    "test accuracy, last",
    "summed utility a round",
    "models passed on a round",
)


def units(seeds: int, n_rounds: int) -> tuple[list[Unit], list[Unit]]:
    """Every scheme with truthful clients, and the paper's market with one liar or attacker,
    four line-ups a unit.
    """
    few, short = min(seeds, SCHEME_SEEDS), min(n_rounds, LIAR_ROUNDS)
    given = {"market": MARKET, "fields": FIELDS, "told": False}
    compared = [
        units_of(
            (TRUTHFUL,),
            1,
            **given,
            words=(STRENGTH, f"scheme={name}"),
            seeds=few,
            n_rounds=n_rounds,
        )
        for name in SCHEMES
    ]
    lied = units_of(names_of(MARKET), 4, **given, words=(STRENGTH,), seeds=seeds, n_rounds=short)
    return [unit for (unit,) in compared], lied


def schemes_of(results: list[Mapping[str, Any]]) -> dict[str, Played]:
    """What was played under each scheme."""
    return {name: joined([result]) for name, result in zip(SCHEMES, results, strict=True)}


def scheme_rows(found: Mapping[str, Played]) -> list[tuple[str, ...]]:
    """One line a scheme: means over seeds."""
    rows = []
    for name, played in found.items():
        summed = [played.values[field].sum(3).mean() for field in ("utility", "bought")]
        rows.append((name, *(f"{value:.3f}" for value in (played.test_accuracy.mean(), *summed))))
    return rows


def liar_head(played: Played) -> tuple[str, ...]:
    """The heads of ``liar_rows``."""
    less = heading("less truthful", differences(played.gaps()).values())
    return ("one client", "earned a round", less, "sales a round", "loss of the others")


def liar_rows(played: Played) -> list[tuple[str, ...]]:
    """One line a strategy: the focal client's round, and the loss of the others' models."""
    n_rounds, n = played.values["reward"].shape[2:]
    earned, sales, own = (
        played.of_focal(played.values[f]).mean((1, 2)) for f in ("reward", "sold", "loss")
    )
    others = (played.values["loss"].mean((1, 2)).sum(1) - own) / (n - 1)
    gaps = differences({name: row / n_rounds for name, row in played.gaps().items()})
    return [
        (name, f"{earned[k]:.2f}", str(gaps.get(name, "-")), f"{sales[k]:.2f}", f"{others[k]:.3f}")
        for k, name in enumerate(played.names)
    ]


def sections(found: Mapping[str, Played], lied: Played) -> list[tuple[str, str]]:
    """The report's sections of this market as (heading, HTML)."""
    ipfl = found["ipfl"]
    (_, few, n_rounds, n), (_, seeds, short, _) = (
        ipfl.values["utility"].shape,
        lied.values["utility"].shape,
    )
    text = (
        f"{n} clients own digits dealt out by a Dirichlet distribution of .1. Means over {few}"
        f" seeds and {n_rounds} rounds; so few seeds rank no schemes. Test data are weighted by"
        " each client's own labels. Only iPFL has money; every copy of a model costs its owner."
    )
    which, (network, (axes,)) = f"iPFL, seed {SEED}, {n_rounds} rounds", figure(1, 6.8, 6.4)
    draw_network(axes, ipfl.money[0], ipfl.agents, f"money paid for models: {which}")
    drawn = picture(
        network,
        f"Who bought whose model: {which}. Arrows lead from buyer to seller, the width is money.",
    )
    gaps = {name: row / short for name, row in lied.gaps().items()}
    fig, caption = gap_picture(gaps, "what a client earns less what truth earns", "money a round")
    about = (
        f"Means over {seeds} seeds and {short} rounds; the clients take turns in being the one that"
        " lies, the others are truthful. Earned is utility less the cost of effort. Lies are about"
        " cost, samples and need; attackers upload what is not the trained model."
    )
    return [
        (
            "Model sharing: the paper's market and others",
            table(SCHEME_HEAD, scheme_rows(found)) + f'<p class="note">{text}</p>' + drawn,
        ),
        (
            "Model sharing: liars and attackers",
            table(liar_head(lied), liar_rows(lied))
            + below(gaps)
            + f'<p class="note">{about}</p>'
            + picture(fig, caption),
        ),
    ]
