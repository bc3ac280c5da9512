"""What a deviation reports, in words: money, multiples of the truth, shares or options."""

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
    """What deviators report at their first moves where it differs from the profile's reports.

    Every member of a coalition is named, and the stage where a role moves in several.
    """
    parts = zip(attack.agents, policies, attack.bases(), strict=True)
    words = {agent: _of(attack, agent, policy, base) for agent, policy, base in parts}
    if len(words) == 1:
        return words[attack.agents[0]]
    return "; ".join(f"{agent}: {text}" for agent, text in words.items())


def axis(family: Family) -> str:
    """The label of a line's axis: ``size, times the truth``, ``upload``."""
    return ", ".join(filter(None, (family.label or family.field or family.name, family.unit)))


def _of(attack: Attack, agent: str, policy: Policy, base: Policy) -> str:
    if not isinstance(policy, Deviation):
        return str(policy)
    several, words = attack.several(agent), []
    for move in attack.moves_of(agent):
        stage = f" ({move.stage})" if several else ""
        words += [text + stage for text in _in_stage(attack, agent, move, policy, base)]
    return ", ".join(words) or "what it would report anyway"


def _in_stage(attack: Attack, agent: str, move: Move, policy: Policy, base: Policy) -> list[str]:
    """What is reported otherwise in one stage, field by field."""
    observation, keys = attack.policy_inputs(agent, move.stage)
    actions = [actions_of(p, observation, move, keys) for p in (policy, base)]
    new, old = (move.read(observation, each) for each in actions)
    view = move.observation.unpack(observation)
    return [
        _field(field, new[field.name], old[field.name], view)
        for field, where in zip(move.action.items, move.action.slices.values(), strict=True)
        if bool(((actions[0] - actions[1])[:, where].abs() > 1e-6).any())
    ]


def _field(field: Field, new: Tensor, old: Tensor, view: dict[str, Tensor]) -> str:
    """One field's report: ``size 5.62 times the truth``, ``upload: noise``."""
    if isinstance(field, Choice):
        return f"{field.name}: {_option(new, field.options)}"
    if isinstance(field, Multiple):
        counts = view[field.of] > 0 if field.of else torch.ones_like(new, dtype=torch.bool)
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
