"""One contender under one rule: it is made, and plays all scenarios of its division."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marketenv.core.lookup import lookup
from marketenv.core.market import Market

from ..markets import STRATEGIES
from ..papers.core.units import CODE, Unit
from ..stress.scenarios import Episodes, play_focal, play_truth
from .budget import SPENDINGS, trains
from .contenders import CONTENDERS, Prepared, Task
from .divisions import DIVISIONS, Division

TRUTH = "truthful"
STANDS = (  # what a result depends on
    *CODE,
    "agents/rl",
    "agents/scenarios.py",
    *(f"agents/board/{name}.py" for name in ("budget", "contenders", "divisions")),
)
ROUNDS = 25  # how much longer a learner takes than a strategy, for the progress bar


def judge(
    folder: Path,
    division: str,
    rule: str,
    contender: str,
    seed: int,
    budget: str,
    steps: int | None,
    episodes: int | None,
) -> dict[str, Any]:
    """Make a contender and play it: words, a file, and by scenario an amount an episode.

    The scenarios of truth hold ``everyone`` too: the welfare where all agents are truthful.
    """
    place, spending = DIVISIONS[division], SPENDINGS[budget]
    market = place.market(rule)
    prepared = Prepared(contender, "")
    if contender in CONTENDERS:
        task = Task(
            market=market,
            agent=place.agent,
            seed=seed,
            spending=spending,
            steps=steps,
            folder=folder,
        )
        prepared = CONTENDERS[contender].prepare(task)
        shutil.rmtree(folder / "run", ignore_errors=True)  # a unit's folder holds files alone
    pairs = episodes or spending.episodes[trains(market)]
    amounts = {}
    for scenario in place.played(rule):
        amounts[scenario.name] = listed(play_focal(scenario, [prepared.policy], pairs)[0])
        if contender == TRUTH:
            everyone = play_truth(scenario, pairs).welfare.tolist()
            amounts[scenario.name]["everyone"] = everyone
    return {"words": prepared.words, "file": prepared.file, "scenarios": amounts}


def listed(episodes: Episodes) -> dict[str, list[float]]:
    """Episodes as JSON can hold them."""
    return {name: values.tolist() for name, values in vars(episodes).items()}


def contenders_of(division: Division, rule: str, names: Sequence[str] | None) -> list[str]:
    """Truth, then all contenders that can take part, or those of some names among them.

    Raises ValueError for a name that is no contender of any market.
    """
    market = division.market(rule)
    learners = [name for name, one in CONTENDERS.items() if one.fits(market)]
    scripted = [name for name in division.strategies if name != TRUTH and plays(name, market)]
    known = [TRUTH, *scripted, *learners]
    return [name for name in known if names is None or name in (TRUTH, *names)]


def plays(strategy: str, market: Market) -> bool:
    """Whether a scripted strategy knows the market as it is: some are of one payment rule only."""
    try:
        STRATEGIES[strategy].build(market)
    except ValueError:
        return False
    return True


def units_of(
    division: Division,
    names: Sequence[str] | None,
    seeds: Sequence[int],
    budget: str,
    steps: int | None = None,
    episodes: int | None = None,
) -> dict[tuple[str, str, int], Unit]:
    """The work of a division by rule, contender and seed; only what draws has several seeds."""
    lookup(SPENDINGS, budget, "budget")
    work = {}
    for rule in division.rules:
        for contender in contenders_of(division, rule, names):
            learner = CONTENDERS.get(contender)
            for seed in seeds if learner is not None and learner.seeded else seeds[:1]:
                arguments: Mapping[str, Any] = {
                    "division": division.name,
                    "rule": rule,
                    "contender": contender,
                    "seed": seed if learner is not None and learner.seeded else 0,
                    "budget": budget,
                    "steps": steps if learner is not None else None,
                    "episodes": episodes,
                }
                rounds = 1 if learner is None else ROUNDS
                work[rule, contender, arguments["seed"]] = Unit(judge, arguments, rounds, STANDS)
    return work
