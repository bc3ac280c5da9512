"""Scales of quality: worked rows, and whose score moves whose quality."""

import math
from functools import partial

import pytest
import torch
from data_cases import money
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.mechanisms import QUALITY_SCALES, ratchet
from marketenv.mechanisms.quality_scales import fixed, minmax

WORKED = {  # name: rows of (scores, options, quality, where they come from)
    "minmax": [
        ([2, 3, 4], {}, [0.9, 0.95, 1], "public code: .9 + .1 (v - 2) / 2"),
        ([0.3, 0.3], {}, [1, 1], "public code: 1 where all are equal"),
        ([5], {}, [1], "one owner is equal to itself"),
        ([-1, 3], {"lowest": 0.0}, [0, 1], "0 + 1 (v + 1) / 4"),
    ],
    "fixed": [
        ([0, 0.5, 1], {}, [0.9, 0.95, 1], "v = 1 - MSE as it is: .9 + .1 v"),
        ([-3, 2], {}, [0.9, 1], "what lies beyond an end is the end"),
        ([6, 7], {"ends": (4, 8), "lowest": 0.5}, [0.75, 0.875], ".5 + .5 (v - 4) / 4"),
    ],
}
EVERY = pytest.mark.parametrize("name", sorted(QUALITY_SCALES))
some_scores = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8)


def test_every_scale_has_a_worked_row():
    assert WORKED.keys() == QUALITY_SCALES.keys()


@EVERY
def test_worked_rows(name):
    for scores, options, quality, reason in WORKED[name]:
        assert QUALITY_SCALES[name](money([scores]), **options)[0].tolist() == pytest.approx(
            quality, rel=1e-14
        ), reason


@EVERY
@settings(max_examples=60)
@given(scores=some_scores, lowest=st.floats(0, 1))
def test_a_better_score_is_never_a_worse_quality(name, scores, lowest):
    quality = QUALITY_SCALES[name](money([scores]), lowest=lowest)[0]
    ordered = quality[money(scores).argsort()]
    assert (
        (ordered.diff() >= 0).all() and (quality <= 1).all() and (quality >= lowest - 1e-15).all()
    )


@settings(max_examples=40)
@given(scores=some_scores)
def test_minmax_gives_the_best_1_and_the_worst_the_lowest_in_any_unit(scores):
    quality = minmax(money([scores]))
    assert float(quality.max()) == 1.0  # to the bit
    assert float(quality.min()) == pytest.approx(
        0.9 if max(scores) > min(scores) else 1.0, rel=1e-14
    )
    assert torch.equal(minmax(money([scores]) * 4), quality)


def test_one_score_moves_the_others_by_minmax_and_none_by_a_fixed_scale():
    honest, other = money([[0.97, 0.98, 0.99]]), money([[0.2, 0.98, 0.99]])
    assert float(minmax(honest)[0, 1]) == pytest.approx(0.95) and float(minmax(other)[0, 1]) > 0.998
    assert torch.equal(fixed(honest)[:, 1:], fixed(other)[:, 1:])


def test_a_ratchet_never_lets_a_contribution_fall():
    assert ratchet(money([[0.1, 0.3]]), money([[0.2, 0.2]])).tolist() == [[0.2, 0.3]]


BAD = {
    "score nan at index \\[0, 1\\]; wanted a finite number": partial(
        minmax, money([[1.0, math.nan]])
    ),
    "score -inf at index": partial(fixed, money([[1.0, -math.inf]])),
    "scores have shape \\[1, 0\\]; wanted \\[markets, owners\\]": partial(minmax, money([[]])),
    "scores is torch.float32": partial(fixed, torch.ones(1, 2)),
    "lowest is 1.1, wanted a finite number >= 0 and <= 1": partial(
        minmax, money([[1.0]]), lowest=1.1
    ),
    "ends is \\(1, 1\\), wanted an interval": partial(fixed, money([[1.0]]), ends=(1, 1)),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", BAD)
def test_what_is_no_score_is_refused(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
