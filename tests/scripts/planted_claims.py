"""Claims whose outcome is known, for tests of the audit: they measure made-up numbers in no
time, or fail on demand.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from agents.papers.core.claim import Claim
from agents.papers.core.effort import Effort
from agents.papers.core.evidence import Evidence
from agents.papers.core.rules import AtLeast, AtMost, Never, NoGain
from marketenv.core import draws


def noise(name: str, count: int = 64) -> list[float]:
    """Fixed noise of mean about 0 and spread 0.1."""
    return (0.1 * draws.normal(draws.fold(torch.tensor(0), name), count)).tolist()


def pause() -> None:
    """As long as the test asks for, so that a kill finds tasks in flight."""
    time.sleep(float(os.environ.get("PLANTED_SECONDS", "0")))


def around(mean: float, name: str, **more: object) -> Evidence:
    """Samples around a mean, with one picture of every kind and a table."""
    pause()
    grid = [0.5, 1.0, 1.5]
    regret = {
        "kind": "regret",
        "title": "gain <of> scaling",
        "x": "scale",
        "y": "money",
        "parameters": grid,
    }
    regret |= {"mean": [0.1, 0.0, -0.2], "low": [0.05, None, -0.3], "high": [0.15, None, -0.1]}
    learning = {
        "kind": "learning",
        "title": "a learner",
        "steps": [0, 10, 20],
        "utility": [0.0, 0.5, 0.7],
        "truthful": [0.6] * 3,
    }
    lines = {
        "kind": "lines",
        "title": "prices",
        "x": "round",
        "y": "money",
        "curves": {"a": [[1, 2, 3], [2, 3, 4]]},
    }
    network = {
        "kind": "network",
        "title": "trades",
        "names": ["a", "b"],
        "money": [[0.0, 1.0], [0.0, 0.0]],
    }
    table = {
        "title": "attackers",
        "head": ["attacker", "gain"],
        "rows": [["grid", 0.123456], ["<script>", None]],
    }
    samples = {"gain": [mean + value for value in noise(name)]}
    return Evidence(
        samples=samples,
        seeds="0..63",
        series=(regret, learning, lines, network),
        tables=(table,),
        **more,
    )


def holds(condition: str, effort: Effort) -> Evidence:
    """Around 1."""
    return around(1.0, "holds")


def fails(condition: str, effort: Effort) -> Evidence:
    """Around 1, where 0 is wanted."""
    return around(1.0, "fails", counterexample="seed 3 gains 1.2")


def depends(condition: str, effort: Effort) -> Evidence:
    """Around 1 as stated, around -1 under the other condition."""
    return around(1.0 if condition == "as stated" else -1.0, condition)


def straddles(condition: str, effort: Effort) -> Evidence:
    """Around the tolerance."""
    return around(0.0, "straddles")


def breaks(condition: str, effort: Effort) -> Evidence:
    """Fails as often as the file that PLANTED_FAILURES names has lines; every run of it takes
    one line away.
    """
    pause()
    file = Path(os.environ.get("PLANTED_FAILURES", "/nowhere"))
    lines = file.read_text().splitlines() if file.exists() else []
    if lines:
        file.write_text("\n".join(lines[1:]))
        if lines[0] == "die":
            os._exit(1)
        raise RuntimeError(f"planted: {lines[0]}")
    return around(-1.0, "breaks")


def claim(name: str, market: str, experiment: object, rule: object, **more: object) -> Claim:
    """A claim about nothing."""
    about = {
        "paper": "Planted & Sons (2026)",
        "place": "section 1",
        "words": f"It {name}, <always>.",
        "statistic": "gain",
    }
    return Claim(
        id=f"planted/{name}",
        market=market,
        unit="money",
        experiment=experiment,
        rule=rule,
        **about,
        **more,
    )


BOTH = ("as stated", "with patience")
CLAIMS = {
    one.id: one
    for one in (
        claim("holds", "east", holds, AtLeast(0.5)),
        claim("fails", "east", fails, AtMost(0.0)),
        claim("depends", "east", depends, AtMost(0.0), conditions=BOTH),
        claim("straddles", "west", straddles, AtMost(0.0)),
        claim("searched", "west", depends, NoGain(0.0), conditions=("with patience",)),
        claim("rarely", "west", straddles, Never(5.0)),
        claim("breaks", "west", breaks, AtMost(0.0)),
        claim("untested", "west", None, AtMost(0.0), why="it needs a moon"),
    )
}
