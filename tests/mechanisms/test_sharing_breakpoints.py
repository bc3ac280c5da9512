"""Where a cost may change a graph: no report of a fine grid is better than the best of the
breakpoints.
"""

import dataclasses

import pytest
import torch
from sharing_cases import random_market, terms_of, three

from marketenv.mechanisms import (
    GAINS,
    GRAPHS,
    SHARING_PAYMENTS,
    SharingTerms,
    cost_breakpoints,
    share_models,
    utilities,
)

LEGAL = [(g, p) for g in GRAPHS for p in SHARING_PAYMENTS if p != "vcg" or g == "exact"]
EVERY = pytest.mark.parametrize(("graph", "payment"), LEGAL)
MARKETS, CLIENTS = 20, 5


def left(types, distance, seller, cost, graph, payment, gain=None, present=None):
    """What a seller is left with by the truth when it reports this cost in each market."""
    costs = types.costs.clone()
    costs[:, seller] = cost
    options = {"gain": gain or GAINS["inverse_sqrt"](), "present": present}
    terms = terms_of(dataclasses.replace(types, costs=costs), distance, **options)
    outcome = share_models(terms, graph=graph, payment=payment)
    return utilities(types, options["gain"], outcome.allocation, outcome.prices)[:, seller]


def best_of(points, *market, **options):
    """The best over costs [markets, points] that are real reports, in one batch."""
    types, distance, seller, *rest = market
    reports = points.shape[1]
    wide = dataclasses.replace(
        types,
        **{n: getattr(types, n).repeat_interleave(reports, 0) for n in ("sizes", "costs", "needs")},
    )
    if options.get("present") is not None:
        options["present"] = options["present"].repeat_interleave(reports, 0)
    found = left(
        wide, distance.repeat_interleave(reports, 0), seller, points.flatten(), *rest, **options
    )
    return found.view(-1, reports)


def around(points, truth):
    """Breakpoints, a little below and above each, and the ends; what is no report becomes the
    truth.
    """
    real = torch.where(points.isfinite() & (points > 0), points, truth[:, None])
    ends = truth[:, None] * torch.tensor([0.0, 1.0, 1e3], dtype=torch.float64)
    return torch.cat([real * (1 - 1e-9), real * (1 + 1e-9), ends], 1)


@EVERY
@pytest.mark.parametrize("gain", ["inverse_sqrt", "log"])
def test_no_cost_of_a_grid_is_better_than_the_best_breakpoint(graph, payment, gain):
    family = GAINS[gain]() if gain == "inverse_sqrt" else GAINS[gain](scale=5000.0)
    types, distance = random_market(3, MARKETS, CLIENTS)
    if gain != "inverse_sqrt":
        # money of 5 to 10, as the costs
        types = dataclasses.replace(types, needs=types.needs / 5e4)
    for seller in (0, 3):
        truth = types.costs[:, seller]
        points = around(
            cost_breakpoints(terms_of(types, distance, gain=family), seller, graph), truth
        )
        grid = truth[:, None] * 10 ** torch.linspace(-1.5, 1.5, 121, dtype=torch.float64)
        market = (types, distance, seller, graph, payment)
        honest = left(types, distance, seller, truth, graph, payment, family)
        best, fine = best_of(points, *market, gain=family), best_of(grid, *market, gain=family)
        assert (fine.amax(1) <= best.amax(1) + 1e-9).all()
        # overstating
        assert (
            fine[grid > truth[:, None]]
            <= honest[:, None].expand_as(fine)[grid > truth[:, None]] + 1e-9
        ).all()
        if payment != "marginal":
            assert (best <= honest[:, None] + 1e-9).all()  # truthful: no lie about the cost gains


@pytest.mark.long
def test_the_papers_payment_has_lies_that_the_breakpoints_find():
    types, distance = random_market(3, 60, 10)
    truth = types.costs[:, 0]
    points = around(cost_breakpoints(terms_of(types, distance), 0, "break"), truth)
    gain = best_of(points, types, distance, 0, "break", "marginal").amax(1) - left(
        types, distance, 0, truth, "break", "marginal"
    )
    # the design's simulation of such markets says that 47 % gain by understating on a grid; 60
    # markets: deviation 6.4 %
    assert 0.35 < float((gain > 1e-6).double().mean()) < 0.65


@pytest.mark.parametrize("graph", GRAPHS)
def test_who_is_absent_makes_no_breakpoint_better(graph):
    types, distance = random_market(5, MARKETS, CLIENTS)
    present = torch.ones(MARKETS, CLIENTS, dtype=torch.bool)
    present[:, 1] = False
    points = around(
        cost_breakpoints(terms_of(types, distance, present=present), 0, graph), types.costs[:, 0]
    )
    grid = types.costs[:, :1] * 10 ** torch.linspace(-1.5, 1.5, 121, dtype=torch.float64)
    market = (types, distance, 0, graph, "marginal")
    fine, best = (best_of(x, *market, present=present) for x in (grid, points))
    assert (fine.amax(1) <= best.amax(1) + 1e-9).all()


def test_the_own_cost_is_not_read():
    types, distance = random_market(7, 4, 4)
    other = dataclasses.replace(types, costs=types.costs.index_fill(1, torch.tensor([2]), 9.0))
    for graph in GRAPHS:
        a, b = (cost_breakpoints(terms_of(t, distance), 2, graph) for t in (types, other))
        assert torch.equal(a.nan_to_num(-1.0), b.nan_to_num(-1.0))


def test_undercutting_by_hand():
    # buyer 0, K = 100, N = 1 each: seller 1 is overtaken where it asks the other's cost 2, and
    # falls out above 10 - 10/sqrt(2); and at the place behind the other it is worth 10/sqrt(2) -
    # 10/sqrt(3) = 1.297565
    points = cost_breakpoints(SharingTerms(three(), torch.zeros(1, 3, 3).double()), 1, "break")[0]
    for cost in (2.0, 10 - 10 / 2**0.5, 10 / 2**0.5 - 10 / 3**0.5):
        assert float((points - cost).nan_to_num(9.0).abs().min()) < 1e-9
    exact = cost_breakpoints(SharingTerms(three(), torch.zeros(1, 3, 3).double()), 1, "exact")[0]
    # Clarke: the other would leave 2.9289 - 2 of 2.9289
    assert float(exact[0]) == pytest.approx(2.0)


def test_a_graph_of_ones_own_has_no_known_breakpoints():
    with pytest.raises(
        ValueError, match=r"no graph whose breakpoints are known 'brake'\. Did you mean 'break'"
    ):
        cost_breakpoints(SharingTerms(three(), torch.zeros(1, 3, 3).double()), 1, "brake")
