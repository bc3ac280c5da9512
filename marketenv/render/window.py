"""Where pictures of a market are shown while it is played: below a notebook's cell, or in a window.

Pictures are drawn without pyplot; a window needs it, since it has the loop of events.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

import numpy as np

HOLD = 1.0  # seconds for which a window shows a picture before the market goes on


class Notebook:
    """Shows the pictures of an episode in one place below the cell that began it."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, picture: np.ndarray, begins: bool) -> None:
        """Put a picture in the place of the last one; where an episode begins, in a new place."""
        from IPython.display import Image, display

        content = Image(data=_png(picture))
        if begins or self._handle is None:
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)

    def close(self) -> None:
        """Nothing to release: the last picture stays in the notebook."""


class Window:
    """Shows pictures in one window, each for a second; one that the user closes stays closed."""

    def __init__(self, figure: Any) -> None:
        self._figure = figure
        self._drawn: Any = None

    def show(self, picture: np.ndarray, begins: bool) -> None:
        """Put a picture in the place of the last one."""
        import matplotlib.pyplot as plt

        if not plt.fignum_exists(self._figure.number):
            return
        if self._drawn is None:
            height, width, _ = picture.shape
            self._figure.set_size_inches(width / self._figure.dpi, height / self._figure.dpi)
            axes = self._figure.add_axes((0, 0, 1, 1))
            axes.axis("off")
            self._drawn = axes.imshow(picture)
        self._drawn.set_data(picture)
        self._figure.canvas.draw_idle()
        plt.pause(HOLD)

    def close(self) -> None:
        """Close the window."""
        import matplotlib.pyplot as plt

        plt.close(self._figure)


def open_window(title: str) -> Notebook | Window | None:
    """A place for pictures: a notebook where the code runs in one, else a window, else None.

    title: of the window
    """
    if _in_notebook():
        return Notebook()
    if not (sys.platform in ("win32", "darwin") or _has_display()):
        return None
    with contextlib.suppress(ImportError):  # a backend that this machine cannot load
        return _window(title)
    return None


def _window(title: str) -> Window | None:
    import matplotlib.pyplot as plt

    figure = plt.figure()
    # None: matplotlib draws into memory alone, as without a toolkit for windows
    if figure.canvas.required_interactive_framework is None or figure.canvas.manager is None:
        plt.close(figure)
        return None
    figure.canvas.manager.set_window_title(title)
    return Window(figure)


def _in_notebook() -> bool:
    """Whether a kernel of Jupyter runs the code; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _png(picture: np.ndarray) -> bytes:
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, picture, format="png")
    return buffer.getvalue()
