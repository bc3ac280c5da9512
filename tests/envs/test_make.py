"""Environments by name: every door of the package, and helpful refusals."""

import gymnasium
import pettingzoo
import pytest
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

import marketenv
from marketenv.envs import MARKETS, make_aec, make_market, make_parallel, make_sb3, make_single, make_vec
from marketenv.envs.make import short_name
from marketenv.envs.parallel import MarketAECEnv

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
    with pytest.raises(ValueError, match=r"no market 'referense_v0'\. Did you mean 'reference_v0'\? Known: model_sharing_v0, "):
        door("referense_v0")


@every_door
def test_an_unknown_keyword_gets_its_neighbour(door):
    with pytest.raises(ValueError, match=r"no argument of reference_v0 'n_buyer'\. Did you mean 'n_buyers'"):
        door("reference_v0", n_buyer=3)
    with pytest.raises(ValueError, match=r"no argument of parameter_trading_v0 'lerner'\. Did you mean 'learner'"):
        door("parameter_trading_v0", lerner="mlp")
    with pytest.raises(ValueError, match=r"no argument of model_sharing_v0 'schema'\. Did you mean 'scheme'"):
        door("model_sharing_v0", schema="ipfl")


@pytest.mark.parametrize("name", MARKETS)
def test_one_market_has_one_name_in_every_spelling(name):
    identity = f"marketenv/{name.replace('_v', '-v')}"
    assert short_name(identity) == short_name(name) == name
    assert gymnasium.spec(identity).id == identity


@pytest.mark.parametrize("name", MARKETS)
def test_every_market_has_a_module_with_three_doors(name):
    module = getattr(marketenv, name)
    assert name == module.NAME and {"env", "parallel_env", "raw_env"} <= set(module.__all__)
    assert isinstance(module.env(), OrderEnforcingWrapper) and isinstance(module.raw_env(), MarketAECEnv)
    assert str(module.parallel_env()) == name
    assert pettingzoo.make("parallel", f"marketenv/{name.replace('_v', '-v')}").possible_agents == module.env().possible_agents


def test_every_public_name_can_be_used():
    assert all(hasattr(marketenv, name) for name in marketenv.__all__)
    assert marketenv.__version__.count(".") == 2
