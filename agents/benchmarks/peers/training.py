"""Local training: our stacked call against the loop that one writes with torch, and torch.func."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

from agents.benchmarks.peers.side_by_side import Comparison, Side, ready
from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.shards import Shards
from marketenv.data import find_dataset
from marketenv.learners import LEARNERS, MLP, Learner, Training, small_cnn

GAIN = "fall of the loss"


@dataclass(frozen=True)
class Work:
    """Agents that train on examples of their own.

    learner: how they train: one call of ``train`` is one epoch
    net:     the same model as a torch module, with any parameters
    params:  first parameters     float32 [agents, params]
    shards:  the examples         index [agents, rows]
    batch:   examples of a step;   rate: learning rate;   epochs: of each agent
    """

    learner: Learner
    net: nn.Module
    params: Tensor
    shards: Shards
    batch: int
    rate: float
    epochs: int

    @property
    def agents(self) -> int:
        """Number of agents."""
        return len(self.params)

    def examples(self, agent: int) -> tuple[Tensor, Tensor]:
        """Features and labels of one agent."""
        rows = self.shards.index[agent]
        return self.shards.x[rows], self.shards.y[rows]

    def gain(self, params: Tensor) -> float:
        """By how much training to these parameters lowers the agents' mean loss on their examples.

        params: [agents, params]
        """
        exam = self.learner.exam(self.shards)
        both = torch.stack([self.params, params], 1)
        first, last = self.learner.scores(both, exam).loss.mean(0).tolist()
        return first - last


def owned(x: Tensor, y: Tensor, agents: int, rows: int) -> Shards:
    """Every agent owns some examples of a pool, drawn with replacement."""
    index = draws.integers(draws.fold(torch.arange(agents), "rows"), len(y), rows)
    return Shards(x, y, index, torch.full((agents,), rows))


def networks(
    agents: int,
    hidden: int = 32,
    features: int = 64,
    rows: int = 128,
    batch: int = 32,
    epochs: int = 2,
    rate: float = 0.5,
) -> Work:
    """Networks features-hidden-10 on digits, whose 64 pixels are repeated to fill more features."""
    digits = find_dataset("digits")
    x = digits.x.repeat(1, -(-features // 64))[:, :features]
    training = Training(learning_rate=rate, batch_size=batch, steps=rows // batch)
    learner = MLP((features,), 10, "classification", training, hidden=(hidden,))
    layers = [nn.Linear(n, m) for n, m in itertools.pairwise(learner.widths)]
    net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    params = learner.init(torch.arange(agents))
    return Work(learner, net, params, owned(x, digits.y, agents, rows), batch, rate, epochs)


def image_networks(agents: int, rows: int = 64, batch: int = 32, epochs: int = 2) -> Work:
    """Small convolutional networks on digits as images of 8x8 pixels."""
    digits, shape, rate = find_dataset("digits"), (1, 8, 8), 0.5
    training = Training(learning_rate=rate, batch_size=batch, steps=rows // batch)
    learner = LEARNERS["cnn"](shape, 10, "classification", training)
    params = learner.init(torch.arange(agents))
    shards = owned(digits.x.view(-1, *shape), digits.y, agents, rows)
    return Work(learner, small_cnn(shape, 10), params, shards, batch, rate, epochs)


def loaded(net: nn.Module, layout: Layout, flat: Tensor) -> nn.Module:
    """A copy of a module with these parameters."""
    net = copy.deepcopy(net)
    for p, view in zip(net.parameters(), layout.views(flat).values(), strict=True):
        p.data.copy_(view)
    return net


def flattened(nets: list[nn.Module]) -> Tensor:
    """The parameters of modules: [modules, params]."""
    return torch.stack([nn.utils.parameters_to_vector(net.parameters()).detach() for net in nets])


class Shuffled:
    """Minibatches in a new random order each time, by indexing: a loader without DataLoader."""

    def __init__(self, x: Tensor, y: Tensor, batch: int, seed: int) -> None:
        self.x, self.y, self.batch = x, y, batch
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.y), generator=self.generator)
        for rows in order.split(self.batch):
            yield self.x[rows], self.y[rows]


def torch_loader(x: Tensor, y: Tensor, batch: int, seed: int) -> DataLoader:
    """The usual loader of torch, in this process."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(x, y), batch, shuffle=True, generator=generator)


