"""The worlds of a resource market: owners' noisy data, and the examples that judge models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.data import Source
from marketenv.data.wrong_features import Moments, feature_noise
from marketenv.learners import Learner
from marketenv.markets.data_worlds import DataContent, DataWorlds, open_content
from marketenv.valuation import image_quality, lexical_diversity


def image(clean: Tensor, shown: Tensor, mask: Tensor) -> Float64[Tensor, "worlds owners"]:
    """1 - mean squared error of an owner's rows against the same rows without noise."""
    return image_quality(clean, shown, mask)


def text(clean: Tensor, shown: Tensor, mask: Tensor) -> Float64[Tensor, "worlds owners"]:
    """Number of different characters / number of characters of an owner's rows.

    Raises ValueError for features that are no numbers of characters.
    """
    real = mask.view(*mask.shape, *(1,) * (shown.dim() - mask.dim()))
    odd = (shown != shown.round()) & real
    if bool(odd.any()):
        raise ValueError(
            f"measure is 'text' and features hold {float(shown[odd][0]):g}, wanted numbers of"
            " characters: pass measure='image'."
        )
    return lexical_diversity(shown.flatten(3).long(), mask)


MEASURES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"image": image, "text": text}


@dataclass(frozen=True, eq=False)
class OwnersContent(DataContent):
    """Data of the worlds.

    measured: what owners measure of their own data, the higher the better   [worlds, owners]
    text:     whether features are numbers of characters, which no conduct changes
    """

    measured: Float64[Tensor, "worlds owners"]
    text: bool

    def select(self, worlds: Int[Tensor, "some"]) -> Any:
        """Some of the worlds, in this order."""
        return replace(super().select(worlds), measured=self.measured[worlds])

    def joined(self, other: Any) -> Any:
        """These worlds, and then the other ones."""
        return replace(super().joined(other), measured=torch.cat([self.measured, other.measured]))


@dataclass(frozen=True)
class OpenContent:
    """Deals out the data of distinct seeds, adds noise, and lays them out; a callable.

    noise:   interval of its standard deviation, in the features' own unit
    measure: a name of ``MEASURES``
    """

    source: Source
    learner: Learner
    dimensions: int | None
    shared: tuple[bool, bool]
    noise: tuple[float, float]
    measure: str

    def __call__(self, seeds: Int[Tensor, "worlds"]) -> OwnersContent:
        """The worlds of these seeds."""
        content = open_content(self.source, self.learner, self.dimensions, self.shared, seeds)
        train = content.train
        if content.labelled is not None:
            train = self.source.federation(seeds).supervised
        train = train.trimmed()
        clean = train.x[train.index]
        noisy, shown = self._noisy(train, clean, seeds)
        measured = MEASURES[self.measure](clean, shown, train.mask)
        parts = {part.name: getattr(content, part.name) for part in fields(content)}
        parts |= {"train": noisy, "labelled": None}
        return OwnersContent(**parts, measured=measured, text=self.measure == "text")

    def _noisy(
        self, train: Shards, clean: Tensor, seeds: Int[Tensor, "worlds"]
    ) -> tuple[Shards, Tensor]:
        """The owners' rows with noise, as shards and by owner."""
        if self.noise[1] == 0:
            return train, clean
        low, high = self.noise
        keys = draws.agent_keys(draws.fold(seeds, "noise"), train.size.shape[1])
        rates = low + (high - low) * draws.uniform(draws.fold(keys, "rate"), 1)[..., 0]
        shown = feature_noise(clean, rates, keys, _unit(clean))
        y = train.y[train.index].flatten()
        return Shards(shown.flatten(0, 2), y, _places(train), train.size), shown


def _unit(x: Tensor) -> Moments:
    """Mean 0 and deviation 1 for every feature: noise is then in the features' own unit."""
    zeros = torch.zeros_like(x[:, :, 0])
    return Moments(zeros, zeros + 1)


def _places(train: Shards) -> Int[Tensor, "worlds owners width"]:
    """The place of each owner's rows, where all rows stand one after another."""
    return torch.arange(train.index.numel(), device=train.index.device).view_as(train.index)


@dataclass(frozen=True, eq=False)
class OwnersWorlds(DataWorlds):
    """Which of these worlds each market of a batch stands in."""

    content: OwnersContent

    @property
    def measured(self) -> Float64[Tensor, "markets owners"]:
        """What owners measure of their own data."""
        return self.content.measured[self.at]
