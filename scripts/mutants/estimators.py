"""Wrong estimators: what scores are predicted, which mixture is bought, and what sellers are worth."""

from __future__ import annotations

from scripts.mutants.mutant import Mutant, of

VALUATION = "marketenv/valuation"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{VALUATION}/estimator.py",
        "tests/valuation/test_estimator.py",
        ("a square's slope is not doubled", "(2 * square * p", "(square * p"),
        ("the intercept forgets the regressors' centre", " - (centre.squeeze(-2) * weights).sum(-1)", ""),
        ("terms that follow from others are kept", "sure = sizes > RANK *", "sure = sizes > 0 *"),
        (
            "the last seller is in projektor7 and the first is not",
            "range(n_sellers - 1), range(n_sellers, 2 * n_sellers - 1)",
            "range(1, n_sellers), range(n_sellers + 1, 2 * n_sellers)",
        ),
        ("coefficients cost no freedom", "free = score.shape[-1] - rank", "free = score.shape[-1] - 1 + 0 * rank"),
        ("regressors keep their units", "torch.where(varies, apart / size, 0.0)", "torch.where(varies, apart, 0.0)"),
    ),
    *of(
        f"{VALUATION}/scaling.py",
        "tests/valuation/test_scaling.py",
        ("the small pilot has the sign of the large one", "return -(n / n1).log()", "return (n / n1).log()"),
        ("sizes in disorder are taken", "(n0 < n1).all()", "(n0 <= n1).all()"),
        ("errors of two pilots cancel", "torch.hypot(", "torch.sub("),
    ),
    *of(
        f"{VALUATION}/mixtures.py",
        "tests/valuation/test_mixtures.py",
        ("a share that met its cap goes on", "x.shape[-1], 1.0, -1.0)", "x.shape[-1], 1.0, 0.0)"),
        ("caps cut off what they should hand on", "[x, x - caps]", "[x, x - 1]"),
        ("a grid's shares miss a step", "- 1) / steps", "- 1) / (steps + 1)"),
    ),
    *of(
        f"{VALUATION}/selection.py",
        "tests/valuation/test_selection.py",
        ("a shadow price forgets that W moves", "direct + by_wad[..., None] * finite", "direct + 0 * by_wad[..., None] * finite"),
        ("slopes are not those of the simplex", "slopes - slopes.mean(-1, keepdim=True)", "slopes"),
        ("a worse step is taken", "tried.predicted - here.predicted >", "tried.predicted > -torch.inf +"),
        ("any rise is enough", "> ENOUGH * ((", "> 0 * (("),
        ("a rate never falls", "2 * rate, rate / 2)", "2 * rate, rate)"),
        ("the worst listed mixture is bought", "predicted.argmax(-1, keepdim=True)", "predicted.argmin(-1, keepdim=True)"),
    ),
    *of(
        f"{VALUATION}/shares.py",
        "tests/valuation/test_shares.py",
        ("others count as members do", "-weights[size + 1])", "weights[size + 1])"),
        ("a standard error is a spread", "added.std(-2) / permutations**0.5", "added.std(-2)"),
        ("a seller gets what came after it", "place[..., None, :] <", "place[..., None, :] <="),
        ("leave-one-out is what one alone lacks", "worth[..., :1] - worth[..., 1:]", "worth[..., 1:] - worth[..., :1]"),
        (
            "a coalition delivers the whole mixture",
            "total > 0, part / total, whole",
            "total > 0, whole_mixture, whole",
        ),
    ),
    *of(
        f"{VALUATION}/point_values.py",
        "tests/valuation/test_point_values.py",
        ("a point is one of its own others", "n / (n - 1) *", ""),
        ("padding is counted", "n = present.sum(", "n = torch.ones_like(present).sum("),
    ),
)
