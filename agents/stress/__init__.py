"""Stress tests of any market: searched and learned deviations, judged on seeds that they were not chosen on.

>>> sorted(ATTACKERS)
['cross_entropy', 'grid', 'ppo', 'sac', 'scripted']
"""

from .attack import JUDGE, SELECT, Attack, Curve, curve, seeds_of
from .best_response import BestResponse, Found, best_response
from .deviation import KINDS, Deviation, Family, families, together
from .exact import ExPost, ex_post_regret
from .search import ATTACKERS, Budget, Candidate

__all__ = [
    "ATTACKERS",
    "JUDGE",
    "KINDS",
    "SELECT",
    "Attack",
    "BestResponse",
    "Budget",
    "Candidate",
    "Curve",
    "Deviation",
    "ExPost",
    "Family",
    "Found",
    "best_response",
    "curve",
    "ex_post_regret",
    "families",
    "seeds_of",
    "together",
]
