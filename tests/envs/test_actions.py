"""Actions on a grid: Discrete and MultiDiscrete levels mean evenly spaced points of the Box,
and the options of a choice.
"""

import numpy as np
import pytest
import torch
from env_cases import CASES, parallel
from gymnasium.spaces import Discrete, MultiDiscrete
from hypothesis import given
from hypothesis import strategies as st

from marketenv import make_parallel, make_sb3, make_single, make_vec, model_sharing_v0, reference_v0
from marketenv.core.fields import Choice, Field, Fields, Share
from marketenv.core.market import Move
from marketenv.envs.opponents import ModelPolicy
from marketenv.envs.spaces import action_space, levels_of, to_actions
from marketenv.markets.model_sharing.reports import Shared
from marketenv.markets.model_sharing.uploads import UPLOADS
from marketenv.markets.reference import Auctioned

TYPE = Fields((Field("type", 1, 0.0, 1.0),))
ONE = Move(TYPE, Fields((Field("price", 1, -1.0, 1.0),)), "buyer", 1)
TWO = Move(TYPE, Fields((Field("bid", 1, -1.0, 1.0), Field("effort", 1, 0.0, 4.0))), "buyer", 1)
KIND = Choice("kind", 2, options=("honest", "noise", "ones", "copy"))
GO = Choice("go", options=("no", "yes"), edges=(-0.9,))
CHOOSING = Move(TYPE, Fields((Share("effort"), KIND, GO)), "client", 1)
PICKING = Move(TYPE, Fields((Choice("kind", options=("honest", "noise", "ones")),)), "client", 1)
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


def test_a_choice_has_one_level_an_option():
    # the ends of the box for the first and the last option, the middles of the bins [-.5, 0] and
    # [0, .5] for those between
    assert grid([4, 0, 3, 1], CHOOSING).tolist() == [1, -1, 1, 1]
    assert grid([0, 1, 2, 0], CHOOSING).tolist() == [-1, -0.25, 0.25, -1]
    assert action_space(CHOOSING, 5) == MultiDiscrete([5, 4, 4, 2]) and action_space(
        CHOOSING, 2
    ) == MultiDiscrete([2, 4, 4, 2])
    assert action_space(PICKING, 7) == Discrete(3) and [
        grid(k, PICKING, 7).tolist() for k in range(3)
    ] == [[-1], [0], [1]]


@given(st.integers(2, 9), st.data())
def test_the_level_of_a_choice_is_read_as_its_option(levels, data):
    level = [data.draw(st.integers(0, n - 1)) for n in (levels, 4, 4, 2)]
    means = CHOOSING.action.read(grid([level, level], CHOOSING, levels, (2,)))
    assert means["kind"].tolist() == [level[1:3]] * 2 and means["go"].tolist() == [level[3:]] * 2
    assert means["effort"][0, 0] == pytest.approx(level[0] / (levels - 1), abs=1e-6)


@pytest.mark.parametrize("role", [ONE, TWO, CHOOSING, PICKING])
@pytest.mark.parametrize("levels", [2, 3, 4, 11])
def test_the_levels_of_a_space_are_known_again(role, levels):
    again = levels_of(action_space(role, levels), role)
    assert (
        action_space(role, again) == action_space(role, levels)
        and levels_of(action_space(role, None), role) is None
    )


@pytest.mark.parametrize(
    ("space", "role"),
    [(Discrete(4), PICKING), (MultiDiscrete([5, 4, 4, 5]), CHOOSING), (Discrete(5), TWO)],
)
def test_the_space_of_another_role_is_refused(space, role):
    with pytest.raises(ValueError, match=f"wanted the actions of a {role.name}: (Multi)?Discrete"):
        levels_of(space, role)


class Chooser:
    """A model that was trained on levels and always takes the last of each."""

    action_space = action_space(CHOOSING, 3)

    def predict(self, observation, deterministic):
        return np.tile(self.action_space.nvec - 1, (len(observation), 1)), None


