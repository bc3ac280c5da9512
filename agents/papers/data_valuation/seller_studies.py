"""Studies of dishonest sellers and of many sellers (arXiv 2509.18104).

``wad_sellers`` is the check of hundreds to thousands of sources that the paper's summary proposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.papers.core.rows import STANDS, about, row
from agents.papers.core.study import Common, Study, run
from agents.papers.core.units import Unit
from agents.papers.data_valuation import exploits, figures, many_sellers, numbers
from agents.papers.data_valuation.attacks import ATTACKS, HONEST
from agents.papers.data_valuation.mixtures import pearson
from agents.papers.data_valuation.settings import mean

# --- wad_exploits ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Exploits(Common):
    """Arguments of the study of attacks and defences.

    Args:
        seeds: markets; below 20 no interval is shown
        steps: of the grid of mixtures that honest pilots are trained on
    """

    seeds: int = 20
    steps: int = 10


def defended(
    folder: Path, defence: str, seeds: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Every attack against one defence."""
    outcomes = {name: exploits.exploit(name, defence, seeds, steps) for name in ATTACKS}
    return {
        name: {part: values.tolist() for part, values in vars(one).items()}
        for name, one in outcomes.items()
    }


UNITS = {
    "wad": "W2",
    "predicted": "of the test rows",
    "true": "of the test rows",
    "value": "of the test rows",
    "money": "money",
}


def wad_exploits(config: Exploits) -> None:
    """Every attack against every defence: distance, accuracies, value and money."""
    size = {"seeds": config.seeds, "steps": config.steps}
    results = run(
        [Unit(defended, {"defence": name, **size}, stands=STANDS) for name in exploits.DEFENCES],
        config,
        "wad_exploits",
    )
    outcomes = dict(zip(exploits.DEFENCES, results, strict=True))
    rows = []
    for defence, attacks in outcomes.items():
        for attack, one in attacks.items():
            derived = numbers.EXPLOITS.get(attack) if defence == "none" else None
            cited = vars(derived) | {"value": derived.leave_one_out} if derived else {}
            for part, values in one.items():
                number = cited.get(part)
                reported = numbers.Reported(number, numbers.DERIVED) if number is not None else None
                rows.append(row(f"{defence}, {attack}: {part}", UNITS[part], values, reported))
    plain = outcomes["none"]
    money = {
        attack: {
            d: 100 * mean(of[attack]["money"]) / mean(of[HONEST]["money"])
            for d, of in outcomes.items()
        }
        for attack in ATTACKS
    }
    predicted, true = (
        {attack: mean(one[part]) for attack, one in plain.items()} for part in ("predicted", "true")
    )
    Study(
        name="wad_exploits",
        title="What a dishonest seller is paid",
        scaled="three sellers of 100 embedded digits each",
        about=about(config),
        rows=tuple(rows),
        fig=figures.exploits(predicted, true, money),
        notes=(
            (
                "The platform's estimator has seen honest pilots alone. Money: a budget of 100 in"
                " proportion to leave-one-out values on predicted accuracy; half of it waits for"
                " the realised accuracy under hold-back; an audit pays nothing where the delivery"
                " lies farther from the buyer's rows than the pilot by a quarter, or from the pilot"
                " by a quarter of that."
            ),
        ),
        curves={"money, % of honest": money},
    ).write(config.out)


# --- wad_sellers ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sellers(Common):
    """Arguments of the study of many sellers.

    Args:
        sellers: how many there are
        seeds: markets of each number
        mixtures: of up to ten sellers each
    """

    sellers: tuple[int, ...] = (3, 10, 30, 100, 300, 1000)
    seeds: int = 8
    mixtures: int = 66


def crowd(folder: Path, sellers: int, seeds: int, mixtures: int) -> dict[str, Any]:
    """Correlations and seconds of one number of sellers."""
    one = many_sellers.crowd(sellers, seeds, mixtures)
    pairs = {
        "sliced with accuracy": (one.sliced, one.accuracy),
        "exact with accuracy": (one.exact, one.accuracy),
        "sliced with exact": (one.sliced, one.exact),
    }
    return {
        "r": {name: pearson(*pair).tolist() for name, pair in pairs.items()},
        "seconds": one.seconds,
    }


def wad_sellers(config: Sellers) -> None:
    """The additive sliced distance with 3 to 1,000 sellers: seconds and correlations."""
    size = {"seeds": config.seeds, "mixtures": config.mixtures}
    results = run(
        [Unit(crowd, {"sellers": n, **size}, stands=STANDS) for n in config.sellers],
        config,
        "wad_sellers",
    )
    rows = []
    for n, one in zip(config.sellers, results, strict=True):
        rows += [
            row(
                f"{n} sellers: r of {name}",
                "correlation",
                values,
                numbers.SLICED if name == "sliced with exact" else None,
            )
            for name, values in one["r"].items()
        ]
        rows.append(
            row(f"{n} sellers: {config.mixtures} mixtures", "seconds a market", [one["seconds"]])
        )
    lines = {name: [mean(one["r"][name]) for one in results] for name in results[0]["r"]}
    Study(
        name="wad_sellers",
        title="Many sellers by one upload each",
        scaled=(
            "embedded digits, 20 rows a seller, mixtures of up to ten sellers, 200 training points"
        ),
        about=about(config),
        rows=tuple(rows),
        fig=figures.many_sellers(config.sellers, [one["seconds"] for one in results], lines),
        notes=(
            (
                "Seconds are of this machine and whatever else it did, uploads included; the exact"
                " distance takes a mixture's rows."
            ),
        ),
        curves=lines,
    ).write(config.out)
