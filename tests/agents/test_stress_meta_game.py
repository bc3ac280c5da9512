"""Meta-games: profiles are measured exactly, solved exactly where theory is exact, and refused
where they explode.
"""

import itertools
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_market import (
    PRISONERS_DILEMMA,
    ROCK_PAPER_SCISSORS,
    Constant,
    constants,
    matrix_game,
    symmetric,
)

from agents.lineups import MixedStrategy
from agents.stress import meta_game
from agents.stress.equilibria import lemke_howson, pure, replicator, solve, supports
from agents.stress.estimation import estimate
from agents.stress.meta_game import game_of, regrets
from marketenv import make_market
from marketenv.metrics import meta_regret

SEEDS = torch.arange(8)
RPS, PD = ("rock", "paper", "scissors"), ("cooperate", "defect")
TWO_ROLES = {"row": 1, "column": 1}


def played(payoffs, names, roles=None, seeds=SEEDS, noise=0.0, **options):
    """The game as measured by playing the market that it is."""
    market = matrix_game(payoffs, roles, noise)
    return estimate(
        market, {role.name: constants(names) for role in market.roles}, seeds, **options
    )


def random_payoffs(seed, sizes, integers=False):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(sizes), *sizes)
    if integers:  # few values make degenerate games
        return torch.randint(-2, 3, shape, generator=generator).double()
    return torch.rand(shape, generator=generator, dtype=torch.float64)


# --- oracles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("roles", [TWO_ROLES, None])
def test_rock_paper_scissors(roles):
    """Its only equilibrium is a third each, worth 0 (von Neumann 1928)."""
    found = solve(played(ROCK_PAPER_SCISSORS, RPS, roles))
    for mix in found.mix.values():
        assert list(mix.values()) == pytest.approx([1 / 3] * 3, abs=1e-9)
    assert found.method == "support enumeration" and found.distance <= 1e-9
    assert list(found.value.values()) == pytest.approx([0.0] * len(found.mix), abs=1e-9)


@pytest.mark.parametrize("roles", [TWO_ROLES, None])
def test_prisoners_dilemma(roles):
    """Defection dominates; both get the punishment of 1, and cooperating alone would lose it (0
    - 1).
    """
    found = solve(played(PRISONERS_DILEMMA, PD, roles))
    assert found.method == "pure"
    for role, mix in found.mix.items():
        assert mix == {"cooperate": 0.0, "defect": 1.0}
        assert found.value[role] == 1.0 and found.regret[role] == {"cooperate": -1.0, "defect": 0.0}
    assert found.distance == 0.0


@pytest.mark.parametrize("cost", [0.25, 0.36, 0.81])
def test_volunteers_dilemma_of_three(cost):
    """Diekmann (1985): each of n stays away with chance (cost / benefit)^(1 / (n - 1)), so two
    others never come at sqrt(cost).

    A volunteer gets 1 - cost; who stays away gets 1 if anybody volunteers. Indifference: 1 - cost =
    1 - q^2.
    """
    payoffs = symmetric(3, 2, lambda own, counts: (1 - cost) if own == 0 else float(counts[0] > 0))
    found = solve(played(payoffs, ("come", "stay")))
    assert found.method == "replicator dynamics"
    assert found.mix["player"]["stay"] == pytest.approx(cost**0.5, abs=1e-6)
    assert found.value["player"] == pytest.approx(1 - cost, abs=1e-6) and found.distance < 1e-6


