"""Stress tests of any market: searched and learned deviations, judged on seeds that they were not
chosen on.

>>> sorted(ATTACKERS)
['cross_entropy', 'grid', 'ppo', 'sac', 'scripted']
"""

from .attack import JUDGE, SELECT, Attack, Curve, curve, seeds_of
from .best_response import BestResponse, Found, best_response, market_nash_conv
from .deviation import Deviation, Family, Usual, together
from .equilibria import Equilibrium, solve
from .exact import ExPost, ex_post_regret
from .kinds import KINDS, families, lines
from .leaderboard import Row, Standing, leaderboard, standings
from .leaderboard import write as write_leaderboard
from .meta_game import MetaGame, estimate, game_of, regrets
from .psro import PSRO, Iteration, psro
from .scenarios import SCENARIOS, Focal, Scenario, play_policies, play_scenario
from .search import ATTACKERS, Budget, Candidate

__all__ = [
    "ATTACKERS",
    "JUDGE",
    "KINDS",
    "PSRO",
    "SCENARIOS",
    "SELECT",
    "Attack",
    "BestResponse",
    "Budget",
    "Candidate",
    "Curve",
    "Deviation",
    "Equilibrium",
    "ExPost",
    "Family",
    "Focal",
    "Found",
    "Iteration",
    "MetaGame",
    "Row",
    "Scenario",
    "Standing",
    "Usual",
    "best_response",
    "curve",
    "estimate",
    "ex_post_regret",
    "families",
    "game_of",
    "leaderboard",
    "lines",
    "market_nash_conv",
    "play_policies",
    "play_scenario",
    "psro",
    "regrets",
    "seeds_of",
    "solve",
    "standings",
    "together",
    "write_leaderboard",
]
