"""The studies of data valuation run end to end at toy size, with the reported numbers beside
ours.
"""

import csv
import json

import pytest

from agents.papers.data_valuation import exploits, numbers, private_study, selection
from agents.papers.data_valuation import seller_studies as sellers
from agents.papers.data_valuation import studies as mixed
from agents.papers.data_valuation.attacks import ATTACKS
from scripts import reproduce

SMALL = {"seeds": 1, "workers": 1}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """All six studies in one folder."""
    folder = tmp_path_factory.mktemp("out")
    few = {
        "data": ("digits", "cifar10"),
        "scenarios": ("label_skew", "unlabeled"),
        "steps": 2,
        "out": folder,
    }
    private = {
        "points": 30,
        "sigmas": (0.2, 1.0),
        "shares": (0.1, 0.5),
        "anchors": (1,),
        "steps": 2,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MARKETENV_DATA", raising=False)
        mixed.wad_correlation(mixed.Correlation(**few, **SMALL))
        for study in (mixed.wad_scaling, mixed.wad_selection):
            study(mixed.Wad(**few, **SMALL))
        private_study.wad_private(private_study.Private(out=folder, **private, **SMALL))
        sellers.wad_exploits(sellers.Exploits(out=folder, steps=2, **SMALL))
        sellers.wad_sellers(sellers.Sellers(out=folder, sellers=(3, 12), mixtures=6, **SMALL))
    return folder


def read(out, name):
    facts = json.loads((out / f"{name}.json").read_text())
    return facts, {row["what"]: row for row in facts["rows"]}


@pytest.mark.parametrize("name", [name for name in reproduce.STUDIES if name.startswith("wad_")])
def test_every_study_writes_rows_and_a_picture(out, name):
    facts, rows = read(out, name)
    assert len(rows) == len(facts["rows"]) and facts["notes"] and facts["curves"]  # no row twice
    assert [
        line["what"] for line in csv.DictReader((out / f"{name}.csv").read_text().splitlines())
    ] == list(rows)
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_three_studies_share_one_measurement_and_name_what_is_not_here(out):
    assert (
        len(list((out / "units").glob("*.json")))
        == 2 + 4 + 1 + 2 + 2 + 2 + len(exploits.DEFENCES) + 2 - _shared()
    )
    for name in ("wad_correlation", "wad_scaling", "wad_selection"):
        facts, rows = read(out, name)
        assert any("small/cifar10_8k_2k.npz" in note for note in facts["notes"])
        assert any(what.startswith("digits, unlabeled") for what in rows)
    assert not any(what.startswith("cifar10,") for what in rows)


def test_fedprox_stands_beside_fedavg(out):
    _, rows = read(out, "wad_correlation")
    free, pulled = (
        rows[f"digits, label_skew{by}: r of CombineWad, N = 200"] for by in ("", ", fedprox")
    )
    # -.87 was measured with FedAvg
    assert pulled["ours"] != free["ours"] and pulled["paper"] is None
    less = rows["digits, label_skew, fedprox less fedavg: r of CombineWad, N = 200"]
    assert less["ours"] == pytest.approx(pulled["ours"] - free["ours"])
    _, rows = read(out, "wad_scaling")
    assert rows and not any("fedprox" in what for what in rows)
    with pytest.raises(ValueError, match=r"fedprx.*fedprox"):
        mixed.Correlation(algorithms=("fedprx",))
    with pytest.raises(ValueError, match="one or more"):
        mixed.Correlation(algorithms=())


def _shared():
    """Of the sweep of TriangleWad: its one k, 2 x 2 and 3 reported settings, of which some are
    the same.
    """
    cases = {(1, 1.0, 0.5, 1.0)} | {(100, s, t, 1.0) for s in (0.2, 1.0) for t in (0.1, 0.5)}
    return 1 + 4 + 2 - len(cases | {(100, *key) for key in numbers.TRIANGLE_ERRORS})


def test_reported_numbers_stand_beside_ours(out):
    _, rows = read(out, "wad_correlation")
    assert rows["digits, label_skew: r of CombineWad, N = 100"]["paper"] == -0.87
    assert rows["digits, label_skew: r of AggWad, N = 200"]["paper"] == 0.28
    assert rows["digits, unlabeled: r of CombineWad, N = 100"]["paper"] is None
    reported = [row["paper"] for what, row in rows.items() if "not run here" in what]
    assert reported == [-0.39, -0.36, -0.70, -0.75, -0.73, -0.81, -0.69, -0.69]
    _, rows = read(out, "wad_scaling")
    assert rows["digits, label_skew, projektor: r^2"]["paper"] == 0.88
    assert rows["digits, label_skew, projektor: MAE"]["paper"] == 7.1
    _, rows = read(out, "wad_private")
    assert rows["TriangleWad, k = 100, sigma = 1, t = 0.5, shift 3: error"]["paper"] == 8.0
    assert rows["FedWaD, fixed t: error after 10 iterations"]["paper"] == 24.5
    assert rows["numbers sent by one seller, raw"]["ours"] == 300  # 30 points of 10 coordinates
    _, rows = read(out, "wad_exploits")
    assert rows["none, permutes its labels: true"]["paper"] == 0.533
    assert rows["none, 20 unique points: value"]["paper"] == -0.111
    assert rows["all three, honest: wad"]["paper"] is None  # the page tells of no defence


def test_rows_of_rules_attacks_and_sellers(out):
    _, rows = read(out, "wad_selection")
    assert all(
        rows[f"digits, label_skew: regret, {rule}"]["ours"] >= 0
        for rule in (*selection.ESTIMATED, selection.ANY)
    )
    facts, rows = read(out, "wad_exploits")
    assert rows["audit by the pilot, spoofs, random labels: money"]["points"] == [0.0]
    shares = facts["curves"]["money, % of honest"]
    assert set(shares) == set(ATTACKS) and set(shares["honest"].values()) == {100.0}
    _, rows = read(out, "wad_sellers")
    assert (
        rows["12 sellers: r of sliced with exact"]["paper"] == 0.954
        and rows["3 sellers: 6 mixtures"]["ours"] > 0
    )


def test_wrong_arguments_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="digits"):
        mixed.Wad(data=("digit",))
    with pytest.raises(ValueError, match="one data set"):
        mixed.Wad(seeds=0)
    monkeypatch.delenv("MARKETENV_DATA", raising=False)
    with pytest.raises(ValueError, match="MARKETENV_DATA"):
        mixed.Wad(data=("cifar10",)).here()
