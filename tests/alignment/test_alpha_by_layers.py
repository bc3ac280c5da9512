"""The search by layers finds the weights and the losses of the search over whole models."""

import dataclasses

import pytest
import torch
from alignment_cases import learner_of, random_models
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.alignment import (
    ALIGNMENTS,
    PAPER_GRID,
    ByLayers,
    alpha_grid,
    alpha_grid_by_layers,
    layer_mask,
    no_orders,
)
from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS

KEYS = torch.tensor([5, 6, 7])


def exam_for(learner, owners, rows=12):
    """Examples of each owner with random labels."""
    keys = draws.fold(torch.arange(owners * rows), "exam")
    x = draws.normal(keys, *learner.feature_shape).float()
    y = draws.integers(draws.fold(keys, "y"), 3)
    y = y.float() if learner.task == "regression" else y
    size = torch.full((owners,), rows)
    return learner.exam(Shards(x, y, torch.arange(owners * rows).view(owners, rows), size))


def by_layers(learner, exam, at_once=1000):
    """How the learner's models are scored by layers, and a record of what is computed."""
    first, calls = learner.first_linear, {"outputs": 0, "rest": 0, "losses": 0}

    def counted(name, number, value):
        calls[name] += number
        return value

    def part(some):
        return exam.part(some.start, some.stop)

    model = ByLayers(
        layout=learner.layout,
        permutations=learner.permutations,
        first=first.names,
        outputs=lambda models, some: counted(
            "outputs", models.shape[:2].numel(), first.outputs(models, part(some))
        ),
        rest=lambda outputs, views, some: counted(
            "rest", outputs.shape[:2].numel(), first.losses(outputs, views, part(some))
        ),
        losses=lambda models, some: counted(
            "losses", models.shape[:2].numel(), learner.losses(models, part(some))
        ),
        at_once=at_once,
    )
    return model, calls


def case(hidden=(8,), task="classification", agents=3, owners=1, alignment="weight_matching"):
    """Three markets of trained-like models, their offers, and an exam."""
    outputs = 3 if task == "classification" else 1
    learner = LEARNERS["mlp"]((5,), outputs, task, hidden=hidden)
    own = 0.5 * random_models(learner.layout, KEYS, agents)
    blank = no_orders(len(KEYS), agents, learner.permutations, learner.layout)
    aligned = ALIGNMENTS[alignment](own, learner.layout, learner.permutations, KEYS, blank)
    return learner, exam_for(learner, owners), own, aligned


def check(learner, exam, own, offers, orders, mask, at_once=1000, grid=PAPER_GRID):
    """Compare both searches; returns what the one by layers computed."""
    model, calls = by_layers(learner, exam, at_once)
    best = alpha_grid_by_layers(model, own, offers, orders, mask, grid)
    wanted = alpha_grid(lambda models: learner.losses(models, exam), own, offers, mask, grid)
    assert best.alpha.equal(wanted.alpha)
    torch.testing.assert_close(best.loss, wanted.loss, rtol=1e-6, atol=1e-6)
    return calls


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("owners", [1, 3])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 8), (6, 4, 5)])
def test_weights_and_losses_are_those_of_whole_models(hidden, task, owners, alignment):
    learner, exam, own, (offers, orders) = case(hidden, task, 3, owners, alignment)
    check(learner, exam, own, offers, orders, torch.ones(learner.layout.size))


@pytest.mark.parametrize("layers", [(0,), (1,), (2,), (0, 2), (1, 2), ()])
def test_layers_that_are_not_traded_stay_the_buyers(layers):
    learner, exam, own, (offers, orders) = case((6, 4), agents=4)
    mask = layer_mask(learner.layout, learner.layers, layers)
    calls = check(learner, exam, own, offers, orders, mask)
    # 4 models of each market; the first layer is traded as a whole or not at all
    assert calls["outputs"] == 3 * 4
    # 12 pairs and 10 weights: no pair is the mirror of another
    assert calls["rest"] == 3 * 120


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_any_mask(seed):
    learner, exam, own, (offers, orders) = case((6,), agents=2)
    mask = draws.uniform(torch.tensor(seed), learner.layout.size).round().float()
    check(learner, exam, own, offers, orders, mask)


@pytest.mark.parametrize("agents", [1, 2, 3, 5])
def test_the_first_layer_is_computed_once_a_model_and_each_pair_of_agents_once(agents):
    learner, exam, own, (offers, orders) = case(agents=agents)
    calls = check(learner, exam, own, offers, orders, torch.ones(learner.layout.size))
    pairs = agents * (agents - 1) // 2
    assert calls == {"outputs": 3 * agents, "rest": 3 * pairs * 10, "losses": 0}


def test_other_offers_have_their_first_layer_computed_once_a_pair():
    learner, exam, own, (offers, _) = case()
    offers = offers + 0.1 * random_models(learner.layout, KEYS, 1, 3)
    calls = check(learner, exam, own, offers, None, torch.ones(learner.layout.size))
    # 3 models and 6 pairs of each market
    assert calls == {"outputs": 3 * (3 + 6), "rest": 3 * 60, "losses": 0}


@pytest.mark.parametrize("owners", [1, 3])
@pytest.mark.parametrize("at_once", [1, 7, 10, 25, 60, 90])
@pytest.mark.parametrize("layers", [None, (1,)])
def test_pieces_of_any_size_give_the_same(at_once, owners, layers):
    learner, exam, own, (offers, orders) = case(agents=4, owners=owners)
    mask = layer_mask(learner.layout, learner.layers, layers)
    check(learner, exam, own, offers, orders, mask, at_once)


