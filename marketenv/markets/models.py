"""What the agents of a role have learned: an entry of ``floor.models``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float, Float32
from torch import Tensor


@dataclass(frozen=True)
class Models:
    """Models of the agents of a role, and how they are trained next.

    params:   flattened parameters                                          [markets, count, params]
    slots:    numbers of the optimisers; none where they start anew
              in every round   [markets, count, slots or 0]
    effort:   share of a full training that the next one does
    loss, accuracy: of the models as they are;   before: loss at the start of the round
    centre, pull: what holds the next training, none where nothing
        ever does, and how hard   [markets, count, params or 0]
    """

    params: Float[Tensor, "markets count params"]
    slots: Float[Tensor, "markets count slots"]
    effort: Float32[Tensor, "markets count"]
    loss: Float[Tensor, "markets count"]
    before: Float[Tensor, "markets count"]
    accuracy: Float[Tensor, "markets count"]
    centre: Float[Tensor, "markets count centre"]
    pull: Float[Tensor, "markets count"]

    @classmethod
    def first(
        cls,
        params: Float[Tensor, "markets count params"],
        slots: Float[Tensor, "markets count slots"],
        loss: Float[Tensor, "markets count"],
        accuracy: Float[Tensor, "markets count"],
    ) -> Models:
        """Models before their first training, which is done at full effort and held by nothing."""
        ones = params.new_ones(params.shape[:2])
        return cls(params, slots, ones, loss, loss, accuracy, params[..., :0], 0 * ones)

    def held(
        self, centre: Float[Tensor, "markets count params"], pull: Float[Tensor, "markets count"]
    ) -> Models:
        """The same models, whose next training is held near ``centre``, and how hard; 0 holds
        nothing.
        """
        return replace(self, centre=centre, pull=pull)
