"""The model-sharing market of iPFL: clients train, buy each other's models by a collaboration graph, and pay.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as keywords, every field of the
market's config: ``ModelSharingConfig``. Its page: docs/environments/model_sharing.md.
"""

from __future__ import annotations

from typing import Any

from marketenv.envs.make import make_parallel
from marketenv.envs.parallel import MarketParallelEnv, aec

NAME = "model_sharing_v0"

__all__ = ["env", "parallel_env", "raw_env"]


def parallel_env(**kwargs: Any) -> MarketParallelEnv:
    """The market as a PettingZoo parallel environment; ValueError for an unknown keyword."""
    return make_parallel(NAME, **kwargs)


def raw_env(**kwargs: Any) -> Any:
    """The AEC form without wrappers."""
    return aec(parallel_env(**kwargs), ordered=False)


def env(**kwargs: Any) -> Any:
    """The AEC form with PettingZoo's check of the order of calls."""
    return aec(parallel_env(**kwargs))
