"""Exact best responses against games solved by hand and against trying every plan."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.metrics import bayesian_best_response, bayesian_nash_conv, joint_prior, meta_regret

ROCK_PAPER_SCISSORS = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)
PRISONERS = torch.tensor([[3, 0], [5, 1]], dtype=torch.float64)  # rows: cooperate, defect


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def symmetric(rows):
    """Both players' payoffs of a symmetric game with one type each: [2, 1, 1, A, A]."""
    return torch.stack([rows, rows.T])[:, None, None]


def gains(payoffs, prior, policies, legal=None):
    return [response.gain for response in bayesian_nash_conv(payoffs, prior, policies, legal)]


@pytest.mark.parametrize(
    ("rows", "mine", "other", "expected"),
    [
        # the equilibrium
        (ROCK_PAPER_SCISSORS, (1 / 3, 1 / 3, 1 / 3), (1 / 3, 1 / 3, 1 / 3), (0, 0)),
        (ROCK_PAPER_SCISSORS, (1, 0, 0), (1, 0, 0), (1, 1)),  # paper beats rock
        # all earn 0 against the mix; paper earns 1 against rock
        (ROCK_PAPER_SCISSORS, (1, 0, 0), (1 / 3, 1 / 3, 1 / 3), (0, 1)),
        (PRISONERS, (0, 1), (0, 1), (0, 0)),  # both defect: cooperating earns 0, not 1
        (PRISONERS, (1, 0), (1, 0), (2, 2)),  # defecting earns 5, not 3
        # the sucker's 0 becomes 1; the other already has its best, 5
        (PRISONERS, (1, 0), (0, 1), (1, 0)),
    ],
)
def test_games_solved_by_hand(rows, mine, other, expected):
    one = torch.ones(1, 1, dtype=torch.float64)
    assert gains(symmetric(rows), one, [tensor(mine), tensor(other)]) == pytest.approx(
        list(expected)
    )
    regrets = meta_regret(symmetric(rows)[:, 0, 0], [tensor(*mine), tensor(*other)])
    # one type: the same question
    assert [float(regret.max()) for regret in regrets] == pytest.approx(list(expected))


def first_price(top):
    """Two bidders, values 1..top equally likely, bids 0..v-1, ties broken at random: payoffs,
    prior, legal.
    """
    v, b = torch.arange(1, top + 1).double(), torch.arange(top).double()
    margin = v[:, None, None, None] - b[None, None, :, None]  # [T_1, T_2, A_1, A_2]
    mine, other = b[:, None], b[None]
    wins = (mine > other).double() + (mine == other) / 2
    first = (margin * wins).expand(top, top, top, top)
    legal = b < v[:, None]
    uniform = torch.full((top,), 1 / top, dtype=torch.float64)
    return (
        torch.stack([first, first.permute(1, 0, 3, 2)]),
        joint_prior([uniform, uniform]),
        [legal, legal],
    )


def pure(top, bids):
    return torch.nn.functional.one_hot(torch.tensor(bids), top).double()


@pytest.mark.parametrize(
    ("top", "mine", "other", "expected"),
    [
        # value 2 bids 0 against 0: half of 2; bid 1 always wins 1: no better
        (2, (0, 0), (0, 0), (0, 0)),
        # against (0, 1), value 2 earns 2/2 * 1/2 = 1/2 by bidding 0, and 1/2 + 1/4 by bidding 1:
        # 1/4 more, half of the time; the other earns 1 by bidding 1 and 2/2 by bidding 0: no better
        (2, (0, 0), (0, 1), (1 / 8, 0)),
        (2, (0, 1), (0, 1), (0, 0)),
        # all bid 0: value 3 earns 3/2, or 2 by bidding 1: 1/2 more, a third of the time; value 2
        # earns 1 either way
        (3, (0, 0, 0), (0, 0, 0), (1 / 6, 1 / 6)),
        # all bid v - 1: value 3 earns (1 + 1 + 1/2) / 3 by bidding 2, and (2 + 2/2) / 3 = 1 by
        # bidding 1: 1/6 more, a third of the time; value 2 earns (1 + 1/2) / 3 by bidding 1 and
        # (2/2) / 3 by bidding 0
        (3, (0, 1, 2), (0, 1, 2), (1 / 18, 1 / 18)),
    ],
)
def test_discretised_first_price_auction(top, mine, other, expected):
    payoffs, prior, legal = first_price(top)
    assert gains(payoffs, prior, [pure(top, mine), pure(top, other)], legal) == pytest.approx(
        list(expected)
    )


def test_the_response_says_what_to_do():
    payoffs, prior, legal = first_price(3)
    found = bayesian_best_response(
        payoffs, prior, [pure(3, (0, 1, 2)), pure(3, (0, 1, 2))], 0, legal
    )
    assert torch.equal(found.policy, pure(3, (0, 1, 1)))  # as worked above
    assert found.interim_gain.tolist() == pytest.approx([0, 0, 1 / 6])
    # values 1, 2, 3 earn 1/2 * 1/3, 1/2, 5/6 by bidding v - 1
    assert found.value == pytest.approx((1 / 6 + 1 / 2 + 5 / 6) / 3)


