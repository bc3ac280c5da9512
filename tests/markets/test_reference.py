"""The reference markets against what theory says of them: closed forms, equilibria, and
properties of every round.
"""

import dataclasses
import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv import make_market
from marketenv.core import draws, rounds
from marketenv.core.ledger import net
from marketenv.core.market import Breakpoints, agent_names
from marketenv.markets.reference import GAMES, Auctioned, ReferenceConfig, reference
from marketenv.mechanisms import (
    double_auction,
    first_price_equilibrium_bid,
    linear_equilibrium_ask,
    linear_equilibrium_bid,
)

DRAWS = 200_000  # independent rounds: a batch of that many markets of one round


def price_to_action(price):
    """Undo price = price_max (1 + a) / 2 for price_max = 1, the default."""
    return 2 * price[..., :1] - 1


def equilibrium_trader(observation, role, keys):
    """The linear equilibrium of Chatterjee and Samuelson (1983) for values and costs U[0, 1] at
    weight 1/2.
    """
    report = linear_equilibrium_bid if role.name == "buyer" else linear_equilibrium_ask
    return price_to_action(report(observation[..., :1], 0.5, 0, 1, 0, 1))


def shading(factor):
    """Bid the given share of one's value."""
    return lambda observation, role, keys: price_to_action(factor * observation[..., :1])


def one_round(policy, n_markets=DRAWS, seed=0, **config):
    """The report of one round: one policy for all, or one per role or agent and truth for the
    others.
    """
    market = make_market("reference_v0", **config)
    chosen = policy if isinstance(policy, dict) else dict.fromkeys(agent_names(market), policy)
    policies = {
        a: chosen.get(a, chosen.get(a.split("_")[0], market.policies["truthful"]))
        for a in agent_names(market)
    }
    ((_, _, report),) = rounds.play(market, policies, seed + torch.arange(n_markets))
    return report


@pytest.fixture(scope="module")
def truthful_round():
    """The report of a round in which everybody tells the truth, which several tests read."""
    return cache(lambda **config: one_round({}, **config))


@pytest.fixture(scope="module")
def equilibrium_round():
    """The report of a double auction of equilibrium traders."""
    return one_round(equilibrium_trader)


def close(samples, expected, errors=4):
    """The mean lies within four standard errors: a sound market fails this once in 16,000
    choices of the seed.
    """
    samples = samples.double()
    return (
        abs(float(samples.mean()) - expected) <= errors * float(samples.std()) / len(samples) ** 0.5
    )


# --- the double auction: v, c ~ U[0, 1] -----------------------------------------------------------


def test_truthful_double_auction_shares_the_efficient_surplus(truthful_round):
    report = truthful_round()
    # E max(v - c, 0) = 1/6, and the price in the middle gives each side half of it: 1/12; they
    # trade where v > c: 1/2
    assert close(report.rewards[:, 0], 1 / 12) and close(report.rewards[:, 1], 1 / 12)
    assert close(report.of(Auctioned).traded[:, 0], 1 / 2)


def test_the_linear_equilibrium_trades_and_pays_what_its_closed_form_says(equilibrium_round):
    report = equilibrium_round
    # bid = 2v/3 + 1/12 and ask = 2c/3 + 1/4 meet where v - c >= 1/4: probability (3/4)^2 / 2 =
    # 9/32. With d = v - c of density 1 - d the surplus is the integral of d (1 - d) from 1/4 to 1 =
    # 9/64: 9/128 each.
    assert close(report.of(Auctioned).traded[:, 0], 9 / 32)
    assert close(report.rewards[:, 0], 9 / 128) and close(report.rewards[:, 1], 9 / 128)
    assert bool(
        (report.of(Auctioned).types[:, 0] - report.of(Auctioned).types[:, 1] >= 1 / 4 - 1e-6)[
            report.of(Auctioned).traded[:, 0] > 0
        ].all()
    )


@pytest.mark.parametrize("role", [0, 1], ids=["buyer", "seller"])
def test_shading_against_an_honest_partner_gains_a_third(role, truthful_round):
    # Against ask = c the bid b earns v b - 3 b^2 / 4, best at b = 2 v / 3: v^2 / 3 instead of the
    # honest v^2 / 4, +33.3 %. The seller is the mirror image: 1 - ask = 2 (1 - c) / 3.
    seller = lambda observation, role, keys: price_to_action(1 - 2 * (1 - observation[..., :1]) / 3)  # noqa: E731
    honest = truthful_round()
    shaded = one_round({"buyer": shading(2 / 3)} if role == 0 else {"seller": seller})
    assert torch.equal(honest.of(Auctioned).types, shaded.of(Auctioned).types)
    assert close(shaded.rewards[:, role] - 4 / 3 * honest.rewards[:, role], 0)
    assert close(shaded.rewards[:, role], 1 / 9)  # E v^2 / 3


