"""Studies of the model-sharing market in which clients train: schemes, lambda and attacks
(iPFL, arXiv 2505.02462).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from marketenv.core.lookup import lookup
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.markets.model_sharing.uploads import UPLOADS
from marketenv.render import draw_lines, figure
from marketenv.render.pictures import COLOURS
from scripts.studies.sharing_data import LAZY, SHORT, Sharing, trade
from scripts.studies.study import Row, Study, run
from scripts.units import Unit

SUMMARY = "summary of arXiv 2505.02462"
BEST = {"last": "last round", "best": "best validation round"}
ATTACKS = tuple(name for name in UPLOADS if name != "honest")
# Sales a round of client 0 to nine others on digits, by lambda, in simulations made before this
# library existed; what a sale cost the attacker there was not recorded. The paper has no number.
DERIVED = {
    "shuffled": {2.0: ".12", 1.0: "5.3"},
    "gauss": {2.0: ".12", 1.0: "5.1"},
    "ones": {2.0: ".6", 1.0: "5.8"},
    "sign_flip": {2.0: "2.6", 1.0: "6.0"},
    "copy": {2.0: "9", 1.0: "9"},
    "relay": {2.0: "7.5 to 9", 1.0: "7.5 to 9"},
}
# what the summary says of finance: more than the other schemes
GAINS = {"accuracy": 5.55, "utility": 58.3}


@dataclass(frozen=True, kw_only=True)
class Lambdas(Sharing):
    """Arguments of the studies of sharing, and the strengths to compare.

    Args:
        strengths: values of lambda
    """

    strengths: tuple[float, ...] = (0.1, 1.0, 10.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strengths or min(self.strengths) < 0:
            raise ValueError(f"strengths is {self.strengths}, wanted one or more numbers >= 0.")
        if self.strength is not None:
            raise ValueError(
                f"strength is {self.strength}, but this study compares several: give strengths in"
                " its place."
            )


@dataclass(frozen=True, kw_only=True)
class Attacks(Lambdas):
    """Arguments of the studies of sharing, the strengths, and what client 0 uploads.

    Args:
        strengths: values of lambda
        attacks: kinds of upload beside the honest one
        cost: of a sale for client 0, honest or not: what is no model of its own costs nothing to
            give away
        rounds: rounds of training and trade
    """

    strengths: tuple[float, ...] = (1.0, 2.0)
    attacks: tuple[str, ...] = ATTACKS
    cost: float = 0.0
    rounds: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.attacks:
            lookup(dict.fromkeys(ATTACKS), name, "attack")
        if self.cost < 0:
            raise ValueError(f"cost is {self.cost}, wanted money >= 0.")

    def compared(self) -> list[tuple[str, float | None, str, float]]:
        """As for every study, and what a sale costs client 0."""
        return [*super().compared(), ("cost of a sale for client 0", self.cost, "the paper's", 1.0)]


# --- runs and what is read from them --------------------------------------------------------------

Key = tuple[str, str, float, str]  # partition, scheme, lambda, attack
Runs = dict[Key, list[list[dict[str, Any]]]]


def play_all(config: Sharing, keys: Sequence[Key], label: str, **more: Any) -> Runs:
    """Run every key on every seed; equal runs of different studies are done once."""
    same = config.arguments() | more
    units = [
        Unit(
            trade,
            same
            | {
                "partition": p,
                "scheme": s,
                "strength": strength,
                "attack": attack,
                "seed": seed,
            },
            config.rounds,
        )
        for p, s, strength, attack in keys
        for seed in range(config.seeds)
    ]
    done = run(units, config, label, config.device)
    return {key: done[k * config.seeds : (k + 1) * config.seeds] for k, key in enumerate(keys)}


def rounds_of(runs: list[list[dict[str, Any]]], what: str) -> np.ndarray:
    """One fact of every round: [seeds, rounds, clients]; what is not finite is nan."""
    return np.array([[one[what] for one in rounds] for rounds in runs], dtype=float)


def tested(runs: list[list[dict[str, Any]]], at: str, start: int = 0) -> np.ndarray:
    """Mean test accuracy of the clients from ``start`` on, % [seeds]."""
    return np.array([rounds[-1][at][start:] for rounds in runs], dtype=float).mean(1)


def summed(runs: list[list[dict[str, Any]]]) -> np.ndarray:
    """Utility of all clients, mean over rounds [seeds]."""
    return rounds_of(runs, "utility").sum(2).mean(1)


def row(
    what: str, unit: str, points: np.ndarray, source: str = "", paper: float | None = None
) -> Row:
    """One number a seed."""
    return Row(
        what=what, unit=unit, paper=paper, points=tuple(float(p) for p in points), source=source
    )


def about(config: Sharing) -> dict[str, Any]:
    """Settings that were used, as plain data."""
    return dataclasses.asdict(config) | {"setting of the data": dataclasses.asdict(config.chosen)}


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
        "Training: SGD .01, momentum .9, weight decay 1e-5, batches of 64. All clients begin with"
        " the same model."
    ),
)


def dots(axes: Axes, values: Mapping[str, np.ndarray], title: str, unit: str) -> None:
    """One line a name: every seed as a dot, the mean as a black bar."""
    for k, points in enumerate(values.values()):
        axes.scatter(points, np.full(len(points), k), s=16, color=COLOURS[0], alpha=0.8)
        axes.scatter([np.mean(points)], [k], marker="|", s=160, color="black", zorder=3)
    axes.set(title=title, xlabel=unit)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)


# --- schemes --------------------------------------------------------------------------------------


def ipfl_niid(config: Sharing) -> None:
    """Schemes on unevenly dealt data: test accuracy and summed utility of iPFL and of what it
    is compared with.
    """
    partitions, strength = config.chosen.partitions, config.arguments()["strength"]
    runs = play_all(
        config,
        [(p, s, strength, "honest") for p in partitions for s in SCHEMES],
        f"ipfl_niid {config.setting}",
    )
    rows: list[Row] = []
    for p in partitions:
        rows += _scheme_rows(
            {s: runs[p, s, strength, "honest"] for s in SCHEMES},
            SHORT[p],
            config.setting == "finance",
        )
    title = f"Schemes on {config.chosen.title}"
    curves = {
        f"{p}, {s}": {f: rounds_of(r, f).mean((0, 2)).tolist() for f in ("utility", "validation")}
        for (p, s, *_), r in runs.items()
    }
    Study(
        name=f"ipfl_niid_{config.setting}",
        title=title,
        scaled=config.scaled(),
        about=about(config),
        rows=tuple(rows),
        fig=_draw_schemes(runs, partitions, strength, title),
        notes=NOTES,
        curves=curves,
    ).write(config.out)


def _scheme_rows(
    runs: Mapping[str, list[list[dict[str, Any]]]], dealt: str, finance: bool
) -> list[Row]:
    """Every scheme's accuracy and utility on one partition, and what iPFL adds to the best of
    the others, paired by seed.
    """
    rows = []
    for scheme, found in runs.items():
        rows += [
            row(f"{scheme}, {dealt}, test accuracy, {BEST[at]}", "% right", tested(found, at))
            for at in BEST
        ]
        rows += [row(f"{scheme}, {dealt}, summed utility", "money a round", summed(found))]
    least = rounds_of(runs["ipfl"], "utility").min((1, 2))
    rows += [
        row(
            f"ipfl, {dealt}, least utility of any client in any round",
            "money",
            least,
            f"{SUMMARY}: all are positive",
        )
    ]
    others = [found for scheme, found in runs.items() if scheme != "ipfl"]
    most = max((tested(found, "best") for found in others), key=lambda points: float(points.mean()))
    richest = max((summed(found) for found in others), key=lambda points: float(points.mean()))
    told = f"{SUMMARY}, of its finance task, which is another one" if finance else ""
    against = {name: value if finance else None for name, value in GAINS.items()}
    gained, earned = tested(runs["ipfl"], "best") - most, summed(runs["ipfl"]) - richest
    over = tested(runs["ipfl"], "best") - tested(runs["local"], "best")
    rows += [
        row(f"ipfl less local, {dealt}, test accuracy", "points", over, f"{SUMMARY}: above local")
    ]
    rows += [
        row(
            f"ipfl less the best other, {dealt}, test accuracy",
            "points",
            gained,
            told,
            against["accuracy"],
        )
    ]
    return [
        *rows,
        row(
            f"ipfl less the best other, {dealt}, summed utility",
            "money a round",
            earned,
            told,
            against["utility"],
        ),
    ]


def _draw_schemes(runs: Runs, partitions: Sequence[str], strength: float, title: str) -> Figure:
    fig, panels = figure(2 * len(partitions), 4.4, 3.4)
    for k, p in enumerate(partitions):
        found = {s: runs[p, s, strength, "honest"] for s in SCHEMES}
        dots(
            panels[2 * k],
            {s: tested(r, "best") for s, r in found.items()},
            f"{SHORT[p]}: test accuracy",
            "%",
        )
        dots(
            panels[2 * k + 1],
            {s: summed(r) for s, r in found.items()},
            f"{SHORT[p]}: summed utility",
            "money a round",
        )
    fig.suptitle(title, fontsize=10)
    return fig


# --- lambda ---------------------------------------------------------------------------------------


def ipfl_lambda(config: Lambdas) -> None:
    """Lambda, which makes distant models cheaper and pulls harder at who bought: accuracy,
    utility and edges.
    """
    p = config.chosen.partitions[0]
    runs = play_all(
        config, [(p, "ipfl", strength, "honest") for strength in config.strengths], "ipfl_lambda"
    )
    rows, edges = [], {}
    for (_, _, strength, _), found in runs.items():
        name = f"lambda {strength:g}"
        edges[name] = rounds_of(found, "bought").sum(2)
        rows += [
            row(f"{name}, test accuracy, {BEST[at]}", "% right", tested(found, at)) for at in BEST
        ]
        rows += [row(f"{name}, summed utility", "money a round", summed(found))]
        rows += [
            row(
                f"{name}, models sold",
                f"of {config.clients * (config.clients - 1)} a round",
                edges[name].mean(1),
            )
        ]
    named = {f"lambda {strength:g}": found for (_, _, strength, _), found in runs.items()}
    fig, panels = figure(3)
    draw_lines(
        panels[0],
        {n: rounds_of(r, "validation").mean(2) for n, r in named.items()},
        "validation",
        "round",
        "% right",
    )
    draw_lines(
        panels[1],
        {n: rounds_of(r, "utility").sum(2) for n, r in named.items()},
        "summed utility",
        "round",
        "money",
    )
    draw_lines(panels[2], edges, "models sold", "round", "edges")
    title = f"Lambda on {config.chosen.title}, {SHORT[p]}"
    Study(
        name="ipfl_lambda" if config.setting == "digits" else f"ipfl_lambda_{config.setting}",
        title=title,
        scaled=config.scaled(),
        about=about(config),
        rows=tuple(rows),
        fig=fig,
        notes=(*NOTES, "The summary names lambda .1, 1 and 10 and gives no numbers."),
    ).write(config.out)


# --- attacks --------------------------------------------------------------------------------------


def ipfl_attack(config: Attacks) -> None:
    """Client 0 uploads something else than its model: who buys it, what it earns, and what the
    others lose.
    """
    p = config.chosen.partitions[0]
    kinds = ("honest", *config.attacks)
    keys = [(p, "ipfl", strength, kind) for strength in config.strengths for kind in kinds]
    runs = play_all(config, keys, "ipfl_attack", cost=config.cost)
    rows: list[Row] = []
    for strength in config.strengths:
        rows += _attack_rows(
            config, strength, {kind: runs[p, "ipfl", strength, kind] for kind in kinds}
        )
    fig, panels = figure(2 * len(config.strengths), 4.4, 4.2)
    for k, strength in enumerate(config.strengths):
        found = {kind: runs[p, "ipfl", strength, kind] for kind in kinds}
        sold = {kind: _buyers(r) for kind, r in found.items()}
        dots(
            panels[2 * k],
            sold,
            f"lambda {strength:g}: who buys from client 0",
            f"of {config.clients - 1} a round",
        )
        accuracy = {kind: tested(r, "last", 1) for kind, r in found.items()}
        dots(panels[2 * k + 1], accuracy, f"lambda {strength:g}: the others' test accuracy", "%")
    lazy = f"{' and '.join(LAZY)} train in the first round only; the others train in every round."
    Study(
        name="ipfl_attack" if config.setting == "digits" else f"ipfl_attack_{config.setting}",
        title=f"One attacker on {config.chosen.title}, {SHORT[p]}",
        scaled=config.scaled(),
        about=about(config),
        rows=tuple(rows),
        fig=fig,
        notes=(
            *NOTES,
            f"All report the truth; a sale costs client 0 {config.cost:g}. {lazy}",
            "Theorem 3 isolates an attacker only where its distance costs enough.",
        ),
    ).write(config.out)


def derived(config: Attacks, kind: str, strength: float) -> str:
    """What earlier simulations found of a kind of upload; "" where this market is not like
    theirs.
    """
    alike = (
        config.setting == "digits"
        and config.data is None
        and config.clients == 10
        and config.cost == 0
    )
    known = DERIVED.get(kind, {}).get(strength) if alike else None
    return f"derived before, on digits: {known} of 9" if known else ""


def _attack_rows(
    config: Attacks, strength: float, runs: Mapping[str, list[list[dict[str, Any]]]]
) -> list[Row]:
    """Sales, utilities and accuracy by kind of upload; what differs from the honest run is
    paired with it by seed.
    """
    rows, without, others = [], runs["honest"], f"of {config.clients - 1} a round"
    for kind, found in runs.items():
        name, told = f"lambda {strength:g}, {kind}", derived(config, kind, strength)
        utility, buyers = rounds_of(found, "utility"), _buyers(found)
        rows += [row(f"{name}: buyers of client 0", others, buyers, told)]
        rows += [row(f"{name}: utility of client 0", "money a round", utility[:, :, 0].mean(1))]
        rows += [
            row(
                f"{name}: utility of the others",
                "money a round and client",
                utility[:, :, 1:].mean((1, 2)),
            )
        ]
        rows += [
            row(
                f"{name}: test accuracy of the others, last round",
                "% right",
                tested(found, "last", 1),
            )
        ]
        if kind != "honest":
            rows += [
                row(
                    f"{name}: buyers of client 0 less an honest client's",
                    others,
                    buyers - _buyers(without),
                )
            ]
            lost = utility[:, :, 1:].mean((1, 2)) - rounds_of(without, "utility")[:, :, 1:].mean(
                (1, 2)
            )
            rows += [
                row(
                    f"{name}: the others' utility less that beside an honest client",
                    "money a round and client",
                    lost,
                )
            ]
            worse = tested(found, "last", 1) - tested(without, "last", 1)
            rows += [
                row(
                    f"{name}: the others' accuracy less that beside an honest client",
                    "points",
                    worse,
                )
            ]
    return rows


def _buyers(runs: list[list[dict[str, Any]]]) -> np.ndarray:
    """Who buys from client 0, mean over rounds [seeds]."""
    return rounds_of(runs, "sold")[:, :, 0].mean(1)
