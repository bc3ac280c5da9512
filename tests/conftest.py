"""Every test run checks the declared shapes and types of the library (jaxtyping with beartype)."""

import gc
import os
from collections import Counter
from pathlib import Path

import jaxtyping
import jaxtyping_once
import pytest
import torch
from hypothesis import settings

jaxtyping_once.install(["marketenv", "agents"])
gc.set_threshold(50_000)  # the default of 700 takes 4 % of the CPU time
os.environ.setdefault("MPLBACKEND", "agg")  # no test opens a window
torch.set_num_threads(1)  # determinism is promised for a fixed number of threads
settings.register_profile("marketenv", deadline=None)  # machines are noisy: no test judges times
settings.register_profile("few", deadline=None, max_examples=20)
settings.load_profile("marketenv")


def pytest_addoption(parser):
    parser.addoption(
        "--few",
        type=int,
        default=0,
        metavar="N",
        help="only the first N parameter sets of each test, no test that is marked long, and 20"
        " cases of what hypothesis draws",
    )


def pytest_configure(config):
    if config.getoption("few"):
        settings.load_profile("few")


@pytest.hookimpl(trylast=True)  # after pytest has left out the slow ones
def pytest_collection_modifyitems(config, items):
    few = config.getoption("few")
    if few:
        cases = first_of_each(items, few)
        config.hook.pytest_deselected(items=[item for item in items if item not in cases])
        items[:] = cases


def pytest_runtest_setup(item):
    jaxtyping_once.SCHEDULE.begin_test(item.path)
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no GPU")


def first_of_each(items, few):
    """The first items of each test function, without the long ones; a dict keeps their order."""
    counts, cases = Counter(), {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        counts[name] += 1
        if counts[name] <= few and not item.get_closest_marker("long"):
            cases[item] = None
    return cases


def pytest_collection_finish():
    """What has been collected stays to the end: the garbage collector looks at it no more."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_root():
    """The folder of larger real data sets; tests that want it are skipped where it is absent."""
    root = Path(os.environ.get("MARKETENV_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no folder {root}: set MARKETENV_DATA to the folder of real data sets")
    return root


@pytest.fixture
def as_for_a_user():
    """Declared types are checked in tests alone, and there before the market could refuse
    anything.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
