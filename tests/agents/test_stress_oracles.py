"""The stress layer proves itself: where theory knows the answer, the searches find it, and
planted cheats are flagged.
"""

import importlib
import math

import numpy as np
import pytest
import torch
from relay_market import relay_market

from agents.lineups import MixedStrategy, find_profile
from agents.stress import (
    ATTACKERS,
    JUDGE,
    SELECT,
    Attack,
    Budget,
    best_response,
    curve,
    ex_post_regret,
    exact,
    families,
    market_nash_conv,
    search,
    seeds_of,
)
from agents.stress.search import Candidate
from marketenv import make_market
from marketenv.core import draws, rounds
from marketenv.markets.parameter_trading import Trade
from marketenv.markets.reference import Auction, Auctioned
from marketenv.mechanisms import first_price, second_price
from marketenv.mechanisms.sales import Sales
from marketenv.metrics import mean_interval

BUDGET = Budget(select=512, judge=2048, points=21, population=32, generations=5)
SEARCHES = ("grid", "cross_entropy", "scripted")
DOUBLE = make_market("reference_v0", game="double_auction")


def auction(game, n=2, **changes):
    return make_market("reference_v0", game=game, n_buyers=n, **changes)


def covers(interval, value):
    return interval.low <= value <= interval.high


# --- markets whose answer is known ----------------------------------------------------------------


def test_second_price_truth_has_no_regret_in_hindsight_and_no_search_finds_a_gain():
    """Vickrey 1961: the bid decides only whether to pay what the others named. The breakpoints
    are all there is to try.
    """
    market = auction("second_price", 3)
    hindsight = ex_post_regret(market, find_profile(market), "buyer_0", seeds_of(JUDGE, 2000))
    assert hindsight.exact
    assert float(hindsight.regret.max()) <= 1e-6  # float32 actions
    found = best_response(market, find_profile(market), "buyer", SEARCHES, BUDGET)
    assert found.best.gain_lower_bound.high <= 1e-3 * float(found.base.mean())


@pytest.mark.parametrize("n", [2, 3])
def test_first_price_best_answer_to_truth_is_the_closed_form(n):
    """Against n - 1 truthful bids on U[0, 1] the bid b wins b^(n-1): best is v (n - 1) / n.

    Truth earns nothing, so the gain is E[v^n] (n - 1)^(n - 1) / n^n = ((n - 1) / n)^(n - 1) / (n (n
    + 1)).
    """
    market = auction("first_price", n)
    found = best_response(market, find_profile(market), "buyer", SEARCHES, BUDGET)
    assert covers(found.best.gain_lower_bound, ((n - 1) / n) ** (n - 1) / (n * (n + 1)))
    grid = next(one for one in found.deviations if one.attacker == "grid")
    assert abs(float(grid.policies[0].parameters) - (n - 1) / n) < 0.11  # a step of the grid is .1


def test_first_price_equilibrium_leaves_no_gain():
    market = auction("first_price", 2)
    found = best_response(
        market, find_profile(market, "first_price_equilibrium"), "buyer", SEARCHES, BUDGET
    )
    assert found.best.gain_lower_bound.high <= 0.02 * float(found.base.mean())


def test_double_auction_shading_gains_a_third():
    """Against truth the best bid is 2/3 of the value: 1/9 in place of 1/12 (Chatterjee and
    Samuelson 1983, weight 1/2).
    """
    for role in ("buyer", "seller"):
        found = best_response(DOUBLE, find_profile(DOUBLE), role, SEARCHES, BUDGET)
        assert covers(found.best.gain_lower_bound, 1 / 9 - 1 / 12)
        assert found.relative_lower_bound == pytest.approx(1 / 3, abs=0.05)


def test_double_auction_equilibrium_pays_nine_128ths_and_leaves_no_gain():
    profile = find_profile(DOUBLE, "linear_equilibrium")
    found = best_response(DOUBLE, profile, "buyer", SEARCHES, BUDGET)
    assert covers(mean_interval(found.base), 9 / 128)
    assert found.best.gain_lower_bound.high <= 0.02 * 9 / 128


def test_choosing_and_judging_on_the_same_seeds_flatters():
    """At the equilibrium the chosen deviation shows a gain on the seeds that it was chosen on,
    and none on others.
    """
    profile = find_profile(DOUBLE, "linear_equilibrium")
    small = Budget(select=64, judge=4096, points=21, population=32, generations=5)
    found = best_response(DOUBLE, profile, "buyer", ("grid", "cross_entropy"), small)
    assert found.best.selected > 0.01 * 9 / 128
    # nor on as many others as chose it: if these were the same, thousands would hide it
    for others in (found.best.gains, found.best.gains[: small.select]):
        assert float(others.mean()) <= 0


