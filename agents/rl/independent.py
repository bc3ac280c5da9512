"""Independent PPO: every agent trains a policy of its own while all others learn too.

At the beginning of an iteration all policies are copied. Then every model collects one rollout on
markets of its own, in which the copies play all others and draw their actions, and updates itself.
So all updates of an iteration are simultaneous, and the order of the agents does not matter. Each
agent has markets of its own: to train n agents costs n times as much as to train one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from marketenv.core import draws
from marketenv.core.market import Market, agent_names
from marketenv.core.policy import Policy
from marketenv.envs.trained import TrainedPolicy

from . import checkpoint
from .config import EACH, MOST_SEED, TrainConfig
from .environments import environments, fresh
from .evaluation import WHILE_TRAINING, compare_each, truthful
from .exact import partner_gaps
from .files import clear, folder_lock, seed_folder, settings_of, start_of, write_result
from .identity import identity
from .monitoring import NEVER, Bar, Journal, Record, pauses, progress_bar
from .policy import learned, save
from .ppo import check_batches, ppo
from .sampled import PresentPolicy, sampled

# --- learners -------------------------------------------------------------------------------------


@dataclass
class Learner:
    """An agent's model on markets of its own, and the state of its random generators.

    stable-baselines3 draws from global generators; each learner has its own state of them.
    """

    model: PPO
    random: dict[str, Any]

    @contextlib.contextmanager
    def own_draws(self) -> Iterator[None]:
        """Draw from the learner's own generators."""
        checkpoint.restore_random(self.model, self.random)
        yield
        self.random = checkpoint.random_state(self.model)

    def rollout_and_update(self, callbacks: Sequence[BaseCallback]) -> None:
        """One rollout of the model, and its update."""
        steps = self.model.n_steps * self.model.n_envs
        with self.own_draws():
            self.model.learn(steps, list(callbacks), log_interval=NEVER, reset_num_timesteps=False)


@dataclass
class Learners:
    """All agents' learners, and the policies that they play against.

    policies: by agent, as at the beginning of the iteration
    """

    by_agent: dict[str, Learner]
    policies: dict[str, Policy]

    @property
    def steps(self) -> int:
        """Steps of each learner."""
        return next(iter(self.by_agent.values())).model.num_timesteps

    @property
    def models(self) -> dict[str, PPO]:
        """The models by agent."""
        return {name: learner.model for name, learner in self.by_agent.items()}

    def iterate(self, callbacks: Sequence[BaseCallback] = ()) -> None:
        """One rollout and one update of every learner, against the policies as they stand now."""
        self.policies |= {name: sampled(model) for name, model in self.models.items()}
        for learner in self.by_agent.values():
            learner.rollout_and_update(callbacks)

    def write(self, folder: Path, state: dict[str, Any]) -> None:
        """Write a checkpoint: a folder for each agent, and the state."""
        for name, learner in self.by_agent.items():
            (folder / name).mkdir()
            with learner.own_draws():
                checkpoint.write(folder / name, learner.model, {})
        checkpoint.write_state(folder, state)


def learners_of(
    config: TrainConfig,
    seed: int,
    market: Market,
    agents: Sequence[str],
    start: Path | None = None,
) -> Learners:
    """A learner for each of these agents, in any order; all others are truthful.

    start: a checkpoint to continue, None for new models
    """
    policies = dict.fromkeys(agent_names(market), truthful(market))
    by_agent = {}
    for agent in agents:
        others = {name: PresentPolicy(name, policies) for name in policies if name != agent}
        envs = environments(config, market, agent, others)
        if start is None:
            model = fresh(config, seed, ppo, envs, market, draws=_draws_seed(seed, agent))
        else:
            model = checkpoint.load(start, PPO, envs, agent)
        assert isinstance(model, PPO)
        model.set_logger(Logger(folder=None, output_formats=[]))
        by_agent[agent] = Learner(model, checkpoint.random_state(model))
    return Learners(by_agent, policies)


def _draws_seed(seed: int, agent: str) -> int:
    """Seed of an agent's network and draws: of its own, for twins that draw alike stay twins."""
    return int(draws.fold(torch.tensor(seed), agent)) % MOST_SEED


# --- training -------------------------------------------------------------------------------------


