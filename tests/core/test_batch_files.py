"""A batch on disk: saved in any stage, loaded to the bit, and refused where the file is none of
this market's.
"""

import dataclasses
import functools
import json
import re
import threading
from copy import copy

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from relay_market import Draw, Offer, Peek, Reply, Ship, relay_market
from running import STAGES, alike, batch_of, calm, play, same, storm
from safetensors.torch import save_file

from marketenv import make_market
from marketenv.core import storage
from marketenv.core.batch import Batch
from marketenv.core.market import Market
from marketenv.core.saved import describe
from marketenv.mechanisms import double_auction


@pytest.mark.parametrize("stages", range(3 * STAGES + 1))
@pytest.mark.parametrize("carriers", [0, 1])
def test_a_loaded_batch_goes_on_to_the_bit_from_any_stage(tmp_path, stages, carriers):
    one, two = (batch_of(carriers=carriers, offer=Peek) for _ in range(2))
    one.reset(11)
    one.reset(None)  # the second episode, so that the episode's number matters
    play(one, 0, stages=stages)
    one.save(tmp_path / "state")
    seen = two.load(tmp_path / "state")
    assert (
        alike(seen, one.observations())
        and alike(seen, two.observations())
        and alike(one.now, two.now)
        and alike(one.state().moves, two.state().moves)
    )
    for _ in range(2 * STAGES):  # into the next episode
        assert alike(one.infos(), two.infos())
        actions = calm(one)
        assert same(one.step(actions, restart=True), two.step(actions, restart=True))
    assert alike(one.reset(None), two.reset(None))  # the next episode is the same too


def test_a_batch_with_markets_that_are_over_is_loaded_as_it_was(tmp_path):
    """Market 1 is over and did not restart; the file says so, and where it is loaded with a
    restart it begins anew.
    """
    for stages in range(STAGES):
        one, two, three = (batch_of(cut=True, offer=Peek) for _ in range(3))
        one.reset(0)
        one.step(calm(one))
        one.step(storm(one, 1))
        one.step(calm(one))
        play(one, 0, stages=stages, restart=False)
        one.save(tmp_path / "state")
        assert alike(two.load(tmp_path / "state"), one.observations())
        assert two.state().over.tolist() == [False, True, False]
        assert same(one.step(calm(two)), two.step(calm(two)))
        if stages:
            with pytest.raises(ValueError, match="stands in the middle of a round"):
                three.load(tmp_path / "state", restart=True)
            assert three.now is None
        else:
            three.load(tmp_path / "state", restart=True)
            assert not three.state().over.any() and three.running().floor.round.tolist() == [
                1,
                0,
                1,
            ]


@pytest.mark.parametrize("stages", range(STAGES))
@pytest.mark.parametrize("cut", [False, True])
def test_markets_that_wait_at_the_horizon_while_another_plays_on_are_loaded_as_they_wait(
    tmp_path, cut, stages
):
    """Market 0 began anew, so markets 1 and 2 are over first: they play no round beyond the
    horizon, and no file says so.
    """
    one, two = (batch_of(horizon=3, cut=cut, offer=Peek) for _ in range(2))
    one.reset(0)
    play(one, 2)
    one.reset(None, torch.tensor([True, False, False]))
    play(one, 2, restart=False)
    play(one, 0, stages=stages, restart=False)
    one.save(tmp_path / "state")
    assert one.running().floor.round.tolist() == [2, 3, 3] and one.state().over.tolist() == [
        False,
        True,
        True,
    ]
    assert alike(two.load(tmp_path / "state"), one.observations()) and alike(one.now, two.now)
    assert same(one.step(calm(two)), two.step(calm(two)))


@pytest.mark.parametrize("cut", [False, True])
def test_a_finished_batch_is_loaded_as_finished(tmp_path, cut):
    one, two = (batch_of(horizon=1, cut=cut, offer=Peek) for _ in range(2))
    one.reset(0)
    turn = play(one, 1, restart=False)
    one.save(tmp_path / "state")
    seen = two.load(tmp_path / "state")
    assert (
        alike(seen, turn.observations)
        and alike(seen, turn.final_observations)
        and not two.running().playing
    )
    # the next round's types, which only a cut shows
    assert bool(seen["seller"][..., :2].any()) == cut
    with pytest.raises(ValueError, match="the episode is over"):
        two.step({"seller": torch.zeros(3, 1, 1)})
    assert alike(one.reset(None), two.load(tmp_path / "state", restart=True))


