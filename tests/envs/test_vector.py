"""The Gymnasium vector door: shapes, seeds, same-step restarts, and a batch that plays as its
singles.
"""

import gymnasium
import numpy as np
import pytest
from env_cases import CASES, TRAINED, name_of, random_column
from gymnasium.vector import AutoresetMode

from marketenv import make_single, make_vec

N = 4
every_case = pytest.mark.parametrize("case", CASES)
exact_case = pytest.mark.parametrize("case", [c for c in CASES if c not in TRAINED])


def vector(case, n=N, **more):
    more = {"agent": None, "opponents": "random"} | more
    return make_vec(name_of(case), n, **(CASES[case][1] | more))


def same_infos(one, two):
    """Equal keys, values and masks, inside final_info too."""
    assert one.keys() == two.keys()
    for key in one:
        if isinstance(one[key], dict):
            same_infos(one[key], two[key])
        elif one[key].dtype == object:
            for a, b in zip(one[key], two[key], strict=True):
                assert (a is None and b is None) or np.array_equal(a, b)
        else:
            assert np.array_equal(one[key], two[key]), key


@every_case
def test_shapes_and_types(case):
    venv = vector(case)
    seen, infos = venv.reset(seed=0)
    assert venv.observation_space.contains(seen) and seen.shape == (
        N,
        *venv.single_observation_space.shape,
    )
    action = random_column(venv.single_action_space, 1, N)[0]
    seen, rewards, terminated, truncated, infos = venv.step(action)
    assert (
        venv.observation_space.contains(seen)
        and rewards.shape == (N,)
        and rewards.dtype == np.float64
    )
    assert terminated.dtype == truncated.dtype == bool and terminated.shape == truncated.shape == (
        N,
    )
    assert all(
        infos[k].shape == (N,) and infos[f"_{k}"].all() for k in infos if not k.startswith("_")
    )
    assert venv.report.rewards[:, 0].tolist() == rewards.tolist()


@exact_case
def test_it_equals_gymnasiums_own_vector_of_single_environments(case):
    config = CASES[case][1] | {"opponents": "random"}
    own = vector(case)
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: make_single(name_of(case), **config)] * N, autoreset_mode=AutoresetMode.SAME_STEP
    )
    (seen, infos), (expected, expected_infos) = own.reset(seed=5), theirs.reset(seed=5)
    assert np.array_equal(seen, expected)
    same_infos(infos, expected_infos)
    for actions in random_column(own.single_action_space, 8, N):  # past two horizons of 3
        mine, others = own.step(actions), theirs.step(actions)
        assert all(np.array_equal(a, b) for a, b in zip(mine[:4], others[:4], strict=True))
        same_infos(mine[4], others[4])
    theirs.close()


@every_case
def test_a_batch_of_four_plays_as_four_singles(case):
    own = vector(case)
    seen, _ = own.reset(seed=20)
    (actions,) = random_column(own.single_action_space, 1, N)
    stepped = own.step(actions)
    # Exactly, but where batched matrix products train, whose rounding depends on the batch;
    # later rounds may part, since discrete choices amplify rounding.
    tolerance = 1e-5 if case in TRAINED else 0.0
    for k in range(N):
        env = make_single(name_of(case), **CASES[case][1], opponents="random")
        assert np.allclose(seen[k], env.reset(seed=20 + k)[0], atol=tolerance, rtol=0)
        alone = env.step(actions[k])
        for together, single in zip(stepped[:4], alone[:4], strict=True):
            assert np.allclose(together[k], single, atol=tolerance, rtol=0)


@every_case
def test_markets_that_end_restart_in_the_same_step(case):
    venv = vector(case)
    assert venv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first, _ = venv.reset(seed=0)
    *_, last = (venv.step(action) for action in random_column(venv.single_action_space, 3, N))
    seen, _, terminated, truncated, infos = last
    assert (terminated | truncated).all() and not (terminated & truncated).any()
    assert infos["_final_obs"].all() and infos["_final_info"].all()
    # finished rounds / max_cycles: 1 at the end, 0 at the start
    round_column = venv._seat.observation.slices["round"]
    assert (
        all(final[round_column] == 1 for final in infos["final_obs"])
        and (seen[:, round_column] == 0).all()
    )
    assert (infos["final_info"]["utility"] == venv.report.infos()["utility"][:, 0].numpy()).all()
    assert not infos["utility"].any() and not np.array_equal(seen, first)


