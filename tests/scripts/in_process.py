"""Scripts run in this process, as a shell would run them: a process of its own would spend
seconds on imports.
"""

import runpy
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def exit_code(script, *arguments, **variables):
    """The code with which a script ends that is given these arguments and environment variables."""
    file = str(ROOT / "scripts" / f"{script}.py")
    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [file, *map(str, arguments)])
        patch.chdir(ROOT)
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            runpy.run_path(file, run_name="__main__")
        except SystemExit as ended:
            return ended.code or 0
        finally:
            signal.signal(signal.SIGINT, before)
    return 0
