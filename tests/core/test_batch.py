"""The shell around the rounds: seeds and episodes, stages, restarts, masks and holds."""

import dataclasses

import numpy as np
import pytest
import torch
from relay_market import Draw, Drawn, Offer, Peek, Reply, Ship, relay_market
from running import STAGES, alike, batch_of, calm, play, same, storm

from marketenv.core import draws, rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.episodes import EpisodeSeeds, read_seeds
from marketenv.core.market import Market, agent_names
from marketenv.markets.reference import Auctioned, ReferenceConfig, reference


def types_of(seeds, finished=0):
    """The buyers' types of a round, from the seeds alone."""
    seeds = torch.tensor(seeds)
    return draws.uniform(draws.fold(seeds, "type", torch.full_like(seeds, finished)), 2)


def next_seed(seed):
    return int(draws.fold(torch.tensor(seed), "episode", 1))


# --- seeds ----------------------------------------------------------------------------------------


def later(batch, number):
    """Seeds of the episodes that come after so many others."""
    now = batch.state().episodes
    return EpisodeSeeds(now.base, now.number + number).seeds


@pytest.mark.parametrize(
    "use",
    [lambda b: b.step({}), lambda b: b.act({}), lambda b: b.save("x"), lambda b: b.in_round()],
)
def test_nothing_runs_before_the_first_reset(use):
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        use(batch_of())


def test_an_integer_seeds_market_k_with_seed_plus_k():
    batch, listed = batch_of(offer=Peek), batch_of(offer=Peek)
    assert alike(batch.reset(7), listed.reset([7, 8, 9]))
    assert batch.running().floor.seeds.tolist() == [7, 8, 9]
    assert torch.equal(batch.running().floor.of(Drawn).types, types_of([7, 8, 9]))


@pytest.mark.parametrize("seed", [np.int64(3), np.array([3, 4, 5]), (3, 4, 5), 3])
def test_seeds_of_any_integer_kind_are_the_same(seed):
    assert read_seeds(seed, 3, torch.device("cpu"), first=True).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    "seed",
    [
        -1,
        2**63 - 1,
        2**63,
        [1, 2],
        [1, 2, -3],
        1.7,
        [1, None, "2"],
        [1, None, -1],
        "4",
        True,
        [0, True, 1],
    ],
)
def test_impossible_seeds_are_refused_and_nothing_changes(seed):
    fresh, one, two = batch_of(), batch_of(), batch_of()
    one.reset(1), two.reset(1)
    for batch in (fresh, one):
        with pytest.raises(
            ValueError, match=r"seed is .*wanted an integer >= 0, or 3 of them, below 2\*\*63"
        ):
            batch.reset(seed)
    one.reset(None), two.reset(None)
    assert fresh.now is None and alike(one.now, two.now)


def test_resets_without_a_seed_go_on_to_fresh_but_repeatable_episodes():
    one, two = batch_of(offer=Peek), batch_of(offer=Peek)
    first, second = (
        [batch.reset(seed)["seller"] for seed in (5, None, None)] for batch in (one, two)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])
    assert torch.equal(one.reset(5)["seller"], first[0])  # naming the seed again starts over


def test_two_batches_that_were_never_seeded_differ():
    # 40 random bits
    assert not alike(batch_of(offer=Peek).reset(None), batch_of(offer=Peek).reset(None))


def test_a_market_without_a_seed_in_a_list_goes_on_to_its_next_episode():
    one, two = batch_of(), batch_of()
    one.reset(5), two.reset(5)
    two.reset(None)
    seeds = two.running().floor.seeds.tolist()
    one.reset([1, None, 2])
    assert one.running().floor.seeds.tolist() == [1, seeds[1], 2]
    # -1 twice: they go on
    assert len(set(read_seeds([None, 7, None], 3, torch.device("cpu"), first=False).tolist())) == 2


def test_every_market_counts_its_own_episodes():
    """A market that restarts while others go on draws the seed that it would draw alone."""
    batch, alone = batch_of(), batch_of(1)
    batch.reset(7)
    alone.reset(8)  # market 1 of the batch
    over = torch.tensor([True, False, True])
    seeds = later(batch, over)
    assert torch.equal(seeds[1:2], alone.state().episodes.seeds)
    assert torch.equal(later(batch, 1)[1:2], later(alone, 1))
    assert not torch.equal(seeds[:1], batch.state().episodes.base[:1])


