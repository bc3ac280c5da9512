"""Spies for the tests: which part of the floor each phase reads, and what each draws random
numbers for.
"""

import sys
from collections import defaultdict
from functools import wraps

import torch

from marketenv.core import draws, rounds
from marketenv.core.floor import Floor
from marketenv.core.market import agent_names
from marketenv.core.within import Within

METHODS = ("begin", "quote", "show", "show_end", "act")  # those of a round
# of the floor
PARTS = ("world", "flows", "terms", "outcomes", "present", "ended", "ledger", "models", "types")
# whose reading is none of a phase
SILENT = ("marketenv.core.", "dataclasses", "jaxtyping", "beartype")


class Log:
    """What each phase did, by its name; "people" is who furnishes the floor. Nothing is noted
    while no phase is at work.
    """

    def __init__(self):
        self.phase, self.round = "", 0
        self.reads = defaultdict(set)
        # by phase, purpose and round: the keys
        self.drawn = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))

    def keys(self, phase, but=frozenset()):
        """All keys that a phase drew by, by round; ``but`` for some purposes."""
        by_round = defaultdict(set)
        for purpose, rounds_ in self.drawn[phase].items():
            for number, keys in rounds_.items() if purpose not in but else ():
                by_round[number] |= keys
        return by_round

    def read(self, what):
        if self.phase:
            self.reads[self.phase].add(what)


LOG = Log()


class Noted(dict):
    """A dictionary of the floor that notes which of its entries are read; copying it reads none."""

    prefix = ""

    @classmethod
    def of(cls, prefix, entries):
        noted = cls(entries)
        noted.prefix = prefix
        return noted

    def __getitem__(self, key):
        value = super().__getitem__(key)
        if self.prefix == "types":
            return Noted.of(f"types.{key}", value)
        LOG.read(f"{self.prefix}.{key}")
        return value


class Watched(Floor):
    """A floor that notes what is read of it."""

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        reader = sys._getframe(1).f_globals.get("__name__", "")
        if name not in PARTS or reader.startswith(SILENT) or reader == __name__:
            return value
        if name in ("models", "types"):
            return Noted.of(name, value)
        LOG.read(name)
        return value

    def of(self, kind, **said):
        LOG.read(kind.__name__)
        return super().of(kind, **said)

    def cash(self, who):
        LOG.read(f"cash of {who}")
        return super().cash(who)

    def purse(self, who):
        LOG.read(f"purse of {who}")
        return super().purse(who)


def watched(floor):
    return (
        floor
        if isinstance(floor, Watched)
        else Watched(**{name: vars(floor)[name] for name in Floor.__dataclass_fields__})
    )


def played(phase):
    """The phase itself; of one that plays a phase of a smaller market, that phase."""
    return phase.phase if isinstance(phase, Within) else phase


def watch(market, monkeypatch):
    """Let a market's phases note what they read and draw; the log."""
    LOG.__init__()
    fold = draws.fold

    @wraps(fold)
    def noting(keys, *parts):
        made = fold(keys, *parts)
        purpose = " ".join(part for part in parts if isinstance(part, str))
        if purpose and LOG.phase:
            LOG.drawn[LOG.phase][purpose][LOG.round].update(made.flatten().tolist())
        return made

    def at_work(phase, name):
        method = getattr(phase, name)

        def noted(floor, *given):
            LOG.phase, LOG.round = phase.name, int(floor.round[0])
            try:
                return method(watched(floor), *given)
            finally:
                LOG.phase = ""

        return noted

    monkeypatch.setattr(draws, "fold", noting)
    for phase in map(played, market.phases):
        for name in METHODS:
            monkeypatch.setattr(phase, name, at_work(phase, name), raising=False)
    return LOG


def play(market, policy="random", n_markets=2, seed=0):
    """Play an episode, and look at its end."""
    policies = dict.fromkeys(agent_names(market), market.policies[policy])
    LOG.phase = "people" if market.people.furnish is not None else ""
    floor = market.people.open(seed + torch.arange(n_markets), market.horizon, market.cut)
    LOG.phase = ""
    now = rounds.begun(
        market, rounds.Situation(floor, {phase.name: phase.begin(floor) for phase in market.phases})
    )
    while now.playing:
        rounds.observe(market, now)
        now, _ = rounds.advance(market, now, rounds.act(market, policies, now))
    rounds.observe_end(market, now)
