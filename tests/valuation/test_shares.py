"""What each seller adds: worked and cited games, all orders by brute force, and the axioms."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import (
    averaged,
    enumerate_mixtures,
    fit_estimator,
    leave_one_out,
    predicted_value,
    shapley,
)

KEYS = torch.arange(3)


def glove(some):
    """Seller 0 has the only left glove, 1 and 2 have a right one; a pair is worth 1."""
    return (some[..., 0] & some[..., 1:].any(-1)).double()


def runway(some):
    """Littlechild and Owen, Management Science 20 (1973): the longest landing that is served
    pays for all.
    """
    return (some * torch.tensor([1.0, 2.0, 4.0]).double()).amax(-1)


def council(some):
    """The UN Security Council: five permanent members, all needed, and four of ten others."""
    return (some[..., :5].all(-1) & (some[..., 5:].sum(-1) >= 4)).double()


def random_game(seed, sellers, *batch):
    """A value for each coalition, 0 for nobody: looked up by the coalition's bits, for [..,
    coalitions, sellers].
    """
    table = draws.normal(torch.tensor(seed), *batch, 2**sellers)
    table[..., 0] = 0.0

    def value(some):
        code = (some * 2 ** torch.arange(sellers)).sum(-1)
        shape = torch.broadcast_shapes(batch, code.shape[:-1])
        return table.expand(*shape, -1).gather(-1, code.expand(*shape, -1))

    return value


def over_all_orders(value, sellers):
    """Shapley values by their definition: what each adds to those before it, order by order."""
    added = torch.zeros(sellers).double()
    for order in permutations(range(sellers)):
        before = torch.zeros(1, sellers, dtype=torch.bool)
        for i in order:
            after = before.clone()
            after[0, i] = True
            added[i] += (value(after) - value(before))[0]
            before = after
    return added / math.factorial(sellers)


def test_worked_games():
    found = shapley(glove, 3)
    # 0 adds 1 unless it comes first: 4 of 6 orders
    assert found.values.tolist() == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert found.errors.tolist() == [0.0, 0.0, 0.0]
    # each stretch of runway is shared by those that need it: 1/3; 1/3 + 1/2; 1/3 + 1/2 + 2
    assert shapley(runway, 3).values.tolist() == pytest.approx([1 / 3, 5 / 6, 17 / 6])
    assert leave_one_out(glove, 3).tolist() == [1.0, 0.0, 0.0]  # either right glove can be spared
    assert leave_one_out(runway, 3).tolist() == [0.0, 0.0, 2.0]
    for found in (
        shapley(lambda some: 5.0 * some[..., 0], 1).values,
        leave_one_out(lambda some: 5.0 * some[..., 0], 1),
    ):
        assert found.tolist() == [5.0]


def test_fifteen_members_are_sampled_and_meet_the_cited_numbers():
    found = shapley(council, 15, 400, KEYS)
    # .1963 and .0019: Shapley and Shubik (1954)
    exact = torch.tensor([421 / 2145] * 5 + [4 / 2145] * 10).double()
    assert found.values.shape == found.errors.shape == (3, 15)
    assert torch.allclose(found.values.sum(-1), torch.ones(3).double())
    # the standard deviation of an event of chance q is sqrt(q (1 - q)); four of them, for 45
    # numbers
    error = (exact * (1 - exact) / 400).sqrt()
    assert ((found.values - exact).abs() <= 4 * error).all()
    assert torch.allclose(found.errors[:, :5], error[:5].expand(3, 5), rtol=0.25)
    assert not torch.equal(found.values[0], found.values[1])  # each market draws its own orders


@settings(max_examples=8)
@given(seed=st.integers(0, 2**40), sellers=st.integers(1, 5))
def test_exact_values_are_those_of_all_orders(seed, sellers):
    value = random_game(seed, sellers)
    assert torch.allclose(
        shapley(value, sellers).values, over_all_orders(value, sellers), atol=1e-12
    )


@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), sellers=st.integers(2, 8))
def test_the_axioms(seed, sellers):
    """Of random games: all is shared, alike are paid alike, who adds nothing gets nothing, sums
    of games are sums of values.
    """
    value, other = random_game(seed, sellers, 2), random_game(seed + 1, sellers, 2)
    everyone = torch.ones(1, sellers, dtype=torch.bool)
    phi = shapley(value, sellers).values
    assert phi.shape == (2, sellers) and torch.allclose(
        phi.sum(-1), value(everyone)[:, 0], atol=1e-12
    )
    both = shapley(lambda some: value(some) + 3 * other(some), sellers).values
    assert torch.allclose(both, phi + 3 * shapley(other, sellers).values, atol=1e-12)

    def swapped(some):
        return some[..., [1, 0, *range(2, sellers)]]

    alike = shapley(lambda some: value(some) + value(swapped(some)), sellers).values
    assert torch.allclose(alike[:, 0], alike[:, 1], atol=1e-12)
    assert torch.allclose(
        shapley(lambda some: value(swapped(some)), sellers).values, swapped(phi), atol=1e-12
    )

    def without_first(some):
        return value(torch.cat([torch.zeros_like(some[..., :1]), some[..., 1:]], -1))

    assert torch.allclose(
        shapley(without_first, sellers).values[:, 0], torch.zeros(2).double(), atol=1e-12
    )
    assert torch.equal(leave_one_out(without_first, sellers)[:, 0], torch.zeros(2).double())
    drawn = shapley(without_first, sellers, 5, KEYS[:2])
    assert torch.equal(drawn.values[:, 0], torch.zeros(2).double()) and torch.equal(
        drawn.errors[:, 0], torch.zeros(2).double()
    )
    drawn = shapley(value, sellers, 5, KEYS[:2])
    assert torch.allclose(drawn.values.sum(-1), value(everyone)[:, 0], atol=1e-12)


def test_additive_games_have_one_answer_for_all_rules():
    worth = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0]).double()

    def value(some):
        return (some * worth).sum(-1)

    assert torch.allclose(shapley(value, 5).values, worth) and torch.allclose(
        leave_one_out(value, 5), worth
    )
    drawn = shapley(value, 5, 2, torch.tensor(7))
    assert torch.allclose(drawn.values, worth) and torch.allclose(
        drawn.errors, torch.zeros(5).double(), atol=1e-12
    )


def test_drawn_values_come_as_near_as_their_errors_say():
    """Of 200 markets and 4 sellers, with 64 orders each: squared errors in units of the
    standard error are 1 on average.
    """
    value, keys = random_game(5, 4), torch.arange(200)
    drawn = shapley(value, 4, 64, keys)
    z = (drawn.values - shapley(value, 4).values) / drawn.errors
    assert abs(float(z.mean())) < 4 / math.sqrt(800)
    # 4 sqrt(2 / 800) = .2, and a t of 63 has 1.03
    assert float(z.square().mean()) == pytest.approx(1.0, abs=0.25)
    alone = shapley(value, 4, 64, keys[3])
    assert torch.allclose(alone.values, drawn.values[3], atol=1e-14) and torch.allclose(
        alone.errors, drawn.errors[3], atol=1e-14
    )


def test_many_orders_are_walked_in_parts(monkeypatch):
    value = random_game(5, 4)
    whole = shapley(value, 4, 10, KEYS)
    sizes = []

    def counting(some):
        sizes.append(some.shape[-2])
        return value(some)

    # four orders of 5 coalitions, 4 sellers, 3 markets
    monkeypatch.setattr("marketenv.valuation.shares.AT_ONCE", 4 * 60)
    parts = shapley(counting, 4, 10, KEYS)
    assert sizes == [20, 20, 10] and torch.equal(parts.values, whole.values)


def test_a_thousand_sellers_are_sampled():
    worth = torch.arange(1000).double() / 1000
    found = shapley(lambda some: (some * worth).sum(-1).sqrt(), 1000, 2, torch.tensor(0))
    assert (
        float(found.values.sum()) == pytest.approx(math.sqrt(499.5)) and (found.values >= 0).all()
    )


def test_predicted_accuracy_of_those_who_deliver():
    # score = .9 - .4 W; W is the share of seller 1, so lone sellers reach .9 and .5; nobody:
    # chance, .1
    fit = fit_estimator(torch.eye(2), torch.tensor([0.0, 1.0]), torch.tensor([0.9, 0.5]), "ot_only")
    value = predicted_value(
        fit, torch.tensor([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]), lambda p: p[..., 1], empty=0.1
    )
    worth = value(torch.tensor([[False, False], [True, False], [False, True], [True, True]]))
    assert worth.flatten().tolist() == pytest.approx(
        [0.1, 0.9, 0.5, 0.7, 0.1, 0.9, 0.5, 0.6, 0.1, 0.9, 0.1, 0.9]
    )
    # (.9 - .1 + .7 - .5) / 2 and (.5 - .1 + .7 - .9) / 2
    assert shapley(value, 2).values[0].tolist() == pytest.approx([0.5, 0.1])
    assert leave_one_out(value, 2)[0].tolist() == pytest.approx([0.2, -0.2])
    # who delivers nothing adds nothing
    assert shapley(value, 2).values[2].tolist() == pytest.approx([0.8, 0.0])


def test_a_seller_whose_data_do_harm_has_a_negative_value():
    p = enumerate_mixtures(3, 4)
    wad = p @ torch.tensor([0.2, 0.3, 2.0]).double()
    fit = fit_estimator(p, wad, 0.9 - 0.3 * wad, "ot_only")
    value = predicted_value(
        fit,
        torch.full((3,), 1 / 3),
        lambda q: q @ torch.tensor([0.2, 0.3, 2.0]).double(),
        empty=0.5,
    )
    loo = leave_one_out(value, 3)
    assert loo[2] < 0 < loo[0] and shapley(value, 3).values.argsort().tolist() == [2, 1, 0]


# --- averaged models ------------------------------------------------------------------------------


def drawn_models(seed, markets, owners, params=4):
    key = torch.tensor(seed)
    models, start = (
        draws.normal(draws.fold(key, 0), markets, owners, params),
        draws.normal(draws.fold(key, 1), markets, params),
    )
    return models, draws.uniform(draws.fold(key, 2), markets, owners), start


def test_averaged_models_by_hand():
    models = averaged(
        torch.tensor([[2.0, 0.0], [8.0, 3.0], [5.0, 5.0]]),
        torch.tensor([1.0, 2.0, 0.0]),
        torch.tensor([1.0, 7.0]),
    )
    some = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 1]]).bool()
    # nobody: the start; one: its own; (2 + 2 * 8) / 3 and (0 + 2 * 3) / 3; a weight of 0 adds
    # nothing, also where it is alone
    assert models(some).tolist() == [[1, 7], [2, 0], [6, 2], [6, 2], [1, 7]]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**40), owners=st.integers(1, 6))
def test_averaged_models_are_means_of_their_members(seed, owners):
    models, weights, start = drawn_models(seed, 3, owners)
    every = (torch.arange(2**owners)[:, None] >> torch.arange(owners)) & 1 == 1
    found = averaged(models, weights, start)(every)
    assert found.shape == (3, 2**owners, 4)
    for market in range(3):
        for place, members in enumerate(every):
            w, part = weights[market, members, None], models[market, members]
            wanted = (w * part).sum(0) / w.sum() if bool(members.any()) else start[market]
            assert torch.allclose(found[market, place], wanted, rtol=1e-12, atol=1e-14)
    # alone: its own, to the bit
    assert torch.equal(averaged(models, weights, start)(torch.eye(owners).bool()), models)
    # in any unit
    assert torch.allclose(
        averaged(models, 7 * weights, start)(every), found, rtol=1e-12, atol=1e-14
    )
    single = averaged(models.float(), weights, start.float())(every.expand(3, -1, -1))
    assert single.dtype == torch.float32 and torch.allclose(
        single.double(), found, rtol=1e-5, atol=1e-6
    )
    assert torch.equal(averaged(models[1], weights[1], start[1])(every), found[1])


def test_shapley_values_of_owners_by_the_score_of_averaged_models():
    """Scores that are linear in the parameters: with equal weights the value is the mean of the
    members' scores.
    """
    models, _, start = drawn_models(1, 3, 4)
    average = averaged(models, torch.ones(3, 4), 0 * start)
    found = shapley(lambda some: average(some).sum(-1), 4).values
    own = models.sum(-1)
    # at place j of an order it adds own / j, less the mean of those before it / j where there are
    # any
    harmonic = sum(1 / j for j in range(1, 5)) / 4
    others = (own.sum(-1, keepdim=True) - own) / 3
    assert torch.allclose(
        found, harmonic * own - (harmonic - 1 / 4) * others, rtol=1e-12, atol=1e-14
    )
    sampled = shapley(lambda some: average(some).sum(-1), 4, 400, KEYS)
    assert ((sampled.values - found).abs() <= 5 * sampled.errors).all()


@pytest.mark.usefixtures("as_for_a_user")
def test_models_that_have_no_average_are_refused():
    models, weights, start = drawn_models(2, 2, 3)
    for wrong, told in (
        (
            (models, weights, start[:1]),
            r"models \[2, 3, 4\], weights \[2, 3\] and start \[1, 4\] do not fit; wanted",
        ),
        ((models, weights[:, :2], start), "do not fit"),
        ((start[0], weights[0, 0], start[0]), "do not fit"),
        (
            (models / 0, weights, start),
            (
                "models holds .*; wanted finite numbers. Give an owner whose training diverged the"
                " model"
            ),
        ),
        ((models, weights, start / 0), "start holds .*inf"),
        ((models, -weights, start), "weights hold -.*; wanted numbers >= 0"),
        ((models, weights / 0, start), "weights holds inf"),
    ):
        with pytest.raises(ValueError, match=told):
            averaged(*wrong)


def test_what_is_no_value_is_refused():
    for bad, told in (
        (lambda some: 5.0, "value returned a float"),
        (lambda some: some[..., 0], "value returned bool"),
        (lambda some: some.double(), r"value returned \[4, 3\], wanted numbers \[.., 4\]"),
        (lambda some: some.double().sum(-1) / 0 * 0, "value returned nan"),
    ):
        with pytest.raises(ValueError, match=told):
            leave_one_out(bad, 3)
    with pytest.raises(ValueError, match=r"value returned inf, .* the empty one too"):
        shapley(lambda some: 1 / some.double().sum(-1), 3)
    with pytest.raises(ValueError, match="n_sellers is 13, wanted at most 12"):
        shapley(council, 13)
    for wrong in ({"permutations": 5}, {"keys": KEYS}):
        with pytest.raises(ValueError, match="give both to draw orders"):
            shapley(glove, 3, **wrong)
    with pytest.raises(ValueError, match="permutations is 1"):
        shapley(glove, 3, 1, KEYS)


def test_a_value_that_edits_coalitions_changes_nothing():
    def greedy(some):
        answer = glove(some)
        some.zero_()
        return answer

    assert shapley(greedy, 3).values.tolist() == shapley(glove, 3).values.tolist()
    assert torch.equal(shapley(greedy, 3, 6, KEYS).values, shapley(glove, 3, 6, KEYS).values)