@pytest.mark.parametrize("factor", [0.5, 0.6, 0.9, 1.0])
def test_no_shading_gains_against_an_equilibrium_seller(factor, equilibrium_round):
    equilibrium = equilibrium_round
    other = one_round({"seller": equilibrium_trader, "buyer": shading(factor)})
    gain = other.rewards[:, 0] - equilibrium.rewards[:, 0]
    assert float(gain.mean()) < 4 * float(gain.std()) / DRAWS**0.5


# --- auctions: n values ~ U[0, 1] -----------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_truthful_second_price_pays_the_second_highest_value(n, truthful_round):
    report = truthful_round(game="second_price", n_buyers=n)
    revenue = report.transfers[:, :, -1].sum(1)
    # order statistics of U[0, 1]: E max = n / (n + 1), E second = (n - 1) / (n + 1); a buyer wins
    # the difference 1 time in n
    assert close(revenue, (n - 1) / (n + 1))
    assert all(close(report.rewards[:, k], 1 / (n * (n + 1))) for k in range(n))
    assert float(report.of(Auctioned).traded.sum(1).mean()) == 1


@pytest.mark.parametrize("n", [2, 3, 6])
def test_first_price_equilibrium_earns_the_seller_the_same(n, truthful_round):
    bid = (  # noqa: E731
        lambda observation, role, keys: price_to_action(
            first_price_equilibrium_bid(observation[..., :1], n)
        )
    )
    report = one_round(bid, game="first_price", n_buyers=n)
    truthful = truthful_round(game="second_price", n_buyers=n)
    revenue = report.transfers[:, :, -1].sum(1)
    assert close(revenue, (n - 1) / (n + 1))  # revenue equivalence (Vickrey 1961, Myerson 1981)
    assert close(revenue - truthful.transfers[:, :, -1].sum(1), 0)
    assert close(report.rewards.sum(1), 1 / (n + 1))


def test_truthful_first_price_bids_leave_nothing():
    report = one_round({}, game="first_price", n_buyers=3)
    # the winner pays its value; observations are float32
    assert float(report.rewards.abs().max()) < 1e-7


@pytest.mark.parametrize("factor", [0.8, 1.0])
def test_a_first_price_deviation_does_not_pay(factor):
    equilibrium, deviation = (
        one_round({"buyer": shading(1 / 2), "buyer_0": shading(f)}, game="first_price")
        for f in (1 / 2, factor)
    )
    # against bids v / 2 the bid f v wins with probability 2 f v (at most 1): worse for every f but
    # 1/2
    loss = equilibrium.rewards[:, 0] - deviation.rewards[:, 0]
    assert float(loss.mean()) > 4 * float(loss.std()) / DRAWS**0.5


@pytest.mark.parametrize("game", ["first_price", "second_price"])
def test_a_reserve_of_one_half_sells_three_times_in_four(game):
    report = one_round({}, game=game, reserve=0.5)
    revenue = report.transfers[:, :, -1].sum(1)
    assert close(report.of(Auctioned).traded.sum(1), 3 / 4)  # 1 - P(both values below 1/2)
    # second price with the optimal reserve 1/2: E max(v2, 1/2) over sales = 5/12 (Myerson 1981);
    # truthful first price: the integral of 2 x^2 from 1/2 to 1 = 7/12
    assert close(revenue, {"second_price": 5 / 12, "first_price": 7 / 12}[game])
    paid = report.paid.sum(1)
    assert bool(((paid == 0) | (paid >= 0.5)).all())


def test_intervals_scale_values_costs_and_prices():
    report = one_round({}, values=(2.0, 4.0), costs=(1.0, 2.0), n_markets=50_000)
    # v - c is always >= 0 and has mean 3 - 1.5: everybody trades at the middle price
    assert float(report.of(Auctioned).traded.mean()) == pytest.approx(1, abs=1e-3)
    assert close(report.of(Auctioned).types[:, 0], 3) and close(
        report.of(Auctioned).types[:, 1], 1.5
    )
    assert close(report.rewards[:, 0], 0.75) and close(report.rewards[:, 1], 0.75)
    assert torch.allclose(report.of(Auctioned).offers, report.of(Auctioned).types, atol=1e-6)


