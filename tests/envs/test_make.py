"""Environments by name: every door of the package, and helpful refusals."""

import gymnasium
import numpy as np
import pettingzoo
import pytest
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

import marketenv
from marketenv.envs import (
    MARKETS,
    make_aec,
    make_market,
    make_parallel,
    make_sb3,
    make_single,
    make_vec,
)
from marketenv.envs.agent_by_agent import MarketAECEnv
from marketenv.envs.make import identity, register_all, short_name

DOORS = {
    "market": make_market,
    "parallel": make_parallel,
    "aec": make_aec,
    "single": make_single,
    "vec": lambda name, **config: make_vec(name, 2, **config),
    "sb3": lambda name, **config: make_sb3(name, 2, **config),
}
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


@every_door
def test_an_unknown_market_gets_its_neighbour(door):
    with pytest.raises(
        ValueError,
        match=(
            r"no market 'referense_v0'\. Did you mean 'reference_v0'\? Known: data_market_v0,"
            r" marketplace_v0, model_sharing_v0, "
            r"parameter_trading_v0, reference_v0, resource_market_v0\."
        ),
    ):
        door("referense_v0")


@every_door
def test_an_unknown_keyword_gets_its_neighbour(door):
    with pytest.raises(
        ValueError, match=r"no argument of reference_v0 'n_buyer'\. Did you mean 'n_buyers'"
    ):
        door("reference_v0", n_buyer=3)
    with pytest.raises(
        ValueError, match=r"no argument of parameter_trading_v0 'lerner'\. Did you mean 'learner'"
    ):
        door("parameter_trading_v0", lerner="mlp")
    with pytest.raises(
        ValueError, match=r"no argument of model_sharing_v0 'schema'\. Did you mean 'scheme'"
    ):
        door("model_sharing_v0", schema="ipfl")


@pytest.mark.parametrize("name", MARKETS)
def test_one_market_has_one_name_in_every_spelling(name):
    identity = f"marketenv/{name.replace('_v', '-v')}"
    assert short_name(identity) == short_name(name) == name
    assert gymnasium.spec(identity).id == identity


@pytest.mark.parametrize("name", MARKETS)
def test_every_market_has_a_module_with_three_doors(name):
    module = getattr(marketenv, name)
    assert module.__name__ == f"marketenv.{name}" and {"env", "parallel_env", "raw_env"} <= set(
        module.__all__
    )
    assert isinstance(module.env(), OrderEnforcingWrapper) and isinstance(
        module.raw_env(), MarketAECEnv
    )
    assert str(module.parallel_env()) == name
    if hasattr(pettingzoo, "make"):
        assert (
            pettingzoo.make("parallel", identity(name)).possible_agents
            == module.env().possible_agents
        )


def test_a_pettingzoo_without_a_registry_is_enough(monkeypatch):
    monkeypatch.delattr(pettingzoo, "register", raising=False)  # as before 1.27
    monkeypatch.setattr(gymnasium, "register", lambda name, **more: registered.append(name))
    registered = []
    register_all()
    assert registered == [identity(name) for name in MARKETS]


def shade(observation, move, keys):
    """Bid half one's value."""
    return observation[..., :1] - 1


@pytest.mark.parametrize(
    "opponents", ["random", shade, {"seller": shade}], ids=["name", "function", "mapping"]
)
def test_gymnasium_makes_the_same_single_environment_from_its_spec(opponents):
    env = make_single(
        "reference_v0", agent="buyer_0", opponents=opponents, max_cycles=2, render_mode="ansi"
    )
    again = gymnasium.make(env.spec)
    assert (
        env.spec.id == again.spec.id == "marketenv/reference-v0"
        and again.spec.kwargs == env.spec.kwargs
    )
    assert again.unwrapped.agent == "buyer_0" and again.render_mode == "ansi"
    assert np.array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
    action = np.zeros(1, dtype=np.float32)
    for _ in range(2):
        (seen, *one), (other, *two) = env.step(action), again.step(action)
        assert one == two and np.array_equal(seen, other)


def test_a_spec_of_plain_arguments_can_be_written_as_json():
    env = make_single("marketenv/parameter_trading-v0", n_agents=2, max_cycles=1)
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    assert gymnasium.make(spec).unwrapped.env.market.config == env.env.market.config


def test_gymnasium_makes_the_same_vector_from_its_spec():
    venv = make_vec(
        "reference_v0",
        3,
        agent="seller_0",
        opponents="random",
        autoreset_mode="DISABLED",
        max_cycles=2,
    )
    again = gymnasium.make_vec(venv.spec)
    assert '"autoreset_mode": "DISABLED"' in venv.spec.to_json()
    assert again.spec.kwargs == venv.spec.kwargs and (again.num_envs, again.unwrapped.agent) == (
        3,
        "seller_0",
    )
    assert again.metadata == venv.metadata and np.array_equal(
        venv.reset(seed=3)[0], again.reset(seed=3)[0]
    )
    assert np.array_equal(*(env.step(np.zeros((3, 1), np.float32))[1] for env in (venv, again)))


def test_every_public_name_can_be_used():
    assert all(hasattr(marketenv, name) for name in marketenv.__all__)
    assert marketenv.__version__.count(".") == 2
