"""Scripts run in processes of their own, which begin with everything imported."""

import atexit
import gc
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fork_server
from fork_server import ROOT

OWN = ("marketenv", "agents", "scripts", "tests")  # packages of this repository


def begin(script, *arguments, output, forget=False, forks=False, **variables):
    """The process of a script that is given these arguments and environment variables.

    It leads a group of its own. What it prints goes to the folder ``output``: stdout and stderr.

    script: the name of one of this repository's scripts, or any file of Python
    forget: the process begins without this repository's modules
    forks:  what it runs by ``subprocess.run`` are ``python -c`` alone, and begin as it does
    """
    fork_server.start()
    file = script if isinstance(script, Path) else ROOT / "scripts" / f"{script}.py"
    words, environment = [str(file), *map(str, arguments)], os.environ | variables
    given = words, environment, output, forget, forks
    process = fork_server.FORKS.Process(target=_script, args=given)
    process.start()
    return process


def begin_code(code, *arguments, output, **options):
    """As ``python -c`` with this code; else as ``begin``."""
    file = output / "code.py"
    file.write_text(code, "utf8")
    return begin(file, *arguments, output=output, **options)


def run_code(command, **_):
    """As ``subprocess.run`` in the root of this repository, for ``python -c CODE ARGUMENTS``."""
    _, flag, code, *arguments = command
    assert flag == "-c", command
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exit_code = ended(begin_code(code, *arguments, output=folder))
        printed = [(folder / stream).read_text("utf8") for stream in ("stdout", "stderr")]
    return subprocess.CompletedProcess(command, exit_code, *printed)


def ended(process, seconds=280):
    """The exit code of a process that ends in time."""
    process.join(seconds)
    process.kill()  # does nothing to one that has ended
    process.join()
    return process.exitcode


def wait(condition, process, seconds=240):
    """Wait until a condition holds, as long as the process runs."""
    limit = time.monotonic() + seconds
    while not condition() and process.is_alive() and time.monotonic() < limit:
        time.sleep(0.02)


def _script(words, environment, output, forget, forks):
    gc.freeze()  # what has been imported stays, and is not looked at
    os.setsid()
    os.chdir(ROOT)
    fork_server.replace_environment(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    for number, name in ((1, "stdout"), (2, "stderr")):
        with (output / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    if forget:
        for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
            del sys.modules[name]
    if forks:
        subprocess.run = run_code
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # as at the end of any process, but not before Python 3.13 of these
