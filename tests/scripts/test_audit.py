"""The audit: planted claims reach every verdict; kills, failures and engines change no byte of
what it writes.
"""

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import own_process
import pytest
from in_process import exit_code
from joblib.externals.loky import get_reusable_executor

from agents.papers.core.audit import choose, find_claims
from agents.papers.core.units import ROOT
from scripts.audit import AuditConfig, main

HERE = Path(__file__).parent
TABLE = "planted_claims:CLAIMS"
# why each: planted_claims puts noise of spread 0.1 / sqrt(64) around these means, far from or right
# at the tolerance
WORDS = {
    "holds": "holds",  # 1 against at least 0.5
    "fails": "fails",  # 1 against at most 0
    # 1 as stated, -1 with patience, against at most 0
    "depends": "fails as stated; holds under: with patience",
    "straddles": "inconclusive",  # 0 against at most 0
    # -1 against at most 0, but only searched
    "searched": "not tested as stated; no gain above eps found under: with patience",
    "rarely": "inconclusive",  # none of 64 above: the share may be 5 %, and 1 % is wanted
    "breaks": "holds",  # -1 against at most 0
    "untested": "not tested here",
}


@pytest.fixture(scope="session", autouse=True)
def failures(tmp_path_factory):
    """The file that makes planted/breaks fail; its place is fixed, since processes keep the
    environment they began with.
    """
    file = tmp_path_factory.mktemp("failures") / "lines"
    get_reusable_executor().shutdown()  # processes of other tests began without that place
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_FAILURES", str(file))
        yield file


def audit(out, code=0, **options):
    assert (
        main(AuditConfig(module=TABLE, budget="quick", out=out, **({"workers": 1} | options)))
        == code
    )
    return (out / "claims.json").read_bytes()


@pytest.fixture(scope="session")
def whole(tmp_path_factory, failures, pictures_once):
    """An audit in one process that nothing disturbed: its folder, and the bytes of its evidence."""
    out = tmp_path_factory.mktemp("audit")
    return out, audit(out)


def words(out, *more):
    return ("--module", TABLE, "--budget", "quick", "--out", str(out), *more)


