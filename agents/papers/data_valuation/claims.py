"""Claims of the paper, of its readers, and ours about payment rules: evidence and a rule each."""

from __future__ import annotations

from functools import partial

from ..core.claim import Claim
from ..core.rules import Above, AtLeast, AtMost
from . import correlation, scaling, selection
from .numbers import DERIVED, R2
from .payment_claims import PAYMENTS
from .seller_claims import EXPLOITS, LEARNED, PRIVATE, SELLERS
from .wording import DATA, OURS, paper_claim

SHOWN = {"label_skew": "label skew", "mislabeled": "mislabeled data", "unlabeled": "unlabeled data"}
NEAR = 0.05  # 0.88 is read from a review: a value that is less by this counts as "around 0.88"
# of a correlation, to either side: data, network and mixtures are not known to the last detail
MATCH = 0.1


# --- wad_correlation ------------------------------------------------------------------------------


def _correlation(scenario: str) -> tuple[Claim, ...]:
    where = SHOWN[scenario]
    return (
        paper_claim(
            f"combine_wad_{scenario}",
            f"With {where}, the nearer a mixture's data are to the buyer's by CombineWad, the more"
            " accurate its model.",
            Above(),
            partial(correlation.negative, scenario=scenario),
            statistic="minus Pearson's correlation over mixtures, seed by seed",
        ),
        paper_claim(
            f"agg_wad_is_worse_{scenario}",
            f"With {where}, AggWad, which sees every seller alone, correlates less well with"
            " accuracy than CombineWad.",
            Above(),
            partial(correlation.agg_is_worse, scenario=scenario),
            statistic="correlation of AggWad less correlation of CombineWad, seed by seed",
        ),
    )


CORRELATION = (
    *(claim for scenario in SHOWN for claim in _correlation(scenario)),
    paper_claim(
        "labels_see_wrong_labels",
        (
            "With mislabeled data, a distance of features and labels correlates better with"
            " accuracy than a distance of features alone."
        ),
        Above(),
        partial(correlation.labels_help, scenario="mislabeled"),
        statistic=(
            "correlation of the feature-only distance less correlation of CombineWad, seed by seed"
        ),
    ),
    paper_claim(
        "digits_correlations",
        (
            "On embedded digits the correlations with accuracy are -0.87 (CombineWad) and"
            " +0.28 (AggWad), to within 0.1."
        ),
        AtMost(MATCH),
        correlation.as_reported,
        conditions=DATA[:1],
        paper=OURS,
        place=DERIVED,
        statistic="distance from the reported correlation, to either side",
    ),
)


# --- wad_scaling and wad_selection ----------------------------------------------------------------

SCALING = (
    paper_claim(
        "scaling_correlation",
        (
            "Accuracy extrapolated from two small pilots has a correlation of around 0.88"
            " with the accuracy of full training."
        ),
        AtLeast(R2.value - NEAR),
        partial(scaling.fits, statistic="r"),
        place="summary; the next claim reads the same number in another way",
        statistic="Pearson's correlation of predicted and realised accuracy over mixtures",
    ),
    paper_claim(
        "scaling_r2",
        (
            "Accuracy extrapolated from two small pilots explains a share r^2 of around"
            " 0.88 of the variance of full training's accuracy."
        ),
        AtLeast(R2.value - NEAR),
        partial(scaling.fits, statistic="r^2"),
        place=R2.place,
        unit="of the variance",
        statistic="squared correlation of predicted and realised accuracy over mixtures",
    ),
    paper_claim(
        "scaling_pays",
        (
            "The extrapolation has a smaller error than the accuracy of the second pilot"
            " taken as it is."
        ),
        Above(),
        scaling.beats_the_pilot,
        paper=OURS,
        place="a question about the extrapolation",
        unit="points of accuracy, %",
        statistic="mean error of the pilot less the mean error of the extrapolation, seed by seed",
    ),
)


def _selection(scenario: str) -> tuple[Claim, ...]:
    where = SHOWN[scenario]
    return (
        paper_claim(
            f"selects_well_{scenario}",
            f"With {where}, the mixture of the best extrapolated accuracy trains a better model"
            " than a random mixture.",
            Above(),
            partial(selection.finds_good, scenario=scenario),
            unit="of the test rows",
            statistic=(
                "accuracy of the chosen mixture less the mean accuracy of the grid, seed by seed"
            ),
        ),
        paper_claim(
            f"selects_best_{scenario}",
            f"With {where}, the chosen mixture is at most 3 percentage points less accurate than"
            " the best of the grid.",
            AtMost(3.0),
            partial(selection.near_best, scenario=scenario),
            paper=OURS,
            place="our number for the paper's words",
            unit="points of accuracy, %",
            statistic=(
                "accuracy of the best mixture of the grid less accuracy of the chosen mixture,"
                " seed by seed"
            ),
        ),
    )


SELECTION = tuple(
    claim for scenario in ("label_skew", "mislabeled") for claim in _selection(scenario)
)
CLAIMS = (*CORRELATION, *SCALING, *SELECTION, *PRIVATE, *EXPLOITS, *LEARNED, *SELLERS, *PAYMENTS)