# --- stages ---------------------------------------------------------------------------------------


def test_a_step_inside_a_round_pays_nothing_ends_nothing_and_shows_the_next_stage():
    batch = batch_of(carriers=1)
    assert list(batch.reset(0)) == ["seller"] and not batch.in_round()
    for movers in (["buyer"], ["seller", "carrier"]):
        turn = batch.step(calm(batch))
        assert turn.report is None and turn.over is None and turn.rewards.dtype == torch.float64
        assert not turn.rewards.any() and not turn.terminated.any() and not turn.truncated.any()
        assert (
            list(turn.observations) == movers
            and alike(turn.observations, batch.observations())
            and batch.in_round()
        )
    turn = batch.step(calm(batch))
    assert (
        turn.report is not None
        and torch.equal(turn.rewards, turn.report.rewards)
        and not batch.in_round()
    )
    assert list(turn.observations) == ["seller"] and batch.state().moves == ()


def test_the_moves_of_earlier_stages_are_kept_until_the_round_is_over():
    batch = batch_of()
    batch.reset(0)
    first, second = calm(batch), None
    batch.step(first)
    second = calm(batch)
    batch.step(second)
    assert alike(
        batch.state().moves, (first, second)
    ) and batch.state().start.floor.round.tolist() == [0, 0, 0]


def test_where_a_stage_is_refused_nothing_has_changed():
    one, two = batch_of(), batch_of()
    for batch in (one, two):
        batch.reset(3)
        batch.step(calm(batch))
    with pytest.raises(ValueError, match="wanted buyer: the roles that move in stage 'reply'"):
        one.step({"seller": torch.zeros(3, 1, 1)})
    assert len(one.state().moves) == 1 and same(one.step(calm(two)), two.step(calm(two)))


def test_infos_have_one_set_of_keys_from_the_start():
    batch, names = batch_of(), ["utility", "paid", "received", "cash", "takes"]
    batch.reset(0)
    assert list(batch.infos()) == names and not any(
        values.any() for values in batch.infos().values()
    )
    play(batch, 1)
    facts = batch.infos()
    assert list(facts) == names and torch.equal(facts["cash"], batch.report.ledger.cash[:, :3])
    batch.step(calm(batch))
    assert batch.infos() is facts  # in mid-round those of the last round stay


# --- ends and restarts ----------------------------------------------------------------------------


def test_a_market_that_is_over_restarts_in_the_same_step_and_the_others_go_on():
    batch = batch_of(horizon=2, offer=Peek)
    batch.reset(0)
    batch.step(calm(batch), restart=True)
    batch.step(storm(batch, 1), restart=True)
    kept = batch.running().owns["reply"] * 1
    turn = batch.step(calm(batch), restart=True)
    assert (
        turn.terminated.tolist() == [False, True, False]
        and not turn.truncated.any()
        and turn.over.tolist() == [1]
    )
    now, seeds = batch.running(), [0, next_seed(1), 2]
    assert now.floor.round.tolist() == [1, 0, 1] and now.floor.seeds.tolist() == seeds
    assert now.floor.ledger.cash[1].tolist() == [1, 1, 1, 0, 0]  # the new episode's books
    assert now.owns["reply"][1].tolist() == [0, 0] and torch.equal(
        now.owns["reply"][::2], kept[::2]
    )
    fresh = torch.stack([types_of([0], 1)[0], types_of(seeds[1:2])[0], types_of([2], 1)[0]])
    assert torch.equal(now.floor.of(Drawn).types, fresh) and torch.equal(
        turn.observations["seller"][:, 0, :2], fresh.float()
    )
    # of market 1: an end shows no types, 1 of 2 rounds is over
    assert turn.final_observations["seller"].tolist() == [[[0, 0, 0.5]]]
    assert turn.last.floor.seeds.tolist() == [1] and turn.last.floor.round.tolist() == [1]
    assert batch.infos()["utility"][1].tolist() == [0, 0, 0] and torch.equal(
        batch.infos()["utility"][::2], turn.rewards[::2]
    )
    turn = play(batch, 1)
    # markets 0 and 2 reach the horizon, market 1 has a round to go
    assert turn.terminated.tolist() == [True, False, True]
    assert batch.running().floor.round.tolist() == [0, 1, 0]


