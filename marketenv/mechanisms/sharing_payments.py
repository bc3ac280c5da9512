"""What buyers pay for shared models.

A payment is ``(terms, trades, graph) -> money from buyer to seller [markets, buyers, sellers]``,
where ``graph`` is the name of the graph that drew ``trades``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marketenv.core import tree
from marketenv.core.axes import PerPair
from marketenv.core.checks import named_part
from marketenv.core.lookup import unknown
from marketenv.core.parts import taken
from marketenv.mechanisms.collaboration_graph import (
    AT_ONCE,
    GRAPHS,
    Graph,
    Rows,
    Surplus,
    over_subsets,
    pass_along,
)
from marketenv.mechanisms.sales import Sales, check_unbounded
from marketenv.mechanisms.sharing_terms import Queue, SharingTerms, Trades


@dataclass(frozen=True)
class SharingSales(Sales):
    """Who buys whose model and what is paid for it.

    prices: r_ij, money per model; below 0 the seller pays the buyer   [markets, buyers, sellers]

    With the graphs of the table r_ij >= c_j >= 0, since a model that they buy is worth its hurdle
    at the end too. A negative price needs another graph, with edges worth less than their discount.
    """

    @property
    def transfers(self) -> PerPair:
        """Money from payer to payee, >= 0: a negative price runs the other way."""
        return self.prices.clamp(min=0.0) + (-self.prices).clamp(min=0.0).mT


def share_models(
    terms: SharingTerms, *, graph: str | Graph = "break", payment: str | SharingPayment = "marginal"
) -> SharingSales:
    """Draw the collaboration graph and price its edges.

    graph: a name of ``GRAPHS`` or a function of its shape
    payment: a name of ``SHARING_PAYMENTS`` or such a function

    What is not for sale is not bought, whatever the graph says: a model of one's own or of an
    absent client, one at distance inf, one whose reported cost is inf. A graph or payment of a
    user's own works on copies of the terms.

    Raises ValueError for unknown names, for a payment that the graph does not allow, for returned
    values of another shape or type, and for a payment of a user's own that prices what is not
    bought, or beyond +-1e300.
    Source: arXiv 2505.02462; "break" and "marginal" are the paper's.

    >>> from marketenv.mechanisms import ClientTypes
    >>> costs, needs = torch.tensor([[[9.0, 1.5, 2.0]], [[100.0, 0.0, 0.0]]]).double()
    >>> reported = ClientTypes(torch.ones(1, 3).double(), costs, needs)
    >>> terms = SharingTerms(reported, torch.zeros(1, 3, 3).double())
    >>> share_models(terms).prices[0, 0]
    tensor([0.0000, 2.9289, 0.0000], dtype=torch.float64)
    >>> share_models(terms, payment="critical").prices[0, 0]
    tensor([0.0000, 2.0000, 0.0000], dtype=torch.float64)
    """
    axes, like = "markets, buyers, sellers", terms.discounts
    draw, price = check_sharing(graph, payment)
    returned = tree.apart(draw, draw not in GRAPHS.values())(terms)
    trades = taken(returned, "graph returned who buys", like, axes, torch.bool)
    trades = trades & terms.hurdles.isfinite()
    own = price not in SHARING_PAYMENTS.values()
    returned = tree.apart(price, own)(terms, trades, graph)
    prices = taken(returned, "payment returned prices", like, axes)
    if own:
        check_unbounded("payment", trades, prices)
    return SharingSales(trades, prices)


def check_sharing(graph: Any, payment: Any) -> tuple[Graph, SharingPayment]:
    """A graph and a payment, by name or as callables; ValueError for anything else."""
    wanted = "a callable (terms, trades, graph) -> prices"
    return (
        named_part(graph, "graph", GRAPHS, "a callable SharingTerms -> trades", takes=1),
        named_part(payment, "payment", SHARING_PAYMENTS, wanted, takes=3),
    )


def marginal_value(terms: SharingTerms, trades: Trades, graph: str | Graph = "break") -> PerPair:
    """Pay what the model adds to all the others that the buyer has, less the discount.

    r_ij = g(T_i) - g(T_i - N_j) - lambda (N_j / N_i) d_ij,   T_i = N_i + sum_j a_ij N_j

    Works for every graph. A client never gains by overstating its cost, but gains by understating
    it: the price is above the critical value. Source: arXiv 2505.02462.
    """
    return _price(terms, trades, _without(terms, trades))


def critical_value(terms: SharingTerms, trades: Trades, graph: str | Graph = "break") -> PerPair:
    """Pay the largest cost that the seller could have reported and still be bought by this buyer.

    r_ij = g(tau) - g(tau - N_j) - lambda (N_j / N_i) d_ij

    break:    tau = max(T_i, threshold of the first seller that is not bought), one for a whole row
    continue: tau = min over places p of max(threshold of the next, T after the first p + N_j), in
              the queue without j
    exact:    the Clarke payment

    Raises ValueError for a graph that is not of the table. Source: Myerson (1981), derived here:
    with all three a seller is still bought at a lower cost, so no false report of a cost gains.
    """
    if not isinstance(graph, str) or graph not in _CRITICAL:
        raise unknown("critical value for the graph", graph, _CRITICAL)
    return _CRITICAL[graph](terms, trades)


def clarke(terms: SharingTerms, trades: Trades, graph: str | Graph = "exact") -> PerPair:
    """Pay the seller's cost and all that it adds to the buyer's best surplus (VCG).

    r_ij = c_j + max_S surplus(S) - max_(S without j) surplus(S)

    Raises ValueError for another graph than "exact": on a greedy graph such payments are not
    truthful. Source: Clarke, Public Choice 11 (1971).
    """
    if graph != "exact":
        raise ValueError(
            f"payment 'vcg' got graph {graph!r}; it is truthful only on graph='exact'. Or use"
            " payment='critical'."
        )
    worth = terms.reported.costs[:, None] + over_subsets(terms, added_by_each)
    return torch.where(trades, worth, 0.0)


def _price(terms: SharingTerms, trades: Trades, before: PerPair) -> PerPair:
    """g(x + N_j) - g(x) - discount where j is bought; x = before: what the buyer has without j."""
    sizes, needs = terms.reported.sizes[:, None], terms.reported.needs[..., None]
    worth = terms.gain.marginal(torch.where(trades, before, 1.0), sizes, needs)
    return torch.where(trades, worth - terms.discounts, 0.0)


def _without(terms: SharingTerms, trades: Trades) -> PerPair:
    """T_i - N_j where j is bought, as a sum of the rest: what buyers have without each seller."""
    sizes = terms.reported.sizes
    others = sizes[..., None] * ~torch.eye(sizes.shape[1], dtype=torch.bool, device=sizes.device)
    return sizes[..., None] + trades.to(sizes.dtype) @ others


def _critical_break(terms: SharingTerms, trades: Trades) -> PerPair:
    """The critical value of Algorithm 2: the place of the first seller that is not bought decides.

    Without j all other trades of the row take place too, and j could still keep that place. A later
    place has a larger total, an earlier one a larger threshold, so this place holds the minimum for
    the whole row. The buyer itself stands last in its queue, so the place exists.
    """
    place, queue = trades.sum(-1, keepdim=True), terms.queue
    next_sizes, next_beyond = queue.sizes.gather(-1, place), queue.beyond.gather(-1, place)
    next_one = dataclasses.replace(queue, sizes=next_sizes, beyond=next_beyond)
    at_place = next_one.less(terms.reported.sizes[:, None])
    return _price(terms, trades, _without(terms, trades).maximum(at_place))


def _critical_continue(terms: SharingTerms, trades: Trades) -> PerPair:
    before = torch.zeros_like(terms.discounts)
    edges = trades.nonzero().split(max(1, AT_ONCE // trades.shape[-1]))
    before[trades] = torch.cat([_least_before(terms, some) for some in edges])
    return _price(terms, trades, before)


def _least_before(terms: SharingTerms, edges: Tensor) -> Tensor:
    """tau - N_j of each edge (market, buyer, seller): a walk along the queue without the seller.

    edges: int64 [edges, 3]
    """
    market, buyer, seller = edges.unbind(-1)
    names = Queue.__dataclass_fields__
    queue = Queue(*(getattr(terms.queue, name)[market, buyer] for name in names))
    itself = queue.order == seller[:, None]
    without = dataclasses.replace(queue, hurdles=queue.hurdles.masked_fill(itself, torch.inf))
    totals = pass_along(terms.gain, without)[0]
    # the seller's own place stays in: it is bought, so its threshold is at least tau
    return totals.maximum(queue.less(terms.reported.sizes[market, seller][:, None])).amin(-1)


def _critical_exact(terms: SharingTerms, trades: Trades) -> PerPair:
    return clarke(terms, trades, "exact")


def added_by_each(surplus: Surplus) -> Rows:
    """How much more the best set is worth than the best one without each seller: [rows, others]."""
    rows, others = len(surplus), surplus.shape[-1].bit_length() - 1
    without = [surplus.view(rows, -1, 2, 2**bit)[:, :, 0].amax((1, 2)) for bit in range(others)]
    return surplus.amax(-1, keepdim=True) - torch.stack(without, -1)


_CRITICAL: dict[str, Callable[[SharingTerms, Trades], PerPair]] = {
    "break": _critical_break,
    "continue": _critical_continue,
    "exact": _critical_exact,
}

SharingPayment = Callable[[SharingTerms, Trades, str | Graph], PerPair]

SHARING_PAYMENTS: dict[str, SharingPayment] = {
    "marginal": marginal_value,
    "critical": critical_value,
    "vcg": clarke,
}
