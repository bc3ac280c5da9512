"""Experiments on the model-sharing market of iPFL (arXiv 2505.02462): attackers, accuracy, welfare, false names, free-riding."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core import draws, rounds
from marketenv.core.market import agent_names
from marketenv.markets.model_sharing import ModelSharingMarket
from marketenv.markets.model_sharing_types import SharingReport, SharingState
from marketenv.mechanisms import GRAPHS, ClientTypes, SharingTerms, distance_discounts, never_bought, share_models, utilities

from ...lineups import find_profile
from ..attack import JUDGE, seeds_of
from ..exact import ex_post_regret
from .claim import Effort, Evidence, Experiment
from .truthfulness import Build, blocks

PAPER_TYPES: dict[str, Any] = {"costs": (1.0, 1.0), "needs": (100.0, 100.0)}  # K = 5e5 at N = 5000, c = 1
FIVE: dict[str, Any] = {"partition": "label_skew", "data_options": {"classes_per_agent": 5}}  # equally many examples each
FREE: dict[str, Any] = {"types": {"costs": (0.0, *(1.0,) * 9)}}
MANY = "ten clients on embedded digits"
FIVE_2, FIVE_1 = (f"{MANY}, five classes each, lambda {k}" for k in (2, 1))
APART_2, APART_1 = (f"{MANY}, Dirichlet .1, lambda {k}" for k in (2, 1))
GIVEN_AWAY = f"{APART_1}, client_0 sells at no cost"
DRAWN = "one round, distances drawn"
DIGITS: dict[str, dict[str, Any]] = {
    FIVE_2: PAPER_TYPES | FIVE | {"strength": 2.0},
    FIVE_1: PAPER_TYPES | FIVE | {"strength": 1.0},
    APART_2: PAPER_TYPES | {"strength": 2.0},
    APART_1: PAPER_TYPES | {"strength": 1.0},
    GIVEN_AWAY: PAPER_TYPES | FREE | {"strength": 1.0},
    DRAWN: PAPER_TYPES | {"learner": None, "max_cycles": 1},
}
SIX = 6  # clients of exact searches: all replies of an episode, and all sets of sellers, are tried
KEYS = 5  # key of random cases


@dataclass(frozen=True)
class Lighter:
    """An experiment at a fraction of an effort's cheap search: a market of ten clients is no auction of two."""

    experiment: Experiment
    select: int = 8
    judge: int = 32

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """What the experiment finds with fewer seeds."""
        cheap, most = effort.cheap, effort.cheap.judge
        fewer = {"select": max(cheap.select // self.select, 32), "judge": max(most // self.judge, min(512, most))}
        return self.experiment(condition, dataclasses.replace(effort, cheap=dataclasses.replace(cheap, **fewer)))


def digits(condition: str, n_rounds: int, **more: Any) -> ModelSharingMarket:
    """The market of a condition, with the types of the paper's experiments."""
    market = make_market("model_sharing_v0", **({"max_cycles": max(2, n_rounds)} | DIGITS[condition] | more))
    assert isinstance(market, ModelSharingMarket)
    return market


def seeds_told(count: int, more: str = "") -> str:
    """Words for a seed list."""
    return f"JUDGE + 0..{count - 1}{more}"


@dataclass(frozen=True)
class Episodes:
    """How episodes went: every round's report, and how they ended."""

    reports: list[SharingReport]
    end: SharingState

    def sum(self, name: str) -> Float64[Tensor, "markets agents"]:
        """A number of the report, summed over rounds."""
        return torch.stack([getattr(report, name).double() for report in self.reports]).sum(0)


def episodes(market: ModelSharingMarket, parts: Any, seeds: Tensor) -> Episodes:
    """Play a profile to the end."""
    profile, done, now = find_profile(market, parts), [], rounds.begin(market, seeds)
    while now.quotes is not None:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
        assert isinstance(report, SharingReport)
        done.append(report)
    return Episodes(done, now.state)


# --- what deviating brings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostRegret:
    """An experiment: the exact regret of the first client's reported cost against the very reports of the others."""

    build: Build

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The regret of each seed."""
        market, count = self.build(condition, effort), max(256, effort.cheap.select // 8)
        seen = ex_post_regret(market, find_profile(market), agent_names(market)[0], seeds_of(JUDGE, count), ("cost",))
        worst = int(seen.regret.argmax())
        factor = 10.0 ** float(seen.actions[worst, 0])
        return Evidence(
            samples={"regret": seen.regret.tolist()},
            seeds=seeds_told(count),
            scale=max(float(seen.utility.abs().mean()), 1e-12),
            counterexample=f"at seed JUDGE + {worst} reporting {factor:.4g} times its cost earns {float(seen.regret[worst]):.4g} "
            f"more than the truth's {float(seen.utility[worst]):.4g}",
            notes=(f"{len(agent_names(market))} clients; all costs that matter were tried at every seed: {seen.exact}",),
        )


# --- attackers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Isolation:
    """An experiment: which share of the others buys from a client that plays an attack, from the second round on."""

    attack: str

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The attacker's share of each seed, and an honest client's in its place for the table."""
        market, seeds = digits(condition, effort.digits // 6), seeds_of(JUDGE, effort.seeds)
        shares = self._share(market, self.attack, seeds)
        worst = int(shares.argmax())
        return Evidence(
            samples={"share of the others that buy": shares.tolist()},
            seeds=seeds_told(len(seeds)),
            counterexample=f"{self.attack} at seed JUDGE + {worst} sells to {float(shares[worst]):.0%} of the others a round, "
            f"and to {float(shares.mean()):.1%} in the mean",
            notes=(f"mean share {float(shares.mean()):.4g}; {market.horizon} rounds",),
        )

    def _share(self, market: ModelSharingMarket, part: str, seeds: Tensor) -> Tensor:
        done = episodes(market, {agent_names(market)[0]: part}, seeds).reports[1:]
        return torch.stack([report.sold[:, 0].double() for report in done]).mean(0) / (market.n_agents - 1)


def isolated_iff(condition: str, effort: Effort) -> Evidence:
    """How often a graph buys what the derived condition says is never bought, or leaves a lone pair that it says deals."""
    cases, parts = max(512, effort.cases // 8), {}
    terms = random_terms(cases, SIX)
    never = never_bought(terms)
    pair = dataclasses.replace(terms, present=torch.arange(SIX).lt(2).expand(cases, -1))  # the first two clients alone
    deals = ~never_bought(pair) & pair.pairs
    for name, graph in GRAPHS.items():
        wrong = (graph(terms) & never).sum((1, 2)) + (graph(pair) != deals).sum((1, 2))
        parts[f"graph {name}"] = wrong.double().tolist()
    share = float(never[terms.pairs].double().mean())
    told = (f"{share:.1%} of the pairs are never to deal",)
    return Evidence(samples=parts, seeds=f"key {KEYS}, {cases} cases of {SIX} clients", notes=told)


def random_terms(cases: int, clients: int, strength: float = 1.0) -> SharingTerms:
    """Markets as the environment draws them without a learner: sizes lognormal, costs, needs and distances uniform."""
    key = draws.fold(torch.tensor(KEYS), "sharing", torch.arange(cases))
    sizes = 5000 * (0.6 * draws.normal(draws.fold(key, "sizes"), clients)).exp()
    costs, needs = (draws.uniform(draws.fold(key, name), clients) for name in ("costs", "needs"))
    types = ClientTypes(sizes, 0.2 + 1.8 * costs, (50 + 50 * needs) * sizes.mean(1, keepdim=True))
    upper = draws.uniform(draws.fold(key, "distance"), clients, clients).triu(1)
    return SharingTerms(types, distance_discounts(sizes, upper + upper.mT, strength))


# --- accuracy and welfare -----------------------------------------------------------------------------------------------


def above_local(condition: str, effort: Effort) -> Evidence:
    """Mean test accuracy of the clients at the last round, less what they reach without sharing; paired by seed."""
    seeds, n_rounds, found = seeds_of(JUDGE, effort.seeds), 2 * effort.digits // 3, {}
    for scheme in ("ipfl", "local"):
        market = digits(condition, n_rounds, scheme=scheme)
        found[scheme] = market.test_scores(episodes(market, "truthful", seeds).end).accuracy.double().mean(1)
    means = ", ".join(f"{name} {float(values.mean()):.4f}" for name, values in found.items())
    gain = (found["ipfl"] - found["local"]).tolist()
    return Evidence(samples={"iPFL less local": gain}, seeds=seeds_told(len(seeds)), notes=(f"{means}; {n_rounds} rounds",))


def most_welfare(condition: str, effort: Effort) -> Evidence:
    """Summed utility of a round under iPFL less that of every baseline; paired by seed."""
    seeds = seeds_of(JUDGE, 1024 if condition == DRAWN else effort.seeds)
    each = {}
    for scheme in ("ipfl", "local", "fedavg", "fedprox", "ditto", "pfedgraph"):
        market = digits(condition, effort.digits // 6, scheme=scheme)
        each[scheme] = episodes(market, "truthful", seeds).sum("utility").sum(1) / market.horizon
    samples = {f"iPFL less {name}": blocks(each["ipfl"] - each[name]) for name in each if name != "ipfl"}
    rows = [[name, float(values.mean())] for name, values in each.items()]
    table = {"title": "summed utility a round, money", "head": ["scheme", "mean"], "rows": rows}
    return Evidence(samples=samples, seeds=seeds_told(len(seeds)), scale=max(float(each["ipfl"].mean()), 1e-12), tables=(table,))


def effort_unpaid(condition: str, effort: Effort) -> Evidence:
    """Utility of a client that relays others' work, less nine tenths of what it earns as an honest one; paired by seed."""
    market, seeds, earned = digits(condition, effort.digits // 3), seeds_of(JUDGE, effort.seeds), {}
    for part in ("truthful", "relay_rider"):
        earned[part] = episodes(market, {agent_names(market)[0]: part}, seeds).sum("utility")[:, 0]
    ratio = float(earned["relay_rider"].mean() / earned["truthful"].mean().clamp(min=1e-12))
    return Evidence(
        samples={"rider less .9 of honest": (earned["relay_rider"] - 0.9 * earned["truthful"]).tolist()},
        seeds=seeds_told(len(seeds)),
        scale=max(float(earned["truthful"].mean()), 1e-12),
        notes=(f"the rider earns {ratio:.3g} of an honest client; the cost of effort is left out",),
    )


# --- false names --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FalseNames:
    """An experiment: what the first client gains by coming as two, each with half of its data.

    rules: the graph and the payment of a condition, as ``share_models`` takes them
    """

    rules: dict[str, dict[str, str]]

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """Gains of two ways to split, case by case: both halves buy, or one buys and the other only sells."""
        cases, rules = max(512, effort.cases // 2), self.rules[condition]
        terms = random_terms(cases, SIX)
        alone = share_models(terms, **rules)
        one = utilities(terms.reported, terms.gain, alone.allocation, alone.prices)[:, 0]
        gains = {f"{name}": self._as_two(terms, share, rules) - one for name, share in HALVES.items()}
        return Evidence(
            samples={name: blocks(gain) for name, gain in gains.items()},
            seeds=f"key {KEYS}, {cases} cases of {SIX} clients",
            scale=max(float(one.abs().mean()), 1e-12),
            notes=tuple(f"{name}: {float((gain > 1e-9).double().mean()):.1%} of the cases gain" for name, gain in gains.items()),
        )

    def _as_two(self, terms: SharingTerms, needs: tuple[float, float], rules: dict[str, str]) -> Tensor:
        """Summed utility of both names: what is bought twice is worth nothing more, and every sale costs."""
        split = as_two(terms, needs)
        done, own = share_models(split, **rules), (0, SIX)
        bought = done.allocation[:, own].any(1)[:, :SIX].double()
        true = terms.reported
        gain = terms.gain.marginal(true.sizes[:, 0], (bought * true.sizes).sum(1), true.needs[:, 0])
        money = done.prices[:, :, own].sum((1, 2)) - done.prices[:, own].sum((1, 2))
        return gain + money - true.costs[:, 0] * done.allocation[:, :, own].sum((1, 2))


HALVES = {"both halves buy": (0.5, 0.5), "one half buys, the other only sells": (1.0, 0.0)}  # shares of the need


def as_two(terms: SharingTerms, needs: tuple[float, float]) -> SharingTerms:
    """The first client as two, with half of its samples each and shares of its need; the second one comes last.

    The two do not deal with each other, and stand where the one stood.
    """
    said, order = terms.reported, torch.tensor([*range(SIX), 0])
    sizes, wanted = said.sizes[:, order].clone(), said.needs[:, order].clone()
    sizes[:, [0, SIX]] *= 0.5
    wanted[:, [0, SIX]] *= wanted.new_tensor(needs)
    away = terms.discounts[:, order][:, :, order] * said.sizes[:, order, None] / said.sizes[:, None, order]  # lambda d
    away[:, [0, SIX], [SIX, 0]] = torch.inf
    return SharingTerms(ClientTypes(sizes, said.costs[:, order], wanted), distance_discounts(sizes, away, 1.0), terms.gain)
