"""The studies of trained clients run end to end at toy size, beside what is reported."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from agents.papers.ipfl import data, runs, studies
from marketenv.markets.model_sharing.schemes import SCHEMES

TOY = {"seeds": 2, "rounds": 2, "clients": 3, "steps": 1, "workers": 1}


def rows_of(out, name):
    for ending in ("json", "csv", "png"):
        assert (out / f"{name}.{ending}").stat().st_size > 0
    rows = json.loads((out / f"{name}.json").read_text())["rows"]
    return {row["what"]: row for row in rows}


def test_every_scheme_is_compared_on_both_partitions_and_kept(tmp_path):
    config = runs.Sharing(out=tmp_path, **TOY)
    studies.ipfl_niid(config)
    rows = rows_of(tmp_path, "ipfl_niid_digits")
    for dealt in ("Dirichlet .1", "5 classes each"):
        for scheme in SCHEMES:
            assert 0 <= rows[f"{scheme}, {dealt}, test accuracy, last round"]["ours"] <= 100
        # who shares nothing gains and pays nothing
        assert rows[f"local, {dealt}, summed utility"]["points"] == [0, 0]
        # truthful reports: nobody loses in a round (theorem 1); utilities are float64 sums
        assert rows[f"ipfl, {dealt}, least utility of any client in any round"]["ours"] >= -1e-9
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "units").glob("*.json")}
    assert len(kept) == 2 * len(SCHEMES) * 2  # partitions x schemes x seeds
    studies.ipfl_niid(config)
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())


def test_finance_shows_the_numbers_of_the_summary(tmp_path):
    studies.ipfl_niid(runs.Sharing(out=tmp_path, setting="finance", **TOY))
    rows = rows_of(tmp_path, "ipfl_niid_finance")
    # arXiv 2505.02462, summary: 5.55 % accuracy and 58.3 utility more than the baselines in finance
    assert rows["ipfl less the best other, Dirichlet .1, test accuracy"]["paper"] == 5.55
    assert rows["ipfl less the best other, Dirichlet .1, summed utility"]["paper"] == 58.3


def test_lambda_and_attacks(tmp_path):
    studies.ipfl_lambda(runs.Lambdas(out=tmp_path, strengths=(0.1, 10.0), **TOY))
    edges = rows_of(tmp_path, "ipfl_lambda")
    # distance costs more
    assert edges["lambda 10, models sold"]["ours"] < edges["lambda 0.1, models sold"]["ours"]
    more = TOY | {"clients": 4, "rounds": 3, "steps": 2}
    studies.ipfl_attack(
        runs.Attacks(out=tmp_path, strengths=(4.0,), attacks=("gauss", "relay"), **more)
    )
    rows = rows_of(tmp_path, "ipfl_attack")
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
    def markets(sold, mine, others, last):  # one seed, two rounds, client 0 and two others
        return [
            [
                {"sold": [s, 1, 1], "utility": [m, o, 0], "last": last}
                for s, m, o in zip(sold, mine, others, strict=True)
            ]
        ]

    by_kind = {
        "honest": markets((2, 2), (6, 4), (2, 4), [10, 80, 90]),
        "gauss": markets((2, 1), (3, 0), (2, 0), [99, 70, 90]),
    }
    rows = studies._attack_rows(runs.Attacks(clients=3), 2.0, by_kind)
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


def test_what_was_simulated_before_stands_beside_markets_like_those_only():
    config, earlier = runs.Attacks(), studies.earlier_buyers
    assert earlier(config, "gauss", 2.0) == "simulated before this library, on digits: 0.12 of 9"
    # not among those simulations
    assert earlier(config, "gauss", 3.0) == earlier(config, "noise", 2.0) == ""
    for other in ({"clients": 5}, {"cost": 1.0}, {"setting": "mnist"}, {"data": Path("own.npz")}):
        assert earlier(dataclasses.replace(config, **other), "gauss", 2.0) == ""


def test_what_differs_from_the_paper_is_told():
    assert runs.Sharing(rounds=50).scaled() == "a task of ours"
    # what the setting has anyway
    assert runs.Sharing(strength=1.0, eta=5.0).scaled() == "a task of ours"
    told = runs.Sharing(strength=0.0, eta=2.5, steps=3, rounds=7, clients=4).scaled()
    assert (
        told
        == "a task of ours; rounds 7, the paper's 50; clients 4, the paper's 10; local steps 3, the"
        " default 10; lambda 0, the setting's 1; eta 2.5, the setting's 5"
    )
    assert "cost of a sale for client 0 0, the paper's 1" in runs.Attacks().scaled()
    assert "cost" not in runs.Attacks(cost=1.0).scaled()


def test_a_table_becomes_features():
    numbers, categories = np.array([[1.0], [3.0]], dtype=np.float32), np.array([[0, -1], [2, 1]])
    made = data.of_table(numbers, categories, np.array([0, 1]), "table")
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
            runs.Sharing(**wrong)
    with pytest.raises(ValueError, match=r"give --data FILE\.npz"):
        runs.Sharing(data=tmp_path / "none.npz").arguments()
    with pytest.raises(ValueError, match="Did you mean 'gauss'"):
        runs.Attacks(attacks=("gaus",))
    with pytest.raises(ValueError, match="give strengths in its place"):
        runs.Lambdas(strength=2.0)


@pytest.mark.parametrize("setting", ["mnist", "shakespeare"])
def test_settings_beside_the_embedded_ones(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "SCHEMES", ("local", "ipfl"))  # the data are new, the schemes not
    config = runs.Sharing(out=tmp_path, setting=setting, **TOY | {"rounds": 1, "seeds": 1})
    try:
        config.arguments()
    except ValueError as error:
        pytest.skip(f"{setting} is not at hand: {error}")
    studies.ipfl_niid(config)
    assert rows_of(tmp_path, f"ipfl_niid_{setting}")