def begin(out, printed, *more, **variables):
    """The audit as a process of its own, which prints to a folder."""
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables |= {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    return own_process.begin("audit", *words(out, *more), output=printed, **variables)


def kept(out):
    """When each finished experiment was written."""
    return {file: file.stat().st_mtime_ns for file in out.glob("units/*.json")}


def kill(out, printed, more_than, later, *more, seconds):
    """Begin an audit, and kill it a while after it has more experiments than that; its
    processes may outlive it a little.
    """
    child = begin(out, printed, *more, PLANTED_SECONDS=seconds)
    own_process.wait(lambda: len(kept(out)) > more_than, child)
    time.sleep(later)
    child.kill()
    child.join()
    return child


def parsed(text):
    return json.loads(text)["claims"]


def test_every_verdict_is_reached_and_told(whole, capsys):
    found = parsed(whole[1])
    assert {name.split("/")[1]: one["verdict"] for name, one in found.items()} == WORDS
    fails, untested = found["planted/fails"], found["planted/untested"]
    assert fails["counterexample"] == "seed 3 gains 1.2" and "it needs a moon" in untested["why"]
    stated = fails["found"]["as stated"]
    assert stated["evidence"]["seeds"] == "0..63" and stated["figures"][0]["samples"] == 64
    assert stated["wanted"] == "mean <= 0 money"
    assert audit(whole[0]) == whole[1]
    printed = capsys.readouterr().out
    for words in (
        "planted/",
        "fails as stated; holds under",
        "inconclusive",
        "not tested here",
        "claims.json",
        "report.html",
    ):
        assert words in printed


def test_the_evidence_holds_no_times_and_no_places(whole):
    text = whole[1].decode()
    assert (
        "seconds" not in text
        and str(whole[0]) not in text
        and str(ROOT) not in text
        and "NaN" not in text
    )
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_what_is_measured_is_kept_unless_it_is_not_wanted(whole, tmp_path):
    assert len(parsed(audit(tmp_path, claims=("planted/h*", "planted/fails")))) == 2
    first = kept(tmp_path)
    assert len(first) == 2
    audit(tmp_path, market=("east",))
    assert {file: moment for file, moment in kept(tmp_path).items() if file in first} == first
    assert audit(tmp_path, resume=False) == whole[1]
    assert all(kept(tmp_path)[file] > moment for file, moment in first.items())


def test_an_audit_killed_at_random_moments_ends_with_the_same_bytes(
    whole, tmp_path, tmp_path_factory
):
    printed = tmp_path_factory.mktemp("printed")
    moments, killed = random.Random(0), []
    for workers in ("2", "1", "1"):  # every process takes seconds to begin
        later = moments.uniform(0, 0.5)
        options = ("--workers", workers)
        killed.append(kill(tmp_path, printed, len(kept(tmp_path)), later, *options, seconds="0.3"))
    before = kept(tmp_path)
    assert len(before) >= 3 and not (tmp_path / "claims.json").exists()
    assert audit(tmp_path, workers=2) == whole[1]  # what is left, in processes
    assert kept(tmp_path).items() >= before.items()  # nothing finished was done again
    for child in killed:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # processes of its own would wait for work


def test_processes_give_the_bytes_of_one_process(whole, tmp_path):
    assert audit(tmp_path, workers=2) == whole[1]


def test_an_experiment_that_fails_once_is_tried_again(whole, tmp_path, failures):
    failures.write_text("once")
    assert audit(tmp_path) == whole[1]


def test_an_experiment_that_cannot_be_run_is_reported_and_the_others_are_kept(
    whole, tmp_path, failures, capsys
):
    failures.write_text("once\ntwice")
    found, printed = parsed(audit(tmp_path, code=1)), capsys.readouterr().out
    assert "planted: twice" in printed and "could not" in printed
    assert found["planted/breaks"]["errors"] == {"as stated": "RuntimeError: planted: twice"}
    assert {name.split("/")[1]: one["verdict"] for name, one in found.items()} == WORDS | {
        "breaks": "could not be run"
    }
    page = (tmp_path / "report.html").read_text()
    assert "planted: twice" in page and "could not be run" in page
    assert "planted: twice" in next((tmp_path / "units").glob("*.error")).read_text()
    assert audit(tmp_path) == whole[1]  # the failures are used up


def test_a_worker_that_dies_takes_no_other_experiment_with_it(whole, tmp_path, failures):
    failures.write_text("die\ndie")
    found = parsed(audit(tmp_path, code=1, workers=2))
    assert {name: list(one["errors"]) for name, one in found.items() if one["errors"]} == {
        "planted/breaks": ["as stated"]
    }
    assert "worker was lost" in found["planted/breaks"]["errors"]["as stated"]
    assert audit(tmp_path) == whole[1]


# --- a cluster ------------------------------------------------------------------------------------


def test_an_audit_on_two_processes_of_ray_that_is_killed_ends_with_the_bytes_of_one_process(
    whole, tmp_path, tmp_path_factory
):
    printed = tmp_path_factory.mktemp("printed")
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'marketenv[ray]'")
    kill(tmp_path, printed, 0, 0.0, "--engine", "ray", "--workers", "2", seconds="1")
    before = kept(tmp_path)
    # kept as they came, before all were done
    assert 0 < len(before) < 9 and not (tmp_path / "claims.json").exists()
    again = begin(tmp_path, printed, "--engine", "ray", "--workers", "2")
    assert own_process.ended(again) == 0, (printed / "stderr").read_text()[-3000:]
    assert kept(tmp_path).items() >= before.items()
    assert (tmp_path / "claims.json").read_bytes() == whole[1]


# --- choosing -------------------------------------------------------------------------------------


def test_claims_are_chosen_by_market_and_pattern():
    claims = find_claims(TABLE)
    assert list(choose(claims)) == list(claims)
    assert list(choose(claims, ["east"])) == ["planted/holds", "planted/fails", "planted/depends"]
    assert list(choose(claims, ["west"], ["*e*s"])) == ["planted/straddles", "planted/breaks"]
    for markets, patterns, said in (
        (["eastt"], [], "Did you mean 'east'"),
        ([], ["planted/hold"], "Did you mean 'planted/holds'"),
        (["west"], ["planted/holds"], "--list shows all claims"),
    ):
        with pytest.raises(ValueError, match=said):
            choose(claims, markets, patterns)


def test_a_table_of_claims_is_looked_up_by_module_and_name():
    tables = {
        "nowhere_at_all:CLAIMS": "my_module:CLAIMS",
        "planted_claims:CLAIM": "my_module:CLAIMS",
        "planted_claims:BOTH": "no",
    }
    for table, said in tables.items():
        with pytest.raises(ValueError, match=said):
            find_claims(table)
    with pytest.raises(ValueError, match="Did you mean 'quick'"):
        AuditConfig(budget="quik")


def test_the_command_line_lists_claims_and_measures_nothing(tmp_path, capsys):
    assert exit_code("audit", *words(tmp_path, "--list")) == 0
    printed = capsys.readouterr().out
    assert (
        "planted/untested" in printed
        and "it needs a moon" in printed
        and not list(tmp_path.iterdir())
    )
