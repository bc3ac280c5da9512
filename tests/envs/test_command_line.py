"""The command ``marketenv``: what it lists is that of the code, and its checks bite."""

import dataclasses
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import gymnasium
import pytest
import torch

import marketenv
from marketenv import make_market
from marketenv.cli import main
from marketenv.cli.command import CLOSED, SCRIPTS, SOURCE, where_is
from marketenv.cli.markets import argument_groups
from marketenv.envs import MARKETS
from marketenv.testing import CHECKS

ROOT = Path(__file__).resolve().parents[2]
OWN = Path(__file__).parent / "own_markets.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]


@pytest.fixture(autouse=True)
def same_path(monkeypatch):
    """The command puts folders of own markets on the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def printed(capsys, *words):
    """Exit code, and what the command prints and writes on the error stream."""
    code = main(words)
    shown = capsys.readouterr()
    return code, " ".join(shown.out.split()), shown.err


def test_the_list_names_every_market_with_its_roles_and_stages(capsys):
    code, out, _ = printed(capsys, "list")
    assert code == 0
    for name in MARKETS:
        market = make_market(name)
        roles = ", ".join(f"{role.name} ({role.count})" for role in market.roles)
        stages = ", ".join(stage.name for stage in market.stages)
        assert re.search(
            rf"{name} \S.*?roles: {re.escape(roles)} stages of a round: {stages};", out
        )


@pytest.mark.parametrize("name", MARKETS)
def test_every_argument_is_explained_once_with_its_default(name, capsys):
    groups, fields = argument_groups(name), dataclasses.fields(MARKETS[name].config)
    names = [key for group in groups for key in group.defaults]
    assert sorted(names) == sorted(field.name for field in fields)
    assert all(group.meaning for group in groups)
    _, out, _ = printed(capsys, "show", f"marketenv/{name.replace('_v', '-v')}")
    for group in groups:
        for key, default in group.defaults.items():
            assert f"{key}={default!r}" in out
    plain = {field.name: field.default for field in fields}
    made = {name for name, default in plain.items() if default is dataclasses.MISSING}
    shown = {key: value for group in groups for key, value in group.defaults.items()}
    assert all(shown[name] == plain[name] for name in shown.keys() - made)


def test_groups_in_one_line_are_told_apart():
    """The docstring has ``audit_round: ...;   audit_rows: ...`` in one line."""
    groups = {", ".join(group.defaults): group for group in argument_groups("resource_market_v0")}
    assert groups["audit_round"].meaning == "the first round with an audit"
    assert groups["lam, rho, eps"].meaning == "of the costs"
    assert groups["caps"].meaning.endswith("one number, or one for each")


def test_an_unknown_market_gets_its_neighbour(capsys):
    code, out, err = printed(capsys, "show", "reference_v1")
    assert code == 2 and not out and "Did you mean 'reference_v0'?" in err
    assert err.startswith("error: no market 'reference_v1'.") and err.count("\n") == 1


def test_versions_are_those_of_what_runs(capsys):
    code, out, _ = printed(capsys, "versions")
    assert code == 0
    for name, version in (
        ("marketenv", marketenv.__version__),
        ("torch", torch.__version__),
        ("gymnasium", gymnasium.__version__),
        ("python", sys.version.split()[0]),
    ):
        assert f"{name} {version}" in out
    assert "pettingzoo " in out and "platform " in out and "device cpu" in out


@pytest.mark.parametrize("place", ["own_markets:sound", f"{OWN}:door"])
def test_a_sound_market_passes_every_check(place, capsys):
    code, out, _ = printed(capsys, "check", place, "--arguments", "n_buyers=3", "--seed", "4")
    assert code == 0 and "buyer (3)" in out and "FAULT" not in out
    assert out.endswith(f"SOUND: {len(CHECKS)} of {len(CHECKS)} checks pass with seed 4.")
    assert [name for name in CHECKS if f"{name} passes" not in out] == []


def test_a_faulty_market_gives_exit_code_one_and_names_the_fault(capsys):
    code, out, _ = printed(capsys, "check", "own_markets:blind")
    assert code == 1 and "wanted: Two copies with one seed agree to the bit" in out
    assert "fault: another seed and the same actions give the same episode" in out
    last = out.rpartition("FAULTY: ")[2]
    assert last.startswith(f"{len(CHECKS) - 1} of {len(CHECKS)} checks pass with seed 0; faults: ")
    assert last.endswith("faults: determinism.")


def test_a_mistake_in_a_phase_is_a_fault_of_every_check_and_its_place_is_named(capsys):
    code, out, _ = printed(capsys, "check", "own_markets:stumbling")
    assert code == 1 and f"FAULTY: 0 of {len(CHECKS)} checks pass" in out
    assert re.search(r"ZeroDivisionError: a mistake .* \(\S*own_markets.py, line \d+\)", out)
    # it is shown once, and the other checks name the one that shows it
    assert out.count("ZeroDivisionError") == 1
    assert out.count("fault: the fault of suites") == len(CHECKS) - 1


def test_a_market_that_ends_python_is_faulty_and_ends_no_check(capsys):
    code, out, _ = printed(capsys, "check", "own_markets:leaving")
    assert code == 1 and f"FAULTY: 0 of {len(CHECKS)} checks pass" in out
    assert re.search(r"fault: SystemExit: 0 \(\S*own_markets.py, line \d+\)", out)


def test_a_file_with_the_name_of_another_module_is_not_taken_for_it(tmp_path, capsys):
    (tmp_path / "json.py").write_text("def loads(): ...\n", "utf8")
    code, _, err = printed(capsys, "check", f"{tmp_path / 'json.py'}:loads")
    assert code == 2 and "the name 'json' is that of another module" in err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["own_markets"], "the market is 'own_markets', wanted module:factory"),
        (["own_markets:sond"], "no function of own_markets 'sond'. Did you mean 'sound'?"),
        (["no_such_module:make"], "there is no module 'no_such_module' here"),
        (["no_such_file.py:make"], "'no_such_file.py', which is no file"),
        (["own_markets:no_market"], "the result of no_market is 3, wanted a Market or"),
        (["own_markets:hidden"], "define its classes and functions in a module"),
        (["own_markets:needy"], "missing a required argument: 'n_buyers'; give it by --arguments"),
        ([".own_markets:sound"], "there is no module '.own_markets' here"),
        (["own_markets:gone"], "own_markets:gone ends Python by sys.exit, wanted a market"),
        (["own_markets:sound", "--seed", "-1"], "seed is -1, wanted a whole number from 0 to"),
        (["own_markets:sound", "--seed", f"{2**63}"], "wanted a whole number from 0 to 2**32 - 1"),
        (["own_markets:sound", "--arguments", "n=3"], "no argument of sound 'n'"),
        (["own_markets:sound", "--arguments", "n_buyers"], "wanted key=value"),
        (["own_markets:sound", "--arguments", "n_buyers=2", "n_buyers=3"], "give it once"),
        (["own_markets:sound", "--arguments", "n_buyers=0"], "n_buyers is 0"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(words, error, capsys):
    code, _, err = printed(capsys, "check", *words)
    assert code == 2 and error in err and err.count("\n") == 1


def test_what_is_no_part_of_the_package_says_where_it_is(tmp_path, capsys):
    code, _, err = printed(capsys, "play", "--focal", "shade")
    assert code == 2 and f"run python {ROOT / 'scripts' / 'play.py'}" in err
    elsewhere = where_is("train", tmp_path)
    assert SOURCE in elsewhere and "python scripts/train.py" in elsewhere
    assert all((ROOT / "scripts" / f"{name}.py").is_file() for name in SCRIPTS)
    assert PROJECT["urls"]["Source"] == SOURCE


def test_a_reader_that_has_enough_ends_the_command_in_silence():
    """As in marketenv list | head -1, after which Python would complain of a broken pipe."""
    command = [sys.executable, "-m", "marketenv", "list"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == CLOSED


def test_without_words_the_help_names_commands_and_scripts(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["marketenv"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("marketenv", run_name="__main__")
    out = capsys.readouterr().out
    assert end.value.code == 0 and all(name in out for name in ("list", "check", *SCRIPTS))


def test_the_installed_command_is_this_one():
    assert PROJECT["scripts"] == {"marketenv": "marketenv.cli:main"}
