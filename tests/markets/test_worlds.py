"""Worlds: one a distinct seed, shared by the markets of a batch, and always what their seeds
would open anew.
"""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.lineups import play
from marketenv import make_market
from marketenv.core import phase as phases
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import Market, Phase, agent_names
from marketenv.core.shards import Shards
from marketenv.data.linear import SyntheticLinear
from marketenv.data.partitioned import PartitionedSource
from marketenv.learners import LEARNERS, Training
from marketenv.markets.worlds import first_named

SMALL = {"dimension": 3, "examples": (4, 6, 5), "validation_size": 9, "test_size": 7}
WHOLE = Training(learning_rate=0.1, batch_size=None, steps=2)
BATCHES = Training(learning_rate=0.1, batch_size=4, steps=2)


class OwnLinear(type(LEARNERS["linear"]((3,), 1, "regression", WHOLE))):
    """A learner of one's own: what it makes of data is laid out anew for other owners."""


CASES = {
    "digits": ("parameter_trading_v0", {"n_agents": 3, "learner_options": {"hidden": (4,)}}),
    "linear": (
        "parameter_trading_v0",
        {"n_agents": 3, "data": "linear", "learner": "linear", "data_options": SMALL},
    ),
    "linear data, mlp": (
        "parameter_trading_v0",
        {
            "n_agents": 3,
            "data": "linear",
            "learner_options": {"hidden": (4,)},
            "data_options": SMALL,
            "training": BATCHES,
        },
    ),
    "own learner": (
        "parameter_trading_v0",
        {
            "n_agents": 3,
            "data": "linear",
            "learner": OwnLinear((3,), 1, "regression", WHOLE),
            "data_options": SMALL,
        },
    ),
    "sharing": ("model_sharing_v0", {"n_agents": 3, "learner_options": {"hidden": (4,)}}),
    "sharing, drift": (
        "model_sharing_v0",
        {"n_agents": 3, "learner_options": {"hidden": (4,)}, "data_drift": 0.4},
    ),
    "sharing, linear": (
        "model_sharing_v0",
        {
            "n_agents": 3,
            "data": "linear",
            "learner": "linear",
            "data_options": SMALL,
            "training": WHOLE,
        },
    ),
}


@pytest.fixture(scope="module")
def market():
    """Each case's market, built once: a market holds nothing that its rounds change."""
    built = {}

    def of(case):
        if case not in built:
            name, config = CASES[case]
            built[case] = make_market(name, max_cycles=3, **config)
        return built[case]

    return of


@pytest.fixture
def opened(monkeypatch):
    """The seeds of every world that is opened, in order."""
    seeds = []
    for source in (PartitionedSource, SyntheticLinear):
        real = source.federation
        monkeypatch.setattr(
            source,
            "federation",
            lambda self, keys, real=real: (seeds.extend(keys.tolist()), real(self, keys))[1],
        )
    return seeds


def truthful(market):
    return dict.fromkeys(agent_names(market), market.policies["truthful"])


def worlds_of(market, seeds):
    """What these seeds fix for good."""
    return rounds.opened(market, torch.as_tensor(seeds)).floor.world


def models(market, now):
    return now.floor.models[market.roles[0].name]


def held_out(market, now):
    part = market.phase(phases.Tested)
    return part.test_scores(now.floor, now.owns[part.name])


def picked(by_role, index):
    return {role: values[index] for role, values in by_role.items()}


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(values, other[role]) for role, values in one.items())


def numbers(worlds):
    """All that can be asked of worlds: row numbers of a pool may differ, so examples are
    compared, not their places.
    """
    everything = {}

    def look(name, part):
        if isinstance(part, Shards):
            x, y, counts = part.padded()  # what does not count may be any example
            part = (
                torch.where(counts.view(*counts.shape, *[1] * (x.dim() - counts.dim())), x, 0),
                y * counts,
            )
        if isinstance(part, torch.Tensor):
            everything[name] = part
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            for field in dataclasses.fields(part):
                if field.name not in ("learner", "make", "open"):
                    look(f"{name}.{field.name}", getattr(part, field.name))
        elif isinstance(part, tuple | list):
            for k, one in enumerate(part):
                look(f"{name}.{k}", one)

    look("", worlds)
    return everything


