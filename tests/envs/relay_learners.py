"""The relay market for a learner: at every door that steps from one of its moves to the next."""

import numpy as np
import torch
from relay_doors import CARRIER, SELLER, relay
from relay_market import relay_market

from marketenv.envs import MarketVectorEnv, SingleAgentEnv
from marketenv.envs.sb3 import MarketSB3Env

LEARNERS = {  # (agent, stages): its steps of a round
    (SELLER, None): 2,
    ("buyer_0", None): 1,
    ("buyer_1", None): 1,
    (CARRIER, None): 1,
    (SELLER, ("ship",)): 1,
    (SELLER, ("offer",)): 1,
    (SELLER, ("ship", "offer")): 2,
}


def single(agent, stages=None, opponents="truthful", mode=None, levels=None, **config):
    return SingleAgentEnv(relay(levels=levels, mode=mode, **config), agent, opponents, stages)


def vector(agent, n=3, stages=None, opponents="truthful", **config):
    return MarketVectorEnv(relay_market(carriers=1, **config), n, agent, opponents, stages=stages)


def rows(agent, n=3, stages=None, opponents="truthful", levels=None, **config):
    return MarketSB3Env(relay_market(carriers=1, **config), n, agent, opponents, levels, stages)


def sampled(agent, stages, steps):
    """Random actions of a learner, which does not storm out."""
    space = single(agent, stages).action_space
    space.seed(0)
    actions = [space.sample() for _ in range(steps)]
    return [
        np.array([action[0], 1], dtype=np.float32) if agent.startswith("buyer") else action
        for action in actions
    ]


def eager(observation, move, keys):
    """Buys whatever it costs; ships the good for half of the largest fee, or offers it at half
    of the largest price.
    """
    return torch.full((len(observation), move.action.dim), 0.0 if move.action.dim == 1 else 1.0)
