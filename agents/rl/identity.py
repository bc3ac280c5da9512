"""What tells opponents apart in any process: a run is gone on with only against the same ones."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

from marketenv.core.words import plain
from marketenv.envs.opponents import ModelPolicy, load_model

from .policy import LearnedPolicy, load_policy


def identity(part: Any) -> str | None:
    """Words that tell an opponent, or a mapping of them, from any other; None where there are none.

    Names stand for themselves, trained models go by their weights and scaling (so do ``run:folder`` and files), functions of
    a module and dataclasses by name and content. A closure or any other object has no name that means it alone.

    >>> identity({"seller": "random"}), identity(lambda observation, role, keys: observation)
    ("{'seller': 'random'}", None)
    """
    if isinstance(part, str):
        if part.startswith("run:"):
            return identity(load_policy(part.removeprefix("run:")))
        return identity(load_model(part)) if part.endswith(".zip") else part
    if isinstance(part, Mapping):
        told = {name: identity(one) for name, one in part.items()}
        return None if None in told.values() else str(told)
    if hasattr(part, "predict"):
        part = ModelPolicy(part)
    if isinstance(part, LearnedPolicy | ModelPolicy) and hasattr(part.model, "policy"):
        return f"{type(part.model).__name__} {_digest(part)}"
    return f"{part.__module__}: {plain(part)}" if _named(part) else None


def _digest(policy: LearnedPolicy | ModelPolicy) -> str:
    """Hash of the weights and of the scaling; not of files, which hold the time of their writing."""
    found = hashlib.sha256()
    for name, tensor in policy.model.policy.state_dict().items():
        found.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    if isinstance(policy, LearnedPolicy):
        found.update(policy.mean.tobytes() + policy.var.tobytes() + str(policy.clip).encode())
    return found.hexdigest()[:16]


def _named(part: Any) -> bool:
    """Whether ``plain`` tells a part from all others: down to its leaves it is plain data and functions of modules."""
    if part is None or isinstance(part, str | int | float | bool):
        return True
    if isinstance(part, functools.partial):
        return _named((part.func, part.args, part.keywords))
    if isinstance(part, tuple | list | Mapping):
        return all(map(_named, part.values() if isinstance(part, Mapping) else part))
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return all(_named(getattr(part, field.name)) for field in dataclasses.fields(part))
    return (inspect.isfunction(part) or inspect.isbuiltin(part) or isinstance(part, type)) and "<" not in part.__qualname__
