"""What an owner is paid for bad data under every audit: ``rdfl_audit_gaming``.

Ten owners of 100 clean digits each; the first one delivers something else in every round. In the
first round all are paid by their reports, in the second by the audit, and in the third the leader
and the owners solve the game for the audited qualities: that round counts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from marketenv.markets.resource_market import CONDUCTS

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .market import DEVIANT, LEADER, changed_conduct, played
from .settings import OWNERS, SEED, size_of

HONEST = "honest"
LEAST_LOSS = 0.9  # whose data are worse is to earn less than this part of what honest data earn
ROWS, VALIDATION, TEST = 1000, 250, 547  # of the 1,797 digits: 100 an owner, 250 of the leader
DIGITS: dict[str, Any] = {
    "n_owners": OWNERS,
    "n_centres": OWNERS,
    "max_cycles": 3,
    "audit_round": 1,
    "noise": (0.0, 0.0),
    "data_options": {"validation_size": VALIDATION, "test_size": TEST},
}
NOTHING, LOSS_DROP, HELD_OUT, SHAPLEY, DISTANCE, VOCABULARY = (
    "no audit",
    "loss_drop",
    "heldout",
    "shapley",
    "wasserstein",
    "wasserstein, vocabulary",
)
DEFENCES: dict[str, dict[str, Any]] = {
    # nothing trained is paid for
    NOTHING: {"learner": None, "conduct": tuple(CONDUCTS), "types": {"quality": (1.0,) * OWNERS}},
    LOSS_DROP: {"audit": "loss_drop"},
    HELD_OUT: {"audit": "heldout"},
    SHAPLEY: {"audit": "shapley"},
    DISTANCE: {"audit": "wasserstein"},
    VOCABULARY: {"audit": "wasserstein", "vocabulary": 1.0},
}
MARKETS = 20  # that are played, whatever the effort
ALIKE = 260  # where all come to the same, so that an interval wants more
COSTLY = (DISTANCE, VOCABULARY)


@lru_cache(maxsize=16)
def earned(
    defence: str, n_seeds: int
) -> dict[str, tuple[Float64[Tensor, "seeds"], Float64[Tensor, "seeds"]]]:
    """Utility of the deviant and of the leader in the last round, by conduct."""
    config = DIGITS | DEFENCES[defence]
    utilities = played(config, [(DEVIANT, changed_conduct(name)) for name in CONDUCTS], n_seeds)
    own, leader = (utilities.of(agent)[-1] for agent in (DEVIANT, LEADER))
    return {name: (own[k], leader[k]) for k, name in enumerate(CONDUCTS)}


# --- evidence -------------------------------------------------------------------------------------

CONDITIONS = {name: (AS_STATED,) for name in DEFENCES if name not in (DISTANCE, VOCABULARY)} | {
    DISTANCE: (AS_STATED, VOCABULARY)
}


def worse_earns_less(condition: str, effort: Effort, defence: str) -> Evidence:
    """By how much each conduct earns less than nine tenths of what honesty earns."""
    guard = defence if condition == AS_STATED else condition
    if guard in COSTLY and effort.name not in ("standard", "full"):
        return Evidence(untested=f"the audit {guard} wants the effort standard or full")
    n_seeds = min(size_of(effort).seeds, MARKETS) if guard != NOTHING else ALIKE
    utilities = earned(guard, n_seeds)
    honest, usual = utilities[HONEST]
    rows = [
        [name, float(own.mean()), float((leader - usual).mean())]
        for name, (own, leader) in utilities.items()
    ]
    return Evidence(
        samples={
            name: (LEAST_LOSS * honest - own).tolist()
            for name, (own, _) in utilities.items()
            if name != HONEST
        },
        seeds=f"{SEED} + 0..{n_seeds - 1}",
        scale=float(honest.abs().mean()),
        tables=[
            {
                "title": guard,
                "head": ["owner_0 delivers", "it earns, money", "the leader earns more, money"],
                "rows": rows,
            }
        ],
    )
