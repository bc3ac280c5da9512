"""SuperSuit: what tests/envs does not say, that PPO learns in its vector environment, also
behind black_death.
"""

import warnings
from importlib.metadata import version

import numpy as np
import pytest
import torch
from recipes import HORIZONS, MARKETS, RELAXED, need, page_code, parallel, role, run_page

need("supersuit", "supersuit")
need("supersuit", "stable_baselines3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pettingzoo.test import parallel_api_test
    from stable_baselines3 import PPO
    from supersuit import black_death_v3, concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1
pytestmark = [*RELAXED, pytest.mark.parametrize("name", MARKETS)]


@pytest.mark.parametrize("first", [lambda env: env, black_death_v3], ids=["plain", "black_death"])
def test_ppo_learns(name, first):
    envs = concat_vec_envs_v1(
        pettingzoo_env_to_vec_env_v1(first(parallel(name))), 2, base_class="stable_baselines3"
    )
    assert envs.num_envs == 2 * len(parallel(name).possible_agents)
    # no seed: see the page
    model = PPO("MlpPolicy", envs, n_steps=6, batch_size=12, n_epochs=2, gamma=1.0, device="cpu")
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(2 * 6 * envs.num_envs)
    after = list(model.policy.parameters())
    assert model.num_timesteps == 2 * 6 * envs.num_envs
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("horizon", HORIZONS)
def test_every_horizon_is_an_end(name, horizon):
    """SuperSuit's form for stable-baselines3 forgets ``truncated``, as the page says: a cut is
    no cut there.
    """
    many = pettingzoo_env_to_vec_env_v1(parallel(name, horizon=horizon))
    envs = concat_vec_envs_v1(many, 2, base_class="stable_baselines3")
    many.reset(seed=0), envs.reset()
    for _ in range(3):
        *_, terminated, truncated, _ = many.step(
            np.zeros((many.num_envs, *many.action_space.shape), np.float32)
        )
        _, _, dones, infos = envs.step(
            np.zeros((envs.num_envs, *envs.action_space.shape), np.float32)
        )
    assert (terminated.all(), truncated.all()) == HORIZONS[horizon]
    assert dones.all() and not any(info.get("TimeLimit.truncated") for info in infos)


def test_rows_are_the_agents(name):
    env, plain = parallel(name), parallel(name)
    many = pettingzoo_env_to_vec_env_v1(env)
    seen, _ = many.reset(seed=5)
    expected, _ = plain.reset(seed=5)
    draw = np.random.default_rng(0)
    for _ in range(3):
        assert all(
            np.array_equal(row, expected[a])
            for row, a in zip(seen, plain.possible_agents, strict=True)
        )
        actions = draw.uniform(-1, 1, (many.num_envs, *many.action_space.shape)).astype(np.float32)
        seen, rewards, *_ = many.step(actions)
        expected, wanted, *_ = plain.step(dict(zip(plain.agents, actions, strict=True)))
        # float32
        assert rewards.tolist() == pytest.approx(
            [wanted[a] for a in plain.possible_agents], rel=1e-6
        )


def test_black_death_keeps_the_episode(name):
    env, plain = black_death_v3(parallel(name)), parallel(name)
    parallel_api_test(black_death_v3(parallel(name)), num_cycles=20)
    seen, _ = env.reset(seed=2)
    expected, _ = plain.reset(seed=2)
    while plain.agents:
        assert all(np.array_equal(seen[a], expected[a]) for a in plain.agents)
        actions = {a: np.zeros(plain.action_space(a).shape, np.float32) for a in plain.agents}
        seen, rewards, *_ = env.step(actions)
        expected, wanted, *_ = plain.step(actions)
        assert rewards == wanted
    # SuperSuit 3.11 waits for agents that are terminated and truncated at once: the end comes one
    # step of zeros later
    if env.agents:
        seen, rewards, over, _, _ = env.step({})
        assert (
            not any(rewards.values())
            and not any(o.any() for o in seen.values())
            and all(over.values())
        )
    assert env.agents == []


def test_page(name, record_testsuite_property):
    record_testsuite_property(
        "version",
        f"supersuit {version('supersuit')}, stable-baselines3 {version('stable-baselines3')}",
    )
    names = run_page("SuperSuit", "python")
    assert names["model"].num_timesteps == 32 and len(page_code("SuperSuit", "python")) == 1
    assert role(names["env"].possible_agents[0]) == "trader"
