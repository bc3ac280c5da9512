"""Build any environment by its name, and register all with PettingZoo and Gymnasium."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import pettingzoo
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from marketenv.core.market import agent_names
from marketenv.envs.agent_by_agent import aec
from marketenv.envs.parallel import MarketParallelEnv
from marketenv.envs.single_agent import SingleAgentEnv
from marketenv.envs.vector import MarketVectorEnv
from marketenv.markets.table import MARKETS, make_market, short_name

if TYPE_CHECKING:
    from marketenv.envs.sb3 import MarketSB3Env


def make_parallel(
    name: str, *, render_mode: str | None = None, action_levels: int | None = None, **config: Any
) -> MarketParallelEnv:
    """Build a PettingZoo parallel environment; see the market's config for its arguments."""
    return MarketParallelEnv(
        make_market(name, **config), short_name(name), render_mode, action_levels
    )


def make_aec(name: str, **kwargs: Any) -> Any:
    """Build the AEC form of a market, checked for the order of calls."""
    return aec(make_parallel(name, **kwargs))


def make_single(
    name: str,
    *,
    agent: str | None = None,
    opponents: Any = "truthful",
    stages: Sequence[str] | None = None,
    **kwargs: Any,
) -> SingleAgentEnv:
    """Build the single-agent view of one market; ``gymnasium.make(env.spec)`` builds it again.

    stages: in which the agent moves, None for all of its stages; a step leads to its next move
    """
    env = SingleAgentEnv(make_parallel(name, **kwargs), agent, opponents, stages)
    env.spec = _spec(name, agent=agent, opponents=opponents, **_named(stages), **kwargs)
    return env


def make_vec(
    name: str,
    num_envs: int,
    *,
    agent: str | None = None,
    opponents: Any = "truthful",
    action_levels: int | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    stages: Sequence[str] | None = None,
    **config: Any,
) -> MarketVectorEnv:
    """Build a Gymnasium vector environment of ``num_envs`` markets for one learning agent.

    agent:          None is the first agent
    autoreset_mode: what follows the end of an episode, and ``stages``: where the learner moves; see
                    ``MarketVectorEnv``

    >>> venv = make_vec("reference_v0", 4, agent="buyer_0")
    >>> venv.reset(seed=0)[0].shape
    (4, 3)
    """
    market = make_market(name, **config)
    learner = agent_names(market)[0] if agent is None else agent
    venv = MarketVectorEnv(
        market, num_envs, learner, opponents, action_levels, autoreset_mode, stages
    )
    door = {"agent": agent, "opponents": opponents, "action_levels": venv.action_levels}
    # a word, so that the spec can be written as JSON
    door |= {"autoreset_mode": venv.autoreset_mode.name, **_named(stages)}
    door |= {"num_envs": venv.num_envs, "vectorization_mode": "vector_entry_point"}
    venv.spec = _spec(name, **door, **config)
    return venv


def make_sb3(
    name: str,
    num_envs: int,
    *,
    agent: str = "all",
    opponents: Any = "truthful",
    action_levels: int | None = None,
    stages: Sequence[str] | None = None,
    **config: Any,
) -> MarketSB3Env:
    """Build a stable-baselines3 VecEnv.

    agent:  the learner; with ``"all"``, or a role, these agents share one policy
    stages: in which the learner moves, None for all of its stages; a step leads to its next move

    Raises ImportError where stable-baselines3 is missing: ``pip install 'marketenv[sb3]'``.
    """
    try:
        from marketenv.envs.sb3 import MarketSB3Env
    except ImportError as error:
        fix = "pip install 'marketenv[sb3]'"
        raise ImportError(f"make_sb3 needs stable-baselines3: {fix}.") from error
    market = make_market(name, **config)
    return MarketSB3Env(market, num_envs, agent, opponents, action_levels, stages)


def _named(stages: Sequence[str] | None) -> dict[str, Any]:
    """The argument ``stages`` for a registry, or no argument for None."""
    return {} if stages is None else {"stages": tuple(stages)}


def identity(name: str) -> str:
    """A market's name in the registries: ``reference_v0`` is ``marketenv/reference-v0``."""
    return f"marketenv/{short_name(name).replace('_v', '-v')}"


def _spec(name: str, **arguments: Any) -> EnvSpec:
    """The entry of a market in Gymnasium's registry, with the arguments that built it."""
    kwargs = {"name": short_name(name), **arguments}
    return dataclasses.replace(gymnasium.spec(identity(name)), kwargs=kwargs)


def register_all() -> None:
    """Register every market: both forms with PettingZoo, its single-agent view with Gymnasium."""
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


@dataclass(frozen=True)
class Doors:
    """The three functions by which PettingZoo builds a market, from the fields of its config."""

    name: str

    def parallel_env(self, **kwargs: Any) -> MarketParallelEnv:
        """The market as a PettingZoo parallel environment; ValueError for an unknown keyword."""
        return make_parallel(self.name, **kwargs)

    def raw_env(self, **kwargs: Any) -> Any:
        """The agent-by-agent form without wrappers."""
        return aec(self.parallel_env(**kwargs), ordered=False)

    def env(self, **kwargs: Any) -> Any:
        """The agent-by-agent form with PettingZoo's check of the order of calls."""
        return aec(self.parallel_env(**kwargs))


def doors(
    name: str,
) -> tuple[Callable[..., Any], Callable[..., MarketParallelEnv], Callable[..., Any]]:
    """``env``, ``parallel_env`` and ``raw_env`` of a market: all that its module ``x_v0`` holds.

    >>> env, parallel_env, raw_env = doors("reference_v0")
    >>> parallel_env(game="first_price").possible_agents
    ['buyer_0', 'buyer_1']
    """
    market_doors = Doors(name)
    return market_doors.env, market_doors.parallel_env, market_doors.raw_env
