"""The markets of the library in words: what they are, and what their arguments mean."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from marketenv.core.lookup import lookup
from marketenv.core.market import Market
from marketenv.envs.policy_files import PREFIX, load_trained, shipped
from marketenv.markets.table import MARKETS, make_market, short_name
from marketenv.metrics import Interval

WIDEST = 100  # columns
# several groups of arguments may stand in one line, with three spaces between them
GROUP = re.compile(r"(?:^|;   )(\w+(?:, \w+)*): +", re.M)
DOORS = {
    "render_mode": "rgb_array (a picture), ansi (words), human (shown while it is played)",
    "action_levels": "points of a grid for learners that need discrete actions; None: boxes",
}


class Group(NamedTuple):
    """Arguments that are explained together: their defaults by name, and the meaning."""

    defaults: dict[str, Any]
    meaning: str


def list_markets() -> Iterator[str]:
    """Lines on each market: what it is, and its roles and stages with default arguments."""
    for name in MARKETS:
        yield from head(name)
        yield ""
    yield "marketenv show NAME explains the arguments of a market."


def head(name: str) -> Iterator[str]:
    """Lines on one market, with its default arguments."""
    market = make_market(name)
    yield name
    yield from wrapped(about(name))
    for line in people_and_stages(market):
        yield from wrapped(line)
    if names := ", ".join(f"{PREFIX}{policy}" for policy in shipped(name)):
        yield from wrapped(f"trained policies: {names}")


def people_and_stages(market: Market) -> Iterator[str]:
    """Lines on the roles of a market, with their counts, and on its rounds."""
    yield "roles: " + ", ".join(f"{role.name} ({role.count})" for role in market.roles)
    stages = ", ".join(stage.name for stage in market.stages)
    yield f"stages of a round: {stages}; rounds of an episode: {market.horizon}"


def about(name: str) -> str:
    """The first sentence of the market's module.

    >>> about("reference_v0").partition(":")[0]
    'Reference markets with known equilibria'
    """
    text = inspect.cleandoc(import_module(f"marketenv.{name}").__doc__ or "")
    return " ".join(text.partition("\n\n")[0].split())


def show_market(name: str) -> Iterator[str]:
    """Lines on one market and on each of its arguments; ValueError for an unknown market."""
    name = short_name(name)
    lookup(MARKETS, name, "market")
    yield from head(name)
    yield ""
    yield f"Arguments of make_market({name!r}, ...), parallel_env, make_vec and the other doors:"
    for group in argument_groups(name):
        yield from _explained(group)
    yield ""
    yield "Arguments of the doors that show pictures or need grids of actions:"
    for door, meaning in DOORS.items():
        yield from _explained(Group({door: None}, meaning))
    yield ""
    yield "Give one on a command line as key=value, in Python as a keyword."
    yield from trained_policies(name)


def trained_policies(name: str) -> Iterator[str]:
    """Lines on each policy that is shipped for a market: its training and its utility."""
    policies = {policy: load_trained(policy).facts for policy in shipped(name)}
    if policies:
        yield ""
        yield "Trained policies, for opponents=... of every door:"
    for policy, facts in policies.items():
        given = ", ".join(f"{key}={value!r}" for key, value in facts.arguments.items())
        about = f"{facts.role}, {facts.algorithm}, {facts.steps} steps, {given or 'defaults'}"
        yield from wrapped(PREFIX + policy, "  ")
        yield from wrapped(about + _earnings(facts.utility), "      ")


def _earnings(utility: Mapping[str, Any] | None) -> str:
    """Words on the utility of a policy beside truth; none where it is not known."""
    if utility is None:
        return ""
    gain = Interval(utility["difference"], utility["low"], utility["high"])
    return (
        f"; utility per episode {utility['learned']:.3f} money, truth {utility['truthful']:.3f}"
        f" money, gain over truth {gain} money"
    )


def argument_groups(name: str) -> list[Group]:
    """Names, defaults and meanings of a market's arguments, from the docstring of its config."""
    config = lookup(MARKETS, name, "market").config
    defaults = {
        field.name: field.default
        if field.default_factory is dataclasses.MISSING
        else field.default_factory()
        for field in dataclasses.fields(config)
    }
    _, _, text = inspect.cleandoc(config.__doc__ or "").partition("\n\n")
    parts = GROUP.split(text)[1:]
    return [
        Group({key: defaults[key] for key in names.split(", ")}, _plain(meaning))
        for names, meaning in zip(parts[::2], parts[1::2], strict=True)
    ]


def _plain(text: str) -> str:
    """A meaning as one line, with names in simple quotation marks."""
    return " ".join(text.replace("``", "'").split())


def _explained(group: Group) -> Iterator[str]:
    values = ", ".join(f"{name}={value!r}" for name, value in group.defaults.items())
    yield from wrapped(values, "  ")
    yield from wrapped(group.meaning, "      ")


def wrapped(text: str, indent: str = "    ") -> list[str]:
    """The text in lines as wide as the terminal, 100 columns at most."""
    width = max(40, min(WIDEST, shutil.get_terminal_size().columns))
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
