"""Scores of stacked perceptrons: the whole forward pass, or its first layer and its rest apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core.bank import Layout
from marketenv.core.precision import full_precision
from marketenv.learners import exams
from marketenv.learners.exams import Exam
from marketenv.learners.objectives import Objective, by_class
from marketenv.learners.protocol import Scores

Names = tuple[str, ...]  # of a layer's weight and bias
Views = dict[str, Tensor]  # tensors by name, each [markets, k, *shape]


def first_outputs(
    layer: Names, views: Views, x: Float[Tensor, "owners n f"]
) -> Float[Tensor, "markets k units n"]:
    """Outputs of the first layer, before the ReLU.

    Models that share examples are joined to one product.
    """
    (w, b), owners = layer, x.shape[0]
    weight = views[w].reshape(owners, -1, x.shape[-1])
    value = torch.baddbmm(views[b].reshape(owners, -1, 1), weight, x.mT)
    return value.view(*views[b].shape, x.shape[1])


def outputs_after(
    layers: tuple[Names, ...], views: Views, first: Float[Tensor, "markets k units n"]
) -> Float[Tensor, "markets k outputs n"]:
    """Outputs of the last layer, from those of the first, which are overwritten.

    layers: all but the first
    """
    value = first.flatten(0, 1)
    for w, b in layers:
        bias, weight = views[b].flatten(0, 1).unsqueeze(-1), views[w].flatten(0, 1)
        value = torch.baddbmm(bias, weight, value.relu_())
    return value.view(*first.shape[:2], *value.shape[1:])


@dataclass(frozen=True)
class Scorer:
    """Scores of an MLP's models.

    layers:    names of each layer's weight and bias, input first
    layout:    where they lie in the flat parameters
    widths:    numbers that enter and leave each layer, as in ``MLP.widths``
    objective: of the training
    memory:    bytes of temporaries, as in ``MLP``
    """

    layers: tuple[Names, ...]
    layout: Layout
    widths: tuple[int, ...]
    objective: Objective
    memory: int | None

    @full_precision()
    def scores(
        self,
        params: Float[Tensor, "markets k params"],
        exam: Exam,
        graded: bool = True,
        sizes: tuple[int, ...] = (),
    ) -> Scores:
        """Score k models of every market.

        graded: whether accuracies are wanted, or zeros do
        sizes:  examples of each class, for scores on each class; (): on all examples
        """
        exams.check_exam(params, self.layout.size, exam.owners)
        score = partial(self._score, graded=graded, sizes=sizes)
        with torch.no_grad():
            return exams.in_pieces(score, params, exam, self._cost(exam), self._limit(exam))

    @full_precision()
    def first(
        self, params: Float[Tensor, "markets k params"], exam: Exam
    ) -> Float[Tensor, "markets k units n"]:
        """Outputs of the first layer, before the ReLU."""
        with torch.no_grad():
            return first_outputs(self.layers[0], self.layout.views(params), exam.x)

    @full_precision()
    def rest(
        self, first: Float[Tensor, "markets k units n"], views: Views, exam: Exam
    ) -> Float[Tensor, "markets k"]:
        """Mean losses from the outputs of the first layer, which are overwritten."""
        with torch.no_grad():
            return self._loss(outputs_after(self.layers[1:], views, first), exam)

    def at_once(self, exam: Exam) -> int:
        """Number of models whose temporaries and first outputs fit the memory."""
        first = 4 * self.widths[1] * exam.x.shape[1]
        return max(1, self._limit(exam) // (self._cost(exam) + first))

    def _cost(self, exam: Exam) -> int:
        """Bytes of temporaries per model: two layers' outputs are alive at once."""
        wide = sorted((*self.widths[1:], 2 * self.widths[-1]))[-2:]
        return 4 * (sum(wide) * exam.x.shape[1] + self.layout.size)

    def _limit(self, exam: Exam) -> int:
        return self.memory or (2**23 if exam.x.device.type == "cpu" else 2**28)

    def _score(self, params: Tensor, exam: Exam, graded: bool, sizes: tuple[int, ...]) -> Scores:
        views = self.layout.views(params)
        first = first_outputs(self.layers[0], views, exam.x)
        outputs = outputs_after(self.layers[1:], views, first)
        if sizes:
            return exams.finite(params, *by_class(self.objective, outputs, exam.y[:, None], sizes))
        loss = self._loss(outputs, exam)
        accuracy = self._accuracy(outputs, exam) if graded else torch.zeros_like(loss)
        return exams.finite(params, loss, accuracy)

    def _loss(self, outputs: Tensor, exam: Exam) -> Float[Tensor, "markets k"]:
        return (self.objective.losses(outputs, exam.y[:, None]) * exam.share[:, None]).sum(-1)

    def _accuracy(self, outputs: Tensor, exam: Exam) -> Float[Tensor, "markets k"]:
        return self.objective.accuracy(outputs, exam.y[:, None], exam.share[:, None])
