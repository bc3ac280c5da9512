"""Deviations in a market of several stages: regrets and gains that can be worked out by hand in the
relay market.

A seller names a price, two buyers of types U[0, 1] take the good or leave, and the seller ships it,
which costs ``COST`` each, or junk, whose price goes back. Truth asks 1/2, takes what is worth its
price, and ships the good.
"""

import dataclasses

import numpy as np
import pytest
import torch
from relay_market import COST, MOST_FEE, SHIPS, Drawn, Offer, Ship, relay_market

import agents.scenarios
from agents.lineups import find_profile
from agents.scenarios import Scenario
from agents.stress import (
    JUDGE,
    SELECT,
    Attack,
    Budget,
    Deviation,
    best_response,
    curve,
    estimate,
    ex_post_regret,
    families,
    psro,
    seeds_of,
    solve,
)
from agents.stress.deviation import Within
from agents.stress.scenarios import play_policies
from agents.stress.words import axis, say
from marketenv.core import rounds
from marketenv.core.market import Market
from marketenv.envs.sb3 import MarketSB3Env
from marketenv.envs.seats import learner_seat
from marketenv.envs.trained import EPSILON, PolicyFacts, TrainedPolicy, field_sizes

ONCE = relay_market(horizon=1)
SEEDS = seeds_of(JUDGE, 200)
BUDGET = Budget(select=512, judge=2048, points=21, population=32, generations=5)


@dataclasses.dataclass(frozen=True)
class Seller:
    """Asks a price and ships one thing."""

    price: float = 0.5
    ships: str = "good"

    def __call__(self, observation, move, keys):
        return move.write(
            observation,
            **({"price": self.price} if move.stage == "offer" else {"ships": self.ships}),
        )


@dataclasses.dataclass(frozen=True)
class Buyer:
    """Always takes the good, or never."""

    takes: bool

    def __call__(self, observation, move, keys):
        return move.write(observation, take=2.0 * self.takes - 1, stay=1.0)


always = Buyer(True)


def types_of(seeds, market=ONCE):
    """What the goods of the first round are worth to the two buyers [pairs, 2]."""
    profile = find_profile(market)
    return (
        next(report for *_, report in rounds.play(market, profile, seeds) if report is not None)
        .of(Drawn)
        .types
    )


def earned(price, types):
    """What a seller of the good earns at a price: so many orders, each the price less the cost."""
    return (types >= price).double().sum(-1) * (price - COST)


# --- hindsight ------------------------------------------------------------------------------------


def test_to_ship_junk_gains_nothing_where_its_price_is_given_back():
    """An order is worth 1/2 - .1 to who ships the good, and nothing to who ships junk."""
    found = ex_post_regret(ONCE, find_profile(ONCE), "seller_0", SEEDS, "ship")
    assert found.regret.eq(0).all() and found.reports["ships"].eq(float(SHIPS.number("good"))).all()
    torch.testing.assert_close(found.utility, earned(0.5, types_of(SEEDS)))


def test_to_ship_junk_saves_what_a_price_below_the_cost_loses():
    """At a price of .04 each order loses .06, so that junk, whose price goes back, gains that."""
    profile, types = find_profile(ONCE, {"seller": Seller(0.04)}), types_of(SEEDS)
    found = ex_post_regret(ONCE, profile, "seller_0", SEEDS, "ship")
    orders = (types >= 0.04).double().sum(1)
    torch.testing.assert_close(found.regret, 0.06 * orders, atol=1e-7, rtol=0)
    assert bool((found.reports["ships"][orders > 0] == float(SHIPS.number("junk"))).all())


