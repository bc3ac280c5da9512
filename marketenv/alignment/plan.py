"""What weight matching needs to know of a permutation spec: its terms, who neighbours whom, and
what is solved together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from marketenv.alignment.spec import Permutations, check_spec
from marketenv.core.bank import Layout

Place = tuple[str, int]  # a tensor and one of its axes
Groups = tuple[tuple[str, ...], ...]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Term:
    """One place of a permutation: what an axis of a tensor says about it.

    others: the permutations of the tensor's other axes
    axes:   the tensor's axes: those of the others, those of none, its own
    rest:   how many numbers the axes of none hold
    """

    place: Place
    others: tuple[str, ...]
    axes: tuple[int, ...]
    rest: int


@dataclass(frozen=True)
class Plan:
    """What follows from the spec alone.

    sizes:      length of each permutation
    number:     place of each permutation among them
    still:      terms in tensors that no other permutation reorders: they score a permutation once
                and for all
    moving:     the other terms
    neighbours: permutations to be solved again once this one has changed; itself where it reorders
        a tensor twice
    steps:      permutations to be solved in one call: they share no tensor and are of one length
    first:      the order of the first pass, each with those of its moving terms whose other
                permutations precede it
    """

    sizes: dict[str, int]
    number: dict[str, int]
    still: dict[str, tuple[Term, ...]]
    moving: dict[str, tuple[Term, ...]]
    neighbours: dict[str, tuple[str, ...]]
    steps: Groups
    first: tuple[tuple[str, tuple[Term, ...]], ...]


def phases(neighbours: dict[str, tuple[str, ...]]) -> Groups:
    """Group permutations that can be solved together: none is a neighbour of another of its phase.

    A greedy colouring in the order of the names: each joins the first phase where it has no
    neighbour.

    >>> phases({"h0": ("h1",), "h1": ("h0", "h2"), "h2": ("h1",)})
    (('h0', 'h2'), ('h1',))
    """
    found: list[list[str]] = []
    for name, near in neighbours.items():
        home = next((phase for phase in found if not set(near) & set(phase)), None)
        if home is None:
            found.append(home := [])
        home.append(name)
    return tuple(map(tuple, found))


def plan_of(layout: Layout, permutations: Permutations) -> Plan:
    """Sort the places of a spec into terms, its permutations into steps, and choose the order
    of the first pass.
    """
    sizes, shapes = check_spec(layout, permutations), dict(layout.shapes)
    users: dict[str, dict[int, str]] = {}
    for name, places in permutations.items():
        for tensor, axis in places:
            users.setdefault(tensor, {})[axis] = name
    terms = {
        name: tuple(_term(place, users, shapes) for place in places)
        for name, places in permutations.items()
    }
    moving = {name: tuple(term for term in found if term.others) for name, found in terms.items()}
    still = {
        name: tuple(term for term in found if not term.others) for name, found in terms.items()
    }
    neighbours = {
        name: tuple(dict.fromkeys(o for term in found for o in term.others))
        for name, found in moving.items()
    }
    lengths = [
        (phase, n)
        for phase in phases(neighbours)
        for n in dict.fromkeys(sizes[name] for name in phase)
    ]
    steps = tuple(tuple(name for name in phase if sizes[name] == n) for phase, n in lengths)
    number = {name: place for place, name in enumerate(sizes)}
    return Plan(sizes, number, still, moving, neighbours, steps, _first(shapes, terms))


def _term(place: Place, users: dict[str, dict[int, str]], shapes: Shapes) -> Term:
    tensor, axis = place
    others = [at for at in sorted(users[tensor]) if at != axis]
    rest = [at for at in range(len(shapes[tensor])) if at not in users[tensor]]
    free = math.prod(shapes[tensor][at] for at in rest)
    return Term(place, tuple(users[tensor][at] for at in others), (*others, *rest, axis), free)


def _first(
    shapes: Shapes, terms: dict[str, tuple[Term, ...]]
) -> tuple[tuple[str, tuple[Term, ...]], ...]:
    """Put first those with the most parameters per unit beside inputs, outputs and what stands
    before them.
    """
    found: dict[str, tuple[Term, ...]] = {}

    def _known(name: str) -> int:
        sure = [term.place for term in terms[name] if found.keys() >= set(term.others)]
        return sum(math.prod(shapes[tensor]) // shapes[tensor][axis] for tensor, axis in sure)

    while len(found) < len(terms):
        name = max((name for name in terms if name not in found), key=_known)
        found[name] = tuple(
            term for term in terms[name] if term.others and found.keys() >= set(term.others)
        )
    return tuple(found.items())
