"""At which costs of one client a collaboration graph may change: what a best report of a cost
has to be sought among.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.mechanisms.collaboration_graph import SharingTerms, over_subsets, pass_along
from marketenv.mechanisms.sharing_payments import added_by_each


def cost_breakpoints(
    terms: SharingTerms, seller: int, graph: str
) -> Float64[Tensor, "markets points"]:
    """Costs of one client, of which between two neighbours every report leads to the same graph and
    the same payments.

    break, continue: c = g(x) - g(x - N_j) - lambda (N_j / N_i) d_ij for every buyer i, at x = the
        threshold of another
    seller (j changes its place in the queue) and at x = N_j + what i has at some place (j is worth
    its hurdle there)
    exact: the Clarke payment that j would get at cost 0

    terms: the reports; the seller's own cost is not read. Returns money; some of it is negative or
        0, where no report is.
    Raises ValueError for a graph that is not of the table. Source: derived here.

    >>> from marketenv.mechanisms import ClientTypes
    >>> ones = torch.ones(1, 3).double()
    >>> reported = ClientTypes(
    ...     ones,
    ...     torch.tensor([[9.0, 1.5, 2.0]]).double(),
    ...     torch.tensor([[100.0, 0.0, 0.0]]).double(),
    ... )
    >>> terms = SharingTerms(reported, torch.zeros(1, 3, 3).double())
    >>> bool(
    ...     (cost_breakpoints(terms, 1, "break") - 2.0).abs().min() < 1e-9
    ... )  # seller 2 undercuts it there
    True
    """
    if graph not in ("break", "continue", "exact"):
        raise unknown("graph whose breakpoints are known", graph, ("break", "continue", "exact"))
    mine = torch.arange(terms.reported.costs.shape[1], device=terms.reported.costs.device) == seller
    if graph == "exact":
        free = _at_cost(terms, mine, 0.0)
        return over_subsets(free, added_by_each)[:, :, seller]
    queue = _at_cost(terms, mine, torch.inf).queue
    size = terms.reported.sizes[:, seller, None, None]
    before = torch.cat([queue.less(size), pass_along(terms.gain, queue)[0]], -1)
    worth = terms.gain.marginal(before.masked_fill(~(before > 0), torch.nan), size, queue.need)
    return (
        (worth - terms.discounts[:, :, seller, None])[:, ~mine]
        .flatten(1)
        .nan_to_num(0.0, neginf=0.0)
    )


def _at_cost(terms: SharingTerms, mine: Tensor, cost: float) -> SharingTerms:
    reported = dataclasses.replace(
        terms.reported, costs=terms.reported.costs.masked_fill(mine, cost)
    )
    return SharingTerms(reported, terms.discounts, terms.gain, terms.present)
