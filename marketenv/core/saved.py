"""What a saved batch says of its market, and whether a file holds a whole batch of this market."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marketenv.core import storage
from marketenv.core.market import Market, action_width, agent_names
from marketenv.core.words import plain

Facts = dict[str, str | None]  # words of each argument; None where they cannot be compared

PLACE = ("device", "root", "download")  # where a market runs and its files lie does not count
DEALT = ("data", "partition", "data_options")  # what a source has made of them counts in their place
ABOUT = {"market": dict, "stage": int}  # a header's facts
SHOWN = 300  # letters of an argument in an error


@dataclass(frozen=True)
class Saved:
    """A running batch as a file holds it; what follows from the seeds, such as data, is not in it (see ``tree.reopened``).

    actions: of this round's earlier stages   each [markets, agents, width]
    infos:   the last round's facts by name, each [markets, agents];   base, episode: what its seeds are made of   [markets]
    ended:   which markets are over, and have not begun their next episodes   [markets]
    """

    state: Any
    actions: tuple[Tensor, ...]
    infos: dict[str, Tensor]
    base: Tensor  # not yet checked where it was just read
    episode: Tensor
    ended: Tensor

    @property
    def over(self) -> bool:
        """Whether all markets are over, so that nothing is quoted."""
        return bool(self.ended.all())


def facts_of(market: Market) -> Facts:
    """Kind and arguments of a market in words (see ``plain``), equal for markets that may share a file.

    A market of one's own without a config is known by all that it holds; one with a ``source`` by the data in it, wherever
    they lie. Where it runs does not count.
    """
    config, kind = getattr(market, "config", None), type(market)
    if config is None:
        return {"market": kind.__name__, "content": plain(market)}
    source = getattr(market, "source", None)
    left_out = PLACE if source is None else (*PLACE, *DEALT)
    held = {name: value for name, value in vars(config).items() if name not in left_out}
    if source is not None:
        held["data"] = source
    code = {} if kind.__module__.startswith("marketenv.") else {"code": plain(kind)}
    return {"market": kind.__name__} | code | {name: plain(value) for name, value in held.items()}


def describe(market: Market) -> str | None:
    """Kind and arguments of a market in one line; None where one of them cannot be compared."""
    facts = facts_of(market)
    if None in facts.values():
        return None
    return f"{facts.pop('market')}({', '.join(f'{name}={words}' for name, words in facts.items())})"


def write(path: str | Path, facts: Facts, saved: Saved) -> None:
    """Write a batch to a file; ValueError where no file can be written."""
    extra = {"base": saved.base, "episode": saved.episode, "ended": saved.ended}
    extra |= {f"actions.{k}": actions for k, actions in enumerate(saved.actions)}
    extra |= {f"info.{name}": values for name, values in saved.infos.items()}
    storage.save(path, saved.state, {"market": facts, "stage": len(saved.actions)}, extra)


def read(path: str | Path, market: Market, facts: Facts, n_markets: int) -> Saved:
    """Read a batch of this market; ValueError for a damaged, foreign or impossible file."""
    like = market.reset(torch.zeros(1, dtype=torch.int64, device=market.device))  # one market shows how each is made up
    state, about, extra = storage.load(path, like, market.device, partial(_check_about, path, facts), n_markets)
    played = about["stage"]
    if not 0 <= played < len(market.stages):
        raise _impossible(path, f"{played} of the round's {len(market.stages)} stages are played")
    infos = [f"info.{name}" for name in market.report_type.INFO]
    wanted = {"base", "episode", "ended", *infos, *(f"actions.{k}" for k in range(played))}
    if extra.keys() != wanted:
        raise _impossible(path, f"it holds {', '.join(sorted(extra)) or 'nothing'}, wanted {', '.join(sorted(wanted))}")
    saved = Saved(
        state=state,
        actions=tuple(extra[f"actions.{k}"] for k in range(played)),
        infos={name: extra[f"info.{name}"] for name in market.report_type.INFO},
        base=extra["base"],
        episode=extra["episode"],
        ended=extra["ended"],
    )
    _check_extra(path, saved, market, n_markets)
    _check_time(path, saved, market)
    return saved


def _impossible(path: str | Path, what: str) -> ValueError:
    return ValueError(f"{path} is no whole saved market: {what}. Use a file as save() wrote it.")


def _check_about(path: str | Path, facts: Facts, about: dict[str, Any]) -> None:
    """Refuse a header that ``write`` does not write, and one that tells of another market."""
    if {name: type(fact) for name, fact in about.items()} != ABOUT:
        raise _impossible(path, "its header is none that save() writes")
    _check_facts(path, about["market"], facts)


def _check_facts(path: str | Path, held: Mapping[str, Any], facts: Facts) -> None:
    """Refuse a file of another market, of other arguments, and of arguments that cannot be compared."""
    if held.get("market") != facts["market"]:
        raise ValueError(f"{path} holds a {held.get('market')}, wanted a {facts['market']}. Build the market that was saved.")
    names = dict.fromkeys((*facts, *held))
    other = [f"{n}={_short(held.get(n))}, wanted {n}={_short(facts.get(n))}" for n in names if held.get(n) != facts.get(n)]
    if other:
        raise ValueError(
            f"{path} holds a {facts['market']} with {'; '.join(other)}. "
            "Build the market with the arguments that it was saved with."
        )
    unknown = [name for name in names if facts.get(name) is None]
    if unknown:
        raise ValueError(
            f"{path} cannot be checked against this market: {', '.join(unknown)} holds an object that cannot be "
            "compared, such as a lock or a generator. Give its class a __getstate__ that returns what tells it from others."
        )


def _short(words: Any) -> str:
    text = str(words)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... [{hashlib.sha256(text.encode()).hexdigest()[:16]}]"


def _check_extra(path: str | Path, saved: Saved, market: Market, n_markets: int) -> None:
    """Refuse seeds, actions and infos of other shapes and types, and actions that are not finite."""
    agents = len(agent_names(market))
    rows = {"base": saved.base, "episode": saved.episode, "ended": saved.ended}
    pairs = {f"info {name}": values for name, values in saved.infos.items()}
    moves = {f"actions of stage {k}": actions for k, actions in enumerate(saved.actions)}
    shapes = {(n_markets,): rows, (n_markets, agents): pairs, (n_markets, agents, action_width(market)): moves}
    for shape, tensors in shapes.items():
        for name, tensor in tensors.items():
            kind = torch.bool if name == "ended" else torch.int64
            whole = tensor.dtype == kind if name in rows else not tensor.is_complex()
            if tensor.shape != shape or not whole or (name in moves and not tensor.is_floating_point()):
                raise _impossible(path, f"{name} is {tensor.dtype} {list(tensor.shape)}, wanted shape {list(shape)}")
    if not all(bool(actions.isfinite().all()) for actions in saved.actions):
        raise _impossible(path, "an action is not finite")


def _check_time(path: str | Path, saved: Saved, market: Market) -> None:
    """Refuse negative seeds, and rounds that no episode of this market has."""
    rounds, ended = saved.state.round, saved.ended
    if bool(((saved.base < 0) | (saved.episode < 0)).any()):
        raise _impossible(path, "a seed or an episode's number is negative")
    late = rounds >= market.horizon
    if bool(((rounds < 0) | (rounds > market.horizon) | (late & ~ended) | (ended & (rounds < 1))).any()):
        raise _impossible(path, f"rounds are {rounds.tolist()}, ended is {ended.tolist()}, and the horizon is {market.horizon}")
    if saved.actions and saved.over:
        raise _impossible(path, "all markets are over in the middle of a round")
