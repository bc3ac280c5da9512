"""Learning agents: stable-baselines3 on the markets, one algorithm a file.

Install with ``pip install 'marketenv[sb3,scripts]'``.

>>> sorted(ALGORITHMS)
['ppo', 'sac']
"""

try:
    import rich  # noqa: F401
    import stable_baselines3  # noqa: F401
    import tensorboard  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"agents.rl lacks a package ({error}): pip install 'marketenv[sb3,scripts]'"
    ) from None

from ..lineups import LineupResults
from ..runs import load_policy
from .algorithms import ALGORITHMS
from .config import SETTINGS, TrainConfig, key_values
from .evaluation import Comparison, compare, compare_each, evaluation_seeds, training_seed
from .exact import Exact, buyer_payoff, exact_payoff, first_price_gap, price_rule, seller_payoff
from .policy import learned
from .training import check, seed_folder, train

__all__ = [
    "ALGORITHMS",
    "SETTINGS",
    "Comparison",
    "Exact",
    "LineupResults",
    "TrainConfig",
    "buyer_payoff",
    "check",
    "compare",
    "compare_each",
    "evaluation_seeds",
    "exact_payoff",
    "first_price_gap",
    "key_values",
    "learned",
    "load_policy",
    "price_rule",
    "seed_folder",
    "seller_payoff",
    "train",
    "training_seed",
]