def test_first_price_equilibrium_survives():
    """Two buyers, U[0, 1]: against bids of v/2 truth earns 0, v/2 earns 1/6 and 2v/3 earns

    int v/3 min(1, 4v/3) dv = 1/16 + 7/96 = 13/96, so the regrets are -1/6, 0 and 13/96 - 1/6 =
    -1/32.
    """
    market = make_market("reference_v0", game="first_price")
    names = {"truth": "truthful", "equilibrium": "first_price_equilibrium", "shade": "shade"}
    game = estimate(market, {"buyer": names}, torch.arange(4000))
    found = solve(game)
    assert found.mix["buyer"] == {"truth": 0.0, "equilibrium": 1.0, "shade": 0.0}
    for name, expected in {"truth": -1 / 6, "equilibrium": 0.0, "shade": -1 / 32}.items():
        gain = regrets(game, found.mix)["buyer"][name]
        assert gain.mean == pytest.approx(expected, abs=0.01)  # four standard errors at most
        # the seeds are fixed; a 95 % interval may miss by a little
        assert gain.low - 0.002 <= expected <= gain.high + 0.002


def test_the_better_of_two_pure_equilibria_is_taken():
    """A stag hunt has two, worth 4 and 3 each; of equal regrets the larger sum of payoffs
    decides.
    """
    stag = torch.tensor([[4.0, 0], [3, 3]], dtype=torch.float64)
    found = solve(game_of(torch.stack([stag, stag.T])))
    assert (
        found.mix["player_0"]["0"] == found.mix["player_1"]["0"] == 1.0
        and found.value["player_0"] == 4.0
    )


# --- measuring ------------------------------------------------------------------------------------


def test_playing_measures_the_tensor():
    payoffs = random_payoffs(0, (2, 2, 2))
    roles = {"a": 1, "b": 1, "c": 1}
    game, plain = played(payoffs, "xy", roles), game_of(payoffs)
    assert torch.equal(game.counts, plain.counts)
    assert torch.equal(
        game.payoffs.nan_to_num(), plain.payoffs.nan_to_num().expand(-1, -1, len(SEEDS))
    )
    assert torch.equal(game.payoffs.isnan()[..., 0], game.counts == 0)


def test_profiles_are_multisets_of_each_role():
    """3 agents on 2 strategies and 1 on 2: (3 + 1) x 2 = 8 profiles where a tensor has 16."""
    payoffs = random_payoffs(1, (2,) * 4)
    game = played(payoffs, "xy", {"many": 3, "one": 1})
    assert len(game.counts) == 8 and len(game.counts.unique(dim=0)) == 8
    assert bool((game.counts[:, :2].sum(1) == 3).all()) and bool(
        (game.counts[:, 2:].sum(1) == 1).all()
    )


def test_a_strategy_gets_the_mean_of_all_seats():
    """Player 0 gets 1 more than player 1 whatever they do, so each strategy of their role earns
    1/2 more on average.
    """
    payoffs = torch.zeros(2, 2, 2, dtype=torch.float64)
    payoffs[0] = 1.0
    game = played(payoffs, "xy", seeds=torch.arange(4000))
    mixed = game.counts.tolist().index([1, 1])
    each = game.payoffs[mixed].mean(1)
    # four standard errors of a coin
    assert each.tolist() == pytest.approx([0.5, 0.5], abs=4 * 0.5 / 4000**0.5)
    assert game.payoffs[mixed].sum(0).eq(1).all()  # one of the two sits in each seat
    # both seats of one strategy: their mean
    assert game.payoffs[game.counts.tolist().index([2, 0]), 0].eq(0.5).all()


def test_common_random_numbers_cancel():
    """The error of a payoff depends on seed and player, not on the strategy: regrets are exact
    all the same.
    """
    mix = {"row": {"rock": 1.0}, "column": {"rock": 1.0}}
    loud = played(ROCK_PAPER_SCISSORS, RPS, TWO_ROLES, torch.arange(300), noise=5.0)
    assert float(loud.payoffs.nan_to_num().std(2).max()) > 1  # there is an error to cancel
    assert regrets(loud, mix)["row"]["paper"].mean == pytest.approx(1.0, abs=1e-12)


def test_pieces_make_the_same_game():
    whole, cut = (
        played(ROCK_PAPER_SCISSORS, RPS, noise=1.0, most_markets=most) for most in (2**16, 20)
    )
    assert torch.equal(whole.payoffs.nan_to_num(), cut.payoffs.nan_to_num())


