"""Worlds of a parameter market: the agents' data and the exams, laid out for their learner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.alignment import (
    BestWeights,
    ByLayers,
    alpha_closed_form,
    alpha_grid_by_layers,
    offered,
)
from marketenv.core.axes import Parameters, PerPair
from marketenv.data import Source
from marketenv.learners import Learner, Scores
from marketenv.markets import own_parts
from marketenv.markets.worlds import Laid, Worlds

# how far losses by layers may lie from those of whole models: as a share of them, and beyond it
SHARE, BEYOND = 1e-3, 1e-5


@dataclass(frozen=True, eq=False)
class TradingContent:
    """Data of the worlds.

    learner:  that they are laid out for
    material: what agents train on;   exam, test_exam: the broker's data, and held-out data
    sizes:    of the training data                                            [worlds, agents]
    optimum:  true parameters; None where they are unknown or not the learner's
                                                                      [worlds, agents, params]
    """

    learner: Learner
    material: Laid
    exam: Laid
    test_exam: Laid
    sizes: Int[Tensor, "worlds agents"]
    optimum: Float[Tensor, "worlds agents params"] | None

    def select(self, worlds: Int[Tensor, "some"]) -> TradingContent:
        """Some of the worlds, in this order."""
        return TradingContent(
            self.learner,
            self.material.select(worlds),
            self.exam.select(worlds),
            self.test_exam.select(worlds),
            self.sizes[worlds],
            None if self.optimum is None else self.optimum[worlds],
        )

    def joined(self, other: TradingContent) -> TradingContent:
        """These worlds, and then the other ones."""
        known = self.optimum is not None and other.optimum is not None
        return TradingContent(
            self.learner,
            self.material.joined(other.material),
            self.exam.joined(other.exam),
            self.test_exam.joined(other.test_exam),
            torch.cat([self.sizes, other.sizes]),
            torch.cat([self.optimum, other.optimum]) if known else None,  # type: ignore[list-item]
        )


def open_content(
    source: Source, learner: Learner, shared: tuple[bool, bool], seeds: Int[Tensor, "worlds"]
) -> TradingContent:
    """Deal out the data of distinct seeds and lay them out for the learner.

    shared: whether all markets share their validation, and their test examples
    """
    federation, worlds = source.federation(seeds), len(seeds)
    train, optimum = federation.supervised, federation.optimum
    if optimum is not None and optimum.shape[-1] != learner.layout.size:
        optimum = None
    return TradingContent(
        learner=learner,
        material=Laid.of(learner, own_parts.prepare, train.flat(), worlds),
        exam=Laid.of(learner, own_parts.exam, federation.validation, worlds, shared[0]),
        test_exam=Laid.of(learner, own_parts.exam, federation.test, worlds, shared[1]),
        sizes=train.size,
        optimum=optimum,
    )


@dataclass(frozen=True, eq=False)
class TradingWorlds(Worlds):
    """Which of these worlds each market of a batch stands in, and what they say of its models."""

    content: TradingContent

    @property
    def shares(self) -> Float[Tensor, "markets agents"]:
        """Each agent's part of a market's training data."""
        sizes = self.content.sizes[self.at].float()
        return sizes / sizes.sum(1, keepdim=True)

    @property
    def optimum(self) -> Float[Tensor, "markets agents params"] | None:
        """True parameters, where they are known."""
        return None if self.content.optimum is None else self.content.optimum[self.at]

    @property
    def quadratic(self) -> bool:
        """Whether the broker's losses are quadratic: best weights then have a closed form."""
        return hasattr(self.content.exam.made, "gram")

    def material(self, rounds: Int[Tensor, "markets"]) -> Any:
        """What agents train on, market by market; the same in every round."""
        return self.lessons(self.content.material)

    def score(
        self,
        models: Float[Tensor, "markets k params"],
        rounds: Int[Tensor, "markets"],
        held_out: bool = False,
    ) -> Scores:
        """Scores of k models of every market on the broker's data, or on held-out data."""
        exam = self.content.test_exam if held_out else self.content.exam
        return self.scores(self.content.learner, exam, models)

    def loss(self, models: Float[Tensor, "markets k params"]) -> Float[Tensor, "markets k"]:
        """Losses of k models of every market on the broker's data."""
        return self.losses(self.content.learner, self.content.exam, models)

    def best_weights(
        self, own: Parameters, offers: Tensor, mask: Float[Tensor, "params"]
    ) -> PerPair:
        """The weight of each offer at which the broker's quadratic loss is least."""
        return self.asked(self.content.exam, partial(_best_weights, mask), own, offers)[0]

    @property
    def by_layers(self) -> bool:
        """Whether models are scored in two parts, of which the first layer is computed once."""
        return own_parts.first_linear(self.content.learner) is not None

    def grid_by_layers(
        self,
        own: Parameters,
        offers: Tensor,
        mask: Float[Tensor, "params"],
        orders: Int[Tensor, "markets pairs units"] | None,
    ) -> tuple[PerPair, PerPair]:
        """The best weight of each offer on the paper's grid, and the loss there, by layers."""
        question = partial(_grid_by_layers, self.content.learner, mask)
        known = () if orders is None else (orders,)
        return self.asked(self.content.exam, question, own, offers, *known)


