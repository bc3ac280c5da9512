"""Distances of the sellers' rows from the buyer's examples: embeddings, and mixtures of rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.tree import STATIC
from marketenv.markets.data_worlds import Buyer
from marketenv.markets.goods import Goods
from marketenv.valuation import (
    combine,
    combine_wad,
    interpolate,
    label_aware,
    reference,
    wasserstein2,
)

DIRECTIONS = 50  # of sliced distances


@dataclass(frozen=True)
class Measures:
    """Embedded rows of the sellers and of the buyer, as the platform gets them.

    parts:   of the sellers                            [markets, sellers, width, dimensions]
    weights: 1 for rows that count, 0 for padding      [markets, sellers, width]
    target:  of the buyer                              [markets, targets, dimensions]
    counted: 1 for targets that count, 0 for padding   [markets, targets]
    scale:   of all distances: 1 / (1 - t) between interpolated rows
    """

    parts: Float64[Tensor, "markets sellers width dimensions"]
    weights: Float64[Tensor, "markets sellers width"]
    target: Float64[Tensor, "markets targets dimensions"]
    counted: Float64[Tensor, "markets targets"]
    scale: float = field(metadata=STATIC, default=1.0)


@dataclass(frozen=True)
class Distances:
    """How the platform measures distances.

    n_classes, labels, covariance, vocabulary, method: as in the market's config
    private: whether only interpolated rows leave their owners
    anchors, mix, spread: k, t and sigma of TriangleWad
    targets: most examples of the buyer in a distance
    """

    n_classes: int
    labels: str
    covariance: str
    vocabulary: float
    method: str
    private: bool
    anchors: int
    mix: float
    spread: float
    targets: int = 64

    @property
    def pseudo(self) -> bool:
        """Whether rows without a label get the nearest class."""
        return self.labels == "pseudo"

    def measures(
        self, floor: Floor, shown: Goods, spoof: Float[Tensor, "markets sellers"]
    ) -> Measures:
        """Embed the rows that sellers show; the spoofed share of them are the buyer's own."""
        buyer, n_markets = floor.world.buyer, len(floor.seeds)
        target_x, target_y = buyer.features(buyer.x[:, : self.targets]), buyer.y[:, : self.targets]
        place = torch.arange(target_y.shape[1], device=target_y.device)
        counted = (place < buyer.size[:, None]).double()
        parts_x = buyer.features(shown.x.flatten(1, 2)).unflatten(1, shown.y.shape[1:])
        target = self._embedded(target_x, target_y, counted).expand(n_markets, -1, -1)
        counted = counted.expand(n_markets, -1)
        parts = self._embedded(parts_x, shown.y, shown.mask)
        targets = buyer.size.expand(n_markets).clamp(max=self.targets)
        parts = _spoofed(parts, shown.size, target, targets, spoof)
        if not self.private:
            return Measures(parts, shown.mask, target, counted)
        # features have variance 1
        anchors = reference(floor.keys("anchors"), self.anchors, target.shape[-1], self.spread)
        return Measures(
            parts=interpolate(parts, anchors[:, None], self.mix, shown.mask),
            weights=shown.mask,
            target=interpolate(target, anchors, self.mix, counted),
            counted=counted,
            scale=1 / (1 - self.mix),
        )

    def wad(
        self, measures: Measures, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets mixtures"]:
        """CombineWad of every mixture."""
        known = (measures.parts, mixtures, measures.target, measures.weights, measures.counted)
        # the directions are always the same, so that a batch does not change a market's numbers
        if self.method == "sliced":
            return measures.scale * combine_wad(*known, method="sliced", n_directions=DIRECTIONS)
        return measures.scale * combine_wad(*known, method=self.method)

    @property
    def remembered(self) -> int:
        """Number of potentials of each mixture in ``wad_again``: one for each target, or none."""
        return self.targets if self.method == "fast" else 0

    def wad_again(
        self,
        measures: Measures,
        mixtures: Float64[Tensor, "markets mixtures sellers"],
        last: Float64[Tensor, "markets others sellers"],
        potentials: Float64[Tensor, "markets others remembered"],
    ) -> tuple[Float64[Tensor, "markets mixtures"], Float64[Tensor, "markets mixtures remembered"]]:
        """CombineWad of every mixture, and its potentials as a start for the next round.

        last, potentials: mixtures of the last round and their potentials; 0 where there are none
        Potentials belong to the buyer's examples, which stay when rows and anchors change. A
        mixture that was not measured before starts anew: those of another one do not help.
        """
        if not self.remembered:
            return self.wad(measures, mixtures), potentials
        apart, nearest = torch.cdist(mixtures, last, p=1).min(-1, keepdim=True)
        start = potentials.gather(1, nearest.expand(-1, -1, potentials.shape[-1]))
        start = start.masked_fill(apart > 0, 0.0)
        width = measures.target.shape[1]
        known = (measures.parts, mixtures, measures.target, measures.weights, measures.counted)
        result = combine(*known, start=start[..., :width])
        new = torch.nn.functional.pad(result.g, (0, self.remembered - width))
        return measures.scale * result.wad, new

    def between(self, one: Measures, two: Measures) -> Float64[Tensor, "markets sellers"]:
        """Distance between two sets of rows of each seller; exactly 0 where they are equal."""
        method = "sliced" if self.method == "sliced" else "exact"
        known = (one.parts, two.parts, one.weights, two.weights)
        return one.scale * wasserstein2(*known, method=method)

    def slopes(
        self, measures: Measures, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> tuple[Float64[Tensor, "markets mixtures"], Float64[Tensor, "markets mixtures sellers"]]:
        """CombineWad of every mixture, and its slope in each share; sliced distances have none."""
        known = (measures.parts, mixtures, measures.target, measures.weights, measures.counted)
        result = combine(*known, method=self.method)
        return measures.scale * result.wad, measures.scale * result.gradient

    def _embedded(self, x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Features, moments of the label among the owner's rows, and the label by vocabulary."""
        covariance = "none" if self.labels == "features" else self.covariance
        # mean squared distance of two of the buyer's examples, whose features have variance 1
        unit = 2.0 * x.shape[-1]
        vocabulary = 0.0 if self.labels == "features" else self.vocabulary * unit
        return label_aware(
            x, y, self.n_classes, covariance=covariance, vocabulary=vocabulary, weights=weights
        )


def pseudo_labels(
    rows: Goods, buyer: Buyer, n_classes: int
) -> Int[Tensor, "markets sellers width"]:
    """Labels of rows, and for rows without one the class with the nearest mean at the buyer."""
    target = buyer.features(buyer.x)
    mask = torch.arange(buyer.y.shape[1], device=buyer.y.device) < buyer.size[:, None]
    hits = torch.nn.functional.one_hot(buyer.y, n_classes).double() * mask[..., None]
    count = hits.sum(1)
    means = hits.mT @ target / count.clamp(min=1)[..., None]
    parts = buyer.features(rows.x.flatten(1, 2))
    apart = torch.cdist(parts, means.expand(len(parts), -1, -1))
    nearest = apart.masked_fill((count == 0)[:, None], torch.inf).argmin(-1)
    return torch.where(rows.labelled.bool(), rows.y, nearest.view_as(rows.y))


def _spoofed(
    parts: Float64[Tensor, "markets sellers width dimensions"],
    size: Int[Tensor, "markets sellers"],
    target: Float64[Tensor, "markets targets dimensions"],
    targets: Int[Tensor, "markets"],
    spoof: Float[Tensor, "markets sellers"],
) -> Float64[Tensor, "markets sellers width dimensions"]:
    """Each seller's rows, the first share of them replaced by rows of the buyer in turn.

    size, targets: number of rows of each seller, and of the buyer, that count
    """
    width = torch.arange(parts.shape[2], device=parts.device)
    market = torch.arange(len(target), device=parts.device)[:, None]
    fake = target[market, width % targets[:, None]][:, None].expand_as(parts)
    return torch.where(((width + 0.5) / size[..., None] < spoof[..., None])[..., None], fake, parts)
