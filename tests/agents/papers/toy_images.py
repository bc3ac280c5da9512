"""Small images that a network can learn, in a file, and toy sizes of the studies on them."""

import numpy as np


def write_images(path, channels, side, rows=160):
    """Write a data set of noisy patterns, one a class; return its path."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 200, (10, side, side, channels))

    def drawn(count):
        y = np.arange(count) % 10
        x = (patterns[y] + rng.integers(0, 56, (count, side, side, channels))).astype(np.uint8)
        return x if channels > 1 else x[..., 0], y

    (x, y), (x_test, y_test) = drawn(rows), drawn(60)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


class Killed(BaseException):
    """An interrupt: a unit that raises an Exception fails alone, and the others go on."""
