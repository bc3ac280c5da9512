"""The parameter market of Train 'n Trade: agents train, buy each other's parameters, and pay.

``parallel_env``, ``env`` (AEC) and ``raw_env`` take ``render_mode``, ``action_levels`` and, as
keywords, every field of the market's config: ``ParameterTradingConfig``. Its page:
docs/environments/parameter_trading.md.
"""

from marketenv.envs.make import doors

__all__ = ["env", "parallel_env", "raw_env"]
env, parallel_env, raw_env = doors("parameter_trading_v0")
