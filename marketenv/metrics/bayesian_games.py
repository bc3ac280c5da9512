"""Exact best responses and NashConv of games with finitely many types and actions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

Payoffs = Float64[Tensor, "players *cells"]
Prior = Float64[Tensor, "*types"]
Policies = Sequence[Float64[Tensor, "_ _"]]
Legal = Sequence[Bool[Tensor, "_ _"]]


@dataclass(frozen=True)
class BayesianResponse:
    """One player's best response in a finite Bayesian game.

    gain:         what it earns more than the player's policy, before types are known   >= 0
    value:        expected payoff of the player's policy, before types are known
    interim_gain: the same gain once the own type is known, 0 for impossible types   float64 [types]
    policy:       the response, one action with certainty for each type   float64 [types, actions]
    """

    gain: float
    value: float
    interim_gain: Float64[Tensor, "types"]
    policy: Float64[Tensor, "types actions"]


def joint_prior(marginals: Sequence[Float64[Tensor, "_"]]) -> Prior:
    """Joint distribution of independent types: [T_1], ..., [T_n] -> [T_1, ..., T_n].

    >>> half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> joint_prior([half, half]).tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    joint = marginals[0]
    for marginal in marginals[1:]:
        joint = joint[..., None] * marginal
    return joint


def bayesian_best_response(
    payoffs: Payoffs, prior: Prior, policies: Policies, player: int, legal: Legal | None = None
) -> BayesianResponse:
    """Find the best response of one player of a finite Bayesian game, exactly.

    V[t_i, a_i] = sum over t_-i, a_-i of  prior(t) prod_{j != i} policy_j(a_j | t_j) payoff_i(t, a)
    gain = sum over t_i of  max_{legal a} V[t_i, a] - sum_a policy_i(a | t_i) V[t_i, a]

    payoffs:  payoff of each player   float64 [players, T_1, ..., T_n, A_1, ..., A_n]; a normal-form
              game has T_i = 1
    prior:    joint distribution of types   float64 [T_1, ..., T_n]; ``joint_prior`` makes it from
              independent ones
    policies: chances of actions, one tensor a player   float64 [T_i, A_i], rows sum to 1
    legal:    True where a type may take an action, one mask a player   bool [T_i, A_i]; None allows
              all. Payoffs of illegal actions count for nothing but must be finite.

    Ties between actions go to the first. Raises ValueError for shapes that do not fit, for what is
    no distribution, for chances of illegal actions and for an unknown player.

    >>> pennies = torch.tensor([[[1.0, -1], [-1, 1]], [[-1, 1], [1, -1]]], dtype=torch.float64)
    >>> heads = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> bayesian_best_response(
    ...     pennies[:, None, None], one, [heads, heads], player=1
    ... ).policy.tolist()
    [[0.0, 1.0]]
    """
    allowed = _checked(payoffs, prior, policies, legal)
    if not 0 <= player < len(policies):
        raise ValueError(f"player is {player}, wanted 0 <= player < {len(policies)}.")
    values, policy = _action_values(payoffs[player], prior, policies, player), policies[player]
    best = values.masked_fill(~allowed[player], -math.inf).argmax(1, keepdim=True)
    lost = (policy * (values.gather(1, best) - values)).masked_fill(~allowed[player], 0.0).sum(1)
    chance = prior.movedim(player, 0).flatten(1).sum(1) if prior.dim() > 1 else prior
    interim = torch.where(chance > 0, lost / chance.clamp(min=torch.finfo(chance.dtype).tiny), 0.0)
    response = torch.zeros_like(policy).scatter(1, best, 1.0)
    return BayesianResponse(float(lost.sum()), float((policy * values).sum()), interim, response)


def bayesian_nash_conv(
    payoffs: Payoffs, prior: Prior, policies: Policies, legal: Legal | None = None
) -> tuple[BayesianResponse, ...]:
    """Best response of every player of a finite Bayesian game; NashConv is the sum of their gains.

    NashConv = sum_i gain_i,   0 exactly where the policies are a Bayes-Nash equilibrium

    Arguments and errors are those of ``bayesian_best_response``.
    Source: Lanctot et al., A unified game-theoretic approach to multiagent reinforcement learning,
    NeurIPS 2017, sec. 2.

    >>> pennies = torch.tensor([[[1.0, -1], [-1, 1]], [[-1, 1], [1, -1]]], dtype=torch.float64)
    >>> heads = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> [
    ...     response.gain
    ...     for response in bayesian_nash_conv(pennies[:, None, None], one, [heads, heads])
    ... ]
    [0.0, 2.0]
    """
    return tuple(
        bayesian_best_response(payoffs, prior, policies, player, legal)
        for player in range(len(policies))
    )


def _action_values(
    payoff: Float64[Tensor, "*cells"], prior: Prior, policies: Policies, player: int
) -> Float64[Tensor, "types actions"]:
    """Expected payoff of each own type and action, times the chance of the type."""
    n = len(policies)
    expected = payoff * prior.reshape(*prior.shape, *[1] * n)
    for other, policy in enumerate(policies):
        if other != player:
            shape = [
                policy.shape[0] if k == other else policy.shape[1] if k == n + other else 1
                for k in range(2 * n)
            ]
            expected = (expected * policy.reshape(shape)).sum((other, n + other), keepdim=True)
    return expected.reshape(policies[player].shape)


def _checked(payoffs: Payoffs, prior: Prior, policies: Policies, legal: Legal | None) -> Legal:
    """The masks of legal actions, once everything fits."""
    types, actions = [p.shape[0] for p in policies], [p.shape[1] for p in policies]
    wanted = [len(policies), *types, *actions]
    if list(payoffs.shape) != wanted or list(prior.shape) != types:
        raise ValueError(
            f"payoffs are {list(payoffs.shape)} and the prior is {list(prior.shape)};"
            f" {len(policies)} policies of shapes {[list(p.shape) for p in policies]} want payoffs"
            f" {wanted} [players, types, actions] and a prior {types}."
        )
    allowed = [torch.ones_like(p, dtype=torch.bool) for p in policies] if legal is None else legal
    if [mask.shape for mask in allowed] != [p.shape for p in policies] or not all(
        bool(mask.any(1).all()) for mask in allowed
    ):
        raise ValueError(
            "legal wants one mask of its policy's shape per player, with a legal action for every"
            " type."
        )
    for player, (policy, mask) in enumerate(zip(policies, allowed, strict=True)):
        if not is_distribution(policy) or bool((policy * ~mask).any()):
            raise ValueError(
                f"policy {player} is no distribution over legal actions: rows >= 0 that sum to 1"
                " were wanted."
            )
    if not is_distribution(prior.flatten()) or not bool(payoffs.isfinite().all()):
        raise ValueError("the prior is no distribution (>= 0, sum 1), or a payoff is not finite.")
    return allowed


def is_distribution(chances: Float64[Tensor, "*batch outcomes"]) -> bool:
    """True where chances are >= 0 and sum to 1 over the last axis, up to 1e-9.

    >>> is_distribution(torch.tensor([0.5, 0.6], dtype=torch.float64))
    False
    """
    return bool((chances >= 0).all() and ((chances.sum(-1) - 1).abs() <= 1e-9).all())
