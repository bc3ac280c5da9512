"""The studies of the tripartite game run end to end at toy size, with the reported numbers
beside ours.
"""

import csv
import json

import pytest

from agents.papers.resources_decoupled import deviation_studies as resources_deviations
from agents.papers.resources_decoupled import market_studies as resources_market
from agents.papers.resources_decoupled import numbers
from agents.papers.resources_decoupled import studies as resources
from scripts import reproduce

GAME_ALONE = ("rdfl_utilities", "rdfl_sweeps", "rdfl_dynamics", "rdfl_misreport")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """All four studies in one folder."""
    folder = tmp_path_factory.mktemp("out")
    where = {"out": folder, "workers": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MARKETENV_DATA", raising=False)
        resources.rdfl_utilities(
            resources.Utilities(data=("digits", "mnist"), seeds=2, counts=(2, 10), **where)
        )
        resources.rdfl_sweeps(resources.Sweeps(seeds=2, **where))
        resources_deviations.rdfl_dynamics(
            resources_deviations.Dynamics(owners=(3, 5), games=4, rounds=60, **where)
        )
        resources_deviations.rdfl_misreport(
            resources_deviations.Misreport(games=4, reports=(0.9, 0.95, 1.0), **where)
        )
    return folder


def read(out, name):
    facts = json.loads((out / f"{name}.json").read_text())
    return facts, {row["what"]: row for row in facts["rows"]}


@pytest.mark.parametrize("name", GAME_ALONE)
def test_every_study_writes_rows_and_a_picture(out, name):
    assert name in reproduce.STUDIES
    facts, rows = read(out, name)
    assert len(rows) == len(facts["rows"]) and facts["notes"] and facts["curves"]  # no row twice
    assert [
        line["what"] for line in csv.DictReader((out / f"{name}.csv").read_text().splitlines())
    ] == list(rows)
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_here_is_named(out):
    facts, rows = read(out, "rdfl_utilities")
    assert any("small/mnist_6k_1k.npz" in note for note in facts["notes"]) and not any(
        what.startswith("mnist") for what in rows
    )
    assert rows["digits, size skew, N = 2: utility of the owners, FIXED"]["ours"] == pytest.approx(
        0.25, abs=0.01
    )  # (1 - 1/2) / 2


def test_reported_numbers_stand_beside_ours(out):
    _, rows = read(out, "rdfl_sweeps")
    assert (
        rows["alpha = 5: utility of the leader"]["paper"] == 0.6044
        and rows["alpha = 5: utility of the centres"]["paper"] is None
    )
    assert rows["eta: greatest utility of the leader"]["paper"] == 0.571
    _, rows = read(out, "rdfl_misreport")
    assert all(rows[name]["paper"] == float(digits) for name, digits in numbers.GOLDEN.items())
    assert rows["centres paid by their match that gain by another order, as stated"]["paper"] == 7
    assert rows["agreement of centres: patience"]["ours"] == pytest.approx(10 / 11, abs=1e-4)


def test_reported_gains_go_to_the_data_set_and_the_split_that_they_are_of():
    assert numbers.IID_GAINS["mnist", "leader", "FIXED"].value == 7.03
    assert numbers.IID_GAINS["cifar10", "owners", "RANDOM"].value == 66.8


def test_three_owners_settle_and_five_do_not(out):
    facts, rows = read(out, "rdfl_dynamics")
    assert rows["3 owners, the whole way: games that have settled"]["ours"] == 1
    assert rows["5 owners, the whole way: games that have settled"]["ours"] == 0
    assert rows["5 owners, 2 / N: games that have settled"]["ours"] == 1
    assert len(facts["curves"]["median distance"]["3 owners"]) == 61


def test_wrong_arguments_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="digits"):
        resources.Utilities(data=("digit",))
    with pytest.raises(ValueError, match="two or more"):
        resources.Utilities(counts=(1,))
    monkeypatch.delenv("MARKETENV_DATA", raising=False)
    with pytest.raises(ValueError, match="MARKETENV_DATA"):
        resources.Utilities(data=("mnist",)).here()


# --- play in the market ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_market(tmp_path_factory):
    """Both studies of play in the market in one folder."""
    folder = tmp_path_factory.mktemp("out")
    where = {"out": folder, "workers": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MARKETENV_DATA", raising=False)
        resources_market.rdfl_audit_gaming(
            resources_market.Audits(seeds=1, audits=("no audit", "loss_drop"), **where)
        )
        resources_market.rdfl_accuracy(
            resources_market.Accuracy(
                data=("digits", "mnist"), seeds=1, rounds=2, sequential=False, **where
            )
        )
    return folder


@pytest.mark.parametrize("name", ["rdfl_audit_gaming", "rdfl_accuracy"])
def test_every_study_of_play_writes_rows_and_a_picture(in_market, name):
    assert name in reproduce.STUDIES
    facts, rows = read(in_market, name)
    assert len(rows) == len(facts["rows"]) and facts["notes"] and facts["curves"]  # no row twice
    assert (in_market / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_bad_data_earn_is_told_beside_the_honest(in_market):
    facts, rows = read(in_market, "rdfl_audit_gaming")
    money = facts["curves"]["earned, % of an honest owner"]
    assert money["junk"]["no audit"] == pytest.approx(100) and money["junk"]["loss_drop"] > 200
    assert rows["no audit, junk: what the leader earns more"]["ours"] < 0
    with pytest.raises(ValueError, match="wasserstein"):
        resources_market.Audits(audits=("wassersteen",))


def test_the_summarys_accuracy_stands_beside_what_it_could_mean(in_market):
    facts, rows = read(in_market, "rdfl_accuracy")
    assert (
        rows["digits, weighted mean, with the adjustment: final accuracy over FIXED"]["paper"]
        == 12.7
    )
    assert rows["digits, weighted mean, without: final accuracy over FIXED"]["paper"] is None
    assert any("small/mnist_6k_1k.npz" in note for note in facts["notes"])
    assert len(facts["curves"]["digits, weighted mean"]["FIXED, without"]) == 2
    with pytest.raises(ValueError, match="two rounds"):
        resources_market.Accuracy(rounds=1)
