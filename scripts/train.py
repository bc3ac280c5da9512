"""Train an agent on a market with PPO or SAC and show what it earns beside truth.

With --agent each, every agent trains a policy of its own with PPO while the others learn too.

A run that was stopped goes on from its last checkpoint when the same command is given again, and a
finished run goes on when the command asks for more steps. The folder then holds result.json and
learning.png, and for each seed the policy (--agent each: a folder for each agent with its policy),
progress.csv, speed.csv and TensorBoard events.
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
from agents.lineups import members  # noqa: E402
from agents.rl.config import EACH  # noqa: E402
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
COLUMNS = ("utility", "truthful")  # of an evaluation in progress.csv
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


def by_agent(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result for each seed, or for each agent of each seed where every agent learned."""
    return [
        {"seed": result["seed"], **part, "agent": agent}
        for result in results
        for agent, part in result.get("agents", {result["agent"]: result}).items()
    ]


def several_agents(results: list[dict[str, Any]]) -> bool:
    """Whether the results are of more than one agent, so that each row must name its own."""
    return len({result.get("agent") for result in results}) > 1


def earnings(results: list[dict[str, Any]], of: str = "utility") -> Table:
    """One row for each result: the utility of the learned policy beside that of truth."""
    title = f"{of} per episode on fresh seeds, money"
    shown = Table(title=title, padding=(0, 1), box=box.SIMPLE_HEAD)
    gaps, known, several = gaps_of(results), list(results[0]["exact"]), several_agents(results)
    for head in (
        "seed",
        *(["agent"] if several else []),
        "learned",
        "truthful",
        *(heading(words, means) for words, means in gaps.items()),
        *known,
    ):
        shown.add_column(head, justify="right", no_wrap=True)
    for k, result in enumerate(results):
        row = [
            str(result["seed"]),
            *([result["agent"]] if several else []),
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
    """The agent's actions and results in a round, learned and truthful, result by result."""
    shown = Table(title="a round of the agent, means", padding=(0, 1), box=box.SIMPLE_HEAD)
    shown.add_column("policy", no_wrap=True)
    for name in results[0]["behaviour"]:
        shown.add_column(name, justify="right", no_wrap=True)
    several = several_agents(results)
    for result in results:
        whose = f"seed {result['seed']}" + (f", {result['agent']}" if several else "")
        for who in ("learned", "truthful"):
            cells = [f"{means[who]:.3f}" for means in result["behaviour"].values()]
            shown.add_row(f"{who}, {whose}", *cells)
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


def utilities(axis: Any, config: TrainConfig, results: list[dict[str, Any]]) -> None:
    """Draw the utility over steps beside that of truth; of each agent where every agent learned."""
    for result in results:
        rows = read_rows(seed_folder(config, result["seed"]) / "progress.csv")
        for agent in result.get("agents", [""]):
            head = f"{agent}/" if agent else ""
            points = [row for row in rows if f"{head}utility" in row]
            steps = [row["steps"] for row in points]
            learned, truth = ([row[head + name] for row in points] for name in COLUMNS)
            label = f"seed {result['seed']} {agent}".strip()
            (line,) = axis.plot(steps, learned, ".-", label=label)
            if agent:  # truth in its place, while the others keep what they have learned
                axis.plot(steps, truth, "--", color=line.get_color(), lw=1)
    for level in [] if config.agent == EACH else truth[:1]:
        axis.axhline(level, color="black", lw=1, ls="--", label="truthful, same episodes")
    title = "utility per episode, evaluated while training"
    axis.set(title=title, xlabel="steps", ylabel="money")
    axis.legend(fontsize=7, frameon=False)


def learners(config: TrainConfig, market: Market) -> dict[str, str]:
    """Where an agent's policy lies in the folder of its seed; one agent of those that share one."""
    names = agent_names(market)
    if config.agent == EACH:
        return {name: name for name in names}
    return {names[0] if config.agent in (None, "all") else members(market, config.agent)[0]: "."}


def prices(axis: Any, config: TrainConfig, market: Market, role: str) -> None:
    """Draw the prices that a role's agents learned, beside theory's."""
    low, high = market.config.values if role == "buyer" else market.config.costs
    types = torch.linspace(low, high, TYPES, dtype=torch.float64)
    for agent, place in learners(config, market).items():
        if role_of(market, agent).name != role:
            continue
        for seed in config.seeds:
            policy = load_policy(seed_folder(config, seed) / place)
            label = f"learned, seed {seed}" + (f" {agent}" if config.agent == EACH else "")
            axis.plot(types, exact.price_rule(policy, market, agent)(types), label=label)
    for (name, rule), style in zip(
        known_prices(market, role).items(), ("k:", "k--", "k-."), strict=False
    ):
        axis.plot(types, rule(types), style, lw=1, label=name)
    axis.set(title=f"price that the {role} names", xlabel="type, money", ylabel="price, money")
    axis.legend(fontsize=7, frameon=False)


def picture(config: TrainConfig, results: list[dict[str, Any]]) -> bytes:
    """Utility over steps beside truth; in reference games also learned prices beside theory's."""
    market = make_market(config.market, **config.market_arguments())
    roles: list[str] = []
    if market.name == "reference_v0":
        roles = list(dict.fromkeys(role_of(market, a).name for a in learners(config, market)))
    fig, axes = figure(1 + len(roles), 5.4, 3.8)
    utilities(axes[0], config, results)
    for axis, role in zip(axes[1:], roles, strict=True):
        prices(axis, config, market, role)
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
    rows = by_agent(results)
    welfare = [
        {"seed": result["seed"], "exact": {}, **result["welfare"]}
        for result in results
        if "welfare" in result
    ]
    sums = [earnings(welfare, "welfare, the sum of all utilities,")] if welfare else []
    command.show(earnings(rows), *sums, behaviour(rows))
    console = Console()
    if text := note(itertools.chain.from_iterable(gaps_of(rows).values()), "episodes"):
        console.print(text, soft_wrap=True)
    speed = [result["speed"] for result in results]
    rate, share = (
        sum(part[name] for part in speed) / len(speed) for name in ("steps_per_second", "env_share")
    )
    console.print(f"{rate:.0f} steps a second and process, {share:.0%} of the time in the markets.")
    console.print(f"Result: {config.out / 'result.json'}", soft_wrap=True)


if __name__ == "__main__":
    command.run(lambda: main(command.read(TrainConfig, __doc__)))
