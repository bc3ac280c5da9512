"""Who plays the others: names, objects, places in modules, saved models, one for all or one per
role and agent.
"""

import numpy as np
import pytest
import torch
from env_cases import random_column
from stable_baselines3 import PPO

from marketenv import make_market, make_sb3, make_single, make_vec
from marketenv.core import draws
from marketenv.core.policy import uniform_random
from marketenv.envs.opponents import ModelPolicy, find_opponents
from marketenv.markets.reference import Auctioned, truthful

GAME = {"game": "first_price", "n_buyers": 3, "max_cycles": 2}
MARKET = make_market("reference_v0", **GAME)
DOUBLE = make_market("reference_v0")


def half(observation, move, keys):
    """Bid half one's value: a = 2 (v / 2) - 1."""
    return observation[..., :1] - 1


def played(opponents, steps=3, **config):
    """Rewards of buyer_0 against these opponents in four markets."""
    venv = make_vec("reference_v0", 4, agent="buyer_0", opponents=opponents, **(GAME | config))
    venv.reset(seed=0)
    return np.stack(
        [venv.step(action)[1] for action in random_column(venv.single_action_space, steps, 4)]
    )


def test_every_way_to_name_one_policy_plays_alike():
    by_name = played("truthful")
    for same in (
        truthful,
        "marketenv.markets.reference:truthful",
        {"buyer": "truthful"},
        {"buyer_1": truthful},
        {},
    ):
        assert np.array_equal(by_name, played(same))
    assert not np.array_equal(by_name, played("random")) and not np.array_equal(
        by_name, played(half)
    )


def test_an_agents_own_policy_goes_before_its_roles_and_the_rest_is_truthful():
    found = find_opponents({"buyer": half, "buyer_2": "random"}, MARKET)
    assert found == {"buyer_0": half, "buyer_1": half, "buyer_2": uniform_random}
    assert find_opponents({"buyer": half}, DOUBLE) == {
        "buyer_0": half,
        "seller_0": DOUBLE.policies["truthful"],
    }


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
        (
            "pp:model.zip",
            r"no stable-baselines3 algorithm 'pp'\. Did you mean 'PPO'|Did you mean 'ppo'",
        ),
        ("ppo:nowhere.zip", "cannot load 'nowhere.zip' as a ppo model"),
        (7, "policy 7 is not callable"),
    ],
)
@pytest.mark.parametrize(
    "door",
    [make_single, lambda *a, **k: make_vec(*a, 2, **k), lambda *a, **k: make_sb3(*a, 2, **k)],
)
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
    return PPO(
        "MlpPolicy", venv, n_steps=16, batch_size=64, n_epochs=1, device="cpu", seed=0
    ).learn(64)


def test_a_saved_model_plays_as_the_model_itself(model, tmp_path):
    model.save(tmp_path / "bidder.zip")
    from_file = played(f"ppo:{tmp_path / 'bidder.zip'}")
    assert np.array_equal(from_file, played(model)) and np.array_equal(
        from_file, played({"buyer": model})
    )
    assert not np.array_equal(from_file, played("truthful"))


@pytest.mark.parametrize("n", [1, 5])
def test_a_models_actions_are_its_predictions_in_the_roles_box(model, n):
    observation = draws.uniform(torch.arange(n), 3).float()
    actions = ModelPolicy(model)(observation, MARKET.moves[0], torch.arange(n))
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
    assert torch.equal(env.report.of(Auctioned).offers[0], venv.report.of(Auctioned).offers[1])
    assert (
        env.report.of(Auctioned).offers[0, 0] == 0.5
        and len(env.report.of(Auctioned).offers.unique()) == 4
    )  # the learner's, two drawn, the reserve 0


def test_an_opponent_that_leaves_its_box_is_named():
    def wild(observation, move, keys):
        return torch.full((len(observation), move.action.dim), 7.0)

    venv = make_vec("reference_v0", 2, agent="buyer_0", opponents=wild)
    venv.reset(seed=0)
    with pytest.raises(ValueError, match="policy of sellers returned"):
        venv.step(venv.action_space.sample())


