"""Modules and augmentations with randomness of their own are refused by name, and no global
generator moves.
"""

import random

import numpy as np
import pytest
import torch
from learner_cases import blobs, start
from torch import nn
from torch.nn import functional

from marketenv import make_market, make_parallel
from marketenv.core import draws
from marketenv.learners import MLP, ModuleLearner, Training

HIDDEN = {
    "noise": lambda self, x: x + torch.randn_like(x),
    "dropout that is always on": lambda self, x: functional.dropout(x, 0.5),
    "dropout in training mode": lambda self, x: functional.dropout(x, 0.5, self.training),
    "noise in training mode": lambda self, x: x + torch.randn_like(x) if self.training else x,
    "NumPy's generator": lambda self, x: x * float(np.random.rand()),
    "Python's generator": lambda self, x: x * random.random(),
    "a generator of its own": lambda self, x: x * float(np.random.default_rng().random()),
    "noise that multiplies the examples": None,
    "memory": lambda self, x: x + self.count(),
}
SAID = {
    "noise": "the module draws from torch's generator",
    "dropout that is always on": "the module draws from torch's generator",
    "dropout in training mode": "the module in training mode draws from torch's generator",
    "noise in training mode": "the module in training mode draws from torch's generator",
    "NumPy's generator": "the module draws from NumPy's random",
    "Python's generator": "answers the same examples in two ways",
    "a generator of its own": "answers the same examples in two ways",
    "noise that multiplies the examples": "answers the same examples in two ways",
    "memory": "answers the same examples in two ways: it draws or remembers",
}


class Hidden(nn.Module):
    """A linear layer whose answers somebody changes."""

    def __init__(self, change, inputs=5, outputs=3):
        super().__init__()
        self.linear, self.change, self.calls = nn.Linear(inputs, outputs), change, 0

    def count(self):
        self.calls += 1
        return self.calls

    def forward(self, x):
        if self.change is None:
            return self.linear(x * float(np.random.default_rng().random()))
        return self.change(self, self.linear(x))


@pytest.mark.parametrize("what", HIDDEN)
def test_a_module_with_hidden_randomness_is_refused(what):
    torch.manual_seed(3)
    np.random.seed(3)
    net = Hidden(HIDDEN[what])
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    with pytest.raises(ValueError, match=SAID[what]):
        ModuleLearner((5,), 3, "classification", module=net)
    assert torch.equal(torch.get_rng_state(), before) and np.array_equal(
        np.random.get_state()[1], numpys
    )


def test_a_market_refuses_it_when_it_is_built():
    net = Hidden(HIDDEN["dropout in training mode"], 64, 10)
    with pytest.raises(
        ValueError, match=r"training mode draws from torch's generator.*without noise or dropout"
    ):
        make_market(
            "parameter_trading_v0", n_agents=2, learner="module", learner_options={"module": net}
        )


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)),
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 3)), nn.Tanh()),
        nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.0), nn.LayerNorm(4), nn.Linear(4, 3)),
    ],
    ids=["batch norm", "spectral norm", "dropout of nothing"],
)
def test_modules_without_it_are_taken(net):
    before = torch.get_rng_state()
    learner = ModuleLearner((5,), 3, "classification", Training(steps=2, batch_size=4), module=net)
    keys, params, slots, effort = start(learner, 3)
    first, again = (
        learner.train(params, slots, learner.prepare(blobs()), effort, keys)[0] for _ in range(2)
    )
    assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), before)


def test_a_module_that_reads_numbers_as_indices_is_taken():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.linear = nn.Embedding(2, 4), nn.Linear(20, 3)

        def forward(self, x):
            return self.linear(self.embedding(x.long()).flatten(1))

    assert (
        ModuleLearner((5,), 3, "classification", module=Reads()).layout.size == 2 * 4 + 20 * 3 + 3
    )


@pytest.mark.parametrize(
    "augment, said",
    [
        (
            lambda x, keys, models: x + torch.randn_like(x),
            "augment draws from torch's generator.*draws from the keys",
        ),
        (lambda x, keys, models: x * float(np.random.rand()), "augment draws from NumPy's random"),
        (
            lambda x, keys, models: x * random.random(),
            "augment changes the same examples in two ways",
        ),
    ],
    ids=["torch", "NumPy", "Python"],
)
@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_an_augmentation_draws_from_its_keys_alone(kind, augment, said):
    options = {"module": nn.Linear(5, 3)} if kind == "module" else {}
    factory = MLP if kind == "mlp" else ModuleLearner
    with pytest.raises(ValueError, match=said):
        factory((5,), 3, "classification", Training(augment=augment), **options)
    keyed = Training(augment=lambda x, keys, models: x + draws.normal(keys, *x.shape[1:]).float())
    assert factory((5,), 3, "classification", keyed, **options).training is keyed


def test_a_market_refuses_such_an_augmentation():
    images = (np.arange(60 * 64.0).reshape(60, 1, 8, 8) / 4000, np.arange(60) % 2)
    with pytest.raises(ValueError, match="augment draws from torch's generator"):
        make_market(
            "parameter_trading_v0",
            n_agents=2,
            data=images,
            learner="cnn",
            augmentation=lambda x, keys: x + torch.rand_like(x),
        )


class Sly(nn.Module):
    """Adds noise only where it was not tried when the learner was made: on more than two
    examples.
    """

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x + torch.randn_like(x) * 0.1 if len(x) > 2 else x)


def test_noise_that_hides_when_the_module_is_tried_is_refused_where_it_is_drawn():
    env = make_parallel(
        "parameter_trading_v0",
        n_agents=2,
        learner=ModuleLearner((64,), 10, "classification", module=Sly()),
    )
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="the module draws from torch's generator"):
        env.reset(seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_that_returns_no_tensor_is_refused():
    with pytest.raises(ValueError, match="the module returned a tuple, wanted a tensor of outputs"):
        ModuleLearner((64,), 10, "classification", module=nn.LSTM(64, 10))
