"""The resource market: a leader pays for data, owners contest its payment, and computing centres
contest the owners' fees.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as
keywords, every field of the market's config: ``ResourceMarketConfig``. Its page:
docs/environments/resource_market.md.
"""

from marketenv.envs.make import doors

__all__ = ["env", "parallel_env", "raw_env"]
env, parallel_env, raw_env = doors("resource_market_v0")
