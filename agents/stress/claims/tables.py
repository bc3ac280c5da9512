"""Tables of Train 'n Trade: two agents with thin classes of their own, in and out of the
market, and how both fare.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.alignment import alpha_closed_form
from marketenv.core import rounds
from marketenv.core.market import Market, Move, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.data import make_source
from marketenv.data.sources import find_dataset
from marketenv.learners import Training
from marketenv.markets.parameter_trading import (
    ROLE,
    ParameterTradingConfig,
    Scored,
    parameter_trading,
)
from marketenv.markets.parameter_trading.exchanges import Exchange, Terms, fedavg
from marketenv.markets.parameter_trading.reports import Quotes, Reports
from marketenv.markets.parameter_trading.weights import Merger, Weighed, weighed
from marketenv.markets.worlds import Laid

from ...scripted.parameter_trading import never_trade
from ..attack import JUDGE, seeds_of
from .claim import AS_STATED, Effort, Evidence

AGENTS = ("A", "B")
TEST_DATA = "the broker holds the test data"  # as in the authors' public setup
DIGITS = "embedded digits"  # in place of MNIST
DIGITS_LEAK = f"{DIGITS}, {TEST_DATA}"
FEWER = "fewer parameters"  # than the paper's 1000 of figures 3 and 4
OWN_TASK = f"{FEWER}, a broker with examples of the buyer's own task"
# in the order of the paper's table
METHODS = ("out of the market", "FedAvg", "no alignment", "aligned")
# aligned, of table 2
LAYERS = {f"layers {set(part)}": part for part in ((3, 4), (2, 3, 4), (0, 1, 2), (0, 1))}
# section 6.1.3: fall of the test loss against out of the market, %
FALLS = {"A": 42.84, "B": 23.88}
DISTANCES = (0.0, 0.5, 1.0, 2.0)  # of the true parameters, in lengths of A's; figure 4 names none
FULL = "it wants the effort full"

# as in the authors' public configuration; init_rule: their networks start as torch.nn.Linear does
MNIST_MLP: tuple[tuple[str, Any], ...] = (("hidden", (32, 32, 32, 16)), ("init_rule", "torch"))
MNIST_PIXELS = ((0.1307,), (0.3081,))  # mean and deviation of each channel


# --- how agents get on ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Joins:
    """Stay outside, then trade: ``outside`` until the share of rounds that are over reaches
    ``when``, ``inside`` from there.
    """

    outside: Policy
    inside: Policy
    when: float

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Actions of the one or the other."""
        out, within = (policy(observation, move, keys) for policy in (self.outside, self.inside))
        return torch.where(move.observation.unpack(observation)["round"] < self.when, out, within)


def averaging_from(join: int, quotes: Quotes, reports: Reports, terms: Terms) -> Exchange:
    """FedAvg, once so many rounds are over; everybody keeps its own model before."""
    done = fedavg(quotes, reports, terms)
    return dataclasses.replace(
        done, params=torch.where((terms.round < join)[:, None, None], quotes.trained, done.params)
    )


@dataclass(frozen=True)
class Ending:
    """How episodes ended: test losses and accuracies [seeds, agents], utilities, and the
    rounds' reports.
    """

    loss: Float64[Tensor, "seeds agents"]
    accuracy: Float64[Tensor, "seeds agents"]
    utility: Float64[Tensor, "seeds agents"]
    reports: list[Report]


def ending(market: Market, policy: Policy, seeds: Tensor) -> Ending:
    """Play episodes in which everybody plays one policy, all seeds as one batch."""
    policies, done = dict.fromkeys(agent_names(market), policy), []
    now = rounds.begin(market, seeds)
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, policies, now))
        done += [] if report is None else [report]
    scores = rounds.test_scores(market, now)
    utility = torch.stack([report.rewards for report in done]).sum(0)
    return Ending(scores.loss.double(), scores.accuracy.double(), utility, done)


def digits(condition: str, effort: Effort) -> dict[str, Any]:
    """Two agents on the embedded digits, each with a tenth of the other's half of the classes;
    the market's own network.
    """
    options = {
        "keep": 0.1,
        "overlap": True,
        "broker_data": "test" if TEST_DATA in condition else "validation",
    }
    return {
        "data": "digits",
        "partition": "class_imbalance",
        "data_options": options,
        "max_cycles": effort.digits,
    }


