"""Rules for the sellers that a buyer tries, by name and of one's own."""

import dataclasses
import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from partner_cases import SEEDS, episode, market_of

from marketenv import make_market
from marketenv.core import draws, rounds
from marketenv.markets.parameter_trading.partners import (
    PARTNER_RULES,
    Candidates,
    Partners,
    chosen,
)


def candidates_of(models, gain=None, keys=None):
    n_markets, n, size = models.shape
    gain = torch.full((n_markets, n, n), torch.inf) if gain is None else gain
    keys = torch.arange(n_markets) if keys is None else keys
    return Candidates(models, torch.ones(size), gain, keys)


# --- rules ----------------------------------------------------------------------------------------

# One buyer, 0, of four agents; gains when last tried: of 1 nothing is known, 0.3 from 2, 0.5 from
# 3; the models are the numbers 0, 4, 1 and -2, so that 2 is nearest and then 3.
MODELS = torch.tensor([0.0, 4.0, 1.0, -2.0])[None, :, None]
GAIN = torch.tensor([[torch.inf, torch.inf, 0.3, 0.5]]).expand(4, 4)[None]
EXAMPLES = {
    "random": ([{1, 2}, {1, 3}, {2, 3}], "each pair by chance"),
    "best_gain": ([{1, 3}], "1 was never tried, and 3 gained more than 2"),
    "nearest": ([{2, 3}], "at the distances 1 and 2; 1 is at 4"),
}


def test_every_rule_has_a_worked_example():
    assert EXAMPLES.keys() == PARTNER_RULES.keys()


@pytest.mark.parametrize("name", PARTNER_RULES)
def test_a_worked_example_of_each_rule(name):
    scores = PARTNER_RULES[name](candidates_of(MODELS, GAIN))
    partners = [
        set(chosen(scores, torch.tensor([seed]), 2).sellers[0, 0].tolist()) for seed in range(40)
    ]
    possible = EXAMPLES[name][0]
    assert all(one in partners for one in possible) and all(one in possible for one in partners)


def test_distances_are_those_of_traded_parameters_also_where_they_are_small():
    models = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    models[:, 1] = 1000 + models[:, 0]
    models[:, 2] = models[:, 1] + 0.25
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    candidates = dataclasses.replace(candidates_of(models), mask=mask)
    distance = torch.cdist(
        *[models.double() * mask] * 2, compute_mode="donot_use_mm_for_euclid_dist"
    )
    assert torch.allclose(PARTNER_RULES["nearest"](candidates).double(), -distance, atol=1e-5)


def test_random_partners_are_uniform_over_all_sets_and_independent_between_buyers_and_rounds():
    """Of 4 others 2 are tried: 6 sets, each with chance 1/6, in 6,000 markets 1,000 times.

    The sum of (count - 1000)^2 / 1000 has mean 5 and exceeds 25.7 with chance 1e-4.
    """
    models, rule = torch.zeros(6000, 5, 1), PARTNER_RULES["random"]
    keys = draws.fold(torch.arange(6000), "a round")
    first, second = (
        chosen(rule(candidates_of(models)), each, 2).sellers.tolist()
        for each in (keys, draws.fold(keys, "the next"))
    )
    for buyer in range(5):
        counts = Counter(tuple(market[buyer]) for market in first)
        rest = [k for k in range(5) if k != buyer]
        assert counts.keys() == set(itertools.combinations(rest, 2))
        assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 25.7
    # 36 pairs of sets: mean 35 degrees of freedom, more than 75 with chance 1e-4
    for one, other in (
        ([market[0] for market in first], [market[1] for market in first]),
        ([market[0] for market in first], [market[0] for market in second]),
    ):
        counts = Counter(zip(map(tuple, one), map(tuple, other), strict=True))
        assert len(counts) == 36
        assert sum((n - 6000 / 36) ** 2 / (6000 / 36) for n in counts.values()) < 75


@given(st.integers(0, 99), st.integers(3, 7), st.data())
def test_the_largest_scores_are_chosen_each_once_and_never_oneself(seed, n, data):
    count = data.draw(st.integers(1, n - 1))
    # few different numbers, so that many are equal
    scores = draws.integers(draws.fold(torch.tensor([seed]), "scores"), 4, n, n).float()
    sellers = chosen(scores, torch.tensor([seed]), count).sellers
    assert sellers.shape == (1, n, count)
    for buyer in range(n):
        mine = sellers[0, buyer].tolist()
        left = [k for k in range(n) if k not in (*mine, buyer)]
        assert mine == sorted(set(mine)) and buyer not in mine
        least = min(float(scores[0, buyer, k]) for k in mine)
        assert all(float(scores[0, buyer, k]) <= least for k in left)


