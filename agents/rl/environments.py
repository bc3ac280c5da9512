"""What a model trains on: the markets of a config, their scaling, and a fresh model on them."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from marketenv.core.market import Market
from marketenv.envs.make import make_market
from marketenv.envs.sb3 import MarketSB3Env

from . import checkpoint
from .config import TrainConfig
from .evaluation import training_seed, truthful
from .meter import Meter
from .start import imitate


def market_of(config: TrainConfig) -> Market:
    """The market that a config names, on its device."""
    return make_market(config.market, **config.market_arguments(), device=config.device)


def check_discount(config: TrainConfig, market: Market) -> None:
    """Refuse an endless sum that is not discounted, whose value has no bound."""
    if market.cut and config.gamma == 1:
        raise ValueError(
            'gamma is 1 and the market has horizon="cut", wanted gamma < 1: the sum of endless'
            ' rounds has no bound. Give gamma=0.95, for instance, or horizon="end", whose sum is'
            " that of max_cycles rounds."
        )


def environments(config: TrainConfig, market: Market, agent: str, opponents: Any) -> VecNormalize:
    """The markets, what counts them, and the scaling of observations and rewards."""
    if agent == "all" and len(market.roles) > 1:
        names = " and ".join(role.name for role in market.roles)
        raise ValueError(
            f'agent="all" shares one policy, which could not tell a {names} apart; choose one'
            ' agent, one role, or agent="each", which trains a policy for each agent.'
        )
    assert config.num_envs is not None
    counted = Meter(MarketSB3Env(market, config.num_envs, agent, opponents, stages=config.stages))
    return VecNormalize(
        counted, norm_obs=config.normalise, norm_reward=config.normalise_rewards, gamma=config.gamma
    )


def fresh(
    config: TrainConfig, seed: int, build: Any, envs: VecNormalize, market: Market, draws: int
) -> BaseAlgorithm:
    """A new model, which starts as the config says.

    seed:  of the run, for the markets;   draws: for the network and the model's own draws
    """
    model: BaseAlgorithm = build(config, draws, envs)
    envs.seed(training_seed(seed))  # after the model, which names a seed of its own
    if config.start == "truthful":
        imitate(model, envs, truthful(market))
        checkpoint.layers(model)[1].forget()
    return model
