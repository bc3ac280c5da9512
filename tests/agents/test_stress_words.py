"""What a deviation is said to report: in money, multiples, shares and choices, as the market
really reads it.
"""

import pytest
import torch
from relay_market import relay_market

from agents.lineups import find_profile
from agents.stress import (
    SELECT,
    Attack,
    Budget,
    Deviation,
    Family,
    best_response,
    curve,
    families,
    seeds_of,
)
from agents.stress.words import axis, say
from marketenv import make_market
from marketenv.core import rounds
from marketenv.markets.model_sharing import Shared
from marketenv.markets.parameter_trading import Traded

DOUBLE = make_market("reference_v0", game="double_auction")
SHARING = make_market("model_sharing_v0", learner=None, n_agents=4, max_cycles=1)
TRADING = make_market("parameter_trading_v0", n_agents=2, max_cycles=1)
ABSOLUTE = make_market(
    "parameter_trading_v0", n_agents=2, max_cycles=1, bid_mode="absolute", bid_max=10.0
)
SMALL = Budget(select=16, judge=16, points=9, population=8, generations=2)


def attack(market, agent, **kwargs):
    return Attack(market, find_profile(market), (agent,), seeds_of(SELECT, 16), **kwargs)


def lie(market, agent, name, by, base=None):
    """A deviation's words and what the market says was reported, under truth, in the first
    round.
    """
    attacked = attack(market, agent)
    base = base or market.policies["truthful"]
    family = families(attacked.moves_of(attacked.agents[0])[0])[name]
    policy = Deviation(base, family, torch.tensor([[by]], dtype=torch.float64))
    actions = rounds.act(market, attacked.profile | {agent: policy}, attacked.start)
    _, report = rounds.advance(market, attacked.start, actions)
    return say(attacked, (policy,)), attacked.start, report


def test_a_size_of_5_62_times_the_truth_is_reported_so():
    """10^.75 = 5.62; the truth itself lies in the middle of the box, and the factor is no
    multiple of its place there.
    """
    words, now, report = lie(SHARING, "client_0", "scale size", 10**0.75)
    assert words == "size 5.62 times the truth"
    ratio = report.of(Shared).reported.sizes[:, 0] / now.floor.types["client"]["sizes"][:, 0]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 5.6234), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("market", "agent", "name", "by", "words"),
    [
        (DOUBLE, "buyer_0", "scale price", 0.65, "price 0.65 times what it was"),
        (
            DOUBLE,
            "buyer_0",
            "shift price",
            -0.01,
            "price lowered by 0.01 money",
        ),  # less than any of the sixteen values: nothing is clipped
        (TRADING, "trader_0", "scale bid", 0.5, "bid 0.5 times the worth"),
        (TRADING, "trader_0", "shift effort", -0.25, "effort 0.75 of full effort, was 1"),
        (TRADING, "trader_0", "scale effort", 0.75, "effort 0.75 of full effort, was 1"),
        # the least that can be said
        (SHARING, "client_0", "scale need", 0.01, "need 0.1 times the truth"),
        (SHARING, "client_0", "choose upload", 4.0, "upload: scaled"),
        (SHARING, "client_0", "choose stay", 0.0, "stay: leave"),
        (SHARING, "client_0", "choose stay", 1.0, "what it would report anyway"),
        (SHARING, "client_0", "scale size", 1.0, "what it would report anyway"),
    ],
)
def test_words_of_a_deviation(market, agent, name, by, words):
    assert lie(market, agent, name, by)[0] == words


def test_money_that_is_added_is_said_in_money():
    """Truth asks nothing above cost."""
    words, _, report = lie(TRADING, "trader_0", "shift ask", 0.5)
    assert words == "ask raised by 0.5 money above cost"
    asks = report.of(Traded).asks
    torch.testing.assert_close(
        asks[:, 1, 0], torch.full_like(asks[:, 1, 0], 0.5), atol=1e-6, rtol=0
    )


def test_bids_in_money_are_said_as_a_part_of_what_they_were():
    words, _, _ = lie(ABSOLUTE, "trader_0", "scale bid", 0.5)
    assert words == "bid 0.5 times what it was"


def test_the_commonest_option_is_said_with_its_share():
    """Whoever has a cost below 1.7, which are 13 of the 16 seeds, uploads noise."""

    def cheap(reports, parameters, observation, role):
        return {
            "upload": torch.where(
                role.observation.unpack(observation)["cost"] < parameters, 3.0, reports["upload"]
            )
        }

    policy = Deviation(
        SHARING.policies["truthful"],
        Family("cheap noise", (0.0,), (9.0,), (0.0,), cheap),
        torch.tensor([[1.7]]).double(),
    )
    attacked = attack(SHARING, "client_0")
    assert int((attacked.start.floor.types["client"]["costs"][:, 0] < 1.7).sum()) == 13
    assert say(attacked, (policy,)) == "upload: noise (81%)"


def test_a_multiple_of_nothing_is_not_counted():
    """Pure sellers need nothing; what they report by the same action is no multiple of the
    truth.
    """
    market = make_market(
        "model_sharing_v0", learner=None, n_agents=2, max_cycles=1, types={"needs": (0.0, 5.0)}
    )
    assert lie(market, "client_0", "shift need", 0.5)[0] == "need 0.5 where the truth is 0"
    assert lie(market, "client_1", "shift need", 0.5)[0] == "need 1.5 times the truth"


