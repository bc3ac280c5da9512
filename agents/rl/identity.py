"""What tells opponents apart in any process: a run is gone on with only against the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from marketenv.core.policy import find_policy
from marketenv.core.words import plain
from marketenv.envs.opponents import ModelPolicy, load_model

from .policy import LearnedPolicy, load_policy


def identity(part: Any) -> str | None:
    """Words that tell an opponent, or a mapping of them, from any other; None where there are none.

    Names stand for themselves, trained models go by their weights and scaling (so do ``run:folder``
    and files), and whatever else by its content (see ``marketenv.core.words.plain``, which also
    says what cannot be compared).

    >>> identity({"seller": "random"})
    "{'seller': 'random'}"
    >>> identity(lambda observation, role, keys: observation) == identity(
    ...     lambda observation, role, keys: -observation
    ... )
    False
    """
    if isinstance(part, str):
        if part.startswith("run:"):
            return identity(load_policy(part.removeprefix("run:")))
        if part.endswith(".zip"):
            return identity(load_model(part))
        # the code behind the name counts
        return identity(find_policy(part, {})) if ":" in part else part
    if isinstance(part, Mapping):
        names = {name: identity(one) for name, one in part.items()}
        return None if None in names.values() else str(names)
    if hasattr(part, "predict"):
        part = ModelPolicy(part)
    if isinstance(part, LearnedPolicy | ModelPolicy) and hasattr(part.model, "policy"):
        return f"{type(part.model).__name__} {_digest(part)}"
    return plain(part)


def _digest(policy: LearnedPolicy | ModelPolicy) -> str:
    """Hash of the weights and the scaling, not of files, which hold the time of writing."""
    digest = hashlib.sha256()
    for name, tensor in policy.model.policy.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    if isinstance(policy, LearnedPolicy):
        digest.update(policy.mean.tobytes() + policy.var.tobytes() + str(policy.clip).encode())
    return digest.hexdigest()[:16]