@pytest.mark.parametrize("name", ["best_gain", "nearest"])
def test_agents_are_treated_alike(name):
    """Numbered in another way, agents choose the same partners by their new numbers."""
    order = torch.tensor([3, 0, 4, 1, 2])  # the new agent k is the old agent order[k]
    generator = torch.Generator().manual_seed(1)
    models, gain = torch.randn(4, 5, 3, generator=generator), torch.rand(4, 5, 5).neg()
    rule, keys = PARTNER_RULES[name], torch.arange(4)
    old = chosen(rule(candidates_of(models, gain)), keys, 2).tried
    moved = candidates_of(models[:, order], gain[:, order][:, :, order])
    assert torch.equal(chosen(rule(moved), keys, 2).tried, old[:, order][:, :, order])


def test_untried_sellers_come_first_so_that_all_are_tried_in_turn():
    """Of 6 others 2 are tried a round: after three rounds every buyer has tried each once."""
    market = market_of(n_agents=7, partners=2, partner_rule="best_gain")
    played, _ = episode(market, torch.arange(2))
    tried = torch.stack([quotes.partners.tried for quotes, _ in played]).int()
    assert torch.equal(tried.sum(0), (1 - torch.eye(7, dtype=torch.int32)).expand(2, -1, -1))


def test_after_that_the_largest_gains_are_tried_again():
    market = market_of(n_agents=4, partners=1, partner_rule="best_gain", max_cycles=4)
    played, now = episode(market, torch.arange(4))
    gain = torch.stack([quotes.gain.worth for quotes, _ in played[:3]]).sum(0)  # each tried once
    best = gain.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf).argmax(2, keepdim=True)
    fourth = played[3][0]
    assert torch.equal(fourth.partners.sellers, best)
    # what is remembered is the gain of the last trial, not the largest
    off = ~torch.eye(4, dtype=torch.bool).expand(4, -1, -1)
    last = torch.where(fourth.partners.tried, fourth.gain.worth, gain)
    assert torch.equal(now.owns["trade"].past.gain[off], last[off])


# --- a rule of one's own --------------------------------------------------------------------------


def test_a_rule_of_ones_own_is_asked_and_cannot_edit_the_market():
    def next_agent(candidates):
        n = candidates.gain.shape[1]
        candidates.models.zero_()
        return torch.eye(n).roll(1, 1).expand(len(candidates.keys), -1, -1)

    market, same = (
        market_of(n_agents=4, partners=1, partner_rule=rule) for rule in (next_agent, "random")
    )
    one, other = (rounds.begin(each, SEEDS).quotes for each in (market, same))
    assert one.partners.sellers[:, :, 0].tolist() == [[1, 2, 3, 0]] * 3
    assert torch.equal(one.trained, other.trained)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.gain[0], r"partner_rule returned scores of shape \[4, 4\]"),
        (lambda c: 0.0, "partner_rule returned scores as a float"),
        (lambda c: c.gain * 0, "partner_rule returned NaN, wanted numbers"),
    ],
)
@pytest.mark.usefixtures("as_for_a_user")
def test_what_such_a_rule_returns_is_refused_by_its_name(change, words):
    market = market_of(n_agents=4, partners=2, partner_rule=change)
    with pytest.raises(ValueError, match=words):
        rounds.begin(market, SEEDS)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"partners": 0}, "partners is 0, wanted a whole number >= 1, or None for all"),
        ({"partners": "all"}, "partners is 'all'"),
        (
            {"partners": 2, "partner_rule": "nearst"},
            "no partner_rule 'nearst'. Did you mean 'nearest'",
        ),
        ({"partners": 2, "partner_rule": lambda a, b: a}, "called with 1"),
        (
            {"partner_rule": "nearest"},
            "partner_rule is 'nearest' and partners None, wanted partners such as 4",
        ),
    ],
)
@pytest.mark.usefixtures("as_for_a_user")
def test_wrong_arguments_are_refused(config, words):
    with pytest.raises(ValueError, match=words):
        make_market("parameter_trading_v0", **config)


def test_places_and_sellers_are_turned_into_each_other():
    partners = Partners(torch.tensor([[[1, 2], [0, 2], [0, 1]]]))
    assert partners.place(torch.tensor([[[2], [0], [1]]])).flatten().tolist() == [1, 0, 1]
    assert partners.theirs(torch.tensor([[10, 11, 12]])).tolist() == [
        [[11, 12], [10, 12], [10, 11]]
    ]
    # by hand: rows 0 and 2 have the columns that they try, the rest is 9
    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    assert partners.pairs(values, 9.0).tolist() == [[[9, 1, 2], [3, 9, 4], [5, 6, 9]]]
