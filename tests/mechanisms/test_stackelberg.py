"""The tripartite game: every golden number of its design, the leader's optimum by brute force,
and what deviations gain.
"""

import math
from functools import partial

import pytest
import torch
from data_cases import money
from hypothesis import given, settings
from hypothesis import strategies as st
from resource_cases import QUALITY, SIGMA, gains_by_efforts, leader_curve, random_games

from marketenv.core import draws
from marketenv.mechanisms import (
    QUALITY_SCALES,
    STACKELBERG_SOLVERS,
    Stackelberg,
    TripartiteGame,
    contest_utilities,
    contributions,
    leader_optimum,
    leader_utility,
    stackelberg,
)

ln = math.log


def ones(n):
    return torch.ones(1, n).double()


# name: (quality, alpha, eta, x, U_s, where they come from); sigma = 1 for all of three centres
WORKED = {
    "sne": (
        [1, 1, 1 / 3],
        10,
        3,
        [0.75, 0.75, 0],
        5 * ln(2.5) - 3,
        "c = 1, 1, 3: K = 1/2, eta = 5 - 2, q = 3/2 (1 - 1/2)",
    ),
    "official_foc": (
        [1, 1, 1 / 3],
        10,
        2.5,
        [0.6, 0.6, -0.6],
        5 * ln(2) - 2.5,
        "K = 2/5, eta = 5 - 5/2, q = 1 (1 - 2 c / 5) = .6, .6, -.2, and x = q / f",
    ),
}


def test_every_solver_has_a_worked_row():
    assert WORKED.keys() == STACKELBERG_SOLVERS.keys()


@pytest.mark.parametrize("solver", WORKED)
def test_worked_rows(solver):
    quality, alpha, eta, x, leader, reason = WORKED[solver]
    solved = stackelberg(money([quality]), ones(3), alpha=alpha, solver=solver)
    assert float(solved.eta) == pytest.approx(eta, rel=1e-14), reason
    assert solved.x[0].tolist() == pytest.approx(x, rel=1e-14, abs=1e-15), reason
    assert float(solved.leader) == pytest.approx(leader, rel=1e-14), reason
    work = sum(x) * 2 / 9  # D = V (M - 1) / M, d = D (1 - D / V)
    assert solved.d[0].tolist() == pytest.approx([work] * 3, rel=1e-14), reason


# --- golden numbers of the design page ------------------------------------------------------------


@pytest.mark.parametrize(
    ("owners", "eta", "leader", "x", "owner"),
    [
        (10, 1.3888889, 0.638437, 0.125, 0.0138889),
        (2, 0.5, 0.0578589, 0.125, 0.125),
        (10**6, 1.5, 0.7907, 1.5e-6, 1.5e-12),
    ],
)
def test_equal_owners(owners, eta, leader, x, owner):
    # U_s at N = 2: 2.5 ln 1.25 - .5; at N -> inf: x -> 1.5 / N, U_n -> 1.5 / N^2
    solved = stackelberg(ones(owners), ones(10))
    assert float(solved.eta) == pytest.approx(eta, abs=5e-6) and float(
        solved.leader
    ) == pytest.approx(leader, abs=5e-5)
    assert solved.x[0, 0].item() == pytest.approx(x, rel=1e-5) and solved.owners[
        0, 0
    ].item() == pytest.approx(owner, rel=1e-5)


def test_ten_equal_owners_and_two_equal_ones_in_closed_form():
    ten, two = stackelberg(ones(10), ones(10)), stackelberg(ones(2), ones(2))
    assert float(ten.eta) == pytest.approx(25 / 18, rel=1e-14) and float(two.eta) == 0.5
    assert float(ten.leader) == pytest.approx(2.5 * ln(2.25) - 25 / 18, rel=1e-13)  # .638437
    assert ten.owners[0].tolist() == pytest.approx([1 / 72] * 10, rel=1e-12)  # eta (1 - K)^2


