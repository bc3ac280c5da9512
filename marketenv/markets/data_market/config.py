"""The arguments of the data market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    flag,
    interval,
    number,
    or_none,
    refused,
    whole,
)
from marketenv.learners import Training
from marketenv.markets.arguments import LARGEST_MONEY, LEARNING, check_ready_made
from marketenv.markets.data_market.conduct import CONDUCT
from marketenv.markets.federated import ALGORITHMS, ALIGNMENTS

MOST_CASH = 5e5  # cash and credit are then a million at most, the most that agents see
LABELS = ("given", "features", "pseudo")
DISTANCES = ("auto", "exact", "fast", "sliced")
NO_DATA, MODEL = "no_data", "model"
OUTSIDE_OPTIONS = (NO_DATA, MODEL)


@dataclass(frozen=True, kw_only=True)
class DataMarketConfig:
    """Arguments of ``data_market_v0``; docs/environments/data_market.md gives the reasons.

    n_sellers, max_cycles: sellers, and procurements of an episode
    horizon:        ``end``: the last round ends the game; ``cut``: the game would go on, and no
                    agent sees the cut
    data, root, download, partition, data_options: what sellers own (see
        ``marketenv.data.make_source``); a corruption of it too
    learner, learner_options, training: the model that the buyer has trained (see
        ``marketenv.learners.LEARNERS``)
    algorithm:      ``fedavg``, or ``fedprox`` with its pull of 0.1
    communications: exchanges of a training
    alignment:      how sellers' updates are put on each other before they are averaged:
                    ``weight_matching``, ``none``, or ``auto``: matching where the learner can be
                    permuted
    outside_option: what the buyer has without a purchase: ``no_data``: the accuracy of always
                    guessing the commonest class; ``model``: its present model, which it keeps
                    where the newly trained one is not more accurate
    points:         training points that the buyer wants
    pilots:         points of the two pilot trainings
    mixtures:       mixtures that pilots are trained for; None: 1, 5 or 15 for one to three sellers,
                    else one a seller and one for all, at most 64
    calibration:    when pilots are trained: in ``each_round``, or in the ``first_round`` of an
                    episode for all of it
    dimensions:     numbers of an example that distances see, by the buyer's principal components;
                    None: all features
    labels:         ``given``: the buyer labels what has no label, rightly; ``features``: that, and
                    distances see no labels; ``pseudo``: rows without a label get the class whose
                    mean among the buyer's examples is nearest
    covariance:     moments of the classes in the distance: ``diagonal``, ``full`` or ``none``
    vocabulary:     what two different labels add to the squared distance, in units of the mean
                    squared distance of the buyer's features; 0 compares labels by their moments
                    alone, as the paper does
    private:        distances are taken between interpolated rows (TriangleWad)
    anchors, mix, spread: k, t and sigma of that interpolation
    distance:       ``exact``, ``fast``, ``sliced`` or ``auto``: fast, and sliced beyond 64 sellers
    estimator:      a name of ``FORMS``: how accuracy depends on mixture and distance
    selection:      the mixture that the platform recommends: a name of ``SELECTIONS``
    rule:           who is bought at which price: a name of ``DATA_RULES``, or a ``DataRule``
    release:        what of the money held back realised accuracy releases: a name of ``RELEASES``
    verify, hold_back: what a truthful buyer sets: chance of an audit of each delivery, share of
        prices that is held back
    tolerance:      distance of a delivery from its own pilot that an audit lets pass, in parts of
                    the pilot's from the buyer's
    conduct:        what sellers may do beside asking: names of ``CONDUCT``, None for all of them
    money_per_accuracy, cost_per_point: intervals of the uniform private types, money
    labelling:      share of a point's cost that is its label, which a seller of wrong labels saves
    audit_cost:     of one audit, money, the buyer's;   fee: the platform's share on top of prices
    cash, credit:   money at the start, and how far below zero it may go
    memory:         weight of the last round in a seller's reputation
    device:         where everything is computed
    """

    n_sellers: int = 3
    max_cycles: int = 5
    horizon: str = "end"
    data: Any = "digits"
    root: Any = None
    download: bool = False
    partition: Any = "class_blocks"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    learner: Any = "mlp"
    learner_options: Mapping[str, Any] = field(default_factory=dict)
    training: Training | None = None
    algorithm: str = "fedavg"
    communications: int = 8
    alignment: str = "auto"
    outside_option: str = NO_DATA
    points: int = 240
    pilots: tuple[int, int] = (40, 80)
    mixtures: int | None = None
    calibration: str = "each_round"
    dimensions: int | None = 16
    labels: str = "given"
    covariance: str = "diagonal"
    vocabulary: float = 0.0
    private: bool = True
    anchors: int = 32
    mix: float = 0.5
    spread: float = 0.2
    distance: str = "auto"
    estimator: Any = "ot_only"
    selection: Any = "gradient"
    rule: Any = "procurement"
    release: Any = "proportional"
    verify: float = 0.0
    hold_back: float = 0.0
    tolerance: float = 0.25
    conduct: tuple[str, ...] | None = None
    money_per_accuracy: tuple[float, float] = (50.0, 150.0)
    cost_per_point: tuple[float, float] = (0.02, 0.1)
    labelling: float = 0.5
    audit_cost: float = 0.1
    fee: float = 0.0
    cash: float = 500.0
    credit: float = 0.0
    memory: float = 0.5
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)
        check_ready_made(self.learner, self.learner_options, self.training)
        if self.learner is None:
            raise ValueError(
                "learner is None, wanted a learner: the market pays for what a trained model"
                " can do."
            )
        if not self.pilots[0] < self.pilots[1] <= self.points:
            raise ValueError(
                f"pilots are {self.pilots} and points {self.points}, wanted two rising numbers of"
                " points, at most those of the training itself: accuracy is extrapolated upwards."
            )


def _conduct(value: Any, name: str) -> tuple[str, ...]:
    names = tuple(
        choice(one, name, CONDUCT)
        for one in (value if isinstance(value, tuple | list) else (value,))
    )
    if len(set(names)) < len(names):
        raise ValueError(f"{name} is {names}, wanted every kind of conduct once.")
    return names


def _pilots(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise refused(name, value, "two numbers of points, such as (40, 80)")
    return tuple(whole(size, name, 1) for size in value)


_share = partial(number, least=0.0, most=1.0)
_FIELDS: dict[str, Check] = LEARNING | {
    "n_sellers": partial(whole, least=1, most=10_000),
    "algorithm": partial(choice, known=ALGORITHMS),
    "communications": partial(whole, least=1),
    "alignment": partial(choice, known=ALIGNMENTS),
    "outside_option": partial(choice, known=OUTSIDE_OPTIONS),
    "points": partial(whole, least=2),
    "pilots": _pilots,
    "mixtures": or_none(whole, least=2),
    "calibration": partial(choice, known=("each_round", "first_round")),
    "dimensions": or_none(whole, least=1, fix=", or None for all features"),
    "labels": partial(choice, known=LABELS),
    "covariance": partial(choice, known=("diagonal", "full", "none")),
    "vocabulary": partial(number, least=0.0, most=1e4),
    "private": flag,
    "anchors": partial(whole, least=1),
    "mix": partial(number, above=0.0, below=1.0),
    "spread": partial(number, above=0.0),
    "distance": partial(choice, known=DISTANCES),
    "verify": _share,
    "hold_back": _share,
    "tolerance": partial(number, least=0.0),
    "conduct": or_none(_conduct),
    "money_per_accuracy": partial(interval, least=0.0, most=LARGEST_MONEY),
    "cost_per_point": partial(interval, least=0.0, most=LARGEST_MONEY),
    "labelling": _share,
    "audit_cost": partial(number, least=0.0, most=MOST_CASH),
    "fee": _share,
    "cash": partial(number, least=0.0, most=MOST_CASH),
    "credit": partial(number, least=0.0, most=MOST_CASH),
    "memory": _share,
}
