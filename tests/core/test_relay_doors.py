"""A market of three stages as a parallel environment: one step is one stage."""

import pickle

import numpy as np
import pytest
from relay_doors import BUYERS, CARRIER, EVERYBODY, SELLER, STAGES, relay, the_good

from marketenv.testing import CHECKS, _same, check_market_env


def seen(env):
    """What everybody sees now, without a copy of the environment."""
    flat, ends = (
        env.state(),
        np.cumsum([env.observation_space(a).shape[0] for a in env.possible_agents]),
    )
    return dict(zip(env.possible_agents, np.split(flat, ends[:-1]), strict=True))


OTHERS = [
    pytest.param(*case, marks=pytest.mark.slow) for case in ((True, 0), (False, 1), (True, 2))
]


@pytest.mark.long
@pytest.mark.parametrize(("cut", "carriers"), [(False, 0), (True, 1), (False, 2), *OTHERS])
def test_it_passes_every_public_check(cut, carriers):
    assert check_market_env(relay(carriers, cut=cut)) == tuple(CHECKS)


@pytest.mark.long
def test_it_passes_every_public_check_with_levels():
    assert check_market_env(relay(levels=3)) == tuple(CHECKS)


def test_an_agents_spaces_join_its_stages_with_a_flag_each():
    env = relay()
    seats = {agent: env._places.seats[agent] for agent in EVERYBODY}
    assert [f.name for f in seats[SELLER].observation.items] == [
        "offer.turn", "offer.round", "ship.turn", "ship.orders", "ship.round",
    ]  # fmt: skip
    assert [f.name for f in seats[SELLER].action.items] == ["offer.price", "ship.ships"]
    assert [f.name for f in seats["buyer_0"].observation.items] == [
        "turn",
        "type",
        "price",
        "times",
        "round",
    ]
    assert env.observation_space(CARRIER).high.tolist() == [1, 2] and env.observation_space(
        CARRIER
    ).low.tolist() == [0, 0]
    assert env.state_space.shape == (5 + 5 + 5 + 2,)
    grid = relay(levels=5)
    # a price, and one of two things to ship
    assert grid.action_space(SELLER).nvec.tolist() == [5, 2]
    assert (
        grid.action_space("buyer_0").nvec.tolist() == [5, 5] and grid.action_space(CARRIER).n == 5
    )


def test_without_a_carrier_nobody_is_one():
    env = relay(carriers=0)
    env.reset(seed=0)
    assert env.possible_agents == [SELLER, *BUYERS] and env.state_space.shape == (15,)
    for _ in range(2):
        env.step({agent: the_good()[agent] for agent in env.agents})
    assert env.movers == [SELLER]
    _, rewards, *_ = env.step({SELLER: the_good()[SELLER]})
    assert rewards[SELLER] == pytest.approx(0.6 - 0.1)  # no fee


def test_one_step_is_one_stage_and_the_next_stage_sees_it():
    env = relay()
    first, _ = env.reset(seed=0)
    kinds = env.situation.floor.outcomes["draw"].types[0].tolist()
    assert first[SELLER].tolist() == [1, 0, 0, 0, 0]  # its turn in stage offer, in round 0
    assert not any(first[agent].any() for agent in EVERYBODY[1:])
    assert env.movers == [SELLER]

    second, rewards, terminated, truncated, _ = env.step(the_good())
    assert rewards == dict.fromkeys(EVERYBODY, 0.0) and not any((terminated | truncated).values())
    for agent, kind in zip(BUYERS, kinds, strict=True):
        # its turn, type, price, has bought, round
        assert second[agent].tolist() == pytest.approx([1, kind, 0.6, 0, 0])
    assert not second[SELLER].any() and not second[CARRIER].any() and env.movers == BUYERS

    third, rewards, *_ = env.step(the_good())
    assert not any(rewards.values()) and env.movers == [SELLER, CARRIER]
    # one order
    assert third[SELLER].tolist() == [0, 0, 1, 1, 0] and third[CARRIER].tolist() == [1, 1]
    assert not third["buyer_0"].any()

    fourth, rewards, *_, infos = env.step(the_good())
    assert rewards == pytest.approx(
        {SELLER: 0.4, "buyer_0": kinds[0] - 0.6, "buyer_1": 0, CARRIER: 0.1}
    )
    # round 1 of 3
    assert fourth[SELLER].tolist() == pytest.approx([1, 1 / 3, 0, 0, 0]) and env.movers == [SELLER]
    assert {a: info["cash"] for a, info in infos.items()} == pytest.approx(
        {SELLER: 1.5, "buyer_0": 0.4, "buyer_1": 1, CARRIER: 1.1}
    )
    assert list(infos[SELLER]) == ["utility", "paid", "received", "cash", "takes"]
    # the fee, the price
    assert [infos[SELLER][k] for k in ("paid", "received")] == pytest.approx([0.1, 0.6])
    assert infos["buyer_0"]["takes"] == 1 and infos["buyer_1"]["takes"] == 0
    env.step(the_good())
    assert seen(env)["buyer_0"][3] == 1  # has bought once


def test_junk_is_worth_nothing_and_its_price_goes_back():
    env = relay()
    env.reset(seed=0)
    for _ in range(3):
        _, rewards, *_, infos = env.step(the_good(ships=-1))
    assert rewards == pytest.approx(dict.fromkeys(EVERYBODY, 0.0))
    assert infos["buyer_0"]["paid"] == infos["buyer_0"]["received"] == pytest.approx(0.6)