def test_six_unlike_owners_and_centres():
    solved = stackelberg(QUALITY, SIGMA)
    assert float(solved.eta) == pytest.approx(1.179593, abs=5e-7)
    assert float((QUALITY * solved.x).sum()) == pytest.approx(0.893356, abs=5e-7)
    assert solved.x[0].tolist() == pytest.approx(
        [0.21678, 0.20191, 0.19071, 0.17168, 0.15734, 0], abs=5e-6
    )
    assert solved.owners[0].tolist() == pytest.approx(
        [0.06946, 0.05670, 0.04851, 0.03687, 0.02964, 0], abs=5e-6
    )
    assert solved.d[0].tolist() == pytest.approx([1.75953, 0.58651, 0, 0, 0, 0], abs=5e-6)
    assert float(solved.leader) == pytest.approx(0.416284, abs=5e-7)


def test_two_owners_of_the_authors_saved_results():
    # design page, NIID N = 2: U_s .033802, mean U_n .09749; with eta = 1 throughout -.030586 and
    # .2507
    quality, one = money([[1.0, 0.9]]), money([1.0])
    solved = stackelberg(quality, ones(2))
    assert float(solved.leader) == pytest.approx(0.033802, abs=5e-7)
    assert float(solved.owners.mean()) == pytest.approx(0.09749, abs=5e-6)
    x = contributions(one, quality, 1.0)
    assert float(leader_utility(one, (quality * x).sum(-1))) == pytest.approx(-0.030586, abs=5e-7)
    assert float(contest_utilities(one, 1 / quality, quality * x).mean()) == pytest.approx(
        0.2507, abs=5e-5
    )
    # as the authors compute it
    assert float((one - x.sum(-1)) / 2) == pytest.approx(0.2507, abs=5e-5)


@pytest.mark.parametrize(("owners", "negative"), [(20, 0.11), (60, 0.30)])
def test_the_official_solver_gives_owners_negative_data(owners, negative):
    # design page: 11 % of the owners at N = 20, 30 % at N = 60; noise of sd .1 u, v = 1 - MSE, as
    # in the public code
    noise = 0.1 * draws.uniform(torch.tensor(owners), 2000, owners)
    quality = QUALITY_SCALES["minmax"](1 - noise**2)
    solved = stackelberg(quality, torch.ones_like(quality), solver="official_foc")
    assert float((solved.x < 0).double().mean()) == pytest.approx(negative, abs=0.01)
    right = stackelberg(quality, torch.ones_like(quality))
    assert float(right.x.min()) == 0 and (right.leader >= solved.leader).all()
    # K = (k - 1) / (c_1 + ... + c_k) is largest for the active set, and U_s grows with K


@pytest.mark.parametrize("solver", STACKELBERG_SOLVERS)
@pytest.mark.parametrize("centres", [2, 3, 7])
def test_centres_of_equal_cost_work_and_earn_alike(solver, centres):
    # D = V (M - 1) / (M eps sigma), each an M-th of it, and U_m = V (1 - (M - 1) / M)^2 = V / M^2
    solved = stackelberg(ones(10), 0.3 * ones(centres), eps=2.0, solver=solver)
    fees = 1.25  # ten owners of x = .125
    assert solved.d[0].tolist() == pytest.approx(
        [fees * (centres - 1) / centres**2 / 0.6] * centres, rel=1e-12
    )
    assert solved.centres[0].tolist() == pytest.approx([fees / centres**2] * centres, rel=1e-12)
    # to the bit, so that who is matched does not hang on rounding
    assert len(set(solved.d[0].tolist())) == 1


def test_the_solvers_agree_where_everybody_is_good_enough():
    quality = 0.95 + 0.05 * draws.uniform(torch.tensor(1), 500, 5)
    sne, official = (stackelberg(quality, quality, solver=name) for name in STACKELBERG_SOLVERS)
    assert all(
        torch.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in zip(sne, official, strict=True)
    )


