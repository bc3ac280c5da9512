"""Train an agent on a market with PPO or SAC and show what it earns beside truth.

A run that was stopped goes on from its last checkpoint when the same command is given again, and a
finished run goes on when the command asks for more steps. The folder then holds result.json and
learning.png, and for each seed the policy, progress.csv, speed.csv and TensorBoard events.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the agents of this repository, wherever the script is started from

try:  # before all other imports: the error names the packages to install
    from agents.rl import TrainConfig, check, exact, load_policy, seed_folder, train
except ImportError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

import joblib  # noqa: E402
import torch  # noqa: E402
from rich import box  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from agents.cli import command  # noqa: E402
from agents.cli.intervals import heading, note  # noqa: E402
from agents.cli.progress import watched  # noqa: E402
from agents.rl.monitoring import read_rows  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core.market import Market, agent_names, role_of  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402
from marketenv.markets.reference import Auction  # noqa: E402
from marketenv.mechanisms import (  # noqa: E402
    first_price_equilibrium_bid,
    linear_equilibrium_ask,
    linear_equilibrium_bid,
)
from marketenv.metrics import Interval  # noqa: E402
from marketenv.render import figure, png  # noqa: E402

TYPES = 201  # points of a curve of prices
Rule = Callable[[torch.Tensor], torch.Tensor]


def one_seed(config: TrainConfig, seed: int, progress: bool) -> dict[str, Any]:
    """Train one seed on one thread: the numbers do not depend on the seeds that run beside it."""
    torch.set_num_threads(1)
    return train(config, seed, progress=progress)


# by the name in the results, the words of a difference
GAPS = {"difference": "difference", "deviation_to_truth": "one back to truth"}


def gaps_of(results: list[dict[str, Any]]) -> dict[str, list[Interval]]:
    """By its words, each difference that all seeds have, seed by seed."""
    return {
        words: [Interval(**result[name]) for result in results]
        for name, words in GAPS.items()
        if all(r[name] for r in results)
    }


def earnings(results: list[dict[str, Any]]) -> Table:
    """One row for each seed: the utility of the learned policy beside that of truth."""
    shown = Table(
        title="utility per episode on fresh seeds, money", padding=(0, 1), box=box.SIMPLE_HEAD
    )
    gaps, known = gaps_of(results), list(results[0]["exact"])
    for head in (
        "seed",
        "learned",
        "truthful",
        *(heading(words, means) for words, means in gaps.items()),
        *known,
    ):
        shown.add_column(head, justify="right", no_wrap=True)
    for k, result in enumerate(results):
        row = [
            str(result["seed"]),
            f"{result['learned_mean']:.4f}",
            f"{result['truthful_mean']:.4f}",
        ]
        shown.add_row(
            *row,
            *(str(means[k]) for means in gaps.values()),
            *(f"{result['exact'][name]:.4f}" for name in known),
        )
    return shown


def behaviour(results: list[dict[str, Any]]) -> Table:
    """The agent's actions and results in a round, learned and truthful, seed by seed."""
    shown = Table(title="a round of the agent, means", padding=(0, 1), box=box.SIMPLE_HEAD)
    shown.add_column("policy", no_wrap=True)
    for name in results[0]["behaviour"]:
        shown.add_column(name, justify="right", no_wrap=True)
    for result in results:
        for who in ("learned", "truthful"):
            cells = [f"{means[who]:.3f}" for means in result["behaviour"].values()]
            shown.add_row(f"{who}, seed {result['seed']}", *cells)
    return shown


def known_prices(market: Market, role: str) -> dict[str, Rule]:
    """The prices that theory knows for a role in this game, as functions of the role's type."""
    values, costs = market.config.values, market.config.costs
    truth: dict[str, Rule] = {"truth": lambda types: types}
    if exact.has_exact_payoff(market):
        line = {"buyer": linear_equilibrium_bid, "seller": linear_equilibrium_ask}[role]
        ends = {"weight": 0.5, "v0": values[0], "v1": values[1], "c0": costs[0], "c1": costs[1]}
        truth["best against truth"] = exact.SIDES[role][1](values, costs)
        with contextlib.suppress(ValueError):  # where the line is no equilibrium
            line(torch.tensor(values), **ends)
            truth["linear equilibrium"] = partial(line, **ends)
    if exact.has_first_price_gap(market):
        return truth | {
            "equilibrium": partial(first_price_equilibrium_bid, n=market.phase(Auction).n_buyers)
        }
    return truth


