"""What tells opponents apart in any process: a run is gone on with only against the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from marketenv.core.policy import find_policy
from marketenv.core.words import plain
from marketenv.envs.opponents import ModelPolicy, load_model
from marketenv.envs.trained import TrainedPolicy

from ..runs import is_learned, load_learned


def identity(part: Any) -> str | None:
    """Words that tell an opponent, or a mapping of them, from any other; None where there are none.

    Names stand for themselves, trained policies and models go by their numbers (so do
    ``run:folder``, ``trained:name`` and files), and whatever else by its content (see
    ``marketenv.core.words.plain``, which also says what cannot be compared).

    >>> identity({"seller": "random"})
    "{'seller': 'random'}"
    >>> identity(lambda observation, role, keys: observation) == identity(
    ...     lambda observation, role, keys: -observation
    ... )
    False
    """
    if isinstance(part, str):
        if is_learned(part):
            return identity(load_learned(part))
        if part.endswith(".zip"):
            return identity(load_model(part))
        # the code behind the name counts
        return identity(find_policy(part, {})) if ":" in part else part
    if isinstance(part, Mapping):
        names = {name: identity(one) for name, one in part.items()}
        return None if None in names.values() else str(names)
    if hasattr(part, "predict"):
        part = ModelPolicy(part)
    if isinstance(part, TrainedPolicy):
        facts = part.facts
        scaling = {"clip": torch.tensor(facts.clip, dtype=torch.float64)}
        place = f"{facts.role} {' '.join(facts.stages)}"
        return f"{facts.algorithm} {place} {_digest(part.tensors() | scaling)}"
    if isinstance(part, ModelPolicy) and hasattr(part.model, "policy"):
        return f"{type(part.model).__name__} {_digest(part.model.policy.state_dict())}"
    return plain(part)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash of the numbers of a policy, not of its file, which holds more facts."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
