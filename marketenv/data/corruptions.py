"""Bad data as a property of a source: wrong or hidden labels, noisy or shifted features, by agent.

Validation and test stay as they are. The agents' rows are changed one by one, by keys that follow
from the market's seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import check_fields, choice, number, one_or_each, options, refused
from marketenv.core.shards import Shards
from marketenv.data.federation import Federation, Source
from marketenv.data.wrong_features import (
    MOST_NOISE,
    SHIFTS,
    Moments,
    covariate_shift,
    feature_noise,
    moments,
)
from marketenv.data.wrong_labels import FLIPS

Rates = Float[Tensor, "markets agents"]
Keys = Int[Tensor, "markets agents"]


@dataclass(frozen=True)
class Corrupted:
    """All agents' rows after a corruption; None: they stay as they are.

    x: features [markets, agents, width, *features];   y: labels [markets, agents, width]
    labelled: which labels are known [markets, agents, width]
    """

    x: Float[Tensor, "markets agents width ..."] | None = None
    y: Num[Tensor, "markets agents width"] | None = None
    labelled: Bool[Tensor, "markets agents width"] | None = None


def mislabeled(
    clean: Federation, n_classes: int, rates: Rates, keys: Keys, *, kind: str
) -> Corrupted:
    """Each label is wrong with the chance of its agent's rate: any other label, or the next one."""
    return Corrupted(y=FLIPS[kind](clean.train.y[clean.train.index], rates, keys, n_classes))


def unlabeled(clean: Federation, n_classes: int, rates: Rates, keys: Keys) -> Corrupted:
    """An agent does not know the labels of a random share of its rows.

    With a rate below 1 it knows at least one.
    """
    size, mask = clean.train.size, clean.train.mask
    hidden = (rates * size).round().long()
    hidden = torch.where(rates < 1, hidden.minimum(size - 1), hidden)
    # padding comes last
    lots = torch.where(mask, draws.uniform(draws.fold(keys, "hidden"), mask.shape[-1]), 2.0)
    return Corrupted(labelled=lots.argsort(-1).argsort(-1) >= hidden[..., None])


def noisy(clean: Federation, n_classes: int, rates: Rates, keys: Keys) -> Corrupted:
    """Features have normal noise of so many deviations."""
    x = clean.train.x[clean.train.index]
    return Corrupted(x=feature_noise(x, rates, keys, _measure(clean)))


def shifted(clean: Federation, n_classes: int, rates: Rates, keys: Keys, *, kind: str) -> Corrupted:
    """The features of all rows of an agent are shifted in one way."""
    x = clean.train.x[clean.train.index]
    return Corrupted(x=covariate_shift(x, rates, keys, _measure(clean), kind=kind))


@dataclass(frozen=True)
class Corruption:
    """A way in which data can be bad.

    change:  (clean, n_classes, rates, keys, **options) -> Corrupted, of a federation whose training
             rows are no wider than needed
    most:    largest rate
    kinds:   names of its option ``kind``, of which the first is the default; empty for no option
    classes: it is for classifications alone
    """

    change: Callable[..., Corrupted]
    most: float = 1.0
    kinds: tuple[str, ...] = ()
    classes: bool = False


