"""Wrong experiments of the papers."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM, TESTS = "agents/papers/data_valuation", "tests/agents/papers"
GAME, RESOURCES = "agents/papers/resources_decoupled", f"{TESTS}/test_resources_decoupled.py"
PLAYED = f"{TESTS}/test_resources_decoupled_market.py"
MIXTURES, SELLERS = (
    f"{TESTS}/test_data_valuation_mixtures.py",
    f"{TESTS}/test_data_valuation_sellers.py",
)

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/correlation.py",
        MIXTURES,
        (
            "a correlation of the wrong sign passes",
            "[-x for x in r[COMBINE]]",
            "[x for x in r[COMBINE]]",
        ),
        ("AggWad is compared with itself", "_less(r[AGG], r[COMBINE])", "_less(r[AGG], r[AGG])"),
    ),
    *of(
        f"{ROOM}/mixtures.py",
        MIXTURES,
        (
            "pilots are taken for one another",
            "extrapolate(n0, first, n1, second,",
            "extrapolate(n0, second, n1, first,",
        ),
        (
            "unlabeled sellers train as other ones",
            ('scenario="label_skew")\n        if setting'),
            'scenario="mislabeled") if setting',
        ),
    ),
    *of(
        f"{ROOM}/selection.py",
        MIXTURES,
        (
            "the farthest mixture is chosen",
            "measurements.distances[name].argmin(-1)",
            "measurements.distances[name].argmax(-1)",
        ),
    ),
    *of(
        f"{ROOM}/sellers_data.py",
        MIXTURES,
        (
            "rows do not come again",
            "torch.arange(width) % size[..., None]",
            "torch.arange(width).expand(*size.shape, width)",
        ),
        ("a vocabulary has no unit", "vocabulary * unit", "vocabulary * 1.0"),
    ),
    *of(
        f"{ROOM}/training.py",
        MIXTURES,
        ("all seeds train alike", 'keys[model // n_mixtures], "order"', 'keys[0], "order"'),
    ),
    *of(
        f"{ROOM}/attacks.py",
        SELLERS,
        (
            "bait is shown too",
            '"noise delivered": SellerAttack(own, noise)',
            '"noise delivered": SellerAttack(noise, noise)',
        ),
    ),
    *of(
        f"{ROOM}/exploits.py",
        SELLERS,
        (
            "an audit looks at the pilot twice",
            "pilot[:, 0], delivery[:, 0], goal",
            "pilot[:, 0], pilot[:, 0], goal",
        ),
        (
            "nothing waits",
            "torch.full((len(value), 1), held_share,",
            "torch.full((len(value), 1), 0.0,",
        ),
    ),
    *of(
        f"{ROOM}/market.py",
        SELLERS,
        (
            "who does the buyer good counts as harmful",
            "float((buyer - theirs).mean()) > 0",
            "float((theirs - theirs).mean()) >= 0",
        ),
    ),
    *of(
        f"{ROOM}/payments.py",
        SELLERS,
        (
            "asks below a place are not tried",
            "places * (1 - BESIDE), places * (1 + BESIDE), middle, beyond",
            "places * (1 + BESIDE), beyond",
        ),
        (
            "the regret of an ask is its gain",
            "(gains.amax(-1) - earned).clamp(min=0)",
            "gains.amax(-1).clamp(min=0)",
        ),
    ),
    *of(
        f"{ROOM}/private.py",
        SELLERS,
        ("the Gaussians differ along all coordinates", "y[..., 0] += shift", "y += shift"),
    ),
    *of(
        f"{ROOM}/many_sellers.py",
        SELLERS,
        (
            "every mixture reaches all blocks",
            "reach = 1 + torch.arange(count) % blocks",
            "reach = blocks + torch.arange(count) % blocks",
        ),
    ),
    *of(
        f"{GAME}/settings.py",
        RESOURCES,
        (
            "all owners' data are alike",
            'NOISE * draws.uniform(draws.fold(key, "spread"), n)',
            "torch.full((n,), NOISE).double()",
        ),
        ("some own nothing", "return owner.scatter(0, first, torch.arange(n))", "return owner"),
        ("sizes are not skewed", "if split == SKEWED:", "if split != split:"),
    ),
    *of(
        f"{GAME}/utilities.py",
        RESOURCES,
        ("a draw is of all payments", "0.5 + 0.5 * draws.uniform", "draws.uniform"),
        ("a gain is a difference", "100 * (own / other - 1)", "100 * (own - other)"),
        (
            "the range is missed to one side alone",
            "[g - most for g in gain]",
            "[least - g for g in gain]",
        ),
    ),
    *of(
        f"{GAME}/equilibrium.py",
        RESOURCES,
        (
            "who deviates meets itself",
            "apart = ~torch.eye(costs.shape[-1], dtype=torch.bool)",
            "apart = torch.ones_like(costs[0])[None] > 0",
        ),
        (
            "dynamics never leave their start",
            "now = now + (contest_response(",
            "now = now + 0 * (contest_response(",
        ),
        (
            "the search stays where it begins",
            "width, tries = 4 * width / tries, TRIES",
            "width, tries = 0 * width, TRIES",
        ),
        (
            "followers answer in the printed definition",
            "if condition != AS_STATED:",
            "if condition == AS_STATED:",
        ),
    ),
    *of(
        f"{GAME}/dynamics.py",
        RESOURCES,
        ("nobody goes a part of the way", "(1 - step) * path[-1] + step * response", "response"),
    ),
    *of(
        f"{GAME}/misreports.py",
        RESOURCES,
        (
            "the leader learns from reports",
            "(truth * x).sum(-1), ALPHA, K), owners)",
            "(reports * x).sum(-1), ALPHA, K), owners)",
        ),
        ("a second name is no second owner", "two.owners[:, :2].sum(-1)", "two.owners[:, 0]"),
    ),
    *of(
        f"{GAME}/agreements.py",
        RESOURCES,
        ("a breach lasts", "(1 - delta) * self.breach + delta * self.usual", "self.breach"),
        (
            "all break the agreement at once",
            "one[:, i] = best[:, i]\n        breaches",
            "one = best.clone()\n        breaches",
        ),
    ),
    *of(
        f"{GAME}/preferences.py",
        RESOURCES,
        (
            "an owner moves to the top alone",
            ("(-1, centres.shape[2])\n    ):"),
            "(centres.shape[2],)):",
        ),
        ("the code reports volumes", 'else "official"', 'else "volume"'),
    ),
    *of(
        f"{GAME}/golden.py",
        RESOURCES,
        ("digits do not count", "/ unit(digits) - 0.5", "- 0.5"),
    ),
    *of(
        f"{GAME}/market.py",
        PLAYED,
        (
            "nobody deviates",
            "who[k, :, agents.index(agent)] = k + 1",
            "who[k, :, agents.index(agent)] = 0",
        ),
        (
            "a random leader pays any share",
            "part = 0.5 + 0.5 * draws.uniform",
            "part = draws.uniform",
        ),
    ),
    *of(
        f"{GAME}/audits.py",
        PLAYED,
        (
            "the first round counts",
            "utilities.of(agent)[-1] for agent",
            "utilities.of(agent)[0] for agent",
        ),
        ("all of honesty is asked for", "LEAST_LOSS = 0.9", "LEAST_LOSS = 1.0"),
    ),
    *of(
        f"{GAME}/commitment.py",
        PLAYED,
        ("escrow is always there", '{"escrow": escrow}', '{"escrow": True}'),
    ),
    *of(
        f"{GAME}/accuracy.py",
        PLAYED,
        (
            "the adjustment is compared with itself",
            "for name in (WITH, WITHOUT)",
            "for name in (WITH, WITH)",
        ),
    ),
)
