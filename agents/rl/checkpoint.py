"""Checkpoints at the boundary of two rollouts: everything that what comes next depends on.

A folder ``checkpoints/<steps>`` holds the model with its optimisers (``model.zip``), the running
markets (``markets.safetensors``), a replay buffer where there is one (``replay.pkl``), and in
``state.json`` the settings, the scaling of observations and rewards, all random generators that
stable-baselines3 uses, and the rows written so far. Where every agent has a model of its own, the
files of each model lie in a folder of the agent's name. A checkpoint is written under another name
and renamed, so a run that is killed meanwhile leaves the former one; the latest is kept.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from marketenv.envs.sb3 import MarketSB3Env

from .meter import Meter

PART = "part"  # suffix of a folder that is being written
# what json, zipfile, torch, pickle, stable-baselines3 and the markets raise for damaged files
DAMAGE: tuple[type[Exception], ...] = (
    ValueError,
    KeyError,
    OSError,
    EOFError,
    RuntimeError,
    AssertionError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint of a run, None where there is none."""
    checkpoints = [path for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]
    return max(checkpoints, key=lambda path: int(path.name), default=None)


def save(folder: Path, steps: int, write: Callable[[Path], None]) -> Path:
    """Write a checkpoint of a run and remove the older ones.

    write: writes all files into the folder that it is given
    """
    final = folder / "checkpoints" / f"{steps:012d}"
    part = final.with_suffix(f".{PART}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write(part)
    shutil.rmtree(final, ignore_errors=True)  # of the same number of steps, so as good as this one
    part.rename(final)
    for path in final.parent.iterdir():
        if path != final:
            shutil.rmtree(path)
    return final


def write(folder: Path, model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Write the files of one model.

    state: what else the checkpoint keeps, as JSON can hold it
    """
    envs, meter, markets = layers(model)
    model.save(folder / "model.zip")
    markets.save(folder / "markets.safetensors")
    if isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(folder / "replay.pkl")
    contents = {
        **state,
        "meter": meter.state(),
        "scaling": _scaling(envs),
        "random": random_state(model),
    }
    write_state(folder, contents)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the part of a checkpoint that JSON holds."""
    (folder / "state.json").write_text(json.dumps(state), encoding="utf8")


@contextlib.contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Say of a damaged file which checkpoint it is of, and what to do."""
    try:
        yield
    except DAMAGE as error:
        raise ValueError(
            f"cannot read the checkpoint {checkpoint}: {error} Wanted the files as they were"
            " written; put them back, or delete this folder to start anew."
        ) from error


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The part of a checkpoint that JSON holds; ValueError where it is damaged."""
    with readable(checkpoint):
        return _state(checkpoint)


def _state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf8"))
    return state


def load(
    checkpoint: Path, algorithm: type[BaseAlgorithm], envs: VecNormalize, agent: str = ""
) -> BaseAlgorithm:
    """A model on its running markets, as the checkpoint has them.

    agent: whose model it is, in a checkpoint that holds one for each agent

    The zip and the replay buffer are pickles: load only your own. Raises ValueError for damaged
    files.
    """
    with readable(checkpoint):
        return _loaded(checkpoint / agent, algorithm, envs, _state(checkpoint / agent))


def _loaded(
    folder: Path, algorithm: type[BaseAlgorithm], envs: VecNormalize, state: dict[str, Any]
) -> BaseAlgorithm:
    """A model on its running markets."""
    model = algorithm.load(folder / "model.zip", env=envs, device="cpu", force_reset=False)
    _, meter, markets = layers(model)
    markets.load(folder / "markets.safetensors")
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(folder / "replay.pkl")
    meter.restore(state["meter"])
    _restore_scaling(envs, state["scaling"])
    restore_random(model, state["random"])  # last: building the model drew numbers
    return model


def layers(model: BaseAlgorithm) -> tuple[VecNormalize, Meter, MarketSB3Env]:
    """What a model's environments are made of, outside in."""
    envs = model.get_env()
    assert (
        isinstance(envs, VecNormalize)
        and isinstance(envs.venv, Meter)
        and isinstance(envs.venv.venv, MarketSB3Env)
    )
    return envs, envs.venv, envs.venv.venv


def _statistics(envs: VecNormalize) -> dict[str, RunningMeanStd]:
    return {
        name: getattr(envs, name)
        for name in ("obs_rms", "ret_rms")
        if isinstance(getattr(envs, name, None), RunningMeanStd)
    }


def _scaling(envs: VecNormalize) -> dict[str, Any]:
    """Running statistics and discounted returns; JSON keeps float64 to the bit."""
    statistics = {
        name: [s.mean.tolist(), s.var.tolist(), float(s.count)]
        for name, s in _statistics(envs).items()
    }
    return {**statistics, "returns": envs.returns.tolist()}


def _restore_scaling(envs: VecNormalize, state: dict[str, Any]) -> None:
    for name, statistic in _statistics(envs).items():
        mean, var, count = state[name]
        statistic.mean, statistic.var, statistic.count = np.array(mean), np.array(var), count
    envs.returns = np.array(state["returns"])


def random_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Torch's, NumPy's and Python's global generators, and that of the action space."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    key = numpy["state"]["key"].tolist()
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": {**numpy, "state": {"key": key, "pos": int(numpy["state"]["pos"])}},
        "python": random.getstate(),
        "actions": model.action_space.np_random.bit_generator.state,
    }


def restore_random(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    """Take up what ``random_state`` gave."""
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    numpy = state["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    model.action_space.np_random.bit_generator.state = state["actions"]
