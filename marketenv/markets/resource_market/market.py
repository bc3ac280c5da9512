"""The resource market: owners of data contest a leader's payment, and centres the owners' fees.

A round: the leader commits to a payment (``Commit``); owners contribute data and report its quality
(``Contribute``); centres offer work (``Compute``); owners and centres are matched (``Match``); the
leader's model is trained (``TrainMatched``); data are audited (``Audit``); agents are paid
(``Pay``). In the price extension centres post prices first (``Post``, ``Serve``).

Source: "Data Assetization via Resources-decoupled Federated Learning" (QD-RDFL, arXiv 2501.14588),
and the authors' public code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from marketenv.markets.resource_market.worlds import OpenContent, OwnersWorlds
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
    """A batch of resource markets; the module's text tells a round, the config its parts.

    >>> [phase.name for phase in resource_market(ResourceMarketConfig(learner=None)).phases]
    ['commit', 'contribute', 'compute', 'match', 'pay']
    """
    c = config or ResourceMarketConfig()
    device = device_of(c.device)
    source = None if c.learner is None else _source(c, device)
    learner = opening = None
    if source is not None:
        training = c.training or DEFAULT_TRAINING
        learner = make_learner(c.learner, source, training, c.learner_options)
        opening = _opening(c, source, learner, device)
    scale = named_part(c.scale, "scale", QUALITY_SCALES, SCALE, takes=1)
    people = People(
        roles={LEADER: 1, OWNER: c.n_owners, CENTRE: c.n_centres},
        accounts={ESCROW: 1, FEES: c.n_owners},
        empty=(ESCROW, FEES),
        cash=c.cash,
        credit=c.credit,
        furnish=Furnish(c, opening, scale),
        device=device,
    )
    cut = c.horizon == "cut"
    if c.audit_scale is not None:
        scale = named_part(c.audit_scale, "audit_scale", QUALITY_SCALES, SCALE, takes=1)
    chain = _chain(c, source, learner, scale)
    return Market(people, chain, horizon=c.max_cycles, cut=cut, name=NAME, config=c, source=source)


def _source(c: ResourceMarketConfig, device: torch.device) -> Source:
    """The owners' data, which must have classes; every owner must know a label."""
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
) -> OpenContent:
    """What deals out the owners' data."""
    shared = shared_exams(source, device)
    return OpenContent(source, learner, c.dimensions, shared, c.noise, c.measure)


def _chain(
    c: ResourceMarketConfig, source: Source | None, learner: Learner | None, scale: Scale
) -> tuple[Phase, ...]:
    """The phases of a round."""
    wanted = "a callable TripartiteGame -> Stackelberg"
    solver = named_part(c.solver, "solver", STACKELBERG_SOLVERS, wanted, takes=1)
    wanted = "a callable (charges, d, matching) -> fees"
    fees = named_part(c.fees, "fees", COMPUTE_FEES, wanted, takes=3)
    wanted = "a callable (x, d, sigma) -> ranks"
    preferences = named_part(c.preferences, "preferences", PREFERENCES, wanted, takes=3)
    worth, counts = c.alpha * c.k, (c.n_owners, c.n_centres)
    play = Play(c.alpha, c.k, solver, c.identities)
    posted, by_audit = c.pricing == "posted", c.audit is not None and c.basis != "reported"
    cost, conduct = None if posted else c.lam * c.rho, c.conduct or ()
    prices: tuple[Phase, ...] = ()
    most = c.lam * c.rho * c.n_owners
    offers: Phase = Compute(counts, most, c.rank, fees is proportional_fees)
    if posted:
        prices, offers, preferences = (Post(play, counts, worth),), Serve(), None
    pay = Pay(
        gain=c.gain,
        alpha=c.alpha,
        worth=worth,
        fees=fees,
        by_audit=by_audit,
        escrow=c.escrow,
        trained=learner is not None,
        audited=c.audit is not None,
    )
    return (
        *prices,
        Commit(play, cost, counts, c.escrow, worth),
        Contribute(play, cost, c.n_owners, worth, conduct, c.ratchet, by_audit),
        offers,
        Match(preferences),
        *_training(c, source, learner, scale),
        pay,
    )


def _training(
    c: ResourceMarketConfig, source: Source | None, learner: Learner | None, scale: Scale
) -> tuple[Phase, ...]:
    """The phases that train and audit; none of them in the game alone."""
    if source is None or learner is None:
        return ()
    federated = federated_training(learner, c.communications, c.algorithm, c.alignment)
    train = TrainMatched(federated, c.conduct or (), c.aggregation == "sequential_accept")
    return (train,) if c.audit is None else (train, _audit(c, source, learner, scale))


def _audit(c: ResourceMarketConfig, source: Source, learner: Learner, scale: Scale) -> Audit:
    """The audit; its copies train as in the authors' code, or as a ready-made learner trains."""
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
        named_part(c.audit, "audit", AUDITS, "a callable AuditCase -> scores", takes=1),
        scale,
        learner=learner,
        distances=distances,
        conduct=c.conduct or (),
        first=c.audit_round,
        rows=c.audit_rows,
    )


@dataclass(frozen=True, eq=False)
class Furnish:
    """Draws data, private types and the leader's first model at the start; a callable.

    opening: of the data; None where nothing is trained
    scale:   from what owners measure to quality
    """

    config: ResourceMarketConfig
    opening: OpenContent | None
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
        """Quality and costs: given, measured or drawn; every owner counts as honest at first."""
        c = self.config
        uniform = draws.uniform(draws.fold(floor.seeds, "types"), c.n_owners + c.n_centres)
        of_owners, of_centres = uniform.split([c.n_owners, c.n_centres], 1)
        quality = c.quality[0] + (c.quality[1] - c.quality[0]) * of_owners
        sigma = c.sigma[0] + (c.sigma[1] - c.sigma[0]) * of_centres
        if world is not None:
            quality = scaled(self.scale, world.measured)
        if "quality" in c.types:
            quality = uniform.new_tensor(c.types["quality"]).expand(len(uniform), -1)
        if "sigma" in c.types:
            sigma = uniform.new_tensor(c.types["sigma"]).expand(len(uniform), -1)
        quality, sigma = quality.contiguous(), sigma.contiguous()
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
