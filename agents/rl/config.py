"""Arguments of a training run: one dataclass, from which the command line is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    each,
    flag,
    number,
    or_none,
    text,
    whole,
)
from marketenv.core.lookup import lookup, unknown
from marketenv.envs.make import MARKETS, short_name

from ..arguments import read_arguments
from ..markets import ENTRIES

RESULTS = Path(__file__).resolve().parents[2] / "results" / "train"
STARTS = ("scratch", "truthful")
EACH = "each"  # the agent of a run in which every agent trains a policy of its own
MOST_ENVS = 2**20  # seeds of one run's first episodes: seed * MOST_ENVS + market
# NumPy's generator takes no more; every first episode's seed lies below 2**52, evaluation's above
MOST_SEED = 2**32

# What None stands for, by algorithm, in every market: all settings that the algorithm heeds. A
# market's entry changes some.
ANY: dict[str, dict[str, Any]] = {
    "ppo": {
        **{"num_envs": 64, "steps": 102_400, "n_steps": 16, "batch_size": 256, "updates": 10},
        **{"learning_rate": 1e-3, "network": (32, 32), "gae_lambda": 0.95, "entropy": 0.0},
        **{"log_std_init": -1.0, "start": "scratch", "evaluations": 10, "episodes": 64},
    },
    "sac": {
        **{"num_envs": 64, "steps": 64_000, "n_steps": 1, "batch_size": 256, "updates": 2},
        **{"learning_rate": 1e-3, "network": (32, 32), "entropy": None, "log_std_init": -1.0},
        **{"start": "scratch", "evaluations": 10, "episodes": 64},
    },
}
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    (name, "any"): settings for name, settings in ANY.items()
}
SETTINGS |= {
    (name, market): dict(settings)
    for market, entry in ENTRIES.items()
    for name, settings in entry.learning.items()
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Arguments of a training run.

    None takes what suits the market and the algorithm: see ``SETTINGS``.

    Attributes:
        market: reference_v0, parameter_trading_v0, model_sharing_v0, data_market_v0,
            resource_market_v0 or marketplace_v0; any: settings for a market of your own
            (train(market=))
        arguments: arguments of the market as key=value, for instance game=first_price n_buyers=3
        agent: who learns: one agent, as buyer_0 (None: the first agent); a role, as buyer, whose
            agents share one policy; all: every agent shares one policy; or each: every agent trains
            a policy of its own while the others learn too (ppo)
        stages: stages in which the agent learns to move (None: all); its other moves are truthful
        opponents: what the other agents play: a name of the market's table, a scripted strategy,
            trained:name, run:folder of a former run, module:name, or algorithm:file.zip (such files
            are pickles)
        algorithm: ppo or sac
        start: scratch, or truthful: the network first imitates the truthful policy, so the training
            searches for a better response from truth
        num_envs: markets that step together
        steps: steps of the learning agent (agent="each": of each agent), summed over all markets; a
            run ends with the rollout that reaches them; with a larger number a run continues,
            finished or not
        seeds: one training for each seed; seeds share no episodes
        n_steps: rounds of each market between two updates of the policy
        batch_size: samples of one gradient step; ppo: a divisor of a rollout (n_steps times
            num_envs), by default the nearest one
        updates: ppo: passes over a rollout; sac: gradient steps after a rollout
        learning_rate: of Adam
        network: units of the hidden layers of the policy and of its critic
        gamma: discount; 1 sums the rewards of an episode, as horizon="end" means; horizon="cut"
            wants less than 1
        gae_lambda: ppo: weight of observed rewards in an advantage: 1 takes them alone, 0 takes the
            critic's estimate after one step
        entropy: weight of the policy's entropy; None in sac: tuned during the training
        log_std_init: logarithm of an action's first standard deviation; an action's box is 2 wide
        normalise: scale observations by their running mean and variance
        normalise_rewards: scale rewards by the running deviation of returns; evaluations are always
            in money
        device: where the markets run; the small networks of the policy stay on the CPU
        evaluations: number of evaluations during the training (0: none)
        episodes: pairs of episodes, learned and truthful, of an evaluation; an interval wants 20
        checkpoint_every: steps between two checkpoints (0: only the last)
        out: folder of the results, Path or text; None: results/train/<market>_<agent>_<algorithm>,
            the stages before the algorithm
        resume: continue from the last checkpoint in the folder, if there is one
        workers: processes that train seeds side by side
    """

    market: str = "reference_v0"
    arguments: tuple[str, ...] = ()
    agent: str | None = None
    stages: tuple[str, ...] | None = None
    opponents: str = "truthful"
    algorithm: str = "ppo"
    start: str | None = None
    num_envs: int | None = None
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    n_steps: int | None = None
    batch_size: int | None = None
    updates: int | None = None
    learning_rate: float | None = None
    network: tuple[int, ...] | None = None
    gamma: float = 1.0
    gae_lambda: float | None = None
    entropy: float | None = None
    log_std_init: float | None = None
    normalise: bool = True
    normalise_rewards: bool = True
    device: str = "cpu"
    evaluations: int | None = None
    episodes: int | None = None
    checkpoint_every: int = 10_000
    out: Path | None = None
    resume: bool = True
    workers: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "market", short_name(self.market))
        object.__setattr__(self, "out", self.out and Path(self.out))
        check_fields(self, _FIELDS)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"seeds is {self.seeds}, wanted different whole numbers from 0 to 2**32 - 1, at"
                " least one."
            )

    def market_arguments(self) -> dict[str, Any]:
        """The market's arguments as Python values.

        Raises ValueError for what ``read_arguments`` refuses, and for a device.

        >>> TrainConfig(arguments=("game=first_price", "values=(0, 2)")).market_arguments()
        {'game': 'first_price', 'values': (0, 2)}
        """
        return read_arguments(self.market, self.arguments, {"device": "--device"})

    def with_defaults(self) -> TrainConfig:
        """The same with every None filled in from ``SETTINGS``.

        Raises ValueError for an unknown algorithm or market and for a setting that the algorithm
        does not heed.

        >>> TrainConfig(market="parameter_trading_v0").with_defaults().n_steps
        10
        """
        algorithms = dict.fromkeys(algorithm for algorithm, _ in SETTINGS)
        lookup(algorithms, self.algorithm, "algorithm")
        if self.market not in (*MARKETS, "any"):
            own = (
                " For a market of your own say market='any' and give it to train(config, seed,"
                " market=...)."
            )
            raise unknown("market", self.market, MARKETS, own)
        defaults = SETTINGS[self.algorithm, "any"] | SETTINGS.get((self.algorithm, self.market), {})
        for name in {name for settings in ANY.values() for name in settings} - set(defaults):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, which {self.algorithm} does not heed; leave"
                    " it out."
                )
        parts = (self.market, self.agent or "first", *(self.stages or ()), self.algorithm)
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        whole = dataclasses.replace(self, out=self.out or RESULTS / "_".join(parts), **missing)
        fits = self.batch_size is None and whole.algorithm == "ppo"
        return dataclasses.replace(whole, batch_size=_nearest_batch(whole)) if fits else whole


