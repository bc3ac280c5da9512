"""Deviations: maps of reports, in families with parameters, alone and many at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.stress import KINDS, Deviation, Family, families, together
from marketenv import make_market

DOUBLE = make_market("reference_v0", game="double_auction")
TRADING = make_market("parameter_trading_v0", n_agents=3, max_cycles=1)
BUYER, TRADER = DOUBLE.roles[0], TRADING.roles[0]


def report(shares):
    """A policy that reports given shares of the box, whatever it sees."""
    return lambda observation, role, keys: (2 * torch.tensor(shares) - 1).expand(len(observation), -1)


def played(deviation, role, rows=1):
    """Shares of the box that a deviation reports."""
    return (deviation(torch.zeros(rows, role.observation.dim), role, torch.arange(rows)) + 1) / 2


def of(role, name, base, parameters):
    return Deviation(report(base), families(role)[name], torch.tensor(parameters, dtype=torch.float64))


def test_every_family_of_every_field_is_named():
    assert list(families(BUYER)) == ["scale price", "shift price", "affine price", "knots price"]
    assert list(families(TRADER, ("scale",))) == ["scale bid", "scale ask", "scale effort"]
    with pytest.raises(ValueError, match="Did you mean 'scale'"):
        families(BUYER, ("scal",))


@pytest.mark.parametrize(
    ("name", "parameters", "share"),
    [
        ("scale price", [[0.5]], 0.3),  # .5 * .6
        ("shift price", [[0.25]], 0.85),  # .6 + .25
        ("affine price", [[0.1, 0.5]], 0.4),  # .1 + .5 * .6
        ("knots price", [[0.0, 0.1, 0.2, 0.7, 1.0]], 0.4),  # .6 lies two fifths of the way from .5 (.2) to .75 (.7)
        ("scale price", [[2.0]], 1.0),  # 1.2 is clipped to the box
    ],
)
def test_what_each_family_makes_of_three_fifths(name, parameters, share):
    assert float(played(of(BUYER, name, [0.6], parameters), BUYER)) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_the_identity_changes_nothing(kind, shares):
    for family in families(TRADER, (kind,)).values():
        kept = played(Deviation(report(shares), family, torch.tensor([family.identity]).double()), TRADER)
        torch.testing.assert_close(kept[0], torch.tensor(shares), atol=1e-6, rtol=0)


def test_a_family_changes_its_own_field_alone():
    """A trader's action is two bids, an ask and an effort."""
    changed = played(of(TRADER, "shift ask", [0.1, 0.2, 0.3, 0.4], [[0.5]]), TRADER)
    torch.testing.assert_close(changed[0], torch.tensor([0.1, 0.2, 0.8, 0.4]))


def test_several_rows_play_run_by_run():
    """Six markets and two rows of parameters: the first three are scaled by .5, the last three by 1.5."""
    both = played(of(BUYER, "scale price", [0.4], [[0.5], [1.5]]), BUYER, rows=6)
    torch.testing.assert_close(both[:, 0], torch.tensor([0.2] * 3 + [0.6] * 3))


def test_families_together_are_applied_in_turn():
    both = together([families(TRADER)["scale bid"], families(TRADER)["shift effort"]])
    assert (both.low, both.high, both.identity) == ((0.0, -1.0), (2.0, 1.0), (1.0, 0.0))
    changed = played(Deviation(report([0.2, 0.4, 0.0, 1.0]), both, torch.tensor([[0.5, -0.75]]).double()), TRADER)
    torch.testing.assert_close(changed[0], torch.tensor([0.1, 0.2, 0.0, 0.25]))


def test_a_line_holds_the_identity_and_wants_one_parameter():
    line = families(BUYER)["scale price"].line(4)[:, 0]
    torch.testing.assert_close(line, torch.tensor([0, 2 / 3, 1, 4 / 3, 2]).double())
    with pytest.raises(ValueError, match="2 parameters; a line wants a family of one"):
        families(BUYER)["affine price"].line(4)


@pytest.mark.parametrize("points", range(2, 42))
@pytest.mark.parametrize("name", ["scale price", "shift price"])
def test_a_line_never_plays_truth_twice(name, points):
    """torch's seven points of [0, 2] have 1 + 2e-16 among them, which is the identity but for rounding."""
    family = families(BUYER)[name]
    line = family.line(points)[:, 0]
    assert ((line - family.identity[0]).abs() < 1e-6).sum() == 1 and (line.diff() > 1e-6).all()


def test_a_family_of_ones_own_may_read_the_observation():
    """Bid the truth below a value of one half and nothing above it."""
    rule = Family(
        "stay small",
        (0.0,),
        (1.0,),
        (1.0,),
        lambda actions, parameters, observation, role: torch.where(observation[:, :1] <= parameters, actions, -1.0),
    )
    values = torch.tensor([[0.2], [0.8]])
    seen = BUYER.observation.pack(type=values, last_price=torch.zeros(2, 1), round=torch.zeros(2, 1))
    bids = Deviation(DOUBLE.policies["truthful"], rule, torch.tensor([[0.5]]).double())(seen, BUYER, torch.arange(2))
    torch.testing.assert_close((bids + 1) / 2, torch.tensor([[0.2], [0.0]]))
