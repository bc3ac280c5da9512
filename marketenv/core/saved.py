"""Files of running batches: facts about the market, and checks that a file is of this market."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marketenv.core import rounds, storage, tree
from marketenv.core.batch_state import BatchState
from marketenv.core.episodes import EpisodeSeeds
from marketenv.core.finished import Finished
from marketenv.core.floor import Floor
from marketenv.core.market import Market, Move
from marketenv.core.numbers import has_nan
from marketenv.core.words import plain

Facts = dict[str, str | None]  # words of each argument; None where they cannot be compared
TypedShape = tuple[tuple[int, ...], torch.dtype | None]

# where a market runs and its files lie does not count
PLACE = ("device", "root", "download")
# the data that a source has dealt out count in place of these
DEALT = ("data", "partition", "data_options")
ABOUT = {"market": dict, "stage": int}  # a header's facts
SHOWN = 300  # letters of an argument in an error


def facts_of(market: Market) -> Facts:
    """Kind and arguments of a market in words (see ``plain``); equal words may share a file.

    A market without a config is known by all that it holds; one with a ``source`` by the data in
    it, wherever they lie. Where it runs does not count.
    """
    if market.config is None:
        return {"market": market.name, "content": plain(market)}
    left_out = PLACE if market.source is None else (*PLACE, *DEALT)
    arguments = {name: value for name, value in vars(market.config).items() if name not in left_out}
    if market.source is not None:
        arguments["data"] = market.source
    classes = [type(phase) for phase in market.phases]
    own = [kind for kind in classes if not kind.__module__.startswith("marketenv.")]
    code = {"code": plain(own)} if own else {}
    words = {name: plain(value) for name, value in arguments.items()}
    return {"market": market.name} | code | words


def describe(market: Market) -> str | None:
    """Kind and arguments of a market in one line; None where one of them cannot be compared."""
    facts = facts_of(market)
    if None in facts.values():
        return None
    return f"{facts.pop('market')}({', '.join(f'{name}={words}' for name, words in facts.items())})"


def write(path: str | Path, facts: Facts, saved: BatchState) -> None:
    """Write a batch to a file; ValueError where no file can be written.

    Warns where an argument of the market cannot be compared, so that no market may load the file.
    """
    unknown = [name for name, words in facts.items() if words is None]
    if unknown:
        warning = (
            f"{', '.join(unknown)} holds an object that cannot be compared, so load() will refuse"
            f" {path}."
        )
        # shown at the line that called the door's save, which called the batch's
        warnings.warn(warning, stacklevel=4)
    episodes, finished = saved.episodes, saved.finished
    extra = {"base": episodes.base, "episode": episodes.number}
    extra |= {"ended": saved.over, "earned": finished.earned}
    for k, stage in enumerate(saved.moves):
        extra |= {f"actions.{k}.{role}": actions for role, actions in stage.items()}
    extra |= {f"info.{name}": values for name, values in finished.facts.items()}
    storage.save(path, saved.start, {"market": facts, "stage": len(saved.moves)}, extra)


def read(path: str | Path, market: Market, facts: Facts, n_markets: int) -> BatchState:
    """Read a batch of this market; ValueError for a damaged, foreign or impossible file."""
    # one market shows the structure of each
    like = rounds.opened(market, torch.zeros(1, dtype=torch.int64, device=market.device))
    check = partial(_check_about, path, facts)
    start, about, extra = storage.load(path, like, market.device, check, n_markets)
    played = about["stage"]
    if not 0 <= played < len(market.stages):
        raise _impossible(path, f"{played} of the round's {len(market.stages)} stages are played")
    _check_extra(path, extra, market, played, n_markets)
    stages = [{r: f"actions.{k}.{r}" for r in market.stages[k].moves} for k in range(played)]
    saved = BatchState(
        start=start,
        moves=tuple({r: extra[name] for r, name in stage.items()} for stage in stages),
        finished=Finished({name: extra[f"info.{name}"] for name in market.facts}, extra["earned"]),
        episodes=EpisodeSeeds(extra["base"], extra["episode"]),
        over=extra["ended"],
    )
    _check_time(path, saved, market)
    _check_numbers(path, start.floor, saved.finished.earned)
    return dataclasses.replace(saved, start=tree.reopened(start, start.floor.seeds))


def _impossible(path: str | Path, what: str) -> ValueError:
    return ValueError(f"{path} is no whole saved market: {what}. Use a file as save() wrote it.")


def _check_about(path: str | Path, facts: Facts, about: dict[str, Any]) -> None:
    """Refuse a header that ``write`` does not write, and that of another market."""
    if {name: type(fact) for name, fact in about.items()} != ABOUT:
        raise _impossible(path, "its header is none that save() writes")
    _check_facts(path, about["market"], facts)


def _check_facts(path: str | Path, saved: Mapping[str, Any], facts: Facts) -> None:
    """Refuse a file of another market or arguments, and arguments that cannot be compared."""
    if saved.get("market") != facts["market"]:
        raise ValueError(
            f"{path} holds a {saved.get('market')}, wanted a {facts['market']}. Build the market"
            " that was saved."
        )
    names = dict.fromkeys((*facts, *saved))
    differences = [line for n in names for line in _differences(n, saved.get(n), facts.get(n))]
    if differences:
        raise ValueError(
            f"{path} holds a {facts['market']} with {'; '.join(differences)}. "
            "Build the market with the arguments that it was saved with."
        )
    unknown = [name for name in names if facts.get(name) is None]
    if unknown:
        raise ValueError(
            f"{path} cannot be checked against this market: {', '.join(unknown)} holds an object"
            " that cannot be compared, such as a lock or a generator. Give its class a"
            " __getstate__ that returns what tells it from others."
        )


def _differences(name: str, saved: Any, wanted: Any) -> list[str]:
    """Where two arguments differ; of two objects of one class, their unequal fields."""
    if saved == wanted:
        return []
    mine, other = _fields(saved), _fields(wanted)
    if mine.keys() == other.keys() and len(mine) > 1:
        parts = [_differences(f"{name}.{part}", mine[part], other[part]) for part in mine]
        return [line for lines in parts for line in lines]
    return [f"{name}={_short(saved)}, wanted {name}={_short(wanted)}"]


def _fields(words: Any) -> dict[str, str]:
    """The fields of an object in the words of ``plain``, and its class as a key; empty for others.

    >>> _fields("home.Sale(price=(1, 2), name='a, b')")
    {'home.Sale': '', 'price': '(1, 2)', 'name': "'a, b'"}
    """
    whole = re.fullmatch(r"([\w.]+)\((.*)\)", str(words), re.DOTALL)
    if not whole:
        return {}
    parts, depth = [""], 0
    # a quoted text, or a letter
    for token in re.findall(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|.", whole[2], re.DOTALL):
        depth += (token in "([{") - (token in ")]}")
        parts = [*parts, ""] if token == "," and depth == 0 else [*parts[:-1], parts[-1] + token]
    pairs = [part.strip().partition("=") for part in parts]
    if not all(name.isidentifier() for name, *_ in pairs):
        return {}
    return {whole[1]: ""} | {name: value for name, _, value in pairs}


def _short(words: Any) -> str:
    text = str(words)
    if len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]}... [{hashlib.sha256(text.encode()).hexdigest()[:16]}]"


def _check_extra(
    path: str | Path, extra: Mapping[str, Tensor], market: Market, played: int, n_markets: int
) -> None:
    """Refuse tensors that ``write`` does not write, and actions outside their box."""
    moves: dict[str, Move] = {}
    for k, stage in enumerate(market.stages[:played]):
        moves |= {f"actions.{k}.{role}": move for role, move in stage.moves.items()}
    wanted = _wanted(market, moves, n_markets)
    if extra.keys() != wanted.keys():
        names = ", ".join(sorted(extra)) or "nothing"
        raise _impossible(path, f"it holds {names}, wanted {', '.join(sorted(wanted))}")
    for name, (shape, dtype) in wanted.items():
        tensor = extra[name]
        if tensor.shape != shape or tensor.is_complex() or tensor.dtype != (dtype or tensor.dtype):
            word = f" {dtype}" if dtype else ""
            raise _impossible(
                path, f"{name} is {tensor.dtype} {list(tensor.shape)}, wanted{word} {list(shape)}"
            )
    for name, move in moves.items():
        move.action.check(extra[name], f"{path} is no whole saved market: {name}")


def _wanted(market: Market, moves: Mapping[str, Move], n_markets: int) -> dict[str, TypedShape]:
    """Shape and type, None for any, of all tensors that ``write`` writes beside the state."""
    agents = (n_markets, market.people.count)
    wanted: dict[str, TypedShape] = {
        "base": ((n_markets,), torch.int64),
        "episode": ((n_markets,), torch.int64),
        "ended": ((n_markets,), torch.bool),
        "earned": (agents, torch.float64),
    }
    wanted |= {f"info.{name}": (agents, None) for name in market.facts}
    for name, move in moves.items():
        wanted[name] = (n_markets, move.count, move.action.dim), torch.float32
    return wanted


def _check_numbers(path: str | Path, floor: Floor, earned: Tensor) -> None:
    """Refuse NaN on the floor and in rewards; a phase may have it in its memory and its facts."""
    for name, tensor in {**tree.leaves(floor), "earned": earned}.items():
        if tensor.is_floating_point() and has_nan(tensor):
            raise _impossible(path, f"{name} has NaN")


def _check_time(path: str | Path, saved: BatchState, market: Market) -> None:
    """Refuse negative seeds, and rounds that no episode of this market has."""
    played, ended = saved.start.floor.round, saved.over
    if bool(((saved.episodes.base < 0) | (saved.episodes.number < 0)).any()):
        raise _impossible(path, "a seed or an episode's number is negative")
    if not torch.equal(saved.start.floor.seeds, saved.episodes.seeds):
        raise _impossible(path, "its seeds are not those of its episodes")
    late, outside = played >= market.horizon, (played < 0) | (played > market.horizon)
    if bool((outside | (late & ~ended) | (ended & (played < 1))).any()):
        raise _impossible(
            path,
            f"rounds are {played.tolist()}, ended is {ended.tolist()}, and the horizon is"
            f" {market.horizon}",
        )
    if bool((saved.start.floor.ended & ~ended).any()):
        raise _impossible(path, "a market that ended by a rule of its own goes on")
    if saved.moves and bool(ended.all()):
        raise _impossible(path, "all markets are over in the middle of a round")
