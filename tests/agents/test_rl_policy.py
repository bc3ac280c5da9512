"""From models of stable-baselines3 to trained policies: the same actions, and true facts."""

import shlex

import numpy as np
import pytest
import torch

from agents.cli import command
from agents.lineups import find_profile, learned_strategy
from agents.rl import ALGORITHMS, TrainConfig, learned, load_policy
from agents.rl.environments import environments
from agents.rl.policy import arguments_of, command_of
from agents.stress.scenarios import play_scenario
from marketenv import make_market

BUYER = "trained:reference/ppo_double_auction_buyer"
KEYS = torch.zeros(0, dtype=torch.int64)


@pytest.mark.parametrize("network", [(), (8,), (8, 4)])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_actions_are_those_that_the_model_predicts_to_the_bit(algorithm, network):
    """On a CPU with one thread the same products are computed in the same order."""
    config = TrainConfig(algorithm=algorithm, num_envs=8, network=network).with_defaults()
    market = make_market("model_sharing_v0", n_agents=4, learner=None)
    envs = environments(config, market, "client_0", "truthful")
    model = ALGORITHMS[algorithm].build(config, 0, envs)
    envs.reset()
    for _ in range(3):  # the scaling learns
        envs.step(np.stack([envs.action_space.sample() for _ in range(8)]))
    policy, fields = learned(model), market.moves[0].observation
    observation = fields.low + torch.rand(50, fields.dim) * (fields.high - fields.low).clamp(max=9)
    wanted, _ = model.predict(envs.normalize_obs(observation.numpy()), deterministic=True)
    actions = policy(observation, market.moves[0], KEYS)
    assert np.array_equal(actions.numpy(), wanted) and len(np.unique(wanted)) > 50
    facts = policy.facts
    assert (facts.role, facts.network, facts.squashed) == ("client", network, algorithm == "sac")
    assert facts.arguments == {"n_agents": 4, "learner": None}


def test_a_policy_is_a_copy_of_the_model_as_it_stands():
    config = TrainConfig(num_envs=4).with_defaults()
    market = make_market("reference_v0")
    model = ALGORITHMS["ppo"].build(config, 0, environments(config, market, "buyer_0", "truthful"))
    policy, observation = learned(model), torch.rand(5, 3)
    before = policy(observation, market.moves[0], KEYS)
    with torch.no_grad():
        model.policy.action_net.weight += 1
    assert torch.equal(policy(observation, market.moves[0], KEYS), before)
    assert not torch.equal(learned(model)(observation, market.moves[0], KEYS), before)


def test_the_arguments_are_those_that_differ_from_the_defaults():
    assert arguments_of(make_market("reference_v0")) == {}
    market = make_market("reference_v0", game="first_price", values=(0.0, 2.0))
    assert arguments_of(market) == {"game": "first_price", "values": [0.0, 2.0]}


def test_the_command_gives_the_same_settings_again():
    config = TrainConfig(
        market="parameter_trading_v0",
        arguments=("n_agents=3", "mechanism=second_price"),
        agent="trader_0",
        network=(8, 4),
        normalise=False,
        entropy=0.01,
        seeds=(0, 4),
    ).with_defaults()
    words = shlex.split(command_of(config, 4))
    assert words[:2] == ["python", "scripts/train.py"]
    again = command.read(TrainConfig, None, words[2:]).with_defaults()
    for name, value in vars(config).items():
        assert name in ("seeds", "out") or getattr(again, name) == value, name
    assert again.seeds == (4,)


def test_a_shipped_policy_plays_in_profiles_and_scenarios():
    market = make_market("reference_v0")
    profile = find_profile(market, {"buyer": BUYER})
    assert profile["buyer_0"].facts.role == "buyer"
    assert profile["seller_0"] is market.policies["truthful"]
    focal = play_scenario("double_auction_buyer", BUYER, 50)
    same = play_scenario("double_auction_buyer", profile["buyer_0"], 50)
    assert torch.equal(focal.returns, same.returns)
    assert not torch.equal(focal.returns, focal.truthful)
    with pytest.raises(ValueError, match="no trained policy 'nobody'"):
        find_profile(market, "trained:nobody")


def test_a_learned_strategy_wants_the_market_of_its_training():
    strategy = learned_strategy(BUYER)
    assert strategy.markets == ("reference_v0",) and strategy.role == "buyer"
    policy = strategy.build(make_market("reference_v0"))
    assert policy.seat is not None


def test_a_folder_of_an_older_version_says_what_to_do(tmp_path):
    (tmp_path / "policy.json").write_text("{}")
    with pytest.raises(ValueError, match=r"as a pickle; wanted policy\.safetensors\. Give the t"):
        load_policy(tmp_path)
    with pytest.raises(ValueError, match="holds no learned policy"):
        load_policy(tmp_path / "nowhere")
