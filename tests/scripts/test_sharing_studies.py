"""The studies of the model-sharing market run end to end at toy size and say what they are
compared with.
"""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from agents.lineups import find_profile
from marketenv import make_market
from marketenv.core import rounds
from marketenv.markets.model_sharing import Shared
from marketenv.markets.model_sharing.schemes import SCHEMES
from scripts.studies import sharing, sharing_data, sharing_reports

TOY = {"seeds": 2, "rounds": 2, "clients": 3, "steps": 1, "workers": 1}
SIZE = 64 * 32 + 32 + 32 * 10 + 10  # numbers in the default network on digits: 64-32-10


def found(out, name):
    for ending in ("json", "csv", "png"):
        assert (out / f"{name}.{ending}").stat().st_size > 0
    rows = json.loads((out / f"{name}.json").read_text())["rows"]
    return {row["what"]: row for row in rows}


def test_every_scheme_is_compared_on_both_partitions_and_kept(tmp_path):
    config = sharing.Sharing(out=tmp_path, **TOY)
    sharing.ipfl_niid(config)
    rows = found(tmp_path, "ipfl_niid_digits")
    for dealt in ("Dirichlet .1", "5 classes each"):
        for scheme in SCHEMES:
            assert 0 <= rows[f"{scheme}, {dealt}, test accuracy, last round"]["ours"] <= 100
        # who shares nothing gains and pays nothing
        assert rows[f"local, {dealt}, summed utility"]["points"] == [0, 0]
        # truthful reports: nobody loses in a round (theorem 1); utilities are float64 sums
        assert rows[f"ipfl, {dealt}, least utility of any client in any round"]["ours"] >= -1e-9
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "units").glob("*.json")}
    assert len(kept) == 2 * len(SCHEMES) * 2  # partitions x schemes x seeds
    sharing.ipfl_niid(config)
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())


def test_finance_shows_the_numbers_of_the_summary(tmp_path):
    sharing.ipfl_niid(sharing.Sharing(out=tmp_path, setting="finance", **TOY))
    rows = found(tmp_path, "ipfl_niid_finance")
    # arXiv 2505.02462, summary: 5.55 % accuracy and 58.3 utility more than the baselines in finance
    assert rows["ipfl less the best other, Dirichlet .1, test accuracy"]["paper"] == 5.55
    assert rows["ipfl less the best other, Dirichlet .1, summed utility"]["paper"] == 58.3


def test_lambda_and_attacks(tmp_path):
    sharing.ipfl_lambda(sharing.Lambdas(out=tmp_path, strengths=(0.1, 10.0), **TOY))
    edges = found(tmp_path, "ipfl_lambda")
    # distance costs more
    assert edges["lambda 10, models sold"]["ours"] < edges["lambda 0.1, models sold"]["ours"]
    more = TOY | {"clients": 4, "rounds": 3, "steps": 2}
    sharing.ipfl_attack(
        sharing.Attacks(out=tmp_path, strengths=(4.0,), attacks=("gauss", "relay"), **more)
    )
    rows = found(tmp_path, "ipfl_attack")
    honest, gauss = (
        rows[f"lambda 4, {kind}: buyers of client 0"]["points"] for kind in ("honest", "gauss")
    )
    # an honest model stands near enough to be bought; numbers at random stand at distance 1, where
    # lambda 4 isolates them
    assert min(honest) > 0 == max(gauss)
    less = rows["lambda 4, gauss: buyers of client 0 less an honest client's"]["points"]
    assert less == pytest.approx([-points for points in honest])  # seed by seed
    assert "lambda 4, honest: buyers of client 0 less an honest client's" not in rows
    # the mean over three rounds of whole buyers, of three at most
    relayed = rows["lambda 4, relay: buyers of client 0"]["points"]
    assert all(
        3 * points == pytest.approx(round(3 * points)) and 0 <= points <= 3 for points in relayed
    )


