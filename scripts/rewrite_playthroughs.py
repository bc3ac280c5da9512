"""Write the episodes that tests compare with: run it only when a market is meant to play otherwise.

One text file for each environment, with every round in words; agents play the market's own random
policy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from agents.markets import ENTRIES  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core import rounds  # noqa: E402
from marketenv.core.market import agent_names  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402
from marketenv.render import tell_round  # noqa: E402

EPISODES = {name: entry.episodes for name, entry in ENTRIES.items()}


@dataclass(frozen=True, kw_only=True)
class PlaythroughConfig:
    """Arguments.

    Args:
        out: folder of the text files
        seed: seed of every episode, a whole number >= 0; the tests play seed 0
    """

    out: Path = ROOT / "tests" / "markets" / "playthroughs"
    seed: int = 0

    def __post_init__(self) -> None:
        command.check_seed(self.seed)


def playthrough(name: str, seed: int = 0) -> str:
    """Every episode of an environment in words, round by round."""
    return (
        "\n".join(line for config in EPISODES[name] for line in _episode(name, config, seed)) + "\n"
    )


def _episode(name: str, config: Mapping[str, Any], seed: int) -> Iterator[str]:
    market = make_market(name, **config)
    agents = agent_names(market)
    yield (
        f"# {name}, seed {seed}, random actions:"
        f" {', '.join(f'{key}={value}' for key, value in config.items())}"
    )
    policies = dict.fromkeys(agents, market.policies["random"])
    reports = (
        report
        for _, _, report in rounds.play(market, policies, torch.tensor([seed]))
        if report is not None
    )
    for number, report in enumerate(reports, start=1):
        yield f"\nround {number}\n{tell_round(report, agents)}"
    yield ""


def main(config: PlaythroughConfig) -> None:
    """Write one file for each environment."""
    torch.set_num_threads(1)  # the tests run on one thread, and rounding depends on it
    command.check_folder(config.out)
    for name in EPISODES:
        path = config.out / f"{name}.txt"
        text = playthrough(name, config.seed)
        with whole_file(path) as part:
            part.write_text(text, encoding="utf8")
        print(f"wrote {path}")


if __name__ == "__main__":
    command.run(lambda: main(command.read(PlaythroughConfig, __doc__)), "Nothing is half written.")
