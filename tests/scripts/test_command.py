"""What all command lines share: one line for what was given wrongly, Ctrl-C that loses nothing,
help for every option.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import typing
from pathlib import Path

import own_process
import pytest
from in_process import exit_code
from rich.table import Table

from agents.cli import command
from agents.markets import STRATEGIES
from agents.papers import CLAIMS
from agents.papers.core import units
from agents.papers.core.effort import EFFORTS
from agents.papers.ipfl import settings as ipfl_settings
from agents.papers.train_n_trade import barriers
from agents.papers.train_n_trade import numbers as trading_numbers
from agents.rl import ALGORITHMS, TrainConfig
from agents.rl.config import STARTS
from marketenv.data.augmentation import AUGMENTATIONS
from marketenv.envs.make import MARKETS
from marketenv.markets.model_sharing.uploads import UPLOADS
from scripts import (
    audit,
    benchmark,
    demo,
    mutate,
    play,
    reproduce,
    rewrite_playthroughs,
    rewrite_walk,
    train,
    verdicts,
)

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent

CONFIGS = {
    "demo": demo.DemoConfig,
    "audit": audit.AuditConfig,
    "play": play.PlayConfig,
    "train": TrainConfig,
    "benchmark": benchmark.BenchmarkConfig,
    "mutate": mutate.MutateConfig,
    "rewrite_playthroughs": rewrite_playthroughs.PlaythroughConfig,
    "rewrite_walk": rewrite_walk.WalkConfig,
    "verdicts": verdicts.VerdictsConfig,
    **{
        f"reproduce {name}": typing.get_type_hints(study)["config"]
        for name, study in reproduce.STUDIES.items()
    },
}

# --- help -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def helps():
    """What --help says of every option, by script and option."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "400")
        for script, config in CONFIGS.items():
            parts = []
            with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as inner:
                inner.setattr(sys.stdout, "write", parts.append)
                command.read(config, "about it", ["--help"])
            text = " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", "".join(parts)).split())
            text = text.split("show this help message and exit")[-1]
            found[script] = {
                name: option_text(text, name)
                for name in (field.name for field in dataclasses.fields(config))
            }
    return found


def option_text(text, name):
    """The words of an option, without its own name and what kind of value it takes."""
    flag = f"--{name.replace('_', '-')}"
    found = re.search(rf"{flag}(?:, --no-{flag[2:]})? (.*?\(default: .*?\))", text)
    return re.sub(r"^(?:None\b|[A-Z{}\[\]|., ])+(?=[a-z(])", "", found[1]) if found else ""


@pytest.mark.parametrize("script", CONFIGS)
def test_every_option_says_what_it_is(script, helps):
    for name, text in helps[script].items():
        assert re.match(r"\w[^(]*\w", text), f"{script} --{name} has no help: {text!r}"


def test_the_search_for_missing_help_can_fail():
    text = "options --seeds {None}|INT (default: 20) --out PATH a folder (default: x)"
    assert option_text(text, "out") == "a folder (default: x)" and not re.match(
        r"\w[^(]*\w", option_text(text, "seeds")
    )


CHOICES = {
    ("play", "market"): MARKETS,
    ("play", "focal"): STRATEGIES,
    ("audit", "market"): {claim.market for claim in CLAIMS.values()},
    ("audit", "budget"): EFFORTS,
    ("audit", "engine"): units.ENGINES,
    ("train", "market"): MARKETS,
    ("train", "algorithm"): ALGORITHMS,
    ("train", "start"): STARTS,
    ("benchmark", "only"): ("all", *benchmark.GROUPS),
    ("reproduce table1", "setting"): trading_numbers.TABLE_1,
    ("reproduce table1", "augmentation"): AUGMENTATIONS,
    ("reproduce barrier", "networks"): barriers.NETWORKS,
    ("reproduce ipfl_niid", "setting"): ipfl_settings.TASKS,
    ("reproduce ipfl_attack", "attacks"): set(UPLOADS) - {"honest"},
    ("reproduce ipfl_liars", "payments"): ipfl_settings.PAYMENTS,
}


