import numpy as np
import pytest
import torch
from alignment_cases import identities, learner_of, mlp, planted, random_models
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.alignment import (
    match,
    match_among,
    objective,
    one_pair,
    permute,
    random_orders,
    weight_matching,
)
from marketenv.alignment.ascent import PROGRESS, norms
from marketenv.alignment.plan import plan_of
from marketenv.core import draws
from marketenv.core.bank import Layout

RESIDUAL = Layout((("w_in", (8, 6)), ("inner", (7, 8, 3)), ("skip", (8, 8)), ("w_out", (4, 8))))
STREAM = {
    "stream": (("w_in", 0), ("inner", 1), ("skip", 0), ("skip", 1), ("w_out", 1)),
    "middle": (("inner", 0),),
}
KINDS = ["mlp", "cnn", "resnet", "stream", "wide"]


def spec_of(kind):
    if kind == "stream":
        return RESIDUAL, STREAM
    if kind == "wide":
        layout, _, spec = mlp(30, 40, 48, 40, 5)
        return layout, spec
    learner, _ = learner_of(kind)
    return learner.layout, learner.permutations


def pairs_of(layout, n_pairs, seed=0):
    keys = draws.fold(torch.arange(n_pairs), seed)
    return (random_models(layout, draws.fold(keys, who)) for who in ("a", "b"))


def both_ways(monkeypatch, *args, **options):
    """The orders by one pair after the other, and by all pairs together."""
    monkeypatch.setattr(weight_matching, "WIDE", 10**9)
    ends = []
    for few in (10**9, 0):
        monkeypatch.setattr(weight_matching, "FEW_PAIRS", few)
        ends.append(match(*args, **options))
    return ends


def pair_of(layout, spec, target, source):
    """One pair as the ascent takes it."""
    plan, models = plan_of(layout, spec), torch.stack([target, source])
    lengths = norms(models).tolist()
    rough = one_pair.large(layout, plan, lengths)
    views = [one_pair.views_of(layout, plan, model.numpy(), rough) for model in models]
    return one_pair.pair_of(plan, *views, PROGRESS * lengths[0] * lengths[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begin", ["cold", "random"])
@pytest.mark.parametrize("restarts", [1, 3])
def test_one_pair_after_the_other_equals_all_together(monkeypatch, kind, begin, restarts):
    # random models have no ties, and float64 sums in another order differ in their last digits only
    layout, spec = spec_of(kind)
    target, source = pairs_of(layout, 8)
    keys = torch.arange(8)
    start = None if begin == "cold" else random_orders(layout, spec, keys)
    one, all_pairs = both_ways(
        monkeypatch, layout, spec, target, source, keys, start, restarts=restarts
    )
    assert all(one[name].equal(all_pairs[name]) for name in spec)
    assert any(not one[name].equal(same) for name, same in identities(layout, spec, 8).items())


@pytest.mark.parametrize("kind", KINDS)
def test_sums_to_which_changed_lines_are_added_lead_to_the_same_orders(monkeypatch, kind):
    monkeypatch.setattr(one_pair, "SOME", 0)  # also where products are small
    layout, spec = spec_of(kind)
    target, source = pairs_of(layout, 8)
    one, all_pairs = both_ways(monkeypatch, layout, spec, target, source, torch.arange(8))
    assert all(one[name].equal(all_pairs[name]) for name in spec)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_scores_lead_to_the_same_orders_where_no_assignments_are_nearly_equal(
    monkeypatch, kind
):
    # the best assignment of 48 random units leads the next by 1e-3 of a score and more; float32
    # errs by 1e-6
    monkeypatch.setattr(one_pair, "MANY", 0)  # every product
    layout, spec = spec_of(kind)
    target, source = pairs_of(layout, 8)
    one, all_pairs = both_ways(monkeypatch, layout, spec, target, source, torch.arange(8))
    assert all(one[name].equal(all_pairs[name]) for name in spec)


def test_only_large_tensors_stay_in_float32(monkeypatch):
    # multiplications: 40 * (30 * 40) = 48,000; 48 * (40 * 48) = 92,160; twice; 40 * (40 * 5)
    layout, spec = spec_of("wide")
    monkeypatch.setattr(one_pair, "MANY", 92_160)
    pair = pair_of(layout, spec, *torch.ones(2, layout.size))
    assert {name for name, view in pair.target.items() if view.dtype == np.float32} == {
        "weight_1",
        "weight_2",
    }
    assert pair.rough == {"hidden_0", "hidden_1", "hidden_2"}


@pytest.mark.parametrize("exponent", [-73, -55, 55, 60])
def test_models_beyond_the_range_of_float32_products_are_matched_in_float64(monkeypatch, exponent):
    # in float32 a product of two numbers of size 2^-73 keeps few of its digits; in float64 a power
    # of two changes none
    monkeypatch.setattr(one_pair, "MANY", 0)
    layout, _, spec = mlp(6, 8, 8, 8, 3)
    target, source = pairs_of(layout, 8)
    wanted, _ = both_ways(monkeypatch, layout, spec, target, source, torch.arange(8))
    scaled = (model * 2.0**exponent for model in (target, source))
    orders, _ = both_ways(monkeypatch, layout, spec, *scaled, torch.arange(8))
    assert all(orders[name].equal(wanted[name]) for name in spec)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_models_of_other_types_are_matched_in_float64(monkeypatch, dtype):
    monkeypatch.setattr(one_pair, "MANY", 0)
    layout, _, spec = mlp(6, 8, 8, 3)
    target, source, hidden = planted(layout, spec, 4, 0.0)
    orders = match(layout, spec, target.to(dtype), source.to(dtype), torch.arange(4))
    assert all(orders[name].equal(hidden[name]) for name in spec)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from(KINDS))
def test_the_value_of_orders_is_the_objective_in_the_tensors_that_they_reorder(seed, kind):
    layout, spec = spec_of(kind)
    target, source = pairs_of(layout, 1, seed)
    orders = random_orders(layout, spec, torch.tensor([seed]))
    pair = pair_of(layout, spec, target[0], source[0])
    touched = layout.mask(pair.plan.users)
    for some in ({}, orders):
        moved = permute(layout, spec, source, some) if some else source
        wanted = float(objective(target * touched, moved))
        arrays = {name: order[0].numpy() for name, order in some.items()}
        # sums of float64 numbers whose size is about sqrt(params)
        assert one_pair.value(pair, arrays) == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from(["mlp", "cnn", "resnet", "wide"]))