def test_later_movers_are_said_by_what_they_report_when_they_move():
    """The relay's seller names 1/2; a buyer with a type above that says yes (1), and half of a
    yes instead.
    """
    market = relay_market()
    policy = Deviation(
        market.policies["truthful"],
        families(market.moves[1])["scale take"],
        torch.tensor([[0.5]]).double(),
    )
    assert say(attack(market, "buyer_0"), (policy,)) == "take 0.5 times what it was"
    assert str(policy) == "scale take by 0.5 times what it was"


@pytest.mark.parametrize(
    ("market", "agent", "name", "label"),
    [
        (SHARING, "client_0", "scale size", "size, times the truth"),
        (SHARING, "client_0", "choose upload", "upload"),
        (TRADING, "trader_0", "shift ask", "ask, more money above cost"),
        (TRADING, "trader_0", "scale effort", "effort, of full effort"),
        (DOUBLE, "buyer_0", "scale price", "price, times what it was"),
    ],
)
def test_pictures_say_what_their_axis_is(market, agent, name, label):
    attacked = attack(market, agent)
    assert (
        axis(curve(attacked, families(attacked.moves_of(attacked.agents[0])[0])[name], 3).family)
        == label
    )


# --- some fields alone ----------------------------------------------------------------------------


def test_only_the_named_fields_change():
    profile = find_profile(SHARING)
    found = best_response(
        SHARING, profile, "client_0", ("grid", "cross_entropy", "scripted"), SMALL, fields=("need",)
    )
    attacked = attack(SHARING, "client_0")
    truth = rounds.act(SHARING, profile, attacked.start)["client"][:, 0]
    moved = SHARING.moves[0].action.slices["need"]
    for one in found.deviations:
        acted = rounds.act(SHARING, dict(profile) | {"client_0": one.policies[0]}, attacked.start)[
            "client"
        ][:, 0]
        changed = (acted - truth).abs().amax(0) > 1e-6
        changed[moved] = False
        assert not changed.any(), one.words
    assert [one.attacker for one in found.deviations] == ["grid", "cross_entropy", "scripted"]
    assert found.deviations[2].words.endswith(" in need")


def test_wrong_fields_are_refused():
    profile = find_profile(SHARING)
    with pytest.raises(ValueError, match=r"no field of the action 'ned'\. Did you mean 'need'"):
        best_response(SHARING, profile, "client_0", ("grid",), SMALL, fields=("ned",))
    with pytest.raises(ValueError, match="fields is 'need', wanted several names"):
        best_response(SHARING, profile, "client_0", ("grid",), SMALL, fields="need")
    with pytest.raises(ValueError, match="fields is empty"):
        best_response(SHARING, profile, "client_0", ("grid",), SMALL, fields=())
    with pytest.raises(ValueError, match="ppo learns all fields"):
        best_response(SHARING, profile, "client_0", ("ppo",), SMALL, fields=("need",))


def test_a_coalition_of_unlike_roles_deviates_in_fields_that_all_have():
    found = best_response(
        DOUBLE, find_profile(DOUBLE), ("buyer_0", "seller_0"), ("grid",), SMALL, fields=("price",)
    )
    assert "price" in found.best.words


def test_a_deviation_from_truth_is_told_against_what_the_profile_reports():
    """Whoever bids a tenth of its value and is best off with half of it bids five times what it
    did.
    """
    market = make_market("reference_v0", game="first_price")

    def tenth(observation, role, keys):
        return role.write(observation, price=0.1 * role.observation.unpack(observation)["type"])

    attacked = Attack(
        market, find_profile(market, {"buyer_0": tenth}), ("buyer_0",), torch.arange(64)
    )
    half = Deviation(
        market.policies["truthful"],
        families(market.moves[0])["scale price"],
        torch.tensor([[0.5]]).double(),
    )
    assert say(attacked, (half,)) == "price 5 times what it was"


def test_searches_from_truth_change_the_named_fields_alone():
    """A client that uploads ones goes on doing so where only its effort may change."""
    market = make_market("model_sharing_v0", learner=None, n_agents=4, max_cycles=1)

    def ones(observation, role, keys):
        actions = market.policies["truthful"](observation, role, keys)
        return torch.cat(
            [
                actions[:, :4],
                role.action["upload"].write(torch.full_like(actions[:, 4:5], 7.0)),
                actions[:, 5:],
            ],
            1,
        )

    profile = find_profile(market, {"client_0": ones})
    attacked = Attack(market, profile, ("client_0",), torch.arange(8), fields=("effort",))
    observation, keys = attacked.policy_inputs("client_0")
    for (base,) in attacked.starts():
        reports = market.moves[0].read(observation, base(observation, market.moves[0], keys))
        assert (reports["upload"] == 7).all() and (reports["effort"] == 1).all()
    assert len(attacked.starts()) == 2


def test_every_member_of_a_coalition_is_named():
    attacked = Attack(DOUBLE, find_profile(DOUBLE), ("buyer_0", "seller_0"), seeds_of(SELECT, 16))
    lies = (("buyer_0", 0.5), ("seller_0", 1.0))
    policies = tuple(
        Deviation(
            DOUBLE.policies["truthful"],
            families(move)["scale price"],
            torch.tensor([[by]]).double(),
        )
        for move, (_, by) in zip(DOUBLE.moves, lies, strict=True)
    )
    assert (
        say(attacked, policies)
        == "buyer_0: price 0.5 times what it was; seller_0: what it would report anyway"
    )
