"""The horizon through every door: it ends the game, or it is a cut that nobody can see; and
what a learner makes of either.
"""

import gymnasium
import numpy as np
import pytest
import torch
from env_cases import CASES, name_of, parallel, random_column, seeded_actions
from stable_baselines3 import PPO, SAC

from marketenv import make_sb3, make_single, make_vec
from marketenv.envs import aec
from marketenv.testing import CHECKS, check_market_env

N, ROUNDS = 2, 3  # markets of a batch; max_cycles of all cases
HORIZONS = {"end": (True, False), "cut": (False, True)}  # terminated, truncated
every_case = pytest.mark.parametrize("case", CASES)
CHEAP = ["double_auction", "model_sharing_drawn"]  # nothing is trained


def identity(case):
    return f"marketenv/{name_of(case).replace('_v', '-v')}"


def of_parallel(case, **config):
    env, draw = parallel(case, **config), np.random.default_rng(0)
    env.reset(seed=0)
    for _ in range(ROUNDS):
        yield [
            *zip(*(part.values() for part in env.step(seeded_actions(env, draw))[2:4]), strict=True)
        ]


def of_aec(case, **config):
    env = aec(parallel(case, **config))
    env.reset(seed=0)
    for _ in range(ROUNDS):
        for agent in env.agents:
            env.step(env.action_space(agent).sample())
        yield [env.last()[2:4] for _ in env.agents]


def of_gymnasium(env):
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(ROUNDS):
        yield [env.step(env.action_space.sample())[2:4]]


def of_vector(env):
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(ROUNDS):
        yield [
            *zip(*(part.tolist() for part in env.step(env.action_space.sample())[2:4]), strict=True)
        ]


def of_sb3(venv):
    venv.reset()
    for actions in random_column(venv.action_space, ROUNDS, venv.num_envs):
        _, _, dones, infos = venv.step(actions)
        cut = [info["TimeLimit.truncated"] for info in infos]
        # as its algorithms read them
        yield [(bool(over) and not late, late) for over, late in zip(dones, cut, strict=True)]


def arguments(case, more):
    return CASES[case][1] | more


DOORS = {  # (terminated, truncated) of every agent or market, step by step
    "parallel": of_parallel,
    "aec": of_aec,
    "single": lambda case, **more: of_gymnasium(
        make_single(name_of(case), **arguments(case, more))
    ),
    "gymnasium": lambda case, **more: of_gymnasium(
        gymnasium.make(identity(case), **arguments(case, more))
    ),
    "vector": lambda case, **more: of_vector(make_vec(name_of(case), N, **arguments(case, more))),
    "gymnasium_vector": lambda case, **more: of_vector(
        gymnasium.make_vec(
            identity(case), N, vectorization_mode="vector_entry_point", **arguments(case, more)
        )
    ),
    "sb3": lambda case, **more: of_sb3(
        make_sb3(name_of(case), N, agent="all", **arguments(case, more))
    ),
}


@every_case
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_every_door_tells_the_horizon(case, door, horizon):
    *before, last = DOORS[door](case, horizon=horizon)
    assert last and set(last) == {HORIZONS[horizon]}
    assert all(flags == (False, False) for step in before for flags in step)


@every_case
def test_the_last_round_ends_the_game_by_default(case):
    *_, last = of_parallel(case)
    assert set(last) == {HORIZONS["end"]}


def shown(case, rounds, steps):
    """What steps of a market that is cut after so many rounds show: observations and rewards,
    the last one's included.
    """
    venv = make_vec(
        name_of(case),
        N,
        opponents="random",
        **arguments(case, {"horizon": "cut", "max_cycles": rounds}),
    )
    yield venv.reset(seed=0)[0]
    for actions in random_column(venv.single_action_space, steps, N):
        seen, rewards, _, _, infos = venv.step(actions)
        yield np.stack(infos["final_obs"]) if "final_obs" in infos else seen
        yield rewards
    where = venv._seat.observation.slices["round"]
    assert not seen[:, where].any()


