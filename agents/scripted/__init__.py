"""Scripted strategies, one file a market; ``agents.markets`` has the table of all.

To add one, write ``builder(market) -> policy`` in the market's file, name it in ``STRATEGIES``
there, and add a test ``test_claim_<name>``.
"""

from .strategy import Strategy

__all__ = ["Strategy"]
