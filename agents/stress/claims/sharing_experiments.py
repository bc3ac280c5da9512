"""Experiments on the model-sharing market of iPFL (arXiv 2505.02462): regret, accounts,
attackers, accuracy, welfare, effort.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market, Report, agent_names
from marketenv.markets.model_sharing import Share, Shared
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.mechanisms import GRAPHS, SharingTerms, never_bought

from ...lineups import find_profile
from ...markets import STRATEGIES
from ..attack import JUDGE, seeds_of
from ..exact import ex_post_regret
from .claim import Effort, Evidence, Experiment
from .truthfulness import Build, blocks

# K = 5e5 at N = 5000, c = 1
PAPER_TYPES: dict[str, Any] = {"costs": (1.0, 1.0), "needs": (100.0, 100.0)}
# equally many examples each
FIVE: dict[str, Any] = {"partition": "label_skew", "data_options": {"classes_per_agent": 5}}
FREE: dict[str, Any] = {"types": {"costs": (0.0, *(1.0,) * 9)}}
MANY = "ten clients on embedded digits"
FIVE_2, FIVE_1 = (f"{MANY}, five classes each, lambda {k}" for k in (2, 1))
APART_2, APART_1 = (f"{MANY}, Dirichlet .1, lambda {k}" for k in (2, 1))
# two of the paper's partitions and two of its lambdas
ON_DIGITS = (APART_2, APART_1, FIVE_2, FIVE_1)
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
# times an effort's: so many episodes without a purchase tell that an attacker is isolated
SEEDS = 2
# who shares with whom does not depend on the models: one round tells all
FIXED = ("local", "fedavg", "fedprox", "ditto")
LIARS = 320  # seeds of exact regrets: none above tells 2 % of five line-ups under three conditions
SIX = 6  # clients of exact searches: all replies of an episode, and all sets of sellers, are tried


@dataclass(frozen=True)
class Lighter:
    """An experiment at a fraction of an effort's cheap search: a market of ten clients is no
    auction of two.
    """

    experiment: Experiment
    select: int = 8
    judge: int = 32

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """What the experiment finds with fewer seeds."""
        cheap, most = effort.cheap, effort.cheap.judge
        fewer = {
            "select": max(cheap.select // self.select, 32),
            "judge": max(most // self.judge, min(512, most)),
        }
        return self.experiment(
            condition, dataclasses.replace(effort, cheap=dataclasses.replace(cheap, **fewer))
        )


def digits(condition: str, n_rounds: int, **more: Any) -> Market:
    """The market of a condition, with the types of the paper's experiments."""
    return make_market("model_sharing_v0", **({"max_cycles": n_rounds} | DIGITS[condition] | more))


def seeds_told(count: int) -> str:
    """Words for a seed list."""
    return f"JUDGE + 0..{count - 1}"


@dataclass(frozen=True)
class Episodes:
    """How episodes went: how they began, every round's report, and how they ended."""

    start: rounds.Situation
    reports: list[Report]
    end: rounds.Situation

    def dealt(self) -> list[Shared]:
        """What every round's sharing came to."""
        return [report.of(Shared) for report in self.reports]

    def utility(self) -> Float64[Tensor, "markets agents"]:
        """The paper's utilities, summed over rounds."""
        return torch.stack([done.utility for done in self.dealt()]).sum(0)


def episodes(market: Market, parts: Any, seeds: Tensor) -> Episodes:
    """Play a profile to the end."""
    profile, start, done = find_profile(market, parts), rounds.opened(market, seeds), []
    now = rounds.begun(market, start)
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
        done += [] if report is None else [report]
    return Episodes(start, done, now)


# --- what deviating brings ------------------------------------------------------------------------