def test_double_auction_in_hindsight_every_buyer_would_have_named_the_ask():
    """Knowing c, a buyer with v >= c pays c instead of (v + c) / 2: E[(v - c)+ / 2] = 1/12
    (E[(v - c)+] = 1/6).
    """
    hindsight = ex_post_regret(DOUBLE, find_profile(DOUBLE), "buyer_0", seeds_of(JUDGE, 4000))
    assert hindsight.exact and covers(mean_interval(hindsight.regret), 1 / 12)
    with_a_grid = ex_post_regret(
        make_market("reference_v0", game="double_auction", mechanism=_copy), *_buyer(), points=201
    )
    assert not with_a_grid.exact
    assert 0.95 / 12 <= float(with_a_grid.regret.mean()) <= 1.05 / 12


def _copy(bids, asks):
    """The double auction's rule as a rule of one's own, whose breakpoints nobody knows."""
    return DOUBLE.phase(Auction).mechanism(bids, asks)


def _buyer():
    return find_profile(DOUBLE), "buyer_0", seeds_of(JUDGE, 1000)


@pytest.mark.parametrize(
    "mechanism", ["nash_bargaining", "posted_price", "first_price", "second_price"]
)
@pytest.mark.parametrize("who", ["truthful", "random"])
def test_breakpoints_of_the_parameter_market_beat_a_grid(mechanism, who):
    """What the market names as all that matters is at least as good as 41 values of each field,
    whatever the others report.
    """
    config = {
        "n_agents": 3,
        "max_cycles": 1,
        "mechanism": mechanism,
        "data_options": {"max_examples": 300},
        "learner_options": {"hidden": (4,)},
    }
    market, blind = (
        make_market("parameter_trading_v0", **config),
        make_market("parameter_trading_v0", **config),
    )
    blind.phase(Trade).breakpoints = lambda *args: None
    args = find_profile(market, who), "trader_1", seeds_of(JUDGE, 6)
    exact, grid = ex_post_regret(market, *args), ex_post_regret(blind, *args, points=41)
    assert exact.exact and not grid.exact
    assert float((exact.regret - grid.regret).min()) >= -1e-5  # float32 losses
    assert float(exact.regret.max()) > 0  # the ask of zero leaves something to gain for a seller


@pytest.mark.parametrize(
    "config",
    [
        # the rule compares bids above each buyer's own cost of a sale
        {"mechanism": "first_price", "externality": 5.0},
        {"mechanism": "second_price", "externality": 3.0, "ask_max": 8.0, "n_agents": 4},
        # rivals that a buyer cannot afford
        {"mechanism": "posted_price", "cash": 3.0, "ask_max": 5.0, "n_agents": 4},
        {"mechanism": "second_price", "cash": 3.0, "ask_max": 5.0, "n_agents": 4},
        {
            "mechanism": "posted_price",
            "bid_mode": "absolute",
            "ask_max": 3.0,
            "bid_max": 5.0,
            "partition": "balanced",
        },
        {"mechanism": "nash_bargaining", "bid_mode": "absolute", "n_agents": 2},
    ],
)
@pytest.mark.parametrize("who", ["truthful", "random"])
def test_breakpoints_of_the_parameter_market_beat_random_replies(config, who):
    """200 replies a seed, half of them to one seller alone, none of which may earn more than
    the reply that is named best.
    """
    sizes = {"n_agents": 3, "max_cycles": 1, "data_options": {"max_examples": 300}}
    sizes["learner_options"] = {"hidden": (4,)}  # each reply copies the models
    market = make_market("parameter_trading_v0", **sizes | config)
    profile, seeds = find_profile(market, who), seeds_of(JUDGE, 4)
    found, width = ex_post_regret(market, profile, "trader_1", seeds), market.moves[0].action.dim
    market.phase(Trade).breakpoints = lambda *args: _some_replies(len(seeds), width)
    assert found.exact
    # float32 losses
    assert (
        float((found.regret - ex_post_regret(market, profile, "trader_1", seeds).regret).min())
        >= -2e-5
    )


