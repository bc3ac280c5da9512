"""Build any environment of the library by its name, and tell PettingZoo and Gymnasium the names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium
import pettingzoo
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from marketenv.core.checks import text
from marketenv.core.lookup import lookup, unknown
from marketenv.core.market import Market, agent_names
from marketenv.envs.parallel import MarketParallelEnv, aec
from marketenv.envs.single_agent import SingleAgentEnv
from marketenv.envs.vector import MarketVectorEnv
from marketenv.markets.model_sharing import ModelSharingMarket
from marketenv.markets.model_sharing_types import ModelSharingConfig
from marketenv.markets.parameter_trading import ParameterTradingConfig, ParameterTradingMarket
from marketenv.markets.reference import ReferenceConfig, ReferenceMarket

if TYPE_CHECKING:
    from marketenv.envs.sb3 import MarketSB3Env

MARKETS: dict[str, tuple[type[Any], Callable[[Any], Market]]] = {
    "model_sharing_v0": (ModelSharingConfig, ModelSharingMarket),
    "parameter_trading_v0": (ParameterTradingConfig, ParameterTradingMarket),
    "reference_v0": (ReferenceConfig, ReferenceMarket),
}


def short_name(name: str) -> str:
    """``marketenv/reference-v0`` and ``reference_v0`` are one name: the latter."""
    return text(name, "name", f": {', '.join(MARKETS)}").removeprefix("marketenv/").replace("-v", "_v")


def make_market(name: str, **config: Any) -> Market:
    """Build the batched core of a market from its name and its arguments.

    Raises ValueError for an unknown market or argument, naming the nearest one.

    >>> make_market("reference_v0", game="first_price", n_buyers=3).roles[0].agents
    ('buyer_0', 'buyer_1', 'buyer_2')
    """
    config_type, market_type = lookup(MARKETS, short_name(name), "market")
    known = tuple(f.name for f in dataclasses.fields(config_type))
    for key in config:
        if key not in known:
            raise unknown(f"argument of {short_name(name)}", key, known)
    return market_type(config_type(**config))


def make_parallel(
    name: str, *, render_mode: str | None = None, action_levels: int | None = None, **config: Any
) -> MarketParallelEnv:
    """Build a PettingZoo parallel environment; see the market's config for its arguments."""
    return MarketParallelEnv(make_market(name, **config), short_name(name), render_mode, action_levels)


def make_aec(name: str, **kwargs: Any) -> Any:
    """Build the AEC form of a market, checked for the order of calls."""
    return aec(make_parallel(name, **kwargs))


def make_single(name: str, *, agent: str | None = None, opponents: Any = "truthful", **kwargs: Any) -> SingleAgentEnv:
    """Build the single-agent view of one market against given opponents; ``gymnasium.make(env.spec)`` builds it again."""
    env = SingleAgentEnv(make_parallel(name, **kwargs), agent, opponents)
    env.spec = _spec(name, agent=agent, opponents=opponents, **kwargs)
    return env


def make_vec(
    name: str,
    num_envs: int,
    *,
    agent: str | None = None,
    opponents: Any = "truthful",
    action_levels: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    **config: Any,
) -> MarketVectorEnv:
    """Build a Gymnasium vector environment of ``num_envs`` markets for one learning agent; None takes the first agent.

    ``autoreset_mode`` says what follows the end of an episode: see ``MarketVectorEnv``.

    >>> venv = make_vec("reference_v0", 4, agent="buyer_0")
    >>> venv.reset(seed=0)[0].shape
    (4, 3)
    """
    market = make_market(name, **config)
    learner = agent_names(market)[0] if agent is None else agent
    venv = MarketVectorEnv(market, num_envs, learner, opponents, action_levels, autoreset_mode)
    doors = {"agent": agent, "opponents": opponents, "action_levels": venv.action_levels}
    doors["autoreset_mode"] = venv.autoreset_mode.name  # a word, so that the spec can be written as JSON
    venv.spec = _spec(name, num_envs=venv.num_envs, vectorization_mode="vector_entry_point", **doors, **config)
    return venv


def make_sb3(
    name: str, num_envs: int, *, agent: str = "all", opponents: Any = "truthful", action_levels: int | None = None, **config: Any
) -> MarketSB3Env:
    """Build a stable-baselines3 VecEnv; ``agent="all"`` trains one policy that all agents share.

    Raises ImportError where stable-baselines3 is missing: ``pip install 'marketenv[sb3]'``.
    """
    try:
        from marketenv.envs.sb3 import MarketSB3Env
    except ImportError as error:
        raise ImportError("make_sb3 needs stable-baselines3: pip install 'marketenv[sb3]'.") from error
    return MarketSB3Env(make_market(name, **config), num_envs, agent, opponents, action_levels)


def identity(name: str) -> str:
    """A market's name in the registries: ``reference_v0`` is ``marketenv/reference-v0``."""
    return f"marketenv/{short_name(name).replace('_v', '-v')}"


def _spec(name: str, **arguments: Any) -> EnvSpec:
    """What Gymnasium's registry says of a market, with the arguments that it was made with."""
    return dataclasses.replace(gymnasium.spec(identity(name)), kwargs={"name": short_name(name), **arguments})


def register_all() -> None:
    """Register every market with PettingZoo (parallel and AEC) and its single-agent view with Gymnasium."""
    for name in MARKETS:
        if hasattr(pettingzoo, "register"):  # since 1.27
            pettingzoo.register("parallel", identity(name), f"marketenv.{name}:parallel_env")
            pettingzoo.register("aec", identity(name), f"marketenv.{name}:env")
        gymnasium.register(
            identity(name),
            entry_point="marketenv.envs.make:make_single",
            vector_entry_point="marketenv.envs.make:make_vec",
            kwargs={"name": name},
        )
