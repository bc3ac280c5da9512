"""False names: a client that comes as two, each with a part of its data and of its needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from marketenv.mechanisms import (
    ClientTypes,
    SharingTerms,
    distance_discounts,
    share_models,
    utilities,
)

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.truthfulness import blocks
from .graphs import drawn_terms, seed_words
from .settings import SIX, Rules

Split = tuple[float, float]  # what the first of the two names has of the data, and of the need
WAYS: dict[str, Split] = {
    "halves, both buy": (0.5, 0.5),
    "halves, one only sells": (0.5, 1.0),
    "a quarter and the rest, both buy": (0.25, 0.25),
    "a quarter only sells": (0.25, 0.0),
    "three quarters only sell": (0.75, 0.0),
}


@dataclass(frozen=True)
class FalseNames:
    """An experiment: what the first client gains by coming as two.

    rules: the graph and the payment of a condition, as ``share_models`` takes them
    """

    rules: Mapping[str, Rules]

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The gain of the best way to split, case by case, 0 where none gains.

        The table shows each way alone.
        """
        cases, rules = max(512, effort.cases // 2), self.rules[condition]
        terms = drawn_terms(cases, SIX)
        alone = share_models(terms, **rules)
        one = utilities(terms.reported, terms.gain, alone.allocation, alone.prices)[:, 0]
        gains = torch.stack([earned_as_two(terms, way, rules) - one for way in WAYS.values()])
        best, worst = gains.amax(0).clamp(min=0), int(gains.amax(0).argmax())
        rows = [
            [name, float(gain.mean()), float((gain > 1e-9).double().mean())]
            for name, gain in zip(WAYS, gains, strict=True)
        ]
        share = float((best > 1e-9).double().mean())
        head = ["how", "mean gain, money", "cases that gain"]
        return Evidence(
            samples={"best way": blocks(best)},
            seeds=seed_words(cases),
            scale=max(float(one.abs().mean()), 1e-12),
            tables=({"title": "coming as two", "head": head, "rows": rows},),
            counterexample=(
                f"{list(WAYS)[int(gains[:, worst].argmax())]}: at seed JUDGE + {worst} both names"
                f" earn {float(best[worst]):.4g} more than the one's {float(one[worst]):.4g}"
            ),
            notes=(f"{share:.1%} of the cases gain by some way; {SIX} clients",),
        )


def earned_as_two(terms: SharingTerms, way: Split, rules: Rules) -> Tensor:
    """Summed utility of both names.

    A model that both buy is worth no more than one copy, and every sale costs.
    """
    split = as_two(terms, way)
    outcome, own = share_models(split, **rules), (0, SIX)
    bought = outcome.allocation[:, own].any(1)[:, :SIX].double()
    true = terms.reported
    gain = terms.gain.marginal(true.sizes[:, 0], (bought * true.sizes).sum(1), true.needs[:, 0])
    money = outcome.prices[:, :, own].sum((1, 2)) - outcome.prices[:, own].sum((1, 2))
    return gain + money - true.costs[:, 0] * outcome.allocation[:, :, own].sum((1, 2))


def as_two(terms: SharingTerms, way: Split) -> SharingTerms:
    """The first client as two, each with a share of its samples and of its need.

    The second name comes last. The two do not deal with each other, and stand where the one stood.
    """
    reported, order = terms.reported, torch.tensor([*range(SIX), 0])
    sizes, needs = reported.sizes[:, order].clone(), reported.needs[:, order].clone()
    data, need = way
    sizes[:, [0, SIX]] *= sizes.new_tensor([data, 1 - data])
    needs[:, [0, SIX]] *= needs.new_tensor([need, 1 - need])
    # lambda d of the pairs
    owned = reported.sizes[:, order]
    away = terms.discounts[:, order][:, :, order] * owned[:, :, None] / owned[:, None]
    away[:, [0, SIX], [SIX, 0]] = torch.inf
    return SharingTerms(
        ClientTypes(sizes, reported.costs[:, order], needs),
        distance_discounts(sizes, away, 1.0),
        terms.gain,
    )