@every_case
def test_a_cut_cannot_be_seen(case):
    """Not in any observation up to the last, which a learner values: a market that is cut twice
    as late shows the same.
    """
    early, late = shown(case, ROUNDS, ROUNDS), shown(case, 2 * ROUNDS, ROUNDS)
    assert all(np.array_equal(one, other) for one, other in zip(early, late, strict=True))


@pytest.mark.parametrize("case", CHEAP)
def test_the_last_observation_is_the_same_at_every_door(case):
    venv = make_vec(name_of(case), 1, opponents="random", **arguments(case, {"horizon": "cut"}))
    many = make_sb3(
        name_of(case),
        1,
        agent=venv.agent,
        opponents="random",
        **arguments(case, {"horizon": "cut"}),
    )
    single = make_single(name_of(case), opponents="random", **arguments(case, {"horizon": "cut"}))
    many.seed(0)
    venv.reset(seed=0), many.reset(), single.reset(seed=0)
    for actions in random_column(venv.single_action_space, ROUNDS, 1):
        *_, infos = venv.step(actions)
        *_, (info,) = many.step(actions)
        seen, *_ = single.step(actions[0])
    assert np.array_equal(infos["final_obs"][0], seen) and np.array_equal(
        info["terminal_observation"], seen
    )


@pytest.mark.parametrize("case", CHEAP)
def test_a_cut_market_keeps_every_promise(case):
    assert check_market_env(parallel(case, horizon="cut")) == tuple(CHECKS)


# --- what learners make of it ---------------------------------------------------------------------

TRADE = {"agent": "all", "n_agents": 3, "max_cycles": 2, "learner": None, "effort_cost": (0.0, 0.0)}


def earned_and_expected(model, venv, episodes=16):
    """Mean return of whole episodes of the model's own play, and mean value of where they begin."""
    venv.seed(1000)
    seen, returns, values = venv.reset(), [], []
    for _ in range(episodes):
        values.append(model.policy.predict_values(torch.as_tensor(seen)).detach().numpy())
        for _ in range(venv.market.horizon):
            seen, rewards, *_ = venv.step(model.predict(seen)[0])
            returns.append(rewards)
    return venv.market.horizon * np.mean(returns), np.mean(values)


@pytest.mark.long
def test_learned_values_stay_near_returns():
    """A critic that adds a value of its own after the last round drifts for ever, by -4 and more in
    so many steps.

    The policy hardly moves (clip_range), so that returns of about 1 are what the critic has to
    learn.
    """
    venv = make_sb3("model_sharing_v0", 16, **TRADE)
    settings = {
        "n_steps": 8,
        "batch_size": 64,
        "n_epochs": 4,
        "clip_range": 1e-3,
        "learning_rate": 3e-3,
        "gamma": 1.0,
    }
    model = PPO("MlpPolicy", venv, **settings, seed=1, device="cpu").learn(3000)
    returns, values = earned_and_expected(model, venv)
    assert 0.5 < returns < 1.5 and values == pytest.approx(returns, abs=0.5)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_sac_keeps_what_the_horizon_means(horizon):
    """Its target is r + gamma (1 - done) V, where done means terminated; a cut is no end."""
    venv = make_sb3("model_sharing_v0", 4, horizon=horizon, **TRADE)
    model = SAC(
        "MlpPolicy", venv, learning_starts=100, buffer_size=64, gamma=0.9, device="cpu"
    ).learn(4 * venv.num_envs)
    kept = model.replay_buffer.sample(256)
    finished = model.replay_buffer.dones[: model.replay_buffer.pos]
    assert finished[1::2].all() and not finished[::2].any()  # episodes of two rounds
    terminated, _ = HORIZONS[horizon]
    assert bool(kept.dones.any()) == terminated
