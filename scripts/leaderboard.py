"""The board: let strategies, learners and searches play each place in the markets, beside truth.

Writes board.json, board.csv, board.html and the trained policies (policies/) into the folder. Work
that is done is kept: the same command goes on where it was stopped, and a change of the code does
it anew. Divisions that are played later join those that are there. The exit code is 1 where a
contender could not be played or a division is left out, and 2 for bad arguments.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

try:  # before all other imports: the error names the packages to install
    from agents.board.contenders import CONTENDERS
except ImportError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

import torch  # noqa: E402
from filelock import FileLock  # noqa: E402
from rich import box  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from agents.board.budget import SPENDINGS  # noqa: E402
from agents.board.divisions import DIVISIONS, Division  # noqa: E402
from agents.board.judge import TRUTH, units_of  # noqa: E402
from agents.board.page import board_csv, board_page, read_board  # noqa: E402
from agents.board.pages import write_pages  # noqa: E402
from agents.board.results import summary  # noqa: E402
from agents.board.shown import STANDING_HEAD, standing_rows, summary_of  # noqa: E402
from agents.cli import command  # noqa: E402
from agents.markets import STRATEGIES  # noqa: E402
from agents.papers.core.units import Crew, Unit, replace, run  # noqa: E402
from marketenv.core.checks import whole  # noqa: E402
from marketenv.core.lookup import lookup, unknown  # noqa: E402
from marketenv.envs.policy_files import load_trained, save_policy  # noqa: E402

BOARD = "board.json"
SEEDS = range(2**32)  # stable-baselines3 seeds numpy, which takes no more
LEAST_EPISODES = 2  # the best is chosen in one half of them, and regrets are taken in the other


@dataclass(frozen=True, kw_only=True)
class BoardConfig:
    """Arguments of the board.

    Args:
        divisions: places that are contested; none takes all
        contenders: names of strategies, learners and searches; none takes all; truth always plays
        budget: how much every contender may spend: quick, standard or full
        seeds: of trainings and searches; a contender counts by the mean of its seeds
        steps: of every learner, in place of the budget's
        episodes: in which a contender is judged, in place of the budget's
        engine: local takes processes of this machine, ray those of a Ray cluster
        address: of the Ray cluster; without it one that runs here, else one is started
        workers: processes; 0 takes one per processor
        tries: how often work that fails is tried
        resume: keep former work
        out: folder of the results
        docs: folder of the documentation, which exists; the board's pages are written there too
        list: only list divisions, and the contenders that know their markets
    """

    divisions: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    budget: str = "standard"
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None
    episodes: int | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int = 0
    tries: int = 2
    resume: bool = True
    out: Path = ROOT / "results" / "board"
    docs: Path | None = None
    list: bool = False

    def __post_init__(self) -> None:
        for name in self.divisions:
            lookup(DIVISIONS, name, "division")
        for name in self.contenders:
            if name not in STRATEGIES and name not in CONTENDERS:
                raise unknown("contender", name, (*STRATEGIES, *CONTENDERS))
        lookup(SPENDINGS, self.budget, "budget")
        seeds = set(self.seeds)
        if not seeds or len(seeds) < len(self.seeds) or any(one not in SEEDS for one in seeds):
            raise ValueError(
                f"seeds is {self.seeds}, wanted different whole numbers from 0 to 2**32 - 1, at"
                " least one."
            )
        for name, least in (("steps", 1), ("episodes", LEAST_EPISODES)):
            if getattr(self, name) is not None:
                whole(getattr(self, name), name, least)
        if self.docs is not None and not self.docs.is_dir():
            raise ValueError(f"docs is {self.docs}, wanted a folder that exists, such as docs.")
        self.crew()

    def crew(self) -> Crew:
        """The processes that do the work."""
        return Crew(
            workers=self.workers, tries=self.tries, engine=self.engine, address=self.address
        )

    @property
    def played(self) -> list[Division]:
        """The divisions that are played."""
        return [one for name, one in DIVISIONS.items() if name in (self.divisions or DIVISIONS)]


def main(config: BoardConfig) -> int:
    """Play the divisions, write the board and print its standings; returns the exit code."""
    if config.list:
        _list(config)
        return 0
    command.check_folder(config.out)
    if config.docs is not None:
        command.check_folder(config.docs, option="--docs")
    read_board(config.out / BOARD)  # a damaged one is refused before any work
    work = _work(config)
    folder, fresh = config.out / "units", not config.resume
    ran = run(list(work.values()), folder, "contenders", config.crew(), fresh)
    results = {key: one for key, one in zip(work, ran.results, strict=True) if one is not None}
    errors = {" ".join(map(str, list(work)[number])): text for number, text in ran.errors.items()}
    for key in [key for key, one in results.items() if not _finite(one)]:
        errors[" ".join(map(str, key))] = "it earns amounts that are no finite numbers"
        del results[key]
    _write_policies(config, results)
    with FileLock(config.out / f"{BOARD}.lock"):  # another run may write its divisions
        board = _board(config, results, errors)
        _write(config, board)
    console = Console()
    for name, text in errors.items():
        console.print(f"{name}: {text}", style="red", markup=False, soft_wrap=True)
    _print(config, board)
    return 1 if errors else 0


def _work(config: BoardConfig) -> dict[tuple[str, str, str, int], Unit]:
    """Units by division, rule, contender and seed; ValueError for a contender that has none."""
    work = {
        (division.name, *key): unit
        for division in config.played
        for key, unit in units_of(
            division,
            config.contenders or None,
            config.seeds,
            config.budget,
            config.steps,
            config.episodes,
        ).items()
    }
    idle = sorted(set(config.contenders) - {contender for _, _, contender, _ in work})
    if idle:
        divisions = " ".join(one.name for one in config.played)
        raise ValueError(
            f"--contenders: {', '.join(idle)} cannot play in {divisions}. Leave it out;"
            f" --list --divisions {divisions} names those that know these markets."
        )
    return work


def _finite(result: Mapping[str, Any]) -> bool:
    """Whether all amounts of a result are finite."""
    episodes = [one for amounts in result["scenarios"].values() for one in amounts.values()]
    return all(bool(torch.tensor(one, dtype=torch.float64).isfinite().all()) for one in episodes)


def _list(config: BoardConfig) -> None:
    places = Table(box=box.SIMPLE_HEAD)
    for head in ("division", "market", "rules", "scenarios"):
        places.add_column(head, no_wrap=True)
    for one in config.played:
        lines = "\n".join(one.rules), "\n".join(one.scenarios)
        places.add_row(one.name, one.market_name, *lines, end_section=True)
    contenders = Table("contender", "what it is", box=box.SIMPLE_HEAD)
    known = {name for one in config.played for name in one.strategies}
    for name in (*(name for name in STRATEGIES if name in known), *CONTENDERS):
        contenders.add_row(name, summary_of(name))
    command.show(places, contenders)


def _board(
    config: BoardConfig, results: Mapping[Any, Any], errors: dict[str, str]
) -> dict[str, Any]:
    """The divisions that were played, and those of former runs in the folder.

    errors: gets those that are left out, by name
    """
    former = read_board(config.out / BOARD)
    for name in set(former) - set(DIVISIONS):
        errors[name] = "a former run played it, and it is no division any more; it is left out"
    about = {"budget": config.budget, "seeds": list(config.seeds), "command": _command(config)}
    played = {}
    for division in config.played:
        mine = {key[1:]: one for key, one in results.items() if key[0] == division.name}
        lack = [rule for rule in division.rules if (rule, TRUTH, 0) not in mine]
        if lack:
            errors[division.name] = (
                f"truth did not play under {'; '.join(lack)}; this run has no result of it"
            )
        else:
            played[division.name] = summary(division, mine) | about
    divisions = former | played
    return {"divisions": {name: divisions[name] for name in DIVISIONS if name in divisions}}


def _command(config: BoardConfig) -> str:
    """The command that gives the same numbers."""
    words = ["python", "scripts/leaderboard.py"]
    for name in ("divisions", "contenders", "budget", "seeds", "steps", "episodes"):
        value = getattr(config, name)
        if value != () and value is not None:
            texts = map(str, value) if isinstance(value, tuple) else (str(value),)
            words += [command.flag(name), *texts]
    return shlex.join(words)


def _write_policies(config: BoardConfig, results: Mapping[Any, Any]) -> None:
    """Write every trained policy, which ``trained:FILE`` names, with the command that made it."""
    for (division, rule, contender, seed), one in results.items():
        if one["file"] is not None:
            name = f"{contender}_{seed}.safetensors"
            file = config.out / "policies" / division / rule.replace(", ", "_") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            replace(file, base64.b64decode(one["file"]))
            policy = load_trained(file)
            facts = dataclasses.replace(policy.facts, command=_command(config))
            save_policy(file, dataclasses.replace(policy, facts=facts))


def _write(config: BoardConfig, board: Mapping[str, Any]) -> None:
    text = json.dumps(board, indent=1)
    replace(config.out / BOARD, text.encode())
    replace(config.out / "board.csv", board_csv(board).encode())
    replace(config.out / "board.html", board_page(board).encode())
    if config.docs is not None:
        write_pages(board, config.docs)


def _print(config: BoardConfig, board: Mapping[str, Any]) -> None:
    for one in [one for one in config.played if one.name in board["divisions"]]:
        shown = Table(title=one.name, box=box.SIMPLE_HEAD, padding=(0, 1))
        for head in STANDING_HEAD:
            shown.add_column(head, no_wrap=True)
        for row in standing_rows(board["divisions"][one.name]):
            shown.add_row(*map(str, row))
        command.show(shown)
    console = Console()
    for name in ("board.html", "board.csv", "board.json"):
        console.print(f"{config.out / name}", soft_wrap=True)


if __name__ == "__main__":
    command.run(lambda: main(command.read(BoardConfig, __doc__)))
