"""Reproduce tables and figures of the papers, each by a subcommand: their numbers beside ours.

Every study writes NAME.json, NAME.csv and NAME.png and keeps finished work: a killed run goes on
where it stood and ends with the same files. ``report`` joins the studies that have been run into
one page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from agents.papers.core import studies_page as report  # noqa: E402
from agents.papers.data_valuation import private_study as data_valuation_private  # noqa: E402
from agents.papers.data_valuation import seller_studies as data_valuation_sellers  # noqa: E402
from agents.papers.data_valuation import studies as data_valuation  # noqa: E402
from agents.papers.ipfl import drawn_studies as sharing_drawn  # noqa: E402
from agents.papers.ipfl import studies as sharing  # noqa: E402
from agents.papers.marketplace import studies as marketplace  # noqa: E402
from agents.papers.resources_decoupled import deviation_studies as resources_deviations  # noqa: E402
from agents.papers.resources_decoupled import market_studies as resources_market  # noqa: E402
from agents.papers.resources_decoupled import studies as resources  # noqa: E402
from agents.papers.train_n_trade import barrier_studies as barrier  # noqa: E402
from agents.papers.train_n_trade import linear_studies as linear  # noqa: E402
from agents.papers.train_n_trade import network_studies as networks  # noqa: E402
from agents.papers.train_n_trade import related_tasks_study as related  # noqa: E402
from agents.papers.train_n_trade import theorem_41_study as theorem_41  # noqa: E402
from agents.papers.train_n_trade import theorem_51_study as theorem_51  # noqa: E402

STUDIES = {
    "table1": networks.table1,
    "table2": networks.table2,
    "fig2": networks.fig2,
    "barrier": barrier.barrier,
    "fig3": linear.fig3,
    "fig4": related.fig4,
    "fig5": linear.fig5,
    "thm41": theorem_41.thm41,
    "thm51": theorem_51.thm51,
    "ipfl_niid": sharing.ipfl_niid,
    "ipfl_lambda": sharing.ipfl_lambda,
    "ipfl_attack": sharing.ipfl_attack,
    "ipfl_liars": sharing_drawn.ipfl_liars,
    "ipfl_scale": sharing_drawn.ipfl_scale,
    "wad_correlation": data_valuation.wad_correlation,
    "wad_scaling": data_valuation.wad_scaling,
    "wad_selection": data_valuation.wad_selection,
    "wad_private": data_valuation_private.wad_private,
    "wad_exploits": data_valuation_sellers.wad_exploits,
    "wad_sellers": data_valuation_sellers.wad_sellers,
    "rdfl_utilities": resources.rdfl_utilities,
    "rdfl_sweeps": resources.rdfl_sweeps,
    "rdfl_dynamics": resources_deviations.rdfl_dynamics,
    "rdfl_misreport": resources_deviations.rdfl_misreport,
    "rdfl_audit_gaming": resources_market.rdfl_audit_gaming,
    "rdfl_accuracy": resources_market.rdfl_accuracy,
    "marketplace_ladder": marketplace.marketplace_ladder,
    "report": report.report,
}


def checked(study: Callable[[Any], None]) -> Callable[[Any], None]:
    """The study, which first checks that its folder can be written."""

    @wraps(study)
    def run(config: Any) -> None:
        command.check_folder(config.out)
        study(config)

    return run


if __name__ == "__main__":
    studies = {name: checked(study) for name, study in STUDIES.items()}
    command.run(lambda: command.read_study(studies, __doc__))