# --- rounds worked by hand ------------------------------------------------------------------------


def cleared(types, prices, **config):
    """The market after a round of given types (buyers, then the seller or the reserve) and
    prices, and its report.
    """
    market = make_market("reference_v0", n_buyers=len(types) - 1, **config)
    now = rounds.begin(market, torch.tensor([0]))
    now = dataclasses.replace(now, quotes=torch.tensor([types], dtype=torch.float64))
    return rounds.advance(market, now, by_role(market, 2 * torch.tensor(prices)[None, :, None] - 1))


def by_role(market, actions):
    """Actions [markets, agents, 1] by role."""
    return {move.name: actions[:, market.people.rows[move.name]] for move in market.moves}


def last_price(now):
    return now.owns["auction"].tolist()


def test_a_double_auction_by_hand():
    new, report = cleared([0.9, 0.2], [0.75, 0.25])
    # price (0.75 + 0.25) / 2 = 0.5: the buyer gains 0.9 - 0.5, the seller 0.5 - 0.2
    assert report.rewards[0].tolist() == pytest.approx([0.4, 0.3])
    assert report.transfers[0].tolist() == [[0, 0.5], [0, 0]] and report.of(
        Auctioned
    ).traded.tolist() == [[1, 1]]
    assert report.paid.tolist() == [[0.5, 0]] and report.received.tolist() == [[0, 0.5]]
    assert last_price(new) == [0.5] and new.floor.round.tolist() == [1]


def test_no_trade_where_the_bid_misses_the_ask():
    new, report = cleared([0.9, 0.2], [0.25, 0.75])
    assert not report.transfers.any() and not report.rewards.any() and last_price(new) == [0]


@pytest.mark.parametrize(("game", "price"), [("first_price", 0.75), ("second_price", 0.5)])
def test_an_auction_by_hand(game, price):
    new, report = cleared([0.9, 0.6, 0.3, 0.1], [0.75, 0.5, 0.25], game=game, reserve=0.1)
    assert report.rewards[0].tolist() == pytest.approx([0.9 - price, 0, 0])
    assert report.transfers[0, 0].tolist() == [0, 0, 0, price] and report.transfers.sum() == price
    assert report.of(Auctioned).traded.tolist() == [[1, 0, 0]] and last_price(new) == [price]


def test_what_a_good_is_worth_and_what_it_costs_are_terms_and_its_price_is_a_flow():
    _, report = cleared([0.9, 0.2], [0.75, 0.25])
    assert report.terms["value"]["buyer"].tolist() == [[0.9]] and report.terms["cost"][
        "seller"
    ].tolist() == [[-0.2]]
    flow = report.flows["price"]
    assert (flow.payer, flow.payee, flow.money.tolist()) == ("buyer", "seller", [[[0.5]]])
    _, auction = cleared([0.9, 0.6, 0.1], [0.75, 0.5], game="first_price", reserve=0.1)
    assert auction.flows["price"].payee == "operator" and list(auction.terms) == ["value"]
    assert auction.names == [
        "buyer_0",
        "buyer_1",
        "account operator",
    ] and auction.ledger.cash.tolist() == [[-0.75, 0, 0.75]]


def test_the_price_of_the_last_sale_stays_known():
    market = make_market("reference_v0", max_cycles=3)
    now = rounds.begin(market, torch.tensor([0]))
    # bid 1/2, ask 0; bid 0, ask 1
    sale, none = torch.tensor([[[0.0], [-1.0]]]), torch.tensor([[[-1.0], [1.0]]])
    now, _ = rounds.advance(market, now, by_role(market, sale))
    now, report = rounds.advance(market, now, by_role(market, none))
    for move in market.moves:
        seen = move.observation.unpack(rounds.observe(market, now)[move.name])
        assert seen["last_price"].tolist() == [[[0.25]]]  # (1/2 + 0) / 2, from the round before
        assert seen["round"].item() == pytest.approx(2 / 3)
    assert not report.transfers.any()


def test_types_are_private_and_fresh_every_round():
    market = make_market("reference_v0", max_cycles=2, game="first_price", n_buyers=4)
    now = rounds.begin(market, torch.arange(3))
    assert torch.equal(rounds.observe(market, now)["buyer"][..., 0], now.quotes[:, :4].float())
    later, _ = rounds.advance(market, now, {"buyer": torch.zeros(3, 4, 1)})
    assert not bool((later.quotes[:, :4] == now.quotes[:, :4]).any())
    end, _ = rounds.advance(market, later, {"buyer": torch.zeros(3, 4, 1)})
    assert not end.playing and not rounds.observe(market, end)["buyer"][..., 0].any()


