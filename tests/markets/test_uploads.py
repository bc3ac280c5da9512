"""Uploads: every kind by hand, the actions that choose them, and what they do to drawn
distances.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.markets.model_sharing.uploads import (
    SCALE,
    UPLOADS,
    Makings,
    drawn_distance,
    make_uploads,
)

TRAINED = torch.tensor([[[1.0, 2.0], [3.0, 5.0], [5.0, 11.0]]])
START = torch.tensor([[[1.0, 1.0]]])
CENTRE = torch.tensor([[[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]]])
KEYS = torch.tensor([[11, 12, 13]])
NORMAL = draws.normal(draws.fold(KEYS, "upload"), 2).float()[0]


def models(present=(True, True, True)):
    return Makings(TRAINED, START, CENTRE, torch.tensor([present]), KEYS)


# Client 1 trained (3, 5) from the start (1, 1): kind -> (what it uploads, what it does to distances
# (keep, far), why)
WORKED = {
    "honest": ([3, 5], (1, 0), "1: what it trained"),
    "relay": (
        [8, 8],
        (0.5, 0),
        "its centre is (8, 8); others' work is near them: .5 of the distance",
    ),
    "copy": ([3, 6.5], (0.5, 0), "((1, 2) + (5, 11)) / 2; .5 of the distance"),
    "noise": (
        [3 + math.sqrt(10) * NORMAL[1, 0], 5 + math.sqrt(10) * NORMAL[1, 1]],
        (1, 0.5),
        "rms of (2, 4) is sqrt(20 / 2)",
    ),
    "scaled": (
        [21, 41],
        (1, 0),
        "1 + 10 * 2, 1 + 10 * 4; the angle of an update has no length: keep 1",
    ),
    "shuffled": (None, (0, 1), "2 numbers in either order; unrelated: a right angle, 1"),
    "gauss": (NORMAL[1].tolist(), (0, 1), "2 standard normal numbers of its key; 1 as above"),
    "ones": ([1, 1], (0, 1), "1 and 1"),
    "sign_flip": ([-3, -5], (0, 1), "-1 times"),
}


def test_every_upload_has_a_worked_example():
    # the order is the actions'
    assert list(WORKED) == list(UPLOADS) and next(iter(UPLOADS)) == "honest"
    assert all(
        any(ch.isdigit() for ch in reason) or "." in reason for *_, reason in WORKED.values()
    )
    assert all(upload.text for upload in UPLOADS.values()) and SCALE == 10


@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name):
    expected, (keep, far), reason = WORKED[name]
    kind = torch.zeros(1, 3, dtype=torch.int64)
    kind[0, 1] = list(UPLOADS).index(name)
    made = make_uploads(models(), kind)
    assert torch.equal(made[0, ::2], TRAINED[0, ::2])  # the honest ones beside it are as they were
    assert made.shape == TRAINED.shape and made.dtype == TRAINED.dtype
    if expected is None:
        assert sorted(made[0, 1].tolist()) == [3, 5], reason
    else:
        assert made[0, 1].tolist() == pytest.approx([float(x) for x in expected], rel=1e-6), reason
    assert (UPLOADS[name].keep, UPLOADS[name].far) == (keep, far), reason


def test_a_shuffle_is_a_permutation_that_differs_by_key():
    wide = torch.arange(50.0).expand(1, 3, -1).contiguous()
    all_there = Makings(wide, wide[:, :1] * 0, wide, torch.ones(1, 3, dtype=torch.bool), KEYS)
    made = make_uploads(all_there, torch.full((1, 3), list(UPLOADS).index("shuffled")))
    assert torch.equal(made.sort(-1).values, wide)
    assert not torch.equal(made[0, 0], made[0, 1]) and not torch.equal(made[0, 0], wide[0, 0])


def test_a_copy_is_of_those_who_are_there():
    kind = torch.full((1, 3), list(UPLOADS).index("copy"))
    # client 1 alone
    assert make_uploads(models((True, True, False)), kind)[0, 0].tolist() == [3, 5]
    # of nobody: no model at all
    assert make_uploads(models((True, False, False)), kind)[0, 0].tolist() == [0, 0]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**40), n=st.integers(2, 8))
def test_honest_distances_are_symmetric_and_between_0_and_1(seed, n):
    drawn = drawn_distance(torch.tensor([seed, seed + 1]), torch.zeros(2, n, dtype=torch.int64))
    off = ~torch.eye(n, dtype=torch.bool)
    assert torch.equal(drawn, drawn.mT) and drawn.dtype == torch.float64
    assert (drawn[:, off] > 0).all() and (drawn[:, off] < 1).all() and (drawn[:, ~off] == 0).all()
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("name", UPLOADS)
def test_an_upload_changes_its_own_distances_alone(name):
    keys, kind = torch.arange(4), torch.zeros(4, 4, dtype=torch.int64)
    honest = drawn_distance(keys, kind)
    kind[:, 1] = list(UPLOADS).index(name)
    changed = drawn_distance(keys, kind)
    _, (keep, far), reason = WORKED[name]
    away = [0, 2, 3]
    assert torch.allclose(changed[:, 1, away], (keep * honest[:, 1, away]).clamp(min=far)), reason
    assert torch.equal(changed, changed.mT)
    assert torch.equal(changed[:, away][:, :, away], honest[:, away][:, :, away])


def test_two_relays_are_a_quarter_of_the_distance_apart():
    keys, relay = torch.arange(4), torch.ones(4, 3, dtype=torch.int64)
    # .5 * .5
    assert torch.allclose(drawn_distance(keys, relay), 0.25 * drawn_distance(keys, 0 * relay))