def _some_replies(pairs, width, count=200):
    drawn = 2 * draws.uniform(torch.arange(pairs), count, width).float() - 1
    # the seller that is bid for
    alone = torch.arange(count)[:, None] % (width - 2) == torch.arange(width - 2)
    single = torch.where(
        alone | (torch.arange(count) < count // 2)[:, None], drawn[..., : width - 2], -1.0
    )
    return torch.cat([single, drawn[..., width - 2 :]], 2)


@pytest.mark.parametrize("shared", [-1.0, -0.3, 0.0, 0.6, 1.0])
def test_hindsight_overbids_a_tie_that_the_lower_index_wins(shared):
    """buyer_0 bids one price always: buyer_1 with a higher value should bid the next one above it
    (first price, no reserve).

    Its regret is then value less that price, as truth earns nothing; below the price there is
    nothing to gain.
    """
    market, seeds = auction("first_price", 2), seeds_of(JUDGE, 200)
    constant = lambda observation, role, keys: observation.new_full((len(observation), 1), shared)  # noqa: E731
    profile = find_profile(market, {"buyer_0": constant})
    found = ex_post_regret(market, profile, "buyer_1", seeds)
    values = (
        next(report for _, _, report in rounds.play(market, profile, seeds))
        .of(Auctioned)
        .types[:, 1]
    )
    torch.testing.assert_close(
        found.regret, (values - (1 + shared) / 2).clamp(min=0), atol=1e-6, rtol=0
    )


def test_posted_prices_leave_a_truthful_buyer_nothing_to_gain_and_its_seller_much():
    """The bid decides only whether to buy at the ask (Myerson 1981), so hindsight adds nothing
    to it; the ask sets the price.
    """
    market = make_market("parameter_trading_v0", n_agents=3, max_cycles=1, mechanism="posted_price")
    args = find_profile(market), "trader_0", seeds_of(JUDGE, 24)
    bid, ask = (ex_post_regret(market, *args, fields=(name,)) for name in ("bid", "ask"))
    assert bid.exact and float(bid.regret.max()) <= 1e-5
    assert float(ask.regret.mean()) > 0.05


def test_nash_bargaining_leaves_a_buyer_half_of_what_it_bids():
    """With asks of zero the price is half the bid, so a bid of next to nothing saves it: regret
    = payment of that round.
    """
    market = make_market("parameter_trading_v0", n_agents=2, max_cycles=1)
    profile, seeds = find_profile(market), seeds_of(JUDGE, 16)
    found = ex_post_regret(market, profile, "trader_0", seeds, fields=("bid",))
    paid = next(report for _, _, report in rounds.play(market, profile, seeds)).paid[:, 0]
    torch.testing.assert_close(found.regret, paid, atol=1e-5, rtol=1e-5)


def test_nash_conv_of_a_market_sums_what_both_sides_gain():
    """Against truth buyer and seller each gain 1/9 - 1/12, so NashConv is 1/18."""
    found = market_nash_conv(DOUBLE, find_profile(DOUBLE), ("grid", "scripted"), BUDGET)
    assert covers(found.total, 1 / 18) and all(covers(one, 1 / 36) for one in found.players)


# --- planted cheats -------------------------------------------------------------------------------


def pay_ninety_percent(bids, asks):
    """The winner pays 90 % of its own bid."""
    done = first_price(bids, asks)
    return Sales(done.allocation, 0.9 * done.prices)


def peeking(bids, asks):
    """A second-price auction whose house values the good from the report itself: it asks at
    least 80 % of the bid.
    """
    done = second_price(bids, asks)
    return Sales(
        done.allocation, torch.where(done.allocation, done.prices.maximum(0.8 * bids), 0.0)
    )


@pytest.mark.parametrize(
    ("cheat", "best", "gain"),
    [
        # bid b = k v wins with chance k v and pays .9 k v: v^2 k (1 - .9 k), best at k = 1/1.8 =
        # .556; the mean of v^2 is 1/3: (1/3) (.27778 - .1) = .0593 more than truth
        (pay_ninety_percent, 1 / 1.8, (1 / 3.6 - 0.1) / 3),
        # pays max(other, .8 k v): v k (v - E[price | win]); E[price; win] = (.8 k v)^2 + ((k v)^2 -
        # (.8 k v)^2) / 2 = .82 (k v)^2, so v^2 (k - .82 k^2), best at k = 1/1.64 = .610; gain (1/3)
        # (1/3.28 - .18)
        (peeking, 1 / 1.64, (1 / 3.28 - 0.18) / 3),
    ],
)
def test_a_payment_that_depends_on_the_own_bid_is_flagged(cheat, best, gain):
    market = auction("second_price", 2, mechanism=cheat)
    found = best_response(market, find_profile(market), "buyer", ("grid",), BUDGET)
    assert found.best.gain_lower_bound.low > 0
    assert covers(found.best.gain_lower_bound, gain)
    assert abs(float(found.best.policies[0].parameters) - best) < 0.11  # a step of the grid is .1
    hindsight = ex_post_regret(market, find_profile(market), "buyer_0", seeds_of(JUDGE, 500))
    # to know the other's bid is worth even more
    assert not hindsight.exact and float(hindsight.regret.mean()) > gain


def test_two_buyers_who_share_what_they_earn_form_a_ring():
    """Both bid next to nothing: the higher value wins free, E[max] = 2/3 in place of E[max -
    min] = 1/3.
    """
    market = auction("second_price", 2)
    found = best_response(
        market, find_profile(market), ("buyer_0", "buyer_1"), ("grid", "cross_entropy"), BUDGET
    )
    # 1/6 is what one of them earns for both by staying away
    assert found.best.gain_lower_bound.low > 1 / 6 + 0.05
    assert float(found.base.mean()) == pytest.approx(1 / 3, abs=0.02)


def test_a_buyer_and_a_seller_together_have_nothing_to_gain_but_trades_that_fail():
    """Truth trades whenever v >= c and transfers cancel, so a coalition of both cannot gain."""
    found = best_response(
        DOUBLE, find_profile(DOUBLE), ("buyer_0", "seller_0"), ("grid", "cross_entropy"), BUDGET
    )
    assert found.best.gain_lower_bound.high <= 1e-6


# --- how it works ---------------------------------------------------------------------------------


def test_the_curve_against_truth_is_the_parabola():
    """A bid of k v against a truthful ask: E = E[v^2] (k - 3 k^2 / 4) = (k - 3 k^2 / 4) / 3 for
    k <= 1.
    """
    attack = Attack(DOUBLE, find_profile(DOUBLE), ("buyer_0",), seeds_of(JUDGE, 1024))
    found = curve(attack, families(DOUBLE.moves[0])["scale price"], 11)
    below = found.parameters <= 1
    known = (found.parameters - 0.75 * found.parameters**2) / 3 - 1 / 12
    inside = [covers(band, float(value)) for band, value in zip(found.bands(), known, strict=True)]
    assert sum(inside[k] for k in below.nonzero().flatten()) >= 5  # of 6 intervals of 95 %
    # the identity gains nothing
    assert float(found.gains[found.parameters == 1].abs().max()) <= 1e-6


def test_pieces_of_a_grid_are_the_whole():
    seeds, family = seeds_of(SELECT, 32), families(DOUBLE.moves[0])["scale price"]
    whole, pieces = (
        Attack(DOUBLE, find_profile(DOUBLE), ("buyer_0",), seeds, most) for most in (2**16, 100)
    )
    lines = (one.grid(one.bases(), (family,), family.line(9)) for one in (whole, pieces))
    assert torch.equal(*lines)


def test_a_mixture_may_be_attacked():
    """Sellers who ask 0 or 1 with equal chances: only the former can be bought from, at half
    the bid: bid nothing much.
    """
    low, high = (
        lambda seen, role, keys, a=a: seen.new_full((len(seen), 1), a) for a in (-1.0, 1.0)
    )
    profile = find_profile(DOUBLE, {"seller": MixedStrategy((low, high), (0.5, 0.5))})
    found = best_response(DOUBLE, profile, "buyer", ("grid", "cross_entropy"), BUDGET)
    assert found.best.gain_lower_bound.low > 0.1  # from E[v / 2] / 2 = 1/8 towards E[v] / 2 = 1/4


def test_best_response_says_the_same_twice_and_another_repeat_takes_other_seeds():
    one, two, other = (
        best_response(DOUBLE, find_profile(DOUBLE), "buyer", ("grid",), BUDGET, repeat=k)
        for k in (0, 0, 1)
    )
    assert torch.equal(one.best.gains, two.best.gains) and one.best.words == two.best.words
    assert not torch.equal(one.best.gains, other.best.gains)


def test_a_learner_finds_most_of_the_third():
    found = best_response(
        DOUBLE, find_profile(DOUBLE), "buyer", ("ppo",), Budget(judge=2048, rl_steps=10_240)
    )
    assert found.best.gain_lower_bound.low > 0.6 * (1 / 9 - 1 / 12)
    assert [row["steps"] for row in found.best.story] == sorted(
        row["steps"] for row in found.best.story
    )
    assert found.best.story[-1]["utility"] > found.best.story[0]["utility"]


def test_every_attacker_finds_a_gain_where_there_is_a_large_one():
    """Conformance: in a first-price auction among the truthful anything below the value earns
    more than truth, which earns 0.
    """
    market = auction("first_price", 2)
    quick = Budget(select=128, judge=512, points=9, population=16, generations=3, rl_steps=4096)
    # its first thousand steps are slow, and it is the same code as ppo
    for name in set(ATTACKERS) - {"sac"}:
        found = best_response(market, find_profile(market), "buyer", (name,), quick)
        assert found.best.attacker == name
        assert found.best.gain_lower_bound.low > 0.02, name  # of 1/12
        assert math.isinf(found.relative_lower_bound)  # truth earns nothing


def test_a_market_of_stages_is_attacked_in_its_first_stage():
    """The relay's seller asks 1/2 of two buyers; U[0, 1] types make 1/2 its best price: 2 p (1
    - p) a round.
    """
    market = relay_market(horizon=1)
    attack = Attack(market, find_profile(market), ("seller_0",), seeds_of(JUDGE, 2000))
    assert (
        abs(float(curve(attack, families(market.moves[0])["scale price"], 11).gains.mean(1).max()))
        <= 0.02
    )
    hindsight = ex_post_regret(market, find_profile(market), "seller_0", seeds_of(JUDGE, 200))
    assert not hindsight.exact
    # to know the types before naming a price is worth much
    assert float(hindsight.regret.mean()) > 0.1


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_response(DOUBLE, find_profile(DOUBLE), "bayer"), "Did you mean 'buyer'"),
        (
            lambda: best_response(DOUBLE, find_profile(DOUBLE), "buyer", ("gird",)),
            "Did you mean 'grid'",
        ),
        (lambda: best_response(DOUBLE, {}, "buyer"), "the profile lacks"),
        (lambda: best_response(DOUBLE, find_profile(DOUBLE), ()), "at least one agent, each once"),
        (
            lambda: best_response(DOUBLE, find_profile(DOUBLE), ("buyer_0", "seller_0"), ("ppo",)),
            "learns for one agent",
        ),
        (lambda: best_response(DOUBLE, find_profile(DOUBLE), "buyer", ()), "name another attacker"),
        (lambda: Budget(points=0), "points is 0, wanted a whole number >= 1"),
        (
            lambda: best_response(DOUBLE, find_profile(DOUBLE), "buyer", "grid"),
            "wanted several names",
        ),
        (
            lambda: Attack(DOUBLE, find_profile(DOUBLE), ("buyer_0",), seeds_of(JUDGE, 0)),
            "no seeds",
        ),
        (
            lambda: ex_post_regret(
                relay_market(), find_profile(relay_market()), "buyer_0", seeds_of(JUDGE, 2), "ship"
            ),
            "no stage in which buyer_0 moves 'ship'. Known: reply",
        ),
        (
            lambda: ex_post_regret(DOUBLE, find_profile(DOUBLE), "buyer", seeds_of(JUDGE, 2)),
            "no agent 'buyer'",
        ),
        (lambda: ex_post_regret(DOUBLE, *_buyer(), fields=("prise",)), "Did you mean 'price'"),
    ],
)
def test_what_cannot_be_attacked_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_budget_takes_whole_numbers_of_every_kind(as_for_a_user):
    with pytest.raises(ValueError, match=r"select is .*12.0.*, wanted a whole number >= 1"):
        Budget(select=np.float64(12))
    assert Budget(select=np.int64(12), rl_steps=torch.tensor(3)) == Budget(select=12, rl_steps=3)


