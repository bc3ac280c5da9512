"""Files of trained policies: tensors and facts as safetensors, no pickle, no stable-baselines3.

The package ships some: ``opponents="trained:parameter_trading/ppo_buyer"`` plays one by its name,
and ``"trained:path/to/file.safetensors"`` plays a file of one's own.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marketenv.core import storage
from marketenv.core.lookup import unknown
from marketenv.core.market import Market
from marketenv.core.numbers import finite
from marketenv.envs.trained import PolicyFacts, TrainedPolicy

FORMAT = "marketenv-policy-1"  # with the version of the format
PREFIX, SUFFIX = "trained:", ".safetensors"
FOLDER = Path(__file__).resolve().parents[1] / "trained"  # what the package ships
REWRITE = "Use the file as save_policy wrote it, or train the policy anew."


def shipped(market: str | None = None) -> dict[str, Path]:
    """The files of the policies that the package ships, by name.

    market: the market whose policies are wanted, for instance reference_v0; None: all

    >>> "parameter_trading/ppo_buyer" in shipped("parameter_trading_v0")
    True
    """
    files = sorted(FOLDER.glob(f"*/*{SUFFIX}"))
    folder = None if market is None else market.rpartition("_v")[0]
    return {
        f"{file.parent.name}/{file.stem}": file
        for file in files
        if folder in (None, file.parent.name)
    }


def save_policy(file: str | Path, policy: TrainedPolicy) -> None:
    """Write a policy with its facts; an error leaves the file as it was."""
    storage.write(file, policy.tensors(), dataclasses.asdict(policy.facts), FORMAT)


def load_trained(name: str | Path, market: Market | None = None) -> TrainedPolicy:
    """Read a policy, by the name of one that the package ships or from a file.

    market: that it shall play; only a policy of one of several stages needs it

    Raises ValueError for an unknown name, with its neighbour; for a damaged, incomplete or foreign
    file; and for a policy of another market.

    >>> load_trained("parameter_trading/ppo_buyer").facts.role
    'trader'
    """
    about, tensors = storage.read(_file(str(name)), FORMAT)
    try:
        policy = _policy(about, tensors)
        return policy if market is None else policy.at(market)
    except ValueError as error:
        raise ValueError(f"cannot play the trained policy {name}: {error}") from error


def _file(name: str) -> Path:
    """The file of a name; a name with the suffix is a path."""
    known = shipped()
    if name.endswith(SUFFIX):
        return Path(name)
    if name not in known:
        raise unknown("trained policy", name, known, f" Or give a file: path/to/file{SUFFIX}.")
    return known[name]


def _policy(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TrainedPolicy:
    """The policy of a file's contents; ValueError for contents that make none."""
    names = {one.name for one in dataclasses.fields(PolicyFacts)}
    _same("facts", about.keys(), names)
    facts = PolicyFacts(**about)
    _check_tensors(facts, tensors)
    count = len(facts.widths) - 1
    layers = tuple((tensors[f"weight_{k}"], tensors[f"bias_{k}"]) for k in range(count))
    mean, var, low, high = (tensors[name] for name in ("mean", "var", "low", "high"))
    return TrainedPolicy(facts, layers, mean, var, low, high)


def _check_tensors(facts: PolicyFacts, tensors: Mapping[str, Tensor]) -> None:
    """Refuse missing and other tensors, sizes that do not fit, and numbers that are not finite."""
    kinds = _kinds(facts.widths)
    _same("tensors", tensors.keys(), kinds.keys())
    for name, tensor in tensors.items():
        came = tensor.dtype, list(tensor.shape)
        if came != kinds[name]:
            raise ValueError(f"{name} is {_kind(*came)}, wanted {_kind(*kinds[name])}. {REWRITE}")
        if not finite(tensor, 0.0 if name == "var" else -torch.inf):
            sign = " and at least 0" if name == "var" else ""
            raise ValueError(f"{name} is {tensor.tolist()}, wanted finite numbers{sign}. {REWRITE}")
    if bool((tensors["low"] > tensors["high"]).any()):
        low, high = tensors["low"].tolist(), tensors["high"].tolist()
        raise ValueError(f"low is {low} and high {high}, wanted low <= high. {REWRITE}")


def _kinds(widths: tuple[int, ...]) -> dict[str, tuple[torch.dtype, list[int]]]:
    """Type and shape of every tensor of a policy whose layers have these widths."""
    kinds = {name: (torch.float64, [widths[0]]) for name in ("mean", "var")}
    kinds |= {name: (torch.float32, [widths[-1]]) for name in ("low", "high")}
    for k, (width, following) in enumerate(itertools.pairwise(widths)):
        kinds[f"weight_{k}"] = torch.float32, [following, width]
        kinds[f"bias_{k}"] = torch.float32, [following]
    return kinds


def _kind(dtype: torch.dtype, shape: list[int]) -> str:
    return f"{str(dtype).removeprefix('torch.')} {shape}"


def _same(kind: str, names: Any, wanted: Any) -> None:
    """Refuse other names than the wanted ones."""
    if set(names) != set(wanted):
        missing, others = sorted(set(wanted) - set(names)), sorted(set(names) - set(wanted))
        raise ValueError(
            f"its {kind} lack {', '.join(missing) or 'nothing'} and have too much:"
            f" {', '.join(others) or 'nothing'}. {REWRITE}"
        )
