"""The contract between a market and its phases, which may be a user's own.

What a phase is handed is a copy where the phase is a user's own; what it returns is checked, and an
error names the phase.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from marketenv.core import tree
from marketenv.core.floor import Floor
from marketenv.core.ledger import Flow, Ledger, check_booked
from marketenv.core.market import Market, Outcome, Phase, agent_names
from marketenv.core.numbers import finite
from marketenv.core.parts import made, taken
from marketenv.core.phase import library


def handed(phase: Phase, *parts: Any) -> tuple[Any, ...]:
    """The arguments of a phase: copies where it is a user's own.

    An edit in place then changes nothing of the market's.
    """
    return parts if library(phase) else tuple(tree.copied(part) for part in parts)


def back(phase: Phase, value: Any, subject: str) -> Any:
    """The value that a phase returned, copied; ValueError where it is no tree of tensors."""
    if library(phase):
        return value
    try:
        tree.leaves(value)
    except TypeError as error:
        raise ValueError(f"{subject} what is no tree of tensors: {error}") from error
    return tree.copied(value)


def acted(
    phase: Phase, before: Floor, input_floor: Floor, own: Any, result: Any
) -> tuple[Floor, Any]:
    """The floor, with the phase's outcome on it, and the memory that ``act`` returned.

    before: the floor before the phase;   input_floor: that which ``act`` took, perhaps a copy
    own:    the phase's memory before;    result: all that ``act`` returned
    """
    subject = f"act of phase {phase.name!r}"
    if not isinstance(result, tuple) or len(result) != 3:
        count = f"a tuple of {len(result)}" if isinstance(result, tuple) else None
        raise ValueError(
            f"{subject} returned {count or f'a {type(result).__name__}'}, wanted (floor, own,"
            " outcome). Nothing was changed."
        )
    floor, outcome = made(result[0], Floor, subject), made(result[2], phase.outcome, subject)
    _check_facts(phase, outcome, before, subject)
    check_kept(input_floor, floor, subject)
    if library(phase):
        return floor.but(outcomes={**before.outcomes, phase.name: outcome}), result[1]
    after = _apart(before, input_floor, floor, subject)
    memory = _memory(own, result[1], subject)
    outcomes = {**before.outcomes, phase.name: _outcome(before, outcome, subject)}
    return after.but(outcomes=outcomes), memory


def _check_facts(phase: Phase, outcome: Outcome, before: Floor, subject: str) -> None:
    """Refuse facts that the phase did not declare, and facts without a number for every agent."""
    kind, wanted, facts = type(outcome), phase.outcome.FACTS, outcome.facts()
    if not isinstance(facts, Mapping) or set(facts) != set(wanted):
        names = ", ".join(facts) if isinstance(facts, Mapping) else f"a {type(facts).__name__}"
        raise ValueError(
            f"{subject} gave a {kind.__name__} with the facts {names or 'none'}, wanted"
            f" {', '.join(wanted) or 'none'}: say outcome = {kind.__name__} in"
            f" {type(phase).__name__}."
        )
    like = before.present
    for name, value in facts.items():
        if not fits(value, like.shape, like.device):
            taken(
                value, f"{subject} gave the fact {name!r}", like, "markets, agents", torch.float64
            )


# --- what a phase of one's own gives back ---------------------------------------------------------


def _apart(before: Floor, input_floor: Floor, after: Floor, subject: str) -> Floor:
    """The floor before the phase with all that the phase may change, copied."""
    bools = torch.bool
    ended = taken(after.ended, f"{subject} gave ended", before.ended, "markets", bools)
    present = taken(
        after.present, f"{subject} gave present", before.present, "markets, agents", bools
    )
    flows = {name: flow for name, flow in after.flows.items() if name not in before.flows}
    ledger = _ledger(before, input_floor, after, flows, subject)
    terms = _terms(before, after)
    _check_structure(before, after, subject)
    fresh = tree.copied(
        {"models": dict(after.models), "types": dict(after.types), "flows": flows, "terms": terms}
    )
    fresh["flows"] = {**before.flows, **fresh["flows"]}
    fresh["ended"] = before.ended | ended  # what is over stays over
    fresh["present"] = tree.copied(present)
    return dataclasses.replace(before, ledger=ledger, **fresh)


def _ledger(
    before: Floor, input_floor: Floor, after: Floor, flows: Mapping[str, Flow], subject: str
) -> Ledger:
    """The ledger after the phase's payments, copied; ValueError where they did not make it."""
    for name, flow in flows.items():
        if not isinstance(flow, Flow):
            raise ValueError(
                f"{subject} gave payments {name!r} as a {type(flow).__name__}, wanted them by"
                " floor.pay."
            )
    if not flows:
        return before.ledger
    cash, credit, net = after.ledger.cash, after.ledger.credit, after.ledger.net
    if credit is input_floor.ledger.credit:
        credit = before.ledger.credit
    ledger = Ledger(tree.copied(cash), credit, tree.copied(net))
    check_booked(before.ledger, ledger, flows, before.rows)
    return ledger


