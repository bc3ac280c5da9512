"""What a deviation is said to report: in money, multiples, shares and choices, as the market really reads it."""

import pytest
import torch
from relay_market import RelayMarket

from agents.lineups import find_profile
from agents.stress import SELECT, Attack, Budget, Deviation, best_response, families, seeds_of
from agents.stress.words import axis, say
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.fields import Meaning

DOUBLE = make_market("reference_v0", game="double_auction")
SHARING = make_market("model_sharing_v0", learner=None, n_agents=4, max_cycles=1)
TRADING = make_market("parameter_trading_v0", n_agents=2, max_cycles=1)
ABSOLUTE = make_market("parameter_trading_v0", n_agents=2, max_cycles=1, bid_mode="absolute", bid_max=10.0)
SMALL = Budget(select=16, judge=16, points=9, population=8, generations=2)


def attack(market, agent, **kwargs):
    return Attack(market, find_profile(market), (agent,), seeds_of(SELECT, 16), **kwargs)


def lie(market, agent, name, by, base=None):
    """A deviation's words and what the market says was reported, under truth, in the first round."""
    attacked = attack(market, agent)
    base = base or market.policies["truthful"]
    family = families(attacked.roles[0])[name]
    policy = Deviation(base, family, torch.tensor([[by]], dtype=torch.float64))
    actions = rounds.act(market, attacked.profile | {agent: policy}, attacked.start)
    _, report = rounds.advance(market, attacked.start, actions)
    return say(attacked, (policy,)), attacked.start.state, report


def test_a_size_of_1_75_times_its_place_is_reported_as_5_62_times_the_truth():
    """Truth is at a = 0, half of the box; 1.75 times that is a = .75, and 10^.75 = 5.62."""
    words, state, report = lie(SHARING, "client_0", "scale size", 1.75)
    assert words == "size 5.62 times the truth"
    ratio = report.reported.sizes[:, 0] / state.types.sizes[:, 0]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 5.6234), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("market", "agent", "name", "by", "words"),
    [
        (DOUBLE, "buyer_0", "scale price", 0.65, "price 0.65 times what it was"),  # money from 0: the place is proportional
        (TRADING, "trader_0", "scale bid", 0.5, "bid 0.5 times the worth"),  # truth is a = 0, once the worth
        (TRADING, "trader_0", "shift effort", -0.25, "effort 0.75 of full effort, was 1"),
        (SHARING, "client_0", "shift need", -0.5, "need 0.1 times the truth"),  # from a = 0 to -1: 10^-1
        (SHARING, "client_0", "shift upload", 0.5, "upload scaled, was honest"),  # place .5 of nine bins: the fifth
        (SHARING, "client_0", "shift stay", -0.5, "stay at 0 in its box [-1, 1], was 1"),  # no meaning: the place itself
        (SHARING, "client_0", "scale size", 1.0, "what it would report anyway"),
    ],
)
def test_words_of_a_deviation(market, agent, name, by, words):
    assert lie(market, agent, name, by)[0] == words


def test_money_that_is_added_is_said_in_money():
    """A quarter of the box of asks is a quarter of ask_max; truth asks nothing above cost."""
    words, _, report = lie(TRADING, "trader_0", "shift ask", 0.25)
    assert words == f"ask {TRADING.ask_max / 4:.3g} money above cost, was 0"
    torch.testing.assert_close(report.asks[:, 1, 0], torch.full_like(report.asks[:, 1, 0], TRADING.ask_max / 4))


def test_bids_in_money_are_said_as_a_part_of_what_they_were():
    words, _, _ = lie(ABSOLUTE, "trader_0", "scale bid", 0.5)
    assert words == "bid 0.5 times what it was"


def test_a_multiple_of_nothing_is_not_counted():
    """Pure sellers need nothing; what they report by the same action is no multiple of the truth."""
    market = make_market("model_sharing_v0", learner=None, n_agents=2, max_cycles=1, types={"needs": (0.0, 5.0)})
    assert lie(market, "client_0", "shift need", 0.25)[0] == "need at -0.5 in its box [-1, 1], was -1"
    assert lie(market, "client_1", "shift need", 0.25)[0] == "need 3.16 times the truth"  # 10^.5


def test_later_movers_are_named_by_their_map():
    market = RelayMarket()
    policy = Deviation(market.policies["truthful"], families(market.roles[1])["scale take"], torch.tensor([[0.5]]).double())
    assert say(attack(market, "buyer_0"), (policy,)) == str(policy) == "scale take, in its box, by 0.5"


def test_pictures_say_where_a_factor_is_of_the_place_alone():
    assert axis(attack(SHARING, "client_0"), "scale size") == "scale size: of the action's place in its box"
    assert axis(attack(DOUBLE, "buyer_0"), "scale price") == "scale price"


def test_every_action_of_every_market_says_what_it_reports():
    """Only ``stay``, which is a threshold, has no meaning; all others are read at both ends of their box as the docs say."""
    for market in (DOUBLE, SHARING, TRADING, ABSOLUTE):
        for field in (field for role in market.roles for field in role.action.items):
            assert (field.meaning is None) == (field.name == "stay"), field.name


def test_meanings_at_their_ends():
    ends = torch.tensor([-1.0, 1.0])
    assert Meaning("money", 2.0, 6.0).read(ends).tolist() == [2.0, 6.0]
    assert Meaning("times", 0.1, 10.0, factors=True).read(ends).tolist() == pytest.approx([0.1, 10.0])
    assert Meaning(choices=("a", "b", "c")).read(torch.tensor([-1.0, -0.34, -0.33, 0.0, 0.34, 1.0])).tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]


# --- some fields alone -------------------------------------------------------------------------------------------------------


def test_only_the_named_fields_change():
    profile = find_profile(SHARING)
    found = best_response(SHARING, profile, "client_0", ("grid", "cross_entropy", "scripted"), SMALL, fields=("need",))
    attacked = attack(SHARING, "client_0")
    truth = rounds.act(SHARING, profile, attacked.start)[:, 0]
    moved = SHARING.roles[0].action.slices["need"]
    for one in found.found:
        acted = rounds.act(SHARING, dict(profile) | {"client_0": one.policies[0]}, attacked.start)[:, 0]
        changed = (acted - truth).abs().amax(0) > 1e-6
        changed[moved] = False
        assert not changed.any(), one.told
    assert [one.attacker for one in found.found] == ["grid", "cross_entropy", "scripted"]
    assert found.found[2].told.endswith(" in need")


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
    found = best_response(DOUBLE, find_profile(DOUBLE), ("buyer_0", "seller_0"), ("grid",), SMALL, fields=("price",))
    assert "price" in found.best.told