# --- equilibrium ----------------------------------------------------------------------------------


@pytest.mark.parametrize("capped", [False, True])
def test_no_follower_gains_in_ten_thousand_games(capped):
    quality, caps, alpha = random_games(3, 10_000, 6)
    sigma = 0.1 + draws.uniform(torch.tensor(4), 10_000, 4)
    solved = stackelberg(quality, sigma, alpha=alpha, caps=caps if capped else None)
    q, traded = quality * solved.x, solved.eta > 0
    assert 0.3 < float(traded.double().mean()) < 1
    limits = quality * caps if capped else None
    gains = gains_by_efforts(solved.eta, 1 / quality, q, limits)[traded]
    assert float(gains.max()) <= 1e-9 and (not capped or (solved.x <= caps).all())  # to the bit
    assert float(gains_by_efforts(solved.x.sum(-1), sigma, solved.d)[traded].max()) <= 1e-9
    assert (
        not solved.x[~traded].any()
        and not solved.d[~traded].any()
        and not solved.leader[~traded].any()
    )
    assert (
        (solved.leader[traded] > 0).all()
        and (solved.owners >= -1e-15).all()
        and (solved.centres >= -1e-15).all()
    )


@pytest.mark.parametrize("capped", [False, True])
def test_no_other_payment_gains_the_leader(capped):
    quality, caps, alpha = random_games(5, 400, 6)
    limits = caps if capped else None
    eta = leader_optimum(quality, alpha, 0.5, 1.0, limits)
    reached = leader_curve(eta[:, None], quality, alpha, 0.5, 1.0, limits)[:, 0]
    grid = alpha[:, None] / 2 * torch.linspace(0, 1, 201).double()
    near = eta[:, None] * (1 + torch.linspace(-1e-3, 1e-3, 20).double())
    curve = leader_curve(torch.cat([grid, near], -1), quality, alpha, 0.5, 1.0, limits)
    assert float(((curve.amax(-1) - reached) / alpha).max()) <= 1e-12
    assert 0.3 < float((eta > 0).double().mean()) < 1


@pytest.mark.parametrize("owners", [2, 6])
@pytest.mark.parametrize("capped", [False, True])
def test_no_drawn_payment_gains_the_leader_in_ten_thousand_games(capped, owners):
    quality, caps, alpha = random_games(6, 10_000, owners)
    limits = caps if capped else None
    eta = leader_optimum(quality, alpha, 0.5, 1.0, limits)
    # one payment from each fifteenth of [0, alpha k]: more than alpha k ln(1 + sum q) is a loss
    least = torch.arange(15) / 15
    drawn = alpha[:, None] / 2 * (least + draws.uniform(torch.tensor(7), 10_000, 15) / 15)
    # 1 % more and less, by which a wrong optimum is seen that lies between two drawn payments
    curve = leader_curve(
        torch.cat([eta[:, None] * money([[1.0, 0.99, 1.01]]), drawn], -1),
        quality,
        alpha,
        0.5,
        1.0,
        limits,
    )
    gains = (curve[:, 1:] - curve[:, :1]) / (alpha[:, None] / 2)
    assert float(gains.max()) <= 1e-6
    assert 0.2 < float((eta > 0).double().mean()) < 1
    # so that the search is one: other payments lose
    assert float((gains[eta > 0].amax(-1) < 0).double().mean()) > 0.99


# two owners of f = 1 with x <= 1/4, three of f = 1/4 without caps: (alpha k, eta, where it comes
# from)
PEAKS = {
    "the low peak": (
        10,
        1.0,
        "both good owners reach .25 at P = Q^2 / (Q - .25) = 1, and 10 ln 1.5 - 1 = 3.05 > 2.22",
    ),
    "the high peak": (
        20,
        12.828063,
        "20 ln 1.5 - 1 = 7.11 < 11.44; with m = 3, C = 12, K = .5: P = 12 Q^2 / (2 Q + .5)",
    ),
}


