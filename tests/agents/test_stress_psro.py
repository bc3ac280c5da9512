"""The loop of best responses ends where theory says, says why it ended, and can go on."""

import json

import pytest
import torch
from matrix_market import PRISONERS_DILEMMA, ROCK_PAPER_SCISSORS, Constant, constants, matrix_game

from agents.lineups import MixedStrategy
from agents.stress.best_response import BestDeviation
from agents.stress.deviation import Deviation
from agents.stress.kinds import families
from agents.stress.psro import _gains, _same, profile_of, psro
from agents.stress.search import Budget
from marketenv import make_market
from marketenv.core.market import agent_names

# payoffs without noise; 256 seeds, for all gains are one value
EXACT = Budget(select=4, judge=256, points=13)
# mixtures are drawn, so gains against them have noise: sd 1.2 / 32 = .04
MIXED = Budget(select=256, judge=1024, points=13)
COARSE = Budget(select=1024, judge=1024)


def moves(policy, of):
    """The strategy of a matrix game that a policy plays."""
    role = matrix_game(PRISONERS_DILEMMA).moves[0]
    seen = torch.zeros(1, 1)
    share = role.read(seen, policy(seen, role, torch.zeros(1).long()))["move"]
    return min(int(float(share) * of), of - 1)


def test_prisoners_learn_to_defect():
    """From cooperation: defecting gains 5 - 3 = 2; when both defect (1 each) nothing gains:
    cooperation loses 1 - 0.
    """
    market = matrix_game(PRISONERS_DILEMMA)
    found = psro(
        market,
        {"player": {"cooperate": Constant(0, 2)}},
        eps=1e-6,
        attackers=("grid",),
        budget=EXACT,
        pairs=4,
        iterations=2,
    )
    first, last = found.history
    # 0: another way to defect
    assert first.gains["player"].mean == 2.0 and last.gains["player"].mean in (0.0, -1.0)
    assert last.added == {} and (found.stopped == "converged") == (
        last.gains["player"].mean == -1.0
    )
    assert last.equilibrium.value == {"player": 1.0}
    assert [moves(policy, 2) for policy in found.profile["player_0"].policies] == [1]


@pytest.mark.parametrize("roles", [None, {"row": 1, "column": 1}])
def test_rock_finds_paper_and_scissors(roles):
    """Each best response beats what is there, by 1; with all three in, a third each leaves
    nothing to gain.
    """
    market = matrix_game(ROCK_PAPER_SCISSORS, roles)
    start = {role.name: {"rock": Constant(0, 3)} for role in market.roles}
    found = psro(market, start, eps=0.2, attackers=("grid",), budget=MIXED, pairs=4)
    assert found.stopped == "converged" and len(found.history) == 3
    assert all(gain.mean == 1.0 for gain in found.history[0].gains.values())
    for agent in agent_names(market):
        mixture = found.profile[agent]
        weights = dict.fromkeys(range(3), 0.0)
        for policy, weight in zip(mixture.policies, mixture.weights, strict=True):
            weights[moves(policy, 3)] += weight
        assert list(weights.values()) == pytest.approx([1 / 3] * 3, abs=1e-9)


def test_first_price_auction_goes_to_its_equilibrium():
    """Against n - 1 truthful bids, b wins with chance b^(n-1); (v - b) b^(n-1) is largest at b = v
    (n-1)/n, worth

    v^n (n-1)^(n-1) / n^n, in mean (n-1)^(n-1) / n^n / (n+1): 1/12 for two. At b = v/2 each, which
    earns 1/6, nothing gains.
    """
    market = make_market("reference_v0", game="first_price")
    found = psro(market, eps=0.005, attackers=("grid",), budget=Budget(select=2048, judge=2048))
    start, end = found.history[0].gains["buyer"], found.history[-1].gains["buyer"]
    assert start.low - 0.002 <= 1 / 12 <= start.high + 0.002
    assert found.stopped == "converged" and end.high < 0.005 and end.mean < start.mean / 20
    # 512 seeds, and v/2 but for the grid
    assert found.history[-1].equilibrium.value["buyer"] == pytest.approx(1 / 6, abs=0.03)