# --- what only a mistake would change -------------------------------------------------------------


def lucky(observation, role, keys):
    return observation[:, :1]


def steady(observation, role, keys):
    return observation[:, :1]


def test_the_best_attacker_is_the_one_that_the_choosing_seeds_chose(monkeypatch):
    """Planted: lucky gains 2 where it is chosen and 0 elsewhere, steady 1 everywhere. Judges do
    not choose: lucky it is, at 0.
    """

    def gains(attack, candidates):
        chooses = bool(attack.seeds[0] < JUDGE)
        each = [2.0 * chooses if policy is lucky else 1.0 for (policy,) in candidates]
        gained = torch.tensor(each, dtype=torch.float64)[:, None]
        return gained.expand(-1, len(attack.seeds)).clone()

    # the package has a function of this name
    module = importlib.import_module("agents.stress.best_response")
    monkeypatch.setattr(module.Attack, "gains", gains)
    base = property(lambda attack: torch.ones(len(attack.seeds), dtype=torch.float64))
    monkeypatch.setattr(module.Attack, "base", base)
    planted = {"lucky": [Candidate("lucky", (lucky,))], "steady": [Candidate("steady", (steady,))]}
    monkeypatch.setattr(
        module,
        "find_attackers",
        lambda names: {name: lambda *_, of=of: of for name, of in planted.items()},
    )
    found = best_response(DOUBLE, find_profile(DOUBLE), "buyer")
    assert (
        found.best.attacker == "lucky" and found.best.gains.eq(0).all() and found.best.selected == 2
    )


