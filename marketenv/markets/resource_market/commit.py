"""The phase in which the leader commits to a payment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.fields import TOLERANCE
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.markets.resource_market.moves import (
    CENTRE,
    LEADER,
    OWNER,
    in_float64,
    leaders_move,
)
from marketenv.markets.resource_market.play import Play
from marketenv.markets.resource_market.post import unit_cost

ESCROW = "escrow"


@dataclass(frozen=True)
class Committed(Outcome):
    """What the leader commits to.

    eta:       payment, money                                     float64 [markets]
    refused:   whether the leader offers more than it can pay, which counts as nothing
               bool [markets]
    committed: the payment over all agents                        float64 [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("committed",)

    eta: Float64[Tensor, "markets"]
    refused: Bool[Tensor, "markets"]
    committed: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The payment, or why there is none."""
        if bool(self.refused[0]):
            return ["The leader offers more than it has, which counts as nothing."]
        return [f"The leader commits to pay {float(self.eta[0]):.4f}."]


class Commit(Phase):
    """The leader sees what is known of everybody and commits to a payment, which is held at once.

    play:   how truthful leaders solve the game
    cost:   of a unit of data, money; None: the lowest posted price
    counts: of owners and centres;   escrow: whether the payment is held
    worth:  alpha k, the most that the leader can commit to, money
    """

    name, outcome = "commit", Committed

    def __init__(
        self,
        play: Play,
        cost: float | None,
        counts: tuple[int, int],
        escrow: bool,
        worth: float,
        name: str = "commit",
    ) -> None:
        self.name, self.play, self.cost, self.escrow, self.worth = name, play, cost, escrow, worth
        self.moves = {LEADER: leaders_move(*counts, worth)}

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """What is known of owners and centres."""
        return self._shown(floor, unit_cost(floor, self.cost))

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same after the last round; no price is posted any more."""
        cost = floor.played.new_full((len(floor.seeds),), self.cost or 0.0)
        return self._shown(floor, cost)

    def _shown(self, floor: Floor, cost: Float64[Tensor, "markets"]) -> Shown:
        owners, sigma = floor.types[OWNER], floor.types[CENTRE]["sigma"]
        each = {
            "quality": owners["standing"],
            "identities": owners["identities"],
            "cap": owners["cap"],
            "last_share": owners["last_share"],
            "sigma": sigma,
        }
        alone = {
            "unit_cost": cost[:, None],
            "money": floor.purse(LEADER),
            "round": floor.played[:, None],
        }
        return {LEADER: {name: value[:, None] for name, value in each.items()} | alone}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """The best payment if owners answer by their equilibrium.

        It is 0 with fewer than two owners or two centres.
        """
        fields = in_float64(move, observation)
        cost = fields["unit_cost"][:, 0].clamp(min=1e-300)
        eta = self.play.commitment(fields["quality"], fields["identities"], cost, fields["cap"])
        several = fields["sigma"].shape[1] > 1
        payment = eta[:, None].minimum(fields["money"]) if several else 0.0
        return move.write(observation, eta=payment)

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Committed]:
        """Hold the payment; an offer of more than the leader has counts as nothing."""
        wanted = self.moves[LEADER].action.read(actions[LEADER])["eta"][:, 0, 0].clamp(min=0.0)
        purse = floor.purse(LEADER)[:, 0]
        # the box and the money that the leader sees are rounded
        refused = wanted > purse + TOLERANCE * (self.worth + purse)
        eta = torch.where(refused, 0.0, wanted).minimum(purse)
        if self.escrow:
            floor = floor.pay(self.named("commitment"), LEADER, ESCROW, eta[:, None, None])
        return floor, own, Committed(eta, refused, floor.everyone(**{LEADER: eta[:, None]}))
