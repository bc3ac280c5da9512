"""What a training run is told: one dataclass, from which the command line is made."""

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
MOST_ENVS = 2**20  # seeds of one run's first episodes: seed * MOST_ENVS + market
# NumPy's generator takes no more; every first episode's seed lies below 2**52, evaluation's above
MOST_SEED = 2**32

# What None stands for, by algorithm, in every market: all settings that the algorithm heeds. A
# market's entry changes some.
ANY: dict[str, dict[str, Any]] = {
    "ppo": {
        **{
            "num_envs": 64,
            "steps": 102_400,
            "n_steps": 16,
            "batch_size": 256,
            "updates": 10,
            "learning_rate": 1e-3,
        },
        **{
            "network": (32, 32),
            "gae_lambda": 0.95,
            "entropy": 0.0,
            "log_std_init": -1.0,
            "start": "scratch",
            "evaluations": 10,
            "episodes": 64,
        },
    },
    "sac": {
        **{
            "num_envs": 64,
            "steps": 64_000,
            "n_steps": 1,
            "batch_size": 256,
            "updates": 2,
            "learning_rate": 1e-3,
        },
        **{"network": (32, 32), "entropy": None, "log_std_init": -1.0, "start": "scratch"},
        **{"evaluations": 10, "episodes": 64},
    },
}
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    (name, "any"): chosen for name, chosen in ANY.items()
}
SETTINGS |= {
    (name, market): dict(chosen)
    for market, entry in ENTRIES.items()
    for name, chosen in entry.learning.items()
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Arguments of a training run.

    None takes what suits the market and the algorithm: see ``SETTINGS``.

    Attributes:
        market: reference_v0, parameter_trading_v0, model_sharing_v0, data_market_v0 or
            resource_market_v0; any: settings for a market of your own (train(market=))
        arguments: arguments of the market as key=value, for instance game=first_price n_buyers=3
        agent: who learns: buyer_0, trader_0, ... (None: the first agent), or all: every agent plays
            one shared policy
        stages: where the agent learns to move (None: wherever it moves); its other moves are played
            truthfully
        opponents: who plays the others: a name of the market's table, a scripted strategy,
            module:name, algorithm:file.zip, or run:folder of a former run of one's own (such files
            are pickles)
        algorithm: ppo or sac
        start: scratch, or truthful: the network first imitates the truthful policy, so that
            training is a search for a better response from truth
        num_envs: markets that are stepped together
        steps: steps of the learning agent in all markets together; a run ends with the rollout that
            reaches them; a run, finished or not, goes on where they are raised
        seeds: one model is trained for each; seeds share no episodes
        n_steps: rounds of each market between two updates of the policy
        batch_size: samples of one gradient step; ppo: a divisor of a rollout, n_steps times
            num_envs, the nearest one by default
        updates: ppo: passes over a rollout; sac: gradient steps after a rollout
        learning_rate: of Adam
        network: units of the hidden layers, for the policy and for its critic
        gamma: discount; 1 is the sum of the episode, which a market with horizon="end" means;
            horizon="cut" wants less
        gae_lambda: ppo: how far an advantage trusts what was earned (1) rather than the critic (0)
        entropy: weight of the policy's entropy; None in sac: tuned by itself
        log_std_init: logarithm of the first standard deviation of an action; the box of an action
            is 2 wide
        normalise: scale observations by their running mean and variance
        normalise_rewards: scale rewards by the running deviation of returns; evaluation always
            speaks of money
        device: where the markets run; the small networks of the policy stay on the CPU
        evaluations: times that the policy is evaluated while it trains (0: never)
        episodes: pairs of episodes, learned and truthful, of an evaluation; below 20 no interval is
            shown
        checkpoint_every: steps between two checkpoints (0: none but the last)
        out: folder of the results; None: results/train/<market>_<agent>_<algorithm>, the stages
            before the algorithm
        resume: go on from the last checkpoint in the folder, if there is one
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
        """The market's arguments as Python values; ValueError for what ``read_arguments`` refuses,
        and for a device.

        >>> TrainConfig(arguments=("game=first_price", "values=(0, 2)")).market_arguments()
        {'game': 'first_price', 'values': (0, 2)}
        """
        return read_arguments(self.market, self.arguments, {"device": "--device"})

    def settled(self) -> TrainConfig:
        """The same with every None filled in from ``SETTINGS``.

        Raises ValueError for an unknown algorithm or market and for a setting that the algorithm
        does not heed.

        >>> TrainConfig(market="parameter_trading_v0").settled().n_steps
        10
        """
        names = dict.fromkeys(algorithm for algorithm, _ in SETTINGS)
        lookup(names, self.algorithm, "algorithm")
        if self.market not in (*MARKETS, "any"):
            own = (
                " For a market of your own say market='any' and give it to train(config, seed,"
                " market=...)."
            )
            raise unknown("market", self.market, MARKETS, own)
        known = SETTINGS[self.algorithm, "any"] | SETTINGS.get((self.algorithm, self.market), {})
        for name in {
            name for (_, market), all_ in SETTINGS.items() if market == "any" for name in all_
        } - set(known):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, which {self.algorithm} does not heed; leave"
                    " it out."
                )
        folder = RESULTS / "_".join(
            (self.market, self.agent or "first", *(self.stages or ()), self.algorithm)
        )
        given = {name: value for name, value in known.items() if getattr(self, name) is None}
        whole = dataclasses.replace(self, out=self.out or folder, **given)
        fits = self.batch_size is None and whole.algorithm == "ppo"
        return dataclasses.replace(whole, batch_size=_nearest_batch(whole)) if fits else whole


def _nearest_batch(chosen: Any) -> int:
    """The divisor of a rollout whose ratio to the batch size is nearest to 1, for settings
    without None.
    """
    rollout, size = chosen.n_steps * chosen.num_envs, chosen.batch_size
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
