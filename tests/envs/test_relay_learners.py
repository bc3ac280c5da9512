"""A market of three stages for one learner, which steps from one of its moves to the next.

That a vector equals its singles to the bit, whatever follows an end, is tested in
test_autoreset.py.
"""

import pickle

import numpy as np
import pytest
import stable_baselines3.common.env_checker
import torch
from gymnasium.utils.env_checker import check_env
from relay_doors import CARRIER, SELLER, relay
from relay_learners import LEARNERS, eager, rows, sampled, single, vector
from relay_market import Offered, Replied, Shipped

every_learner = pytest.mark.parametrize(("agent", "stages"), LEARNERS, ids=str)


@every_learner
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("levels", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_the_checkers_of_gymnasium_and_stable_baselines3_pass(agent, stages, cut, levels):
    env = single(agent, stages, cut=cut, levels=levels)
    check_env(env, skip_render_check=True)
    stable_baselines3.common.env_checker.check_env(env)
    assert env.observation_space.contains(env.reset(seed=1)[0])


def test_the_sellers_two_moves_by_hand():
    env = single(SELLER)
    assert env.reset(seed=1)[0].tolist() == [1, 0, 0, 0, 0]  # its turn in stage offer, of round 0
    assert env.env.situation.floor.outcomes["draw"].types.tolist() == [
        pytest.approx([0.796, 0.624], abs=1e-3)
    ]
    # a price of (1 + .2) / 2 = .6, at most either type
    seen, reward, *_ = env.step(np.array([0.2, 0], dtype=np.float32))
    assert seen.tolist() == [0, 0, 1, 2, 0] and reward == 0
    seen, reward, *_, infos = env.step(np.array([0, 1], dtype=np.float32))
    # two goods for .6 each, at a cost of .1 and a fee of .1; then its turn in stage offer, of round
    # 1 of 3
    assert reward == pytest.approx(2 * (0.6 - 0.1 - 0.1)) == infos["utility"]
    assert seen.tolist() == pytest.approx([1, 1 / 3, 0, 0, 0])


def test_the_buyers_one_move_by_hand():
    env = single("buyer_0")
    seen, _ = env.reset(seed=0)
    kind = float(seen[0])
    # type, the truthful price 1/2, never bought, round 0: no flag
    assert seen.tolist() == [pytest.approx(kind), 0.5, 0, 0]
    # takes it, whatever it is worth, and stays
    seen, reward, *_ = env.step(np.array([1, 1], dtype=np.float32))
    assert reward == pytest.approx(kind - 0.5)
    assert seen[1:].tolist() == pytest.approx([0.5, 1, 1 / 3])  # has bought once; round 1 of 3


def test_the_carriers_one_move_by_hand():
    env = single(CARRIER)
    assert env.reset(seed=1)[0].tolist() == [2]  # both types are above the truthful price 1/2
    # the largest fee, of either good
    assert env.step(np.ones(1, dtype=np.float32))[1] == pytest.approx(2 * 0.2)
    dear = {"seller": lambda seen, move, keys: torch.ones(len(seen), 1)}  # a price of 1
    env = single(CARRIER, opponents=dear)
    assert env.reset(seed=1)[0].tolist() == [0] and env.step(np.ones(1, dtype=np.float32))[1] == 0


@every_learner
@pytest.mark.parametrize("cut", [False, True])
def test_what_it_earns_is_what_the_parallel_form_pays_up_to_its_next_move(agent, stages, cut):
    env, whole = single(agent, stages, "random", cut=cut), relay(cut=cut)
    env.reset(seed=4), whole.reset(seed=4)
    seat, others = env._seat, env._learner.policies
    others_play(whole, others, seat.stages)
    for action in sampled(agent, stages, 3 * LEARNERS[agent, stages]):
        stage = stage_of(whole)
        mine = placed(whole, agent, stage, seat.do(stage, torch.from_numpy(action)).numpy())
        paid = whole.step(answers(whole, others) | {agent: mine})[1][agent] + others_play(
            whole, others, seat.stages, agent
        )
        _, reward, terminated, truncated, _ = env.step(action)
        assert reward == paid
        assert (terminated, truncated) == (not whole.agents and not cut, not whole.agents and cut)
    assert whole.agents == []


def stage_of(env):
    """Name of the stage at which a parallel form stands."""
    return env.market.phases[env.situation.at].name


def others_play(env, policies, until, agent=SELLER):
    """Let policies play up to one of these stages; what the agent earns there."""
    earned = 0.0
    while env.agents and stage_of(env) not in until:
        earned += env.step(answers(env, policies))[1][agent]
    return earned


def answers(env, policies):
    """What policies answer for all movers, as the parallel form takes it."""
    stage = stage_of(env)
    asked = [row for rows in env.batch.act(policies).values() for row in rows[0].numpy()]
    return {
        agent: placed(env, agent, stage, row) for agent, row in zip(env.movers, asked, strict=True)
    }


def placed(env, agent, stage, moved):
    """An agent's joined action of which one stage's part is given."""
    full, start = np.zeros(env.action_space(agent).shape, dtype=np.float32), 0
    for move in env.market.moves_of(agent.rsplit("_", 1)[0]):
        if move.stage == stage:
            full[start : start + move.action.dim] = moved
        start += move.action.dim
    return full


@every_learner
def test_every_action_has_an_effect(agent, stages):
    """A round in which one move is another comes to something else: no sample is of a stage
    where the learner is idle.
    """
    env = single(agent, stages, eager, cash=9.0)
    seen, _ = env.reset(seed=0)
    for step in range(3 * LEARNERS[agent, stages]):
        if len(env._seat.moves) == 2:
            flags = [
                seen[env._seat.observation.slices[f"{stage}.turn"]].item()
                for stage in ("offer", "ship")
            ]
            assert flags == [1 - step % 2, step % 2]
        assert comes_to(env, -0.5) != comes_to(env, 0.5)
        seen, *_ = env.step(np.full(env.action_space.shape, 0.5, dtype=np.float32))


def comes_to(env, value):
    """What the round comes to where the learner's next move is this, and the one that may
    follow is 1/2.
    """
    copy = pickle.loads(pickle.dumps(env))
    copy.step(np.full(env.action_space.shape, value, dtype=np.float32))
    if len(copy._seat.moves) == 2 and copy.env.batch.in_round():
        copy.step(np.full(env.action_space.shape, 0.5, dtype=np.float32))
    report = copy.report
    parts = (
        report.of(Offered).price,
        report.of(Replied).bought,
        report.of(Shipped).good,
        report.of(Shipped).fees,
    )
    return [part.tolist() for part in parts]


@every_learner
def test_a_cut_shows_the_learners_next_move_of_the_round_that_would_follow(agent, stages):
    early, late = (single(agent, stages, "random", cut=True, horizon=rounds) for rounds in (2, 4))
    early.reset(seed=2), late.reset(seed=2)
    for action in sampled(agent, stages, 2 * LEARNERS[agent, stages]):
        one, two = early.step(action), late.step(action)
        assert np.array_equal(one[0], two[0]) and one[1] == two[1]
    assert one[3] and not two[3]
    many, sb3 = (
        vector(agent, 2, stages, "random", cut=True, horizon=2),
        rows(agent, 2, stages, "random", cut=True, horizon=2),
    )
    many.reset(seed=2), sb3.seed(2), sb3.reset()
    for action in sampled(agent, stages, 2 * LEARNERS[agent, stages]):
        *_, truncated, infos = many.step(np.stack([action, action]))
        _, _, dones, told = sb3.step(np.stack([action, action]))
    assert truncated.all() and dones.all() and all(info["TimeLimit.truncated"] for info in told)
    assert np.array_equal(infos["final_obs"][0], one[0]) and np.array_equal(
        told[0]["terminal_observation"], one[0]
    )


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("agent", "shows"), [("buyer_0", [0, 0, 0, 0]), (CARRIER, [0]), (SELLER, [0, 1 / 3, 0, 0, 0])]
)
def test_where_the_game_is_over_nothing_follows(agent, shows, cut):
    """buyer_0 storms out in round 0: it is nobody's turn, and who does not move first has
    nothing to see.
    """
    out = {"buyer_0": lambda seen, move, keys: -torch.ones(len(seen), 2)}
    env = single(agent, opponents=out, cut=cut)
    env.reset(seed=0)
    for _ in range(LEARNERS[agent, None]):
        seen, _, terminated, truncated, _ = env.step(
            -np.ones(env.action_space.shape, dtype=np.float32)
        )
    assert terminated and not truncated
    # a cut shows no rounds
    assert seen.tolist() == pytest.approx([0 if cut else value for value in shows])


