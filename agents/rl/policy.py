"""From a model of stable-baselines3 to a trained policy, and to its file."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from marketenv.core.market import Market
from marketenv.envs.policy_files import save_policy
from marketenv.envs.trained import PolicyFacts, TrainedPolicy, field_sizes
from marketenv.markets.table import MARKETS

from ..runs import POLICY_FILE
from .config import TrainConfig
from .evaluation import Comparison
from .files import FREE

UNLIMITED = 1e30  # a clip that never clips and that JSON can hold
ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


def learned(model: BaseAlgorithm) -> TrainedPolicy:
    """The policy of a model as it stands: copies of its weights and of its scaling.

    Its actions are those of ``model.predict(x, deterministic=True)`` on scaled observations x.
    """
    envs = model.get_env()
    assert envs is not None
    market, seat = envs.get_attr("market")[0], envs.get_attr("seat")[0]
    parts = _network(model)
    layers = [part for part in parts if isinstance(part, nn.Linear)]
    kinds = [ACTIVATIONS[type(part)] for part in parts if type(part) in ACTIVATIONS]
    mean, var, clip = _scaling(model, seat.observation.dim)
    facts = PolicyFacts(
        market=market.name,
        role=seat.name,
        stages=seat.stages,
        sees=field_sizes(seat.observation),
        does=field_sizes(seat.action),
        network=tuple(layer.out_features for layer in layers[:-1]),
        activation=kinds[0] if kinds else "relu",
        squashed=isinstance(model, SAC),
        clip=clip,
        algorithm=type(model).__name__,
        steps=model.num_timesteps,
        arguments=arguments_of(market),
    )
    weights = tuple((_copy(layer.weight), _copy(layer.bias)) for layer in layers)
    elsewhere, box = envs.get_attr("elsewhere")[0], seat.action
    return TrainedPolicy(facts, weights, mean, var, box.low, box.high, seat, elsewhere)


def _network(model: BaseAlgorithm) -> list[nn.Module]:
    """The parts of the network from observations to mean actions, in order."""
    policy: Any = model.policy
    if isinstance(model, SAC):
        return [*policy.actor.latent_pi, policy.actor.mu]
    return [*policy.mlp_extractor.policy_net, policy.action_net]


def _scaling(model: BaseAlgorithm, width: int) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of the observations, float64 [width] each, and the clip."""
    envs = model.get_vec_normalize_env()
    if not isinstance(envs, VecNormalize) or not envs.norm_obs:
        zeros = torch.zeros(width, dtype=torch.float64)
        return zeros, zeros + 1, UNLIMITED
    statistics: Any = envs.obs_rms
    mean, var = (
        torch.tensor(part, dtype=torch.float64) for part in (statistics.mean, statistics.var)
    )
    return mean, var, float(envs.clip_obs)


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().cpu().clone()


def arguments_of(market: Market) -> dict[str, Any]:
    """A market's arguments that differ from their defaults; none for a market of one's own.

    >>> from marketenv import make_market
    >>> arguments_of(make_market("reference_v0", game="first_price"))
    {'game': 'first_price'}
    """
    if market.name not in MARKETS:
        return {}
    defaults = MARKETS[market.name].config()
    values = {name: (value, getattr(defaults, name)) for name, value in vars(market.config).items()}
    return {
        name: _as_json(value)
        for name, (value, default) in values.items()
        if value != default and name != "device"
    }


def _as_json(value: Any) -> Any:
    """A value where JSON can hold it; the name of any other part."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return getattr(value, "__qualname__", type(value).__qualname__)


def save(
    folder: Path, policy: TrainedPolicy, comparison: Comparison, seed: int, command: str | None
) -> None:
    """Write the policy of a finished run, with what it earns and the command that trained it.

    command: None where no command did
    """
    difference = comparison.difference
    utility = {
        "learned": float(comparison.learned.mean()),
        "truthful": float(comparison.truthful.mean()),
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "pairs": len(comparison.learned),
    }
    facts = dataclasses.replace(policy.facts, utility=utility, seed=seed, command=command)
    save_policy(folder / POLICY_FILE, dataclasses.replace(policy, facts=facts))


def command_of(config: TrainConfig, seed: int) -> str:
    """The command that trains one seed with these settings, every setting written out.

    >>> command_of(TrainConfig(steps=640, network=(8, 8), normalise=False), 3)
    'python scripts/train.py --steps 640 --network 8 8 --no-normalise --seeds 3'
    """
    words = ["python", "scripts/train.py"]
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), field.name.replace("_", "-")
        if field.name in FREE or value == field.default:
            continue
        if isinstance(value, bool):
            words += [f"--{'' if value else 'no-'}{flag}"]
        else:
            parts = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *map(str, parts)]
    return shlex.join([*words, "--seeds", str(seed)])