def test_what_is_drawn_is_what_the_seed_the_round_and_the_purpose_say():
    market = make_market("reference_v0", max_cycles=2, values=(2.0, 4.0), costs=(1.0, 2.0))
    seeds = torch.tensor([5, 6])
    now, _ = rounds.advance(
        market, rounds.begin(market, seeds), {r: torch.zeros(2, 1, 1) for r in ("buyer", "seller")}
    )
    u = draws.uniform(draws.fold(seeds, "type", torch.tensor([1, 1])), 2)  # of the second round
    assert torch.equal(now.quotes, torch.stack([2 + 2 * u[:, 0], 1 + u[:, 1]], 1))


def test_a_mechanism_may_be_any_callable():
    seller_names_the_price = lambda bids, asks: double_auction(bids, asks, weight=0.0)  # noqa: E731
    _, report = cleared([0.9, 0.2], [0.75, 0.25], mechanism=seller_names_the_price)
    assert report.paid.tolist() == [[0.25, 0]]
    with pytest.raises(
        ValueError, match=r"no mechanism 'first_prise'\. Did you mean 'first_price'"
    ):
        make_market("reference_v0", mechanism="first_prise")


# --- properties of every round --------------------------------------------------------------------

games = st.sampled_from(sorted(GAMES))
unit = st.floats(0, 1, width=32)


@given(games, st.integers(1, 5), st.integers(0, 10_000), st.sampled_from(["truthful", "random"]))
def test_books_balance_and_truth_never_loses(game, n, seed, policy):
    config = (
        {"game": game}
        if game == "double_auction"
        else {"game": game, "n_buyers": n, "reserve": 0.1}
    )
    market = make_market("reference_v0", **config)
    report = one_round(market.policies[policy], n_markets=8, seed=seed, **config)
    assert float(net(report.transfers).sum(1).abs().max()) < 1e-12
    assert bool((report.transfers >= 0).all())
    # the seller never pays
    assert not report.transfers.diagonal(0, 1, 2).any() and not report.transfers[:, -1].any()
    if policy == "truthful":  # individual rationality, up to the rounding of float32 observations
        assert float(report.rewards.min()) >= -1e-6
    losers = report.of(Auctioned).traded == 0
    assert not report.paid[losers].any() and not report.received[losers].any()


@given(
    st.sampled_from(["first_price", "second_price"]),
    st.integers(0, 10_000),
    st.permutations(range(4)),
)
def test_buyers_are_treated_alike(game, seed, order):
    market = make_market("reference_v0", game=game, n_buyers=4, reserve=0.1)
    now = rounds.begin(market, torch.tensor([seed, seed + 1]))
    actions = rounds.act(market, dict.fromkeys(agent_names(market), market.policies["random"]), now)
    mixed = dataclasses.replace(now, quotes=now.quotes[:, [*order, 4]])
    _, report = rounds.advance(market, now, actions)
    _, permuted = rounds.advance(market, mixed, {"buyer": actions["buyer"][:, order]})
    assert torch.equal(permuted.rewards, report.rewards[:, order])
    assert torch.equal(permuted.transfers[:, :-1], report.transfers[:, order][:, :, [*order, 4]])


@given(st.lists(st.tuples(unit, unit), min_size=2, max_size=5))
def test_no_bid_beats_the_truth_in_a_second_price_auction(buyers):
    values, bids = zip(*buyers, strict=True)
    truthful = (values[0], *bids[1:])
    (_, lied), (_, honest) = (
        cleared([*values, 0.2], list(b), game="second_price", reserve=0.2) for b in (bids, truthful)
    )
    assert float(honest.rewards[0, 0]) >= float(lied.rewards[0, 0]) - 1e-6


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"game": "first_prize"}, r"no game 'first_prize'\. Did you mean 'first_price'"),
        ({"n_buyers": 2}, "n_buyers is 2; a double_auction wants exactly 1"),
        ({"game": "first_price", "n_buyers": 0}, "n_buyers is 0, wanted a whole number >= 1"),
        (
            {"values": (1.0, 1.0)},
            r"values is \(1.0, 1.0\), wanted an interval .low, high., 0 <= low < high",
        ),
        ({"costs": (-1.0, 1.0)}, r"costs is \(-1.0, 1.0\)"),
        ({"values": (0.0, float("nan"))}, "values is"),
        ({"max_cycles": 0}, "max_cycles is 0"),
        ({"reserve": float("nan")}, "reserve is nan, wanted a finite number >= 0"),
        ({"horizon": "cuts"}, r"no horizon 'cuts'\. Did you mean 'cut'"),
    ],
)
def test_impossible_arguments_are_refused(config, says):
    with pytest.raises(ValueError, match=says):
        ReferenceConfig(**config)


