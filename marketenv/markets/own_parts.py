"""How markets call parts of a user's own: on copies, and with a check of what they return.

An error names the part, and comes before anything of the market changes.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import tree
from marketenv.core.checks import refused, whole
from marketenv.core.ledger import ROUNDING
from marketenv.core.parts import made, taken
from marketenv.core.shards import Shards
from marketenv.learners import (
    MLP,
    ByClass,
    FirstLinear,
    Learner,
    Linear,
    ModuleLearner,
    Pull,
    Scores,
)
from marketenv.learners.recurrent import CharacterLearner

PAIRS = "markets, buyers, sellers"
MODELS = "markets, agents, params"
Models = Float[Tensor, "models params"]
SUM_OF_SHARES = 1e-5  # by which a sum of shares in float32 may pass 1
LEARNER_TYPES = (Linear, MLP, ModuleLearner, CharacterLearner)  # classes of the learners' table


# --- learners -------------------------------------------------------------------------------------


def is_own(learner: Learner) -> bool:
    """Whether a learner is a user's own; a class that inherits from one of ours is."""
    return type(learner) not in LEARNER_TYPES


def prepare(learner: Learner, shards: Shards) -> Any:
    """A learner's form of examples to train on; one of a user's own may edit its copy."""
    return learner.prepare(tree.copied(shards) if is_own(learner) else shards)


def exam(learner: Learner, shards: Shards) -> Any:
    """A learner's form of examples to score on; one of a user's own may edit its copy."""
    return learner.exam(tree.copied(shards) if is_own(learner) else shards)


def first_models(learner: Learner, keys: Int[Tensor, "models"]) -> Models:
    """Fresh parameters, one model a key; ValueError where they are not finite."""
    wanted = keys[:, None].expand(-1, learner.layout.size)
    returned = tree.apart(learner.init, is_own(learner))(keys)
    what, axes = "learner.init returned parameters", "models, params"
    params = taken(returned, what, wanted, axes, torch.float32)
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
    wanted = torch.empty(1, 1, device=device).expand(n_models, learner.slots)
    returned = tree.apart(learner.fresh_slots, is_own(learner))(n_models, device)
    what, axes = "learner.fresh_slots returned numbers", "models, slots"
    return taken(returned, what, wanted, axes, torch.float32)


def train(
    learner: Learner,
    params: Models,
    slots: Float[Tensor, "models slots"],
    material: Any,
    effort: Float[Tensor, "models"],
    keys: Int[Tensor, "models"],
    pull: Pull | None = None,
) -> tuple[Models, Float[Tensor, "models slots"]]:
    """One round of training; ``pull`` is passed on only where there is one."""
    more = {} if pull is None else {"pull": pull}

    def lesson(params: Any, slots: Any, effort: Any, keys: Any, **more: Any) -> Any:
        # the material is the learner's, and is not copied
        return learner.train(params, slots, material, effort, keys, **more)

    returned = tree.apart(lesson, is_own(learner))(params, slots, effort, keys, **more)
    if not isinstance(returned, tuple) or len(returned) != 2:
        kind = type(returned).__name__
        raise ValueError(f"learner.train returned a {kind}, wanted (params, slots).")
    return (
        taken(returned[0], "learner.train returned parameters", params, "models, params"),
        taken(returned[1], "learner.train returned optimiser numbers", slots, "models, slots"),
    )


def scores(learner: Learner, models: Float[Tensor, "markets k params"], exam: Any) -> Scores:
    """Loss and accuracy of every model on an exam.

    Raises ValueError for accuracies outside [0, 1] of a user's own learner, which markets would
    show and pay as they are.
    """
    score = tree.apart(lambda models: learner.scores(models, exam), is_own(learner))
    returned, one = made(score(models), Scores, "learner.scores"), models[..., 0]
    what, axes = "learner.scores returned", "markets, models"
    loss = taken(returned.loss, f"{what} loss", one, axes, torch.float32)
    accuracy = taken(returned.accuracy, f"{what} accuracy", one, axes, torch.float32)
    if is_own(learner):
        _check_shares(accuracy)
    return Scores(loss, accuracy)


