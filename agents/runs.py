"""Learned policies by name: those of finished runs, and those that the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marketenv.core.market import Market
from marketenv.envs.policy_files import PREFIX, load_trained
from marketenv.envs.trained import TrainedPolicy

RUN = "run:"  # before the folder of one seed of a run
POLICY_FILE = "policy.safetensors"  # in the folder of a seed
FORMER_FILE = "policy.json"  # which older versions wrote beside a pickle


def load_policy(folder: str | Path, market: Market | None = None) -> TrainedPolicy:
    """Read the policy of a finished run (the folder of one seed).

    market: that it shall play; only an agent that moves in several stages needs it. Where it
            learned some of them, it tells the truth in the others

    Raises ValueError for another folder, and for one that an older version wrote.
    """
    folder = Path(folder)
    if (folder / POLICY_FILE).exists():
        return load_trained(folder / POLICY_FILE, market)
    if (folder / FORMER_FILE).exists():
        raise ValueError(
            f"{folder} holds a policy as older versions wrote it, as a pickle; wanted"
            f" {POLICY_FILE}. Give the training command again: the finished run goes on from its"
            " last checkpoint, trains no further, and writes it."
        )
    raise ValueError(
        f"{folder} holds no learned policy ({POLICY_FILE} is missing); wanted the folder of one"
        " seed of a finished run."
    )


def is_learned(part: Any) -> bool:
    """Whether a part names a learned policy: ``"run:folder"`` or ``"trained:name"``."""
    return isinstance(part, str) and part.startswith((RUN, PREFIX))


def load_learned(name: str, market: Market | None = None) -> TrainedPolicy:
    """The policy of ``"run:folder"`` or ``"trained:name"``; ValueError where there is none."""
    if name.startswith(RUN):
        return load_policy(name.removeprefix(RUN), market)
    return load_trained(name.removeprefix(PREFIX), market)
