"""What a phase gives back, which may be a user's own: taken as it is wanted, or refused by the
phase's name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core import tree
from marketenv.core.floor import Floor
from marketenv.core.ledger import Flow, Ledger, check_booked
from marketenv.core.market import Market, Move, Outcome, Phase, agent_names
from marketenv.core.parts import made, taken


def library(phase: Phase) -> bool:
    """Whether a phase is this library's, which edits nothing in place and keeps what it
    promises.
    """
    return type(phase).__module__.startswith("marketenv.")


def handed(phase: Phase, *parts: Any) -> tuple[Any, ...]:
    """What a phase is given: copies where it is a user's own, so that an edit in place changes
    nothing of the market's.
    """
    return parts if library(phase) else tuple(tree.copied(part) for part in parts)


def back(phase: Phase, value: Any, said: str) -> Any:
    """What a phase made, with memory of its own; ValueError where it is no tree of tensors."""
    if library(phase):
        return value
    try:
        tree.leaves(value)
    except TypeError as error:
        raise ValueError(f"{said} what is no tree of tensors: {error}") from error
    return tree.copied(value)


def acted(
    phase: Phase, before: Floor, given_floor: Floor, own: Any, result: Any
) -> tuple[Floor, Any]:
    """The floor, with the outcome among what is done, and the memory that ``act`` has to return; a
    phase may be a user's own.

    before: the floor before the phase;
        given_floor: what the phase was handed, which may be a copy;   own: its memory before
    """
    said = f"act of phase {phase.name!r}"
    if not isinstance(result, tuple) or len(result) != 3:
        kind = (
            f"a tuple of {len(result)}"
            if isinstance(result, tuple)
            else f"a {type(result).__name__}"
        )
        raise ValueError(
            f"{said} returned {kind}, wanted (floor, own, outcome). Nothing was changed."
        )
    floor, outcome = made(result[0], Floor, said), made(result[2], phase.outcome, said)
    _check_facts(phase, outcome, before, said)
    check_kept(given_floor, floor, said)
    if library(phase):
        return floor.but(done={**before.done, phase.name: outcome}), result[1]
    ended = taken(floor.ended, f"{said} gave ended", before.ended, "markets", torch.bool)
    present = taken(
        floor.present, f"{said} gave present", before.present, "markets, agents", torch.bool
    )
    ended = before.ended | ended  # what is over stays over
    after = _apart(before, given_floor, floor, ended, present, said)
    memory, done = (
        _memory(own, result[1], said),
        {**before.done, phase.name: _outcome(before, outcome, said)},
    )
    return after.but(done=done), memory


def _check_facts(phase: Phase, outcome: Outcome, before: Floor, said: str) -> None:
    """Refuse facts that the phase did not declare, and facts without a number for every agent."""
    kind, wanted, facts = type(outcome), phase.outcome.FACTS, outcome.facts()
    if not isinstance(facts, Mapping) or set(facts) != set(wanted):
        told = ", ".join(facts) if isinstance(facts, Mapping) else f"a {type(facts).__name__}"
        raise ValueError(
            f"{said} gave a {kind.__name__} with the facts {told or 'none'}, wanted"
            f" {', '.join(wanted) or 'none'}: say outcome = {kind.__name__} in"
            f" {type(phase).__name__}."
        )
    like = before.present
    for name, value in facts.items():
        if not _fits(value, like.shape, like.device):
            taken(value, f"{said} gave the fact {name!r}", like, "markets, agents", torch.float64)


# --- what a phase of one's own gives back ---------------------------------------------------------


def _apart(
    before: Floor, given_floor: Floor, after: Floor, ended: Tensor, present: Tensor, said: str
) -> Floor:
    """The floor before the phase with what the phase may change, in memory of its own."""
    flows = {name: flow for name, flow in after.flows.items() if name not in before.flows}
    for name, flow in flows.items():
        if not isinstance(flow, Flow):
            raise ValueError(
                f"{said} gave payments {name!r} as a {type(flow).__name__}, wanted them by"
                " floor.pay."
            )
    terms = {name: {**before.terms.get(name, {})} for name in after.terms}
    for name, by_role in after.terms.items():
        for role, value in by_role.items():
            if role not in terms[name]:
                like = before.ledger.cash[:, before.where(role)]
                terms[name][role] = taken(
                    value, f"the term {name!r} came", like, f"markets, {role}", torch.float64
                )
    ledger = before.ledger
    if flows:
        credit = (
            ledger.credit
            if after.ledger.credit is given_floor.ledger.credit
            else after.ledger.credit
        )
        ledger = Ledger(tree.copied(after.ledger.cash), credit, tree.copied(after.ledger.net))
        check_booked(before.ledger, ledger, flows, before.rows)
    for name in ("models", "types"):
        old, new = getattr(before, name), getattr(after, name)
        if _structure(old, said) != _structure(new, said):
            raise ValueError(
                f"{said} gave {name} of another structure, wanted"
                f" {_structure(old, said) or 'none'}: put what is there on the floor at the start,"
                " by People(furnish=...), and keep its shapes and types. Nothing was changed."
            )
    fresh = tree.copied(
        {"models": dict(after.models), "types": dict(after.types), "flows": flows, "terms": terms}
    )
    flows = {**before.flows, **fresh["flows"]}
    fresh |= {
        "flows": flows,
        "terms": fresh["terms"],
        "ended": ended,
        "present": tree.copied(present),
    }
    return dataclasses.replace(before, ledger=ledger, **fresh)


def _memory(before: Any, after: Any, said: str) -> Any:
    """A phase's memory, which keeps one structure; ValueError otherwise."""
    old, new = (
        _structure(before, f"{said} had a memory"),
        _structure(after, f"{said} gave a memory"),
    )
    if old != new:
        raise ValueError(
            f"{said} gave a memory of {new or 'nothing'}, wanted {old or 'nothing'} as before: one"
            " structure in all rounds, which begin(floor) returns first. Nothing was changed."
        )
    return tree.copied(after)


