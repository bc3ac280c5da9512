"""Arguments in words: equal in every process, different for different arguments."""

import contextlib
import dataclasses
import functools
import importlib
import io
import math
import runpy
import threading
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import own_process
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from marketenv.core.words import plain
from marketenv.data import from_arrays
from marketenv.data.augmentation import Augmentation, crop
from marketenv.learners import Training
from marketenv.mechanisms import MECHANISMS, Sales

RATE = 0.5


def test_parts_are_told_without_addresses():
    # a function's own repr holds where it lies in memory, which differs from process to process
    told = plain(Training(augment=Augmentation(("flip", crop, partial(crop, pad=1)), 3)))
    home = "marketenv.data.augmentation"
    wanted = (
        f"augment={home}.Augmentation(names=('flip', {home}.crop, {home}.crop(; {{pad: 1}})),"
        " n_agents=3))"
    )
    assert told.startswith(
        "marketenv.learners.training.Training(optimizer='sgd', learning_rate=0.1,"
    ) and told.endswith(wanted)


def test_numbers_of_numpy_are_told_by_value():
    assert plain(np.float32(5)) == plain(5.0) != plain(np.float32(50))
    assert plain(Path("a/b")) == "'a/b'" and plain({"b", "a"}) == "{'a', 'b'}"
    assert plain(np.longdouble(1)) != plain(np.longdouble(2))


def test_what_differs_is_told_apart():
    assert plain({"a": [1, "1"]}) == "{a: (1, '1')}" and plain({1: 0}) != plain({"1": 0})
    assert plain({"a": 1, "b": 2}) == plain({"b": 2, "a": 1})  # the order of keywords says nothing
    assert plain(None) == "None" and plain(partial(crop, pad=1)) != plain(partial(crop, pad=2))


X = np.arange(6.0).reshape(2, 3)

ARRAYS = {
    "a number": X + (X == 5) * 1e-15,
    "type": X.astype(np.float32),
    "shape": X.reshape(3, 2),
    "byte order": X.astype(">f8"),
    "mask": np.ma.masked_equal(X, 1.0),
    "objects": X.astype(object),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_told_apart_by_all_that_they_hold(kind):
    assert plain(X) == plain(X.copy(order="F")) != plain(ARRAYS[kind])


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64, torch.float64]
)
def test_tensors_are_told_apart_by_all_that_they_hold(dtype):
    x = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    assert plain(x) == plain(x.T.contiguous().T) != plain(torch.ones(2, 2, dtype=dtype))
    assert plain(x) != plain(x.to(torch.float16)) and plain(x) != plain(x.flatten())
    assert plain(x[:0]) == plain(x[:0].clone()) != plain(x[:0, :1])


def test_data_sets_are_told_apart_by_their_rows():
    one, same, other = (from_arrays(X + shift, [0, 1]) for shift in (0, 0, 1))
    assert plain(one) == plain(same) != plain(other)


def test_files_are_told_by_content_wherever_they_lie(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (plain(tmp_path / name) for name in "abc")
    assert a == b != c


def scaled(rate, offset=0.0):
    return lambda price: rate * price + offset


def reads_a_global(price):
    return RATE * price


def helps(price):
    return price + 1


def calls_a_helper(price):
    return helps(price)


def counts_down(n):
    return 0 if n == 0 else counts_down(n - 1)


def test_functions_are_told_apart_by_code_constants_defaults_and_closures():
    assert plain(scaled(2)) == plain(scaled(2)) != plain(scaled(3))
    # of one line: their source is the same text
    first, second = (lambda x: 2 * x), (lambda x: 3 * x)
    assert plain(first) != plain(second)
    assert plain(lambda x, k=1: k * x) != plain(lambda x, k=2: k * x)
    assert plain(lambda x, *, k=1: k * x) != plain(lambda x, *, k=2: k * x)
    assert plain(lambda x: x.sum()) != plain(lambda x: x.mean())
    assert plain(lambda x: (lambda y: y + 1)(x)) != plain(lambda x: (lambda y: y + 2)(x))
    assert plain(counts_down) == plain(counts_down)  # it calls itself


@pytest.mark.parametrize(
    ("name", "value", "reads"),
    [("RATE", 0.6, reads_a_global), ("helps", lambda price: price + 2, calls_a_helper)],
)
def test_functions_are_told_apart_by_the_globals_that_they_read(monkeypatch, name, value, reads):
    before, scale = plain(reads), plain(scaled(2))
    monkeypatch.setitem(globals(), name, value)
    assert plain(reads) != before and plain(scaled(2)) == scale


def test_decorated_and_bound_functions_are_told_apart():
    def twice(function, times):
        return functools.wraps(function)(lambda *given: times * function(*given))

    assert plain(twice(helps, 2)) != plain(twice(helps, 3)) and plain(twice(helps, 2)) != plain(
        twice(counts_down, 2)
    )
    assert plain(functools.lru_cache(helps)) != plain(functools.lru_cache(counts_down))
    assert plain(Rule(1).price) != plain(Rule(2).price) and plain([1].count) != plain([2].count)
    assert (
        plain([max, torch.relu, np.multiply, math.sqrt, F.linear])
        == "(max, torch.relu, numpy.multiply, math.sqrt, torch._C._nn.linear)"
    )


class Rule:
    def __init__(self, rate):
        self.rate = rate

    @functools.cached_property
    def double(self):
        return 2 * self.rate

    def price(self, bid):
        return self.rate * bid

    def __call__(self, bid):
        return self.price(bid)


def own_class(step):
    class Own:
        def price(self, bid):
            return scaled(step)(bid) if step else super().price(bid)

    return Own


@dataclasses.dataclass
class Weighed:
    rate: float

    def __call__(self, bid):
        return self.rate * bid


def test_objects_are_told_apart_by_class_and_content():
    used = Rule(1)
    assert plain(used) == plain(Rule(1)) != plain(Rule(2))
    # what it has worked out since is no part of it
    assert used.double == 2 and plain(used) == plain(Rule(1))
    assert plain(own_class(1)) == plain(own_class(1)) != plain(own_class(2))
    assert plain(own_class(1)()) != plain(own_class(2)())
    assert plain(Weighed(1.0)) == plain(Weighed(1.0)) != plain(Weighed(2.0))
    ring = Rule(1)
    ring.rate = ring  # it holds itself
    assert plain(ring) == plain(ring)
    assert (
        plain(np.random.default_rng(1))
        == plain(np.random.default_rng(1))
        != plain(np.random.default_rng(2))
    )


def network(seed=0, width=3, negative_slope=0.01):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.LeakyReLU(negative_slope))


