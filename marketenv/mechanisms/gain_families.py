"""Gains: what data are worth to a client, as concave functions of the data total."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import number

Data = Float64[Tensor, "..."]

HALVINGS = 64  # of the interval [-700, 700] of log(total): below the spacing of float64 numbers
NEWTON_STEPS = 5  # from a start within 4 % of the root every step squares the error
IN_CACHE = 2**13  # numbers of which a CPU's cache holds those of a Newton step
LARGE = 1e5  # cube root of a number beside whose cube 1 is rounding


@dataclass(frozen=True)
class GainFamily:
    """What a data total is worth, in money: a concave, increasing function g(x; K).

    scale: samples that count as one unit of data, > 0; K says what the client needs it for, 0 is a
        pure seller

    A new family subclasses it with ``value`` and ``marginal``; ``beyond`` then follows by
    bisection, or is written in closed form; ``threshold`` always follows from it. Who overrides
    ``marginal`` of a family that has its own ``beyond`` overrides both: markets refuse a gain whose
    two disagree.
    Raises ValueError for a scale that is not a finite number > 0.
    """

    scale: float = 5000.0

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "scale",
            number(self.scale, f"{type(self).__name__}.scale", above=0.0, fix=": samples"),
        )

    def value(self, total: Data, need: Data) -> Data:
        """Money that a data total is worth: g(x; K), up to a constant that no difference shows."""
        raise NotImplementedError

    def marginal(self, before: Data, added: Data, need: Data) -> Data:
        """Worth of added data: g(before + added; K) - g(before; K), where before > 0."""
        raise NotImplementedError

    def threshold(self, worth: Data, added: Data, need: Data) -> Data:
        """The total at which the last ``added`` samples are worth exactly ``worth``.

        x > added with g(x) - g(x - added) = worth; inf where worth <= 0, ``added`` where even the
        first are worth less

        Source: N^Th of Algorithm 2, arXiv 2505.02462.
        """
        return added + self.beyond(worth, added, need)

    def beyond(self, worth: Data, added: Data, need: Data) -> Data:
        """Threshold less ``added``: y > 0 with g(y + added) - g(y) = worth, without cancellation.

        inf where worth <= 0, 0 (to rounding) where even the first samples are worth less. Bisection
        on log y.
        """
        worth, added, need = torch.broadcast_tensors(worth, added, need)
        low, high = torch.full_like(worth, -700.0), torch.full_like(worth, 700.0)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            worth_more = self.marginal(middle.exp(), added, need) > worth
            low, high = torch.where(worth_more, middle, low), torch.where(worth_more, high, middle)
        return torch.where(worth <= 0, torch.inf, low.exp())


@dataclass(frozen=True)
class InverseSqrt(GainFamily):
    """The paper's gain g = -sqrt(K s / x); the scale s is 1 there.

    Source: arXiv 2505.02462, G_i = sqrt(K_i / N_i) - sqrt(K_i / T_i).

    >>> one = torch.ones((), dtype=torch.float64)
    >>> InverseSqrt().marginal(one, one, 100 * one)  # 10 - 10 / sqrt(2)
    tensor(2.9289, dtype=torch.float64)
    """

    scale: float = 1.0

    def value(self, total: Data, need: Data) -> Data:
        """-sqrt(K s / x)."""
        return -(need * self.scale / total).sqrt()

    def marginal(self, before: Data, added: Data, need: Data) -> Data:
        """sqrt(K s) n / (sqrt(x) sqrt(y) (sqrt(x) + sqrt(y))) with y = x + n: no subtraction."""
        low, high = before.sqrt(), (before + added).sqrt()
        # no product that overflows
        return need.sqrt() * self.scale**0.5 / low * (added / high / (low + high))

    def beyond(self, worth: Data, added: Data, need: Data) -> Data:
        """As in ``GainFamily``, by Newton's method.

        y = n ((z - 1/z) / 2)^2 with the root z >= 1 of z^4 - a z - 1 = 0, a = b / worth, b = 4
        sqrt(K s / n)

        The unknown is w = z - 1, so that small roots keep all their digits; a is never formed,
        since it may overflow. Started right of the root, where the function is convex, so that
        every step stays there. Source: derived here, with y = n sinh^2(log z); the authors' own
        search can step over a root below 2 n.
        """
        free = worth <= 0
        worth, b = torch.where(free, 1.0, worth), 4 * need.sqrt() * self.scale**0.5 / added.sqrt()
        t = b ** (1 / 3) / worth ** (1 / 3)
        w = torch.where(t < LARGE, torch.expm1(torch.log1p(t.clamp(max=LARGE) ** 3) / 3), t)
        w, b, worth = torch.broadcast_tensors(w, b, worth)
        at_once = IN_CACHE if w.device.type == "cpu" else max(1, w.numel())
        parts = zip(*(numbers.flatten().split(at_once) for numbers in (w, b, worth)), strict=True)
        w = torch.cat([_root(*part) for part in parts]).view(w.shape)
        return torch.where(free, torch.inf, added * (w * (1 + 1 / (1 + w)) / 2) ** 2)


def _root(w: Data, b: Data, worth: Data) -> Data:
    """Newton's steps from w towards the root of ``InverseSqrt.beyond``."""
    for _ in range(NEWTON_STEPS):
        z = 1 + w
        inverse, pull = z.reciprocal(), b / z / z / worth  # pull = a / z^2
        w = w - (w * (1 + inverse) * (1 + inverse / z) - pull) / (4 - pull / z)
    return w


