"""Floor 3: pictures and words of what happened. It reads reports and knows no environment."""

from marketenv.render.page import Html, anchor, page, picture, png, table
from marketenv.render.pictures import draw_bands, draw_bars, draw_frame, draw_lines, draw_network, draw_points, figure
from marketenv.render.words import tell_round

__all__ = [
    "Html",
    "anchor",
    "draw_bands",
    "draw_bars",
    "draw_frame",
    "draw_lines",
    "draw_network",
    "draw_points",
    "figure",
    "page",
    "picture",
    "png",
    "table",
    "tell_round",
]
