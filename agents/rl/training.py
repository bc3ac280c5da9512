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
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from marketenv.core.batch import describe
from marketenv.core.lookup import lookup
from marketenv.core.market import Market, agent_names
from marketenv.envs.make import make_market
from marketenv.envs.sb3 import MarketSB3Env

from . import checkpoint
from .algorithms import ALGORITHMS
from .config import TrainConfig
from .evaluation import compare, mean_utility, training_seed
from .exact import exact_payoff, first_price_gap, has_exact_payoff, price_rule
from .meter import Meter
from .monitoring import LOGS, Bar, Journal, Record
from .policy import LearnedPolicy, find_opponent, learned, truthful
from .start import imitate

FREE = ("out", "resume", "workers", "seeds", "checkpoint_every")  # settings that change no number of a run


def seed_folder(config: TrainConfig, seed: int) -> Path:
    """Where the files of one seed lie."""
    assert config.out is not None
    return config.out / f"seed_{seed}"


def train(
    config: TrainConfig, seed: int, *, opponents: Any = None, progress: bool = False, callbacks: Sequence[BaseCallback] = ()
) -> dict[str, Any]:
    """Train the model of one seed, evaluate it, and write its folder; returns what ``result.json`` holds.

    opponents: what the doors accept, in place of the name in the config; progress: show a bar

    With ``config.resume`` a run that was cut short goes on from its last checkpoint and ends as if nothing had happened:
    to the bit on a CPU with the same number of threads. The global random generators of torch, NumPy and Python are set.
    Raises ValueError for unknown names and wrong sizes, and for a folder that holds a run of other settings.
    """
    config = config.settled()
    build, folder = lookup(ALGORITHMS, config.algorithm, "algorithm"), seed_folder(config, seed)
    market = make_market(config.market, **_arguments(config))
    agent = config.agent or agent_names(market)[0]
    others = find_opponent(config.opponents if opponents is None else opponents, market)
    envs = _environments(config, market, agent, others)
    settings = _settings(config, seed, market, others)
    start = _checkpoint(folder, settings, config.resume)
    if start is None:
        _clear(folder)
        model, journal = _fresh(config, seed, build, envs, market, agent), Journal()
    else:
        state = checkpoint.read_state(start)
        kind = type(build(config, seed, _environments(config, market, agent, others)))
        model, journal = checkpoint.load(start, kind, envs, state), Journal(**state["journal"])
    assert config.steps is not None and config.episodes is not None
    earns = functools.partial(mean_utility, market, agent=agent, opponents=others, pairs=config.episodes)
    truth = functools.cache(lambda: earns(truthful(market)))  # played once, and only where something is evaluated

    def evaluate(policy: LearnedPolicy) -> dict[str, float | int]:
        return {"utility": earns(policy), "truthful": truth()} | exact(market, policy, agent)

    rows = max(config.steps // LOGS, 1)
    every = {"row": rows, "evaluation": config.steps / config.evaluations if config.evaluations else 0}
    record = Record(folder, every | {"checkpoint": config.checkpoint_every}, evaluate, settings, journal)
    if model.num_timesteps < config.steps:
        model.set_logger(Logger(folder=None, output_formats=[]))
        with contextlib.closing(record), _bar(progress, seed, config.steps, journal) as bar:
            left, quiet = config.steps - model.num_timesteps, 2**60  # rollouts between two tables of SB3's own: never
            model.learn(left, CallbackList([record, *bar, *callbacks]), log_interval=quiet, reset_num_timesteps=start is None)
    return _finish(config, seed, model, journal, market, agent, others)


def exact(market: Market, policy: LearnedPolicy, agent: str) -> dict[str, float | int]:
    """What is known without noise of a policy in the reference games; nothing elsewhere."""
    if has_exact_payoff(market) and agent != "all":
        found = exact_payoff(market, policy, agent)
        return {"exact/payoff": found.payoff, "exact/truth": found.truth, "exact/best": found.best, "exact/gain": found.gain}
    config: Any = getattr(market, "config", None)
    plain = agent == "all" and getattr(config, "game", "") == "first_price" and config.mechanism in (None, "first_price")
    if plain and (config.values, config.reserve, config.max_cycles) == ((0.0, 1.0), 0.0, 1) and len(agent_names(market)) > 1:
        gap = first_price_gap(price_rule(policy, market, agent_names(market)[0]), len(agent_names(market)))  # type: ignore[arg-type]
        return {f"exact/{name}": value for name, value in vars(gap).items()}
    return {}


def _arguments(config: TrainConfig) -> dict[str, Any]:
    given = config.market_arguments()
    if "device" in given:
        raise ValueError("arguments has a device; give it as device, beside the arguments.")
    return {**given, "device": config.device}


def _environments(config: TrainConfig, market: Market, agent: str, opponents: Any) -> VecNormalize:
    """The markets, what counts them, and the scaling of observations and rewards."""
    if agent == "all" and len(market.roles) > 1:
        names = " and ".join(role.name for role in market.roles)
        raise ValueError(f'agent="all" shares one policy, which could not tell a {names} apart; choose one agent.')
    assert config.num_envs is not None
    counted = Meter(MarketSB3Env(market, config.num_envs, agent, opponents))
    return VecNormalize(counted, norm_obs=config.normalise, norm_reward=config.normalise_rewards, gamma=config.gamma)


def _fresh(config: TrainConfig, seed: int, build: Any, envs: VecNormalize, market: Market, agent: str) -> BaseAlgorithm:
    model = build(config, seed, envs)
    envs.seed(training_seed(seed))  # after the model, which names a seed of its own
    if config.start == "truthful":
        imitate(model, envs, market, agent, truthful(market))
        checkpoint.layers(model)[1].forget()
    return model


def _settings(config: TrainConfig, seed: int, market: Market, opponents: Any) -> dict[str, Any]:
    """All that the numbers of a run depend on, as JSON holds it."""
    told = {name: value for name, value in dataclasses.asdict(config).items() if name not in FREE}
    other = opponents if isinstance(opponents, str) else repr(type(opponents))
    return json.loads(json.dumps(told | {"seed": seed, "plays": describe(market), "against": other}))


def _checkpoint(folder: Path, settings: dict[str, Any], resume: bool) -> Path | None:
    """The checkpoint to go on from; ValueError where it is of other settings."""
    found = checkpoint.latest(folder) if resume else None
    if found is None:
        return None
    held = checkpoint.read_state(found)["settings"]
    other = [f"{name} {held.get(name)!r}, not {settings.get(name)!r}" for name in settings if held.get(name) != settings[name]]
    if other:
        raise ValueError(
            f"{folder} holds a run of other settings: {'; '.join(other)}. Give another --out, the same settings, or "
            "--no-resume to begin anew there."
        )
    return found


def _clear(folder: Path) -> None:
    """Make the folder, without what a former run has left to go on from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)


@contextlib.contextmanager
def _bar(show: bool, seed: int, steps: int, journal: Journal) -> Iterator[list[BaseCallback]]:
    if not show:
        yield []
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    with Progress(*columns, TimeRemainingColumn(), TextColumn("return {task.fields[told]}")) as bar:
        yield [Bar(bar, bar.add_task(f"seed {seed}", total=steps, told=""), journal)]


def _finish(
    config: TrainConfig, seed: int, model: BaseAlgorithm, journal: Journal, market: Market, agent: str, opponents: Any
) -> dict[str, Any]:
    """Evaluate the last policy on seeds of its own, and write it and the result."""
    folder, policy = seed_folder(config, seed), learned(model)
    assert config.episodes is not None
    found = compare(market, policy, agent, opponents, config.episodes)
    policy.save(folder, config.algorithm)
    result = {
        "settings": _settings(config, seed, market, opponents),
        "seed": seed,
        "agent": agent,
        "steps": model.num_timesteps,
        "speed": journal.speed[-1],
        **found.plain(),
        "exact": exact(market, policy, agent),
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1), encoding="utf8")
    return result
