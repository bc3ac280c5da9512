"""What a training writes: tables, TensorBoard events, checkpoints and a progress bar."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID
from stable_baselines3.common.callbacks import BaseCallback
from torch.utils.tensorboard import SummaryWriter

from marketenv.core.storage import whole_file

from . import checkpoint
from .policy import LearnedPolicy, learned

LOGS = 100  # rows of a run
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


class Record(BaseCallback):
    """Writes ``progress.csv``, ``speed.csv`` and TensorBoard events between two rollouts.

    It also evaluates the policy and saves checkpoints.

    progress.csv holds what is the same in every run of the same settings; what a clock says is in
    speed.csv.

    every:    steps between two rows, evaluations, checkpoints; 0 for never
    evaluate: from the policy as it stands to the numbers that a row shows
    settings: what a checkpoint must agree on to be taken up again
    """

    def __init__(
        self,
        folder: Path,
        every: dict[str, Number],
        evaluate: Callable[[LearnedPolicy], dict[str, Number]],
        settings: dict[str, Any],
        journal: Journal,
    ) -> None:
        super().__init__()
        self.folder, self.every, self.evaluate = folder, every, evaluate
        self.settings, self.journal = settings, journal
        self._writer: SummaryWriter | None = None
        self._since = 0.0

    def _on_training_start(self) -> None:
        for name, steps in self.every.items():
            self.journal.due.setdefault(name, steps or float("inf"))
        self._writer = SummaryWriter(
            str(self.folder / "tensorboard"), purge_step=self.num_timesteps + 1
        )
        self._since = time.perf_counter()

    def _on_rollout_start(self) -> None:
        now = {name for name in self.every if self.num_timesteps >= self.journal.due[name]}
        for name in now:
            self.journal.due[name] += self.every[name] * (
                1 + (self.num_timesteps - self.journal.due[name]) // self.every[name]
            )
        if self.journal.rows and self.journal.rows[-1]["steps"] == self.num_timesteps:
            # a finished run that goes on to more steps wrote them when it ended
            now -= {"row", "evaluation"}
        if now:
            self._pause(now)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
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
            checkpoint.save(self.folder, self.model, state)
        self._since = time.perf_counter()

    def _write(self, evaluate: bool) -> None:
        _, meter, _ = checkpoint.layers(self.model)
        mean, episodes = meter.take()
        steps, seconds = self.num_timesteps, max(self.journal.seconds, 1e-9)
        row: dict[str, Number] = {"steps": steps, "episodes": episodes}
        row |= {"return": mean} if episodes else {}
        for name, value in self.logger.name_to_value.items():
            if name.startswith("train/"):
                row[name] = float(value)
        row |= self.evaluate(learned(self.model)) if evaluate else {}
        speed = {
            "steps": steps,
            "seconds": seconds,
            "steps_per_second": steps / seconds,
            "env_seconds": meter.seconds,
            "env_share": meter.seconds / seconds,
        }
        self.journal.rows.append(row)
        self.journal.speed.append(speed)
        write_rows(self.folder / "progress.csv", self.journal.rows)
        write_rows(self.folder / "speed.csv", self.journal.speed)
        assert self._writer is not None
        for name, value in (row | speed).items():
            if name != "steps":
                self._writer.add_scalar(name if "/" in name else f"market/{name}", value, steps)


class Bar(BaseCallback):
    """Moves a bar of rich, and shows the mean return of the last row beside it."""

    def __init__(self, bar: Progress, task: TaskID, journal: Journal) -> None:
        super().__init__()
        self._bar, self._task, self._journal = bar, task, journal

    def _on_rollout_start(self) -> None:
        rows = self._journal.rows
        mean_return = f"{rows[-1].get('return', float('nan')):.4g}" if rows else "-"
        self._bar.update(self._task, completed=self.num_timesteps, mean_return=mean_return)

    def _on_step(self) -> bool:
        self._bar.update(self._task, completed=self.num_timesteps)
        return True


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
