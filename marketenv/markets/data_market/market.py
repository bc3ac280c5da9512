"""The data market: a buyer procures training data through a platform that predicts accuracy.

A round: sellers make sealed offers (``Offer``); the platform measures distances of their pilots,
trains pilot models and predicts accuracy (``Pilot``); the buyer chooses a mixture, a budget and
guards, and the rule sells (``Select``); the model is trained on the delivered points
(``TrainSelected``); deliveries are judged and paid (``Deliver``).

Source: Li, Yang, Jia, Pang, "Data Valuation and Selection in a Federated Model Marketplace" (arXiv
2509.18104) for distances, pilots and forecast. Offers, payments, audits, hold-back and reputations
are ours: the paper has no payment rule.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import named_part
from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.market import Market, People
from marketenv.data import Source
from marketenv.learners import Learner, Training
from marketenv.markets import own_parts
from marketenv.markets.arguments import make_learner, source_of
from marketenv.markets.data_market.conduct import CONDUCT
from marketenv.markets.data_market.config import MODEL, DataMarketConfig
from marketenv.markets.data_market.deliver import Deliver
from marketenv.markets.data_market.moves import BUYER, SELLER
from marketenv.markets.data_market.offer import Offer
from marketenv.markets.data_market.pilot import MOST_MEASURED, Pilot
from marketenv.markets.data_market.select import HELD, PLATFORM, Select
from marketenv.markets.data_market.selections import SELECTIONS
from marketenv.markets.data_market.train_selected import TrainSelected
from marketenv.markets.data_worlds import DataWorlds, open_content
from marketenv.markets.distances import Distances
from marketenv.markets.federated import Federated, federated_training
from marketenv.markets.models import Models
from marketenv.markets.worlds import shared_exams
from marketenv.mechanisms import DATA_RULES, RELEASES, DataRule
from marketenv.valuation import FORMS

NAME = "data_market_v0"
DEFAULT_TRAINING = Training(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=32, steps=5
)
# sellers up to which distances are between rows, and not between projected histograms
MOST_FAST = 64


def data_market(config: DataMarketConfig | None = None) -> Market:
    """A batch of data markets; the module's text tells a round, the config its parts.

    >>> [phase.name for phase in data_market().phases]
    ['offer', 'pilot', 'select', 'train_selected', 'deliver']
    """
    c = config or DataMarketConfig()
    device = device_of(c.device)
    source = source_of(c, device, n_agents=c.n_sellers)
    if source.task != "classification":
        raise ValueError(
            "data has real-valued targets, wanted classes: the distances of the data market compare"
            " labels."
        )
    learner = make_learner(c.learner, source, c.training or DEFAULT_TRAINING, c.learner_options)
    distances = _distances(c, source)
    federated = federated_training(learner, c.communications, c.algorithm, c.alignment)
    phases = (
        Offer(c.cost_per_point[1], tuple(CONDUCT) if c.conduct is None else c.conduct),
        _pilot(c, learner, federated, distances),
        Select(
            rule=named_part(c.rule, "rule", DATA_RULES, "a DataRule object", kind=DataRule),
            distances=distances,
            count=c.n_sellers,
            points=c.points,
            fee=c.fee,
            guards=(c.verify, c.hold_back),
            scales=(c.money_per_accuracy[1], c.cost_per_point[1]),
        ),
        TrainSelected(
            learner,
            federated,
            c.points,
            distances.pseudo,
            keeps_model=c.outside_option == MODEL,
        ),
        _deliver(c, distances),
    )
    people = People(
        roles={SELLER: c.n_sellers, BUYER: 1},
        accounts={HELD: 1, PLATFORM: 1},
        empty=(HELD,),
        cash=c.cash,
        credit=c.credit,
        furnish=Furnish(c, source, learner, shared_exams(source, device)),
        device=device,
    )
    cut = c.horizon == "cut"
    return Market(people, phases, horizon=c.max_cycles, cut=cut, name=NAME, config=c, source=source)


def _pilot(
    c: DataMarketConfig, learner: Learner, federated: Federated, distances: Distances
) -> Pilot:
    """The phase of pilots; they start from one model and take few steps, so none is aligned."""
    wanted = "a callable SelectionCase -> mixture"
    terms = "a callable sellers -> terms"
    return Pilot(
        learner=learner,
        federated=dataclasses.replace(federated, aligned=False),
        distances=distances,
        estimator=named_part(c.estimator, "estimator", FORMS, terms, takes=1),
        selection=named_part(c.selection, "selection", SELECTIONS, wanted, takes=1),
        pilots=c.pilots,
        points=c.points,
        mixtures=c.mixtures,
        calibration=c.calibration,
        keeps_model=c.outside_option == MODEL,
    )


def _deliver(c: DataMarketConfig, distances: Distances) -> Deliver:
    wanted = "a callable (promised, realised) -> part"
    return Deliver(
        distances=distances,
        release=named_part(c.release, "release", RELEASES, wanted, takes=2),
        tolerance=c.tolerance,
        rows=c.pilots[1],
        labelling=c.labelling,
        audit_cost=c.audit_cost,
        fee=c.fee,
        memory=c.memory,
    )


def _distances(c: DataMarketConfig, source: Source) -> Distances:
    method = c.distance
    if method == "auto":
        method = "fast" if c.n_sellers <= MOST_FAST else "sliced"
    return Distances(
        n_classes=source.n_outputs,
        labels=c.labels,
        covariance=c.covariance,
        vocabulary=c.vocabulary,
        method=method,
        private=c.private,
        anchors=min(c.anchors, c.pilots[1], MOST_MEASURED),
        mix=c.mix,
        spread=c.spread,
    )


@dataclass(frozen=True, eq=False)
class Furnish:
    """Draws data, private types and the buyer's first model at the start; a callable.

    shared: whether all markets share the buyer's examples, and their test examples
    """

    config: DataMarketConfig
    source: Source
    learner: Learner
    shared: tuple[bool, bool]

    def __call__(self, floor: Floor) -> Floor:
        """The furnished floor."""
        params = own_parts.first_models(self.learner, floor.keys("buyer's model"))[:, None]
        dimensions = self.config.dimensions
        opening = partial(open_content, self.source, self.learner, dimensions, self.shared)
        world = DataWorlds.of(opening, floor.seeds)
        scores = world.score(params, floor.round)
        models = {BUYER: Models.first(params, params[..., :0], scores.loss, scores.accuracy)}
        return dataclasses.replace(floor, world=world, models=models, types=self._types(floor))

    def _types(self, floor: Floor) -> dict[str, dict[str, Float64[Tensor, "markets count"]]]:
        """Uniform costs per point and money per accuracy; every reputation is 1 at first."""
        c = self.config
        uniform = draws.uniform(draws.fold(floor.seeds, "types"), c.n_sellers + 1)
        (low, high), (least, most) = c.cost_per_point, c.money_per_accuracy
        cost = low + (high - low) * uniform[:, :-1]
        money_per_accuracy = least + (most - least) * uniform[:, -1:]
        ones, zeros = torch.ones_like(cost), torch.zeros_like(cost)
        seller = {"cost": cost, "reputation": ones, "last_paid": zeros}
        return {SELLER: seller, BUYER: {"money_per_accuracy": money_per_accuracy}}