def test_a_type_may_tell_of_the_others():
    """Equal types always: guessing the other's action, which is its type, succeeds at once by
    playing the own type.
    """
    payoff = torch.eye(2, dtype=torch.float64).expand(2, 2, 2, 2)  # 1 where the actions agree
    follow, zero = torch.eye(2, dtype=torch.float64), tensor((1, 0), (1, 0))
    correlated, independent = (
        torch.eye(2, dtype=torch.float64) / 2,
        torch.full((2, 2), 0.25, dtype=torch.float64),
    )
    both = torch.stack([payoff, payoff])
    # from every other time to always
    assert gains(both, correlated, [zero, follow]) == pytest.approx([1 / 2, 1 / 2])
    # the own type says nothing of the other
    assert gains(both, independent, [zero, follow]) == pytest.approx([0, 1 / 2])


def test_impossible_types_gain_nothing():
    payoff = torch.eye(2, dtype=torch.float64).expand(2, 1, 2, 2)
    never = tensor((1, 0), (1, 0))
    found = bayesian_best_response(
        torch.stack([payoff, payoff]), tensor([1.0], [0.0]), [never, tensor([0.0, 1.0])], player=0
    )
    assert found.interim_gain.tolist() == [1.0, 0.0] and found.gain == 1.0


# --- properties -----------------------------------------------------------------------------------


def normalised(tensor):
    return tensor / tensor.sum(-1, keepdim=True)


def random_game(seed, types, actions):
    keys = [
        draws.fold(torch.tensor(seed), purpose)
        for purpose in ("payoff", "prior", "policy", "legal")
    ]
    payoffs = draws.normal(keys[0], len(types), *types, *actions)
    prior = normalised(draws.uniform(keys[1], torch.Size(types).numel())).reshape(types)
    legal = [
        draws.uniform(draws.fold(keys[3], i), t, a) < 0.7
        for i, (t, a) in enumerate(zip(types, actions, strict=True))
    ]
    for mask in legal:
        mask[:, 0] = True
    policies = [
        normalised(draws.uniform(draws.fold(keys[2], i), *mask.shape) * mask)
        for i, mask in enumerate(legal)
    ]
    return payoffs, prior, policies, legal


def expected_payoff(payoff, prior, policies):
    """Sum over every combination of types and actions, one by one."""
    total = 0.0
    for types in itertools.product(*(range(len(p)) for p in policies)):
        for actions in itertools.product(*(range(p.shape[1]) for p in policies)):
            chance = prior[types]
            for policy, t, a in zip(policies, types, actions, strict=True):
                chance = chance * policy[t, a]
            total += float(chance * payoff[(*types, *actions)])
    return total


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**40),
    shape=st.sampled_from([((2, 2), (2, 3)), ((3, 1), (2, 2)), ((2, 1, 2), (2, 2, 2))]),
)
def test_no_plan_beats_the_best_response(seed, shape):
    """Every map from own types to legal actions, played out cell by cell."""
    payoffs, prior, policies, legal = random_game(seed, *shape)
    for player, found in enumerate(bayesian_nash_conv(payoffs, prior, policies, legal)):
        before = expected_payoff(payoffs[player], prior, policies)
        plans = itertools.product(*(mask.nonzero()[:, 0].tolist() for mask in legal[player]))
        best = -float("inf")
        for plan in plans:
            played = torch.nn.functional.one_hot(
                torch.tensor(plan), legal[player].shape[1]
            ).double()
            best = max(
                best,
                expected_payoff(
                    payoffs[player], prior, [*policies[:player], played, *policies[player + 1 :]]
                ),
            )
        assert (
            found.value == pytest.approx(before)
            and found.gain == pytest.approx(best - before)
            and found.gain >= 0
        )
        after = expected_payoff(
            payoffs[player], prior, [*policies[:player], found.policy, *policies[player + 1 :]]
        )
        assert after == pytest.approx(best)
        chance = prior.movedim(player, 0).flatten(1).sum(1)
        assert float(found.interim_gain @ chance) == pytest.approx(found.gain)


# --- errors ---------------------------------------------------------------------------------------

ONE, HALF = torch.ones(1, 1, dtype=torch.float64), tensor([0.5, 0.5])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"policies": [HALF, tensor([0.5, 0.4, 0.1])]}, "want payoffs"),
        ({"prior": torch.full((1, 2), 0.5, dtype=torch.float64)}, "prior"),
        ({"prior": ONE / 2}, "prior is no distribution"),
        ({"policies": [HALF, tensor([0.5, 0.6])]}, "policy 1 is no distribution"),
        ({"policies": [HALF, tensor([1.5, -0.5])]}, "policy 1 is no distribution"),
        (
            {"legal": [tensor([True, True]).bool(), tensor([True, False]).bool()]},
            "policy 1 is no distribution over legal",
        ),
        ({"legal": [tensor([True, True]).bool(), tensor([False, False]).bool()]}, "legal"),
        ({"legal": [tensor([True, True]).bool()]}, "legal"),
        ({"payoffs": symmetric(PRISONERS) * float("nan")}, "not finite"),
        ({"player": 2}, "player is 2"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    game = {
        "payoffs": symmetric(PRISONERS),
        "prior": ONE,
        "policies": [HALF, HALF],
        "player": 0,
        "legal": None,
    }
    with pytest.raises(ValueError, match=message):
        bayesian_best_response(**game | changed)
