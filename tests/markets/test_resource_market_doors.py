"""The resource market at every door: three roles, each with a stage of its own, unlike boxes."""

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test
from resource_market_cases import ALONE, NAME, SMALL
from stable_baselines3 import PPO

from marketenv import make_sb3, make_single, make_vec, resource_market_v0
from marketenv.markets.resource_market import Matched, Paid
from marketenv.testing import CHECKS, check_market_env

LEADER, OWNERS, CENTRES = (
    ["leader_0"],
    [f"owner_{k}" for k in range(3)],
    [f"centre_{k}" for k in range(3)],
)
LEARNERS = ["leader_0", "owner_0", "centre_0"]
FULL = {"escrow": False, "rank": True, "identities": 2}  # every field of the contest
# of what is seen, with the turn flag, and of what is done; a role of two stages has both
WIDTHS = {
    "leader_0": (1 + 3 + 3 + 3 + 1 + 3 + 3 + 2, 1),
    "owner_0": (1 + 4 + 4 * 2 + 1 + 2, 3),
    "centre_0": (1 + 2 + 2 * 2 + 3 + 2, 1),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "config", [{}, FULL, {"pricing": "posted", "horizon": "cut"}], ids=["plain", "full", "posted"]
)
def test_the_public_checks_hold_in_the_game_alone(config):
    assert check_market_env(resource_market_v0.parallel_env(**ALONE, **config)) == tuple(CHECKS)


@pytest.mark.long
def test_the_public_checks_hold_where_models_are_trained_and_audited():
    assert check_market_env(
        resource_market_v0.parallel_env(**SMALL, audit="heldout", **FULL)
    ) == tuple(CHECKS)


@pytest.mark.slow
def test_the_public_checks_hold_with_discrete_actions():
    assert check_market_env(resource_market_v0.parallel_env(**SMALL, action_levels=3)) == tuple(
        CHECKS
    )


# as those of roles may be
@pytest.mark.filterwarnings("ignore:Agents have different", "ignore:Observations are different")
# of a later stage's mover when all is over
@pytest.mark.filterwarnings("ignore:Observation numpy array is all zeros")
@pytest.mark.parametrize("config", [ALONE, ALONE | FULL, SMALL])
def test_the_suites_of_pettingzoo(config, capsys):
    env = resource_market_v0.parallel_env(**config)
    parallel_api_test(env, num_cycles=12)
    assert env.agents == []
    api_test(resource_market_v0.env(**config), num_cycles=12)
    assert "Passed API test" in capsys.readouterr().out


def test_a_step_is_a_stage_and_each_role_has_its_own_box():
    env = resource_market_v0.parallel_env(**ALONE)
    seen, _ = env.reset(seed=0)
    assert env.agents == [*LEADER, *OWNERS, *CENTRES]
    for agent, (sees, does) in WIDTHS.items():
        assert env.observation_space(agent).shape == (sees,) and env.action_space(agent).shape == (
            does,
        ), agent
    assert env.state().shape == (
        sum(WIDTHS[name][0] * count for name, count in zip(LEARNERS, (1, 3, 3), strict=True)),
    )
    middle = {a: np.zeros(space.shape, space.dtype) for a, space in env.action_spaces.items()}
    for turn, movers in enumerate((LEADER, OWNERS, CENTRES)):
        assert env.movers == movers
        # turn flags
        assert {a for a in env.agents if seen[a].any()} == set(movers) and all(
            seen[a][0] == 1.0 for a in movers
        )
        seen, rewards, terminated, truncated, _ = env.step(middle)
        assert any(rewards.values()) == (turn == 2) and not any(
            {**terminated, **truncated}.values()
        )
        assert (env.report is not None) == (turn == 2)
    assert (
        env.report.of(Matched).trade.all()
        and env.report.of(Paid).work_cost.any()
        and env.movers == LEADER
    )


def test_without_escrow_the_leader_moves_again_at_the_end():
    env = resource_market_v0.parallel_env(**ALONE, escrow=False)
    env.reset(seed=0)
    assert env.action_space("leader_0").shape == (2,) and env.observation_space(
        "leader_0"
    ).shape == (24,)
    middle = {a: np.zeros(space.shape, space.dtype) for a, space in env.action_spaces.items()}
    movers = []
    while env.agents:
        movers.append(env.movers)
        env.step(middle)
    assert movers == [LEADER, OWNERS, CENTRES, LEADER] * 2


