"""The weight of an offer by a grid of losses, with the first layer computed once a model.

A merged model lies on the line from the buyer's model to the offer, and the first layer's outputs
are linear in its parameters: those of a merged model are a mixture of those at the line's ends, and
those of an offer with reordered units are its seller's, reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.alignment.alpha import (
    LIMIT_BYTES,
    PAPER_GRID,
    BestWeights,
    Losses,
    OnGrid,
    Pairs,
    best_of,
    grid_of,
    losses_of_merges,
    pairs_of,
)
from marketenv.alignment.merge import Offers, PairOrders
from marketenv.alignment.spec import Permutations, split
from marketenv.core.axes import Parameters, slices
from marketenv.core.bank import Layout, finite

Ways = Int[Tensor, "markets buyers sellers width"]
Rows = Int[Tensor, "markets pairs units"]
Outputs = Float[Tensor, "markets k units *rest"]
Ends = Float[Tensor, "markets pairs units *rest"]
Flat = Float[Tensor, "markets k params"]
Behind = Float[Tensor, "markets k behind"]


@dataclass(frozen=True)
class ByLayers:
    """How models of markets are scored on the markets' data in two parts: first layer, and rest.

    layout, permutations: of the models
    first:   names of the first layer's tensors, the weight first
    outputs: (models [markets, k, params], which markets) -> outputs of the first layer [markets, k,
             units, ...], linear in its tensors; reordering axis 0 of all its tensors reorders the
             units alike
    rest:    (outputs, which it may overwrite, all other tensors by name [markets, k, *shape], which
             markets) -> losses [markets, k]
    losses:  (models [markets, k, params], which markets) -> losses [markets, k]
    at_once: number of models whose losses are computed in one call
    """

    layout: Layout
    permutations: Permutations
    first: tuple[str, ...]
    outputs: Callable[[Flat, slice], Outputs]
    rest: Callable[[Outputs, dict[str, Tensor], slice], Tensor]
    losses: Callable[[Flat, slice], Tensor]
    at_once: int

    @cached_property
    def behind(self) -> Layout:
        """The tensors behind the first layer."""
        return Layout(tuple(item for item in self.layout.shapes if item[0] not in self.first))

    @cached_property
    def in_first(self) -> Bool[Tensor, "params"]:
        """Which parameters belong to the first layer."""
        return self.layout.mask(self.first) > 0

    def flat_behind(self, models: Flat) -> Behind:
        """The parameters behind the first layer."""
        parts = [models[..., self.layout.slices[name]] for name, _ in self.behind.shapes]
        return torch.cat([models[..., :0], *parts], -1)


def alpha_grid_by_layers(
    model: ByLayers,
    own: Parameters,
    offers: Offers,
    orders: PairOrders | None,
    mask: Float[Tensor, "params"],
    grid: tuple[float, ...] = PAPER_GRID,
    limit_bytes: int = LIMIT_BYTES,
) -> BestWeights:
    """Find what ``alpha_grid`` finds, but compute the first layer once a model.

    alpha[m, b, s] = argmin over a in grid of rest(z_own + a * (z_end - z_own));
    end[m, b, s] = own[m, b] + mask * (offers[m, b, s] - own[m, b])

    z are outputs of the first layer. z_end is that of the seller, reordered, where ``orders`` are
    given and the whole layer is traded; it is z_own where none of the layer is traded. Elsewhere it
    is computed. Where whole models are traded by ``orders``, pairs are mirrored as in
    ``alpha_grid``.

    model:  how models are scored
    orders: of the units, as an alignment returns them, where every offer is its seller's model in
            this order, or as it is, and place s that of seller s; None for all other offers
    own, offers, mask, grid: as in ``alpha_grid``
    limit_bytes: most that the offers of one run of markets may take; one market is the least

    Losses are equal to those of ``alpha_grid`` up to rounding.
    """
    (n_markets, n, places, size), weights = offers.shape, grid_of(grid, own)
    pairs, mask = pairs_of(own, offers, mask, grid, orders is not None), mask.to(own)
    ways = None if orders is None else _ways(model, orders, n)
    parts = []
    for some in slices(n_markets, max(1, limit_bytes // (n * places * size * own.element_size()))):
        merges = (own[some], offers[some], mask, pairs)
        lines = lines_of(model, *merges, None if ways is None else ways[some])
        on_grid = lines.losses(weights, some)
        # a sum of large numbers may overflow in the parts alone
        if bool((overflow := on_grid.isnan()).any()):
            whole = losses_of_merges(_of(model, some), *merges, weights, limit_bytes)
            on_grid = torch.where(overflow, whole.to(on_grid), on_grid)
        parts.append(on_grid)
    return best_of(torch.cat(parts), pairs, weights, offers)


def _of(model: ByLayers, some: slice) -> Losses:
    """The losses of whole models of some markets."""
    return lambda models: model.losses(models, some)


def _ways(model: ByLayers, orders: PairOrders, n: int) -> Ways:
    """How the first layer's units of every seller lie on every buyer's.

    They lie as they are where the alignment has no orders.
    """
    units = dict(model.layout.shapes)[model.first[0]][0]
    ways = torch.arange(units, device=orders.device).repeat(len(orders), n, n, 1)
    places = model.permutations.items()
    name = next((name for name, some in places if (model.first[0], 0) in some), None)
    if name is None or n == 1:
        return ways
    there = split(model.layout, model.permutations, orders.flatten(0, 1))[name]
    there = torch.where(there < 0, ways[0, 0, 0], there).view(*orders.shape[:2], units)
    b, s = torch.triu_indices(n, n, 1, device=orders.device)
    ways[:, b, s], ways[:, s, b] = there, there.argsort(-1)
    return ways


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines from buyers' models to their offers in some markets, a line for every pair.

    own:    models                                             [markets, agents, params]
    buyer:  of every pair                                      [pairs]
    rows:   where the first layer's units at the end of a line stand among those of all models of
            the market; None where they are of none of them    [markets, pairs, units]
    ends:   the models at the ends, where there are no rows    [markets, pairs, params]
    behind, step: the parameters behind the first layer where a line starts, and the way from there
            to its end                                         [markets, pairs, behind]
    sound:  whether both ends are finite                       [markets, pairs]
    """

    model: ByLayers
    own: Parameters
    buyer: Int[Tensor, "pairs"]
    rows: Rows | None
    ends: Flat | None
    behind: Behind
    step: Behind
    sound: Bool[Tensor, "markets pairs"]

    def losses(self, weights: Float[Tensor, "points"], some: slice) -> OnGrid:
        """Losses at every weight; inf where an end is not finite, NaN elsewhere if they are not.

        some: which of all markets these are
        """
        width, space = len(self.buyer) * len(weights), self.own.new_empty(0)
        parts = [
            self._of_markets(markets, weights, _shift(markets, some.start), space)
            for markets in slices(len(self.own), max(1, self.model.at_once // max(1, width)))
        ]
        on_grid = torch.cat(parts)
        on_grid = on_grid.where(on_grid.isfinite(), torch.nan)
        return on_grid.where(self.sound[..., None], torch.inf)

    def _of_markets(
        self, markets: slice, weights: Float[Tensor, "points"], some: slice, space: Tensor
    ) -> OnGrid:
        """Losses of some markets, or of one market in pieces; space: memory for mixtures."""
        model, first = self.model, self.model.outputs(self.own[markets], some)
        at_once, parts = max(1, model.at_once // len(first)), [first.new_empty(len(first), 0)]
        for pairs in slices(len(self.buyer), max(1, at_once // len(weights))):
            start = first.index_select(1, self.buyer[pairs])
            drift = self._ends(first, markets, pairs, some).sub_(start)
            for points in weights.split(at_once):
                behind = _between(self.behind[markets, pairs], self.step[markets, pairs], points)
                outputs = _between(start, drift, points, space)
                parts.append(model.rest(outputs, model.behind.views(behind), some))
        return torch.cat(parts, 1).view(len(first), len(self.buyer), len(weights))

    def _ends(self, first: Outputs, markets: slice, pairs: slice, some: slice) -> Ends:
        """Outputs of the first layer at the ends of lines."""
        if self.rows is not None:
            return _rows_of(first, self.rows[markets, pairs])
        assert self.ends is not None
        return self.model.outputs(self.ends[markets, pairs], some)


def lines_of(
    model: ByLayers,
    own: Parameters,
    offers: Offers,
    mask: Float[Tensor, "params"],
    pairs: Pairs,
    ways: Ways | None,
) -> Lines:
    """The lines of all pairs, and where the first layer's outputs at their ends are read off."""
    buyer, place, _ = pairs
    start, pair = own.index_select(1, buyer), buyer * offers.shape[2] + place
    step = (offers.flatten(1, 2).index_select(1, pair) - start).mul_(mask)
    sound = finite(own)[:, buyer] & finite(step)
    behind, traded = (model.flat_behind(start), model.flat_behind(step)), mask.cpu()[model.in_first]
    units, rows = dict(model.layout.shapes)[model.first[0]][0], None
    if not bool(traded.any()):
        stay = torch.arange(units, device=buyer.device) + units * buyer[:, None]
        rows = stay.expand(len(own), -1, -1)
    elif ways is not None and bool((traded == 1).all()):
        rows = ways.flatten(1, 2).index_select(1, pair) + units * place[:, None]
    ends = start + step if rows is None else None
    return Lines(model, own, buyer, rows, ends, *behind, sound)


def _rows_of(
    models: Float[Tensor, "markets k units *rest"], rows: Rows
) -> Float[Tensor, "markets pairs units *rest"]:
    """Rows of all units of each market's models."""
    each = models.shape[1:3].numel() * torch.arange(len(rows), device=rows.device)
    chosen = models.flatten(0, 2).index_select(0, (rows + each[:, None, None]).flatten())
    return chosen.view(*rows.shape, *models.shape[3:])


def _between(
    start: Float[Tensor, "markets pairs *rest"],
    drift: Float[Tensor, "markets pairs *rest"],
    weights: Float[Tensor, "points"],
    space: Tensor | None = None,
) -> Float[Tensor, "markets k *rest"]:
    """start + weight * drift, k = pair * points + point; in the memory of ``space``, if given.

    Memory that is used again is in the cache: on a CPU this is a third faster.
    """
    shape = (*start.shape[:2], len(weights), *start.shape[2:])
    out = start.new_empty(shape) if space is None else space.resize_(shape)
    weights = weights.view(-1, *[1] * (start.dim() - 2))
    return torch.addcmul(start[:, :, None], drift[:, :, None], weights, out=out).flatten(1, 2)


def _shift(some: slice, by: int) -> slice:
    return slice(some.start + by, some.stop + by)