def test_named_stages_give_small_boxes_and_the_other_moves_are_played():
    env = single(SELLER, ("ship",))
    assert [f.name for f in env._seat.observation.items] == [
        "orders",
        "round",
    ] and env.action_space.shape == (1,)
    env.reset(seed=0)
    env.step(np.ones(1, dtype=np.float32))
    assert env.report.of(Offered).price.tolist() == [[0.5]]  # the truthful price
    own = {SELLER: lambda seen, move, keys: torch.full((len(seen), move.action.dim), -0.8)}
    env = single(SELLER, ("ship",), own)
    env.reset(seed=0)
    env.step(np.ones(1, dtype=np.float32))
    report = env.report
    # (1 - .8) / 2 by a policy under the agent's own name
    assert report.of(Offered).price.tolist() == [[pytest.approx(0.1)]]
    assert report.of(Shipped).good.tolist() == [True]  # while what it learns is its own


@pytest.mark.parametrize(
    ("agent", "stages", "says"),
    [
        (SELLER, ("shipp",), r"no stage in which sellers move 'shipp'\. Did you mean 'ship'"),
        (SELLER, ("reply",), r"no stage in which sellers move 'reply'\..*Known: offer, ship"),
        ("buyer_0", ("offer",), r"no stage in which buyers move 'offer'"),
        (SELLER, (), r"stages is \(\), wanted one or more of offer, ship, or None"),
        (SELLER, "ship", r"stages is 'ship', wanted several names, for instance \('ship',\)"),
    ],
)
@pytest.mark.parametrize(
    "door", [single, lambda a, s: vector(a, stages=s), lambda a, s: rows(a, stages=s)]
)
def test_other_stages_are_refused(door, agent, stages, says):
    with pytest.raises(ValueError, match=says):
        door(agent, stages)


def test_human_mode_shows_a_round_when_it_is_over(capsys):
    env, shown = single(SELLER, mode="human"), []
    env.reset(seed=0)
    for _ in range(2):
        shown.append(capsys.readouterr().out)
        env.step(np.ones(2, dtype=np.float32))
    assert (
        shown == ["No round has been played yet.\n", ""]
        and "The good is shipped." in capsys.readouterr().out
    )
