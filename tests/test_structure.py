"""The house keeps its shape: floors, types, documentation, tests that assert, and a wheel that
works elsewhere.
"""

import ast
import functools
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from marketenv.envs import MARKETS
from marketenv.envs.policy_files import shipped

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "marketenv").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def parsed(path):
    """A module's tree, which nobody changes."""
    return ast.parse(path.read_text(encoding="utf8"))


def run(*command, cwd=ROOT):
    # a PYTHONPATH that names a checkout would be imported in place of the wheel
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def lint(folder, cache):
    code = (
        "import sys; from importlinter.cli import lint_imports;"
        f" sys.exit(lint_imports(cache_dir={str(cache)!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300
    )


# --- floors ---------------------------------------------------------------------------------------


def test_imports_go_down_only(tmp_path):
    done = lint(ROOT, tmp_path)
    contracts = len(PROJECT["tool"]["importlinter"]["contracts"])
    assert done.returncode == 0 and f"Contracts: {contracts} kept, 0 broken." in done.stdout, (
        done.stdout + done.stderr
    )


def test_every_room_stands_on_a_floor():
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    placed = {room.strip() for floor in contract["layers"] for room in floor.split("|")}
    rooms = {
        f"marketenv.{p.stem}"
        for p in (ROOT / "marketenv").iterdir()
        if p.name != "__init__.py" and p.suffix == ".py"
    }
    rooms |= {f"marketenv.{p.parent.name}" for p in (ROOT / "marketenv").glob("*/__init__.py")}
    doors = {f"marketenv.{name}" for name in MARKETS}  # of one line, above the doors' own floor
    assert rooms - doors <= placed, f"not in pyproject's floors: {sorted(rooms - doors - placed)}"


def test_an_import_that_goes_up_is_seen(tmp_path):
    # the same contracts over a copy of the floors in which the lowest room knocks at a door
    for room in ("core", "envs"):
        folder = tmp_path / "marketenv" / room
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("import marketenv.envs\n" if room == "core" else "")
    (tmp_path / "marketenv" / "__init__.py").write_text("")
    floors = (
        "[importlinter]\nroot_package = marketenv\n[importlinter:contract:1]\nname = floors\ntype ="
        " layers\nlayers =\n"
    )
    (tmp_path / ".importlinter").write_text(floors + "    marketenv.envs\n    marketenv.core\n")
    done = lint(tmp_path, tmp_path / "cache")
    assert done.returncode == 1 and "0 kept, 1 broken" in done.stdout, done.stdout + done.stderr


def test_the_agents_are_the_repositorys_own():
    import agents

    found = Path(agents.__file__).resolve()
    assert found.is_relative_to(ROOT), (
        f"'agents' is {found}, not {ROOT / 'agents'}: another package of that name is installed,"
        " most likely openai-agents; work in an environment without it."
    )


# --- what a reader and a type checker find --------------------------------------------------------


def public(node, name=""):
    """(dotted name, node) of everything public below a module or class."""
    for child in node.body:
        if isinstance(child, FUNCTION | ast.ClassDef) and not child.name.startswith("_"):
            yield f"{name}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}.{child.name}")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_everything_public_is_documented_and_annotated(path):
    module = parsed(path)
    found = [("", module), *public(module)]
    silent = [name for name, node in found if not ast.get_docstring(node)]
    assert not silent, f"{path}: no docstring at {silent}"
    for name, node in found:
        if isinstance(node, FUNCTION):
            given = [
                *node.args.posonlyargs,
                *node.args.args,
                *node.args.kwonlyargs,
                node.args.vararg,
                node.args.kwarg,
            ]
            bare = [
                a.arg
                for a in given
                if a is not None and a.annotation is None and a.arg not in ("self", "cls")
            ]
            assert not bare and node.returns is not None, (
                f"{path}{name}: {bare or 'the result'} is not annotated"
            )


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "marketenv" / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


def called(nodes):
    """Last names of everything that is called."""
    functions = [call.func for call in nodes if isinstance(call, ast.Call)]
    return {getattr(f, "attr", getattr(f, "id", "")) for f in functions}


def asserts(node, helpers=frozenset()):
    """True where a test states something: an assert or a checker, its own or a helper's, or an
    error that it waits for.
    """
    nodes = list(ast.walk(node))
    names = called(nodes)
    stated = any(isinstance(inner, ast.Assert) for inner in nodes) or any(
        n.startswith(("assert_", "check_")) for n in names
    )
    return stated or bool(names & ({"raises", "warns"} | helpers))


@pytest.mark.long
def test_every_test_asserts_something():
    silent = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        functions = [
            n
            for n in ast.walk(ast.parse(path.read_text(encoding="utf8")))
            if isinstance(n, FUNCTION)
        ]
        plain = [f for f in functions if asserts(f)]
        helpers = frozenset(f.name for f in plain)
        others = [f for f in functions if f.name.startswith("test_") and f not in plain]
        silent += [
            f"{path.relative_to(ROOT)}::{test.name}"
            for test in others
            if not asserts(test, helpers)
        ]
    assert not silent


def test_the_search_for_silent_tests_finds_one():
    silent, loud, helped = (
        ast.parse(code)
        for code in ("def f(): x = g()", "def f(): assert g()", "def f(): helper(x)")
    )
    assert (
        not asserts(silent)
        and asserts(loud)
        and not asserts(helped)
        and asserts(helped, frozenset({"helper"}))
    )


# --- only fields know what a place in a box means -------------------------------------------------

