"""The parallel door and its agent-by-agent form: the contract beyond what the suites check."""

import pickle
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from env_cases import CASES, name_of, parallel, seeded_actions
from gymnasium.spaces import Box
from relay_market import relay_market

from marketenv import make_market, make_parallel, make_single, reference_v0
from marketenv.core.batch import Batch
from marketenv.envs import MarketParallelEnv
from marketenv.envs.make import identity
from marketenv.markets.reference import Auctioned
from marketenv.mechanisms import double_auction
from marketenv.testing import _same

every_case = pytest.mark.parametrize("case", CASES)


def started(case="first_price", seed=0, **more):
    env = parallel(case, **more)
    env.reset(seed=seed)
    return env


def go_on(env, steps=3, seed=5):
    """What the next steps return under seeded random actions."""
    draw, results = np.random.default_rng(seed), []
    for _ in range(steps):
        if env.agents:
            results.append(env.step(seeded_actions(env, draw)))
    return tuple(results)


@every_case
def test_spaces_are_cached_and_shared_by_the_agents_of_one_role(case):
    env = parallel(case)
    for agent in env.possible_agents:
        space = env.observation_space(agent)
        assert (
            space is env.observation_space(agent)
            and isinstance(space, Box)
            and space.dtype == np.float32
        )
        assert env.action_space(agent) is env.action_space(agent) is env.action_spaces[agent]
        assert space is env.observation_spaces[agent]
        assert agent.rsplit("_", 1)[1].isdigit()
    assert list(env.observation_spaces) == list(env.action_spaces) == env.possible_agents
    first, *others = [
        a for a in env.possible_agents if a.startswith(env.possible_agents[0].rsplit("_", 1)[0])
    ]
    assert all(env.observation_space(a) is env.observation_space(first) for a in others)


@every_case
def test_an_episode_of_fresh_copies_is_the_same_to_its_last_step(case):
    # PettingZoo 1.27's parallel_seed_test stops after one step, so the whole episode is compared
    # here
    one, two = started(case), started(case)
    played = go_on(one)
    assert len(played) == 3 and one.agents == [] and _same(played, go_on(two))
    assert not _same(played, go_on(started(case, seed=1)))


@every_case
def test_a_pickled_environment_goes_on_equally(case):
    env = started(case)
    go_on(env, 1)
    copy = pickle.loads(pickle.dumps(env))
    assert copy.agents == env.agents and np.array_equal(copy.state(), env.state())
    assert _same(go_on(env, 2), go_on(copy, 2))


@every_case
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_saved_environment_goes_on_equally(tmp_path, case, steps):
    env, other = started(case, seed=8), parallel(case)
    results = [(*env.reset(seed=8),), *go_on(env, steps)]
    env.save(tmp_path / "state.safetensors")
    observations, infos = other.load(tmp_path / "state.safetensors")
    assert _same(observations, results[-1][0]) and other.agents == env.agents
    assert infos == (
        results[-1][-1] if env.agents else {a: dict(infos[a]) for a in env.possible_agents}
    )
    assert np.array_equal(other.state(), env.state()) and other.report is None
    assert _same(go_on(env, 3), go_on(other, 3))


def damaged(path, kind):
    if kind == "missing":
        return path.with_name("nowhere")
    if kind == "text":
        path.write_text("{}")
    elif kind == "cut":
        started().save(path)
        path.write_bytes(path.read_bytes()[:-3])
    elif kind == "market":
        started("parameter_trading").save(path)
    else:
        two = Batch(make_market("reference_v0", **CASES["first_price"][1]), 2)
        two.reset(0)
        two.save(path)
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "market", "number"])
def test_a_file_that_does_not_fit_is_refused_and_nothing_changes(tmp_path, kind):
    env, clean = started(), started()
    with pytest.raises(ValueError, match=r"cannot read|does not fit|holds a|holds 2 markets"):
        env.load(damaged(tmp_path / "state", kind))
    assert np.array_equal(env.state(), clean.state()) and _same(go_on(env), go_on(clean))


BAD_ACTIONS = {
    "nan": np.array([np.nan], dtype=np.float32),
    "outside": np.array([1.00001], dtype=np.float32),
    "infinite": np.array([-np.inf], dtype=np.float32),
    "too long": np.zeros(2, dtype=np.float32),
    "too deep": np.zeros((1, 1), dtype=np.float32),
    "a bare number": 0.5,
    "words": "buy",
    "nothing": None,
    "ragged": [[1.0], []],
}


@pytest.mark.parametrize("value", BAD_ACTIONS.values(), ids=BAD_ACTIONS)
@pytest.mark.parametrize("agent", ["buyer_0", "buyer_2"])
def test_a_bad_action_is_refused_and_changes_nothing(value, agent):
    env, clean = started(), started()
    actions = seeded_actions(env, np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"action of {agent}"):
        env.step(actions | {agent: value})
    assert env.report is None and _same(go_on(env), go_on(clean))


