"""Extrapolation by the logarithm of the points: a line through two scores."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import (
    enumerate_mixtures,
    extrapolate,
    extrapolate_estimator,
    fit_estimator,
    scale_weights,
)

SIZES = st.tuples(st.floats(1, 1e6), st.floats(1.01, 100), st.floats(1e-3, 1e4))


def test_worked_by_hand():
    # each doubling adds .1; from 200 to 800 there are two
    assert float(extrapolate(100, 0.5, 200, 0.6, 800)) == pytest.approx(0.8)
    assert float(extrapolate(100, 0.5, 200, 0.6, 50)) == pytest.approx(0.4)  # and one back
    weights = scale_weights(*torch.tensor([100.0, 200.0, 800.0]).double())
    # -log 4 / log 2, log 8 / log 2
    assert [float(w) for w in weights] == pytest.approx([-2.0, 3.0])
    # .4 a tenfold: an accuracy is not clamped
    assert float(extrapolate(10, 0.5, 100, 0.9, 1e4)) == pytest.approx(1.7)


@settings(max_examples=40)
@given(sizes=SIZES, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_a_line_in_log_n_is_kept(sizes, a, b):
    n0, n1, n = sizes[0], sizes[0] * sizes[1], sizes[0] * sizes[2]
    first, second = scale_weights(
        *(torch.tensor(size, dtype=torch.float64) for size in (n0, n1, n))
    )
    size = 1 + float(first.abs() + second.abs())
    assert float(first + second) == pytest.approx(1.0, abs=1e-13 * size)
    line = [a + b * math.log(points) for points in (n0, n1, n)]
    assert float(extrapolate(n0, line[0], n1, line[1], n)) == pytest.approx(
        line[2], abs=1e-12 * size * (1 + 30 * abs(b))
    )
    # through both pilots
    assert float(extrapolate(n0, a, n1, b, n0)) == pytest.approx(a, abs=1e-12)
    assert float(extrapolate(n0, a, n1, b, n1)) == pytest.approx(b, abs=1e-12)


def test_each_market_has_its_own_size_and_whole_numbers_are_sizes():
    scores = torch.tensor([[0.5, 0.6], [0.5, 0.6]]), torch.tensor([[0.6, 0.6], [0.6, 0.6]])
    found = extrapolate(
        100, scores[0], torch.tensor([[200], [400]]), scores[1], torch.tensor([[800], [1600]])
    )
    assert found.dtype == torch.float64 and found.shape == (2, 2)
    # 3 and 2 steps of .1
    assert found.tolist() == [
        pytest.approx([0.8, 0.6], abs=1e-6),
        pytest.approx([0.7, 0.6], abs=1e-6),
    ]


def test_an_estimator_at_n_predicts_the_extrapolated_prediction():
    p = enumerate_mixtures(3, 6)
    key = torch.tensor(4)
    wad = 1 + draws.uniform(key, 2, len(p))
    low, high = (
        0.5 - 0.2 * wad + 0.1 * draws.normal(draws.fold(key, k), 2, len(p)) for k in (1, 2)
    )
    fits = [fit_estimator(p.expand(2, -1, -1), wad, score) for score in (low, high)]
    n = torch.tensor([800.0, 1600.0])
    at_n = extrapolate_estimator(100, fits[0], 200, fits[1], n)
    predicted = [fit.predict(p, wad) for fit in fits]
    assert torch.allclose(
        at_n.predict(p, wad),
        extrapolate(100, predicted[0], 200, predicted[1], n[:, None]),
        atol=1e-12,
    )
    # weights -2, 3 and -3, 4
    spreads = torch.stack([fit.spread for fit in fits])
    assert torch.allclose(
        at_n.spread, (spreads * torch.tensor([[2.0, 3.0], [3.0, 4.0]])).norm(dim=0)
    )
    assert torch.equal(at_n.r2, torch.minimum(fits[0].r2, fits[1].r2)) and at_n.rank.tolist() == [
        12,
        12,
    ]


def test_a_pilot_without_weight_adds_no_error():
    p, wad = torch.eye(2), torch.tensor([0.0, 1.0])
    fits = [
        fit_estimator(p, wad, torch.tensor(score), "ot_only") for score in ([0.5, 0.4], [0.6, 0.5])
    ]
    assert fits[0].spread == math.inf  # two coefficients through two scores
    known = fit_estimator(
        torch.eye(3), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0]), "ot_only"
    )
    unknown = fit_estimator(torch.eye(3)[:2], wad, torch.tensor([1.0, 0.0]), "ot_only")
    assert float(extrapolate_estimator(100, unknown, 200, known, 200).spread) == float(known.spread)
    assert float(extrapolate_estimator(100, unknown, 200, known, 400).spread) == math.inf


def test_sizes_out_of_order_are_refused():
    for n0, n1, n, told in (
        (200, 200, 800, "n0 is 200 and n1 is 200"),
        (300, 200, 800, "n0 is 300 and n1 is 200"),
        (0, 200, 800, "n0 is 0"),
        (100, math.inf, 800, "n1 is inf"),
        (100, 200, -1, "n is -1"),
        (100, 200, math.nan, "n is nan"),
    ):
        with pytest.raises(ValueError, match=told):
            extrapolate(n0, 0.5, n1, 0.6, n)
    with pytest.raises(ValueError, match="score1 holds nan"):
        extrapolate(100, 0.5, 200, math.nan, 800)
    pair, three = (fit_estimator(torch.eye(k), torch.ones(k), torch.ones(k)) for k in (2, 3))
    with pytest.raises(ValueError, match="first has 2 sellers and second 3"):
        extrapolate_estimator(100, pair, 200, three, 400)
