"""A market's last round as a picture or in words."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np

from marketenv.core.checks import choice, or_none
from marketenv.core.market import Report
from marketenv.render.words import tell_round

RENDER_MODES = ("rgb_array", "ansi", "human")


class Screen:
    """Shows rounds in one of the ``RENDER_MODES``, or in none; ValueError for another mode.

    agents: names in the order of the agent axis
    """

    def __init__(self, mode: str | None, agents: Sequence[str]) -> None:
        self.mode, self.agents = or_none(choice, known=RENDER_MODES)(mode, "render_mode"), agents

    def render(self, report: Report | None) -> np.ndarray | str | None:
        """A uint8 picture, or words; None without a mode.

        In mode ``human`` it is None too: there a round is printed when it is over.
        """
        if self.mode is None:
            gymnasium.logger.warn("render() was called without a render_mode; nothing is drawn.")
            return None
        if self.mode == "rgb_array":
            # matplotlib is loaded where something is drawn
            from marketenv.render.frames import draw_frame

            return draw_frame(report, self.agents)
        return tell_round(report, self.agents) if self.mode == "ansi" else None

    def show(self, report: Report | None) -> None:
        """Print the round where the mode is ``human``."""
        if self.mode == "human":
            print(tell_round(report, self.agents))
