"""The resource market: a leader pays for data, owners contest its payment, and computing centres
contest the owners' fees.

A round: the leader commits to a payment (``Commit``); owners contribute data and say how good they
are (``Contribute``); centres offer work (``Compute``); owners and centres are matched (``Match``);
the leader's model is trained (``TrainMatched``); data are audited (``Audit``); everything is paid
(``Pay``). In the price extension centres post prices first (``Post``, ``Serve``).

Source: "Data Assetization via Resources-decoupled Federated Learning" (QD-RDFL, arXiv 2501.14588),
and the authors' public code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import named_part
from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.market import Market, People, Phase
from marketenv.data import Source
from marketenv.learners import Learner, Training
from marketenv.markets import own_parts
from marketenv.markets.arguments import check_labels, make_learner, source_of
from marketenv.markets.distances import Distances
from marketenv.markets.federated import federated_training
from marketenv.markets.models import Models
from marketenv.markets.resource_market.audit import AUDITS, BATCH, EPOCHS, Audit
from marketenv.markets.resource_market.commit import ESCROW, Commit
from marketenv.markets.resource_market.compute import Compute, Serve
from marketenv.markets.resource_market.config import ResourceMarketConfig
from marketenv.markets.resource_market.contribute import FEES, Contribute
from marketenv.markets.resource_market.match import Match
from marketenv.markets.resource_market.moves import CENTRE, LEADER, OWNER
from marketenv.markets.resource_market.own_parts import scaled
from marketenv.markets.resource_market.pay import Pay
from marketenv.markets.resource_market.play import Play
from marketenv.markets.resource_market.post import Post
from marketenv.markets.resource_market.train_matched import TrainMatched
from marketenv.markets.resource_market.worlds import Opening, OwnersWorlds
from marketenv.markets.worlds import shared_exams
from marketenv.mechanisms import (
    COMPUTE_FEES,
    PREFERENCES,
    QUALITY_SCALES,
    STACKELBERG_SOLVERS,
    proportional_fees,
)

NAME = "resource_market_v0"
DEFAULT_TRAINING = Training(
    optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=32, steps=5
)
TARGETS = 256  # of the leader's examples that distances are taken to
SCALE = "a callable scores -> quality"
Scale = Callable[[Tensor], Tensor]


def resource_market(config: ResourceMarketConfig | None = None) -> Market:
    """A batch of resource markets; see the module's text for a round and the config for its parts.

    >>> [phase.name for phase in resource_market(ResourceMarketConfig(learner=None)).phases]
    ['commit', 'contribute', 'compute', 'match', 'pay']
    """
    c = config or ResourceMarketConfig()
    device = device_of(c.device)
    source = None if c.learner is None else _source(c, device)
    learner = (
        None
        if source is None
        else make_learner(c.learner, source, c.training or DEFAULT_TRAINING, c.learner_options)
    )
    scale = named_part(c.scale, "scale", QUALITY_SCALES, SCALE, takes=1)
    people = People(
        roles={LEADER: 1, OWNER: c.n_owners, CENTRE: c.n_centres},
        accounts={ESCROW: 1, FEES: c.n_owners},
        empty=(ESCROW, FEES),
        cash=c.cash,
        credit=c.credit,
        furnish=Furnish(
            c,
            None if source is None or learner is None else _opening(c, source, learner, device),
            scale,
        ),
        device=device,
    )
    cut = c.horizon == "cut"
    audit_scale = (
        scale
        if c.audit_scale is None
        else named_part(c.audit_scale, "audit_scale", QUALITY_SCALES, SCALE, takes=1)
    )
    return Market(
        people,
        _chain(c, source, learner, audit_scale),
        horizon=c.max_cycles,
        cut=cut,
        name=NAME,
        config=c,
        source=source,
    )


def _source(c: ResourceMarketConfig, device: torch.device) -> Source:
    """The owners' data, which have classes; every owner knows a label or more."""
    source = source_of(c, device, n_agents=c.n_owners)
    if source.task != "classification":
        raise ValueError(
            "data has real-valued targets, wanted classes: owners may mislabel, and audits compare"
            " labels."
        )
    check_labels(source, device)
    return source


def _opening(
    c: ResourceMarketConfig, source: Source, learner: Learner, device: torch.device
) -> Opening:
    """What deals out the owners' data."""
    return Opening(source, learner, c.dimensions, shared_exams(source, device), c.noise, c.measure)


