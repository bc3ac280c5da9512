from functools import partial

import pytest
import torch
from alignment_cases import forward, mlp, planted, random_models
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from marketenv.alignment import ALIGNMENTS, layer_mask, match, merge, no_orders, permute
from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.learners import LEARNERS

KEYS = torch.tensor([3, 4])


def cold(rule, params, layout, permutations, keys):
    """The offers of an alignment that knows no earlier round."""
    orders = no_orders(*params.shape[:2], permutations, layout, params.device)
    return rule(params, layout, permutations, keys, orders).offers


align = partial(cold, ALIGNMENTS["weight_matching"])

# Two hidden units with one input and one output weight each, stored as (w_1, w_2, v_1, v_2).
TWO_UNITS, SWAP = Layout((("w", (2, 1)), ("v", (1, 2)))), {"hidden_0": (("w", 0), ("v", 1))}
A, B = [3.0, 1.0, 2.0, 0.0], [1.0, 2.0, 0.0, 1.0]
WORKED = {
    # name: (offers[buyer][seller] for agents A and B, why)
    "none": (
        [[A, B], [A, B]],
        "parameter_trading.md, table 1's row 'no alignment': the seller's model as it is",
    ),
    # <A, B> = 3*1 + 1*2 + 2*0 + 0*1 = 5;
    # swapped B is (2, 1, 1, 0) and <A, swapped B> = 6 + 1 + 2 + 0 = 9 > 5. A to B by the inverse
    # swap: (1, 3, 0, 2), and <B, swapped A> = 1 + 6 + 0 + 2 = 9 too.
    "weight_matching": (
        [[A, [2.0, 1.0, 1.0, 0.0]], [[1.0, 3.0, 0.0, 2.0], B]],
        "Git Re-Basin (2022), eq. 1: 9 > 5 by hand",
    ),
}


def test_every_alignment_has_a_worked_example():
    assert ALIGNMENTS.keys() == WORKED.keys(), (
        "add the new alignment to WORKED with a number worked by hand and its source"
    )


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_worked_example(name):
    expected, reason = WORKED[name]
    assert reason
    assert (
        cold(ALIGNMENTS[name], torch.tensor([[A, B]]), TWO_UNITS, SWAP, KEYS[:1])[0].tolist()
        == expected
    )


