"""Floor 3: pictures and words of what happened. It reads reports and knows no environment.

What draws is loaded when it is first asked for: matplotlib takes a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from marketenv.render.words import tell_round

if TYPE_CHECKING:
    from marketenv.render.frames import draw_frame, payments_figure
    from marketenv.render.html import Html, anchor, image, notes, page, picture, png, table
    from marketenv.render.kinds import Payments, draw_kinds, figure_of_kinds
    from marketenv.render.pictures import (
        draw_bands,
        draw_bars,
        draw_lines,
        draw_network,
        draw_points,
        figure,
    )
    from marketenv.render.viewer import Slide, episode_page

PAGES = ("Html", "anchor", "image", "notes", "page", "picture", "png", "table")
MODULES = dict.fromkeys(PAGES, "html")
MODULES |= dict.fromkeys(("Payments", "draw_kinds", "figure_of_kinds"), "kinds")
MODULES |= dict.fromkeys(("draw_frame", "payments_figure"), "frames")
MODULES |= dict.fromkeys(("Slide", "episode_page"), "viewer")

__all__ = [
    "Html",
    "Payments",
    "Slide",
    "anchor",
    "draw_bands",
    "draw_bars",
    "draw_frame",
    "draw_kinds",
    "draw_lines",
    "draw_network",
    "draw_points",
    "episode_page",
    "figure",
    "figure_of_kinds",
    "image",
    "notes",
    "page",
    "payments_figure",
    "picture",
    "png",
    "table",
    "tell_round",
]


def __getattr__(name: str) -> Any:
    """What draws, or makes pages, from its module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = MODULES.get(name, "pictures")
    return getattr(import_module(f"marketenv.render.{module}"), name)
