"""The demo's fourth market: a leader pays owners by contributions, reports and audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from agents.demos.line_ups import STANDS, TRUTHFUL, market_of, meanings
from agents.lineups import find_profile
from agents.markets import STRATEGIES
from agents.papers.core.units import Unit, beat
from marketenv.core import rounds
from marketenv.core.market import Market, Report
from marketenv.markets.resource_market import Commit, Committed, Matched
from marketenv.render import draw_network, draw_points, figure, notes, picture, table

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
LEADER_HEAD = ("leader", "its payment", "it earns", "an owner earns", "a centre earns")
OWNER_HEAD = ("owner_0", *AUDITS)


def units(seeds: int) -> list[Unit]:
    """The game with each leader, the curve, and owners who cheat under one audit each."""
    few = min(seeds, SEEDS)
    arguments = [{"words": (*TRAINED, *audit), "seeds": few} for audit in AUDITS.values()]
    audited = [Unit(cheat, one, rounds=2 * few * len(OWNERS), stands=STANDS) for one in arguments]
    return [Unit(lead, {"seeds": GAMES}, rounds=GAMES * len(LEADERS), stands=STANDS), *audited]


def lead(folder: Path, seeds: int) -> dict[str, Any]:
    """One round of the game by leader, the leader's utility by payment, one round's money."""
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
    """What owner_0 earns by each strategy in the second round: [strategies, seeds].

    All agents then answer what happened in the first round.
    """
    report = _last(folder, market_of(MARKET, words, 2), OWNERS, 1, seeds)
    return report.rewards[:, 1].view(-1, seeds).tolist()


def _last(folder: Path, market: Market, names: Sequence[str], seat: int, seeds: int) -> Report:
    """The last round where one seat plays each strategy, and all others the truth."""
    who = torch.zeros(len(names), seeds, market.people.count, dtype=torch.int64)
    who[:, :, seat] = torch.arange(len(names))[:, None]
    seats = who.flatten(0, 1)
    policies = [STRATEGIES[name].build(market) for name in names]
    now, reports = rounds.begin(market, torch.arange(seeds).repeat(len(names))), []
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act_mixed(market, policies, seats, now))
        if report is not None:
            reports.append(report)
            beat(folder, len(reports) * len(seats))
    return reports[-1]


def _paying(market: Market, etas: torch.Tensor) -> Report:
    """A round of the first market with each payment in turn, all others truthful."""

    def pay(observation: torch.Tensor, move: Any, keys: torch.Tensor) -> torch.Tensor:
        return move.write(observation, eta=etas[:, None])

    profile = find_profile(market, {"leader": pay})
    seeds = torch.zeros(len(etas), dtype=torch.int64)
    reports = [report for *_, report in rounds.play(market, profile, seeds)]
    return [report for report in reports if report is not None][-1]


def leader_rows(game: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One line a leader: its payment, and what everybody earns, means over seeds."""
    return [
        (name, *(f"{mean:.4f}" for mean in row))
        for name, row in zip(LEADERS, game["means"], strict=True)
    ]


def owner_rows(earnings: Sequence[Sequence[Sequence[float]]]) -> list[tuple[str, ...]]:
    """One line a strategy: what owner_0 earns under each audit, means over seeds."""
    means = [torch.tensor(one, dtype=torch.float64).mean(1).tolist() for one in earnings]
    return [(name, *(f"{column[k]:.4f}" for column in means)) for k, name in enumerate(OWNERS)]


def game_picture(game: Mapping[str, Any]) -> Figure:
    """Who pays whom in equilibrium, and what the leader earns by any payment."""
    fig, (network, curve) = figure(2, 5.8, 5.4)
    agents, names = np.array(game["matches"]), game["names"]
    edges = np.zeros((len(names),) * 2, dtype=bool)
    edges[: len(agents), : len(agents)] = agents
    accounts = len(edges) - len(agents)
    money = np.array(game["money"])
    draw_network(network, money, names, "money paid, and matches", edges, accounts)
    curve.plot(game["etas"], game["curve"], color="black", gid="curve")
    curve.axhline(0, color="black", lw=0.6)
    for name, eta, marker in (("equilibrium", game["best"], "D"), ("fixed", 1.0, "s")):
        utility = np.interp(eta, game["etas"], game["curve"])
        style: dict[str, Any] = {"color": "black", "ms": 7, "ls": "none", "zorder": 3}
        curve.plot([eta], [utility], marker, label=name, **style)
    half, label = game["best"] / 2, "random: half of the best payment to all of it"
    curve.axvspan(half, game["best"], color="grey", alpha=0.2, lw=0, label=label)
    title = "what the leader earns by its payment"
    curve.set(title=title, xlabel="payment, money", ylabel="utility, money")
    curve.legend(fontsize=8, frameon=False)
    return fig


def audit_picture(earnings: Sequence[Sequence[Sequence[float]]]) -> Figure:
    """What owner_0 earns by each strategy, one panel an audit, one dot a seed, all on one scale."""
    every = np.array(earnings)
    room = 0.05 * max(float(np.ptp(every)), 1e-9)
    fig, panels = figure(len(AUDITS), 2.6, 3.2)
    for axes, (audit, earned) in zip(panels, zip(AUDITS, earnings, strict=True), strict=True):
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
        "Five owners of data of quality 0.9 to 1 and five computing centres; nothing is trained."
        f" All numbers are money, means over {GAMES} markets. Owners and centres answer each"
        " payment by their equilibrium, so no other payment earns the leader more than the"
        " equilibrium's payment."
    )
    caption = (
        "Seed 0. Left: money in equilibrium. The leader pays the escrow, which pays the owners;"
        " owners pay fees, which go to the centres; thin arrows lead from each owner to the centre"
        " that computes for it. Right: the leader's utility by its payment."
    )
    owners = (
        "Ten owners of clean digits; one of them cheats. The table shows its utility in the second"
        f" round, money, mean over {seeds} seeds. In the first column all owners report the"
        " quality 0.95 and there is no audit. In the other columns an audit estimates the quality"
        " that owners are paid for: the loss drop is the audit of the paper's authors and pays most"
        " for the worst data; the other two are for comparison."
    )
    dots = (
        "A dot is a seed, the diamond is the mean; the dashed line is the mean of an honest owner."
    )
    leader_table = table(LEADER_HEAD, leader_rows(game)) + meanings(LEADERS) + notes([leaders])
    owner_table = table(OWNER_HEAD, owner_rows(cheats)) + meanings(OWNERS) + notes([owners])
    return [
        (
            "Resource market: the leader's payment",
            leader_table + picture(game_picture(game), caption),
        ),
        (
            "Resource market: one owner cheats",
            owner_table + picture(audit_picture(cheats), dots),
        ),
    ]
