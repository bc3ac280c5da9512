"""The model-sharing market of iPFL ("Incentivizing Inclusive Contributions in Model Sharing
Markets", arXiv 2505.02462).

A round has three phases. ``Train``: every client trains, pulled towards the centre that it was sent
last. ``ShareModels``: clients report (N, c, K), upload a model and choose their next effort; the
reports and the distances between the uploads decide who buys whose model at which price; money
moves, and buyers are sent a prox centre. ``Leave``: clients that lose may leave, and others join.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import torch

from marketenv.core.checks import named_part
from marketenv.core.devices import device_of
from marketenv.core.market import Market
from marketenv.core.people import People
from marketenv.data import Source
from marketenv.data.sources import LINEAR
from marketenv.learners import Training
from marketenv.markets.arguments import check_labels, make_learner, makes_gains, source_of
from marketenv.markets.model_sharing.config import ModelSharingConfig
from marketenv.markets.model_sharing.leave import Leave
from marketenv.markets.model_sharing.opening import NO_DATA, Furnish
from marketenv.markets.model_sharing.own_parts import check_gain
from marketenv.markets.model_sharing.rules import CLIENT, SECOND, Rules
from marketenv.markets.model_sharing.schemes import SCHEMES, Scheme
from marketenv.markets.model_sharing.share import ShareModels
from marketenv.markets.model_sharing.worlds import check_drift
from marketenv.markets.training import Train
from marketenv.mechanisms import GAINS, GRAPHS, SHARING_PAYMENTS, GainFamily, check_sharing
from marketenv.mechanisms.collaboration_graph import MOST_EXACT
from marketenv.valuation import DISTANCES, ModelDistance

NAME = "model_sharing_v0"
DEFAULT_TRAINING = Training(
    optimizer="sgd", learning_rate=0.01, momentum=0.9, weight_decay=1e-5, batch_size=64, steps=10
)


def model_sharing(config: ModelSharingConfig | None = None) -> Market:
    """A batch of model-sharing markets; the module's text tells a round, the config its parts.

    Raises ValueError for parts that do not fit each other.

    >>> market = model_sharing(ModelSharingConfig(learner=None, n_agents=3))
    >>> [phase.name for phase in market.phases]
    ['train', 'share', 'leave']
    """
    c = config or ModelSharingConfig()
    device = device_of(c.device)
    wanted = "a ModelDistance object"
    distance = named_part(c.distance, "distance", DISTANCES, wanted, kind=ModelDistance)
    scheme = named_part(c.scheme, "scheme", SCHEMES, "a Scheme object", kind=Scheme)
    _check_money(c)
    source = None if c.learner is None else _source(c, device)
    learner = None
    if source is not None:
        training = c.training or DEFAULT_TRAINING
        learner = make_learner(c.learner, source, training, c.learner_options)
        _check_drift(c, source, device)
    gain = _gain(c, source, device)
    joins = torch.tensor(c.joins or (0,) * c.n_agents, device=device)
    furnish = Furnish(c, source, learner, gain, joins, scheme.second)
    rules = Rules(
        joins=joins,
        reports=c.reports,
        scheme=scheme,
        gain=gain,
        graph=c.graph,
        payment=c.payment,
        distance=distance,
        strength=c.strength,
        eta=c.eta,
    )
    phases = (
        Train(CLIENT, learner, second=SECOND if scheme.second else None),
        ShareModels(rules, c.effort_cost[1]),
        Leave(
            joins,
            exits=c.exits,
            select=c.select,
            cost_drift=c.cost_drift,
            need_drift=c.need_drift,
        ),
    )
    people = People(
        roles={CLIENT: c.n_agents}, cash=c.cash, credit=c.credit, furnish=furnish, device=device
    )
    cut = c.horizon == "cut"
    return Market(people, phases, horizon=c.max_cycles, cut=cut, name=NAME, config=c, source=source)


def _check_drift(c: ModelSharingConfig, source: Source, device: torch.device) -> None:
    if c.data_drift:
        check_drift(source, float(c.data_drift), torch.zeros(1, dtype=torch.int64, device=device))


def _check_money(c: ModelSharingConfig) -> None:
    """Refuse payments that do not fit the graph, and a graph that would try too many sets."""
    graph, payment = check_sharing(c.graph, c.payment)
    if payment is SHARING_PAYMENTS["vcg"] and c.graph != "exact":
        raise ValueError(
            f"payment is 'vcg' with graph {c.graph!r}, wanted graph='exact'; or payment='critical'."
        )
    if payment is SHARING_PAYMENTS["critical"] and not isinstance(c.graph, str):
        raise ValueError(
            f"payment is 'critical' with graph {c.graph!r}, wanted a graph by name"
            f" ({', '.join(GRAPHS)}), whose critical values are known; or payment='marginal', which"
            " prices every graph."
        )
    if graph is GRAPHS["exact"] and c.n_agents > MOST_EXACT:
        raise ValueError(
            f"graph is 'exact' with {c.n_agents} clients; it tries 2^(clients - 1) sets and takes"
            f" at most {MOST_EXACT}. Use graph='continue'."
        )


def _source(c: ModelSharingConfig, device: torch.device) -> Source:
    """The data; the Dirichlet partition, where it deals them out, has defaults of its own."""
    ready_made = isinstance(c.data, Source) or (isinstance(c.data, str) and c.data == LINEAR)
    dirichlet = isinstance(c.partition, str) and c.partition == "dirichlet" and not ready_made
    defaults: dict[str, Any] = {"alpha": 0.1, "min_size": 5} if dirichlet else {}
    source = source_of(c, device, **defaults)
    check_labels(source, device)
    return source


def _gain(c: ModelSharingConfig, source: Source | None, device: torch.device) -> GainFamily:
    """The gain; families that need a scale take the mean size of a client's data."""
    wanted, gain = "a GainFamily object, or a callable scale -> GainFamily", c.gain
    if not makes_gains(gain):
        gain = named_part(gain, "gain", GAINS, wanted, kind=GainFamily)
    if gain is GAINS["inverse_sqrt"]:
        gain = gain()
    elif makes_gains(gain):
        gain = gain(scale=_mean_size(c, source, device))
    return gain if isinstance(c.gain, str) else check_gain(gain)


def _mean_size(c: ModelSharingConfig, source: Source | None, device: torch.device) -> float:
    """Mean size of a client: of the config's types or interval, of the data, or of the draws."""
    if "sizes" in c.types:
        return fmean(c.types["sizes"])
    if c.sizes is not None:
        return sum(c.sizes) / 2
    if source is None:
        median, deviation = NO_DATA
        return median * math.exp(deviation**2 / 2)
    seed = torch.zeros(1, dtype=torch.int64, device=device)
    return float(source.federation(seed).supervised.size.double().mean())