@pytest.mark.parametrize(("script", "option"), CHOICES)
def test_options_with_choices_name_all_of_them(script, option, helps):
    missing = [
        name for name in CHOICES[script, option] if name not in whole_help(script, option, helps)
    ]
    assert not missing


def whole_help(script, option, helps):
    """The help of an option with the values that its type allows."""
    hint = typing.get_type_hints(CONFIGS[script])[option]
    return helps[script][option] + " ".join(map(str, typing.get_args(hint)))


# --- what is given wrongly ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("demo", ("--audit", "nope"), "no claim 'nope'"),
        (
            "demo",
            ("--arguments", "max_cycles=3"),
            "--arguments has 'max_cycles=3'; give max_cycles by --rounds.",
        ),
        (
            "demo",
            ("--workers", "-2"),
            "--workers is -2, wanted a whole number >= 0; 0 takes one per processor.",
        ),
        ("play", ("--rounds", "0"), "--rounds is 0, wanted a whole number >= 1."),
        (
            "play",
            ("--arguments", "n_agents=x"),
            "--arguments has 'n_agents=x': n_agents of parameter_trading_v0 is 'x', wanted int.",
        ),
        (
            "train",
            ("--arguments", "device=cuda"),
            "--arguments has 'device=cuda'; give device by --device.",
        ),
        ("train", ("--gamma", "2"), "--gamma is 2.0"),
        (
            "train",
            ("--market", "bounty"),
            (
                "no market 'bounty'. Known: data_market_v0, marketplace_v0, model_sharing_v0,"
                " parameter_trading_v0, reference_v0, resource_"
            ),
        ),
        (
            "train",
            ("--batch-size", "7", "--steps", "64"),
            "--batch-size is 7, wanted a divisor of the rollout",
        ),
        ("benchmark", ("--only", "marketts"), "Did you mean 'markets'"),
        ("mutate", ("--only", "nothing-like-it"), "no mutant is called like nothing-like-it"),
        ("reproduce", ("fig3", "--rate", "-1"), "--rate is -1.0, wanted a finite number > 0."),
        (
            "rewrite_playthroughs",
            ("--seed", "-1"),
            "--seed is -1, wanted a whole number from 0 to 2**63 - 1.",
        ),
        (
            "verdicts",
            ("--evidence", "README.md"),
            "README.md holds no evidence, wanted a claims.json",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_before_any_work(
    script, arguments, said, tmp_path, capsys
):
    out = {"play": (), "verdicts": ("--docs", tmp_path / "out")}.get(
        script, ("--out", tmp_path / "out")
    )
    assert exit_code(script, *arguments, *out, COLUMNS="40") == 2
    text = capsys.readouterr().err
    assert (
        text.startswith("error: ")
        and said in text
        and text.count("\n") == 1
        and not (tmp_path / "out").exists()
    )


def read(script, *words):
    """What a script makes of its command line; a study's folder, for it is not run."""
    study = script.split()[1:]
    if not study:
        return command.read(CONFIGS[script], "about it", words)
    folders = []

    def unrun(config):
        folders.append(config.out)

    unrun.__annotations__ = {"config": CONFIGS[script]}
    command.read_study({study[0]: unrun, "other": unrun}, "about it", [study[0], *words])
    return folders[0]


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("audit", "--tries 0", "--tries is 0, wanted a whole number >= 1."),
        (
            "audit",
            "--workers -1",
            "--workers is -1, wanted a whole number >= 0; 0 takes one per processor.",
        ),
        (
            "audit",
            "--address here",
            "--address is 'here' but the engine is 'local'; only ray has one: --engine ray.",
        ),
        ("audit", "--budget nope", "--budget: no budget 'nope'. Known: full, quick, standard."),
        ("demo", "--seeds 0", "--seeds is 0, wanted a whole number >= 1."),
        # one at a time
        ("demo", "--rounds -3 --seeds 0", "--seeds is 0, wanted a whole number >= 1."),
        ("mutate", "--jobs -1", "--jobs is -1, wanted a whole number >= 0."),
        ("mutate", "--timeout 0", "--timeout is 0, wanted a number of seconds > 0."),
        ("play", "--seed -1", "--seed is -1, wanted a whole number from 0 to 2**63 - 1."),
        (
            "play",
            f"--seed {2**63}",
            f"--seed is {2**63}, wanted a whole number from 0 to 2**63 - 1.",
        ),
        ("train", "--num_envs 0", "--num-envs is 0, wanted a whole number from 1 to 1048576."),
        # what it trains with has no rate
        ("reproduce fig3", "--rate -1", "--rate is -1.0, wanted a finite number > 0."),
        ("reproduce fig3", "--variance 0 -1", "--variance is (0.0, -1.0), wanted numbers >= 0."),
        ("reproduce ipfl_niid", "--setting nope", "--setting: no setting 'nope'."),
        (
            "reproduce table1",
            "--full",
            "--full is for setting cifar10; mnist always runs at full size.",
        ),
    ],
)
def test_a_refusal_names_the_option_that_is_wrong_and_no_other(script, words, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as refusal:
        read(script, *words.split())
    assert len(str(refusal.value).split("wanted")) <= 2  # one thing is wanted


def test_the_option_is_named_whatever_its_config_calls_it():
    @dataclasses.dataclass(frozen=True)
    class Config:
        first: int = 1
        second: float = 1.0

        def __post_init__(self):
            if self.first + self.second > 3:
                raise ValueError(f"total is {self.first + self.second}, wanted at most 3.")
            if self.second < 0:
                raise ValueError(f"step is {self.second}, wanted a number >= 0.")

    assert command.read(Config, "about it", ["--second", "2"]) == Config(1, 2.0)
    for words, said in {
        "--second -1": "--second is -1.0, wanted a number >= 0.",
        # its own value is not what is told
        "--second 9": "--second: total is 10.0, wanted at most 3.",
        # without either the other would do: neither is to blame
        "--first 2 --second 2": "total is 4.0, wanted at most 3.",
    }.items():
        with pytest.raises(ValueError) as refusal:
            command.read(Config, "about it", words.split())
        assert str(refusal.value) == said


PATHS = [
    (s, name)
    for s, config in CONFIGS.items()
    for name, kind in typing.get_type_hints(config).items()
    if "Path" in str(kind)
]


@pytest.mark.parametrize("typed", ["", " "])
@pytest.mark.parametrize(("script", "name"), PATHS)
def test_an_empty_path_is_refused_and_a_dot_is_not(script, name, typed):
    with pytest.raises(
        ValueError, match=f"^--{name} is empty, wanted a path; a dot is the present folder"
    ):
        read(script, f"--{name}", typed)
    read(script, f"--{name}", ".")


def test_ray_that_is_not_there_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    monkeypatch.setattr(command, "check_folder", pytest.fail)
    with pytest.raises(ImportError, match=r"needs Ray: pip install 'marketenv\[ray\]'"):
        audit.main(
            command.read(audit.AuditConfig, "about it", ["--engine", "ray", "--out", str(tmp_path)])
        )


def study(name, *parts):
    return lambda out: reproduce.checked(reproduce.STUDIES[name])(
        CONFIGS[f"reproduce {name}"](out=out)
    )


WRITERS = {
    "demo": lambda out: demo.main(demo.DemoConfig(out=out)),
    "audit": lambda out: audit.main(audit.AuditConfig(out=out)),
    "train": lambda out: train.main(TrainConfig(out=out)),
    "benchmark": lambda out: benchmark.main(benchmark.BenchmarkConfig(out=out / "figures.json")),
    "mutate": lambda out: mutate.main(mutate.MutateConfig(out=out / "mutants.json")),
    "rewrite_playthroughs": lambda out: rewrite_playthroughs.main(
        rewrite_playthroughs.PlaythroughConfig(out=out)
    ),
    "rewrite_walk": lambda out: rewrite_walk.main(rewrite_walk.WalkConfig(out=out)),
    "fig3": study("fig3"),
    "ipfl_niid": study("ipfl_niid"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(writer, tmp_path, monkeypatch):
    works = ((units, "run"), (train, "one_seed"), (benchmark, "GROUPS"), (mutate, "copy_code"))
    for module, work in (*works, (rewrite_playthroughs, "playthrough"), (rewrite_walk, "page")):
        monkeypatch.setattr(
            module, work, {"work": pytest.fail} if work == "GROUPS" else pytest.fail
        )
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"nothing can be written to .*file.*Not a directory\. Give another --out"
    ):
        WRITERS[writer](tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("script", "config"),
    [(benchmark.main, benchmark.BenchmarkConfig), (mutate.main, mutate.MutateConfig)],
)
def test_a_folder_in_a_files_place_is_refused_before_any_work(
    script, config, tmp_path, monkeypatch
):
    monkeypatch.setattr(benchmark, "GROUPS", {"work": pytest.fail})
    monkeypatch.setattr(mutate, "copy_code", pytest.fail)
    with pytest.raises(ValueError, match=r"^--out: .* is no file\. Give another --out"):
        script(config(out=tmp_path))


# a device that every machine has and that is no CPU
ELSEWHERE = {"device": "meta"}


@pytest.mark.parametrize(
    ("arguments", "groups"),
    [
        ({}, [name for name in benchmark.GROUPS if name != "gpu"]),
        ({"only": "gpu"}, ["gpu"]),
        (ELSEWHERE, list(benchmark.ON_DEVICES)),
        (ELSEWHERE | {"only": "learners"}, ["learners"]),
    ],
)
def test_a_device_chooses_what_the_benchmark_measures(arguments, groups, tmp_path, monkeypatch):
    def measured(name):
        def cases(quick, device="cpu"):
            wanted = arguments.get("device", "cpu") if name in benchmark.ON_DEVICES else "cpu"
            assert device == wanted
            return [{"name": name, "value": 1.0, "unit": "s"}]

        return cases

    monkeypatch.setattr(benchmark, "GROUPS", {name: measured(name) for name in benchmark.GROUPS})
    benchmark.main(benchmark.BenchmarkConfig(out=tmp_path / "b.json", **arguments))
    rows = json.loads((tmp_path / "b.json").read_text())
    assert sorted(row["name"] for row in rows) == sorted(groups)
    line = " --device meta" if "device" in arguments else ""
    assert all(row["command"].endswith(line) and row["machine"] for row in rows)


def test_a_group_that_measures_a_cpu_refuses_another_device(tmp_path):
    config = benchmark.BenchmarkConfig(only="markets", out=tmp_path / "b.json", **ELSEWHERE)
    with pytest.raises(ValueError, match="'markets' measures a CPU only, and device is 'meta'"):
        benchmark.main(config)
    with pytest.raises(ValueError, match="device is 'nonsense', which cannot be used here"):
        benchmark.main(benchmark.BenchmarkConfig(device="nonsense", out=tmp_path / "b.json"))
    with pytest.raises(ValueError, match="budget is 0, wanted"):
        benchmark.BenchmarkConfig(budget=0)


@pytest.mark.parametrize(
    ("budget", "more"), [(1e-9, ["budget spent in group one"]), (1e9, ["b", "c"])]
)
def test_the_benchmark_begins_nothing_after_its_budget(budget, more, tmp_path, monkeypatch):
    def lines(*names):
        return [[{"name": name, "value": 1.0, "unit": "s"}] for name in names]

    groups = {"one": lambda quick: iter(lines("a", "b")), "two": lambda quick: lines("c")[0]}
    monkeypatch.setattr(benchmark, "GROUPS", groups)
    benchmark.main(benchmark.BenchmarkConfig(budget=budget, out=tmp_path / "b.json"))
    names = [row["name"] for row in json.loads((tmp_path / "b.json").read_text())]
    assert [name.partition(":")[0] for name in names] == ["a", *more]


def test_the_folder_of_the_demos_audit_is_tried_too(tmp_path, monkeypatch):
    monkeypatch.setattr(units, "run", pytest.fail)
    (tmp_path / "audit").touch()
    with pytest.raises(ValueError, match=r"nothing can be written to .*audit: File exists"):
        demo.main(demo.DemoConfig(out=tmp_path))


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("two\nlines  of it"), 2, "error: two lines of it\n"),
        (OSError(28, "No space left on device"), 2, "error: [Errno 28] No space left on device\n"),
        (ImportError("install it"), 2, "error: install it\n"),
        (KeyboardInterrupt(), 130, f"Interrupted. {command.GOES_ON}\n"),
    ],
)
def test_a_script_ends_with_one_line_and_its_code(error, code, said, capsys):
    def script():
        raise error

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            command.run(script)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == code and capsys.readouterr().err == said