def _terms(before: Floor, after: Floor) -> dict[str, dict[str, Tensor]]:
    """The terms before the phase and those that it added, which are checked."""
    terms = {name: {**before.terms.get(name, {})} for name in after.terms}
    for name, by_role in after.terms.items():
        for role, value in by_role.items():
            if role not in terms[name]:
                like = before.ledger.cash[:, before.where(role)]
                terms[name][role] = taken(
                    value, f"the term {name!r} came", like, f"markets, {role}", torch.float64
                )
    return terms


def _check_structure(before: Floor, after: Floor, subject: str) -> None:
    """Refuse models and types of another structure."""
    for name in ("models", "types"):
        old, new = getattr(before, name), getattr(after, name)
        if _structure(old, subject) != _structure(new, subject):
            raise ValueError(
                f"{subject} gave {name} of another structure, wanted"
                f" {_structure(old, subject) or 'none'}: put all of them on the floor at the start,"
                " by People(furnish=...), and keep their shapes and types. Nothing was changed."
            )


def _memory(before: Any, after: Any, subject: str) -> Any:
    """A phase's memory, which keeps one structure; ValueError otherwise."""
    old = _structure(before, f"{subject} had a memory")
    new = _structure(after, f"{subject} gave a memory")
    if old != new:
        raise ValueError(
            f"{subject} gave a memory of {new or 'nothing'}, wanted {old or 'nothing'} as before:"
            " one structure in all rounds, which begin(floor) returns first. Nothing was changed."
        )
    return tree.copied(after)


def _outcome(before: Floor, outcome: Outcome, subject: str) -> Outcome:
    """An outcome whose tensors lead with the market axis; ValueError otherwise."""
    try:
        parts = tree.leaves(outcome)
    except TypeError as error:
        raise ValueError(
            f"{subject} gave an outcome that is no tree of tensors: {error}"
        ) from error
    for name, tensor in parts.items():
        if tensor.dim() == 0 or len(tensor) != len(before.seeds):
            raise ValueError(
                f"{subject} gave {name!r} of its outcome of shape {list(tensor.shape)}, wanted"
                f" {len(before.seeds)} markets first: one call is for all markets, so keep that"
                " axis."
            )
    return tree.copied(outcome)


def _structure(value: Any, subject: str) -> dict[str, tuple[str, list[int]]]:
    """Types and shapes after the market axis, by name; ValueError for what is no tree."""
    try:
        parts = tree.leaves(value)
    except TypeError as error:
        raise ValueError(f"{subject} of what is no tree of tensors: {error}") from error
    return {
        name: (str(t.dtype).removeprefix("torch."), list(t.shape[1:])) for name, t in parts.items()
    }


# --- what no phase may change ---------------------------------------------------------------------

KEPT = ("seeds", "round", "rows", "horizon", "cut", "world")


def check_kept(before: Floor, after: Floor, subject: str) -> None:
    """Refuse a floor on which a phase changed time, seeds, other phases' parts or the books."""
    changed = [name for name in KEPT if getattr(after, name) is not getattr(before, name)]
    for name in ("flows", "terms", "outcomes"):
        old, new = getattr(before, name), getattr(after, name)
        if new is old:
            continue
        changed += [f"{name}[{key!r}]" for key in old if not _same(name, old[key], new.get(key))]
    if after.outcomes is not before.outcomes and set(after.outcomes) - set(before.outcomes):
        changed.append("outcomes")
    if len(after.flows) == len(before.flows) and after.ledger is not before.ledger:
        changed.append("ledger")
    if changed:
        raise ValueError(
            f"{subject} changed {', '.join(changed)} of the floor, wanted it as it was: pay by"
            " floor.pay, add by floor.term."
        )


def _same(name: str, old: Any, new: Any) -> bool:
    """Whether an earlier phase's part is still there; other roles may join a term."""
    if name != "terms":
        return old is new
    return isinstance(new, Mapping) and all(new.get(role) is value for role, value in old.items())


def fits(value: Any, shape: tuple[int, ...], device: torch.device) -> bool:
    """Whether a value is a dense tensor of real numbers, of any type, of a shape and device.

    ``taken`` says what is wrong with another one.
    """
    plain = isinstance(value, Tensor) and not value.is_complex() and value.layout == torch.strided
    return plain and value.shape == shape and value.device == device


def check_closed(market: Market, floor: Floor, rewards: Tensor) -> None:
    """Refuse rewards that are not finite, and money left in an account that has to be empty."""
    left = [floor.ledger.cash[:, floor.where(name)] for name in market.people.empty]
    if not finite(rewards):
        place, agent = (~rewards.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"the round gave a reward of {float(rewards[place, agent])} to"
            f" {agent_names(market)[agent]} of market {place}, wanted a finite number: a part of"
            " the market, such as a gain or a payment, returned numbers not finite or too large."
        )
    if not left or not bool(torch.cat(left, 1).any()):
        return
    name = next(name for name in market.people.empty if bool((floor.cash(name) != 0).any()))
    place, row = (floor.cash(name) != 0).nonzero()[0].tolist()
    raise ValueError(
        f"account {name}_{row} of market {place} ends the round with"
        f" {float(floor.cash(name)[place, row])!r}, wanted exactly 0: pay the rest back by its"
        f" balance, floor.cash({name!r}). Nothing was changed."
    )
