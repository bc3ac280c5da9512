"""What a training writes: tables, TensorBoard events, checkpoints and a progress bar."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch.utils.tensorboard import SummaryWriter

from marketenv.core.storage import whole_file
from marketenv.envs.trained import TrainedPolicy

from . import checkpoint
from .config import TrainConfig
from .policy import learned

LOGS = 100  # rows of a run
NEVER = 2**60  # rollouts between two tables of stable-baselines3's own
Number = float | int


@dataclass
class Journal:
    """The rows so far, and the steps when the next row, evaluation and checkpoint are due."""

    rows: list[dict[str, Number]] = field(default_factory=list)
    speed: list[dict[str, Number]] = field(default_factory=list)
    seconds: float = 0.0  # of training, without evaluations and checkpoints
    due: dict[str, Number] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return vars(self)

    def mean_return(self) -> str:
        """The mean return of the last row's models, in words for a bar."""
        last = self.rows[-1] if self.rows else {}
        returns = [value for name, value in last.items() if name.split("/")[-1] == "return"]
        return f"{sum(returns) / len(returns):.4g}" if returns else "-"


def pauses(config: TrainConfig) -> dict[str, Number]:
    """Steps between two rows, evaluations and checkpoints of a training; 0 for never."""
    assert config.steps is not None
    return {
        "row": max(config.steps // LOGS, 1),
        "evaluation": config.steps / config.evaluations if config.evaluations else 0,
        "checkpoint": config.checkpoint_every,
    }


class Record:
    """Writes ``progress.csv``, ``speed.csv`` and TensorBoard events between two rollouts.

    It also evaluates the policies and saves checkpoints.

    progress.csv holds what is the same in every run of the same settings; what a clock says is in
    speed.csv.

    models:   what trains, by the first part of its columns' names; "" where one model trains alone.
              All of them have made the same number of steps
    every:    steps between two rows, evaluations, checkpoints; 0 for never
    evaluate: from the policies as they stand to the numbers that a row shows
    write:    writes a checkpoint: (its folder, the state that JSON holds)
    settings: what a checkpoint must agree on to be taken up again
    """

    def __init__(
        self,
        folder: Path,
        models: Mapping[str, BaseAlgorithm],
        every: dict[str, Number],
        evaluate: Callable[[dict[str, TrainedPolicy]], dict[str, Number]],
        write: Callable[[Path, dict[str, Any]], None],
        settings: dict[str, Any],
        journal: Journal,
    ) -> None:
        self.folder, self.models, self.every = folder, models, every
        self.evaluate, self.write = evaluate, write
        self.settings, self.journal = settings, journal
        self._writer: SummaryWriter | None = None
        self._since = 0.0

    @property
    def steps(self) -> int:
        """Steps of each model until now."""
        return next(iter(self.models.values())).num_timesteps

    def start(self) -> None:
        """Begin to count the seconds of a training, or of the rest of one."""
        for name, steps in self.every.items():
            self.journal.due.setdefault(name, steps or float("inf"))
        self._writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.steps + 1)
        self._since = time.perf_counter()

    def between(self) -> None:
        """Between two rollouts: write and save what is due."""
        now = {name for name in self.every if self.steps >= self.journal.due[name]}
        for name in now:
            self.journal.due[name] += self.every[name] * (
                1 + (self.steps - self.journal.due[name]) // self.every[name]
            )
        if self.journal.rows and self.journal.rows[-1]["steps"] == self.steps:
            # a finished run that goes on to more steps wrote them when it ended
            now -= {"row", "evaluation"}
        if now:
            self._pause(now)

    def end(self) -> None:
        """Write the last row and the last checkpoint."""
        self._pause({"row", "checkpoint"} | ({"evaluation"} if self.every["evaluation"] else set()))
        self.close()

    def close(self) -> None:
        """Release the event file; a run that failed calls it too."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _pause(self, now: set[str]) -> None:
        """Write and save what is due while the clock of training stands still."""
        self.journal.seconds += time.perf_counter() - self._since
        if now & {"row", "evaluation"}:
            self._write("evaluation" in now)
        if "checkpoint" in now:
            state = {"settings": self.settings, "journal": self.journal.plain()}
            checkpoint.save(self.folder, self.steps, lambda part: self.write(part, state))
        self._since = time.perf_counter()

    def _write(self, evaluate: bool) -> None:
        row: dict[str, Number] = {"steps": self.steps}
        for name, model in self.models.items():
            row |= {_column(name, key): value for key, value in _progress(model).items()}
        if evaluate:
            row |= self.evaluate({name: learned(model) for name, model in self.models.items()})
        speed = self._speed()
        self.journal.rows.append(row)
        self.journal.speed.append(speed)
        write_rows(self.folder / "progress.csv", self.journal.rows)
        write_rows(self.folder / "speed.csv", self.journal.speed)
        assert self._writer is not None
        for name, value in (row | speed).items():
            if name != "steps":
                self._writer.add_scalar(
                    name if "/" in name else f"market/{name}", value, self.steps
                )

    def _speed(self) -> dict[str, Number]:
        """What a clock says of the training until now; the steps a second are those of all."""
        seconds, steps = max(self.journal.seconds, 1e-9), self.steps
        in_markets = sum(checkpoint.layers(model)[1].seconds for model in self.models.values())
        return {
            "steps": steps,
            "seconds": seconds,
            "steps_per_second": steps * len(self.models) / seconds,
            "env_seconds": in_markets,
            "env_share": in_markets / seconds,
        }


def _progress(model: BaseAlgorithm) -> dict[str, Number]:
    """Episodes that ended since the last row, their mean return, and the last update's losses."""
    mean, episodes = checkpoint.layers(model)[1].take()
    row: dict[str, Number] = {"episodes": episodes}
    row |= {"return": mean} if episodes else {}
    losses = {k: float(v) for k, v in model.logger.name_to_value.items() if k.startswith("train/")}
    return row | losses