def test_a_restarted_batch_plays_what_a_batch_of_that_episode_plays():
    one, two = batch_of(horizon=1), batch_of(horizon=1)
    one.reset(3)
    turn = play(one, 1)
    two.reset(3)
    assert alike(turn.observations, two.reset(None)) and alike(one.now, two.now)
    assert same(play(one, 1), play(two, 1))


def test_termination_goes_before_truncation():
    batch = batch_of(horizon=1, cut=True)
    batch.reset(0)
    batch.step(calm(batch))
    batch.step(storm(batch, 0))
    turn = batch.step(calm(batch))
    assert turn.terminated.tolist() == [True, False, False] and turn.truncated.tolist() == [
        False,
        True,
        True,
    ]
    assert turn.over.tolist() == [0, 1, 2]


def test_a_horizon_that_is_no_cut_terminates():
    batch = batch_of(horizon=1)
    batch.reset(0)
    turn = play(batch, 1, restart=False)
    assert turn.terminated.all() and turn.report.terminated.all() and not turn.truncated.any()
    assert not batch.running().playing
    with pytest.raises(ValueError, match="the episode is over"):
        batch.step({"seller": torch.zeros(3, 1, 1)})


def test_a_cut_shows_the_next_round_and_an_end_shows_nothing():
    batch = batch_of(horizon=2, cut=True, offer=Peek)
    batch.reset(0)
    batch.step(calm(batch), restart=True)
    batch.step(storm(batch, 0), restart=True)
    left = batch.step(calm(batch), restart=True)
    cut = play(batch, 1)  # market 0 has a round to go
    assert left.terminated.tolist() == [True, False, False] and left.final_observations[
        "seller"
    ].tolist() == [[[0, 0, 0]]]
    assert cut.truncated.tolist() == [False, True, True] and cut.over.tolist() == [1, 2]
    # of round three, which nobody plays
    assert torch.equal(cut.final_observations["seller"][:, 0, :2], types_of([1, 2], 2).float())


def test_without_a_restart_markets_that_are_over_see_their_end_while_others_go_on():
    batch = batch_of(horizon=3, offer=Peek)
    batch.reset(0)
    batch.step(calm(batch))
    batch.step(storm(batch, 1))
    turn = batch.step(calm(batch))
    assert turn.terminated.tolist() == [False, True, False] and batch.state().over.tolist() == [
        False,
        True,
        False,
    ]
    assert (
        turn.observations["seller"][1].tolist()
        == turn.final_observations["seller"][0].tolist()
        == [[0, 0, pytest.approx(1 / 3)]]
    )
    assert torch.equal(turn.observations["seller"][::2, 0, :2], types_of([0, 2], 1).float())
    first, rewards = batch.state(), turn.rewards[1]
    turn = play(batch, 1, restart=False)
    # over is over, and its end is told once
    assert turn.terminated.tolist() == [False, True, False] and turn.over is None
    again = batch.state()
    assert alike(
        tree.rows(again.start, torch.tensor([1])), tree.rows(first.start, torch.tensor([1]))
    )
    # it has not played another round
    assert not turn.rewards[1].any() and torch.equal(batch.infos()["utility"][1], rewards)
    assert torch.equal(batch.report.rewards[1], rewards) and turn.observations["seller"][
        1
    ].tolist() == [[0, 0, pytest.approx(1 / 3)]]
    assert play(batch, 1, restart=False).terminated.all() and not batch.running().playing


