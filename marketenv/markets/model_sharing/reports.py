"""What the phases of a model-sharing market report: who shared what with whom, and who is in
the market next.
"""

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
    """Who shared what with whom; pair matrices are [markets, buyers, sellers], money per client and
    round.

    utility: U_i of the paper, by the true types: the reward before the cost of the effort;
        gain: G_i
    bought, sold: models;   present: who took part, without those who left in this round;
        left: who left in it
    upload:  number of the kind in ``UPLOADS``;   reason: number of ``REASONS``
    discounts: lambda (N_j / N_i) d_ij, inf where a model was unusable;
        trades: whose model each got
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
        """Tell the first market's round: reports, uploads, who bought whose model at which
        price, and why not.
        """
        lines, kinds = [], list(UPLOADS)
        for i, agent in enumerate(agents):
            said = ", ".join(
                f"{name[:-1]} {float(getattr(self.reported, name)[0, i]):.4g}" for name in TYPES
            )
            lines.append(f"{agent} reports {said}.")
            if self.upload[0, i]:
                lines.append(f"  uploads {UPLOADS[kinds[int(self.upload[0, i])]].text}")
            for j in self.trades[0, i].nonzero()[:, 0].tolist():
                price, apart = float(self.prices[0, i, j]), float(self.distance[0, i, j])
                lines.append(f"  buys from {agents[j]} at distance {apart:.4f} for {price:.4f}")
            lines.append(f"  {REASONS[int(self.reason[0, i])]}; gain {self.gain[0, i]:.4f}")
        return lines


@dataclass(frozen=True)
class Left(Outcome):
    """How the clients' models did in the round, and who is out of the market for good after it.

    loss:     on validation data weighted by own labels, ``LARGEST`` where it is not finite;
              accuracy: on them
    gone:     who has left, in this round or before
    """

    FACTS: ClassVar[tuple[str, ...]] = ("loss", "accuracy")

    loss: Float[Tensor, "markets agents"]
    accuracy: Float[Tensor, "markets agents"]
    gone: Bool[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Tell who of the first market is out of it."""
        gone = [agent for agent, out in zip(agents, self.gone[0].tolist(), strict=True) if out]
        return [f"Out of the market for good: {', '.join(gone)}."] if gone else []
