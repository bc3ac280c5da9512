"""The weight at which a buyer merges a seller's parameters into its own.

``WEIGHTS`` is the table of rules: a new one is a function from a ``Merger`` to a ``Weighed`` and
one line there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.alignment import alpha_grid, merge
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
    """

    world: TradingWorlds
    models: Parameters
    offers: Float[Tensor, "markets buyers sellers params"]
    mask: Float[Tensor, "params"]

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
    # pieces of the size of the cache on a CPU, large ones on a GPU
    limit = 2**24 if merger.models.device.type == "cpu" else 2**29
    best = alpha_grid(
        merger.world.loss, merger.models, merger.offers, merger.mask, limit_bytes=limit
    )
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
    alpha = shares[:, None] / (shares[:, :, None] + shares[:, None])
    itself = torch.eye(alpha.shape[1], dtype=torch.bool, device=alpha.device)
    return weighed(merger, alpha * ~itself)


def auto(merger: Merger) -> Weighed:
    """The closed form where the broker's loss is quadratic, and the grid elsewhere."""
    return closed_form(merger) if merger.world.quadratic else grid(merger)


WEIGHTS: dict[str, Callable[[Merger], Weighed]] = {
    "auto": auto,
    "grid": grid,
    "closed_form": closed_form,
    "by_share": by_share,
}
