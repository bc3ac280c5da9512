"""The head of the demo's page: five findings, where the rest is, and how it was made."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

import marketenv
from agents.demos import data, resources
from agents.demos.line_ups import OUTSIDE, TRUTHFUL, DemoResults, differences


def sentences(
    tournament: DemoResults,
    liars: DemoResults,
    cheats: Sequence[Mapping[str, Any]],
    game: Mapping[str, Any],
    audited: Sequence[Sequence[Sequence[float]]],
) -> list[str]:
    """What the episodes show, one sentence a comparison; every number is a mean over seeds."""
    return [
        _of_trade(tournament),
        _of_strategies(tournament, "Parameter market", "money an episode"),
        _of_strategies(liars, "Model-sharing market", "money an episode"),
        _of_guards(cheats),
        _of_audits(game, audited),
    ]


def _of_trade(played: DemoResults) -> str:
    truth, outside = (
        100 * played.test_accuracy[played.names.index(name)].mean() for name in (TRUTHFUL, OUTSIDE)
    )
    return (
        f"Parameter market: truthful agents that trade end at a test accuracy of {truth:.1f} %,"
        f" and at {outside:.1f} % where nobody trades."
    )


def _of_strategies(played: DemoResults, market: str, unit: str) -> str:
    """The strategy that gains most over truth, or that none does."""
    gains = {name: one for name, one in differences(played.gaps()).items() if name != OUTSIDE}
    best = max(gains, key=lambda name: gains[name].mean)
    if gains[best].mean <= 0:
        return f"{market}: no strategy of {len(gains)} earns more than truth."
    seeds = len(played.focal)
    return (
        f"{market}: of {len(gains)} strategies {best} gains most over truth,"
        f" {gains[best]} {unit} on {seeds} seeds, against truthful agents."
    )


def _of_guards(cheats: Sequence[Mapping[str, Any]]) -> str:
    free, audited = (np.mean(cheats[k]["earned"], 1) for k in (0, 1))  # of data.GUARDS
    best = int(np.argmax(free))
    if best == 0:
        return "Data market: without a guard no false seller earns more than a truthful one."
    first, second = list(data.GUARDS)[:2]
    return (
        f"Data market: with {first} the seller {data.SELLERS[best]} earns {free[best]:.2f} money"
        f" and a truthful one {free[0]:.2f} money; with {second} they earn {audited[best]:.2f} and"
        f" {audited[0]:.2f} money."
    )


def _of_audits(game: Mapping[str, Any], audited: Sequence[Sequence[Sequence[float]]]) -> str:
    earned = [np.mean(one, 1) for one in audited]
    above = [
        f"{(one[1:] > one[0]).sum()} ({name})"
        for name, one in zip(resources.AUDITS, earned, strict=True)
    ]
    return (
        f"Resource market: the leader earns {game['means'][0][1]:.4f} money by the equilibrium's"
        f" payment and {game['means'][1][1]:.4f} money by a fixed one; of"
        f" {len(resources.OWNERS) - 1} false owners earn more than an honest one, by the audit:"
        f" {', '.join(above)}."
    )


def front(texts: Sequence[str], command: str, audited: bool) -> str:
    """The findings, the links and the command as HTML, below the page's title.

    audited: whether an audit's page stands beside the demo's
    """
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    link = (
        'Computed verdicts with their evidence: <a href="audit/report.html">the audit</a>.'
        if audited
        else "No audit was run with this demo."
    )
    versions = f"marketenv {marketenv.__version__}, Python {platform.python_version()}"
    return (
        f'<h2>Five findings</h2><ol class="findings">{items}</ol><p>{link}</p><p class="note">'
        f"Made by <code>{escape(command)}</code> with {versions}.</p>"
    )


STYLE = """
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0; }
dd { margin: 0; } code { overflow-wrap: anywhere; } summary { cursor: pointer; }
.findings li { margin: .4rem 0; }
@media (max-width: 600px) { dl { grid-template-columns: 1fr; } dd { margin: 0 0 .5rem; } }
@media print { h2, summary { break-after: avoid; } tr, figure { break-inside: avoid; } }
"""
