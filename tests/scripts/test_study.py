"""The frame of the studies: rows, units of work, and two runs in one folder."""

import json

import numpy as np
import own_process
import pytest

from agents.papers.core import study
from agents.papers.core.units import Unit
from agents.papers.train_n_trade import per_seed


def shown(*points):
    return study.Row(what="a number", unit="points", paper=1.0, points=points).shown()


def test_an_interval_needs_twenty_points_that_mostly_differ():
    # of yes and no, or mostly zeros, the bootstrap would promise 95 % and cover far less
    spread = shown(*map(float, range(20)))
    assert spread["low"] < 9.5 < spread["high"] and spread["ours"] == 9.5  # mean of 0..19
    for points in ((1.0,) + (0.0,) * 19, (0.0,) * 20, tuple(map(float, range(19)))):
        row = shown(*points)
        assert row["low"] is None and (row["least"], row["most"]) == (min(points), max(points))


def test_points_that_are_not_finite_are_counted_and_left_out():
    row = shown(1.0, float("inf"), 3.0, float("nan"))
    assert (row["ours"], row["least"], row["most"], row["seeds"], row["not_finite"]) == (
        2.0,
        1.0,
        3.0,
        2,
        2,
    )
    assert row["points"] == [1.0, None, 3.0, None] and "2 (2 not finite)" in study.cells(row)
    json.dumps(row, allow_nan=False)
    nothing = shown(float("inf"))
    assert (
        nothing["ours"] is None
        and nothing["seeds"] == 0
        and study.cells(nothing)[3:5] == ("-", "-")
    )


def test_a_share_of_nothing_is_no_number():
    among, of = np.array([[True, True], [False, False]]), np.array([[True, False], [True, True]])
    found = per_seed.share(of, among)
    assert found[0] == 50.0 and np.isnan(found[1])


def double(folder, value, path="", fail=False):
    if fail:
        raise RuntimeError("killed")
    return 2 * value


def test_done_units_are_kept_and_failed_ones_are_not(tmp_path):
    common = study.Common(out=tmp_path, workers=1)
    with pytest.raises(RuntimeError, match="killed"):
        study.run(
            [Unit(double, {"value": 1}), Unit(double, {"value": 2, "fail": True})], common, "units"
        )
    assert len(list((tmp_path / "units").glob("*.json"))) == 1
    assert study.run([Unit(double, {"value": 1})], common, "units") == [2]


def test_a_unit_on_a_changed_file_is_another_unit(tmp_path):
    data = tmp_path / "data.npz"
    data.write_bytes(b"one")
    before = Unit(double, {"value": 1, "path": str(data)}).name()
    assert before == Unit(double, {"path": str(data), "value": 1}).name()
    data.write_bytes(b"other")
    assert before != Unit(double, {"value": 1, "path": str(data)}).name()


def test_an_empty_text_names_no_folder(tmp_path, monkeypatch):
    # as where no folder of large data is set: else every file written here would be new data
    monkeypatch.chdir(tmp_path)
    before = Unit(double, {"value": 1, "path": ""}).name()
    (tmp_path / "results").mkdir()
    assert before == Unit(double, {"value": 1, "path": ""}).name()


def test_two_runs_in_one_folder_do_not_disturb_each_other(tmp_path):
    toy = "--seeds 2 --rounds 3 --dimension 8 --examples 6 8 --validation 20 --test 20 --workers 1"
    words, folders = ("fig3", *toy.split(), "--out", tmp_path), [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
    both = [own_process.begin("reproduce", *words, output=folder) for folder in folders]
    codes = [own_process.ended(run, 200) for run in both]
    assert codes == [0, 0], [(folder / "stderr").read_text()[-2000:] for folder in folders]