@pytest.mark.parametrize("value", BAD_ACTIONS.values(), ids=BAD_ACTIONS)
@pytest.mark.parametrize("turn", [0, 2])
def test_agent_by_agent_a_refused_action_can_be_given_again(value, turn):
    env, clean = (reference_v0.env(game="first_price", n_buyers=3) for _ in range(2))
    for copy in (env, clean):
        copy.reset(seed=0)
    for k in range(3):
        if k == turn:
            with pytest.raises(ValueError, match=f"action of buyer_{k}"):
                env.step(value)
            assert env.agent_selection == f"buyer_{k}"
        for copy in (env, clean):
            copy.step(np.array([0.1 * k], dtype=np.float32))
    assert (
        env.rewards == clean.rewards
        and any(env.rewards.values())
        and all(env.terminations.values())
    )


def test_agent_by_agent_the_caller_may_reuse_its_array():
    env, clean = (reference_v0.env(game="first_price", n_buyers=3) for _ in range(2))
    env.reset(seed=0), clean.reset(seed=0)
    reused = np.zeros(1, dtype=np.float32)
    for k in range(3):
        reused[:] = 0.1 * k
        env.step(reused)
        clean.step(np.array([0.1 * k], dtype=np.float32))
    assert env.rewards == clean.rewards and env.unwrapped.report.of(Auctioned).offers[
        0, :3
    ].tolist() == pytest.approx([0.5, 0.55, 0.6])


def test_an_action_within_the_tolerance_is_clipped_to_the_box():
    env, clean = started("double_auction"), started("double_auction")
    nearly = {
        "buyer_0": np.array([1 + 9e-7], dtype=np.float32),
        "seller_0": np.array([-1 - 5e-7], dtype=np.float32),
    }
    exact = {
        "buyer_0": np.array([1.0], dtype=np.float32),
        "seller_0": np.array([-1.0], dtype=np.float32),
    }
    assert _same(env.step(nearly), clean.step(exact))
    assert env.report.of(Auctioned).offers.tolist() == [[1.0, 0.0]]  # price = (1 + a) / 2


def test_missing_unknown_and_late_actions_are_refused():
    env = started()
    actions = seeded_actions(env, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no action for buyer_1; wanted one action for each of"):
        env.step({a: v for a, v in actions.items() if a != "buyer_1"})
    with pytest.raises(ValueError, match=r"no agent 'buyer_9'\. Did you mean 'buyer_\d'"):
        env.step(actions | {"buyer_9": actions["buyer_0"]})
    for nameless in (list(actions.values()), None, "buyer_0"):
        with pytest.raises(ValueError, match=r"actions is .*, wanted a dict from the movers"):
            env.step(nameless)
    go_on(env)
    with pytest.raises(ValueError, match="the episode is over"):
        env.step(actions)


@every_case
def test_no_actions_after_the_end_are_nothing(case):
    env = started(case)
    # in the middle of an episode they are a mistake
    with pytest.raises(ValueError, match="no action for"):
        env.step({})
    go_on(env)
    last, state, report = env.situation, env.state(), env.report
    assert env.step({}) == ({}, {}, {}, {}, {})
    assert (
        env.agents == []
        and env.situation is last
        and env.report is report
        and np.array_equal(env.state(), state)
    )


def test_nothing_works_before_reset():
    env = parallel("first_price")
    for call in (
        lambda: env.step({}),
        env.state,
        lambda: env.quotes,
        lambda: env.situation,
        lambda: env.movers,
        lambda: env.save("x"),
        lambda: reference_v0.env().save("x"),
    ):
        with pytest.raises(ValueError, match=r"reset\(\)"):
            call()
    assert env.report is None


def test_the_whole_round_can_be_read():
    env = started("double_auction")
    types = env.quotes
    go_on(env, 1)
    assert torch.equal(
        env.report.of(Auctioned).types, types
    ) and env.situation.floor.round.tolist() == [1]
    go_on(env)
    assert env.quotes is None


def test_a_seed_of_zero_is_a_seed():
    env = parallel("first_price")
    first = env.reset(seed=0)
    env.reset()
    assert _same(first, env.reset(seed=0)) and not _same(first, env.reset())


def test_episodes_without_a_seed_follow_the_last_seed():
    one, two = started(seed=4), started(seed=4)
    assert _same(one.reset(), two.reset())
    assert not _same(one.reset(seed=4), one.reset())


@every_case
def test_rendering_without_a_mode_warns_and_gives_nothing(case):
    env = started(case)
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert env.render() is None


@every_case
def test_pictures_and_words_follow_the_round(case, capsys):
    picture, words, human = (
        started(case, render_mode=mode) for mode in ("rgb_array", "ansi", "human")
    )
    blank = picture.render()
    assert words.render() == "No round has been played yet."
    for env in (picture, words, human):
        go_on(env, 1)
    drawn = picture.render()
    assert (
        drawn.dtype == np.uint8 and drawn.shape == blank.shape and not np.array_equal(drawn, blank)
    )
    # human: by reset and by step
    assert capsys.readouterr().out == f"No round has been played yet.\n{words.render()}\n"
    assert human.render() is None and capsys.readouterr().out == ""  # and by nothing else
    assert words.render().endswith(words.report.story(words.possible_agents)[-1])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (
            "data_market_v0",
            {"n_sellers": 2, "pilots": (4, 8), "points": 16, "mixtures": 2, "communications": 1},
        ),
        ("resource_market_v0", {"learner": None, "n_owners": 2}),
        ("marketplace_v0", {"learner": None, "n_owners": 2}),
        ("marketplace_v0", {"rule": None, "own_data": True}),  # one kind of things alone
    ],
)
def test_all_frames_have_one_size_also_where_accounts_keep_money(name, config):
    """The frames of a film have one size; the first one is drawn before any round."""
    env = make_parallel(name, render_mode="rgb_array", max_cycles=1, **config)
    env.reset(seed=0)
    blank, draw = env.render(), np.random.default_rng(0)
    while env.agents:
        env.step(seeded_actions(env, draw))
    frame = env.render()
    assert frame.shape == blank.shape and not np.array_equal(frame, blank)