def test_all_profiles_are_told_in_words():
    rows = played(ROCK_PAPER_SCISSORS, RPS, seeds=torch.arange(300)).rows()
    # 3 profiles of one strategy, 3 of two strategies with a payoff for both
    assert len(rows) == 3 + 2 * 3
    paper = next(
        row
        for row in rows
        if row["strategy"] == "paper" and row["profile"] == "1 player rock, 1 player paper"
    )
    assert (paper["role"], paper["mean"], paper["low"], paper["high"]) == ("player", 1.0, 1.0, 1.0)


def test_few_seeds_have_no_interval():
    game = played(ROCK_PAPER_SCISSORS, RPS)
    assert (
        game.rows()[0]["low"] is None
        and regrets(game, {"player": {"rock": 1.0}})["player"]["paper"].low is None
    )


# --- regrets and solutions, for all games ---------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_reduced_regrets_are_those_of_the_whole_tensor(seed, x, y):
    """Two agents of one role and one of another: sums over multisets equal sums over the full
    tensor.
    """
    payoffs = random_payoffs(seed, (2, 2, 2))
    payoffs[1] = payoffs[0].transpose(0, 1)  # agents of a role are alike
    payoffs[2] = (payoffs[2] + payoffs[2].transpose(0, 1)) / 2
    game = played(payoffs, "xy", {"pair": 2, "one": 1})
    mixes = [torch.tensor([p, 1 - p], dtype=torch.float64) for p in (x, x, y)]
    expected = meta_regret(payoffs, mixes)
    found = regrets(game, {"pair": {"x": x, "y": 1 - x}, "one": {"x": y, "y": 1 - y}})
    for role, row in (("pair", expected[0]), ("one", expected[2])):
        assert [found[role][name].mean for name in "xy"] == pytest.approx(row.tolist(), abs=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_two_players_are_solved(seed, rows, columns, integers):
    """Every finite game has an equilibrium (Nash 1950); degenerate ones too. The judge is the
    full tensor's regret.
    """
    payoffs = random_payoffs(seed, (rows, columns), integers)
    found = solve(game_of(payoffs))
    mixes = [torch.tensor(list(mix.values()), dtype=torch.float64) for mix in found.mix.values()]
    assert max(float(row.max()) for row in meta_regret(payoffs, mixes)) <= 1e-8
    assert found.distance <= 1e-8 and all(float(mix.sum()) == pytest.approx(1) for mix in mixes)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_one_role_of_two_gets_one_mix(seed, size):
    """Every symmetric game has a symmetric equilibrium (Nash 1951)."""
    own = random_payoffs(seed, (size, size))[0]
    found = solve(played(torch.stack([own, own.T]), [str(k) for k in range(size)], seeds=SEEDS[:1]))
    mix = torch.tensor(list(found.mix["player"].values()), dtype=torch.float64)
    assert (
        max(float(row.max()) for row in meta_regret(torch.stack([own, own.T]), [mix, mix])) <= 1e-8
    )


@pytest.mark.parametrize("roles", [TWO_ROLES, None])
def test_many_strategies_go_to_lemke_howson(roles):
    """Rock, paper, scissors of nine: each beats the four before it, so a ninth each by symmetry
    (unique: an odd tournament).
    """
    payoffs = symmetric(
        2,
        9,
        lambda own, counts: sum(counts[(own - k) % 9] - counts[(own + k) % 9] for k in range(1, 5)),
    )
    found = solve(played(payoffs, [str(k) for k in range(9)], roles))
    assert found.method == "Lemke-Howson" and found.distance <= 1e-9
    for mix in found.mix.values():
        assert list(mix.values()) == pytest.approx([1 / 9] * 9, abs=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(7, 14), st.booleans(), st.booleans())
def test_large_games_are_solved(seed, size, integers, one_role):
    payoffs = random_payoffs(seed, (size, size), integers)
    if one_role:
        payoffs[1] = payoffs[0].T
    names = [str(k) for k in range(size)]
    found = solve(played(payoffs, names, None if one_role else TWO_ROLES, SEEDS[:1]))
    mixes = [torch.tensor(list(mix.values()), dtype=torch.float64) for mix in found.mix.values()]
    assert (
        max(float(row.max()) for row in meta_regret(payoffs, mixes * (2 if one_role else 1)))
        <= 1e-7
    )


def test_every_complementary_path_ends_in_degenerate_games():
    """Few values make ties, in which a path could circle; broken lexicographically each label's
    path ends at an equilibrium.
    """
    for seed in range(100):
        size = 2 + seed % 6
        own = random_payoffs(seed, (size, size), integers=True)[0]
        game = played(torch.stack([own, own.T]), [str(k) for k in range(size)], seeds=SEEDS[:1])
        ((mixes, _),) = lemke_howson(game)
        assert len(mixes) == size
        earned = game.earned(mixes)
        assert float((earned - game.own(mixes, earned)).max()) <= 1e-9


def test_complementary_paths_find_what_supports_find():
    """A game with one equilibrium, by hand: [[2, 0], [0, 1]] against [[0, 1], [1, 0]]: row 1/2,
    column 1/3.
    """
    game = game_of(torch.tensor([[[2.0, 0], [0, 1]], [[0, 1], [1, 0]]], dtype=torch.float64))
    for method in (supports, lemke_howson):
        ((mixes, _),) = method(game)
        for mix in mixes:
            assert mix.tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 3, 2 / 3], abs=1e-12)


