"""A learned policy as any other: a pure function of what an agent sees, its scaling of observations included."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from marketenv.core.market import Market, Role
from marketenv.core.policy import Policy
from marketenv.core.storage import whole_file
from marketenv.envs.opponents import ModelPolicy, load_model

from ..lineups import find_part

EPSILON = 1e-8  # VecNormalize's own
UNLIMITED = 1e30  # a clip that never clips and that JSON can hold


@dataclass(frozen=True)
class LearnedPolicy:
    """A stable-baselines3 model that sees scaled observations and acts deterministically.

    x = clip((observation - mean) / sqrt(var + 1e-8), -clip, clip);   action = the model's mode at x

    mean, var: of the observations that it was trained on   [dim]
    """

    model: Any
    mean: Float64[np.ndarray, "dim"]
    var: Float64[np.ndarray, "dim"]
    clip: float

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the role's box, float32 [markets, actions]; the keys are not needed."""
        if observation.shape[-1:] != self.mean.shape:
            raise ValueError(
                f"the policy was trained on {len(self.mean)} numbers, this {role.name} sees {observation.shape[-1]}. "
                "Build the market with the arguments that it was trained with."
            )
        seen = np.asarray(observation.cpu())
        scaled = np.clip((seen - self.mean) / np.sqrt(self.var + EPSILON), -self.clip, self.clip).astype(np.float32)
        return ModelPolicy(self.model)(torch.from_numpy(scaled).to(observation.device), role, keys)

    def save(self, folder: Path, algorithm: str) -> None:
        """Write ``model.zip`` and ``policy.json``, which ``load_policy`` reads."""
        with whole_file(folder / "model.zip") as part:
            self.model.save(part)
        about = {"algorithm": algorithm, "mean": self.mean.tolist(), "var": self.var.tolist(), "clip": self.clip}
        with whole_file(folder / "policy.json") as part:
            part.write_text(json.dumps(about, indent=1), encoding="utf8")


def learned(model: BaseAlgorithm) -> LearnedPolicy:
    """The policy of a model as it stands, with a copy of the scaling that its environments have reached."""
    envs = model.get_vec_normalize_env()
    assert model.observation_space.shape is not None
    zeros = np.zeros(model.observation_space.shape)
    if not isinstance(envs, VecNormalize) or not envs.norm_obs:
        return LearnedPolicy(model, zeros, zeros + 1, UNLIMITED)
    statistics: Any = envs.obs_rms
    return LearnedPolicy(model, statistics.mean.copy(), statistics.var.copy(), envs.clip_obs)


def load_policy(folder: str | Path) -> LearnedPolicy:
    """Read the policy of a finished run (the folder of one seed).

    Its ``model.zip`` is a pickle, which can run anything: load only your own. Raises ValueError for another folder.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / "policy.json").read_text(encoding="utf8"))
        mean, var = np.array(about["mean"]), np.array(about["var"])
        return LearnedPolicy(load_model(f"{about['algorithm']}:{folder / 'model.zip'}").model, mean, var, about["clip"])
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} holds no learned policy ({error}); wanted the folder of one seed of a run.") from error


def find_opponent(part: Any, market: Market) -> Any:
    """What ``opponents`` names: a scripted strategy, ``run:folder``, or anything that the doors know themselves.

    Raises ValueError for a name that nobody knows, with its neighbour.
    """
    if isinstance(part, str) and part.startswith("run:"):
        return load_policy(part.removeprefix("run:"))
    return find_part(market, part)


def truthful(market: Market) -> Policy:
    """The market's own truthful policy."""
    return market.policies["truthful"]
