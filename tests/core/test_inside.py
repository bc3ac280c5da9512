"""How the floor of a market looks to the phases of a smaller one."""

import gc
import pickle

import pytest
import torch

from marketenv.core import rounds, tree
from marketenv.core.inside import Inside
from marketenv.core.joined import joined
from marketenv.core.people import People
from marketenv.markets.table import make_market

SEEDS = torch.arange(2)


def contest(n_developers=3):
    market = make_market(
        "marketplace_v0", learner=None, trade=None, n_developers=n_developers, n_owners=2
    )
    return market, market.phases[0].inside


def test_one_floor_has_its_copies_made_once_and_another_floor_anew():
    market, inside = contest()
    floor = rounds.begin(market, SEEDS).floor
    other = floor.but(round=floor.round + 1)
    first = inside.inner(floor)
    assert inside.inner(floor) is first
    assert torch.equal(inside.inner(other).round, first.round + 1)
    anew = inside.inner(floor)
    assert anew is not first
    for name, leaf in tree.leaves(first).items():
        assert torch.equal(leaf, tree.leaves(anew)[name])


def test_the_copies_of_a_floor_go_with_it():
    market, inside = contest()
    now = rounds.begin(market, SEEDS)
    inside.inner(now.floor)
    pickle.dumps((market, now))
    del now
    gc.collect()
    assert not inside._last


def test_every_copy_draws_for_itself_and_the_first_one_as_the_market():
    market, inside = contest()
    seeds = inside.inner(rounds.begin(market, SEEDS).floor).seeds.view(2, 3)
    assert torch.equal(seeds[:, 0], SEEDS)
    assert len(seeds.unique()) == 6


def test_all_copies_stand_in_the_world_of_their_market_which_is_laid_out_once():
    market = make_market("marketplace_v0", n_developers=2, data_options={"max_examples": 300})
    inside = market.phases[0].inside
    floor = rounds.begin(market, SEEDS).floor
    other = floor.but(round=floor.round + 1)
    world = inside.inner(floor).world
    assert world is inside.inner(other).world
    assert world.at.tolist() == [0, 0, 1, 1]


# --- the people of several markets ----------------------------------------------------------------


def types_of(role, name, value):
    """What a market begins with: one type of a role."""

    def furnish(floor):
        number = torch.full_like(floor.cash(role), value)
        return floor.but(types={**floor.types, role: {name: number}})

    return furnish


def two_insides():
    """Three firms lead a market with two accounts each; then all of them meet in another one."""
    hiring = People(
        roles={"boss": 1, "worker": 2},
        accounts={"wages": 2, "bank": 1, "unused": 1},
        empty=("wages", "unused"),
        operators=("bank",),
        furnish=types_of("boss", "wealth", 1.0),
    )
    fair = People(
        roles={"trader": 3}, accounts={"till": 1}, furnish=types_of("trader", "luck", 2.0)
    )
    names = {"boss": "firm", "worker": "worker", "wages": "pay", "bank": "bank"}
    return (
        Inside(name="hiring", people=hiring, names=names, alone="boss", copies=3),
        Inside(name="fair", people=fair, names={"trader": "firm", "till": "till"}),
    )


def test_joined_people_have_the_accounts_of_all_once_a_copy_and_begin_with_what_all_begin_with():
    one, other = two_insides()
    people = joined((one, other, one), roles={"firm": 3, "worker": 2}, cash=4.0)
    assert people.accounts == {"pay": 2 * 3, "bank": 3, "till": 1}  # rows x copies; not "unused"
    assert (people.empty, people.operators, people.cash) == (("pay",), ("bank",), 4.0)
    floor = people.open(SEEDS, horizon=1, cut=False)
    types = floor.types["firm"]
    assert types["wealth"].tolist() == [[1.0] * 3] * 2
    assert types["luck"].tolist() == [[2.0] * 3] * 2
    assert floor.cash("pay").shape == (2, 6)


def test_joined_people_refuse_what_people_refuse():
    with pytest.raises(TypeError, match="roles"):
        joined(two_insides())
    with pytest.raises(ValueError, match="no name twice"):
        joined(two_insides(), roles={"firm": 3, "till": 1})