@pytest.mark.parametrize("name", ALIGNMENTS)
@pytest.mark.parametrize("n_agents", [1, 2, 4])
def test_offers_compute_what_the_sellers_models_compute(name, n_agents):
    layout, _, hidden = mlp(5, 8, 6, 3)
    params = random_models(layout, KEYS, n_agents) * 0.3
    before = params.clone()
    offers = cold(ALIGNMENTS[name], params, layout, hidden, KEYS)
    assert offers.shape == (2, n_agents, n_agents, layout.size) and offers.dtype == params.dtype
    assert offers.diagonal(dim1=1, dim2=2).mT.equal(params) and params.equal(before)
    x = torch.linspace(-1, 1, 35).reshape(7, 5)
    wanted = forward(layout, params, x)[:, None].expand(-1, n_agents, -1, -1, -1)
    assert torch.allclose(forward(layout, offers, x), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_broken_model_is_passed_on_and_harms_no_other_pair(name):
    layout, _, hidden = mlp(5, 8, 6, 3)
    params = random_models(layout, KEYS, 4)
    clean = cold(ALIGNMENTS[name], params, layout, hidden, KEYS)
    params[0, 2, 7] = torch.nan
    offers = cold(ALIGNMENTS[name], params, layout, hidden, KEYS)
    assert offers[0].isnan().sum() == 4  # one NaN in the row of each buyer, the owner among them
    # as it is
    assert offers[0, :, 2].nan_to_num(9.0).equal(params[0, 2].nan_to_num(9.0).expand(4, -1))
    # and it sees the others as they are
    assert offers[0, 2].nan_to_num(9.0).equal(params[0].nan_to_num(9.0))
    sound = torch.tensor([0, 1, 3])
    assert offers[0][sound][:, sound].equal(clean[0][sound][:, sound]) and offers[1].equal(clean[1])


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_batch_of_markets_equals_its_singles(name):
    layout, _, hidden = mlp(5, 8, 6, 3)
    params = random_models(layout, KEYS, 3)
    batch = cold(ALIGNMENTS[name], params, layout, hidden, KEYS)
    singles = [
        cold(ALIGNMENTS[name], params[m : m + 1], layout, hidden, KEYS[m : m + 1]) for m in range(2)
    ]
    assert batch.equal(torch.cat(singles))


def test_without_permutations_only_none_is_possible():
    params = torch.zeros(2, 3, 4)
    assert cold(ALIGNMENTS["none"], params, TWO_UNITS, None, KEYS).shape == (2, 3, 3, 4)
    with pytest.raises(ValueError, match='Choose alignment="none"'):
        align(params, TWO_UNITS, None, KEYS)


def test_offers_follow_the_plain_matching_of_each_pair():
    layout, _, hidden = mlp(5, 9, 3)
    params = random_models(layout, KEYS, 3)
    offers = align(params, layout, hidden, KEYS)
    for b in range(3):
        # one hidden layer has one optimum, so solving both directions gives what the inverse gives
        for s in range(3):
            orders = match(layout, hidden, params[:, b], params[:, s], KEYS)
            assert offers[:, b, s].equal(permute(layout, hidden, params[:, s], orders))


def test_restarts_can_be_bound():
    matching = ALIGNMENTS["weight_matching"]
    layout, _, hidden = mlp(5, 8, 8, 8, 3)
    params = random_models(layout, torch.arange(20), 2)
    gaps = [
        (params[:, 0] - cold(rule, params, layout, hidden, torch.arange(20))[:, 0, 1])
        .square()
        .sum(-1)
        for rule in (matching, partial(matching, restarts=4))
    ]
    assert (gaps[1] <= gaps[0] + 1e-4).all() and gaps[1].mean() < gaps[0].mean()


def drifted(params, size):
    """The same models after a little more training: every parameter moved by ``size``."""
    return (
        params
        + size
        * draws.normal(draws.fold(torch.arange(len(params)), "drift"), *params.shape[1:]).float()
    )


def two_rounds(matching, save=lambda orders: orders):
    """Offers and orders of a second round that starts from the orders of the first."""
    layout, _, hidden = mlp(5, 8, 7, 6, 3)
    params = random_models(layout, KEYS, 4)
    first = matching(params, layout, hidden, KEYS, no_orders(2, 4, hidden, layout))
    return matching(drifted(params, 0.05), layout, hidden, KEYS + 1, save(first.orders))


def test_orders_are_those_of_the_pairs_side_by_side():
    layout, _, hidden = mlp(5, 8, 6, 3)
    params = random_models(layout, KEYS, 3)
    found = ALIGNMENTS["weight_matching"](
        params, layout, hidden, KEYS, no_orders(2, 3, hidden, layout)
    )
    # pairs (0, 1), (0, 2), (1, 2); the widths of two hidden layers
    assert found.orders.shape == (2, 3, 8 + 6)
    for pair, (b, s) in enumerate([(0, 1), (0, 2), (1, 2)]):
        orders = {"hidden_0": found.orders[:, pair, :8], "hidden_1": found.orders[:, pair, 8:]}
        assert found.offers[:, b, s].equal(permute(layout, hidden, params[:, s], orders))


@pytest.mark.parametrize("rule", [ALIGNMENTS["none"], ALIGNMENTS["weight_matching"]])
def test_without_units_the_orders_are_handed_on(rule):
    layout, params = Layout((("w", (3,)),)), torch.ones(2, 4, 3)
    orders = no_orders(2, 4, {}, layout)
    assert orders.shape == (2, 6, 0) and no_orders(2, 4, None, layout).equal(orders)
    assert rule(params, layout, {}, KEYS, orders).orders.equal(orders)


def test_none_returns_the_orders_that_it_got():
    layout, _, hidden = mlp(5, 8, 6, 3)
    orders = torch.arange(14).repeat(2, 6, 1)
    assert ALIGNMENTS["none"](
        random_models(layout, KEYS, 4), layout, hidden, KEYS, orders
    ).orders.equal(orders)


def test_a_saved_and_restored_market_goes_on_to_the_bit():
    matching = ALIGNMENTS["weight_matching"]
    through = two_rounds(matching)
    resumed = two_rounds(matching, lambda orders: torch.tensor(orders.tolist()))
    assert resumed.offers.equal(through.offers) and resumed.orders.equal(through.orders)


def test_a_warm_start_follows_the_optimum_and_can_be_switched_off():
    # two hidden layers or more have many optima: the warm one stays near the last round's, the cold
    # one may be another
    layout, _, hidden = mlp(5, 8, 7, 6, 3)
    matching = ALIGNMENTS["weight_matching"]
    params = random_models(layout, torch.arange(10), 4)
    first = matching(params, layout, hidden, torch.arange(10), no_orders(10, 4, hidden, layout))
    later = drifted(params, 1e-4)
    warm = matching(later, layout, hidden, torch.arange(10), first.orders)
    assert warm.orders.equal(first.orders)  # models that hardly moved keep their optimum
    # another market's orders: a start like any other, whose end is often another
    swapped = first.orders.roll(1, 0)
    other = matching(params, layout, hidden, torch.arange(10), swapped)
    assert not other.orders.equal(first.orders)
    off = partial(matching, warm=False)(params, layout, hidden, torch.arange(10), swapped)
    assert off.orders.equal(first.orders) and off.offers.equal(first.offers)


def test_pairs_of_a_broken_model_have_no_orders_and_start_anew():
    layout, _, hidden = mlp(5, 8, 6, 3)
    matching, none_yet = ALIGNMENTS["weight_matching"], no_orders(2, 4, hidden, layout)
    params = random_models(layout, KEYS, 4)
    clean = matching(params, layout, hidden, KEYS, none_yet)
    broken = params.clone()
    broken[0, 2, 7] = torch.inf
    found = matching(broken, layout, hidden, KEYS, clean.orders)
    pairs = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    bad = (pairs == 2).any(1)
    assert (
        (found.orders[0, bad] == -1).all()
        and (found.orders[0, ~bad] >= 0).all()
        and (found.orders[1] >= 0).all()
    )
    healed = matching(params, layout, hidden, KEYS, found.orders)
    assert healed.orders.equal(clean.orders) and healed.offers.equal(clean.offers)


@pytest.mark.parametrize("shape", [(2, 6, 13), (2, 5, 14)])
def test_orders_of_another_shape_are_refused(shape):
    layout, _, hidden = mlp(5, 8, 6, 3)
    params, orders = random_models(layout, KEYS, 4), torch.full(shape, -1)
    with pytest.raises(ValueError, match="begin with no_orders"):
        ALIGNMENTS["weight_matching"](params, layout, hidden, KEYS, orders)


SHAPES = {
    # learner: (feature shape, options) for its smallest form; an entry that is missing fails the
    # test below
    "linear": ((4,), {}),
    "mlp": ((4,), {"hidden": (5, 3)}),
    "cnn": ((1, 4, 4), {"width": 2}),
    "resnet": ((1, 4, 4), {"depth": 10}),
    "recurrent": ((4,), {"hidden": 3, "embedding": 2, "characters": 5}),
    "module": (
        (4,),
        {"module": nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), "permutations": {}},
    ),
}


