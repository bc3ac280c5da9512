"""Collaboration graphs, who buys whose model: all rows of all markets at once.

A graph is ``SharingTerms -> bool [markets, buyers, sellers]``. Rows are independent: a buyer's set
depends only on the reports and on its own discounts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.mechanisms.gain_families import GainFamily
from marketenv.mechanisms.sharing_terms import Queue, SharingTerms, Trades

Rows = Float64[Tensor, "rows others"]
Surplus = Float64[Tensor, "rows subsets"]

MOST_EXACT = 12  # clients; the exact graph tries 2^(clients - 1) sets for every buyer
AT_ONCE = 2**20  # numbers in one intermediate tensor, 8 MiB: larger ones leave the cache


def break_graph(terms: SharingTerms) -> Trades:
    """Buy in the order of the thresholds until the first seller that is not worth its hurdle.

    T_0 = N_i;   buy the k-th in the queue while g(T_k + N_j) - g(T_k) > C_ij,   T_(k+1) = T_k + N_j

    Returns bool [markets, buyers, sellers]. With equal sizes it is the exact graph. A seller whose
    reported size is large but whose hurdle is not met may come first and end the row;
    ``continue_graph`` passes it by. Source: Algorithm 2, arXiv 2505.02462.

    >>> from marketenv.mechanisms import ClientTypes
    >>> costs, needs = torch.tensor([[[9.0, 1.5, 2.0]], [[100.0, 0.0, 0.0]]]).double()
    >>> reported = ClientTypes(torch.ones(1, 3).double(), costs, needs)
    >>> break_graph(SharingTerms(reported, torch.zeros(1, 3, 3).double()))[0, 0]
    tensor([False,  True, False])
    """
    queue = terms.queue
    before = torch.cat([queue.own, queue.own + queue.sizes[..., :-1].cumsum(-1)], -1)
    worth_it = terms.gain.marginal(before, queue.sizes, queue.need) > queue.hurdles
    return queue.back(worth_it.cummin(-1).values)


def continue_graph(terms: SharingTerms) -> Trades:
    """As ``break_graph``, but pass by sellers that are not worth their hurdles: never worse.

    Returns bool [markets, buyers, sellers]. Source: ours; Algorithm 2 without its stop.
    """
    queue = terms.queue
    return queue.back(pass_along(terms.gain, queue)[1])


def pass_along(gain: GainFamily, queue: Queue) -> tuple[Tensor, Tensor]:
    """Walk along queues and skip sellers that are not worth their hurdles.

    Returns the total before each place, and whether its seller is bought   [..., buyers, sellers].
    """
    total, need = queue.own[..., 0], queue.need[..., 0]
    totals, trades = [], []
    # contiguous memory for each place
    sizes, hurdles = (x.movedim(-1, 0).contiguous() for x in (queue.sizes, queue.hurdles))
    for size, hurdle in zip(sizes, hurdles, strict=True):
        totals.append(total)
        trades.append(gain.marginal(total, size, need) > hurdle)
        total = total + torch.where(trades[-1], size, 0.0)
    return torch.stack(totals, -1), torch.stack(trades, -1)


def exact_graph(terms: SharingTerms) -> Trades:
    """Give every buyer its best set of sellers by trying them all.

    S_i = argmax over S of g(N_i + sum_S N_j) - g(N_i) - sum_S C_ij; of equally good sets the first
    in binary order

    Returns bool [markets, buyers, sellers]. Raises ValueError above 12 clients. Source: the problem
    that Algorithm 2 of arXiv 2505.02462 approximates.
    """
    return over_subsets(terms, lambda surplus: _members(surplus.argmax(-1), surplus)) > 0.5


def over_subsets(terms: SharingTerms, of_row: Callable[[Surplus], Rows]) -> PerPair:
    """Apply a function to the surplus of all sets of sellers of each buyer.

    of_row: float64 [rows, 2^(clients - 1)] -> float64 [rows, clients - 1]; bit b of a set's number
        stands for the b-th other client of the row
    Returns float64 [markets, buyers, sellers], 0 where there is no pair. Raises ValueError above 12
    clients.
    """
    others, reported = _others(terms), terms.reported
    hurdles = terms.hurdles.gather(-1, others)
    for_sale = hurdles.isfinite()
    sizes = reported.sizes[:, None].expand_as(terms.hurdles).gather(-1, others)
    columns = (torch.where(for_sale, numbers, 0.0) for numbers in (sizes, hurdles))
    rows = (reported.sizes[..., None], reported.needs[..., None], *columns)
    step = max(1, AT_ONCE >> others.shape[-1])
    pieces = zip(*(numbers.flatten(0, 1).split(step) for numbers in rows), strict=True)
    results = torch.cat([of_row(_surplus(terms.gain, *piece)) for piece in pieces])
    results = torch.where(for_sale, results.view_as(hurdles), 0.0)
    return torch.zeros_like(terms.hurdles).scatter(-1, others, results)


def never_bought(terms: SharingTerms) -> Trades:
    """Whether buyer i buys nothing from j, whatever else is for sale: the isolation of attackers.

    g(N_i + N_j) - g(N_i) <= c_j + lambda (N_j / N_i) d_ij

    Returns bool [markets, buyers, sellers]; where it is False, i buys from j if both are alone.
    Source: theorem 3 of arXiv 2505.02462 as a condition, derived here: g is concave, so any other
    purchase lowers the left side.
    """
    reported = terms.reported
    own, need = reported.sizes[..., None], reported.needs[..., None]
    return ~(terms.gain.marginal(own, reported.sizes[:, None], need) > terms.hurdles)


def _others(terms: SharingTerms) -> Tensor:
    """Numbers of the other clients, [markets, buyers, clients - 1]."""
    markets, clients = terms.reported.sizes.shape
    if clients > MOST_EXACT:
        raise ValueError(
            f"the exact graph got {clients} clients; it tries 2^(clients - 1) sets and takes at"
            f" most {MOST_EXACT}. Use graph='continue'."
        )
    place = torch.arange(clients - 1, device=terms.discounts.device)
    buyers = torch.arange(clients, device=terms.discounts.device)[:, None]
    return (place + (place >= buyers)).expand(markets, clients, clients - 1)


def _surplus(
    gain: GainFamily, own: Tensor, need: Tensor, sizes: Tensor, hurdles: Tensor
) -> Surplus:
    """What each set of sellers is worth to its buyer beyond the hurdles: [rows, subsets]."""
    count = sizes.shape[-1]
    member = _bits(torch.arange(2**count, device=sizes.device), count).to(sizes.dtype).mT
    return gain.marginal(own, sizes @ member, need) - hurdles @ member


def _members(numbers: Tensor, surplus: Tensor) -> Rows:
    """1 for the members of the sets with these numbers: [rows, others]."""
    return _bits(numbers, surplus.shape[-1].bit_length() - 1).to(surplus.dtype)


def _bits(numbers: Tensor, count: int) -> Tensor:
    return (numbers[..., None] >> torch.arange(count, device=numbers.device)) & 1


Graph = Callable[[SharingTerms], Trades]

GRAPHS: dict[str, Graph] = {"break": break_graph, "continue": continue_graph, "exact": exact_graph}
