"""The studies of iPFL's market without training run end to end at toy size."""

import json
import math

import pytest
import torch

from agents.lineups import find_profile
from agents.papers.ipfl import drawn_studies, lies
from agents.papers.ipfl.lies import earned, for_each_liar, priced_market
from agents.papers.ipfl.settings import PAYMENTS
from marketenv import make_market
from marketenv.core import rounds
from marketenv.markets.model_sharing import Shared

SIZE = 64 * 32 + 32 + 32 * 10 + 10  # numbers in the default network on digits: 64-32-10


def rows_of(out, name):
    for ending in ("json", "csv", "png"):
        assert (out / f"{name}.{ending}").stat().st_size > 0
    rows = json.loads((out / f"{name}.json").read_text())["rows"]
    return {row["what"]: row for row in rows}


def test_lies_about_cost_pay_only_by_understating_to_marginal_payments(tmp_path):
    drawn_studies.ipfl_liars(
        drawn_studies.Liars(out=tmp_path, seeds=10, points=4, steps=0, workers=1)
    )
    rows = rows_of(tmp_path, "ipfl_liars")
    gains = {payment: rows[f"{payment}: c down, clients that gain"]["ours"] for payment in PAYMENTS}
    # derived: a critical value does not depend on what the seller reports, and the marginal one
    # lies above it
    assert gains["critical"] == gains["vcg"] == 0 < gains["marginal"]
    assert all(rows[f"{payment}: c up, clients that gain"]["ours"] == 0 for payment in PAYMENTS)
    # without training an hour saved is all gain: k_i > 0
    assert rows["marginal: effort down, clients that gain"]["ours"] == 100
    assert not any("PPO" in what for what in rows)  # no steps, no learner


def test_a_learner_is_judged_beside_the_grid(tmp_path):
    config = drawn_studies.Liars(
        out=tmp_path, seeds=2, points=1, payments=("vcg",), steps=64, learners=2, workers=1
    )
    assert drawn_studies.Liars().steps > 0  # a plain run has it
    drawn_studies.ipfl_liars(config)
    learners = [
        row for what, row in rows_of(tmp_path, "ipfl_liars").items() if "PPO learner" in what
    ]
    assert [row["what"].split(",")[0] for row in learners] == [
        f"vcg: PPO learner {k} after 64 steps" for k in (0, 1)
    ]
    for row in learners:
        assert len(row["points"]) == row["seeds"] == lies.JUDGED  # all of them finite
        assert row["low"] < row["ours"] < row["high"]
    assert learners[0]["points"] != learners[1]["points"]  # each has a seed of its own


def test_markets_count_alike_however_they_are_dealt_to_units(tmp_path, monkeypatch):
    written = []
    for block in (50, 3):  # 7 seeds as one unit, and as 3, 3 and 1
        monkeypatch.setattr(drawn_studies, "BLOCK", block)
        config = drawn_studies.Liars(
            out=tmp_path / str(block), seeds=7, points=2, payments=("vcg",), steps=0, workers=1
        )
        drawn_studies.ipfl_liars(config)
        written.append(json.loads((tmp_path / str(block) / "ipfl_liars.json").read_text()))
    whole, dealt = written
    assert len(list((tmp_path / "3" / "units").glob("*.json"))) == 3
    for name, curve in whole["curves"].items():
        assert len(curve) == 2 and dealt["curves"][name] == pytest.approx(curve)
    for row, other in zip(whole["rows"], dealt["rows"], strict=True):
        assert len(row["points"]) == 7 and other["points"] == pytest.approx(row["points"])


@pytest.mark.parametrize(
    ("lie", "column", "a"), [("c up", 0, 0.5), ("N down", 1, -0.3), ("K up", 2, 0.4)]
)
def test_a_liar_lies_alone(lie, column, a):
    market = priced_market("marginal")
    n = market.people.count
    start = for_each_liar(market, torch.arange(2))
    lying, truth = earned(market, start, lie, abs(a)), earned(market, start, lie, 0.0)
    for liar in range(n):
        start = rounds.begin(market, torch.arange(2))
        actions = rounds.act(market, find_profile(market), start)
        actions["client"][:, liar, column] = (
            # 10^a times the truth; of each market the liar's row alone: cost, size, need come first
            a
        )
        _, report = rounds.advance(market, start, actions)
        torch.testing.assert_close(lying[:, liar], report.of(Shared).utility[:, liar])
    assert not torch.equal(lying, truth)


def test_a_lazy_client_alone_saves_its_effort():
    market = priced_market("marginal")
    n = market.people.count
    start = for_each_liar(market, torch.arange(2))
    half, full = (earned(market, start, "effort down", part) for part in (0.5, 0.0))
    own = start.floor.types["client"]["effort_cost"].view(2, n, n)[:, 0].to(half)
    # half of the lie is half of the effort, and without training nothing but its cost k_i depends
    # on it
    torch.testing.assert_close(half - full, own / 2)


def one_round(n):
    """The report of the truthful market of seed 0."""
    market = make_market("model_sharing_v0", learner=None, n_agents=n, max_cycles=1)
    start = rounds.begin(market, torch.tensor([0]))
    return rounds.advance(market, start, rounds.act(market, find_profile(market), start))[1]


def test_sizes_of_markets(tmp_path):
    drawn_studies.ipfl_scale(drawn_studies.Scale(out=tmp_path, clients=(3, 6), seeds=1))
    rows = rows_of(tmp_path, "ipfl_scale")
    for n in (3, 6):
        done = one_round(n).of(Shared)
        edges, buyers = int(done.trades.sum()), int((done.bought > 0).sum())
        assert rows[f"{n} clients: edges"]["points"] == [edges]
        assert rows[f"{n} clients: models bought by a client"]["ours"] == pytest.approx(edges / n)
        # uploads and prox centres
        assert rows[f"{n} clients: sent"]["ours"] == pytest.approx(4 * SIZE * (n + buyers) / 1e6)
        assert 0 < rows[f"{n} clients: graph and payments"]["ours"] < math.inf


def test_what_cannot_run_is_refused():
    with pytest.raises(ValueError, match="wanted one or more of marginal, critical, vcg"):
        drawn_studies.Liars(payments=("first_price",))
