"""The data market in batches: singles, seeds, files, restarts, what a round hands on to the
next.
"""

import pytest
import torch
from data_market_cases import LOUD, NAME, acted, lies, market_of, one_round, parts, played

from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names
from marketenv.markets import distances
from marketenv.valuation import combine_wad, fast

SEEDS = [4, 5]
CASES = {
    "as the paper": {
        "private": True,
        "anchors": 4,
        "rule": "posted",
        "mixtures": None,
        "selection": "gradient",
    },
    "exact": {"distance": "exact", "rule": "shapley"},
    "sliced, five sellers": {
        "distance": "sliced",
        "n_sellers": 5,
        "rule": "posted",
        "selection": "random",
    },
    "half without labels": {
        **{"labels": "pseudo", "rule": "leave_one_out"},
        **{"data_options": {"corruption": "unlabeled", "corruption_options": {"rate": 0.5}}},
    },
}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_batch_and_its_singles_agree(name):
    """Every number of a round, from equal beginnings; a batch's products round otherwise than a
    single's.
    """
    market = market_of(**CASES[name])
    lie, buyer = {0: {"bait": 0.5, "shift": 0.2}}, LOUD | {"verify": 0.5, "hold_back": 0.5}
    together = one_round(market, lie, buyer, SEEDS)
    for k, seed in enumerate(SEEDS):
        alone = one_round(market, lie, buyer, [seed])
        for one, two in zip(parts(together), parts(alone), strict=True):
            for fact, values in one.facts().items():
                assert torch.allclose(
                    values[k].double(), two.facts()[fact][0].double(), atol=1e-4, rtol=1e-5
                ), fact
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
    return [
        r.rewards for _, _, r in rounds.play(market, policies, torch.tensor(seeds)) if r is not None
    ]


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
    assert all(
        torch.equal(seen[role], values)
        for role, values in rounds.observe(market, a.running()).items()
    )
    for _ in range(3):
        x, y = a.step(a.act(policies)), b.step(b.act(policies))
        assert all(
            torch.equal(y.observations[role], values) for role, values in x.observations.items()
        )
        assert torch.equal(x.rewards, y.rewards) and torch.equal(x.terminated, y.terminated)
    held, wanted = tree.leaves(a.now), tree.leaves(b.now)
    assert held.keys() == wanted.keys() and all(
        torch.equal(held[name], wanted[name]) for name in held
    )


def test_what_is_over_starts_anew_with_other_data_and_the_same_seed_comes_again():
    market = market_of(max_cycles=1, rule="posted")
    batch = Batch(market, 2)
    first = batch.reset(3)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    for _ in range(2):
        turn = batch.step(batch.act(policies), restart=True)
    assert turn.terminated.all() and set(turn.observations) == {"seller"}
    assert not torch.equal(turn.observations["seller"], first["seller"])
    assert torch.equal(batch.reset(3)["seller"], first["seller"])
    now = batch.running()
    assert (now.floor.types["seller"]["reputation"] == 1).all() and (
        now.floor.types["seller"]["last_paid"] == 0
    ).all()


def test_pilots_of_the_first_round_stand_for_the_episode_and_distances_are_measured_anew():
    """Seller_0 moves its features in the second round alone: its distance falls, the accuracies
    of the pilots stay.
    """
    for calibration, same in (("first_round", True), ("each_round", False)):
        market = market_of(calibration=calibration, distance="exact")
        now, report = played(market, rounds.begin(market, torch.tensor([0])))
        first = parts(report)[1]
        now = rounds.begun(market, now)
        second = rounds.play_stage(market, now, acted(market, now, {0: {"shift": 0.5}}))[
            0
        ].floor.outcomes["pilot"]
        assert torch.equal(first.scores, second.scores) == same
        assert second.apart[0, 0] < first.apart[0, 0]