def test_whoever_knew_the_types_would_sell_to_one_or_to_both():
    """To both at the lower type, to one at the higher, or not at all; prices of a grid of 101
    are at most .01 below that.
    """
    types = types_of(SEEDS)
    high, low = types.amax(1), types.amin(1)
    best = torch.stack([2 * (low - COST), high - COST, torch.zeros_like(low)]).amax(0)
    # the first of its stages: the offer
    found = ex_post_regret(ONCE, find_profile(ONCE), "seller_0", SEEDS)
    short = best - earned(0.5, types) - found.regret
    assert not found.exact and list(found.reports) == ["price"]
    assert float(short.min()) >= -1e-6 and float(short.max()) <= 2 * 0.01 + 1e-6


def test_a_buyers_best_reply_is_to_take_what_is_worth_its_price():
    types = types_of(SEEDS)[:, 0]
    assert ex_post_regret(ONCE, find_profile(ONCE), "buyer_0", SEEDS).regret.eq(0).all()
    for takes, missed in ((False, (types - 0.5).clamp(min=0)), (True, (0.5 - types).clamp(min=0))):
        found = ex_post_regret(
            ONCE, find_profile(ONCE, {"buyer_0": Buyer(takes)}), "buyer_0", SEEDS, fields=("take",)
        )
        torch.testing.assert_close(found.regret, missed)


def test_a_carrier_could_always_have_asked_its_largest_fee():
    """Only where there is one: .2 in place of .1 for each good, which the seller can pay of the
    two prices and its cash.
    """
    market = relay_market(horizon=1, carriers=1)
    found = ex_post_regret(market, find_profile(market), "carrier_0", SEEDS)
    orders = (types_of(SEEDS, market) >= 0.5).double().sum(1)
    torch.testing.assert_close(found.regret, orders * MOST_FEE / 2, atol=1e-6, rtol=0)


class KnownShip(Ship):
    """Names both options."""

    def breakpoints(self, floor, own, quotes, actions, who, fields):
        role, number = who
        assert role == "seller" and number == 0 and list(actions) == ["seller"]
        return SHIPS.grid(2).view(1, 2, 1).expand(len(floor.seeds), -1, -1)


class KnownOffer(Offer):
    """Names the prices at which a buyer still buys."""

    def breakpoints(self, floor, own, quotes, actions, who, fields):
        prices = self.moves["seller"].action["price"].write(floor.of(Drawn).types)
        return prices.nextafter(torch.tensor(-1.0))[..., None]  # float32 may lie above the type


def test_a_phase_that_knows_what_matters_is_believed_where_nobody_moves_after_it():
    """At the end of a round its actions are all that is tried. In the middle they are tried
    beside the grid.
    """
    phases = [
        {"ship": KnownShip(), "offer": KnownOffer()}.get(phase.name, phase) for phase in ONCE.phases
    ]
    market = Market(ONCE.people, phases)
    ships = ex_post_regret(market, find_profile(market), "seller_0", SEEDS, "ship")
    assert ships.exact and ships.regret.eq(0).all()
    types = types_of(SEEDS)
    best = torch.stack(
        [2 * (types.amin(1) - COST), types.amax(1) - COST, torch.zeros(len(SEEDS)).double()]
    ).amax(0)
    prices = ex_post_regret(market, find_profile(market), "seller_0", SEEDS, "offer", points=2)
    assert not prices.exact
    torch.testing.assert_close(
        prices.regret, (best - earned(0.5, types)).clamp(min=0), atol=1e-6, rtol=0
    )


# --- searches -------------------------------------------------------------------------------------


def test_the_curve_of_prices_is_what_enumeration_gives():
    """Seed by seed: so many types lie above the price, each worth the price less the cost;
    shipping is as it was.
    """
    attack = Attack(ONCE, find_profile(ONCE), ("seller_0",), SEEDS, stage="offer")
    found, types = curve(attack, families(ONCE.moves[0])["scale price"], 11), types_of(SEEDS)
    for by, gains in zip(found.parameters.tolist(), found.gains, strict=True):
        torch.testing.assert_close(
            gains, earned(0.5 * by, types) - earned(0.5, types), atol=1e-6, rtol=0
        )


