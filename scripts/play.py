"""Play one episode and tell it round by round in the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.scripted import STRATEGIES  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core import rounds  # noqa: E402
from marketenv.core.lookup import lookup  # noqa: E402
from marketenv.core.market import agent_names  # noqa: E402
from marketenv.render import tell_round  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """Arguments of the play.

    market:   parameter_trading_v0, model_sharing_v0 or reference_v0
    focal:    strategy of the first agent; the market also gets what that strategy needs (noise, layers, a coalition)
    others:   strategy of all other agents
    rounds:   rounds of the episode
    seed:     fixes everything
    """

    market: str = "parameter_trading_v0"
    focal: str = "truthful"
    others: str = "truthful"
    rounds: int = 3
    seed: int = 0


def main(config: PlayConfig) -> None:
    """Play and print; ends with what everybody earned."""
    focal, others = (lookup(STRATEGIES, name, "strategy") for name in (config.focal, config.others))
    market = make_market(config.market, max_cycles=config.rounds, **(others.config | focal.config))
    names, console = agent_names(market), Console(highlight=False)
    policies = dict.fromkeys(names, others.build(market)) | {names[0]: focal.build(market)}
    total = torch.zeros(len(names), dtype=torch.float64)
    for number, (_, _, report) in enumerate(rounds.play(market, policies, torch.tensor([config.seed])), start=1):
        assert report is not None, "the markets of this script have one stage"
        console.rule(f"round {number}")
        console.print(tell_round(report, names), soft_wrap=True)
        total += report.rewards[0]
    console.rule("episode")
    for name, earned in zip(names, total.tolist(), strict=True):
        console.print(f"{name} ({config.focal if name == names[0] else config.others}): utility {earned:+.3f}")


if __name__ == "__main__":
    try:
        main(tyro.cli(PlayConfig, description=__doc__))
    except ValueError as error:
        raise SystemExit(str(error)) from error