@pytest.mark.long
@pytest.mark.parametrize("cut", [False, True])
def test_markets_that_end_at_different_times_play_what_they_would_play_alone(cut):
    many, singles = (
        batch_of(horizon=2, cut=cut, offer=Peek),
        [batch_of(1, horizon=2, cut=cut, offer=Peek) for _ in range(3)],
    )
    many.reset(1)
    for k, one in enumerate(singles):
        one.reset(1 + k)
    draw, ends = np.random.default_rng(0), set()
    for _ in range(20 * STAGES):
        actions = calm(many)
        if "buyer" in actions:
            # now and then one storms out
            actions["buyer"][:, 0, 1] = torch.tensor(np.where(draw.random(3) < 0.3, -1.0, 1.0))
        turn = many.step(actions, restart=True)
        place = {} if turn.over is None else {m: k for k, m in enumerate(turn.over.tolist())}
        for k, one in enumerate(singles):
            alone = one.step({role: a[k : k + 1] for role, a in actions.items()}, restart=True)
            row = torch.tensor([k])
            for name in ("observations", "rewards", "terminated", "truncated"):
                assert alike(tree.rows(getattr(turn, name), row), getattr(alone, name))
            assert all(
                torch.equal(many.infos()[name][row], one.infos()[name]) for name in one.infos()
            )
            assert (alone.over is not None and len(alone.over) == 1) == (k in place)
            if k in place:
                assert alike(
                    tree.rows(turn.final_observations, torch.tensor([place[k]])),
                    alone.final_observations,
                )
        ends.add(tuple((turn.terminated | turn.truncated).tolist()))
        assert not (turn.truncated.any() and not cut)
    assert len(ends) > 3  # they did end at different times


class Stubborn(Draw):
    """No episode but the first can be begun."""

    begun = 0

    def begin(self, floor):
        self.begun += 1
        if self.begun > 1:
            raise ValueError("no second episode")


def test_where_the_next_episode_cannot_begin_nothing_has_changed():
    market = Market(relay_market().people, (Stubborn(), Offer(), Reply(), Ship()), horizon=1)
    batch = Batch(market, 2)
    batch.reset(0)
    play(batch, 0, stages=2)
    before, episodes, moves = batch.running(), batch.state().episodes, batch.state().moves
    with pytest.raises(ValueError, match="no second episode"):
        batch.step(calm(batch), restart=True)
    assert (
        batch.running() is before
        and batch.state().episodes is episodes
        and batch.report is None
        and batch.state().moves is moves
    )


# --- masks ----------------------------------------------------------------------------------------


def test_a_mask_starts_its_markets_and_the_others_stay_where_they_are():
    one, two = batch_of(offer=Peek), batch_of(offer=Peek)
    for batch in (one, two):
        batch.reset(0)
        play(batch, 1)
    seen = one.reset([50, 0, 0], torch.tensor([True, False, False]))
    assert one.running().floor.seeds.tolist() == [
        50,
        1,
        2,
    ] and one.running().floor.round.tolist() == [0, 1, 1]
    assert torch.equal(seen["seller"][1:], two.observations()["seller"][1:]) and torch.equal(
        seen["seller"][0, 0, :2], types_of([50])[0].float()
    )
    assert not one.infos()["cash"][0].any() and torch.equal(
        one.infos()["cash"][1:], two.infos()["cash"][1:]
    )
    others = torch.tensor([1, 2])
    assert alike(tree.rows(one.now, others), tree.rows(two.now, others))
    actions = calm(one)
    assert torch.equal(one.step(actions).rewards[1:], two.step(actions).rewards[1:])


def test_a_mask_without_a_seed_goes_on_to_its_markets_next_episodes():
    batch = batch_of()
    batch.reset(4)
    play(batch, 1)
    batch.reset(None, torch.tensor([False, True, True]))
    assert batch.running().floor.seeds.tolist() == [4, next_seed(5), next_seed(6)]
    assert batch.running().floor.round.tolist() == [1, 0, 0]


@pytest.mark.parametrize("stages", [1, 2])
def test_in_mid_round_all_markets_are_reset_or_none(stages):
    one, two = batch_of(), batch_of()
    for batch in (one, two):
        batch.reset(0)
        play(batch, 0, stages=stages)
    with pytest.raises(
        ValueError, match="a round is not over: all markets of a batch play a stage together"
    ):
        one.reset(9, torch.tensor([True, False, True]))
    assert same(one.step(calm(two)), two.step(calm(two)))
    one.reset(9, torch.ones(3, dtype=torch.bool))
    assert one.running().floor.seeds.tolist() == [9, 10, 11] and not one.in_round()


