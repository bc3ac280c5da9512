"""Costs of one client at which a collaboration graph may change."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.mechanisms.collaboration_graph import over_subsets, pass_along
from marketenv.mechanisms.sharing_payments import added_by_each
from marketenv.mechanisms.sharing_terms import SharingTerms


def cost_breakpoints(
    terms: SharingTerms, seller: int, graph: str
) -> Float64[Tensor, "markets points"]:
    """Costs of one client: all reports between two neighbours lead to the same graph and payments.

    break, continue: c = g(x) - g(x - N_j) - lambda (N_j / N_i) d_ij for every buyer i, at
        x = the threshold of another seller (j changes its place in the queue), and at
        x = N_j + what i has at some place (j is worth its hurdle there)
    exact: the Clarke payment that j would get at cost 0

    terms: with the others' reports; the seller's own cost is not read
    Returns money; numbers <= 0 stand where no report is. Raises ValueError for a graph that is not
    of the table. Source: derived here.

    >>> from marketenv.mechanisms import ClientTypes
    >>> costs, needs = torch.tensor([[[9.0, 1.5, 2.0]], [[100.0, 0.0, 0.0]]]).double()
    >>> reported = ClientTypes(torch.ones(1, 3).double(), costs, needs)
    >>> terms = SharingTerms(reported, torch.zeros(1, 3, 3).double())
    >>> points = cost_breakpoints(terms, 1, "break")
    >>> bool((points - 2.0).abs().min() < 1e-9)  # where seller 2 undercuts it
    True
    """
    if graph not in ("break", "continue", "exact"):
        raise unknown("graph whose breakpoints are known", graph, ("break", "continue", "exact"))
    costs = terms.reported.costs
    itself = torch.arange(costs.shape[1], device=costs.device) == seller
    if graph == "exact":
        free = _at_cost(terms, itself, 0.0)
        return over_subsets(free, added_by_each)[:, :, seller]
    queue = _at_cost(terms, itself, torch.inf).queue
    size = terms.reported.sizes[:, seller, None, None]
    before = torch.cat([queue.less(size), pass_along(terms.gain, queue)[0]], -1)
    worth = terms.gain.marginal(before.masked_fill(~(before > 0), torch.nan), size, queue.need)
    points = (worth - terms.discounts[:, :, seller, None])[:, ~itself]
    return points.flatten(1).nan_to_num(0.0, neginf=0.0)


def _at_cost(terms: SharingTerms, client: Tensor, cost: float) -> SharingTerms:
    """The terms with another reported cost of one client, which a mask points at."""
    costs = terms.reported.costs.masked_fill(client, cost)
    reported = dataclasses.replace(terms.reported, costs=costs)
    return SharingTerms(reported, terms.discounts, terms.gain, terms.present)
