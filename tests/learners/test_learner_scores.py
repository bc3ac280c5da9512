"""Scores against numbers worked by hand, in pieces and shared or owned exams, and of broken
models.
"""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import blobs, build, data_for, lines, start
from torch import nn

from marketenv.core.shards import Shards
from marketenv.learners import MLP, ByClass, Linear, ModuleLearner, Training
from marketenv.learners.objectives import OBJECTIVES, right_share


def learners(engine="loop", memory=2**28):
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    return {
        "mlp": build("mlp", memory=memory, hidden=(7, 4)),
        "linear classifier": build("mlp", memory=memory, hidden=()),
        "regression mlp": build("mlp", "regression", memory=memory),
        "linear": build("linear", "regression", init_rule="normal"),
        "module": ModuleLearner(
            (5,), 3, "classification", Training(), module=net, engine=engine, memory=memory
        ),
    }


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize("kind", learners())
def test_scores_are_those_of_plain_torch(kind, engine):
    # uneven exams of two markets, 4 models each, against one model and one market at a time with
    # torch's own losses
    learner = learners(engine)[kind]
    shards = data_for(learner.task, owners=2)
    params = learner.init(torch.arange(8)).unflatten(0, (2, 4))
    scores = learner.scores(params, learner.exam(shards))
    for market in range(2):
        rows = shards.index[market, : shards.size[market]]
        x, y = shards.x[rows], shards.y[rows]
        for model in range(4):
            outputs = learner.forward(learner.layout.views(params[market, model]), x)
            if learner.task == "classification":
                loss, accuracy = (
                    nn.functional.cross_entropy(outputs, y),
                    (outputs.argmax(1) == y).float().mean(),
                )
            else:
                mse = nn.functional.mse_loss(outputs[:, 0], y)
                loss, accuracy = mse / 2, (1 - mse / y.var(correction=0)).clamp(min=0)
            torch.testing.assert_close(
                scores.loss[market, model], loss.detach(), atol=1e-5, rtol=1e-5
            )
            torch.testing.assert_close(
                scores.accuracy[market, model], accuracy.detach(), atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize("kind", learners())
def test_shared_exam_equals_a_copy_for_each_market_and_pieces_equal_the_whole(kind, engine):
    learner = learners(engine)[kind]
    shards = data_for(learner.task, owners=1)
    copies = Shards(shards.x, shards.y, shards.index.expand(3, -1), shards.size.expand(3))
    params = learner.init(torch.arange(15)).unflatten(0, (3, 5))
    shared = learner.scores(params, learner.exam(shards))
    pieces = learners(engine, memory=1)[kind]  # one model at a time
    for scores in (
        learner.scores(params, learner.exam(copies)),
        pieces.scores(params, learner.exam(shards)),
        pieces.scores(params, learner.exam(copies)),
    ):
        torch.testing.assert_close(scores.loss, shared.loss, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scores.accuracy, shared.accuracy, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("memory", [2**28, 1])
@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize("kind", ["mlp", "linear classifier", "module"])
def test_one_pass_over_all_classes_equals_an_exam_for_each(kind, engine, memory):
    """Of 4 models in each of 2 markets, one model is not finite; classes have 8, 1 and 4 rows."""
    learner, shards = learners(engine, memory)[kind], blobs(owners=1)
    classes = [(shards.y == label).nonzero()[:size, 0] for label, size in enumerate((8, 1, 4))]
    params = learner.init(torch.arange(8)).unflatten(0, (2, 4))
    params[1, 0, 3] = math.nan
    exams = [
        learner.exam(Shards(shards.x, shards.y, rows[None], torch.tensor([len(rows)])))
        for rows in (torch.cat(classes), *classes)
    ]
    scores = learner.class_scores(params, exams[0], (8, 1, 4))
    assert isinstance(learner, ByClass) and scores.loss.shape == (2, 4, 3)
    for place, exam in enumerate(exams[1:]):
        for part, wanted in zip(scores, learner.scores(params, exam), strict=True):
            torch.testing.assert_close(part[..., place], wanted, atol=1e-6, rtol=1e-6)
    assert scores.loss[1, 0].tolist() == [math.inf] * 3 and scores.accuracy[1, 0].sum() == 0
    # a mean over all rows is the mean of the classes' means, weighted by their 13 rows
    mean = (scores.loss * torch.tensor([8.0, 1.0, 4.0])).sum(-1) / 13
    torch.testing.assert_close(mean, learner.scores(params, exams[0]).loss)


@pytest.mark.parametrize("kind", ["mlp", "module"])
@pytest.mark.parametrize("sizes", [(8, 0, 16), (8, 8), (8, 8, 9), (8, -8, 24), ()], ids=str)
def test_sizes_of_classes_that_are_none_are_refused(kind, sizes):
    """An empty class would have a loss of 0, as if its examples were all right."""
    learner = learners()[kind]
    params, exam = learner.init(torch.arange(2))[None], learner.exam(blobs(owners=1))
    assert exam.x.shape[1] == 24
    with pytest.raises(ValueError, match="wanted numbers of examples >= 1, one for each class"):
        learner.class_scores(params, exam, sizes)


@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_an_exam_of_several_owners_has_no_scores_by_class(kind):
    learner = learners()[kind]
    params = learner.init(torch.arange(2))[:, None]
    exam = learner.exam(blobs(owners=2))
    with pytest.raises(ValueError, match=r"2 owners and .* and one owner"):
        learner.class_scores(params, exam, (exam.x.shape[1],))


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize("kind", learners())
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_models_that_are_not_finite_have_infinite_loss_and_no_accuracy(kind, engine, bad):
    learner = learners(engine)[kind]
    params = learner.init(torch.arange(6)).unflatten(0, (2, 3))
    exam = learner.exam(data_for(learner.task, owners=1))
    clean = learner.scores(params, exam)
    params[1, 2, 0] = bad
    scores = learner.scores(params, exam)
    assert scores.loss[1, 2] == math.inf and scores.accuracy[1, 2] == 0.0
    good = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    torch.testing.assert_close(scores.loss[good], clean.loss[good])


def test_finite_parameters_that_overflow_have_infinite_loss():
    learner = build("mlp", "regression")
    scores = learner.scores(
        torch.full((1, 1, learner.layout.size), 3e37), learner.exam(lines(owners=1))
    )
    assert scores.loss.item() == math.inf and scores.accuracy.item() == 0.0


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int32])
def test_labels_are_found_whatever_kind_of_whole_numbers_they_are(kind):
    """Image files have labels of eight bits, in which 2 * 300 is another number."""
    objective, n = OBJECTIVES["classification"], 300
    outputs = torch.randn(3, n, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 3
    share = torch.full((n,), 1 / n)
    assert torch.equal(objective.losses(outputs, y.to(kind)), objective.losses(outputs, y))
    wanted = (outputs.argmax(0) == y).float().mean()
    assert torch.allclose(objective.accuracy(outputs, y.to(kind), share), wanted)


@pytest.mark.parametrize("name", ["mlp", "module"])
def test_training_takes_labels_of_every_kind_of_whole_numbers(name):
    learner = learners()[name]
    data, keys = blobs(owners=2), torch.arange(2)
    params, slots = learner.init(keys), learner.fresh_slots(2)

    def trained(kind):
        shards = dataclasses.replace(data, y=data.y.to(kind))
        return learner.train(params, slots, learner.prepare(shards), torch.ones(2), keys)[0]

    wanted = trained(torch.int64)
    assert not torch.equal(wanted, params)
    for kind in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert torch.equal(trained(kind), wanted), kind


def test_on_a_tie_the_first_of_the_largest_outputs_counts():
    outputs = torch.tensor([[1.0, 0.0, 2.0, 2.0], [1.0, 3.0, 2.0, 0.0], [0.0, 3.0, 2.0, 1.0]])
    share = torch.tensor([0.1, 0.2, 0.3, 0.4])
    two = torch.stack([outputs, outputs + torch.tensor([0.0, 0.5, 0.0])[:, None]])
    for labels in itertools.product(range(3), repeat=4):
        y = torch.tensor(labels)
        wanted = ((two.max(1).indices == y).float() * share).sum(1)
        assert torch.equal(right_share(two, y, share), wanted), labels
        assert torch.equal(right_share(outputs, y, share), wanted[0])


def test_golden_zero_model():
    # equal logits of 3 classes: loss log 3; the first class wins the tie and 8 of 24 labels are 0:
    # accuracy 1/3
    learner = build("mlp")
    scores = learner.scores(torch.zeros(1, 1, learner.layout.size), learner.exam(blobs(owners=1)))
    assert scores.loss.item() == pytest.approx(
        math.log(3)
    ) and scores.accuracy.item() == pytest.approx(1 / 3)


def test_golden_linear_exam():
    # x = (1, 2), y = (2, 2): at theta 1 errors are 1 and 0: MSE 1/2, loss 1/4; y does not vary, so
    # R^2 is 0 by definition y = (1, 3), theta 1: errors 0, -1: MSE 1/2, variance 1, R^2 = 1/2, loss
    # 1/4; theta 0: MSE 5, loss 2.5, R^2 clipped to 0
    learner = Linear((1,), 1, "regression")
    mlp = MLP((1,), 1, "regression", hidden=())
    rows, size = torch.tensor([[0, 1]]), torch.tensor([2])
    for y, theta, loss, accuracy in (
        ([2.0, 2.0], 1.0, 0.25, 0.0),
        ([1.0, 3.0], 1.0, 0.25, 0.5),
        ([1.0, 3.0], 0.0, 2.5, 0.0),
    ):
        shards = Shards(torch.tensor([[1.0], [2.0]]), torch.tensor(y), rows, size)
        for scores in (
            learner.scores(torch.tensor([[[theta]]]), learner.exam(shards)),
            mlp.scores(torch.tensor([[[theta, 0.0]]]), mlp.exam(shards)),
        ):
            assert (scores.loss.item(), scores.accuracy.item()) == pytest.approx((loss, accuracy))


def test_linear_exam_exposes_its_statistics():
    # X = I, y = (3, 4), n = 2: X'X/2 = I/2, X'y/2 = (1.5, 2), y'y/2 = 12.5, mean 3.5; the third row
    # is padding
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]), torch.tensor([3.0, 4.0, 9.0])
    exam = Linear((2,), 1, "regression").exam(
        Shards(x, y, torch.tensor([[0, 1, 2]]), torch.tensor([2]))
    )
    torch.testing.assert_close(exam.gram, torch.eye(2, dtype=torch.float64)[None] / 2)
    assert (
        exam.cross.tolist() == [[1.5, 2.0]]
        and exam.energy.tolist() == [12.5]
        and exam.mean.tolist() == [3.5]
    )


