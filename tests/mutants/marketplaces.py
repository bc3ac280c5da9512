"""Wrong marketplaces: how a market is played within another, and what the whole is made of."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

WITHIN, PLACE = "marketenv/core", "marketenv/markets/marketplace"
TESTS = "tests/markets/test_marketplace_oracles.py tests/markets/test_marketplace.py"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{WITHIN}/inside.py",
        TESTS,
        (
            "an owner may spend all of its purse in every copy",
            "part / self.copies if self.shared(name) else part",
            "part",
        ),
        (
            "payments between those who are in all copies count once",
            "            return each.sum(1)\n        if self.shared(payee):",
            "            return each[:, 0]\n        if self.shared(payee):",
        ),
        (
            "costs of those who are in all copies count once",
            "return each.sum(1) if total else",
            "return each[:, 0] if total else",
        ),
        (
            "every copy draws as the first",
            'draws.fold(each, "copy", more)',
            "each.expand(-1, self.copies - 1)",
        ),
    ),
    *of(
        f"{PLACE}/compute.py",
        TESTS,
        (
            "work at home costs nothing",
            "-(trade[:, None] * charge)",
            "0 * charge",
        ),
    ),
    *of(
        "marketenv/markets/resource_market/pay.py",
        TESTS,
        (
            "centres work for nothing",
            'phase.named("work"), CENTRE, -cost',
            'phase.named("work"), CENTRE, 0 * cost',
        ),
    ),
    *of(
        f"{PLACE}/market.py",
        TESTS,
        (
            "developers value accuracy by types of their own",
            'if "money_per_accuracy" in types and rate is not None:',
            "if False:",
        ),
    ),
)