def test_the_time_average_solves_what_circles():
    """In a zero-sum game without a pure equilibrium the dynamics circle and their time average
    converges.

    [[2, -1], [-1, 1]]: q solves 2q - (1 - q) = -q + (1 - q), so q = 2/5 for both sides.
    """
    own = torch.tensor([[2.0, -1], [-1, 1]], dtype=torch.float64)
    game = game_of(torch.stack([own, -own]))
    ((mixes, _),) = replicator(game)
    least = min(
        max(float(r.max()) for r in meta_regret(torch.stack([own, -own]), [m[:2], m[2:]]))
        for m in mixes
    )
    assert least < 0.02
    assert solve(game).mix["player_0"]["0"] == pytest.approx(2 / 5, abs=1e-9)


def test_many_mixes_are_judged_in_pieces(monkeypatch):
    """Of the 4,096 pure profiles of 64 x 64, all as one, chances of every column and profile would
    take 17 GB.

    Against column j row i earns payoffs[0, i, j], and against row i column j payoffs[1, i, j].
    """
    payoffs = random_payoffs(4, (64, 64))
    game = game_of(payoffs)
    ((mixes, _),) = pure(game)
    earned = game.earned(mixes).unflatten(0, (64, 64))
    assert torch.allclose(earned[0, :, :64].T, payoffs[0], atol=1e-12)
    assert torch.allclose(earned[:, 0, 64:], payoffs[1], atol=1e-12)
    some = torch.stack([mixes[::500].mean(0), mixes[::700].mean(0)])
    monkeypatch.setattr(meta_game, "MOST_NUMBERS", 1)  # one at a time
    assert torch.allclose(game.earned(some), (game.chances(some) * game.means.T).sum(2), atol=1e-12)


def test_what_is_no_equilibrium_says_how_far_it_is():
    """One point of the dynamics alone, near rock: paper gains, and the result tells it."""
    game = played(ROCK_PAPER_SCISSORS, RPS)
    gain = regrets(game, {"player": {"rock": 0.5, "paper": 0.25, "scissors": 0.25}})["player"]
    # paper earns .5 - .25 = .25 against it, rock .25 - .25 = 0, scissors .25 - .5 = -.25; the mix 0
    # - .25/4 + .25/4 = 0
    assert [round(one.mean, 12) for one in gain.values()] == [0.0, 0.25, -0.25]