def test_actions_of_those_not_to_move_are_left_out_or_count_for_nothing():
    everybody, movers, other = relay(), relay(), relay()
    for env in (everybody, movers, other):
        env.reset(seed=3)
    for who in STAGES * 3:
        assert movers.movers == who
        others = {a: everybody.action_space(a).sample() for a in EVERYBODY if a not in who}
        acts = the_good()
        results = (
            everybody.step(acts),
            movers.step({a: acts[a] for a in who}),
            other.step(acts | others),
        )
        assert _same(results[0], results[1]) and _same(results[0], results[2])
    assert everybody.agents == []


@pytest.mark.parametrize("stage", range(3))
def test_who_moves_is_asked_and_everything_that_is_said_is_checked(stage):
    env, clean = relay(), relay()
    for one in (env, clean):
        one.reset(seed=0)
        for _ in range(stage):
            one.step(the_good())
    movers, acts = STAGES[stage], the_good()
    idle = next(a for a in EVERYBODY if a not in movers)
    with pytest.raises(
        ValueError, match=f"no action for {movers[-1]}; wanted one action for each of "
    ):
        env.step({a: v for a, v in acts.items() if a != movers[-1]})
    with pytest.raises(ValueError, match=f"no action for {', '.join(movers)}"):
        env.step({})
    for bad in (acts[idle] * np.nan, acts[idle] + 1.5, acts[idle][None], "buy"):
        with pytest.raises(ValueError, match=f"action of {idle}"):
            env.step(acts | {idle: bad})
    # a price and what is shipped: one of them belongs to another stage
    for field in range(2 if SELLER in movers else 0):
        for bad in (np.nan, 1.5):
            said = acts[SELLER].copy()
            said[field] = bad
            with pytest.raises(ValueError, match=f"action of {SELLER}"):
                env.step(acts | {SELLER: said})
    with pytest.raises(ValueError, match=r"no agent 'sellr_0'\. Did you mean 'seller_0'"):
        env.step(acts | {"sellr_0": acts[SELLER]})
    assert _same(env.step(acts), clean.step(acts))  # nothing has changed


@pytest.mark.parametrize("cut", [False, True])
def test_the_horizon_comes_after_all_stages_of_the_last_round(cut):
    env = relay(horizon=2, cut=cut)
    env.reset(seed=0)
    results = [env.step(the_good()) for _ in range(6)]  # two rounds of three stages
    flags = [step[2:4] for step in results]
    assert not any(part[SELLER] for step in flags[:-1] for part in step)
    assert [set(part.values()) for part in flags[-1]] == [
        {not cut},
        {cut},
    ] and env.agents == [] == env.movers
    # an end shows what is known of it, and nobody's turn; a cut shows the round that would follow
    assert results[-1][0][SELLER].tolist() == ([1, 0, 0, 0, 0] if cut else [0, 1, 0, 0, 0])
    assert env.step({}) == ({}, {}, {}, {}, {})
    with pytest.raises(ValueError, match="the episode is over"):
        env.step(the_good())


@pytest.mark.parametrize("cut", [False, True])
def test_storming_out_terminates_after_the_round(cut):
    env = relay(cut=cut)
    env.reset(seed=0)
    env.step(the_good())
    _, _, terminated, truncated, _ = env.step(the_good(stay=-1))
    assert not any((terminated | truncated).values())
    observations, rewards, terminated, truncated, _ = env.step(the_good())
    assert all(terminated.values()) and not any(truncated.values()) and env.agents == []
    # it is over: nobody's turn
    assert rewards[SELLER] == pytest.approx(0.4) and observations[SELLER][0] == 0


@pytest.mark.parametrize("steps", range(10))
def test_a_market_saved_anywhere_goes_on_to_the_bit_with_its_infos(tmp_path, steps):
    one, two = relay(), relay()
    results = [one.reset(seed=3), *(one.step(the_good()) for _ in range(steps))]
    one.save(tmp_path / "state")
    observations, infos = two.load(tmp_path / "state")
    assert infos == results[-1][-1] and _same(observations, results[-1][0])
    assert two.agents == one.agents and two.movers == one.movers
    for _ in range(9 - steps):
        assert _same(one.step(the_good()), two.step(the_good()))


@pytest.mark.parametrize("steps", range(4))
def test_a_copy_made_anywhere_goes_on_alone(steps):
    one = relay()
    one.reset(seed=3)
    for _ in range(steps):
        one.step(the_good())
    two = pickle.loads(pickle.dumps(one))
    for _ in range(9 - steps):  # in turns: neither knows of the other
        assert _same(one.step(the_good()), two.step(the_good()))


def test_levels_of_a_stage_mean_its_options_and_prices():
    env = relay(levels=5)
    env.reset(seed=0)
    level = {SELLER: [3, 1], "buyer_0": [4, 4], "buyer_1": [0, 4], CARRIER: 2}
    for _ in range(3):
        _, rewards, *_ = env.step(level)
    # level 3 of 5 is a price of 3/4; option 1 is the good; a fee of half of .2
    assert rewards[SELLER] == pytest.approx(0.75 - 0.1 - 0.1) and rewards[CARRIER] == pytest.approx(
        0.1
    )
