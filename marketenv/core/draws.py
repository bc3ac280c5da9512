"""Counter-based random draws: pure tensor arithmetic keyed by (seed, agent, round, purpose).

Nothing is mutated and no generator object exists, so a market draws the same numbers alone and in a
batch of thousands. The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA
2014).
"""

from __future__ import annotations

import functools
import math
import operator
import zlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.axes import Keys

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_BITS = 2**64 - 1


def _shift(z: Tensor, bits: int) -> Tensor:
    """Shift right without copying the sign bit, which torch's int64 shift does."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _MIX_1
    z = (z ^ _shift(z, 27)) * _MIX_2
    return z ^ _shift(z, 31)


def fold(keys: Keys, *parts: int | str | Tensor) -> Int[Tensor, "..."]:
    """Derive new keys from keys and any number of parts.

    keys:  int64 [*batch]
    parts: integers, names of a purpose, or int64 tensors that broadcast with the keys
    Returns int64 keys of the broadcast shape; equal inputs give equal keys, on every device.

    >>> int(fold(torch.tensor(3), "noise", 7)) == int(fold(torch.tensor([3, 4]), "noise", 7)[0])
    True
    """
    for part in parts:
        step = _mix((part + 1) * _GOLDEN) if isinstance(part, Tensor) else _mix_number(part)
        keys = _mix(keys + step)
    return keys


@functools.lru_cache(maxsize=1024)
def _mix_number(part: int | str) -> int:
    """The summand of ``fold`` for a part that is no tensor, by the same arithmetic on a number."""
    number = zlib.crc32(part.encode()) if isinstance(part, str) else operator.index(part)
    z = (number + 1) * _GOLDEN & _BITS
    for bits, factor in ((30, _MIX_1), (27, _MIX_2)):
        z = (z ^ z >> bits) * factor & _BITS
    z ^= z >> 31
    return z - (z >> 63 << 64)


def agent_keys(
    keys: Int[Tensor, "markets"], n_agents: int, *parts: int | str
) -> Int[Tensor, "markets agents"]:
    """Give every agent of every market a key of its own: [markets] -> [markets, agents]."""
    return fold(keys[:, None], *parts, torch.arange(n_agents, device=keys.device))


def uniform(keys: Keys, *shape: int) -> Float[Tensor, "..."]:
    """Draw float64 numbers in (0, 1): [*batch] keys -> [*batch, *shape].

    >>> u = uniform(torch.arange(4), 1000)
    >>> bool((u > 0).all() and (u < 1).all()), round(float(u.mean()), 1)
    (True, 0.5)
    """
    counter = torch.arange(math.prod(shape), device=keys.device)
    # 52 bits: with 53 the largest plus one half rounds up to 1
    bits = _shift(fold(keys[..., None], counter), 12)
    return ((bits.double() + 0.5) * 2.0**-52).reshape(*keys.shape, *shape)


def normal(keys: Keys, *shape: int) -> Float[Tensor, "..."]:
    """Draw float64 standard normal numbers by the inverse distribution: [*batch, *shape]."""
    return math.sqrt(2.0) * torch.erfinv(2.0 * uniform(keys, *shape) - 1.0)


def integers(keys: Keys, high: int | Tensor, *shape: int) -> Int[Tensor, "..."]:
    """Draw integers 0 <= k < high, a number or a tensor that broadcasts: [*batch, *shape]."""
    top = torch.as_tensor(high, device=keys.device)
    return torch.minimum((uniform(keys, *shape) * top).long(), top - 1)


def permutation(keys: Keys, n: int) -> Int[Tensor, "... n"]:
    """Draw a random order of 0..n-1 for each key: [*batch, n]."""
    return uniform(keys, n).argsort(-1)