def test_a_sellers_best_price_against_truthful_buyers():
    """2 (p - .1) (1 - p) is largest at .55: .405 in place of .4 a round; asked for 1/5 it gains
    .405 - .16.
    """
    found = best_response(
        ONCE,
        find_profile(ONCE, {"seller": Seller(0.2)}),
        "seller",
        ("grid", "cross_entropy"),
        BUDGET,
    )
    gain = found.best.gain_lower_bound
    assert gain.low <= 0.405 - 0.16 <= gain.high
    assert "price" in found.best.words and "(offer)" in found.best.words


SHIRKS = find_profile(ONCE, {"seller": Seller(ships="junk")})  # earns nothing


@pytest.mark.parametrize("rounds_", [1, 2])
def test_a_role_that_moves_twice_deviates_in_either_stage_or_in_both(rounds_):
    """Whoever ships junk earns nothing at any price; to ship the good earns .4 a round, and
    .405 at a better price too.
    """
    market, searches = relay_market(horizon=rounds_), ("grid", "cross_entropy", "scripted")
    budget = Budget(select=256, judge=1024, points=11, population=16, generations=4)
    offers, ships, both = (
        best_response(market, SHIRKS, "seller", searches, budget, stage=stage)
        for stage in ("offer", "ship", None)
    )
    assert offers.best.gains.eq(0).all() and offers.best.words.endswith("(offer)")
    assert ships.best.gain_lower_bound.low <= 0.4 * rounds_ <= ships.best.gain_lower_bound.high
    assert ships.best.words == "ships: good (ship)"
    assert both.best.selected >= ships.best.selected
    assert "ships: good (ship)" in both.best.words


def test_cross_entropy_goes_over_the_fields_of_all_stages():
    """From a price of 1/5 and junk only both changes together earn .405."""
    profile = find_profile(ONCE, {"seller": Seller(0.2, "junk")})
    best = best_response(
        ONCE, profile, "seller", ("cross_entropy",), dataclasses.replace(BUDGET, generations=10)
    ).best
    policy = best.policies[0]
    assert (
        isinstance(policy, Deviation)
        and "(offer)" in best.words
        and "ships: good (ship)" in best.words
    )
    assert float(best.gains.mean()) > 0.3


def test_a_deviation_in_one_stage_leaves_the_others_to_the_bit():
    attack = Attack(ONCE, find_profile(ONCE), ("seller_0",), SEEDS)
    offer, ship = attack.moves_of("seller_0")
    lie = Deviation(Seller(), families(offer)["scale price"], torch.tensor([[0.5]]).double())
    seen, keys = attack.policy_inputs("seller_0", "ship")
    assert torch.equal(lie(seen, ship, keys), Seller()(seen, ship, keys))
    seen, keys = attack.policy_inputs("seller_0", "offer")
    assert lie(seen, offer, keys).eq(-0.5).all()  # a quarter
    junk = Within(Seller(), Seller(0.1, "junk"), stage="ship")
    assert torch.equal(junk(seen, offer, keys), Seller()(seen, offer, keys))
    assert junk(*attack.policy_inputs("seller_0", "ship")[:1], ship, keys).eq(SHIPS.low).all()


def test_what_no_deviation_changes_is_played_once():
    """A buyer's deviations start where it replies: the seller is asked for its price once,
    whatever is tried afterwards.
    """
    asked = []

    def spy(observation, move, keys):
        asked.append(move.stage)
        return Seller()(observation, move, keys)

    attack = Attack(ONCE, find_profile(ONCE, {"seller": spy}), ("buyer_0",), SEEDS)
    family = families(ONCE.moves[1])["shift take"]
    gains = attack.grid(attack.bases(), (family,), torch.tensor([[0.0], [2.0], [-2.0]]).double())
    # of those who stay, and of all three together
    assert asked.count("offer") == 1 and asked.count("ship") == 2
    types = types_of(SEEDS)[:, 0]
    # always yes: what is not worth its price is bought too
    torch.testing.assert_close(gains[1], (types - 0.5).clamp(max=0))
    torch.testing.assert_close(gains[2], -(types - 0.5).clamp(min=0))  # always no