@pytest.mark.parametrize("name", PEAKS)
def test_the_leader_finds_the_higher_of_two_peaks(name):
    worth, eta, reason = PEAKS[name]
    quality, caps = money([[1, 1, 0.25, 0.25, 0.25]]), money([[0.25, 0.25, 100, 100, 100]])
    assert float(leader_optimum(quality, 2 * worth, 0.5, 1.0, caps)) == pytest.approx(
        eta, abs=5e-7
    ), reason
    curve = leader_curve(
        torch.linspace(0, worth, 2001).double()[None], quality, 2.0 * worth, 0.5, 1.0, caps
    )[0]
    peaks = (curve[1:-1] > curve[:-2]) & (curve[1:-1] >= curve[2:])
    assert int(peaks.sum()) == 2, "one peak would be no test of a global search"


def test_with_the_followers_held_fixed_no_payment_is_an_equilibrium():
    # the paper's printed definition: eta = 0 for the same data gains eta*
    solved = stackelberg(QUALITY, SIGMA)
    nothing = leader_utility(0 * solved.eta, (QUALITY * solved.x).sum(-1))
    assert (
        float(nothing - solved.leader) == pytest.approx(float(solved.eta), rel=1e-12)
        and float(solved.eta) > 1
    )


@settings(max_examples=40)
@given(
    quality=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    caps=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    terms=st.lists(st.floats(0.2, 5), min_size=5, max_size=5),
    sigma=st.lists(st.floats(0.1, 2), min_size=1, max_size=4),
)
def test_money_adds_up_and_caps_are_kept_for_all_terms(quality, caps, terms, sigma):
    alpha, k, lam, rho, eps = terms
    quality, caps = money([quality]), money([caps[: len(quality)]])
    solved = stackelberg(quality, money([sigma]), 5 * alpha, k, lam, rho, eps, caps)
    assert all(part.isfinite().all() for part in solved) and (solved.x <= caps).all()  # to the bit
    fees, cost = lam * rho * float(solved.x.sum()), eps * float((money([sigma]) * solved.d).sum())
    assert float(solved.owners.sum()) == pytest.approx(float(solved.eta) - fees, abs=1e-9)
    assert float(solved.centres.sum()) == pytest.approx(fees - cost, abs=1e-9)
    total = float((quality * solved.x).sum())
    assert float(solved.leader) == pytest.approx(
        5 * alpha * k * math.log1p(total) - float(solved.eta), abs=1e-9
    )
    wide = stackelberg(
        quality, money([sigma]), 5 * alpha, k, lam, rho, eps, torch.full_like(quality, 1e9)
    )
    free = stackelberg(quality, money([sigma]), 5 * alpha, k, lam, rho, eps)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(wide, free, strict=True))


def test_terms_may_differ_between_markets():
    quality, caps, alpha = random_games(8, 20, 4)
    together = stackelberg(quality, quality, alpha, lam=0.1 * alpha, caps=caps)
    for m in range(20):
        one, a = slice(m, m + 1), float(alpha[m])
        alone = stackelberg(quality[one], quality[one], a, lam=0.1 * a, caps=caps[one])
        assert all(
            torch.allclose(x[one], y, rtol=1e-12, atol=1e-15)
            for x, y in zip(together, alone, strict=True)
        )


@pytest.mark.parametrize("solver", STACKELBERG_SOLVERS)
@pytest.mark.parametrize(("owners", "centres"), [(0, 3), (1, 3), (3, 0), (3, 1), (0, 0)])
def test_with_fewer_than_two_of_a_side_there_is_no_trade(solver, owners, centres):
    solved = stackelberg(
        torch.ones(2, owners).double(), torch.ones(2, centres).double(), solver=solver
    )
    assert (
        solved.x.shape == (2, owners)
        and solved.d.shape == (2, centres)
        and solved.eta.shape == (2,)
    )
    assert not any(part.any() for part in solved)


