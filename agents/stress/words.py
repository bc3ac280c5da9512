"""What a deviation reports, in words: in money, in multiples of the truth, as a share, or which choice."""

from __future__ import annotations

import torch
from torch import Tensor

from marketenv.core import draws, rounds
from marketenv.core.fields import Field
from marketenv.core.market import Role, agent_names, role_of
from marketenv.core.policy import Policy

from .attack import Attack
from .deviation import Deviation

ALIKE = 1e-3  # relative difference below which numbers are said as one


def say(attack: Attack, policies: tuple[Policy, ...]) -> str:
    """What deviators report in the first stage, on the attack's seeds, where it differs from what their bases report.

    An action is a place in a box; what it reports is said by its field's ``meaning``. Of deviators that do not move in the
    first stage only the map of actions is named.
    """
    return "; ".join(_of(attack, agent, policy) for agent, policy in zip(attack.agents, policies, strict=True))


def axis(attack: Attack, family: str) -> str:
    """What the parameter of a line is of: a family acts on the place in the box, which is no factor where reports are powers.

    family: its name, such as "scale size"
    """
    _, _, name = family.partition(" ")
    meanings = {field.name: field.meaning for role in attack.roles for field in role.action.items}
    meaning = meanings.get(name)
    return f"{family}: of the action's place in its box" if meaning is not None and meaning.factors else family


def _of(attack: Attack, agent: str, policy: Policy) -> str:
    role = role_of(attack.market, agent)
    if not isinstance(policy, Deviation) or role.name not in attack.market.stages[0].movers:
        return str(policy)
    observation, keys = _shown(attack, agent, role)
    new, old = (p(observation, role, keys).to(observation.device, torch.float64) for p in (policy, policy.base))
    said = [
        _field(field, new[:, where], old[:, where], role.observation.unpack(observation))
        for field, where in zip(role.action.items, role.action.slices.values(), strict=True)
        if bool(((new - old)[:, where].abs() > 1e-6).any())
    ]
    return ", ".join(said) or "what it would report anyway"


def _shown(attack: Attack, agent: str, role: Role) -> tuple[Tensor, Tensor]:
    """What the agent sees in the first stage, and the keys that its policy draws from: as ``rounds.act_mixed`` gives them."""
    names, now = agent_names(attack.market), attack.start
    row = names.index(agent)
    keys = draws.agent_keys(draws.fold(now.state.seeds, now.state.round, len(now.past)), len(names), "policy")
    return rounds.observe(attack.market, now)[:, row, : role.observation.dim], keys[:, row]


def _field(field: Field, new: Tensor, old: Tensor, observed: dict[str, Tensor]) -> str:
    """One field's report: ``size 5.62 times the truth``, ``price 0.65 times what it was``, ``upload noise, was honest``."""
    meaning = field.meaning
    counts = torch.ones_like(new, dtype=torch.bool) if meaning is None or not meaning.of else observed[meaning.of] > 0
    if meaning is None or not bool(counts.any()):
        return f"{field.name} at {_number(new)} in its box [{field.low:g}, {field.high:g}], was {_number(old)}"
    now, before = meaning.read(new)[counts], meaning.read(old)[counts]
    if meaning.choices:
        return f"{field.name} {_choice(now, meaning.choices)}, was {_choice(before, meaning.choices)}"
    if meaning.of:
        return f"{field.name} {_number(now)} {meaning.unit}"
    inner = (new[counts].abs() < 1) & (before > 0)  # elsewhere the box cuts what would be reported
    ratio = now[inner] / before[inner]
    if not _same(before) and len(ratio) and _same(ratio):
        return f"{field.name} {_number(ratio)} times what it was"
    return f"{field.name} {_number(now)} {meaning.unit}, was {_number(before)}"


def _same(values: Tensor) -> bool:
    return float(values.max() - values.min()) <= ALIKE * float(values.abs().max().clamp(min=1e-12))


def _number(values: Tensor) -> str:
    """A number, or the mean with the ends of the range."""
    if _same(values):
        return f"{float(values.mean()):.3g}"
    return f"{float(values.mean()):.3g} ({float(values.min()):.3g} to {float(values.max()):.3g})"


def _choice(values: Tensor, names: tuple[str, ...]) -> str:
    """The commonest choice, with its share where there are others."""
    counts = values.long().flatten().bincount(minlength=len(names))
    share = float(counts.max()) / values.numel()
    return names[int(counts.argmax())] + (f" ({share:.0%})" if share < 1 else "")
