"""Two linear agents: what both gain, who leads, what models cost, and related tasks."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from agents.papers import AS_STATED, CLAIMS, EFFORTS, measure, verdict
from agents.papers.train_n_trade import linear_experiments, per_seed, related_tasks
from agents.papers.train_n_trade.episodes import everybody, note
from agents.papers.train_n_trade.linear_experiments import fall, negotiated, turns
from agents.papers.train_n_trade.linear_market import FEWER, market_of, own_weights
from agents.papers.train_n_trade.linear_studies import Fig3, play, play_figure_3
from agents.papers.train_n_trade.methods import Ending
from agents.stress import JUDGE, seeds_of
from marketenv.core import rounds

TINY = dataclasses.replace(
    EFFORTS["quick"], name="tiny", seeds=2, digits=2, linear=(2, 4, 8), cases=400
)

# --- the market -----------------------------------------------------------------------------------


def test_figure_3_improves_both_losses_at_a_fifth_of_its_size(tmp_path):
    sizes = {"dimension": 200, "examples": (100, 160), "validation": 2000, "test": 2000}
    # only rate * rounds matters
    config = Fig3(out=tmp_path, workers=1, seeds=2, rounds=25, rate=0.04, **sizes)
    inside, outside = play_figure_3(config, "a fifth").values()
    falls = fall(inside["test"], outside["test"])[:, -1]
    # the paper's 42.84 and 23.88 %, an earlier program's 40.9 ± 2.5 and 24.7 ± 1.4 % at d = 1000; a
    # fifth of that spreads more
    assert (np.abs(falls.mean(0) - (41, 24)) < 10).all() and (falls > 0).all()
    exact = fall(inside["error"], outside["error"])[:, -1]
    assert np.abs(falls - exact).max() < 3  # |theta - theta*|^2 / 2 is the expected test loss
    assert not outside["bought"].any() and inside["bought"].mean() > 0.3
    # the same first step on the same seeds
    assert np.array_equal(outside["trained"][:, 0], inside["trained"][:, 0])


SIZES = {"rounds": 4, "dimension": 12, "examples": (6, 10), "validation": 60, "test": 60}
ARGUMENTS = Fig3(**SIZES).arguments()


def quotes_of(seed=3, **broker):
    market = market_of(ARGUMENTS | {"distance": 1.0}, **broker)
    now = rounds.begin(market, torch.tensor([seed]))
    now, _ = rounds.advance(market, now, rounds.act(market, everybody(market, "truthful"), now))
    return market, now.quotes, now.floor.world


def test_an_own_task_broker_finds_the_weight_that_is_best_for_the_buyers_task():
    _, quotes, world = quotes_of(alpha=own_weights)
    gram, optimum = world.content.exam.made.gram[0], world.optimum[0].double()
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)[1:]
    for buyer, seller in ((0, 1), (1, 0)):
        own, other = quotes.trained[0, [buyer, seller]].double()
        # noiseless labels of the buyer's task
        errors = own + grid[:, None] * (other - own) - optimum[buyer]
        best = grid[((errors @ gram) * errors).sum(-1).argmin()]
        assert float(quotes.alpha[0, buyer, seller]) == pytest.approx(float(best), abs=1e-3)


def test_a_two_task_broker_serves_the_average_of_both_tasks():
    _, mixed, _ = quotes_of()
    _, own, _ = quotes_of(alpha=own_weights)
    # its labels are noiseless and alternate between the tasks, so both weights lead to one point:
    # alpha + beta = 1
    assert float(mixed.alpha[0].sum()) == pytest.approx(1, abs=1e-5)
    assert abs(float(own.alpha[0].sum()) - 1) > 0.05


def test_gains_are_noted_with_more_digits_than_the_market_quotes():
    market, quotes, _ = quotes_of(alpha=own_weights)
    now, report = rounds.advance(
        market, rounds.begin(market, torch.tensor([3])), {"trader": torch.zeros(1, 2, 3)}
    )
    noted = note(market, quotes, now, report)
    shown = quotes.gain.shown[0, [0, 1], [1, 0]].double()
    assert (
        torch.allclose(noted["gain"][0], shown, rtol=1e-5) and noted["gain"].dtype == torch.float64
    )
    assert not torch.equal(noted["gain"][0], shown)


def test_claims_and_studies_play_the_same_market(tmp_path):
    """What figure 3's claim notes of a seed is what its study notes of it, at the same sizes."""
    effort = dataclasses.replace(EFFORTS["quick"], linear=(2, 4, 10))
    curves, _ = linear_experiments.rounds_of(FEWER, effort)
    noise = (0.0, math.sqrt(0.5))
    sizes = {
        "rounds": 4,
        "dimension": 10,
        "examples": (5, 8),
        "validation": 100,
        "test": 100,
        "rate": 1 / 4,
        "noise": noise,
    }
    study = play(tmp_path, int(seeds_of(JUDGE, 2)[1]), ("in",), **sizes)["in"]
    for name in ("trained", "error", "gain", "bought"):
        assert np.allclose(curves[name][1], study[name], rtol=1e-4), name


# --- figures 3 and 5 ------------------------------------------------------------------------------

# of ten rounds: A leads in the first half, B in the last tenth
FIRST, LAST = [0.9] * 5, [1.0] * 4 + [1.3]


def runs(first_and_last, others):
    """Fifteen runs of the first kind and five of the second [seeds, rounds]."""
    return np.array([first_and_last] * 15 + [others] * 5)


