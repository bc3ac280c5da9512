"""The studies of linear agents and theorems at toy size, from end to end."""

import csv
import json
import math
import shutil
from functools import partial

import pytest
import tyro

from agents.papers.core import study
from agents.papers.core.units import Unit
from agents.papers.train_n_trade import (
    linear_studies,
    related_tasks_study,
    theorem_41_study,
    theorem_51_study,
)
from agents.papers.train_n_trade.linear_studies import Fig3
from agents.papers.train_n_trade.related_tasks_study import Fig4
from agents.papers.train_n_trade.theorem_41_study import Thm41
from agents.papers.train_n_trade.theorem_51_study import Thm51
from marketenv.core import rounds

TOY = {"seeds": 2, "rounds": 4, "workers": 1}
MARKET = TOY | {"dimension": 12, "examples": (6, 10), "validation": 60, "test": 60}
STUDIES = {  # name: (study, toy config, a row that must be there, rows)
    "fig3": (
        linear_studies.fig3,
        partial(Fig3, **MARKET),
        "A leads in the first half, then B",
        4 * 2 + 5,
    ),
    # 3 brokers x (2 losses + purchases) at 2 distances, and 2 claims of each loss
    "fig4": (
        related_tasks_study.fig4,
        partial(Fig4, **MARKET, distances=(0.0, 1.0)),
        "two-task broker, loss: rounds in which A buys, distance 1",
        30,
    ),
    "fig5": (
        linear_studies.fig5,
        partial(Fig3, **MARKET),
        "paper bound: offers that fail though the buyer gains",
        2 * 3 + 2 + 3,
    ),
    # example 5, never 3, rates: 2 dimensions x 4 laws x 4, uniform angle 2 x 5; markets 2 x 3 + 1
    "thm41": (
        theorem_41_study.thm41,
        partial(Thm41, **MARKET, cases=200, dimensions=(2, 5)),
        "all laws: outside the sharp bounds",
        57,
    ),
    # 3 kinds x (8 facts + 2 verdicts + 1 epsilon x 4)
    "thm51": (
        theorem_51_study.thm51,
        partial(Thm51, **TOY, dimensions=(10, 6, 4), epsilons=(2.0,)),
        "plenty of examples: rounds without a gain for B",
        42,
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(STUDIES))


def perform(name, out, **changes):
    play, config, *_ = STUDIES[name]
    play(config(out=out, **changes))
    return (out / f"{name}.json").read_bytes()


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def rows_of(content):
    return {row["what"]: row for row in strict(content)["rows"]}


# --- from end to end ------------------------------------------------------------------------------


@pytest.fixture
def no_picture(monkeypatch):
    """Studies write an empty picture: drawing one takes longer than all the rest."""
    monkeypatch.setattr(study, "png", lambda fig: b"")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every study done once, without a break: its folder by name."""
    folders = {name: tmp_path_factory.mktemp(name) for name in STUDIES}
    for name, folder in folders.items():
        perform(name, folder)
    return folders


@EVERY
def test_every_study_writes_its_rows_as_json_csv_and_a_picture(name, whole):
    folder = whole[name]
    content = (folder / f"{name}.json").read_bytes()
    rows = rows_of(content)
    assert STUDIES[name][2] in rows and len(rows) == STUDIES[name][3]
    for row in rows.values():
        known = [point for point in row["points"] if point is not None]
        assert (len(known), len(row["points"]) - len(known)) == (row["seeds"], row["not_finite"])
        # the example of theorem 4.1 is one case
        assert all(map(math.isfinite, known)) and len(row["points"]) in (1, 2)
    assert sum(row["seeds"] > 0 for row in rows.values()) > 0.9 * len(rows)
    with (folder / f"{name}.csv").open(newline="") as file:
        assert [line["what"] for line in csv.DictReader(file)] == list(rows)
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    result = strict(content)
    assert (result["scaled_down"] != "") == (name != "thm51")
    assert result["curves"] and result["notes"]
    about = result["settings"]
    assert about["seeds"] == 2 and not {"out", "workers", "fresh"} & about.keys()


@EVERY
# inside the first unit, and at the start of its second market or of the next unit
@pytest.mark.parametrize("moment", [3, 9])
def test_a_killed_study_goes_on_and_ends_with_the_same_bytes(
    name, moment, whole, tmp_path, monkeypatch, no_picture
):
    with monkeypatch.context() as patch:
        calls, play_stage = [], rounds.play_stage

        def dies(*arguments):
            calls.append(arguments)
            if len(calls) == moment:
                raise KeyboardInterrupt
            return play_stage(*arguments)

        patch.setattr(rounds, "play_stage", dies)
        with pytest.raises(KeyboardInterrupt):
            perform(name, tmp_path)
    assert not (tmp_path / f"{name}.json").exists()
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "units").glob("*.json")}
    assert perform(name, tmp_path) == (whole[name] / f"{name}.json").read_bytes()
    # what was done was not done again
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    assert len(list((tmp_path / "units").glob("*.json"))) > len(kept)


def test_equal_markets_are_played_once_for_all_studies_of_a_folder(
    whole, tmp_path, monkeypatch, no_picture
):
    shutil.copytree(whole["fig3"], tmp_path, dirs_exist_ok=True)

    def refuse(*arguments):
        raise AssertionError("played again")

    monkeypatch.setattr(linear_studies, "curves", refuse)
    perform("fig5", tmp_path)
    with pytest.raises(RuntimeError, match="played again"):
        perform("fig5", tmp_path, rate=0.02)


def test_the_papers_numbers_are_the_papers(whole):
    # Huang, Vishwakarma, Sala (2023), section 6.1.3: "improve testing loss by 42.84% and 23.88%"
    rows = rows_of((whole["fig3"] / "fig3.json").read_bytes())
    cited = {what: row["paper"] for what, row in rows.items() if row["paper"] is not None}
    assert set(cited.values()) == {42.84, 23.88} and all(
        value == {"A": 42.84, "B": 23.88}[what[0]] for what, value in cited.items()
    )
    # an earlier program, with 4 seeds
    assert "40.9" in rows["A: fall of the test loss against out of the market"]["source"]
    # section 6.1.3: d 1000, 500 and 800 examples, noise variance 0.5, 10,000 examples of the
    # broker, 100 runs
    config = Fig3()
    assert (config.dimension, config.examples) == (1000, (500, 800))
    assert (config.variance, config.validation) == ((0.0, 0.5), 10_000)
    assert config.rounds == 100 and config.seeds >= 20 and linear_studies.smaller(config) == ""
    assert linear_studies.smaller(Fig3(dimension=10)) == "dimension 10, the paper's 1000"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "bad"),
    [
        (Fig3, {"seeds": 0}),
        (Fig3, {"rounds": 0}),
        (Fig3, {"variance": (0.0, -1.0)}),
        (Fig3, {"examples": (0, 5)}),
        (Fig3, {"dimension": 0}),
        (Fig3, {"rate": 0.0}),
        (Fig3, {"workers": -1}),
        (Fig4, {"distances": ()}),
        (Fig4, {"distances": (1.0, 0.5)}),
        (Fig4, {"distances": (-1.0, 0.5)}),
        (Thm41, {"cases": 0}),
        (Thm41, {"dimensions": (1,)}),
        (Thm51, {"rate": -0.1}),
        (Thm51, {"epsilons": (0.0,)}),
        (Thm51, {"dimensions": (1, 2, 3)}),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(config, bad):
    with pytest.raises(ValueError, match="wanted"):
        config(**bad)


@pytest.mark.parametrize("config", [Fig3, Fig4, Thm41, Thm51])
def test_unknown_arguments_are_refused_and_known_ones_explained(config, capsys):
    with pytest.raises(SystemExit) as error:
        tyro.cli(config, args=["--sedes", "3"])
    assert error.value.code == 2
    with pytest.raises(TypeError, match="sedes"):
        config(sedes=3)
    with pytest.raises(SystemExit):
        tyro.cli(config, args=["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "below 20 no interval is shown (default: 20)" in text


def test_units_know_their_arguments():
    arguments = Fig3(**MARKET).arguments()
    units = [Unit(linear_studies.play, {"seed": seed, **arguments}) for seed in (0, 1)]
    assert (
        units[0].name() != units[1].name()
        and units[0].name() == Unit(linear_studies.play, {**arguments, "seed": 0}).name()
    )
