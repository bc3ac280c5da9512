"""Where units of work are done: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import joblib

from agents.cli.command import check_least
from marketenv.core.lookup import unknown

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Crew:
    """The processes that do the work.

    workers: processes; 0 takes one per processor
    tries:   how often a unit is tried that fails
    engine:  a name in ``ENGINES``
    address: of a Ray cluster; None takes one that runs here, or starts one
    Raises ValueError for an unknown engine, an address without Ray, and counts that are too small;
    ImportError where Ray is asked for and not installed.
    """

    workers: int = 0
    tries: int = 2
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.address is not None and self.engine != "ray":
            raise ValueError(
                f"address is {self.address!r} but the engine is {self.engine!r}; only ray has one:"
                " --engine ray."
            )
        if self.workers < 0:
            raise ValueError(
                f"workers is {self.workers}, wanted a whole number >= 0; 0 takes one per processor."
            )
        check_least(1, tries=self.tries)
        if self.engine == "ray" and find_spec("ray") is None:
            raise ImportError("the engine 'ray' needs Ray: pip install 'marketenv[ray]'.")


@contextmanager
def _local(crew: Crew, count: int) -> Iterator[joblib.Parallel]:
    """Processes of this machine; one worker alone is this process itself."""
    workers = crew.workers or os.cpu_count() or 1
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        yield _parallel(min(workers, max(count, 2)))


@contextmanager
def _ray(crew: Crew, count: int) -> Iterator[joblib.Parallel]:
    """Ray as joblib's backend: its processes get this repository's code and send results back."""
    import ray
    from ray.util.joblib.ray_backend import RayBackend

    if not ray.is_initialized():
        _start_ray(crew.address)
    processors = int(ray.cluster_resources()["CPU"])
    # its pool calls back result by result, which is all that a generator needs; joblib's own pool
    # of this kind lacks it
    backend = type("RayBackend", (RayBackend,), {"supports_return_generator": True})
    joblib.register_parallel_backend("marketenv_ray", backend)
    with joblib.parallel_config("marketenv_ray"):
        yield _parallel(min(crew.workers or processors, processors, max(count, 2)))


def _start_ray(address: str | None) -> None:
    """Join the Ray cluster at an address; ValueError where there is none."""
    import ray

    code = {"py_modules": [str(ROOT / name) for name in ("marketenv", "agents", "scripts")]}
    try:
        ray.init(
            address,
            runtime_env=code,
            include_dashboard=False,
            logging_level="ERROR",
            log_to_driver=False,
        )
    except ConnectionError as error:
        raise ValueError(
            f"no Ray cluster at {address}: {error}. Give the address that ray start --head printed,"
            " and set up Ray's own access token on this machine where the cluster asks for one."
        ) from error


def _parallel(workers: int) -> joblib.Parallel:
    return joblib.Parallel(workers, return_as="generator_unordered", batch_size=1)


# a context in which joblib works for a crew: (crew, number of units) -> joblib.Parallel
ENGINES: dict[str, Callable[[Crew, int], AbstractContextManager[joblib.Parallel]]] = {
    "local": _local,
    "ray": _ray,
}
