"""Studies of the model-sharing market without training: lies that gain, and the cost of size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.papers.core.rows import STANDS, about, row
from agents.papers.core.study import Common, Row, Study, run
from agents.papers.core.units import Unit
from agents.papers.ipfl import figures, numbers
from agents.papers.ipfl.lies import LIES, learned, lies
from agents.papers.ipfl.settings import PAYMENTS
from agents.papers.ipfl.size import default_size, one_size

BLOCK = 50  # markets of a unit of work
TINY = 1e-9  # money below which a gain is rounding
LIARS_NOTES = (
    (
        "No training: distances are drawn, and everybody else tells the truth. The paper claims"
        " truthfulness of one round for its marginal payments (theorem 2) and gives no numbers; for"
        " c it holds upwards only."
    ),
    (
        "Shares and gains are of the best point of the grid for each client. The picture shows the"
        " mean gain of all clients that tell the same lie, so it shows also the losses of a liar"
        " that misjudges it."
    ),
    (
        "A finer grid finds more clients that gain: small lies gain where great ones lose, and a"
        " grid begins at one step from the truth. The grid of the simulations before this library"
        " is not recorded."
    ),
    (
        "Mean gain: of all clients in the market, over their summed truthful utility. Effort:"
        " without training nothing depends on it, so its gain is what the effort costs; the market"
        " pays for models, not for the work in them."
    ),
    (
        "A PPO learner takes client 0's place, sets out from the truth, and chooses all that a"
        " client chooses for the utility of two rounds: its reports, effort and upload, and whether"
        " it stays."
    ),
)


# --- lies -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Liars(Common):
    """Arguments of the study of lies.

    Args:
        seeds: markets; one point each, below 20 no interval is shown
        points: of the grid between the truth and a report of a tenth or ten times it, or no effort
        payments: marginal, critical or vcg (exact graph, 6 clients)
        steps: of a PPO learner that may lie about all at once, beside the grid; 0 leaves it out,
            and with it stable-baselines3
        learners: how many of them, with seeds of their own
    """

    seeds: int = 200
    points: int = 20
    payments: tuple[str, ...] = tuple(PAYMENTS)
    steps: int = 102_400
    learners: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("seeds", 1), ("points", 1), ("steps", 0), ("learners", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted >= {least}.")
        unknown = sorted(set(self.payments) - PAYMENTS.keys())
        if unknown or not self.payments:
            raise ValueError(
                f"payments is {self.payments}, wanted one or more of {', '.join(PAYMENTS)}."
            )


Gains = Mapping[str, Mapping[str, np.ndarray]]  # by lie, what ``lies`` returns


def ipfl_liars(config: Liars) -> None:
    """One lie at a time about c, N, K and effort: gains at the best of a grid, and a learner's."""
    starts, n_learners = range(0, config.seeds, BLOCK), config.learners if config.steps else 0
    grids: list[dict[str, Any]] = [
        {"payment": p, "first": s, "count": min(BLOCK, config.seeds - s), "points": config.points}
        for p in config.payments
        for s in starts
    ]
    learners: list[dict[str, Any]] = [
        {"payment": p, "seed": seed, "steps": config.steps}
        for p in config.payments
        for seed in range(n_learners)
    ]
    units = [Unit(lies, one) for one in grids]
    units += [Unit(learned, one, stands=STANDS) for one in learners]
    results = run(units, config, "ipfl_liars")
    n = len(starts)
    gains = {p: joined(results[k * n : (k + 1) * n]) for k, p in enumerate(config.payments)}
    rows = [
        one
        for payment, by_lie in gains.items()
        for lie, facts in by_lie.items()
        for one in _lie_rows(payment, lie, facts)
    ]
    rows += [_learner_row(*pair) for pair in zip(learners, results[len(grids) :], strict=True)]
    means = {
        payment: {lie: facts["mean gain"].mean(0) for lie, facts in by_lie.items()}
        for payment, by_lie in gains.items()
    }
    Study(
        name="ipfl_liars",
        title="One lie at a time in the model-sharing market",
        scaled="",
        about=about(config),
        rows=tuple(rows),
        fig=figures.lies(means, config.points),
        notes=LIARS_NOTES,
        curves={
            f"{payment}, {lie}": mean.tolist()
            for payment, by_lie in means.items()
            for lie, mean in by_lie.items()
        },
    ).write(config.out)


def joined(blocks: Sequence[Mapping[str, Mapping[str, Any]]]) -> Gains:
    """Blocks of markets as one."""
    names = ("gain", "truth", "mean gain")
    return {
        lie: {name: np.concatenate([block[lie][name] for block in blocks]) for name in names}
        for lie in LIES
    }


