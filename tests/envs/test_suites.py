"""Other people's suites judge every door. Warnings are errors, as in the whole test run."""

import gymnasium
import numpy as np
import pettingzoo
import pytest
import stable_baselines3.common.env_checker
from env_cases import CASES, name_of, parallel
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    render_test,
    seed_test,
    state_test,
)

# by name: doctest cannot walk the package itself
from supersuit import concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1

from marketenv.testing import CHECKS, check_market_env

pytestmark = pytest.mark.parametrize("case", CASES)


def aec_of(case, **more):
    module, config = CASES[case]
    return module.env(**(config | more))


def identity(case):
    return f"marketenv/{name_of(case).replace('_v', '-v')}"


def test_pettingzoo_parallel_api(case):
    env = parallel(case)
    parallel_api_test(env, num_cycles=20)
    assert env.agents == []  # the suite played to the horizon


def test_pettingzoo_aec_api(case, capsys):
    api_test(aec_of(case), num_cycles=20)
    assert "Passed API test" in capsys.readouterr().out


def test_pettingzoo_seeds(case):
    copies = []

    def build():
        copies.append(aec_of(case))
        return copies[-1]

    seed_test(build, num_cycles=20)
    assert len(copies) == 2 and copies[0].rewards == copies[1].rewards != {}


@pytest.mark.parametrize("mode", ["parallel", "aec"])
def test_pettingzoo_states(case, mode):
    env = parallel(case)
    state_test(aec_of(case), env)
    assert env.state_space.contains(env.state()) and env.state().dtype == np.float32
    if hasattr(pettingzoo, "make"):  # since 1.27
        made = pettingzoo.make(mode, identity(case), **CASES[case][1])
        made.reset(seed=0)
        assert made.state().shape == env.state_space.shape


@pytest.mark.long
def test_pettingzoo_renders_every_mode(case, capsys):
    seen = {"rgb_array": [], "ansi": []}
    keep = {mode: (lambda result, mode=mode: seen[mode].append(result) is None) for mode in seen}
    render_test(lambda render_mode: aec_of(case, render_mode=render_mode), custom_tests=keep)
    # not one flat colour
    assert all(picture.dtype == np.uint8 and picture.std() > 0 for picture in seen["rgb_array"])
    assert seen["ansi"][0] == "No round has been played yet." and "Utility: " in seen["ansi"][-1]
    assert "Utility: " in capsys.readouterr().out  # mode human prints


@pytest.mark.skipif(not hasattr(pettingzoo, "make"), reason="PettingZoo has a registry since 1.27")
def test_pettingzoo_registry(case):
    config = CASES[case][1]
    for mode in ("parallel", "aec"):
        env = pettingzoo.make(mode, identity(case), **config)
        env.reset(seed=0)
        assert env.possible_agents == parallel(case).possible_agents and str(env) == name_of(case)


def test_gymnasium_checks_the_single_agent_view(case):
    env = gymnasium.make(identity(case), **CASES[case][1])
    check_env(env.unwrapped)
    assert (
        env.spec.id == identity(case) and env.unwrapped.agent == parallel(case).possible_agents[0]
    )


def test_stable_baselines3_checks_the_single_agent_view(case):
    env = gymnasium.make(identity(case), **CASES[case][1])
    stable_baselines3.common.env_checker.check_env(env)
    assert env.observation_space.contains(env.reset(seed=1)[0])


@pytest.mark.parametrize("num_cpus", [0, 1])
def test_supersuit_makes_a_vector_environment(case, num_cpus):
    many = pettingzoo_env_to_vec_env_v1(parallel(case))
    venv = concat_vec_envs_v1(many, 2, num_cpus=num_cpus, base_class="stable_baselines3")
    n = 2 * len(parallel(case).possible_agents)
    seen = venv.reset()
    dones = []
    for _ in range(4):  # past the horizon of 3
        actions = np.stack([venv.action_space.sample() for _ in range(n)])
        seen, rewards, done, infos = venv.step(actions)
        dones.append(done)
        assert (
            seen.shape == (n, *venv.observation_space.shape)
            and np.isfinite(seen).all()
            and np.isfinite(rewards).all()
        )
    assert np.array(dones).all(1).tolist() == [False, False, True, False]
    assert "terminal_observation" in infos[0] or len(infos) == n
    venv.close()


def test_our_own_public_checks(case):
    assert check_market_env(parallel(case)) == tuple(CHECKS)


@pytest.mark.parametrize("levels", [2, 5])
def test_our_own_public_checks_with_discrete_actions(case, levels):
    assert check_market_env(parallel(case, action_levels=levels)) == tuple(CHECKS)


def test_pettingzoo_max_cycles(case):
    module, config = CASES[case]
    asked = []

    class Module:  # the suite wants a module and asks it for environments of max_cycles=4
        @staticmethod
        def env(**more):
            asked.append(more)
            return module.env(**(config | more))

        @staticmethod
        def parallel_env(**more):
            asked.append(more)
            return module.parallel_env(**(config | more))

    max_cycles_test(Module)
    assert asked == [{"max_cycles": 4}] * 2
