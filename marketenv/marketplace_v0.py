"""The whole marketplace: developers buy data of owners, work of centres, and parameters of each
other.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as
keywords, every field of the market's config: ``MarketplaceConfig``. Its page:
docs/environments/marketplace.md.
"""

from marketenv.envs.make import doors

__all__ = ["env", "parallel_env", "raw_env"]
env, parallel_env, raw_env = doors("marketplace_v0")