def _check_shares(accuracy: Tensor) -> None:
    fine = (accuracy >= -SUM_OF_SHARES) & (accuracy <= 1 + SUM_OF_SHARES)
    if not bool(fine.all()):
        raise ValueError(
            f"learner.scores returned an accuracy of {float(accuracy[~fine][0]):g}, wanted shares"
            " from 0 to 1: clip R^2 below at 0, and give 0 to a model that is not finite."
        )


def by_class(learner: Learner) -> bool:
    """Whether one pass over all classes gives the same scores as one exam for each class.

    It does not where batch norms pool the examples of an exam. A learner of a user's own is asked
    class by class, as a class that inherits from one of ours may score in another way.
    """
    known = isinstance(learner, ByClass) and not is_own(learner)
    return known and not getattr(learner, "pooled", False)


def losses(
    learner: Learner, models: Float[Tensor, "markets k params"], exam: Any
) -> Float[Tensor, "markets k"]:
    """Losses of many models, by the learner's own ``losses`` if it has them."""
    alone = getattr(learner, "losses", None)
    if alone is None:
        return scores(learner, models, exam).loss
    returned = tree.apart(lambda models: alone(models, exam), is_own(learner))(models)
    what, axes = "learner.losses returned losses", "markets, models"
    return taken(returned, what, models[..., 0], axes, torch.float32)


def first_linear(learner: Learner) -> FirstLinear | None:
    """How a learner scores models in two parts; None where it does not say so.

    A class of a user's own must say so itself: what it inherits may not score as its own methods
    do.
    """
    if not is_own(learner):
        return getattr(learner, "first_linear", None)
    if "first_linear" not in {*vars(type(learner)), *vars(learner)}:
        return None
    part = "learner.first_linear"
    first = made(learner.first_linear, FirstLinear, part)  # type: ignore[attr-defined]
    _check_parts(first, dict(learner.layout.shapes))

    def outputs(models: Float[Tensor, "markets k params"], exam: Any) -> Tensor:
        returned = tree.apart(lambda models: first.outputs(models, exam))(models)
        units = dict(learner.layout.shapes)[first.names[0]][:1]
        shape = (*models.shape[:2], *units, *getattr(returned, "shape", ())[3:])
        like = models.new_empty(1).expand(shape)
        axes = "markets, models, units, rest"
        return taken(returned, f"{part}.outputs returned outputs", like, axes)

    def losses(outputs: Tensor, views: dict[str, Tensor], exam: Any) -> Tensor:
        rest = tree.apart(lambda outputs, views: first.losses(outputs, views, exam))
        one = outputs.flatten(2)[..., 0]
        what, axes = f"{part}.losses returned losses", "markets, models"
        return taken(rest(outputs, views), what, one, axes, torch.float32)

    def at_once(exam: Any) -> int:
        return whole(first.at_once(exam), f"{part}.at_once(exam)", 1)

    return first._replace(outputs=outputs, losses=losses, at_once=at_once)


def _check_parts(first: FirstLinear, shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse names that are no first layer, and functions that are none."""
    names = first.names if isinstance(first.names, tuple) else ()
    units = [shapes[name][:1] for name in names if name in shapes]
    if not names or len(units) < len(names) or len(set(units)) > 1:
        raise ValueError(
            f"learner.first_linear.names is {first.names!r}, wanted a tuple of the tensors of the"
            f" first layer, as many units each on axis 0; the layout has {shapes}."
        )
    for name in ("outputs", "losses", "at_once"):
        if not callable(value := getattr(first, name)):
            raise refused(f"learner.first_linear.{name}", value, "a function")


# --- payments -------------------------------------------------------------------------------------


def check_payable(
    part: str,
    prices: Float64[Tensor, "markets payers payees"],
    purse: Float64[Tensor, "markets payers"],
) -> None:
    """Raise ValueError, with the part's name, for payments beyond a purse."""
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
