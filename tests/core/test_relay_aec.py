"""A market of three stages agent by agent: in each stage its movers are asked, who do not see
each other's moves.
"""

import pickle

import numpy as np
import pytest
from relay_doors import BUYERS, CARRIER, EVERYBODY, SELLER, STAGES, relay, the_good

from marketenv.envs import aec
from marketenv.testing import _same

ORDER = [agent for who in STAGES for agent in who]  # of one round


def act(env, acts):
    """Let the selected agent do its part of these acts; who it was, and what it was told before."""
    agent, told = env.agent_selection, env.last()
    env.step(None if told[2] or told[3] else acts[agent])
    return agent, told


def test_only_the_movers_of_a_stage_are_asked():
    env = aec(relay(horizon=2))
    env.reset(seed=0)
    assert [act(env, the_good())[0] for _ in range(10)] == ORDER * 2
    # PettingZoo's conversion would ask everybody in every stage
    assert not env.unwrapped.metadata["is_parallelizable"]
    # those that are done, one by one
    assert [act(env, the_good())[0] for _ in EVERYBODY] == EVERYBODY and env.agents == []


def test_nobody_sees_anothers_move_of_the_stage_and_the_next_stage_sees_it():
    env = aec(relay())
    env.reset(seed=0)
    act(env, the_good())
    shown = {agent: env.observe(agent) for agent in EVERYBODY}
    assert shown["buyer_1"][2] == pytest.approx(0.6)  # the price that was named
    act(env, the_good())  # buyer_0 takes it
    assert (
        all(np.array_equal(env.observe(agent), shown[agent]) for agent in EVERYBODY)
        and env.agent_selection == "buyer_1"
    )
    act(env, the_good())
    assert env.observe(SELLER).tolist() == [0, 0, 1, 1, 0] and env.observe(CARRIER).tolist() == [
        1,
        1,
    ]
    act(env, the_good())
    # whether the good was shipped is not seen before the stage is over
    assert env.observe(CARRIER).tolist() == [1, 1]


def test_what_is_told_may_be_written_into():
    env = aec(relay())
    env.reset(seed=0)
    env.observe(SELLER)[...] = 7
    env.last()[0][...] = 7
    assert env.observe(SELLER).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("cut", [False, True])
def test_an_agent_is_told_what_it_earned_since_its_last_move(cut):
    env, rounds = aec(relay(horizon=2, cut=cut)), relay(horizon=2, cut=cut)
    env.reset(seed=1), rounds.reset(seed=1)
    earned = [rounds.step(the_good())[1] for _ in range(6)][2::3]  # after either round
    told = [act(env, the_good()) for _ in range(14)]
    rewards = [(agent, reward) for agent, (_, reward, *_) in told]
    nothing = [(agent, 0.0) for agent in ORDER]
    first = {agent: earned[0][agent] for agent in EVERYBODY}
    # in round two everybody hears of round one at its first move, and the seller of nothing new at
    # its second
    assert rewards[:5] == nothing
    assert rewards[5:10] == [(a, first[a]) for a in (SELLER, *BUYERS)] + [
        (SELLER, 0.0),
        (CARRIER, first[CARRIER]),
    ]
    assert rewards[10:] == [(agent, earned[1][agent]) for agent in EVERYBODY]
    assert [flags[2:4] for _, flags in told[10:]] == [(not cut, cut)] * 4 and not any(
        any(t[1][2:4]) for t in told[:10]
    )


@pytest.mark.parametrize("moves", range(15))
def test_saved_between_stages_it_goes_on_to_the_bit_and_in_a_stage_it_is_refused(tmp_path, moves):
    one, two = aec(relay(horizon=2)), aec(relay(horizon=2))
    one.reset(seed=2)
    for _ in range(moves):
        act(one, the_good())
    if moves in (2, 4, 7, 9):  # after the first of two movers
        with pytest.raises(
            ValueError, match=f"{ORDER[moves % 5 - 1]} have moved in a stage that is not over"
        ):
            one.unwrapped.save(tmp_path / "state")
        return
    one.unwrapped.save(tmp_path / "state")
    two.load(tmp_path / "state")
    if moves > 10:  # the file does not hold who of those that are done was told so
        assert two.agents == EVERYBODY and all(two.terminations.values())
        return
    assert two.agent_selection == one.agent_selection and two.rewards == one.rewards
    while one.agents:
        assert _same(act(one, the_good()), act(two, the_good()))
    assert two.agents == []


@pytest.mark.parametrize(("stay", "rounds"), [(-1.0, 1), (1.0, 3)])
def test_a_loaded_end_is_what_it_was_where_the_horizon_is_a_cut(tmp_path, stay, rounds):
    """Where buyer_0 storms out the market's own rule ends the game in round one; else three
    rounds are cut.
    """
    one, two = aec(relay(cut=True)), aec(relay(cut=True))
    one.reset(seed=0)
    for _ in range(len(ORDER) * rounds):
        act(one, the_good(stay=stay))
    one.unwrapped.save(tmp_path / "state")
    two.load(tmp_path / "state")
    assert (two.terminations, two.truncations) == (one.terminations, one.truncations)
    assert set(two.terminations.values()) == {stay < 0} and set(two.truncations.values()) == {
        stay > 0
    }


def test_a_copy_made_in_the_middle_of_a_stage_goes_on():
    one = aec(relay())
    one.reset(seed=0)
    act(one, the_good()), act(one, the_good())  # buyer_0 has moved, buyer_1 has not
    two = pickle.loads(pickle.dumps(one))
    for _ in range(9):
        assert _same(act(one, the_good()), act(two, the_good()))


def test_a_refused_action_can_be_given_again():
    env, clean = aec(relay()), aec(relay())
    env.reset(seed=0), clean.reset(seed=0)
    for _ in range(5):
        agent = env.agent_selection
        for bad in (np.full(2, np.nan), np.full(3, 0.5), None):
            with pytest.raises(ValueError, match=f"action of {agent}"):
                env.step(bad)
        assert _same(act(env, the_good()), act(clean, the_good()))


def test_the_agent_by_agent_form_shows_the_market():
    env = aec(relay(mode="ansi"))
    env.reset(seed=0)
    assert env.unwrapped.report is None and env.unwrapped.market.name == "relay"
    for _ in ORDER:
        act(env, the_good())
    assert (
        env.unwrapped.report.rewards[0, 0] == pytest.approx(0.4)
        and "The good is shipped." in env.render()
    )
    assert np.array_equal(env.state(), env.unwrapped.env.state())
