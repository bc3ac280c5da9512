"""The model-sharing market of iPFL: clients train, and buy each other's models along a graph.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as
keywords, every field of the market's config: ``ModelSharingConfig``. Its page:
docs/environments/model_sharing.md.
"""

from marketenv.envs.make import doors

__all__ = ["env", "parallel_env", "raw_env"]
env, parallel_env, raw_env = doors("model_sharing_v0")
