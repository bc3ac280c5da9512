"""Pictures and short films of the markets, drawn by their own ``rgb_array`` at each build."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np

ROUNDS = 3
CONFIGS: dict[str, dict[str, Any]] = {
    "marketplace": {"max_cycles": ROUNDS},
    "parameter_trading": {"max_cycles": ROUNDS, "n_agents": 4},
    "data_market": {"max_cycles": ROUNDS},
    "resource_market": {"max_cycles": 1},  # each round is like the first
    "model_sharing": {"max_cycles": ROUNDS, "n_agents": 6},
    "reference": {"game": "double_auction"},
}


@cache
def pictures() -> dict[str, bytes]:
    """The files by their paths on the site: a PNG a market, and a GIF where rounds differ."""
    made = {}
    for name, config in CONFIGS.items():
        frames = episode(f"{name}_v0", config)
        made[f"environments/pictures/{name}.png"] = image(frames[-1:])
        if any((frame != frames[0]).any() for frame in frames):
            made[f"environments/pictures/{name}.gif"] = image(frames)
    return made


def episode(name: str, config: dict[str, Any]) -> list[np.ndarray]:
    """One frame a round of an episode in which every agent is truthful, with seed 0."""
    from torch import tensor

    from agents.lineups import find_profile
    from marketenv import make_parallel
    from marketenv.core.rounds import play

    env = make_parallel(name, render_mode="rgb_array", **config).unwrapped
    reports = (report for *_, report in play(env.market, find_profile(env.market), tensor([0])))
    return [env.screen.render(report) for report in reports if report is not None]


def image(frames: list[np.ndarray]) -> bytes:
    """Frames of one size as a file: one as a PNG, more as a GIF that changes every 1.5 s."""
    from PIL import Image

    first, *rest = (Image.fromarray(frame).quantize(48) for frame in frames)
    file = io.BytesIO()
    if rest:
        first.save(file, "GIF", save_all=True, append_images=rest, duration=1500, loop=0)
    else:
        first.save(file, "PNG", optimize=True)
    return file.getvalue()


def opening(name: str) -> str:
    """What stands at the top of an environment's page."""
    words = name.replace("_", " ")
    still = f"![A round of the {words}: who paid whom](pictures/{name}.png){{ .market }}\n"
    if f"environments/pictures/{name}.gif" not in pictures():
        return still
    film = f"![The rounds of an episode one after another](pictures/{name}.gif){{ .market }}"
    return f'{still}\n??? example "{ROUNDS} rounds as a film"\n\n    {film}\n'
