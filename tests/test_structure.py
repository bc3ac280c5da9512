"""The house keeps its shape: floors, types, documentation, tests that assert, and a wheel that works elsewhere."""

import ast
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "marketenv").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def run(*command, cwd=ROOT):
    # a PYTHONPATH that names a checkout would be imported in place of the wheel
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def lint(folder, cache):
    code = f"import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir={str(cache)!r}))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)


# --- floors -------------------------------------------------------------------------------------------------------------


def test_imports_go_down_only(tmp_path):
    done = lint(ROOT, tmp_path)
    contracts = len(PROJECT["tool"]["importlinter"]["contracts"])
    assert done.returncode == 0 and f"Contracts: {contracts} kept, 0 broken." in done.stdout, done.stdout + done.stderr


def test_every_room_stands_on_a_floor():
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    placed = {room.strip() for floor in contract["layers"] for room in floor.split("|")}
    rooms = {f"marketenv.{p.stem}" for p in (ROOT / "marketenv").iterdir() if p.name != "__init__.py" and p.suffix == ".py"}
    rooms |= {f"marketenv.{p.parent.name}" for p in (ROOT / "marketenv").glob("*/__init__.py")}
    assert rooms <= placed, f"not in pyproject's floors: {sorted(rooms - placed)}"


def test_an_import_that_goes_up_is_seen(tmp_path):
    # the same contracts over a copy of the floors in which the lowest room knocks at a door
    for room in ("core", "envs"):
        folder = tmp_path / "marketenv" / room
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("import marketenv.envs\n" if room == "core" else "")
    (tmp_path / "marketenv" / "__init__.py").write_text("")
    floors = "[importlinter]\nroot_package = marketenv\n[importlinter:contract:1]\nname = floors\ntype = layers\nlayers =\n"
    (tmp_path / ".importlinter").write_text(floors + "    marketenv.envs\n    marketenv.core\n")
    done = lint(tmp_path, tmp_path / "cache")
    assert done.returncode == 1 and "0 kept, 1 broken" in done.stdout, done.stdout + done.stderr


def test_the_agents_are_the_repositorys_own():
    import agents

    found = Path(agents.__file__).resolve()
    assert found.is_relative_to(ROOT), (
        f"'agents' is {found}, not {ROOT / 'agents'}: another package of that name is installed, most likely openai-agents; "
        "work in an environment without it."
    )


# --- what a reader and a type checker find --------------------------------------------------------------------------------


def public(node, name=""):
    """(dotted name, node) of everything public below a module or class."""
    for child in node.body:
        if isinstance(child, FUNCTION | ast.ClassDef) and not child.name.startswith("_"):
            yield f"{name}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}.{child.name}")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_everything_public_is_documented_and_annotated(path):
    module = ast.parse(path.read_text(encoding="utf8"))
    found = [("", module), *public(module)]
    silent = [name for name, node in found if not ast.get_docstring(node)]
    assert not silent, f"{path}: no docstring at {silent}"
    for name, node in found:
        if isinstance(node, FUNCTION):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            bare = [a.arg for a in given if a is not None and a.annotation is None and a.arg not in ("self", "cls")]
            assert not bare and node.returns is not None, f"{path}{name}: {bare or 'the result'} is not annotated"


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "marketenv" / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


def called(node):
    """Last names of everything that is called."""
    functions = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {getattr(f, "attr", getattr(f, "id", "")) for f in functions}


def asserts(node, helpers=frozenset()):
    """True where a test states something: an assert or a checker, its own or a helper's, or an error that it waits for."""
    names = called(node)
    stated = any(isinstance(inner, ast.Assert) for inner in ast.walk(node)) or any(
        n.startswith(("assert_", "check_")) for n in names
    )
    return stated or bool(names & ({"raises", "warns"} | helpers))


def test_every_test_asserts_something():
    silent = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf8"))) if isinstance(n, FUNCTION)]
        helpers = frozenset(f.name for f in functions if asserts(f))
        tests = [f for f in functions if f.name.startswith("test_")]
        silent += [f"{path.relative_to(ROOT)}::{test.name}" for test in tests if not asserts(test, helpers)]
    assert not silent


def test_the_search_for_silent_tests_finds_one():
    silent, loud, helped = (ast.parse(code) for code in ("def f(): x = g()", "def f(): assert g()", "def f(): helper(x)"))
    assert not asserts(silent) and asserts(loud) and not asserts(helped) and asserts(helped, frozenset({"helper"}))


# --- the wheel ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"marketenv", f"marketenv-{PROJECT['project']['version']}.dist-info"}
    assert {str(path.relative_to(ROOT)) for path in LIBRARY} | {"marketenv/py.typed"} <= names
    assert not any(name.startswith(("agents", "tests", "scripts")) for name in names)


def test_the_installed_wheel_steps_a_market_far_from_the_repository(wheel, tmp_path):
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (site,) = home.glob("lib/python*/site-packages")
    # the dependencies are this environment's; a plain path runs none of its .pth files, so no editable install shows through
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("site-packages")))
    code = (
        "import marketenv\n"
        "env = marketenv.reference_v0.parallel_env(game='first_price', n_buyers=3, render_mode='ansi')\n"
        "env.reset(seed=0)\n"
        "env.step({a: env.action_space(a).sample() for a in env.agents})\n"
        "print(env.agents, marketenv.__version__, marketenv.__file__)"
    )
    agents, version, place = run(python, "-W", "error", "-c", code, cwd=tmp_path).split()
    assert agents == "[]" and version == PROJECT["project"]["version"]
    assert Path(place).resolve().is_relative_to(home.resolve())