def test_a_model_trained_on_levels_plays_its_options():
    actions = ModelPolicy(Chooser())(torch.zeros(2, 1), CHOOSING, torch.arange(2))
    assert actions.tolist() == [[1, 1, 1, 1]] * 2


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
        ("low", ONE, (), "dtype <U3.*wanted real numbers"),
        ([1, 2], ONE, (), r"shape \[2\], wanted"),
        ([[1]], ONE, (), r"shape \[1, 1\], wanted \[1\]"),
        ([1], TWO, (), r"shape \[1\], wanted \[..., 2\]"),
        ([1, 2, 3], ONE, (2,), r"shape \[3\], wanted"),
        ([0, 0, 4, 0], CHOOSING, (), r"wanted integers from 0 to \[4, 3, 3, 1\]"),
        ([0, 0, 0, 2], CHOOSING, (), r"wanted integers from 0 to \[4, 3, 3, 1\]"),
        ([[1, 2]], TWO, (2,), r"shape \[1, 2\], wanted \[2, 2\]"),
    ],
)
def test_a_bad_level_is_refused(values, role, batch, says):
    with pytest.raises(ValueError, match=says):
        grid(values, role, batch=batch)


@pytest.mark.parametrize("levels", [1, 0, -3])
def test_fewer_than_two_levels_are_refused(levels):
    wanted = f"action_levels is {levels}, wanted a whole number from 2 to 1000000"
    with pytest.raises(ValueError, match=wanted):
        parallel("first_price", action_levels=levels)


@pytest.mark.parametrize("case", CASES)
def test_the_space_follows_the_number_of_actions(case):
    env = parallel(case, action_levels=7)
    for agent in env.possible_agents:
        space, box = env.action_space(agent), parallel(case).action_space(agent)
        free = [7] * box.shape[0]
        if case.startswith("model_sharing"):
            free[4:] = [len(UPLOADS), 2]  # the upload, and whether the client stays
        assert space == (Discrete(7) if box.shape == (1,) else MultiDiscrete(free))


@pytest.mark.parametrize("case", CASES)
def test_the_end_levels_are_the_ends_of_the_box(case):
    discrete, continuous = parallel(case, action_levels=3), parallel(case)
    space = discrete.action_space(discrete.possible_agents[0])
    last = np.array(space.n - 1) if isinstance(space, Discrete) else space.nvec - 1
    # of two options 0 is the second, whose bin begins at -.9
    middle = np.where(last == 1, 1, last // 2)
    for levels, value in ((0 * last, -1.0), (middle, 0.0), (last, 1.0)):
        results = []
        for env, fill in ((discrete, levels), (continuous, value)):
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
    # the highest level is the highest price
    assert venv.report.of(Auctioned).offers[:, 0].tolist() == [1.0] * n
    with pytest.raises(ValueError, match=r"shape \[2\], wanted"):
        venv.step(np.zeros(2) if n != 2 else np.zeros(3))


class NoNumber:
    """Something that no door can read."""


PLAYED = {  # the same price .75 = (1 + 1/2) / 2, given in every way that holds it
    "float32": np.array([0.5], np.float32),
    "float16": np.array([0.5], np.float16),
    "long": np.array([0.5], np.longdouble),
    "list": [0.5],
    "tensor": torch.tensor([0.5]),
    "requires grad": torch.tensor([0.5], requires_grad=True),
    "computed": torch.tensor([0.25], requires_grad=True) * 2,
    "list requires grad": [torch.tensor(0.5, requires_grad=True)],
    "bfloat16": torch.tensor([0.5], dtype=torch.bfloat16),
    "list of bfloat16": [torch.tensor(0.5, dtype=torch.bfloat16)],
    "float8": torch.tensor([0.5]).to(torch.float8_e4m3fn),
    "unmasked": np.ma.array([0.5], mask=[False]),
}
REFUSED = {  # what holds no real numbers
    "objects": (np.array([0.5], dtype=object), "dtype object"),
    "an object": (NoNumber(), "dtype object"),
    "words": (np.array(["0.5"]), "dtype <U3"),
    "complex": (np.array([0.5 + 0j]), "dtype complex128"),
    "complex tensor": (torch.tensor([0.5 + 0j]), "complex64"),
    "list of complex": ([torch.tensor(0.5 + 0j)], "complex64"),
    "masked": (np.ma.array([0.5], mask=[True]), "masked"),
    "sparse": (torch.tensor([[0.5]]).to_sparse(), "sparse_coo"),
    "dates": (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
}


def many(value):
    """The same action for two markets, in the same type."""
    if isinstance(value, np.ma.MaskedArray):
        return np.ma.stack([value, value])
    if isinstance(value, torch.Tensor) and value.layout == torch.strided:
        return value.expand(2, 1)
    return (
        [value] * 2
        if isinstance(value, list)
        else np.stack([value] * 2)
        if isinstance(value, np.ndarray)
        else value
    )


def step_parallel(value, levels):
    env = reference_v0.parallel_env(action_levels=levels)
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, value))
    return env.report


