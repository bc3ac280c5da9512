"""Worlds: what seeds fix for good, such as data and exams; markets of one seed share a world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.shards import Shards
from marketenv.data import Source
from marketenv.data.corruptions import CorruptedSource
from marketenv.data.linear import SyntheticLinear
from marketenv.data.partitioned import PartitionedSource
from marketenv.learners import Learner, Scores
from marketenv.markets import own_parts

Parts = TypeVar("Parts", bound=tuple[Tensor, ...])


# --- data in a learner's own form -----------------------------------------------------------------


@dataclass(frozen=True)
class Laid:
    """Data of some owners in a learner's own form, to train or to score on.

    made:   what ``make`` returns, which is the learner's ``prepare`` or ``exam``
    owners, worlds: number of owners, and of the worlds that they belong to
    shared: whether one owner serves all worlds, as where the same examples judge all markets
    shards: the data, where ``made`` is computed anew for other owners; None where it can
        ``select`` and be ``joined`` itself
    """

    make: Callable[[Shards], Any]
    made: Any
    owners: int
    worlds: int
    shared: bool
    shards: Shards | None

    @staticmethod
    def of(
        learner: Learner,
        make: Callable[[Learner, Shards], Any],
        shards: Shards,
        worlds: int,
        shared: bool = False,
    ) -> Laid:
        """Lay out the data of owners [owners] by ``own_parts.prepare`` or ``own_parts.exam``.

        They are laid out anew for other owners where a learner of a user's own may return anything,
        and where padding would change its answers.
        """
        anew = own_parts.is_own(learner) or getattr(learner, "pooled", False)
        shards = shards.trimmed()
        made, owners = make(learner, shards), len(shards.size)
        return Laid(partial(make, learner), made, owners, worlds, shared, shards if anew else None)

    def select(self, worlds: Int[Tensor, "some"]) -> Laid:
        """The same for some worlds; what all of them share stays as it is."""
        if self.shared:
            return replace(self, worlds=len(worlds))
        each = self.owners // self.worlds
        owners = worlds[:, None] * each + torch.arange(each, device=worlds.device)
        return self.of_owners(owners.flatten(), len(worlds))

    def of_owners(self, owners: Int[Tensor, "some"], worlds: int) -> Laid:
        """The same for some owners; itself for all owners in their order."""
        all_owners = torch.arange(self.owners, device=owners.device)
        if torch.equal(owners, all_owners):
            return self
        if self.shards is not None:
            return self._anew(self.shards.select(owners), worlds)
        return replace(self, made=self.made.select(owners), owners=len(owners), worlds=worlds)

    def joined(self, other: Laid) -> Laid:
        """The same for these worlds and then the other ones."""
        worlds = self.worlds + other.worlds
        if self.shared:
            return replace(self, worlds=worlds)
        if self.shards is not None and other.shards is not None:
            return self._anew(self.shards.joined(other.shards), worlds)
        made, owners = self.made.joined(other.made), self.owners + other.owners
        return replace(self, made=made, owners=owners, worlds=worlds)

    def _anew(self, shards: Shards, worlds: int) -> Laid:
        return Laid(self.make, self.make(shards), len(shards.size), worlds, self.shared, shards)


def shared_exams(source: Source, device: torch.device) -> tuple[bool, bool]:
    """Whether markets of all seeds share their validation examples, and their test examples."""
    if isinstance(source, CorruptedSource):
        return shared_exams(source.source, device)
    if isinstance(source, PartitionedSource | SyntheticLinear):
        return (isinstance(source, PartitionedSource),) * 2
    federation = source.federation(torch.arange(2, device=device))
    return len(federation.validation.index) == 1, len(federation.test.index) == 1


# --- which world a market stands in ---------------------------------------------------------------


@runtime_checkable
class Content(Protocol):
    """What worlds hold, one after another."""

    def select(self, worlds: Int[Tensor, "some"]) -> Any:
        """Some of the worlds, in this order."""
        ...

    def joined(self, other: Any) -> Any:
        """These worlds, and then the other ones."""
        ...


@dataclass(frozen=True, eq=False)
class Worlds:
    """Which shared world each market of a batch stands in, by its seed.

    open:    from distinct seeds to what they fix, a pure function
    seeds:   of the worlds, in the order in which markets first name them         [worlds]
    at:      the world that each market stands in                                 [markets]
    content: of the worlds
    """

    open: Callable[[Int[Tensor, "worlds"]], Any]
    seeds: Int[Tensor, "worlds"]
    at: Int[Tensor, "markets"]
    content: Any

    @classmethod
    def of(cls, open: Callable[[Int[Tensor, "worlds"]], Any], seeds: Int[Tensor, "markets"]) -> Any:
        """Open one world a distinct seed."""
        distinct, at = first_named(seeds)
        content = open(distinct)
        if not isinstance(content, Content):
            raise ValueError(
                f"the content of worlds is a {type(content).__name__}, wanted an object with"
                " select(worlds) and joined(other): some of its worlds, and its worlds and then"
                " other ones."
            )
        return cls(open, distinct, at, content)

    def rows(self, index: Int[Tensor, "rows"]) -> Any:
        """The worlds of the markets of an index, without those in which no market stands."""
        return self._arranged(self.seeds[self.at[index]], self.seeds, self.content)

    def put(self, index: Int[Tensor, "some"], fresh: Any) -> Any:
        """The worlds after the markets of an index move to those of ``fresh``."""
        seeds = self.seeds[self.at].index_put((index,), fresh.seeds[fresh.at])
        distinct = first_named(seeds)[0]
        old = torch.isin(distinct, self.seeds)
        known, new = distinct[old], distinct[~old]
        if not len(new):
            return self._arranged(seeds, self.seeds, self.content)
        if not len(known):
            return self._arranged(seeds, fresh.seeds, fresh.content)
        content = self.content.select(_places(known, self.seeds))
        content = content.joined(fresh.content.select(_places(new, fresh.seeds)))
        return self._arranged(seeds, torch.cat([known, new]), content)

    def reopen(self, seeds: Int[Tensor, "markets"]) -> Any:
        """The worlds of other seeds."""
        return self.of(self.open, seeds)

    def _arranged(
        self, seeds: Int[Tensor, "markets"], known: Int[Tensor, "worlds"], content: Any
    ) -> Any:
        """The worlds of markets of these seeds, taken from known worlds."""
        distinct, at = first_named(seeds)
        same = len(distinct) == len(known) and bool((distinct == known).all())
        content = content if same else content.select(_places(distinct, known))
        return replace(self, seeds=distinct, at=at, content=content)

    @cached_property
    def groups(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Worlds by their number of markets: (worlds [w], markets [w, count]) for every count."""
        counts, order = self.at.bincount(minlength=len(self.seeds)), self.at.argsort(stable=True)
        starts = counts.cumsum(0) - counts
        groups = []
        for count in counts.unique().tolist():
            worlds = (counts == count).nonzero()[:, 0]
            places = starts[worlds][:, None] + torch.arange(count, device=order.device)
            groups.append((worlds, order[places]))
        return tuple(groups)

    def lessons(self, laid: Laid) -> Any:
        """What agents train on, market by market: of the owners of each market's world."""
        each = laid.owners // laid.worlds
        owners = (self.at[:, None] * each + torch.arange(each, device=self.at.device)).flatten()
        return laid.of_owners(owners, len(self.at)).made

    def asked(self, laid: Laid, question: Callable[..., Parts], *tensors: Tensor) -> Parts:
        """The answers of ``question(laid, *tensors)`` for tensors [markets, ...].

        No data are laid out twice: the question is put once for each of ``groups``, whose markets
        stand world by world. Its answers are tensors that lead with the markets.
        """
        if laid.shared or len(self.seeds) == len(self.at):
            return question(laid, *tensors)
        answers = []
        for worlds, markets in self.groups:
            some = (tensor[markets.flatten()] for tensor in tensors)
            answers.append(question(laid.select(worlds), *some))
        back = torch.cat([markets.flatten() for _, markets in self.groups]).argsort()
        joined = [torch.cat(parts)[back] for parts in zip(*answers, strict=True)]
        return type(answers[0])(*joined) if hasattr(answers[0], "_fields") else tuple(joined)  # type: ignore[return-value]

    def scores(
        self, learner: Learner, laid: Laid, models: Float[Tensor, "markets k params"]
    ) -> Scores:
        """Loss and accuracy of k models of every market on an exam."""
        return self.asked(laid, partial(_scores, learner), models)

    def losses(
        self, learner: Learner, laid: Laid, models: Float[Tensor, "markets k params"]
    ) -> Float[Tensor, "markets k"]:
        """Losses of k models of every market on an exam."""
        return self.asked(laid, partial(_losses, learner), models)[0]


