"""Mutants: a toy package whose answers are known, and the table, which has to fit the code as
it is.
"""

import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import fork_server
import pytest

from scripts.mutate import MutateConfig, copy_code, main
from tests.mutants.mutant import Mutant, of
from tests.mutants.table import MUTANTS, SLOW
from tests.mutants.trials import run_tests

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.label)
def test_every_mutant_fits_the_code_and_compiles(mutant):
    text = (ROOT / mutant.file).read_text("utf8")
    compile(mutant.apply(text), mutant.file, "exec")
    assert mutant.new != mutant.old and mutant.tests
    for test in (*mutant.tests, *SLOW):
        file, *names = test.split("::")
        assert (
            f"def {names[0].partition('[')[0]}(" in (ROOT / file).read_text("utf8")
            if names
            else (ROOT / file).is_file()
        )
        assert "playthrough" not in test  # they notice any change and judge none


def test_the_table_is_large_and_names_each_mutant_once():
    assert len(MUTANTS) >= 125 and len({mutant.label for mutant in MUTANTS}) == len(MUTANTS)
    # few are, or the table is no measure
    assert sum(bool(mutant.equivalent) for mutant in MUTANTS) <= len(MUTANTS) / 20


# --- a toy package --------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def _server():
    """The trials' processes and all others of the tests are forks of one server."""
    fork_server.start()


TOY = of(
    "toy/__init__.py",
    "tests/test_toy.py",
    ("a sum is a difference", "x + y", "x - y"),  # 1 - 2 is no 3: killed
    ("nobody looks at products", "x * y", "x / y"),  # no test calls it: lives
    ("zero is another zero", "0 * z", "0.0 * z", "it is never called with an infinite number"),
    ("it is gone", "x ** y", "x // y"),
    ("it is there twice", "def ", "async def "),
)


