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
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.axes import Keys

_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_FEW = 1024  # so many summands of draws are kept
Numbers = (
    Any  # a uint64 array on a CPU, where NumPy takes a third of torch's time, or an int64 tensor
)


def _signed(number: int) -> int:
    """The signed integer of the same 64 bits."""
    return number - (number >> 63 << 64)


# a number as an array without axes: NumPy would take twice as long with Python's numbers
_ONE, _U12, _U27, _U30, _U31 = (np.array(k, dtype=np.uint64) for k in (1, 12, 27, 30, 31))
_U_GOLDEN, _U_MIX_1, _U_MIX_2 = (
    np.array(number, dtype=np.uint64) for number in (_GOLDEN, _MIX_1, _MIX_2)
)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Shift right without copying the sign bit, which torch's int64 shift does."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Numbers) -> Numbers:
    """The finaliser of SplitMix64."""
    if isinstance(z, Tensor):
        z = (z ^ _shift(z, 30)) * _signed(_MIX_1)
        z = (z ^ _shift(z, 27)) * _signed(_MIX_2)
        return z ^ _shift(z, 31)
    z = (z ^ (z >> _U30)) * _U_MIX_1
    z = (z ^ (z >> _U27)) * _U_MIX_2
    return np.asarray(z ^ (z >> _U31))


def fold(keys: Keys, *parts: int | str | Tensor) -> Int[Tensor, "..."]:
    """Derive new keys from keys and any number of parts.

    keys:  int64 [*batch]
    parts: integers, names of a purpose, or int64 tensors that broadcast with the keys
    Returns int64 keys of the broadcast shape; equal inputs give equal keys, on every device.

    >>> int(fold(torch.tensor(3), "noise", 7)) == int(fold(torch.tensor([3, 4]), "noise", 7)[0])
    True
    """
    numbers = _numbers(keys)
    for part in parts:
        if isinstance(part, Tensor):
            step = _step(_numbers(part))
        else:
            step = _step_of_one(part, isinstance(numbers, Tensor))
        numbers = _mix(numbers + step)
    return _tensor(numbers)


def _numbers(keys: Tensor) -> Numbers:
    """Keys as numbers of 64 bits; ValueError for others, whose bits would be read as other keys."""
    if keys.dtype != torch.int64:
        raise ValueError(f"keys are {keys.dtype}, wanted torch.int64; use .long().")
    return keys.numpy().view(np.uint64) if keys.device.type == "cpu" else keys


def _tensor(numbers: Numbers) -> Tensor:
    if isinstance(numbers, Tensor):
        return numbers
    return torch.from_numpy(numbers.view(np.int64))


def _step(parts: Numbers) -> Numbers:
    """The summands of ``fold`` for parts."""
    if isinstance(parts, Tensor):
        return _mix((parts + 1) * _signed(_GOLDEN))
    return _mix((parts + _ONE) * _U_GOLDEN)


@functools.lru_cache(maxsize=1024)
def _step_of_one(part: int | str, for_tensor: bool) -> Any:
    """The summand of ``fold`` for a part that is no tensor."""
    number = zlib.crc32(part.encode()) if isinstance(part, str) else operator.index(part)
    step = _step(np.array(number % 2**64, dtype=np.uint64))
    return _signed(int(step)) if for_tensor else step


def _each(keys: Keys, n: int) -> Numbers:
    """Give every key n keys of its own: ``fold`` with the parts 0 .. n-1."""
    steps = _few_steps(n, keys.device) if n <= _FEW else _counted(n, keys.device)
    return _mix(_numbers(keys)[..., None] + steps)


def _counted(n: int, device: torch.device) -> Numbers:
    """The summands of the parts 0 .. n-1."""
    return _step(_numbers(torch.arange(n, device=device)))


_few_steps = functools.lru_cache(maxsize=256)(_counted)  # every draw needs them


def agent_keys(
    keys: Int[Tensor, "markets"], n_agents: int, *parts: int | str
) -> Int[Tensor, "markets agents"]:
    """Give every agent of every market a key of its own: [markets] -> [markets, agents]."""
    return _tensor(_each(fold(keys, *parts), n_agents))


def uniform(keys: Keys, *shape: int) -> Float[Tensor, "..."]:
    """Draw float64 numbers in (0, 1): [*batch] keys -> [*batch, *shape].

    >>> u = uniform(torch.arange(4), 1000)
    >>> bool((u > 0).all() and (u < 1).all()), round(float(u.mean()), 1)
    (True, 0.5)
    """
    # 52 bits: with 53 the largest plus one half rounds up to 1
    bits = _each(keys, math.prod(shape))
    if isinstance(bits, Tensor):
        u = (_shift(bits, 12).double() + 0.5) * 2.0**-52
    else:
        whole = (bits >> _U12).view(np.int64)  # signed ones become floats in half the time
        u = torch.from_numpy((whole.astype(np.float64) + 0.5) * 2.0**-52)
    return u.reshape(*keys.shape, *shape)


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
