"""The page of findings: sentences whose words and numbers come from the verdicts that are kept."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marketenv.core.lookup import lookup

from .verdict_tables import Short, row

NUMBER = r"-?[\d.]+(?:e[-+]?\d+)?"
FOUND = re.compile(  # what ``decisive`` writes about one condition
    rf"(?P<name>.+): (?P<greatest>greatest )?(?P<value>{NUMBER})"
    rf"(?: \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])? (?P<unit>.+), (?P<count>\d+) samples"
    r"(?: \(and \d+ more\))?"
)
WIDTH, RULE = 140, "|---|---|---|---|"  # of a line of the page; below a table's head
TWO = "; under the condition: "  # between the claim as stated and the verdict's condition


@dataclass(frozen=True)
class Measured:
    """The statistic that decides under one condition.

    value: a mean with its 95 % interval [low, high], or the greatest sample; numbers as text
    """

    name: str
    greatest: bool
    value: str
    low: str
    high: str
    unit: str

    @classmethod
    def of(cls, found: str) -> Measured:
        """Of what a verdict names; ValueError for words without a number."""
        match = FOUND.fullmatch(found)
        if match is None:
            raise ValueError(f"{found!r} names no number; wanted NAME: MEAN [LOW, HIGH] UNIT.")
        parts = {name: match[name] or "" for name in ("name", "value", "low", "high", "unit")}
        return cls(greatest=bool(match["greatest"]), **parts)

    @property
    def bare(self) -> str:
        """The mean and its interval, without the unit."""
        self._wants(not self.greatest and bool(self.low), "a mean with an interval")
        return f"{self.value} [{self.low}, {self.high}]"

    @property
    def number(self) -> str:
        """The mean and its interval with the unit."""
        return f"{self.bare} {self.unit}"

    @property
    def gain(self) -> str:
        """The number; ValueError unless its interval lies above 0."""
        number = self.number
        self._wants(float(self.low) > 0, "an interval above 0")
        return number

    @property
    def loss(self) -> str:
        """The number with the other sign; ValueError unless its interval lies below 0."""
        number = self.number
        self._wants(number.startswith("-") and float(self.high) < 0, "an interval below 0")
        low, high = self.high.removeprefix("-"), self.low.removeprefix("-")
        return f"{self.value.removeprefix('-')} [{low}, {high}] {self.unit}"

    @property
    def most(self) -> str:
        """The greatest sample with its unit."""
        self._wants(self.greatest, "the greatest sample")
        return f"{self.value} {self.unit}"

    def _wants(self, right: bool, wanted: str) -> None:
        if not right:
            raise ValueError(f"{self} is what was measured; the sentence wants {wanted}.")


@dataclass(frozen=True)
class Slot:
    """What a sentence can say about a claim.

    stated: what was measured as stated, or under the only condition that was measured
    under:  what was measured under the verdict's condition
    """

    verdict: str
    found: str
    budget: str

    @property
    def condition(self) -> str:
        """The condition that the verdict names."""
        return self.verdict.partition(": ")[2]

    @property
    def stated(self) -> Measured:
        """What was measured as stated, or under the only condition with numbers."""
        first, two, _ = self.found.partition(TWO)
        return Measured.of(first.partition(": ")[2] if two else first)

    @property
    def under(self) -> Measured:
        """What was measured under the verdict's condition; ValueError where that is not told."""
        return Measured.of(self.found.partition(TWO)[2])


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A finding: sentences about some claims, true only as long as their verdicts are these.

    title:    the finding in short
    text:     sentences with slots, for instance {cost.stated.gain} or {cost.verdict}
    claims:   by the slot's name: the claim's id, and the verdict that the sentences are about
    page:     a link to the page that says more, as [title](path)
    studies:  whose pictures are shown
    """

    title: str
    text: str
    claims: Mapping[str, tuple[str, str]]
    page: str
    studies: Sequence[str] = ()

    def slots(self, kept: Short) -> dict[str, Slot]:
        """By name, the slots of the text.

        Raises ValueError where a verdict is another one than that of the sentences.
        """
        slots = {}
        for name, (claim, verdict) in self.claims.items():
            one = lookup(kept, claim, "verdict of a claim")
            if one["verdict"] != verdict:
                raise ValueError(
                    f"the finding {self.title!r} is written for the verdict {verdict!r} of {claim};"
                    f" the verdict is now {one['verdict']!r}. Rewrite the finding in"
                    " agents/papers/findings.py."
                )
            slots[name] = Slot(verdict, one["found"], one["budget"])
        return slots

    def filled(self, kept: Short) -> str:
        """The sentences with verdicts and numbers; raises as ``slots``, and for a wrong number."""
        try:
            return self.text.format(**self.slots(kept))
        except (ValueError, LookupError, AttributeError) as error:
            raise ValueError(f"the finding {self.title!r} cannot be written: {error}") from error


def section(number: int, headline: Headline, kept: Short) -> str:
    """One finding as Markdown: sentences, picture, claims with verdicts and numbers, commands."""
    pictures = [f"![{name}](papers/pictures/{name}.png)" for name in headline.studies]
    names = [claim for claim, _ in headline.claims.values()]
    rows = [
        row((f"`{name}`", *(kept[name][part] for part in ("verdict", "found", "budget"))))
        for name in names
    ]
    table = [row(("claim", "verdict", "number, 95 % interval, unit", "budget")), RULE, *rows]
    commands = [f"    {line}" for line in _commands(names, kept)]
    commands += [f"    python scripts/reproduce.py {name}" for name in headline.studies]
    parts = [
        f"## {number}. {headline.title}",
        textwrap.fill(headline.filled(kept), WIDTH, break_on_hyphens=False),
        f"More: {headline.page}.",
        *pictures,
        "\n".join(table),
        "\n".join(commands),
    ]
    return "\n\n".join(parts)


def _commands(names: Sequence[str], kept: Short) -> list[str]:
    """The commands that test these claims, one a budget."""
    budgets = dict.fromkeys(kept[name]["budget"] for name in names)
    lines = []
    for budget in budgets:
        chosen = " ".join(f'"{name}"' for name in names if kept[name]["budget"] == budget)
        lines.append(f"python scripts/audit.py --budget {budget} --claims {chosen}")
    return lines


def page(intro: str, headlines: Sequence[Headline], kept: Short) -> str:
    """The page of findings as Markdown; raises ValueError where a finding is no longer true."""
    sections = [section(k, headline, kept) for k, headline in enumerate(headlines, start=1)]
    return "\n\n".join([intro, *sections, ""]).rstrip("\n") + "\n"
