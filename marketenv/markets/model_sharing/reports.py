"""Outcomes of model sharing: who shares what with whom, and who stays in the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.core.phase import Outcome
from marketenv.markets.model_sharing.config import TYPES
from marketenv.markets.model_sharing.uploads import UPLOADS
from marketenv.mechanisms import ClientTypes

REASONS = {
    0: "bought",
    1: "not in the market",
    2: "needs nothing",
    3: "no model is worth its hurdle",
    4: "cannot pay for what it would buy, or the seller cannot",
    5: "uploaded a model that is not finite: isolated in this round",
    6: (
        "training diverged: the client was isolated in this round and reset to its last finite"
        " parameters"
    ),
    7: "shared without money",
    8: "got nobody's model, without money",
    9: (
        "would have merged to a model that is not finite: got nobody's model, paid nothing and kept"
        " its own"
    ),
}


@dataclass(frozen=True)
class Shared(Outcome):
    """Who shares what with whom; pairs are [markets, buyers, sellers], the rest [markets, agents].

    utility: U_i of the paper by the true types, money: the reward before the cost of the effort
    gain:    G_i, money;   bought, sold: numbers of models
    present: who takes part;   left: who leaves in this round, before anything is sold
    upload:  number of a kind in ``UPLOADS``;   reason: number of ``REASONS``
    distance, discounts: of the uploads; lambda (N_j / N_i) d_ij, inf where a model is unusable
    prices:  money;   trades: whose model each client gets;   reported: types
    """

    FACTS: ClassVar[tuple[str, ...]] = (
        "utility",
        "gain",
        "bought",
        "sold",
        "present",
        "upload",
        "reason",
    )
    EDGES: ClassVar[str] = "models bought"

    utility: Float64[Tensor, "markets agents"]
    gain: Float64[Tensor, "markets agents"]
    bought: Int[Tensor, "markets agents"]
    sold: Int[Tensor, "markets agents"]
    present: Bool[Tensor, "markets agents"]
    left: Bool[Tensor, "markets agents"]
    upload: Int[Tensor, "markets agents"]
    reason: Int[Tensor, "markets agents"]
    distance: PerPair
    discounts: PerPair
    prices: PerPair
    trades: Bool[Tensor, "markets buyers sellers"]
    reported: ClientTypes

    def edges(self) -> Tensor:
        """Whose model each client got, which pictures draw."""
        return self.trades

    def story(self, agents: Sequence[str]) -> list[str]:
        """The first market's reports, uploads, purchases and reasons."""
        lines, kinds = [], list(UPLOADS)
        for i, agent in enumerate(agents):
            reported = {name: float(getattr(self.reported, name)[0, i]) for name in TYPES}
            types = ", ".join(f"{name[:-1]} {number:.4g}" for name, number in reported.items())
            lines.append(f"{agent} reports {types}.")
            if self.upload[0, i]:
                lines.append(f"  uploads {UPLOADS[kinds[int(self.upload[0, i])]].text}")
            for j in self.trades[0, i].nonzero()[:, 0].tolist():
                price, apart = float(self.prices[0, i, j]), float(self.distance[0, i, j])
                lines.append(f"  buys from {agents[j]} at distance {apart:.4f} for {price:.4f}")
            lines.append(f"  {REASONS[int(self.reason[0, i])]}; gain {self.gain[0, i]:.4f}")
        return lines


@dataclass(frozen=True)
class Left(Outcome):
    """Scores of the clients' models in the round, and who is out of the market for good after it.

    loss, accuracy: on validation data weighted by own labels; a loss that is not finite is
        ``LARGEST``
    gone: who has left, in this round or before
    """

    FACTS: ClassVar[tuple[str, ...]] = ("loss", "accuracy")

    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    gone: Bool[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The clients that are out of the first market."""
        gone = [agent for agent, out in zip(agents, self.gone[0].tolist(), strict=True) if out]
        return [f"Out of the market for good: {', '.join(gone)}."] if gone else []