def test_the_default_is_a_double_auction_of_one_round():
    market = reference()
    assert agent_names(market) == ("buyer_0", "seller_0") and market.horizon == 1
    assert [
        (move.name, move.stage, move.observation.dim, move.action.dim) for move in market.moves
    ] == [
        ("buyer", "auction", 3, 1),
        ("seller", "auction", 3, 1),
    ]
    assert market.facts == ("utility", "paid", "received", "cash", "traded")


def test_where_the_seller_plays_there_is_no_operator():
    for game, buyers, sellers, operators in (
        ("double_auction", 1, 1, 0),
        ("first_price", 2, 0, 1),
        ("second_price", 2, 0, 1),
    ):
        people = reference(ReferenceConfig(game=game)).people
        assert (people.roles, people.accounts) == (
            {"buyer": buyers, "seller": sellers},
            {"operator": operators},
        )


# --- breakpoints ----------------------------------------------------------------------------------


def points_of(market, now, actions, role, number, fields=None):
    auction = market.phase(Breakpoints)
    return auction.breakpoints(
        now.floor, now.owns[auction.name], now.quotes, actions, (role, number), fields
    )


def test_breakpoints_are_the_others_offers_what_lies_beside_them_and_the_ends():
    market = make_market("reference_v0", game="second_price", n_buyers=3, reserve=0.25)
    now = rounds.begin(market, torch.tensor([0]))
    points = points_of(market, now, {"buyer": torch.tensor([[[0.5], [-0.5], [0.0]]])}, "buyer", 1)
    # the reserve 1/4 is named by -1/2
    assert points.shape == (1, 11, 1) and points[0, :3, 0].tolist() == [0.5, 0, -0.5]
    assert points[0, -2:, 0].tolist() == [-1, 1]
    above, below = points[0, 3:6, 0] - points[0, :3, 0], points[0, :3, 0] - points[0, 6:9, 0]
    assert bool(
        (above > 0).all() and (above < 1e-6).all() and (below > 0).all() and (below < 1e-6).all()
    )
    two_sided = reference()
    now = rounds.begin(two_sided, torch.tensor([0]))
    actions = {"buyer": torch.tensor([[[0.5]]]), "seller": torch.tensor([[[-0.25]]])}
    # the ask, and not one's own bid
    assert points_of(two_sided, now, actions, "buyer", 0)[0, 0].item() == -0.25
    assert points_of(two_sided, now, actions, "seller", 0, ("price",))[0, 0].item() == 0.5
    assert points_of(two_sided, now, actions, "seller", 0).shape == (1, 5, 1)


def test_breakpoints_of_a_rule_of_ones_own_are_not_known():
    market = make_market("reference_v0", mechanism=lambda bids, asks: double_auction(bids, asks))
    now = rounds.begin(market, torch.tensor([0]))
    actions = {role: torch.zeros(1, 1, 1) for role in ("buyer", "seller")}
    assert points_of(market, now, actions, "buyer", 0) is None


@pytest.mark.long
@settings(max_examples=40)  # of eight tried actions each
@given(games, st.integers(0, 10_000), st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8))
def test_no_action_beats_the_best_breakpoint(game, seed, tried):
    """An action of the box, for one buyer, earns no more than the best of its breakpoints."""
    market = (
        make_market("reference_v0", game=game, reserve=0.1)
        if game != "double_auction"
        else reference()
    )
    now = rounds.begin(market, torch.tensor([seed]))
    actions = rounds.act(market, dict.fromkeys(agent_names(market), market.policies["random"]), now)
    points = points_of(market, now, actions, "buyer", 0)[0, :, 0].tolist()

    def earned(action):
        bids = actions["buyer"].clone()
        bids[0, 0, 0] = action
        return float(rounds.advance(market, now, actions | {"buyer": bids})[1].rewards[0, 0])

    assert max(map(earned, tried)) <= max(map(earned, points)) + 1e-9


@pytest.mark.parametrize("rounds", [math.nan, 1.5])
def test_rounds_are_whole_numbers(as_for_a_user, rounds):
    """No number of finished rounds ever reaches NaN, so the game would not end."""
    with pytest.raises(ValueError, match=f"max_cycles is {rounds}"):
        make_market("reference_v0", max_cycles=rounds)