@pytest.mark.parametrize("limit", [1, 3 * 16 * 75 * 4, 2**24])
def test_runs_of_markets_of_any_size_give_the_same(limit):
    learner, exam, own, (offers, orders) = case(agents=4, owners=3)
    mask, (model, _) = torch.ones(learner.layout.size), by_layers(learner, exam)
    best = alpha_grid_by_layers(model, own, offers, orders, mask, limit_bytes=limit)
    whole = alpha_grid_by_layers(model, own, offers, orders, mask)
    assert best.alpha.equal(whole.alpha)
    torch.testing.assert_close(best.loss, whole.loss, rtol=1e-6, atol=1e-6)


def test_a_grid_that_is_not_its_own_mirror_tries_both_directions():
    learner, exam, own, (offers, orders) = case()
    mask = torch.ones(learner.layout.size)
    calls = check(learner, exam, own, offers, orders, mask, grid=(0.1, 0.5, 1.0))
    assert calls["rest"] == 3 * 6 * 3


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 45, -1])  # first layer, its bias, the last bias
@pytest.mark.parametrize("layers", [None, (0,), (1,)])
def test_a_model_that_is_not_finite_harms_no_other(bad, place, layers):
    learner, exam, own, _ = case()
    own[1, 2, place] = bad
    blank = no_orders(3, 3, learner.permutations, learner.layout)
    offers, orders = ALIGNMENTS["weight_matching"](
        own, learner.layout, learner.permutations, KEYS, blank
    )
    mask = layer_mask(learner.layout, learner.layers, layers)
    calls = check(learner, exam, own, offers, orders, mask)
    # only the ends are tested: no merged model is built
    assert calls["losses"] == 0
    model, _ = by_layers(learner, exam)
    loss = alpha_grid_by_layers(model, own, offers, orders, mask).loss
    off = ~torch.eye(3, dtype=torch.bool)
    broken = torch.zeros(3, 3, 3, dtype=torch.bool)
    broken[1, 2], broken[1, :, 2] = True, True
    assert loss[broken].isinf().all() and loss[off & ~broken].isfinite().all()


def test_where_the_parts_overflow_the_losses_are_those_of_whole_models():
    learner, exam, own, _ = case((4,), agents=2)
    exam = dataclasses.replace(exam, x=exam.x.abs() + 1.0)
    # the first layer's outputs overflow to -inf, which the ReLU makes 0; inf - inf is no number
    own[0, 0, :20], own[0, 1, :20] = -3e38, -2e38
    offers = own[:, None].expand(-1, 2, -1, -1)
    calls = check(learner, exam, own, offers, None, torch.ones(learner.layout.size))
    assert calls["losses"] > 0
    assert learner.losses(own, exam).isfinite().all()


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_equal_models_take_the_smallest_weight(alignment):
    learner, exam, own, _ = case((32, 6), agents=4, alignment=alignment)
    own = own[:, :1].expand(-1, 4, -1).contiguous()
    blank = no_orders(3, 4, learner.permutations, learner.layout)
    offers, orders = ALIGNMENTS[alignment](own, learner.layout, learner.permutations, KEYS, blank)
    calls = check(learner, exam, own, offers, orders, torch.ones(learner.layout.size))
    model, _ = by_layers(learner, exam)
    best = alpha_grid_by_layers(model, own, offers, orders, torch.ones(learner.layout.size))
    off = ~torch.eye(4, dtype=torch.bool)
    assert calls["losses"] == 0 and (best.alpha[:, off] == PAPER_GRID[0]).all()


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet"])
def test_half_of_whole_models_is_enough_where_pairs_are_mirrors(kind):
    learner, _ = learner_of(kind)
    own = torch.stack([learner.init(draws.fold(KEYS[:2], agent)) for agent in range(3)], 1)
    blank = no_orders(2, 3, learner.permutations, learner.layout)
    offers, _ = ALIGNMENTS["weight_matching"](
        own, learner.layout, learner.permutations, KEYS[:2], blank
    )
    exam, calls = exam_for(learner, 1), []

    def losses(models):
        calls.append(models.shape[1])
        return learner.scores(models, exam).loss

    mask = torch.ones(learner.layout.size)
    half = alpha_grid(losses, own, offers, mask, mirrored=True)
    assert sum(calls) == 30  # 3 pairs, 10 weights
    whole = alpha_grid(losses, own, offers, mask)
    assert half.alpha.equal(whole.alpha)
    torch.testing.assert_close(half.loss, whole.loss, rtol=1e-5, atol=1e-5)


def test_mirrors_need_whole_models_and_a_grid_that_is_its_own_mirror():
    learner, exam, own, (offers, _) = case()

    def losses(models):
        return learner.losses(models, exam)

    mask, partial = torch.ones(learner.layout.size), torch.ones(learner.layout.size)
    partial[0] = 0.0
    for some, grid in ((partial, PAPER_GRID), (mask, (0.1, 0.5)), (mask, (0.2, 0.5, 1.0))):
        both = [
            alpha_grid(losses, own, offers, some, grid, mirrored=mirrored)
            for mirrored in (True, False)
        ]
        assert both[0].alpha.equal(both[1].alpha) and both[0].loss.equal(both[1].loss)