def test_an_attacker_is_told_from_its_victims():
    def played(sold, mine, others, last):  # one seed, two rounds, client 0 and two others
        return [
            [
                {"sold": [s, 1, 1], "utility": [m, o, 0], "last": last}
                for s, m, o in zip(sold, mine, others, strict=True)
            ]
        ]

    runs = {
        "honest": played((2, 2), (6, 4), (2, 4), [10, 80, 90]),
        "gauss": played((2, 1), (3, 0), (2, 0), [99, 70, 90]),
    }
    rows = sharing._attack_rows(sharing.Attacks(clients=3), 2.0, runs)
    gauss = {
        row.what.removeprefix("lambda 2, gauss: "): row.points
        for row in rows
        if "gauss" in row.what
    }
    assert gauss == {
        "buyers of client 0": (1.5,),  # (2 + 1) / 2
        "utility of client 0": (1.5,),  # (3 + 0) / 2
        "utility of the others": (0.5,),  # (2 + 0 + 0 + 0) / 4
        "test accuracy of the others, last round": (80,),  # (70 + 90) / 2
        "buyers of client 0 less an honest client's": (-0.5,),  # 1.5 - 2
        "the others' utility less that beside an honest client": (-1,),  # .5 - 6 / 4
        "the others' accuracy less that beside an honest client": (-5,),  # 80 - 85
    }


def test_what_was_derived_before_stands_beside_markets_like_those_only():
    config = sharing.Attacks()
    assert sharing.derived(config, "gauss", 2.0) == "derived before, on digits: .12 of 9"
    # not among those simulations
    assert sharing.derived(config, "gauss", 3.0) == sharing.derived(config, "noise", 2.0) == ""
    for other in ({"clients": 5}, {"cost": 1.0}, {"setting": "mnist"}, {"data": "own.npz"}):
        assert sharing.derived(dataclasses.replace(config, **other), "gauss", 2.0) == ""


def test_what_differs_from_the_paper_is_told():
    assert sharing.Sharing(rounds=50).scaled() == "a task of ours"
    # what the setting has anyway
    assert sharing.Sharing(strength=1.0, eta=5.0).scaled() == "a task of ours"
    told = sharing.Sharing(strength=0.0, eta=2.5, steps=3, rounds=7, clients=4).scaled()
    assert (
        told
        == "a task of ours; rounds 7, the paper's 50; clients 4, the paper's 10; local steps 3, the"
        " default 10; lambda 0, the setting's 1; eta 2.5, the setting's 5"
    )
    assert "cost of a sale for client 0 0, the paper's 1" in sharing.Attacks().scaled()
    assert "cost" not in sharing.Attacks(cost=1.0).scaled()


def test_lies_about_cost_pay_only_by_understating_to_marginal_payments(tmp_path):
    sharing_reports.ipfl_liars(
        sharing_reports.Liars(out=tmp_path, seeds=10, points=4, steps=0, workers=1)
    )
    rows = found(tmp_path, "ipfl_liars")
    gains = {
        payment: rows[f"{payment}: c down, clients that gain"]["ours"]
        for payment in sharing_reports.PRICED
    }
    # derived: a critical value does not depend on what the seller reports, and the marginal one
    # lies above it
    assert gains["critical"] == gains["vcg"] == 0 < gains["marginal"]
    assert all(
        rows[f"{payment}: c up, clients that gain"]["ours"] == 0
        for payment in sharing_reports.PRICED
    )
    # without training an hour saved is all gain: k_i > 0
    assert rows["marginal: effort down, clients that gain"]["ours"] == 100
    assert not any("PPO" in what for what in rows)  # no steps, no learner


def test_a_learner_is_judged_beside_the_grid(tmp_path):
    config = sharing_reports.Liars(
        out=tmp_path, seeds=2, points=1, payments=("vcg",), steps=64, learners=2, workers=1
    )
    assert sharing_reports.Liars().steps > 0  # a plain run has it
    sharing_reports.ipfl_liars(config)
    learners = [row for what, row in found(tmp_path, "ipfl_liars").items() if "PPO learner" in what]
    assert [row["what"].split(",")[0] for row in learners] == [
        f"vcg: PPO learner {k} after 64 steps" for k in (0, 1)
    ]
    for row in learners:
        assert len(row["points"]) == row["seeds"] == sharing_reports.JUDGED  # all of them finite
        assert row["low"] < row["ours"] < row["high"]
    assert learners[0]["points"] != learners[1]["points"]  # each has a seed of its own


