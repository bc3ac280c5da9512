"""The phase in which deliveries are judged and paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.markets.data_market.moves import BUYER, SELLER
from marketenv.markets.data_market.offer import Offered
from marketenv.markets.data_market.pilot import MOST_MEASURED, Piloted, stock
from marketenv.markets.data_market.select import HELD, PLATFORM, Selected
from marketenv.markets.data_market.train_selected import TrainedOnPurchase
from marketenv.markets.distances import Distances
from marketenv.mechanisms import Release, hold_back

PerPair = Float64[Tensor, "markets 1 sellers"]


@dataclass(frozen=True)
class Delivered(Outcome):
    """Results of the deliveries.

    kept:   share of the promised gain that is realised, between 0 and 1      [markets]
    caught: whether an audit finds that the delivery is not like the pilot    [markets, sellers]
    value:  of the realised accuracy to the buyer, money                      [markets, agents]
    cost:   of collecting and sharing, and of audits, money                   [markets, agents]
    reputation: of sellers after the round                                    [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("value", "cost", "reputation")

    kept: Float64[Tensor, "markets"]
    caught: Bool[Tensor, "markets sellers"]
    value: Float64[Tensor, "markets agents"]
    cost: Float64[Tensor, "markets agents"]
    reputation: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """How much of the promise is kept, and which sellers are caught."""
        lines, sellers = [], self.caught[0].nonzero()[:, 0].tolist()
        if bool(self.value[0].any()) or float(self.kept[0]) < 1:
            lines = [f"{100 * float(self.kept[0]):.0f} % of the promised gain was realised."]
        return lines + [f"The audit catches seller_{k}: it is paid nothing." for k in sellers]


class Deliver(Phase):
    """Judge deliveries, pay out the held money, and turn the round into utility.

    A seller gets (1 - h) of its price at once, and of the rest the part that ``release`` gives for
    the realised and the promised gain. A seller that an audit catches gets nothing. The remaining
    money goes back to the buyer.

    U_buyer  = money_per_accuracy (realised accuracy - outside option) - audits - payments
    U_seller = payments - cost of its rows, see ``rows_to_pay``

    release: as those of ``RELEASES``;   rows: of a delivery that an audit compares
    memory:  weight of a round in reputations
    """

    name, outcome = "deliver", Delivered

    def __init__(
        self,
        *,
        distances: Distances,
        release: Release,
        tolerance: float,
        rows: int,
        labelling: float,
        audit_cost: float,
        fee: float,
        memory: float,
        name: str = "deliver",
    ) -> None:
        self.name, self.distances, self.release = name, distances, release
        self.tolerance, self.rows = tolerance, rows
        self.labelling, self.audit_cost, self.fee, self.memory = labelling, audit_cost, fee, memory

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Delivered]:
        """Audit, pay, and value."""
        selected, outside_option = floor.of(Selected), floor.of(Piloted).forecast.outside_option
        caught = self._caught(floor)
        promised = (selected.predicted - outside_option)[:, None]
        reached = (floor.of(TrainedOnPurchase).realised - outside_option)[:, None]
        parts = hold_back(
            selected.prices, selected.hold_back, promised, reached, release=self.release
        )
        at_once = torch.where(caught[:, None], 0.0, parts.at_once)
        released = torch.where(caught[:, None], 0.0, parts.released)
        floor = self._paid(floor, at_once, released)
        value = floor.types[BUYER]["money_per_accuracy"] * reached
        audits = self.audit_cost * selected.audited.double().sum(1, keepdim=True)
        cost = floor.types[SELLER]["cost"] * rows_to_pay(floor, self.labelling)
        terms = {"value": (BUYER, value), "audits": (BUYER, -audits), "cost": (SELLER, -cost)}
        for name, (role, part) in terms.items():
            floor = floor.term(self.named(name), role, part)
        kept = torch.where(promised > 0, (reached / promised.clamp(min=1e-9)).clamp(0.0, 1.0), 1.0)
        reputation = self._reputation(floor, kept, caught)
        types = {"reputation": reputation, "last_paid": (at_once + released).sum(1)}
        floor = replace(floor, types={**floor.types, SELLER: {**floor.types[SELLER], **types}})
        outcome = Delivered(
            kept=kept[:, 0],
            caught=caught,
            value=floor.everyone(**{BUYER: value}),
            cost=floor.everyone(**{BUYER: audits, SELLER: cost}),
            reputation=floor.everyone(**{SELLER: reputation}),
        )
        return floor, own, outcome

    def _paid(self, floor: Floor, at_once: PerPair, released: PerPair) -> Floor:
        """Pay sellers at once and by result, then the platform's fee; the buyer gets the rest."""
        floor = floor.pay(self.named("price"), HELD, SELLER, at_once)
        floor = floor.pay(self.named("released"), HELD, SELLER, released)
        fee = self.fee * (at_once + released).sum(2, keepdim=True)
        floor = floor.pay(self.named("fee"), HELD, PLATFORM, fee)
        rest = torch.diag_embed(floor.cash(HELD).clamp(min=0))
        return floor.pay(self.named("returned"), HELD, BUYER, rest)

    def _caught(self, floor: Floor) -> Bool[Tensor, "markets sellers"]:
        """Whether each seller is audited and its delivery is too far from its pilot.

        W(pilot, delivery) > tolerance * W(pilot, buyer's examples)
        A delivery is compared with the pilot and not with the buyer's examples, since noise may lie
        as near to those as honest rows do.
        """
        selected, offered = floor.of(Selected), floor.of(Offered)
        if not bool(selected.audited.any()):
            return selected.audited
        rows = stock(floor, offered, self.rows, delivered=True, pseudo=self.distances.pseudo)
        nothing, piloted = torch.zeros_like(offered.conduct.spoof), floor.of(Piloted)
        measures = self.distances.measures(floor, rows.first(MOST_MEASURED), nothing)
        apart = self.distances.between(piloted.forecast.measures, measures)
        return selected.audited & (apart > self.tolerance * piloted.apart)

    def _reputation(
        self,
        floor: Floor,
        kept: Float64[Tensor, "markets 1"],
        caught: Bool[Tensor, "markets sellers"],
    ) -> Float64[Tensor, "markets sellers"]:
        """A mean of the old reputation and of this round's ``kept``, which is 0 for the caught.

        The reputation of a seller that sells nothing stays.
        """
        old, sold = floor.types[SELLER]["reputation"], floor.of(Selected).points > 0
        new = torch.where(caught, 0.0, kept)
        return torch.where(sold, (1 - self.memory) * old + self.memory * new, old)


def rows_to_pay(floor: Floor, labelling: float) -> Float64[Tensor, "markets sellers"]:
    """Number of rows that each seller pays for: copies and noise are free, labels cost a share.

    labelling: share of a row's cost that is its label; a missing or a wrong label is free
    """
    conduct, world = floor.of(Offered).conduct, floor.world
    rows = conduct.different(world.size, floor.of(Selected).points)
    unlabelled = 1 - world.labelled_share * (1 - conduct.wrong)
    return rows * (1 - conduct.bait) * (1 - labelling * unlabelled)