@every_case
@pytest.mark.parametrize("door", ["single", "registered", "aec"])
def test_human_mode_shows_each_round_once_at_every_door(case, door, capsys):
    module, config = CASES[case]
    words = make_single(name_of(case), render_mode="ansi", **config)
    told = [words.reset(seed=0) and words.render()]
    actions = np.zeros((2, *words.action_space.shape), dtype=np.float32)
    told += [words.step(action) and words.render() for action in actions]
    capsys.readouterr()
    if door == "aec":
        policies = dict.fromkeys(words.env.possible_agents, words.env.market.policies["truthful"])
        env, rounds = module.env(render_mode="human", **config), parallel(case)
        env.reset(seed=0), rounds.reset(seed=0)
        for action in actions:
            asked = [row.numpy() for rows in rounds.batch.act(policies).values() for row in rows[0]]
            for acted in (acts := [action, *asked[1:]]):
                env.step(acted)
                assert env.render() is None
            rounds.step(dict(zip(rounds.agents, acts, strict=True)))
    else:
        kwargs = {"render_mode": "human", **config}
        env = (
            make_single(name_of(case), **kwargs)
            if door == "single"
            else gymnasium.make(identity(name_of(case)), **kwargs)
        )
        env.reset(seed=0)
        for action in actions:
            env.step(action)
            assert env.render() is None
    assert capsys.readouterr().out == "".join(f"{text}\n" for text in told)


def test_a_round_of_three_stages_is_shown_when_it_is_over(capsys):
    env = MarketParallelEnv(relay_market(), "relay_v0", "human")
    env.reset(seed=0)
    actions = {a: np.ones(env.action_space(a).shape, np.float32) for a in env.agents}
    shown = [capsys.readouterr().out]
    for _ in range(3):
        env.step(actions)
        shown.append(capsys.readouterr().out)
    assert (
        shown[:3] == ["No round has been played yet.\n", "", ""]
        and "The good is shipped." in shown[3]
    )


def test_an_unknown_render_mode_gets_its_neighbour():
    with pytest.raises(ValueError, match=r"no render_mode 'rgb'\. Did you mean 'rgb_array'"):
        parallel("first_price", render_mode="rgb")


def test_metadata_names_the_environment():
    one, two = parallel("first_price"), MarketParallelEnv(make_market("reference_v0"), "other_v0")
    assert (
        (one.metadata["name"], two.metadata["name"])
        == ("reference_v0", "other_v0")
        == (str(one), str(two))
    )
    assert one.metadata["is_parallelizable"] is True and "name" not in MarketParallelEnv.metadata


def test_a_file_of_the_same_market_with_other_arguments_is_refused(tmp_path):
    env = make_parallel("reference_v0", game="first_price", max_cycles=2)
    env.reset(seed=0)
    env.save(tmp_path / "state")
    other = make_parallel("reference_v0", game="second_price", max_cycles=2)
    with pytest.raises(ValueError, match="game='first_price'"):
        other.load(tmp_path / "state")


def test_a_file_of_the_same_rule_with_another_weight_is_refused(tmp_path):
    one, other = (
        make_parallel("reference_v0", mechanism=partial(double_auction, weight=w))
        for w in (0.5, 0.3)
    )
    one.reset(seed=0)
    one.save(tmp_path / "state")
    with pytest.raises(ValueError, match=r"weight: 0\.5"):
        other.load(tmp_path / "state")


def test_a_flipped_bit_is_found(tmp_path):
    env = make_parallel("reference_v0", max_cycles=2)
    env.reset(seed=0)
    env.save(tmp_path / "state")
    whole = bytearray((tmp_path / "state").read_bytes())
    whole[-3] ^= 4
    (tmp_path / "state").write_bytes(whole)
    with pytest.raises(ValueError, match="damaged"):
        env.load(tmp_path / "state")


def test_one_number_for_several_discrete_actions_is_refused():
    env = make_parallel("parameter_trading_v0", action_levels=3, max_cycles=1, n_agents=2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="levels"):
        env.step(dict.fromkeys(env.agents, 0))