def test_a_mask_that_leaves_markets_out_before_they_started_is_refused():
    batch = batch_of()
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        batch.reset(0, torch.tensor([True, False, True]))
    assert batch.now is None


# --- holds ----------------------------------------------------------------------------------------


def bids(n_markets, *prices):
    """Bids of the markets' two buyers, in money from 0 to 1."""
    return {"buyer": (2 * torch.tensor(prices) - 1).expand(n_markets, 2)[..., None].contiguous()}


def test_a_market_that_is_held_stays_where_it_is_while_the_others_play():
    """What a vector of markets needs whose next step begins the episodes of those that are over."""
    market = reference(ReferenceConfig(game="first_price", max_cycles=3))
    held, free = Batch(market, 3), Batch(market, 3)
    held.reset(0), free.reset(0)
    for batch in (held, free):
        batch.step(bids(3, 0.5, 0.25))
    mask, before = torch.tensor([False, True, False]), held.infos()
    turn, wanted = held.step(bids(3, 0.75, 0.25), hold=mask), free.step(bids(3, 0.75, 0.25))
    assert held.running().floor.round.tolist() == [2, 1, 2] and turn.rewards[1].tolist() == [0, 0]
    assert torch.equal(turn.rewards[::2], wanted.rewards[::2])
    # the last price of market 1 is the old one
    assert held.running().owns["auction"].tolist() == [0.75, 0.5, 0.75]
    assert held.running().floor.ledger.cash[1].tolist() == [-0.5, 0, 0.5]
    # its last round is the one before
    assert held.report.of(Auctioned).offers[1].tolist() == [0.5, 0.25, 0]
    # as is what is told of it
    kept = torch.stack([turn.rewards[0], before["utility"][1], turn.rewards[2]])
    assert torch.equal(held.infos()["utility"], kept)
    again, once = held.step(bids(3, 0.75, 0.25)), free.step(bids(3, 0.75, 0.25))
    assert again.terminated.tolist() == [True, False, True] and once.terminated.all()
    assert torch.equal(again.rewards[::2], once.rewards[::2])


def test_markets_that_are_held_when_the_others_end_do_not_end():
    market = reference(ReferenceConfig(game="first_price", max_cycles=1, horizon="cut"))
    batch = Batch(market, 2)
    batch.reset(0)
    turn = batch.step(bids(2, 0.5, 0.25), hold=torch.tensor([True, False]))
    assert (
        turn.truncated.tolist() == [False, True]
        and not turn.terminated.any()
        and turn.over.tolist() == [1]
    )
    assert batch.running().floor.round.tolist() == [0, 1] and batch.running().playing


def test_nobody_waits_in_a_market_of_several_stages():
    one, two = batch_of(), batch_of()
    one.reset(0), two.reset(0)
    with pytest.raises(
        ValueError, match="hold was given in a market of 3 stages, wanted one of one stage"
    ):
        one.step(calm(one), hold=torch.tensor([True, False, False]))
    assert same(one.step(calm(two)), two.step(calm(two)))


# --- who plays ------------------------------------------------------------------------------------


def test_a_batch_asks_the_movers_policies_but_those_to_be_skipped():
    batch = batch_of(carriers=1)
    batch.reset(0)
    play(batch, 0, stages=2)
    policies = dict.fromkeys(agent_names(batch.market), batch.market.policies["truthful"])
    actions = batch.act(policies, frozenset({"carrier_0"}))
    assert actions["seller"].tolist() == [[[1]]] * 3 and actions["carrier"].tolist() == [[[0]]] * 3
    assert alike(
        actions | {"carrier": batch.act(policies)["carrier"]},
        rounds.act(batch.market, policies, batch.running()),
    )


def test_a_turn_is_what_happened_and_holds_no_part_of_the_batch():
    batch = batch_of()
    batch.reset(0)
    play(batch, 1)
    turn = play(batch, 1)
    before = {name: value.clone() for name, value in tree.leaves(turn.report).items()}
    play(batch, 1)
    assert all(torch.equal(value, before[name]) for name, value in tree.leaves(turn.report).items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        turn.rewards = None
