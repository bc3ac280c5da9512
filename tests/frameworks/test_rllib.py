"""RLlib: its own checks of multi-agent environments, and PPO on the new API stack with one
policy per role.
"""

import math
import os
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from recipes import RELAXED, STAGED, need, parallel, role, run_page

ray = need("rllib", "ray")
need("rllib", "ray.rllib")
pytestmark = RELAXED
HERE = Path(__file__).parent
STEPS = 12  # environment steps an iteration: four episodes of three


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two nodes of a Ray cluster on this machine: the driver's has no processor to lend, so
    runners live on the other.
    """
    from ray.cluster_utils import Cluster

    quiet = {"include_dashboard": False, "object_store_memory": 10**8}
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    nodes.add_node(num_cpus=2, object_store_memory=10**8)
    here = {
        "env_vars": {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "core")])}
    }  # other processes find this module's functions
    ray.init(address=nodes.address, runtime_env=here, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    nodes.shutdown()


def wrapped(name, _=None, **more):
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv

    return ParallelPettingZooEnv(parallel(name, **more))


def node_of_runner(_):
    return ray.get_runtime_context().get_node_id()


def ppo(name, runners, **more):
    """PPO of RLlib on one market with a policy per role."""
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    register_env(name, partial(wrapped, name, **more))
    return (
        PPOConfig()
        .environment(name)
        .multi_agent(
            policies={role(a) for a in parallel(name).possible_agents},
            policy_mapping_fn=lambda a, *_, **__: role(a),
        )
        .env_runners(num_env_runners=runners, rollout_fragment_length=STEPS)
        .training(gamma=1.0, train_batch_size=STEPS, minibatch_size=STEPS, num_epochs=1)
        .debugging(seed=0)
    )


@pytest.mark.parametrize("name", STAGED)
def test_its_own_checks(name, caplog):
    from ray.rllib.utils.pre_checks.env import check_multiagent_environments

    env = wrapped(name)
    check_multiagent_environments(env)
    assert set(env.possible_agents) == set(parallel(name).possible_agents)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


@pytest.mark.parametrize("name", STAGED)
def test_the_wrapped_market_is_the_market(name):
    env, plain = wrapped(name), parallel(name)
    seen, _ = env.reset(seed=3)
    expected, _ = plain.reset(seed=3)
    while plain.agents:
        assert all(np.array_equal(seen[a], expected[a]) for a in expected)
        actions = {a: np.zeros(plain.action_space(a).shape, np.float32) for a in plain.agents}
        seen, *given, _ = env.step(actions)
        expected, *wanted, _ = plain.step(actions)
        for mine, theirs in zip(wanted, given, strict=True):  # rewards, terminations, truncations
            assert mine == {a: theirs[a] for a in mine}
    assert given[1]["__all__"] or given[2]["__all__"]


@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize(("horizon", "flags"), [("end", (True, False)), ("cut", (True, True))])
def test_every_horizon_is_an_end(name, horizon, flags):
    """RLlib calls an episode terminated where all agents are truncated, as the page says: a cut
    is no cut there.
    """
    algorithm = ppo(name, 0, horizon=horizon).build_algo()
    try:
        episodes = algorithm.env_runner.sample(num_episodes=2)
        assert [len(episode) for episode in episodes] == [3, 3]
        for part in (
            part for episode in episodes for part in (episode, *episode.agent_episodes.values())
        ):
            assert (part.is_terminated, part.is_truncated) == flags
    finally:
        algorithm.stop()


@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize("runners", [0, 1])  # 0: in this process; 1: on the cluster's other node
def test_ppo_with_one_policy_per_role(name, runners):
    roles = {role(a) for a in parallel(name).possible_agents}
    algorithm = ppo(name, runners).build_algo()
    try:
        where = algorithm.env_runner_group.foreach_env_runner(
            node_of_runner, local_env_runner=not runners
        )
        assert [place == ray.get_runtime_context().get_node_id() for place in where] == [
            not runners
        ]
        before = {
            r: {k: v.copy() for k, v in algorithm.get_module(r).get_state().items()} for r in roles
        }
        for _ in range(2):
            result = algorithm.train()
        assert roles <= set(result["learners"]) and all(
            math.isfinite(result["learners"][r]["total_loss"]) for r in roles
        )
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] == 2 * STEPS
        assert set(result["env_runners"]["agent_episode_returns_mean"]) == set(
            parallel(name).possible_agents
        )
        after = {r: algorithm.learner_group.get_weights()[r] for r in roles}
        # every role learned
        assert all(
            any(not np.array_equal(before[r][k], after[r][k]) for k in after[r]) for r in roles
        )
    finally:
        algorithm.stop()


def test_page(record_testsuite_property):
    record_testsuite_property("version", f"ray {version('ray')}, gymnasium {version('gymnasium')}")
    names = run_page("RLlib")
    assert {"buyer", "seller"} <= set(names["result"]["learners"])
    assert names["result"]["env_runners"]["num_env_steps_sampled_lifetime"] >= 32
