"""Studies of the model-sharing market without training: who gains from a lie, and what many
clients cost.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from agents.lineups import find_profile
from agents.stress import ATTACKERS, JUDGE, Attack, Budget, seeds_of
from agents.stress.claims.sharing_experiments import episodes
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market
from marketenv.markets.model_sharing import Share, Shared
from marketenv.markets.training import Train
from marketenv.mechanisms import SharingTerms, share_models
from marketenv.render import draw_lines, figure
from scripts.studies.study import Common, Row, Study, run
from scripts.units import Unit

# What is lied about: name to (field of the action, direction).
LIES = {
    "c up": ("cost", 1),
    "c down": ("cost", -1),
    "N up": ("size", 1),
    "N down": ("size", -1),
    "K up": ("need", 1),
    "K down": ("need", -1),
    "effort down": ("effort", -1),
}
# graph, payment, clients: the exact graph tries all sets of sellers
PRICED = {
    "marginal": ("break", "marginal", 10),
    "critical": ("break", "critical", 10),
    "vcg": ("exact", "vcg", 6),
}
# share of clients that gain and mean gain, %, by marginal payments, in simulations made before this
# library existed
DERIVED = {
    "c up": (0, 0),
    "c down": (47, 54),
    "N up": (98, 410),
    "N down": (17, 5),
    "K down": (93, 52),
    "K up": (47, 29),
}
BLOCK = 50  # markets of a unit of work
JUDGED = 512  # episodes that a learner is judged on, of seeds that it did not see
TINY = 1e-9  # money below which a gain is rounding
LIARS_NOTES = (
    (
        "No training: distances are drawn, and everybody else tells the truth. The paper claims"
        " truthfulness of one round for its marginal payments (theorem 2) and gives no numbers; for"
        " c it holds upwards only."
    ),
    (
        "Shares and gains are of the best point of the grid for each client, so what a liar loses"
        " who misjudges it is in the picture: the mean gain of all clients that tell the same lie."
    ),
    (
        "A finer grid finds more who gain: small lies gain where great ones lose, and a grid begins"
        " at one step from the truth. The grid of the shares derived before is not recorded."
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
    payments: tuple[str, ...] = tuple(PRICED)
    steps: int = 102_400
    learners: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("seeds", 1), ("points", 1), ("steps", 0), ("learners", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted >= {least}.")
        unknown = sorted(set(self.payments) - PRICED.keys())
        if unknown or not self.payments:
            raise ValueError(
                f"payments is {self.payments}, wanted one or more of {', '.join(PRICED)}."
            )


# --- lies -----------------------------------------------------------------------------------------


def priced_market(payment: str, n_rounds: int = 2) -> Market:
    """The market without training: N ~ lognormal(5000, .6), c ~ U(.2, 2), K ~ U(50, 100) mean
    N, d ~ U(0, 1), lambda 1.
    """
    graph, name, clients = PRICED[payment]
    return make_market(
        "model_sharing_v0",
        learner=None,
        n_agents=clients,
        max_cycles=n_rounds,
        graph=graph,
        payment=name,
    )


def meaning(lie: str, part: float) -> float:
    """What a lie says, from the truth at part 0 on: as a share of full effort, or ten to the
    part times the true type.
    """
    field, sign = LIES[lie]
    return 1.0 + sign * part if field == "effort" else 10.0 ** (sign * part)


def earned(market: Market, start: rounds.Situation, lie: str, part: float) -> Tensor:
    """What every client earns where it alone tells this part of a lie: [markets, clients].

    start: each seed's market once a client, in the order of seeds. Utility of the first round; of
        effort, which counts from
    the second training on, what is left of it in the second round when the effort is paid.
    """
    field, move, n = LIES[lie][0], market.moves[0], market.people.count
    now, liar = start, torch.arange(len(start.floor.seeds)) % n
    profile, reward = find_profile(market), torch.zeros(0)
    for _ in range(2 if field == "effort" else 1):
        actions = rounds.act(market, profile, now)
        written = move.action[field].write(torch.tensor([meaning(lie, part)], dtype=torch.float64))
        actions[move.name][torch.arange(len(liar)), liar, move.action.slices[field]] = written
        now, report = rounds.advance(market, now, actions)
        assert report is not None
        reward = report.rewards if field == "effort" else report.of(Shared).utility
    return reward.gather(1, liar[:, None]).view(-1, n)


def lies(
    folder: Path, payment: str, first: int, count: int, points: int
) -> dict[str, dict[str, Any]]:
    """Every lie for some seeds: the best of the grid and the truthful utility of each client, and
    the mean gain over clients.

    Returns by lie the gain and the truth [markets, clients], and the mean gain [markets, points].
    """
    market, found = priced_market(payment), {}
    start = rounds.begin(
        market, torch.arange(first, first + count).repeat_interleave(market.people.count)
    )
    for lie in LIES:
        truth, *grid = [earned(market, start, lie, k / points) for k in range(points + 1)]
        gains = torch.stack(grid) - truth
        kept = {"gain": gains.amax(0), "truth": truth, "mean gain": gains.mean(2).T}
        found[lie] = {name: values.tolist() for name, values in kept.items()}
    return found


def learned(
    folder: Path, payment: str, seed: int, steps: int, judged: int = JUDGED
) -> dict[str, Any]:
    """A PPO learner in client 0's place against the truthful: what it gains on fresh seeds
    [pairs].
    """
    market = priced_market(payment)
    profile = find_profile(market)
    attack = Attack(market, profile, ("client_0",), seeds_of(JUDGE, judged))
    (found,) = ATTACKERS["ppo"](attack, Budget(rl_steps=steps, rl_seed=seed))
    return {"gain": attack.gains([found.policies])[0].tolist(), "truth": attack.base.tolist()}


def ipfl_liars(config: Liars) -> None:
    """One lie at a time about c, N, K and effort: who gains by the best of a grid, for three
    payments; and a learner.
    """
    starts, n_learners = range(0, config.seeds, BLOCK), config.learners if config.steps else 0
    asked = [
        {"payment": p, "first": s, "count": min(BLOCK, config.seeds - s), "points": config.points}
        for p in config.payments
        for s in starts
    ]
    taught = [
        {"payment": p, "seed": seed, "steps": config.steps}
        for p in config.payments
        for seed in range(n_learners)
    ]
    units = [Unit(lies, facts) for facts in asked] + [
        Unit(learned, facts, stands=("marketenv", "agents")) for facts in taught
    ]
    done = run(units, config, "ipfl_liars")
    on_grid, by_learners, n = done[: len(asked)], done[len(asked) :], len(starts)
    found = {p: joined(on_grid[k * n : (k + 1) * n]) for k, p in enumerate(config.payments)}
    rows = [
        row
        for payment, by_lie in found.items()
        for lie, facts in by_lie.items()
        for row in _lie_rows(payment, lie, facts)
    ]
    rows += [_learner_row(facts, one) for facts, one in zip(taught, by_learners, strict=True)]
    means = {
        p: {lie: facts["mean gain"].mean(0) for lie, facts in by_lie.items()}
        for p, by_lie in found.items()
    }
    Study(
        name="ipfl_liars",
        title="One lie at a time in the model-sharing market",
        scaled="",
        about=_settings(config),
        rows=tuple(rows),
        fig=_draw_lies(means, config.points),
        notes=LIARS_NOTES,
        curves={
            f"{p}, {lie}": mean.tolist()
            for p, by_lie in means.items()
            for lie, mean in by_lie.items()
        },
    ).write(config.out)


def _draw_lies(means: Mapping[str, Mapping[str, np.ndarray]], points: int) -> Figure:
    """The mean gain of every lie by its size, a panel a payment; effort, which is no report, is
    left out.
    """
    fig, panels = figure(len(means), 4.6, 3.8)
    x = f"size of the lie: a = k / {points} in 10^(+-a)"
    for axes, (payment, by_lie) in zip(panels, means.items(), strict=True):
        curves = {lie: mean for lie, mean in by_lie.items() if lie != "effort down"}
        draw_lines(axes, curves, f"{payment} payments", x, "mean gain, money")
        axes.axhline(0, color="black", lw=0.6)
    return fig


def joined(blocks: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, np.ndarray]]:
    """Blocks of markets as one: by lie, gains and truthful utilities [markets, clients], and
    mean gains [markets, points].
    """
    names = ("gain", "truth", "mean gain")
    return {
        lie: {name: np.concatenate([block[lie][name] for block in blocks]) for name in names}
        for lie in LIES
    }


def _lie_rows(payment: str, lie: str, facts: Mapping[str, np.ndarray]) -> list[Row]:
    """Share of clients that gain and mean gain, one point a market."""
    gains = facts["gain"] > TINY
    share = 100 * gains.mean(1)
    gain = 100 * (facts["gain"] * gains).sum(1) / facts["truth"].sum(1)
    known = DERIVED.get(lie) if payment == "marginal" else None
    told = [f"derived before: {value} %" if known else "" for value in known or (0, 0)]
    proved = lie == "c up" or (lie == "c down" and payment != "marginal")
    sources = [told[0] or "proved: 0" * proved, told[1]]
    shown = {"clients that gain": ("%", share), "mean gain": ("% of truthful utility", gain)}
    return [
        Row(
            what=f"{payment}: {lie}, {what}",
            unit=unit,
            paper=None,
            points=tuple(points.tolist()),
            source=source,
        )
        for (what, (unit, points)), source in zip(shown.items(), sources, strict=True)
    ]


def _learner_row(facts: Mapping[str, Any], found: Mapping[str, Any]) -> Row:
    """What a learner gains over the truth, one point a judged episode."""
    gain = 100 * np.array(found["gain"]) / np.mean(found["truth"])
    what = (
        f"{facts['payment']}: PPO learner {facts['seed']} after {facts['steps']} steps, gain of an"
        " episode"
    )
    return Row(
        what=what, unit="% of mean truthful utility", paper=None, points=tuple(gain.tolist())
    )


def _settings(config: Common) -> dict[str, Any]:
    where = {field.name for field in dataclasses.fields(Common)}
    return {name: value for name, value in vars(config).items() if name not in where}


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


def one_size(folder: Path, clients: int, seed: int) -> dict[str, float]:
    """One round of one market of truthful clients without training: seconds of graph and
    payments, edges and buyers.
    """
    market = make_market("model_sharing_v0", learner=None, n_agents=clients, max_cycles=1)
    (report,) = episodes(market, "truthful", torch.tensor([seed])).reports
    done = report.of(Shared)
    seconds = min(_timed(functools.partial(_settle, market, done)) for _ in range(3))
    return {
        "seconds": seconds,
        "edges": float(done.trades.sum()),
        "buyers": float((done.bought > 0).sum()),
    }


def _settle(market: Market, done: Shared) -> None:
    share_models(
        SharingTerms(done.reported, done.discounts, market.phase(Share).rules.gain)
    )  # terms remember their queue: new ones each time


def _timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ipfl_scale(config: Scale) -> None:
    """From ten clients to a thousand: seconds for graph and payments, edges, and bytes sent in
    a round.
    """
    alone = dataclasses.replace(config, workers=1)  # times compare only where nothing runs beside
    units = [
        Unit(one_size, {"clients": n, "seed": s}, rounds=n)
        for n in config.clients
        for s in range(config.seeds)
    ]
    done = run(units, alone, "ipfl_scale")
    size = _default_size()
    facts = {
        n: done[k * config.seeds : (k + 1) * config.seeds] for k, n in enumerate(config.clients)
    }
    rows: list[Row] = []
    means: dict[str, list[float]] = {"seconds": [], "edges": [], "sent": []}
    for n, found in facts.items():
        points = {
            name: np.array([one[name] for one in found]) for name in ("seconds", "edges", "buyers")
        }
        points["sent"] = 4 * size * (n + points["buyers"]) / 1e6
        points["each"] = points["edges"] / n
        units_of = {
            "seconds": "s",
            "edges": "a round",
            "each": "models a round",
            "sent": "MB a round",
        }
        named = {
            "seconds": "graph and payments",
            "edges": "edges",
            "each": "models bought by a client",
            "sent": "sent",
        }
        for name, unit in units_of.items():
            rows.append(
                Row(
                    what=f"{n} clients: {named[name]}",
                    unit=unit,
                    paper=None,
                    points=tuple(points[name].tolist()),
                )
            )
        for name, values in means.items():
            values.append(float(points[name].mean()))
    fig, panels = figure(3)
    labels = {"seconds": "graph and payments, s", "edges": "edges", "sent": "sent in a round, MB"}
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        axes.loglog(config.clients, means[name], marker="o")
        axes.set(xlabel="clients", ylabel=label)
        axes.grid(alpha=0.3, which="both")
    steep = math.log(means["seconds"][-1] / means["seconds"][0]) / max(
        math.log(config.clients[-1] / config.clients[0]), 1e-9
    )
    Study(
        name="ipfl_scale",
        title="Many clients in one model-sharing market",
        scaled="",
        about=_settings(config),
        rows=tuple(rows),
        fig=fig,
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


def _default_size() -> int:
    """Numbers in a model of the default network on digits."""
    learner = make_market("model_sharing_v0").phase(Train).learner
    assert learner is not None
    return learner.layout.size
