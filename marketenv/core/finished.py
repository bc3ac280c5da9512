"""The last finished round of every market of a batch, as infos show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core import tree
from marketenv.core.market import Market, Report
from marketenv.core.numbers import zeros


@dataclass(frozen=True)
class Finished:
    """What infos show of every market's last finished round.

    All numbers are 0 in a market whose present episode has no finished round.

    facts:  by name, each [markets, agents]
    earned: the rewards                        float64 [markets, agents]
    report: in full; None before the first round, and after a load
    """

    facts: Mapping[str, Tensor]
    earned: Float64[Tensor, "markets agents"]
    report: Report | None = None

    @classmethod
    def nothing(cls, market: Market, n_markets: int) -> Finished:
        """No round is over in any market."""
        nothing = zeros(market.device, n_markets, market.people.count)
        return cls(dict.fromkeys(market.facts, nothing), nothing)

    @classmethod
    def of(cls, report: Report) -> Finished:
        """All markets have just finished a round."""
        return cls(report.infos(), report.rewards, report)

    def cleared(self, mask: Bool[Tensor, "markets"]) -> Finished:
        """The masked markets begin anew; the report stays as it is."""
        facts = {name: values.masked_fill(mask[:, None], 0) for name, values in self.facts.items()}
        return Finished(facts, self.earned.masked_fill(mask[:, None], 0), self.report)

    def emptied(self) -> Finished:
        """All markets begin anew."""
        nothing = zeros(self.earned.device, *self.earned.shape)
        return Finished(dict.fromkeys(self.facts, nothing), nothing, self.report)

    def but(self, mask: Bool[Tensor, "markets"], former: Finished) -> Finished:
        """The masked markets have not played: theirs stays the former round."""
        row, index = mask[:, None], mask.nonzero()[:, 0]
        facts = {
            name: torch.where(row, former.facts[name].to(values.dtype), values)
            for name, values in self.facts.items()
        }
        report = self.report
        if report is not None and former.report is not None:
            report = tree.put(report, index, tree.rows(former.report, index))
        return Finished(facts, torch.where(row, former.earned, self.earned), report)