# --- Ctrl-C ---------------------------------------------------------------------------------------

STUDY = (
    "--seeds 6 --rounds 6 --dimension 400 --examples 60 80 --validation 200 --test 200 --workers 2"
)
TRAINING = (
    "--steps 2048 --num-envs 16 --evaluations 4 --episodes 4 --checkpoint-every 512 --seeds 0 1"
    " --workers 2"
)
LONG = {  # arguments, and what the folder holds as soon as something is kept
    "audit": ("--module planted_claims:CLAIMS --budget quick --workers 2", "units/*.json"),
    "demo": ("--seeds 1 --rounds 1 --workers 2 --audit", "units/*.json"),
    "reproduce fig3": (STUDY, "units/*.json"),
    "train": (TRAINING, "seed_*/checkpoints/*"),
}
SLOW = ("demo", "reproduce fig3")  # they keep what is done as the audit does, by units


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in LONG]
)
def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(
    name, tmp_path, monkeypatch, pictures_once
):
    (script, *sub), (arguments, kept) = name.split(), LONG[name]
    words = [*sub, *arguments.split(), "--out", str(tmp_path / "out")]
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    planted = {"PLANTED_SECONDS": "0.5", "PLANTED_FAILURES": str(tmp_path / "none")}
    child = own_process.begin(script, *words, output=tmp_path, PYTHONPATH=paths, **planted)
    own_process.wait(lambda: list((tmp_path / "out").glob(kept)), child)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers too
    code, error = own_process.ended(child, 120), (tmp_path / "stderr").read_text()
    assert error == f"Interrupted. {command.GOES_ON}\n" and code == 130
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("units/*.json")}
    monkeypatch.setenv("PLANTED_FAILURES", planted["PLANTED_FAILURES"])
    # in this process: the number of workers changes no result
    assert exit_code(script, *words, "--workers", "1") == 0
    # nothing finished was done again
    assert {file: file.stat().st_mtime_ns for file in before} == before