def test_words_name_the_stage_where_a_role_moves_in_several():
    attack = Attack(ONCE, find_profile(ONCE), ("seller_0", "buyer_0"), SEEDS)
    lines = attack.lines(attack.bases())
    assert list(lines["seller"]) == ["scale price (offer)", "choose ships (ship)"]
    assert "shift take" in lines["buyer"]  # it moves once
    assert axis(lines["seller"]["scale price (offer)"]) == "price (offer), times what it was"
    truth = ONCE.policies["truthful"]
    junk = Deviation(truth, lines["seller"]["choose ships (ship)"], torch.zeros(1, 1).double())
    leaves = Deviation(
        truth, families(ONCE.moves[1])["shift take"], torch.tensor([[-2.0]]).double()
    )
    assert say(attack, (junk, leaves)).startswith("seller_0: ships: junk (ship); buyer_0: take ")
    assert str(junk) == "ships (ship): junk"


def test_a_seller_and_its_carrier_gain_nothing_from_each_others_fees():
    """They share what they earn, so that only the price matters; a fee goes from one to the
    other.
    """
    market = relay_market(horizon=1, carriers=1)
    attack = Attack(market, find_profile(market), ("seller_0", "carrier_0"), SEEDS, stage="ship")
    fee = attack.lines(attack.bases())["carrier"]["scale fee"]
    stay = attack.lines(attack.bases())["seller"]["choose ships (ship)"]
    gains = attack.grid(
        attack.bases(), (stay, fee), torch.tensor([[1.0, 0.5], [1.0, 2.0], [0.0, 1.0]]).double()
    )
    assert float(gains[:2].abs().max()) < 1e-12
    # junk: the orders are lost
    torch.testing.assert_close(gains[2], -earned(0.5, types_of(SEEDS, market)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_response(ONCE, SHIRKS, "seller", stage="shop"), "Did you mean 'ship'"),
        (
            lambda: best_response(ONCE, SHIRKS, "buyer", stage="ship"),
            "no stage in which buyer_0 moves 'ship'",
        ),
        (
            lambda: best_response(ONCE, SHIRKS, "seller", stage="ship", fields=("price",)),
            "no field of the action 'price'",
        ),
        (
            lambda: ex_post_regret(ONCE, SHIRKS, "seller_0", SEEDS, "ship", fields=("price",)),
            "no field of the action 'price'",
        ),
        (
            lambda: curve(
                Attack(ONCE, SHIRKS, ("buyer_0",), SEEDS), families(ONCE.moves[0])["scale price"]
            ),
            "in stage 'offer', in which buyer_0 does not",
        ),
    ],
)
def test_stages_and_fields_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- games of policies ----------------------------------------------------------------------------


def test_a_meta_game_of_sellers_who_ship_good_or_junk():
    """The good earns its seller .4 and the two buyers 1/8 each; junk earns nobody anything:
    whoever can ships the good.
    """
    strategies = {
        "seller": {"good": "truthful", "junk": Seller(ships="junk")},
        "buyer": {"truth": "truthful", "no": Buyer(False)},
    }
    game = estimate(ONCE, strategies, seeds_of(SELECT, 4000))
    found = {(row["role"], row["strategy"], row["profile"]): row["mean"] for row in game.rows()}
    both = "2 buyer truth"
    assert found["seller", "good", f"1 seller good, {both}"] == pytest.approx(0.4, abs=0.02)
    assert found["buyer", "truth", f"1 seller good, {both}"] == pytest.approx(1 / 8, abs=0.01)
    assert (
        found["seller", "junk", f"1 seller junk, {both}"]
        == found["buyer", "truth", f"1 seller junk, {both}"]
        == 0
    )
    assert solve(game).mix["seller"] == {"good": 1.0, "junk": 0.0}


