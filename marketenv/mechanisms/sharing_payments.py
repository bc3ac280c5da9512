"""What buyers pay for shared models, and what everybody is left with.

A payment is ``(terms, bought, graph) -> money from buyer to seller [markets, buyers, sellers]``,
where ``graph`` is the name under which ``bought`` was made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import tree
from marketenv.core.axes import PerPair
from marketenv.core.checks import named_part
from marketenv.core.lookup import unknown
from marketenv.core.parts import taken
from marketenv.mechanisms.collaboration_graph import (
    AT_ONCE,
    GRAPHS,
    Bought,
    ClientTypes,
    Graph,
    Queue,
    Rows,
    SharingTerms,
    Surplus,
    over_subsets,
    pass_along,
)
from marketenv.mechanisms.gain_families import GainFamily
from marketenv.mechanisms.outcome import Outcome, check_unbounded


@dataclass(frozen=True)
class SharingOutcome(Outcome):
    """Who buys whose model and what is paid for it.

    prices: r_ij, money per model; below 0 the seller pays the
        buyer   float64 [markets, buyers, sellers]

    The graphs of the table buy only what is worth its hurdle at the end as well, so there r_ij >=
    c_j >= 0; a negative price needs another graph, whose edges are worth less than their discount.
    """

    @property
    def transfers(self) -> PerPair:
        """Money from payer to payee, >= 0: a negative price runs the other way."""
        return self.prices.clamp(min=0.0) + (-self.prices).clamp(min=0.0).mT


def share_models(
    terms: SharingTerms, *, graph: str | Graph = "break", payment: str | SharingPayment = "marginal"
) -> SharingOutcome:
    """Draw the collaboration graph and price its edges.

    graph: a name of ``GRAPHS`` or a function of its shape
    payment: a name of ``SHARING_PAYMENTS`` or such a function

    What is not for sale is not bought, whatever the graph says: a model of one's own or of an
    absent client, one at distance inf, one whose reported cost is inf. A graph or payment of one's
    own works on copies of the terms.

    Raises ValueError for unknown names, for a payment that the graph does not allow, and, by the
    words ``graph`` and ``payment``, for what is no tensor of these shapes and types, and for a
    payment of one's own that prices what is not bought, or at no number up to 1e300.
    Source: arXiv 2505.02462; "break" and "marginal" are the paper's.

    >>> ones = torch.ones(1, 3).double()
    >>> reported = ClientTypes(
    ...     ones,
    ...     torch.tensor([[9.0, 1.5, 2.0]]).double(),
    ...     torch.tensor([[100.0, 0.0, 0.0]]).double(),
    ... )
    >>> terms = SharingTerms(reported, torch.zeros(1, 3, 3).double())
    >>> share_models(terms).prices[0, 0], share_models(terms, payment="critical").prices[0, 0]
    (tensor([0.0000, 2.9289, 0.0000], dtype=torch.float64), tensor([0.0000, 2.0000, 0.0000],
    dtype=torch.float64))
    """
    axes, like = "markets, buyers, sellers", terms.discounts
    draw, price = check_sharing(graph, payment)
    own = price not in SHARING_PAYMENTS.values()
    found = tree.apart(draw, draw not in GRAPHS.values())(terms)
    bought = (
        taken(found, "graph returned who buys", like, axes, torch.bool) & terms.hurdles.isfinite()
    )
    prices = taken(
        tree.apart(price, own)(terms, bought, graph), "payment returned prices", like, axes
    )
    if own:
        check_unbounded("payment", bought, prices)
    return SharingOutcome(bought, prices)


def check_sharing(graph: Any, payment: Any) -> tuple[Graph, SharingPayment]:
    """A graph and a payment, by name or as callables; ValueError for anything else."""
    return (
        named_part(graph, "graph", GRAPHS, "a callable SharingTerms -> bought", takes=1),
        named_part(
            payment,
            "payment",
            SHARING_PAYMENTS,
            "a callable (terms, bought, graph) -> prices",
            takes=3,
        ),
    )


def marginal_value(terms: SharingTerms, bought: Bought, graph: str | Graph = "break") -> PerPair:
    """Pay what the model adds to all the others that the buyer has, less the discount.

    r_ij = g(T_i) - g(T_i - N_j) - lambda (N_j / N_i) d_ij,   T_i = N_i + sum_j a_ij N_j

    Works for every graph. Overstating a cost never helps, understating it does: the price is above
    the critical value. Source: arXiv 2505.02462.
    """
    return _price(terms, bought, _without(terms, bought))


def critical_value(terms: SharingTerms, bought: Bought, graph: str | Graph = "break") -> PerPair:
    """Pay the largest cost that the seller could have reported and still be bought by this buyer.

    r_ij = g(tau) - g(tau - N_j) - lambda (N_j / N_i) d_ij

    break: tau = max(T_i, threshold of the first seller that was not bought), the same for the whole
        row
    continue: tau = min over places p of max(threshold of the next, T after the first p + N_j), in
        the queue without j
    exact: the Clarke payment

    Raises ValueError for a graph that is not of the table.
    Source: Myerson (1981), derived here: all three buy more readily at a lower cost, so no lie
    about the cost gains.
    """
    if not isinstance(graph, str) or graph not in _CRITICAL:
        raise unknown("critical value for the graph", graph, _CRITICAL)
    return _CRITICAL[graph](terms, bought)


def clarke(terms: SharingTerms, bought: Bought, graph: str | Graph = "exact") -> PerPair:
    """Pay the seller's cost and all that it adds to the buyer's best surplus (Vickrey, Clarke and
    Groves).

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
    return torch.where(bought, worth, 0.0)


