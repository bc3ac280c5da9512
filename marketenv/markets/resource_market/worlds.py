"""What the seeds of a resource market fix: owners' noisy data, what they measure of them, and
what judges the leader's model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

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
    """1 - mean squared error of what the noise did to an owner's rows."""
    return image_quality(clean, shown, mask)


def text(clean: Tensor, shown: Tensor, mask: Tensor) -> Float64[Tensor, "worlds owners"]:
    """Different characters / characters of an owner's rows; ValueError for features that are no
    characters.
    """
    odd = (shown != shown.round()) & mask.view(*mask.shape, *(1,) * (shown.dim() - mask.dim()))
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

    measured: what owners find of their own data, the higher the better   float64 [worlds, owners]
    text:     features are numbers of characters, and stay so whatever owners do
    """

    measured: Float64[Tensor, "worlds owners"]
    text: bool

    def select(self, worlds: Int[Tensor, "some"]) -> Self:
        """Some of the worlds, in this order."""
        return replace(super().select(worlds), measured=self.measured[worlds])

    def joined(self, other: Self) -> Self:
        """These worlds, and then the other ones."""
        return replace(super().joined(other), measured=torch.cat([self.measured, other.measured]))


@dataclass(frozen=True)
class Opening:
    """Deals out the data of distinct seeds, with noise, and lays them out; a callable.

    noise: interval of its standard deviation, in the features' own unit;
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
        known = (
            content.train if content.labelled is None else self.source.federation(seeds).supervised
        )
        train = known.trimmed()
        clean, keys = (
            train.x[train.index],
            draws.agent_keys(draws.fold(seeds, "noise"), train.size.shape[1]),
        )
        if self.noise[1] == 0:
            noisy, shown = train, clean
        else:
            low, high = self.noise
            rates = low + (high - low) * draws.uniform(draws.fold(keys, "rate"), 1)[..., 0]
            shown = feature_noise(clean, rates, keys, _unit(clean))
            noisy = Shards(
                shown.flatten(0, 2), train.y[train.index].flatten(), _places(train), train.size
            )
        measured = MEASURES[self.measure](clean, shown, train.mask)
        parts = {part.name: getattr(content, part.name) for part in fields(content)}
        return OwnersContent(
            **parts | {"train": noisy, "labelled": None},
            measured=measured,
            text=self.measure == "text",
        )


def _unit(x: Tensor) -> Moments:
    """A mean of 0 and a deviation of 1 for every feature, so that noise is in the features' own
    unit.
    """
    zeros = torch.zeros_like(x[:, :, 0])
    return Moments(zeros, zeros + 1)


def _places(train: Shards) -> Int[Tensor, "worlds owners width"]:
    """Where each owner's rows lie where all of them stand one after another."""
    return torch.arange(train.index.numel(), device=train.index.device).view_as(train.index)


@dataclass(frozen=True, eq=False)
class OwnersWorlds(DataWorlds):
    """Which of these worlds each market of a batch stands in."""

    content: OwnersContent

    @property
    def measured(self) -> Float64[Tensor, "markets owners"]:
        """What owners find of their own data."""
        return self.content.measured[self.at]
