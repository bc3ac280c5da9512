"""The smallest effort with which iPFL's experiments can be told apart."""

from agents.papers.core.effort import Effort
from agents.stress.search import Budget

TINY = Effort(
    name="tiny",
    cheap=Budget(select=256, judge=512, points=5, population=6, generations=1),
    costly=Budget(select=2, judge=2, points=3, population=2, generations=1),
    seeds=2,
    rounds=1,
    digits=2,
    linear=(2, 4, 8),
    cases=400,
    steps=0,
)
