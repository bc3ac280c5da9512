"""Checks of what a part returns that a user may have written; an error names the part.

Shape, type and device are attributes of a tensor. Comparing them costs about a microsecond and
waits for no device, so every call is checked and nothing is remembered of the first one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeGuard

import torch
from torch import Tensor

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# float16 and bfloat16 keep two or three digits: no money, no model
NUMBERS = (torch.float32, torch.float64, *WHOLE)


def taken(
    value: Any, subject: str, like: Tensor, axes: str, dtype: torch.dtype | None = None
) -> Tensor:
    """Return a part's tensor in the wanted type and outside any graph of gradients, or refuse it.

    value:   what the part returned
    subject: what errors begin with, such as ``"mechanism returned prices"``
    like:    a tensor of the wanted shape and device;   axes: its axes in words
    dtype:   the wanted type, by default that of ``like``

    float32, float64 and whole numbers are converted to the wanted float type, whole numbers to the
    wanted whole type.
    Raises ValueError for anything that is no tensor, another shape or device, and all other types.

    >>> wanted = torch.zeros(4, 2, 3).double()
    >>> taken(torch.ones(2, 3), "mechanism returned prices", wanted, "markets, buyers, sellers")
    Traceback (most recent call last):
    ValueError: mechanism returned prices of shape [2, 3] float32, wanted [4, 2, 3] float64
    (markets, buyers, sellers): the first axis is missing; one call is for all 4 markets, so keep
    that axis.
    """
    wanted = like.dtype if dtype is None else dtype
    if not isinstance(value, Tensor):
        fix = "return a torch tensor."
    elif value.is_nested or value.layout != torch.strided:
        raise ValueError(
            f"{subject} as a sparse or nested tensor, wanted a dense one {list(like.shape)}"
            f" ({axes}): use to_dense()."
        )
    elif value.shape != like.shape:
        fix = _shape_advice(tuple(value.shape), tuple(like.shape), axes)
    elif value.dtype not in _sources(wanted):
        fix = f"{_word(value.dtype)} is not converted; compute it as {_word(wanted)}."
    elif value.device != like.device:
        fix = (
            f"it lies on {value.device}, wanted {like.device}; make it from the tensors that are"
            " given."
        )
    else:
        value = value.detach() if value.requires_grad else value
        return value if value.dtype == wanted else value.to(wanted)
    goal = f"{list(like.shape)} {_word(wanted)} ({axes})"
    raise ValueError(f"{subject} {_described(value)}, wanted {goal}: {fix}")


def fits(
    value: Any, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype
) -> TypeGuard[Tensor]:
    """Whether ``taken`` would return the value itself; this asks for no tensor to compare with."""
    return (
        isinstance(value, Tensor)
        and value.dtype == dtype
        and value.shape == shape
        and value.layout == torch.strided
        and not value.requires_grad
        and value.device == device
    )


def made(value: Any, kind: type, part: str) -> Any:
    """Return what a part returned if it is of the kind, a dataclass or named tuple.

    A named tuple may come as any tuple of as many parts. Raises ValueError that names the fields of
    the kind for anything else.
    """
    if isinstance(value, kind):
        return value
    fields = kind.__dict__.get("_fields", ())
    if fields and isinstance(value, tuple) and len(value) == len(fields):
        return kind(*value)
    names = ", ".join(fields or [field.name for field in dataclasses.fields(kind)])
    many = f" of {len(value)}" if isinstance(value, tuple) else ""
    raise ValueError(
        f"{part} returned {_name(value)}{many}, wanted {kind.__name__}({names}): return an object"
        " of that class."
    )


def _sources(wanted: torch.dtype) -> tuple[torch.dtype, ...]:
    """Types that are converted to the wanted one without harm."""
    return NUMBERS if wanted.is_floating_point else WHOLE if wanted in WHOLE else (wanted,)


def _shape_advice(got: tuple[int, ...], wanted: tuple[int, ...], axes: str) -> str:
    if got == wanted[1:]:
        return (
            f"the first axis is missing; one call is for all {wanted[0]} {axes.split(', ')[0]}, so"
            " keep that axis."
        )
    if sorted(got) == sorted(wanted):
        return "its axes stand in another order."
    return "make it of that shape."


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"of shape {list(value.shape)} {_word(value.dtype)}"
    return f"as {_name(value)}"


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _name(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
