"""A search for deviations: the best of each attacker, and what the search for a deviator gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...stress.attack import Attack
from ...stress.best_response import BestDeviation
from ...stress.search import Budget, find_attackers
from .lines import changes


def best_of_each(
    search: Attack, judged: Attack, attackers: Sequence[str], budget: Budget
) -> list[BestDeviation]:
    """The best real deviation of each attacker that has one.

    search, judged: the attack on the seeds of the choice, and on others
    """
    deviations, base = [], search.bases()
    for name, attacker in find_attackers(attackers).items():
        real = [one for one in attacker(search, budget) if any(map(changes, one.policies, base))]
        if real:
            selected = search.gains([one.policies for one in real]).mean(1)
            best = real[int(selected.argmax())]
            gains = judged.gains([best.policies])[0]
            most = float(selected.max())
            deviations.append(
                BestDeviation(name, best.words, best.policies, most, gains, best.story)
            )
    return deviations


@dataclass(frozen=True)
class SearchResult:
    """The result of the search for one deviator.

    names:  of the deviators, and of what they deviate against
    base:   utility of those who stay, by judging seed, money        [seeds]
    regret: the best gain on the lines, by seed of the choice, money  [seeds]
    deviations: the best of each attacker;   series: for pictures
    """

    names: str
    base: Tensor
    regret: Tensor
    deviations: tuple[BestDeviation, ...]
    series: tuple[dict[str, Any], ...]

    @property
    def best(self) -> BestDeviation:
        """The deviation that gains most on the seeds of the choice."""
        return max(self.deviations, key=lambda one: one.selected)

    @property
    def table(self) -> dict[str, Any]:
        """The best deviation of each attacker."""
        head = [
            "attacker",
            "its best deviation",
            "gain where it was chosen, money",
            "gain on other seeds, money",
        ]
        rows = [
            [one.attacker, one.words, one.selected, float(one.gains.mean())]
            for one in self.deviations
        ]
        stays = float(self.base.mean())
        title = f"{self.names} deviates; who stays earns {stays:.4g} money"
        return {"title": title, "head": head, "rows": rows}

    def counterexample(self) -> str:
        """The best deviation, and the seed where it gained most."""
        gains, seed = self.best.gains, int(self.best.gains.argmax())
        mean, there = float(self.base.mean()), float(self.base[seed])
        return (
            f"{self.names}: {self.best.words} ({self.best.attacker}) earns"
            f" {mean + float(gains.mean()):.4g} money in place of {mean:.4g}; at seed JUDGE +"
            f" {seed} {there + float(gains[seed]):.4g} in place of {there:.4g}"
        )


def learning_series(names: str, one: BestDeviation) -> dict[str, Any]:
    """The progress of a learner, for a picture."""
    columns = {
        name: [float(row[name]) for row in one.story] for name in ("steps", "utility", "truthful")
    }
    return {"kind": "learning", "title": f"{names}: {one.attacker}"} | columns
