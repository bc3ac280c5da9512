"""Studies of clients that train and share models: schemes, lambda and attacks, beside the paper.

iPFL, arXiv 2505.02462
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from agents.papers.core.rows import row
from agents.papers.core.study import Row, Study
from agents.papers.ipfl import figures, numbers
from agents.papers.ipfl.runs import (
    Attacks,
    Lambdas,
    Markets,
    Sharing,
    accuracy,
    buyers,
    by_round,
    play_all,
    welfare,
)
from agents.papers.ipfl.settings import SHORT
from agents.papers.ipfl.sharing import LAZY
from marketenv.markets.model_sharing.schemes import SCHEMES

BEST = {"last": "last round", "best": "best validation round"}
NOTES = (
    (
        "Accuracy is that of each client's model on held-out test data weighted by the client's own"
        " labels, a mean over clients. The best round is chosen by validation accuracy; the public"
        " code chooses it by the test data."
    ),
    (
        "Utility is the gain from data less the cost of sales less payments, summed over clients,"
        " in money a round. Baselines pay nothing but bear c for every client that gets their"
        " model. c = 1 and K = 100 times the mean size, as in the paper."
    ),
    (
        "Training: SGD 0.01, momentum 0.9, weight decay 1e-5, batches of 64. All clients begin with"
        " the same model."
    ),
)


def with_source(shown: Row, words: str) -> Row:
    """A row beside which somebody says something in words, and no number."""
    return dataclasses.replace(shown, source=words)


def _outcomes(name: str, markets: Markets) -> list[Row]:
    """Accuracy and utility of one kind of market."""
    return [
        *(
            row(f"{name}, test accuracy, {BEST[at]}", "% right", accuracy(markets, at))
            for at in BEST
        ),
        row(f"{name}, summed utility", "money a round", welfare(markets)),
    ]


# --- schemes --------------------------------------------------------------------------------------


def ipfl_niid(config: Sharing) -> None:
    """Schemes on unevenly dealt data: test accuracy and summed utility of iPFL and its rivals."""
    partitions, strength = config.task.partitions, config.arguments()["strength"]
    keys = [(p, s, strength, "honest") for p in partitions for s in SCHEMES]
    runs = play_all(config, keys, f"ipfl_niid {config.setting}")
    by_partition = {
        SHORT[p]: {s: runs[p, s, strength, "honest"] for s in SCHEMES} for p in partitions
    }
    title = f"Schemes on {config.task.title}"
    Study(
        name=f"ipfl_niid_{config.setting}",
        title=title,
        scaled=config.scaled(),
        about=config.about(),
        rows=tuple(
            one
            for dealt, schemes in by_partition.items()
            for one in _scheme_rows(schemes, dealt, config.setting == "finance")
        ),
        fig=figures.schemes(
            title,
            {
                dealt: (
                    {s: accuracy(markets, "best") for s, markets in schemes.items()},
                    {s: welfare(markets) for s, markets in schemes.items()},
                )
                for dealt, schemes in by_partition.items()
            },
        ),
        notes=NOTES,
        curves={
            f"{p}, {s}": {
                fact: by_round(markets, fact).mean((0, 2)).tolist()
                for fact in ("utility", "validation")
            }
            for (p, s, *_), markets in runs.items()
        },
    ).write(config.out)


def _scheme_rows(schemes: Mapping[str, Markets], dealt: str, finance: bool) -> Iterator[Row]:
    """Every scheme's accuracy and utility on one partition, and what iPFL adds to the best other.

    Differences are paired by seed.
    """
    for scheme, markets in schemes.items():
        yield from _outcomes(f"{scheme}, {dealt}", markets)
    ipfl, others = schemes["ipfl"], [schemes[name] for name in schemes if name != "ipfl"]
    least = f"ipfl, {dealt}, least utility of any client in any round"
    yield with_source(
        row(least, "money", by_round(ipfl, "utility").min((1, 2))),
        f"{numbers.SUMMARY}: all are positive",
    )
    yield with_source(
        row(
            f"ipfl less local, {dealt}, test accuracy",
            "points",
            accuracy(ipfl, "best") - accuracy(schemes["local"], "best"),
        ),
        f"{numbers.SUMMARY}: above local",
    )
    reported = numbers.GAINS if finance else {}
    better = f"ipfl less the best other, {dealt}"
    most = max((accuracy(markets, "best") for markets in others), key=np.mean)
    gain = accuracy(ipfl, "best") - most
    yield row(f"{better}, test accuracy", "points", gain, reported.get("accuracy"))
    gain = welfare(ipfl) - max(map(welfare, others), key=np.mean)
    yield row(f"{better}, summed utility", "money a round", gain, reported.get("utility"))


# --- lambda ---------------------------------------------------------------------------------------


def ipfl_lambda(config: Lambdas) -> None:
    """Accuracy, utility and edges by lambda.

    A greater lambda discounts distant models more, and pulls harder at clients that bought.
    """
    p = config.task.partitions[0]
    keys = [(p, "ipfl", strength, "honest") for strength in config.strengths]
    runs = {
        f"lambda {strength:g}": markets
        for (_, _, strength, _), markets in play_all(config, keys, "ipfl_lambda").items()
    }
    edges = {name: by_round(markets, "bought").sum(2) for name, markets in runs.items()}
    possible, rows = config.clients * (config.clients - 1), []
    for name, markets in runs.items():
        rows += _outcomes(name, markets)
        rows.append(row(f"{name}, models sold", f"of {possible} a round", edges[name].mean(1)))
    Study(
        name=config.file("ipfl_lambda"),
        title=f"Lambda on {config.task.title}, {SHORT[p]}",
        scaled=config.scaled(),
        about=config.about(),
        rows=tuple(rows),
        fig=figures.lambdas(
            {name: by_round(markets, "validation").mean(2) for name, markets in runs.items()},
            {name: by_round(markets, "utility").sum(2) for name, markets in runs.items()},
            edges,
        ),
        notes=(*NOTES, "The summary names lambda 0.1, 1 and 10 and gives no numbers."),
    ).write(config.out)


# --- attacks --------------------------------------------------------------------------------------


def ipfl_attack(config: Attacks) -> None:
    """Client 0 uploads something else than its model: its buyers, its utility, the others' loss."""
    p, kinds = config.task.partitions[0], ("honest", *config.attacks)
    keys = [(p, "ipfl", strength, kind) for strength in config.strengths for kind in kinds]
    runs = play_all(config, keys, "ipfl_attack", cost=config.cost)
    by_strength = {
        strength: {kind: runs[p, "ipfl", strength, kind] for kind in kinds}
        for strength in config.strengths
    }
    lazy = f"{' and '.join(LAZY)} train in the first round only; the others train in every round."
    Study(
        name=config.file("ipfl_attack"),
        title=f"One attacker on {config.task.title}, {SHORT[p]}",
        scaled=config.scaled(),
        about=config.about(),
        rows=tuple(
            one
            for strength, by_kind in by_strength.items()
            for one in _attack_rows(config, strength, by_kind)
        ),
        fig=figures.attacks(
            {
                f"lambda {strength:g}": (
                    {kind: buyers(markets) for kind, markets in by_kind.items()},
                    {kind: accuracy(markets, "last", 1) for kind, markets in by_kind.items()},
                )
                for strength, by_kind in by_strength.items()
            },
            config.clients - 1,
        ),
        notes=(
            *NOTES,
            f"All report the truth; a sale costs client 0 {config.cost:g} money. {lazy}",
            "Theorem 3 isolates an attacker only where its distance costs enough.",
        ),
    ).write(config.out)