def test_in_the_price_extension_centres_move_first_and_only_once():
    env = resource_market_v0.env(**ALONE, pricing="posted")
    env.reset(seed=0)
    order = []
    for agent in env.agent_iter():
        *_, terminated, truncated, _ = env.last()
        order.append(agent)
        env.step(None if terminated or truncated else env.action_space(agent).sample())
    assert order[:14] == [*CENTRES, *LEADER, *OWNERS] * 2  # two rounds, and then all leave


@pytest.mark.parametrize("agent", LEARNERS)
@pytest.mark.parametrize(
    "config", [ALONE, ALONE | {"pricing": "posted"}, SMALL], ids=["game", "posted", "trained"]
)
def test_one_agent_against_truthful_others(agent, config):
    env = make_single(NAME, agent=agent, **config)
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    steps, terminated = 0, False
    while not terminated:
        seen, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(seen) and np.isfinite(reward) and not truncated
        steps += 1
    assert steps == 2  # a move a round


def test_a_cut_is_a_truncation():
    env = make_single(NAME, agent="owner_0", **ALONE, horizon="cut")
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(2)]
    assert ends == [(False, False), (False, True)]


@pytest.mark.parametrize("agent", LEARNERS)
def test_many_markets_at_once_are_those_of_single_ones(agent):
    """The truth of the middle of the box, in three markets and in the first of them alone."""
    many, one = (make_vec(NAME, n, agent=agent, **SMALL, audit="heldout") for n in (3, 1))
    (seen, _), (alone, _) = many.reset(seed=5), one.reset(seed=5)
    np.testing.assert_allclose(seen[0], alone[0], atol=1e-5)
    width = many.single_action_space.shape[0]
    for _ in range(2):
        seen, rewards, *_ = many.step(np.zeros((3, width), np.float32))
        alone, reward, *_ = one.step(np.zeros((1, width), np.float32))
        np.testing.assert_allclose(rewards[0], reward[0], rtol=1e-3, atol=1e-3)
    assert isinstance(many, gymnasium.vector.VectorEnv)


def test_a_role_of_stable_baselines3_moves_together():
    doors = {role: make_sb3(NAME, 2, agent=role, **ALONE) for role in ("leader", "owner", "centre")}
    assert {role: door.num_envs for role, door in doors.items()} == {
        "leader": 2,
        "owner": 6,
        "centre": 6,
    }
    for role, door in doors.items():
        sees, does = WIDTHS[f"{role}_0"]
        # of one stage, so without a turn flag
        assert door.reset().shape == (door.num_envs, sees - 1)
        _, rewards, dones, _ = door.step(np.zeros((door.num_envs, does), np.float32))
        assert rewards.shape == (door.num_envs,) and np.isfinite(rewards).all() and not dones.any()
    with pytest.raises(ValueError, match="all"):
        make_sb3(NAME, 2, agent="all", **ALONE)


@pytest.mark.parametrize("agent", LEARNERS)
def test_ppo_learns_in_every_role(agent):
    model = PPO(
        "MlpPolicy",
        make_sb3(NAME, 2, agent=agent, **ALONE),
        n_steps=4,
        batch_size=8,
        n_epochs=1,
        seed=0,
    )
    assert model.learn(8).num_timesteps == 8


def test_a_round_is_shown_in_words_and_as_a_picture():
    for mode in ("ansi", "rgb_array"):
        env = resource_market_v0.parallel_env(
            **SMALL, audit="heldout", audit_round=0, render_mode=mode
        )
        env.reset(seed=0)
        for _ in range(3):
            env.step(
                {
                    agent: np.zeros(space.shape, space.dtype)
                    for agent, space in env.action_spaces.items()
                }
            )
        shown = env.render()
        if mode == "ansi":
            wanted = (
                "The leader commits to pay 1.2500.",
                "owner_0 contributes 50.0 % of its data",
                "centre_0 offers",
            )
            assert all(
                words in shown
                for words in (*wanted, "computes for", "The audit scores owner_2", "Utility: ")
            )
        else:
            assert shown.dtype == np.uint8 and shown.ndim == 3 and shown.std() > 0