# --- tables ---------------------------------------------------------------------------------------


def test_no_cell_of_a_table_is_cut_in_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    shown = Table("claim", "in words")
    shown.add_row("train_n_trade/taking_part_under_lies", "a sentence that may wrap " * 3)
    whole = Table()
    whole.add_column("no wrap", no_wrap=True)
    whole.add_row("a sentence of many short words that must stay in one line")
    command.show(shown, whole)
    printed = capsys.readouterr().out
    assert "train_n_trade/taking_part_under_lies" in printed and "…" not in printed
    assert "a sentence of many short words that must stay in one line" in printed


LISTS = {
    "claims": (lambda: audit.main(audit.AuditConfig(list=True)), list(CLAIMS)),
    "mutants": (
        lambda: mutate.main(mutate.MutateConfig(list=True)),
        [one.label for one in mutate.MUTANTS],
    ),
}


@pytest.mark.parametrize("columns", ["30", "200"])
@pytest.mark.parametrize("things", LISTS)
def test_a_list_gives_every_id_a_line_of_its_own(things, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    script, names = LISTS[things]
    assert script() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [
        line for line in lines if line and not line.startswith(" ")
    ] == names and "…" not in "".join(lines)


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at its end", "in its middle"])
def test_a_reader_that_has_enough_ends_a_script_in_silence(lines):
    """As in scripts/audit.py --list | head -1, after which Python would complain."""
    code = f"from agents.cli import command; command.run(lambda: print('line\\n' * {lines}))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == command.CLOSED