def earlier_buyers(config: Attacks, kind: str, strength: float) -> str:
    """What earlier simulations say of a kind of upload; "" where this market is not like theirs."""
    alike = config.setting == "digits" and config.data is None
    alike = alike and config.clients == 10 and config.cost == 0
    number = numbers.EARLIER_BUYERS.get(kind, {}).get(strength) if alike else None
    return f"{numbers.EARLIER}, on digits: {number} of 9" if number else ""


def _attack_rows(config: Attacks, strength: float, by_kind: Mapping[str, Markets]) -> Iterator[Row]:
    """Sales, utilities and accuracy by kind of upload.

    Differences from the honest run are paired with it by seed.
    """
    honest, others = by_kind["honest"], f"of {config.clients - 1} a round"
    each = "money a round and client"
    for kind, markets in by_kind.items():
        name = f"lambda {strength:g}, {kind}"
        yield with_source(
            row(f"{name}: buyers of client 0", others, buyers(markets)),
            earlier_buyers(config, kind, strength),
        )
        own = by_round(markets, "utility")[:, :, 0].mean(1)
        yield row(f"{name}: utility of client 0", "money a round", own)
        yield row(f"{name}: utility of the others", each, _others(markets))
        right = accuracy(markets, "last", 1)
        yield row(f"{name}: test accuracy of the others, last round", "% right", right)
        if kind == "honest":
            continue
        fewer = buyers(markets) - buyers(honest)
        yield row(f"{name}: buyers of client 0 less an honest client's", others, fewer)
        loss = _others(markets) - _others(honest)
        yield row(f"{name}: the others' utility less that beside an honest client", each, loss)
        worse = right - accuracy(honest, "last", 1)
        yield row(
            f"{name}: the others' accuracy less that beside an honest client", "points", worse
        )


def _others(markets: Markets) -> np.ndarray:
    """Utility of a client beside client 0, mean over rounds and clients [seeds]."""
    return by_round(markets, "utility")[:, :, 1:].mean((1, 2))