def test_the_gain_of_a_new_order_is_the_difference_of_values(seed, kind):
    layout, spec = spec_of(kind)
    target, source = pairs_of(layout, 1, seed)
    pair = pair_of(layout, spec, target[0], source[0])
    drawn = [random_orders(layout, spec, torch.tensor([seed + more])) for more in (0, 1)]
    orders, new = ({name: order[0].numpy() for name, order in some.items()} for some in drawn)
    for name in spec:
        wanted = one_pair.value(pair, orders | {name: new[name]}) - one_pair.value(pair, orders)
        assert one_pair._gain(pair, name, orders, new[name]) == pytest.approx(wanted, abs=1e-9)


def test_a_solution_that_is_better_only_by_the_rounding_of_float32_does_not_count(monkeypatch):
    # a = 519 u and b = 4047 u with u = 2^-23: in float64 the swap loses ab = 3.0e-8, but in float32
    # (1 + a)(1 + b) + (1 + 2a)(1 + 2b) loses one u to rounding, and the swap gains u = 1.2e-7
    monkeypatch.setattr(one_pair, "MANY", 0)
    layout, spec = Layout((("w", (2, 1)),)), {"h": (("w", 0),)}
    target, source = (torch.tensor([1 + k * 2.0**-23, 1 + 2 * k * 2.0**-23]) for k in (519, 4047))
    pair, orders = pair_of(layout, spec, target, source), one_pair.identity(plan_of(layout, spec))
    rough = pair.constant["h"].astype(np.float64)
    assert rough[0, 1] + rough[1, 0] > rough[0, 0] + rough[1, 1]
    assert not one_pair._improve(pair, "h", orders) and orders["h"].tolist() == [0, 1]


@pytest.mark.parametrize("restarts", [1, 2])
def test_a_pair_with_a_broken_model_keeps_the_identity_and_spoils_no_other(restarts):
    layout, _, spec = mlp(5, 6, 6, 3)
    models = random_models(layout, torch.arange(4))
    models[1, 3], models[2, 0] = torch.nan, torch.inf
    target, source = torch.tensor([0, 0, 1, 0]), torch.tensor([3, 1, 2, 2])
    orders = match_among(layout, spec, models, target, source, torch.arange(4), restarts=restarts)
    alone = match(layout, spec, models[:1], models[3:], torch.arange(1), restarts=restarts)
    for name in spec:
        assert orders[name][0].equal(alone[name][0])
        assert orders[name][1:].equal(torch.arange(6).expand(3, 6))


def test_which_pairs_are_matched_one_by_one():
    # up to 16 pairs, and any number of pairs of layers of 64 units or more
    for width, n_pairs, wanted in [(63, 16, True), (63, 17, False), (64, 17, True)]:
        layout, _, spec = mlp(2, width, 2)
        models = torch.zeros(1, layout.size)
        assert weight_matching.alone(plan_of(layout, spec), models, n_pairs) is wanted
    # elsewhere a pair alone would wait for every small step
    assert not weight_matching.alone(plan_of(layout, spec), models.to("meta"), 1)


def test_the_orders_can_be_changed_in_place():
    layout, _, spec = mlp(3, 4, 2)
    target, source = pairs_of(layout, 1)
    match(layout, spec, target, source, torch.arange(1))["hidden_0"][0, 0] = 7
    assert match(layout, spec, target, source, torch.arange(1))["hidden_0"].max() == 3