def _nearest_batch(config: Any) -> int:
    """The divisor of a rollout whose ratio to the batch size is nearest to 1."""
    rollout, size = config.n_steps * config.num_envs, config.batch_size
    pairs = ((k, rollout // k) for k in range(1, math.isqrt(rollout) + 1) if rollout % k == 0)
    divisors = sorted(one for pair in pairs for one in pair if one > 1)
    return min(divisors, key=lambda one: abs(math.log(one / size)), default=size)


_FIELDS: dict[str, Check] = {
    "start": or_none(choice, known=STARTS),
    "num_envs": or_none(whole, least=1, most=MOST_ENVS),
    **dict.fromkeys(("steps", "n_steps", "updates", "episodes"), or_none(whole, least=1)),
    "batch_size": or_none(whole, least=2),
    "evaluations": or_none(whole),
    "checkpoint_every": whole,
    "workers": partial(whole, least=1),
    "seeds": partial(
        each, check=partial(whole, most=MOST_SEED - 1), wanted="different whole numbers"
    ),
    "learning_rate": or_none(number, above=0.0),
    "stages": or_none(each, check=text, wanted="names of stages"),
    "network": or_none(
        each, check=partial(whole, least=1), wanted="whole numbers >= 1, one for each hidden layer"
    ),
    "gamma": partial(number, least=0.0, most=1.0),
    "gae_lambda": or_none(number, least=0.0, most=1.0),
    "entropy": or_none(number, least=0.0),
    "log_std_init": or_none(number),
    **dict.fromkeys(("normalise", "normalise_rewards", "resume"), flag),
}


def key_values(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments of a market as ``TrainConfig`` takes them; plain Python data only.

    >>> key_values({"game": "first_price", "n_buyers": 3})
    ("game='first_price'", 'n_buyers=3')
    """
    return tuple(f"{name}={value!r}" for name, value in arguments.items())
