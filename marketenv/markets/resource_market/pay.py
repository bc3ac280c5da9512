"""The phase in which agents are paid; the leader's gain and the cost of work become utility."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.markets.resource_market.audit import Audited
from marketenv.markets.resource_market.commit import ESCROW, Committed
from marketenv.markets.resource_market.compute import Computed
from marketenv.markets.resource_market.contribute import FEES, Contributed
from marketenv.markets.resource_market.match import Matched
from marketenv.markets.resource_market.moves import CENTRE, LEADER, OWNER, payers_move
from marketenv.markets.resource_market.own_parts import divided
from marketenv.markets.resource_market.train_matched import TrainedMatched
from marketenv.mechanisms import proportional_payments

PerOwner = Float64[Tensor, "markets owners"]


@dataclass(frozen=True)
class Paid(Outcome):
    """What agents are paid for.

    quality:   by which each owner is paid                            float64 [markets, owners]
    kept:      share of its commitment that the leader pays, 1 with escrow           [markets]
    counted:   that quality over all agents                           float64 [markets, agents]
    gain:      of the leader, money, over all agents                  float64 [markets, agents]
    work_cost: of the centres, money, over all agents                 float64 [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("counted", "gain", "work_cost")

    quality: PerOwner
    kept: Float64[Tensor, "markets"]
    counted: Float64[Tensor, "markets agents"]
    gain: Float64[Tensor, "markets agents"]
    work_cost: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """What the contributions are worth to the leader."""
        return [f"The contributions are worth {float(self.gain[0].sum()):.4f} to the leader."]


class Pay(Phase):
    """Owners share the payment by x times quality, centres get fees, and the rest goes back.

    U_leader = alpha k ln(1 + sum of true q) - what it pays
               (gain ``accuracy``: the first term is alpha (accuracy after - before))
    U_owner  = its part of the payment - its fees
    U_centre = its fees - the cost of its work

    gain:     ``formula`` or ``accuracy``;   fees: as those of ``COMPUTE_FEES``
    by_audit: whether owners are paid by the audit's quality; else by the quality that they report
    escrow:   whether the payment is held;   worth: alpha k, money
    trained, audited: whether the chain trains models, and audits data
    Source: U_s, U_n, U_m of arXiv 2501.14588, with constants of the authors' code. We differ: the
    gain counts true contributions.
    """

    name, outcome = "pay", Paid

    def __init__(
        self,
        *,
        gain: str,
        alpha: float,
        worth: float,
        fees: Callable[[Tensor, Tensor, Tensor], Tensor],
        by_audit: bool,
        escrow: bool,
        trained: bool,
        audited: bool,
        name: str = "pay",
    ) -> None:
        self.name, self.gain, self.alpha, self.worth, self.fees = name, gain, alpha, worth, fees
        self.by_audit, self.escrow, self.trained, self.audited = by_audit, escrow, trained, audited
        self.moves = {} if escrow else {LEADER: payers_move(worth)}

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """The leader's commitment, and the accuracy of its model."""
        money = floor.purse(LEADER)
        fields = {
            "eta": floor.of(Committed).eta[:, None],
            "accuracy": torch.zeros_like(money),
            "money": money,
            "round": floor.played[:, None],
        }
        if self.trained:
            fields["accuracy"] = floor.of(TrainedMatched).realised[:, None]
        return {LEADER: fields}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Keep the commitment."""
        return move.write(observation, pay=1.0)

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Paid]:
        """Pay owners, centres and the leader what is due to them."""
        # data that no centre computes are worth nothing, owe nothing and are not paid
        owners, served = floor.of(Contributed), served_owners(floor)
        known = floor.of(Audited).quality if self.audited else owners.reported
        quality = known if self.by_audit else owners.reported
        kept = self._kept(floor, actions)
        floor = self._paid(floor, served * owners.x * quality, kept)
        gain = self._gain(floor, served * owners.x * owners.true)
        floor = floor.term(self.named("gain"), LEADER, gain)
        floor, cost = pay_centres(floor, self, self.fees)
        types = {"standing": known, "last_share": owners.x, "identities": owners.identities}
        floor = replace(floor, types={**floor.types, OWNER: {**floor.types[OWNER], **types}})
        outcome = Paid(
            quality=quality,
            kept=kept,
            counted=floor.everyone(**{OWNER: quality}),
            gain=floor.everyone(**{LEADER: gain}),
            work_cost=floor.everyone(**{CENTRE: cost}),
        )
        return floor, own, outcome

    def _kept(self, floor: Floor, actions: Mapping[str, Tensor]) -> Float64[Tensor, "markets"]:
        """The share of its commitment that the leader pays."""
        if self.escrow:
            return torch.ones_like(floor.of(Committed).eta)
        return self.moves[LEADER].action.read(actions[LEADER])["pay"][:, 0, 0].clamp(0.0, 1.0)

    def _paid(self, floor: Floor, q: PerOwner, kept: Float64[Tensor, "markets"]) -> Floor:
        """Divide the payment by q; with an escrow, the rest goes back to the leader."""
        payer, eta = ESCROW, floor.of(Committed).eta
        if not self.escrow:
            payer, eta = LEADER, (kept * eta).minimum(floor.purse(LEADER)[:, 0])
        payments = proportional_payments(eta, q)[:, None]
        floor = floor.pay(self.named("payment"), payer, OWNER, payments)
        if not self.escrow:
            return floor
        rest = floor.cash(ESCROW).clamp(min=0)[..., None]
        return floor.pay(self.named("refund"), ESCROW, LEADER, rest)

    def _gain(self, floor: Floor, q: PerOwner) -> Float64[Tensor, "markets 1"]:
        """The leader's gain, money."""
        if self.gain == "formula":
            return self.worth * q.sum(1, keepdim=True).log1p()
        trained = floor.of(TrainedMatched)
        return self.alpha * (trained.realised - trained.before)[:, None]


def served_owners(floor: Floor) -> PerOwner:
    """1 for each owner whose data a centre computes, and 0 for the others."""
    return (floor.of(Matched).centre >= 0).double()


def pay_centres(
    floor: Floor, phase: Phase, fees: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> tuple[Floor, Float64[Tensor, "markets centres"]]:
    """Give centres what owners owe them, and owners what is left of what was held.

    Returns the cost of the centres' work, money, which is a term of their utility.
    """
    matched, computed = floor.of(Matched), floor.of(Computed)
    charge = served_owners(floor) * floor.of(Contributed).charge
    fee = divided(fees, charge, computed.work, matched.centre)
    floor = floor.pay(phase.named("fee"), FEES, CENTRE, fee)
    left = torch.diag_embed(floor.cash(FEES).clamp(min=0))
    floor = floor.pay(phase.named("fee_back"), FEES, OWNER, left)
    cost = matched.trade[:, None] * computed.cost
    return floor.term(phase.named("work"), CENTRE, -cost), cost
