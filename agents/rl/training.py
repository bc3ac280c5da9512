"""Train on one market, and say what was learned."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from marketenv.core.market import Market, agent_names
from marketenv.envs.trained import TrainedPolicy

from ..lineups import find_part
from . import checkpoint
from .algorithms import ALGORITHMS
from .config import EACH, TrainConfig
from .environments import check_discount, environments, fresh, market_of
from .evaluation import compare, mean_utility, truthful
from .exact import exact_numbers
from .files import clear, folder_lock, seed_folder, settings_of, start_of, write_result
from .identity import identity
from .independent import check_each, train_each
from .monitoring import NEVER, Journal, Record, Recording, pauses, progress_bar
from .policy import command_of, learned, save
from .sac import enlarge, memory_rows


def check(config: TrainConfig, market: Market) -> None:
    """Refuse settings that do not fit a market, before anything is written.

    The settings have no None left. Raises ValueError that begins with the setting's name.
    """
    check_discount(config, market)
    if config.agent == EACH:
        check_each(config, market)
        return
    envs = environments(config, market, config.agent or agent_names(market)[0], "truthful")
    ALGORITHMS[config.algorithm].check(config, envs.num_envs)


def train(
    config: TrainConfig,
    seed: int,
    *,
    opponents: Any = None,
    market: Market | None = None,
    progress: bool = False,
    callbacks: Sequence[BaseCallback] = (),
) -> dict[str, Any]:
    """Train the model of one seed, evaluate it, and write its folder; returns ``result.json``.

    opponents: what the doors accept, in place of the name in the config
    market:    in place of the name and arguments in the config, which then only choose settings
    progress:  show a bar
    callbacks: with agent="each" all models call them, in turn

    With ``config.resume`` a run that was cut short continues from its last checkpoint and ends as
    if nothing had happened: to the bit on a CPU with the same number of threads. Every run
    continues to more ``steps``, and then has the policy and the numbers of a run that had them from
    the start; only its tables have rows at other steps. The global random generators of torch,
    NumPy and Python are set.
    Raises ValueError for unknown names and wrong sizes, for a folder that holds a run of other
    settings or in which another process trains, for a run to continue against opponents that cannot
    be compared (``identity``), and for gamma 1 where the horizon is a cut.
    """
    config = config.with_defaults()
    command = command_of(config, seed) if opponents is None and market is None else None
    market = market or market_of(config)
    check_discount(config, market)
    against = config.opponents if opponents is None else opponents
    kind = train_each if config.agent == EACH else _train_one
    return kind(config, seed, market, against, command, progress, callbacks)


def _train_one(
    config: TrainConfig,
    seed: int,
    market: Market,
    against: Any,
    command: str | None,
    progress: bool,
    callbacks: Sequence[BaseCallback],
) -> dict[str, Any]:
    """Train one model, of one agent or of several that share it."""
    algorithm, folder, steps = ALGORITHMS[config.algorithm], seed_folder(config, seed), config.steps
    assert steps is not None
    agent = config.agent or agent_names(market)[0]
    others = find_part(market, against)
    envs = environments(config, market, agent, others)
    algorithm.check(config, envs.num_envs)
    settings = settings_of(config, seed, market, identity(against))
    with folder_lock(folder):
        start = start_of(folder, settings, config.resume)
        if start is None:
            clear(folder)
            model = fresh(config, seed, algorithm.build, envs, market, draws=seed)
            journal = Journal()
        else:
            model, journal = _continued(config, start, algorithm.kind, envs)
        record = _record(config, folder, settings, journal, model, market, agent, others)
        if model.num_timesteps < steps:
            model.set_logger(Logger(folder=None, output_formats=[]))
            with contextlib.closing(record), progress_bar(progress, seed, steps, journal) as bar:
                together = CallbackList([Recording(record, bar), *callbacks])
                steps_left, first = steps - model.num_timesteps, start is None
                model.learn(steps_left, together, log_interval=NEVER, reset_num_timesteps=first)
        return _finish(config, settings, model, journal, market, agent, others, command)


def _continued(
    config: TrainConfig, start: Path, kind: type[BaseAlgorithm], envs: VecNormalize
) -> tuple[BaseAlgorithm, Journal]:
    """The model and the journal of a checkpoint, with memory for all steps."""
    model = checkpoint.load(start, kind, envs)
    if isinstance(model, SAC):
        enlarge(model, memory_rows(config, envs.num_envs))
    return model, Journal(**checkpoint.read_state(start)["journal"])


def _record(
    config: TrainConfig,
    folder: Path,
    settings: dict[str, Any],
    journal: Journal,
    model: BaseAlgorithm,
    market: Market,
    agent: str,
    others: Any,
) -> Record:
    """What writes and evaluates while a model trains."""
    assert config.episodes is not None
    earns = functools.partial(
        mean_utility, market, agent=agent, opponents=others, pairs=config.episodes
    )
    # played once, and only where something is evaluated
    truth = functools.cache(lambda: earns(truthful(market)))

    def evaluate(policies: dict[str, TrainedPolicy]) -> dict[str, float | int]:
        policy = policies[""]
        utilities = {"utility": earns(policy), "truthful": truth()}
        return utilities | exact_numbers(market, policy, agent, others)

    def write(part: Path, state: dict[str, Any]) -> None:
        checkpoint.write(part, model, state)

    return Record(folder, {"": model}, pauses(config), evaluate, write, settings, journal)


def _finish(
    config: TrainConfig,
    settings: dict[str, Any],
    model: BaseAlgorithm,
    journal: Journal,
    market: Market,
    agent: str,
    others: Any,
    command: str | None,
) -> dict[str, Any]:
    """Evaluate the last policy on seeds of its own, and write it and the result."""
    folder, policy = seed_folder(config, settings["seed"]), learned(model)
    assert config.episodes is not None
    comparison = compare(market, policy, agent, others, config.episodes)
    result = {
        "settings": settings,
        "seed": settings["seed"],
        "agent": agent,
        "steps": model.num_timesteps,
        "speed": journal.speed[-1],
        **comparison.plain(),
        "exact": exact_numbers(market, policy, agent, others),
    }
    save(folder, policy, comparison, settings["seed"], command)
    write_result(folder, result)
    return result
