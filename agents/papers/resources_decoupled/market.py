"""Play in ``resource_market_v0``, round by round: truthful policies, and what deviants change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv import make_market
from marketenv.core import draws, rounds, tree
from marketenv.core.market import Market, Move, agent_names
from marketenv.core.policy import Policy, actions_of
from marketenv.markets.resource_market import CONDUCTS

from .settings import seeds_of

NAME = "resource_market_v0"
LEADER, DEVIANT = "leader_0", "owner_0"
# of a move's fields, by name: what they mean, a number or a function of policy inputs
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class RoundUtilities:
    """Utilities by round, line-up, seed and agent, and notes of each round's end."""

    rewards: Float64[Tensor, "rounds lineups seeds agents"]
    agents: tuple[str, ...]
    notes: tuple[Tensor, ...]

    def of(self, agent: str) -> Float64[Tensor, "rounds lineups seeds"]:
        """Utilities of one agent."""
        return self.rewards[..., self.agents.index(agent)]


def changed(market: Market, changes: Changes) -> Policy:
    """The truthful policy with other meanings of some fields, wherever a move has them."""

    def policy(
        observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        actions = actions_of(market.policies["truthful"], observation, move, keys).clone()
        for name, meaning in changes.items():
            if name in move.action.slices:
                place = move.action.slices[name]
                usual = move.action[name].read(actions[:, place].double())
                value = (
                    meaning(usual, keys)
                    if callable(meaning)
                    else torch.full_like(usual, float(meaning))
                )
                actions[:, place] = move.action[name].write(value).to(actions)
        return actions

    return policy


def played(
    config: Mapping[str, Any],
    lineups: Sequence[tuple[str, Changes]],
    n_seeds: int,
    watch: Callable[[Market, rounds.Situation], Tensor] | None = None,
) -> RoundUtilities:
    """Utilities of every round where one agent deviates from truth, all line-ups on the same seeds.

    lineups: who deviates, and how
    watch:   what to note of each round's end, a list of tensors [lineups * seeds, ..]
    """
    market = make_market(NAME, **config)
    agents, seeds = agent_names(market), torch.tensor(seeds_of(n_seeds))
    policies = [market.policies["truthful"], *(changed(market, changes) for _, changes in lineups)]
    who = torch.zeros(len(lineups), n_seeds, len(agents), dtype=torch.long)
    for k, (agent, _) in enumerate(lineups):
        who[k, :, agents.index(agent)] = k + 1
    flat = who.flatten(0, 1)
    now = tree.rows(rounds.begin(market, seeds), torch.arange(n_seeds).repeat(len(lineups)))
    rewards, notes = [], []
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act_mixed(market, policies, flat, now))
        if report is not None:
            rewards.append(report.rewards.unflatten(0, who.shape[:2]).double())
            notes += [watch(market, now)] if watch else []
    return RoundUtilities(torch.stack(rewards), tuple(agents), tuple(notes))


def changed_conduct(name: str) -> Changes:
    """What an owner changes that delivers something else and plays on as before."""
    return {"conduct": tuple(CONDUCTS).index(name)}


def uniform_part(usual: Tensor, keys: Int[Tensor, "markets"]) -> Tensor:
    """A share U[0.5, 1] of what would be usual: the RANDOM leader."""
    part = 0.5 + 0.5 * draws.uniform(draws.fold(keys, "RANDOM"), 1)
    return usual * part.view(-1, *(1,) * (usual.dim() - 1))
