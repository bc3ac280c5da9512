"""The arguments of the resource market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    each,
    flag,
    interval,
    number,
    one_or_each,
    options,
    or_none,
    whole,
)
from marketenv.learners import Training
from marketenv.learners.training import check_training
from marketenv.markets.arguments import LEARNING, check_ready_made
from marketenv.markets.federated import ALGORITHMS, ALIGNMENTS
from marketenv.markets.resource_market.conduct import CONDUCTS

AGGREGATIONS = ("weighted", "sequential_accept")
GAINS = ("formula", "accuracy")
BASES = ("auto", "reported", "audited")
PRICES = ("contest", "posted")
MEASURES = ("image", "text")
ALONE = ("honest", "junk")  # what owners may do by default where nothing is trained
# bounds of the game's numbers, within which all that agents are shown is finite
LEAST, MOST = 1e-6, 1e6


@dataclass(frozen=True, kw_only=True)
class ResourceMarketConfig:
    """Arguments of ``resource_market_v0``; docs/environments/resource_market.md gives the reasons.

    n_owners, n_centres: owners of data, computing centres;   max_cycles: rounds of an episode
    horizon:    ``end``: the last round ends the game; ``cut``: the game would go on, and no agent
                sees the cut
    data, root, download, partition, data_options: what owners have (see
        ``marketenv.data.make_source``)
    learner, learner_options, training: the leader's model (see ``marketenv.learners.LEARNERS``);
        None plays the game alone
    algorithm, communications, alignment: of federated training, as in ``data_market_v0``
    aggregation: ``weighted``: the mean of owners' models by their contributions;
                ``sequential_accept``: one owner after another trains the model, and what does not
                raise the accuracy on the leader's examples is dropped
    alpha, k:   of the leader's gain alpha k ln(1 + sum q);   lam, rho, eps: of the costs
    sigma:      interval of the centres' uniform costs
    quality:    interval of the owners' uniform quality where nothing is trained
    types:      exact numbers in place of what is drawn or measured: ``sigma`` a number a centre,
                ``quality`` one an owner
    caps:       the most share of its data that an owner may contribute: one number, or one for each
    noise:      interval of the standard deviation of each owner's feature noise
    measure:    how owners measure their own data: ``image``: 1 - mean squared error; ``text``:
                lexical diversity
    scale:      a name of ``QUALITY_SCALES``, or a callable: from measures, and scores of audits, to
                quality
    solver:     a name of ``STACKELBERG_SOLVERS``, or a callable: by which truthful agents solve the
                game
    gain:       ``formula``: alpha k ln(1 + sum q) of true contributions; ``accuracy``: alpha times
                the rise of the accuracy
    audit:      a name of ``AUDITS``, or a callable: what scores the owners' data; None: no audit
    audit_scale: as ``scale``, of the audit's scores; None: the same one
    audit_round: the first round with an audit;   audit_rows: most rows of an owner that it uses
    audit_training: of the throw-away copies that audits train
    basis:      quality by which owners are paid: ``reported``, ``audited``, or ``auto``: audited
                where there is an audit
    dimensions, vocabulary: of the audit's Wasserstein distance, as in ``data_market_v0``
    escrow:     whether the leader's payment is held from the start; else the leader chooses at the
                end what it pays
    fees:       a name of ``COMPUTE_FEES``: which centre gets what owners pay
    preferences: a name of ``PREFERENCES``: which centres owners want, and the reverse; with posted
                prices nobody is asked: the cheapest centres take the owners in turn
    rank:       whether centres report which owners they want; not with posted prices
    pricing:    ``contest``: centres offer work for what owners pay; ``posted``: centres post prices
                before the leader commits
    ratchet:    a contribution never falls, as in the authors' code
    identities: the most names under which an owner may contribute
    conduct:    what owners may do with their data: names of ``CONDUCTS``, the first of which is the
                truth; None: all of them, and honest and junk where nothing is trained
    cash, credit: money at the start, and how far below zero it may go
    device:     where everything is computed
    """

    n_owners: int = 10
    n_centres: int = 10
    max_cycles: int = 5
    horizon: str = "end"
    data: Any = "digits"
    root: Any = None
    download: bool = False
    partition: Any = "balanced"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    learner: Any = "mlp"
    learner_options: Mapping[str, Any] = field(default_factory=dict)
    training: Training | None = None
    algorithm: str = "fedavg"
    communications: int = 4
    alignment: str = "none"
    aggregation: str = "weighted"
    alpha: float = 5.0
    k: float = 0.5
    lam: float = 1.0
    rho: float = 1.0
    eps: float = 1.0
    sigma: tuple[float, float] = (1.0, 1.0)
    quality: tuple[float, float] = (0.9, 1.0)
    types: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    caps: Any = 1.0
    noise: tuple[float, float] = (0.0, 0.1)
    measure: str = "image"
    scale: Any = "minmax"
    solver: Any = "sne"
    gain: str = "formula"
    audit: Any = None
    audit_scale: Any = None
    audit_round: int = 1
    audit_rows: int = 128
    audit_training: Training | None = None
    basis: str = "auto"
    dimensions: int | None = 16
    vocabulary: float = 0.0
    escrow: bool = True
    fees: Any = "proportional"
    preferences: Any = "volume"
    rank: bool = False
    pricing: str = "contest"
    ratchet: bool = False
    identities: int = 1
    conduct: tuple[str, ...] | None = None
    cash: float = 1000.0
    credit: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)
        check_ready_made(self.learner, self.learner_options, self.training)
        if self.learner is None and (self.gain == "accuracy" or self.audit is not None):
            wish = "gain 'accuracy'" if self.gain == "accuracy" else f"audit {self.audit!r}"
            raise ValueError(
                f"learner is None and the market has {wish}, wanted a learner for it: without one"
                " nothing is trained."
            )
        if self.measure == "text" and self.noise[1] > 0:
            raise ValueError(
                f"measure is 'text' and noise {self.noise}, wanted noise=(0, 0): a character with"
                " noise is no character."
            )
        if (
            self.measure == "image"
            and isinstance(self.learner, str)
            and self.learner == "recurrent"
        ):
            raise ValueError(
                "measure is 'image' and learner 'recurrent', which reads characters: pass"
                " measure='text', noise=(0, 0)."
            )
        if self.audit is not None and self.audit_round >= self.max_cycles:
            raise ValueError(
                f"audit_round is {self.audit_round} and max_cycles {self.max_cycles}, wanted a"
                " round that is played, which are counted from 0: the audit would never take"
                " place."
            )
        scale = self.scale if self.audit_scale is None else self.audit_scale
        if isinstance(self.audit, str) and scale == "fixed":
            raise ValueError(
                f"audit is {self.audit!r} and its scale 'fixed', which measures from 0 to 1: there"
                " all its scores are the worst. Pass"
                " audit_scale=functools.partial(marketenv.mechanisms.QUALITY_SCALES['fixed'],"
                " ends=(worst, best))."
            )
        if self.basis == "audited" and self.audit is None:
            raise ValueError(
                "basis is 'audited' and audit None, wanted an audit to pay by, or another basis."
            )
        if self.rank and self.pricing == "posted":
            raise ValueError(
                "rank is True and pricing 'posted', wanted one of them: there the cheapest centres"
                " do the work."
            )
        object.__setattr__(
            self, "caps", one_or_each(self.caps, "caps", _cap, self.n_owners, "numbers")
        )
        counts = {"quality": self.n_owners, "sigma": self.n_centres}
        for name, values in options(self.types, "types", tuple(counts)).items():
            if len(values) != counts[name]:
                raise ValueError(
                    f"types[{name!r}] has {len(values)} numbers, wanted {counts[name]}, one for"
                    f" each {'owner' if name == 'quality' else 'centre'}."
                )
        if self.conduct is None:
            object.__setattr__(self, "conduct", ALONE if self.learner is None else tuple(CONDUCTS))


def _cap(value: Any, name: str) -> float:
    return number(
        value, name, LEAST, 1.0, fix=", the share of its data that an owner may contribute"
    )


def _types(value: Any, name: str) -> dict[str, tuple[float, ...]]:
    types = {}
    most = {"quality": 1.0, "sigma": MOST}
    for kind, numbers in options(value, name, ("quality", "sigma")).items():
        check = partial(number, least=LEAST, most=most[kind])
        types[kind] = each(numbers, f"{name}[{kind!r}]", check, wanted="numbers")
    return types


def _conduct(value: Any, name: str) -> tuple[str, ...]:
    names = tuple(
        choice(one, name, CONDUCTS)
        for one in (value if isinstance(value, tuple | list) else (value,))
    )
    if len(set(names)) < len(names) or not names or names[0] != "honest":
        raise ValueError(
            f"{name} is {names}, wanted 'honest' first, and every kind of conduct once."
        )
    return names


_positive = partial(number, least=LEAST, most=MOST)
_FIELDS: dict[str, Check] = LEARNING | {
    "n_owners": partial(whole, least=1, most=10_000),
    "n_centres": partial(whole, least=1, most=10_000),
    "algorithm": partial(choice, known=ALGORITHMS),
    "communications": partial(whole, least=1),
    "alignment": partial(choice, known=ALIGNMENTS),
    "aggregation": partial(choice, known=AGGREGATIONS),
    "alpha": _positive,
    "k": _positive,
    "lam": _positive,
    "rho": _positive,
    "eps": _positive,
    "sigma": partial(interval, least=LEAST, most=MOST),
    "quality": partial(interval, least=LEAST, most=1.0),
    "types": _types,
    "noise": partial(interval, least=0.0, most=1e3),
    "measure": partial(choice, known=MEASURES),
    "gain": partial(choice, known=GAINS),
    "audit_round": whole,
    "audit_rows": partial(whole, least=1),
    "audit_training": or_none(check_training),
    "basis": partial(choice, known=BASES),
    "dimensions": or_none(whole, least=1, fix=", or None for all features"),
    "vocabulary": partial(number, least=0.0, most=1e4),
    "escrow": flag,
    "rank": flag,
    "pricing": partial(choice, known=PRICES),
    "ratchet": flag,
    "identities": partial(whole, least=1, most=8),
    "conduct": or_none(_conduct),
    "cash": partial(number, least=0.0, most=MOST),
    "credit": partial(number, least=0.0, most=MOST),
}
