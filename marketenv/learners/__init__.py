"""Room of learners, which train and score many models in one call.

``LEARNERS`` is the room's table. A new learner is one file with the methods of ``Learner`` and one
line here.
"""

from __future__ import annotations

from collections.abc import Callable

from marketenv.learners.image_parts import NORMS
from marketenv.learners.linear import Linear
from marketenv.learners.mlp import MLP
from marketenv.learners.module import ModuleLearner
from marketenv.learners.optimizers import OPTIMIZERS
from marketenv.learners.protocol import ByClass, FirstLinear, Learner, Permutations, Scores
from marketenv.learners.recurrent import CharacterGRU, recurrent
from marketenv.learners.residual_networks import resnet, wide_resnet
from marketenv.learners.small_networks import cnn, small_cnn
from marketenv.learners.training import Pull, Training

# name -> factory(feature_shape, n_outputs, task, training, **options)
LEARNERS: dict[str, Callable[..., Learner]] = {
    "linear": Linear,
    "mlp": MLP,
    "cnn": cnn,
    "resnet": resnet,
    "recurrent": recurrent,
    "module": ModuleLearner,
}

__all__ = [
    "LEARNERS",
    "MLP",
    "NORMS",
    "OPTIMIZERS",
    "ByClass",
    "CharacterGRU",
    "FirstLinear",
    "Learner",
    "Linear",
    "ModuleLearner",
    "Permutations",
    "Pull",
    "Scores",
    "Training",
    "small_cnn",
    "wide_resnet",
]
