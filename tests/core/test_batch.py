"""The shell around the rounds: seeds and episodes, restarts, save and load in mid-round."""

import functools
import json
import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from relay_market import RelayMarket
from safetensors.torch import save_file

from marketenv import make_market
from marketenv.core import draws, storage
from marketenv.core.batch import Batch, _episode_seeds
from marketenv.core.market import agent_names
from marketenv.core.saved import describe
from marketenv.mechanisms import double_auction


def batch_of(n_markets=3, **config):
    return Batch(RelayMarket(**config), n_markets)


def random_rows(batch):
    return batch.act(dict.fromkeys(agent_names(batch.market), batch.market.policies["random"]))


def calm(batch):
    """Random actions, but nobody storms out."""
    actions = random_rows(batch)
    actions[:, 1:, 1] = 1.0
    return actions


def same(one, two):
    """Two turns are equal to the bit."""
    fields = ("seen", "rewards", "terminated", "truncated", "final_seen")
    return all(torch.equal(getattr(one, f), getattr(two, f)) for f in fields)


def test_nothing_runs_before_the_first_reset():
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        batch_of().step(torch.zeros(3, 3, 2))


def test_an_integer_seeds_market_k_with_seed_plus_k():
    batch, listed = batch_of(), batch_of()
    assert torch.equal(batch.reset(7), listed.reset([7, 8, 9]))
    assert batch.running().state.seeds.tolist() == [7, 8, 9]


@pytest.mark.parametrize("seed", [-1, 2**63 - 1, [1, 2], [1, 2, -3]])
def test_impossible_seeds_are_refused(seed):
    batch = batch_of()
    with pytest.raises(ValueError, match="wanted an integer >= 0, or 3 of them, below 2\\*\\*63"):
        batch.reset(seed)
    assert batch.now is None


def test_resets_without_a_seed_go_on_to_fresh_but_repeatable_episodes():
    one, two = batch_of(), batch_of()
    first = [one.reset(seed) for seed in (5, None, None)]
    second = [two.reset(seed) for seed in (5, None, None)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])
    assert torch.equal(one.reset(5), first[0])  # naming the seed again starts over


def test_two_batches_that_were_never_seeded_differ():
    assert not torch.equal(batch_of().reset(None), batch_of().reset(None))  # 40 random bits


def test_a_market_that_is_over_restarts_in_the_same_step_and_the_others_go_on():
    batch = batch_of(horizon=2)
    batch.reset(0)
    types = batch.running().quotes.types
    batch.step(calm(batch), restart=True)
    actions = calm(batch)
    actions[1, 1, 1] = -1.0  # buyer_0 of market 1 storms out in round one
    turn = batch.step(actions, restart=True)
    assert turn.terminated.tolist() == [False, True, False] and not turn.truncated.any()
    now = batch.running()
    assert now.state.round.tolist() == [1, 0, 1]
    assert now.state.seeds.tolist() == [0, int(draws.fold(torch.tensor(1), "episode", 1)), 2]
    assert now.state.ledger.cash[1].tolist() == [1, 1, 1]  # the new episode's books
    assert torch.equal(turn.final_seen[::2], turn.seen[::2]) and not torch.equal(turn.final_seen[1], turn.seen[1])
    assert not torch.equal(now.quotes.types[1], types[1])
    for _ in range(2):
        turn = batch.step(calm(batch), restart=True)
    assert turn.terminated.tolist() == [True, False, True]  # markets 0 and 2 reach the horizon, market 1 has a round to go
    assert batch.running().state.round.tolist() == [0, 1, 0]


def test_a_restarted_batch_plays_what_a_batch_of_that_episode_plays():
    one, two = batch_of(horizon=1), batch_of(horizon=1)
    one.reset(3)
    for _ in range(2):
        turn = one.step(calm(one), restart=True)
    two.reset(3)
    assert torch.equal(turn.seen, two.reset(None))
    assert same(one.step(calm(one)), two.step(calm(two)))


def test_a_step_inside_a_round_pays_nothing_and_ends_nothing():
    batch = batch_of()
    batch.reset(0)
    turn = batch.step(random_rows(batch))
    assert turn.report is None and turn.rewards.dtype == torch.float64
    assert not turn.rewards.any() and not turn.terminated.any() and not turn.truncated.any()


