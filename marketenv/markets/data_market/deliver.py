"""The phase in which deliveries are judged and everything is settled."""

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
    """What deliveries came to.

    kept:   share of what was promised that was realised, between 0 and 1               [markets]
    caught: whose delivery an audit found to be other rows than its pilot   [markets, sellers]
    value:  of the realised accuracy to the buyer, money, over all agents   [markets, agents]
    cost:   of collecting and sharing, and of audits, money   [markets, agents]
    reputation: of sellers after the round, over all agents   [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("value", "cost", "reputation")

    kept: Float64[Tensor, "markets"]
    caught: Bool[Tensor, "markets sellers"]
    value: Float64[Tensor, "markets agents"]
    cost: Float64[Tensor, "markets agents"]
    reputation: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """How much of the promise was kept, and who was caught."""
        told = (
            [f"{100 * float(self.kept[0]):.0f} % of the promised gain was realised."]
            if bool(self.value[0].any())
            else []
        )
        return told + [
            f"The audit catches seller_{k}: it is paid nothing."
            for k in self.caught[0].nonzero()[:, 0].tolist()
        ]


class Deliver(Phase):
    """Judge deliveries, settle what is held, and turn the round into utility.

    At once a seller gets (1 - h) of its price; of the rest what ``release`` says for the realised
    gain over the promised one. Who is caught by an audit gets nothing. What is not paid goes back
    to the buyer.

    buyer:  money_per_accuracy (realised accuracy - baseline) - audits;
            seller: - its cost per row, see ``rows_given``
    release: as those of ``RELEASES``;   rows: of a delivery that an audit looks at;
        memory: weight of a round in reputations
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
        self.name = name
        self.distances, self.release, self.tolerance, self.rows = (
            distances,
            release,
            tolerance,
            rows,
        )
        self.labelling, self.audit_cost, self.fee, self.memory = labelling, audit_cost, fee, memory

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Delivered]:
        """Audit, pay, and value."""
        selected, realised, baseline = (
            floor.of(Selected),
            floor.of(TrainedOnPurchase).realised,
            floor.world.baseline,
        )
        caught = self._caught(floor)
        promised, reached = (selected.predicted - baseline)[:, None], (realised - baseline)[:, None]
        held = hold_back(
            selected.prices, selected.hold_back, promised, reached, release=self.release
        )
        at_once, released = (
            torch.where(caught[:, None], 0.0, money) for money in (held.at_once, held.released)
        )
        floor = self._settled(floor, at_once, released)
        value = floor.types[BUYER]["money_per_accuracy"] * reached
        audits = self.audit_cost * selected.audited.double().sum(1, keepdim=True)
        cost = floor.types[SELLER]["cost"] * rows_given(floor, self.labelling)
        terms = {"value": (BUYER, value), "audits": (BUYER, -audits), "cost": (SELLER, -cost)}
        for name, (role, part) in terms.items():
            floor = floor.term(self.named(name), role, part)
        kept = torch.where(promised > 0, (reached / promised.clamp(min=1e-9)).clamp(0.0, 1.0), 1.0)
        reputation = self._reputation(floor, kept, caught)
        types = {
            **floor.types[SELLER],
            "reputation": reputation,
            "last_paid": (at_once + released).sum(1),
        }
        floor = replace(floor, types={**floor.types, SELLER: types})
        everyone = {
            "value": floor.everyone(**{BUYER: value}),
            "cost": floor.everyone(**{BUYER: audits, SELLER: cost}),
            "reputation": floor.everyone(**{SELLER: reputation}),
        }
        return floor, own, Delivered(kept[:, 0], caught, **everyone)

    def _settled(self, floor: Floor, at_once: PerPair, released: PerPair) -> Floor:
        """Pay from what is held: sellers at once, sellers by result, the platform's fee, and
        the rest back to the buyer.
        """
        floor = floor.pay(self.named("price"), HELD, SELLER, at_once).pay(
            self.named("released"), HELD, SELLER, released
        )
        floor = floor.pay(
            self.named("fee"), HELD, PLATFORM, self.fee * (at_once + released).sum(2, keepdim=True)
        )
        return floor.pay(
            self.named("returned"), HELD, BUYER, torch.diag_embed(floor.cash(HELD).clamp(min=0))
        )

    def _caught(self, floor: Floor) -> Bool[Tensor, "markets sellers"]:
        """Who is audited and delivers other rows than its pilot was made of, beyond the tolerance.

        W(pilot, delivery) > tolerance * W(pilot, buyer's examples)
        Rows are compared with the pilot's own and not with the buyer's: noise may lie no farther
        off than honest rows do.
        """
        selected, offered = floor.of(Selected), floor.of(Offered)
        if not bool(selected.audited.any()):
            return selected.audited
        rows = stock(floor, offered, self.rows, delivered=True, pseudo=self.distances.pseudo)
        measures = self.distances.measures(
            floor, rows.first(MOST_MEASURED), torch.zeros_like(offered.conduct.spoof)
        )
        piloted = floor.of(Piloted)
        return selected.audited & (
            self.distances.between(piloted.forecast.measures, measures)
            > self.tolerance * piloted.apart
        )

    def _reputation(
        self,
        floor: Floor,
        kept: Float64[Tensor, "markets 1"],
        caught: Bool[Tensor, "markets sellers"],
    ) -> Float64[Tensor, "markets sellers"]:
        """Past reputation and how far this round's promise was kept, of those who sold; 0
        counts where one is caught.
        """
        old, sold = floor.types[SELLER]["reputation"], floor.of(Selected).points > 0
        new = torch.where(caught, 0.0, kept)
        return torch.where(sold, (1 - self.memory) * old + self.memory * new, old)


def rows_given(floor: Floor, labelling: float) -> Float64[Tensor, "markets sellers"]:
    """Rows that each seller has to pay for: different ones, without noise; what has no label, or a
    wrong one, saves its share.

    labelling: share of a row's cost that is its label
    """
    conduct, world = floor.of(Offered).conduct, floor.world
    rows = conduct.different(world.size, floor.of(Selected).points)
    return (
        rows
        * (1 - conduct.bait)
        * (1 - labelling * (1 - world.labelled_share * (1 - conduct.wrong)))
    )
