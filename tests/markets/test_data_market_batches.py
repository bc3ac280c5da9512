"""The data market in batches: singles, seeds, files, restarts, pilots that stand for an episode."""

import pytest
import torch
from data_market_cases import LOUD, NAME, acted, lies, market_of, one_round, parts, played

from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names

SEEDS = [4, 5, 6]
CASES = {
    "as the paper": {"private": True, "anchors": 4, "rule": "posted", "mixtures": None, "selection": "gradient"},
    "exact": {"distance": "exact", "rule": "shapley"},
    "sliced, five sellers": {"distance": "sliced", "n_sellers": 5, "rule": "posted", "selection": "random"},
    "half without labels": {
        **{"labels": "pseudo", "rule": "leave_one_out"},
        **{"data_options": {"corruption": "unlabeled", "corruption_options": {"rate": 0.5}}},
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_batch_and_its_singles_agree(name):
    """Every number of a round, from equal beginnings; a batch's products round otherwise than a single's."""
    market = market_of(**CASES[name])
    lie, buyer = {0: {"bait": 0.5, "shift": 0.2}}, LOUD | {"verify": 0.5, "hold_back": 0.5}
    together = one_round(market, lie, buyer, SEEDS)
    for k, seed in enumerate(SEEDS):
        alone = one_round(market, lie, buyer, [seed])
        for one, two in zip(parts(together), parts(alone), strict=True):
            for fact, values in one.facts().items():
                assert torch.allclose(values[k].double(), two.facts()[fact][0].double(), atol=1e-4, rtol=1e-5), fact
        assert torch.equal(parts(together)[2].points[k], parts(alone)[2].points[0])
        assert torch.allclose(together.rewards[k], alone.rewards[0], rtol=1e-4, atol=1e-3)


def test_one_sellers_lie_is_its_own_markets_business():
    """In a batch of one seed, only where seller_0 lies anything is otherwise."""
    report = one_round(market_of(distance="exact"), lies({}, {"shift": 0.5}, {}), seeds=[3, 3, 3])
    for outcome in parts(report):
        for fact, values in outcome.facts().items():
            assert torch.equal(values[0], values[2]), fact
    apart = parts(report)[1].apart
    assert apart[1, 0] != apart[0, 0] and torch.equal(apart[1, 1:], apart[0, 1:])


def played_out(market, seeds):
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    return [r.rewards for _, _, r in rounds.play(market, policies, torch.tensor(seeds)) if r is not None]


def test_a_seed_decides_everything_and_markets_differ():
    one, two = played_out(market_of(), [1, 2]), played_out(market_of(), [1, 2])
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.allclose(one[0][0], one[0][1]) and not torch.allclose(one[0], one[1])


@pytest.mark.parametrize("stages", [0, 1, 2, 3])
@pytest.mark.parametrize("calibration", ["each_round", "first_round"])
def test_a_saved_market_goes_on_to_the_bit_from_any_stage(tmp_path, stages, calibration):
    market = market_of(max_cycles=3, rule="posted", calibration=calibration)
    a, b = Batch(market, 2), Batch(make_market(NAME, **vars(market.config)), 2)
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    a.reset(3)
    for _ in range(stages):
        a.step(a.act(policies))
    a.save(tmp_path / "market.safetensors")
    seen = b.load(tmp_path / "market.safetensors")
    assert all(torch.equal(seen[role], values) for role, values in rounds.observe(market, a.running()).items())
    for _ in range(3):
        x, y = a.step(a.act(policies)), b.step(b.act(policies))
        assert all(torch.equal(y.seen[role], values) for role, values in x.seen.items())
        assert torch.equal(x.rewards, y.rewards) and torch.equal(x.terminated, y.terminated)
    held, wanted = tree.leaves(a.now), tree.leaves(b.now)
    assert held.keys() == wanted.keys() and all(torch.equal(held[name], wanted[name]) for name in held)


def test_what_is_over_starts_anew_with_other_data_and_the_same_seed_comes_again():
    market = market_of(max_cycles=1, rule="posted")
    batch = Batch(market, 2)
    first = batch.reset(3)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    for _ in range(2):
        turn = batch.step(batch.act(policies), restart=True)
    assert turn.terminated.all() and set(turn.seen) == {"seller"}
    assert not torch.equal(turn.seen["seller"], first["seller"])
    assert torch.equal(batch.reset(3)["seller"], first["seller"])
    now = batch.running()
    assert (now.floor.types["seller"]["reputation"] == 1).all() and (now.floor.types["seller"]["last_paid"] == 0).all()


def test_pilots_of_the_first_round_stand_for_the_episode_and_distances_are_measured_anew():
    """Seller_0 moves its features in the second round alone: its distance falls, the accuracies of the pilots stay."""
    for calibration, same in (("first_round", True), ("each_round", False)):
        market = market_of(calibration=calibration, distance="exact")
        now, report = played(market, rounds.begin(market, torch.tensor([0])))
        first = parts(report)[1]
        now = rounds.begun(market, now)
        second = rounds.play_stage(market, now, acted(market, now, {0: {"shift": 0.5}}))[0].floor.done["pilot"]
        assert torch.equal(first.scores, second.scores) == same
        assert second.apart[0, 0] < first.apart[0, 0]


def test_the_last_model_is_tested_on_examples_that_nobody_trades_by():
    market = market_of(rule="posted")
    now, report = played(market, rounds.begin(market, torch.tensor([0])))
    tested = rounds.test_scores(market, now)
    assert tested.accuracy.shape == (1, 1) and 0 <= float(tested.accuracy) <= 1
    assert float(tested.loss) != float(parts(report)[3].loss[0, 3])


CHEATS = {
    "noise": ({"bait": 1.0}, {}),
    "half a pilot spoofed": ({"spoof": 0.5}, {"declared": 5.0}),
    "moved rows": ({"shift": 0.5}, {}),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_what_a_cheat_delivers_depends_on_nothing_of_another_market(cheat):
    """The other market buys more of the cheat, or offers more rows: neither changes a number here."""
    (lie, other), market = CHEATS[cheat], market_of(rule="posted", distance="exact", points=32, data_options={"size": 8})
    both = lies(lie, lie)[0] | {name: torch.tensor([[1.0], [value]]).double() for name, value in other.items()}
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).double()
    together = one_round(market, {0: both}, LOUD | {"mixture": weights}, seeds=[4, 5])
    alone = one_round(market, {0: lie}, LOUD | {"mixture": weights[:1]}, seeds=[4])
    for one, two in zip(parts(together), parts(alone), strict=True):
        for fact, values in one.facts().items():
            assert torch.allclose(values[0], two.facts()[fact][0], rtol=1e-5, atol=1e-5), fact
