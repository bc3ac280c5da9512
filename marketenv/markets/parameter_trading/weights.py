"""The weight at which a buyer merges a seller's parameters into its own.

``WEIGHTS`` is the table of rules: a new one is a function from a ``Merger`` to a ``Weighed`` and
one line there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.alignment import Aligned, alpha_grid, merge, offered
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.precision import full_precision
from marketenv.markets.parameter_trading.worlds import TradingWorlds

WEIGHT_RULE = "a callable Merger -> Weighed"


@dataclass(frozen=True)
class Merger:
    """What a weight rule decides from.

    world:  of every market: the broker's data, true parameters, shares of data
    models: of every agent                       [markets, agents, params]
    offers: aligned models of the sellers        [markets, buyers, sellers, params]
    mask:   1 for parameters that are traded     [params]
    sellers: whose offers these are, where each buyer tries a few; None: of all agents in order
                                                 [markets, buyers, places]
    aligned: the offers of all agents before they changed them, and the orders of the units; None
            where buyers try a few, or a user's own alignment made them
    changed: whose offers differ from these      [markets, agents]
    """

    world: TradingWorlds
    models: Parameters
    offers: Float[Tensor, "markets buyers sellers params"]
    mask: Float[Tensor, "params"]
    sellers: Int[Tensor, "markets buyers places"] | None = None
    aligned: Aligned | None = None
    changed: Bool[Tensor, "markets agents"] | None = None

    def merged(self, alpha: PerPair) -> Float[Tensor, "markets buyers sellers params"]:
        """Every buyer's model after each purchase at these weights."""
        return merge(self.models, self.offers, alpha, self.mask)


@dataclass(frozen=True)
class Weighed:
    """The weight of every purchase in [0, 1], and the buyer's loss on the broker's data then."""

    alpha: PerPair
    loss: PerPair


def weighed(merger: Merger, alpha: PerPair) -> Weighed:
    """Weights, and the buyers' losses at them."""
    loss = merger.world.loss(merger.merged(alpha).flatten(1, 2))
    return Weighed(alpha, loss.view_as(alpha))


def grid(merger: Merger) -> Weighed:
    """The best of the paper's ten weights by the broker's data; see ``alpha_grid``."""
    if merger.aligned is None:
        return _searched(merger, merger.offers, None)
    weights, changed = _searched(merger, *merger.aligned), merger.changed
    if changed is None or not bool(changed.any()):
        return weights
    # the other sellers' numbers do not depend on who changes an offer
    others = _searched(merger, merger.offers, None)
    return Weighed(
        torch.where(changed[:, None], others.alpha, weights.alpha),
        torch.where(changed[:, None], others.loss, weights.loss),
    )


def _searched(
    merger: Merger,
    offers: Float[Tensor, "markets buyers sellers params"],
    orders: Int[Tensor, "markets pairs units"] | None,
) -> Weighed:
    """The best weights of offers; orders: by which they are their sellers' models, if they are."""
    world, merges = merger.world, (merger.models, offers, merger.mask)
    if world.by_layers:
        return Weighed(*world.grid_by_layers(*merges, orders))
    # pieces of the size of the cache on a CPU, large ones on a GPU
    limit = 2**24 if offers.device.type == "cpu" else 2**29
    best = alpha_grid(world.loss, *merges, limit_bytes=limit, mirrored=orders is not None)
    return Weighed(best.alpha, best.loss)


def closed_form(merger: Merger) -> Weighed:
    """The best weight by the broker's data; ValueError where the loss is not quadratic.

    See ``alpha_closed_form``.
    """
    if not merger.world.quadratic:
        raise ValueError(
            'alpha="closed_form" wants a learner whose loss is quadratic (learner="linear"); use'
            ' alpha="grid".'
        )
    return weighed(merger, merger.world.best_weights(merger.models, merger.offers, merger.mask))


@full_precision()
def by_share(merger: Merger) -> Weighed:
    """The weight by data, as federated averaging weighs two models (McMahan et al. 2017).

    alpha[b, s] = n_s / (n_b + n_s),   0 for oneself
    """
    shares = merger.world.shares
    others = shares[:, None]
    if merger.sellers is not None:
        others = others.expand(-1, shares.shape[1], -1).gather(2, merger.sellers)
    alpha = others / (shares[:, :, None] + others)
    return weighed(merger, alpha * offered(merger.models, merger.offers))


def auto(merger: Merger) -> Weighed:
    """The closed form where the broker's loss is quadratic, and the grid elsewhere."""
    return closed_form(merger) if merger.world.quadratic else grid(merger)


WEIGHTS: dict[str, Callable[[Merger], Weighed]] = {
    "auto": auto,
    "grid": grid,
    "closed_form": closed_form,
    "by_share": by_share,
}
