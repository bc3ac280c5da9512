"""What a client gains by a lie: exactly for costs, on a grid for every report, and by learning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.market import Market, agent_names
from marketenv.markets.model_sharing import Shared

from ...lineups import find_profile
from ...stress import ATTACKERS, JUDGE, Attack, Budget, seeds_of
from ...stress.exact import ex_post_regret
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.truthfulness import Build
from .graphs import seed_words
from .settings import CLIENTS, PAYMENTS, drawn_market

# seeds of exact regrets: that none is above 0 says 2 % at most, in five line-ups and under three
# conditions
LIARS = 320
JUDGED = 512  # episodes that a learner is judged on, of seeds that it did not see

# --- costs, exactly -------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostRegret:
    """An experiment: exact regret of the first client's reported cost, given all other reports.

    against: what the others play, in turn
    """

    build: Build
    against: tuple[str, ...] = ("truthful",)

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The regret of each seed."""
        market, count = self.build(condition, effort), max(LIARS, effort.cheap.select // 8)
        (agent, *_), seeds = agent_names(market), seeds_of(JUDGE, count)
        regrets = {}
        for part in self.against:
            profile = find_profile(market, part) | {agent: market.policies["truthful"]}
            regrets[part] = ex_post_regret(market, profile, agent, seeds, fields=("cost",))
        if not all(regret.exact for regret in regrets.values()):
            return Evidence(
                untested=(
                    "the market names no costs that matter, and a grid of costs would not be exact"
                )
            )
        others = max(regrets, key=lambda part: float(regrets[part].regret.max()))
        regret, worst = regrets[others], int(regrets[others].regret.argmax())
        return Evidence(
            samples={
                f"regret where the others are {part}": one.regret.tolist()
                for part, one in regrets.items()
            },
            seeds=seed_words(count),
            scale=max(float(regrets[self.against[0]].utility.abs().mean()), 1e-12),
            counterexample=(
                f"at seed JUDGE + {worst}, the others {others}, reporting"
                f" {float(regret.reports['cost'][worst]):.4g} times its cost earns"
                f" {float(regret.regret[worst]):.4g} more than the truth's"
                f" {float(regret.utility[worst]):.4g}"
            ),
            notes=(
                f"{len(agent_names(market))} clients; all costs that matter were tried at every"
                " seed",
            ),
        )


# --- every report, on a grid ----------------------------------------------------------------------

LIES = {  # name to (field of the action, direction)
    "c up": ("cost", 1),
    "c down": ("cost", -1),
    "N up": ("size", 1),
    "N down": ("size", -1),
    "K up": ("need", 1),
    "K down": ("need", -1),
    "effort down": ("effort", -1),
}


def priced_market(payment: str) -> Market:
    """Two rounds of the market without training, in which a name of ``PAYMENTS`` is paid."""
    return drawn_market(CLIENTS[payment], n_rounds=2, **PAYMENTS[payment])


def for_each_liar(market: Market, seeds: Tensor) -> rounds.Situation:
    """Every seed's market at its first move, once a client that may lie, in the order of seeds."""
    copies = torch.arange(len(seeds)).repeat_interleave(market.people.count)
    return tree.rows(rounds.begin(market, seeds), copies)


def meaning(lie: str, part: float) -> float:
    """What a lie says: a share of full effort, or 10 ** (+- part) times the true type."""
    field, sign = LIES[lie]
    return 1.0 + sign * part if field == "effort" else 10.0 ** (sign * part)


def earned(market: Market, start: rounds.Situation, lie: str, part: float) -> Tensor:
    """What every client earns where it alone tells this part of a lie: [markets, clients].

    start: as ``for_each_liar`` returns it

    Utility of the first round. Effort counts from the second training on, so for effort it is the
    reward of the second round, effort paid.
    """
    field, move, n = LIES[lie][0], market.moves[0], market.people.count
    now, liar = start, torch.arange(len(start.floor.seeds)) % n
    profile, reward = find_profile(market), torch.zeros(0)
    for _ in range(2 if field == "effort" else 1):
        actions = rounds.act(market, profile, now)
        written = move.action[field].write(torch.tensor([meaning(lie, part)], dtype=torch.float64))
        actions[move.name][torch.arange(len(liar)), liar, move.action.slices[field]] = written
        now, report = rounds.advance(market, now, actions)
        assert report is not None
        reward = report.rewards if field == "effort" else report.of(Shared).utility
    return reward.gather(1, liar[:, None]).view(-1, n)


def lies(
    folder: Path, payment: str, first: int, count: int, points: int
) -> dict[str, dict[str, Any]]:
    """Gains of every lie at the best point of the grid, for the markets of some seeds.

    Returns by lie the gain and the truthful utility [markets, clients], and the mean gain over
    clients [markets, points].
    """
    market, kept = priced_market(payment), {}
    start = for_each_liar(market, torch.arange(first, first + count))
    for lie in LIES:
        truth, *grid = [earned(market, start, lie, k / points) for k in range(points + 1)]
        gains = torch.stack(grid) - truth
        kept[lie] = {
            "gain": gains.amax(0).tolist(),
            "truth": truth.tolist(),
            "mean gain": gains.mean(2).T.tolist(),
        }
    return kept


# --- all at once, by learning ---------------------------------------------------------------------


def learned(
    folder: Path, payment: str, seed: int, steps: int, judged: int = JUDGED
) -> dict[str, Any]:
    """What a PPO learner in client 0's place gains among the truthful, on fresh seeds [pairs]."""
    market = priced_market(payment)
    attack = Attack(market, find_profile(market), ("client_0",), seeds_of(JUDGE, judged))
    (learner,) = ATTACKERS["ppo"](attack, Budget(rl_steps=steps, rl_seed=seed))
    return {"gain": attack.gains([learner.policies])[0].tolist(), "truth": attack.base.tolist()}
