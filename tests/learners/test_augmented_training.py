"""Training on augmented examples: the same in every engine, alone and in company, and nobody's
data change.
"""

import pytest
import torch
from learner_cases import blobs, build, start
from torch import nn

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.data import augmentation
from marketenv.learners import MLP, Linear, ModuleLearner, Training
from marketenv.learners.reference import loop_train


def noisy(x, keys, models):
    """Noise from the keys alone, scaled by the model's number, written over what was given: an
    unkind but legal function.
    """
    noise = draws.normal(keys, x.shape[1], x[0, 0].numel()).view(x.shape).float()
    return x.add_(0.1 * (models + 1.0).view(-1, *[1] * (x.dim() - 1)) * noise)


def images(owners=3, width=12):
    flat = blobs(owners=owners, width=width, features=16)
    return Shards(flat.x.view(-1, 1, 4, 4), flat.y, flat.index, flat.size)


FLIPS = augmentation(("flip", "none", "flip"), 3, (1, 4, 4))
EFFORTS = [[1.0, 1.0, 1.0], [0.3, 1.0, 0.75]]


def learner_of(kind, training, shape):
    if kind == "mlp":
        return MLP(shape, 3, "classification", training, hidden=(6,))
    with torch.random.fork_rng():
        torch.manual_seed(0)  # torch draws the weights
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 6), nn.Tanh(), nn.Linear(6, 3)
        )
    return ModuleLearner(shape, 3, "classification", training, module=net, engine=kind)


@pytest.mark.parametrize("effort", EFFORTS, ids=["equal", "uneven"])
@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("augment", [noisy, FLIPS], ids=["noise", "flips"])
@pytest.mark.parametrize("kind", ["mlp", "loop", "vmap"])
def test_every_engine_equals_the_loop(kind, augment, batch_size, effort):
    # uneven shards, efforts that sort the models otherwise; the loop shares neither feed nor
    # sorting
    training = Training(steps=4, batch_size=batch_size, augment=augment)
    learner, shards, effort = learner_of(kind, training, (1, 4, 4)), images(), torch.tensor(effort)
    keys, params, slots, _ = start(learner, 3)
    new, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    torch.testing.assert_close(
        new, loop_train(learner, params, slots, shards, effort, keys)[0], atol=1e-5, rtol=1e-5
    )
    plain = learner_of(kind, Training(steps=4, batch_size=batch_size), (1, 4, 4))
    bare, _ = plain.train(params, slots, plain.prepare(shards), effort, keys)
    moved = ((bare - new).abs().amax(1) > 1e-6).tolist()
    assert moved == [True, augment is noisy, True]  # agent 1 of the flips has none


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("kind", ["mlp", "loop"])
def test_draws_depend_on_the_key_alone(kind, batch_size):
    # the same noise for all numbers, so a model alone, a model in company and one whose neighbours
    # stop early are equal
    level = lambda x, keys, models: noisy(x, keys, torch.zeros_like(models))  # noqa: E731
    learner, shards = (
        learner_of(kind, Training(steps=3, batch_size=batch_size, augment=level), (1, 4, 4)),
        images(),
    )
    keys, params, slots, effort = start(learner, 3)
    together, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    fewer, _ = learner.train(
        params, slots, learner.prepare(shards), torch.tensor([0.2, 0.0, 1.0]), keys
    )
    torch.testing.assert_close(fewer[2], together[2], atol=1e-6, rtol=1e-5)
    own = Shards(shards.x, shards.y, shards.index[2:, : int(shards.size[2])], shards.size[2:])
    alone, _ = learner.train(params[2:], slots[2:], learner.prepare(own), effort[2:], keys[2:])
    torch.testing.assert_close(alone[0], together[2], atol=1e-6, rtol=1e-5)
    other, _ = learner.train(params[2:], slots[2:], learner.prepare(own), effort[2:], keys[2:] + 1)
    assert not torch.equal(other, alone)


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("kind", ["mlp", "loop", "vmap"])
def test_nothing_that_was_given_changes(kind, batch_size):
    learner, shards = (
        learner_of(kind, Training(steps=3, batch_size=batch_size, augment=noisy), (1, 4, 4)),
        images(),
    )
    keys, params, slots, effort = start(learner, 3)
    was = shards.x.clone()
    first, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    again, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    assert torch.equal(shards.x, was) and torch.equal(first, again)


def test_what_an_augmentation_is_shown():
    # two steps of batch 2; model 1 has the larger effort, so it stands first, and goes on alone
    seen = []
    training = Training(
        steps=2,
        batch_size=2,
        augment=lambda x, keys, models: seen.append((x.shape, keys, models)) or x,
    )
    learner = build("mlp", training=training)
    keys, params, slots, _ = start(learner, 2)
    seen.clear()  # it was tried when the learner was made
    learner.train(params, slots, learner.prepare(blobs(owners=2)), torch.tensor([0.5, 1.0]), keys)
    assert [tuple(shape) for shape, _, _ in seen] == [(2, 2, 5), (1, 2, 5)]
    assert [models.tolist() for _, _, models in seen] == [[1, 0], [1]]
    assert torch.equal(seen[1][1], draws.fold(keys[1:], "augment", 1))


def test_golden_step_on_a_changed_example():
    # half MSE, weight w = 0: slope 0 - y = -1 at y = 1; the function doubles x = 2 to 4, so rate
    # 0.1 moves w by 0.4, b by 0.1
    training = Training(learning_rate=0.1, steps=1, augment=lambda x, keys, models: 2 * x)
    learner = MLP((1,), 1, "regression", training, hidden=())
    shards = Shards(
        torch.tensor([[2.0]]), torch.tensor([1.0]), torch.tensor([[0]]), torch.tensor([1])
    )
    new, _ = learner.train(
        torch.zeros(1, 2),
        torch.zeros(1, 0),
        learner.prepare(shards),
        torch.ones(1),
        torch.tensor([0]),
    )
    torch.testing.assert_close(new, torch.tensor([[0.4, 0.1]]))


@pytest.mark.parametrize(
    "wrong", [lambda x, k, m: x[:, :1], lambda x, k, m: x.double()], ids=["shape", "type"]
)
def test_other_shapes_and_types_are_refused(wrong):
    learner = build("mlp", training=Training(steps=1, batch_size=4, augment=wrong))
    keys, params, slots, effort = start(learner, 3)
    with pytest.raises(ValueError, match=r"augment made .* wanted the same"):
        learner.train(params, slots, learner.prepare(blobs()), effort, keys)


def test_what_cannot_be_augmented_is_refused():
    with pytest.raises(ValueError, match="'linear' sees its examples once"):
        Linear((5,), 1, "regression", Training(augment=noisy))
    with pytest.raises((ValueError, TypeError), match="augment"):
        Training(augment="flip")