def test_hindsight_about_a_bid_leaves_the_ask_as_it_was():
    """To ask more would gain a truthful seller much, so that who may change all of its action
    does so on most seeds.
    """
    market = make_market("parameter_trading_v0", n_agents=2, max_cycles=1)
    found = [
        ex_post_regret(market, find_profile(market), "trader_0", torch.arange(16), fields=fields)
        for fields in (("bid",), None)
    ]
    where = market.moves[0].action.slices["ask"]
    assert found[0].actions[:, where].eq(-1).all() and (found[1].actions[:, where] > -1).any()
    # money above cost
    assert found[0].reports["ask"].eq(0).all() and (found[1].reports["ask"] > 0).any()


def test_hindsight_about_one_report_leaves_the_others_as_they_were():
    """Where the market knows no breakpoints of them, whole lines of reports are tried."""
    market = make_market("data_market_v0", max_cycles=1, points=40, pilots=(10, 20), mixtures=3)
    truth, seeds = find_profile(market), torch.arange(2)
    found = ex_post_regret(market, truth, "seller_0", seeds, fields=("declared",), points=3)
    now = rounds.begin(market, seeds)
    played, action = rounds.act(market, truth, now)["seller"][:, 0], market.moves[0].action
    same = torch.ones(action.dim, dtype=torch.bool)
    same[action.slices["declared"]] = False
    assert torch.equal(found.actions[:, same], played[:, same])