def _chain(
    c: ResourceMarketConfig, source: Source | None, learner: Learner | None, scale: Scale
) -> tuple[Phase, ...]:
    """The phases of a round."""
    solver = named_part(
        c.solver, "solver", STACKELBERG_SOLVERS, "a callable TripartiteGame -> Stackelberg", takes=1
    )
    worth, counts = c.alpha * c.k, (c.n_owners, c.n_centres)
    play = Play(c.alpha, c.k, solver, c.identities)
    posted, by_audit = c.pricing == "posted", c.audit is not None and c.basis != "reported"
    cost, conduct = None if posted else c.lam * c.rho, c.conduct or ()
    fees = named_part(
        c.fees, "fees", COMPUTE_FEES, "a callable (charges, d, matching) -> fees", takes=3
    )
    preferences = named_part(
        c.preferences, "preferences", PREFERENCES, "a callable (x, d, sigma) -> ranks", takes=3
    )
    first: tuple[Phase, ...] = (Post(play, counts, worth),) if posted else ()
    offers: Phase = (
        Serve()
        if posted
        else Compute(counts, c.lam * c.rho * c.n_owners, c.rank, fees is proportional_fees)
    )
    training: tuple[Phase, ...] = ()
    if source is not None and learner is not None:
        federated = federated_training(learner, c.communications, c.algorithm, c.alignment)
        training = (TrainMatched(federated, conduct, c.aggregation == "sequential_accept"),)
        if c.audit is not None:
            training += (_audit(c, source, learner, scale),)
    return (
        *first,
        Commit(play, cost, counts, c.escrow, worth),
        Contribute(play, cost, c.n_owners, worth, conduct, c.ratchet, by_audit),
        offers,
        Match(None if posted else preferences),
        *training,
        Pay(
            gain=c.gain,
            alpha=c.alpha,
            worth=worth,
            fees=fees,
            by_audit=by_audit,
            escrow=c.escrow,
            trained=learner is not None,
            audited=c.audit is not None,
        ),
    )


def _audit(c: ResourceMarketConfig, source: Source, learner: Learner, scale: Scale) -> Audit:
    """The audit, whose copies are trained as in the authors' code; a ready-made learner trains
    them as it trains.
    """
    if isinstance(c.learner, str):
        steps = EPOCHS * -(-c.audit_rows // BATCH)
        training = c.audit_training or Training(
            optimizer="adam", learning_rate=1e-5, batch_size=BATCH, steps=steps
        )
        learner = make_learner(c.learner, source, training, c.learner_options)
    distances = Distances(
        n_classes=source.n_outputs,
        labels="given",
        covariance="diagonal",
        vocabulary=c.vocabulary,
        method="fast",
        private=False,
        anchors=1,
        mix=0.5,
        spread=1.0,
        targets=TARGETS,
    )
    return Audit(
        named_part(c.audit, "audit", AUDITS, "a callable Case -> scores", takes=1),
        scale,
        learner=learner,
        distances=distances,
        conduct=c.conduct or (),
        first=c.audit_round,
        rows=c.audit_rows,
    )


@dataclass(frozen=True, eq=False)
class Furnish:
    """What is on the floor at the start of an episode: data, private types, and the leader's first
    model.

    opening: of the data; None where nothing is trained;
        scale: from what owners measure to quality
    """

    config: ResourceMarketConfig
    opening: Opening | None
    scale: Scale

    def __call__(self, floor: Floor) -> Floor:
        """The furnished floor."""
        if self.opening is None:
            return floor.but(types=self._types(floor, None))
        world = OwnersWorlds.of(self.opening, floor.seeds)
        params = own_parts.first_models(self.opening.learner, floor.keys("leader's model"))[:, None]
        scores = world.score(params, floor.round)
        models = {LEADER: Models.first(params, params[..., :0], scores.loss, scores.accuracy)}
        return floor.but(world=world, models=models, types=self._types(floor, world))

    def _types(
        self, floor: Floor, world: OwnersWorlds | None
    ) -> dict[str, dict[str, Float64[Tensor, "markets count"]]]:
        """Quality as measured or drawn, costs of work, and what is known at first: that
        everybody is honest.
        """
        c, draw = self.config, partial(draws.uniform, draws.fold(floor.seeds, "types"))
        drawn = draw(c.n_owners + c.n_centres)
        quality, sigma = (
            low + (high - low) * part
            for (low, high), part in zip(
                (c.quality, c.sigma), drawn.split([c.n_owners, c.n_centres], 1), strict=True
            )
        )
        if world is not None:
            quality = scaled(self.scale, world.measured)
        exact = {
            name: drawn.new_tensor(values).expand(len(drawn), -1)
            for name, values in c.types.items()
        }
        quality, sigma = (
            exact.get("quality", quality).contiguous(),
            exact.get("sigma", sigma).contiguous(),
        )
        cap = torch.zeros_like(quality) + quality.new_tensor(c.caps)
        owner = {
            "quality": quality,
            "cap": cap,
            "standing": quality,
            "identities": 1 + 0 * cap,
            "last_share": 0 * cap,
        }
        posted = "last_price" if c.pricing == "posted" else "last_work"
        return {OWNER: owner, CENTRE: {"sigma": sigma, "cost": c.eps * sigma, posted: 0 * sigma}}
