"""The data market at every door: two roles, each with a stage of its own, unlike boxes."""

import gymnasium
import numpy as np
import pytest
from data_market_cases import NAME, SMALL
from pettingzoo.test import api_test, parallel_api_test
from stable_baselines3 import PPO

from marketenv import data_market_v0, make_sb3, make_single, make_vec
from marketenv.markets.data_market import Selected
from marketenv.testing import CHECKS, check_market_env

SELLERS = [f"seller_{k}" for k in range(3)]
TINY = SMALL | {"rule": "posted"}


@pytest.mark.long
def test_the_public_checks_hold():
    assert check_market_env(data_market_v0.parallel_env(**TINY)) == tuple(CHECKS)


@pytest.mark.slow
def test_the_public_checks_hold_with_discrete_actions():
    assert check_market_env(data_market_v0.parallel_env(**TINY, action_levels=3)) == tuple(CHECKS)


# as those of roles may be
@pytest.mark.filterwarnings("ignore:Agents have different", "ignore:Observations are different")
def test_the_suites_of_pettingzoo(capsys):
    env = data_market_v0.parallel_env(**TINY)
    parallel_api_test(env, num_cycles=8)
    assert env.agents == []
    api_test(data_market_v0.env(**TINY), num_cycles=8)
    assert "Passed API test" in capsys.readouterr().out


def test_a_step_is_a_stage_and_each_role_has_its_own_box():
    env = data_market_v0.parallel_env(**TINY)
    seen, _ = env.reset(seed=0)
    assert {a: env.observation_space(a).shape for a in env.agents} == dict.fromkeys(
        SELLERS, (7,)
    ) | {"buyer_0": (24,)}
    assert {a: env.action_space(a).shape for a in env.agents} == dict.fromkeys(SELLERS, (9,)) | {
        "buyer_0": (6,)
    }
    assert env.state().shape == (45,) and env.movers == SELLERS
    assert not seen["buyer_0"].any() and seen["seller_0"][0] == 1.0  # a turn flag
    middle = {a: np.zeros(space.shape, space.dtype) for a, space in env.action_spaces.items()}
    seen, rewards, *_ = env.step(middle)
    assert env.movers == ["buyer_0"] and not any(rewards.values()) and env.report is None
    assert seen["buyer_0"][0] == 1.0 and not seen["seller_0"].any()
    _, rewards, terminated, *_ = env.step(middle)
    assert (
        env.report.of(Selected).points.any()
        and any(rewards.values())
        and not any(terminated.values())
    )
    assert env.movers == SELLERS


def test_agent_by_agent_the_sellers_come_before_the_buyer():
    env = data_market_v0.env(**TINY)
    env.reset(seed=0)
    order = []
    for agent in env.agent_iter():
        *_, terminated, truncated, _ = env.last()
        order.append(agent)
        env.step(None if terminated or truncated else env.action_space(agent).sample())
    assert order[:8] == [*SELLERS, "buyer_0"] * 2  # two rounds, and then all leave


@pytest.mark.parametrize("agent", ["seller_0", "buyer_0"])
def test_one_agent_against_truthful_others(agent):
    env = make_single(NAME, agent=agent, **TINY)
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    steps = 0
    terminated = False
    while not terminated:
        seen, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(seen) and np.isfinite(reward) and not truncated
        steps += 1
    assert steps == 2  # a move a round


def test_many_markets_at_once_are_those_of_single_ones():
    """The truth of the middle of the box, in three markets and in the first of them alone."""
    many, one = (make_vec(NAME, n, agent="seller_0", **TINY) for n in (3, 1))
    (seen, _), (alone, _) = many.reset(seed=5), one.reset(seed=5)
    np.testing.assert_allclose(seen[0], alone[0], atol=1e-5)
    for _ in range(2):
        seen, rewards, *_ = many.step(np.zeros((3, 9), np.float32))
        alone, reward, *_ = one.step(np.zeros((1, 9), np.float32))
        np.testing.assert_allclose(rewards[0], reward[0], rtol=1e-3, atol=1e-3)
    assert isinstance(many, gymnasium.vector.VectorEnv)


def test_a_role_of_stable_baselines3_moves_together():
    sellers, buyers = (make_sb3(NAME, 2, agent=agent, **TINY) for agent in ("seller", "buyer"))
    assert sellers.num_envs == 6 and buyers.num_envs == 2
    # of one stage, so without a turn flag
    assert sellers.reset().shape == (6, 6) and buyers.reset().shape == (2, 23)
    _, rewards, dones, _ = sellers.step(np.zeros((6, 9), np.float32))
    assert rewards.shape == (6,) and not dones.any()
    with pytest.raises(ValueError, match="all"):
        make_sb3(NAME, 2, agent="all", **TINY)


@pytest.mark.parametrize("agent", ["seller_0", "buyer_0"])
def test_ppo_learns_in_either_role(agent):
    model = PPO(
        "MlpPolicy",
        make_sb3(NAME, 2, agent=agent, **TINY),
        n_steps=4,
        batch_size=8,
        n_epochs=1,
        seed=0,
    )
    assert model.learn(8).num_timesteps == 8


def test_a_round_is_shown_in_words_and_as_a_picture():
    for mode in ("ansi", "rgb_array"):
        env = data_market_v0.parallel_env(**TINY, render_mode=mode)
        env.reset(seed=0)
        for _ in range(2):
            env.step(
                {
                    agent: np.zeros(space.shape, space.dtype)
                    for agent, space in env.action_spaces.items()
                }
            )
        shown = env.render()
        if mode == "ansi":
            assert "seller_0 offers" in shown and "Utility: " in shown and "predicted" in shown
        else:
            assert shown.dtype == np.uint8 and shown.ndim == 3 and shown.std() > 0
