"""Plans that are never written down: the same steps on plans that are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import scaling_kernel
from marketenv.valuation.exact import solved
from marketenv.valuation.scaling_kernel import conjugate, feasible_cost


def drawn(seed, n=6, m=5, problems=4):
    key = torch.tensor(seed)
    costs, kernel = draws.uniform(key, n, m), draws.uniform(draws.fold(key, "k"), n, m)
    u, v = (
        draws.uniform(draws.fold(key, "u"), problems, n),
        draws.uniform(draws.fold(key, "v"), problems, m),
    )
    a, b = (
        draws.uniform(draws.fold(key, "a"), problems, n),
        draws.uniform(draws.fold(key, "b"), problems, m),
    )
    a[:, 0], b[:, 0] = 0.0, 0.0
    return costs, kernel, u, v, a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_rounding_is_that_of_a_dense_plan(seed):
    costs, kernel, u, v, a, b = drawn(seed)
    found = feasible_cost(costs, kernel, u, v, a, b)
    for k in range(4):
        # Altschuler et al. 2017, algorithm 2, as it stands there
        plan = u[k, :, None] * kernel * v[k]
        plan = (a[k] / plan.sum(1)).clamp(max=1)[:, None] * plan
        plan = (b[k] / plan.sum(0)).clamp(max=1) * plan
        lack_a, lack_b = a[k] - plan.sum(1), b[k] - plan.sum(0)
        plan = plan + lack_a[:, None] * lack_b / lack_a.sum()
        assert torch.allclose(plan.sum(1), a[k]) and torch.allclose(plan.sum(0), b[k])
        assert float(found[k]) == pytest.approx(float((plan * costs).sum()))
    assert (found >= solved(costs, a, b).cost - 1e-12).all()


def test_prices_are_the_largest_feasible_ones(monkeypatch):
    costs, _, _, g, _, b = drawn(3)
    found = conjugate(costs, g, b)
    # the first column weighs nothing and binds nobody
    slack = costs[None, :, 1:] - found[..., None] - g[:, None, 1:]
    assert torch.allclose(slack.amin(-1), torch.zeros(4, 6).double(), atol=1e-15)
    monkeypatch.setattr(scaling_kernel, "BLOCK", 1)
    assert torch.equal(conjugate(costs, g, b), found)  # in blocks of one problem
