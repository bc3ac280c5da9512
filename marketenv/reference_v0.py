"""Reference markets with known equilibria: sealed-bid auctions and the bilateral double auction.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as
keywords, every field of the market's config: ``ReferenceConfig``. Its page:
docs/environments/reference.md.
"""

from marketenv.envs.make import doors

__all__ = ["env", "parallel_env", "raw_env"]
env, parallel_env, raw_env = doors("reference_v0")
