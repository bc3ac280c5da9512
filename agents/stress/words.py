"""What a deviation reports, in words: in money, in multiples of the truth, as a share, or which
option.
"""

from __future__ import annotations

import torch
from torch import Tensor

from marketenv.core.fields import Choice, Field, Multiple
from marketenv.core.market import Move
from marketenv.core.policy import Policy, actions_of

from .attack import Attack
from .deviation import Deviation, Family

ALIKE = 1e-3  # relative difference below which numbers are said as one


def say(attack: Attack, policies: tuple[Policy, ...]) -> str:
    """What deviators report at their first moves, on the attack's seeds, where it differs from what
    the profile reports.

    Of a coalition every member is named, and of a role that moves in several stages the stage.
    """
    parts = zip(attack.agents, policies, attack.bases(), strict=True)
    told = {agent: _of(attack, agent, policy, base) for agent, policy, base in parts}
    return "; ".join(
        told.values() if len(told) == 1 else (f"{agent}: {words}" for agent, words in told.items())
    )


def axis(family: Family) -> str:
    """What the parameter of a line is: ``size, times the truth``, ``ask, more money above
    cost``, ``upload``.
    """
    return ", ".join(filter(None, (family.told or family.field or family.name, family.unit)))


def _of(attack: Attack, agent: str, policy: Policy, base: Policy) -> str:
    if not isinstance(policy, Deviation):
        return str(policy)
    moves, several = attack.moves_of(agent), attack.several(agent)
    said = [
        words + (f" ({move.stage})" if several else "")
        for move in moves
        for words in _in_stage(attack, agent, move, policy, base)
    ]
    return ", ".join(said) or "what it would report anyway"


def _in_stage(attack: Attack, agent: str, move: Move, policy: Policy, base: Policy) -> list[str]:
    """What is reported otherwise in one stage, field by field."""
    observation, keys = attack.seen(agent, move.stage)
    actions = [actions_of(p, observation, move, keys) for p in (policy, base)]
    new, old = (move.read(observation, each) for each in actions)
    known = move.observation.unpack(observation)
    return [
        _field(field, new[field.name], old[field.name], known)
        for field, where in zip(move.action.items, move.action.slices.values(), strict=True)
        if bool(((actions[0] - actions[1])[:, where].abs() > 1e-6).any())
    ]


def _field(field: Field, new: Tensor, old: Tensor, known: dict[str, Tensor]) -> str:
    """One field's report: ``size 5.62 times the truth``, ``price 0.65 times what it was``,
    ``upload: noise``.
    """
    if isinstance(field, Choice):
        return f"{field.name}: {_option(new, field.options)}"
    if isinstance(field, Multiple):
        counts = known[field.of] > 0 if field.of else torch.ones_like(new, dtype=torch.bool)
        if not bool(counts.any()):
            return f"{field.name} {_number(new)} where the truth is 0"
        return f"{field.name} {_number(new[counts])} {field.unit}"
    least, most = field.range
    inner = (new > least) & (new < most)  # elsewhere the box cuts what would be reported
    more, ratio = (new - old)[inner], (new / old)[inner & (old != 0)]
    if not _same(old) and len(ratio) and _same(ratio):
        return f"{field.name} {_number(ratio)} times what it was"
    if len(more) and _same(more) and not (_same(old) and bool(old.any())):
        step = float(more.mean())
        way = "raised" if step > 0 else "lowered"
        return f"{field.name} {way} by {abs(step):.3g} {field.unit}".rstrip()
    return f"{field.name} {_number(new)} {field.unit}".rstrip() + f", was {_number(old)}"


def _same(values: Tensor) -> bool:
    return float(values.max() - values.min()) <= ALIKE * float(values.abs().max().clamp(min=1e-12))


def _number(values: Tensor) -> str:
    """A number, or the mean with the ends of the range."""
    if _same(values):
        return f"{float(values.mean()):.3g}"
    return f"{float(values.mean()):.3g} ({float(values.min()):.3g} to {float(values.max()):.3g})"


def _option(values: Tensor, names: tuple[str, ...]) -> str:
    """The commonest option, with its share where there are others."""
    counts = values.long().flatten().bincount(minlength=len(names))
    share = float(counts.max()) / values.numel()
    return names[int(counts.argmax())] + (f" ({share:.0%})" if share < 1 else "")