def test_markets_count_alike_however_they_are_dealt_to_units(tmp_path, monkeypatch):
    written = []
    for block in (50, 3):  # 7 seeds as one unit, and as 3, 3 and 1
        monkeypatch.setattr(sharing_reports, "BLOCK", block)
        config = sharing_reports.Liars(
            out=tmp_path / str(block), seeds=7, points=2, payments=("vcg",), steps=0, workers=1
        )
        sharing_reports.ipfl_liars(config)
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
    market = sharing_reports.priced_market("marginal")
    n = market.people.count
    earned = sharing_reports.earned(
        market, rounds.begin(market, torch.arange(2).repeat_interleave(n)), lie, abs(a)
    )
    truth = sharing_reports.earned(
        market, rounds.begin(market, torch.arange(2).repeat_interleave(n)), lie, 0.0
    )
    for liar in range(n):
        start = rounds.begin(market, torch.arange(2))
        actions = rounds.act(market, find_profile(market), start)
        actions["client"][:, liar, column] = (
            # 10^a times the truth; of each market the liar's row alone: cost, size, need come first
            a
        )
        _, report = rounds.advance(market, start, actions)
        torch.testing.assert_close(earned[:, liar], report.of(Shared).utility[:, liar])
    assert not torch.equal(earned, truth)


def test_a_lazy_client_alone_saves_its_effort():
    market = sharing_reports.priced_market("marginal")
    n = market.people.count
    start = rounds.begin(market, torch.arange(2).repeat_interleave(n))
    half, full = (sharing_reports.earned(market, start, "effort down", part) for part in (0.5, 0.0))
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
    sharing_reports.ipfl_scale(sharing_reports.Scale(out=tmp_path, clients=(3, 6), seeds=1))
    rows = found(tmp_path, "ipfl_scale")
    for n in (3, 6):
        done = one_round(n).of(Shared)
        edges, buyers = int(done.trades.sum()), int((done.bought > 0).sum())
        assert rows[f"{n} clients: edges"]["points"] == [edges]
        assert rows[f"{n} clients: models bought by a client"]["ours"] == pytest.approx(edges / n)
        # uploads and prox centres
        assert rows[f"{n} clients: sent"]["ours"] == pytest.approx(4 * SIZE * (n + buyers) / 1e6)
        assert 0 < rows[f"{n} clients: graph and payments"]["ours"] < math.inf


def test_a_table_becomes_features():
    numbers, categories = np.array([[1.0], [3.0]], dtype=np.float32), np.array([[0, -1], [2, 1]])
    made = sharing_data.of_table(numbers, categories, np.array([0, 1]), "table")
    # (1, 3) has mean 2 and deviation 1; columns: number, category 0, category 2, and category 1 of
    # the second, missing in row 0
    assert made.x.tolist() == [[-1, 1, 0, 0], [1, 0, 1, 1]]


def test_what_cannot_run_is_refused(tmp_path):
    for wrong, said in (
        ({"setting": "mnits"}, "Did you mean 'mnist'"),
        ({"clients": 2}, "wanted >= 3"),
        ({"rounds": 0}, "wanted >= 1"),
    ):
        with pytest.raises(ValueError, match=said):
            sharing.Sharing(**wrong)
    with pytest.raises(ValueError, match=r"give --data FILE\.npz"):
        sharing.Sharing(data=tmp_path / "none.npz").arguments()
    with pytest.raises(ValueError, match="Did you mean 'gauss'"):
        sharing.Attacks(attacks=("gaus",))
    with pytest.raises(ValueError, match="give strengths in its place"):
        sharing.Lambdas(strength=2.0)
    with pytest.raises(ValueError, match="wanted one or more of marginal, critical, vcg"):
        sharing_reports.Liars(payments=("first_price",))


@pytest.mark.parametrize("setting", ["mnist", "shakespeare"])
def test_settings_beside_the_embedded_ones(setting, tmp_path):
    config = sharing.Sharing(out=tmp_path, setting=setting, **TOY | {"rounds": 1, "seeds": 1})
    try:
        config.arguments()
    except ValueError as error:
        pytest.skip(f"{setting} is not at hand: {error}")
    sharing.ipfl_niid(config)
    assert found(tmp_path, f"ipfl_niid_{setting}")
