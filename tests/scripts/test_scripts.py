"""The command lines run end to end at toy size."""

import json
import subprocess
import sys
from html import escape
from pathlib import Path

import fork_server
import own_process
import pytest
from in_process import exit_code

from agents.markets import STRATEGIES

ROOT = Path(__file__).resolve().parents[2]


def run(script, *arguments, output, **options):
    """What a script prints in a process of its own, which ends well."""
    code = own_process.ended(own_process.begin(script, *arguments, output=output, **options))
    assert code == 0, (output / "stderr").read_text()[-3000:]
    return (output / "stdout").read_text()


def test_demo_writes_its_report_pictures_and_rounds(tmp_path, capsys):
    toy = "--seeds 2 --rounds 2 --audit reference/budget_balance --workers 1"
    assert exit_code("demo", *toy.split(), "--out", tmp_path) == 0
    out = capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    names = [name for name, s in STRATEGIES.items() if "parameter_trading_v0" in s.markets]
    assert all(name in page for name in names)
    assert "http://" not in page and "https://" not in page  # opens offline
    for picture in ("marketplace", "accuracy", "prices", "network", "differences"):
        assert (tmp_path / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (tmp_path / "rounds.jsonl").read_text().splitlines()]
    assert len(lines) == (len(names) + 1) * 2 * 2  # line-ups (and the one outside) x seeds x rounds
    outside = [line for line in lines if line["strategy"] == "out of the market"]
    assert outside and all(not line["payments"] for line in outside)
    assert (
        out.count("gain over truth (mean)") == 2
        and out.count("an interval wants at least 20") == 1
        and "[95 %]" not in out
    )
    assert page.index("The whole marketplace") < page.index("The parameter market: a tournament")
    assert "developers bought each other's parameters" in out.lower()
    assert "report.html" in out and "reference/budget_balance" in out  # it ends with an audit
    assert "reference/budget_balance" in (tmp_path / "audit" / "report.html").read_text()
    assert list(json.loads((tmp_path / "audit" / "claims.json").read_text())["claims"]) == [
        "reference/budget_balance"
    ]
    assert "Data market: one seller cheats" in page and all(
        name in page for name in ("bait_and_switch", "all audited")
    )
    assert "Resource market: one owner cheats" in page and all(
        name in page for name in ("over_reporter", "fixed_leader")
    )
    sharers = [name for name, s in STRATEGIES.items() if "model_sharing_v0" in s.markets]
    assert (
        all(name in page for name in (*sharers, "ipfl", "pfedgraph"))
        and page.count("data:image/png;base64,") == 9
    )


@pytest.mark.parametrize(
    "script",
    [
        "demo",
        "audit",
        "benchmark",
        "play",
        "train",
        "reproduce",
        "rewrite_playthroughs",
        "rewrite_walk",
        "mutate",
        "verdicts",
    ],
)
def test_every_script_explains_itself(script, capsys):
    assert exit_code(script, "--help") == 0 and "--" in capsys.readouterr().out


NEW = ("demo", "rewrite_playthroughs", "rewrite_walk")  # and mutate, in a test of its own


@pytest.mark.parametrize("script", NEW)
def test_a_script_needs_nothing_that_another_has_imported(script):
    line = [sys.executable, f"scripts/{script}.py", "--help"]
    end = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert end.returncode == 0 and "--" in end.stdout, end.stderr[-3000:]


@pytest.mark.parametrize("script", sorted({*fork_server.SCRIPTS} - {*NEW, "mutate"}))
def test_a_script_needs_no_part_of_ours_that_another_has_imported(script, tmp_path):
    assert "--" in run(script, "--help", output=tmp_path, forget=True)


def test_benchmark_writes_a_list_of_figures(tmp_path):
    run("benchmark", "--quick", "--out", tmp_path / "b.json", output=tmp_path, forks=True)
    found = json.loads((tmp_path / "b.json").read_text())
    assert all({"name", "value", "unit", "command"} <= case.keys() for case in found)
    signed = ("overhead", "gap", "exponent", ": cost", "gain of trade")  # may be 0 or below
    assert all(
        case["value"] > 0 for case in found if not any(word in case["name"] for word in signed)
    )
    assert any("reference_v0" in case["name"] for case in found) and any(
        "digits" in case["name"] for case in found
    )
    assert any(
        "data_market_v0" in case["name"] and case["unit"] == "market-rounds/s" for case in found
    )
    resource = [case for case in found if case["name"].startswith("resource_market_v0")]
    units = {"market-rounds/s", "s/round", "times", "times its time", "agent-rounds/CPU s"}
    assert {case["unit"] for case in resource} == units
    whole = [case for case in found if "marketplace_v0" in case["name"]]
    assert {"market-rounds/CPU s", "CPU s/round", "GiB", "power", "times"} <= {
        case["unit"] for case in whole
    }
    assert any(
        "model_sharing_v0 clear" in case["name"] and case["unit"] == "times" for case in found
    )
    assert any(
        "stackelberg" in case["name"] and "with caps / without" in case["name"] for case in found
    )


def test_play_tells_every_round_and_adds_up(tmp_path):
    out = run("play", "--rounds", "2", "--focal", "shade", output=tmp_path)
    assert "round 1" in out and "round 2" in out and "round 3" not in out
    told = [line.split("Utility: ")[1] for line in out.splitlines() if line.startswith("Utility: ")]
    first = sum(float(part.split("trader_0 ")[1].split(",")[0]) for part in told)
    end = next(line for line in out.splitlines() if line.startswith("trader_0 (shade): utility "))
    assert abs(float(end.split("utility ")[1]) - first) < 2e-3  # printed numbers are rounded


def test_play_names_the_neighbour_of_an_unknown_strategy(capsys):
    assert (
        exit_code("play", "--focal", "shad") != 0
        and "Did you mean 'shade'" in capsys.readouterr().err
    )


def test_reproduce_joins_what_was_run_into_one_page(tmp_path):
    toy = (
        "--seeds 1 --cases 50 --rounds 2 --dimension 8 --examples 6 8 --validation 20 --test 20"
        " --dimensions 2 --workers 1"
    )
    assert exit_code("reproduce", "thm41", *toy.split(), "--out", tmp_path) == 0
    assert exit_code("reproduce", "report", "--out", tmp_path) == 0
    page, found = (
        (tmp_path / "report.html").read_text(),
        json.loads((tmp_path / "thm41.json").read_text()),
    )
    assert all(
        escape(words) in page for words in (found["title"], *(row["what"] for row in found["rows"]))
    )
    assert "data:image/png;base64," in page and "http://" not in page and "https://" not in page


def test_a_report_of_nothing_names_the_fix(tmp_path, capsys):
    assert (
        exit_code("reproduce", "report", "--out", tmp_path) != 0
        and "run a study first" in capsys.readouterr().err
    )
