"""Align every seller's model to every buyer, and merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.alignment.ascent import norms
from marketenv.alignment.spec import Permutations, check_spec, invert, join, permute, split
from marketenv.alignment.weight_matching import match_among
from marketenv.core import draws
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.bank import Layout

Offers = Float[Tensor, "markets buyers sellers params"]
PairOrders = Int[Tensor, "markets pairs units"]


class Aligned(NamedTuple):
    """The result of an alignment.

    offers: every seller's model as it lies on the buyer's   [markets, buyers, sellers, params]
    orders: of the units, for the pairs b < s in the order of (0, 1), (0, 2), ..., all permutations
            side by side in the spec's order; -1 for a pair without orders
                                                             int64 [markets, pairs, units]
    """

    offers: Offers
    orders: PairOrders


# (params, layout, permutations, keys of the random draws [markets], the last round's orders) ->
# Aligned
Alignment = Callable[
    [Parameters, Layout, Permutations | None, Int[Tensor, "markets"], PairOrders], Aligned
]


def no_orders(
    n_markets: int,
    n_agents: int,
    permutations: Permutations | None,
    layout: Layout,
    device: torch.device | str = "cpu",
) -> PairOrders:
    """Return the orders before the first alignment: all -1.

    int64 [n_markets, n_agents (n_agents - 1) / 2, sum of the permutations' lengths]

    Raises ValueError for permutations that do not fit the layout.

    >>> no_orders(5, 4, {"h": (("w", 0),)}, Layout((("w", (3, 2)),))).shape
    torch.Size([5, 6, 3])
    """
    units = sum(check_spec(layout, permutations or {}).values())
    return torch.full((n_markets, n_agents * (n_agents - 1) // 2, units), -1, device=device)


def none(
    params: Parameters,
    layout: Layout,
    permutations: Permutations | None,
    keys: Int[Tensor, "markets"],
    orders: PairOrders,
) -> Aligned:
    """Offer every model as it is.

    offers[m, b, s] = params[m, s]

    params: parameters   [markets, agents, params]
    orders: returned as they are; the other arguments are not used

    Returns a view [markets, buyers, sellers, params] to be read only: one model stands in all its
    buyers' rows.

    >>> models, layout = torch.tensor([[[1.0], [2.0]]]), Layout((("w", (1,)),))
    >>> orders = no_orders(1, 2, None, layout)
    >>> none(models, layout, None, torch.tensor([0]), orders).offers.squeeze()
    tensor([[1., 2.],
            [1., 2.]])
    """
    return Aligned(params[:, None].expand(-1, params.shape[1], -1, -1), orders)


def weight_matching(
    params: Parameters,
    layout: Layout,
    permutations: Permutations | None,
    keys: Int[Tensor, "markets"],
    orders: PairOrders,
    restarts: int = 1,
    warm: bool = True,
) -> Aligned:
    """Offer every model with its hidden units reordered to lie on the buyer's.

    offers[m, b, s] = P_bs params[m, s] for b < s, P_bs by Git Re-Basin weight matching;
    P_sb = P_bs^-1;   P_bb = 1

    params: parameters          [markets, agents, params]
    keys:   of the random draws int64 [markets]
    orders: those of the last round, from which the matching starts; -1 where a pair has none
    restarts: as in ``match``;   warm: False starts anew every time; bind both with
            functools.partial

    Returns offers [markets, buyers, sellers, params] and their orders. In a pair with a model that
    is not finite both are offered as they are, and its orders are -1.

    Raises ValueError where the model states no permutations (None), or some that do not fit its
    layout, and for orders that are no permutations.

    Source: Huang, Vishwakarma, Sala (NeurIPS 2023), section 3, step 2; Ainsworth et al. (2022),
    Algorithm 1. We differ: each pair is solved once, since the objective of (s, b) is that of (b,
    s) at the inverse; and from round to round we follow an optimum as the models move.
    """
    if permutations is None:
        raise ValueError(
            "alignment 'weight_matching' got permutations None, wanted name -> ((tensor, axis),"
            " ...): this model states no hidden units that may be reordered. Choose"
            ' alignment="none".'
        )
    n_markets, n = params.shape[:2]
    wanted = (n_markets, n * (n - 1) // 2, sum(check_spec(layout, permutations).values()))
    if orders.shape != wanted:
        raise ValueError(
            f"orders are {list(orders.shape)}, wanted [markets, pairs, units] {list(wanted)}; begin"
            " with no_orders."
        )
    buyer, seller = torch.triu_indices(n, n, 1, device=params.device)
    models, first = params.flatten(0, 1), n * torch.arange(n_markets, device=params.device)[:, None]
    target, source = (first + buyer).flatten(), (first + seller).flatten()
    pair_keys = draws.fold(keys[:, None], "weight_matching", buyer, seller).flatten()
    start = split(layout, permutations, orders.flatten(0, 1)) if warm else None
    new = match_among(
        layout, permutations, models, target, source, pair_keys, start, restarts=restarts
    )
    offers = params.new_empty(n_markets, n, n, layout.size)
    offers.diagonal(dim1=1, dim2=2).copy_(params.mT)
    shape = (n_markets, len(buyer), layout.size)
    there = permute(layout, permutations, models[source], new)
    back = permute(layout, permutations, models[target], invert(new))
    offers[:, buyer, seller], offers[:, seller, buyer] = there.view(shape), back.view(shape)
    sound = norms(models).isfinite()
    joined = join(new, pair_keys).where((sound[target] & sound[source])[:, None], -1)
    return Aligned(offers, joined.view(orders.shape))


ALIGNMENTS: dict[str, Alignment] = {
    "none": none,
    "weight_matching": weight_matching,
}


def merge(own: Parameters, offers: Offers, alpha: PerPair, mask: Float[Tensor, "params"]) -> Offers:
    """Move every buyer's model towards every offer.

    merged[m, b, s] = own[m, b] + alpha[m, b, s] * mask * (offers[m, b, s] - own[m, b])

    own:    parameters                        [markets, agents, params]
    offers: aligned parameters                [markets, buyers, sellers, params]
    alpha:  weight of the offer, 0 to 1       [markets, buyers, sellers]
    mask:   1 where a parameter is traded     [params], from ``layer_mask``
    Returns [markets, buyers, sellers, params]. Where only some layers are traded, the offer is
    still aligned as a whole model, and the buyer takes the traded layers of that aligned model:
    they fit the order of its own other layers.

    Source: Train 'n Trade (2023), section 3: theta_u <- (1 - alpha) theta_u + alpha P(theta_v).

    >>> own, offers = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[[4.0, 4.0]]]])
    >>> merge(own, offers, torch.tensor([[[0.25]]]), torch.tensor([1.0, 0.0]))
    tensor([[[[1., 0.]]]])
    """
    step = offers - own[:, :, None]
    return step.mul_(mask.to(step)).mul_(alpha.to(step)[..., None]).add_(own[:, :, None])


def layer_mask(
    layout: Layout, layers: tuple[tuple[str, ...], ...], chosen: tuple[int, ...] | None
) -> Float[Tensor, "params"]:
    """Ones where a parameter belongs to a traded layer, zeros elsewhere.

    layers: the tensor names of each layer, input first
    chosen: layer numbers from 0, None for all

    Returns float32 [params]. Raises ValueError for a layer number or a tensor name that does not
    exist.

    >>> layer_mask(Layout((("w", (2,)), ("v", (1,)))), (("w",), ("v",)), (1,))
    tensor([0., 0., 1.])
    """
    wanted = tuple(range(len(layers))) if chosen is None else chosen
    wrong = [number for number in wanted if not 0 <= number < len(layers)]
    if wrong:
        raise ValueError(
            f"the model has {len(layers)} layers, and {wrong} were chosen: choose from 0 to"
            f" {len(layers) - 1}."
        )
    names = [name for number in wanted for name in layers[number]]
    strange = [name for name in names if name not in layout.slices]
    if strange:
        raise ValueError(
            f"layers name {strange}, but the layout holds {list(layout.slices)}; pass the learner's"
            " own layers."
        )
    return layout.mask(names)