def equal(one, other):
    a, b = numbers(one), numbers(other)
    assert a.keys() == b.keys() and len(a) > 4
    for name in a:
        assert a[name].shape == b[name].shape and torch.equal(a[name], b[name]), name


SEEDS = st.lists(st.integers(0, 5), min_size=1, max_size=5)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=5, deadline=None)
@given(seeds=SEEDS, data=st.data())
def test_worlds_that_are_indexed_and_put_are_those_that_the_seeds_open_anew(
    market, case, seeds, data
):
    """The one law: whatever happened to a batch, its worlds are a function of its markets'
    seeds, to the bit.
    """
    built = market(case)
    now = worlds_of(built, seeds)
    equal(now, worlds_of(built, seeds))
    index = data.draw(st.lists(st.integers(0, len(seeds) - 1), min_size=1, max_size=6))
    equal(now.rows(torch.tensor(index)), worlds_of(built, [seeds[k] for k in index]))
    places = data.draw(
        st.lists(st.integers(0, len(seeds) - 1), min_size=1, max_size=len(seeds), unique=True)
    )
    fresh = data.draw(st.lists(st.integers(3, 8), min_size=len(places), max_size=len(places)))
    mixed = list(seeds)
    for place, seed in zip(places, fresh, strict=True):
        mixed[place] = seed
    put = now.put(torch.tensor(places), worlds_of(built, fresh))
    equal(put, worlds_of(built, mixed))
    equal(put.reopen(torch.tensor(seeds)), now)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9))
def test_distinct_seeds_come_in_the_order_of_their_first_places(seeds):
    distinct, at = first_named(torch.tensor(seeds))
    assert distinct.tolist() == list(dict.fromkeys(seeds)) and distinct[at].tolist() == seeds


@pytest.mark.parametrize("case", CASES)
def test_replayed_line_ups_open_one_world_a_seed(market, case, opened):
    """Ten line-ups of one seed differ by what is done in them alone; before there was a world
    for each of the 40.
    """
    built = market(case)
    opened.clear()
    who = torch.zeros(10, 4, 3, dtype=torch.int64)
    play(built, [built.policies["truthful"]], who, torch.arange(4))
    # 4 more that they drift to
    assert set(opened[:4]) == {0, 1, 2, 3} and len(opened) == (8 if "drift" in case else 4)


@pytest.mark.parametrize("case", CASES)
def test_markets_that_share_a_world_play_as_those_that_have_one_alone(market, case):
    built, index = market(case), torch.tensor([1, 0, 1, 2, 1, 0])
    apart = rounds.begin(built, torch.tensor([4, 5, 6]))
    shared = tree.rows(apart, index)
    for _ in range(2):
        actions = rounds.act(built, truthful(built), apart)
        apart, report = rounds.advance(built, apart, actions)
        shared, alike = rounds.advance(built, shared, picked(actions, index))
        assert torch.allclose(report.rewards[index], alike.rewards, atol=1e-5)
        assert torch.allclose(
            models(built, apart).params[index], models(built, shared).params, atol=1e-5
        )
    losses = [held_out(built, now).loss for now in (apart, shared)]
    assert torch.allclose(losses[0][index], losses[1], atol=1e-5)


class Ends(Phase):
    """The stage of a market that agent 0 ends when it asks for that; everything else is the
    market's own stage.
    """

    def __init__(self, inner, asked):
        self.inner, self.asked = inner, asked
        self.name, self.moves, self.outcome = inner.name, inner.moves, inner.outcome
        self.begin, self.show, self.show_end, self.truthful = (
            inner.begin,
            inner.show,
            inner.show_end,
            inner.truthful,
        )

    def quote(self, floor, own):
        self.asked.append(("quote", len(floor.seeds)))
        return self.inner.quote(floor, own)

    def act(self, floor, own, quotes, actions):
        (stage,) = actions.values()
        floor, own, outcome = self.inner.act(floor, own, quotes, actions)
        return (
            dataclasses.replace(floor, ended=floor.ended | (stage[:, 0, 0] < -0.99)),
            own,
            outcome,
        )


