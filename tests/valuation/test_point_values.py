"""Point values from dual potentials: by hand, by finite differences of a small transport
problem, and their sign.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from marketenv.core import draws
from marketenv.valuation import calibrated_gradients


def transport(cost, a, b):
    """Least cost of moving a onto b, and the potentials of a: a linear program."""
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones((1, m)))
    columns = np.kron(np.ones((1, n)), np.eye(m))
    plan = linprog(
        cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]), method="highs"
    )
    return plan.fun, plan.eqlin.marginals[:n]


def test_worked_by_hand():
    # f = (3, 0, 0): 3 - 0, then 0 - (3 + 0) / 2
    assert calibrated_gradients(torch.tensor([3.0, 0.0, 0.0])).tolist() == [3.0, -1.5, -1.5]
    assert calibrated_gradients(torch.tensor([5.0, 1.0])).tolist() == [4.0, -4.0]  # f_1 - f_2


def test_it_is_the_rise_of_the_distance_when_one_point_gains_weight():
    """Costs of generic points have one optimal basis, which small steps keep, so that
    differences are exact.
    """
    key = torch.tensor(8)
    x, y = draws.normal(key, 5, 2), draws.normal(draws.fold(key, "y"), 7, 2)
    cost, a, b = torch.cdist(x, y).square().numpy(), np.full(5, 0.2), np.full(7, 1 / 7)
    base, f = transport(cost, a, b)
    gradients = calibrated_gradients(torch.tensor(f))
    for i in range(5):
        step = np.full(5, -1e-4 / 4)
        step[i] = 1e-4  # as the others lose alike
        assert float(gradients[i]) == pytest.approx(
            (transport(cost, a + step, b)[0] - base) / 1e-4, rel=1e-6
        )


def test_a_point_far_from_the_buyers_data_is_positive():
    x, y = torch.tensor([0.0, 0.1, 0.2, 9.0]), torch.tensor([0.0, 0.1, 0.2, 0.3])
    _, f = transport((x[:, None] - y).square().numpy(), np.full(4, 0.25), np.full(4, 0.25))
    gradients = calibrated_gradients(torch.tensor(f))
    assert gradients.argmax() == 3 and gradients[3] > 0 and (gradients[:3] < 0).all()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**40), n=st.integers(2, 30), shift=st.floats(-1e3, 1e3))
def test_they_sum_to_zero_and_potentials_have_no_zero(seed, n, shift):
    f = draws.normal(torch.tensor(seed), 3, n)
    g = calibrated_gradients(f)
    others = (f.sum(-1, keepdim=True) - f) / (n - 1)
    assert torch.allclose(g, f - others, atol=1e-12) and torch.allclose(
        g.sum(-1), torch.zeros(3).double(), atol=1e-10
    )
    assert torch.allclose(calibrated_gradients(f + shift), g, atol=1e-9)
    assert torch.equal(calibrated_gradients(f[1]), g[1])


def test_padding_counts_for_nothing():
    f = torch.tensor([[3.0, math.nan, 0.0, 0.0], [1.0, 5.0, math.inf, math.nan]])
    present = torch.tensor([[True, False, True, True], [True, True, False, False]])
    found = calibrated_gradients(f, present)
    assert found.tolist() == [[3.0, 0.0, -1.5, -1.5], [-4.0, 4.0, 0.0, 0.0]]


def test_what_has_no_others_is_refused(as_for_a_user):
    with pytest.raises(ValueError, match="hold 1 points, wanted 2 or more"):
        calibrated_gradients(torch.ones(3, 1))
    with pytest.raises(ValueError, match="hold 1 points, wanted 2 or more"):
        calibrated_gradients(
            torch.ones(2, 3), torch.tensor([[True, True, True], [True, False, False]])
        )
    with pytest.raises(ValueError, match="potentials holds nan"):
        calibrated_gradients(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match=r"present \[3\] does not fit potentials \[2, 3\]"):
        calibrated_gradients(torch.ones(2, 3), torch.ones(3, dtype=torch.bool))
