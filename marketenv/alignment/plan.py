"""The plan of weight matching for a permutation spec: terms, neighbours and the order of steps."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from marketenv.alignment.spec import Permutations, Places, check_spec
from marketenv.core.bank import Layout

Place = tuple[str, int]  # a tensor and one of its axes
Groups = tuple[tuple[str, ...], ...]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Term:
    """One place of a permutation: an axis of a tensor, with the tensor's other axes.

    others: the permutations of the tensor's other axes
    axes:   the tensor's axes: those of other permutations, those of no permutation, its own
    rest:   how many numbers the axes of no permutation hold
    """

    place: Place
    others: tuple[str, ...]
    axes: tuple[int, ...]
    rest: int


@dataclass(frozen=True)
class Plan:
    """All that follows from the spec alone.

    sizes:      length of each permutation
    number:     place of each permutation among them
    still:      terms in tensors that no other permutation reorders: their scores never change
    moving:     the other terms
    neighbours: permutations that are stale when this one changes; itself where it reorders a tensor
                twice
    steps:      permutations that are solved in one call: they share no tensor and have one length
    first:      the order of the first pass, each with those of its moving terms whose other
                permutations come before it
    users:      the permutations of each tensor that has some, each with its axis
    """

    sizes: dict[str, int]
    number: dict[str, int]
    still: dict[str, tuple[Term, ...]]
    moving: dict[str, tuple[Term, ...]]
    neighbours: dict[str, tuple[str, ...]]
    steps: Groups
    first: tuple[tuple[str, tuple[Term, ...]], ...]
    users: dict[str, Places]


def phases(neighbours: dict[str, tuple[str, ...]]) -> Groups:
    """Group permutations that can be solved together: none is a neighbour of another of its phase.

    A greedy colouring in the order of the names: each joins the first phase where it has no
    neighbour.

    >>> phases({"h0": ("h1",), "h1": ("h0", "h2"), "h2": ("h1",)})
    (('h0', 'h2'), ('h1',))
    """
    groups: list[list[str]] = []
    for name, near in neighbours.items():
        home = next((phase for phase in groups if not set(near) & set(phase)), None)
        if home is None:
            groups.append(home := [])
        home.append(name)
    return tuple(map(tuple, groups))


def plan_of(layout: Layout, permutations: Permutations) -> Plan:
    """Sort a spec's places into terms, its permutations into steps, and order the first pass.

    A plan is made once for a spec, and is to be read only.
    """
    return _plan(layout, tuple((name, tuple(places)) for name, places in permutations.items()))


@functools.lru_cache(maxsize=64)
def _plan(layout: Layout, spec: tuple[tuple[str, Places], ...]) -> Plan:
    """``plan_of`` for a spec that can be looked up."""
    permutations = dict(spec)
    sizes, shapes = check_spec(layout, permutations), dict(layout.shapes)
    users: dict[str, dict[int, str]] = {}
    for name, places in permutations.items():
        for tensor, axis in places:
            users.setdefault(tensor, {})[axis] = name
    terms: dict[str, tuple[Term, ...]] = {}
    still: dict[str, tuple[Term, ...]] = {}
    moving: dict[str, tuple[Term, ...]] = {}
    neighbours: dict[str, tuple[str, ...]] = {}
    for name, places in permutations.items():
        terms[name] = tuple(_term(place, users, shapes) for place in places)
        still[name] = tuple(term for term in terms[name] if not term.others)
        moving[name] = tuple(term for term in terms[name] if term.others)
        others = [other for term in moving[name] for other in term.others]
        neighbours[name] = tuple(dict.fromkeys(others))
    steps: list[tuple[str, ...]] = []
    for phase in phases(neighbours):
        for n in dict.fromkeys(sizes[name] for name in phase):
            steps.append(tuple(name for name in phase if sizes[name] == n))
    number = {name: place for place, name in enumerate(sizes)}
    axes = {
        tensor: tuple((name, axis) for axis, name in of.items()) for tensor, of in users.items()
    }
    return Plan(sizes, number, still, moving, neighbours, tuple(steps), _first(shapes, terms), axes)


def _term(place: Place, users: dict[str, dict[int, str]], shapes: Shapes) -> Term:
    tensor, axis = place
    others = [at for at in sorted(users[tensor]) if at != axis]
    rest = [at for at in range(len(shapes[tensor])) if at not in users[tensor]]
    free = math.prod(shapes[tensor][at] for at in rest)
    return Term(place, tuple(users[tensor][at] for at in others), (*others, *rest, axis), free)


def _first(
    shapes: Shapes, terms: dict[str, tuple[Term, ...]]
) -> tuple[tuple[str, tuple[Term, ...]], ...]:
    """The order of the first pass: next is the permutation with the most known numbers per unit.

    Known are inputs, outputs, and the permutations before it.
    """
    order: dict[str, tuple[Term, ...]] = {}

    def _known(name: str) -> int:
        sure = [term.place for term in terms[name] if order.keys() >= set(term.others)]
        return sum(math.prod(shapes[tensor]) // shapes[tensor][axis] for tensor, axis in sure)

    while len(order) < len(terms):
        name = max((name for name in terms if name not in order), key=_known)
        known = [term for term in terms[name] if order.keys() >= set(term.others)]
        order[name] = tuple(term for term in known if term.others)
    return tuple(order.items())