@pytest.fixture
def measured(monkeypatch):
    """Whenever pilots are measured: iterations for a mixture on average, distances, those from
    nothing, and the exact ones.
    """
    found, spent, fitted, wad_again = [], [], fast._fitted, distances.Distances.wad_again

    def counted(kernel, a, b, v, iterations):
        spent.append(iterations * a.shape[:-1].numel())
        return fitted(kernel, a, b, v, iterations)

    def kept(self, measures, mixtures, last, potentials):
        cold = self.wad(measures, mixtures)
        spent.clear()
        wad, handed = wad_again(self, measures, mixtures, last, potentials)
        exact = combine_wad(
            measures.parts,
            mixtures,
            measures.target,
            measures.weights,
            measures.counted,
            method="exact",
        )
        found.append((sum(spent) / wad.numel(), wad, cold, measures.scale * exact))
        return wad, handed

    monkeypatch.setattr(fast, "_fitted", counted)
    monkeypatch.setattr(distances.Distances, "wad_again", kept)
    return found


PILOTED = {"pilots": (20, 40), "points": 40, "mixtures": None, "dimensions": 8, "max_cycles": 3}


@pytest.mark.parametrize(
    "case", [{"private": False}, {"private": True, "anchors": 8}, {"n_sellers": 5}]
)
def test_a_round_measures_on_from_the_last_one(case, measured):
    """34 iterations a mixture at first; then 18 for each that was measured before, and 34 for
    those that are drawn anew.
    """
    market = market_of(**PILOTED | case)
    now = rounds.begin(market, torch.tensor([0, 1]))
    for _ in range(3):
        now = rounds.begun(market, played(market, now)[0])
    (first, *_), *later = measured
    drawn = torch.zeros(measured[0][1].shape[1], dtype=torch.bool)
    # of five sellers: all alike, two alone, three mixtures drawn, each alone
    drawn[3:6] = "n_sellers" in case
    for steps, wad, cold, exact in later:
        assert first >= 34 and 18 + 16 * drawn.double().mean() <= steps <= 0.9 * first
        assert ((wad / exact - 1).abs() <= 0.01).all() and torch.allclose(wad, cold, rtol=0.02)
        assert (torch.isclose(wad, cold, rtol=1e-6).all(0) == drawn).all()


def test_a_market_that_begins_anew_measures_from_nothing_and_the_others_go_on():
    """In a batch, market 0 begins anew after a round: each finds to the bit what it finds where
    both do alike.
    """
    market = market_of(**PILOTED)
    after = played(market, rounds.begin(market, torch.tensor([0, 1])))[0]
    fresh = rounds.opened(market, torch.tensor([0]))
    mixed = tree.put(after, torch.tensor([0]), fresh)
    assert not mixed.owns["pilot"].potentials[0].any() and mixed.owns["pilot"].potentials[1].any()
    found, gone_on, again = (
        played(market, rounds.begun(market, now))[0].owns["pilot"] for now in (mixed, after, fresh)
    )
    assert torch.equal(found.potentials[0], again.potentials[0]) and torch.equal(
        found.potentials[1], gone_on.potentials[1]
    )
    assert not torch.equal(gone_on.potentials[0], again.potentials[0])


def test_methods_without_potentials_hand_on_none():
    for method in ("exact", "sliced"):
        market = market_of(distance=method)
        after = played(market, rounds.begin(market, torch.tensor([0])))[0]
        # two mixtures, and three sellers alone
        assert after.owns["pilot"].potentials.shape == (1, 2 + 3, 0)


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
    """The other market buys more of the cheat, or offers more rows: neither changes a number
    here.
    """
    (lie, other), market = (
        CHEATS[cheat],
        market_of(rule="posted", distance="exact", points=32, data_options={"size": 8}),
    )
    both = lies(lie, lie)[0] | {
        name: torch.tensor([[1.0], [value]]).double() for name, value in other.items()
    }
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).double()
    together = one_round(market, {0: both}, LOUD | {"mixture": weights}, seeds=[4, 5])
    alone = one_round(market, {0: lie}, LOUD | {"mixture": weights[:1]}, seeds=[4])
    for one, two in zip(parts(together), parts(alone), strict=True):
        for fact, values in one.facts().items():
            assert torch.allclose(values[0], two.facts()[fact][0], rtol=1e-5, atol=1e-5), fact
