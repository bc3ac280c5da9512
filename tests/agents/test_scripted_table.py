"""The table of scripted strategies: every entry plays everywhere it says, alone and in a batch."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import test_scripted_data_market
import test_scripted_marketplace
import test_scripted_model_sharing
import test_scripted_parameter_trading
import test_scripted_reference
import test_scripted_resource_market
import torch
from scripted_cases import PAIRS, arguments_for, market_for, policy

import agents
import marketenv
from agents.markets import ENTRIES, STRATEGIES, shade
from agents.markets.strategies import SHARED
from agents.scripted import Strategy
from marketenv import make_market
from marketenv.core import draws, rounds
from marketenv.core.market import agent_names
from marketenv.core.policy import Policy
from marketenv.envs.seats import door_seat

ROOT = Path(__file__).resolve().parents[2]
BATCH = 4096
DRAWN = {
    "reference_v0": 4096,
    "parameter_trading_v0": 16,
    "model_sharing_v0": 64,
    "data_market_v0": 16,
    "resource_market_v0": 64,
    "marketplace_v0": 2,
}  # a policy sees no training: 16 trained markets, shown 256 times


def test_agents_is_the_package_of_this_repository():
    found = Path(agents.__file__).resolve()
    assert found.is_relative_to(ROOT), (
        f"'import agents' found {found}, outside {ROOT}: another distribution owns the name. The"
        " likely culprit is the wheel of openai-agents, whose top-level package is also called"
        " agents: uninstall it here, or install this repository in an environment of its own."
    )


def test_no_two_strategies_have_one_name():
    names = [*SHARED, *(name for entry in ENTRIES.values() for name in entry.strategies)]
    assert len(names) == len(set(names)) == len(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_a_test_of_its_claim(name):
    files = (
        test_scripted_reference,
        test_scripted_parameter_trading,
        test_scripted_model_sharing,
        test_scripted_data_market,
        test_scripted_resource_market,
        test_scripted_marketplace,
    )
    tests = {name for file in files for name in dir(file)}
    assert f"test_claim_{name}" in tests, f"write test_claim_{name}: {STRATEGIES[name].claim}"


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_says_what_it_does_and_claims(name):
    strategy = STRATEGIES[name]
    assert strategy.markets and set(strategy.markets) <= set(DRAWN)
    for text in (strategy.summary, strategy.claim):
        assert text.endswith(".") and 20 < len(text) < 130


def truths(market):
    return dict.fromkeys(agent_names(market), market.policies["truthful"])


@pytest.fixture(scope="module")
def seen():
    """Observations by stage and role of every kind of market in the table, one batch each,
    however many strategies ask.
    """
    known = {}

    def look(market, kind):
        key = (kind, repr(market.config))
        if key not in known:
            now, known[key] = rounds.begin(market, torch.arange(DRAWN[kind])), {}
            for _ in market.stages:
                stage, observed = rounds.stage_of(market, now).name, rounds.observe(market, now)
                known[key] |= {
                    (stage, role): some.repeat(BATCH // DRAWN[kind], 1, 1)
                    for role, some in observed.items()
                }
                now, _ = rounds.advance(market, now, rounds.act(market, truths(market), now))
        return known[key]

    return look


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_actions_of_a_batch_are_finite_inside_the_box_and_those_of_its_singles(name, kind, seen):
    market = market_for(name, kind)
    playing, observed = policy(name, market), seen(market, kind)
    assert isinstance(playing, Policy)
    for move in market.moves:
        flat = observed[move.stage, move.name][:, 0]
        keys = draws.fold(torch.arange(len(flat)), move.name)
        actions = playing(flat, move, keys)
        assert actions.shape == (len(flat), move.action.dim) and actions.dtype == torch.float32
        # refuses NaN and clips what lies outside
        assert torch.equal(move.action.check(actions, name), actions)
        for k in (0, 7, len(flat) - 1):
            torch.testing.assert_close(
                playing(flat[k : k + 1], move, keys[k : k + 1])[0], actions[k], rtol=0, atol=1e-6
            )


@pytest.fixture(scope="module")
def reset():
    """A copy of an environment, and what its reset returned: strategies that ask for the same
    arguments share the original, and its market, which no play changes.
    """
    known = {}

    def copy_of(name, kind):
        arguments = arguments_for(name, kind)
        key = (kind, repr(arguments))
        if key not in known:
            env = getattr(marketenv, kind).parallel_env(**arguments)
            known[key] = env, env.reset(seed=3)
        env, results = known[key]
        # a step replaces what an environment and its batch hold, and changes none of it
        copied = copy.copy(env)
        copied.batch = copy.copy(env.batch)
        return copied, results

    return copy_of


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_the_same_policy_plays_one_pettingzoo_environment(name, kind, reset):
    env, (observed, _) = reset(name, kind)
    market = env.unwrapped.market
    seats = {agent: door_seat(market, role.name) for role in market.roles for agent in role.agents}
    playing, steps = policy(name, market), 0
    while env.agents:
        stage, actions = rounds.stage_of(market, env.unwrapped.situation), {}
        for i, agent in enumerate(env.agents):
            actions[agent], start, done = np.zeros(env.action_space(agent).shape, np.float32), 0, 0
            # side by side: of each stage a turn flag, if there are any, and what is seen
            for move in seats[agent].moves:
                start += seats[agent].flagged
                flat = torch.from_numpy(observed[agent][start : start + move.observation.dim])[None]
                # also of zeros, outside its stage
                said = playing(flat, move, torch.tensor([100 * steps + i]))[0].numpy()
                if move.stage == stage.name:
                    actions[agent][done : done + move.action.dim] = said
                start, done = start + move.observation.dim, done + move.action.dim
            assert env.action_space(agent).contains(actions[agent])
        observed, rewards, *_ = env.step(actions)
        assert np.isfinite(list(rewards.values())).all()
        steps += 1
    assert steps == market.horizon * len(market.stages)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_policies_can_be_sent_to_other_processes(name, kind, seen):
    market = market_for(name, kind)
    playing, move = policy(name, market), market.moves[0]
    flat, keys = seen(market, kind)[move.stage, move.name][:5, 0], torch.arange(5)
    assert torch.equal(
        pickle.loads(pickle.dumps(playing))(flat, move, keys), playing(flat, move, keys)
    )


def test_a_strategy_refuses_markets_that_it_cannot_play():
    with pytest.raises(
        ValueError,
        match=r"no builder for market 'reference_v0'.*Known: marketplace_v0, parameter_trading_v0",
    ):
        STRATEGIES["free_rider"].build(make_market("reference_v0"))
    with pytest.raises(ValueError, match="game 'double_auction'"):
        STRATEGIES["linear_equilibrium"].build(make_market("reference_v0", game="first_price"))
    with pytest.raises(ValueError, match="game 'double_auction'"):
        STRATEGIES["myerson_seller"].build(make_market("reference_v0", game="second_price"))
    with pytest.raises(ValueError, match="game 'first_price'"):
        STRATEGIES["first_price_equilibrium"].build(make_market("reference_v0"))
    with pytest.raises(ValueError, match="binding reserve"):
        STRATEGIES["first_price_equilibrium"].build(
            make_market("reference_v0", game="first_price", reserve=0.2)
        )


@pytest.mark.parametrize("factor", [-0.1, 2.1, float("nan")])
def test_shade_refuses_factors_outside_its_range(factor):
    with pytest.raises(ValueError, match=r"wanted a number in \[0, 2\]"):
        shade(factor)


def test_strategies_are_values():
    assert isinstance(shade(0.9), Strategy) and shade(0.9).summary != STRATEGIES["shade"].summary
    with pytest.raises(AttributeError):
        shade(0.9).summary = "another"