def _column(name: str, key: str) -> str:
    """Name of a model's column."""
    return f"{name}/{key}" if name else key


class Bar:
    """Moves a bar of rich, and shows the mean return of the last row beside it."""

    def __init__(self, bar: Progress, task: TaskID, journal: Journal) -> None:
        self._bar, self._task, self._journal = bar, task, journal

    def show(self, steps: int) -> None:
        """Move the bar to so many steps."""
        self._bar.update(self._task, completed=steps, mean_return=self._journal.mean_return())


@contextlib.contextmanager
def progress_bar(show: bool, seed: int, steps: int, journal: Journal) -> Iterator[Bar | None]:
    """A bar while a training runs, None where none is wanted."""
    if not show:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
        TimeRemainingColumn(),
        TextColumn("return {task.fields[mean_return]} money"),
    )
    with Progress(*columns) as bar:
        yield Bar(bar, bar.add_task(f"seed {seed}", total=steps, mean_return="-"), journal)


class Recording(BaseCallback):
    """Calls a record, and moves a bar, where stable-baselines3 begins, goes on and ends."""

    def __init__(self, record: Record, bar: Bar | None) -> None:
        super().__init__()
        self.record, self.bar = record, bar

    def _on_training_start(self) -> None:
        self.record.start()

    def _on_rollout_start(self) -> None:
        self.record.between()

    def _on_step(self) -> bool:
        if self.bar is not None:
            self.bar.show(self.num_timesteps)
        return True

    def _on_training_end(self) -> None:
        self.record.end()


def write_rows(path: Path, rows: Sequence[dict[str, Number]]) -> None:
    """Write rows as CSV, columns by their first occurrence; the file is replaced at once."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as part, part.open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, Number]]:
    """Read what ``write_rows`` wrote; what a row lacks is left out."""
    with path.open(newline="", encoding="utf8") as file:
        return [
            {name: float(text) for name, text in row.items() if text}
            for row in csv.DictReader(file)
        ]
