"""The markets that this layer knows: one table, one file a market."""

from .entry import Books, Entry, Facts
from .options import with_options
from .strategies import STRATEGIES, shade
from .table import ENTRIES, entry_of, facts_of

__all__ = [
    "ENTRIES",
    "STRATEGIES",
    "Books",
    "Entry",
    "Facts",
    "entry_of",
    "facts_of",
    "shade",
    "with_options",
]
