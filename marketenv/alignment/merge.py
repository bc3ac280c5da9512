"""Align every seller's model to every buyer, and merge."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.alignment.spec import Permutations, invert, permute
from marketenv.alignment.weight_matching import match
from marketenv.core import draws
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.bank import Layout

Offers = Float[Tensor, "markets buyers sellers params"]
Alignment = Callable[[Parameters, Layout, Permutations | None, Int[Tensor, "markets"]], Offers]


def none(params: Parameters, layout: Layout, permutations: Permutations | None, keys: Int[Tensor, "markets"]) -> Offers:
    """Offer every model as it is.

    offers[m, b, s] = params[m, s]

    params: parameters   [markets, agents, params];   the other arguments are not used
    Returns a view [markets, buyers, sellers, params] to be read only: one model stands in all its buyers' rows.

    >>> none(torch.tensor([[[1.0], [2.0]]]), Layout((("w", (1,)),)), None, torch.tensor([0])).squeeze()
    tensor([[1., 2.],
            [1., 2.]])
    """
    return params[:, None].expand(-1, params.shape[1], -1, -1)


def weight_matching(
    params: Parameters,
    layout: Layout,
    permutations: Permutations | None,
    keys: Int[Tensor, "markets"],
    restarts: int = 1,
) -> Offers:
    """Offer every model with its hidden units reordered to lie on the buyer's.

    offers[m, b, s] = P_bs params[m, s] for b < s, P_bs by Git Re-Basin weight matching;   P_sb = P_bs^-1;   P_bb = 1

    params: parameters   [markets, agents, params];   keys: of the random draws   int64 [markets]
    restarts: as in ``match``; bind it with functools.partial
    Returns [markets, buyers, sellers, params]. A model that is not finite is offered, and shown to others, as they are.

    Raises ValueError where the model states no permutations (None), or some that do not fit its layout.

    Source: Huang, Vishwakarma, Sala (NeurIPS 2023), section 3, step 2; Ainsworth et al. (2022), Algorithm 1. We differ:
    each pair is solved once, since the objective of (s, b) is that of (b, s) at the inverse.
    """
    if permutations is None:
        raise ValueError(
            "alignment 'weight_matching' got permutations None, wanted name -> ((tensor, axis), ...): this model states "
            'no hidden units that may be reordered. Choose alignment="none".'
        )
    n = params.shape[1]
    buyer, seller = torch.triu_indices(n, n, 1, device=params.device)
    pair_keys = draws.fold(keys[:, None], "weight_matching", buyer, seller).flatten()
    target, source = params[:, buyer].flatten(0, 1), params[:, seller].flatten(0, 1)
    orders = match(layout, permutations, target, source, pair_keys, restarts=restarts)
    offers = params.new_empty(len(params), n, n, layout.size)
    offers.diagonal(dim1=1, dim2=2).copy_(params.mT)
    offers[:, buyer, seller] = permute(layout, permutations, source, orders).unflatten(0, (len(params), -1))
    offers[:, seller, buyer] = permute(layout, permutations, target, invert(orders)).unflatten(0, (len(params), -1))
    return offers


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
    Returns [markets, buyers, sellers, params]. Where only some layers are traded, the offer is still aligned as a whole
    model, and the buyer takes the traded layers of that aligned model: they fit the order of its own other layers.

    Source: Train 'n Trade (2023), section 3: theta_u <- (1 - alpha) theta_u + alpha P(theta_v).

    >>> own, offers = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[[4.0, 4.0]]]])
    >>> merge(own, offers, torch.tensor([[[0.25]]]), torch.tensor([1.0, 0.0]))
    tensor([[[[1., 0.]]]])
    """
    step = offers - own[:, :, None]
    return step.mul_(mask.to(step)).mul_(alpha.to(step)[..., None]).add_(own[:, :, None])


def layer_mask(layout: Layout, layers: tuple[tuple[str, ...], ...], chosen: tuple[int, ...] | None) -> Float[Tensor, "params"]:
    """Ones where a parameter belongs to a traded layer, zeros elsewhere.

    layers: the tensor names of each layer, input first;   chosen: layer numbers from 0, None for all   float32 [params]

    Raises ValueError for a layer number or a tensor name that does not exist.

    >>> layer_mask(Layout((("w", (2,)), ("v", (1,)))), (("w",), ("v",)), (1,))
    tensor([0., 0., 1.])
    """
    wanted = tuple(range(len(layers))) if chosen is None else chosen
    wrong = [number for number in wanted if not 0 <= number < len(layers)]
    if wrong:
        raise ValueError(f"layers {wrong} were chosen, but this model has {len(layers)}: choose from 0 to {len(layers) - 1}.")
    names = [name for number in wanted for name in layers[number]]
    strange = [name for name in names if name not in layout.slices]
    if strange:
        raise ValueError(f"layers name {strange}, but the layout holds {list(layout.slices)}; pass the learner's own layers.")
    return layout.mask(names)
