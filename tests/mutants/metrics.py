"""Wrong statistics: intervals, regrets, welfare, and how far a profile is from equilibrium."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM, TESTS = "marketenv/metrics", "tests/metrics"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/statistics.py",
        f"{TESTS}/test_statistics.py",
        (
            "the delta method leaves out the denominator's noise",
            "(upper - ratio * lower) /",
            "(upper - ratio * lower.mean()) /",
        ),
        ("the tails of an interval are exchanged", "t.flip(0) * spread", "t * spread"),
        (
            "less than half of one value is taken for half",
            "(samples.shape[-1] + 1) // 2",
            "samples.shape[-1] // 2",
        ),
        ("shares know one level only", "proportion_ci(level, ", "proportion_ci(0.95, "),
    ),
    *of(
        f"{ROOM}/bootstrap.py",
        f"{TESTS}/test_statistics.py",
        (
            "the deviation is that of n",
            "clamp(min=0.0) / (n - 1)).sqrt()",
            "clamp(min=0.0) / n).sqrt()",
        ),
        (
            "resamples are all alike",
            "draws.integers(draws.fold(key, part) if part else key",
            "draws.integers(key",
        ),
        ("the middle half begins at a fifth", "cumsum(-1) - n / 4) /", "cumsum(-1) - n / 5) /"),
    ),
    *of(
        f"{ROOM}/welfare.py",
        f"{TESTS}/test_equilibrium_and_welfare.py {TESTS}/test_metrics_table.py",
        (
            "Gini's index is not centred",
            "device=amounts.device) - n - 1",
            "device=amounts.device) - n",
        ),
        (
            "the best equilibrium is the worst",
            "optimum / float(equilibria.min())",
            "optimum / float(equilibria.max())",
        ),
        ("the mean is over all agents", ".sum(1) / focal.sum(1)", ".sum(1) / focal.shape[1]"),
    ),
    *of(
        f"{ROOM}/rationality.py",
        f"{TESTS}/test_equilibrium_and_welfare.py {TESTS}/test_metrics_table.py",
        (
            "gains make up for losses",
            "(outside - utilities).clamp(min=0.0)",
            "(outside - utilities)",
        ),
    ),
    *of(
        f"{ROOM}/regret.py",
        f"{TESTS}/test_regret.py",
        (
            "a deviation is judged where it was chosen",
            "mean_interval(gains[best, 1::2])",
            "mean_interval(gains[best, ::2])",
        ),
        ("the quantile is nine tenths", "each.quantile(0.99,", "each.quantile(0.9,"),
        ("intervals of bins hold one by one", "1 - 0.05 / member.shape[1]", "0.95"),
        ("means refute without their interval", "loss.low > epsilon", "loss.mean > epsilon"),
    ),
    *of(
        f"{ROOM}/equilibrium.py",
        f"{TESTS}/test_equilibrium_and_welfare.py {TESTS}/test_metrics_table.py",
        (
            "the ends of a relative loss are exchanged",
            "1 - ratio.high, 1 - ratio.low",
            "1 - ratio.low, 1 - ratio.high",
        ),
        ("a mix earns what its first strategy does", "each - mix @ each", "each - each[0]"),
    ),
    *of(
        f"{ROOM}/bayesian_games.py",
        f"{TESTS}/test_bayesian_games.py",
        (
            "illegal actions are best",
            "values.masked_fill(~allowed[player], -math.inf).argmax",
            "values.argmax",
        ),
        (
            "interim gains count by the type's chance",
            "lost / chance.clamp(",
            "lost / torch.ones_like(chance).clamp(",
        ),
    ),
)