def test_psro_finds_the_stage_in_which_a_shirker_errs():
    """From junk the seller comes to ship the good, and to ask about .55."""
    start = {"seller": {"shirks": Seller(ships="junk")}, "buyer": {"truth": "truthful"}}
    budget = Budget(select=1024, judge=1024, points=11)
    found = psro(ONCE, start, eps=0.02, attackers=("grid",), budget=budget, pairs=256, iterations=4)
    assert found.stopped == "converged" and found.history[0].added == {
        "seller": "1: ships: good (ship)"
    }
    assert found.history[-1].equilibrium.value["seller"] == pytest.approx(0.4, abs=0.05)


def test_a_scenario_of_several_stages(monkeypatch):
    """Buyers who take everything pay any price: a seller who asks 1 earns 2 (1 - .1) where
    truth earns 2 (.5 - .1).
    """
    monkeypatch.setattr(
        agents.scenarios, "make_market", lambda name, **arguments: relay_market(**arguments)
    )
    eager = {"buyer": {"test_stress_stages:always": 1.0}}
    asked = Scenario(
        name="eager",
        market="relay",
        arguments={"horizon": 1},
        focal=("seller_0",),
        background=eager,
        words="-",
    )
    found = play_policies(asked, {"dear": Seller(1.0), "junk": Seller(ships="junk")}, 20)
    assert found["dear"].returns.tolist() == pytest.approx([1.8] * 20)
    assert found["dear"].truthful.tolist() == pytest.approx([0.8] * 20)
    assert found["junk"].returns.eq(0).all()


# --- learners -------------------------------------------------------------------------------------


def wavy(seat):
    """A policy of one layer: its actions depend on all that a door shows, flags too."""
    inputs, outputs = seat.observation.dim, seat.action.dim
    weight = torch.linspace(-0.3, 0.3, inputs * outputs).reshape(inputs, outputs).T.contiguous()
    nothing = torch.zeros(inputs, dtype=torch.float64)
    facts = PolicyFacts(
        market="relay",
        role="seller",
        stages=seat.stages,
        sees=field_sizes(seat.observation),
        does=field_sizes(seat.action),
        network=(),
        activation="tanh",
        squashed=True,
        clip=1e30,
        algorithm="none",
        steps=0,
    )
    layers = ((weight, torch.zeros(outputs)),)
    box = seat.action
    return TrainedPolicy(facts, layers, nothing, nothing + 1 - EPSILON, box.low, box.high, seat)


def test_a_learned_policy_plays_in_every_stage_as_it_did_through_the_door():
    """The door joins both stages with flags, and so does the policy wherever it plays: the same
    utilities, episode by episode.
    """
    market = relay_market(horizon=3)
    seat = learner_seat(market, "seller")
    door = MarketSB3Env(market, 8, "seller_0")
    door.seed(5)
    seen, earned_there, policy = door.reset(), np.zeros(8), wavy(seat)
    for _ in range(6):
        seen, rewards, *_ = door.step(policy.act(torch.as_tensor(seen)).numpy())
        earned_there += rewards
    profile = find_profile(market) | {"seller_0": policy}
    found = Attack(market, profile, ("seller_0",), torch.arange(5, 13)).base
    assert (
        found.tolist() == pytest.approx(earned_there.tolist(), abs=1e-5) and len(found.unique()) > 1
    )


def test_a_learner_that_begins_at_the_truth_learns_all_of_its_stages():
    """It is taught the truthful price and to ship the good, which alone earns .4 in place of
    nothing.
    """
    (found,) = best_response(
        ONCE, SHIRKS, "seller", ("ppo",), Budget(select=64, judge=1024, rl_steps=2048)
    ).deviations
    assert found.gain_lower_bound.low > 0.3
    with pytest.raises(ValueError, match="ppo learns all stages, not 'ship' alone"):
        best_response(ONCE, SHIRKS, "seller", ("ppo",), BUDGET, stage="ship")