def five_layers(condition: str, effort: Effort) -> dict[str, Any]:
    """The same with the hidden layers of the paper's network, so that there are five to choose
    from.
    """
    return digits(condition, effort) | {"learner": "mlp", "learner_options": dict(MNIST_MLP)}


def mnist_folder() -> Path | None:
    """Where MNIST lies, if the variable MARKETENV_DATA names a folder that holds it."""
    place = Path(os.environ.get("MARKETENV_DATA", "")) / "mnist"
    return place if os.environ.get("MARKETENV_DATA") and place.is_dir() else None


def mnist(condition: str, effort: Effort) -> dict[str, Any]:
    """The paper's first setting: MLP 784-32-32-32-16-10, SGD 0.01, batch 512, a round an epoch;
    pixels standardised.
    """
    found = find_dataset("mnist", root=mnist_folder())
    found = dataclasses.replace(
        found, x=_pixels(found.x), x_test=None if found.x_test is None else _pixels(found.x_test)
    )
    sizes = {"broker_data": "test"} if TEST_DATA in condition else {"validation_size": 10_000}
    source = make_source(found, "class_imbalance", len(AGENTS), keep=0.1, overlap=True, **sizes)
    largest = int(source.federation(seeds_of(JUDGE, 1)).train.size.max())
    training = Training(
        optimizer="sgd", learning_rate=1e-2, batch_size=512, steps=-(-largest // 512)
    )
    learner = {"learner": "mlp", "learner_options": dict(MNIST_MLP)}
    rest = {
        "training": training,
        "valuation": "relative_loss",
        "after_purchase": "reset",
        "max_cycles": effort.digits,
    }
    return {"data": source} | learner | rest


def _pixels(x: Tensor) -> Tensor:
    (mean,), (deviation,) = MNIST_PIXELS
    return (x - mean) / deviation


def linear(condition: str, effort: Effort) -> dict[str, Any]:
    """Figure 3's agents: A with few clean examples, B with more and noisy ones; a unit of money a
    unit of loss.

    The paper's sizes as stated, the effort's otherwise.
    """
    n_rounds, dimension = (100, 1000) if condition == AS_STATED else effort.linear[1:]
    options = {
        "dimension": dimension,
        "examples": (dimension // 2, dimension * 4 // 5),
        "noise": (0.0, 0.5**0.5),
    }
    options |= {"validation_size": 10 * dimension, "test_size": 10 * dimension}
    training = Training(optimizer="sgd", learning_rate=1 / n_rounds, batch_size=None, steps=1)
    free = {"money_per_loss": (1.0, 1.0), "effort_cost": (0.0, 0.0), "valuation": "error_ratio"}
    return {
        "data": "linear",
        "data_options": options,
        "learner": "linear",
        "training": training,
        "max_cycles": n_rounds,
    } | free


def played(options: dict[str, Any], method: str, seeds: Tensor) -> Ending:
    """Play one method of the table; agents join the market after a twelfth of the rounds, as in
    the paper.
    """
    join = options["max_cycles"] // 12
    exchange = partial(averaging_from, join) if method == "FedAvg" else "trade"
    options = options | {
        "alignment": "auto" if method == "aligned" or method in LAYERS else "none",
        "layers": LAYERS.get(method),
    }
    market = make_market(
        "parameter_trading_v0", n_agents=len(AGENTS), exchange=exchange, cash=1e6, **options
    )
    outside = never_trade(market)
    inside = Joins(outside, market.policies["truthful"], (join - 0.5) / market.horizon)
    return ending(market, outside if method in METHODS[:2] else inside, seeds)


def own_weights(merger: Merger) -> Weighed:
    """The best weights of each purchase for the loss on the broker's features with noiseless labels
    of the buyer's own task.

    The broker's data otherwise hold both tasks in turn, so that a weight serves their average.
    """
    world = merger.world
    assert world.optimum is not None
    of_exam = partial(_own_weights, merger.mask)
    (alpha,) = world.asked(world.content.exam, of_exam, world.optimum, merger.models, merger.offers)
    return weighed(merger, alpha)


def _own_weights(
    mask: Tensor, laid: Laid, optimum: Tensor, trained: Tensor, offers: Tensor
) -> tuple[Tensor]:
    """The best weights for noiseless labels of each buyer's own task: X^T y / n = G theta*."""
    gram = laid.made.gram.repeat_interleave(len(trained) // laid.owners, 0)
    cross = optimum.double() @ gram
    weights = [
        alpha_closed_form(gram, cross[:, k], trained, offers, mask)[:, k]
        for k in range(trained.shape[1])
    ]
    return (torch.stack(weights, 1),)


# --- experiments ----------------------------------------------------------------------------------


def compared(
    pairs: tuple[tuple[str, str], ...], each: bool, data: str, condition: str, effort: Effort
) -> Evidence:
    """Test accuracy of the second method of each pair less that of the first, same seeds, % of test
    rows.

    each: a statistic an agent; otherwise the mean of the two agents, which hold as good as one
        model where both buy
    """
    if data == "mnist" and not (effort.data and mnist_folder()):
        return Evidence(
            untested=(
                "it wants the effort full and a folder with MNIST, named by the variable"
                " MARKETENV_DATA"
            )
        )
    options = {"digits": digits, "five layers": five_layers, "mnist": mnist}[data](
        condition, effort
    )
    count = min(effort.seeds, 20) if data == "mnist" else effort.seeds
    seeds, done = seeds_of(JUDGE, count), {}
    for method in dict.fromkeys(name for pair in pairs for name in pair):
        done[method] = played(options, method, seeds)
    samples: dict[str, list[float]] = {}
    for less, more in pairs:
        points = 100 * (done[more].accuracy - done[less].accuracy)
        named = (
            dict(zip(AGENTS, points.T, strict=True))
            if each
            else {"mean of A and B": points.mean(1)}
        )
        samples |= {f"{more} less {less}, {who}": values.tolist() for who, values in named.items()}
    rows = [
        [m, *(100 * e.accuracy.mean(0)).tolist(), *e.loss.mean(0).tolist()] for m, e in done.items()
    ]
    table = {
        "title": f"{data}: means over {count} seeds",
        "head": ["method", "A, % right", "B, % right", "A, loss", "B, loss"],
    }
    return Evidence(
        samples=samples,
        seeds=f"JUDGE + 0..{count - 1}",
        tables=({**table, "rows": rows},),
        series=(
            {"kind": "lines", "title": f"{data}: broker's loss, mean of A and B", **_losses(done)},
        ),
        notes=(
            (
                f"{options['max_cycles']} rounds, in the market after the first"
                f" {options['max_cycles'] // 12}"
            ),
        ),
    )


def _losses(done: Mapping[str, Ending]) -> dict[str, Any]:
    curves = {
        name: torch.stack([r.of(Scored).loss.mean(1) for r in one.reports], 1)[:20].tolist()
        for name, one in done.items()
    }
    return {"x": "round", "y": "loss", "curves": curves}


def both_gain(condition: str, effort: Effort) -> Evidence:
    """How much less each agent loses in the market, % of its test loss out of it."""
    if condition == AS_STATED and not effort.data:
        return Evidence(untested=FULL)
    inside, saved, told = _saved(condition, effort)
    samples = {
        f"fall of {agent}'s test loss": saved[:, k].tolist() for k, agent in enumerate(AGENTS)
    }
    return Evidence(samples=samples, seeds=told, series=trades(inside.reports, AGENTS))


def figure_3(condition: str, effort: Effort) -> Evidence:
    """How far the fall of each agent's test loss is from the paper's number, to either side, as
    a part of that.
    """
    if condition == AS_STATED and not effort.data:
        return Evidence(untested=FULL)
    _, saved, told = _saved(condition, effort)
    samples: dict[str, list[float]] = {}
    for k, (agent, paper) in enumerate(FALLS.items()):
        off = saved[:, k] / paper - 1
        samples |= {
            f"{agent} above {paper} %": off.tolist(),
            f"{agent} below {paper} %": (-off).tolist(),
        }
    means = ", ".join(
        f"{agent} {float(saved[:, k].mean()):.4g} %" for k, agent in enumerate(AGENTS)
    )
    return Evidence(samples=samples, seeds=told, notes=(f"mean falls: {means}",))


def _saved(condition: str, effort: Effort) -> tuple[Ending, Tensor, str]:
    options = (digits if condition == DIGITS else linear)(condition, effort)
    seeds = seeds_of(JUDGE, effort.seeds if condition == DIGITS else effort.linear[0])
    inside, outside = (
        played(options, method, seeds) for method in ("aligned", "out of the market")
    )
    told = f"JUDGE + 0..{len(seeds) - 1}, {options['max_cycles']} rounds"
    return inside, 100 * (1 - inside.loss / outside.loss), told


def figure_4(falling: bool, condition: str, effort: Effort) -> Evidence:
    """How much less A loses on its own task in the market at each distance, %; or how much more
    than at the next distance.

    Losses are exact: features are standard Gaussian, so half the mean squared error is |theta -
    theta*|^2 / 2.
    """
    if condition == AS_STATED and not effort.data:
        return Evidence(untested=FULL)
    options, seeds = linear(condition, effort), seeds_of(JUDGE, effort.linear[0])
    saved = torch.stack(
        [_own_fall(options, distance, condition == OWN_TASK, seeds) for distance in DISTANCES]
    )
    named = dict(zip(map("distance {:g}".format, DISTANCES), saved, strict=True))
    if falling:
        steps = zip(DISTANCES, DISTANCES[1:], -saved.diff(dim=0), strict=False)
        named = {f"distance {near:g} less {far:g}": less for near, far, less in steps}
    table = {
        "title": "A's fall",
        "head": ["distance", "%"],
        "rows": list(zip(DISTANCES, saved.mean(1).tolist(), strict=True)),
    }
    samples = {name: points.tolist() for name, points in named.items()}
    return Evidence(
        samples=samples,
        seeds=f"JUDGE + 0..{len(seeds) - 1}, {options['max_cycles']} rounds",
        tables=(table,),
    )


def _own_fall(options: dict[str, Any], distance: float, own_task: bool, seeds: Tensor) -> Tensor:
    """By how much A's loss on its own task is less in the market than out of it, % [seeds]."""
    apart = {"data_options": options["data_options"] | {"distance": distance, "test_size": 1}}
    config = ParameterTradingConfig(
        n_agents=len(AGENTS),
        cash=1e6,
        alpha=own_weights if own_task else "auto",
        **(options | apart),
    )
    market = parameter_trading(config)
    start = rounds.begin(market, seeds)
    optimum = start.floor.world.optimum
    ends = [
        _last(market, policy, start)[:, 0] - optimum[:, 0]
        for policy in (market.policies["truthful"], never_trade(market))
    ]
    inside, outside = (error.double().square().sum(1) for error in ends)
    return 100 * (1 - inside / outside)


def _last(market: Market, policy: Policy, start: rounds.Situation) -> Tensor:
    """Everybody's parameters after the last round [seeds, agents, d]."""
    policies, now = dict.fromkeys(agent_names(market), policy), start
    while now.playing:
        now, _ = rounds.advance(market, now, rounds.act(market, policies, now))
    params: Tensor = now.floor.models[ROLE].params
    return params


def trades(reports: list[Report], names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """What each agent paid round by round, seed by seed, and who paid whom how much an episode
    in the mean.
    """
    paid = torch.stack([report.paid for report in reports], 1)[:20]  # [seeds, rounds, agents]
    curves = {f"{name} pays": paid[..., k].tolist() for k, name in enumerate(names)}
    money = (
        torch.stack([report.transfers for report in reports])
        .sum(0)
        .mean(0)[: len(names), : len(names)]
    )
    return (
        {
            "kind": "lines",
            "title": "prices over rounds",
            "x": "round",
            "y": "money",
            "curves": curves,
        },
        {
            "kind": "network",
            "title": "who pays whom, money per episode",
            "names": list(names),
            "money": money.tolist(),
        },
    )
