"""A thousand sellers and one buyer: memory grows with what there is to say, not with the square
of the agents.
"""

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from marketenv.core import draws, rounds, tree
from marketenv.core.fields import Field, Fields, Money
from marketenv.core.market import Market, Move, Outcome, People, Phase, agent_names

SELLERS, SIGNALS, MARKETS = 1000, 5, 2
# numbers of a market in the widest thing that is said: what the buyer sees
LARGEST = SIGNALS * SELLERS


@dataclasses.dataclass(frozen=True)
class Bought(Outcome):
    """Whose good the buyer takes [markets, sellers]."""

    takes: torch.Tensor


class Fair(Phase):
    """Sellers name a price; the buyer sees five signals of every good and names the most that it
    pays for one.

    A good costs its seller the last signal, and is worth the mean of all to the buyer.
    """

    name, outcome = "fair", Bought
    moves: ClassVar = {
        "buyer": Move(
            Fields((Field("signals", LARGEST, 0.0, 1.0),)), Fields((Money("most", most=1.0),))
        ),
        "seller": Move(Fields((Field("cost", 1, 0.0, 1.0),)), Fields((Money("ask", most=1.0),))),
    }

    def quote(self, floor, own):
        return draws.uniform(floor.keys("signals"), SELLERS, SIGNALS).float()

    def show(self, floor, own, quotes):
        return {
            "buyer": {"signals": quotes.flatten(1)[:, None]},
            "seller": {"cost": quotes[..., -1]},
        }

    def truthful(self, observation, move, keys):
        """Ask the cost; pay at most 1/2."""
        return move.write(
            observation, **({"most": 0.5} if move.name == "buyer" else {"ask": observation})
        )

    def act(self, floor, own, quotes, actions):
        most = self.moves["buyer"].action.read(actions["buyer"])["most"][..., 0]
        asks = self.moves["seller"].action.read(actions["seller"])["ask"][..., 0]
        takes = asks <= most
        floor = floor.pay("price", "buyer", "seller", (asks * takes)[:, None])
        floor = floor.term("value", "buyer", (quotes.double().mean(2) * takes).sum(1, keepdim=True))
        return floor.term("cost", "seller", -quotes[..., -1].double() * takes), own, Bought(takes)


def fair():
    return Market(People(roles={"buyer": 1, "seller": SELLERS}), (Fair(),), name="fair")


class Widest(TorchDispatchMode):
    """The most numbers that any operation gave back in one tensor of its own."""

    numbers = 0

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        given = call(*args, **(kwargs or {}))
        for one in given if isinstance(given, tuple | list) else (given,):
            # a view, such as an expanded one, holds no more than its storage
            if isinstance(one, torch.Tensor):
                self.numbers = max(
                    self.numbers,
                    min(one.numel(), one.untyped_storage().nbytes() // one.element_size()),
                )
        return given


def played(market):
    """Where the markets stand, what is seen and done, and the report of their one round."""
    now = rounds.begin(market, torch.arange(MARKETS))
    seen, actions = (
        rounds.observe(market, now),
        rounds.act(market, dict.fromkeys(agent_names(market), market.policies["truthful"]), now),
    )
    return now, seen, actions, rounds.advance(market, now, actions)[1]


def test_nothing_is_as_large_as_agents_times_agents_or_padded():
    """The widest thing is what the buyer sees, 5,000 numbers; padded to it, what all see would
    be 1,001 times as much.
    """
    with Widest() as widest:
        *_, report = played(fair())
        report.infos()
    # counters of the draws are int64 pairs before they are numbers: up to two for each
    assert MARKETS * LARGEST <= widest.numbers <= 2 * MARKETS * LARGEST < MARKETS * SELLERS**2
    assert report.transfers.shape == (MARKETS, SELLERS + 1, SELLERS + 1)  # for who asks


def test_a_market_of_a_thousand_sellers_is_held_in_an_eighth_of_a_mebibyte():
    now, seen, actions, report = played(fair())
    assert {role: tuple(values.shape[1:]) for role, values in seen.items()} == {
        "buyer": (1, LARGEST),
        "seller": (SELLERS, 1),
    }
    held = sum(tree.size(part) for part in (now, seen, actions, report)) / MARKETS
    quotes_and_seen = 4 * (2 * LARGEST + SELLERS)
    each = 8 * (SELLERS + 1)  # a number an agent
    # the books (cash, credit, net) before and after, rewards, payments, value and cost; asks;
    # presence; who is bought from
    wanted = (
        quotes_and_seen
        + 6 * each
        + each
        + 8 * SELLERS
        + each
        + 4 * (SELLERS + 1)
        + (SELLERS + 1)
        + SELLERS
    )
    assert held == pytest.approx(wanted, abs=100)  # seeds, rounds, ends
    assert held < 2**20 / 8


def test_the_round_is_worked_out_alike_for_every_market_of_the_batch():
    """Costs are uniform on [0, 1], and whoever costs at most 1/2 sells at its cost: half of the
    sellers, for a quarter each.
    """
    *_, report = played(fair())
    assert report.rewards[:, 1:].abs().max() < 1e-6  # an ask is the cost, to float32
    takes = report.of(Bought).takes.double()
    # 2,000 draws: three deviations of .5 / sqrt(2000) are .034
    assert takes.mean() == pytest.approx(0.5, abs=0.05)
    assert report.paid[:, 0].mean() / SELLERS == pytest.approx(1 / 8, abs=0.02)
