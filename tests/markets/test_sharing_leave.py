"""The phase Leave of model sharing: who joins and leaves, best models and their scores, types
that drift.
"""

import dataclasses

import numpy as np
import pytest
import torch
from sharing_market import (
    LABELS,
    LEGAL,
    ROWS,
    THREE,
    best_of,
    episode,
    lie,
    market_of,
    models_of,
    scored,
    trained_market,
    truth,
    type_of,
    with_models,
)

from marketenv.core import rounds
from marketenv.data.dataset import from_arrays


@pytest.mark.parametrize("make", [market_of, trained_market])
def test_joining_and_leaving_in_the_middle(make):
    """Client 1 joins in round 2, client 2 leaves in round 1 (a stay of -1) and would come back
    in vain.
    """
    market = make(joins=(0, 2, 0, 0), max_cycles=5, cash=10.0)
    seen = episode(market, range(3), (1, "cost", lie(3, 1)), turns={1: ((2, "stay", -1.0),)})
    there = [[1, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1]]
    for r, (before, after, report) in enumerate(seen):
        absent = ~torch.tensor(there[r]).bool()
        assert report.present.eq(~absent).all()
        # 4 * 10
        assert torch.allclose(
            report.cash.sum(1), torch.full((3,), 40.0, dtype=torch.float64), atol=1e-9
        )
        assert not report.trades[:, absent].any() and not report.trades[:, :, absent].any()
        assert not report.transfers[:, absent].any() and not report.transfers[:, :, absent].any()
        assert report.reason[:, absent].eq(1).all() and not (report.reason[:, ~absent] == 1).any()
        was_there = before.floor.present
        # who leaves has still trained in this round
        assert torch.equal(report.effort > 0, was_there)
        assert torch.allclose(
            (report.utility - report.rewards)[~was_there], torch.zeros(()).double()
        )
        assert r == 0 or torch.equal(
            models_of(before).params[~was_there], models_of(seen[r - 1][1]).params[~was_there]
        )
        assert torch.equal(report.gone, torch.tensor([[False, False, r >= 1, False]]).expand(3, -1))
        if r >= 1:
            assert torch.equal(models_of(after).params[:, 2], best_of(after).params[:, 2])
            assert torch.equal(best_of(after).params[:, 2], best_of(seen[1][1]).params[:, 2])
    # read when it joins: three times the true cost, and not before
    costs = type_of(seen[0][0], "costs")[:, 1]
    assert torch.allclose(seen[1][2].reported.costs[:, 1], costs)
    assert all(torch.allclose(s[2].reported.costs[:, 1], 3 * costs, rtol=1e-6) for s in seen[2:])
    # its first training is at full effort, as everybody's
    assert seen[2][2].effort[:, 1].eq(1).all()


def test_a_joining_client_trains_from_the_common_start():
    market = trained_market(joins=(0, 2, 0, 0), max_cycles=4)
    seen = episode(market, [0, 1])
    for before, _, _ in seen[:2]:
        assert torch.equal(models_of(before).params[:, 1], before.owns["share"].start[:, 0])
    assert not torch.equal(models_of(seen[2][0]).params[:, 1], seen[2][0].owns["share"].start[:, 0])


def test_who_loses_leaves_where_exits_are_strict():
    # seller 2 and 1 both at 1.2 of 1.5 and 2.0: -.2024 and -.7024, both leave; the buyer stays and
    # finds nobody
    edits = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    seen = episode(market_of(n_agents=3, types=THREE, strength=0.0, exits="ir_strict"), [0], *edits)
    assert seen[0][2].present.all()  # they were there in the round that they lost in
    assert seen[0][2].gone.tolist() == [[False, True, True]]
    assert not seen[1][2].trades.any() and seen[1][2].reason.tolist() == [[3, 1, 1]]


def test_about_half_of_the_losers_leave_where_exits_are_by_chance():
    edits = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    market = market_of(n_agents=3, types=THREE, strength=0.0, exits="ir_prob")
    gone = episode(market, range(1000), *edits)[0][2].gone
    assert not gone[:, 0].any()
    assert 0.45 < float(gone[:, 1:].double().mean()) < 0.55  # 2,000 draws of 1/2: deviation .011


