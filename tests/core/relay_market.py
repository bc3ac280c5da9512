"""A toy market of three stages and three unlike roles, for the tests: offer, reply, ship.

Every number can be worked out by hand. First the buyers' types are drawn (nobody moves). A seller
names a price; two buyers who see it buy or leave, and their money is held; the seller ships the
good or junk, and a carrier, where there is one, names its fee for each good that is shipped. A
buyer of type v who gets the good at price p has v - p; junk is worth nothing, and its price goes
back. A good costs the seller ``COST``. A market ends when buyer_0 storms out (``stay`` below -0.9),
after its round. Where the horizon is a cut, every round shows 0.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from marketenv.core import draws, rounds
from marketenv.core.fields import Choice, Field, Fields, Money
from marketenv.core.market import Market, Move, Outcome, People, Phase

COST, MOST_FEE = 0.1, 0.2
ROUND = Field("round", 1, 0.0, 1.0, "finished rounds / horizon; 0 where the horizon is a cut")
ORDERS = Field("orders", 1, 0.0, 2.0, "goods that were bought")
SHIPS = Choice("ships", options=("junk", "good"))


@dataclasses.dataclass(frozen=True)
class Drawn(Outcome):
    """The buyers' types [markets, buyers], which nobody but their owners sees."""

    types: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Offered(Outcome):
    """The price that the seller named [markets, 1]."""

    price: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Replied(Outcome):
    """Who takes the good [markets, buyers], in numbers over all agents too."""

    FACTS: ClassVar = ("takes",)
    bought: torch.Tensor
    takes: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Shipped(Outcome):
    """Whether the good was shipped [markets], and the carriers' fees [markets, carriers]."""

    good: torch.Tensor
    fees: torch.Tensor

    def story(self, agents):
        return ["The good is shipped." if bool(self.good[0]) else "Junk is shipped."]


class Draw(Phase):
    name, outcome = "draw", Drawn

    def act(self, floor, own, quotes, actions):
        return floor, own, Drawn(draws.uniform(draws.fold(floor.seeds, "type", floor.round), 2))


class Offer(Phase):
    name, outcome = "offer", Offered
    moves: ClassVar = {"seller": Move(Fields((ROUND,)), Fields((Money("price", most=1.0),)))}

    def show(self, floor, own, quotes):
        return {"seller": {"round": floor.played[:, None]}}

    def show_end(self, floor, own):
        return self.show(floor, own, None)

    def truthful(self, observation, move, keys):
        """Ask 1/2."""
        return move.write(observation, price=0.5)

    def act(self, floor, own, quotes, actions):
        price = self.moves["seller"].action.read(actions["seller"])["price"][..., 0]
        return floor, own, Offered(price)


class Peek(Offer):
    """An offer whose seller sees the buyers' types, so that its first observation differs from
    round to round.
    """

    moves: ClassVar = {
        "seller": Move(Fields((Field("types", 2, 0.0, 1.0), ROUND)), Offer.moves["seller"].action)
    }

    def show(self, floor, own, quotes):
        return {"seller": {"types": floor.of(Drawn).types[:, None], "round": floor.played[:, None]}}

    def show_end(self, floor, own):
        return {"seller": {"round": floor.played[:, None]}}