def test_layer_subsets_are_tried_with_every_learner():
    assert SHAPES.keys() == LEARNERS.keys(), (
        "add the new learner to SHAPES with a feature shape and its options"
    )


@pytest.mark.parametrize("kind", LEARNERS)
def test_trading_the_first_layer_changes_only_its_tensors(kind):
    shape, options = SHAPES[kind]
    task = {"linear": "regression"}.get(kind, "classification")
    learner = LEARNERS[kind](shape, 1 if kind == "linear" else 2, task, **options)
    layout, spec = learner.layout, learner.permutations
    params = random_models(layout, KEYS, 3)
    offers = cold(ALIGNMENTS["weight_matching" if spec else "none"], params, layout, spec, KEYS)
    for number, names in enumerate(learner.layers):
        merged = merge(
            params,
            offers,
            torch.full((2, 3, 3), 0.5),
            layer_mask(layout, learner.layers, (number,)),
        )
        moved = [
            name
            for name, part in layout.slices.items()
            if not merged[:, 0, 1, part].equal(params[:, 0, part])
        ]
        # all of its tensors: random ones never agree
        assert moved == [name for name in layout.slices if name in names]
    # no tensor outside all layers
    assert {name for names in learner.layers for name in names} == set(layout.slices)


@settings(max_examples=20)
@given(st.permutations(range(4)), st.integers(0, 2**31), st.sampled_from(sorted(ALIGNMENTS)))
def test_names_of_agents_do_not_matter(order, seed, name):
    # exact with one hidden layer, where random weights leave one optimum (no ties)
    layout, _, hidden = mlp(4, 6, 3)
    keys, order = torch.tensor([seed]), torch.tensor(order)
    params = random_models(layout, keys, 4)
    alpha, mask = draws.uniform(draws.fold(keys, "alpha"), 4, 4).float(), torch.ones(layout.size)
    merged = merge(params, cold(ALIGNMENTS[name], params, layout, hidden, keys), alpha, mask)
    other = params[:, order]
    renamed = merge(
        other,
        cold(ALIGNMENTS[name], other, layout, hidden, keys),
        alpha[:, order][:, :, order],
        mask,
    )
    assert renamed.equal(merged[:, order][:, :, order])


