"""A market that is a matrix game: the tests' oracle of everything that measures and solves
meta-games.
"""

from dataclasses import dataclass

import torch

from marketenv.core import draws
from marketenv.core.fields import Field, Fields, Share
from marketenv.core.market import Market, Move, Outcome, People, Phase


class Matrix(Phase):
    """A game in normal form; an action is a share, cut into equal parts, and each part is a
    strategy.

    No choice, so that there are a thousand ways to play a strategy, as in a market.
    """

    name = "move"

    def __init__(self, payoffs, roles, noise):
        self.payoffs, self.noise = payoffs, noise
        move = Move(Fields((Field("nothing", 1, 0.0, 1.0),)), Fields((Share("move"),)))
        self.moves = dict.fromkeys(roles, move)

    def show(self, floor, own, quotes):
        return {role: {"nothing": floor.cash(role) * 0} for role in self.moves}

    def truthful(self, observation, move, keys):
        """Play the first strategy."""
        return Constant(0, self.payoffs.shape[1])(observation, move, keys)

    def act(self, floor, own, quotes, actions):
        sizes = torch.tensor(self.payoffs.shape[1:])
        shares = [
            self.moves[role].action.read(some)["move"][..., 0] for role, some in actions.items()
        ]
        moves = (torch.cat(shares, 1) * sizes).long().minimum(sizes - 1)
        earned = self.payoffs[(slice(None), *moves.T)].T
        if self.noise:
            earned = earned + self.noise * (
                2 * draws.uniform(draws.fold(floor.seeds, "noise"), len(self.payoffs)) - 1
            )
        for role in self.moves:
            floor = floor.term("payoff", role, earned[:, floor.where(role)])
        return floor, own, Outcome()


def matrix_game(payoffs, roles=None, noise=0.0):
    """One round of a matrix game.

    payoffs: of each player at every profile [players, S_1, ..., S_n]
    roles:   name to number of agents, players in order; None: one role "player" of all
    noise:   half the width of a uniform error on every payoff, drawn by the seed
    """
    payoffs = torch.as_tensor(payoffs, dtype=torch.float64)
    roles = roles or {"player": len(payoffs)}
    return Market(People(roles=roles), (Matrix(payoffs, roles, noise),), name="matrix")


def with_phase(market, phase):
    """The same market with one more phase at the end of every round."""
    kept = {name: getattr(market, name) for name in ("horizon", "cut", "name", "config", "source")}
    return Market(market.people, (*market.phases, phase), **kept)


@dataclass(frozen=True)
class Constant:
    """Plays one of so many strategies: the middle of its part of the share."""

    number: int
    of: int

    def __call__(self, observation, move, keys):
        return move.write(observation, move=(self.number + 0.5) / self.of)


def constants(names):
    """A policy for each strategy of a player, by name."""
    return {name: Constant(k, len(names)) for k, name in enumerate(names)}


def symmetric(n, size, payoff):
    """Payoffs [n, size, ..., size] of a symmetric game from payoff(own, counts of all players'
    strategies).
    """
    payoffs = torch.zeros(n, *[size] * n, dtype=torch.float64)
    for place in torch.cartesian_prod(*[torch.arange(size)] * n).tolist():
        counts = [place.count(k) for k in range(size)]
        for player in range(n):
            payoffs[(player, *place)] = payoff(place[player], counts)
    return payoffs


ROCK_PAPER_SCISSORS = symmetric(
    2, 3, lambda own, counts: counts[(own - 1) % 3] - counts[(own + 1) % 3]
)
COOPERATE, DEFECT = 0, 1


def sentence(own, counts):
    """A prisoner's payoff: reward 3, punishment 1, temptation 5, sucker's 0."""
    if own == COOPERATE:
        return 3 if counts[COOPERATE] == 2 else 0
    return 5 if counts[COOPERATE] == 1 else 1


PRISONERS_DILEMMA = symmetric(2, 2, sentence)
