"""Train one model on one market and say what it learned."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import shutil
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
from marketenv.core.saved import describe
from marketenv.core.storage import whole_file
from marketenv.envs.make import make_market
from marketenv.envs.opponents import find_opponents
from marketenv.envs.sb3 import MarketSB3Env

from . import checkpoint
from .algorithms import ALGORITHMS
from .config import TrainConfig
from .evaluation import compare, mean_utility, training_seed
from .exact import exact_payoff, first_price_gap, has_exact_payoff, has_first_price_gap, price_rule
from .files import held
from .identity import identity
from .meter import Meter
from .monitoring import LOGS, Bar, Journal, Record
from .policy import LearnedPolicy, find_opponent, learned, truthful
from .sac import enlarge, memory_rows
from .start import imitate

# in the folder of a seed
WRITTEN = ("result.json", "policy.json", "model.zip", "progress.csv", "speed.csv")
# settings that change no number of a run
FREE = ("out", "resume", "workers", "seeds", "checkpoint_every")


def seed_folder(config: TrainConfig, seed: int) -> Path:
    """Where the files of one seed lie."""
    assert config.out is not None
    return config.out / f"seed_{seed}"


def check(config: TrainConfig, market: Market) -> None:
    """Refuse settled settings that do not fit a market, before anything is written: ValueError
    that begins with their name.
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
    """Train the model of one seed, evaluate it, and write its folder; returns what ``result.json``
    holds.

    opponents: what the doors accept, in place of the name in the config
    market:    in place of the name and arguments in the config, which then only choose settings
    progress:  show a bar

    With ``config.resume`` a run that was cut short goes on from its last checkpoint and ends as if
    nothing had happened: to the bit on a CPU with the same number of threads. A run, finished or
    not, goes on to more ``steps`` and then has the policy and the numbers of a run that was given
    them at once; only its tables have rows at other steps. The global random generators of torch,
    NumPy and Python are set.
    Raises ValueError for unknown names and wrong sizes, for a folder that holds a run of other
    settings or in which another process trains, where a run would be gone on with against opponents
    that no name tells from others (``identity``), and for gamma 1 where the horizon is a cut.
    """
    config = config.settled()
    algorithm, folder, steps = (
        lookup(ALGORITHMS, config.algorithm, "algorithm"),
        seed_folder(config, seed),
        config.steps,
    )
    assert steps is not None
    market = market or make_market(config.market, **_arguments(config))
    _check_discount(config, market)
    agent = config.agent or agent_names(market)[0]
    others = find_opponent(config.opponents if opponents is None else opponents, market)
    envs = _environments(config, market, agent, others)
    algorithm.check(config, envs.num_envs)
    settings = _settings(
        config, seed, market, identity(config.opponents if opponents is None else opponents)
    )
    with held(folder):
        start = _checkpoint(folder, settings, config.resume)
        if start is None:
            _clear(folder)
            model, journal = _fresh(config, seed, algorithm.build, envs, market), Journal()
        else:
            state = checkpoint.read_state(start)
            model, journal = (
                checkpoint.load(start, algorithm.kind, envs, state),
                Journal(**state["journal"]),
            )
            if isinstance(model, SAC):
                enlarge(model, memory_rows(config, envs.num_envs))
        record = _record(config, folder, settings, journal, market, agent, others)
        if model.num_timesteps < steps:
            model.set_logger(Logger(folder=None, output_formats=[]))
            with contextlib.closing(record), _bar(progress, seed, steps, journal) as bar:
                # rollouts between two tables of SB3's own: never
                left, quiet = steps - model.num_timesteps, 2**60
                together = CallbackList([record, *bar, *callbacks])
                model.learn(left, together, log_interval=quiet, reset_num_timesteps=start is None)
        return _finish(config, settings, model, journal, market, agent, others)


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
        return {"utility": earns(policy), "truthful": truth()} | exact(
            market, policy, agent, others
        )

    rows = max(config.steps // LOGS, 1)
    every = {
        "row": rows,
        "evaluation": config.steps / config.evaluations if config.evaluations else 0,
    }
    return Record(
        folder, every | {"checkpoint": config.checkpoint_every}, evaluate, settings, journal
    )


def exact(
    market: Market, policy: LearnedPolicy, agent: str, opponents: Any
) -> dict[str, float | int]:
    """What is known without noise of a policy in the reference games, in the double auction
    against a truthful partner only.
    """
    if agent == "all":
        if not has_first_price_gap(market):
            return {}
        names = agent_names(market)
        gap = first_price_gap(price_rule(policy, market, names[0]), len(names))
        return {f"exact/{name}": value for name, value in vars(gap).items()}
    others = (other for name, other in find_opponents(opponents, market).items() if name != agent)
    if not has_exact_payoff(market) or any(other is not truthful(market) for other in others):
        return {}
    found = exact_payoff(market, policy, agent)
    return {
        f"exact/{name}": value
        for name, value in (vars(found) | {"above_truth": found.above_truth}).items()
    }


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


def _settings(
    config: TrainConfig, seed: int, market: Market, against: str | None
) -> dict[str, Any]:
    """All that the numbers of a run depend on, as JSON holds it."""
    told = {name: value for name, value in dataclasses.asdict(config).items() if name not in FREE}
    return json.loads(
        json.dumps(told | {"seed": seed, "plays": describe(market), "against": against})
    )


def _checkpoint(folder: Path, settings: dict[str, Any], resume: bool) -> Path | None:
    """The checkpoint to go on from; ValueError where it is of other settings."""
    found = checkpoint.latest(folder) if resume else None
    if found is None:
        return None
    if settings["against"] is None:
        raise ValueError(
            f"{folder} holds a run, and the opponents are an object that no name tells from others,"
            " so it may be one against others. Give them by name ('module:name', run:folder),"
            " another out, or resume=False to begin anew there."
        )
    if settings["plays"] is None:
        raise ValueError(
            f"{folder} holds a run, and the market holds an object that cannot be compared, so it"
            " may be one of another market. Give another out, or resume=False to begin anew there."
        )
    kept = checkpoint.read_state(found)["settings"]
    if kept["steps"] > settings["steps"]:
        raise ValueError(
            f"{folder} holds a run of {kept['steps']} steps, not {settings['steps']}: steps can"
            " only be raised. Give at least as many, another --out, or --no-resume to begin anew"
            " there."
        )
    kept["steps"] = settings["steps"]
    other = [
        f"{name} {kept.get(name)!r}, not {settings.get(name)!r}"
        for name in settings
        if kept.get(name) != settings[name]
    ]
    if other:
        raise ValueError(
            f"{folder} holds a run of other settings: {'; '.join(other)}. Give another --out, the"
            " same settings, or --no-resume to begin anew there."
        )
    return found


def _clear(folder: Path) -> None:
    """Remove what a former run has left in the folder."""
    for name in WRITTEN:
        (folder / name).unlink(missing_ok=True)
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)


@contextlib.contextmanager
def _bar(show: bool, seed: int, steps: int, journal: Journal) -> Iterator[list[BaseCallback]]:
    if not show:
        yield []
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
    )
    with Progress(*columns, TimeRemainingColumn(), TextColumn("return {task.fields[told]}")) as bar:
        yield [Bar(bar, bar.add_task(f"seed {seed}", total=steps, told=""), journal)]


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
    found = compare(market, policy, agent, others, config.episodes)
    policy.save(folder, config.algorithm)
    result = {
        "settings": settings,
        "seed": settings["seed"],
        "agent": agent,
        "steps": model.num_timesteps,
        "speed": journal.speed[-1],
        **found.plain(),
        "exact": exact(market, policy, agent, others),
    }
    with whole_file(folder / "result.json") as part:
        part.write_text(json.dumps(result, indent=1), encoding="utf8")
    return result