class Reply(Phase):
    """Its own memory: how often each buyer has bought [markets, buyers]."""

    name, outcome = "reply", Replied
    moves: ClassVar = {
        "buyer": Move(
            Fields(
                (
                    Field("type", 1, 0.0, 1.0),
                    Field("price", 1, 0.0, 1.0),
                    Field("times", 1, 0.0, 99.0),
                    ROUND,
                )
            ),
            Fields(
                (Field("take", text="buys where > 0"), Field("stay", text="storms out below -0.9"))
            ),
        )
    }

    def begin(self, floor):
        return torch.zeros(len(floor.seeds), 2)

    def quote(self, floor, own):
        return floor.of(Offered).price

    def show(self, floor, own, quotes):
        types, played = floor.of(Drawn).types, floor.played[:, None].expand(-1, 2)
        return {
            "buyer": {"type": types, "price": quotes.expand(-1, 2), "times": own, "round": played}
        }

    def truthful(self, observation, move, keys):
        """Say yes where the price is at most the type, and stay."""
        seen = move.observation.unpack(observation)
        return move.write(
            observation, take=torch.where(seen["type"] >= seen["price"], 1.0, -1.0), stay=1.0
        )

    def act(self, floor, own, quotes, actions):
        says = self.moves["buyer"].action.read(actions["buyer"])
        takes = (says["take"][..., 0] > 0) & (floor.purse("buyer") >= quotes)
        floor = floor.pay("hold", "buyer", "escrow", torch.diag_embed(takes * quotes))
        floor = dataclasses.replace(floor, ended=floor.ended | (says["stay"][:, 0, 0] < -0.9))
        return floor, own + takes, Replied(takes, floor.everyone(buyer=takes.double()))


class Ship(Phase):
    name, outcome = "ship", Shipped
    moves: ClassVar = {
        "seller": Move(Fields((ORDERS, ROUND)), Fields((SHIPS,))),
        "carrier": Move(Fields((ORDERS,)), Fields((Money("fee", most=MOST_FEE),))),
    }

    def show(self, floor, own, quotes):
        orders = floor.of(Replied).bought.double().sum(1, keepdim=True)
        carriers = orders.expand(-1, floor.count("carrier"))
        return {
            "seller": {"orders": orders, "round": floor.played[:, None]},
            "carrier": {"orders": carriers},
        }

    def truthful(self, observation, move, keys):
        """Ship the good, and carry it for half of the largest fee."""
        return (
            move.write(observation, ships="good")
            if move.name == "seller"
            else move.write(observation, fee=MOST_FEE / 2)
        )

    def act(self, floor, own, quotes, actions):
        good = SHIPS.read(actions["seller"])[:, 0] == SHIPS.number("good")
        bought, types, held = floor.of(Replied).bought, floor.of(Drawn).types, floor.cash("escrow")
        fees = (
            self.moves["carrier"].action.read(actions["carrier"])["fee"][..., 0]
            * bought.sum(1, keepdim=True)
            * good
        )
        fees = fees.minimum(floor.purse("seller") / max(floor.count("carrier"), 1))
        floor = floor.pay("price", "escrow", "seller", (held * good)[..., None])
        floor = floor.pay("refund", "escrow", "buyer", torch.diag_embed(held * ~good))
        floor = floor.pay("fee", "seller", "carrier", fees[:, None])
        floor = floor.term("value", "buyer", bought * types * good)
        floor = floor.term("cost", "seller", -COST * bought.double().sum(1, keepdim=True) * good)
        return floor, own, Shipped(good[:, 0], fees)


def relay_market(horizon=3, cash=1.0, cut=False, carriers=0, offer=Offer):
    people = People(
        roles={"seller": 1, "buyer": 2, "carrier": carriers},
        accounts={"escrow": 2},
        empty=("escrow",),
        cash=cash,
        credit=0.0,
    )
    return Market(
        people, (Draw(), offer(), Reply(), Ship()), horizon=horizon, cut=cut, name="relay"
    )


# by field of an action
MEANT = {"price": 0.5, "take": 1.0, "stay": 1.0, "ships": "good", "fee": 0.1}


def moves(market, now, **meant):
    """What the movers do now, in words: ``moves(market, now, price=0.25, take=[1, -1])``; a
    list has a number an agent.
    """
    said, seen = MEANT | meant, rounds.observe(market, now)

    def one(role, move):
        given = {name: said[name] for name in move.action.slices}
        rows = {k: torch.tensor(v)[:, None] if isinstance(v, list) else v for k, v in given.items()}
        return move.write(seen[role], **rows)

    return {role: one(role, move) for role, move in rounds.stage_of(market, now).moves.items()}


def a_round(market, now, **meant):
    """Play the stages of a round that are left: where the markets stand then, and the report."""
    report = None
    while report is None:
        now, report = rounds.advance(market, now, moves(market, now, **meant))
    return now, report
