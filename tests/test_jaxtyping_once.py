"""A declared type is checked whenever a call that is looked at is of a new kind: what is wrong is
refused, although right calls came before.
"""

import inspect
from types import FunctionType, SimpleNamespace
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


@pytest.fixture(autouse=True)
def new_file():
    """Calls of the functions below are looked at, whatever other tests have called."""
    jaxtyping_once.SCHEDULE.begin_test("a new file")


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
def test_what_is_wrong_is_refused_after_what_is_right_has_passed(case):
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


def add_tax(price: int) -> int:
    """A function of a module of the library, as nearly all are."""
    return price + 1


def adding(kind):
    """A checked function that no test has called."""
    if kind == "of a module":
        code, names = add_tax.__code__, (add_tax.__globals__, add_tax.__name__)
        function = FunctionType(code, *names)
        function.__annotations__, function.__qualname__ = add_tax.__annotations__, "add_tax"
        function.__module__ = "marketenv.toy"
        return checked(function)
    tax = 1

    @checked
    def nested(price: int) -> int:
        return price + tax

    return nested


def refuses(function):
    try:
        function(0.5)
    except jaxtyping.TypeCheckError:
        return True
    return False


KINDS = pytest.mark.parametrize("kind", ["of a module", "nested"])


@KINDS
def test_calls_that_pass_are_looked_at_in_ever_fewer_tests_until_the_next_file(kind):
    function, looking = adding(kind), []
    for _ in range(20):  # tests of one file
        looking.append(refuses(function))  # what is refused counts as nothing
        for _ in range(jaxtyping_once.LOOKS + 1):
            assert function(1) == 2
        assert not refuses(function)
        jaxtyping_once.SCHEDULE.begin_test("a new file")
    assert [number for number, looks in enumerate(looking) if looks] == [0, 1, 3, 7, 15]
    jaxtyping_once.SCHEDULE.begin_test("the next file")
    assert refuses(function)


@KINDS
def test_after_a_call_of_a_new_kind_more_calls_are_looked_at(kind):
    function = adding(kind)
    for _ in range(jaxtyping_once.LOOKS):  # of which the first is new
        function(1)
    assert function(True) == 2  # a bool is an int, of another class
    for _ in range(jaxtyping_once.LOOKS - 1):
        function(1)
    assert refuses(function)
    function(1)
    assert not refuses(function)


def test_a_function_is_itself_whether_or_not_its_calls_are_looked_at():
    function, codes = adding("of a module"), set()
    for _ in range(jaxtyping_once.LOOKS + 2):
        codes.add(function.__code__)
        assert inspect.signature(function) == inspect.signature(add_tax)
        assert inspect.getsource(function) == inspect.getsource(add_tax)
        assert function.__name__ == "add_tax" and function(price=4) == 5
    assert len(codes) == 2 and add_tax.__code__ in codes


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