def _lie_rows(payment: str, lie: str, facts: Mapping[str, np.ndarray]) -> Iterator[Row]:
    """Share of clients that gain and mean gain, one point a market."""
    gains = facts["gain"] > TINY
    share = 100 * gains.mean(1)
    gain = 100 * (facts["gain"] * gains).sum(1) / facts["truth"].sum(1)
    earlier = numbers.EARLIER_LIES.get(lie) if payment == "marginal" else None
    sources = [f"{numbers.EARLIER}: {value} %" for value in earlier or ()] or ["", ""]
    if not earlier and (lie == "c up" or (lie == "c down" and payment != "marginal")):
        sources[0] = "proved: 0"
    shown = (
        row(f"{payment}: {lie}, clients that gain", "%", share),
        row(f"{payment}: {lie}, mean gain", "% of truthful utility", gain),
    )
    for one, source in zip(shown, sources, strict=True):
        yield dataclasses.replace(one, source=source)


def _learner_row(unit: Mapping[str, Any], learner: Mapping[str, Any]) -> Row:
    """What a learner gains over the truth, one point a judged episode."""
    return row(
        f"{unit['payment']}: PPO learner {unit['seed']} after {unit['steps']} steps, gain of an"
        " episode",
        "% of mean truthful utility",
        100 * np.array(learner["gain"]) / np.mean(learner["truth"]),
    )


# --- size -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scale(Common):
    """Arguments of the study of size.

    Args:
        clients: numbers of clients of one market
        seeds: markets of each size, one after another; the first of a process also warms it up
    """

    clients: tuple[int, ...] = (10, 30, 100, 300, 1000)
    seeds: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.clients or min(self.clients) < 2 or self.seeds < 1:
            raise ValueError(
                f"clients is {self.clients} and seeds is {self.seeds}, wanted numbers >= 2 and at"
                " least one seed."
            )


def ipfl_scale(config: Scale) -> None:
    """From ten clients to a thousand: seconds for graph and payments, edges, bytes in a round."""
    alone = dataclasses.replace(config, workers=1)  # times compare only where nothing runs beside
    units = [
        Unit(one_size, {"clients": n, "seed": seed}, rounds=n)
        for n in config.clients
        for seed in range(config.seeds)
    ]
    results, size = run(units, alone, "ipfl_scale"), default_size()
    by_size = {
        n: _points(results[k * config.seeds : (k + 1) * config.seeds], n, size)
        for k, n in enumerate(config.clients)
    }
    rows = [
        row(f"{n} clients: {what}", unit, points[what])
        for n, points in by_size.items()
        for what, unit in UNITS.items()
    ]
    means = {
        label: [float(points[what].mean()) for points in by_size.values()]
        for what, label in LABELS.items()
    }
    seconds, (least, *_, most) = means[LABELS[SECONDS]], (*config.clients, config.clients[-1])
    steep = math.log(seconds[-1] / seconds[0]) / max(math.log(most / least), 1e-9)
    Study(
        name="ipfl_scale",
        title="Many clients in one model-sharing market",
        scaled="",
        about=about(config),
        rows=tuple(rows),
        fig=figures.sizes(config.clients, means),
        notes=(
            (
                f"Sent: every client uploads a model of {size:,} numbers of 4 bytes (the default"
                " network on digits), and every buyer is sent a prox centre of that size; models"
                " never travel from client to client."
            ),
            (
                "Seconds are the best of three on one thread; from the smallest to the largest"
                f" market they grow as n^{steep:.2f}."
            ),
            "The summary asks for 10 to 100 and more clients and gives no numbers.",
        ),
    ).write(config.out)


SECONDS = "graph and payments"
UNITS = {
    SECONDS: "s",
    "edges": "a round",
    "models bought by a client": "models a round",
    "sent": "MB a round",
}
LABELS = {SECONDS: "graph and payments, s", "edges": "edges", "sent": "sent in a round, MB"}


def _points(markets: Sequence[Mapping[str, float]], n: int, size: int) -> dict[str, np.ndarray]:
    """What is shown of markets of n clients and models of that size, one number a market."""
    seconds, edges, buyers = (
        np.array([one[fact] for one in markets]) for fact in ("seconds", "edges", "buyers")
    )
    return {
        SECONDS: seconds,
        "edges": edges,
        "models bought by a client": edges / n,
        "sent": 4 * size * (n + buyers) / 1e6,
    }
