"""The data market: a buyer pays private sellers for data; a platform predicts its accuracy.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as
keywords, every field of the market's config: ``DataMarketConfig``. Its page:
docs/environments/data_market.md.
"""

from marketenv.envs.make import doors

__all__ = ["env", "parallel_env", "raw_env"]
env, parallel_env, raw_env = doors("data_market_v0")
