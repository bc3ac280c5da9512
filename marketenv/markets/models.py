"""Models of the agents of a role: an entry of ``floor.models``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float, Float32
from torch import Tensor


@dataclass(frozen=True)
class Models:
    """Models of the agents of a role, and how they are trained next.

    params: flattened parameters                                      [markets, count, params]
    slots:  numbers of the optimisers; width 0 where they start anew in every round
                                                                      [markets, count, slots or 0]
    effort: share of a full training that the next one does           [markets, count]
    loss, accuracy: of the present models;   before: loss at the start of the round
    centre: where the next training is held; width 0 where no training is ever held
                                                                      [markets, count, params or 0]
    pull:   strength of that hold, 0 for none                         [markets, count]
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
        """Models before their first training, which is at full effort and without a pull."""
        ones = params.new_ones(params.shape[:2])
        return cls(params, slots, ones, loss, loss, accuracy, params[..., :0], 0 * ones)

    def held(
        self, centre: Float[Tensor, "markets count params"], pull: Float[Tensor, "markets count"]
    ) -> Models:
        """The same models; their next training is held near ``centre`` with this ``pull``."""
        return replace(self, centre=centre, pull=pull)
