"""Minari: recorded episodes replay to equal observations and rewards."""

import warnings
from importlib.metadata import version

import gymnasium
import numpy as np
import pytest
from recipes import MARKETS, RELAXED, need, run_page

import marketenv  # noqa: F401 - registers the markets

minari = need("minari", "minari")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from minari import DataCollector
pytestmark = RELAXED
EPISODES = 2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def recorded(name, seeds):
    """Episodes of random actions with truthful opponents, as a data set."""
    made = gymnasium.make(
        f"marketenv/{name.replace('_v0', '-v0')}", opponents="truthful", **MARKETS[name][1]
    )
    env = DataCollector(made)
    env.action_space.seed(0)
    for seed in seeds:
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
    return env.create_dataset("marketenv/recorded-v0", algorithm_name="random")


@pytest.mark.parametrize("name", MARKETS)
def test_episodes_replay(name):
    seeds = (7, 3)
    recorded(name, seeds)
    dataset = minari.load_dataset("marketenv/recorded-v0")  # from the disk
    facts = dataset.storage.get_episode_metadata(dataset.episode_indices)
    assert [int(one["seed"]) for one in facts] == list(seeds) and dataset.total_steps == 6
    replay = dataset.recover_environment()
    for episode, seed in zip(dataset.iterate_episodes(), seeds, strict=True):
        observations, rewards, ends = [replay.reset(seed=seed)[0]], [], []
        for action in episode.actions:
            observation, reward, terminated, truncated, _ = replay.step(action)
            observations.append(observation)
            rewards.append(reward)
            ends.append((terminated, truncated))
        assert np.array_equal(observations, episode.observations)
        assert np.array_equal(rewards, episode.rewards)
        assert ends == list(zip(episode.terminations, episode.truncations, strict=True))


def test_another_seed_is_another_episode():
    dataset = recorded("parameter_trading_v0", (1,))
    (episode,) = dataset.iterate_episodes()
    observation, _ = dataset.recover_environment().reset(seed=2)
    assert not np.array_equal(observation, episode.observations[0])


def test_page(record_testsuite_property):
    record_testsuite_property("version", f"minari {version('minari')}")
    names = run_page("Minari")
    assert names["dataset"].total_episodes == EPISODES and names["dataset"].total_steps == 6