def _outcome(before: Floor, outcome: Outcome, said: str) -> Outcome:
    """An outcome whose tensors lead with the market axis; ValueError otherwise."""
    try:
        parts = tree.leaves(outcome)
    except TypeError as error:
        raise ValueError(f"{said} gave an outcome that is no tree of tensors: {error}") from error
    for name, tensor in parts.items():
        if tensor.dim() == 0 or len(tensor) != len(before.seeds):
            raise ValueError(
                f"{said} gave {name!r} of its outcome of shape {list(tensor.shape)}, wanted"
                f" {len(before.seeds)} markets first: one call is for all markets, so keep that"
                " axis."
            )
    return tree.copied(outcome)


def _structure(value: Any, said: str) -> dict[str, tuple[str, list[int]]]:
    """Types and shapes after the market axis, by name; ValueError for what is no tree."""
    try:
        parts = tree.leaves(value)
    except TypeError as error:
        raise ValueError(f"{said} of what is no tree of tensors: {error}") from error
    return {
        name: (str(t.dtype).removeprefix("torch."), list(t.shape[1:])) for name, t in parts.items()
    }


# --- what no phase may change ---------------------------------------------------------------------

KEPT = ("seeds", "round", "rows", "horizon", "cut", "world")


def check_kept(before: Floor, after: Floor, said: str) -> None:
    """Refuse a floor on which a phase changed what is not its own: time, seeds, what earlier
    phases left, the books by hand.
    """
    changed = [name for name in KEPT if getattr(after, name) is not getattr(before, name)]
    for name in ("flows", "terms", "done"):
        old, new = getattr(before, name), getattr(after, name)
        if new is old:
            continue
        changed += [f"{name}[{key!r}]" for key in old if not _same(name, old[key], new.get(key))]
    if after.done is not before.done and set(after.done) - set(before.done):
        changed.append("done")
    if len(after.flows) == len(before.flows) and after.ledger is not before.ledger:
        changed.append("ledger")
    if changed:
        raise ValueError(
            f"{said} changed {', '.join(changed)} of the floor, wanted it as it was: pay by"
            " floor.pay, add by floor.term."
        )


