"""The marketplaces that are played, and sizes by effort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.effort import Effort

NAME, OURS = "marketplace_v0", "ours"
SEED = 26_000  # the first seed; experiments take SEED, SEED + 1, ...
DEVELOPER, OWNER, CENTRE = "developer_0", "owner_0", "centre_0"
ROLES = ("developer", "owner", "centre")
Config = Mapping[str, Any]
# owners of 100 digits each, so that one more honest owner matters
DIGITS: dict[str, Any] = {"data": "digits", "data_options": {"max_examples": 1000}}
CREDIT: dict[str, Any] = {"data": "german_credit"}
DATA = {"digits": DIGITS, "german_credit": CREDIT}
# fewer points than by default: a purchase of half of what owners have
BOUGHT: dict[str, Any] = {"points": 120, "pilots": (20, 40)}
# from the first round on, so that no round is paid by report
AUDITED: dict[str, Any] = {"audit_round": 0}


@dataclass(frozen=True)
class Sizes:
    """What an effort may spend: seeds, and rounds of an episode."""

    seeds: int
    rounds: int


SIZES = {"quick": Sizes(20, 2), "standard": Sizes(60, 3), "full": Sizes(200, 5)}
LEAST = Sizes(2, 1)  # of an effort that has another name


def sizes_of(effort: Effort) -> Sizes:
    """How much an effort may spend here."""
    return SIZES.get(effort.name, LEAST)


def marketplace(effort: Effort, config: Config) -> dict[str, Any]:
    """Arguments of a marketplace on digits, changed by a condition."""
    return DIGITS | {"max_cycles": sizes_of(effort).rounds} | dict(config)
