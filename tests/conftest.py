"""Every test run checks the declared shapes and types of the library (jaxtyping with beartype)."""

import os
from pathlib import Path

import jaxtyping
import jaxtyping_once
import pytest
import torch
from hypothesis import settings

jaxtyping_once.install(["marketenv", "agents"])
torch.set_num_threads(1)  # determinism is promised for a fixed number of threads
settings.register_profile("marketenv", deadline=None)  # machines are noisy: no test judges times
settings.load_profile("marketenv")


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