@every_case
def test_seeds_repeat_and_differ(case):
    one, two = vector(case), vector(case)
    first, _ = one.reset(seed=3)
    assert np.array_equal(first, two.reset(seed=[3, 4, 5, 6])[0])
    assert len(np.unique(first, axis=0)) == N
    for action in random_column(one.single_action_space, 4, N):
        assert all(
            np.array_equal(a, b)
            for a, b in zip(one.step(action)[:4], two.step(action)[:4], strict=True)
        )
    assert not np.array_equal(first, one.reset()[0]) and np.array_equal(first, one.reset(seed=3)[0])


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_what_is_returned_may_be_written_into(mode):
    one, two = (vector("first_price", autoreset_mode=mode) for _ in range(2))
    one.reset(seed=0), two.reset(seed=0)
    for action in random_column(one.single_action_space, 5, N):
        spoiled, clean = one.step(action), two.step(action)
        assert all(np.array_equal(a, b) for a, b in zip(spoiled[:4], clean[:4], strict=True))
        same_infos(spoiled[4], clean[4])
        for array in (*spoiled[:4], *(v for v in spoiled[4].values() if isinstance(v, np.ndarray))):
            array[...] = 0


@pytest.mark.parametrize(
    "value",
    [np.full((N, 1), np.nan), np.full((N, 1), 1.1), np.zeros((N + 1, 1)), np.zeros(N), "buy"],
)
def test_bad_actions_are_refused_and_change_nothing(value):
    one, two = vector("first_price"), vector("first_price")
    one.reset(seed=0), two.reset(seed=0)
    with pytest.raises(ValueError, match="actions"):
        one.step(value)
    (action,) = random_column(one.single_action_space, 1, N)
    assert np.array_equal(one.step(action)[1], two.step(action)[1])


def test_gymnasium_makes_it_from_its_registry():
    venv = gymnasium.make_vec("marketenv/reference-v0", num_envs=3, agent="seller_0", max_cycles=2)
    assert venv.unwrapped.agent == "seller_0" and venv.num_envs == 3
    assert venv.spec.kwargs["num_envs"] == 3 and venv.spec.id == "marketenv/reference-v0"
    default = gymnasium.make_vec(
        "marketenv/reference-v0", num_envs=2, vectorization_mode="vector_entry_point"
    )
    singles = gymnasium.make_vec("marketenv/reference-v0", num_envs=2, vectorization_mode="sync")
    # both play the first agent
    assert np.array_equal(default.reset(seed=9)[0], singles.reset(seed=9)[0])
    singles.close()


def test_at_least_one_market_and_a_known_agent_are_wanted():
    with pytest.raises(ValueError, match="num_envs is 0, wanted a whole number >= 1"):
        vector("first_price", 0)
    with pytest.raises(
        ValueError,
        match=r"no agent 'seller_0'\. Did you mean 'buyer_0'\? Known: buyer_0, buyer_1, buyer_2",
    ):
        vector("first_price", agent="seller_0")


def test_saved_markets_go_on_to_the_bit_also_across_a_restart(tmp_path):
    venvs = [make_vec("reference_v0", 3, agent="seller_0", max_cycles=2) for _ in range(2)]
    venvs[0].reset(seed=4)
    action = np.zeros((3, 1), dtype=np.float32)
    before = venvs[0].step(action)[0]
    venvs[0].save(tmp_path / "state")
    assert np.array_equal(venvs[1].load(tmp_path / "state")[0], before)
    for _ in range(3):  # the first of them ends the episode and starts the next
        one, two = (venv.step(action) for venv in venvs)
        assert all(np.array_equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))