def _grid_by_layers(
    learner: Learner, mask: Tensor, laid: Laid, *tensors: Tensor
) -> tuple[Tensor, Tensor]:
    """Search all markets of one exam, or of an exam each, at once."""
    exam, parts = laid.made, []
    count = 1 if exam.owners == len(tensors[0]) else exam.owners
    for number in range(count):
        own, offers, *orders = (tensor.chunk(count)[number] for tensor in tensors)
        model = _by_layers(learner, exam if count == 1 else exam.part(number, number + 1))
        best = alpha_grid_by_layers(model, own, offers, orders[0] if orders else None, mask)
        if own_parts.is_own(learner):
            _check_by_layers(model, own, offers, mask, best)
        parts.append(best)
    alpha, loss = (torch.cat([getattr(best, name) for best in parts]) for name in ("alpha", "loss"))
    return alpha, loss


def _by_layers(learner: Learner, exam: Any) -> ByLayers:
    """How a learner's models are scored by layers on an exam."""
    first = own_parts.first_linear(learner)
    assert first is not None

    def part(some: slice) -> Any:
        return exam.part(some.start, some.stop)

    return ByLayers(
        layout=learner.layout,
        permutations=learner.permutations or {},
        first=first.names,
        outputs=lambda models, some: first.outputs(models, part(some)),
        rest=lambda outputs, views, some: first.losses(outputs, views, part(some)),
        losses=lambda models, some: own_parts.losses(learner, models, part(some)),
        at_once=first.at_once(exam),
    )


def _check_by_layers(
    model: ByLayers, own: Tensor, offers: Tensor, mask: Tensor, best: BestWeights
) -> None:
    """Raise ValueError where parts of a user's own do not give the losses of whole models.

    Compared are the purchases of one buyer in one market, at their best weights.
    """
    places = offered(own, offers)[0]
    mine, alpha = own[:1, :1], best.alpha[:1, 0, places, None]
    merged = mine + alpha * mask * (offers[:1, 0, places] - mine)
    whole = model.losses(merged, slice(0, 1))[0]
    whole, parts = whole.where(whole.isfinite(), torch.inf), best.loss[0, 0, places]
    if not torch.allclose(parts, whole, rtol=SHARE, atol=BEYOND):
        raise ValueError(
            f"learner.first_linear gives losses of {parts.tolist()} for models with losses of"
            f" {whole.tolist()}: wanted outputs that are linear in the first layer, and in losses"
            " all that follows; or leave first_linear out."
        )


def _best_weights(mask: Tensor, laid: Laid, own: Tensor, offers: Tensor) -> tuple[Tensor]:
    return (alpha_closed_form(laid.made.gram, laid.made.cross, own, offers, mask),)
