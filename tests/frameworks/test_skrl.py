"""skrl: its wrapper plays the market, and the page's IPPO and MAPPO learn in every market."""

import warnings
from importlib.metadata import version

import numpy as np
import pytest
import torch
from recipes import MARKETS, RELAXED, need, parallel, run_page

need("skrl", "skrl")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.multi_agents.torch.ippo import IPPO
    from skrl.multi_agents.torch.mappo import MAPPO
    from skrl.multi_agents.torch.mappo.mappo import compute_gae
    from skrl.trainers.torch import SequentialTrainer
pytestmark = RELAXED


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """What the page's recipe defines; skrl writes its folder of runs into the present folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        return run_page("skrl")


def weights(agents):
    """The parameters of all agents' policies and values by name."""
    return {
        f"{agent} {kind} {name}": value.detach().clone()
        for agent, models in agents.models.items()
        for kind, model in models.items()
        for name, value in model.named_parameters()
    }


@pytest.mark.parametrize("name", MARKETS)
def test_the_wrapper_plays_the_market(name):
    env, plain = wrap_env(parallel(name), "pettingzoo", verbose=False), parallel(name)
    env.reset()
    plain.reset()
    env._env.reset(seed=3)
    observations, _ = plain.reset(seed=3)
    draw = np.random.default_rng(0)
    while plain.agents:
        assert torch.equal(env.state()[plain.agents[0]][0], torch.as_tensor(plain.state()))
        shapes = {agent: plain.action_space(agent).shape for agent in plain.agents}
        actions = {a: draw.uniform(-1, 1, s).astype(np.float32) for a, s in shapes.items()}
        rows = {agent: torch.as_tensor(action)[None] for agent, action in actions.items()}
        theirs, their_rewards, their_ends, their_cuts, _ = env.step(rows)
        observations, rewards, ends, cuts, _ = plain.step(actions)
        for agent, observation in observations.items():
            assert torch.equal(theirs[agent][0], torch.as_tensor(observation))
            # they keep float32
            assert float(their_rewards[agent]) == pytest.approx(rewards[agent], rel=1e-6)
            assert bool(their_ends[agent]) == ends[agent] and bool(their_cuts[agent]) == cuts[agent]
    assert env.agents == []


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("algorithm", [IPPO, MAPPO])
def test_every_policy_and_value_learns(name, algorithm, page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = wrap_env(parallel(name), "pettingzoo", verbose=False)
    agents = page["learners"](env, algorithm)
    before = weights(agents)
    options = {"timesteps": 16, "headless": True, "disable_progressbar": True}
    options["close_environment_at_exit"] = False
    SequentialTrainer(env=env, agents=agents, cfg=options).train()
    after = weights(agents)
    assert all(torch.isfinite(value).all() for value in after.values())
    assert all(not torch.equal(before[key], value) for key, value in after.items())


@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_cut_wants_time_limit_bootstrap(bootstrap):
    """Two episodes of one step each, the first one cut: what the second one earns must not count
    for the first one's action.
    """
    rewards, values = torch.tensor([[0.0], [5.0]]), torch.zeros(2, 1)
    cuts = torch.tensor([[True], [False]])
    returns, _ = compute_gae(
        rewards=rewards,
        terminated=torch.zeros(2, 1, dtype=torch.bool),
        truncated=cuts,
        values=values,
        last_values=torch.zeros(1),
        discount_factor=1.0,
        lambda_coefficient=1.0,
        time_limit_bootstrap=bootstrap,
    )
    assert returns[0].item() == (0.0 if bootstrap else 5.0)


@pytest.mark.parametrize("algorithm", [IPPO, MAPPO])
def test_what_values_read(algorithm, page):
    env = wrap_env(parallel("reference_v0"), "pettingzoo", verbose=False)
    agents, agent = page["learners"](env, algorithm), env.possible_agents[0]
    sizes = {
        IPPO: env.observation_spaces[agent].shape[0],
        MAPPO: env.state_spaces[agent].shape[0],
    }
    # the market's state is larger than what one agent sees
    assert sizes[IPPO] < sizes[MAPPO]
    assert agents.models[agent]["value"].value.in_features == sizes[algorithm]


def test_page(page, record_testsuite_property):
    record_testsuite_property("version", f"skrl {version('skrl')}")
    # run_page("skrl") ran both algorithms; MAPPO came last
    assert isinstance(page["agents"], MAPPO)
    assert set(page["agents"].models) == {"trader_0", "trader_1"}
