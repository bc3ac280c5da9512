"""Policy-space response oracles: a meta-game that grows by best responses until none gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketenv.core.market import Market
from marketenv.core.policy import Policy
from marketenv.metrics import Interval

from ..lineups import Profile
from .attack import seeds_of
from .best_response import BestDeviation, BestResponse, best_response
from .deviation import Deviation
from .equilibria import Equilibrium, solve
from .estimation import META, MOST_EPISODES, estimate, find_strategies, profiles_of
from .meta_game import MetaGame
from .search import Budget

Strategies = Mapping[str, Mapping[str, Policy]]


@dataclass(frozen=True)
class Iteration:
    """One turn of the loop.

    number:      of the turn, from 0; every turn takes other seeds
    strategies:  the strategies of the game, by role and name
    game:        their measured meta-game
    equilibrium: its solution
    responses:   the best response of each role's first agent to the equilibrium's mixture, chosen
                 and judged on other seeds
    added:       role to the name under which its response joined; roles whose response did not
                 gain, or was there before, are absent
    """

    number: int
    strategies: Strategies
    game: MetaGame
    equilibrium: Equilibrium
    responses: dict[str, BestResponse]
    added: dict[str, str]

    @property
    def gains(self) -> dict[str, Interval]:
        """Gain of each role's best response to the mixture: lower bounds of the regret."""
        return {role: response.best.gain_lower_bound for role, response in self.responses.items()}

    def closed(self, eps: float) -> bool:
        """True where the upper bound of every role's gain is below eps.

        False where samples were too few for a bound, and where a response changed nothing on any
        judging seed: it says nothing about what other play would earn.
        """
        if not all(bool(response.best.gains.any()) for response in self.responses.values()):
            return False
        return all(gain.high is not None and gain.high < eps for gain in self.gains.values())

    def plain(self) -> dict[str, Any]:
        """The turn in words and numbers that JSON can hold."""
        return {
            "number": self.number,
            "mix": self.equilibrium.mix,
            "value": self.equilibrium.value,
            "distance": self.equilibrium.distance,
            "responses": {role: response.best.words for role, response in self.responses.items()},
            "gains": {role: vars(gain) for role, gain in self.gains.items()},
            "added": self.added,
        }


@dataclass(frozen=True)
class PSRO:
    """The result of the loop; give it as ``start`` to continue.

    stopped:    "converged": in the last turn the upper bound of every role's gain was below eps;
                "budget": the turns, or the episodes of one meta-game, were used up
    profile:    the last turn's mixture for every agent, against which the last gains were measured
    strategies: by role and name, the last responses among them
    """

    stopped: str
    eps: float
    profile: Profile
    strategies: dict[str, dict[str, Policy]]
    history: tuple[Iteration, ...]


def profile_of(market: Market, strategies: Strategies, equilibrium: Equilibrium) -> Profile:
    """The equilibrium's mixture of policies for every agent."""
    mixtures = {role: equilibrium.mixture(role, policies) for role, policies in strategies.items()}
    return {agent: mixtures[role.name] for role in market.roles for agent in role.agents}