def foreign(path, kind):
    """Write a file that does not belong to three relay markets."""
    if kind == "text":
        path.write_text("hello")
        return
    other = {"market": Batch(make_market("reference_v0"), 3), "number": batch_of(2)}.get(
        kind, batch_of()
    )
    other.reset(1)
    other.save(path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "cannot read"),
        ("cut", "cannot read"),
        ("market", "holds a reference_v0, wanted a relay"),
        ("number", "holds 2 markets, wanted 3"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_changes(tmp_path, kind, says):
    one, two = batch_of(), batch_of()
    for batch in (one, two):
        batch.reset(4)
        batch.step(calm(batch))
    foreign(tmp_path / "state", kind)
    with pytest.raises(ValueError, match=says):
        one.load(tmp_path / "state")
    actions = calm(two)
    assert same(one.step(actions), two.step(actions)) and alike(one.reset(None), two.reset(None))


def halfway(n_markets=3):
    """A batch in the second stage of its second round."""
    batch = batch_of(n_markets, offer=Peek)
    batch.reset(4)
    play(batch, 1, stages=1)
    return batch


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a file of ``halfway`` holds: the tensors by name and the facts of its header."""
    path = tmp_path_factory.mktemp("whole") / "state"
    halfway().save(path)
    header, tensors = storage._read(path)
    return tensors, json.loads(header["about"])


def forge(path, tensors, about):
    """Write such a file with a right checksum."""
    text, held = json.dumps(about), {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(
        held,
        str(path),
        {"format": storage.FORMAT, "about": text, "sha256": storage._fingerprint(held, text)},
    )


@functools.cache
def undisturbed():
    """A batch that was asked nothing, of which copies are played: it only ever assigns what it
    holds; and how it goes on: its infos, actions, their turn, and the next episode.
    """
    one, two = halfway(), halfway()
    actions = calm(two)
    return one, (two.infos(), actions, two.step(actions), two.reset(None))


def refused(path):
    """Whether a batch refuses a file with a ValueError and goes on as if it had not been asked."""
    one, (infos, actions, turn, start) = undisturbed()
    one = copy(one)
    with pytest.raises(ValueError, match=str(path)):
        one.load(path)
    assert alike(one.infos(), infos)
    return same(one.step(actions), turn) and alike(one.reset(None), start)


def test_an_unaltered_copy_is_taken_up(tmp_path, whole):
    forge(tmp_path / "state", *whole)
    one, two = batch_of(offer=Peek), halfway()
    one.load(tmp_path / "state")
    actions = calm(two)
    assert same(one.step(actions), two.step(actions))


OTHER = [None, [], {}, 1, 0, "text", True, [[]], {"market": {}}]
ALTERED = {
    "dropped": lambda t: None,
    "rows missing": lambda t: t[:2],
    "a row more": lambda t: torch.cat([t, t[:1]]),
    "an axis more": lambda t: t[..., None],
    "no axis": lambda t: t.flatten()[0],
    "another type": lambda t: t.to(torch.float16 if t.dtype == torch.int64 else torch.complex64),
    "nothing": lambda t: t[:0],
}


@pytest.mark.long
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_tensor_is_refused_and_nothing_changes(tmp_path, whole, data):
    tensors, about = whole
    name, kind = (
        data.draw(st.sampled_from(sorted(tensors))),
        data.draw(st.sampled_from(sorted(ALTERED))),
    )
    altered = ALTERED[kind](tensors[name])
    forge(
        tmp_path / "state",
        {
            n: altered if n == name else t
            for n, t in tensors.items()
            if n != name or altered is not None
        },
        about,
    )
    assert refused(tmp_path / "state")


@pytest.mark.long
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_header_is_refused_and_nothing_changes(tmp_path, whole, data):
    tensors, about = whole
    name = data.draw(
        st.sampled_from(
            ["all", "market", "stage", "more", *(f"market.{fact}" for fact in about["market"])]
        )
    )
    value = data.draw(st.sampled_from(OTHER))
    forged = json.loads(json.dumps(about))
    assume(name != "stage" or type(value) is not int or value != about["stage"])
    if name == "all":
        forged = value
    elif name.startswith("market."):
        forged["market"][name.removeprefix("market.")] = value
    else:
        forged[name] = value
    forge(tmp_path / "state", tensors, forged)
    assert refused(tmp_path / "state")


INT = torch.int64
BUYERS = torch.zeros(3, 2, 2)
IMPOSSIBLE = {
    "a name that nobody writes": {"extra.more": torch.zeros(3)},
    "a name without a kind": {"more": torch.zeros(3)},
    "a fact more": {"extra.info.more": torch.zeros(3, 3)},
    "a fact of another size": {"extra.info.cash": torch.zeros(3, 5, dtype=torch.float64)},
    "a stage too many": {"extra.actions.1.buyer": BUYERS},
    "a gap between stages": {"extra.actions.0.seller": None, "extra.actions.1.buyer": BUYERS},
    "actions of who does not move": {"extra.actions.0.buyer": BUYERS},
    "actions of another role": {"extra.actions.0.seller": None, "extra.actions.0.buyer": BUYERS},
    "whole numbers as actions": {"extra.actions.0.seller": torch.zeros(3, 1, 1, dtype=INT)},
    "an action that is no number": {"extra.actions.0.seller": torch.full((3, 1, 1), torch.nan)},
    "a seed below 0": {"extra.base": torch.tensor([4, 5, -6])},
    "an episode below 0": {"extra.episode": torch.tensor([0, 0, -1])},
    "another episode": {"extra.episode": torch.tensor([0, 0, 1])},
    "another seed": {"state.floor.seeds": torch.tensor([4, 5, 7])},
    "a round beyond the horizon": {"state.floor.round": torch.tensor([1, 1, 4])},
    "a round below 0": {"state.floor.round": torch.tensor([1, 1, -1])},
    "beyond the last round and yet going on": {"state.floor.round": torch.tensor([1, 3, 1])},
    "ended by its own rule and yet going on": {
        "state.floor.ended": torch.tensor([False, True, False])
    },
    "all over in the middle of a round": {"extra.ended": torch.tensor([True, True, True])},
    "over before anything was played": {
        "state.floor.round": torch.tensor([0, 1, 1]),
        "extra.ended": torch.tensor([True, False, False]),
    },
    "ends that are numbers": {"extra.ended": torch.zeros(3)},
    "an account too few": {"state.floor.ledger.cash": torch.zeros(3, 4, dtype=torch.float64)},
    "no memory of a phase": {"state.owns.reply": None},
    "cash that is no number": {
        "state.floor.ledger.cash": torch.full((3, 5), torch.nan, dtype=torch.float64)
    },
    "rewards that are no number": {"extra.earned": torch.full((3, 3), torch.nan).double()},
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_an_impossible_file_is_refused_and_nothing_changes(tmp_path, whole, kind):
    tensors, about = whole
    forge(
        tmp_path / "state",
        {n: t for n, t in (tensors | IMPOSSIBLE[kind]).items() if t is not None},
        about,
    )
    assert refused(tmp_path / "state")


def test_another_market_is_named_before_its_state_is_compared(tmp_path):
    three, four = (
        Batch(make_market("model_sharing_v0", learner=None, n_agents=n, max_cycles=2), 2)
        for n in (3, 4)
    )
    four.reset(0)
    four.save(tmp_path / "state")
    with pytest.raises(ValueError, match="n_agents=4, wanted n_agents=3"):
        three.load(tmp_path / "state")
    options = {"points": 8, "pilots": (2, 4), "learner_options": {"hidden": (4,)}}
    sellers = Batch(make_market("data_market_v0", **options, data_options={"size": 20}), 1)
    sellers.reset(0)
    sellers.save(tmp_path / "data")
    said = (
        "wanted n_sellers=4; data.n_agents=3, wanted data.n_agents=4; data.options={size: 20},"
        " wanted data.options={}. Build"
    )
    with pytest.raises(
        ValueError, match=re.escape(f"holds a data_market_v0 with n_sellers=3, {said}")
    ):
        Batch(make_market("data_market_v0", **options, n_sellers=4), 1).load(tmp_path / "data")
    with pytest.raises(ValueError, match=r"holds a .*haring.*, wanted a reference"):
        Batch(make_market("reference_v0"), 2).load(tmp_path / "state")


class Bought(Reply):
    """Its memory is never below 0, and it says so."""

    def quote(self, floor, own):
        if bool((own < 0).any()):
            raise ValueError("times below 0")
        return super().quote(floor, own)


def test_a_state_that_its_market_refuses_changes_nothing(tmp_path):
    """All is computed before anything is assigned: here a phase finds what cannot be, as the
    round is played again.
    """
    market = Market(relay_market().people, (Draw(), Offer(), Bought(), Ship()))
    one, two = Batch(market, 2), Batch(market, 2)
    for batch in (one, two):
        batch.reset(1)
        batch.step(calm(batch))
    one.save(tmp_path / "state")
    header, tensors = storage._read(tmp_path / "state")
    forge(
        tmp_path / "state",
        tensors | {"state.owns.reply": torch.full((2, 2), -1.0)},
        json.loads(header["about"]),
    )
    with pytest.raises(ValueError, match="times below 0"):
        one.load(tmp_path / "state")
    actions = calm(two)
    assert same(one.step(actions), two.step(actions))


class Priced(Offer):
    """A phase of one's own that holds a part."""

    def __init__(self, part):
        self.part = part


def priced(part, horizon=3):
    return Market(
        relay_market().people,
        (Draw(), Priced(part), Reply(), Ship()),
        horizon=horizon,
        name="priced",
    )


def test_a_market_without_a_config_goes_by_all_that_it_holds(tmp_path):
    one = Batch(priced(lambda price: 2 * price), 3)
    one.reset(0)
    one.save(tmp_path / "state")
    Batch(priced(lambda price: 2 * price), 3).load(tmp_path / "state")
    for other in (priced(lambda price: 3 * price), priced(lambda price: 2 * price, horizon=4)):
        with pytest.raises(ValueError, match="holds a priced with content="):
            Batch(other, 3).load(tmp_path / "state")


@pytest.mark.parametrize(
    "other",
    [
        {"carriers": 1},
        {"cash": 2.0},
        {"cut": True},
        {"offer": Peek},
    ],
    ids=["roles", "cash", "cut", "a phase"],
)
def test_markets_of_one_name_are_told_apart_by_people_phases_and_horizon(tmp_path, other):
    batch = batch_of(**other)
    batch.reset(0)
    batch.save(tmp_path / "state")
    with pytest.raises(ValueError, match="holds a relay with content="):
        batch_of().load(tmp_path / "state")


def test_the_order_of_the_phases_counts(tmp_path):
    """Two orders of the same phases are two markets."""
    people, quiet = relay_market().people, dataclasses.replace
    one, two = (
        Market(quiet(people), (*first, Offer(), Reply(), Ship()))
        for first in ((Draw(), renamed()), (renamed(), Draw()))
    )
    batch = Batch(one, 2)
    batch.reset(0)
    batch.save(tmp_path / "state")
    with pytest.raises(ValueError, match="holds a market with content="):
        Batch(two, 2).load(tmp_path / "state")


def renamed():
    phase = Draw()
    phase.name = "again"
    return phase


def test_what_cannot_be_compared_is_said(tmp_path):
    market = make_market(
        "reference_v0", mechanism=functools.partial(double_auction, weight=Locked(0.5))
    )
    batch = Batch(market, 2)
    batch.reset(0)
    with pytest.warns(
        UserWarning, match="mechanism holds an object that cannot be compared, so load"
    ):
        batch.save(tmp_path / "state")
    with pytest.raises(ValueError, match=r"cannot be checked .* mechanism holds .* __getstate__"):
        batch.load(tmp_path / "state")
    assert describe(market) is None


class Locked(float):
    """A number that holds a lock."""

    def __init__(self, value):
        self.lock = threading.Lock()


def test_two_markets_with_states_of_one_shape_are_told_apart(tmp_path):
    other = Batch(
        Market(relay_market().people, (Draw(), Offer(), Reply(), Ship()), horizon=3, name="other"),
        3,
    )
    other.reset(0)
    other.save(tmp_path / "state")
    with pytest.raises(ValueError, match="holds a other, wanted a relay"):
        batch_of().load(tmp_path / "state")
