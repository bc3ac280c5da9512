"""The demo's fourth market: a leader pays owners of data by what they contribute, report, and
are found to have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from agents.lineups import find_profile
from agents.markets import STRATEGIES
from marketenv.core import rounds
from marketenv.core.market import Market, Report
from marketenv.markets.resource_market import Commit, Committed, Matched
from marketenv.render import draw_network, draw_points, figure, picture, table
from scripts.demos.line_ups import STANDS, TRUTHFUL, market_of
from scripts.units import Unit, beat

MARKET = "resource_market_v0"
GAME = ("learner=None", "n_owners=5", "n_centres=5")  # the game alone
TRAINED = ("communications=1", "audit_round=0", "audit_rows=32", "noise=(0.0, 0.0)")
AUDITS = {  # by the head of a column
    "as reported": ("types={'quality': " + str((0.95,) * 10) + "}",),
    "loss drop": ("audit=loss_drop",),
    "held out": ("audit=heldout",),
    "Wasserstein": ("audit=wasserstein", "vocabulary=1.0"),
}
LEADERS = (TRUTHFUL, "fixed_leader", "random_leader")
OWNERS = (
    TRUTHFUL,
    "over_reporter",
    "copier",
    "half_random_labeller",
    "label_renamer",
    "constant_labeller",
    "junk_supplier",
)
# markets of the game; of the audits at most, which train; payments of the curve
GAMES, SEEDS, POINTS = 256, 4, 101
LEADER_HEAD = ("leader", "pays", "it earns", "an owner earns", "a centre earns")
OWNER_HEAD = ("owner_0", *AUDITS)


def units(seeds: int) -> list[Unit]:
    """The game with each leader, the curve, and owners who cheat under one audit each."""
    few = min(seeds, SEEDS)
    given = [{"words": (*TRAINED, *audit), "seeds": few} for audit in AUDITS.values()]
    audited = [Unit(cheat, one, rounds=2 * few * len(OWNERS), stands=STANDS) for one in given]
    return [Unit(lead, {"seeds": GAMES}, rounds=GAMES * len(LEADERS), stands=STANDS), *audited]


def lead(folder: Path, seeds: int) -> dict[str, Any]:
    """One round of the game with each leader, what a leader would earn by any payment, and one
    round's money, as plain data.
    """
    market = market_of(MARKET, GAME, 1)
    report = _last(folder, market, LEADERS, 0, seeds)
    count = market.config.n_owners
    earned = report.rewards.view(len(LEADERS), seeds, -1)
    parts = (
        report.of(Committed).eta.view(len(LEADERS), seeds, 1),
        *earned.split([1, count, market.config.n_centres], 2),
    )
    means = torch.cat([part.mean((1, 2))[:, None] for part in parts], 1)
    money, names = report.between_names()
    etas = torch.linspace(0, market.phase(Commit).worth, POINTS, dtype=torch.float64)
    return {
        "means": means.tolist(),
        "money": money[0].tolist(),
        "names": names,
        "matches": report.of(Matched).links[0].tolist(),
        "etas": etas.tolist(),
        "curve": _paying(market, etas).rewards[:, 0].tolist(),
        "best": float(report.of(Committed).eta[0]),
    }


def cheat(folder: Path, words: Sequence[str], seeds: int) -> list[list[float]]:
    """What owner_0 earns by each strategy in the second round, when everybody answers the
    first: [strategies, seeds].
    """
    return (
        _last(folder, market_of(MARKET, words, 2), OWNERS, 1, seeds)
        .rewards[:, 1]
        .view(-1, seeds)
        .tolist()
    )


def _last(folder: Path, market: Market, names: Sequence[str], seat: int, seeds: int) -> Report:
    """The last round in which the agent of this seat plays each strategy and all others the
    truth, on the same seeds.
    """
    who = torch.zeros(len(names), seeds, market.people.count, dtype=torch.int64)
    who[:, :, seat] = torch.arange(len(names))[:, None]
    policies = [STRATEGIES[name].build(market) for name in names]
    now, report, done = rounds.begin(market, torch.arange(seeds).repeat(len(names))), None, 0
    while now.playing:
        now, ended = rounds.advance(
            market, now, rounds.act_mixed(market, policies, who.flatten(0, 1), now)
        )
        if ended is not None:
            report, done = ended, done + 1
            beat(folder, done * len(who.flatten(0, 1)))
    assert report is not None
    return report


def _paying(market: Market, etas: torch.Tensor) -> Report:
    """A round of the first market with each payment in turn, all others truthful."""
    profile = find_profile(
        market, {"leader": lambda seen, move, keys: move.write(seen, eta=etas[:, None])}
    )
    reports = [
        report
        for *_, report in rounds.play(market, profile, torch.zeros(len(etas), dtype=torch.int64))
    ]
    return [report for report in reports if report is not None][-1]


def leader_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One line a leader: its payment, and what everybody earns, means over seeds."""
    return [
        (name, *(f"{mean:.4f}" for mean in row))
        for name, row in zip(LEADERS, found["means"], strict=True)
    ]