@pytest.mark.parametrize(("graph", "payment"), LEGAL)
@pytest.mark.parametrize(
    "decades",
    [pytest.param(6, marks=pytest.mark.slow), 10, pytest.param(16, marks=pytest.mark.slow)],
)
def test_sizes_far_apart_drive_nobody_out(graph, payment, decades):
    """T - N_j of totals has lost the small sizes: at ten decades that drove out 38 of the
    paper's 2,304 truthful clients.
    """
    gone = 0
    for draw in range(32):
        exponents = torch.rand(
            9, generator=torch.Generator().manual_seed(draw), dtype=torch.float64
        )
        types = {"sizes": (10 ** (decades * exponents)).tolist()}
        free = {"strength": 0.0, "costs": (0.0, 0.2), "exits": "ir_strict", "max_cycles": 1}
        market = market_of(n_agents=9, graph=graph, payment=payment, types=types, **free)
        ((_, _, report),) = episode(market, range(8))
        gone += int(report.gone.sum())
        assert (report.prices >= 0).all() and report.prices.isfinite().all()
    assert gone == 0


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize(("graph", "payment"), LEGAL)
def test_rounding_drives_nobody_out(graph, payment, unit):
    """At lambda = 0 a price may take all of a buyer's gain, which leaves it 0 or -1e-15 of it:
    it has not lost.
    """
    # a gain grows as the root of K
    money = {"costs": (0.2 * unit, 2.0 * unit), "needs": (50.0 * unit**2, 100.0 * unit**2)}
    market = market_of(strength=0.0, exits="ir_strict", graph=graph, payment=payment, **money)
    assert all(not report.gone.any() for _, _, report in episode(market, range(1000)))


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_a_loss_drives_out_whatever_money_is_counted_in(unit):
    # the counterexample of an understated cost in another unit: both sellers lose .2024 and .7024
    # of it
    types = {
        "sizes": (1.0,) * 3,
        "costs": (0.0, 1.5 * unit, 2.0 * unit),
        "needs": (100.0 * unit**2, 0.0, 0.0),
    }
    edits = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    seen = episode(market_of(n_agents=3, types=types, strength=0.0, exits="ir_strict"), [0], *edits)
    assert seen[0][2].gone.tolist() == [[False, True, True]]


def test_a_best_model_is_the_most_accurate_and_of_equals_the_one_of_least_loss():
    """R^2 is clipped at 0, so a regression's first models are all equally accurate."""
    market = trained_market(max_cycles=5)
    after, marks = rounds.opened(market, torch.arange(1)), []
    for accuracy, loss in ((0.0, 5.0), (0.0, 3.0), (0.0, 4.0), (0.1, 9.0), (0.1, 9.0)):
        now = with_models(
            rounds.begun(market, after),
            accuracy=torch.full((1, 4), accuracy),
            loss=torch.full((1, 4), loss),
        )
        after, _ = rounds.play_stage(market, now, truth(market, now))
        marks.append(torch.equal(best_of(after).params, models_of(now).params))
    assert marks == [True, True, False, True, False]
    assert best_of(after).accuracy.tolist() == [[pytest.approx(0.1)] * 4] and best_of(
        after
    ).loss.tolist() == [[9.0] * 4]


def test_types_drift_by_their_seed_and_reports_once_do_not():
    market = market_of(cost_drift=0.1, need_drift=0.2, max_cycles=40)
    a, b = (episode(market, range(100)) for _ in range(2))
    for (_, x, _), (_, y, _) in zip(a, b, strict=True):
        assert all(torch.equal(type_of(x, name), type_of(y, name)) for name in ("costs", "needs"))
    (first, _, _), (_, last, _) = a[0], a[-1]
    # 40 steps of deviation .1 and .2: logs deviate by .1 sqrt(40) = .632 and 1.265; 400 clients, so
    # within 4 of 3.5 %
    assert (type_of(last, "costs") / type_of(first, "costs")).log().std() == pytest.approx(
        0.1 * 40**0.5, rel=0.15
    )
    assert (type_of(last, "needs") / type_of(first, "needs")).log().std() == pytest.approx(
        0.2 * 40**0.5, rel=0.15
    )
    assert torch.equal(type_of(first, "sizes"), type_of(last, "sizes"))
    assert torch.allclose(a[-1][2].reported.costs, type_of(first, "costs"))


