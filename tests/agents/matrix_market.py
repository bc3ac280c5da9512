"""A market that is a matrix game: the tests' oracle of everything that measures and solves meta-games."""

from dataclasses import dataclass

import torch
from torch import Tensor

from marketenv.core import draws
from marketenv.core.fields import Field, Fields, Share
from marketenv.core.market import Report, Role, Stage
from marketenv.core.policy import uniform_random


@dataclass(frozen=True)
class MatrixState:
    seeds: Tensor
    round: Tensor


class MatrixGame:
    """One round of a game in normal form; an action is a share, cut into equal parts, and each part is a strategy.

    No choice, so that there are a thousand ways to play a strategy, as in a market.

    payoffs: of each player at every profile [players, S_1, ..., S_n]
    roles:   name to number of agents, players in order; None: one role "player" of all
    noise:   half the width of a uniform error on every payoff, drawn by the seed
    """

    report_type = Report
    horizon = 1
    device = torch.device("cpu")

    def __init__(self, payoffs, roles=None, noise=0.0):
        self.payoffs, self.noise = torch.as_tensor(payoffs, dtype=torch.float64), noise
        seen, done = Fields((Field("nothing", 1, 0.0, 1.0),)), Fields((Share("move"),))
        self.roles = tuple(Role(name, count, seen, done) for name, count in (roles or {"player": len(self.payoffs)}).items())
        self.stages = (Stage("move", tuple(role.name for role in self.roles)),)
        self.policies = {"truthful": Constant(0, self.payoffs.shape[1]), "random": uniform_random}

    def reset(self, seeds):
        return MatrixState(seeds, torch.zeros_like(seeds))

    def quote(self, state, past):
        return ()

    def observe(self, state, past, quotes):
        return torch.zeros(len(state.seeds), len(self.payoffs), 1)

    def clear(self, state, past):
        ((_, actions),) = past
        sizes = torch.tensor(self.payoffs.shape[1:])
        moves = (self.roles[0].action.read(actions)["move"][..., 0] * sizes).long().minimum(sizes - 1)
        rewards = self.payoffs[(slice(None), *moves.T)].T
        if self.noise:
            rewards = rewards + self.noise * (2 * draws.uniform(draws.fold(state.seeds, "noise"), len(self.payoffs)) - 1)
        over = torch.zeros(len(rewards), dtype=torch.bool)  # by no rule of its own: the one round is the horizon
        nobody = rewards.new_zeros(len(rewards), len(self.payoffs), len(self.payoffs))
        report = Report(rewards=rewards, transfers=nobody, terminated=over, seconds={})
        return MatrixState(state.seeds, state.round + 1), report


@dataclass(frozen=True)
class Constant:
    """Plays one of so many strategies: the middle of its part of the share."""

    number: int
    of: int

    def __call__(self, observation, role, keys):
        return role.write(observation, move=(self.number + 0.5) / self.of)


def constants(names):
    """A policy for each strategy of a player, by name."""
    return {name: Constant(k, len(names)) for k, name in enumerate(names)}


def symmetric(n, size, payoff):
    """Payoffs [n, size, ..., size] of a symmetric game from payoff(own, counts of all players' strategies)."""
    payoffs = torch.zeros(n, *[size] * n, dtype=torch.float64)
    for place in torch.cartesian_prod(*[torch.arange(size)] * n).tolist():
        counts = [place.count(k) for k in range(size)]
        for player in range(n):
            payoffs[(player, *place)] = payoff(place[player], counts)
    return payoffs


ROCK_PAPER_SCISSORS = symmetric(2, 3, lambda own, counts: counts[(own - 1) % 3] - counts[(own + 1) % 3])
COOPERATE, DEFECT = 0, 1


def sentence(own, counts):
    """A prisoner's payoff: reward 3, punishment 1, temptation 5, sucker's 0."""
    if own == COOPERATE:
        return 3 if counts[COOPERATE] == 2 else 0
    return 5 if counts[COOPERATE] == 1 else 1


PRISONERS_DILEMMA = symmetric(2, 2, sentence)
