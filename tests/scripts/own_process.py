"""Scripts run in processes of their own, which begin with the libraries imported: that is most of
what the start of a script takes.
"""

import atexit
import multiprocessing
import os
import runpy
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "torch",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.figure",
    "gymnasium",
    "pettingzoo",
    "safetensors.torch",
    "joblib",
    "tyro",
    "rich",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(LIBRARIES))


def begin(script, *arguments, output, **variables):
    """The process of a script that is given these arguments and environment variables.

    It leads a group of its own. What it prints goes to the folder ``output``: stdout and stderr.
    """
    words, environment = [script, *map(str, arguments)], os.environ | variables
    process = FORKS.Process(target=_script, args=(words, environment, output))
    process.start()
    return process


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


def _script(words, environment, output):
    os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    for number, name in ((1, "stdout"), (2, "stderr")):
        with (output / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    file = str(ROOT / "scripts" / f"{words[0]}.py")
    sys.argv = [file, *words[1:]]
    try:
        runpy.run_path(file, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # as at the end of any process, but not before Python 3.13 of these
