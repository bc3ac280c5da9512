"""A declared type is checked whenever a call is of a new kind: what is wrong is refused,
however many right calls came before.
"""

from types import SimpleNamespace
from typing import Literal

import beartype
import jaxtyping
import jaxtyping_once
import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.ledger import Flow


def checked(function):
    return jaxtyping_once.jaxtyped(function, typechecker=beartype.beartype)


@checked
def same_rows(left: Float[Tensor, "rows 2"], right: Float[Tensor, "rows"]) -> Float[Tensor, "rows"]:
    return left[:, 0] + right


Pairs = Float[Tensor, "rows 2"]


@checked
def first_of(pairs: "Pairs") -> "Float[Tensor, 'rows']":
    return pairs[:, 0]


@checked
def longer(x: Float[Tensor, "rows"], y: Float[Tensor, "rows+1"]) -> Float[Tensor, "rows"]:
    return y[1:]


@checked
def widened(x: Float[Tensor, "rows"], width: int) -> Float[Tensor, "rows {width}"]:
    return torch.zeros(len(x), 3)


@checked
def told(value) -> int:
    return value.answer


@checked
def option(name: Literal["a", "b"]) -> str:
    return name


@checked
def total(numbers: list[int]) -> int:
    return len(numbers)


@checked
def named(values: dict[str, int]) -> int:
    return len(values)


WRONG = {
    "shape": (same_rows, (torch.ones(3, 2), torch.ones(3)), (torch.ones(3, 2), torch.ones(4))),
    "dimensions": (
        same_rows,
        (torch.ones(3, 2), torch.ones(3)),
        (torch.ones(3, 2), torch.ones(3, 1)),
    ),
    "dtype": (
        same_rows,
        (torch.ones(3, 2), torch.ones(3)),
        (torch.ones(3, 2), torch.ones(3, dtype=torch.int64)),
    ),
    "class": (
        same_rows,
        (torch.ones(3, 2), torch.ones(3)),
        (torch.ones(3, 2), np.ones(3, dtype="float32")),
    ),
    "a size by number": (first_of, (torch.ones(3, 2),), (torch.ones(3, 4),)),
    "a computed size": (longer, (torch.ones(3), torch.ones(4)), (torch.ones(4), torch.ones(3))),
    "a shape by value": (widened, (torch.ones(2), 3), (torch.ones(2), 4)),
    "a value": (option, ("a",), ("c",)),
    "answer": (told, (SimpleNamespace(answer=1),), (SimpleNamespace(answer="1"),)),
    "items": (total, ([1, 2],), (["1", "2"],)),
    "items of a dict": (named, ({"a": 1},), ({"a": "1"},)),
    "keys of a dict": (named, ({"a": 1},), ({1: 1},)),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_however_often_what_is_right_has_passed(case):
    function, right, wrong = WRONG[case]
    for _ in range(3):
        function(*right)
    for _ in range(3):  # what was refused is not taken for what has passed
        with pytest.raises(jaxtyping.TypeCheckError):
            function(*wrong)
    function(*right)


def test_a_keyword_is_no_other_argument():
    @checked
    def divide(top: int, bottom: float) -> float:
        return top / bottom

    assert divide(top=1, bottom=2.0) == 0.5
    with pytest.raises(jaxtyping.TypeCheckError):
        divide(bottom=1, top=2.0)


def test_a_list_of_mixed_items_is_checked_at_each_call():
    """Beartype reads one item by chance: the wrong one of two is met within 200 calls but for a
    chance of 2**-200.
    """
    with pytest.raises(jaxtyping.TypeCheckError):
        for _ in range(200):
            total([1, "2"])


def test_a_call_of_a_kind_that_has_passed_costs_no_second_check(monkeypatch):
    @checked
    def double(x: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        return 2 * x

    double(torch.tensor([1, 2]))
    monkeypatch.setattr(jaxtyping_once.Checked, "in_full", pytest.fail)
    assert double(torch.tensor([3, 4])).tolist() == [6, 8]


def test_other_sizes_are_no_other_kind(monkeypatch):
    @checked
    def joined(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "k d"]:
        return torch.cat([x, y])

    joined(torch.ones(2, 4), torch.ones(3, 4))
    with monkeypatch.context() as patch:
        patch.setattr(jaxtyping_once.Checked, "in_full", pytest.fail)
        assert joined(torch.ones(4, 7), torch.ones(6, 7)).shape == (10, 7)
    with pytest.raises(jaxtyping.TypeCheckError):
        joined(torch.ones(4, 7), torch.ones(6, 8))


def test_calls_that_pass_are_looked_at_ever_more_rarely_until_the_next_file():
    @checked
    def double(x: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        return 2 * x

    looks = 0
    for _ in range(2000):
        looks += turn_of(double)[0] == 0
        double(torch.tensor([1]))
    assert 75 < looks < 150
    with pytest.raises(jaxtyping.TypeCheckError):
        for _ in range(jaxtyping_once.LONGEST + 1):
            double(torch.tensor([1.0]))
    jaxtyping_once.look_at_all()
    with pytest.raises(jaxtyping.TypeCheckError):
        double(torch.tensor([1.0]))


def turn_of(function):
    """How many calls of a checked function are not to be looked at."""
    names = function.__code__.co_freevars
    return function.__closure__[names.index("turn")].cell_contents


def adder(term):
    """A function made by a nested ``def``, with annotations that are text as in the library."""

    @checked
    def added(x: "int") -> "int":
        return x + term

    return added


def test_functions_of_one_def_share_what_has_passed_and_stay_themselves(monkeypatch):
    one, other = adder(1), adder(2)
    assert one(1) == 2
    with monkeypatch.context() as patch:
        patch.setattr(jaxtyping_once.Checked, "in_full", pytest.fail)
        assert other(1) == 3 and one(5) == 6
    for function, wrong in ((other, "1"), (adder("1"), "1"), (adder(0.5), 1)):
        with pytest.raises(jaxtyping.TypeCheckError):
            function(wrong)  # the last one's argument passes, and its answer 1.5 does not
    assert adder(3)(1) == 4  # what has been refused leaves nothing behind


def test_a_function_that_takes_and_gives_anything_stays_as_it_is():
    def same(x: "Any", *more: "object") -> "Any":
        return x

    assert checked(same) is same


def test_what_a_dataclass_of_the_library_holds_is_checked():
    """The hook decorates the class, and jaxtyping its ``__init__``."""
    Flow("buyers", "sellers", torch.ones(1, 2, 3, dtype=torch.float64))
    with pytest.raises(jaxtyping.TypeCheckError):
        Flow("buyers", "sellers", torch.ones(1, 2, dtype=torch.float64))
    assert Flow.__init__.__globals__ is vars(jaxtyping_once)
