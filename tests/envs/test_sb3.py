"""The stable-baselines3 door: the contract of its VecEnv, judged by its own vector of single
environments and by PPO.
"""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from env_cases import CASES, GAMES, auctions, name_of, random_column
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from marketenv import make_sb3, make_single
from marketenv.core.fields import Choice, Field, Fields
from marketenv.envs.sb3 import MarketSB3Env
from marketenv.markets.reference import Auction, Auctioned

N = 3
PPO_SMALL = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "device": "cpu", "seed": 0}


def vector(case, n=N, **more):
    return make_sb3(name_of(case), n, **(CASES[case][1] | more))


def same_info(one, two):
    assert one.keys() - {"terminal_observation"} == two.keys() - {"terminal_observation"}
    assert np.array_equal(one.get("terminal_observation"), two.get("terminal_observation"))
    return all(one[k] == two[k] for k in one if k != "terminal_observation")


@pytest.mark.parametrize("case", GAMES)
def test_it_equals_stable_baselines3s_own_vector_of_single_environments(case):
    config = CASES[case][1] | {"opponents": "random", "agent": "buyer_0"}
    own, theirs = (
        vector(case, **config),
        DummyVecEnv([lambda: make_single(name_of(case), **config)] * N),
    )
    own.seed(6), theirs.seed(6)
    assert np.array_equal(own.reset(), theirs.reset())
    for actions in random_column(own.action_space, 8, N):  # past two horizons of 3
        mine, others = own.step(actions), theirs.step(actions)
        assert all(
            np.array_equal(a, b) and a.dtype == b.dtype
            for a, b in zip(mine[:3], others[:3], strict=True)
        )
        assert all(same_info(a, b) for a, b in zip(mine[3], others[3], strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_last_observation_of_an_episode_is_in_the_infos(case):
    venv = vector(case, agent="all") if case != "double_auction" else vector(case, agent="seller_0")
    venv.seed(0)
    venv.reset()
    for actions in random_column(venv.action_space, 3, venv.num_envs):
        seen, _, dones, infos = venv.step(actions)
    # finished rounds / max_cycles: 1 at the end, 0 at the start
    where = venv.seat.observation.slices["round"]
    assert dones.all() and (seen[:, where] == 0).all()
    assert all((info["terminal_observation"][where] == 1).all() for info in infos)
    # the game is over: nothing may be expected after it
    assert not any(info["TimeLimit.truncated"] for info in infos)


def test_all_agents_of_all_markets_are_the_rows_market_by_market():
    venv = vector("first_price", n=2, agent="all")  # 2 markets of 3 buyers
    venv.seed(0)
    seen = venv.reset()
    assert venv.num_envs == 6 and seen.shape == (6, 3)
    assert seen[:, 0] == pytest.approx(venv._batch.now.quotes[:, :3].flatten().numpy())
    _, rewards, _, _ = venv.step(np.array([[-1], [0.5], [-1], [-1], [-1], [0.9]], dtype=np.float32))
    value = seen[:, 0]
    # the highest bid wins and is paid: price = (1 + a) / 2, 0.75 in market 0 and 0.95 in market 1
    assert rewards == pytest.approx([0, value[1] - 0.75, 0, 0, 0, value[5] - 0.95], abs=1e-6)
    assert rewards.dtype == np.float32


def test_only_the_rows_of_a_market_that_is_over_are_done():
    class Walkout(Auction):
        """Over at once where buyer_0 names the highest price."""

        def act(self, floor, own, quotes, actions):
            floor, own, outcome = super().act(floor, own, quotes, actions)
            return dataclasses.replace(floor, ended=actions["buyer"][:, 0, 0] == 1), own, outcome

    venv = MarketSB3Env(auctions(Walkout, game="first_price", n_buyers=3, max_cycles=5), 2, "all")
    venv.seed(0)
    venv.reset()
    _, _, dones, infos = venv.step(np.array([[0], [0], [0], [1], [0], [0]], dtype=np.float32))
    assert dones.tolist() == [False] * 3 + [True] * 3  # market by market
    assert ["terminal_observation" in info for info in infos] == dones.tolist()
    assert not any(info["TimeLimit.truncated"] for info in infos)


@pytest.mark.parametrize(
    "replaced",
    [
        lambda move: dataclasses.replace(move, action=Fields((Field("price", 2, -1.0, 1.0),))),
        lambda move: dataclasses.replace(move, action=Fields((Field("price", 1, 0.0, 1.0),))),
        lambda move: dataclasses.replace(
            move, action=Fields((Choice("price", options=("low", "middle", "high")),))
        ),
        lambda move: dataclasses.replace(
            move, observation=Fields((*move.observation.items[:-1], Field("round", 1, 0.0, 2.0)))
        ),
    ],
    ids=["one number more", "another box", "other levels", "another box that is seen"],
)
def test_roles_of_unlike_spaces_cannot_share_a_policy(replaced):
    class Unlike(Auction):
        def __init__(self, config):
            super().__init__(config)
            self.moves = self.moves | {"seller": replaced(self.moves["seller"])}

    with pytest.raises(ValueError, match='agent="all" wants roles of equal spaces'):
        MarketSB3Env(auctions(Unlike), 2, "all")


def test_seeds_repeat():
    one, two = vector("first_price"), vector("first_price")
    assert one.seed(3) == [3 + k for k in range(9)]  # 3 markets of 3 rows
    two.seed(3)
    first = one.reset()
    assert np.array_equal(first, two.reset())
    for actions in random_column(one.action_space, 4, 9):
        assert all(
            np.array_equal(a, b)
            for a, b in zip(one.step(actions)[:3], two.step(actions)[:3], strict=True)
        )
    assert not np.array_equal(first, one.reset())  # without a new seed the next episode
    one.seed(3)
    assert np.array_equal(first, one.reset())


def test_there_are_no_options_and_actions_come_before_the_step():
    venv = vector("first_price", agent="buyer_0")
    venv.set_options(), venv.set_options({}), venv.set_options([{}] * N)
    for options in ({"seed": 1}, [{}, {"seed": 1}, {}]):
        with pytest.raises(ValueError, match="reset has no options"):
            venv.set_options(options)
    venv.reset()
    with pytest.raises(ValueError, match=r"call step_async\(actions\)"):
        venv.step_wait()
    actions = np.zeros((N, 1), dtype=np.float32)
    venv.step_async(actions)
    actions[:] = 1.0  # a caller may reuse its array
    venv.step_wait()
    assert venv.report.of(Auctioned).offers[:, 0].tolist() == [0.5] * N


def test_attributes_and_methods_are_the_batchs():
    venv = vector("first_price", agent="buyer_1")
    venv.set_attr("note", "hello")
    assert venv.get_attr("note") == ["hello"] * N and venv.get_attr("agent", 0) == ["buyer_1"]
    assert venv.env_method("seed", 4, indices=[0, 2]) == [[4, 5, 6]] * 2
    assert (
        venv.env_is_wrapped(VecMonitor) == [False] * N
        and venv.get_attr("render_mode") == [None] * N
    )
    assert venv.close() is None


@pytest.mark.parametrize(
    "value", [np.full((N, 1), np.nan), np.full((N, 1), 1.1), np.zeros((N + 1, 1)), np.zeros(N)]
)
def test_bad_actions_are_refused_and_change_nothing(value):
    one, two = vector("first_price", agent="buyer_0"), vector("first_price", agent="buyer_0")
    for venv in (one, two):
        venv.seed(0)
        venv.reset()
    with pytest.raises(ValueError, match="actions"):
        one.step(value)
    (actions,) = random_column(one.action_space, 1, N)
    assert np.array_equal(one.step(actions)[1], two.step(actions)[1])


def test_a_wrong_number_of_markets_or_agent_is_refused():
    with pytest.raises(ValueError, match="num_envs is 0, wanted a whole number >= 1"):
        vector("first_price", 0)
    with pytest.raises(ValueError, match=r"no agent 'buyer_7'\. Did you mean"):
        vector("first_price", agent="buyer_7")


@pytest.mark.long
@pytest.mark.parametrize(
    ("case", "agent", "levels"), [("double_auction", "buyer_0", None), ("first_price", "all", 11)]
)
def test_ppo_learns_on_it_and_repeats_itself(case, agent, levels):
    weights = []
    for _ in range(2):
        venv = VecNormalize(VecMonitor(vector(case, n=4, agent=agent, action_levels=levels)))
        model = PPO("MlpPolicy", venv, **PPO_SMALL).learn(256)
        assert model.num_timesteps >= 256 and len(model.ep_info_buffer) > 0
        weights.append(torch.cat([p.flatten() for p in model.policy.parameters()]))
    assert torch.equal(*weights) and bool(weights[0].isfinite().all())


def test_the_door_says_what_to_install_where_stable_baselines3_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "marketenv.envs.sb3", None)
    with pytest.raises(ImportError, match=r"pip install 'marketenv\[sb3\]'"):
        vector("first_price")


def test_saved_markets_go_on_to_the_bit(tmp_path):
    one, two = (make_sb3("reference_v0", 3, agent="seller_0", max_cycles=2) for _ in range(2))
    one.seed(4)
    one.reset()
    action = np.zeros((3, 1), dtype=np.float32)
    before = one.step(action)[0]
    one.save(tmp_path / "state")
    assert np.array_equal(two.load(tmp_path / "state"), before)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(one.step(action)[:3], two.step(action)[:3], strict=True)
    )