def _same(name: str, old: Any, new: Any) -> bool:
    """Whether what an earlier phase left is still there; other roles may join a term."""
    if name != "terms":
        return old is new
    return isinstance(new, Mapping) and all(new.get(role) is value for role, value in old.items())


def _fits(value: Any, shape: tuple[int, ...], device: torch.device) -> bool:
    """Whether a value is a dense tensor of real numbers, of any type, of a shape and device;
    ``taken`` says what is wrong.
    """
    plain = isinstance(value, Tensor) and not value.is_complex() and value.layout == torch.strided
    return plain and value.shape == shape and value.device == device


def check_closed(market: Market, floor: Floor, rewards: Tensor) -> None:
    """Refuse rewards that are not finite, and money left in an account that has to be empty."""
    left = [floor.cash(name) != 0 for name in market.people.empty]
    bad = torch.cat([~rewards.isfinite(), *left], 1)
    if not bool(bad.any()):
        return
    if not bool(rewards.isfinite().all()):
        place, agent = (~rewards.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"the round gave a reward of {float(rewards[place, agent])} to"
            f" {agent_names(market)[agent]} of market {place}, wanted a finite number: a part of"
            " the market, such as a gain or a payment, returned numbers not finite or too large."
        )
    name = next(
        name for name, some in zip(market.people.empty, left, strict=True) if bool(some.any())
    )
    place, row = (floor.cash(name) != 0).nonzero()[0].tolist()
    raise ValueError(
        f"account {name}_{row} of market {place} ends the round with"
        f" {float(floor.cash(name)[place, row])!r}, wanted exactly 0: pay what is left back by its"
        f" balance, floor.cash({name!r}). Nothing was changed."
    )


def packed(
    phase: Phase, move: Move, shown: Any, floor: Floor, all_of_them: bool = True
) -> Float[Tensor, "markets agents dim"]:
    """The fields that a phase shows a role, in one vector; a phase may be a user's own."""
    said, parts = f"show of phase {phase.name!r} gave {move.name}", {}
    fields = shown.get(move.name, {}) if isinstance(shown, Mapping) else None
    if not isinstance(fields, Mapping):
        raise ValueError(
            f"{said} no fields by name, wanted {{{move.name!r}:"
            f" {{{', '.join(map(repr, move.observation.slices))}}}}}."
        )
    if fields.keys() - move.observation.slices.keys() or (
        all_of_them and fields.keys() != move.observation.slices.keys()
    ):
        raise ValueError(
            f"{said} {', '.join(fields) or 'nothing'}, wanted {', '.join(move.observation.slices)}."
        )
    # the length of a tensor takes longer than its shape
    n_markets, own = floor.seeds.shape[0], not library(phase)
    for name, where in move.observation.slices.items():
        shape = (n_markets, move.count, where.stop - where.start)
        value = fields[name] if name in fields else floor.ended.new_zeros(shape)
        value = (
            value[..., None]
            if shape[2] == 1 and isinstance(value, Tensor) and value.dim() == 2
            else value
        )
        if not _fits(value, shape, floor.ended.device):
            taken(
                value,
                f"{said} {name!r}",
                shaped(floor, *shape[1:]),
                "markets, agents, numbers",
                torch.float64,
            )
        if own and bool(value.isnan().any()):
            raise ValueError(
                f"{said} NaN as {name!r}, wanted numbers in [{move.observation[name].low:g}, "
                f"{move.observation[name].high:g}]. Nothing was changed."
            )
        parts[name] = value.detach() if value.requires_grad else value
    return move.observation.pack(**parts)


def shaped(floor: Floor, *shape: int) -> Tensor:
    """A tensor of this shape after the market axis, of the floor's device; its numbers mean
    nothing and take no memory.
    """
    zero: Tensor = floor.ended.new_zeros(())
    return zero.expand(floor.seeds.shape[0], *shape)
