"""Floor 4: the command ``marketenv``, which lists markets, versions, and checks own markets."""

from marketenv.cli.command import main

__all__ = ["main"]
