"""Floor 4, the doors: PettingZoo (parallel, AEC), Gymnasium (single, vector), stable-baselines3."""

from marketenv.envs.agent_by_agent import aec
from marketenv.envs.make import (
    MARKETS,
    make_aec,
    make_market,
    make_parallel,
    make_sb3,
    make_single,
    make_vec,
)
from marketenv.envs.parallel import MarketParallelEnv
from marketenv.envs.single_agent import SingleAgentEnv
from marketenv.envs.vector import MarketVectorEnv

__all__ = [
    "MARKETS",
    "MarketParallelEnv",
    "MarketVectorEnv",
    "SingleAgentEnv",
    "aec",
    "make_aec",
    "make_market",
    "make_parallel",
    "make_sb3",
    "make_single",
    "make_vec",
]
