"""Line-ups: who plays what, mixtures drawn once an episode, and many line-ups on the same seeds
as one batch.
"""

import dataclasses
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_market import relay_market

from agents.lineups import MixedStrategy, find_profile, play, seat
from agents.markets import STRATEGIES
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.fields import Field, Fields
from marketenv.core.market import Market, Move, Outcome, People, Phase

DOUBLE = make_market("reference_v0", game="double_auction")
SEEDS = torch.arange(64)


def constant(value):
    return lambda observation, role, keys: observation.new_full(
        (len(observation), role.action.dim), value
    )


LOW, HIGH = constant(-0.5), constant(0.5)


def test_a_profile_names_a_policy_for_every_agent_and_the_others_are_truthful():
    found = find_profile(DOUBLE, {"buyer": "shade"})
    assert found["seller_0"] is DOUBLE.policies["truthful"]
    value = DOUBLE.moves[0].observation.pack(
        type=torch.tensor([[0.9]]), last_price=torch.zeros(1, 1), round=torch.zeros(1, 1)
    )
    for policy in (found["buyer_0"], find_profile(DOUBLE, STRATEGIES["shade"])["buyer_0"]):
        action = policy(value, DOUBLE.moves[0], torch.tensor([0]))
        # two thirds of .9, as a share of the largest price
        assert float(action) == pytest.approx(2 * 0.6 - 1)


def test_unknown_names_get_a_neighbour():
    with pytest.raises(ValueError, match="Did you mean 'shade'"):
        find_profile(DOUBLE, "shades")
    with pytest.raises(ValueError, match="no agent or role 'byer'"):
        find_profile(DOUBLE, {"byer": "shade"})


def test_a_scripted_strategy_in_a_market_of_ones_own_is_refused_with_what_to_do():
    market = relay_market()
    with pytest.raises(
        ValueError,
        match=r"no builder for market 'relay'.*In a market of your own give a policy: policy\(obs",
    ):
        find_profile(market, {"buyer": "shade"})
    assert find_profile(market, {"buyer": LOW})["buyer_1"] is LOW


@pytest.mark.parametrize("weights", [(0.5,), (0.7, 0.7), (-0.5, 1.5)])
def test_weights_that_are_no_chances_are_refused(weights):
    with pytest.raises(ValueError, match="one weight a policy, >= 0, with sum 1"):
        MixedStrategy((LOW, HIGH), weights)


@settings(max_examples=20)
@given(st.floats(0, 1))
def test_a_mixture_is_drawn_with_its_weights(weight):
    mixture = MixedStrategy((LOW, HIGH), (weight, 1 - weight))
    _, who = seat(DOUBLE, find_profile(DOUBLE, {"buyer": mixture}), torch.arange(4000))
    share = float((who[:, 0] == 0).double().mean())
    # five standard errors
    assert abs(share - weight) <= 5 * (weight * (1 - weight) / 4000) ** 0.5 + 1e-9


def test_a_mixture_keeps_its_policy_for_an_episode_and_as_a_policy_draws_at_every_move():
    market = make_market("reference_v0", game="double_auction", max_cycles=6)
    profile = find_profile(market, {"buyer": MixedStrategy((LOW, HIGH), (0.5, 0.5))})

    def bids(policies, who):
        now, seen = rounds.begin(market, SEEDS), []
        while now.playing:
            actions = rounds.act_mixed(market, policies, who, now)
            seen.append(actions["buyer"][:, 0, 0])
            now, _ = rounds.advance(market, now, actions)
        return torch.stack(seen)

    kept = bids(*seat(market, profile, SEEDS))
    assert bool((kept == kept[0]).all()) and kept[0].unique().tolist() == [-0.5, 0.5]
    drawn = bids([profile["buyer_0"], profile["seller_0"]], torch.tensor([0, 1]).expand(64, -1))
    assert not bool((drawn == drawn[0]).all())


def test_policies_that_several_agents_share_are_listed_once():
    market = make_market("reference_v0", game="first_price", n_buyers=3)
    policies, who = seat(market, find_profile(market, {"buyer_1": LOW}), SEEDS)
    assert len(policies) == 2
    assert who[0].tolist() == [0, 1, 0]


