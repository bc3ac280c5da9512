"""Federated averaging: our stacked rounds against client objects, and against Flower's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from agents.benchmarks.peers import flower
from agents.benchmarks.peers.side_by_side import Comparison, Side
from agents.benchmarks.peers.training import GAIN, Work, loaded, networks, stacked_epoch


def averaged(work: Work, rounds: int) -> Side:
    """Our way: all clients start from the centre and train in one call; the mean is the centre."""
    train, weights = stacked_epoch(work), work.shards.size / work.shards.size.sum()

    def run() -> Tensor:
        centre = work.params[0]
        for number in range(rounds):
            centre = weights @ train(centre.repeat(work.agents, 1), number)
        return centre

    return lambda: run


class Client:
    """A client as PFLlib has them: a copy of the model, an optimiser, and a list of examples."""

    def __init__(self, work: Work, number: int, model: nn.Module) -> None:
        x, y = work.examples(number)
        self.examples = list(zip(x, y, strict=True))
        self.model, self.batch = copy.deepcopy(model), work.batch
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=work.rate)
        self.criterion = nn.CrossEntropyLoss()

    def receive(self, centre: nn.Module) -> None:
        """Take the parameters of the centre."""
        for own, new in zip(self.model.parameters(), centre.parameters(), strict=True):
            own.data = new.data.clone()

    def train(self) -> None:
        """One epoch, with a loader that is made anew in each round."""
        self.model.train()
        for x, y in DataLoader(self.examples, self.batch, shuffle=True, drop_last=True):  # type: ignore[arg-type]
            loss = self.criterion(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def mean_model(clients: list[Client]) -> nn.Module:
    """The mean of the clients' models, each by its share of the examples."""
    centre, total = copy.deepcopy(clients[0].model), sum(len(c.examples) for c in clients)
    for p in centre.parameters():
        p.data.zero_()
    for client in clients:
        for p, own in zip(centre.parameters(), client.model.parameters(), strict=True):
            p.data += own.data.clone() * (len(client.examples) / total)
    return centre


def client_objects(work: Work, rounds: int) -> Side:
    """The way of PFLlib: client by client, models copied, a DataLoader for each client and round.

    Written anew after its structure. It reads no files and evaluates nobody, which PFLlib does.
    """

    def prepare() -> Callable[[], Tensor]:
        first = loaded(work.net, work.learner.layout, work.params[0])
        clients = [Client(work, number, first) for number in range(work.agents)]

        def run() -> Tensor:
            centre = first
            for _ in range(rounds):
                for client in clients:
                    client.receive(centre)
                for client in clients:
                    client.train()
                centre = mean_model(clients)
            return nn.utils.parameters_to_vector(centre.parameters()).detach()

        return run

    return prepare


def compared(name: str, work: Work, rounds: int) -> Comparison:
    """Our rounds beside those of client objects, and of Flower where it is installed."""
    theirs = {"like PFLlib": client_objects(work, rounds)}
    if find_spec("flwr"):
        theirs["Flower"] = flower.simulated(work, rounds)

    def gain(centre: Tensor) -> float:
        return work.gain(centre.repeat(work.agents, 1))

    return Comparison(name, averaged(work, rounds), theirs, gain, GAIN, 0.1)


def comparisons(quick: bool) -> list[Callable[[], Comparison]]:
    """Few and many clients; tiny sizes where they shall be quick."""
    if quick:
        return [partial(compared, "2 tiny clients", networks(2, hidden=4, rows=8, batch=8), 1)]
    return [partial(_clients, f"FedAvg of {n} clients, 64-32-10, batch 32", n) for n in (20, 64)]


def _clients(name: str, clients: int) -> Comparison:
    return compared(name, networks(clients), 3)
