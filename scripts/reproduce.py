"""Reproduce the tables and figures of the papers: one subcommand each, the paper's numbers beside
ours.

Every study writes NAME.json, NAME.csv and NAME.png, and what it has done already is kept: a killed
run goes on where it stood and ends with the same files. ``report`` joins all that have been run
into one page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts import command  # noqa: E402
from scripts.studies import (  # noqa: E402
    barrier,
    data_valuation,
    data_valuation_sellers,
    deep,
    linear,
    report,
    resources,
    resources_deviations,
    resources_market,
    sharing,
    sharing_reports,
    theorems,
)

STUDIES = {
    "table1": deep.table1,
    "table2": deep.table2,
    "fig2": deep.fig2,
    "barrier": barrier.barrier,
    "fig3": linear.fig3,
    "fig4": linear.fig4,
    "fig5": linear.fig5,
    "thm41": theorems.thm41,
    "thm51": theorems.thm51,
    "ipfl_niid": sharing.ipfl_niid,
    "ipfl_lambda": sharing.ipfl_lambda,
    "ipfl_attack": sharing.ipfl_attack,
    "ipfl_liars": sharing_reports.ipfl_liars,
    "ipfl_scale": sharing_reports.ipfl_scale,
    "wad_correlation": data_valuation.wad_correlation,
    "wad_scaling": data_valuation.wad_scaling,
    "wad_selection": data_valuation.wad_selection,
    "wad_private": data_valuation_sellers.wad_private,
    "wad_exploits": data_valuation_sellers.wad_exploits,
    "wad_sellers": data_valuation_sellers.wad_sellers,
    "rdfl_utilities": resources.rdfl_utilities,
    "rdfl_sweeps": resources.rdfl_sweeps,
    "rdfl_dynamics": resources_deviations.rdfl_dynamics,
    "rdfl_misreport": resources_deviations.rdfl_misreport,
    "rdfl_audit_gaming": resources_market.rdfl_audit_gaming,
    "rdfl_accuracy": resources_market.rdfl_accuracy,
    "report": report.report,
}


def checked(study: Callable[[Any], None]) -> Callable[[Any], None]:
    """The study, which first makes sure that its folder can be written."""

    @wraps(study)
    def run(config: Any) -> None:
        command.check_folder(config.out)
        study(config)

    return run


if __name__ == "__main__":
    studies = {name: checked(study) for name, study in STUDIES.items()}
    command.run(lambda: command.read_study(studies, __doc__))
