"""Every metric has a worked example whose number has a reason, and bnelearn's tags name real
ones.
"""

import pytest
import torch

import marketenv.metrics
from marketenv.metrics import METRICS, TAGS, Interval


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


TRUTH, TWO = tensor(1, 1, 1, 1), tensor((0, 0, 0, 0), (3, 1, 3, 1))
PENNIES = torch.stack([tensor((1, -1), (-1, 1)), tensor((-1, 1), (1, -1))])
HEADS = tensor(1, 0)
PAID = tensor(((0, 2, 0), (0.5, 0, 1), (0, 0, 0)))  # agents 0 and 1, and an operator that is paid 1

# name: (arguments, what of the result, number, why)
WORKED = {
    "regret": (
        (TWO, TRUTH),
        lambda r: r.mean_lower_bound.mean,
        1.0,
        "gains 2, 0, 2, 0 of the second",
    ),
    "interim_loss": (
        (tensor(0, 0, 1, 1), tensor((2, 2, -1, -1)), 0 * TRUTH, 2),
        lambda r: [loss.mean for loss in r.loss_lower_bounds],
        [2.0, -1.0],
        "the one deviation earns 2 at type 0 and loses 1 at type 1",
    ),
    "ex_ante_loss": (
        (tensor(0, 0, 1, 1), tensor((2, 2, -1, -1)), 0 * TRUTH, 2),
        lambda r: r.mean,
        0.5,
        "half of 2 and -1",
    ),
    "epsilon_equilibrium": (
        ([Interval(0.1, 0.0, 0.2)], 0.2),
        bool,
        True,
        "the upper bound is at most .2",
    ),
    "ir_violation": (
        (tensor((1, -0.5), (-1, 2)),),
        lambda r: r.mean,
        0.375,
        "(0 + .5 + 1 + 0) / 4",
    ),
    "participation": ((tensor((1, 0), (1, 1)).bool(),), lambda r: r.mean, 0.75, "three of four"),
    "budget_balance": ((PAID, 2), float, 1.0, "1 goes to the operator, nothing comes back"),
    "relative_loss": ((tensor(1, 2), tensor(2, 2)), lambda r: r.mean, 0.25, "1 - 1.5 / 2"),
    "strategy_l2": ((tensor(0, 0), tensor(1, 7)), float, 5.0, "root of (1 + 49) / 2"),
    "strategy_linf": ((tensor(0, 0), tensor(1, -7)), float, 7.0, "the larger of 1 and 7"),
    "nash_conv": ((tensor((1, 3), (0, -1)),), lambda r: r.total.mean, 1.5, "2 - 1/2"),
    "bayesian_nash_conv": (
        (PENNIES[:, None, None], tensor([1]), [HEADS[None], HEADS[None]]),
        lambda r: [response.gain for response in r],
        [0.0, 2.0],
        "at heads and heads the second turns -1 into 1",
    ),
    "exploitability": ((tensor(0, 2), PENNIES), float, 1.0, "half of NashConv, 2"),
    "meta_regret": (
        (PENNIES, [HEADS, HEADS]),
        lambda r: [t.tolist() for t in r],
        [[0, -2], [0, 2]],
        "as above",
    ),
    "mean_utilities": (
        (tensor((1, 0), (3, 1)),),
        lambda r: [i.mean for i in r],
        [2.0, 0.5],
        "column means",
    ),
    "total_gain": ((tensor((0.5, 0.5)), tensor((0.75, 1))), lambda r: r.mean, 0.75, "1/4 + 1/2"),
    "efficiency": ((tensor(1, 2), tensor(2, 2)), lambda r: r.mean, 0.75, "3 / 4"),
    "price_of_anarchy": ((4.0, tensor(4, 2)), float, 2.0, "4 / 2"),
    # |differences| sum to 2 (1 + 3 + 2) = 12 over ordered pairs; 12 / (2 * 3 * 4)
    "gini": ((tensor((0, 1, 3)),), float, 0.5, "12 / 24"),
    "revenue": ((PAID, [1]), lambda r: r.mean, 0.5, "2 - .5 - 1"),
    "per_capita": (
        (tensor((1, 3, 9)), tensor((1, 1, 0)).bool()),
        lambda r: r.mean,
        2.0,
        "(1 + 3) / 2",
    ),
    "mean": ((tensor(1, 2, 6),), lambda r: r.mean, 3.0, "9 / 3"),
    "interquartile_mean": ((tensor(1, 2, 3, 100),), lambda r: r.mean, 2.5, "(2 + 3) / 2"),
    "ratio": ((tensor(1, 2), tensor(4, 8)), lambda r: r.mean, 0.25, "3 / 12"),
    "share": ((1, 4), lambda r: r.mean, 0.25, "1 / 4"),
}


def test_every_metric_is_worked():
    assert set(WORKED) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_worked_examples(name):
    arguments, part, expected, why = WORKED[name]
    found = part(METRICS[name](*arguments))
    assert why
    if isinstance(expected, list) and isinstance(expected[0], list):
        assert found == expected
    else:
        assert found == pytest.approx(expected)


def test_every_metric_is_documented_with_an_example():
    for name, metric in METRICS.items():
        words = metric.__doc__
        assert ">>>" in words and ("Raises" in words or "errors" in words), name


def test_tags_name_real_metrics_once():
    assert set(TAGS) <= set(METRICS) and len(set(TAGS.values())) == len(TAGS)
    # the names that bnelearn 2022 writes to its logs
    wanted = {
        "eval/util_loss_ex_ante",
        "eval/util_loss_ex_interim",
        "market/efficiency",
        "market/revenue",
        "market/utilities",
    }
    assert wanted <= set(TAGS.values())


def test_everything_named_can_be_imported():
    assert all(hasattr(marketenv.metrics, name) for name in marketenv.metrics.__all__)
    assert {metric.__name__ for metric in METRICS.values()} <= set(marketenv.metrics.__all__)
