"""Command lines: how they are read, how they end, what they show."""
