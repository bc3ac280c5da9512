"""A market's last round as a picture or in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from marketenv.core.checks import choice, or_none
from marketenv.core.market import Market, Report
from marketenv.render.words import tell_round

if TYPE_CHECKING:
    from marketenv.render.window import Notebook, Window

RENDER_MODES = ("rgb_array", "ansi", "human")


class Screen:
    """Shows rounds in one of the ``RENDER_MODES``, or in none; ValueError for another mode.

    market: whose rounds are shown;   agents: names in the order of the agent axis
    """

    def __init__(self, mode: str | None, market: Market, agents: Sequence[str]) -> None:
        self.mode = or_none(choice, known=RENDER_MODES)(mode, "render_mode")
        self.market, self.agents = market, agents
        self._window: Notebook | Window | None = None

    def render(self, report: Report | None) -> np.ndarray | str | None:
        """A uint8 picture, or words; None without a mode.

        In mode ``human`` it is None too: there a round is shown when it is over.
        """
        if self.mode is None:
            gymnasium.logger.warn("render() was called without a render_mode; nothing is drawn.")
            return None
        if self.mode == "rgb_array":
            return self._frame(report)
        return tell_round(report, self.agents) if self.mode == "ansi" else None

    def show(self, report: Report | None) -> None:
        """Print the round where the mode is ``human``, and draw it in a notebook or a window.

        Where there is neither, as on a server, the words stand alone.
        """
        if self.mode != "human":
            return
        print(tell_round(report, self.agents))
        begins = report is None
        if begins and self._window is None:
            from marketenv.render.window import open_window

            self._window = open_window(self.market.name)
        if self._window is not None:
            self._window.show(self._frame(report), begins)

    def close(self) -> None:
        """Close the window, if there is one; the next episode opens another."""
        if self._window is not None:
            self._window.close()
        self._window = None

    def _frame(self, report: Report | None) -> np.ndarray:
        # matplotlib is loaded where something is drawn
        from marketenv.render.frames import draw_frame, frame_size

        return draw_frame(report, self.agents, frame_size(self.market))

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens a window of its own."""
        return {**vars(self), "_window": None}
