"""Test every claim of the papers: search for deviations, compute verdicts, write all on one page.

Writes claims.json (verdicts, samples, seeds; the same bytes wherever and however often it is run)
and report.html, of the chosen claims, into the folder. Measurements are kept: a killed audit goes
on where it stood, and a change of the code measures anew. A claim that fails is a result; the exit
code is 1 where an experiment could not be run, and 2 for bad arguments.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from agents.papers.core.audit import OURS, audit, choose, find_claims  # noqa: E402
from agents.papers.core.audit_page import write_page  # noqa: E402
from agents.papers.core.audited import Audited, decisive, plain  # noqa: E402
from agents.papers.core.claim import Claim  # noqa: E402
from agents.papers.core.effort import EFFORTS  # noqa: E402
from agents.papers.core.units import Crew, replace  # noqa: E402
from agents.papers.core.words import FAILS, HOLDS, INCONCLUSIVE, NO_GAIN, UNMET, UNTESTED  # noqa: E402
from marketenv.core.lookup import unknown  # noqa: E402

STYLES = {  # by the word that a verdict, or a part of it, begins with
    HOLDS: "bold green",
    NO_GAIN: "bold cyan",
    FAILS: "bold red",
    INCONCLUSIVE: "bold yellow",
    UNMET: "bold",
    UNTESTED.removesuffix(" here"): "dim",
}


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """Arguments of the audit.

    Args:
        market: markets whose claims are tested: reference, parameter_trading, model_sharing,
            data_market, resource_market, marketplace; none takes all
        claims: ids of claims, or patterns such as "train_n_trade/*"; none takes all
        budget: how much every experiment may spend: quick, standard or full
        module: the table of claims, module:NAME; a module of your own brings claims of your own
        engine: local takes processes of this machine, ray those of a Ray cluster
        address: of the Ray cluster; without it one that runs here, else one is started
        workers: processes; 0 takes one per processor
        tries: how often an experiment that fails is tried
        resume: keep former measurements
        out: folder of the results
        list: only list the claims
    """

    market: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    budget: str = "standard"
    module: str = OURS
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int = 0
    tries: int = 2
    resume: bool = True
    out: Path = ROOT / "results" / "audit"
    list: bool = False

    def __post_init__(self) -> None:
        if self.budget not in EFFORTS:
            raise unknown("budget", self.budget, EFFORTS)
        self.crew()

    def crew(self) -> Crew:
        """The processes that do the work."""
        return Crew(
            workers=self.workers, tries=self.tries, engine=self.engine, address=self.address
        )


def main(config: AuditConfig) -> int:
    """Audit the chosen claims, show and write the results; returns the exit code."""
    chosen = choose(find_claims(config.module), config.market, config.claims)
    if config.list:
        listed(chosen)
        return 0
    command.check_folder(config.out)
    start = time.perf_counter()
    audited = audit(
        chosen,
        config.module,
        config.budget,
        config.out / "units",
        config.crew(),
        fresh=not config.resume,
    )
    text = json.dumps(plain(audited, config.budget), indent=1, sort_keys=True, allow_nan=False)
    replace(config.out / "claims.json", f"{text}\n".encode())
    replace(config.out / "report.html", write_page(audited, config.budget).encode())
    show(audited, config, time.perf_counter() - start)
    return int(any(one.errors for one in audited))


def listed(claims: dict[str, Claim]) -> None:
    """Print the claims and their conditions, an id on a line for itself, so that it is whole."""
    for claim in claims.values():
        conditions = (
            "; ".join(claim.conditions) if claim.experiment else f"not tested here: {claim.why}"
        )
        about = (f"{claim.market}, {claim.place}", claim.words, f"conditions: {conditions}")
        print("\n    ".join((claim.id, *about)), end="\n\n")


def styled(part: str) -> str:
    """A part of a verdict in the colour of its word."""
    style = next((style for word, style in STYLES.items() if part.startswith(word)), "bold magenta")
    return f"[{style}]{escape(part)}[/]"


def show(audited: list[Audited], config: AuditConfig, seconds: float) -> None:
    """Print the table of verdicts, the errors, and where the files are."""
    shown = Table(title=f"audit, budget {config.budget}", box=box.SIMPLE_HEAD, padding=(0, 1))
    for head in ("claim", "verdict", "mean and 95 %, or greatest", "wanted"):
        shown.add_column(head, no_wrap=True)
    for one in audited:
        cells = (decisive(one, named=False), one.wanted(one.shown.condition).split(" (of all")[0])
        shown.add_row(
            escape(one.claim.id),
            "; ".join(map(styled, one.word.split("; ", 1))),
            *map(escape, cells),
        )
    command.show(shown)
    console = Console()
    for one in audited:
        for condition, error in one.errors.items():
            console.print(
                f"{one.claim.id}, {condition}: {error}", style="red", markup=False, soft_wrap=True
            )
    slowest = max(
        ((s, one.claim.id) for one in audited for s in one.seconds.values()),
        default=(0.0, "nothing"),
    )
    console.print(
        f"{seconds:.0f} s; the longest experiment took {slowest[0]:.0f} s ({slowest[1]}).",
        soft_wrap=True,
    )
    console.print(f"Evidence: {config.out / 'claims.json'}", soft_wrap=True)
    console.print(f"Page: {config.out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    command.run(lambda: main(command.read(AuditConfig, __doc__)))