def test_a_perfect_line_scores_zero_loss_and_full_accuracy():
    learner = build("linear", "regression")
    scores = learner.scores(torch.arange(1.0, 6).expand(1, 1, 5), learner.exam(lines(owners=1)))
    assert 0 <= scores.loss.item() < 1e-9 and scores.accuracy.item() == pytest.approx(1.0)


@given(st.integers(0, 2**40))
@settings(max_examples=25)
def test_slopes_are_the_derivatives_of_the_losses(seed):
    # at 64 bits, so that autograd and the slope written by hand agree to 12 digits
    draw = torch.Generator().manual_seed(seed)
    for task, outputs, y in (
        ("classification", 4, torch.randint(4, (2, 3), generator=draw)),
        ("regression", 1, torch.rand(2, 3, generator=draw)),
    ):
        z = torch.randn(2, outputs, 3, generator=draw, dtype=torch.float64, requires_grad=True)
        OBJECTIVES[task].losses(z, y).sum().backward()
        torch.testing.assert_close(
            OBJECTIVES[task].slope(z.detach(), y).double(), z.grad, atol=1e-12, rtol=1e-12
        )


def test_permuted_hidden_units_compute_the_same():
    learner = build("mlp", hidden=(7, 4))
    _, params, _, _ = start(learner, 2)
    views = {name: v.clone() for name, v in learner.layout.views(params).items()}
    for name, pairs in learner.permutations.items():
        order = torch.arange(learner.widths[1 + int(name[-1])]).flip(0)
        for tensor, axis in pairs:
            views[tensor] = views[tensor].index_select(1 + axis, order)
    moved, exam = learner.layout.flat(views), learner.exam(blobs(owners=1))
    assert not torch.equal(moved, params)
    torch.testing.assert_close(
        learner.scores(moved[None], exam).loss, learner.scores(params[None], exam).loss
    )


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_large_exams_are_answered_in_slices_and_graded_whole(engine, task):
    # 3 + 2 + 1 numbers an example (in, hidden twice, out): 64 bytes hold two examples, so that 24
    # are answered in 12 slices
    outputs, sizes = (3 if task == "classification" else 1), []
    net = nn.Sequential(nn.Linear(5, 2), nn.Tanh(), nn.Linear(2, outputs))
    net.register_forward_pre_hook(lambda part, given: sizes.append(len(given[0])))
    whole = ModuleLearner((5,), outputs, task, Training(), module=net, engine=engine)
    tight = ModuleLearner((5,), outputs, task, Training(), module=net, engine=engine, memory=100)
    shards, params = data_for(task, owners=2), whole.init(torch.arange(4)).unflatten(0, (2, 2))
    wanted = whole.scores(params, whole.exam(shards))
    sizes.clear()
    found = tight.scores(params, tight.exam(shards))
    assert 0 < max(sizes) <= 3
    torch.testing.assert_close(found.loss, wanted.loss, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.accuracy, wanted.accuracy, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_losses_alone_are_those_of_the_scores_to_the_bit(task):
    learner = build("mlp", task, hidden=(7, 4), memory=1000)  # several pieces
    params = learner.init(torch.arange(12)).unflatten(0, (2, 6))
    params[0, 1] = torch.inf
    exam = learner.exam(data_for(task, owners=2))
    assert torch.equal(learner.losses(params, exam), learner.scores(params, exam).loss)


# --- the first layer apart ------------------------------------------------------------------------


@pytest.mark.parametrize("owners", [1, 2])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 4)])
def test_the_first_layer_and_the_rest_are_the_whole_model(hidden, task, owners):
    learner = build("mlp", task, hidden=hidden)
    params = learner.init(torch.arange(12)).unflatten(0, (2, 6))
    exam = learner.exam(data_for(task, owners=owners))
    first = learner.first_linear
    rest = {
        name: view for name, view in learner.layout.views(params).items() if name not in first.names
    }
    loss = first.losses(first.outputs(params, exam), rest, exam)
    torch.testing.assert_close(loss, learner.losses(params, exam), rtol=1e-6, atol=1e-6)
    assert first.at_once(exam) >= 1


def test_the_first_layers_outputs_are_linear_and_reordered_with_its_units():
    learner = build("mlp", "classification", hidden=(7, 4))
    params = learner.init(torch.arange(12)).unflatten(0, (2, 6))
    exam, first = learner.exam(data_for("classification", owners=2)), learner.first_linear
    outputs, other = (first.outputs(some, exam) for some in (params, params.flip(1)))
    between = first.outputs(0.25 * params + 0.75 * params.flip(1), exam)
    torch.testing.assert_close(between, 0.25 * outputs + 0.75 * other, rtol=1e-5, atol=1e-6)
    views, order = learner.layout.views(params.clone()), torch.tensor([3, 1, 0, 6, 5, 2, 4])
    moved = learner.layout.flat(
        views | {name: views[name].index_select(2, order) for name in first.names}
    )
    torch.testing.assert_close(first.outputs(moved, exam), outputs.index_select(2, order))
