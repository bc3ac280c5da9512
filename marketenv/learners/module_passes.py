"""Passes over many models of one torch module, under vmap or in a loop: gradients and scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, vmap

from marketenv.core.bank import Layout
from marketenv.learners import exams
from marketenv.learners.exams import Exam
from marketenv.learners.live_memory import bytes_of_one
from marketenv.learners.objectives import Objective, by_class
from marketenv.learners.protocol import Scores


@dataclass(frozen=True, eq=False)
class Passes:
    """Gradients and scores of many models of one module, all at once or one after another.

    forward:     (views of one model's parameters, examples) -> outputs [batch, outputs]
    module:      the module itself
    layout:      where its tensors lie in the flat parameters
    objective:   of its training
    activations: numbers per example that its innermost parts put out
    pooled:      whether its answer to one example depends on the other examples
    engine:      "loop" | "vmap" | "auto", as in ``ModuleLearner``
    memory:      bytes that one vmap over models may take
    costs:       bytes of one model under vmap, by what was computed, of how many examples, where
    """

    forward: Callable[[dict[str, Tensor], Tensor], Tensor]
    module: nn.Module
    layout: Layout
    objective: Objective
    activations: int
    pooled: bool
    engine: str
    memory: int
    costs: dict[tuple[str, int, torch.device], int] = field(default_factory=dict, repr=False)

    def gradients(
        self, theta: Float[Tensor, "active params"], x: Tensor, y: Tensor, share: Tensor
    ) -> Tensor:
        """Gradient of every model's loss on its own examples [active, params]."""
        share = share.expand(y.shape)
        if self._stacked(theta.device):
            step = grad(self._loss)

            def _sample(count: int) -> Any:
                return vmap(step)(*(_zeros(part, count) for part in (theta, x, y, share)))

            chunk = max(1, self.memory // self._cost("gradients", x, _sample))
            return vmap(step, chunk_size=chunk)(theta, x, y, share)
        return torch.stack([self._gradient(*one) for one in zip(theta, x, y, share, strict=True)])

    def scores(
        self, params: Float[Tensor, "markets k params"], exam: Exam, sizes: tuple[int, ...] = ()
    ) -> Scores:
        """Score k models of every market, in pieces that fit the memory.

        sizes: examples of each class, to score each class [markets, k, classes]; (): all at once
        """
        if not self._stacked(params.device):
            return self._score_loop(params, exam, sizes)
        score = partial(self._score_stacked, sizes=sizes)

        def _sample(count: int) -> Scores:
            owners = 1 if exam.owners == 1 else count
            some = Exam(*(_zeros(part, owners) for part in (exam.x, exam.y, exam.share)))
            return score(_zeros(params[:, :1], count), some)

        kind = "scores of a shared exam" if exam.owners == 1 else "scores of own exams"
        cost = self._cost(kind, exam.x, _sample)
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

    def _cost(self, kind: str, x: Tensor, sample: Callable[[int], Any]) -> int:
        """Bytes of one model under vmap, measured once for each number of examples.

        Where two models do not fit by what their innermost parts put out, nothing is measured.

        kind: what is computed;   x: examples [owners, n, *features]
        sample: computes the same of so many models
        """
        least = 4 * (self.activations * self._rows(x.shape[1]) + self.layout.size)
        if 2 * least > self.memory:
            return least
        key = (kind, x.shape[1], x.device)
        if key not in self.costs:
            self.costs[key] = bytes_of_one(sample)
        return self.costs[key]

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

    def _outputs(self, flat: Float[Tensor, "params"], x: Tensor) -> Float[Tensor, "outputs n"]:
        views = self.layout.views(flat)
        return torch.cat([self.forward(views, part) for part in x.split(self._rows(len(x)))]).mT

    def _score_stacked(
        self, params: Float[Tensor, "markets k params"], exam: Exam, sizes: tuple[int, ...]
    ) -> Scores:
        outputs = vmap(self._outputs, in_dims=(0, None))
        if exam.owners == 1:
            every = outputs(params.flatten(0, 1), exam.x[0]).unflatten(0, params.shape[:2])
            return self._graded(params, every, exam, sizes)
        return self._graded(params, vmap(outputs)(params, exam.x), exam, sizes)

    def _score_loop(
        self, params: Float[Tensor, "markets k params"], exam: Exam, sizes: tuple[int, ...]
    ) -> Scores:
        owner = [0 if exam.owners == 1 else market for market in range(params.shape[0])]
        pairs = zip(params, owner, strict=True)
        outputs = [self._outputs(flat, exam.x[o]) for models, o in pairs for flat in models]
        every = torch.stack(outputs).unflatten(0, params.shape[:2])
        return self._graded(params, every, exam, sizes)

    def _graded(
        self,
        params: Float[Tensor, "markets k params"],
        outputs: Float[Tensor, "markets k outputs n"],
        exam: Exam,
        sizes: tuple[int, ...],
    ) -> Scores:
        """Scores from the outputs of all models."""
        y, share = exam.y[:, None], exam.share[:, None]
        if sizes:
            return exams.finite(params, *by_class(self.objective, outputs, y, sizes))
        loss = (self.objective.losses(outputs, y) * share).sum(-1)
        return exams.finite(params, loss, self.objective.accuracy(outputs, y, share))


def _zeros(part: Tensor, count: int) -> Tensor:
    """Zeros in the shape of ``count`` of the part's entries."""
    return part.new_zeros(count, *part.shape[1:])