@pytest.mark.parametrize("payment", ["marginal", "critical"])
def test_types_that_drift_without_measure_stay_numbers(payment):
    """A step of 500 in the log takes float64 from 1 beyond its largest number, and to 0, where
    a need would be none.
    """
    market = market_of(
        cost_drift=500.0,
        need_drift=500.0,
        max_cycles=12,
        reports="each_round",
        exits="ir_prob",
        payment=payment,
    )
    for now, _, report in episode(market, range(20)):
        for drifted in (type_of(now, "costs"), type_of(now, "needs")):
            assert ((drifted >= 1e-12) & (drifted <= 1e12)).all()
        assert report.rewards.isfinite().all() and report.prices.isfinite().all()


def test_types_beyond_the_drifts_bounds_may_be_given():
    market = market_of(types={"costs": (0.0, 1e15, 1e-15, 1.0)}, cost_drift=0.1)
    (_, after, _), *_ = episode(market, [0])
    costs = type_of(after, "costs")[0].tolist()
    assert costs[0] == 0 and costs[1] <= 1e15 and costs[2] >= 1e-15 and 0.5 < costs[3] < 2


def test_costs_and_needs_drift_on_their_own():
    """Two independent walks: of 400 clients' steps the correlation deviates by 1 / sqrt(400) =
    .05.
    """
    market = market_of(cost_drift=0.1, need_drift=0.2)
    before, after, _ = episode(market, range(100))[0]
    steps = [(type_of(after, name) / type_of(before, name)).log() for name in ("costs", "needs")]
    assert abs(float(torch.corrcoef(torch.stack([step.flatten() for step in steps]))[0, 1])) < 0.2


# --- scores and best models -----------------------------------------------------------------------


def test_a_market_without_models_has_no_test_scores():
    market = market_of()
    with pytest.raises(ValueError, match="learner is None"):
        scored(market, rounds.opened(market, torch.arange(1)))


def test_clients_are_tested_on_rows_that_judged_nobody():
    """Labels of the test part are turned round, so who is right on validation rows is wrong on
    all of these.
    """
    x, y = np.tile(np.array([[-1.0], [1.0]], dtype="float32"), (60, 1)), np.arange(120) % 2
    market = trained_market(
        data=from_arrays(x, y, x_test=x, y_test=1 - y), partition="balanced", max_cycles=8
    )
    after = episode(market, [0])[-1][1]
    assert bool((models_of(after).accuracy > 0.999).all())  # a sum of shares, so 1 up to rounding
    assert all(scored(market, after, at).accuracy.eq(0).all() for at in ("last", "best"))


@pytest.mark.parametrize("select", ["validation", "test"])
def test_a_best_model_is_chosen_by_the_scores_that_select_names(select):
    """Two halves of one data set: the best accuracy so far is that of the named half, which the
    other half does not know.
    """
    market = trained_market(
        data=from_arrays(ROWS, LABELS, x_test=ROWS[::-1].copy(), y_test=LABELS),
        select=select,
        max_cycles=4,
    )
    found = []
    for _, after, report in episode(market, [0, 1]):
        found.append(scored(market, after).accuracy if select == "test" else report.accuracy)
        assert torch.equal(best_of(after).accuracy, torch.stack(found).amax(0))


def test_the_best_model_and_the_last_one_have_scores_of_their_own():
    market = trained_market(max_cycles=2)
    now = episode(market, [0])[-1][1]
    first = now.owns["share"].start.expand_as(best_of(now).params)
    begun = dataclasses.replace(
        now, owns=now.owns | {"leave": dataclasses.replace(best_of(now), params=first)}
    )
    assert torch.equal(
        scored(market, begun, "best").loss,
        scored(market, with_models(begun, "trained", params=first)).loss,
    )
    assert not torch.equal(scored(market, begun, "best").loss, scored(market, begun).loss)
