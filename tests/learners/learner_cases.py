"""Small data and learners that the tests of this room share."""

import torch

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.learners import MLP, Linear, Training


def blobs(owners=3, width=24, features=5, classes=3, uneven=True, spread=0.4, seed=0):
    """Classes as Gaussian blobs around +-2 corners; owner i holds width - i rows of its own
    where uneven.
    """
    rows = torch.arange(owners * width)
    labels = rows % classes
    centres = 2.0 * draws.normal(torch.tensor([seed, 1]), classes, features)[0]
    x = (centres[labels] + spread * draws.normal(draws.fold(rows, seed, "blobs"), features)).float()
    size = torch.tensor([max(1, width - 3 * i * uneven) for i in range(owners)])
    return Shards(x, labels, rows.view(owners, width), size)


def lines(owners=3, width=24, features=5, uneven=True, noise=0.0, seed=0):
    """Targets x . (1, 2, 3, ...) + noise, the same line for every owner."""
    data = blobs(owners, width, features, uneven=uneven, seed=seed)
    x = draws.normal(draws.fold(torch.arange(owners * width), seed, "x"), features).float()
    y = x @ torch.arange(1.0, features + 1)
    y = y + noise * draws.normal(torch.arange(owners * width), 1)[:, 0].float()
    return Shards(x, y, data.index, data.size)


def data_for(task, **sizes):
    return blobs(**sizes) if task == "classification" else lines(**sizes)


def build(kind, task="classification", training=None, **options):
    """A small learner for 5 features (3 classes or 1 target)."""
    training = training or Training(steps=1)
    outputs = 3 if task == "classification" else 1
    factory = {"mlp": MLP, "linear": Linear}[kind]
    return factory((5,), outputs, task, training, **options)


def start(learner, n_models, seed=0):
    """Keys, fresh parameters, slots and full effort."""
    keys = torch.arange(n_models) + 100 * seed
    return keys, learner.init(keys), learner.fresh_slots(n_models), torch.ones(n_models)
