"""A market of three stages for a learner in stable-baselines3; copies, files and failures at
every door of a learner.
"""

import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch
from relay_doors import CARRIER, SELLER, relay, the_good
from relay_learners import eager, rows, single, vector
from relay_market import Ship, Shipped, relay_market
from stable_baselines3 import PPO

from marketenv.core.market import Market
from marketenv.envs import MarketParallelEnv, MarketVectorEnv, SingleAgentEnv
from marketenv.envs.agent_by_agent import MarketAECEnv
from marketenv.envs.sb3 import MarketSB3Env
from marketenv.testing import _same


def test_a_roles_agents_are_rows_market_by_market():
    venv = rows("buyer", 2)
    venv.seed(0)
    seen = venv.reset()
    types = venv._batch.now.floor.outcomes["draw"].types.flatten().numpy()
    assert venv.num_envs == 4 and seen[:, 0] == pytest.approx(types) and (seen[:, 1] == 0.5).all()
    _, rewards, dones, infos = venv.step(
        np.array([[1, 1], [-1, 1], [-1, 1], [1, 1]], dtype=np.float32)
    )
    assert rewards == pytest.approx([types[0] - 0.5, 0, 0, types[3] - 0.5])  # who takes it for 1/2
    assert not dones.any() and [info["takes"] for info in infos] == [1, 0, 0, 1]


def test_roles_of_unlike_stages_are_no_one_learner():
    with pytest.raises(
        ValueError,
        match='agent="all" wants roles of equal spaces and stages; choose one agent, or one role',
    ):
        rows("all")
    with pytest.raises(ValueError, match=r"no agent 'byer'\. Did you mean 'buyer'"):
        rows("byer")


@pytest.mark.parametrize("agent", ["seller", "buyer", "carrier", "buyer_1"])
def test_the_last_observation_of_an_episode_is_in_the_infos(agent):
    venv = rows(agent, 2, horizon=1)
    venv.seed(0)
    venv.reset()
    for _ in range(2 if agent == "seller" else 1):
        seen, rewards, dones, infos = venv.step(np.ones((venv.num_envs, *venv.action_space.shape)))
    last = np.stack([info["terminal_observation"] for info in infos])
    assert dones.all() and not any(info["TimeLimit.truncated"] for info in infos)
    # it is over: the seller sees that all rounds are, and the others, who do not move first,
    # nothing
    assert (
        last.tolist()
        == [[0, 1, 0, 0, 0] if agent == "seller" else [0] * seen.shape[1]] * venv.num_envs
    )
    assert rewards.dtype == np.float32 and rewards.tolist() == pytest.approx(
        [info["utility"] for info in infos]
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("agent", "stages", "levels"),
    [("seller", None, None), ("buyer", None, 3), (SELLER, ("ship",), 2)],
)
def test_ppo_learns(agent, stages, levels):
    venv = rows(agent, 4, stages, levels=levels)
    model = PPO(
        "MlpPolicy", venv, n_steps=16, batch_size=32, n_epochs=2, gamma=1.0, device="cpu", seed=0
    )
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(32 * venv.num_envs)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True)
    )


@pytest.mark.long
def test_ppo_learns_to_ship_the_good():
    """A good that is shipped earns its price less .2, junk nothing: 0 at first in half of the
    rounds with orders.
    """
    venv = rows("seller", 32, ("ship",), horizon=1, levels=2)
    model = PPO(
        "MlpPolicy",
        venv,
        n_steps=16,
        batch_size=128,
        n_epochs=4,
        gamma=1.0,
        learning_rate=3e-3,
        device="cpu",
        seed=0,
    )
    model.learn(6 * 16 * 32)
    orders = np.array([[1, 0], [2, 0]], dtype=np.float32)
    assert model.predict(orders, deterministic=True)[0].tolist() == [1, 1]


# --- anything in between --------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("door", [single, vector, rows])
@pytest.mark.parametrize("agent", [SELLER, "buyer_0", CARRIER])
def test_a_copy_made_anywhere_goes_on_alone(door, agent, steps):
    one = door(agent, opponents=eager, horizon=9)
    one.reset()
    shape = (*(() if door is single else (3,)), *single(agent).action_space.shape)
    for _ in range(steps):
        one.step(np.full(shape, 0.5))
    two = pickle.loads(pickle.dumps(one))
    for _ in range(3):  # in turns: neither knows of the other
        results = one.step(np.full(shape, 0.5)), two.step(np.full(shape, 0.5))
        assert all(
            np.array_equal(a, b) for a, b in zip(*(result[:3] for result in results), strict=True)
        )