def test_many_line_ups_earn_what_each_earns_alone():
    """Only the first quotes are shared, so a line-up's utilities are those of the same episodes
    played by themselves.
    """
    market = make_market("reference_v0", game="double_auction", max_cycles=3)
    policies = [market.policies["truthful"], LOW, HIGH]
    who = torch.tensor([[0, 0], [1, 0], [2, 1]])[:, None].repeat(1, len(SEEDS), 1)
    together = play(market, policies, who, SEEDS)
    for k in range(3):
        alone = play(market, policies, who[k : k + 1], SEEDS)
        assert torch.equal(together.utility[k], alone.utility[0])
        steps = rounds.play(
            market,
            {name: policies[who[k, 0, i]] for i, name in enumerate(("buyer_0", "seller_0"))},
            SEEDS,
        )
        assert torch.equal(sum(report.rewards for _, _, report in steps), alone.utility[0])


def test_what_is_told_of_shared_models():
    """Equal sizes, no distance: client 0 needs data, the others sell at costs of 0.5 and 0.6;
    report 1 is half the cost.
    """
    types = {"sizes": [1.0, 1.0, 1.0], "costs": [9.0, 0.5, 0.6], "needs": [100.0, 0.0, 0.0]}
    market = make_market(
        "model_sharing_v0",
        n_agents=3,
        max_cycles=1,
        learner=None,
        strength=0.0,
        types=types,
        joins=(0, 0, 1),
    )
    truth = market.policies["truthful"]

    def halves(observation, role, keys):
        actions = truth(observation, role, keys)
        actions[:, 0] = torch.log10(torch.tensor(0.5))
        return actions

    policies, who = seat(market, find_profile(market, {"client_1": halves}), SEEDS)
    told = {
        name: values[0].tolist()
        for name, values in play(market, policies, who[None], SEEDS, facts=True).facts.items()
    }
    # client 2 joins after the only round: nothing is told of it
    assert told["cost / type"] == pytest.approx([1, 0.5, 0])
    assert told["size / type"] == pytest.approx([1, 1, 0]) and told["need / type"] == pytest.approx(
        [1, 0, 0]
    )
    assert (
        told["purchases"] == [1, 0, 0]
        and told["sales"] == [0, 1, 0]
        and told["effort"] == [1, 1, 0]
    )
    price = 10 - 10 / 2**0.5  # sqrt(K / N) - sqrt(K / 2N), the marginal payment without a discount
    assert told["paid"] == pytest.approx([price, 0, 0]) and told["received"] == pytest.approx(
        [0, price, 0]
    )
    assert told["loss"] == [0, 0, 0]  # nobody trains


def test_nothing_is_earned_after_a_market_has_ended():
    """In the relay market a buyer that storms out in round one ends it; buyers with a type
    above the price of 1/2 win a half.
    """
    market = relay_market(horizon=3)
    leaves = lambda observation, role, keys: observation.new_tensor([1.0, -1.0]).expand(  # noqa: E731
        len(observation), 2
    )
    profile = find_profile(market, {"buyer_0": leaves})
    policies, who = seat(market, profile, SEEDS)
    stays = play(
        market,
        *seat(market, find_profile(market), SEEDS)[:1],
        seat(market, find_profile(market), SEEDS)[1][None],
        SEEDS,
    )
    left = play(market, policies, who[None], SEEDS).utility[0]
    first = next(
        report for _, _, report in rounds.play(market, profile, SEEDS) if report is not None
    )
    assert bool(first.terminated.all())
    assert torch.equal(left, first.rewards)
    assert bool((stays.utility[0, :, 0] >= left[:, 0]).all())


class Fixed(Phase):
    """Everybody earns 1 a round, and markets of even seeds are over after it."""

    name = "fixed"
    moves: ClassVar = {"player": Move(Fields((Field("nothing"),)), Fields((Field("idle"),)))}

    def show(self, floor, own, quotes):
        return {"player": {"nothing": floor.cash("player")}}

    def truthful(self, observation, move, keys):
        return move.write(observation, idle=0.0)

    def act(self, floor, own, quotes, actions):
        floor = floor.term("earned", "player", torch.ones_like(floor.cash("player")))
        return dataclasses.replace(floor, ended=floor.seeds % 2 == 0), own, Outcome()


def test_a_market_that_is_over_earns_nothing_more():
    """Two rounds of 1 each; markets of even seeds end with the first: 1 there, 2 elsewhere."""
    market = Market(People(roles={"player": 2}), (Fixed(),), horizon=2)
    done = play(
        market,
        [market.policies["truthful"]],
        torch.zeros(1, 4, 2).long(),
        torch.arange(4),
        facts=True,
    )
    assert done.utility[0].tolist() == [[1, 1], [2, 2], [1, 1], [2, 2]]
    assert done.facts["utility"][0].tolist() == [1, 1]  # the mean over the rounds that were played
