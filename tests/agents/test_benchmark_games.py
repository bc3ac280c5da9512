"""The markets' rules by hand in NumPy, which benchmarks compare with, give the markets' numbers."""

import numpy as np
import pytest

from agents.benchmarks import by_hand
from agents.benchmarks.games import GAMES, truthful_round


@pytest.mark.parametrize("name", GAMES)
def test_rules_by_hand_give_the_numbers_of_the_market(name):
    rules, check = GAMES[name]
    played = truthful_round(name, 300)
    numbers = rules(played)()
    check(played, numbers)
    # some markets trade, so that the numbers are not all 0
    assert np.abs(played.report.rewards.numpy()).max() > 0.1


@pytest.mark.parametrize("name", GAMES)
def test_other_numbers_are_refused(name):
    rules, check = GAMES[name]
    played = truthful_round(name, 2)
    numbers = rules(played)()
    utilities = numbers if isinstance(numbers, np.ndarray) else numbers.utilities
    utilities[1, 1] += 1e-6
    with pytest.raises(AssertionError):
        check(played, numbers)


def test_a_sale_by_hand():
    # K = 100 for client 0, which has one sample, as the two others: a second one is worth
    # 10 - 10 / sqrt(2) = 2.9289, a third one 10 / sqrt(2) - 10 / sqrt(3) = 1.2976. Sellers cost 1.5
    # and 2, so that it buys the first alone, at 2.9289: no surplus; the seller keeps 1.4289
    ones = np.ones((1, 3))
    costs, needs = np.array([[9.0, 1.5, 2.0]]), np.array([[100.0, 0.0, 0.0]])
    utilities = by_hand.sharing(ones, costs, needs, 0.25 * ones, np.zeros((1, 3, 3)))
    np.testing.assert_allclose(utilities, [[-0.25, 1.4289 - 0.25, -0.25]], atol=5e-5)


def test_a_contest_by_hand():
    # contributions 0.5 and 0.25 of quality 1 and 0.8: q = 0.5 and 0.2 share 1.4 as 1.0 and 0.4;
    # gain 2 ln 1.7; fees 0.75, of which centres spend a half and a quarter at costs 1 and 2:
    # work 0.375 and 0.09375 earns 0.6 and 0.15. The second owner would like the first centre too
    contest = by_hand.resources(
        quality=np.array([[1.0, 0.8]]),
        cost=np.array([[1.0, 2.0]]),
        eta=np.array([1.4]),
        share=np.array([[0.5, 0.25]]),
        report=np.array([[1.0, 0.8]]),
        spend=np.array([[0.5, 0.25]]),
        worth=2.0,
    )
    wanted = [[2 * np.log(1.7) - 1.4, 1.0 - 0.5, 0.4 - 0.25, 0.6 - 0.375, 0.15 - 0.1875]]
    np.testing.assert_allclose(contest.utilities, wanted, rtol=1e-12)
    assert contest.centre.tolist() == [[0, 1]]


def test_without_work_nobody_is_matched_or_paid_by_hand():
    numbers = {"quality": np.ones((1, 2)), "cost": np.ones((1, 2)), "eta": np.ones(1)}
    acts = {"share": np.ones((1, 2)), "report": np.ones((1, 2)), "spend": np.zeros((1, 2))}
    contest = by_hand.resources(**numbers, **acts, worth=2.0)
    assert contest.utilities.tolist() == [[0.0] * 5] and contest.centre.tolist() == [[-1, -1]]
