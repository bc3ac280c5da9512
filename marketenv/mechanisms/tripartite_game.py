"""The tripartite game: a leader pays, owners of data contribute, and computing centres compute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.mechanisms.procurement import check_money
from marketenv.mechanisms.sales import refuse

PerMarket = Float64[Tensor, "markets"]
PerOwner = Float64[Tensor, "markets owners"]
PerCentre = Float64[Tensor, "markets centres"]
Number = float | int | PerMarket


class Stackelberg(NamedTuple):
    """What everybody does in equilibrium, and the utilities; all float64.

    eta: the leader's payment, money                      [markets]
    x:   shares of their data that owners contribute      [markets, owners]
    d:   work that centres offer                          [markets, centres]
    leader, owners, centres: utilities, money             [markets], [markets, owners or centres]
    """

    eta: PerMarket
    x: PerOwner
    d: PerCentre
    leader: PerMarket
    owners: PerOwner
    centres: PerCentre


@dataclass(frozen=True)
class TripartiteGame:
    """The numbers of the game.

    U_s = alpha k ln(1 + sum q) - eta,   U_n = eta q_n / sum q - lam rho x_n,   q_n = f_n x_n
    U_m = lam rho (sum x) d_m / sum d - eps sigma_m d_m

    quality: f >= 0, 0 does not take part                                 [markets, owners]
    sigma:   cost of a centre's work > 0, inf does not take part          [markets, centres]
    alpha, k: money and shape of the leader's gain, > 0;   lam, rho, eps: > 0; floats or [markets]
    caps:    the most x, >= 0; None: no caps                              [markets, owners]

    Raises ValueError for shapes that disagree, another dtype, and numbers out of these ranges.
    Source: utilities of arXiv 2501.14588; k = 1/2 in the authors' public code, k = 1 in a public
    transcription of the paper.
    """

    quality: PerOwner
    sigma: PerCentre
    alpha: Number = 5.0
    k: Number = 0.5
    lam: Number = 1.0
    rho: Number = 1.0
    eps: Number = 1.0
    caps: PerOwner | None = None

    def __post_init__(self) -> None:
        check_quality(self.quality, self.caps)
        if self.sigma.dim() != 2 or self.sigma.shape[0] != self.quality.shape[0]:
            raise ValueError(
                f"sigma {list(self.sigma.shape)} does not fit quality {list(self.quality.shape)};"
                " wanted [markets, centres] of the same markets."
            )
        check_money(sigma=self.sigma)
        refuse("sigma", self.sigma, ~(self.sigma > 0), "a cost > 0; inf does not take part")
        for name in ("alpha", "k", "lam", "rho", "eps"):
            object.__setattr__(self, name, per_market(getattr(self, name), name, self.quality))

    @cached_property
    def unit_cost(self) -> Tensor:
        """What a unit of data costs its owner: lam rho, money [markets]."""
        return cast(Tensor, self.lam * self.rho)

    @cached_property
    def owner_costs(self) -> Tensor:
        """Money per unit of q: c_n = lam rho / f_n, inf where f_n = 0, [markets, owners]."""
        return self.unit_cost[:, None] / self.quality

    @cached_property
    def centre_costs(self) -> Tensor:
        """Money per unit of work: e_m = eps sigma_m, [markets, centres]."""
        return cast(Tensor, self.eps)[:, None] * self.sigma

    @cached_property
    def computable(self) -> Tensor:
        """Whether two or more centres take part; there is no trade without: bool [markets]."""
        return self.sigma.isfinite().sum(-1) >= 2


def per_market(value: Number, name: str, like: Float64[Tensor, "markets _"]) -> PerMarket:
    """Take a number > 0 for all markets, or one for each: float64 [markets].

    Raises ValueError for another shape or type, and for numbers that are not finite and > 0.
    """
    if not isinstance(value, Tensor):
        shape = like[:, 0] if like.shape[1] else like.sum(-1)
        return torch.full_like(shape, number(value, name, above=0.0))
    if value.shape != like.shape[:1]:
        raise ValueError(
            f"{name} has shape {list(value.shape)}; wanted one number, or [{like.shape[0]}], one"
            " for each market."
        )
    check_money(**{name: value})
    refuse(name, value, ~(value.isfinite() & (value > 0)), "a finite number > 0")
    return value


def check_quality(quality: Tensor, caps: Tensor | None) -> None:
    """Raise ValueError for qualities and caps outside the ranges of ``TripartiteGame``."""
    if quality.dim() != 2 or (caps is not None and caps.shape != quality.shape):
        shapes = "" if caps is None else f" and caps {list(caps.shape)}"
        raise ValueError(
            f"quality {list(quality.shape)}{shapes} do not fit; wanted [markets, owners]."
        )
    check_money(quality=quality, **({} if caps is None else {"caps": caps}))
    good = quality.isfinite() & (quality >= 0)
    refuse("quality", quality, ~good, "a finite number >= 0; 0 does not take part")
    if caps is not None:
        refuse("cap", caps, ~(caps >= 0), "the most x, >= 0; 0 does not take part")
