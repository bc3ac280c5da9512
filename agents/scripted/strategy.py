"""What a scripted strategy is: a policy for each market it can play, and what it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Move
from marketenv.core.policy import Policy
from marketenv.core.within import Within

Builder = Callable[[Any], Policy]  # from a market to a policy of it
MARKETPLACE = "marketplace_v0"
# by a market that is a part of the marketplace: the arguments with which the marketplace has it
PARTS: dict[str, dict[str, Any]] = {
    "resource_market_v0": {},
    "parameter_trading_v0": {},
    "data_market_v0": {"rule": "procurement"},
    "model_sharing_v0": {"trade": "ipfl"},
}
# by an argument of a part, that of the marketplace which stands for it
INSTEAD = {"pricing": "compute"}
# arguments that name traders of the parameter market by number, and how many it has by default
NUMBERED, TRADERS = ("offered_layers", "coalition"), 4
# by roles of these markets, who plays them in the marketplace
ROLES = {"leader": "developer", "buyer": "developer", "seller": "owner"}


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to play one or more markets.

    builders: from a market's name to ``builder(market) -> policy``; an ask rule, for instance,
        needs the market's priors
    summary:  what it does, one sentence
    claim:    what its test proves, one sentence
    role:     whose moves it changes; None: everybody's
    config:   arguments of the market that it needs; ``sabotage``, ``offered_layers`` and
              ``coalition`` are also set for single agents by ``with_options``. A number means every
              agent, and the coalition is agents 0 and 2.
    """

    builders: Mapping[str, Builder]
    summary: str
    claim: str
    config: Mapping[str, Any] = field(default_factory=dict)
    role: str | None = None

    @property
    def markets(self) -> tuple[str, ...]:
        """Names of the markets that it can play: the marketplace too, where it can play a part."""
        part = any(name in PARTS for name in self.builders)
        return tuple(dict.fromkeys((*self.builders, *([MARKETPLACE] if part else []))))

    def arguments(self, market: str) -> dict[str, Any]:
        """The arguments of a market that it needs, by the market's name."""
        if market != MARKETPLACE or MARKETPLACE in self.builders:
            return dict(self.config)
        part = next(name for name in PARTS if name in self.builders)
        whole = {INSTEAD[name]: value for name, value in self.config.items() if name in INSTEAD}
        own = {name: value for name, value in self.config.items() if name not in INSTEAD}
        whole |= {part.removesuffix("_v0"): own} if own else {}
        whole |= {"n_developers": TRADERS} if any(name in own for name in NUMBERED) else {}
        return {**PARTS[part], **whole}

    def role_in(self, market: str) -> str | None:
        """The role whose moves it changes in a market, by the market's name; None: everybody's."""
        return ROLES.get(self.role or "", self.role) if market == MARKETPLACE else self.role

    def build(self, market: Market) -> Policy:
        """Return its policy for this market; ValueError where it cannot play there."""
        if market.name not in self.builders and market.name in self.markets:
            return in_parts(self.builders, market)
        if market.name not in self.builders:
            own = (
                " In a market of your own give a policy: policy(observation, move, keys) ->"
                " actions, or 'module:name'."
            )
            raise unknown("builder for market", market.name, self.markets, own)
        return self.builders[market.name](market)


@dataclass(frozen=True)
class InParts:
    """Plays policies of a marketplace's parts in their stages, and is truthful in all others.

    truthful: the marketplace's own policy
    parts:    by stage the phase and the policy of the market that it is a part of
    """

    truthful: Policy
    parts: Mapping[str, tuple[Within, Policy]]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, actions]."""
        if move.stage not in self.parts:
            return self.truthful(observation, move, keys)
        phase, policy = self.parts[move.stage]
        return phase.answered(policy, observation, move, keys)


def in_parts(builders: Mapping[str, Builder], market: Market) -> Policy:
    """A policy of a marketplace that plays each part by the builder of that part's market.

    Raises ValueError where no part has a builder.
    """
    phases = [phase for phase in market.phases if isinstance(phase, Within) and phase.moves]
    insides = {f"{phase.inside.name}_v0": phase.inside for phase in phases if phase.inside.market}
    policies = {
        name: builders[name](inside.market) for name, inside in insides.items() if name in builders
    }
    if not policies:
        wanted = [f"{PARTS[name]} for {name}" for name in builders if name in PARTS]
        raise ValueError(
            f"this marketplace has the parts {', '.join(insides)}; the strategy plays"
            f" {', '.join(builders)}. Build the marketplace with {' or '.join(wanted)}."
        )
    parts = {
        phase.name: (phase, policies[f"{phase.inside.name}_v0"])
        for phase in phases
        if f"{phase.inside.name}_v0" in policies
    }
    return InParts(market.policies["truthful"], parts)