@dataclass(frozen=True)
class Log(GainFamily):
    """g = K log(1 + x / s): every doubling of much data adds alike.

    >>> one = torch.ones((), dtype=torch.float64)
    >>> Log(scale=1.0).marginal(one, 2 * one, one)  # log(4 / 2)
    tensor(0.6931, dtype=torch.float64)
    """

    def value(self, total: Data, need: Data) -> Data:
        """K log(1 + x / s)."""
        return need * torch.log1p(total / self.scale)

    def marginal(self, before: Data, added: Data, need: Data) -> Data:
        """K log(1 + n / (s + x))."""
        return need * torch.log1p(added / (self.scale + before))


@dataclass(frozen=True)
class Sqrt(GainFamily):
    """g = K sqrt(x / s).

    >>> one = torch.ones((), dtype=torch.float64)
    >>> Sqrt(scale=1.0).marginal(one, 3 * one, one)  # 2 - 1
    tensor(1., dtype=torch.float64)
    """

    def value(self, total: Data, need: Data) -> Data:
        """K sqrt(x / s)."""
        return need * (total / self.scale).sqrt()

    def marginal(self, before: Data, added: Data, need: Data) -> Data:
        """K n / (sqrt(s) (sqrt(x) + sqrt(x + n)))."""
        return need * added / self.scale**0.5 / (before.sqrt() + (before + added).sqrt())


@dataclass(frozen=True)
class Hill(GainFamily):
    """g = K x / (x + s): saturates at K, half of it is reached at s samples.

    >>> one = torch.ones((), dtype=torch.float64)
    >>> Hill(scale=1.0).marginal(one, 2 * one, one)  # 3/4 - 1/2
    tensor(0.2500, dtype=torch.float64)
    """

    def value(self, total: Data, need: Data) -> Data:
        """K x / (x + s)."""
        return need * total / (total + self.scale)

    def marginal(self, before: Data, added: Data, need: Data) -> Data:
        """K (s / (s + x)) n / (s + x + n)."""
        start = self.scale + before
        return need * (self.scale / start) * added / (start + added)


GAINS: dict[str, type[GainFamily]] = {
    "inverse_sqrt": InverseSqrt,
    "log": Log,
    "sqrt": Sqrt,
    "hill": Hill,
}
