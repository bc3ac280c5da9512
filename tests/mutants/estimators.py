"""Wrong estimators: what scores are predicted, which mixture is bought, and what sellers are
worth.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

VALUATION = "marketenv/valuation"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{VALUATION}/estimator.py",
        "tests/valuation/test_estimator.py",
        ("a square's slope is not doubled", "(2 * square * p", "(square * p"),
        (
            "the intercept forgets the regressors' centre",
            " - (centre.squeeze(-2) * weights).sum(-1)",
            "",
        ),
        ("terms that follow from others are kept", "sure = sizes > RANK *", "sure = sizes > 0 *"),
        (
            "the last seller is in projektor7 and the first is not",
            ("range(n_sellers - 1),\n        range(n_sellers, 2 * n_sellers - 1)"),
            "range(1, n_sellers), range(n_sellers + 1, 2 * n_sellers)",
        ),
        (
            "coefficients cost no freedom",
            "free = score.shape[-1] - rank",
            "free = score.shape[-1] - 1 + 0 * rank",
        ),
        (
            "regressors keep their units",
            "torch.where(varies, apart / size, 0.0)",
            "torch.where(varies, apart, 0.0)",
        ),
    ),
    *of(
        f"{VALUATION}/scaling.py",
        "tests/valuation/test_scaling.py",
        (
            "the small pilot has the sign of the large one",
            "return -(n / n1).log()",
            "return (n / n1).log()",
        ),
        ("sizes in disorder are taken", "(n0 < n1).all()", "(n0 <= n1).all()"),
        ("errors of two pilots cancel", "torch.hypot(", "torch.sub("),
    ),
    *of(
        f"{VALUATION}/mixtures.py",
        "tests/valuation/test_mixtures.py",
        ("a share that met its cap goes on", "x.shape[-1], 1.0, -1.0)", "x.shape[-1], 1.0, 0.0)"),
        ("caps cut off what they should hand on", "[x, x - caps]", "[x, x - 1]"),
        ("a grid's shares miss a step", ("- 1\n    ) / steps"), "- 1) / (steps + 1)"),
    ),
    *of(
        f"{VALUATION}/mixtures.py",
        "tests/valuation/test_mixture_distance.py",
        ("shares need not sum to 1", "((p.sum(-1) - 1).abs() > ROUNDING) | (p", "(p"),
    ),
    *of(
        f"{VALUATION}/selection.py",
        "tests/valuation/test_selection.py",
        (
            "a shadow price forgets that W moves",
            "direct + by_wad[..., None] * finite",
            "direct + 0 * by_wad[..., None] * finite",
        ),
        ("slopes are not those of the simplex", "slopes - slopes.mean(-1, keepdim=True)", "slopes"),
        (
            "a worse step is taken",
            "tried.predicted - here.predicted >",
            "tried.predicted > -torch.inf +",
        ),
        ("any rise is enough", "> ENOUGH * ((", "> 0 * (("),
        ("a rate never falls", "2 * rate, rate / 2)", "2 * rate, rate)"),
        (
            "the worst listed mixture is bought",
            "predicted.argmax(-1, keepdim=True)",
            "predicted.argmin(-1, keepdim=True)",
        ),
    ),
    *of(
        f"{VALUATION}/shares.py",
        "tests/valuation/test_shares.py",
        ("others count as members do", "-weights[size + 1])", "weights[size + 1])"),
        ("a standard error is a spread", "added.std(-2) / permutations**0.5", "added.std(-2)"),
        ("a seller gets what came after it", "place[..., None, :] <", "place[..., None, :] <="),
        (
            "leave-one-out is what one alone lacks",
            "worth[..., :1] - worth[..., 1:]",
            "worth[..., 1:] - worth[..., :1]",
        ),
        (
            "a coalition delivers the whole mixture",
            "total > 0, part / total, whole",
            "total > 0, whole_mixture, whole",
        ),
        (
            "everybody's model counts in every coalition",
            "torch.where(coalitions, weights[..., None, :], 0.0)",
            "0 * coalitions + weights[..., None, :]",
        ),
        (
            "nobody's model is 0",
            "shares.to(models.dtype) @ models, start[..., None, :])",
            "shares.to(models.dtype) @ models, 0.0)",
        ),
        (
            "models are summed",
            "shares = part / torch.where(total > 0, total, 1.0)",
            "shares = part",
        ),
    ),
    *of(
        f"{VALUATION}/data_quality.py",
        "tests/valuation/test_data_quality.py",
        (
            "the error is no square",
            ".square().flatten(counted.ndim)",
            ".abs().flatten(counted.ndim)",
        ),
        (
            "padding lowers an error",
            "errors.sum(-1) / counted.sum(-1, dtype=torch.float64)",
            "errors.mean(-1)",
        ),
        (
            "padding is a word",
            "torch.where(places, words, known)",
            "torch.where(places, words, words.amax() + 1)",
        ),
        ("words are told apart by their neighbours", ".sort(-1).values", ""),
        (
            "the loss drop does not divide by the rows",
            "(losses[0] - losses[1]) / rows.clamp(",
            "(losses[0] - losses[1]) / rows.sign().clamp(",
        ),
        ("who delivers nothing has a loss", "torch.where(rows > 0, loss, 0.0)", "loss"),
        ("an update that does harm scores", 'finite(before, "before")[..., None] -', "-"),
    ),
    *of(
        f"{VALUATION}/point_values.py",
        "tests/valuation/test_point_values.py",
        ("a point is one of its own others", "n / (n - 1) *", ""),
        ("padding is counted", "n = present.sum(", "n = torch.ones_like(present).sum("),
    ),
)
