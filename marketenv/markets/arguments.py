"""Arguments that markets share: their checks, and the source and the learner that they name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from marketenv.core.checks import (
    Check,
    choice,
    flag,
    interval,
    keywords,
    number,
    options,
    or_none,
    path,
    refused,
    whole,
)
from marketenv.core.lookup import lookup
from marketenv.data import CorruptedSource, Source, make_source
from marketenv.learners import LEARNERS, Learner, Training
from marketenv.learners.training import check_training

# the last round ends the game, or cuts it without any agent seeing that (see ``Market``)
HORIZONS = ("end", "cut")
# arguments that the market gives every learner of the table
MADE_FOR = ("feature_shape", "n_outputs", "task", "training")
LARGEST_MONEY = 1e30  # agents see money, and products of it, as float32
PAYMENT_RULE = "a callable (bids, asks) -> Sales"
# arguments of a market, which data_options must not name a second time
OWN_ARGUMENTS = ("data", "partition", "n_agents")


def data_options(value: Any, name: str) -> dict[str, Any]:
    """Options of the data by name; ValueError for one that is an argument of the market itself."""
    data = options(value, name)
    for key in OWN_ARGUMENTS:
        if key in data:
            raise ValueError(
                f"{name} has {key!r}: {data[key]!r}, which is an argument of the market itself;"
                f" pass {key}=..."
            )
    return data


GAME: dict[str, Check] = {
    "max_cycles": partial(whole, least=1),
    "horizon": partial(choice, known=HORIZONS),
}
# of a market whose agents have data and models
LEARNING: dict[str, Check] = GAME | {
    "root": or_none(path),
    "download": flag,
    "data_options": data_options,
    "learner_options": options,
    "training": or_none(check_training),
}
TRAINED: dict[str, Check] = LEARNING | {
    "n_agents": partial(whole, least=2),
    "effort_cost": partial(interval, least=0.0, most=LARGEST_MONEY),
    "cash": partial(number, least=0.0),
    "credit": partial(number, least=0.0, infinite=True, fix="; inf sets no limit"),
}


def source_of(
    config: Any, device: torch.device, n_agents: int | None = None, **defaults: Any
) -> Source:
    """Make the source of a market's data by ``marketenv.data.make_source``.

    n_agents: number of owners; None: that of the config
    defaults: options of the data that ``data_options`` may replace
    """
    options = {"root": config.root, "download": config.download, **defaults, **config.data_options}
    count = n_agents or config.n_agents
    source: Source = make_source(config.data, config.partition, count, **options).to(device)
    return source


def check_labels(source: Source, device: torch.device) -> None:
    """Raise ValueError where an agent knows none of its labels, and so could learn nothing."""
    if isinstance(source, CorruptedSource):
        _ = source.federation(torch.zeros(1, dtype=torch.int64, device=device)).supervised


def makes_gains(part: Any) -> bool:
    """Whether a part makes a gain from ``scale``, as the classes of the table do.

    >>> from marketenv.mechanisms import GAINS
    >>> makes_gains(GAINS["log"]), makes_gains(GAINS["log"](scale=2.0)), makes_gains(int)
    (True, False, False)
    """
    try:
        names = keywords(part, 0) if callable(part) else ()
        return names is None or "scale" in names
    except ValueError:  # Python does not know the part's arguments
        return False


def check_ready_made(
    learner: Any, learner_options: Mapping[str, Any], training: Training | None
) -> None:
    """Refuse settings that only a learner of the table takes."""
    if not isinstance(learner, str) and (learner_options or training is not None):
        what = "None" if learner is None else f"a ready-made {type(learner).__name__}"
        raise ValueError(
            f"learner is {what}, which is told neither learner_options nor training, wanted a name"
            " with them; leave them out, or give them where the learner is made."
        )


def make_learner(
    learner: Any, source: Source, training: Training, learner_options: Mapping[str, Any]
) -> Learner:
    """Make the learner of that name for the source's data, or take a ready-made one.

    Raises ValueError for an unknown name or option, for a missing option, and for what is no
    learner.
    """
    if not isinstance(learner, str):
        return check_learner(learner)
    factory = lookup(LEARNERS, learner, "learner")
    known = keywords(factory, len(MADE_FOR)) or ()
    chosen = options(learner_options, "learner_options", known)
    parameters = inspect.signature(factory).parameters
    for name in known:
        if name not in chosen and parameters[name].default is inspect.Parameter.empty:
            raise ValueError(
                f"learner is {learner!r} and learner_options {chosen!r}, wanted an option {name!r}"
                f" too: learner_options={{{name!r}: <your {name}>}}."
            )
    return factory(source.feature_shape, source.n_outputs, source.task, training, **chosen)


def check_learner(learner: Any) -> Learner:
    """Return an object that has all that a ``Learner`` has; ValueError for anything else."""
    methods = [name for name in dir(Learner) if not name.startswith("_")]
    missing = [name for name in methods if not hasattr(learner, name)]
    if not missing and not isinstance(learner, type):
        own: Learner = learner
        return own
    wanted = f"a name ({', '.join(LEARNERS)}) or a Learner object"
    if isinstance(learner, nn.Module):
        fix = "pass learner='module', learner_options={'module': <this module>}"
        raise refused("learner", learner, f"{wanted}: {fix}")
    if isinstance(learner, type):
        fix = f"this is the class {learner.__name__}, make an object of it"
        raise refused("learner", learner, f"{wanted}: {fix}")
    if missing != methods:
        wanted = f"{wanted}, which has {', '.join(missing)} too"
    raise refused("learner", learner, wanted)
