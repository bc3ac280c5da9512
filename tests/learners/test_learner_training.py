"""Stacked training against numbers worked by hand and against the loop over single models."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import blobs, build, data_for, lines, start
from torch import nn

from marketenv.core.shards import Shards
from marketenv.learners import MLP, Linear, ModuleLearner, Pull, Training, mlp, mlp_passes, stacks
from marketenv.learners.feed import open_feed, shuffled
from marketenv.learners.optimizers import Adam, optimizer_of
from marketenv.learners.reference import loop_train
from marketenv.learners.training import Step, schedule

TRAININGS = {
    "sgd": Training(steps=1),
    "sgd minibatches": Training(steps=1, batch_size=7),
    "weight decay": Training(steps=1, batch_size=7, weight_decay=0.1),
    "momentum": Training(steps=1, batch_size=7, momentum=0.9),
    "momentum and decay": Training(steps=1, momentum=0.9, weight_decay=0.1),
    "adam": Training(steps=1, batch_size=7, optimizer="adam", learning_rate=0.01),
    "adam and decay": Training(steps=1, optimizer="adam", learning_rate=0.01, weight_decay=0.1),
}
FULL = {name: t for name, t in TRAININGS.items() if t.batch_size is None}
EFFORTS = {"full": [1.0, 1.0, 1.0], "partial": [0.4, 1.0, 0.0], "equal parts": [0.7, 0.7, 0.7]}


def warm(learner, n_models):
    """Slots as some rounds leave them: nothing zero, squares positive, three steps counted."""
    slots = learner.fresh_slots(n_models)
    slots[:] = torch.linspace(0.01, 0.1, max(slots.numel(), 1))[: slots.numel()].view_as(slots)
    if learner.training.optimizer == "adam":
        slots[:, -1] = 3.0
    return slots


def assert_equals_loop(learner, shards, effort, tolerance=1e-5):
    n = shards.index.shape[0]
    keys, params, _, _ = start(learner, n)
    slots, effort = warm(learner, n), torch.tensor(effort)
    new, held = learner.train(params, slots, learner.prepare(shards), effort, keys)
    new_loop, held_loop = loop_train(learner, params, slots, shards, effort, keys)
    torch.testing.assert_close(new, new_loop, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(held, held_loop, atol=tolerance, rtol=tolerance)
    moved = (new - params).abs().amax(1) > 1e-6
    # the test would not see an update that does nothing
    assert moved.tolist() == [e > 0 for e in effort.tolist()]


@pytest.mark.parametrize("effort", EFFORTS.values(), ids=EFFORTS)
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_mlp_step_equals_the_loop(task, training, effort):
    # uneven shards of 24, 21, 18 rows; the loop uses autograd and torch.optim and shares only the
    # order of the rows
    assert_equals_loop(build("mlp", task, training, hidden=(8, 6)), data_for(task), effort)


@pytest.mark.parametrize("hidden", [(), (4,), (7, 3, 5)])
def test_mlp_of_any_depth_equals_the_loop(hidden):
    assert_equals_loop(
        build("mlp", "classification", Training(steps=1), hidden=hidden), blobs(), [1.0, 0.5, 0.2]
    )


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_rounds_of_many_steps_equal_the_loop(training):
    many = Training(**{**vars(training), "steps": 5})  # efforts stop models at different steps
    assert_equals_loop(build("mlp", "classification", many), blobs(), [0.3, 1.0, 0.75], 1e-4)


@pytest.mark.parametrize("effort", EFFORTS.values(), ids=EFFORTS)
@pytest.mark.parametrize("training", FULL.values(), ids=FULL)
def test_linear_step_equals_the_loop(training, effort):
    assert_equals_loop(
        build("linear", "regression", training, init_rule="normal"), lines(noise=0.5), effort
    )


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_module_step_equals_the_loop(training, engine):
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 3))
    learner = ModuleLearner((5,), 3, "classification", training, module=net, engine=engine)
    assert_equals_loop(learner, blobs(), [0.4, 1.0, 0.0])


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_tensors_worked_on_inside_the_bank_change_nothing(training, monkeypatch):
    monkeypatch.setattr(stacks, "LARGE", 1)
    for effort in EFFORTS.values():
        assert_equals_loop(build("mlp", "classification", training), blobs(), effort)


@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("efforts", [[1.0] * 7, [0.3, 1.0, 0.5, 0.0, 1.0, 0.9, 0.2]])
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_models_that_train_some_at_a_time_end_at_the_same_bits(
    training, efforts, pulled, monkeypatch
):
    # seven models as 2 + 2 + 2 + 1; two steps, so that some models stop after the first one, and
    # a step that is partial for one model is so for all
    learner, shards = build("mlp", training=replace(training, steps=2), hidden=(8, 6)), blobs(7)
    keys, params, _, _ = start(learner, 7)
    pull = Pull(torch.zeros_like(params), torch.linspace(0.0, 0.6, 7)) if pulled else None
    rest = (warm(learner, 7), learner.prepare(shards), torch.tensor(efforts), keys, pull)
    whole = learner.train(params, *rest)
    monkeypatch.setattr(mlp, "at_once", lambda *sizes: 2)
    for one, other in zip(whole, learner.train(params, *rest), strict=True):
        assert torch.equal(one, other)


def test_a_cpu_trains_as_many_models_at_a_time_as_its_cache_holds():
    # 5-8-3: 75 parameters with a velocity, centre and gradient are 300 numbers; four examples of
    # 5 + 8 + 3 numbers and 8 slopes are 96; 2^23 bytes / (4 * 396) = 5295.8
    learner = build("mlp", training=Training(momentum=0.9), hidden=(8,))
    _, params, slots, _ = start(learner, 2)
    pull, optimizer = Pull(params, torch.ones(2)), optimizer_of(learner.training)
    stacks_of_two = stacks.open_stacks(learner.layout, optimizer, params, slots, None, pull)
    assert mlp_passes.at_once(learner.widths, 4, stacks_of_two, optimizer) == 5295


def test_one_parameter_with_adam_keeps_its_three_slots_apart():
    # d = 1: mean, square and count have one number each, the smallest layout there is
    learner = Linear((1,), 1, "regression", Training(optimizer="adam", steps=1), init_rule="normal")
    assert_equals_loop(learner, lines(features=1), [1.0, 0.5, 1.0])


def one_owner(x, y):
    return Shards(
        torch.tensor(x), torch.tensor(y), torch.arange(len(y))[None], torch.tensor([len(y)])
    )


def train_once(learner, shards, params, slots=None, effort=1.0):
    slots = learner.fresh_slots(1) if slots is None else slots
    return learner.train(
        torch.tensor([params]),
        slots,
        learner.prepare(shards),
        torch.tensor([effort]),
        torch.tensor([0]),
    )


def test_golden_linear_step():
    # X = 2 I, y = (3, 4), n = 2: G = X'X/2 = 2 I, c = X'y/2 = (3, 4); from 0 one step of 0.1 gives
    # 0.1 c = (0.3, 0.4); the second gives (0.3, 0.4) - 0.1 (2 (0.3, 0.4) - (3, 4)) = (0.54, 0.72)
    shards = one_owner([[2.0, 0.0], [0.0, 2.0]], [3.0, 4.0])
    for steps, wanted in ((1, [0.3, 0.4]), (2, [0.54, 0.72])):
        learner = Linear((2,), 1, "regression", Training(learning_rate=0.1, steps=steps))
        torch.testing.assert_close(
            train_once(learner, shards, [0.0, 0.0])[0], torch.tensor([wanted])
        )


@given(st.floats(0.05, 0.9), st.integers(1, 20), st.floats(0.1, 2.0))
@settings(max_examples=30)
def test_linear_rounds_follow_the_closed_form(rate, steps, slope):
    # one feature x = 1, y = slope: theta_t = slope (1 - (1 - rate)^t) from 0
    learner = Linear((1,), 1, "regression", Training(learning_rate=rate, steps=steps))
    theta, _ = train_once(learner, one_owner([[1.0]], [slope]), [0.0])
    assert float(theta) == pytest.approx(slope * (1 - (1 - rate) ** steps), abs=1e-5)


def test_golden_mlp_step():
    # 1-1-1 net, w1=1 b1=0 w2=2 b2=0, x=y=1: h=1, output 2, slope 1; dw2=h=1, db2=1, dh=w2=2, dw1=2,
    # db1=2; rate 0.1
    learner = MLP((1,), 1, "regression", Training(learning_rate=0.1, steps=1), hidden=(1,))
    new, _ = train_once(learner, one_owner([[1.0]], [1.0]), [1.0, 0.0, 2.0, 0.0])
    torch.testing.assert_close(new, torch.tensor([[0.8, -0.2, 1.9, -0.1]]))


def test_golden_mlp_step_behind_a_closed_relu():
    # w1=-1: h = max(-1, 0) = 0, so nothing flows below and w2 sees h = 0; output 0, slope 0 - 1 =
    # -1 moves b2 alone
    learner = MLP((1,), 1, "regression", Training(learning_rate=0.1, steps=1), hidden=(1,))
    new, _ = train_once(learner, one_owner([[1.0]], [1.0]), [-1.0, 0.0, 2.0, 0.0])
    torch.testing.assert_close(new, torch.tensor([[-1.0, 0.0, 2.0, 0.1]]))


def test_golden_softmax_step():
    # zero logits of 2 classes: softmax 1/2 each, slope (-1/2, 1/2) for label 0; x = 3, rate 0.1: w
    # -+ 0.15, b -+ 0.05
    learner = MLP((1,), 2, "classification", Training(learning_rate=0.1, steps=1), hidden=())
    new, _ = train_once(learner, one_owner([[3.0]], [0]), [0.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(new, torch.tensor([[0.15, -0.15, 0.05, -0.05]]))


def test_golden_momentum():
    # G = c = 1, rate 0.1, momentum 0.5: v = -1, theta 0.1; then gradient 0.1 - 1 = -0.9, v = -0.5 -
    # 0.9 = -1.4, theta 0.24
    learner = Linear((1,), 1, "regression", Training(learning_rate=0.1, momentum=0.5, steps=2))
    theta, velocity = train_once(learner, one_owner([[1.0]], [1.0]), [0.0])
    assert float(theta) == pytest.approx(0.24) and float(velocity) == pytest.approx(-1.4)


def test_golden_adam():
    # bias correction makes the first step rate * g / (|g| + eps) = rate * sign(g); slots are 0.1 g,
    # 0.001 g^2, 1 with g = -5
    learner = Linear((1,), 1, "regression", Training(optimizer="adam", learning_rate=0.1, steps=1))
    theta, slots = train_once(learner, one_owner([[1.0]], [5.0]), [0.0])
    assert float(theta) == pytest.approx(0.1)
    torch.testing.assert_close(slots, torch.tensor([[-0.5, 0.025, 1.0]]))


def test_golden_effort():
    # effort 0.75 of 2 steps weighs them 1 and 0.5: theta 0.1, then 0.1 + 0.5 * 0.1 * 0.9 = 0.145
    learner = Linear((1,), 1, "regression", Training(learning_rate=0.1, steps=2))
    theta, _ = train_once(learner, one_owner([[1.0]], [1.0]), [0.0], effort=0.75)
    assert float(theta) == pytest.approx(0.145)


def test_golden_weight_decay():
    # data that pull nowhere (x = 0): theta shrinks by 1 - rate * decay = 0.95, by half of that loss
    # at weight 1/2
    learner = Linear((1,), 1, "regression", Training(learning_rate=0.1, weight_decay=0.5, steps=1))
    for effort, wanted in ((1.0, 0.95), (0.5, 0.975)):
        assert float(
            train_once(learner, one_owner([[0.0]], [1.0]), [1.0], effort=effort)[0]
        ) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6), st.integers(1, 7))
@settings(max_examples=50)
def test_schedule_weighs_every_step_as_said(effort, steps):
    order, plan = schedule(torch.tensor(effort), steps)
    places = list(range(len(effort))) if order is None else order.tolist()
    weights = torch.zeros(steps, len(effort))
    for step in plan:
        weights[step.number, places[: step.active]] = step.weight
        assert step.partial == bool((step.weight < 1).any())
    wanted = (torch.tensor(effort) * steps - torch.arange(steps)[:, None]).clamp(0, 1)
    torch.testing.assert_close(weights, wanted, atol=2e-6, rtol=0)
    assert all(step.active for step in plan)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=40)
def test_minibatches_use_the_shard_up_before_they_repeat(size, batch, seed):
    width = size + seed % 3  # padding must never be seen
    shards = Shards(
        torch.zeros(width, 1), torch.arange(width), torch.arange(width)[None], torch.tensor([size])
    )
    feed = open_feed(shards, batch, None, torch.tensor([seed]))
    # 2 size batch places: every row exactly 2 batch times
    steps = schedule(torch.ones(1), 2 * size)[1]
    seen = torch.cat([feed.batch(step)[1].clone().flatten() for step in steps])
    assert seen[:size].sort().values.tolist() == list(range(size))
    assert torch.bincount(seen, minlength=width).tolist() == [2 * batch] * size + [0] * (
        width - size
    )


def test_minibatch_order_depends_on_the_key_alone():
    shards = blobs(owners=2, uneven=False)
    same = Shards(shards.x, shards.y, shards.index[:1].expand(2, -1), shards.size)
    one, other = shuffled(same, torch.tensor([5, 6]))
    assert (
        one.tolist() != other.tolist()
        and one.tolist() == shuffled(same, torch.tensor([7, 5]))[1].tolist()
    )


KINDS = {
    "mlp": lambda t: build("mlp", "classification", t),
    "linear": lambda t: build(
        "linear", "regression", Training(**{**vars(t), "batch_size": None}), init_rule="normal"
    ),
    "module": lambda t: ModuleLearner((5,), 3, "classification", t, module=nn.Linear(5, 3)),
}


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_never_modified_and_results_share_no_memory(kind, training):
    learner = KINDS[kind](training)
    shards = data_for(learner.task)
    keys, params, _, _ = start(learner, 3)
    slots, material = warm(learner, 3), learner.prepare(shards)
    for effort in EFFORTS.values():
        given_now = [t.clone() for t in (params, slots, shards.x, shards.y, shards.index)]
        new, held = learner.train(params, slots, material, torch.tensor(effort), keys)
        new.fill_(7.0), held.fill_(7.0)
        for was, now in zip(
            given_now, (params, slots, shards.x, shards.y, shards.index), strict=True
        ):
            assert torch.equal(was, now)


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("kind", KINDS)
def test_without_effort_a_model_comes_back_to_the_bit(kind, training):
    learner = KINDS[kind](training)
    keys, params, _, _ = start(learner, 3)
    slots = warm(learner, 3)
    params[0, 0], params[0, 1] = torch.nan, -0.0  # even a broken model is not touched
    material = learner.prepare(data_for(learner.task))
    for effort in ([0.0, 1.0, 0.6], [0.0, 0.0, 0.0]):
        new, held = learner.train(params, slots, material, torch.tensor(effort), keys)
        for i in [i for i, e in enumerate(effort) if e == 0]:
            assert torch.equal(new[i].view(torch.int32), params[i].view(torch.int32))
            assert torch.equal(held[i].view(torch.int32), slots[i].view(torch.int32))
    assert torch.equal(new[1:], params[1:])


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("kind", KINDS)
def test_same_call_same_bits_and_a_batch_equals_its_singles(kind, training):
    learner = KINDS[kind](Training(**{**vars(training), "steps": 3}))
    shards = data_for(learner.task)
    keys, params, _, _ = start(learner, 3)
    slots, effort = warm(learner, 3), torch.tensor([0.5, 1.0, 0.9])
    first, again = (
        learner.train(params, slots, learner.prepare(shards), effort, keys) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for i in range(3):
        own = slice(i, i + 1)
        alone = learner.prepare(
            Shards(shards.x, shards.y, shards.index[own, : int(shards.size[i])], shards.size[own])
        )
        single = learner.train(params[own], slots[own], alone, effort[own], keys[own])
        for a, b in zip(single, first, strict=True):
            torch.testing.assert_close(a, b[own], atol=1e-5, rtol=1e-5)


def test_a_broken_neighbour_does_no_harm():
    learner = build("mlp", training=Training(steps=4, batch_size=5, weight_decay=0.01))
    keys, params, slots, _ = start(learner, 3)
    effort, material = torch.tensor([0.3, 1.0, 0.55]), learner.prepare(blobs())
    clean = learner.train(params, slots, material, effort, keys)[0]
    broken = params.clone()
    broken[1] = torch.nan
    assert torch.equal(
        learner.train(broken, slots, material, effort, keys)[0][[0, 2]], clean[[0, 2]]
    )


def test_learners_learn():
    # blobs 2 apart in 5 dimensions with spread 0.4 are separable; a noise-free line is fitted
    # exactly by least squares
    training = Training(steps=60, batch_size=8, learning_rate=0.1)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    for learner in (
        build("mlp", training=training),
        ModuleLearner((5,), 3, "classification", training, module=net),
    ):
        keys, params, slots, effort = start(learner, 3)
        trained, _ = learner.train(params, slots, learner.prepare(blobs()), effort, keys)
        before, after = (
            learner.scores(p[:, None], learner.exam(blobs())) for p in (params, trained)
        )
        assert bool((after.accuracy > 0.95).all()) and bool((after.loss < before.loss).all())
    learner = build("linear", "regression", Training(steps=200, learning_rate=0.2))
    keys, params, slots, effort = start(learner, 3)
    trained, _ = learner.train(params, slots, learner.prepare(lines()), effort, keys)
    torch.testing.assert_close(trained, torch.arange(1.0, 6).expand(3, 5), atol=1e-2, rtol=0)


def test_adams_epsilon_halves_a_step_against_a_gradient_of_its_size():
    """Kingma and Ba, algorithm 1: a steady gradient g moves by rate g / (|g| + epsilon) in
    every step, here half the rate.
    """
    theta, held = torch.zeros(1, 1), (torch.zeros(1, 1), torch.zeros(1, 1))
    adam = Adam(Training(optimizer="adam", learning_rate=0.1))
    for number in range(3):
        adam.descend(
            theta,
            held,
            torch.full((1, 1), 1e-8),
            Step(number, 1, torch.ones(1), False),
            torch.tensor([number + 1.0]),
        )
        assert float(theta) == pytest.approx(-0.05 * (number + 1), rel=1e-3)


def test_layers_of_one_size_begin_with_numbers_of_their_own():
    """Two layers of 8 x 8 in each learner: 64 pairs of independent numbers, whose correlation
    deviates by 1/8.
    """
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    deep = MLP((8,), 8, "classification", Training(), hidden=(8,))
    for learner in (deep, ModuleLearner((8,), 8, "classification", Training(), module=module)):
        views = learner.layout.views(learner.init(torch.arange(3)))
        first, second = (
            tensor.flatten(1) for name, tensor in views.items() if name.endswith("weight")
        )
        for model in range(3):
            assert (
                abs(float(torch.corrcoef(torch.stack([first[model], second[model]]))[0, 1])) < 0.6
            )