def check_each(config: TrainConfig, market: Market, against: Any = "truthful") -> None:
    """Refuse settings that do not fit independent learners.

    Raises ValueError that begins with the setting's name.
    """
    if config.algorithm != "ppo":
        raise ValueError(
            f'algorithm is {config.algorithm!r}, wanted "ppo" with agent="each": a memory of old'
            " rounds would hold policies that the others no longer play."
        )
    if against != "truthful" or config.opponents != "truthful":
        raise ValueError(
            f"opponents is {config.opponents if against == 'truthful' else against!r}, but with"
            ' agent="each" every agent learns and nobody is an opponent; leave it out, or name the'
            " one agent that learns."
        )
    for role in market.roles:
        envs = environments(config, market, role.agents[0], "truthful")
        check_batches(config, envs.num_envs)


def train_each(
    config: TrainConfig,
    seed: int,
    market: Market,
    against: Any = "truthful",
    command: str | None = None,
    progress: bool = False,
    callbacks: Sequence[BaseCallback] = (),
) -> dict[str, Any]:
    """Train every agent, evaluate all, and write the folder; ``train`` says what comes back.

    The folder of the seed has a folder for each agent, with its policy.
    """
    check_each(config, market, against)
    folder, steps, names = seed_folder(config, seed), config.steps, agent_names(market)
    assert steps is not None
    settings = settings_of(config, seed, market, identity(against))
    with folder_lock(folder):
        start = start_of(folder, settings, config.resume)
        if start is None:
            clear(folder)
        learners = learners_of(config, seed, market, names, start)
        journal = Journal(**checkpoint.read_state(start)["journal"]) if start else Journal()
        record = _record(config, folder, settings, journal, learners, market)
        if learners.steps < steps:
            with contextlib.closing(record), progress_bar(progress, seed, steps, journal) as bar:
                _iterate(learners, steps, record, bar, callbacks)
        return _finish(config, settings, learners, journal, market, command)


def _iterate(
    learners: Learners,
    steps: int,
    record: Record,
    bar: Bar | None,
    callbacks: Sequence[BaseCallback],
) -> None:
    """Iterate until each learner has made so many steps."""
    record.start()
    while learners.steps < steps:
        record.between()
        learners.iterate(callbacks)
        if bar is not None:
            bar.show(learners.steps)
    record.end()


def _record(
    config: TrainConfig,
    folder: Path,
    settings: dict[str, Any],
    journal: Journal,
    learners: Learners,
    market: Market,
) -> Record:
    """What writes and evaluates while the learners train."""
    pairs = config.episodes
    assert pairs is not None

    def evaluate(policies: dict[str, TrainedPolicy]) -> dict[str, float | int]:
        agents, welfare = compare_each(market, policies, pairs, WHILE_TRAINING)
        row: dict[str, float | int] = {}
        for name, means in {**agents, "welfare": welfare}.items():
            row[f"{name}/utility"] = float(means.learned.mean())
            row[f"{name}/truthful"] = float(means.truthful.mean())
        for name, numbers in partner_gaps(market, policies).items():
            row |= {f"{name}/{key}": value for key, value in numbers.items()}
        return row

    models, every = learners.models, pauses(config)
    return Record(folder, models, every, evaluate, learners.write, settings, journal)


def _finish(
    config: TrainConfig,
    settings: dict[str, Any],
    learners: Learners,
    journal: Journal,
    market: Market,
    command: str | None,
) -> dict[str, Any]:
    """Evaluate the last policies on seeds of their own, and write them and the result."""
    folder = seed_folder(config, settings["seed"])
    policies = {name: learned(model) for name, model in learners.models.items()}
    assert config.episodes is not None
    comparisons, welfare = compare_each(market, policies, config.episodes)
    exact = partner_gaps(market, policies)
    for name, policy in policies.items():
        (folder / name).mkdir(exist_ok=True)
        save(folder / name, policy, comparisons[name], settings["seed"], command)
    agents = {name: {**one.plain(), "exact": exact[name]} for name, one in comparisons.items()}
    result = {
        "settings": settings,
        "seed": settings["seed"],
        "agent": EACH,
        "steps": learners.steps,
        "speed": journal.speed[-1],
        "agents": agents,
        "welfare": welfare.plain(),
    }
    write_result(folder, result)
    return result
