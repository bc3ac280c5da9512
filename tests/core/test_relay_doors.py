"""A market of two stages through every door: one step is one stage."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from relay_market import RelayMarket

from marketenv.envs import MarketParallelEnv, MarketVectorEnv, SingleAgentEnv, aec
from marketenv.testing import CHECKS, check_market_env


def relay(**config):
    return MarketParallelEnv(RelayMarket(**config), "relay_v0")


def moves(price=0.2, takes=(1.0, -1.0), stay=1.0):
    buyers = {f"buyer_{i}": np.array([take, stay], dtype=np.float32) for i, take in enumerate(takes)}
    return {"seller_0": np.array([price], dtype=np.float32)} | buyers


@pytest.mark.parametrize("cut", [False, True])
def test_it_passes_every_public_check(cut):
    assert check_market_env(relay(cut=cut)) == tuple(CHECKS)


def test_one_step_is_one_stage():
    env = relay()
    first, _ = env.reset(seed=0)
    middle, rewards, terminated, truncated, _ = env.step(moves())
    assert rewards == dict.fromkeys(env.agents, 0.0) and not any((terminated | truncated).values())
    # who is to move, and that it is round 1 of 3: 1 / (3 + 1)
    assert first["seller_0"].tolist() == [1, 0.25] and middle["seller_0"].tolist() == [0, 0.25]
    kind = middle["buyer_0"][1]
    assert middle["buyer_0"][2] == pytest.approx(0.6)  # (1 + 0.2) / 2
    _, rewards, *_, infos = env.step(moves(price=-1.0))
    assert rewards["seller_0"] == pytest.approx(0.6) and rewards["buyer_1"] == 0
    assert rewards["buyer_0"] == pytest.approx(float(kind) - 0.6)
    assert infos["seller_0"]["cash"] == pytest.approx(1.6)


@pytest.mark.parametrize("cut", [False, True])
def test_the_horizon_comes_after_all_stages_of_the_last_round(cut):
    env = relay(horizon=2, cut=cut)
    env.reset(seed=0)
    flags = [env.step(moves())[2:4] for _ in range(4)]
    ends = [set(part.values()) for part in flags[-1]]
    assert not any(part["buyer_0"] for step in flags[:-1] for part in step)
    assert ends == [{not cut}, {cut}] and env.agents == []  # 2 rounds of 2 stages


def test_storming_out_terminates():
    env = relay()
    env.reset(seed=0)
    env.step(moves())
    _, _, terminated, truncated, _ = env.step(moves(stay=-1.0))
    assert all(terminated.values()) and not any(truncated.values()) and env.agents == []


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_market_saved_in_mid_round_goes_on_to_the_bit_with_its_infos(tmp_path, steps):
    one, two = relay(), relay()
    one.reset(seed=3)
    for _ in range(steps):
        results = one.step(moves())
    one.save(tmp_path / "state")
    seen, infos = two.load(tmp_path / "state")
    assert infos == results[4] and all(np.array_equal(seen[a], results[0][a]) for a in one.agents)
    for _ in range(2):
        (seen_1, *rest_1), (seen_2, *rest_2) = one.step(moves()), two.step(moves())
        assert rest_1 == rest_2 and all(np.array_equal(seen_1[a], seen_2[a]) for a in seen_1)


def test_agent_by_agent_nobody_sees_the_others_before_the_stage_is_over():
    env = aec(relay())
    env.reset(seed=0)
    before = env.observe("buyer_0")
    env.step(np.array([0.2], dtype=np.float32))
    assert env.agent_selection == "buyer_0" and np.array_equal(env.observe("buyer_0"), before)
    for _ in range(2):
        env.step(np.zeros(2, dtype=np.float32))
    assert env.observe("buyer_0")[2] == pytest.approx(0.6)


def test_a_vector_of_markets_steps_stages_and_restarts_those_that_are_over():
    venv = MarketVectorEnv(RelayMarket(horizon=2), 3, "buyer_0", "random")
    venv.reset(seed=0)
    leave = np.array([[1, 1], [1, -1], [1, 1]], dtype=np.float32)  # market 1's learner storms out in round one
    venv.step(leave)
    seen, rewards, terminated, truncated, infos = venv.step(leave)
    assert terminated.tolist() == [False, True, False] and not truncated.any()
    assert infos["_final_obs"].tolist() == [False, True, False]
    assert infos["final_obs"][0] is None and not np.array_equal(infos["final_obs"][1], seen[1])
    singles = []
    for seed in range(3):
        env = relay(horizon=2)
        env.reset(seed=seed)
        policies = dict.fromkeys(env.possible_agents, env.market.policies["random"])
        singles.append([env.step_one("buyer_0", leave[seed], policies) for _ in range(2)][1])
    assert rewards.tolist() == [reward for _, reward, *_ in singles]
    last = np.where(terminated[:, None], infos["final_obs"][1], seen)
    assert np.array_equal(last[0], singles[0][0]) and np.array_equal(last[1], singles[1][0])


@pytest.mark.parametrize("cut", [False, True])
def test_markets_that_end_at_different_times_play_the_episodes_they_would_play_alone(cut):
    many = MarketVectorEnv(RelayMarket(horizon=2, cut=cut), 3, "buyer_0", "random")
    builders = [lambda: SingleAgentEnv(relay(horizon=2, cut=cut), "buyer_0", "random")] * 3
    singles = SyncVectorEnv(builders, autoreset_mode=AutoresetMode.SAME_STEP)
    assert np.array_equal(many.reset(seed=1)[0], singles.reset(seed=1)[0])
    draw, ends = np.random.default_rng(0), []
    for _ in range(24):
        actions = draw.uniform(-1, 1, (3, 2)).astype(np.float32)
        actions[:, 1] = np.where(draw.random(3) < 0.3, -1, 1)  # now and then somebody storms out
        together, alone = many.step(actions), singles.step(actions)
        assert all(np.array_equal(a, b) for a, b in zip(together[:4], alone[:4], strict=True))
        assert np.array_equal(together[4]["cash"], alone[4]["cash"])
        ends.append(together[2:4])
        for k in np.flatnonzero(together[2] | together[3]):
            assert np.array_equal(together[4]["final_obs"][k], alone[4]["final_obs"][k])
    assert len({tuple(terminated | truncated) for terminated, truncated in ends}) > 3  # they did end at different times
    assert np.any([truncated for _, truncated in ends]) == cut
    singles.close()
