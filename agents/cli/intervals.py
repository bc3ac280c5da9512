"""Words of a table of means that says where samples are too few for intervals."""

from __future__ import annotations

from collections.abc import Iterable

from marketenv.metrics import Interval
from marketenv.metrics.statistics import MINIMUM, MINIMUM_INFLATED


def heading(label: str, means: Iterable[Interval]) -> str:
    """The head of a column of means, which promises intervals only where there are some.

    >>> heading("gain over truth", [Interval(1.0, None, None)])
    'gain over truth (mean)'
    """
    return f"{label} [95 %]" if any(one.low is not None for one in means) else f"{label} (mean)"


def note(means: Iterable[Interval], samples: str) -> str:
    """The note below a table in which a mean has no interval, "" where each has one.

    samples: what a mean is taken over, such as "seeds"
    """
    if all(one.low is not None for one in means):
        return ""
    return (
        f"A mean without an interval stands on too few {samples}: an interval wants at least"
        f" {MINIMUM}, {MINIMUM_INFLATED} where half of them or more give one and the same"
        " difference, and more still where only a few do not."
    )
