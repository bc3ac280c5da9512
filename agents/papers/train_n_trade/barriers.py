"""Experiment on barriers: two networks trained apart, and the loss on the path between them.

It asks whether the broker's alignment is as good as its source, Git Re-Basin, says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as unpack
from safetensors.torch import save as pack
from torch import Tensor

from marketenv.alignment import match, permute
from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.data.splitting import split
from marketenv.learners import LEARNERS, Learner, Training

from ..core.study import number
from ..core.units import beat, replace
from .images import read_images

STEPS = 10  # pieces of the path from one model to the other


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network whose twins are trained apart and joined.

    epochs: (epochs, learning rate) one after the other;   examples, test: rows, None takes all
    """

    label: str
    data: str
    learner: str
    options: tuple[tuple[str, Any], ...]
    epochs: tuple[tuple[int, float], ...]
    optimizer: str = "sgd"
    batch: int = 256
    weight_decay: float = 5e-4
    examples: int | None = None
    test: int | None = None
    shrink: int = 1


NETWORKS = {
    "mlp": Network(
        label="MLP 784-512-512-512-10, MNIST",
        data="mnist",
        learner="mlp",
        options=(("hidden", (512, 512, 512)),),
        epochs=((8, 0.1), (3, 0.01)),
    ),
    "cnn": Network(
        label="CNN with GroupNorm, MNIST at 14 x 14",
        data="mnist",
        learner="cnn",
        options=(("norm", "group"), ("width", 32)),
        epochs=((8, 1e-2), (2, 1e-3)),
        optimizer="adam",
        batch=64,
        weight_decay=0.0,
        examples=10_000,
        test=2_000,
        shrink=2,
    ),
    "resnet": Network(
        label="ResNet-22 of width 1 with GroupNorm, CIFAR-10 at 16 x 16",
        data="cifar10",
        learner="resnet",
        options=(("depth", 22), ("width", 1)),
        epochs=((6, 1e-3), (2, 1e-4)),
        optimizer="adam",
        batch=64,
        weight_decay=0.0,
        examples=4_000,
        test=1_000,
        shrink=2,
    ),
}


def join_pair(
    folder: Path,
    network: Network,
    seed: int,
    data: str,
    root: str | None,
    restarts: int,
    device: str,
) -> dict[str, Any]:
    """Train two models from different starts in different batch orders, and score the path between
    them on the test data.

    Returns, for ``naive`` and ``aligned``, loss and accuracy (%) at weights 0, 0.1, ..., 1 of the
    second model.
    """
    images = read_images(data, root, network.shrink, None)
    parts = split(images, max_examples=network.examples, test_size=network.test, broker_data="test")
    x, y = parts.x.to(device), parts.y.to(device)
    keys = draws.agent_keys(torch.tensor([seed], device=device), 2, "barrier")[0]
    learner, params = _train_twins(
        folder, network, Shards(x, y, *_owned(parts.train.to(device), 2)), keys, images.n_classes
    )
    exam = learner.exam(Shards(x, y, *_owned(parts.test.to(device), 1)))
    assert learner.permutations is not None
    first, second = params[:1], params[1:]
    orders = match(learner.layout, learner.permutations, first, second, keys[:1], restarts=restarts)
    aligned = permute(learner.layout, learner.permutations, second, orders)
    weights = torch.linspace(0, 1, STEPS + 1, device=device)[:, None]

    def path(end: Tensor) -> dict[str, Any]:
        scores = learner.scores((first + weights * (end - first))[None], exam)
        return {
            "loss": [number(loss) for loss in scores.loss[0].tolist()],
            "accuracy": [round(100 * share, 4) for share in scores.accuracy[0].tolist()],
        }

    return {"naive": path(second), "aligned": path(aligned)}


def _owned(rows: Tensor, owners: int) -> tuple[Tensor, Tensor]:
    """The same rows for every owner, as the index and size of shards."""
    return rows.expand(owners, -1), torch.tensor([len(rows)] * owners, device=rows.device)


def _train_twins(
    folder: Path, network: Network, shards: Shards, keys: Tensor, n_classes: int
) -> tuple[Learner, Tensor]:
    """Train one model per key on the same data; a killed training goes on from its last epoch."""
    rates = [rate for epochs, rate in network.epochs for _ in range(epochs)]
    learners = {rate: _learner(network, shards, rate, n_classes) for rate in rates}
    learner, file, start = learners[rates[0]], folder / "models.safetensors", 0
    params, slots = learner.init(keys), learner.fresh_slots(len(keys), keys.device)
    if file.exists():
        kept = {name: tensor.to(keys.device) for name, tensor in unpack(file.read_bytes()).items()}
        params, slots, start = kept["params"], kept["slots"], int(kept["epoch"])
    material, effort = learner.prepare(shards), torch.ones(len(keys), device=keys.device)
    for epoch in range(start, len(rates)):
        params, slots = learners[rates[epoch]].train(
            params, slots, material, effort, draws.fold(keys, "epoch", epoch)
        )
        kept = {"params": params, "slots": slots, "epoch": torch.tensor(epoch + 1)}
        replace(file, pack({name: tensor.cpu().contiguous() for name, tensor in kept.items()}))
        beat(folder, epoch + 1)
    return learner, params


def _learner(network: Network, shards: Shards, rate: float, n_classes: int) -> Learner:
    training = Training(
        optimizer=network.optimizer,
        learning_rate=rate,
        momentum=0.9 if network.optimizer == "sgd" else 0.0,
        weight_decay=network.weight_decay,
        batch_size=network.batch,
        steps=-(-int(shards.size[0]) // network.batch),
    )
    factory: Callable[..., Learner] = LEARNERS[network.learner]
    return factory(
        tuple(shards.x.shape[1:]), n_classes, "classification", training, **dict(network.options)
    )