def step_aec(value, levels):
    env = reference_v0.env(action_levels=levels)
    env.reset(seed=0)
    for _ in range(2):
        env.step(value)
    return env.unwrapped.report


def step_single(value, levels):
    env = make_single("reference_v0", action_levels=levels)
    env.reset(seed=0)
    env.step(value)
    return env.report


def step_vector(value, levels, make=make_vec):
    venv = make("reference_v0", 2, agent="buyer_0", action_levels=levels)
    venv.reset()
    venv.step(many(value))
    assert venv.report.of(Auctioned).offers[0, 0] == venv.report.of(Auctioned).offers[1, 0]
    return venv.report


STEPS = {
    "parallel": step_parallel,
    "aec": step_aec,
    "single": step_single,
    "vector": step_vector,
    "sb3": lambda value, levels: step_vector(value, levels, make_sb3),
}
every_door = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


@every_door
@pytest.mark.parametrize("value", PLAYED.values(), ids=PLAYED)
def test_every_door_takes_numbers_of_every_type(step, value):
    report = step(value, None)
    assert report.of(Auctioned).offers[0, 0] == 0.75 and not report.rewards.requires_grad


@every_door
@pytest.mark.parametrize(("value", "says"), REFUSED.values(), ids=REFUSED)
def test_every_door_says_what_is_no_number(step, value, says):
    with pytest.raises(ValueError, match=rf"(?s)action.*{says}"):
        step(value, None)


WHOLE = [
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.float32,
]
TENSORS = [
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.int8,
    torch.int64,
    torch.bfloat16,
]


@every_door
@pytest.mark.parametrize("kind", [*WHOLE, *TENSORS], ids=str)
def test_every_door_takes_levels_of_every_type(step, kind):
    given = torch.tensor([2]).to(kind) if isinstance(kind, torch.dtype) else np.array([2], kind)
    # level 2 of 5 is the middle of [-1, 1], a price of 1/2
    assert step(given, 5).of(Auctioned).offers[0, 0] == 0.5


@pytest.mark.parametrize("kind", [*WHOLE, np.bool_, int, bool], ids=str)
def test_a_scalar_of_every_type_is_a_level(kind):
    assert grid(kind(1), levels=2).tolist() == [1]
    assert grid(np.array([1, 0]).astype(kind), TWO, levels=2).tolist() == [1, 0]


@pytest.mark.parametrize(
    "value", [np.uint64(2**64 - 1), np.uint32(5), np.int8(-1), np.float16(1.5), np.inf]
)
def test_a_level_outside_is_refused_in_every_type(value):
    with pytest.raises(ValueError, match="wanted integers from 0 to 4"):
        grid(value)


# ten to the power of 1/2 times every type, full effort, stays
CLIENT = [3, 3, 3, 4, list(UPLOADS).index("noise"), 1]
SHARING = {"learner": None, "n_agents": 3, "max_cycles": 1, "action_levels": 5}


def share_parallel():
    env = make_parallel("model_sharing_v0", **SHARING)
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, np.array(CLIENT)))
    return env.report


def share_aec():
    env = model_sharing_v0.env(**SHARING)
    env.reset(seed=0)
    for _ in range(3):
        env.step(CLIENT)
    return env.unwrapped.report


def share_single():
    env = make_single("model_sharing_v0", agent="client_0", **SHARING)
    env.reset(seed=0)
    env.step(np.array(CLIENT))
    return env.report


def share_vector(make=make_vec):
    venv = make("model_sharing_v0", 2, agent="client_0", **SHARING)
    venv.reset()
    venv.step(np.array([CLIENT] * 2))
    return venv.report


SHARE = {
    "parallel": share_parallel,
    "aec": share_aec,
    "single": share_single,
    "vector": share_vector,
    "sb3": lambda: share_vector(make_sb3),
}


@pytest.mark.parametrize("step", SHARE.values(), ids=SHARE)
def test_every_door_takes_the_number_of_an_option(step):
    report = step()
    assert int(report.of(Shared).upload[0, 0]) == CLIENT[4] and bool(
        report.of(Shared).present[0, 0]
    )
