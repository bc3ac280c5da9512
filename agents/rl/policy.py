"""A learned policy as a pure function of observations, their scaling included."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from marketenv.core.market import Market, Move
from marketenv.core.policy import Policy
from marketenv.core.storage import whole_file
from marketenv.envs.opponents import ModelPolicy, load_model
from marketenv.envs.seats import Seat, learner_seat

from ..lineups import find_part

EPSILON = 1e-8  # VecNormalize's own
UNLIMITED = 1e30  # a clip that never clips and that JSON can hold


@dataclass(frozen=True)
class LearnedPolicy:
    """A stable-baselines3 model that sees scaled observations and acts deterministically.

    x = clip((observation - mean) / sqrt(var + 1e-8), -clip, clip);   action = the model's mode at x

    mean, var: of the observations that it was trained on   [dim]
    seat:      the moves that it learned, side by side; None where its role has but one
    elsewhere: who plays the role's other moves; None where it learned all of them
    """

    model: Any
    mean: Float64[np.ndarray, "dim"]
    var: Float64[np.ndarray, "dim"]
    clip: float
    seat: Seat | None = None
    elsewhere: Policy | None = None

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the move's box, float32 [markets, actions]; the keys are not needed."""
        if self.seat is not None and move.stage not in self.seat.stages:
            if self.elsewhere is None:
                raise ValueError(
                    f"the policy learned to move in {', '.join(self.seat.stages)}, and nobody plays"
                    f" {move.stage!r} for it."
                )
            return self.elsewhere(observation, move, keys)
        sees = observation.shape[-1] if self.seat is None else self.seat.observation.dim
        if sees != len(self.mean):
            raise ValueError(
                f"the policy was trained on {len(self.mean)} numbers, this {move.name} sees {sees}."
                " Build the market with the arguments that it was trained with, and give it to"
                " load_policy where agents move in several stages."
            )
        return ModelPolicy(_Scaled(self), self.seat)(observation, move, keys)

    def save(self, folder: Path, algorithm: str) -> None:
        """Write ``model.zip`` and ``policy.json``, which ``load_policy`` reads."""
        with whole_file(folder / "model.zip") as part:
            self.model.save(part)
        about = {
            "algorithm": algorithm,
            "mean": self.mean.tolist(),
            "var": self.var.tolist(),
            "clip": self.clip,
        }
        about |= (
            {} if self.seat is None else {"role": self.seat.name, "stages": list(self.seat.stages)}
        )
        with whole_file(folder / "policy.json") as part:
            part.write_text(json.dumps(about, indent=1), encoding="utf8")


@dataclass(frozen=True)
class _Scaled:
    """A learned policy's model, given what is seen before it is scaled."""

    policy: LearnedPolicy

    @property
    def action_space(self) -> Any:
        """The model's own."""
        return getattr(self.policy.model, "action_space", None)

    def predict(self, observation: np.ndarray, deterministic: bool) -> Any:
        """The model's answer to x."""
        mean, scale, clip = self.policy.mean, np.sqrt(self.policy.var + EPSILON), self.policy.clip
        scaled = np.clip((observation - mean) / scale, -clip, clip).astype(np.float32)
        return self.policy.model.predict(scaled, deterministic=deterministic)


def learned(model: BaseAlgorithm) -> LearnedPolicy:
    """The policy of a model as it stands, with a copy of its environments' scaling."""
    envs, seat, elsewhere = model.get_vec_normalize_env(), None, None
    if envs is not None:
        market, joined = envs.get_attr("market")[0], envs.get_attr("seat")[0]
        if len(market.moves_of(joined.name)) > 1:
            seat, elsewhere = joined, envs.get_attr("elsewhere")[0]
    assert model.observation_space.shape is not None
    zeros = np.zeros(model.observation_space.shape)
    if not isinstance(envs, VecNormalize) or not envs.norm_obs:
        return LearnedPolicy(model, zeros, zeros + 1, UNLIMITED, seat, elsewhere)
    statistics: Any = envs.obs_rms
    return LearnedPolicy(
        model, statistics.mean.copy(), statistics.var.copy(), envs.clip_obs, seat, elsewhere
    )


def load_policy(folder: str | Path, market: Market | None = None) -> LearnedPolicy:
    """Read the policy of a finished run (the folder of one seed).

    market: that it shall play; only who moves in several stages needs it. Where it learned some of
            them, it tells the truth in the others

    Its ``model.zip`` is a pickle, which can run anything: load only your own. Raises ValueError for
    another folder.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / "policy.json").read_text(encoding="utf8"))
        mean, var = np.array(about["mean"]), np.array(about["var"])
        seat, elsewhere = None, None
        if "role" in about and market is not None:
            seat, elsewhere = (
                learner_seat(market, about["role"], about.get("stages")),
                truthful(market),
            )
        model = load_model(f"{about['algorithm']}:{folder / 'model.zip'}")
        return LearnedPolicy(model, mean, var, about["clip"], seat, elsewhere)
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{folder} holds no learned policy ({error}); wanted the folder of one seed of a run."
        ) from error


def find_opponent(part: Any, market: Market) -> Any:
    """What ``opponents`` names: a scripted strategy, ``run:folder``, or what the doors know.

    Raises ValueError for a name that nobody knows, with its neighbour.
    """
    if isinstance(part, str) and part.startswith("run:"):
        return load_policy(part.removeprefix("run:"), market)
    return find_part(market, part)


def truthful(market: Market) -> Policy:
    """The market's own truthful policy."""
    return market.policies["truthful"]
