"""TorchRL: its own checks of specs, and rollouts that equal the market played by hand."""

import warnings
from importlib.metadata import version

import pytest
import torch
from recipes import HORIZONS, RELAXED, STAGED, aec, need, parallel, role, run_page

from marketenv.envs.seats import door_seat

need("torchrl", "torchrl")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensordict import TensorDict
    from torchrl.envs import SerialEnv
    from torchrl.envs.libs.pettingzoo import PettingZooWrapper
    from torchrl.envs.utils import check_env_specs
    from torchrl.objectives.value import TD0Estimator
pytestmark = [*RELAXED, pytest.mark.parametrize("name", STAGED)]
LEVELS = [None, 3]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("more", [{}, {"use_mask": True}, {"return_state": True}])
def test_specs_of_the_parallel_form(name, levels, more):
    env = PettingZooWrapper(parallel(name, action_levels=levels), **more)
    check_env_specs(env)
    roles = {role(a) for a in parallel(name).possible_agents}
    assert set(env.group_map) == roles and all(
        set(map(role, agents)) == {group} for group, agents in env.group_map.items()
    )
    assert ("state" in set(env.observation_spec.keys())) == more.get("return_state", False)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("state", [False, True])
def test_specs_of_the_aec_form(name, levels, state):
    env = PettingZooWrapper(aec(name, action_levels=levels), use_mask=True, return_state=state)
    check_env_specs(env)
    assert sorted(a for agents in env.group_map.values() for a in agents) == sorted(
        parallel(name).possible_agents
    )


def test_a_parallel_rollout_is_the_market(name):
    env, plain = PettingZooWrapper(parallel(name), return_state=True), parallel(name)
    env.set_seed(7)
    torch.manual_seed(0)  # TorchRL draws its random actions from torch's generator
    episode = env.rollout(100)
    plain.reset(seed=7)
    # a rollout begins with a reset of its own: the second episode of seed 7
    seen, _ = plain.reset()
    assert episode.batch_size == (3,)
    for step in episode:
        assert torch.equal(step["state"], torch.as_tensor(plain.state()))
        row = {
            a: (group, k) for group, agents in env.group_map.items() for k, a in enumerate(agents)
        }
        actions = {a: step[group, "action"][k].numpy() for a, (group, k) in row.items()}
        assert all(
            torch.equal(step[group, "observation"][k], torch.as_tensor(seen[a]))
            for a, (group, k) in row.items()
        )
        seen, rewards, terminated, truncated, infos = plain.step(actions)
        for a, (group, k) in row.items():
            # they keep float32
            assert float(step["next", group, "reward"][k]) == pytest.approx(rewards[a], rel=1e-6)
            assert bool(step["next", group, "terminated"][k]) == terminated[a]
            assert bool(step["next", group, "truncated"][k]) == truncated[a]
            for key, value in infos[a].items():
                assert float(step["next", group, "info", key][k]) == pytest.approx(value, rel=1e-6)
    assert (
        plain.agents == []
        and bool(episode["next", "done"][-1])
        and not episode["next", "done"][:-1].any()
    )


def test_an_aec_rollout_is_the_market(name):
    env, plain = PettingZooWrapper(aec(name), use_mask=True), parallel(name)
    env.set_seed(7)
    torch.manual_seed(0)
    episode = env.rollout(100)
    agents = plain.possible_agents
    group = {a: g for g, members in env.group_map.items() for a in members}
    place = {a: env.group_map[group[a]].index(a) for a in agents}
    plain.reset(seed=7)
    seen, _ = plain.reset()
    at = 0
    while plain.agents:
        actions, movers = {}, plain.movers
        for agent in movers:
            step = episode[at]
            assert [a for a in agents if step[group[a], "mask"][place[a]]] == [agent]
            assert torch.equal(
                step[group[agent], "observation"][place[agent]], torch.as_tensor(seen[agent])
            )
            actions[agent] = step[group[agent], "action"][place[agent]].numpy()
            at += 1
        seen, rewards, *_ = plain.step(actions)
        # after the last mover of the stage
        given = [float(step["next", group[a], "reward"][place[a]]) for a in agents]
        assert given == pytest.approx([rewards[a] for a in agents], rel=1e-6)
    assert episode.batch_size == (at,)


def test_the_turn_flags_are_a_mask_of_who_moves(name):
    """The parallel form steps everybody in every stage: where a market has several, a loss
    counts the rows with a flag.
    """
    env, plain = PettingZooWrapper(parallel(name)), parallel(name)
    episode = env.rollout(100)
    plain.reset()
    for step in episode:
        movers = set()
        for group, agents in env.group_map.items():
            fields = door_seat(plain.market, group).observation.slices
            flags = [where for field, where in fields.items() if field.rpartition(".")[2] == "turn"]
            turns = (
                torch.stack([step[group, "observation"][..., where] for where in flags]).sum(0)
                if flags
                else None
            )
            movers |= {a for k, a in enumerate(agents) if turns is None or turns[k] == 1}
        assert movers == set(plain.movers)
        plain.step({a: plain.action_space(a).sample() for a in plain.agents})


@pytest.mark.parametrize("horizon", HORIZONS)
def test_what_comes_after_the_horizon_is_valued_as_the_market_means_it(name, horizon):
    episode = PettingZooWrapper(parallel(name, horizon=horizon)).rollout(100)
    group, (terminated, truncated) = role(parallel(name).possible_agents[0]), HORIZONS[horizon]
    for flags in (episode["next"], episode["next", group]):
        assert not flags["done"][:2].any() and flags["done"][2].all()
        assert (flags["terminated"][2] == terminated).all() and (
            flags["truncated"][2] == truncated
        ).all()
    rewards, after = (
        episode["next", group, "reward"],
        torch.full_like(episode["next", group, "reward"], 7.0),
    )
    parts = {name: episode["next", group, name] for name in ("done", "terminated")}
    target = TD0Estimator(gamma=0.9, value_network=None).value_estimate(
        TensorDict(
            {"next": {"reward": rewards, **parts, "state_value": after}}, (3, rewards.shape[1])
        ),
        next_value=after,
    )
    # 7: what anybody thinks of the next round
    assert torch.allclose(target[2], rewards[2] + 0.9 * 7.0 * (not terminated))


def test_many_in_one(name):
    many = SerialEnv(2, lambda: PettingZooWrapper(parallel(name), return_state=True))
    many.set_seed(0)
    episode = many.rollout(3)
    assert (
        episode.batch_size == (2, 3)
        and torch.isfinite(episode["next", role(parallel(name).possible_agents[0]), "reward"]).all()
    )
    # two markets, not one twice; the relay's first stage shows a round alone
    assert not torch.equal(*episode["state"][:, :2])


def test_page(name, record_testsuite_property):
    record_testsuite_property(
        "version", f"torchrl {version('torchrl')}, tensordict {version('tensordict')}"
    )
    names = run_page("TorchRL")
    assert names["episode"]["next", "trader", "reward"].shape == (3, 2, 1)
