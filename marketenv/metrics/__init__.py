"""Floor 3: what a batch of outcomes says. Functions of arrays; they know no environment.

To add a metric, write a function of arrays, name it below, and add a worked row to its test.
"""

from collections.abc import Callable
from typing import Any

from marketenv.metrics.bayesian_games import (
    BayesianResponse,
    bayesian_best_response,
    bayesian_nash_conv,
    joint_prior,
)
from marketenv.metrics.equilibrium import (
    NashConv,
    exploitability,
    meta_regret,
    nash_conv,
    relative_loss,
    strategy_l2,
    strategy_linf,
)
from marketenv.metrics.rationality import budget_balance, ir_violation, participation
from marketenv.metrics.regret import (
    InterimLoss,
    Regret,
    epsilon_equilibrium,
    ex_ante_loss,
    interim_loss,
    regret,
)
from marketenv.metrics.statistics import (
    Interval,
    interquartile_interval,
    interquartile_intervals,
    interquartile_mean,
    least_samples,
    mean_interval,
    mean_intervals,
    paired_difference,
    ratio_interval,
    share_interval,
)
from marketenv.metrics.welfare import (
    efficiency,
    gini,
    mean_utilities,
    per_capita,
    price_of_anarchy,
    revenue,
    total_gain,
)

METRICS: dict[str, Callable[..., Any]] = {
    "regret": regret,
    "interim_loss": interim_loss,
    "ex_ante_loss": ex_ante_loss,
    "epsilon_equilibrium": epsilon_equilibrium,
    "ir_violation": ir_violation,
    "participation": participation,
    "budget_balance": budget_balance,
    "relative_loss": relative_loss,
    "strategy_l2": strategy_l2,
    "strategy_linf": strategy_linf,
    "nash_conv": nash_conv,
    "bayesian_nash_conv": bayesian_nash_conv,
    "exploitability": exploitability,
    "meta_regret": meta_regret,
    "mean_utilities": mean_utilities,
    "total_gain": total_gain,
    "efficiency": efficiency,
    "price_of_anarchy": price_of_anarchy,
    "gini": gini,
    "revenue": revenue,
    "per_capita": per_capita,
    "mean": mean_interval,
    "interquartile_mean": interquartile_interval,
    "ratio": ratio_interval,
    "share": share_interval,
}

TAGS = {  # what bnelearn calls the same thing
    "ex_ante_loss": "eval/util_loss_ex_ante",
    "interim_loss": "eval/util_loss_ex_interim",
    "relative_loss": "eval_vs_bne/epsilon_relative",
    "strategy_l2": "eval_vs_bne/L_2",
    "strategy_linf": "eval_vs_bne/L_inf",
    "mean_utilities": "market/utilities",
    "efficiency": "market/efficiency",
    "revenue": "market/revenue",
    "price_of_anarchy": "market/PoA",
}

__all__ = [
    "METRICS",
    "TAGS",
    "BayesianResponse",
    "InterimLoss",
    "Interval",
    "NashConv",
    "Regret",
    "bayesian_best_response",
    "bayesian_nash_conv",
    "budget_balance",
    "efficiency",
    "epsilon_equilibrium",
    "ex_ante_loss",
    "exploitability",
    "gini",
    "interim_loss",
    "interquartile_interval",
    "interquartile_intervals",
    "interquartile_mean",
    "ir_violation",
    "joint_prior",
    "least_samples",
    "mean_interval",
    "mean_intervals",
    "mean_utilities",
    "meta_regret",
    "nash_conv",
    "paired_difference",
    "participation",
    "per_capita",
    "price_of_anarchy",
    "ratio_interval",
    "regret",
    "relative_loss",
    "revenue",
    "share_interval",
    "strategy_l2",
    "strategy_linf",
    "total_gain",
]
