"""Searches and learners in the marketplace: every role learns in all of its stages."""

import math

import pytest
import torch
from scripted_cases import SMALL

from agents.lineups import find_profile
from agents.rl import TrainConfig, key_values, load_policy, seed_folder, train
from agents.stress import Budget, best_response, ex_post_regret, psro
from marketenv import make_market, make_sb3

KIND = "marketplace_v0"
GAME = {"learner": None, "trade": None, "max_cycles": 1, "n_developers": 2}
GAME |= {"n_owners": 3, "n_centres": 3, "resource_market": {"types": {"quality": (1.0,) * 3}}}
TINY = SMALL[KIND] | {"n_developers": 2}
FEW = Budget(select=4, judge=20, points=21, population=16, generations=4)
TOY = {"num_envs": 2, "n_steps": 4, "batch_size": 8, "updates": 1, "steps": 16, "network": (8,)}
TOY |= {"evaluations": 0, "episodes": 2, "start": "scratch"}


def game(**config):
    return make_market(KIND, **GAME | config)


# --- searches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["developer", "owner", "centre"])
def test_no_search_gains_anything_at_the_equilibrium_of_all_contests(who):
    """Contests of several developers separate: truth is the equilibrium of each."""
    market = game()
    found = best_response(market, find_profile(market), who, ("grid", "scripted"), FEW)
    assert max(float(one.gains.mean()) for one in found.deviations) < 1e-6


def test_a_search_finds_the_over_report():
    """Of quality 0.9 all: an owner that says 1.0 is paid for it by every developer."""
    market = game(resource_market={"types": {"quality": (0.9,) * 3}})
    found = best_response(market, find_profile(market), "owner", ("grid",), FEW, fields=("report",))
    assert "report 1 " in found.best.words and float(found.best.gains.mean()) > 0.01


@pytest.mark.parametrize(
    ("agent", "stage", "width"),
    [
        ("developer_0", "commit", 1),
        ("owner_0", "contribute", 2),
        ("centre_0", "compute", 2),
        ("developer_0", "trade", 1),
    ],
)
def test_hindsight_of_every_role_is_never_below_what_was_done(agent, stage, width):
    """A field of an owner or a centre has one number for each developer."""
    market = make_market(KIND, **TINY)
    seeds = torch.arange(2)
    best = ex_post_regret(market, find_profile(market), agent, seeds, stage, points=5)
    assert bool((best.regret >= 0).all()) and bool(best.utility.isfinite().all())
    assert next(iter(best.reports.values())).shape == (2, width)


def test_psro_of_three_roles_leaves_collusion():
    """From half of everything, an owner gains by contributing more in every contest, and a
    developer by paying more: both responses join.
    """
    market = game()
    start = {
        "developer": {"half": "shade"},
        "owner": {"half": "owner_colluder"},
        "centre": {"little": "centre_colluder"},
    }
    found = psro(market, start, eps=1e-3, attackers=("grid",), budget=FEW, pairs=4, iterations=2)
    first, last = found.history[0], found.history[-1]
    assert set(first.responses) == {"developer", "owner", "centre"}
    assert all(first.gains[role].mean > 0.01 for role in ("owner", "centre"))
    assert {"owner", "centre"} <= set(first.added) and last.number == 1
    assert len(last.strategies["owner"]) == 2 and math.isclose(
        sum(last.equilibrium.mix["owner"].values()), 1
    )


# --- learners -------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["developer_0", "owner_0", "centre_0"])
def test_ppo_learns_all_stages_of_every_role(agent, tmp_path):
    config = TrainConfig(market=KIND, agent=agent, out=tmp_path, **TOY)
    market = make_market(KIND, **TINY)
    result = train(config, 0, market=market)
    assert math.isfinite(result["learned_mean"]) and math.isfinite(result["truthful_mean"])
    policy = load_policy(seed_folder(config, 0), market)
    moves = market.moves_of(agent.removesuffix("_0"))
    assert [move.stage for move in moves] == (
        ["commit", "trade"] if agent == "developer_0" else [moves[0].stage]
    )
    for move in moves:
        actions = policy(torch.zeros(3, move.observation.dim), move, torch.arange(3))
        assert actions.shape == (3, move.action.dim) and bool(actions.abs().le(1).all())


@pytest.mark.parametrize(("role", "rows"), [("developer", 2), ("owner", 2), ("centre", 2)])
def test_the_agents_of_a_role_share_one_policy(role, rows):
    env = make_sb3(KIND, 3, agent=role, **TINY)
    assert env.num_envs == 3 * rows
    seen = env.reset()
    assert seen.shape == (6, *env.observation_space.shape)
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["developer_0", "owner_0"])
def test_ppo_comes_near_the_equilibrium_of_the_contests(agent, tmp_path):
    """Nothing earns more than truth in the contests of two developers; a learner comes near."""
    settings = {"steps": 20_480, "evaluations": 0, "episodes": 20, "start": "scratch"}
    settings |= {"num_envs": 64, "n_steps": 16, "batch_size": 256, "updates": 10}
    config = TrainConfig(
        market=KIND, arguments=key_values(GAME), agent=agent, out=tmp_path, **settings
    )
    found = train(config, 0)
    assert 0.9 < found["learned_mean"] / found["truthful_mean"] < 1 + 1e-6
