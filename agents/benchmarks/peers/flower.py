"""Federated averaging by Flower, in one process without Ray."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from agents.benchmarks.peers.side_by_side import Side
from agents.benchmarks.peers.training import Work, loaded, torch_loader


def simulated(work: Work, rounds: int) -> Side:
    """The way of Flower: its FedAvg and its ``ClientApp``, which exchange its messages.

    The messages go from call to call, not over a network nor through Ray. This is less than what
    Flower's own simulation does.
    """

    def prepare() -> Callable[[], Tensor]:
        from flwr.app import ArrayRecord
        from flwr.serverapp.strategy import FedAvg

        _name_this_process()
        logging.getLogger("flwr").setLevel(logging.ERROR)
        first = loaded(work.net, work.learner.layout, work.params[0])
        strategy, grid = FedAvg(fraction_evaluate=0.0), _grid(_app(work), work.agents)

        def run() -> Tensor:
            arrays = ArrayRecord(first.state_dict())
            result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=rounds)
            state = result.arrays.to_torch_state_dict()
            return torch.cat([state[name].flatten() for name, _ in first.named_parameters()])

        return run

    return prepare


def _name_this_process() -> None:
    """Give the process the numbers of a task, run and node, which messages must carry."""
    from flwr.supercore.task_identity import TaskIdentity  # internal: the extra pins the version

    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1


def _app(work: Work) -> Any:
    """The clients: each message brings the centre, trains it for one epoch and sends it back."""
    from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp

    app, layout = ClientApp(), work.learner.layout
    nets = [loaded(work.net, layout, flat) for flat in work.params]
    loaders = [torch_loader(*work.examples(i), work.batch, i) for i in range(work.agents)]
    criterion = nn.CrossEntropyLoss()

    @app.train()
    def train(message: Any, context: Any) -> Any:
        net, batches = nets[context.node_id], loaders[context.node_id]
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimizer = torch.optim.SGD(net.parameters(), lr=work.rate)
        for x, y in batches:
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
        size = MetricRecord({"num-examples": int(work.shards.size[context.node_id])})
        content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": size})
        return Message(content, reply_to=message)

    return app


def _grid(app: Any, clients: int) -> Any:
    """What carries messages to the clients: one call each, one after another."""
    from flwr.app import Context, RecordDict
    from flwr.serverapp import Grid

    contexts = [Context(0, node, {}, RecordDict(), {}) for node in range(clients)]

    class InProcess(Grid):
        """A grid that calls the app at once."""

        run = property(lambda self: None)

        def set_run(self, run: Any) -> None: ...

        def create_message(self, *args: Any, **more: Any) -> Any: ...

        def push_messages(self, messages: Any) -> Any: ...

        def pull_messages(self, message_ids: Any) -> Any: ...

        def get_node_ids(self) -> Iterable[int]:
            return range(clients)

        def send_and_receive(self, messages: Any, *, timeout: Any = None) -> Any:
            return [app(message, contexts[message.metadata.dst_node_id]) for message in messages]

    return InProcess()
