"""What a strategic agent may try in the tripartite game: oracle numbers of its design page, N =
10 and f = 1 unless said.
"""

import math

import pytest
import torch
from data_cases import money

from marketenv.mechanisms import (
    contest,
    contest_response,
    contest_utilities,
    contributions,
    grim_trigger_patience,
    leader_utility,
    stackelberg,
)


def ones(n):
    return torch.ones(1, n).double()


def test_a_leader_that_keeps_its_payment_after_the_delivery_gains_it():
    solved = stackelberg(ones(10), ones(10))
    kept = leader_utility(0 * solved.eta, solved.x.sum(-1))
    # without escrow; with it eta is gone already
    assert float(kept - solved.leader) == pytest.approx(1.3889, abs=5e-5)


def test_a_misreport_of_quality_doubles_the_utility():
    # all .95, one reports 1: .01330 -> .02645; the leader re-solves, and loses on the true data:
    # .5687 -> .5659
    truth = 0.95 * ones(10)
    told = truth.clone()
    told[0, 0] = 1.0
    honest, lied = stackelberg(truth, ones(10)), stackelberg(told, ones(10))
    assert float(honest.owners[0, 0]) == pytest.approx(0.01330, abs=5e-6)
    assert float(lied.owners[0, 0]) == pytest.approx(0.02645, abs=5e-6)
    assert float(honest.leader) == pytest.approx(0.5687, abs=5e-5)
    assert float(leader_utility(lied.eta, (truth * lied.x).sum(-1))) == pytest.approx(
        0.5659, abs=5e-5
    )


def owner_utility(quality, eta):
    q = quality * contributions(eta, quality, 1.0)
    return contest_utilities(eta, 1 / quality, q)[0, 0]


def test_the_elasticity_of_utility_in_reported_quality():
    # d ln U_n / d f = 2 (N - 1)^2 / N = 16.2 at f = 1, N = 10, eta fixed
    eta, h = money([25 / 18]), 1e-5
    more, less = ones(10), ones(10)
    more[0, 0], less[0, 0] = 1 + h, 1 - h
    slope = (owner_utility(more, eta).log() - owner_utility(less, eta).log()) / (2 * h)
    assert float(slope) == pytest.approx(16.2, rel=1e-4)


def test_two_identities_earn_more_than_one():
    # 2 x 1.4 / 121 = .02314 where the leader re-solves; 2 x (25/18) / 121 = .02296 where eta stays
    assert 2 * float(stackelberg(ones(11), ones(11)).owners[0, 0]) == pytest.approx(
        0.02314, abs=5e-6
    )
    assert 2 * float(owner_utility(ones(11), money([25 / 18]))) == pytest.approx(0.02296, abs=5e-6)


def test_owners_who_agree_on_half_the_supply():
    # x5.5; the best defection earns (sqrt(25/18) - sqrt(9/16))^2 = .184; grim trigger holds from
    # delta = .632
    eta, costs = money([25 / 18]), ones(10)
    efforts = contest(eta, costs)
    usual, agreed = (contest_utilities(eta, costs, part * efforts)[0, 0] for part in (1.0, 0.5))
    assert float(agreed / usual) == pytest.approx(5.5, rel=1e-12)
    breach = efforts / 2
    breach[0, 0] = contest_response(eta, costs, efforts / 2)[0, 0]
    defection = contest_utilities(eta, costs, breach)[0, 0]
    assert float(defection) == pytest.approx((math.sqrt(25 / 18) - 0.75) ** 2, rel=1e-12)  # .184
    assert float(grim_trigger_patience(agreed, defection, usual)) == pytest.approx(0.632, abs=5e-4)


def test_centres_who_agree_on_no_work_earn_ten_times_as_much():
    fees, costs = money([1.25]), ones(10)
    work = contest(fees, costs)
    usual, agreed = (
        contest_utilities(fees, costs, work),
        contest_utilities(fees, costs, 1e-12 * work),
    )
    assert float((agreed / usual)[0, 0]) == pytest.approx(10, rel=1e-9)