def picture(config: TrainConfig, results: list[dict[str, Any]]) -> bytes:
    """Utility over steps beside truth; in reference games also learned prices beside theory's."""
    market = make_market(config.market, **config.market_arguments())
    known = market.name == "reference_v0"
    fig, axes = figure(1 + known, 5.4, 3.8)
    for result in results:
        rows = [
            row
            for row in read_rows(seed_folder(config, result["seed"]) / "progress.csv")
            if "utility" in row
        ]
        axes[0].plot(
            [row["steps"] for row in rows],
            [row["utility"] for row in rows],
            ".-",
            label=f"seed {result['seed']}",
        )
        truth = [row["truthful"] for row in rows][:1]
    for level in truth:
        axes[0].axhline(level, color="black", lw=1, ls="--", label="truthful, same episodes")
    axes[0].set(
        title="utility per episode, evaluated while training", xlabel="steps", ylabel="money"
    )
    axes[0].legend(fontsize=7, frameon=False)
    if known:
        agent = agent_names(market)[0] if config.agent in (None, "all") else config.agent
        role = role_of(market, agent).name
        low, high = market.config.values if role == "buyer" else market.config.costs
        types = torch.linspace(low, high, TYPES, dtype=torch.float64)
        for result in results:
            prices = exact.price_rule(
                load_policy(seed_folder(config, result["seed"])), market, agent
            )
            axes[1].plot(types, prices(types), label=f"learned, seed {result['seed']}")
        for (name, rule), style in zip(
            known_prices(market, role).items(), ("k:", "k--", "k-."), strict=False
        ):
            axes[1].plot(types, rule(types), style, lw=1, label=name)
        axes[1].set(
            title=f"price that the {role} names", xlabel="type, money", ylabel="price, money"
        )
        axes[1].legend(fontsize=7, frameon=False)
    return png(fig)


def steps_done(config: TrainConfig) -> int:
    """Steps of all seeds together, from their files."""
    steps = 0
    for seed in config.seeds:
        with contextlib.suppress(FileNotFoundError):  # not begun
            steps += int(read_rows(seed_folder(config, seed) / "speed.csv")[-1]["steps"])
    return steps


def main(config: TrainConfig) -> None:
    """Train all seeds, print the tables, and write result.json and learning.png."""
    with command.flags_named(TrainConfig):
        config, arguments = config.with_defaults(), config.market_arguments()
    market = make_market(config.market, **arguments)
    with command.flags_named(TrainConfig):
        check(config, market)  # before anything is written
    assert config.out is not None
    command.check_folder(*(seed_folder(config, seed) for seed in config.seeds))
    alone = config.workers == 1
    jobs = (joblib.delayed(one_seed)(config, seed, progress=alone) for seed in config.seeds)
    assert config.steps is not None
    # seeds that train side by side share one progress bar
    total = config.steps * len(config.seeds)
    with (
        contextlib.nullcontext()
        if alone
        else watched("all seeds, steps", total, partial(steps_done, config))
    ):
        with command.sheltered():
            running = joblib.Parallel(n_jobs=config.workers, return_as="generator")(jobs)
        results = list(running)
    with whole_file(config.out / "result.json") as part:
        part.write_text(json.dumps({"seeds": results}, indent=1), encoding="utf8")
    with whole_file(config.out / "learning.png") as part:
        part.write_bytes(picture(config, results))
    command.show(earnings(results), behaviour(results))
    console = Console()
    if text := note(itertools.chain.from_iterable(gaps_of(results).values()), "episodes"):
        console.print(text, soft_wrap=True)
    speed = [result["speed"] for result in results]
    rate, share = (
        sum(part[name] for part in speed) / len(speed) for name in ("steps_per_second", "env_share")
    )
    console.print(f"{rate:.0f} steps a second and process, {share:.0%} of the time in the markets.")
    console.print(f"Result: {config.out / 'result.json'}", soft_wrap=True)


if __name__ == "__main__":
    command.run(lambda: main(command.read(TrainConfig, __doc__)))
