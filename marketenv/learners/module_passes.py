"""Passes over many models of one torch module, under vmap or in a loop: gradients and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, vmap

from marketenv.core.bank import Layout
from marketenv.learners import exams
from marketenv.learners.exams import Exam
from marketenv.learners.objectives import Objective
from marketenv.learners.protocol import Scores

# copies of a model's parameters in a step: parameters, gradient, their flat and unflattened copies
COPIES = 6


@dataclass(frozen=True, eq=False)
class Passes:
    """Gradients and scores of many models of one module, all at once or one after another.

    forward:     (views of one model's parameters, examples) -> outputs [batch, outputs]
    module:      the module itself
    layout:      where its tensors lie in the flat parameters
    objective:   of its training
    activations: numbers per example that it computes
    pooled:      whether its answer to one example depends on the other examples
    engine:      "loop" | "vmap" | "auto", as in ``ModuleLearner``
    memory:      bytes that one vmap over models may take
    """

    forward: Callable[[dict[str, Tensor], Tensor], Tensor]
    module: nn.Module
    layout: Layout
    objective: Objective
    activations: int
    pooled: bool
    engine: str
    memory: int

    def gradients(
        self, theta: Float[Tensor, "active params"], x: Tensor, y: Tensor, share: Tensor
    ) -> Tensor:
        """Gradient of every model's loss on its own examples [active, params]."""
        share = share.expand(y.shape)
        if self._stacked(theta.device):
            chunk = max(1, self.memory // self._cost(x.shape[1], 2))
            return vmap(grad(self._loss), chunk_size=chunk)(theta, x, y, share)
        return torch.stack([self._gradient(*one) for one in zip(theta, x, y, share, strict=True)])

    def scores(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        """Score k models of every market, in pieces that fit the memory."""
        score: Callable[[Tensor, Exam], Scores] = self._score_loop
        if self._stacked(params.device):
            score = self._score_stacked
        cost = self._cost(self._rows(exam.x.shape[1]), 1)
        return exams.in_pieces(score, params, exam, cost, self.memory)

    def _stacked(self, device: torch.device) -> bool:
        """Whether models run under vmap; ValueError there for recurrent modules of torch.

        torch.func cannot batch them.
        """
        stacked = self.engine == "vmap" or (self.engine == "auto" and device.type != "cpu")
        for name, part in self.module.named_modules():
            if stacked and isinstance(part, nn.RNNBase):
                raise ValueError(
                    f"{name or 'the module'} is a nn.{type(part).__name__}, which vmap cannot"
                    " batch; write the cell as matrix products, or pass engine='loop'."
                )
        return stacked

    def _cost(self, examples: int, passes: int) -> int:
        """Bytes of one model at so many examples: activations, and copies of its parameters.

        In 2 passes there are the slopes of activations too. Under vmap on a CPU 2 passes of a
        ResNet took 1.0 times this, of a CNN 0.9 times; 1 pass 0.5 and 0.6 times.
        """
        return 4 * (passes * self.activations * examples + COPIES * self.layout.size)

    def _rows(self, examples: int) -> int:
        """Examples that one model answers at once: as many as fit the memory, or all if pooled."""
        if self.pooled:
            return examples
        return min(examples, max(1, self.memory // (4 * self.activations)))

    def _loss(self, flat: Tensor, x: Tensor, y: Tensor, share: Tensor) -> Tensor:
        outputs = self.forward(self.layout.views(flat), x)
        return (self.objective.losses(outputs.mT, y) * share).sum()

    def _gradient(
        self, flat: Float[Tensor, "params"], x: Tensor, y: Tensor, share: Tensor
    ) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            # autograd cannot keep inference tensors
            flat, x, y, share = (t.clone() if t.is_inference() else t for t in (flat, x, y, share))
            # leaves are the views: through slices of one flat leaf autograd would fill a whole
            # gradient per tensor
            tensors = self.layout.views(flat)
            views = {name: view.detach().requires_grad_() for name, view in tensors.items()}
            losses = self.objective.losses(self.forward(views, x).mT, y)
            parts = torch.autograd.grad((losses * share).sum(), list(views.values()))
        return torch.cat([part.flatten() for part in parts])

    def _grade(self, flat: Tensor, x: Tensor, y: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        views = self.layout.views(flat)
        outputs = torch.cat([self.forward(views, part) for part in x.split(self._rows(len(x)))]).mT
        loss = (self.objective.losses(outputs, y) * share).sum()
        return loss, self.objective.accuracy(outputs, y, share)

    def _score_stacked(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        inner, shape = vmap(self._grade, in_dims=(0, None, None, None)), params.shape[:2]
        if exam.owners == 1:
            loss, accuracy = inner(params.flatten(0, 1), exam.x[0], exam.y[0], exam.share[0])
            return exams.finite(params, loss.view(shape), accuracy.view(shape))
        return exams.finite(params, *vmap(inner)(params, exam.x, exam.y, exam.share))

    def _score_loop(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        owner = [0 if exam.owners == 1 else market for market in range(params.shape[0])]
        grades = [
            self._grade(flat, exam.x[o], exam.y[o], exam.share[o])
            for models, o in zip(params, owner, strict=True)
            for flat in models
        ]
        parts = (torch.stack(part).view(params.shape[:2]) for part in zip(*grades, strict=True))
        return exams.finite(params, *parts)
