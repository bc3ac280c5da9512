"""Actions on a grid: Discrete and MultiDiscrete levels mean evenly spaced points of the Box."""

import numpy as np
import pytest
import torch
from env_cases import CASES, parallel
from gymnasium.spaces import Discrete, MultiDiscrete
from hypothesis import given
from hypothesis import strategies as st

from marketenv import make_sb3, make_vec
from marketenv.core.fields import Field, Fields
from marketenv.core.market import Role
from marketenv.envs.spaces import to_actions

ONE = Role("buyer", 1, Fields((Field("type", 1, 0.0, 1.0),)), Fields((Field("price", 1, -1.0, 1.0),)))
TWO = Role("buyer", 1, Fields((Field("type", 1, 0.0, 1.0),)), Fields((Field("bid", 1, -1.0, 1.0), Field("effort", 1, 0.0, 4.0))))
CPU = torch.device("cpu")


def grid(values, role=ONE, levels=5, batch=()):
    return to_actions(values, role, levels, "action", CPU, batch)


def test_levels_run_from_the_low_end_to_the_high_end():
    # five points from -1 to 1 lie 2 / 4 apart
    assert [grid(k).tolist() for k in range(5)] == [[-1], [-0.5], [0], [0.5], [1]]
    assert [grid(k, levels=2).tolist() for k in range(2)] == [[-1], [1]]
    assert grid([1, 3], TWO).tolist() == [-0.5, 3]  # effort: 0 + 3 * 4 / 4


@given(st.integers(2, 50), st.data())
def test_levels_are_evenly_spaced(levels, data):
    k = data.draw(st.integers(0, levels - 1))
    bid, effort = grid([k, levels - 1 - k], TWO, levels).tolist()
    assert bid == pytest.approx(-1 + 2 * k / (levels - 1), abs=1e-6)
    assert effort == pytest.approx(4 - 4 * k / (levels - 1), abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_batch_of_discrete_levels_may_leave_out_the_last_axis(n):
    levels = np.arange(n)
    flat, deep = grid(levels, batch=(n,)), grid(levels[:, None], batch=(n,))
    assert flat.shape == (n, 1) and torch.equal(flat, deep) and flat[0, 0] == -1


@pytest.mark.parametrize(
    ("values", "role", "batch", "says"),
    [
        (5, ONE, (), "wanted integers from 0 to 4"),
        (-1, ONE, (), "wanted integers from 0 to 4"),
        (1.5, ONE, (), "wanted integers from 0 to 4"),
        (np.nan, ONE, (), "wanted integers from 0 to 4"),
        ("low", ONE, (), "wanted 1 numbers"),
        ([1, 2], ONE, (), r"shape \[2\], wanted"),
        ([[1]], ONE, (), r"shape \[1, 1\], wanted \[1\]"),
        ([1], TWO, (), r"shape \[1\], wanted \[..., 2\]"),
        ([1, 2, 3], ONE, (2,), r"shape \[3\], wanted"),
        ([[1, 2]], TWO, (2,), r"shape \[1, 2\], wanted \[2, 2\]"),
    ],
)
def test_a_bad_level_is_refused(values, role, batch, says):
    with pytest.raises(ValueError, match=says):
        grid(values, role, batch=batch)


@pytest.mark.parametrize("levels", [1, 0, -3])
def test_fewer_than_two_levels_are_refused(levels):
    with pytest.raises(ValueError, match=f"action_levels is {levels}, wanted >= 2"):
        parallel("first_price", action_levels=levels)


@pytest.mark.parametrize("case", CASES)
def test_the_space_follows_the_number_of_actions(case):
    env = parallel(case, action_levels=7)
    for agent in env.possible_agents:
        space, box = env.action_space(agent), parallel(case).action_space(agent)
        assert space == (Discrete(7) if box.shape == (1,) else MultiDiscrete([7] * box.shape[0]))


@pytest.mark.parametrize("case", CASES)
def test_the_end_levels_are_the_ends_of_the_box(case):
    discrete, continuous = parallel(case, action_levels=3), parallel(case)
    for level, value in ((0, -1.0), (1, 0.0), (2, 1.0)):
        results = []
        for env, fill in ((discrete, level), (continuous, value)):
            env.reset(seed=1)
            actions = {a: np.full_like(env.action_space(a).sample(), fill) for a in env.agents}
            results.append(env.step(actions)[1])
        assert results[0] == results[1]


@pytest.mark.parametrize("make", [make_vec, make_sb3])
@pytest.mark.parametrize("n", [1, 3])
def test_batches_take_levels(make, n):
    venv = make("reference_v0", n, agent="buyer_0", action_levels=3)
    venv.reset()
    venv.step(np.full(n, 2))
    assert venv.report.offers[:, 0].tolist() == [1.0] * n  # the highest level is the highest price
    with pytest.raises(ValueError, match=r"shape \[2\], wanted"):
        venv.step(np.zeros(2) if n != 2 else np.zeros(3))