def test_a_run_of_tests_imports_the_copy_and_nothing_of_the_command(tmp_path):
    """The command itself imports ``agents``, and so does the process that its runs begin with."""
    folder = tmp_path / "copy"
    (folder / "agents").mkdir(parents=True)
    (folder / "agents/__init__.py").write_text("mutant = True\n")
    (folder / "test_it.py").write_text(
        "import agents\n\n\ndef test_it():\n    assert agents.mutant\n"
    )
    assert run_tests(folder, ["test_it.py"], 120) == (0, "")


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "tests").mkdir()
    code = (
        "def add(x, y):\n    return x + y\n\n\ndef times(x, y):\n    return x * y\n\n\ndef"
        " zero(z):\n    return 0 * z\n"
    )
    (tmp_path / "toy" / "__init__.py").write_text(code)
    (tmp_path / "tests" / "test_toy.py").write_text(
        "import toy\n\n\ndef test_add():\n    assert toy.add(1, 2) == 3\n"
    )
    (tmp_path / ".gitignore").write_text("results/\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def tried(toy, *names, **options):
    config = MutateConfig(only=names, jobs=2, out=toy / "results" / "mutants.json", **options)
    code = main(config, TOY, toy)
    return code, json.loads(config.out.read_text()) if config.out.exists() else {}


def test_a_mutant_is_killed_or_lives_or_is_gone(toy, capsys):
    before = (toy / "toy" / "__init__.py").read_text()
    code, rows = tried(toy)
    # what is tried is a copy
    assert code == 1 and (toy / "toy" / "__init__.py").read_text() == before
    told = {label.partition(": ")[2]: row["status"] for label, row in rows.items()}
    assert told == {
        "a sum is a difference": "killed",
        "nobody looks at products": "lived",
        "zero is another zero": "equivalent",
        "it is gone": "text is gone",
        "it is there twice": "text is gone",
    }
    by_name = {label.partition(": ")[2]: row["told"] for label, row in rows.items()}
    assert (
        by_name["a sum is a difference"] == "tests/test_toy.py::test_add"
        and "infinite" in by_name["zero is another zero"]
    )
    assert (
        "is there 0 times" in by_name["it is gone"]
        and "is there 3 times" in by_name["it is there twice"]
    )
    assert "25.0 %" in capsys.readouterr().out  # 1 of 4: equivalent ones do not count


def test_what_is_killed_or_equivalent_is_fine_and_known_the_next_time(toy, monkeypatch):
    fine = ("a sum is", "zero is")
    assert tried(toy, *fine)[0] == 0
    monkeypatch.setattr("tests.mutants.trials.run_tests", None)  # nothing is run again
    assert tried(toy, *fine)[0] == 0
    (toy / "tests" / "test_toy.py").write_text("def test_nothing():\n    assert True\n")
    with pytest.raises(TypeError):  # other tests may say otherwise
        tried(toy, *fine)


def test_an_example_of_the_file_itself_kills_and_time_runs_out(toy):
    (toy / "toy" / "__init__.py").write_text(
        'def times(x, y):\n    """\n    >>> times(2, 3)\n    6\n    """\n    return x * y\n'
    )
    (toy / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--doctest-modules"\n'
    )
    (toy / "tests" / "test_toy.py").write_text("def test_nothing():\n    assert True\n")
    code, rows = tried(toy, "products")
    assert code == 0 and [row["told"] for row in rows.values()] == ["toy/__init__.py::toy.times"]
    code, rows = tried(toy, "products", timeout=0.01, resume=False)
    assert code == 1 and [row["status"] for row in rows.values()] == ["out of time"]


def test_tests_that_fail_as_things_are_judge_nothing(toy):
    (toy / "tests" / "test_toy.py").write_text("def test_wrong():\n    assert False\n")
    with pytest.raises(ValueError, match=r"test_toy.py::test_wrong fails as things are"):
        tried(toy, "a sum")


def test_tests_that_cannot_be_run_stop_no_other_trial_and_are_tried_again(toy, monkeypatch):
    # whoever adds wrongly takes the process of the tests with it
    ended = "import os\nimport toy\n\n\ndef test_add():\n    toy.add(1, 2) == 3 or os._exit(7)\n"
    (toy / "tests" / "test_toy.py").write_text(ended)
    code, rows = tried(toy, "sum", "products")
    added, multiplied = rows.values()
    assert code == 1 and added["status"] == "could not be tried" and "exit code 7" in added["told"]
    assert multiplied["status"] == "lived"
    # all is well as things are
    monkeypatch.setattr("tests.mutants.trials.run_tests", lambda *given: (int(len(given) == 3), ""))
    assert {row["status"] for row in tried(toy, "sum", "products")[1].values()} == {
        "killed",
        "lived",
    }


def test_tests_that_cannot_be_run_as_things_are_judge_nothing(toy):
    (toy / "tests" / "test_toy.py").write_text("import os\n\n\ndef test_add():\n    os._exit(7)\n")
    with pytest.raises(
        ValueError, match=r"as things are pytest could not run .* \(exit code 7\).*mend it first"
    ):
        tried(toy, "a sum")


def test_results_take_only_the_place_of_results(toy):
    (toy / "results").mkdir()
    (toy / "results" / "mutants.part").write_text("a user's own")
    (toy / "kept.json").write_text("{}")
    (toy / "results" / "mutants.json").symlink_to(toy / "kept.json")
    assert tried(toy, "a sum")[0] == 0
    assert (toy / "results" / "mutants.part").read_text() == "a user's own"
    assert (toy / "results" / "mutants.json").is_symlink() and "killed" in (
        toy / "kept.json"
    ).read_text()


@pytest.mark.parametrize(
    "text", ["a text", "[]", '{"name": 1}', '[{"name": "value"}]', '{"x": {"status": "killed"}}']
)
def test_a_file_of_something_else_is_left_alone(text, toy):
    (toy / "results").mkdir()
    (toy / "results" / "mutants.json").write_text(text)
    with pytest.raises(ValueError, match=r"holds no results of mutants\. Give another --out"):
        tried(toy, "a sum")
    assert (toy / "results" / "mutants.json").read_text() == text


def test_what_git_ignores_is_not_copied(toy, tmp_path_factory):
    for name in ("shared/a b.txt", "results/a.txt", "toy/gone.py"):
        (toy / name).parent.mkdir(exist_ok=True)
        (toy / name).write_text("")
    subprocess.run(["git", "-C", str(toy), "add", "toy"], check=True)
    (toy / "toy" / "gone.py").unlink()
    copy, bare = (tmp_path_factory.mktemp(name) for name in ("copy", "bare"))
    copy_code(toy, copy)
    names = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()}
    # git ignores results alone
    assert names == {".gitignore", "toy/__init__.py", "tests/test_toy.py", "shared/a b.txt"}
    with pytest.raises(ValueError, match="wanted a repository"):
        copy_code(bare, copy)


def test_every_line_of_the_list_is_a_pattern_of_its_mutant():
    for mutant in MUTANTS:
        # no sign in a label means anything else in a pattern
        assert fnmatch(mutant.label, mutant.label)


def test_wrong_arguments_are_refused(toy):
    with pytest.raises(ValueError, match="no mutant is called like a summ"):
        tried(toy, "a summ")
    for wrong, said in (
        ({"jobs": -1}, "jobs is -1, wanted a whole number >= 0."),
        ({"timeout": 0.0}, "timeout is 0, wanted"),
    ):
        with pytest.raises(ValueError, match=f"^{said}"):
            MutateConfig(**wrong)


def test_the_command_line_explains_itself_and_lists_the_mutants():
    command = [sys.executable, "scripts/mutate.py"]
    told = {
        a: subprocess.run([*command, *a], cwd=ROOT, capture_output=True, text=True, timeout=120)
        for a in (("--help",), ("--list",))
    }
    assert all(done.returncode == 0 for done in told.values()), [
        done.stderr for done in told.values()
    ]
    assert "--only" in told[("--help",)].stdout and "exit code" in told[("--help",)].stdout
    assert len(told[("--list",)].stdout.splitlines()) > len(MUTANTS)
    wrong = subprocess.run(
        [*command, "--only", "nothing-like-it"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1


def test_a_mutant_stands_in_its_file_once():
    one = Mutant("a.py", "a sum is a difference", "+", "-", ())
    assert one.apply("x + y") == "x - y"
    with pytest.raises(ValueError, match=r"a\.py: a sum is a difference: '\+' is there 2 times"):
        one.apply("x + y + z")
