"""Whether the leader keeps its word, with and without escrow: a part of ``rdfl_misreport``."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float64
from torch import Tensor

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .market import LEADER, played
from .settings import OWNERS, SEED, size_of

GAME: dict[str, Any] = {"learner": None, "n_owners": OWNERS, "n_centres": OWNERS, "max_cycles": 1}
HELD = "the payment is held from the start"
CONDITIONS = {AS_STATED: False, HELD: True}


def gain(escrow: bool, n_seeds: int, quality: tuple[float, ...] = ()) -> Float64[Tensor, "seeds"]:
    """What the leader gains by paying nothing after owners have contributed."""
    config = GAME | {"escrow": escrow} | ({"types": {"quality": quality}} if quality else {})
    paying, reneging = (
        played(config, [(LEADER, {}), (LEADER, {"pay": 0.0})], n_seeds).of(LEADER).sum(0)
    )
    return reneging - paying


def word_is_kept(condition: str, effort: Effort) -> Evidence:
    """The gain of a leader that pays nothing in the end, seed by seed."""
    n_seeds = size_of(effort).seeds * 20
    gains = gain(CONDITIONS[condition], n_seeds)
    return Evidence(
        samples={"gain of paying nothing": gains.tolist()},
        seeds=f"{SEED} + 0..{n_seeds - 1}",
        exact=CONDITIONS[condition],  # then the leader has no such move
        counterexample=(
            f"a leader that pays nothing gains {float(gains.mean()):.4g}, all that it had"
            " committed to"
        ),
    )
