"""Stress tests of any market: deviations that are searched or learned, and judged on fresh seeds.

>>> sorted(ATTACKERS)
['cross_entropy', 'grid', 'ppo', 'sac', 'scripted']
"""

from ..scenarios import SCENARIOS, Scenario
from .attack import JUDGE, SELECT, Attack, seeds_of
from .best_response import BestDeviation, BestResponse, best_response, market_nash_conv
from .curves import Curve, curve
from .deviation import Deviation, Family, Usual, together
from .equilibria import Equilibrium, solve
from .estimation import estimate
from .exact import ExPost, ex_post_regret
from .kinds import KINDS, families, lines
from .leaderboard import RankedPolicy, ScenarioResult, leaderboard, standings
from .leaderboard import write as write_leaderboard
from .meta_game import MetaGame, game_of, regrets
from .psro import PSRO, Iteration, psro
from .scenarios import Focal, play_policies, play_scenario
from .search import ATTACKERS, Budget, Candidate

__all__ = [
    "ATTACKERS",
    "JUDGE",
    "KINDS",
    "PSRO",
    "SCENARIOS",
    "SELECT",
    "Attack",
    "BestDeviation",
    "BestResponse",
    "Budget",
    "Candidate",
    "Curve",
    "Deviation",
    "Equilibrium",
    "ExPost",
    "Family",
    "Focal",
    "Iteration",
    "MetaGame",
    "RankedPolicy",
    "Scenario",
    "ScenarioResult",
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