def test_the_same_game_has_the_same_solution():
    payoffs = random_payoffs(5, (3, 3, 3))
    assert solve(game_of(payoffs)) == solve(game_of(payoffs.clone()))


# --- refusals -------------------------------------------------------------------------------------


def test_explosions_are_refused_before_they_start():
    market = matrix_game(torch.zeros(6, *[2] * 6))
    many = {"player": {str(k): Constant(0, 2) for k in range(30)}}
    # multisets of 6 of 30: C(35, 6) = 1,623,160
    with pytest.raises(ValueError, match="1623160 profiles x 8 seeds"):
        estimate(market, many, SEEDS)
    with pytest.raises(ValueError, match="wanted 1 to"):
        estimate(market, {}, SEEDS[:0])


def test_wrong_strategies_are_refused():
    market = matrix_game(PRISONERS_DILEMMA)
    with pytest.raises(ValueError, match=r"no role 'playr'. Did you mean 'player'"):
        estimate(market, {"playr": constants(PD)}, SEEDS)
    with pytest.raises(ValueError, match="one pure strategy"):
        estimate(market, {"player": {}}, SEEDS)
    with pytest.raises(ValueError, match="List a mixture's policies"):
        estimate(market, {"player": {"mixed": MixedStrategy((Constant(0, 2),), (1.0,))}}, SEEDS)
    with pytest.raises(ValueError, match=r"no policy 'truthfull'. Did you mean 'truthful'"):
        estimate(market, {"player": {"truth": "truthfull"}}, SEEDS)


def test_payoffs_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="a reward of nan to player_0 of market 0"):
        played(torch.full((2, 2, 2), float("nan")), PD)


def test_a_role_that_is_left_out_is_truthful():
    game = estimate(matrix_game(PRISONERS_DILEMMA, TWO_ROLES), {"row": constants(PD)}, SEEDS)
    assert game.strategies == (PD, ("truthful",)) and len(game.counts) == 2


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ({"player": {"rok": 1.0}}, "no strategy of player 'rok'. Did you mean 'rock'"),
        ({"player": {"rock": 0.6}}, "sum 1"),
        ({"player": {"rock": 1.5, "paper": -0.5}}, "numbers >= 0"),
        ({}, "for every role"),
        ({"user": {"rock": 1.0}}, "no role 'user'"),
    ],
)
def test_wrong_mixes_are_refused(mix, words):
    with pytest.raises(ValueError, match=words):
        regrets(played(ROCK_PAPER_SCISSORS, RPS), mix)


@pytest.mark.parametrize("payoffs", [torch.zeros(3, 2, 2), torch.full((2, 2, 2), float("nan"))])
def test_wrong_tensors_are_refused(payoffs):
    with pytest.raises(ValueError, match="one axis of strategies a player"):
        game_of(payoffs.double())


def test_nashpy_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "nashpy", None)
    with pytest.raises(ImportError, match=r"marketenv\[stress\]"):
        list(supports(played(ROCK_PAPER_SCISSORS, RPS)))
    assert solve(played(PRISONERS_DILEMMA, PD)).method == "pure"  # needs no solver
    payoffs = symmetric(3, 2, lambda own, counts: float(counts[own] == 1))
    assert solve(played(payoffs, "xy")).distance < 1e-9  # three players need none either


def test_a_mixture_holds_what_has_a_chance():
    found = solve(played(PRISONERS_DILEMMA, PD))
    policies = constants(PD)
    assert found.mixture("player", policies) == MixedStrategy((policies["defect"],), (1.0,))


def test_multisets_are_complete():
    """Every choice of the agents is one of the profiles, and each profile is such a choice."""
    game = played(random_payoffs(2, (3, 3, 3)), "xyz")
    choices = {
        tuple(choice.count(k) for k in range(3)) for choice in itertools.product(range(3), repeat=3)
    }
    assert choices == set(map(tuple, game.counts.tolist()))
