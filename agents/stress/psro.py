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
from .best_response import BestResponse, Found, best_response
from .deviation import Deviation
from .equilibria import Equilibrium, solve
from .meta_game import META, MOST_EPISODES, MetaGame, estimate, find_strategies, profiles_of
from .search import Budget

Strategies = Mapping[str, Mapping[str, Policy]]


@dataclass(frozen=True)
class Iteration:
    """One turn of the loop.

    number:     of the turn, from 0; every turn takes other seeds
    strategies: that were played, by role and name;
        game, equilibrium: measured and solved among them
    responses:  the best response of each role's first agent to the equilibrium's mixture, chosen
                and judged on other seeds
    added:      role to the name under which its response joined; roles whose response did not gain,
                or is known, are absent
    """

    number: int
    strategies: Strategies
    game: MetaGame
    equilibrium: Equilibrium
    responses: dict[str, BestResponse]
    added: dict[str, str]

    @property
    def gains(self) -> dict[str, Interval]:
        """What each role's best response gains against the mixture: lower bounds of the regret;
        below 0 where none pays.
        """
        return {role: found.best.gain_lower_bound for role, found in self.responses.items()}

    def closed(self, eps: float) -> bool:
        """True where the upper bound of every role's gain is below eps.

        Never where samples were too few for a bound, nor where a response changed nothing on any
        judging seed: it tells nothing of what other play would earn.
        """
        tried = all(bool(found.best.gains.any()) for found in self.responses.values())
        return tried and all(
            gain.high is not None and gain.high < eps for gain in self.gains.values()
        )

    def plain(self) -> dict[str, Any]:
        """The turn in words and numbers that JSON can hold."""
        responses = {role: found.best.told for role, found in self.responses.items()}
        gains = {role: vars(gain) for role, gain in self.gains.items()}
        told = {"number": self.number, "mix": self.equilibrium.mix, "value": self.equilibrium.value}
        return told | {
            "distance": self.equilibrium.distance,
            "responses": responses,
            "gains": gains,
            "added": self.added,
        }


@dataclass(frozen=True)
class PSRO:
    """What the loop came to.

    stopped:    "converged": in the last turn the upper bound of every role's gain was below eps;
                "budget": the turns, or the episodes of one meta-game, were used up
    profile:    the last turn's mixture for every agent, which the last gains were measured against
    strategies: by role and name, the last responses among them; to go on, give this as ``start``
    """

    stopped: str
    eps: float
    profile: Profile
    strategies: dict[str, dict[str, Policy]]
    history: tuple[Iteration, ...]


def profile_of(market: Market, strategies: Strategies, equilibrium: Equilibrium) -> Profile:
    """The equilibrium's mixture of policies for every agent."""
    mixed = {role: equilibrium.mixture(role, policies) for role, policies in strategies.items()}
    return {agent: mixed[role.name] for role in market.roles for agent in role.agents}


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
                earlier result to go on from
    eps:        the loop ends when the upper bound of every role's gain is below it, money per
                episode; > 0
    attackers, budget: of the best responses; ``budget.judge`` of 256 or more, for gains are often
        mostly 0
    pairs:      seeds of the meta-game;
                iterations: turns at most, beside those of an earlier result
    most_episodes: profiles x seeds of a meta-game at most; the loop ends before a turn that would
        take more
    progress:   called with every turn when it is done

    A role's first agent searches for the best response to the mixture that everybody else plays. It
    joins its role where it gained on the seeds of selection, and on fresh ones surely (the lower
    bound is above 0) or by more than eps, and is not there yet. "converged" means that these
    attackers found no more, not that there is none; and as the loop ends where an interval is low,
    over many turns the last one flatters a little: judge the profile again with ``best_response``
    and a
    ``repeat`` of at least the number of turns, for the k-th turn took the seeds of repeat k. Raises
    ValueError for eps or iterations that are not positive, and whatever ``estimate`` (of the first
    turn) and ``best_response`` refuse.

    Source: Lanctot et al., A unified game-theoretic approach to multiagent reinforcement learning,
    NeurIPS 2017; with Nash equilibria as meta-strategies. We differ: payoffs are measured anew on
    each turn's own seeds.

    >>> from marketenv import make_market
    >>> market, budget = make_market("reference_v0", game="first_price"), Budget(select=2048)
    >>> found = psro(market, eps=0.005, attackers=("grid",), budget=budget)
    >>> (
    ...     found.stopped,
    ...     [turn.added["buyer"] for turn in found.history if turn.added],
    ... )  # half the value
    ('converged', ['1: price 0.5 times what it was'])
    """
    if not eps > 0 or iterations < 1:
        raise ValueError(
            f"eps is {eps} and iterations {iterations}; wanted both > 0: no search shows a gain of"
            " exactly 0."
        )
    history = list(start.history) if isinstance(start, PSRO) else []
    given = start.strategies if isinstance(start, PSRO) else start or {}
    strategies = find_strategies(market, given)
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
    game = estimate(
        market, strategies, seeds_of(META, pairs, number), budget.most_markets, most_episodes
    )
    equilibrium = solve(game)
    profile = profile_of(market, strategies, equilibrium)
    responses = {
        role: best_response(market, profile, role, attackers, budget, number) for role in strategies
    }
    added = {
        role: f"{number + 1}: {found.best.told}"
        for role, found in responses.items()
        if _gains(found.best, eps)
        and not any(_same(found.best.policies[0], known) for known in strategies[role].values())
    }
    return Iteration(number, dict(strategies), game, equilibrium, responses, added)


def _gains(best: Found, eps: float) -> bool:
    """True where a response gained when it was chosen, and surely, or by more than eps, when it
    was judged.
    """
    gain = best.gain_lower_bound
    return best.selected > 0 and (gain.mean > eps or (gain.low is not None and gain.low > 0))


def _same(one: Policy, other: Policy) -> bool:
    """True for the same policy, and for deviations of the same policy by the same family, stage
    and parameters.
    """
    if not (isinstance(one, Deviation) and isinstance(other, Deviation)):
        return one is other
    first, second = ((d.family.name, d.family.stage, d.parameters.tolist()) for d in (one, other))
    return first == second and _same(one.base, other.base)