def owner_rows(found: Sequence[Sequence[Sequence[float]]]) -> list[tuple[str, ...]]:
    """One line a strategy: what owner_0 earns under each audit, means over seeds."""
    means = [torch.tensor(one, dtype=torch.float64).mean(1).tolist() for one in found]
    return [(name, *(f"{column[k]:.4f}" for column in means)) for k, name in enumerate(OWNERS)]


def game_picture(found: Mapping[str, Any]) -> Figure:
    """Who pays whom in equilibrium, and what the leader earns by any payment."""
    fig, (left, right) = figure(2, 5.8, 5.4)
    agents = np.array(found["matches"])
    edges = np.zeros((len(found["names"]),) * 2, dtype=bool)
    edges[: len(agents), : len(agents)] = agents
    draw_network(
        left,
        np.array(found["money"]),
        found["names"],
        "money paid, and matches",
        edges,
        len(edges) - len(agents),
    )
    right.plot(found["etas"], found["curve"], color="black", gid="curve")
    right.axhline(0, color="black", lw=0.6)
    at = {"equilibrium": (found["best"], "D"), "fixed": (1.0, "s")}
    for name, (eta, marker) in at.items():
        right.plot(
            [eta],
            [np.interp(eta, found["etas"], found["curve"])],
            marker,
            color="black",
            ms=7,
            label=name,
            ls="none",
            zorder=3,
        )
    right.axvspan(
        found["best"] / 2,
        found["best"],
        color="grey",
        alpha=0.2,
        lw=0,
        label="random: from half of that to all",
    )
    right.set(
        title="what the leader earns by its payment",
        xlabel="payment, money",
        ylabel="utility, money",
    )
    right.legend(fontsize=8, frameon=False)
    return fig


def audit_picture(found: Sequence[Sequence[Sequence[float]]]) -> Figure:
    """What owner_0 earns by each strategy, one panel an audit, one dot a seed, all on one scale."""
    every = np.array(found)
    room = 0.05 * max(float(np.ptp(every)), 1e-9)
    fig, panels = figure(len(AUDITS), 2.6, 3.2)
    for axes, (audit, earned) in zip(panels, zip(AUDITS, found, strict=True), strict=True):
        draw_points(
            axes, dict(zip(OWNERS, earned, strict=True)), dict.fromkeys(OWNERS), audit, "money"
        )
        axes.axvline(float(np.mean(earned[0])), color="grey", lw=0.8, ls="--")
        axes.set_xlim(min(every.min(), 0.0) - room, every.max() + room)
        if axes is not panels[0]:
            axes.set_yticklabels([])
    return fig


def sections(
    game: Mapping[str, Any], cheats: Sequence[Sequence[Sequence[float]]]
) -> list[tuple[str, str]]:
    """The report's sections of this market as (heading, HTML)."""
    seeds = len(cheats[0][0])
    leaders = (
        "Five owners of data of quality 0.9 to 1, five computing centres; nobody trains. Means"
        f" over {GAMES} markets. Owners and centres answer each payment by their equilibrium, so no"
        " other payment earns the leader more than the equilibrium's."
    )
    drawn = (
        "Seed 0. Left, the equilibrium's money: the leader pays the escrow, which pays the owners;"
        " owners pay fees, which go to the centres; thin arrows lead from each owner to the centre"
        " that computes for it. Right, what any payment would bring."
    )
    owners = (
        "Ten owners of clean digits; one of them cheats. What it earns in the second round, in"
        f" money, mean over {seeds} seeds. As reported, all data are of quality 0.95 and nobody"
        " looks. An audit finds the quality by which owners are then paid: the loss drop of the"
        " paper's authors pays for what is worth least; the others are the control."
    )
    dots = "One dot a seed, the diamond is the mean; the dashed line is what an honest owner earns."
    return [
        (
            "Resource market: the leader's payment",
            table(LEADER_HEAD, leader_rows(game))
            + f'<p class="note">{leaders}</p>'
            + picture(game_picture(game), drawn),
        ),
        (
            "Resource market: one owner cheats",
            table(OWNER_HEAD, owner_rows(cheats))
            + f'<p class="note">{owners}</p>'
            + picture(audit_picture(cheats), dots),
        ),
    ]