def utilities(
    types: ClientTypes, gain: GainFamily, bought: Bought, prices: PerPair
) -> Float64[Tensor, "markets clients"]:
    """What each client is left with in a round, by its true type.

    U_i = g(T_i; K_i) - g(N_i; K_i) - c_i * (models that i sells) - (sum_j r_ij - sum_k r_ki)

    types: the true ones; bought, prices: [markets, buyers, sellers]. Returns money, float64
        [markets, clients].
    Raises ValueError for shapes that disagree.
    Source: arXiv 2505.02462. The distance of a bought model is no loss here, it only makes it
    cheaper.
    """
    clients = types.sizes.shape[1]
    if not bought.shape == prices.shape == (*types.sizes.shape, clients):
        raise ValueError(
            f"bought {list(bought.shape)} and prices {list(prices.shape)} do not fit types"
            f" {list(types.sizes.shape)}; wanted [{len(types.sizes)}, {clients}, {clients}]."
        )
    paid = prices.sum(-1) - prices.sum(-2)
    return gains(types, gain, bought) - sale_costs(types, bought) - paid


def sale_costs(types: ClientTypes, bought: Bought) -> Float64[Tensor, "markets clients"]:
    """What the sales of a round cost each client: c_i * (models that i sells). Money, float64
    [markets, clients].

    types: the true ones;
        bought: whose model each buyer gets [markets, buyers, sellers]. Source: arXiv 2505.02462.

    >>> ones = torch.ones(1, 2).double()
    >>> sale_costs(
    ...     ClientTypes(ones, 1.5 * ones, ones), torch.tensor([[[False, True], [False, False]]])
    ... )
    tensor([[0.0000, 1.5000]], dtype=torch.float64)
    """
    # inf is not for sale, and 0 * inf no number
    return torch.where(bought.any(-2), types.costs * bought.sum(-2), 0.0)


def gains(
    types: ClientTypes, gain: GainFamily, bought: Bought
) -> Float64[Tensor, "markets clients"]:
    """What the bought models are worth to each client before money: G_i = g(T_i; K_i) - g(N_i;
    K_i), by its true type.

    types, bought as in ``utilities``. Returns money, float64 [markets, clients]. Source: arXiv
    2505.02462.

    >>> ones = torch.ones(1, 2).double()
    >>> from marketenv.mechanisms import GAINS
    >>> types = ClientTypes(ones, ones, torch.tensor([[100.0, 0.0]]).double())
    >>> gains(
    ...     types, GAINS["inverse_sqrt"](), torch.tensor([[[False, True], [False, False]]])
    ... )  # 10 - 10 / sqrt(2)
    tensor([[2.9289, 0.0000]], dtype=torch.float64)
    """
    received = (bought.to(types.sizes.dtype) @ types.sizes[..., None]).squeeze(-1)
    return gain.marginal(types.sizes, received, types.needs)