@pytest.mark.parametrize("agent", ["buyer_0", SELLER, CARRIER])
@pytest.mark.parametrize("steps", range(3))
def test_a_file_of_one_door_is_taken_up_by_another_at_the_learners_next_move(
    tmp_path, agent, steps
):
    """The parallel form saves at any stage; the others go on to where their learner moves, by
    the opponents' policies.
    """
    whole = relay()
    whole.reset(seed=7)
    for _ in range(steps):
        whole.step(
            {a: np.zeros(whole.action_space(a).shape, dtype=np.float32) for a in whole.agents}
        )
    whole.save(tmp_path / "state")
    one, many, sb3 = single(agent), vector(agent, 1), rows(agent, 1)
    if agent == "buyer_0" and steps == 2:
        return  # it has moved, and its reward is still to come: see below
    one.env.load(tmp_path / "state")
    first = many.load(tmp_path / "state")[0]
    assert np.array_equal(first, sb3.load(tmp_path / "state"))
    stage = many._batch.now.at
    many.save(tmp_path / "again")
    whole.load(tmp_path / "again")
    assert agent in whole.movers and whole.situation.at == stage
    action = np.full((1, *many.single_action_space.shape), 0.25, dtype=np.float32)
    a, b = many.step(action), sb3.step(action)
    assert np.array_equal(a[0], b[0]) and np.allclose(a[1], b[1])


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("door", [vector, rows])
def test_a_file_is_refused_from_which_a_rounds_reward_would_be_lost(tmp_path, door, horizon):
    """buyer_0 has moved and the goods are not shipped: playing on to its next move would close
    the round, told to nobody.
    """
    whole, many = relay(horizon=horizon), door("buyer_0", 1, horizon=horizon)
    whole.reset(seed=0)
    for _ in range(2):
        whole.step(the_good())
    whole.save(tmp_path / "state")
    many.reset()
    before = dict(vars(many._batch))
    with pytest.raises(
        ValueError,
        match=r"stands at stage 'ship'.*Load it in the door that saved it, or save at a move of",
    ):
        many.load(tmp_path / "state")
    assert all(vars(many._batch)[name] is value for name, value in before.items())


class Fragile(Ship):
    """A user's own phase, which fails where it is told so, in the second round."""

    fails_in = ""

    def _may_fail(self, where, floor):
        if Fragile.fails_in == where and bool((floor.round == 1).any()):
            raise RuntimeError("the cart broke")

    def show(self, floor, own, quotes):
        self._may_fail("show", floor)
        return super().show(floor, own, quotes)

    def act(self, floor, own, quotes, actions):
        self._may_fail("act", floor)
        return super().act(floor, own, quotes, actions)


# (learner, horizon, where): on its way through a round, and in the round that would follow a cut
BREAKS = [
    *((agent, 3, where) for agent in (SELLER, "buyer_0", CARRIER) for where in ("show", "act")),
    (CARRIER, 1, "show"),
]


@pytest.mark.parametrize(("agent", "horizon", "where"), BREAKS)
@pytest.mark.parametrize("door", ["single", "vector", "sb3"])
def test_where_a_phase_fails_on_the_way_to_the_next_move_nothing_has_changed(
    monkeypatch, agent, horizon, where, door
):
    plain = relay_market(carriers=1)
    market = Market(
        plain.people, (*plain.phases[:3], Fragile()), horizon=horizon, cut=True, name="relay"
    )
    build = {
        "single": lambda: SingleAgentEnv(MarketParallelEnv(market, "relay_v0"), agent, eager),
        "vector": lambda: MarketVectorEnv(market, 2, agent, eager),
        "sb3": lambda: MarketSB3Env(market, 2, agent, eager),
    }[door]
    one, two = build(), build()
    if door == "sb3":
        one.seed(0), two.seed(0), one.reset(), two.reset()
    else:
        one.reset(seed=0), two.reset(seed=0)
    action = np.full((*(() if door == "single" else (2,)), *single(agent).action_space.shape), 0.5)
    broken = False
    for _ in range((4 if agent == SELLER else 2) if horizon == 3 else 1):
        monkeypatch.setattr(Fragile, "fails_in", where)
        try:
            result = one.step(action)
        except RuntimeError:
            broken = True
            monkeypatch.setattr(Fragile, "fails_in", "")
            result = one.step(action)
        monkeypatch.setattr(Fragile, "fails_in", "")
        assert all(
            np.array_equal(a, b) for a, b in zip(result[:3], two.step(action)[:3], strict=True)
        )
    assert broken


class Untold(Shipped):
    """An outcome whose words, or whose facts, a user got wrong."""

    FACTS: ClassVar = ("weight",)
    wrong = ""

    def story(self, agents):
        if Untold.wrong == "story":
            raise RuntimeError("no words for it")
        return super().story(agents)

    def facts(self):
        nothing = torch.zeros(len(self.good), 4, dtype=torch.float64)
        return {"weight": nothing + 1j if Untold.wrong == "facts" else nothing}


class Untellable(Ship):
    outcome = Untold

    def act(self, floor, own, quotes, actions):
        floor, own, done = super().act(floor, own, quotes, actions)
        return floor, own, Untold(done.good, done.fees)


@pytest.mark.parametrize("wrong", ["story", "facts"])
@pytest.mark.parametrize("door", ["parallel", "aec", "single"])
def test_where_a_round_cannot_be_told_it_is_not_lost(monkeypatch, wrong, door):
    """The step fails and changes nothing, so that it gives the whole result when the words are
    mended.
    """
    plain = relay_market(carriers=1)
    market = Market(plain.people, (*plain.phases[:3], Untellable()), horizon=1, name="relay")

    def build():
        env = MarketParallelEnv(market, "relay_v0", "human")
        return {"parallel": env, "aec": MarketAECEnv(env), "single": SingleAgentEnv(env, CARRIER)}[
            door
        ]

    def step(env):
        if door == "single":
            return env.step(np.zeros(1, dtype=np.float32))
        if door == "parallel":
            return env.step(the_good())
        env.step(the_good()[env.agent_selection])
        return env.rewards, env.terminations, env.agents

    one, two = build(), build()
    one.reset(seed=0), two.reset(seed=0)
    for _ in range({"parallel": 2, "aec": 4, "single": 0}[door]):
        step(one), step(two)
    monkeypatch.setattr(Untold, "wrong", wrong)
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        step(one)
    monkeypatch.setattr(Untold, "wrong", "")
    assert one.report is None  # the round is not over
    assert _same(tuple(step(one)), tuple(step(two))) and one.report is not None
