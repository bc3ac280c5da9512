"""BenchMARL: the task class of this library under MAPPO and IPPO, with nothing of BenchMARL
edited.
"""

import doctest
import functools
import math
import pickle
import warnings
from importlib.metadata import version

import pytest
import torch
from recipes import HORIZONS, MARKETS, RELAXED, WHOLE, need, parallel, run_page

from marketenv.envs import MARKETS as ALL

need("benchmarl", "benchmarl")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import benchmarl.algorithms as algorithms
    from benchmarl.experiment import Experiment, ExperimentConfig
    from benchmarl.models.mlp import MlpConfig
    from torchrl.envs import ParallelEnv, SerialEnv
    from torchrl.envs.utils import check_env_specs

    from marketenv.envs import benchmarl as ours
pytestmark = RELAXED
TASKS = MARKETS | WHOLE


def task_of(name, **more):
    return ours.MarketTask[name.upper()].get_task(TASKS[name][1] | more)


def makers(task, seed=0):
    """What BenchMARL asks for: first for evaluation, then for training."""
    ask = functools.partial(task.get_env_fun, num_envs=1, continuous_actions=True, device="cpu")
    return ask(seed=seed), ask(seed=seed)


def experiment(task, algorithm, folder):
    config = ExperimentConfig.get_from_yaml()
    config.max_n_iters, config.loggers, config.create_json, config.save_folder = (
        1,
        [],
        False,
        str(folder),
    )
    # two episodes of three in each of two
    config.on_policy_collected_frames_per_batch = config.on_policy_minibatch_size = 12
    config.on_policy_n_envs_per_worker = config.on_policy_n_minibatch_iters = 2
    config.evaluation, config.evaluation_interval, config.evaluation_episodes = True, 12, 2
    return Experiment(
        task=task,
        algorithm_config=getattr(algorithms, algorithm).get_from_yaml(),
        model_config=MlpConfig.get_from_yaml(),
        critic_model_config=MlpConfig.get_from_yaml(),
        seed=0,
        config=config,
    )


def weights(run):
    return {
        f"{g} {k}": v.detach().clone()
        for g, loss in run.losses.items()
        for k, v in loss.named_parameters()
    }


def test_every_market_is_a_task():
    assert {task.name.lower() for task in ours.MarketTask} == set(ALL)
    assert ours.MarketTask.env_name() == "marketenv"
    assert ours.MarketTask.REFERENCE_V0.get_task().config == {}  # the market's own defaults


def test_the_modules_example():
    found = doctest.testmod(ours)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("name", TASKS)
def test_specs(name):
    task, market = task_of(name), parallel(name)
    env = makers(task)[0]()
    check_env_specs(env)
    assert task.supports_continuous_actions() and not task.supports_discrete_actions()
    assert sorted(a for agents in task.group_map(env).values() for a in agents) == sorted(
        market.possible_agents
    )
    assert task.state_spec(env)["state"].shape == market.state_space.shape
    assert task.action_mask_spec(env) is None and task.has_render(env) and task.max_steps(env) == 3
    assert (
        set(task.observation_spec(env).keys())
        == set(task.info_spec(env).keys())
        == set(task.group_map(env))
    )


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("algorithm", ["MappoConfig", "IppoConfig"])
def test_one_iteration(name, algorithm, tmp_path):
    task = task_of(name)
    run = experiment(task, algorithm, tmp_path)
    before = weights(run)
    run.run()
    after = weights(run)
    assert run.n_iters_performed == 1 and run.total_frames == 12 and math.isfinite(run.mean_return)
    for group in run.group_map:  # actor and critic of every role learned
        learned = {
            k.split()[1].split("_")[0]
            for k in after
            if k.startswith(group) and not torch.equal(before[k], after[k])
        }
        assert {"actor", "critic"} <= learned, (group, sorted(after))
    assert all(torch.isfinite(v).all() for v in after.values())


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("name", TASKS)
def test_what_comes_after_the_horizon_is_valued_as_the_market_means_it(name, horizon, tmp_path):
    run = experiment(task_of(name, horizon=horizon), "IppoConfig", tmp_path)
    terminated, _ = HORIZONS[horizon]
    batch = next(iter(run.collector))
    for group in run.group_map:
        played = run.algorithm.process_batch(group, batch.clone())
        last = played["next", group, "done"].flatten()
        rewards, target = (
            played[key].flatten()[last]
            for key in (("next", group, "reward"), (group, "value_target"))
        )
        after = played["next", group, "state_value"].flatten()[last]
        assert last.sum() * 3 == last.numel() and after.abs().min() > 0
        assert torch.allclose(
            target, rewards + run.config.gamma * after * (not terminated), atol=1e-5
        )


def test_discrete_actions(tmp_path):
    task = task_of("reference_v0", action_levels=5)
    assert task.supports_discrete_actions() and not task.supports_continuous_actions()
    run = experiment(task, "MappoConfig", tmp_path)
    run.run()
    assert not run.continuous_actions and run.action_spec["buyer", "action"].space.n == 5


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"n_agent.*n_agents"):
        task_of("parameter_trading_v0", n_agent=3)
    with pytest.raises(ValueError, match="several actions per agent"):
        task_of("parameter_trading_v0", action_levels=3)


def first_seen(env):
    """What all environments show of two episodes: [environments, episodes, dims]."""
    return torch.stack([env.reset()["state"] for _ in range(2)], -2).reshape(
        -1, 2, env.observation_spec["state"].shape[-1]
    )


def test_every_environment_plays_its_own_episodes():
    # given one seed each, as PettingZooEnv of BenchMARL does, all environments of an experiment
    # would play the same types
    evaluation, training = makers(task_of("reference_v0"))
    seen = torch.cat([first_seen(SerialEnv(2, training)), first_seen(evaluation())]).flatten(0, 1)
    assert len(torch.unique(seen, dim=0)) == 6  # three environments, two episodes
    one, other = makers(task_of("reference_v0"))
    # nor is training's first environment that of evaluation
    assert not torch.equal(first_seen(one()), first_seen(other()))
    again = makers(task_of("reference_v0"))
    same = torch.cat([first_seen(SerialEnv(2, again[1])), first_seen(again[0]())]).flatten(0, 1)
    other = first_seen(makers(task_of("reference_v0"), seed=1)[1]())
    assert torch.equal(seen, same) and not torch.isin(other[..., 0], seen[..., 0]).any()


def test_processes_play_their_own_episodes():
    _, training = makers(task_of("reference_v0"))
    env = ParallelEnv(2, training)
    try:
        assert len(torch.unique(first_seen(env).flatten(0, 1), dim=0)) == 4
    finally:
        env.close()


def test_without_a_seed_and_pickled():
    free, _ = makers(task_of("reference_v0"), seed=None)
    assert not torch.equal(free().reset()["state"], free().reset()["state"])
    # BenchMARL keeps the task in its checkpoints
    task = pickle.loads(pickle.dumps(task_of("reference_v0")))
    assert task == task_of("reference_v0")


def test_page(record_testsuite_property, tmp_path, monkeypatch):
    record_testsuite_property(
        "version", f"benchmarl {version('benchmarl')}, torchrl {version('torchrl')}"
    )
    monkeypatch.chdir(tmp_path)
    assert run_page("BenchMARL")["experiment"].total_frames == 8
