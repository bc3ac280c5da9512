"""What a seller learns by PPO without any defence, in a market that leaves it one way to cheat.

A row costs its seller cost (1 - bait) (1 - labelling [it renames]), and what is paid for it depends
on the pilot alone. So noise saves all of that, a renaming saves the label, and to rename the
classes of noise saves nothing more: where both are open, nothing speaks for the renaming. So each
has a market of its own here.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv import make_market
from marketenv.core.market import Market, Move, agent_names
from marketenv.core.policy import Policy
from marketenv.metrics import Interval, mean_interval

from ...lineups import find_part, find_profile, play
from ...scripted.data_market import seller
from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence

SELLER, BUYER = "seller_0", "buyer_0"
# by conduct: the scripted seller that does it in full
SCRIPTED = {"bait": "bait_and_switch", "permute": "label_permuter"}
# one seller, a sixth of the points at six times the cost, labels dear, the buyer's worth known
SMALL: dict[str, Any] = {
    **{"n_sellers": 1, "data_options": {"size": 60}, "max_cycles": 1, "points": 40},
    **{"pilots": (10, 20), "mixtures": 2, "communications": 4},
    **{"learner_options": {"hidden": (16,)}, "private": False, "distance": "exact"},
    **{"dimensions": 8, "selection": "uniform", "rule": "posted", "labelling": 0.8},
    **{"money_per_accuracy": (100.0, 100.0), "cost_per_point": (0.12, 0.6)},
}
# it begins with truth, and its noise is wide enough to try the next option of a choice
LEARNING: dict[str, Any] = {
    **{"start": "truthful", "log_std_init": -0.7, "num_envs": 128, "n_steps": 4},
    **{"batch_size": 256, "updates": 10, "learning_rate": 1e-2, "gae_lambda": 1.0},
    **{"evaluations": 0, "episodes": 2, "checkpoint_every": 0},
}
RUNS = {"standard": 6, "full": 20}  # learners, by effort
PAIRS = 128  # episodes that each is judged on
MOSTLY = 0.5  # of its offers that the conduct is in, or of its delivery


@dataclass(frozen=True)
class JudgedSeller:
    """A learned seller beside truth on the same fresh episodes.

    gain:          what it earns above truth, money                    [pairs]
    scripted:      what the scripted cheat earns above truth, money    [pairs]
    buyer_loss:    what it costs the buyer, money                      [pairs]
    conduct_share: of its delivery that is noise, or of its offers with renamed classes; the mean
    """

    gain: Float64[Tensor, "pairs"]
    scripted: Float64[Tensor, "pairs"]
    buyer_loss: Float64[Tensor, "pairs"]
    conduct_share: float

    @property
    def interval(self) -> Interval:
        """The mean gain, with its interval."""
        return mean_interval(self.gain)

    @property
    def succeeds(self) -> bool:
        """Whether the conduct is what it mostly does, and surely pays."""
        low = self.interval.low
        return self.conduct_share > MOSTLY and low is not None and low > 0


@dataclass(frozen=True)
class RecordedPolicy:
    """A policy that records its conduct: ``conducts`` gets each offer's degree of ``conduct``."""

    policy: Policy
    conduct: str
    conducts: list[Tensor]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """The policy's actions [markets, actions]."""
        actions = self.policy(observation, move, keys)
        meaning = move.read(observation, actions)[self.conduct].double()
        self.conducts.append((meaning > 0).double() if self.conduct == "permute" else meaning)
        return actions


def small_market(*conduct: str) -> Market:
    """The market in which sellers may do this beside asking; no defence stands in it."""
    return make_market("data_market_v0", **SMALL, conduct=conduct)


def judge(market: Market, policy: Policy, conduct: str, pairs: int = PAIRS) -> JudgedSeller:
    """Play truth, the policy and the scripted cheat as the seller on the same seeds."""
    names, conducts = agent_names(market), list[Tensor]()
    recorded = RecordedPolicy(policy, conduct, conducts)
    cheat = find_part(market, SCRIPTED[conduct])
    utility = _utility(market, [market.policies["truthful"], recorded, cheat], pairs)
    truth, own, scripted = utility[..., names.index(SELLER)]
    buyer = utility[..., names.index(BUYER)]
    share = float(torch.cat(conducts).mean())
    return JudgedSeller(own - truth, scripted - truth, buyer[0] - buyer[1], share)


def _utility(
    market: Market, sellers: list[Policy], pairs: int
) -> Float64[Tensor, "sellers pairs agents"]:
    """Utility of everybody where each of these policies is the seller, on the seeds of judging."""
    names, profile = agent_names(market), find_profile(market)
    who = torch.full((len(sellers), pairs, len(names)), len(sellers))
    who[:, :, names.index(SELLER)] = torch.arange(len(sellers))[:, None]
    return play(market, [*sellers, profile[BUYER]], who, seeds_of(JUDGE, pairs)).utility


@lru_cache(maxsize=64)
def learned(conduct: str, seed: int, steps: int) -> JudgedSeller:
    """Train a seller against a truthful buyer, and judge it."""
    # only who wants a learner needs stable-baselines3
    from ...rl import TrainConfig, load_policy, seed_folder, train

    market = small_market(conduct)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            market=market.name, agent=SELLER, steps=steps, out=Path(folder), **LEARNING
        )
        train(config, seed, market=market)
        return judge(market, load_policy(seed_folder(config, seed), market), conduct)


def finds(condition: str, effort: Effort, conduct: str) -> Evidence:
    """1 for each learner that mostly cheats this way and surely earns above truth, else 0."""
    if effort.name not in RUNS:
        return Evidence(untested="learners want the effort standard or full")
    runs = [learned(conduct, seed, effort.steps) for seed in range(RUNS[effort.name])]
    return Evidence(
        samples={"learners that find it": [float(run.succeeds) for run in runs]},
        seeds=(
            f"learners 0..{len(runs) - 1}, {effort.steps} steps each; judged on JUDGE +"
            f" 0..{PAIRS - 1}"
        ),
        tables=[_table(conduct, runs)],
    )


def _table(conduct: str, runs: list[JudgedSeller]) -> dict[str, Any]:
    scripted = f"{SCRIPTED[conduct]} above truth"
    head = ["learner", "share of conduct", "earns above truth", "least", "most", scripted]
    rows = []
    for seed, run in enumerate(runs):
        gain = run.interval
        means = [float(run.scripted.mean()), float(run.buyer_loss.mean())]
        rows.append([seed, run.conduct_share, gain.mean, gain.low, gain.high, *means])
    title = f"{conduct} alone is possible, money an episode"
    return {"title": title, "head": [*head, "costs the buyer"], "rows": rows}


def renaming_beside_bait(condition: str, effort: Effort) -> Evidence:
    """The absolute gain of a seller of noise by also renaming the classes of that noise."""
    market = small_market("permute", "bait")
    sellers = [seller(market, bait=1.0), seller(market, bait=1.0, permute="delivered")]
    utility = _utility(market, sellers, effort.costly.judge)[..., agent_names(market).index(SELLER)]
    return Evidence(
        samples={"difference": (utility[1] - utility[0]).abs().tolist()},
        seeds=f"JUDGE + 0..{effort.costly.judge - 1}",
        scale=max(float(utility[0].abs().mean()), 1e-12),
        exact=True,  # equal by the formula of costs, so one sample tells as much as many
    )