def test_owners_of_no_quality_and_centres_of_infinite_cost_take_no_part():
    few = stackelberg(QUALITY, SIGMA)
    quality, sigma = (
        torch.nn.functional.pad(QUALITY, (1, 0)),
        torch.nn.functional.pad(SIGMA, (0, 1), value=math.inf),
    )
    for caps in (None, torch.full_like(quality, math.inf)):
        more = stackelberg(quality, sigma, caps=caps)
        assert torch.allclose(more.x[:, 1:], few.x, rtol=1e-12) and torch.allclose(
            more.d[:, :-1], few.d, rtol=1e-12
        )
        assert (
            not more.x[:, 0].any() and not more.owners[:, 0].any() and not more.centres[:, -1].any()
        )
    assert float(stackelberg(money([[1.0, 0.0]]), ones(2), caps=money([[math.inf] * 2])).eta) == 0


# --- parts, and refusals --------------------------------------------------------------------------


def test_a_solver_of_ones_own():
    def generous(game: TripartiteGame) -> Stackelberg:
        solved = STACKELBERG_SOLVERS["sne"](game)
        return solved._replace(eta=solved.eta + 1)

    assert float(stackelberg(QUALITY, SIGMA, solver=generous).eta) == pytest.approx(
        2.179593, abs=5e-7
    )


BAD = {
    "solver returned None, wanted Stackelberg\\(eta, x, d,": partial(
        stackelberg, QUALITY, SIGMA, solver=lambda game: None
    ),
    "no solver 'snee'. Did you mean 'sne'\\?": partial(stackelberg, QUALITY, SIGMA, solver="snee"),
    "solver is 3, wanted a name \\(sne, official_foc\\) or a callable": partial(
        stackelberg, QUALITY, SIGMA, solver=3
    ),
    "caps are given, and official_foc knows none": partial(
        stackelberg, QUALITY, SIGMA, caps=QUALITY, solver="official_foc"
    ),
    "alpha is 0, wanted a finite number > 0": partial(stackelberg, QUALITY, SIGMA, alpha=0),
    "k is nan, wanted a finite number > 0": partial(stackelberg, QUALITY, SIGMA, k=math.nan),
    "rho has shape \\[2\\]; wanted one number, or \\[1\\]": partial(
        stackelberg, QUALITY, SIGMA, rho=torch.ones(2).double()
    ),
    "lam is torch.float32": partial(stackelberg, QUALITY, SIGMA, lam=torch.ones(1)),
    "eps -1 at index \\[0\\]; wanted a finite number > 0": partial(
        stackelberg, QUALITY, SIGMA, eps=-torch.ones(1).double()
    ),
    "quality -1 at index \\[0, 0\\]; wanted a finite number >= 0": partial(
        stackelberg, -ones(2), SIGMA
    ),
    "quality inf at index": partial(stackelberg, math.inf * ones(2), SIGMA),
    "quality \\[1, 6\\] and caps \\[1, 2\\] do not fit": partial(
        leader_optimum, QUALITY, 5.0, 0.5, 1.0, ones(2)
    ),
    "cap -1 at index": partial(leader_optimum, QUALITY, 5.0, 0.5, 1.0, -ones(6)),
    "cost is 0.0, wanted a finite number > 0": partial(
        contributions, torch.ones(1).double(), QUALITY, 0.0
    ),
    "sigma \\[2, 2\\] does not fit quality \\[1, 6\\]": partial(
        stackelberg, QUALITY, torch.ones(2, 2).double()
    ),
    "sigma 0 at index \\[0, 1\\]; wanted a cost > 0": partial(
        stackelberg, QUALITY, money([[1.0, 0.0]])
    ),
    "sigma is torch.float32": partial(stackelberg, QUALITY, SIGMA.float()),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", BAD)
def test_what_is_no_game_is_refused(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
