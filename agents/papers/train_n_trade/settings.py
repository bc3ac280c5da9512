"""Settings of tables 1 and 2 and of figure 2: two agents on images and on the embedded digits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from marketenv.data import make_source
from marketenv.data.dataset import Dataset
from marketenv.learners import Training

from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from .images import place, read_images

AGENTS = ("A", "B")
BROKERS = {"test": "broker holds the test data", "validation": "broker holds data of its own"}
# of the rows of the other agent's half of the classes an agent keeps a tenth
CLASSES: dict[str, Any] = {"keep": 0.1, "overlap": True}

# --- conditions of claims -------------------------------------------------------------------------

TEST_DATA = "the broker holds the test data"  # as in the authors' public setup
DIGITS = "embedded digits"  # in place of MNIST
DIGITS_LEAK = f"{DIGITS}, {TEST_DATA}"

# --- two agents on images -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ImageSetting:
    """A data set of images, a network, and how two agents train and trade.

    A round is an epoch, and sizes count examples.

    options:    arguments of the learner
    join:       epochs before the agents enter the market
    validation: the broker's examples where it has its own
    test, examples: test rows and training rows; None takes all
    shrink:     side of the pixel blocks that are averaged into one
    pixels:     mean and deviation of each channel, by which images are standardised
    also:       another epoch to report: the last one of the authors' configuration, where the
                paper names another
    """

    data: str
    learner: str
    options: tuple[tuple[str, Any], ...]
    optimizer: str
    learning_rate: float
    batch: int
    rounds: int = 60
    join: int = 5
    validation: int = 10_000
    test: int | None = None
    examples: int | None = None
    shrink: int = 1
    pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    augmentation: str = "none"
    also: int | None = None

    def epochs(self) -> tuple[int, ...]:
        """The epochs to report: the last one, and ``also`` where it comes before that."""
        if self.also is None or self.also >= self.rounds:
            return (self.rounds,)
        return (self.rounds, self.also)

    def images(self, data: str, root: str | None) -> Dataset:
        """The images, averaged and standardised; ``data`` and ``root`` say where they lie."""
        return read_images(data, root, self.shrink, self.pixels)

    def market(self, images: Dataset, broker: str, seeds: Tensor) -> dict[str, Any]:
        """Arguments of the market of two agents on these images.

        A has a tenth of the rows of the classes 0 to 4, B of the classes 5 to 9.

        broker: a name in ``BROKERS``;   seeds: of the markets, all of which have equal sizes
        """
        sizes: dict[str, Any] = {"max_examples": self.examples, "test_size": self.test}
        sizes |= {"validation_size": self.validation} if broker == "validation" else {}
        source = make_source(
            images, "class_imbalance", len(AGENTS), broker_data=broker, **sizes, **CLASSES
        )
        largest = int(source.federation(seeds[:1]).train.size.max())
        training = Training(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            batch_size=self.batch,
            steps=-(-largest // self.batch),
        )
        return {
            "data": source,
            "learner": self.learner,
            "learner_options": dict(self.options),
            "training": training,
            "augmentation": self.augmentation,
            "valuation": "relative_loss",
            "after_purchase": "reset",  # the authors make a new optimiser after each purchase
            "max_cycles": self.rounds,
        }


# as in the authors' public configuration; init_rule: their networks start as torch.nn.Linear does
_LAYERS: tuple[tuple[str, Any], ...] = (("hidden", (32, 32, 32, 16)), ("init_rule", "torch"))
_MNIST = ImageSetting(
    data="mnist",
    learner="mlp",
    options=_LAYERS,
    optimizer="sgd",
    learning_rate=1e-2,
    batch=512,
    pixels=((0.1307,), (0.3081,)),
    also=50,
)
_CIFAR = ImageSetting(
    data="cifar10",
    learner="resnet",
    options=(("depth", 22), ("width", 6)),
    optimizer="adam",
    learning_rate=1e-2,
    batch=512,
    validation=5_000,
    pixels=((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    augmentation="flip_crop",
)
SETTINGS = {
    "mnist": _MNIST,
    "cifar10": dataclasses.replace(
        _CIFAR,
        options=(("depth", 22), ("width", 1)),
        batch=32,
        rounds=10,
        join=2,
        shrink=2,
        validation=256,
        test=256,
        examples=3_000,
        augmentation="none",
    ),
    "cifar10_full": _CIFAR,
    "tinyimagenet": dataclasses.replace(
        _CIFAR,
        data="tiny_imagenet",
        batch=256,
        shrink=2,
        validation=10_000,
        augmentation="flip",
        pixels=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ),
}
TITLES = {
    "mnist": "MNIST, MLP 784-32-32-32-16-10",
    "cifar10": "CIFAR-10, pre-activation ResNet-22",
    "cifar10_full": "CIFAR-10, pre-activation ResNet-22, width 6",
    "tinyimagenet": "TinyImageNet, pre-activation ResNet-22, width 6",
}
SEEDS = {"cifar10": 2}  # 5 elsewhere
SCALED = {
    "tinyimagenet": "images averaged from 64 x 64 to 32 x 32, as in the authors' configuration",
    "cifar10": (
        "width 1 for 6, images averaged to 16 x 16, 3,000 training rows and 256 test rows, 10"
        " epochs of which the first 2 out of the market, batch 32 for 512, a broker with 256"
        " examples, and no augmentation"
    ),
}

# --- arguments of markets, by condition and effort ------------------------------------------------


def join_of(rounds: int) -> int:
    """Rounds before the agents of a claim enter the market: a twelfth, as 5 of the paper's 60."""
    return rounds // 12


def _broker(condition: str) -> str:
    return "test" if TEST_DATA in condition else "validation"


def digits(condition: str, effort: Effort) -> dict[str, Any]:
    """Two agents on the embedded digits; the network is the market's own."""
    return {
        "data": "digits",
        "partition": "class_imbalance",
        "data_options": CLASSES | {"broker_data": _broker(condition)},
        "max_cycles": effort.digits,
    }


def five_layers(condition: str, effort: Effort) -> dict[str, Any]:
    """The same with the paper's hidden layers, so that there are five layers to choose from."""
    return digits(condition, effort) | {"learner": "mlp", "learner_options": dict(_LAYERS)}


def mnist(condition: str, effort: Effort) -> dict[str, Any]:
    """The paper's first setting, for as many epochs as an effort has."""
    setting = dataclasses.replace(_MNIST, rounds=effort.digits)
    images = setting.images(*place("mnist", setting.data))
    return setting.market(images, _broker(condition), seeds_of(JUDGE, 1))
