"""What a user's own part returns is taken in the wanted type, or refused in words that say what
to do.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import torch

from marketenv.core.parts import NUMBERS, made, taken

WANTED = torch.zeros(4, 3, 2, dtype=torch.float64)
AXES = "markets, buyers, sellers"


def prices(value, dtype=None):
    return taken(value, "mechanism returned prices", WANTED, AXES, dtype)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            torch.ones(3, 2),
            (
                r"of shape \[3, 2\] float32, wanted \[4, 3, 2\] float64 \(markets, .*all 4 markets,"
                r" so keep that axis"
            ),
        ),
        (torch.ones(4, 2, 3), r"of shape \[4, 2, 3\] float32, .*its axes stand in another order"),
        (torch.ones(4, 3), r"of shape \[4, 3\] float32, .*make it of that shape"),
        # would broadcast
        (torch.ones(1, 3, 2), r"of shape \[1, 3, 2\] float32, .*make it of that shape"),
        (torch.tensor(1.0), r"of shape \[\] float32"),
        (None, "as None, wanted .*return a torch tensor"),
        (np.ones((4, 3, 2)), "as a ndarray, wanted .*return a torch tensor"),
        (1.0, "as a float, wanted"),
        (torch.ones(4, 3, 2).bfloat16(), "bfloat16 is not converted; compute it as float64"),
        (torch.ones(4, 3, 2).half(), "float16 is not converted"),
        (torch.ones(4, 3, 2).bool(), "bool is not converted"),
        (torch.ones(4, 3, 2).cfloat(), "complex64 is not converted"),
        (
            torch.ones(4, 3, 2, dtype=torch.float64, device="meta"),
            "lies on meta, wanted cpu; make it from the tensors",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(value, said):
    with pytest.raises(ValueError, match="mechanism returned prices .*" + said):
        prices(value)


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_numbers_of_full_precision_are_converted(dtype):
    assert torch.equal(prices(torch.full((4, 3, 2), 7).to(dtype)), WANTED + 7)


def test_whole_numbers_and_truths_are_not_made_of_others():
    assert prices(torch.ones(4, 3, 2, dtype=torch.int32), torch.int64).dtype == torch.int64
    with pytest.raises(ValueError, match="float32 is not converted; compute it as int64"):
        prices(torch.ones(4, 3, 2), torch.int64)
    with pytest.raises(ValueError, match="float64 is not converted; compute it as bool"):
        prices(WANTED, torch.bool)
    assert prices(WANTED > 0, torch.bool).dtype == torch.bool


def test_gradients_end_here_and_what_fits_is_not_copied():
    assert not prices(WANTED.clone().requires_grad_()).requires_grad
    assert not prices(torch.ones(4, 3, 2, requires_grad=True)).requires_grad
    assert prices(WANTED) is WANTED


class Pair(NamedTuple):
    left: int
    right: int


@dataclasses.dataclass
class Row:
    left: int


def test_an_object_of_another_class_is_refused_with_the_fields_of_the_wanted_one():
    assert made(Pair(1, 2), Pair, "part") == made((1, 2), Pair, "part") == Pair(1, 2)
    row = Row(1)
    assert made(row, Row, "part") is row
    for value, kind, said in [
        (None, Row, r"part returned None, wanted Row\(left\)"),
        ((1,), Row, r"part returned a tuple of 1, wanted Row\(left\)"),
        ((1, 2, 3), Pair, r"part returned a tuple of 3, wanted Pair\(left, right\)"),
    ]:
        with pytest.raises(ValueError, match=said):
            made(value, kind, "part")


def test_a_sparse_tensor_is_refused_by_name():
    with pytest.raises(
        ValueError,
        match=(
            r"mechanism returned prices as a sparse or nested tensor, wanted a dense one \[2, 2\]"
        ),
    ):
        taken(
            torch.eye(2).to_sparse(),
            "mechanism returned prices",
            torch.zeros(2, 2),
            "buyers, sellers",
        )