class Twice(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.inner, self.factor = network(), factor

    def forward(self, x):
        return self.factor * self.inner(x)


def test_modules_are_told_apart_by_code_structure_parameters_and_buffers():
    one, moved = network(), network()
    moved[1].running_mean += 1
    others = (network(seed=1), network(width=4), network(negative_slope=0.1), moved, Twice(2))
    words = {plain(part) for part in others}
    assert plain(one) == plain(network()) and len(words) == len(others) and plain(one) not in words
    assert plain(Twice(2)) == plain(Twice(2)) != plain(Twice(3))


def generator():
    yield 1


def compiled():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have it compiled in another way
        return torch.jit.script(nn.Linear(2, 2))


NAMELESS = {
    "a lock": threading.Lock(),
    "a generator": generator(),
    "a rule that reads a lock": partial(scaled, threading.Lock()),
    "a closure": scaled(threading.Lock()),
    "a compiled part": compiled(),
    "a ufunc of one's own": np.frompyfunc(helps, 1, 1),
    "no data": torch.zeros(2, device="meta"),
}


@pytest.mark.parametrize("kind", NAMELESS)
def test_what_cannot_be_compared_has_no_words(kind):
    assert plain(NAMELESS[kind]) is None and plain({"part": [NAMELESS[kind]]}) is None


class Told:
    """Holds a lock, and says what tells it from others."""

    def __init__(self, rate):
        self.rate, self.lock = rate, threading.Lock()

    def __getstate__(self):
        return {"rate": self.rate}


def test_an_object_may_say_what_tells_it_from_others():
    assert plain(Told(1)) == plain(Told(1)) != plain(Told(2))


SCRIPT = """
import functools, sys, torch
from marketenv.core.words import plain
print(hash("names"), file=sys.stderr)
class Rule:
    names = {"b", "a", "c"}
    def __init__(self, rate): self.rate = rate
    def __call__(self, bid): return helper(bid) if bid in {"x", "y", "z"} else self.rate
def helper(bid): return 2 * bid
torch.manual_seed(0)
twice = functools.partial(helper, 2)
print(plain([Rule(1), lambda x: helper(x), twice, torch.nn.Linear(2, 2), torch.arange(3)]))
"""


@pytest.mark.long
def test_words_are_equal_in_every_process(tmp_path):
    """Here and in a process whose sets have another order."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    code = own_process.ended(own_process.begin(script, output=tmp_path))
    printed, order = (tmp_path / "stdout").read_text(), (tmp_path / "stderr").read_text()
    assert code == 0 and int(order) != hash("names"), order
    here = io.StringIO()
    with (
        contextlib.redirect_stdout(here),
        contextlib.redirect_stderr(io.StringIO()),
        torch.random.fork_rng(),
    ):
        runpy.run_path(str(script), run_name="__main__")
    assert here.getvalue() == printed and printed.startswith("(Rule ")


def test_a_borrowed_name_does_not_hide_a_part():
    """functools.wraps gives a wrapper the name of a library's function; its own rate tells it
    from another.
    """
    base = MECHANISMS["first_price"]

    def taxed(rate):
        @functools.wraps(base)
        def rule(bids, asks):
            done = base(bids, asks)
            return Sales(done.allocation, done.prices * rate)

        return rule

    assert plain(taxed(0.5)) == plain(taxed(0.5)) != plain(taxed(0.9)) and plain(base) not in (
        plain(taxed(0.5)),
        None,
    )


def test_a_module_of_ones_own_is_told_by_what_it_holds_now(tmp_path, monkeypatch):
    (tmp_path / "module_of_rates.py").write_text("RATE = 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("module_of_rates")
    before = plain(module)
    monkeypatch.setattr(module, "RATE", 0.9)
    assert plain(module) != before is not None
