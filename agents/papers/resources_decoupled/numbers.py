"""What the paper, its public code and its readers report, each number once, with its place."""

from __future__ import annotations

from ..core.reported import Reported

PAPER = "arXiv 2501.14588 (QD-RDFL)"
CODE = "public code leaveWhite9088/QD-RDFL"
SAVED = f"results saved with the {CODE}"
SUMMARY = "a summary of the paper; in no primary source that was found"
DERIVED = "derived before this library existed"

# --- what the summary says, and no primary source -------------------------------------------------

SUMMARISED = {"accuracy": Reported(12.7, SUMMARY), "asset value": Reported(31.5, SUMMARY)}  # % more

# --- utilities against the baselines --------------------------------------------------------------

# of mean utilities over N against the baselines, % more, least and most over data sets and splits
RANGES = {
    "leader": (Reported(3.6, SAVED), Reported(7.4, SAVED)),
    "owners": (Reported(27.0, SAVED), Reported(61.0, SAVED)),
}
IID_TABLES = f"{SAVED}, data/IID_data.md: sums over N = 10, 20, .., 60"
IID_GAINS = {  # % more than a baseline: (data set, side, baseline)
    (data, side, baseline): Reported(gain, IID_TABLES)
    for data, gains in {
        "mnist": (2.85, 7.03, 42.8, 41.2),
        "cifar10": (11.81, 7.32, 66.8, 37.3),
        "cifar100": (3.61, 6.38, 13.2, 39.3),
    }.items()
    for (side, baseline), gain in zip(
        (("leader", "RANDOM"), ("leader", "FIXED"), ("owners", "RANDOM"), ("owners", "FIXED")),
        gains,
        strict=True,
    )
}

# --- sweeps ---------------------------------------------------------------------------------------

SWEPT = {  # N = 10, MNIST, by alpha: U_s and mean U_n; the qualities are not told
    alpha: (
        Reported(leader, f"{SAVED}, parameter_analysis-Alpha"),
        Reported(owners, f"{SAVED}, parameter_analysis-Alpha"),
    )
    for alpha, leader, owners in (
        (5.0, 0.6044, 0.01461),
        (7.5, 1.8575, 0.02803),
        (10.0, 3.5355, 0.04144),
    )
}
PEAK = Reported(0.5710, f"{SAVED}, parameter_analysis-Eta: the greatest U_s of its curve")

# --- accuracy with and without the dynamic adjustment ---------------------------------------------

ADJUSTED = {  # final accuracy, %: with and without
    data: (Reported(with_it, SAVED), Reported(without, SAVED))
    for data, with_it, without in (
        ("mnist", 81.02, 81.00),
        ("cifar10", 53.60, 51.80),
        ("cifar100", 19.39, 19.26),
    )
}

# --- what was derived beforehand, as it was printed -----------------------------------------------

GOLDEN = {  # name: digits; N = M = 10 and f = sigma = 1 unless said
    "eta*": "1.3888889",
    "U_s": "0.638437",
    "x": "0.125",
    "U_n": "0.0138889",
    "eta*, two owners": "0.5",
    "six unlike owners: eta*": "1.179593",
    "six unlike owners: total effort": "0.893356",
    "six unlike owners: U_s": "0.416284",
    "two owners of the saved results: U_s": "0.033802",
    "two owners of the saved results: mean U_n": "0.09749",
    "two owners of the saved results, eta = 1: U_s": "-0.030586",
    "two owners of the saved results, eta = 1: mean U_n": "0.2507",
    "the leader keeps its payment: gain": "1.3889",
    "elasticity of U_n in the reported quality": "16.2",
    "all 0.95, all report it: U_n": "0.01330",
    "all 0.95, one reports 1: its U_n": "0.02645",
    "all 0.95, all report it: U_s": "0.5687",
    "all 0.95, one reports 1: U_s on the true data": "0.5659",
    "one identity: U_n": "0.01389",
    "two identities: U_n": "0.02314",
    "two identities, eta held: U_n": "0.02296",
    "owners on half the supply: times U_n": "5.5",
    "owners on half the supply: best breach": "0.184",
    "owners on half the supply: patience": "0.632",
    "centres on no work: times U_m": "10",
    "collusive price": "1.5",
    "collusive price: joint profit": "0.25",
    "Bertrand price: U_s": "0.638",
    "collusive price: U_s": "0.180",
}
MISMATCHED = Reported(
    7.0,
    f"{DERIVED}: of 10 centres that are paid by their match, those who gain by other preferences",
)

# --- what an audit pays: utility of one of ten owners of 100 digits each, the leader re-solving ---

AUDITED = {  # by conduct, under the score "wasserstein": without and with the vocabulary term
    conduct: (Reported(plain, DERIVED), Reported(vocabulary, DERIVED))
    for conduct, plain, vocabulary in (
        ("honest", 0.0173, 0.0178),
        ("half_random", 0.0019, 0.0022),
        ("junk", 0.0007, 0.0008),
        ("copies", 0.0005, 0.0008),
        ("constant_label", 0.0012, 0.0006),
        ("permuted_labels", 0.0173, 0.0007),
    )
}