def test_termination_goes_before_truncation():
    batch = batch_of(horizon=1, cut=True)
    batch.reset(0)
    batch.step(calm(batch))
    actions = calm(batch)
    actions[0, 1, 1] = -1.0
    turn = batch.step(actions)
    assert turn.terminated.tolist() == [True, False, False] and turn.truncated.tolist() == [False, True, True]


def test_a_horizon_that_is_no_cut_terminates():
    batch = batch_of(horizon=1)
    batch.reset(0)
    batch.step(calm(batch))
    turn = batch.step(calm(batch))
    assert turn.terminated.all() and turn.report.terminated.all() and not turn.truncated.any()


def test_a_cut_shows_the_next_round_and_an_end_shows_nothing(tmp_path):
    batch = batch_of(horizon=2, cut=True)
    batch.reset(0)
    batch.step(calm(batch), restart=True)
    actions = calm(batch)
    actions[0, 1, 1] = -1.0  # buyer_0 of market 0 storms out in round one
    left = batch.step(actions, restart=True)
    batch.step(calm(batch), restart=True)
    cut = batch.step(calm(batch), restart=True)  # market 0 has a round to go
    assert left.terminated.tolist() == [True, False, False] and cut.truncated.tolist() == [False, True, True]
    assert not left.final_seen[0, 1:, 1].any()
    types = draws.uniform(draws.fold(torch.tensor([1, 2]), "type", 2), 2).float()  # of round three, which nobody plays
    assert torch.equal(cut.final_seen[1:, 1:, 1], types)
    alone = Batch(RelayMarket(horizon=2, cut=True), 1)
    alone.reset(1)
    turns = [alone.step(calm(alone)) for _ in range(4)]
    assert torch.equal(turns[-1].seen[0], cut.final_seen[1]) and torch.equal(turns[-1].final_seen, turns[-1].seen)
    alone.save(tmp_path / "state")
    other = Batch(RelayMarket(horizon=2, cut=True), 1)
    assert torch.equal(other.load(tmp_path / "state"), turns[-1].seen) and other.running().quotes is None


def test_infos_have_one_set_of_keys_from_the_start():
    batch = batch_of()
    batch.reset(0)
    assert list(batch.infos()) == ["utility", "cash"] and not any(values.any() for values in batch.infos().values())
    for _ in range(2):
        batch.step(calm(batch))
    assert list(batch.infos()) == ["utility", "cash"] and torch.equal(batch.infos()["cash"], batch.report.cash)


@pytest.mark.parametrize("steps", range(6))
def test_a_loaded_batch_goes_on_to_the_bit_from_any_stage(tmp_path, steps):
    one, two = batch_of(), batch_of()
    one.reset(11)
    one.reset(None)  # the second episode, so that the episode's number matters
    for _ in range(steps):
        one.step(calm(one))
    one.save(tmp_path / "state")
    seen = two.load(tmp_path / "state")
    assert torch.equal(seen, two.market.observe(one.now.state, one.now.past, one.now.quotes))
    for _ in range(6 - steps):
        assert all(torch.equal(one.infos()[k], two.infos()[k]) for k in one.infos())
        assert same(one.step(calm(one)), two.step(calm(two)))
    assert torch.equal(one.reset(None), two.reset(None))  # the next episode is the same too


def test_a_finished_batch_is_loaded_as_finished(tmp_path):
    one, two = batch_of(horizon=1), batch_of(horizon=1)
    one.reset(0)
    for _ in range(2):
        one.step(calm(one))
    one.save(tmp_path / "state")
    two.load(tmp_path / "state")
    with pytest.raises(ValueError, match="the episode is over"):
        two.step(calm(one))


def foreign(path, kind):
    """Write a file that does not belong to three relay markets."""
    if kind == "text":
        path.write_text("hello")
        return
    other = {"market": Batch(make_market("reference_v0"), 3), "number": batch_of(2)}.get(kind, batch_of())
    other.reset(1)
    other.save(path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "cannot read"),
        ("cut", "cannot read"),
        ("market", "holds a ReferenceMarket, wanted a RelayMarket"),
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
    assert same(one.step(calm(one)), two.step(calm(two)))
    assert torch.equal(one.reset(None), two.reset(None))


def halfway(n_markets=3):
    """A batch in the second stage of its second round."""
    batch = batch_of(n_markets)
    batch.reset(4)
    for _ in range(3):
        batch.step(calm(batch))
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
    save_file(held, str(path), {"format": storage.FORMAT, "about": text, "sha256": storage._fingerprint(held, text)})


