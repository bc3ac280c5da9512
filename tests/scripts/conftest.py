"""What tests of scripts share."""

import json

import fork_server
import pytest

from agents.papers.core import audit_page

fork_server.fork_workers()  # also for tests of other folders in this process


@pytest.fixture(scope="session")
def pictures_once():
    """The audit's page draws equal series once: planted claims have the same in all conditions."""
    draw, drawn = audit_page.pictures, {}

    def pictures(series):
        key = json.dumps(series, sort_keys=True)
        if key not in drawn:
            drawn[key] = draw(series)
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_page, "pictures", pictures)
        yield
