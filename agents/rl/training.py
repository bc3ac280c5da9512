"""Train one model on one market and say what it learned."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from marketenv.core.lookup import lookup
from marketenv.core.market import Market, agent_names
from marketenv.core.storage import whole_file
from marketenv.envs.make import make_market
from marketenv.envs.sb3 import MarketSB3Env

from . import checkpoint
from .algorithms import ALGORITHMS
from .config import TrainConfig
from .evaluation import compare, mean_utility, training_seed
from .exact import exact_numbers
from .files import clear, folder_lock, seed_folder, settings_of, start_of
from .identity import identity
from .meter import Meter
from .monitoring import LOGS, Bar, Journal, Record
from .policy import LearnedPolicy, find_opponent, learned, truthful
from .sac import enlarge, memory_rows
from .start import imitate


def check(config: TrainConfig, market: Market) -> None:
    """Refuse settings that do not fit a market, before anything is written.

    The settings have no None left. Raises ValueError that begins with the setting's name.
    """
    _check_discount(config, market)
    envs = _environments(config, market, config.agent or agent_names(market)[0], "truthful")
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
    algorithm = lookup(ALGORITHMS, config.algorithm, "algorithm")
    folder, steps = seed_folder(config, seed), config.steps
    assert steps is not None
    market = market or make_market(config.market, **_arguments(config))
    _check_discount(config, market)
    agent = config.agent or agent_names(market)[0]
    against = config.opponents if opponents is None else opponents
    others = find_opponent(against, market)
    envs = _environments(config, market, agent, others)
    algorithm.check(config, envs.num_envs)
    settings = settings_of(config, seed, market, identity(against))
    with folder_lock(folder):
        start = start_of(folder, settings, config.resume)
        if start is None:
            clear(folder)
            model, journal = _fresh(config, seed, algorithm.build, envs, market), Journal()
        else:
            model, journal = _continued(config, start, algorithm.kind, envs)
        record = _record(config, folder, settings, journal, market, agent, others)
        if model.num_timesteps < steps:
            model.set_logger(Logger(folder=None, output_formats=[]))
            with contextlib.closing(record), _bar(progress, seed, steps, journal) as bar:
                # rollouts between two tables of SB3's own: never
                steps_left, quiet = steps - model.num_timesteps, 2**60
                together, fresh = CallbackList([record, *bar, *callbacks]), start is None
                model.learn(steps_left, together, log_interval=quiet, reset_num_timesteps=fresh)
        return _finish(config, settings, model, journal, market, agent, others)


def _continued(
    config: TrainConfig, start: Path, kind: type[BaseAlgorithm], envs: VecNormalize
) -> tuple[BaseAlgorithm, Journal]:
    """The model and the journal of a checkpoint, with memory for all steps."""
    state = checkpoint.read_state(start)
    model = checkpoint.load(start, kind, envs, state)
    if isinstance(model, SAC):
        enlarge(model, memory_rows(config, envs.num_envs))
    return model, Journal(**state["journal"])


def _record(
    config: TrainConfig,
    folder: Path,
    settings: dict[str, Any],
    journal: Journal,
    market: Market,
    agent: str,
    others: Any,
) -> Record:
    """What writes and evaluates while a model trains."""
    assert config.steps is not None and config.episodes is not None
    earns = functools.partial(
        mean_utility, market, agent=agent, opponents=others, pairs=config.episodes
    )
    # played once, and only where something is evaluated
    truth = functools.cache(lambda: earns(truthful(market)))

    def evaluate(policy: LearnedPolicy) -> dict[str, float | int]:
        utilities = {"utility": earns(policy), "truthful": truth()}
        return utilities | exact_numbers(market, policy, agent, others)

    every = {
        "row": max(config.steps // LOGS, 1),
        "evaluation": config.steps / config.evaluations if config.evaluations else 0,
        "checkpoint": config.checkpoint_every,
    }
    return Record(folder, every, evaluate, settings, journal)


def _arguments(config: TrainConfig) -> dict[str, Any]:
    return config.market_arguments() | {"device": config.device}


def _check_discount(config: TrainConfig, market: Market) -> None:
    """Refuse an endless sum that is not discounted, whose value has no bound."""
    if market.cut and config.gamma == 1:
        raise ValueError(
            'gamma is 1 and the market has horizon="cut", wanted gamma < 1: the sum of endless'
            ' rounds has no bound. Give gamma=0.95, for instance, or horizon="end", whose sum is'
            " that of max_cycles rounds."
        )


def _environments(config: TrainConfig, market: Market, agent: str, opponents: Any) -> VecNormalize:
    """The markets, what counts them, and the scaling of observations and rewards."""
    if agent == "all" and len(market.roles) > 1:
        names = " and ".join(role.name for role in market.roles)
        raise ValueError(
            f'agent="all" shares one policy, which could not tell a {names} apart; choose one'
            " agent."
        )
    assert config.num_envs is not None
    counted = Meter(MarketSB3Env(market, config.num_envs, agent, opponents, stages=config.stages))
    return VecNormalize(
        counted, norm_obs=config.normalise, norm_reward=config.normalise_rewards, gamma=config.gamma
    )


def _fresh(
    config: TrainConfig, seed: int, build: Any, envs: VecNormalize, market: Market
) -> BaseAlgorithm:
    model = build(config, seed, envs)
    envs.seed(training_seed(seed))  # after the model, which names a seed of its own
    if config.start == "truthful":
        imitate(model, envs, truthful(market))
        checkpoint.layers(model)[1].forget()
    return model


@contextlib.contextmanager
def _bar(show: bool, seed: int, steps: int, journal: Journal) -> Iterator[list[BaseCallback]]:
    if not show:
        yield []
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
        TimeRemainingColumn(),
        TextColumn("return {task.fields[mean_return]} money"),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(f"seed {seed}", total=steps, mean_return="-")
        yield [Bar(bar, task, journal)]


def _finish(
    config: TrainConfig,
    settings: dict[str, Any],
    model: BaseAlgorithm,
    journal: Journal,
    market: Market,
    agent: str,
    others: Any,
) -> dict[str, Any]:
    """Evaluate the last policy on seeds of its own, and write it and the result."""
    folder, policy = seed_folder(config, settings["seed"]), learned(model)
    assert config.episodes is not None
    comparison = compare(market, policy, agent, others, config.episodes)
    policy.save(folder, config.algorithm)
    result = {
        "settings": settings,
        "seed": settings["seed"],
        "agent": agent,
        "steps": model.num_timesteps,
        "speed": journal.speed[-1],
        **comparison.plain(),
        "exact": exact_numbers(market, policy, agent, others),
    }
    with whole_file(folder / "result.json") as part:
        part.write_text(json.dumps(result, indent=1), encoding="utf8")
    return result
