"""A round told in words."""

from __future__ import annotations

from collections.abc import Sequence

from marketenv.core.market import Report


def tell_round(report: Report | None, agents: Sequence[str]) -> str:
    """The first market's last round in lines of text; agents name the agent axis in order."""
    if report is None:
        return "No round has been played yet."
    return "\n".join(report.story(agents))
