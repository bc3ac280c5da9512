"""The phase that turns losses into utility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase


@dataclass(frozen=True)
class Scored(Outcome):
    """The worth of a round before payments and costs, over all agents   [markets, agents].

    value: money;   loss, accuracy: at the end of the round on the broker's data, 0 for other roles
    """

    FACTS: ClassVar[tuple[str, ...]] = ("value", "loss", "accuracy")

    value: Float64[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's loss, accuracy and value."""
        text = "{} ends with a loss of {:.4f} and an accuracy of {:.3f}, which is worth {:+.4f}."
        numbers = (self.loss[0].tolist(), self.accuracy[0].tolist(), self.value[0].tolist())
        return [text.format(*row) for row in zip(agents, *numbers, strict=True)]


class Score(Phase):
    """The fall of an agent's loss in a round becomes money: value = m (before - loss).

    m is the role's type ``money_per_loss``; ``before`` is the loss at the round's start, before
    training, or at the last score.
    """

    name, outcome = "score", Scored

    def __init__(self, role: str, name: str = "score") -> None:
        self.role, self.name = role, name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Scored]:
        """Value the round, and begin the next one's count at the present loss."""
        models, money_per_loss = floor.models[self.role], floor.types[self.role]["money_per_loss"]
        value = money_per_loss * (models.before.double() - models.loss.double())
        floor = floor.term(self.named("value"), self.role, value)
        floor = floor.but(models={**floor.models, self.role: replace(models, before=models.loss)})
        numbers = (value, models.loss, models.accuracy)
        return floor, own, Scored(*(floor.everyone(**{self.role: each}) for each in numbers))