def ending(market, cut=False):
    """The market with such a stage, and a list of what it is asked: worlds opened and quotes,
    by how many markets.
    """
    asked = []

    def furnish(floor):
        asked.append(("open", len(floor.seeds)))
        return market.people.furnish(floor)

    (stage,) = market.stages
    chain = [Ends(part, asked) if part.name == stage.name else part for part in market.phases]
    people = dataclasses.replace(market.people, furnish=furnish)
    config = {"config": market.config, "source": market.source}
    return Market(people, chain, horizon=50, cut=cut, name=market.name, **config), asked


def asking(market, batch, over):
    """What everybody does, where agent 0 of one market asks for its end."""
    actions = batch.act(truthful(market))
    (stage,) = actions.values()
    stage[:, 0, 0], stage[over, 0, 0] = 0.0, -1.0
    return actions


@pytest.mark.parametrize("case", ["digits", "linear", "sharing"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_restart_opens_only_the_market_that_is_over(market, case, cut, opened):
    ends, asked = ending(market(case), cut)
    batch = Batch(ends, 8)
    batch.reset(0)
    actions = asking(ends, batch, 3)
    asked.clear()
    opened.clear()
    turn = batch.step(actions, restart=True)
    assert turn.terminated.tolist() == [k == 3 for k in range(8)]
    # the new round is quoted once, for all together
    assert asked == [("open", 1), ("quote", 8)] and len(opened) == 1
    assert batch.running().floor.round.tolist() == [0 if k == 3 else 1 for k in range(8)]
    asked.clear()
    batch.reset(None, torch.arange(8) == 5)
    assert asked == [("open", 1), ("quote", 8)]  # the other seven as they were, to the bit


@pytest.mark.parametrize("case", ["digits", "linear", "sharing"])
def test_a_batch_in_which_markets_ended_is_loaded_to_the_bit(market, case, opened, tmp_path):
    ends, asked = ending(market(case))
    batch, other = Batch(ends, 4), Batch(ends, 4)
    batch.reset(0)
    for over in (2, 0, 2):
        batch.step(asking(ends, batch, over), restart=True)
    batch.save(tmp_path / "batch")
    asked.clear()
    opened.clear()
    other.load(tmp_path / "batch")
    seeds = batch.running().floor.seeds.tolist()
    assert asked == [("open", 1), ("quote", 4)]  # one market shows the structure
    assert opened == [0, *seeds]  # and its world, and then those of the file
    for _ in range(3):
        one, two = (b.step(b.act(truthful(ends))) for b in (batch, other))
        assert same(one.observations, two.observations) and torch.equal(one.rewards, two.rewards)


@pytest.mark.parametrize("case", ["digits", "sharing", "sharing, drift"])
def test_a_batch_of_which_some_were_reset_is_loaded_to_the_bit(market, case, tmp_path):
    """Sums of another batch round otherwise, so markets that begin apart are quoted with the
    others, as a file's are.
    """
    built = market(case)
    batch, other = Batch(built, 5), Batch(built, 5)
    batch.reset(0)
    batch.step(batch.act(truthful(built)))
    batch.reset(None, torch.tensor([True, True, False, False, False]))
    batch.reset(9, torch.tensor([False, True, False, True, False]))
    batch.save(tmp_path / "batch")
    assert same(other.load(tmp_path / "batch"), batch.observations())
    for _ in range(2):
        one, two = (b.step(b.act(truthful(built))) for b in (batch, other))
        assert same(one.observations, two.observations) and torch.equal(one.rewards, two.rewards)


class Anew:
    """A source that makes its pool anew in every call, as a reader of files may."""

    def __init__(self, source):
        self.source = source

    def __getattr__(self, name):
        return getattr(self.source, name)

    def to(self, device):
        return self

    def federation(self, seeds):
        found = self.source.federation(seeds)
        parts = {name: getattr(found, name) for name in ("train", "validation", "test")}
        return dataclasses.replace(
            found,
            **{n: dataclasses.replace(p, x=p.x.clone(), y=p.y.clone()) for n, p in parts.items()},
        )


@pytest.mark.parametrize("drift", [0.0, 0.4])
def test_pools_that_are_made_anew_are_one_pool(market, drift):
    source = Anew(market("sharing").source)
    built = make_market(
        "model_sharing_v0",
        n_agents=3,
        data=source,
        learner_options={"hidden": (4,)},
        data_drift=drift,
    )
    worlds = worlds_of(built, [1, 2])
    put = worlds.put(torch.tensor([1]), worlds_of(built, [9]))
    put = put.put(torch.tensor([0]), worlds_of(built, [4]))
    fresh, round_two = worlds_of(built, [4, 9]), torch.tensor([2, 2])
    (x, y, counts), (x2, y2, counts2) = (
        worlds.owned(round_two).padded() for worlds in (put, fresh)
    )
    assert (
        torch.equal(counts, counts2)
        and torch.equal(x[counts], x2[counts])
        and torch.equal(y[counts], y2[counts])
    )


@pytest.mark.parametrize("case", CASES)
def test_a_market_holds_nothing_that_its_rounds_change(market, case):
    built = market(case)

    def played(*seeds):
        now = rounds.begin(built, torch.tensor(seeds))
        rounds.advance(built, now, rounds.act(built, truthful(built), now))
        return list(vars(built)), len(pickle.dumps(built))

    # what is worked out of the arguments at first use, such as where a layer lies
    once = played(7, 8)
    assert played(9, 10) == played(11, 7) == once
    now = rounds.begin(built, torch.tensor([7, 8]))
    again = pickle.loads(pickle.dumps(built))
    assert same(
        rounds.observe(built, now), rounds.observe(again, rounds.begin(again, torch.tensor([7, 8])))
    )


class PerMarket:
    """A source whose broker has other examples in every market: of two classes, which differ in
    how many there are.
    """

    n_agents, feature_shape, n_outputs, task = 3, (2,), 2, "classification"

    def to(self, device):
        return self

    def federation(self, seeds):
        from marketenv.data.federation import Federation

        x = torch.as_tensor(np.random.default_rng(0).normal(size=(40, 2)), dtype=torch.float32)
        y = (torch.arange(40) % 3 == 0).long()
        start = (seeds % 5)[:, None]
        own = start[..., None] + torch.arange(12).view(3, 4)
        judge = Shards(
            x, y, start + torch.arange(20, 30), torch.full((len(seeds),), 10) - seeds % 2
        )
        train = Shards(x, y, own, torch.full((len(seeds), 3), 4))
        return Federation(train, judge, judge)


@pytest.mark.parametrize("name", ["parameter_trading_v0", "model_sharing_v0"])
def test_a_judge_of_each_market_alone_judges_it_alike_in_a_batch(name):
    options = {
        "n_agents": 3,
        "data": PerMarket(),
        "learner_options": {"hidden": (4,)},
        "training": BATCHES,
    }
    built = make_market(name, max_cycles=2, **options)
    together = rounds.begin(built, torch.tensor([3, 4, 3, 9]))
    for k, seed in enumerate((3, 4, 3, 9)):
        alone = rounds.begin(built, torch.tensor([seed]))
        assert torch.allclose(
            models(built, together).loss[k], models(built, alone).loss[0], atol=1e-5
        )
    alike = worlds_of(built, [0, 1]).put(torch.tensor([1]), worlds_of(built, [10]))
    # whose examples are the same, though all markets do not share them
    equal(alike, worlds_of(built, [0, 10]))
    equal(alike.put(torch.tensor([1]), worlds_of(built, [6])), worlds_of(built, [0, 6]))
    put = together.floor.world.put(torch.tensor([1]), alone.floor.world)
    equal(put, worlds_of(built, [3, 9, 3, 9]))
