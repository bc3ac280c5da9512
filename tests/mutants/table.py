"""All mutants, room by room."""

from __future__ import annotations

from tests.mutants import (
    claims,
    core,
    data,
    data_markets,
    distances,
    estimators,
    learners,
    marketplaces,
    markets,
    mechanisms,
    metrics,
    papers,
    resource_markets,
    resources,
    strategies,
    trading,
)
from tests.mutants.mutant import Mutant

ROOMS = (
    mechanisms,
    resources,
    markets,
    data_markets,
    resource_markets,
    marketplaces,
    trading,
    strategies,
    learners,
    distances,
    estimators,
    data,
    papers,
    core,
    metrics,
    claims,
)
MUTANTS: tuple[Mutant, ...] = tuple(one for room in ROOMS for one in room.MUTANTS)

# Related tests that take long and would tell hardly more, by the beginning of their names: left out
# of every trial
SLOW = (
    "tests/valuation/test_private.py::test_fedwad_on_the_pages_gaussians",
    "tests/markets/test_parameter_trading.py::test_every_place_that_a_permutation_misses_is_seen",
    "tests/markets/test_sharing_best_replies.py::test_effort_is_not_paid_for",
    "tests/markets/test_sharing_share.py::test_ten_thousand_truthful_markets",
    "tests/agents/test_stress_claims_table.py::test_quick_verdicts_are_those_that_theory_knows[reference/",
    "tests/agents/papers/test_train_n_trade_traders.py::test_only_a_posted_price_for_one_round_makes_bids_truthful",
    "tests/agents/test_claims_walked.py::test_every_condition_runs_twice_alike_and_fits_json",
)