def refused(path):
    """Whether a batch refuses a file with a ValueError and goes on as if it had not been asked."""
    one, two = halfway(), halfway()
    with pytest.raises(ValueError, match=str(path)):
        one.load(path)
    assert all(torch.equal(one.infos()[name], two.infos()[name]) for name in one.infos())
    actions = calm(two)
    return same(one.step(actions), two.step(actions)) and torch.equal(one.reset(None), two.reset(None))


def test_an_unaltered_copy_is_taken_up(tmp_path, whole):
    forge(tmp_path / "state", *whole)
    one, two = batch_of(), halfway()
    one.load(tmp_path / "state")
    assert same(one.step(calm(two)), two.step(calm(two)))


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


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_tensor_is_refused_and_nothing_changes(tmp_path, whole, data):
    tensors, about = whole
    name, kind = data.draw(st.sampled_from(sorted(tensors))), data.draw(st.sampled_from(sorted(ALTERED)))
    altered = ALTERED[kind](tensors[name])
    forge(
        tmp_path / "state",
        {n: altered if n == name else t for n, t in tensors.items() if n != name or altered is not None},
        about,
    )
    assert refused(tmp_path / "state")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_header_is_refused_and_nothing_changes(tmp_path, whole, data):
    tensors, about = whole
    name = data.draw(st.sampled_from(["all", "market", "stage", "more", *(f"market.{fact}" for fact in about["market"])]))
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
IMPOSSIBLE = {
    "a name that nobody writes": {"extra.more": torch.zeros(3)},
    "a name without a kind": {"more": torch.zeros(3)},
    "a fact more": {"extra.info.more": torch.zeros(3, 3)},
    "a stage too many": {"extra.actions.1": torch.zeros(3, 3, 2)},
    "a gap between stages": {"extra.actions.0": None, "extra.actions.1": torch.zeros(3, 3, 2)},
    "whole numbers as actions": {"extra.actions.0": torch.zeros(3, 3, 2, dtype=INT)},
    "an action that is no number": {"extra.actions.0": torch.full((3, 3, 2), torch.nan)},
    "a seed below 0": {"extra.base": torch.tensor([4, 5, -6])},
    "an episode below 0": {"extra.episode": torch.tensor([0, 0, -1])},
    "another episode": {"extra.episode": torch.tensor([0, 0, 1])},
    "another seed": {"state.seeds": torch.tensor([4, 5, 7])},
    "a round beyond the horizon": {"state.round": torch.tensor([1, 1, 4])},
    "a round below 0": {"state.round": torch.tensor([1, 1, -1])},
    "beyond the last round and yet going on": {"state.round": torch.tensor([1, 3, 1])},
    "all over in the middle of a round": {"extra.ended": torch.tensor([True, True, True])},
    "over before anything was played": {
        "state.round": torch.tensor([0, 1, 1]),
        "extra.ended": torch.tensor([True, False, False]),
    },
    "ends that are numbers": {"extra.ended": torch.zeros(3)},
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_an_impossible_file_is_refused_and_nothing_changes(tmp_path, whole, kind):
    tensors, about = whole
    forge(tmp_path / "state", {n: t for n, t in (tensors | IMPOSSIBLE[kind]).items() if t is not None}, about)
    assert refused(tmp_path / "state")


def test_another_market_is_named_before_its_state_is_compared(tmp_path):
    three, four = (Batch(make_market("model_sharing_v0", learner=None, n_agents=n, max_cycles=2), 2) for n in (3, 4))
    four.reset(0)
    four.save(tmp_path / "state")
    with pytest.raises(ValueError, match="n_agents=4, wanted n_agents=3"):
        three.load(tmp_path / "state")
    with pytest.raises(ValueError, match="holds a ModelSharingMarket, wanted a ReferenceMarket"):
        Batch(make_market("reference_v0"), 2).load(tmp_path / "state")


def test_a_state_that_its_market_refuses_changes_nothing(tmp_path):
    """All is computed before anything is assigned: here the market itself finds sizes below 0, as it quotes or observes."""
    market = make_market("model_sharing_v0", learner=None, n_agents=3, max_cycles=2)
    one, two = Batch(market, 2), Batch(market, 2)
    one.reset(1), two.reset(1)
    one.save(tmp_path / "state")
    header, tensors = storage._read(tmp_path / "state")
    forge(tmp_path / "state", tensors | {"state.types.sizes": -tensors["state.types.sizes"]}, json.loads(header["about"]))
    with pytest.raises(ValueError, match="size"):
        one.load(tmp_path / "state")
    assert same(one.step(random_rows(two)), two.step(random_rows(two)))


class Priced(RelayMarket):
    """A market of one's own, without a config, that holds a part."""

    def __init__(self, part, horizon=3):
        super().__init__(horizon)
        self.part = part


def test_a_market_without_a_config_goes_by_all_that_it_holds(tmp_path):
    one = Batch(Priced(lambda price: 2 * price), 3)
    one.reset(0)
    one.save(tmp_path / "state")
    Batch(Priced(lambda price: 2 * price), 3).load(tmp_path / "state")
    for other in (Priced(lambda price: 3 * price), Priced(lambda price: 2 * price, horizon=4)):
        with pytest.raises(ValueError, match="holds a Priced with content="):
            Batch(other, 3).load(tmp_path / "state")


def test_what_cannot_be_compared_is_said(tmp_path):
    market = make_market("reference_v0", mechanism=functools.partial(double_auction, weight=Locked(0.5)))
    batch = Batch(market, 2)
    batch.reset(0)
    with pytest.warns(UserWarning, match="mechanism holds an object that cannot be compared, so load"):
        batch.save(tmp_path / "state")
    with pytest.raises(ValueError, match=r"cannot be checked .* mechanism holds .* __getstate__"):
        batch.load(tmp_path / "state")
    assert describe(market) is None


class Locked(float):
    """A number that holds a lock."""

    def __init__(self, value):
        self.lock = threading.Lock()


def test_two_markets_with_states_of_one_shape_are_told_apart(tmp_path):
    class OtherRelay(RelayMarket):
        pass

    other = Batch(OtherRelay(), 3)
    other.reset(0)
    other.save(tmp_path / "state")
    with pytest.raises(ValueError, match="holds a OtherRelay"):
        batch_of().load(tmp_path / "state")


def test_every_market_counts_its_own_episodes():
    """A market that restarts while others go on draws the seed that it would draw alone."""
    batch, alone = batch_of(), Batch(RelayMarket(), 1)
    batch.reset(7)
    alone.reset(8)  # market 1 of the batch
    over = torch.tensor([True, False, True])
    seeds = _episode_seeds(batch._base, batch._episode + over)
    assert torch.equal(seeds[1:2], _episode_seeds(alone._base, alone._episode))
    assert torch.equal(_episode_seeds(batch._base, batch._episode + 1)[1:2], _episode_seeds(alone._base, alone._episode + 1))
    assert not torch.equal(seeds[:1], batch._base[:1])


@pytest.mark.parametrize("seed", [np.int64(3), np.array([3, 4, 5]), (3, 4, 5), 3])
def test_seeds_of_any_integer_kind_are_the_same(seed):
    assert batch_of()._seeds(seed).tolist() == [3, 4, 5]


def test_a_market_without_a_seed_in_a_list_goes_on_to_its_next_episode():
    one, two = batch_of(), batch_of()
    one.reset(5), two.reset(5)
    two.reset(None)
    seeds = two.running().state.seeds.tolist()
    one.reset([1, None, 2])
    assert one.running().state.seeds.tolist() == [1, seeds[1], 2]
    assert len(set(one._seeds([None, 7, None]).tolist())) == 2  # -1 twice: they go on


@pytest.mark.parametrize("seed", [1.7, [1, None, "2"], [1, None, -1], "4", True, [0, True, 1], -1, [1, 2], 2**63])
def test_other_seeds_are_refused_and_nothing_changes(seed):
    one, two = batch_of(), batch_of()
    one.reset(1), two.reset(1)
    with pytest.raises(ValueError, match="seed is"):
        one.reset(seed)
    assert torch.equal(one.reset(None), two.reset(None))


class Stubborn(RelayMarket):
    """No episode but the first can be begun."""

    begun = 0

    def reset(self, seeds):
        self.begun += 1
        if self.begun > 1:
            raise ValueError("no second episode")
        return super().reset(seeds)


def test_where_the_next_episode_cannot_begin_nothing_has_changed():
    batch = Batch(Stubborn(horizon=1), 2)
    batch.reset(0)
    batch.step(calm(batch), restart=True)
    before, episode = batch.running(), batch._episode
    with pytest.raises(ValueError, match="no second episode"):
        batch.step(calm(batch), restart=True)
    assert batch.running() is before and torch.equal(batch._episode, episode) and batch.report is None
