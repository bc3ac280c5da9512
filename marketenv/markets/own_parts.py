"""How the markets call parts that a user may have written: apart from the market's memory, and with
all they return checked.

What is refused is refused by the part's name, before anything of the market changes.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import tree
from marketenv.core.ledger import ROUNDING
from marketenv.core.parts import made, taken
from marketenv.core.shards import Shards
from marketenv.learners import MLP, Learner, Linear, ModuleLearner, Pull, Scores
from marketenv.learners.recurrent import CharacterLearner

PAIRS = "markets, buyers, sellers"
MODELS = "markets, agents, params"
Models = Float[Tensor, "models params"]
LEARNER_TYPES = (Linear, MLP, ModuleLearner, CharacterLearner)  # what the learners' table makes


# --- learners -------------------------------------------------------------------------------------


def is_own(learner: Learner) -> bool:
    """Whether a learner is a user's own; a class that inherits from one of ours is."""
    return type(learner) not in LEARNER_TYPES


def prepare(learner: Learner, shards: Shards) -> Any:
    """What a learner makes of examples to train on; one of a user's own gets a copy, since it
    may scale them in place.
    """
    return learner.prepare(tree.copied(shards) if is_own(learner) else shards)


def exam(learner: Learner, shards: Shards) -> Any:
    """What a learner makes of examples to score on; one of a user's own gets a copy, since it
    may scale them in place.
    """
    return learner.exam(tree.copied(shards) if is_own(learner) else shards)


def first_models(learner: Learner, keys: Int[Tensor, "models"]) -> Models:
    """Fresh parameters, one model a key; ValueError where they are not finite."""
    wanted = keys[:, None].expand(-1, learner.layout.size)
    params = taken(
        tree.apart(learner.init, is_own(learner))(keys),
        "learner.init returned parameters",
        wanted,
        "models, params",
        torch.float32,
    )
    if not bool(params.isfinite().all()):
        raise ValueError(
            "learner.init returned parameters that are not finite, wanted finite numbers to start"
            " training from."
        )
    return params


def fresh_slots(
    learner: Learner, n_models: int, device: torch.device
) -> Float[Tensor, "models slots"]:
    """Optimiser numbers before the first step."""
    wanted, said = (
        torch.empty(1, 1, device=device).expand(n_models, learner.slots),
        "learner.fresh_slots returned numbers",
    )
    return taken(
        tree.apart(learner.fresh_slots, is_own(learner))(n_models, device),
        said,
        wanted,
        "models, slots",
        torch.float32,
    )


def train(
    learner: Learner,
    params: Models,
    slots: Float[Tensor, "models slots"],
    material: Any,
    effort: Float[Tensor, "models"],
    keys: Int[Tensor, "models"],
    pull: Pull | None = None,
) -> tuple[Models, Float[Tensor, "models slots"]]:
    """One round of training; a learner that knows no pull is only given one where something
    pulls.
    """
    more = {} if pull is None else {"pull": pull}

    def lesson(params: Any, slots: Any, effort: Any, keys: Any, **more: Any) -> Any:
        # the material is the learner's, and is not copied
        return learner.train(params, slots, material, effort, keys, **more)

    done = tree.apart(lesson, is_own(learner))(params, slots, effort, keys, **more)
    if not isinstance(done, tuple) or len(done) != 2:
        raise ValueError(f"learner.train returned a {type(done).__name__}, wanted (params, slots).")
    return (
        taken(done[0], "learner.train returned parameters", params, "models, params"),
        taken(done[1], "learner.train returned optimiser numbers", slots, "models, slots"),
    )


def scores(learner: Learner, models: Float[Tensor, "markets k params"], exam: Any) -> Scores:
    """Loss and accuracy of every model on an exam."""
    asked = tree.apart(lambda models: learner.scores(models, exam), is_own(learner))
    found, axes = made(asked(models), Scores, "learner.scores"), "markets, models"
    said = (f"learner.scores returned {name}" for name in Scores._fields)
    return Scores(
        *(
            taken(part, words, models[..., 0], axes, torch.float32)
            for part, words in zip(found, said, strict=True)
        )
    )


def losses(
    learner: Learner, models: Float[Tensor, "markets k params"], exam: Any
) -> Float[Tensor, "markets k"]:
    """Losses of many models; a learner that can give them alone is asked for no more."""
    alone = getattr(learner, "losses", None)
    if alone is None:
        return scores(learner, models, exam).loss
    asked = tree.apart(lambda models: alone(models, exam), is_own(learner))
    return taken(
        asked(models),
        "learner.losses returned losses",
        models[..., 0],
        "markets, models",
        torch.float32,
    )


# --- payments -------------------------------------------------------------------------------------


def check_payable(
    part: str,
    prices: Float64[Tensor, "markets payers payees"],
    purse: Float64[Tensor, "markets payers"],
) -> None:
    """Refuse by the part's name what the books would refuse: payments beyond a purse,
    ValueError.
    """
    paid = prices.sum(2)
    over = paid > purse * (1 + ROUNDING) + ROUNDING
    if bool(over.any()):
        market, agent = over.nonzero()[0].tolist()
        much, most = float(paid[market, agent]), float(purse[market, agent])
        raise ValueError(
            f"{part} returned prices that cannot be paid: agent {agent} of market {market} would"
            f" pay {much:g} from a purse of {most:g}, more than its cash and credit. No money"
            " moved."
        )