def psro(
    market: Market,
    start: Mapping[str, Mapping[str, Any]] | PSRO | None = None,
    *,
    eps: float,
    attackers: Sequence[str] = ("grid", "cross_entropy"),
    budget: Budget | None = None,
    pairs: int = 512,
    iterations: int = 10,
    most_episodes: int = MOST_EPISODES,
    progress: Callable[[Iteration], None] | None = None,
) -> PSRO:
    """Solve the meta-game, add to it what beats its solution, and repeat.

    start:      role to name to strategy, as ``estimate`` takes them (None: truth alone), or an
                earlier result to continue
    eps:        the loop ends when the upper bound of every role's gain is below it, money per
                episode; > 0
    attackers, budget: of the best responses; take a ``budget.judge`` of 256 or more, for gains are
                often mostly 0
    pairs:      seeds of the meta-game
    iterations: turns at most, beside those of an earlier result
    most_episodes: profiles x seeds of a meta-game at most; the loop ends before a larger turn
    progress:   called with every turn at its end

    A role's first agent searches for the best response to the mixture that all others play. The
    response joins its role where it gains on the seeds of selection, and on fresh seeds surely (the
    lower bound is above 0) or by more than eps, and is not there yet. "converged" means that these
    attackers found no larger gain, not that there is none. The loop ends where an interval happens
    to lie low, so the last gains are slightly too small: judge the profile again by
    ``best_response`` with a ``repeat`` of at least the number of turns (turn k took the seeds of
    repeat k).
    Raises ValueError for eps or iterations that are not positive, and what ``estimate`` (of the
    first turn) and ``best_response`` refuse.

    Source: Lanctot et al., A unified game-theoretic approach to multiagent reinforcement learning,
    NeurIPS 2017; with Nash equilibria as meta-strategies. We differ: payoffs are measured anew on
    each turn's own seeds.

    >>> from marketenv import make_market
    >>> market, budget = make_market("reference_v0", game="first_price"), Budget(select=2048)
    >>> result = psro(market, eps=0.005, attackers=("grid",), budget=budget)
    >>> additions = [turn.added["buyer"] for turn in result.history if turn.added]
    >>> result.stopped, additions  # half the value
    ('converged', ['1: price 0.5 times what it was'])
    """
    if not eps > 0 or iterations < 1:
        raise ValueError(
            f"eps is {eps} and iterations {iterations}; wanted both > 0: no search shows a gain of"
            " exactly 0."
        )
    history = list(start.history) if isinstance(start, PSRO) else []
    former = start.strategies if isinstance(start, PSRO) else start or {}
    strategies = find_strategies(market, former)
    budget = budget or Budget()
    for number in range(len(history), len(history) + iterations):
        if history and profiles_of(market, strategies) * pairs > most_episodes:
            break
        turn = _turn(market, strategies, number, attackers, budget, pairs, most_episodes, eps)
        history.append(turn)
        for role, name in turn.added.items():
            strategies[role] = strategies[role] | {name: turn.responses[role].best.policies[0]}
        if progress is not None:
            progress(turn)
        if turn.closed(eps):
            break
    last = history[-1]
    stopped = "converged" if last.closed(eps) else "budget"
    return PSRO(
        stopped,
        eps,
        profile_of(market, last.strategies, last.equilibrium),
        strategies,
        tuple(history),
    )


def _turn(
    market: Market,
    strategies: Strategies,
    number: int,
    attackers: Sequence[str],
    budget: Budget,
    pairs: int,
    most_episodes: int,
    eps: float,
) -> Iteration:
    """Measure, solve, attack."""
    seeds = seeds_of(META, pairs, number)
    game = estimate(market, strategies, seeds, budget.most_markets, most_episodes)
    equilibrium = solve(game)
    profile = profile_of(market, strategies, equilibrium)
    responses = {
        role: best_response(market, profile, role, attackers, budget, number) for role in strategies
    }
    added = {}
    for role, response in responses.items():
        best = response.best
        there = any(_same(best.policies[0], other) for other in strategies[role].values())
        if _gains(best, eps) and not there:
            added[role] = f"{number + 1}: {best.words}"
    return Iteration(number, dict(strategies), game, equilibrium, responses, added)


def _gains(best: BestDeviation, eps: float) -> bool:
    """True where a response gains at selection and, surely or above eps, on fresh seeds."""
    gain = best.gain_lower_bound
    return best.selected > 0 and (gain.mean > eps or (gain.low is not None and gain.low > 0))


def _same(one: Policy, other: Policy) -> bool:
    """True for one policy, and for equal deviations (family, stage, parameters) from one policy."""
    if not (isinstance(one, Deviation) and isinstance(other, Deviation)):
        return one is other
    first, second = ((d.family.name, d.family.stage, d.parameters.tolist()) for d in (one, other))
    return first == second and _same(one.base, other.base)
