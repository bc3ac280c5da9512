"""All mutants, room by room."""

from __future__ import annotations

from scripts.mutants import claims, core, data, learners, markets, mechanisms, metrics
from scripts.mutants.mutant import Mutant

ROOMS = (mechanisms, markets, learners, data, core, metrics, claims)
MUTANTS: tuple[Mutant, ...] = tuple(one for room in ROOMS for one in room.MUTANTS)