LOADERS: dict[str, Callable[..., Shuffled | DataLoader]] = {
    "loop with DataLoader": torch_loader,
    "loop without DataLoader": Shuffled,
}


def stacked_epoch(work: Work) -> Callable[[Tensor, int], Tensor]:
    """Our way: one call trains all agents, from parameters [agents, params], for one epoch."""
    keys, effort = torch.arange(work.agents), torch.ones(work.agents)
    material, slots = work.learner.prepare(work.shards), work.learner.fresh_slots(work.agents)

    def train(params: Tensor, epoch: int) -> Tensor:
        return work.learner.train(params, slots, material, effort, draws.fold(keys, epoch))[0]

    return train


def stacked(work: Work) -> Side:
    """Our way: some epochs one after another."""
    train = stacked_epoch(work)
    return lambda: lambda: functools.reduce(train, range(work.epochs), work.params)


def looped(work: Work, loader: Callable[..., Shuffled | DataLoader]) -> Side:
    """The usual way: for each agent, for each batch, autograd and an optimiser."""

    def prepare() -> Callable[[], Tensor]:
        layout = work.learner.layout
        nets = [loaded(work.net, layout, flat) for flat in work.params]
        optimizers = [torch.optim.SGD(net.parameters(), lr=work.rate) for net in nets]
        loaders = [loader(*work.examples(i), work.batch, i) for i in range(work.agents)]
        criterion = nn.CrossEntropyLoss()

        def run() -> Tensor:
            for net, optimizer, batches in zip(nets, optimizers, loaders, strict=True):
                for _ in range(work.epochs):
                    for x, y in batches:
                        optimizer.zero_grad()
                        criterion(net(x), y).backward()
                        optimizer.step()
            return flattened(nets)

        return run

    return prepare


def vmapped(work: Work) -> Side:
    """The way of an expert: the gradients of all agents at once, by torch.func."""
    count, rows = work.shards.index.shape
    generator = torch.Generator().manual_seed(0)
    criterion = nn.CrossEntropyLoss()

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return criterion(functional_call(work.net, params, (x,)), y)

    slopes = vmap(grad(loss))

    def run() -> Tensor:
        views = work.learner.layout.views(work.params).values()
        names = dict(work.net.named_parameters())
        params = dict(zip(names, views, strict=True))
        for _ in range(work.epochs):
            order = torch.rand(count, rows, generator=generator).argsort(1)
            for places in order.split(work.batch, 1):
                batch = work.shards.index.gather(1, places)
                slope = slopes(params, work.shards.x[batch], work.shards.y[batch])
                params = {name: p - work.rate * slope[name] for name, p in params.items()}
        return torch.cat([p.flatten(1) for p in params.values()], 1)

    return ready(run)


def compared(name: str, work: Work) -> Comparison:
    """Our training of this work beside the usual loop with both loaders, and torch.func."""
    theirs = {title: looped(work, loader) for title, loader in LOADERS.items()}
    theirs["torch.func"] = vmapped(work)
    return Comparison(name, stacked(work), theirs, work.gain, GAIN, 0.1)


def comparisons(quick: bool) -> list[Callable[[], Comparison]]:
    """Few and many agents, wide networks, and images; tiny sizes where they shall be quick."""
    if quick:  # one batch an epoch: its order does not matter
        tiny = networks(2, hidden=4, rows=8, batch=8)
        images = image_networks(2, rows=4, batch=4)
        return [partial(compared, "2 tiny networks", tiny), partial(compared, "2 images", images)]
    small = "64-32-10, batch 32"
    return [
        *(partial(_small, f"training {n} agents, {small}", n) for n in (2, 16, 64)),
        partial(_wide, "training 8 agents, 784-256-10, batch 64"),
        partial(_images, "training 8 agents, CNN on 8x8, batch 32"),
    ]


def _small(name: str, agents: int) -> Comparison:
    return compared(name, networks(agents))


def _wide(name: str) -> Comparison:
    work = networks(8, hidden=256, features=784, rows=256, batch=64, epochs=1, rate=0.1)
    return compared(name, work)


def _images(name: str) -> Comparison:
    return compared(name, image_networks(8))