@dataclass(frozen=True)
class CostRegret:
    """An experiment: the exact regret of the first client's reported cost against the very reports
    of the others.

    against: what the others play, in turn
    """

    build: Build
    against: tuple[str, ...] = ("truthful",)

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The regret of each seed."""
        market, count = self.build(condition, effort), max(LIARS, effort.cheap.select // 8)
        (agent, *_), found = agent_names(market), {}
        for part in self.against:
            profile = find_profile(market, part) | {agent: market.policies["truthful"]}
            found[part] = ex_post_regret(
                market, profile, agent, seeds_of(JUDGE, count), fields=("cost",)
            )
        if not all(seen.exact for seen in found.values()):
            return Evidence(
                untested=(
                    "the market names no costs that matter, and a grid of costs would not be exact"
                )
            )
        others = max(found, key=lambda part: float(found[part].regret.max()))
        seen, worst = found[others], int(found[others].regret.argmax())
        factor = float(seen.reports["cost"][worst])
        return Evidence(
            samples={
                f"regret where the others are {part}": seen.regret.tolist()
                for part, seen in found.items()
            },
            seeds=seeds_told(count),
            scale=max(float(found[self.against[0]].utility.abs().mean()), 1e-12),
            counterexample=(
                f"at seed JUDGE + {worst}, the others {others}, reporting {factor:.4g} times its"
                f" cost earns {float(seen.regret[worst]):.4g} more than the truth's"
                f" {float(seen.utility[worst]):.4g}"
            ),
            notes=(
                (
                    f"{len(agent_names(market))} clients; all costs that matter were tried at every"
                    " seed"
                ),
            ),
        )


# --- attackers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Isolation:
    """An experiment: which share of the others buys from a client that plays an attack, from the
    second round on.

    claimed: sizes that it reports, as multiples of its own
    """

    attack: str
    claimed: tuple[float, ...] = (1.0,)

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The attacker's share of each seed, for each size that it claims; and an honest
        client's in its place for the table.
        """
        market, seeds = (
            digits(condition, max(2, effort.digits // 6)),
            seeds_of(JUDGE, SEEDS * effort.seeds),
        )
        policy: Any = STRATEGIES[self.attack].build(market)
        policies = {_claims(size): dataclasses.replace(policy, size=size) for size in self.claimed}
        shares = {name: share_of_buyers(market, part, seeds) for name, part in policies.items()}
        honest = _honest_share(condition, market.horizon, len(seeds))
        worst = max(shares, key=lambda name: float(shares[name].max()))
        seed = int(shares[worst].argmax())
        rows = [
            [name, float(share.mean()), float(share.max())]
            for name, share in {**shares, "an honest client": honest}.items()
        ]
        return Evidence(
            samples={
                f"share of the others that buy, {name}": share.tolist()
                for name, share in shares.items()
            },
            seeds=seeds_told(len(seeds)),
            tables=(
                {
                    "title": "share of the others that buy",
                    "head": ["who sells", "mean", "greatest"],
                    "rows": rows,
                },
            ),
            counterexample=(
                f"{self.attack}, {worst}, sells to {float(shares[worst].max()):.0%} of the others a"
                f" round at seed JUDGE + {seed}, to {float(shares[worst].mean()):.1%} in the mean;"
                f" an honest client to {float(honest.mean()):.1%}"
            ),
            notes=(f"{market.horizon} rounds, of which the first is left out",),
        )


def share_of_buyers(market: Market, part: Any, seeds: Tensor) -> Float64[Tensor, "seeds"]:
    """The share of the others that buys from the first client, which plays a part among the
    truthful, after the first round.
    """
    done = episodes(market, {agent_names(market)[0]: part}, seeds).dealt()[1:]
    return torch.stack([one.sold[:, 0].double() for one in done]).mean(0) / (
        market.people.count - 1
    )


@lru_cache(8)
def _honest_share(condition: str, n_rounds: int, count: int) -> Tensor:
    """An honest client's share, which every attack is shown beside."""
    return share_of_buyers(digits(condition, n_rounds), "truthful", seeds_of(JUDGE, count))


def _claims(size: float) -> str:
    return "its own size" if size == 1 else f"{size:g} times its size"


def isolated_iff(condition: str, effort: Effort) -> Evidence:
    """How often a graph buys what the derived condition says is never bought, or leaves a lone
    pair that it says deals.
    """
    cases, parts = max(512, effort.cases // 8), {}
    terms = drawn_terms(cases, SIX)
    never = never_bought(terms)
    # the first two clients alone
    pair = dataclasses.replace(terms, present=torch.arange(SIX).lt(2).expand(cases, -1))
    deals = ~never_bought(pair) & pair.pairs
    for name, graph in GRAPHS.items():
        wrong = (graph(terms) & never).sum((1, 2)) + (graph(pair) != deals).sum((1, 2))
        parts[f"graph {name}"] = wrong.double().tolist()
    share = float(never[terms.pairs].double().mean())
    told = (f"{share:.1%} of the pairs are never to deal",)
    return Evidence(samples=parts, seeds=seeds_told(cases), notes=told)


def drawn_terms(markets: int, clients: int) -> SharingTerms:
    """What the graph is drawn from where all are truthful and distances are drawn: the market's
    own cases.
    """
    market = make_market("model_sharing_v0", learner=None, n_agents=clients, max_cycles=1)
    (done,) = episodes(market, "truthful", seeds_of(JUDGE, markets)).dealt()
    return SharingTerms(done.reported, done.discounts, market.phase(Share).rules.gain)


# --- accuracy and welfare -------------------------------------------------------------------------


def above_local(condition: str, effort: Effort) -> Evidence:
    """Mean test accuracy of the clients at the last round, less what they reach without
    sharing; paired by seed.
    """
    seeds, found = seeds_of(JUDGE, effort.seeds), {}
    for scheme in ("ipfl", "local"):
        market = digits(condition, effort.digits, scheme=scheme)
        end = episodes(market, "truthful", seeds).end
        found[scheme] = rounds.test_scores(market, end).accuracy.double().mean(1)
    means = ", ".join(f"{name} {float(values.mean()):.4f}" for name, values in found.items())
    gain = (found["ipfl"] - found["local"]).tolist()
    return Evidence(
        samples={"iPFL less local": gain},
        seeds=seeds_told(len(seeds)),
        notes=(f"{means}; {effort.digits} rounds",),
    )


def most_welfare(condition: str, effort: Effort) -> Evidence:
    """Summed utility of a round under iPFL less that of every baseline, mean over rounds;
    paired by seed.
    """
    seeds = seeds_of(JUDGE, 1024 if condition == DRAWN else effort.seeds)
    each, longest = {}, 0
    for scheme in SCHEMES:
        market = digits(condition, 1 if scheme in FIXED else effort.digits, scheme=scheme)
        longest = max(longest, market.horizon)
        each[scheme] = episodes(market, "truthful", seeds).utility().sum(1) / market.horizon
    samples = {
        f"iPFL less {name}": blocks(each["ipfl"] - each[name]) for name in each if name != "ipfl"
    }
    rows = [[name, float(values.mean())] for name, values in each.items()]
    table = {"title": "summed utility a round, money", "head": ["scheme", "mean"], "rows": rows}
    return Evidence(
        samples=samples,
        seeds=seeds_told(len(seeds)),
        scale=max(float(each["ipfl"].mean()), 1e-12),
        tables=(table,),
        notes=(f"rounds: {longest}",),
    )


def effort_unpaid(condition: str, effort: Effort) -> Evidence:
    """Utility of a client that relays others' work, less nine tenths of what it earns as an
    honest one; paired by seed.
    """
    market, seeds, earned = digits(condition, effort.digits), seeds_of(JUDGE, effort.seeds), {}
    for part in ("truthful", "relay_rider"):
        earned[part] = episodes(market, {agent_names(market)[0]: part}, seeds).utility()[:, 0]
    ratio = float(earned["relay_rider"].mean() / earned["truthful"].mean().clamp(min=1e-12))
    return Evidence(
        samples={
            "rider less .9 of honest": (earned["relay_rider"] - 0.9 * earned["truthful"]).tolist()
        },
        seeds=seeds_told(len(seeds)),
        scale=max(float(earned["truthful"].mean()), 1e-12),
        notes=(
            (
                f"the rider earns {ratio:.3g} of an honest client in {market.horizon} rounds; the"
                " cost of effort is left out"
            ),
        ),
    )