def test_without_breakpoints_hindsight_tries_every_option_once():
    """Five values of each of four numbers, nine uploads, to leave or to stay; one field at a
    time, the others as they were.
    """
    (move,) = make_market("model_sharing_v0", learner=None, n_agents=2).moves
    seen = torch.ones(1, move.observation.dim)
    truth = move.write(seen, cost=1.0, size=1.0, need=1.0, effort=1.0, upload="honest", stay="stay")
    replies = exact._lines(truth, move, 5)
    said = move.read(seen[:, None].expand(-1, replies.shape[1], -1), replies)
    assert replies.shape[1] == 4 * 5 + 9 + 2
    assert said["upload"][0, 20:29, 0].tolist() == list(range(9)) and said["stay"][
        0, 29:, 0
    ].tolist() == [0, 1]
    torch.testing.assert_close(
        said["cost"][0, :5, 0],
        10 ** torch.tensor([-1, -0.5, 0, 0.5, 1]).double(),
        atol=1e-6,
        rtol=0,
    )
    assert said["cost"][0, 5:].eq(1).all() and said["upload"][0, :20].eq(0).all()


def test_what_a_pair_tries_twice_is_played_once():
    replies = torch.tensor([[[1.0, 2], [1, 2], [0, 2]], [[3, 4], [1, 2], [3, 4]]])
    places, earlier = exact._once(replies)
    assert sorted(torch.stack(places, 1).tolist()) == [[0, 0], [0, 2], [1, 0], [1, 1]]
    assert torch.equal(replies[places][earlier], replies)


def test_the_best_point_of_a_search_is_one_that_was_tried():
    """Planted: a point p earns -(p - .9)^2, on all seeds alike; of one generation the best is
    the point nearest to .9.
    """

    tried = []

    class Planted(Attack):
        def grid(self, bases, members, points):
            tried.append(points[:, 0])
            return -((points - 0.9) ** 2) * torch.ones(1, 4, dtype=torch.float64)

    planted = Planted(DOUBLE, find_profile(DOUBLE), ("buyer_0",), torch.arange(4))
    best, centre = search._evolve(
        planted, (lucky,), (families(DOUBLE.moves[0])["scale price"],), Budget(generations=1)
    )
    assert best == tried[0][(tried[0] - 0.9).abs().argmin()] and centre != best
