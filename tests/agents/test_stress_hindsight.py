"""Hindsight where no breakpoints are named (options in all combinations, and the truth), and
what a phase may name.
"""

import dataclasses

import pytest
import torch

from agents.lineups import find_profile
from agents.stress import ex_post_regret
from agents.stress.exact import COMBINATIONS, _options
from marketenv.core.fields import Choice, Field, Fields, Money
from marketenv.core.market import Market, Move, Outcome, People, Phase

SEEN = Fields((Field("round", 1, 0.0, 1.0),))
CARGO = Choice("cargo", 2, options=("corn", "salt", "wine"))
FEE = Money("fee", most=1.0)
SEEDS = torch.arange(5)


class Load(Phase):
    """A carrier loads two holds; only the wanted pair in this order, at the wanted fee, is
    worth 1.
    """

    name, moves = "load", {"carrier": Move(SEEN, Fields((CARGO, FEE)))}
    wanted, fee = (0.0, 2.0), 0.0

    def show(self, floor, own, quotes):
        return {"carrier": {"round": floor.played[:, None]}}

    def truthful(self, observation, move, keys):
        """Corn and wine at a fee between the points of a grid."""
        cargo = torch.tensor([self.wanted]).expand(len(observation), 2)
        return move.write(observation, cargo=cargo, fee=self.fee)

    def act(self, floor, own, quotes, actions):
        meant = self.moves["carrier"].action.read(actions["carrier"])
        right = (meant["cargo"] == torch.tensor(self.wanted)).all(2) & (
            (meant["fee"] - self.fee).abs()[..., 0] < 1e-6
        )
        return floor.term("value", "carrier", right.double()), own, Outcome()


def market_of(phase):
    return Market(People(roles={"carrier": 1}), (phase,), horizon=1, name="cargo")


def regret(market, **how):
    """Of a carrier that loads corn twice for nothing."""

    def plays(observation, move, keys):
        return move.write(observation, cargo="corn", fee=0.0)

    return ex_post_regret(
        market, find_profile(market, {"carrier": plays}), "carrier_0", SEEDS, points=5, **how
    )


def test_options_of_several_numbers_are_tried_in_all_combinations():
    """Corn and wine alone earn 1: no option for both holds does. The truth is another pair
    here, so that it cannot help.
    """

    class Elsewhere(Load):
        def truthful(self, observation, move, keys):
            return move.write(observation, cargo="salt", fee=0.0)

    found = regret(market_of(Elsewhere()))
    assert found.regret.eq(1).all() and not found.exact
    assert found.reports["cargo"].eq(torch.tensor(Load.wanted)).all()
    # the cargo stays as it was
    assert regret(market_of(Elsewhere()), fields=("fee",)).regret.eq(0).all()


def test_the_truth_is_a_candidate():
    """A fee of 1/3 together with a pair of goods is no point of any line."""

    class Odd(Load):
        fee = 1 / 3

    assert regret(market_of(Odd())).regret.eq(1).all()
    # the truth of the cargo at the old fee
    assert regret(market_of(Odd()), fields=("cargo",)).regret.eq(0).all()


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((1, 2), 3**3),  # all together
        ((2, 3), 3**2 + 3**3),  # 3**5 > 64: field by field
        ((4,), 3 * 4),  # 3**4 > 64: number by number
        ((), 0),
    ],
)
def test_many_options_are_combined_in_parts(sizes, count):
    choices = [Choice(f"c{k}", size, options=("a", "b", "c")) for k, size in enumerate(sizes)]
    box = Fields((Field("x"), *choices))
    own = torch.full((2, box.dim), 0.25)
    tried = _options(own, box, None)
    assert sum(part.shape[1] for part in tried) == count and COMBINATIONS == 64
    for part in tried:
        assert part[..., 0].eq(0.25).all() and len(part[0].unique(dim=0)) == part.shape[1]
    assert _options(own, box, ("x",)) == []


@dataclasses.dataclass(frozen=True)
class Naming(Load):
    """Names whatever it is told."""

    named: object

    def breakpoints(self, floor, own, quotes, actions, who, fields):
        return self.named


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (torch.zeros(5, 3), r"came of shape \[5, 3\] float32, wanted \[5, 1, 3\]"),
        (torch.zeros(3, 2, 3), r"wanted \[5, 2, 3\]"),
        (torch.zeros(5, 2, 1), r"wanted \[5, 2, 3\]"),
        (torch.zeros(5, 0, 3), r"wanted \[5, 1, 3\]"),
        (torch.zeros(5, 2, 3, dtype=torch.bool), "compute it as float32"),
        ([[0.0] * 3], "as a list"),
        (torch.full((5, 1, 3), 1.5), "'cargo' is 1.5 at index"),
        (torch.tensor([0.0, 0.0, torch.nan]).expand(5, 1, 3), "'fee' is nan at index"),
        (torch.tensor([0.0, 0.0, torch.inf]).expand(5, 1, 3), "'fee' is inf at index"),
    ],
    ids=["axis", "markets", "width", "none", "bool", "list", "outside", "nan", "inf"],
)
def test_what_a_phase_names_is_checked_by_its_name(named, words):
    with pytest.raises(ValueError, match="breakpoints of phase 'load'.*" + words):
        regret(market_of(Naming(named)))


def test_what_a_phase_names_rightly_is_believed():
    """In float64 too, as everywhere: the pair that is worth 1."""
    right = CARGO.write(torch.tensor(Load.wanted)).double()
    found = regret(market_of(Naming(torch.cat([right, -torch.ones(1)]).expand(5, 1, 3).double())))
    assert found.exact and found.regret.eq(1).all()
