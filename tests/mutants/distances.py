"""Wrong distances between data sets: points, transports, mixtures, and what is private."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM, TESTS = "marketenv/valuation", "tests/valuation"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/clouds.py",
        f"{TESTS}/test_transports.py",
        ("padding is not taken out", "torch.where(weights[..., None] > 0, points, 0.0)", "points"),
        ("weights need not sum to 1", "return points, weights / totals", "return points, weights"),
        (
            "equal clouds cost their rounding",
            "torch.where(total <= NOTHING * largest, 0.0, total)",
            "total",
        ),
        ("padding has costs", "torch.where(a > 0, of_rows[..., None, :], 0.0)", "of_rows"),
    ),
    *of(
        f"{ROOM}/embedding.py",
        f"{TESTS}/test_embedding.py",
        ("the vocabulary costs twice lambda", "(vocabulary / 2) ** 0.5", "vocabulary**0.5"),
        (
            "padding counts in the moments",
            "_moments(points, member * shares[..., None], root)",
            "_moments(points, member, root)",
        ),
        ("variances stand for deviations", "(part.mT @ centred**2).sqrt()", "part.mT @ centred**2"),
    ),
    *of(
        f"{ROOM}/exact.py",
        f"{TESTS}/test_transports.py",
        (
            "prices are those of the wrong side",
            "f = conjugate(costs, g, b)",
            "f = conjugate(costs, -g, b)",
        ),
        ("a solver that gave up is believed", 'if log["warning"] is not None:', "if False:"),
        ("small costs are lost beside 1", "if 0 < largest < SMALL else 1.0", "if False else 1.0"),
    ),
    *of(
        f"{ROOM}/entropic.py",
        f"{TESTS}/test_transports.py",
        (
            "rows have no weights",
            ("+ b.log()[..., None, :]).logsumexp(\n            -1\n        )"),
            ").logsumexp(-1)",
        ),
        (
            "a start is not used",
            "else _fitting(start.g, shares[1])",
            "else torch.zeros_like(_fitting(start.g, shares[1]))",
        ),
    ),
    *of(
        f"{ROOM}/scaling_kernel.py",
        f"{TESTS}/test_scaling_kernel.py",
        ("what is missing is free", ".sum(-1) + added", ".sum(-1)"),
        ("columns may hold too much", "quotient(b, v * (u @ kernel)).clamp(max=1.0)", "1.0"),
    ),
    *of(
        f"{ROOM}/sliced.py",
        f"{TESTS}/test_transports.py",
        (
            "quantiles are one place late",
            "before_x = of_x.cumsum(-1) - of_x.long()",
            "before_x = of_x.cumsum(-1)",
        ),
        (
            "directions are summed",
            "line_cost(x, share_x, y, share_y).mean(-1)",
            "line_cost(x, share_x, y, share_y).sum(-1)",
        ),
    ),
    *of(
        f"{ROOM}/bures.py",
        f"{TESTS}/test_transports.py {TESTS}/test_mixture_distance.py",
        (
            "covariances need not be roots",
            "matrix_root(cov_b) @ matrix_root(cov_a)",
            "cov_b @ cov_a",
        ),
    ),
    *of(
        f"{ROOM}/pool.py",
        f"{TESTS}/test_mixture_distance.py",
        (
            "every seller has its share in every mixture",
            "self.p[..., None] * self.weights[..., None, :, :]",
            "(0 * self.p + 1 / 3)[..., None] * self.weights[..., None, :, :]",
        ),
    ),
    *of(
        f"{ROOM}/feature_map.py",
        f"{TESTS}/test_embedding.py",
        (
            "the smallest components are seen",
            "eigenvectors.flip(-1)[..., :k]",
            "eigenvectors[..., :k]",
        ),
        ("padding moves the mean", "shift = (counted * points)", "shift = (points + 1 - counted)"),
    ),
    *of(
        f"{ROOM}/fast.py",
        f"{TESTS}/test_mixture_distance.py",
        (
            "what is not known is left so",
            "unknown = ~bounds.known(tolerance)",
            "unknown = bounds.known(tolerance) & False",
        ),
        ("the upper bound is taken for the value", "wad = (low + high) / 2", "wad = high"),
        (
            "the gradient is not centred",
            "slopes = slopes - slopes.mean(-1, keepdim=True)",
            "slopes = 1.0 * slopes",
        ),
        ("the gradient is that of the square", "slopes / (2 * wad[..., None])", "slopes / 1.0"),
        ("known mixtures come first", "(~wanted).long().argsort(", "wanted.long().argsort("),
        (
            "a start is forgotten",
            "g, new = start.to(b), (start",
            "g, new = 0 * start.to(b), (0 * start",
        ),
    ),
    *of(
        f"{ROOM}/mixture_distance.py",
        f"{TESTS}/test_mixture_distance.py",
        (
            "a mixture of Gaussians has no spread between sellers",
            "within + (checked.p[..., None] * apart).mT @ apart",
            "within",
        ),
        (
            "the mean of distances is of their squares",
            "return (checked.p @ own[..., None])[..., 0]",
            "return (checked.p @ own[..., None] ** 2)[..., 0]",
        ),
    ),
    *of(
        f"{ROOM}/additive.py",
        f"{TESTS}/test_additive.py",
        (
            "what lies beyond is lost",
            ".round().clamp(0, centres.shape[-1] - 1)",
            ".round().remainder(centres.shape[-1])",
        ),
        (
            "bins are named by their left ends",
            "torch.arange(n_bins, device=points.device) + 0.5",
            "torch.arange(n_bins, device=points.device) + 0.0",
        ),
    ),
    *of(
        f"{ROOM}/private.py",
        f"{TESTS}/test_private.py",
        ("the estimate is not scaled back", "weights_y) / (1 - _share(t))", "weights_y)"),
        (
            "the attacker does not scale back",
            "squared_costs(eta / (1 - _share(t)), x)",
            "squared_costs(eta, x)",
        ),
        (
            "a point's goal is not divided by its weight",
            "torch.where(heavy, pair.weights_a, 1.0)[..., None]",
            "1.0",
        ),
        (
            "nobody is warned of a large reference",
            "if reference.shape[-2] > least:",
            "if reference.shape[-2] > 100 * least:",
        ),
        (
            "FedWaD moves towards one side only",
            "interpolate(xi, y, times[..., k, 1], None, weights_y)",
            "interpolate(xi, x, times[..., k, 1], None, weights_x)",
        ),
    ),
)
