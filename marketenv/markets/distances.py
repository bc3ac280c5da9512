"""How far what sellers show is from what the buyer wants: the embedding of rows, and distances
of mixtures.
"""

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

    parts:  [markets, sellers, width, dimensions], of which ``weights`` count;
            target: [markets, targets, dimensions]
    weights: float64 [markets, sellers, width], 1 or 0;
        counted: which of the targets count, alike [markets, targets]
    scale:   of all distances: 1 / (1 - t) between interpolated rows
    """

    parts: Float64[Tensor, "markets sellers width dimensions"]
    weights: Float64[Tensor, "markets sellers width"]
    target: Float64[Tensor, "markets targets dimensions"]
    counted: Float64[Tensor, "markets targets"]
    scale: float = field(metadata=STATIC, default=1.0)


@dataclass(frozen=True)
class Distances:
    """How the platform measures.

    n_classes, labels, covariance, vocabulary, method: as in the market's config
    private: whether only interpolated rows leave their owners;
        anchors, mix, spread: k, t and sigma of TriangleWad
    targets: of the buyer's examples, to which distances are taken, the most
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
        """Whether rows without a label get the class that is nearest."""
        return self.labels == "pseudo"

    def measures(
        self, floor: Floor, shown: Goods, spoof: Float[Tensor, "markets sellers"]
    ) -> Measures:
        """Embed the rows that are shown; a spoofed part of them is the buyer's own."""
        buyer, n_markets = floor.world.buyer, len(floor.seeds)
        target_x, target_y = buyer.features(buyer.x[:, : self.targets]), buyer.y[:, : self.targets]
        place = torch.arange(target_y.shape[1], device=target_y.device)
        counted = (place < buyer.size[:, None]).double()
        parts_x = buyer.features(shown.x.flatten(1, 2)).unflatten(1, shown.y.shape[1:])
        target = self._embedded(target_x, target_y, counted).expand(n_markets, -1, -1)
        counted = counted.expand(n_markets, -1)
        parts = self._embedded(parts_x, shown.y, shown.mask)
        parts = _spoofed(
            parts, shown.size, target, buyer.size.expand(n_markets).clamp(max=self.targets), spoof
        )
        if not self.private:
            return Measures(parts, shown.mask, target, counted)
        # features have variance 1
        anchors = reference(floor.keys("anchors"), self.anchors, target.shape[-1], self.spread)
        return Measures(
            interpolate(parts, anchors[:, None], self.mix, shown.mask),
            shown.mask,
            interpolate(target, anchors, self.mix, counted),
            counted,
            1 / (1 - self.mix),
        )

    def wad(
        self, measures: Measures, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets mixtures"]:
        """CombineWad of every mixture."""
        known = (measures.parts, mixtures, measures.target, measures.weights, measures.counted)
        # along the same directions always, so that a market's numbers are those of its batch
        if self.method == "sliced":
            return measures.scale * combine_wad(*known, method="sliced", n_directions=DIRECTIONS)
        return measures.scale * combine_wad(*known, method=self.method)

    @property
    def remembered(self) -> int:
        """How many potentials of each mixture ``wad_again`` hands on: those of the buyer's
        examples, where there are any.
        """
        return self.targets if self.method == "fast" else 0

    def wad_again(
        self,
        measures: Measures,
        mixtures: Float64[Tensor, "markets mixtures sellers"],
        last: Float64[Tensor, "markets others sellers"],
        potentials: Float64[Tensor, "markets others remembered"],
    ) -> tuple[Float64[Tensor, "markets mixtures"], Float64[Tensor, "markets mixtures remembered"]]:
        """CombineWad of every mixture, and the potentials by which it was found, for the next
        round.

        last, potentials: mixtures of the last round and what it found of them, 0 where there was
            none. They belong to the buyer's
        examples, which stay when rows and anchors are others. A mixture that was not measured
        begins anew: another one's do not help it.
        """
        if not self.remembered:
            return self.wad(measures, mixtures), potentials
        apart, nearest = torch.cdist(mixtures, last, p=1).min(-1, keepdim=True)
        start = potentials.gather(1, nearest.expand(-1, -1, potentials.shape[-1])).masked_fill(
            apart > 0, 0.0
        )
        width = measures.target.shape[1]
        known = (measures.parts, mixtures, measures.target, measures.weights, measures.counted)
        found = combine(*known, start=start[..., :width])
        return measures.scale * found.wad, torch.nn.functional.pad(
            found.g, (0, self.remembered - width)
        )

    def between(self, one: Measures, two: Measures) -> Float64[Tensor, "markets sellers"]:
        """Distance of each seller's rows from its own other ones; exactly 0 where they agree."""
        method = "sliced" if self.method == "sliced" else "exact"
        return one.scale * wasserstein2(
            one.parts, two.parts, one.weights, two.weights, method=method
        )

    def slopes(
        self, measures: Measures, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> tuple[Float64[Tensor, "markets mixtures"], Float64[Tensor, "markets mixtures sellers"]]:
        """CombineWad of every mixture, and its slope in each seller's share; not of sliced
        distances.
        """
        found = combine(
            measures.parts,
            mixtures,
            measures.target,
            measures.weights,
            measures.counted,
            method=self.method,
        )
        return measures.scale * found.wad, measures.scale * found.gradient

    def _embedded(self, x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Features, the label's moments among the owner's rows, and the label itself where a
        vocabulary is agreed on.
        """
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
    """Labels of rows that have one; of the others, the class whose mean among the buyer's
    examples is nearest.
    """
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
    """The first part of each seller's rows replaced by rows of the buyer, one after another.

    size, targets: how many rows of each seller, and of the buyer, count
    """
    width = torch.arange(parts.shape[2], device=parts.device)
    market = torch.arange(len(target), device=parts.device)[:, None]
    fake = target[market, width % targets[:, None]][:, None].expand_as(parts)
    return torch.where(((width + 0.5) / size[..., None] < spoof[..., None])[..., None], fake, parts)
