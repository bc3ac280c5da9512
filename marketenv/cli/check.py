"""The public checks of the library on a market of one's own, one after another."""

from __future__ import annotations

import importlib
import inspect
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from marketenv.cli.markets import people_and_stages
from marketenv.cli.words import key_and_text, twice, value_of
from marketenv.core.checks import keywords, refused, whole
from marketenv.core.lookup import unknown
from marketenv.core.market import Market
from marketenv.envs import MarketParallelEnv
from marketenv.testing import CHECKS, Make

EXAMPLE = "my_market:make or my_market.py:make"
LARGEST_SEED = 2**32 - 1  # the checks use the next ones too


def check_market(place: str, words: Sequence[str], seed: int, show: Callable[..., None]) -> bool:
    """Run ``CHECKS`` on the market that a factory makes, and show each result at once.

    place: module:factory or file.py:factory;   words: arguments of the factory as key=value
    show:  is called as ``print`` is

    Returns whether all checks pass. Raises ValueError for a place or for words that name nothing,
    and for a seed that no market takes.
    """
    seed = whole(seed, "seed", most=LARGEST_SEED)
    with _no_exit(place):
        env = market_at(place, words)
    for line in (f"market: {env}", *people_and_stages(env.market)):
        show(line)
    faulty: dict[str, str] = {}  # the fault of each check that fails
    for k, (name, check) in enumerate(CHECKS.items()):
        show(f"{k + 1:2}/{len(CHECKS)} {name:<15}", end="", flush=True)
        start = time.perf_counter()
        fault = fault_of(check, copies_of(env), seed)
        show(f"{'FAULT' if fault else 'passes'} ({time.perf_counter() - start:.1f} s)")
        if fault:
            show(f"      wanted: {inspect.cleandoc(check.__doc__ or '').splitlines()[0]}")
            same = [other for other, earlier in faulty.items() if earlier == fault]
            show(f"      fault:  {f'the fault of {same[0]}' if same else fault}")
            faulty[name] = fault
    passes = f"{len(CHECKS) - len(faulty)} of {len(CHECKS)} checks pass with seed {seed}"
    show(f"FAULTY: {passes}; faults: {', '.join(faulty)}." if faulty else f"SOUND: {passes}.")
    return not faulty


@contextmanager
def _no_exit(place: str) -> Iterator[None]:
    """Refuse code that ends Python: the command would end without a verdict."""
    try:
        yield
    except SystemExit as error:
        raise ValueError(
            f"{place} ends Python by sys.exit, wanted a market. In a script, put what is to run"
            ' under: if __name__ == "__main__".'
        ) from error


def market_at(place: str, words: Sequence[str]) -> MarketParallelEnv:
    """The market that a factory makes of its arguments, as a parallel environment."""
    factory, name = factory_at(place)
    market = factory(**arguments_of(factory, name, words))
    if isinstance(market, Market):
        return MarketParallelEnv(market, name)
    if isinstance(market, MarketParallelEnv):
        return market
    raise refused(f"the result of {name}", market, "a Market or a MarketParallelEnv")


def factory_at(place: str) -> tuple[Callable[..., Any], str]:
    """The factory of module:factory, and its name; the present folder is searched too."""
    where, colon, name = place.rpartition(":")
    if not (where and colon and name.isidentifier()):
        raise ValueError(f"the market is {place!r}, wanted module:factory: {EXAMPLE}.")
    module = _module(where)
    factory = getattr(module, name, None)
    if callable(factory):
        return factory, name
    known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    raise unknown(f"function of {where}", name, known)


def _module(where: str) -> ModuleType:
    """The module of that name, or of that file; its folder stays on the path, as pickles want."""
    file = Path(where)
    if file.suffix == ".py" and not file.is_file():
        raise ValueError(f"the market is in {where!r}, which is no file. Give {EXAMPLE}.")
    folder, name = (file.parent, file.stem) if file.suffix == ".py" else (Path(), where)
    sys.path.insert(0, str(folder.resolve()))
    try:
        # a name that begins with a dot is relative to a package, and there is none
        module = None if name.startswith(".") else importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports another one that is not
        module = None
    if module is None:
        raise ValueError(f"there is no module {name!r} here. Give {EXAMPLE}.")
    if file.suffix == ".py" and Path(module.__file__ or "").resolve() != file.resolve():
        raise ValueError(
            f"the market is in {where!r}, but the name {name!r} is that of another module, which"
            " Python imports instead; rename the file."
        )
    return module


def arguments_of(factory: Callable[..., Any], name: str, words: Sequence[str]) -> dict[str, Any]:
    """The factory's arguments; ValueError for one that it lacks, or needs and does not get.

    >>> def make(n_agents, cost=1.0): ...
    >>> arguments_of(make, "make", ("n_agents=3",))
    {'n_agents': 3}
    """
    arguments: dict[str, Any] = {}
    known = keywords(factory, 0)
    for word in words:
        key, text = key_and_text(word)
        if known is not None and key not in known:
            raise unknown(f"argument of {name}", key, known)
        if key in arguments:
            raise twice(word, key)
        arguments[key] = value_of(text)
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}; give it by --arguments name=value.") from error
    return arguments


def copies_of(env: MarketParallelEnv) -> Make:
    """A function that makes fresh copies; ValueError for a market that cannot be copied."""
    try:
        blueprint = pickle.dumps(env)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        fix = "define its classes and functions in a module, not inside a function"
        raise ValueError(f"the market cannot be pickled: {error}; {fix}.") from error
    return lambda: pickle.loads(blueprint)


def fault_of(check: Callable[[Make, int], None], make: Make, seed: int) -> str:
    """The fault that a check finds, in one line; "" for none."""
    try:
        check(make, seed)
    except (Exception, SystemExit) as error:  # a market's own code may raise anything
        words = " ".join(str(error).split())
        if isinstance(error, AssertionError) and words:
            return words
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {words} ({frame.filename}, line {frame.lineno})"
    return ""
