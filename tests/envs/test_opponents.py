"""Who plays the others: names, objects, places in modules, saved models, one for all or one per role and agent."""

import numpy as np
import pytest
import torch
from env_cases import random_column
from stable_baselines3 import PPO

from marketenv import make_market, make_sb3, make_single, make_vec
from marketenv.core import draws
from marketenv.core.policy import uniform_random
from marketenv.envs.opponents import ModelPolicy, find_opponents
from marketenv.markets.reference import truthful

GAME = {"game": "first_price", "n_buyers": 3, "max_cycles": 2}
MARKET = make_market("reference_v0", **GAME)
DOUBLE = make_market("reference_v0")


def half(observation, role, keys):
    """Bid half one's value: a = 2 (v / 2) - 1."""
    return observation[..., :1] - 1


def played(opponents, steps=3, **config):
    """Rewards of buyer_0 against these opponents in four markets."""
    venv = make_vec("reference_v0", 4, agent="buyer_0", opponents=opponents, **(GAME | config))
    venv.reset(seed=0)
    return np.stack([venv.step(action)[1] for action in random_column(venv.single_action_space, steps, 4)])


def test_every_way_to_name_one_policy_plays_alike():
    by_name = played("truthful")
    for same in (truthful, "marketenv.markets.reference:truthful", {"buyer": "truthful"}, {"buyer_1": truthful}, {}):
        assert np.array_equal(by_name, played(same))
    assert not np.array_equal(by_name, played("random")) and not np.array_equal(by_name, played(half))


def test_an_agents_own_policy_goes_before_its_roles_and_the_rest_is_truthful():
    found = find_opponents({"buyer": half, "buyer_2": "random"}, MARKET)
    assert found == {"buyer_0": half, "buyer_1": half, "buyer_2": uniform_random}
    assert find_opponents({"buyer": half}, DOUBLE) == {"buyer_0": half, "seller_0": truthful}


@pytest.mark.parametrize(
    ("opponents", "says"),
    [
        ("truthfull", r"no policy 'truthfull'\. Did you mean 'truthful'"),
        ({"seler_0": "truthful"}, r"no agent or role 'seler_0'\. Did you mean 'seller_0'"),
        ({"buyer": "randon"}, r"no policy 'randon'\. Did you mean 'random'"),
        (
            "marketenv.markets.reference:truthfull",
            r"no policy in marketenv.markets.reference 'truthfull'\. Did you mean 'truthful'",
        ),
        ("no_such_module:bid", "cannot import 'no_such_module'"),
        ("pp:model.zip", r"no stable-baselines3 algorithm 'pp'\. Did you mean 'PPO'|Did you mean 'ppo'"),
        ("ppo:nowhere.zip", "cannot load 'nowhere.zip' as a ppo model"),
        (7, "policy 7 is not callable"),
    ],
)
@pytest.mark.parametrize("door", [make_single, lambda *a, **k: make_vec(*a, 2, **k), lambda *a, **k: make_sb3(*a, 2, **k)])
def test_what_is_no_policy_is_refused_at_every_door(door, opponents, says):
    with pytest.raises(ValueError, match=says):
        door("reference_v0", agent="buyer_0", opponents=opponents)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "model.zip"
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"cannot load .* as a ppo model"):
        find_opponents(f"ppo:{path}", MARKET)


@pytest.fixture(scope="module", params=[None, 5], ids=["box", "discrete"])
def model(request):
    venv = make_sb3("reference_v0", 4, agent="all", action_levels=request.param, **GAME)
    return PPO("MlpPolicy", venv, n_steps=16, batch_size=64, n_epochs=1, device="cpu", seed=0).learn(64)


def test_a_saved_model_plays_as_the_model_itself(model, tmp_path):
    model.save(tmp_path / "bidder.zip")
    from_file = played(f"ppo:{tmp_path / 'bidder.zip'}")
    assert np.array_equal(from_file, played(model)) and np.array_equal(from_file, played({"buyer": model}))
    assert not np.array_equal(from_file, played("truthful"))


@pytest.mark.parametrize("n", [1, 5])
def test_a_models_actions_are_its_predictions_in_the_roles_box(model, n):
    observation = draws.uniform(torch.arange(n), 3).float()
    actions = ModelPolicy(model)(observation, MARKET.roles[0], torch.arange(n))
    predicted, _ = model.predict(observation.numpy(), deterministic=True)
    if hasattr(model.action_space, "n"):  # level k of 5 lies at -1 + k / 2
        predicted = -1 + predicted[:, None] / 2
    assert actions.shape == (n, 1) and actions.dtype == torch.float32
    assert torch.equal(actions, torch.as_tensor(predicted, dtype=torch.float32))


def test_opponents_draw_alike_in_a_vector_and_alone():
    venv = make_vec("reference_v0", 2, agent="buyer_0", opponents="random", **GAME)
    venv.reset(seed=[7, 9])
    action = np.zeros((2, 1), dtype=np.float32)
    venv.step(action)
    env = make_single("reference_v0", agent="buyer_0", opponents="random", **GAME)
    env.reset(seed=9)
    env.step(action[1])
    assert torch.equal(env.report.offers[0], venv.report.offers[1])
    assert env.report.offers[0, 0] == 0.5 and len(env.report.offers.unique()) == 4  # the learner's, two drawn, the reserve 0


def test_an_opponent_that_leaves_its_box_is_named():
    def wild(observation, role, keys):
        return torch.full((len(observation), role.action.dim), 7.0)

    venv = make_vec("reference_v0", 2, agent="buyer_0", opponents=wild)
    venv.reset(seed=0)
    with pytest.raises(ValueError, match="seller's policy returned"):
        venv.step(venv.action_space.sample())
