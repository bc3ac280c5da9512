"""Dishonest sellers, private distances, many sellers and payments: what can be worked out, and
cheats that are seen.
"""

import dataclasses
from functools import partial

import pytest
import torch

from agents.papers import CLAIMS, EFFORTS, measured, verdict
from agents.papers.data_valuation import exploits, many_sellers, market, numbers, payments, private
from agents.papers.data_valuation.attacks import ATTACKS, HONEST, UNIQUE, Rows
from agents.papers.data_valuation.exploits import DEFENCES, exploit
from agents.papers.data_valuation.mixtures import seeds_of
from agents.papers.data_valuation.payments import Auctions, auctions, candidates, regrets
from agents.papers.data_valuation.sellers_data import lots
from marketenv.mechanisms import DATA_RULES, DataRule, Sales
from marketenv.valuation import combine_wad

TINY = dataclasses.replace(EFFORTS["quick"], name="tiny", cases=400)
RENAMES = "permutes its labels"


@pytest.fixture(scope="module")
def made():
    return lots(exploits.SETTING, seeds_of(2))


@pytest.fixture(scope="module")
def played():
    """Attacks against defences, with a third of the training."""
    names = (HONEST, RENAMES, "noise delivered", "spoofs, random labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exploits, "SETTING", dataclasses.replace(exploits.SETTING, communications=7))
        yield {
            (name, d): exploit(name, d, 2, 2)
            for name in names
            for d in ("none", "vocabulary", exploits.BY_GOAL, exploits.BY_PILOT)
        }
    for kept in (exploits._estimator, exploits.realised):
        kept.cache_clear()


# --- attacks --------------------------------------------------------------------------------------


def changed(made, name, part):
    rows = Rows(made.x[:, 0], made.y[:, 0])
    return rows, getattr(ATTACKS[name], part)(rows, made, torch.tensor(seeds_of(2)))


def test_what_sellers_do_to_their_rows(made):
    rows, renamed = changed(made, RENAMES, "shown")
    circle = torch.tensor([1, 2, 3, 0, 4, 5, 6, 7, 8, 9])  # 0 -> 1 -> 2 -> 3 -> 0
    assert torch.equal(renamed.y, circle[rows.y]) and torch.equal(renamed.x, rows.x)
    _, few = changed(made, "20 unique points", "shown")
    assert torch.equal(few.x[:, UNIQUE : 2 * UNIQUE], rows.x[:, :UNIQUE])
    assert all(len(x.unique(dim=0)) <= UNIQUE for x in few.x)
    _, spoofed = changed(made, "spoofs, random labels", "shown")
    assert all((made.goal_x == row).all(-1).any() for row in spoofed.x[0])  # the buyer's own rows
    _, random = changed(made, "random labels", "shown")
    # 200 rows of ten classes
    assert float((random.y == rows.y).double().mean()) == pytest.approx(0.1, abs=0.06)
    _, half = changed(made, "half public", "shown")
    assert bool((half.x <= (rows.x + made.goal_x.amax(0)) / 2 + 1e-6).all())


def test_bait_shows_good_rows_and_delivers_noise(made):
    rows, shown = changed(made, "noise delivered", "shown")
    _, delivered = changed(made, "noise delivered", "delivered")
    assert torch.equal(shown.x, rows.x) and not torch.isclose(delivered.x, rows.x).all(-1).any()
    assert [ATTACKS[name].copies for name in (HONEST, "duplicates x5")] == [1, 5]


def test_a_renaming_seller_is_valued_and_paid_as_an_honest_one(played):
    honest, cheat = played[HONEST, "none"], played[RENAMES, "none"]
    for part in (
        "wad",
        "predicted",
        "value",
        "money",
    ):  # the page: 1.440, 0.854 and +0.304 for both
        assert torch.equal(getattr(honest, part), getattr(cheat, part)), part
    assert bool((cheat.true < honest.true - 0.15).all())  # 0.908 and 0.533 on the page
    assert bool((played[RENAMES, "vocabulary"].wad > 1.05 * played[HONEST, "vocabulary"].wad).all())
    assert bool((played[RENAMES, "vocabulary"].money < played[HONEST, "vocabulary"].money).all())


def test_an_audit_sees_a_spoofed_pilot_and_no_honest_one(played):
    for audit in (exploits.BY_GOAL, exploits.BY_PILOT):
        assert played["spoofs, random labels", audit].money.tolist() == [0.0, 0.0]
        assert torch.equal(played[HONEST, audit].money, played[HONEST, "none"].money)
    assert bool(
        (played["spoofs, random labels", "none"].money > played[HONEST, "none"].money).all()
    )


def test_only_an_audit_by_the_pilot_sees_noise_in_place_of_skewed_data(played):
    # a skewed seller lies so far off that noise of its moments is hardly farther from the buyer's
    # rows
    assert played["noise delivered", exploits.BY_PILOT].money.tolist() == [0.0, 0.0]
    assert torch.equal(
        played["noise delivered", exploits.BY_GOAL].money, played[HONEST, "none"].money
    )
    assert torch.equal(played["noise delivered", "none"].wad, played[HONEST, "none"].wad)


def test_the_budget_is_split_by_values_and_a_part_waits():
    value, gain = torch.tensor([[3.0, 1.0, -2.0]]).double(), torch.tensor([0.8]).double()
    assert exploits._paid(value, gain, gain, 0.0).tolist() == [75.0]  # 3 of 4 parts of 100
    half = exploits._paid(value, gain, gain / 2, 0.5).tolist()
    assert half == [pytest.approx(37.5 + 37.5 / 2)]  # half of what waits is released


def test_numbers_of_the_page_stand_beside_their_attacks():
    assert set(numbers.EXPLOITS) <= set(ATTACKS) and set(exploits.CONDITIONS.values()) == set(
        DEFENCES
    )
    assert numbers.CORRELATIONS["FedNova", 6000].value == -0.75 and len(numbers.CORRELATIONS) == 8


# --- the market itself ----------------------------------------------------------------------------


def test_in_the_market_renaming_pays_where_nothing_defends():
    truth, renames = (
        market.earned("as stated", strategy, 3) for strategy in ("truthful", "label_permuter")
    )
    # its pilot is honest: the price is that of the truth
    assert bool((renames[0] >= truth[0] - 1e-9).all())
    assert float(renames[1].mean()) < float(truth[1].mean())  # the buyer pays for a worse model


def test_the_evidence_of_the_market_is_about_who_harms(monkeypatch):
    money = {"truthful": (10.0, 5.0), "label_permuter": (8.0, -5.0), "spoofer": (12.0, -9.0)}

    def earned(condition, strategy, n_seeds):
        # all others do the buyer good, and do not count
        own, buyer = money.get(strategy, (99.0, 6.0))
        return torch.full((n_seeds,), own).double(), torch.full((n_seeds,), buyer).double()

    monkeypatch.setattr(market, "earned", earned)
    evidence = market.harm_pays_less("as stated", TINY)
    # 0.9 x 10 less 8 and 12
    assert evidence.samples == {"label_permuter": [1.0, 1.0], "spoofer": [-3.0, -3.0]}
    assert evidence.scale == 10.0 and "effort" in market.harm_pays_less("vocabulary", TINY).untested


# --- private distances ----------------------------------------------------------------------------


def test_triangle_wad_by_its_reference():
    # one point moves all rows alike
    assert float(private.triangle(4, 1, 1.0, 0.5, n=40).error.abs().max()) < 1e-12
    wide, narrow = (private.triangle(4, 20, sigma, 0.5, n=100) for sigma in (1.0, 0.2))
    assert bool((wide.error > narrow.error).all()) and bool((narrow.error > 0).all())
    # the page: 92 % and 58 %
    assert (
        bool((narrow.reidentified >= wide.reidentified).all())
        and float(narrow.reidentified.mean()) > 0.9
    )


def test_the_gaussians_differ_along_one_coordinate():
    x, y = private.gaussians(torch.arange(3), 2000, shift=3.0)
    apart = (y.mean(1) - x.mean(1)).mean(0)
    assert apart.tolist() == pytest.approx([3.0] + [0.0] * 9, abs=0.15)


def test_a_fixed_t_freezes():
    free, fixed = private.history(4, 40, None), private.history(4, 40, 0.5)
    # an upper bound
    assert bool((fixed[:, -1] > free[:, -1]).all()) and bool((free >= -1e-9).all())
    assert float((fixed[:, -2] - fixed[:, -1]).abs().mean()) < 0.01


# --- many sellers ---------------------------------------------------------------------------------


def test_mixtures_of_many_sellers_reach_more_and_more_blocks():
    p = many_sellers.mixtures_of(100, 20, 10)
    assert (
        p.sum(-1).tolist() == pytest.approx([1.0] * 20)
        and int((p > 0).sum(-1).max()) <= many_sellers.MIXED
    )
    blocks = [len((row > 0).nonzero()[:, 0].remainder(10).unique()) for row in p]
    # the first of ten reaches one block of classes
    assert blocks[0] == blocks[10] == 1 and max(blocks) > 4


def test_the_exact_distance_takes_a_mixtures_own_rows():
    parts, goal = (
        torch.randn(12, 5, 3, generator=torch.Generator().manual_seed(0)).double(),
        torch.eye(3).double(),
    )
    p = many_sellers.mixtures_of(12, 6, 4)
    whole = combine_wad(parts, p, goal, method="exact")
    assert many_sellers._exact(parts, p, goal).tolist() == pytest.approx(whole.tolist())


def test_the_additive_distance_goes_with_the_exact_one():
    found = many_sellers.crowd(12, 2, 12)
    assert bool(
        (
            torch.nn.functional.cosine_similarity(
                *(x - x.mean(-1, keepdim=True) for x in (found.sliced, found.exact))
            )
            > 0.8
        ).all()
    )
    assert found.accuracy.shape == (2, 12) and found.seconds > 0


# --- payments -------------------------------------------------------------------------------------


def one(asks, values, budget):
    return Auctions(*(torch.tensor(x).double() for x in ([asks], [values], [budget])))


def test_asks_that_decide_are_tried():
    tried = candidates(one([2.0, 3.0], [2.0, 4.0], 12.0))[0, 0]
    # 3 x 2 / 4: before the other; shares of 12 and of all; its value
    for place in (1.5, 12 * 2 / 6, 12.0, 2.0):
        assert bool((tried - place).abs().min() < 1e-6), place
        assert bool((tried < place).any() and (tried > place).any())


@pytest.mark.parametrize("rule", list(DATA_RULES))
def test_no_ask_earns_more_than_the_cost(rule):
    assert float(regrets(rule, auctions(200)).max()) < 1e-9


def pays_the_ask(asks, values, budget):
    """Buy who asks at most its share, and pay what it asks."""
    bought = (values > 0) & (asks <= budget[:, None] / asks.shape[1])
    return Sales(bought[:, None], torch.where(bought, asks, 0.0)[:, None])


def spends_twice(asks, values, budget):
    """Pay everybody the whole budget."""
    bought = (values > 0) & (asks <= budget[:, None])
    return Sales(bought[:, None], torch.where(bought, budget[:, None], 0.0)[:, None])


@pytest.mark.parametrize(
    ("claim", "experiment", "cheat"),
    [
        ("truthful_ask_procurement", payments.truthful, pays_the_ask),
        ("within_budget_procurement", payments.within_budget, spends_twice),
    ],
)
def test_a_cheating_rule_fails_its_claim(claim, experiment, cheat):
    whole = CLAIMS[f"data_valuation/{claim}"]
    planted = dataclasses.replace(
        whole, experiment=partial(experiment, rule=DataRule("points", cheat, "Not at all."))
    )
    assert str(verdict(whole, {"as stated": measured(whole, "as stated", "quick")})) == "holds"
    found = verdict(planted, {"as stated": measured(planted, "as stated", TINY)})
    assert str(found) == "fails" and found.counterexample


def test_the_regret_of_a_rule_that_pays_the_ask_is_known():
    some = one([1.0, 9.0], [1.0, 1.0], 8.0)  # who asks up to 4 is bought and paid its ask
    assert regrets(DataRule("points", pays_the_ask, "Not at all."), some).tolist() == [
        [pytest.approx(3.0), 0.0]
    ]
