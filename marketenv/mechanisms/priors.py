"""What a seller believes of a buyer's value: distributions on an interval [lo, hi]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

# one number for all, or a float64 tensor that broadcasts with the prices
Number = Tensor | float | int


@runtime_checkable
class Prior(Protocol):
    """A distribution of one buyer's value; parameters broadcast with the prices.

    lo, hi: ends of the support, lo <= hi
    cdf(p): probability of a value <= p
    pdf(p): density at p, 0 outside [lo, hi]
    """

    @property
    def lo(self) -> Number:
        """Least possible value."""
        ...

    @property
    def hi(self) -> Number:
        """Greatest possible value."""
        ...

    def cdf(self, p: Tensor) -> Tensor:
        """Probability of a value <= p: float64 of the broadcast shape."""
        ...

    def pdf(self, p: Tensor) -> Tensor:
        """Density at p: float64 of the broadcast shape."""
        ...


@dataclass(frozen=True)
class Truncated:
    """A distribution cut to [lo, hi], from a density and its integral that need no normalisation.

    cdf(p) = mass(lo, p) / mass(lo, hi),   pdf(p) = density(p) / mass(lo, hi)

    A new prior subclasses it with ``density`` and ``mass`` and names in ``POSITIVE`` and
    ``NOT_NEGATIVE`` the parameters that must be so. lo = hi is a sure value: the cdf is a step, the
    pdf 0. Parameters left out are set from the interval. Raises ValueError for lo > hi, numbers
    that are not finite, and an interval without mass.
    """

    POSITIVE: ClassVar[tuple[str, ...]] = ()
    NOT_NEGATIVE: ClassVar[tuple[str, ...]] = ()

    lo: Number
    hi: Number

    def __post_init__(self) -> None:
        kind = type(self).__name__
        for name, value in vars(self).items():
            if value is not None:
                _check(f"{kind}.{name}", value, -torch.inf)
        for name in self.POSITIVE:
            if (value := getattr(self, name)) is not None:
                _check(f"{kind}.{name}", value, 0.0)
        for name in self.NOT_NEGATIVE:
            _check(f"{kind}.{name}", getattr(self, name), 0.0, closed=True)
        lo, hi = alike(self.lo, self.hi)
        if bool((lo > hi).any()):
            raise ValueError(f"{kind} has lo {self.lo} > hi {self.hi}; wanted lo <= hi.")
        if bool(((hi > lo) & ~(self.mass(lo, hi) > 0)).any()):
            raise ValueError(
                f"{kind} has no mass between lo {self.lo} and hi {self.hi}; move its centre into"
                " the interval."
            )

    def density(self, p: Tensor) -> Tensor:
        """Density at p up to a constant factor."""
        raise NotImplementedError

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """Integral of ``density`` from a to b, lo <= a <= b <= hi."""
        raise NotImplementedError

    def cdf(self, p: Tensor) -> Tensor:
        """Probability of a value <= p: float64 of the broadcast shape."""
        lo, hi = self._ends(p)
        part = self.mass(lo, p.clamp(lo, hi)) / self.mass(lo, hi)
        return torch.where(p >= hi, 1.0, torch.where(p <= lo, 0.0, part))

    def pdf(self, p: Tensor) -> Tensor:
        """Density at p: float64 of the broadcast shape."""
        lo, hi = self._ends(p)
        inside = (p >= lo) & (p <= hi) & (lo < hi)
        return torch.where(inside, self.density(p.clamp(lo, hi)) / self.mass(lo, hi), 0.0)

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return float64(self.lo).to(like.device), float64(self.hi).to(like.device)


@dataclass(frozen=True)
class Uniform(Truncated):
    """Every value in [lo, hi] alike.

    >>> Uniform(1.0, 4.0).cdf(torch.tensor([2.0]).double())
    tensor([0.3333], dtype=torch.float64)
    """

    def density(self, p: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(p)

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """b - a."""
        return b - a


@dataclass(frozen=True)
class TruncatedExponential(Truncated):
    """density ~ exp(-rate * p); rate > 0, by default 2 / (hi - lo)."""

    POSITIVE = ("rate",)

    rate: Number | None = None

    def density(self, p: Tensor) -> Tensor:
        """exp(-rate (p - lo)): measured from lo, so that it cannot underflow for a far interval."""
        return torch.exp(-self._rate() * (p - self.lo))

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """(density(a) - density(b)) / rate."""
        return -self.density(a) * torch.expm1(-self._rate() * (b - a)) / self._rate()

    def _rate(self) -> Number:
        return 2.0 / (float64(self.hi) - self.lo) if self.rate is None else self.rate


@dataclass(frozen=True)
class TruncatedNormal(Truncated):
    """density ~ exp(-z^2 / 2), z = (p - mean) / sd; by default the middle, and width / 4."""

    POSITIVE = ("sd",)

    mean: Number | None = None
    sd: Number | None = None

    def density(self, p: Tensor) -> Tensor:
        """phi(z) / sd."""
        return _phi(self._z(p)) / self._sd()

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """Phi(z_b) - Phi(z_a)."""
        return _normal_mass(self._z(a), self._z(b))

    def _sd(self) -> Number:
        return (float64(self.hi) - self.lo) / 4 if self.sd is None else self.sd

    def _z(self, p: Tensor) -> Tensor:
        return (
            p - ((float64(self.hi) + self.lo) / 2 if self.mean is None else self.mean)
        ) / self._sd()


@dataclass(frozen=True)
class TruncatedLognormal(Truncated):
    """log p is normal(mu, sigma), lo >= 0; by default mu is the middle's log, and sigma 1/2."""

    POSITIVE = ("hi", "sigma")
    NOT_NEGATIVE = ("lo",)

    mu: Number | None = None
    sigma: Number = 0.5

    def density(self, p: Tensor) -> Tensor:
        """phi(z) / (p sigma), 0 at p = 0."""
        return torch.where(p > 0, _phi(self._z(p)) / (p * self.sigma), 0.0)

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """Phi(z_b) - Phi(z_a)."""
        return _normal_mass(self._z(a), self._z(b))

    def _z(self, p: Tensor) -> Tensor:
        return (
            p.log() - (((float64(self.hi) + self.lo) / 2).log() if self.mu is None else self.mu)
        ) / self.sigma