def _scores(learner: Learner, laid: Laid, models: Tensor) -> Scores:
    scores = own_parts.scores(learner, _by_world(laid, models), laid.made)
    return Scores(*(numbers.view(models.shape[:2]) for numbers in scores))


def _losses(learner: Learner, laid: Laid, models: Tensor) -> tuple[Tensor]:
    return (own_parts.losses(learner, _by_world(laid, models), laid.made).view(models.shape[:2]),)


def _by_world(
    laid: Laid, models: Float[Tensor, "markets k params"]
) -> Float[Tensor, "owners rest params"]:
    """All models of one exam side by side; market by market where all worlds share the exam."""
    if laid.shared or laid.owners == len(models):
        return models
    return models.reshape(laid.owners, -1, models.shape[-1])


def first_named(
    seeds: Int[Tensor, "markets"],
) -> tuple[Int[Tensor, "distinct"], Int[Tensor, "markets"]]:
    """Distinct seeds in the order of their first places, and which of them each place names.

    >>> first_named(torch.tensor([7, 3, 7]))
    (tensor([7, 3]), tensor([0, 1, 0]))
    """
    values, inverse = seeds.unique(return_inverse=True)
    places = torch.arange(len(seeds), device=seeds.device)
    first = torch.full_like(values, len(seeds)).scatter_reduce(0, inverse, places, "amin")
    order = first.argsort()
    return values[order], order.argsort()[inverse]


def _places(wanted: Int[Tensor, "some"], known: Int[Tensor, "worlds"]) -> Int[Tensor, "some"]:
    """Where each seed stands among distinct known ones."""
    order = known.argsort()
    return order[torch.searchsorted(known[order], wanted)]
