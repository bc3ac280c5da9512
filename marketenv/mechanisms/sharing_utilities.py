"""What the clients gain, pay and are left with, by their true types. Source: arXiv 2505.02462."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.mechanisms.gain_families import GainFamily
from marketenv.mechanisms.sharing_terms import ClientTypes, Trades


def utilities(
    types: ClientTypes, gain: GainFamily, trades: Trades, prices: PerPair
) -> Float64[Tensor, "markets clients"]:
    """Each client's utility in a round.

    U_i = g(T_i; K_i) - g(N_i; K_i) - c_i * (models that i sells) - (sum_j r_ij - sum_k r_ki)

    types: the true ones;   trades, prices: [markets, buyers, sellers]
    Returns money, float64 [markets, clients]. Raises ValueError for shapes that disagree. The
    distance of a model is no loss here: it only makes the model cheaper.
    """
    clients = types.sizes.shape[1]
    if not trades.shape == prices.shape == (*types.sizes.shape, clients):
        raise ValueError(
            f"trades {list(trades.shape)} and prices {list(prices.shape)} do not fit types"
            f" {list(types.sizes.shape)}; wanted [{len(types.sizes)}, {clients}, {clients}]."
        )
    paid = prices.sum(-1) - prices.sum(-2)
    return gains(types, gain, trades) - sale_costs(types, trades) - paid


def sale_costs(types: ClientTypes, trades: Trades) -> Float64[Tensor, "markets clients"]:
    """What the sales of a round cost each client: c_i * (models that i sells).

    types: the true ones;   trades: whose model each buyer gets   [markets, buyers, sellers]
    Returns money, float64 [markets, clients].

    >>> ones, trades = torch.ones(1, 2).double(), torch.tensor([[[False, True], [False, False]]])
    >>> sale_costs(ClientTypes(ones, 1.5 * ones, ones), trades)
    tensor([[0.0000, 1.5000]], dtype=torch.float64)
    """
    # a cost of inf means not for sale, and 0 * inf is no number
    return torch.where(trades.any(-2), types.costs * trades.sum(-2), 0.0)


def gains(
    types: ClientTypes, gain: GainFamily, trades: Trades
) -> Float64[Tensor, "markets clients"]:
    """What the models that each client buys are worth to it: G_i = g(T_i; K_i) - g(N_i; K_i).

    types, trades: as in ``utilities``
    Returns money, float64 [markets, clients].

    >>> from marketenv.mechanisms import GAINS
    >>> ones, trades = torch.ones(1, 2).double(), torch.tensor([[[False, True], [False, False]]])
    >>> types = ClientTypes(ones, ones, torch.tensor([[100.0, 0.0]]).double())
    >>> gains(types, GAINS["inverse_sqrt"](), trades)  # 10 - 10 / sqrt(2)
    tensor([[2.9289, 0.0000]], dtype=torch.float64)
    """
    added = (trades.to(types.sizes.dtype) @ types.sizes[..., None]).squeeze(-1)
    return gain.marginal(types.sizes, added, types.needs)
