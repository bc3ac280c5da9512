"""Processes of tests are forks of one process, which has imported what they need: importing is most
of what the start of a process takes.

Each process of pytest has such a server. It imports the library as users do, without checks of
declared types.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path

from joblib.externals.loky.backend import context as loky

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(file.stem for file in (ROOT / "scripts").glob("*.py"))
# torch's optimizers import torch._dynamo when the first is made
IMPORTS = ("torch._dynamo", *(f"scripts.{name}" for name in SCRIPTS))
FORKS = multiprocessing.get_context("forkserver")


def start():
    """Start the server if it does not run; its forks have it too."""
    if forkserver.get_inherited_fds() is not None:  # this process is such a fork
        forkserver._forkserver.ensure_running = lambda: None  # or Python would start another server
        return
    FORKS.set_forkserver_preload(list(IMPORTS))
    # one thread: a process that has others cannot be forked safely
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    # its sets have another order than those of this process
    variables["PYTHONHASHSEED"] = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"
    before = dict(os.environ)
    try:
        with contextlib.chdir(ROOT):
            os.environ.update(variables)
            forkserver.ensure_running()
    finally:
        replace_environment(before)


def replace_environment(variables):
    """Have these environment variables and no others."""
    os.environ.clear()
    os.environ.update(variables)


class Worker(FORKS.Process):
    """A process of joblib's as a fork of the server, with the variables of the process that starts
    it and those of ``env``; it ignores Ctrl-C where that one does.
    """

    def __init__(self, *args, env=None, **options):
        super().__init__(*args, **options)
        self.variables = os.environ | (env or {})
        self.ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def start(self):
        start()
        super().start()

    def run(self):
        gc.freeze()  # what has been imported stays, and is not looked at
        replace_environment(self.variables)
        if self.ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        super().run()


def fork_workers():
    """From now on, joblib's processes of this process are forks of the server."""
    loky.LokyContext.Process = Worker
