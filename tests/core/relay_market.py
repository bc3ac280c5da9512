"""A toy market of two stages, for the tests: a seller names a price, then two buyers who see it buy or leave.

Every number can be worked out by hand: seller pays nothing for its good, a buyer of type v who takes it at price p gets
v - p. A market ends at once when buyer_0 storms out (a second action below -0.9). Where the horizon is a cut, every round
shows 1/2.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from marketenv.core import draws
from marketenv.core.fields import Field, Fields, Money
from marketenv.core.market import Report, Role, Stage
from marketenv.core.policy import uniform_random
from marketenv.core.transfers import Ledger, net


@dataclasses.dataclass(frozen=True)
class RelayState:
    seeds: torch.Tensor
    round: torch.Tensor
    ledger: Ledger


@dataclasses.dataclass(frozen=True)
class Offer:
    """Stage one: the buyers' types [markets, buyers], which nobody but their owners sees."""

    types: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Reply:
    """Stage two: the price that the seller named in stage one [markets]."""

    types: torch.Tensor
    price: torch.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelayReport(Report):
    INFO: ClassVar[tuple[str, ...]] = ("utility", "cash")
    utility: torch.Tensor
    cash: torch.Tensor


def truthful(observation, role, keys):
    """Sellers ask 1/2; buyers say yes where the price is below their type, and stay."""
    if role.name == "seller":
        return role.write(observation, price=0.5)
    seen = role.observation.unpack(observation)
    return role.write(observation, take=torch.where(seen["type"] >= seen["price"], 1.0, -1.0), stay=1.0)


class RelayMarket:
    report_type: ClassVar[type[Report]] = RelayReport
    stages = (Stage("offer", ("seller",)), Stage("reply", ("buyer",)))
    policies: ClassVar = {"truthful": truthful, "random": uniform_random}

    def __init__(self, horizon=3, cash=1.0, cut=False):
        self.horizon, self.cash, self.cut, self.device = horizon, cash, cut, torch.device("cpu")
        turn = Field("turn", 1, 0.0, 1.0, "1 where oneself is to move now")
        when = Field("round", 1, 0.0, 1.0, "number of this round / (horizon + 1); 1/2 where the horizon is a cut")
        seller = Role(
            "seller",
            1,
            Fields((turn, when)),
            Fields((Money("price", most=1.0),)),
        )
        sees = Fields((turn, Field("type", 1, 0.0, 1.0), Field("price", 1, 0.0, 1.0, "0 until it is named"), when))
        does = Fields((Field("take", text="buys where > 0"), Field("stay", text="storms out below -0.9")))
        self.roles = (seller, Role("buyer", 2, sees, does))

    def reset(self, seeds):
        cash = torch.full((len(seeds), 3), self.cash, dtype=torch.float64)
        return RelayState(seeds, torch.zeros_like(seeds), Ledger(cash, torch.zeros_like(cash)))

    def quote(self, state, past):
        if not past:
            return Offer(draws.uniform(draws.fold(state.seeds, "type", state.round), 2))
        ((offer, actions),) = past
        return Reply(offer.types, self.roles[0].action.read(actions[:, 0])["price"][:, 0])

    def observe(self, state, past, quotes):
        seen = torch.zeros(len(state.seeds), 3, 4)
        if quotes is not None:
            seen[:, 0, 0], seen[:, 1:, 0] = float(not past), float(len(past) == 1)
            seen[:, 1:, 1] = quotes.types.float()
        seen[:, 0, 1] = 0.5 if self.cut else (state.round + 1) / (self.horizon + 1)
        seen[:, 1:, 3] = seen[:, :1, 1]
        if isinstance(quotes, Reply):
            seen[:, 1:, 2] = quotes.price.float()[:, None]
        return seen

    def clear(self, state, past):
        _, (reply, actions) = past
        price = reply.price[:, None].expand(-1, 2)
        takes = (actions[:, 1:, 0] > 0) & (state.ledger.purse[:, 1:] >= price)
        transfers = torch.zeros(len(price), 3, 3, dtype=torch.float64)
        transfers[:, 1:, 0] = takes * price
        ledger = state.ledger.settle(transfers)
        utility = net(transfers)
        utility[:, 1:] += takes * reply.types
        terminated = actions[:, 1, 1] < -0.9
        new = RelayState(state.seeds, state.round + 1, ledger)
        report = RelayReport(
            rewards=utility, transfers=transfers, terminated=terminated, seconds={}, utility=utility, cash=ledger.cash
        )
        return new, report
