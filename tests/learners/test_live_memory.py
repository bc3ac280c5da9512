"""How much memory models take under vmap: counted by hand, and against what torch allocates."""

import dataclasses

import pytest
import torch
from learner_cases import blobs
from torch import nn

from agents.benchmarks.gpu_networks import vmap_calls
from agents.benchmarks.instruments import allocated
from marketenv.learners import LEARNERS, MLP, ModuleLearner, Training, exams
from marketenv.learners.live_memory import LiveMemory, bytes_of_one


def test_golden_live_memory():
    with LiveMemory() as live:
        first = torch.ones(3)  # 12 bytes
        second = first + 1  # 24
        del first  # 12
        second.view(3, 1).add_(1)  # a view, and a change in place, need nothing
        third = torch.ones(5)  # 12 + 20 = 32
        del second, third
        torch.ones(4, dtype=torch.float64)  # 32 again
    assert live.most == 32


def test_one_of_two_needs_half_of_what_both_hold_and_a_quarter_more():
    # 2 x 100 ones and as many twos live at once: 1600 bytes, 800 for one, 1000 with the margin
    assert bytes_of_one(lambda count: torch.ones(count, 100) * 2) == 1001


class Functional(nn.Module):
    """A residual network whose ReLUs, sums and products are no modules of their own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.ones(16, 64)), nn.Parameter(torch.ones(10, 16))

    def forward(self, x):
        value = torch.relu(x.flatten(1) @ self.first.T)
        for _ in range(8):
            value = value + torch.tanh(value * 0.5) * torch.sigmoid(value)
        return value @ self.second.T


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


# name -> (learner, shape of an example, options, examples per step)
KINDS = {
    "mlp": ("module", (64,), {"module": perceptron()}, 32),
    "functional": ("module", (64,), {"module": Functional()}, 32),
    "cnn": ("cnn", (1, 12, 12), {}, 32),
    "cnn, group": ("cnn", (3, 16, 16), {"norm": "group"}, 16),
    "cnn, batch": ("cnn", (3, 16, 16), {"norm": "batch"}, 16),
    "resnet, group": ("resnet", (3, 16, 16), {"depth": 10}, 8),
    "resnet, batch": ("resnet", (3, 16, 16), {"depth": 10, "norm": "batch"}, 8),
    "recurrent": ("recurrent", (20,), {}, 32),
}
MODELS, CPU = 6, torch.device("cpu")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_under_vmap_takes_what_is_estimated(kind):
    """Gradients take between 0.4 and all of the estimate, scores between a tenth and all."""
    name, shape, options, batch = KINDS[kind]
    learner = LEARNERS[name](
        shape, 10, "classification", Training(batch_size=batch), engine="vmap", **options
    )
    calls = vmap_calls(learner, MODELS, batch, CPU)
    with torch.no_grad():
        most = {what: allocated(call, CPU) for what, call in calls.items()}
    assert {what for what, _, _ in learner.passes.costs} == set(calls)
    for (what, _, _), cost in learner.passes.costs.items():
        least = 0.4 if what == "gradients" else 0.1
        assert least < most[what] / (MODELS * cost) < 1, (what, most[what], MODELS * cost)


def test_the_estimate_is_of_the_examples_that_are_used_and_computed_once():
    learner = ModuleLearner(
        (5,), 3, "classification", Training(steps=2), module=nn.Linear(5, 3), engine="vmap"
    )
    params, slots = learner.init(torch.arange(3)), learner.fresh_slots(3)
    for width in (24, 24, 12):
        material = learner.prepare(blobs(width=width, uneven=False))
        learner.train(params, slots, material, torch.ones(3), torch.arange(3))
    costs = learner.passes.costs
    assert [examples for _, examples, _ in costs] == [24, 12]
    small = dataclasses.replace(learner, memory=1)
    small.train(params, slots, material, torch.ones(3), torch.arange(3))
    assert not small.passes.costs  # not even two models fit, so none are tried
    assert costs["gradients", 24, params.device] > costs["gradients", 12, params.device]


# inputs and hidden layers of a network, and examples of its exam
PERCEPTRONS = [(64, (32,), 360), (784, (32, 32, 32, 16), 200), (784, (256,), 500), (64, (), 360)]


@pytest.mark.parametrize(("inputs", "hidden", "rows"), PERCEPTRONS, ids=str)
def test_scores_of_perceptrons_take_what_is_estimated(inputs, hidden, rows, monkeypatch):
    """Between 0.6 and 1.4 times as much, for all models in one piece; most where the exam is short:
    the first layer's weights are copied.
    """
    costs, pieces = [], exams.in_pieces

    def whole(score, params, exam, cost, limit):
        costs.append(cost)
        return pieces(score, params, exam, cost, 2**60)

    monkeypatch.setattr(exams, "in_pieces", whole)
    learner = MLP((inputs,), 10, "classification", hidden=hidden)
    exam = learner.exam(blobs(owners=1, width=rows, features=inputs, classes=10))
    params, sizes = learner.init(torch.arange(12))[None], (rows // 4, rows - rows // 4)
    for call in (
        lambda: learner.scores(params, exam),
        lambda: learner.losses(params, exam),
        lambda: learner.class_scores(params, exam, sizes),
    ):
        most = allocated(call, CPU)
        assert 0.6 < most / (12 * costs[-1]) < 1.4
