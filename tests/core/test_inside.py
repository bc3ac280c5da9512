"""How the floor of a market looks to the phases of a smaller one."""

import gc
import pickle

import torch

from marketenv.core import rounds, tree
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
