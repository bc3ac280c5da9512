"""Every valuation of the table: a worked example, and what must hold for all trials."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import VALUATIONS, Trial, error_ratio, loss_difference, relative_loss

# one buyer with loss 2 and squared error 4, three sellers: a good, a useless and a harmful model
LOSSES = torch.tensor([[2.0]]), torch.tensor([[[0.5, 2.0, 3.0]]])
ERRORS = torch.tensor([[4.0]]), torch.tensor([[[1.0, 4.0, 8.0]]])
WORKED = {  # name: (shown, worth, where they come from)
    "loss_difference": (
        [1.5, 0.0, -1.0],
        [1.5, 0.0, -1.0],
        "Huang et al. 2023, eq. 4: 2 - .5, 2 - 2, 2 - 3",
    ),
    "relative_loss": (
        [0.75, 0.0, -0.5],
        [1.5, 0.0, -1.0],
        "Huang et al. 2023, section 3.3: the fall 1.5, 0, -1 over 2",
    ),
    "error_ratio": (
        [4.0, 1.0, 0.5],
        [3.0, 0.0, -0.5],
        "Huang et al. 2023, eq. 3: 4/1, 4/4, 4/8; a useless model is worth 0",
    ),
}
# what a useless model shows
NOTHING = {"loss_difference": 0.0, "relative_loss": 0.0, "error_ratio": 1.0}
EVERY = pytest.mark.parametrize("name", sorted(VALUATIONS))


def test_every_valuation_has_a_worked_example():
    assert WORKED.keys() == VALUATIONS.keys() == NOTHING.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
def test_worked_example(name):
    shown, worth, reason = WORKED[name]
    gain = VALUATIONS[name](Trial(*LOSSES, *ERRORS))
    assert gain.shown.tolist() == [[shown]] and gain.worth.tolist() == [[worth]], reason


@st.composite
def trials(draw, dtype=torch.float64):
    markets, agents = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    key = torch.tensor(draw(st.integers(0, 2**40)))
    scale = 10.0 ** draw(st.floats(-6, 6))
    before = draws.uniform(key, markets, agents) * scale
    after = draws.uniform(draws.fold(key, 1), markets, agents, agents) * scale
    return Trial(
        before.to(dtype), after.to(dtype), (before * before).to(dtype), (after * after).to(dtype)
    )


@EVERY
@settings(max_examples=30)
@given(trial=trials())
def test_worth_has_the_sign_of_the_improvement(name, trial):
    gain = VALUATIONS[name](trial)
    better = trial.loss_before[..., None] > trial.loss_after
    assert torch.equal(gain.worth > 0, better) and torch.equal(gain.shown > NOTHING[name], better)


@EVERY
@settings(max_examples=30)
@given(trial=trials())
def test_buyers_rank_sellers_alike_by_what_is_shown_and_what_it_is_worth(name, trial):
    gain = VALUATIONS[name](trial)
    assert torch.equal(gain.shown.argsort(-1), gain.worth.argsort(-1))


@EVERY
@settings(max_examples=20)
@given(trial=trials())
def test_a_batch_is_its_singles(name, trial):
    whole = VALUATIONS[name](trial)
    for m in range(len(trial.loss_before)):
        one = slice(m, m + 1)
        assert trial.error_before is not None and trial.error_after is not None
        alone = VALUATIONS[name](
            Trial(
                trial.loss_before[one],
                trial.loss_after[one],
                trial.error_before[one],
                trial.error_after[one],
            )
        )
        assert torch.equal(alone.shown[0], whole.shown[m]) and torch.equal(
            alone.worth[0], whole.worth[m]
        )


@EVERY
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_broken_model_is_no_gain(name, broken, dtype):
    before = torch.tensor([[2.0, broken]], dtype=dtype)
    after = torch.tensor([[[1.0, broken], [1.0, 1.0]]], dtype=dtype)
    gain = VALUATIONS[name](Trial(before, after, before, after))
    assert gain.worth[0, 0, 0] > 0  # the whole pair is untouched
    # a broken merge, and a buyer whose own model is broken
    for place in ((0, 0, 1), (0, 1, 0), (0, 1, 1)):
        assert gain.worth[place] == 0 and gain.shown[place] == NOTHING[name]


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_huge_losses_stay_finite(name, dtype):
    before = torch.tensor([[0.0, 1e30]], dtype=dtype)
    after = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]], dtype=dtype)
    gain = VALUATIONS[name](Trial(before, after, before, after))
    assert gain.shown.isfinite().all() and gain.worth.isfinite().all()
    # exact before and after
    assert gain.worth[0, 0, 0] == 0 and gain.shown[0, 0, 0] == NOTHING[name]
    assert (gain.worth[0, 1] > 0).all() and gain.worth[0, 0, 1] < 0


def test_a_merge_that_hits_the_truth_has_the_largest_ratio():
    gain = error_ratio(Trial(*LOSSES, torch.tensor([[4.0]]), torch.tensor([[[0.0, 1e-30, 1.0]]])))
    largest = 1 / torch.finfo(torch.float32).eps  # 2^23
    assert gain.shown.tolist() == [[[largest, largest, 4.0]]]


def test_the_ratio_needs_errors():
    with pytest.raises(ValueError, match="valuation='loss_difference'"):
        error_ratio(Trial(*LOSSES))
    for valuation in (loss_difference, relative_loss):
        assert valuation(Trial(*LOSSES)).worth.shape == (1, 1, 3)


def test_trials_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"before \[1, 2\] and after \[1, 1, 3\] do not fit"):
        Trial(torch.ones(1, 2), torch.ones(1, 1, 3))
    with pytest.raises((ValueError, TypeError)):
        Trial(*LOSSES, torch.ones(1, 2), torch.ones(1, 1, 3))
