"""The environments that every door is tested with: each reference game, and small markets of
parameters and of models.
"""

import gymnasium
import numpy as np

from marketenv import model_sharing_v0, parameter_trading_v0, reference_v0
from marketenv.core.market import Market
from marketenv.learners import Training
from marketenv.markets.reference import Auction, ReferenceConfig, reference

SMALL = {"n_agents": 3, "max_cycles": 3}
# real digits, two steps of training a round: well under a second an episode
LEARNED = SMALL | {"learner_options": {"hidden": (4,)}, "training": Training(steps=2)}
LEARNED |= {"data_options": {"max_examples": 300}}
CASES = {
    "double_auction": (reference_v0, {"game": "double_auction", "max_cycles": 3}),
    "first_price": (reference_v0, {"game": "first_price", "n_buyers": 3, "max_cycles": 3}),
    "second_price": (reference_v0, {"game": "second_price", "reserve": 0.25, "max_cycles": 3}),
    "parameter_trading": (parameter_trading_v0, LEARNED),
    "model_sharing": (model_sharing_v0, LEARNED),
    "model_sharing_drawn": (
        model_sharing_v0,
        SMALL | {"learner": None, "reports": "each_round", "exits": "ir_prob"},
    ),
}
GAMES = [case for case, (module, _) in CASES.items() if module is reference_v0]
# batched matrix products: their rounding depends on the batch
TRAINED = ["parameter_trading", "model_sharing"]


def parallel(case, **more):
    module, config = CASES[case]
    return module.parallel_env(**(config | more))


def name_of(case):
    return CASES[case][0].__name__.rpartition(".")[2]


def auctions(phase=Auction, **config):
    """The reference market with a phase of the test's own in its place."""
    plain = reference(ReferenceConfig(**config))
    kept = {"horizon": plain.horizon, "cut": plain.cut, "name": plain.name, "config": plain.config}
    return Market(plain.people, (phase(plain.config),), **kept)


def seeded_actions(env, draw):
    """Random actions of all agents, from a generator of their own."""
    for agent in env.agents:
        env.action_space(agent).seed(int(draw.integers(2**31)))
    return {agent: env.action_space(agent).sample() for agent in env.agents}


def random_column(space, steps, n, seed=0):
    """Actions [steps, n, ...] of one agent in n markets."""
    many = gymnasium.vector.utils.batch_space(space, n)
    many.seed(seed)
    return np.stack([many.sample() for _ in range(steps)])
