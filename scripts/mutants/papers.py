"""Wrong experiments of the papers."""

from __future__ import annotations

from scripts.mutants.mutant import Mutant, of

ROOM, TESTS = "agents/papers/data_valuation", "tests/agents/papers"
MIXTURES, SELLERS = f"{TESTS}/test_data_valuation_mixtures.py", f"{TESTS}/test_data_valuation_sellers.py"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/correlation.py",
        MIXTURES,
        ("a correlation of the wrong sign passes", "[-x for x in r[COMBINE]]", "[x for x in r[COMBINE]]"),
        ("AggWad is compared with itself", "_less(r[AGG], r[COMBINE])", "_less(r[AGG], r[AGG])"),
    ),
    *of(
        f"{ROOM}/mixtures.py",
        MIXTURES,
        ("pilots are taken for one another", "extrapolate(n0, first, n1, second,", "extrapolate(n0, second, n1, first,"),
        ("unlabeled sellers train as other ones", 'scenario="label_skew") if setting', 'scenario="mislabeled") if setting'),
    ),
    *of(
        f"{ROOM}/selection.py",
        MIXTURES,
        ("the farthest mixture is chosen", "found.distances[name].argmin(-1)", "found.distances[name].argmax(-1)"),
    ),
    *of(
        f"{ROOM}/sellers_data.py",
        MIXTURES,
        ("rows do not come again", "torch.arange(width) % size[..., None]", "torch.arange(width).expand(*size.shape, width)"),
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
        ("bait is shown too", '"noise delivered": Attack(own, noise)', '"noise delivered": Attack(noise, noise)'),
    ),
    *of(
        f"{ROOM}/exploits.py",
        SELLERS,
        ("an audit looks at the pilot twice", "pilot[:, 0], delivery[:, 0], goal", "pilot[:, 0], pilot[:, 0], goal"),
        ("nothing waits", "torch.full((len(value), 1), held,", "torch.full((len(value), 1), 0.0,"),
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
        ("the regret of an ask is its gain", "(gains.amax(-1) - earned).clamp(min=0)", "gains.amax(-1).clamp(min=0)"),
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
)
