"""Evaluation: fresh seeds, the same for both sides, and truth against truth is nothing."""

import pytest
import torch

from agents.lineups import play
from agents.markets import STRATEGIES, shade
from agents.rl import compare, evaluation_seeds, training_seed
from agents.rl.config import MOST_ENVS, MOST_SEED
from agents.rl.evaluation import FINAL, WHILE_TRAINING, mean_utility
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.markets.parameter_trading import Trade

TOY = {"n_agents": 3, "max_cycles": 2}


def test_evaluations_begin_where_no_training_run_does():
    last = training_seed(MOST_SEED - 1) + MOST_ENVS - 1
    assert last < WHILE_TRAINING and training_seed(0) == 0
    # seeds of training share no first episode
    assert training_seed(1) - training_seed(0) >= MOST_ENVS
    many = 1_000_000
    assert int(evaluation_seeds(many, WHILE_TRAINING).max()) < FINAL
    assert int(evaluation_seeds(many).max()) < 2**63 - 1 and int(evaluation_seeds(3).min()) == FINAL


@pytest.mark.parametrize(
    ("name", "arguments", "agent"),
    [
        ("reference_v0", {}, "seller_0"),
        ("reference_v0", {"game": "first_price", "n_buyers": 3}, "all"),
        ("parameter_trading_v0", TOY, "trader_1"),
        ("parameter_trading_v0", TOY, "all"),
    ],
)
def test_truth_against_truth_is_exactly_nothing(name, arguments, agent):
    market = make_market(name, **arguments)
    found = compare(market, market.policies["truthful"], agent, pairs=20)
    assert torch.equal(found.learned, found.truthful) and len(found.learned) == 20
    # 20 equal numbers are too few for an interval
    assert (found.difference.mean, found.difference.low) == (0.0, None)
    assert (found.deviation is not None) == (agent == "all")
    assert found.deviation is None or found.deviation.mean == 0.0
    assert all(ours == theirs for ours, theirs in found.behaviour.values())


def test_both_sides_of_a_pair_play_the_evaluations_seeds():
    market = make_market("reference_v0")
    found = compare(market, shade(0.5).build(market), "buyer_0", pairs=30)
    for policy, utility in (
        (shade(0.5).build(market), found.learned),
        (market.policies["truthful"], found.truthful),
    ):
        policies = {"buyer_0": policy, "seller_0": market.policies["truthful"]}
        _, _, report = next(rounds.play(market, policies, evaluation_seeds(30)))
        assert torch.equal(report.rewards[:, 0], utility)


def test_opponents_are_who_they_are_said_to_be():
    market = make_market("reference_v0")
    policy = market.policies["truthful"]
    never = STRATEGIES["never_trade"].build(market)
    assert (
        float(compare(market, policy, "buyer_0", {"seller": never}, pairs=5).learned.abs().max())
        == 0
    )
    assert float(compare(market, policy, "buyer_0", "truthful", pairs=5).learned.abs().max()) > 0


def test_behaviour_says_what_the_strategy_does():
    market = make_market("parameter_trading_v0", **TOY)
    half = STRATEGIES["free_rider"].build(market)
    found = compare(market, half, "trader_0", pairs=4).behaviour
    assert found["effort"] == (0.5, 1.0)  # the first of two trainings is always at full effort
    found = compare(market, shade(0.5).build(market), "trader_0", pairs=4).behaviour
    assert found["bid / worth"] == (pytest.approx(0.5, abs=1e-6), pytest.approx(1.0, abs=1e-6))
    assert found["ask"] == (0.0, 0.0) and found["paid"][0] < found["paid"][1]
    asks = compare(market, STRATEGIES["never_trade"].build(market), "trader_0", pairs=4).behaviour
    assert asks["ask"][0] == pytest.approx(market.phase(Trade).scales.ask_max)
    assert asks["purchases"][0] == 0 < asks["purchases"][1]
    buyer = make_market("reference_v0")
    told = compare(buyer, shade(0.5).build(buyer), "buyer_0", pairs=4).behaviour
    assert told["price / type"] == (pytest.approx(0.5, abs=1e-6), pytest.approx(1.0, abs=1e-6))


def test_everybody_in_turn_goes_back_to_truth():
    # a second-price auction in which all bid half their value: truth wins more and never pays more
    # than its value
    market = make_market("reference_v0", game="second_price", n_buyers=2)
    found = compare(market, shade(0.5).build(market), "all", pairs=400)
    # two half bids: the larger value wins and pays half of the smaller: E (max - min/2) / 2 = (2/3
    # - 1/6) / 2 = 1/4 each
    assert float(found.learned.mean()) == pytest.approx(1 / 4, abs=0.02)
    # truth against w/2: wins where v > w/2: E = int int_{w < 2v} (v - w/2) = 7/24 (v < 1/2: v^2,
    # 1/24; above: v - 1/4, 1/4)
    assert (
        found.deviation.mean == pytest.approx(7 / 24 - 1 / 4, abs=0.03) and found.deviation.low > 0
    )


def test_below_twenty_pairs_there_is_no_interval():
    market = make_market("reference_v0")
    found = compare(market, market.policies["truthful"], "buyer_0", pairs=19)
    assert found.difference.low is None and found.difference.high is None


def test_while_training_other_seeds_are_used_than_at_the_end():
    market = make_market("reference_v0")
    truth = market.policies["truthful"]
    seen = mean_utility(market, truth, agent="buyer_0", pairs=30)
    played = play(
        market, [truth], torch.zeros(1, 30, 2).long(), evaluation_seeds(30, WHILE_TRAINING)
    )
    assert (
        seen
        == float(played.utility[0, :, 0].mean())
        != float(compare(market, truth, "buyer_0", pairs=30).learned.mean())
    )
    first = make_market("reference_v0", game="first_price")
    assert mean_utility(first, shade(0.5).build(first), agent="all", pairs=2000) == pytest.approx(
        1 / 6, abs=0.01
    )


def test_unknown_agents_and_opponents_are_refused():
    market = make_market("reference_v0")
    truth = market.policies["truthful"]
    with pytest.raises(ValueError, match="Did you mean 'buyer_0'"):
        compare(market, truth, "buyer_1", pairs=2)
    with pytest.raises(ValueError, match="Did you mean 'truthful'"):
        compare(market, truth, "buyer_0", "truthfull", pairs=2)
    assert agent_names(market) == ("buyer_0", "seller_0")
