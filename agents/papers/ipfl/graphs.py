"""Who never buys from whom: a condition that does not depend on the graph."""

from __future__ import annotations

import dataclasses

import torch

from marketenv.markets.model_sharing import ShareModels
from marketenv.mechanisms import GRAPHS, SharingTerms, never_bought

from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from .settings import SIX, drawn_market
from .sharing import shared


def seed_words(count: int) -> str:
    """Words for a seed list."""
    return f"JUDGE + 0..{count - 1}"


def drawn_terms(markets: int, clients: int) -> SharingTerms:
    """What the graph is made from in random markets of truthful clients."""
    market = drawn_market(clients)
    (sharing,) = shared(market, "truthful", seeds_of(JUDGE, markets))
    return SharingTerms(sharing.reported, sharing.discounts, market.phase(ShareModels).rules.gain)


def isolated_iff(condition: str, effort: Effort) -> Evidence:
    """How often a graph and the derived condition disagree.

    A graph disagrees where it buys what is never bought, or where a pair that is alone deals
    against the condition.
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
    note = f"{share:.1%} of the pairs are never to deal"
    return Evidence(samples=parts, seeds=seed_words(cases), notes=(note,))