@pytest.mark.parametrize("widths", [(6, 12, 3), (6, 10, 10, 3)])
def test_the_aligned_midpoint_is_no_worse_than_the_naive_one(widths):
    # both models are one teacher plus noise, the second one reordered; aligned, their middle is the
    # teacher plus less noise
    layout, _, hidden = mlp(*widths)
    teacher = random_models(layout, torch.arange(30))
    _, copy, _ = planted(layout, hidden, 30, 0.2)
    noise = 0.2 * draws.normal(draws.fold(torch.arange(30), "own"), layout.size).float()
    hidden_copy = permute(
        layout, hidden, teacher, match(layout, hidden, copy, teacher, torch.arange(30))
    )
    params = torch.stack([teacher + noise, hidden_copy + noise], 1)
    x = draws.normal(torch.tensor(1), 200, widths[0]).float()
    truth = forward(layout, teacher, x)[:, None, None]
    half, mask = torch.full((30, 2, 2), 0.5), torch.ones(layout.size)
    aligned, naive = (
        (
            forward(
                layout,
                merge(
                    params,
                    cold(ALIGNMENTS[n], params, layout, hidden, torch.arange(30)),
                    half,
                    mask,
                ),
                x,
            )
            - truth
        )
        .square()
        .mean((-2, -1))[:, 0, 1]
        for n in ("weight_matching", "none")
    )
    assert (aligned <= naive).all() and aligned.mean() < 0.2 * naive.mean()


def test_merge_by_hand():
    # own 2 and offer 6 with weight 1/4: 2 + (6 - 2) / 4 = 3; the second parameter is not traded and
    # stays 5
    own, offers = torch.tensor([[[2.0, 5.0]]]), torch.tensor([[[[6.0, 9.0]]]])
    assert merge(own, offers, torch.tensor([[[0.25]]]), torch.tensor([1.0, 0.0])).tolist() == [
        [[[3.0, 5.0]]]
    ]


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_merge_stays_between_both_models(seed, alpha):
    keys = torch.tensor([seed, seed + 1])
    own, offers = draws.normal(keys, 3, 7), draws.normal(draws.fold(keys, "o"), 3, 3, 7)
    mask = torch.tensor([1.0, 0, 1, 1, 0, 1, 1])
    before = offers.clone()
    merged = merge(own, offers, torch.full((2, 3, 3), alpha), mask)
    low, high = torch.minimum(own[:, :, None], offers), torch.maximum(own[:, :, None], offers)
    assert ((merged >= low - 1e-6) & (merged <= high + 1e-6)).all()
    assert merged[..., [1, 4]].equal(
        own[:, :, None, [1, 4]].expand(-1, -1, 3, -1)
    ) and offers.equal(before)


def test_a_traded_subset_of_layers_fits_the_buyers_own_other_layers():
    # the seller is the buyer in another order, so taking any of its aligned layers whole changes
    # nothing
    layout, layers, hidden = mlp(4, 9, 7, 3)
    buyer, seller, _ = planted(layout, hidden, 2, 0.0)
    params = torch.stack([buyer, seller], 1)
    offers = align(params, layout, hidden, KEYS)
    merged = merge(params, offers, torch.ones(2, 2, 2), layer_mask(layout, layers, (0, 2)))
    assert torch.allclose(merged[:, 0, 1], buyer, atol=1e-6)


def test_layer_masks():
    layout, layers, _ = mlp(2, 3, 1)  # layer 0: 6 + 3 parameters, layer 1: 3 + 1
    assert layer_mask(layout, layers, None).tolist() == [1.0] * 13
    assert layer_mask(layout, layers, (0,)).tolist() == [1.0] * 9 + [0.0] * 4
    assert layer_mask(layout, layers, (1,)).tolist() == [0.0] * 9 + [1.0] * 4
    assert layer_mask(layout, layers, ()).sum() == 0


@pytest.mark.parametrize("chosen", [(2,), (0, -1), (7, 0)])
def test_unknown_layers_are_refused(chosen):
    layout, layers, _ = mlp(2, 3, 1)
    with pytest.raises(
        ValueError, match=r"has 2 layers, and \[.*\] were chosen: choose from 0 to 1"
    ):
        layer_mask(layout, layers, chosen)


def test_layers_of_another_model_are_refused():
    layout, _, _ = mlp(2, 3, 1)
    with pytest.raises(ValueError, match="conv_0"):
        layer_mask(layout, (("conv_0",),), None)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_gpu_finds_what_the_cpu_finds(name):
    layout, _, hidden = mlp(5, 8, 6, 3)
    params = random_models(layout, KEYS, 4)
    params[0, 1, 0] = torch.nan
    there = cold(ALIGNMENTS[name], params.cuda(), layout, hidden, KEYS.cuda())
    assert there.is_cuda and there.cpu().nan_to_num(9.0).equal(
        cold(ALIGNMENTS[name], params, layout, hidden, KEYS).nan_to_num(9.0)
    )