def test_double_auction_goes_around_the_linear_equilibrium():
    """Chatterjee and Samuelson (1983): against truth shading gains 1/9 - 1/12 = 1/36, and linear
    play earns 9/128 = .0703 each.

    That equilibrium is one of many, in which the sides share otherwise, and no equilibrium brings
    more in all (Myerson and Satterthwaite, 1983); the loop ends near some of them, so gains must be
    small and the sum of payoffs close to its.
    """
    market = make_market("reference_v0", game="double_auction")
    found = psro(market, eps=0.004, attackers=("grid",), budget=COARSE, pairs=1024)
    for gain in found.history[0].gains.values():
        assert gain.low - 0.002 <= 1 / 36 <= gain.high + 0.002
    assert found.stopped == "converged"
    assert all(gain.high < 0.004 for gain in found.history[-1].gains.values())
    assert sum(found.history[-1].equilibrium.value.values()) == pytest.approx(9 / 64, abs=0.024)


def test_the_budget_is_named_and_an_earlier_result_goes_on():
    market = matrix_game(ROCK_PAPER_SCISSORS)
    start, options = (
        {"player": {"rock": Constant(0, 3)}},
        {"eps": 0.2, "attackers": ("grid",), "budget": MIXED, "pairs": 4},
    )
    cut = psro(market, start, iterations=2, **options)
    assert cut.stopped == "budget" and len(cut.history) == 2
    more, whole = psro(market, cut, **options), psro(market, start, **options)
    assert more.stopped == "converged" and more.history[:2] == cut.history
    assert [turn.plain() for turn in more.history] == [turn.plain() for turn in whole.history]


def test_every_turn_is_told_and_holds_plain_numbers():
    turns = []
    market = matrix_game(PRISONERS_DILEMMA)
    start = {"player": {"cooperate": Constant(0, 2)}}
    options = {"eps": 1e-6, "attackers": ("grid",), "budget": EXACT, "pairs": 4, "iterations": 2}
    found = psro(market, start, progress=turns.append, **options)
    assert tuple(turns) == found.history
    told = json.loads(json.dumps([turn.plain() for turn in turns]))
    assert told[0]["gains"]["player"]["mean"] == 2.0 and told[1]["gains"]["player"]["mean"] <= 0.0
    assert told[0]["added"]["player"].startswith("1: ") and told[1]["added"] == {}
    assert list(found.strategies["player"]) == ["cooperate", told[0]["added"]["player"]]


def test_turns_take_other_seeds():
    market = matrix_game(PRISONERS_DILEMMA, noise=1.0)
    start = {"player": {"cooperate": Constant(0, 2)}}
    found = psro(market, start, eps=1e-9, attackers=("grid",), budget=EXACT, pairs=4, iterations=2)
    first, second = (turn.game.payoffs[turn.game.counts[:, 0] == 2, 0] for turn in found.history)
    assert not torch.equal(first, second)
    # the judges' seeds: payoffs of 3, then of 1
    first, second = (turn.responses["player"].base for turn in found.history)
    assert not torch.allclose(first - 3, second - 1)


def test_too_few_seeds_never_converge():
    """Without an interval there is no upper bound, however small the gain seen: nothing gains
    against defection.
    """
    market = matrix_game(PRISONERS_DILEMMA)
    few = Budget(select=4, judge=255, points=13)
    found = psro(
        market,
        {"player": constants("cd")},
        eps=1e-6,
        attackers=("grid",),
        budget=few,
        pairs=4,
        iterations=2,
    )
    assert found.stopped == "budget" and found.history[-1].gains["player"].mean <= 0.0