def _price(terms: SharingTerms, bought: Bought, before: PerPair) -> PerPair:
    """g(x + N_j) - g(x) - discount at what the buyer has without j, x = before, where something
    is bought.
    """
    sizes, needs = terms.reported.sizes[:, None], terms.reported.needs[..., None]
    worth = terms.gain.marginal(torch.where(bought, before, 1.0), sizes, needs)
    return torch.where(bought, worth - terms.discounts, 0.0)


def _without(terms: SharingTerms, bought: Bought) -> PerPair:
    """What each buyer has without each seller: T_i - N_j where j is bought, added up and never
    subtracted.
    """
    sizes = terms.reported.sizes
    others = sizes[..., None] * ~torch.eye(sizes.shape[1], dtype=torch.bool, device=sizes.device)
    return sizes[..., None] + bought.to(sizes.dtype) @ others


def _critical_break(terms: SharingTerms, bought: Bought) -> PerPair:
    """Without j, all that were bought would be, and the next in the queue is the first whose place
    j could still keep.

    A later place has a larger total, an earlier one a larger threshold, so one place holds the
    minimum for all of a row. The buyer itself stands last in its queue, so the place after the
    bought ones exists.
    """
    place, queue = bought.sum(-1, keepdim=True), terms.queue
    next_one = dataclasses.replace(
        queue, sizes=queue.sizes.gather(-1, place), beyond=queue.beyond.gather(-1, place)
    )
    return _price(
        terms, bought, _without(terms, bought).maximum(next_one.less(terms.reported.sizes[:, None]))
    )


def _critical_continue(terms: SharingTerms, bought: Bought) -> PerPair:
    before = torch.zeros_like(terms.discounts)
    edges = bought.nonzero().split(max(1, AT_ONCE // bought.shape[-1]))
    before[bought] = torch.cat([_least_before(terms, part) for part in edges])
    return _price(terms, bought, before)


def _least_before(terms: SharingTerms, edges: Tensor) -> Tensor:
    """tau - N_j of (market, buyer, seller) edges, int64 [edges, 3]: walk along each buyer's
    queue without the seller.
    """
    market, buyer, seller = edges.unbind(-1)
    queue = Queue(
        *(getattr(terms.queue, name)[market, buyer] for name in Queue.__dataclass_fields__)
    )
    mine = queue.order == seller[:, None]
    without = dataclasses.replace(queue, hurdles=queue.hurdles.masked_fill(mine, torch.inf))
    # its own place stays in: its threshold is at least tau, since it was bought
    return (
        pass_along(terms.gain, without)[0]
        .maximum(queue.less(terms.reported.sizes[market, seller][:, None]))
        .amin(-1)
    )


def _critical_exact(terms: SharingTerms, bought: Bought) -> PerPair:
    return clarke(terms, bought, "exact")


def added_by_each(surplus: Surplus) -> Rows:
    """How much more the best set is worth than the best one without each seller: [rows, others]."""
    rows, others = len(surplus), surplus.shape[-1].bit_length() - 1
    without = [surplus.view(rows, -1, 2, 2**bit)[:, :, 0].amax((1, 2)) for bit in range(others)]
    return surplus.amax(-1, keepdim=True) - torch.stack(without, -1)


_CRITICAL: dict[str, Callable[[SharingTerms, Bought], PerPair]] = {
    "break": _critical_break,
    "continue": _critical_continue,
    "exact": _critical_exact,
}

SharingPayment = Callable[[SharingTerms, Bought, str | Graph], PerPair]

SHARING_PAYMENTS: dict[str, SharingPayment] = {
    "marginal": marginal_value,
    "critical": critical_value,
    "vcg": clarke,
}