CORRUPTIONS: dict[str, Corruption] = {
    "mislabeled": Corruption(mislabeled, kinds=tuple(FLIPS), classes=True),
    "unlabeled": Corruption(unlabeled),
    "feature_noise": Corruption(noisy, most=MOST_NOISE),
    "covariate_shift": Corruption(shifted, kinds=tuple(SHIFTS)),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class CorruptedSource:
    """A source whose agents own bad data; validation and test stay clean.

    source:     of the clean data; it may be corrupted already
    corruption: a name of ``CORRUPTIONS``
    options:    ``rate``, one number or one for each agent, 0 for clean data; and ``kind``, where
                the corruption has kinds

    The mean and deviation of features are those among the broker's validation examples.

    Raises ValueError for unknown names and options, a rate out of range, and wrong labels of a
    regression.

    >>> from marketenv.data import make_source
    >>> bad = CorruptedSource(
    ...     source=make_source("digits", "balanced", 3),
    ...     corruption="mislabeled",
    ...     options={"rate": (0, 0.2, 0.5)},
    ... )
    >>> before, after = (source.federation(torch.tensor([1])).train for source in (bad.source, bad))
    >>> wrong = (before.y[before.index] != after.y[after.index]) & before.mask
    >>> [round(share, 2) for share in wrong.sum(-1).div(before.size)[0].tolist()]
    [0.0, 0.18, 0.49]
    """

    source: Source
    corruption: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, {"corruption": partial(choice, known=CORRUPTIONS)})
        rule = CORRUPTIONS[self.corruption]
        if rule.classes and self.source.task != "classification":
            wanted = f"one that is not for classes alone: the data are a {self.source.task}"
            raise refused("corruption", self.corruption, wanted)
        check_fields(self, {"options": partial(_options, rule=rule, n_agents=self.source.n_agents)})

    @property
    def n_agents(self) -> int:
        """How many agents share the training data of a market."""
        return self.source.n_agents

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        return self.source.feature_shape

    @property
    def n_outputs(self) -> int:
        """Classes, or 1 for a regression."""
        return self.source.n_outputs

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        return self.source.task

    @property
    def one_pool(self) -> bool:
        """Whether all rows are the clean source's own for every seed: only labels are hidden."""
        clean = not isinstance(self.source, CorruptedSource) or self.source.one_pool
        return clean and CORRUPTIONS[self.corruption].change is unlabeled

    @property
    def _beneath(self) -> int:
        """How many corruptions lie below this one; each draws numbers of its own."""
        return self.source._beneath + 1 if isinstance(self.source, CorruptedSource) else 0

    def federation(self, seeds: Int[Tensor, "markets"]) -> Federation:
        """The clean source's federation with bad training rows behind the pool's own.

        It is the clean federation itself where nothing is bad.
        """
        clean = self.source.federation(seeds)
        device, agents = clean.train.index.device, self.source.n_agents
        others = {name: value for name, value in self.options.items() if name != "rate"}
        rates = torch.tensor(self.options["rate"], dtype=torch.float64, device=device)
        rates = rates.expand(len(seeds), agents)
        seed_keys = draws.fold(seeds.to(device), "corruption")
        keys = draws.agent_keys(seed_keys, agents, self.corruption, self._beneath)
        narrow = dataclasses.replace(clean, train=clean.train.trimmed())
        change = CORRUPTIONS[self.corruption].change
        bad = change(narrow, self.source.n_outputs, rates, keys, **others)
        if bad.labelled is not None:
            return _hidden(clean, bad.labelled)
        return _changed(clean, bad, rates > 0)

    def to(self, device: torch.device | str) -> CorruptedSource:
        """Return the same source with its data on another device."""
        source = self.source.to(device)
        return self if source is self.source else dataclasses.replace(self, source=source)


def _options(value: Any, name: str, rule: Corruption, n_agents: int) -> dict[str, Any]:
    """The options of a corruption in their plain form, with defaults."""
    name = f"corruption_{name}"
    chosen = options(value, name, ("rate", "kind") if rule.kinds else ("rate",))
    if "rate" not in chosen:
        raise refused(name, value, "a rate too, one number or one for each agent: {'rate': 0.2}")
    share = partial(number, least=0.0, most=rule.most)
    plain = {"rate": one_or_each(chosen["rate"], "rate", share, n_agents, "numbers")}
    if rule.kinds:
        plain["kind"] = choice(chosen.get("kind", rule.kinds[0]), "kind", rule.kinds)
    return plain


def _measure(clean: Federation) -> Moments:
    """Mean and deviation of each feature among the broker's examples, for all agents.

    [markets or 1, 1, *features]
    """
    x, _, mask = clean.validation.padded()
    if int(clean.validation.size.min()) < 2:
        raise ValueError(
            "the broker has a single validation example, which shows no feature's deviation; give"
            " it 2 or more."
        )
    return Moments(*(part.unsqueeze(1) for part in moments(x, mask.to(x))))


def _hidden(clean: Federation, labelled: Bool[Tensor, "markets agents narrow"]) -> Federation:
    """The federation with more hidden labels; labels that are hidden already stay hidden."""
    spare = clean.train.index.shape[-1] - labelled.shape[-1]
    known = torch.nn.functional.pad(labelled, (0, spare), value=True)
    if clean.labelled is not None:
        known = known & clean.labelled
    return dataclasses.replace(clean, labelled=known)


def _changed(
    clean: Federation, bad: Corrupted, touched: Bool[Tensor, "markets agents"]
) -> Federation:
    """The federation with the bad rows behind the pool's own; padding is an agent's first row."""
    train = clean.train.trimmed()
    x, y = bad.x, bad.y
    changed = train.mask & (touched[..., None] if y is None else y != train.y[train.index])
    if not bool(changed.any()):
        return clean
    rows = train.index[changed]
    number = (len(train.x) - 1 + changed.flatten().cumsum(0)).view(changed.shape)
    index = torch.where(changed, number, train.index)
    index = torch.where(train.mask, index, index[..., :1])
    spare = index[..., :1].expand(-1, -1, clean.train.index.shape[-1] - index.shape[-1])
    pool_x = torch.cat([train.x, train.x[rows] if x is None else x[changed]])
    pool_y = torch.cat([train.y, train.y[rows] if y is None else y[changed]])
    shards = Shards(pool_x, pool_y, torch.cat([index, spare], -1), train.size)
    return dataclasses.replace(clean, train=shards)