def test_no_eps_is_small_enough_for_noise():
    """The best of the other bids near the equilibrium gains nothing but noise, whose upper
    bound is not below 1e-9.
    """
    market = make_market("reference_v0", game="first_price")
    start = {"buyer": {"equilibrium": "first_price_equilibrium"}}
    found = psro(
        market,
        start,
        eps=1e-9,
        attackers=("grid",),
        budget=Budget(select=512),
        pairs=64,
        iterations=3,
    )
    assert found.stopped == "budget"
    assert all(float(turn.responses["buyer"].best.gains.std()) > 0 for turn in found.history)


def test_what_changes_nothing_closes_nothing():
    """All payoffs are 1, so no response changes any gain, and an interval of 0 alone is no
    evidence.
    """
    market = matrix_game(torch.ones(2, 2, 2, dtype=torch.float64))
    found = psro(
        market,
        {"player": constants("cd")},
        eps=1.0,
        attackers=("grid",),
        budget=EXACT,
        pairs=4,
        iterations=2,
    )
    assert (
        found.stopped == "budget"
        and found.history[-1].gains["player"].high == 0.0
        and found.history[-1].added == {}
    )


def test_a_meta_game_too_large_ends_the_loop_and_keeps_its_turns():
    """Two of one strategy are 1 profile, of two 3, of three 6: with 4 seeds 4, 12 and 24
    episodes.
    """
    market = matrix_game(ROCK_PAPER_SCISSORS)
    start, options = (
        {"player": {"rock": Constant(0, 3)}},
        {"eps": 0.2, "attackers": ("grid",), "budget": MIXED, "pairs": 4},
    )
    cut = psro(market, start, most_episodes=23, **options)
    assert cut.stopped == "budget" and len(cut.history) == 2 and len(cut.strategies["player"]) == 3
    again = psro(market, cut, most_episodes=23, **options)  # no turn is left
    assert again.history == cut.history and again.stopped == "budget"
    assert psro(market, cut, **options).stopped == "converged"
    with pytest.raises(ValueError, match="raise most_episodes"):  # no turn to keep
        psro(market, start, most_episodes=3, **options)


def test_only_sure_or_large_gains_that_are_new_join():
    def found(selected, gains):
        return BestDeviation(
            "grid", "x", (Constant(1, 2),), selected, torch.tensor(gains).double(), []
        )

    # mean .1 or more; standard errors of .1 / 16 and 1.1 / 16
    sure, unsure = [0.1, 0.3] * 128, [-1.0, 1.2] * 128
    assert _gains(found(1.0, sure), 1.0) and not _gains(found(0.0, sure), 1.0)
    assert _gains(found(1.0, unsure), 0.09) and not _gains(found(1.0, unsure), 0.11)
    first, second = Constant(0, 2), Constant(1, 2)
    family = families(matrix_game(PRISONERS_DILEMMA).moves[0])["scale move"]
    one, alike, other = (
        Deviation(base, family, torch.tensor([[0.5]]).double()) for base in (first, first, second)
    )
    assert _same(one, alike) and not _same(one, other) and not _same(one, first)
    assert not _same(one, Deviation(first, family, torch.tensor([[0.6]]).double()))


def test_what_gains_nothing_does_not_join():
    found = psro(
        matrix_game(PRISONERS_DILEMMA),
        {"player": constants("cd")},
        eps=1e-6,
        attackers=("grid",),
        budget=EXACT,
        pairs=4,
    )
    assert found.history[0].added == {} and list(found.strategies["player"]) == ["c", "d"]


def test_a_profile_holds_a_mixture_for_every_agent():
    market = matrix_game(PRISONERS_DILEMMA)
    found = psro(
        market, {"player": constants("cd")}, eps=1e-6, attackers=("grid",), budget=EXACT, pairs=4
    )
    profile = profile_of(market, found.strategies, found.history[-1].equilibrium)
    assert profile == found.profile and set(profile) == set(agent_names(market))
    assert profile["player_1"] == MixedStrategy((Constant(1, 2),), (1.0,))


@pytest.mark.parametrize(
    "wrong", [{"eps": 0.0}, {"eps": float("nan")}, {"eps": 0.1, "iterations": 0}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match="wanted both > 0"):
        psro(matrix_game(PRISONERS_DILEMMA), **wrong)
