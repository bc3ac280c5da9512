"""The sellers that each buyer tries in a round: all, or a few that a rule chooses before any trial.

``PARTNER_RULES`` is the table of rules: a new one is a function from ``Candidates`` to scores and
one line there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.pairs import from_places

PARTNER_RULE = "a callable Candidates -> scores"


@dataclass(frozen=True)
class Partners:
    """The sellers that each buyer tries.

    sellers: their numbers in rising order; of all agents, oneself too, where everybody is tried
                                                             [markets, buyers, places]
    """

    sellers: Int[Tensor, "markets buyers places"]

    @classmethod
    def everybody(cls, like: Num[Tensor, "markets agents"]) -> Partners:
        """Every buyer tries all sellers: place s is that of agent s."""
        n_markets, n = like.shape
        return cls(torch.arange(n, device=like.device).expand(n_markets, n, n))

    @property
    def tried(self) -> Bool[Tensor, "markets buyers sellers"]:
        """Whether each buyer tries each seller."""
        return from_places(torch.ones_like(self.sellers, dtype=torch.bool), self.sellers, False)

    def pairs(self, values: Float[Tensor, "markets buyers places"], rest: float) -> PerPair:
        """Numbers of trials as a matrix of all pairs; ``rest`` stands where nothing is tried."""
        return from_places(values, self.sellers, rest)

    def theirs(self, values: Tensor) -> Tensor:
        """What agents have, [markets, agents, ...], for the seller of each place."""
        market = torch.arange(len(values), device=values.device)[:, None, None]
        return values[market, self.sellers]

    def place(self, seller: Int[Tensor, "markets buyers one"]) -> Int[Tensor, "markets buyers one"]:
        """The place of one partner of each buyer."""
        return (self.sellers == seller).int().argmax(2, keepdim=True)


@dataclass(frozen=True)
class Past:
    """What a market with few partners remembers of earlier rounds.

    sellers: the partners of the last round; before the first one all 0   [markets, buyers, places]
    gain:    of each purchase when it was last tried; inf where it never was
                                                                          [markets, buyers, sellers]
    """

    sellers: Int[Tensor, "markets buyers places"]
    gain: PerPair

    @classmethod
    def none(cls, like: Float[Tensor, "markets agents"], count: int) -> Past:
        """No round was played; every buyer will have ``count`` partners."""
        n_markets, n = like.shape
        sellers = torch.zeros(n_markets, n, count, dtype=torch.int64, device=like.device)
        return cls(sellers, torch.full((n_markets, n, n), torch.inf, device=like.device))

    def after(self, partners: Partners, gain: PerPair) -> Past:
        """The past after a round with these partners and gains."""
        return Past(partners.sellers, torch.where(partners.tried, gain, self.gain))


@dataclass(frozen=True)
class Candidates:
    """What a partner rule decides from: nothing is aligned or tried yet.

    models: of every agent, after training              [markets, agents, params]
    mask:   1 for parameters that are traded            [params]
    gain:   of each purchase when it was last tried; inf where it never was
                                                        [markets, buyers, sellers]
    keys:   of the round's random draws                 [markets]
    """

    models: Parameters
    mask: Float[Tensor, "params"]
    gain: PerPair
    keys: Int[Tensor, "markets"]


# --- rules: the larger a score, the sooner a buyer tries that seller ------------------------------


def random(candidates: Candidates) -> PerPair:
    """All sellers score the same, so that chance decides: every set of partners is as likely."""
    return torch.zeros_like(candidates.gain)


def best_gain(candidates: Candidates) -> PerPair:
    """The gain when the purchase was last tried; a seller that was never tried comes first."""
    return candidates.gain


def nearest(candidates: Candidates) -> PerPair:
    """Less the distance of the traded parameters, whose hidden units are not aligned.

    score[b, s] = -|mask (theta_b - theta_s)|
    """
    models = candidates.models.double() * candidates.mask
    squares = models.square().sum(-1)
    # |a - b|^2 = a^2 + b^2 - 2 a b, without a tensor of all pairs and parameters
    distance = squares[:, :, None] + squares[:, None] - 2 * models @ models.mT
    return -distance.clamp(min=0).sqrt().to(candidates.gain)


PARTNER_RULES: dict[str, Callable[[Candidates], PerPair]] = {
    "random": random,
    "best_gain": best_gain,
    "nearest": nearest,
}


def chosen(scores: PerPair, keys: Int[Tensor, "markets"], count: int) -> Partners:
    """Each buyer's partners: the ``count`` other agents with the largest scores.

    keys: of the random draws that decide among equal scores   [markets]

    >>> scores = torch.tensor([[[9.0, 1.0, 2.0], [3.0, 0.0, 4.0], [6.0, 5.0, 0.0]]])
    >>> chosen(scores, torch.tensor([7]), 1).sellers.flatten().tolist()
    [2, 2, 0]
    """
    n = scores.shape[2]
    chance = draws.permutation(draws.agent_keys(keys, n), n)
    # a stable sort leaves equal scores in the order of chance
    order = scores.gather(2, chance).argsort(dim=2, descending=True, stable=True)
    ranked = chance.gather(2, order)
    itself = torch.arange(n, device=scores.device)[:, None]
    others = ranked[ranked != itself].view(len(scores), n, n - 1)
    return Partners(others[..., :count].sort(2).values)