@dataclass(frozen=True)
class LogUniform(Truncated):
    """density ~ 1 / p; lo > 0."""

    POSITIVE = ("lo",)

    def density(self, p: Tensor) -> Tensor:
        """1 / p."""
        return 1 / p

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """log(b / a)."""
        return (b / a).log()


@dataclass(frozen=True)
class Power(Truncated):
    """density ~ p^(q - 1); lo >= 0, q > 0; with lo = 0 the cdf is (p / hi)^q."""

    POSITIVE = ("hi", "q")
    NOT_NEGATIVE = ("lo",)

    q: Number = 2.0

    def density(self, p: Tensor) -> Tensor:
        """q (p / hi)^(q - 1) / hi."""
        return self.q * (p / self.hi) ** (self.q - 1) / self.hi

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """(b / hi)^q - (a / hi)^q."""
        return (b / self.hi) ** self.q - (a / self.hi) ** self.q


@dataclass(frozen=True)
class BoundedPareto(Truncated):
    """density ~ p^(-shape - 1); lo > 0, shape > 0."""

    POSITIVE = ("lo", "shape")

    shape: Number = 1.0

    def density(self, p: Tensor) -> Tensor:
        """shape (lo / p)^shape / p."""
        return self.shape * (self.lo / p) ** self.shape / p

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """(lo / a)^shape - (lo / b)^shape."""
        return (self.lo / a) ** self.shape - (self.lo / b) ** self.shape


def float64(value: Number) -> Tensor:
    """A float64 tensor of the same shape and device; a plain number fits every device."""
    return torch.as_tensor(
        value, dtype=torch.float64, device=value.device if isinstance(value, Tensor) else "cpu"
    )


def alike(*values: Number) -> list[Tensor]:
    """The values as float64 tensors of one shape, on the device of the first tensor among them."""
    device = next((value.device for value in values if isinstance(value, Tensor)), None)
    return list(torch.broadcast_tensors(*(float64(value).to(device) for value in values)))


def _check(name: str, value: Number, least: float, closed: bool = False) -> None:
    """Refuse a parameter that is not finite or not above its least value."""
    value = float64(value)
    if not bool((value.isfinite() & ((value >= least) if closed else (value > least))).all()):
        sign = ">=" if closed else ">"
        raise ValueError(
            f"{name} is {value.tolist()}; wanted finite"
            f" numbers{'' if least < 0 else f' {sign} {least:g}'}."
        )


def _phi(z: Tensor) -> Tensor:
    return torch.exp(-z * z / 2) / (2 * torch.pi) ** 0.5


def _normal_mass(a: Tensor, b: Tensor) -> Tensor:
    """Phi(b) - Phi(a), mirrored right of the centre, where the difference would lose its digits."""
    low, high = torch.where(a > 0, -b, a), torch.where(a > 0, -a, b)
    # torch's ndtr is 0 below z = -8.3, erfc is not
    return (torch.erfc(-high / 2**0.5) - torch.erfc(-low / 2**0.5)) / 2


PRIORS: dict[str, type[Truncated]] = {
    "uniform": Uniform,
    "truncated_exponential": TruncatedExponential,
    "truncated_normal": TruncatedNormal,
    "truncated_lognormal": TruncatedLognormal,
    "log_uniform": LogUniform,
    "power": Power,
    "bounded_pareto": BoundedPareto,
}