@pytest.mark.parametrize(
    ("rows", "word"),
    [((FIRST + LAST, LAST + FIRST), "holds"), ((LAST + FIRST, FIRST + LAST), "fails")],
)
def test_who_leads_and_whose_model_is_dearer_is_seen_in_most_runs(rows, word, monkeypatch):
    """15 of 20 runs are half or more (above 0.509), and 5 are not (below 0.491); the two
    conditions share the chance of a miss.
    """
    ratio = runs(*rows)
    errors = {"trained": np.stack([ratio, np.ones_like(ratio)], -1)}
    monkeypatch.setattr(
        linear_experiments, "rounds_of", lambda condition, effort: (errors, "planted")
    )
    evidence = linear_experiments.figure_3_lead(AS_STATED, TINY)
    assert evidence.samples["runs that show it"] == (
        [1.0] * 15 + [0.0] * 5 if word == "holds" else [0.0] * 15 + [1.0] * 5
    )
    claim = dataclasses.replace(CLAIMS["train_n_trade/figure_3_lead"], conditions=(AS_STATED,))
    assert str(verdict(claim, {AS_STATED: evidence})) == word
    # the dearer model is that of the agent with the smaller error
    prices = np.stack([np.ones_like(ratio), ratio], -1)
    monkeypatch.setattr(linear_experiments, "negotiated", lambda played, form: (prices, None))
    claim = dataclasses.replace(CLAIMS["train_n_trade/figure_5"], conditions=(AS_STATED,))
    evidence = linear_experiments.figure_5(AS_STATED, TINY)
    assert str(verdict(claim, {AS_STATED: evidence})) == word


def test_runs_without_a_price_in_their_first_half_say_nothing(monkeypatch):
    prices = np.ones((2, 10, 2))
    prices[0, :5, 1] = np.nan
    monkeypatch.setattr(
        linear_experiments, "rounds_of", lambda condition, effort: ({"x": prices}, "planted")
    )
    monkeypatch.setattr(linear_experiments, "negotiated", lambda played, form: (prices, None))
    assert linear_experiments.figure_5(AS_STATED, TINY).samples["runs that show it"] == [0.0]
    prices[1] = np.nan
    assert "in no run" in linear_experiments.figure_5(AS_STATED, TINY).untested


def test_the_papers_own_size_waits_for_an_effort_that_has_seeds_for_it():
    for name in ("figure_3_lead", "figure_5"):
        assert "standard" in measure(f"train_n_trade/{name}", AS_STATED, "quick")["untested"]
    assert [effort.paper for effort in EFFORTS.values()] == [0, 20, 100]


def test_who_leads_first_and_last():
    first, last = np.full(5, 0.9), np.array([1.0, 1.0, 1.0, 1.0, 1.2])
    # A then B; B then A; tied
    runs = np.stack([np.r_[first, last], np.r_[last, first], np.ones(10)])
    assert turns(runs, 1.0).tolist() == [1, 0, 0]


def test_prices_are_midpoints_and_stay_where_nothing_is_sold():
    # [seed, rounds, buyers]: B gains nothing in the second round
    gain = np.array([[[1.5, 1.2], [1.5, 0.9], [1.4, 1.1]]])
    alpha = np.array([[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]])
    bought = np.array([[[0, 1], [0, 0], [1, 1]]])
    price, agreed = negotiated({"gain": gain, "alpha": alpha, "bought": bought}, "paper")
    # alpha = beta = 1/2, so c = 1/2: A, with r = sqrt 1.5, asks ((1 - r/2) / (1/2 + r/2))^2 = ((2 -
    # r) / (1 + r))^2 of B
    ask = lambda own: ((2 - math.sqrt(own)) / (1 + math.sqrt(own))) ** 2  # noqa: E731
    of_a = [(1.2 + ask(1.5)) / 2, (1.2 + ask(1.5)) / 2, (1.1 + ask(1.4)) / 2]
    assert price[0, :, 0].tolist() == pytest.approx(of_a)
    assert np.isnan(price[0, :2, 1]).all() and price[0, 2, 1] == pytest.approx((1.4 + ask(1.1)) / 2)
    assert agreed[0].tolist() == [[True, False], [False, False], [True, True]]
    assert per_seed.mean(price)[2].tolist() == price[0, 2].tolist() and np.isnan(
        per_seed.mean(price)[0, 1]
    )


# --- falls ----------------------------------------------------------------------------------------


def test_figure_4_falls_where_the_nearer_task_brings_more(monkeypatch):
    """Planted falls of 40, 30, 20, 10 % from the nearest task to the farthest: each brings 10
    points more than the next.
    """
    falls = dict(zip(related_tasks.DISTANCES, (40.0, 30.0, 20.0, 10.0), strict=True))
    monkeypatch.setattr(
        related_tasks,
        "own_fall",
        lambda arguments, distance, broker, seeds: torch.full_like(seeds.double(), falls[distance]),
    )
    samples = related_tasks.figure_4(True, FEWER, TINY).samples
    assert len(samples) == 3 and all(points == [10.0] * len(points) for points in samples.values())


def test_falls_have_their_sign(monkeypatch):
    """Planted: a test loss of 3 by trading, of 4 without: a fall of 25 %."""

    def planted(options, method, seeds):
        loss = torch.full((len(seeds), 2), 3.0 if method == "aligned" else 4.0).double()
        return Ending(loss, loss, [])

    monkeypatch.setattr(linear_experiments, "played", planted)
    monkeypatch.setattr(linear_experiments, "trades", lambda reports: ())
    for points in linear_experiments.both_gain(FEWER, TINY).samples.values():
        assert points == pytest.approx([25.0] * len(points))
    off = linear_experiments.figure_3(FEWER, TINY).samples
    for name, paper in {"A": 42.84, "B": 23.88}.items():  # 25 % is less than A's, more than B's
        assert off[f"{name} above {paper} %"] == pytest.approx([25 / paper - 1] * 2)
        assert off[f"{name} below {paper} %"] == pytest.approx([1 - 25 / paper] * 2)
