"""Batch norms without running statistics: trained, scored, merged and exported."""

import copy

import pytest
import torch
from learner_cases import blobs, start
from torch import nn

from marketenv.alignment import match, permute
from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.data import find_dataset
from marketenv.learners import LEARNERS, ModuleLearner, Training, module_passes
from marketenv.learners.module_checks import count_activations
from marketenv.learners.reference import loop_train
from marketenv.learners.residual_networks import wide_resnet
from marketenv.learners.small_networks import small_cnn


def mixed():
    """Every way a norm may be set up, over 5 features; torch draws its weights, so with a seed
    of their own.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _mixed()


def _mixed():
    return nn.Sequential(
        nn.Linear(5, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Unflatten(1, (3, 2)),
        nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
        nn.BatchNorm1d(3, affine=False, momentum=None),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def learner_of(engine="loop", training=None, memory=2**28, module=None):
    training = training or Training(steps=2, batch_size=8)
    return ModuleLearner(
        (5,), 3, "classification", training, module=module or mixed(), engine=engine, memory=memory
    )


def even(owners=3):
    return blobs(owners=owners, uneven=False)


@pytest.mark.parametrize("effort", [[1.0, 1.0, 1.0], [0.4, 1.0, 0.0]])
@pytest.mark.parametrize(
    "training",
    [Training(steps=2), Training(steps=2, batch_size=8, momentum=0.9)],
    ids=["whole", "batches"],
)
@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_training_equals_the_loop(engine, training, effort):
    learner, shards, effort = learner_of(engine, training), even(), torch.tensor(effort)
    keys, params, slots, _ = start(learner, 3)
    # a running velocity: torch's own first step has none
    slots = slots + 0.01 * (slots.shape[1] > 0)
    new, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    torch.testing.assert_close(
        new, loop_train(learner, params, slots, shards, effort, keys)[0], atol=1e-4, rtol=1e-4
    )
    assert ((new - params).abs().amax(1) > 1e-6).tolist() == [e > 0 for e in effort.tolist()]


def test_golden_scores_are_those_of_the_whole_exam():
    # x = 0, 2, 4: mean 2, biased variance 8/3; normalised -1.2247, 0, 1.2247 (= sqrt(3/2)); targets
    # 0: loss mean square / 2 = 1/2
    net = nn.BatchNorm1d(1)
    net.running_mean.fill_(7.0)  # what the user's module had seen counts for nothing
    learner = ModuleLearner((1,), 1, "regression", Training(batch_size=2), module=net)
    shards = Shards(
        torch.tensor([[0.0], [2.0], [4.0]]),
        torch.zeros(3),
        torch.tensor([[0, 1, 2]]),
        torch.tensor([3]),
    )
    scores = learner.scores(torch.tensor([[[1.0, 0.0]]]), learner.exam(shards))
    assert scores.loss.item() == pytest.approx(0.5, rel=1e-4)
    answers = learner.forward(learner.layout.views(torch.tensor([1.0, 0.0])), shards.x)
    torch.testing.assert_close(
        answers[:, 0], torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_scores_never_split_an_exam(engine):
    # one byte of memory: one model at a time, and still all its examples together; halves of the
    # exam score otherwise
    whole, tight = learner_of(engine), learner_of(engine, memory=1)
    params, shards = whole.init(torch.arange(6)).unflatten(0, (2, 3)), even(2)
    wanted = whole.scores(params, whole.exam(shards))
    torch.testing.assert_close(
        tight.scores(params, tight.exam(shards)).loss, wanted.loss, atol=1e-5, rtol=1e-5
    )
    halves = [
        Shards(shards.x, shards.y, part, torch.tensor([12, 12]))
        for part in shards.index.split(12, 1)
    ]
    split = torch.stack([whole.scores(params, whole.exam(half)).loss for half in halves]).mean(0)
    assert float((split - wanted.loss).abs().max()) > 1e-3


def test_scores_belong_to_parameters_alone():
    learner, shards = learner_of(), even(1)
    exam, params = learner.exam(shards), learner.init(torch.arange(2))
    first = learner.scores(params[None], exam)
    keys, _, slots, effort = start(learner, 1)
    # nothing is remembered between calls
    learner.train(params[:1], slots, learner.prepare(shards), effort, keys)
    again = learner.scores(params[None], exam)
    assert torch.equal(first.loss, again.loss)


# --- what is refused ------------------------------------------------------------------------------


def test_padding_and_single_examples_are_refused():
    shards, single = blobs(), Shards(even(1).x, even(1).y, torch.tensor([[3]]), torch.tensor([1]))
    learner, whole = learner_of(), learner_of(training=Training(steps=1))
    assert learner.prepare(shards) is shards  # minibatches hold no padding
    for call in (lambda: whole.prepare(shards), lambda: learner.exam(shards)):
        with pytest.raises(
            ValueError,
            match=r"owners have \[18, 21, 24\] examples.*one size for all.*'?norm \"group\"",
        ):
            call()
    for call in (lambda: whole.prepare(single), lambda: learner.exam(single)):
        with pytest.raises(ValueError, match=r"owners have \[1\] examples.* at least 2"):
            call()
    with pytest.raises(ValueError, match="batch_size is 1"):
        learner_of(training=Training(batch_size=1))


def test_an_owner_of_one_example_is_refused_in_minibatches_too():
    # a minibatch of 8 would hold the one example 8 times: its variance is 0
    shards = even()
    alone = Shards(shards.x, shards.y, shards.index, torch.tensor([24, 1, 24]))
    with pytest.raises(ValueError, match="a single example, but the module has batch norms"):
        learner_of(training=Training(steps=1, batch_size=8)).prepare(alone)


def test_shards_of_one_size_lose_their_padding():
    shards = even()
    wide = Shards(shards.x, shards.y, torch.nn.functional.pad(shards.index, (0, 5)), shards.size)
    learner = learner_of(training=Training(steps=1))
    keys, params, slots, effort = start(learner, 3)
    one, other = (
        learner.train(params, slots, learner.prepare(s), effort, keys)[0] for s in (shards, wide)
    )
    assert torch.equal(one, other) and torch.equal(learner.exam(wide).x, learner.exam(shards).x)


def test_norms_of_one_example_take_padding():
    # group norms, and instance norms once they keep no statistics, look at one example alone
    for part in (nn.GroupNorm(1, 3), nn.InstanceNorm1d(3, track_running_stats=True)):
        net = nn.Sequential(
            nn.Linear(5, 6), nn.Unflatten(1, (3, 2)), part, nn.Flatten(), nn.Linear(6, 3)
        )
        learner = learner_of(training=Training(steps=1), module=net)
        assert (
            not learner.pooled
            and len(learner.exam(blobs()).x) == len(learner.prepare(blobs()).index) == 3
        )


# --- export ---------------------------------------------------------------------------------------


def test_an_exported_module_answers_as_scoring_does():
    learner, shards = learner_of(), even(1)
    flat, x = learner.init(torch.tensor([4]))[0], even(1).x
    net = learner.export(flat, x)
    assert (
        not net.training and net is not learner.export(flat, x) and isinstance(net, nn.Sequential)
    )
    # equal to rounding, not only up to n / (n - 1): the variance kept is the biased one, which
    # scoring normalises by
    torch.testing.assert_close(
        net(x), learner.forward(learner.layout.views(flat), x), atol=1e-4, rtol=1e-4
    )
    loss = nn.functional.cross_entropy(net(x), shards.y)
    torch.testing.assert_close(
        loss[None, None],
        learner.scores(flat[None, None], learner.exam(shards)).loss,
        atol=1e-4,
        rtol=1e-4,
    )
    # one example is answered alone, as in the batch
    torch.testing.assert_close(net(x[:1]), net(x)[:1], atol=1e-4, rtol=1e-4)


def test_exported_statistics_are_cumulative_averages():
    # torch's own way to one: momentum None, one pass in training mode; its variance is n / (n - 1)
    # = 24/23 of ours
    net = nn.Sequential(nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 3))
    learner, x = learner_of(module=net), even(1).x[:24]
    made = learner.export(learner.init(torch.tensor([0]))[0], x)
    theirs = copy.deepcopy(net).train()
    theirs(x)
    torch.testing.assert_close(made[0].running_mean, theirs[0].running_mean)
    torch.testing.assert_close(made[0].running_var, theirs[0].running_var * 23 / 24)


class Twice(nn.Module):
    """One norm, called on x and on 3 x, and another that is never called."""

    def __init__(self):
        super().__init__()
        self.norm, self.idle, self.head = nn.BatchNorm1d(5), nn.BatchNorm1d(5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.norm(x) + self.norm(3 * x))


def test_a_norm_called_twice_keeps_the_average_and_an_idle_one_what_it_has():
    learner, x = learner_of(module=Twice()), even(1).x
    made = learner.export(learner.init(torch.tensor([0]))[0], x)
    torch.testing.assert_close(made.norm.running_mean, 2 * x.mean(0))  # (1 + 3) / 2
    torch.testing.assert_close(made.norm.running_var, 5 * x.var(0, correction=0))  # (1 + 9) / 2
    assert bool((made.idle.running_var == 1).all())


def test_export_without_batch_norms_needs_no_examples():
    net = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.0), nn.LayerNorm(4), nn.Linear(4, 3))
    was = copy.deepcopy(net.state_dict())
    learner = learner_of(module=net)
    flat = learner.init(torch.tensor([1]))[0]
    made = learner.export(flat)
    torch.testing.assert_close(
        made(even(1).x), learner.forward(learner.layout.views(flat), even(1).x)
    )
    # the user's module is as it was
    assert all(torch.equal(was[name], value) for name, value in net.state_dict().items())
    with torch.no_grad():
        made[0].weight.zero_()
    assert not torch.equal(learner.export(flat)[0].weight, made[0].weight)  # and nothing shared


def test_what_export_refuses():
    learner = learner_of()
    flat = learner.init(torch.tensor([0]))[0]
    for x in (None, torch.zeros(1, 5), torch.zeros(4, 6)):
        with pytest.raises(ValueError, match=r"wanted at least 2 examples \(5,\)"):
            learner.export(flat, x)
    with pytest.raises(ValueError, match=r"wanted \[\d+\]: one model"):
        learner.export(flat[:-1], even(1).x)


# --- merging --------------------------------------------------------------------------------------


def test_statistics_of_the_merged_model_beat_averaged_ones():
    # digits, two aligned CNNs from different first parameters: at the midpoint the channels'
    # variance falls, so averaged running statistics no longer fit what the norms see (REPAIR, 2022,
    # section 3); recomputed ones do
    digits = find_dataset("digits")
    x, y = digits.x.view(-1, 1, 8, 8), digits.y
    rows = torch.arange(1400)
    shards = Shards(x, y, rows.view(2, 700), torch.tensor([700, 700]))
    exam_rows = torch.arange(1400, len(y))
    held_out = Shards(x, y, exam_rows[None], torch.tensor([len(exam_rows)]))
    training = Training(optimizer="adam", learning_rate=0.01, batch_size=32, steps=120)
    learner = LEARNERS["cnn"]((1, 8, 8), 10, "classification", training, norm="batch", width=16)
    keys, params, slots, effort = start(learner, 2)
    trained, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    orders = match(learner.layout, learner.permutations, trained[:1], trained[1:], keys[:1])
    pair = torch.cat(
        [trained[:1], permute(learner.layout, learner.permutations, trained[1:], orders)]
    )
    middle = pair.mean(0)
    reset = learner.scores(torch.stack([*pair, middle])[None], learner.exam(held_out))
    assert bool((reset.accuracy[0, :2] > 0.85).all())  # both learned something worth merging
    nets = [learner.export(flat, x[rows]) for flat in pair]
    states = [net.state_dict() for net in nets]
    averaged = nets[0]
    averaged.load_state_dict({name: (states[0][name] + states[1][name]) / 2 for name in states[0]})
    with torch.no_grad():
        answers = averaged(x[exam_rows])
        without = nn.functional.cross_entropy(answers, y[exam_rows])
        repaired = nn.functional.cross_entropy(
            learner.export(middle, x[rows])(x[exam_rows]), y[exam_rows]
        )
    assert float(reset.loss[0, 2]) < float(without) - 0.1 and float(repaired) < float(without) - 0.1


# --- memory ---------------------------------------------------------------------------------------


def test_golden_activations():
    # images 1*8*8 = 64; conv1 and relu1 8*64 each, pool 8*16, conv2 and relu2 16*16 each, average
    # 16, flatten 16, linear 3; group norms add what their convolutions put out
    bare = 64 + 2 * 512 + 128 + 2 * 256 + 16 + 16 + 3
    assert count_activations(small_cnn((1, 8, 8), 3), torch.zeros(2, 1, 8, 8)) == (bare, (2, 3))
    assert (
        count_activations(small_cnn((1, 8, 8), 3, norm="group"), torch.zeros(2, 1, 8, 8))[0]
        == bare + 512 + 256
    )


def test_activations_of_a_resnet_are_many_times_its_input():
    count, _ = count_activations(wide_resnet((3, 32, 32), 10), torch.zeros(2, 3, 32, 32))
    assert count > 100 * 3 * 32 * 32  # eight times the input was the guess


@pytest.mark.parametrize("limit, wanted", [(1, 1), (0.99, 1), (2.5, 2), (1000, 4)])
def test_memory_bounds_how_many_models_are_stacked(limit, wanted, monkeypatch):
    keys, params, slots, effort = start(learner_of(), 4)
    measured = learner_of("vmap")
    measured.train(params, slots, measured.prepare(even(4)), effort, keys)
    (cost,) = measured.passes.costs.values()
    learner, seen = learner_of("vmap", memory=int(limit * cost)), []
    monkeypatch.setattr(
        module_passes,
        "vmap",
        lambda f, chunk_size=None, **more: seen.append(chunk_size) or torch.vmap(f, **more),
    )
    learner.train(params, slots, learner.prepare(even(4)), effort, keys)
    # the call without a bound measures what two models take
    assert {min(chunk, 4) for chunk in seen if chunk is not None} == {wanted}


def test_the_draws_of_init_do_not_depend_on_norms_statistics():
    one, other = mixed(), mixed()
    other.load_state_dict(one.state_dict())
    other[1].running_mean.fill_(5.0)
    keys = draws.fold(torch.tensor(1), torch.arange(3))
    assert torch.equal(learner_of(module=one).init(keys), learner_of(module=other).init(keys))