MEET_ACTIONS = [
    path
    for room in ("marketenv/markets", "marketenv/envs", "agents")
    for path in sorted((ROOT / room).rglob("*.py"))
]
NO_ACTIONS = (  # what has the shape and is no action: the file, and a part of the expression
    ("agents/benchmarks/stepping.py", "(1 + actions) / 2"),  # the rules by hand, beside the market
    # asks and values of random auctions, over three decades
    ("agents/papers/data_valuation/payments.py", "10 ** (3 *"),
    # a lie is a power of ten times the true type
    ("agents/papers/ipfl/lies.py", "10.0 ** (sign * part)"),
    ("agents/rl/exact.py", "/ PANELS"),  # points of an integral
    ("agents/rl/start.py", "high - low"),  # any learner's box as that of a squashed network
    ("agents/stress/deviation.py", "log10()"),  # factors are spaced by their logarithms
    ("agents/stress/deviation.py", "10.0 ** grid"),
    # families bend what actions mean, some of them by its logarithm
    ("agents/stress/kinds.py", "log10()"),
    ("agents/stress/kinds.py", "10.0 ** values"),
)


def is_number(node, value):
    return isinstance(node, ast.Constant) and node.value == value


def factors(node):
    """The factors of a product or of a quotient's upper part."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        return factors(node.left) + (factors(node.right) if isinstance(node.op, ast.Mult) else [])
    return [node]


def decodes(node):
    """Whether an expression has a shape in which boxes are read or written by hand.

    (1 + a) / 2,  (1 + a) most / 2;   2 x - 1,  2 x / most - 1;   10 ** a;   x.log10()
    """
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "log10"
    if not isinstance(node, ast.BinOp):
        return False
    if isinstance(node.op, ast.Div) and is_number(node.right, 2):
        sums = [
            f for f in factors(node.left) if isinstance(f, ast.BinOp) and isinstance(f.op, ast.Add)
        ]
        return any(is_number(side, 1) for f in sums for side in (f.left, f.right))
    if isinstance(node.op, ast.Sub) and is_number(node.right, 1):
        return any(is_number(f, 2) for f in factors(node.left))
    return isinstance(node.op, ast.Pow) and is_number(node.left, 10)


def decoding(module):
    """All such expressions of a module's tree, as text."""
    return [ast.unparse(node) for node in ast.walk(module) if decodes(node)]


@pytest.mark.parametrize("path", MEET_ACTIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_decodes_an_action_by_hand(path):
    other = [part for name, part in NO_ACTIONS if ROOT / name == path]
    found = [text for text in decoding(parsed(path)) if not any(part in text for part in other)]
    assert not found, (
        f"{path}: {found}; read and write actions by their fields (marketenv.core.fields)"
    )


def test_the_search_for_decoded_actions_finds_them():
    by_hand = (
        "(1 + actions[..., 0].double()) / 2",
        "price_max * (1 + a) / 2",
        "(a + 1) / 2 * len(UPLOADS)",
        "2 * price / price_max - 1",
        "2.0 * share - 1",
        "10.0 ** action * truth",
        "math.log10(factor)",
        "(points / costs).log10()",
    )
    assert all(len(decoding(ast.parse(code))) == 1 for code in by_hand)
    others = ("2 * n - 2", "(1 - weight) / 2", "x ** 10", "n + 1 / 2", "role.action.read(actions)")
    assert not any(decoding(ast.parse(code)) for code in others)


# --- the wheel ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {
        "marketenv",
        f"marketenv-{PROJECT['project']['version']}.dist-info",
    }
    assert {str(path.relative_to(ROOT)) for path in LIBRARY} | {"marketenv/py.typed"} <= names
    assert {f"marketenv/trained/{name}.safetensors" for name in shipped()} <= names
    assert not any(name.startswith(("agents", "tests", "scripts")) for name in names)


# pictures and optimisers take more than a second to import, and most rounds need neither
HEAVY = ("matplotlib", "scipy", "stable_baselines3", "pandas", "torchvision")
FAR_AWAY = f"""
import sys
import marketenv
print(*(name for name in {HEAVY} if name in sys.modules))
env = marketenv.reference_v0.parallel_env(game="first_price", n_buyers=3, render_mode="ansi")
env.reset(seed=0)
env.step({{agent: env.action_space(agent).sample() for agent in env.agents}})
print(env.agents, marketenv.__version__, marketenv.__file__)
"""


@pytest.fixture(scope="module")
def far_away(wheel, tmp_path_factory):
    """Its home, and what the installed wheel prints there: heavy imports, a market's end."""
    folder = tmp_path_factory.mktemp("far_away")
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, "--quiet", "--no-compile", "--no-deps", "--no-index", wheel, cwd=folder)
    (site,) = home.glob("lib/python*/site-packages")
    # the dependencies are this environment's; a plain path runs none of its .pth files, so no
    # editable install shows through
    (site / "dependencies.pth").write_text(
        "".join(f"{path}\n" for path in sys.path if path.endswith("site-packages"))
    )
    return home, run(python, "-W", "error", "-c", FAR_AWAY, cwd=folder).splitlines()


@pytest.mark.long
def test_the_installed_wheel_steps_a_market_far_from_the_repository(far_away):
    home, (_, last) = far_away
    agents, version, place = last.split()
    assert agents == "[]" and version == PROJECT["project"]["version"]
    assert Path(place).resolve().is_relative_to(home.resolve())


@pytest.mark.long
def test_import_loads_neither_pictures_nor_optimisers(far_away):
    assert far_away[1][0] == ""