class Model:
    """Answers as a stable-baselines3 model does, or as it is told to."""

    def __init__(self, answer, observation_space=None):
        self.answer, self.asked = answer, 0
        if observation_space is not None:
            self.observation_space = observation_space

    def predict(self, observation, deterministic):
        self.asked += 1
        return self.answer(len(observation))


def zeros(n):
    return np.zeros((n, 1), dtype=np.float32)


PLAYED = {
    "numpy": lambda n: (zeros(n), None),
    "requires grad": lambda n: (torch.zeros(n, 1, requires_grad=True) * 2, None),
    "bfloat16": lambda n: (torch.zeros(n, 1, dtype=torch.bfloat16), None),
    "list": lambda n: ([[0.0]] * n, None),
}
ODD = {
    "recurrent": (
        lambda n: (zeros(n), (zeros(n), zeros(n))),
        r"Model is recurrent: its predict returned a state\.",
    ),
    "no pair": (zeros, r"Model\.predict returned a ndarray, wanted a pair \(actions, None\)"),
    "nothing": (lambda n: None, r"Model\.predict returned a NoneType"),
    "three": (lambda n: (zeros(n), None, None), r"Model\.predict returned a tuple"),
    "objects": (
        lambda n: (zeros(n).astype(object), None),
        r"(?s)the model's action is .* \(dtype object\)",
    ),
    "nan": (lambda n: (zeros(n) * np.nan, None), "the model's action: 'price' is nan"),
    "short": (lambda n: (zeros(n + 1), None), r"the model's action has shape"),
}


@pytest.mark.parametrize("answer", PLAYED.values(), ids=PLAYED)
def test_a_models_numbers_are_taken_in_every_type(answer):
    assert np.array_equal(played(Model(answer)), played(Model(PLAYED["numpy"])))


@pytest.mark.parametrize(("answer", "says"), ODD.values(), ids=ODD)
def test_a_model_that_answers_oddly_is_refused_and_nothing_changes(answer, says):
    venv, clean = (
        make_vec("reference_v0", 2, agent="buyer_0", opponents={"seller_0": part})
        for part in (Model(answer), "truthful")
    )
    venv.reset(seed=0), clean.reset(seed=0)
    with pytest.raises(ValueError, match=says):
        venv.step(zeros(2))
    assert venv.report is None and torch.equal(
        venv._batch.now.floor.round, clean._batch.now.floor.round
    )


@pytest.mark.parametrize("name", ["recurrent", "no pair", "nothing", "three"])
@pytest.mark.parametrize(
    "door",
    [make_single, lambda *a, **k: make_vec(*a, 2, **k), lambda *a, **k: make_sb3(*a, 2, **k)],
)
def test_a_model_that_tells_what_it_sees_is_asked_before_the_game_starts(door, name):
    answer, says = ODD[name]
    model = Model(answer, make_single("reference_v0").observation_space)
    with pytest.raises(ValueError, match=says):
        door("reference_v0", agent="buyer_0", opponents={"seller": model})
    assert model.asked == 1


def test_a_model_that_takes_other_arguments_is_refused():
    class Regressor:
        def predict(self, rows):
            return rows

    venv = make_vec("reference_v0", 2, agent="buyer_0", opponents=Regressor())
    venv.reset(seed=0)
    with pytest.raises(
        ValueError,
        match=r"Regressor\.predict\(observation, deterministic=True\) failed: .*deterministic",
    ):
        venv.step(zeros(2))


def test_sb3_contribs_recurrent_model_is_refused_itself_and_from_its_file(tmp_path):
    contrib = pytest.importorskip("sb3_contrib")
    model = contrib.RecurrentPPO(
        "MlpLstmPolicy", make_sb3("reference_v0", 2, agent="all", **GAME), n_steps=4, batch_size=8
    )
    model.save(tmp_path / "recurrent.zip")
    for opponents in (model, f"ppo:{tmp_path / 'recurrent.zip'}"):
        with pytest.raises(ValueError, match="is recurrent"):
            make_vec("reference_v0", 2, agent="buyer_0", opponents=opponents, **GAME)
