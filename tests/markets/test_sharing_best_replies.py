"""What a client of model sharing gains by another report or effort: the costs that matter, and
effort that is not paid for.
"""

import math

import pytest
import torch
from sharing_market import (
    LEGAL,
    breakpoints,
    episode,
    market_of,
    truth,
)

from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.markets.model_sharing import Shared
from marketenv.markets.model_sharing.moves import ACTION
from marketenv.mechanisms import GRAPHS


@pytest.mark.long
@pytest.mark.parametrize(("graph", "payment"), LEGAL)
def test_no_cost_of_a_grid_is_better_than_the_markets_breakpoints(graph, payment):
    market = market_of(graph=graph, payment=payment)
    now = rounds.begin(market, torch.arange(20))
    actions = truth(market, now)["client"]

    def worth(mine):
        """Client 2's utilities by its actions [markets, candidates, width]."""
        count = mine.shape[1]
        index = torch.arange(len(mine)).repeat_interleave(count)
        tried = actions[index]
        tried[:, 2] = mine.flatten(0, 1)
        _, report = rounds.play_stage(market, tree.rows(now, index), {"client": tried})
        return report.of(Shared).utility[:, 2].unflatten(0, (-1, count))

    candidates = breakpoints(market, now, {"client": actions}, 2)
    assert torch.equal(candidates[..., 1:], actions[:, 2:3, 1:].expand(-1, candidates.shape[1], -1))
    grid = actions[:, 2:3].repeat(1, 41, 1)
    grid[..., 0] = torch.linspace(-1, 1, 41)
    best, fine, honest = worth(candidates).amax(1), worth(grid), worth(actions[:, 2:3])
    assert (fine.amax(1) <= best + 1e-9).all()
    assert (fine[:, 21:] <= honest + 1e-9).all()  # from the truth on, at 20
    if payment != "marginal":
        assert (best <= honest[:, 0] + 1e-9).all()


def test_breakpoints_are_none_where_they_are_not_known():
    def found(agent=0, **config):
        market = market_of(**config)
        now = rounds.begin(market, torch.arange(1))
        return breakpoints(market, now, truth(market, now), agent)

    assert found() is not None
    assert found(scheme="fedavg") is None
    assert found(graph=GRAPHS["break"]) is None
    assert (
        found(joins=(1, 0, 0, 0)) is None
        and found(joins=(1, 0, 0, 0), reports="each_round") is not None
    )
    assert found(types={"costs": (0.0, 1.0, 1.0, 1.0)}) is None


def test_no_breakpoints_are_named_where_a_buyer_can_go_broke():
    for credit, named in ((math.inf, True), (5.0, False)):
        market = market_of(credit=credit)
        now = rounds.begin(market, torch.arange(2))
        found = breakpoints(market, now, truth(market, now), 0)
        assert (found is not None) == named


# --- effort is not paid for -----------------------------------------------------------------------


COSTLESS = (0.0, *(1.0,) * 9)


# Client 0 costs nothing, the others 1; K = 100 times the mean size; the paper's 50 rounds. Known
# from simulations made before this market: bought by 7.5 to 9 of 9 a round, and a mean ratio over 8
# seeds in [.9, 1.05]. Measured here, and with two other groups of 8 seeds: label skew (alpha .1)
# and equal sizes 1.01, 1.02, 1.01; even labels .92, .93, .92; 9.0 sales in all. It takes so many
# rounds: after 20 the ratios are 1.05 and .86.
@pytest.mark.long
@pytest.mark.parametrize(
    "config",
    [
        {"types": {"costs": COSTLESS, "sizes": (140.0,) * 10}},
        {"types": {"costs": COSTLESS}, "partition": "balanced"},
    ],
    ids=["label skew", "balanced"],
)
def test_effort_is_not_paid_for(config):
    """Who trains once and relays what it was sent earns about what it would earn by training in
    the same market.
    """
    market = make_market("model_sharing_v0", max_cycles=50, needs=(100.0, 100.0), **config)
    # client 0 is lazy in the first four markets and works in the other four, of the same seeds
    lazy, works = slice(0, 4), slice(4, 8)
    field = ACTION["upload"]
    relay, honest = (field.write(field.number(option)) for option in ("relay", "honest"))
    edits = (
        (0, "effort", torch.tensor([-1.0] * 4 + [1.0] * 4)),
        (0, "upload", torch.stack([relay] * 4 + [honest] * 4)),
    )
    told = [r for *_, r in episode(market, (*range(4), *range(4)), *edits)]
    assert torch.stack([r.sold[lazy, 0].double() for r in told]).mean() >= 7  # of 9
    assert all(r.effort[lazy, 0].eq(float(k == 0)).all() for k, r in enumerate(told))
    ratio = sum(r.utility[lazy, 0] for r in told) / sum(r.utility[works, 0] for r in told)
    assert 0.9 <= float(ratio.mean()) <= 1.05
