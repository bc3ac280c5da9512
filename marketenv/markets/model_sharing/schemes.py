"""Schemes: how uploaded models are shared, by the paper's market or by what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core.axes import Parameters, PerPair
from marketenv.core.bank import finite
from marketenv.core.precision import full_precision
from marketenv.mechanisms import Graph, SharingPayment, SharingSales, SharingTerms, share_models
from marketenv.valuation import ModelDistance, prox_centres


@dataclass(frozen=True)
class Inputs:
    """What a scheme decides from.

    uploads:  models; one that is not finite is unusable, at distance inf [markets, clients, params]
    trained:  every client's own model                                   [markets, clients, params]
    start:    the model that all begin with                              [markets, 1, params]
    distance: between the uploads                                        [markets, clients, clients]
    terms:    reported types, discounts, gain, who is present
    purse:    the most that each client can pay, money                   [markets, clients]
    eta, strength, kind, graph, payment: as in the market's config
    """

    uploads: Parameters
    trained: Parameters
    start: Float[Tensor, "markets 1 params"]
    distance: PerPair
    terms: SharingTerms
    purse: Float64[Tensor, "markets clients"]
    eta: float
    strength: float
    kind: str | ModelDistance
    graph: str | Graph
    payment: str | SharingPayment

    @property
    def usable(self) -> Bool[Tensor, "markets buyers sellers"]:
        """Pairs that are present and whose distance is finite."""
        return self.terms.pairs & self.distance.isfinite()


@dataclass(frozen=True)
class Settlement:
    """What a scheme decides.

    trades: whose model each client gets                                 [markets, buyers, sellers]
    prices: money per model, 0 in a scheme without money                 [markets, buyers, sellers]
    params: where every client's next training starts                    [markets, clients, params]
    centre: what the client is sent, its own model if nothing: the next training is pulled to it,
            and a relay uploads it                                       [markets, clients, params]
    pull:   strength of the proximal term, 0 for none                    [markets, clients]
    second: models that are trained for the others beside one's own      [markets, clients, params]
            of width 0 where the scheme has none
    broke:  who loses a purchase that it, or the seller, cannot pay for  [markets, clients]
    """

    trades: Bool[Tensor, "markets buyers sellers"]
    prices: PerPair
    params: Parameters
    centre: Parameters
    pull: Float[Tensor, "markets clients"]
    second: Float[Tensor, "markets clients second"]
    broke: Bool[Tensor, "markets clients"]


def ipfl(inputs: Inputs) -> Settlement:
    """The paper's market: a graph decides who buys whose model, a payment at which price.

    The next training starts from the client's own model and minimises
    L_i + lambda / (2 eta) |theta - centre_i|^2; a client that buys nothing trains alone. Only what
    can be paid is traded (see ``affordable``).
    Source: arXiv 2505.02462, Algorithms 1 and 2.
    """
    outcome = share_models(inputs.terms, graph=inputs.graph, payment=inputs.payment)
    trades = affordable(outcome, inputs.purse)
    broke = (outcome.allocation & ~trades).any(2)
    centre = prox_centres(
        inputs.uploads, inputs.start, trades, inputs.terms.reported.sizes, inputs.eta, inputs.kind
    )
    buys = trades.any(2)
    return _settlement(
        inputs,
        trades,
        prices=torch.where(trades, outcome.prices, 0.0),
        centre=torch.where(buys[..., None], centre, inputs.trained),
        pull=buys.float() * (inputs.strength / inputs.eta if inputs.eta else 0.0),
        broke=broke,
    )


def affordable(
    outcome: SharingSales, purse: Float64[Tensor, "markets clients"]
) -> Bool[Tensor, "markets buyers sellers"]:
    """Keep the trades after which nobody pays more than its purse: bool [markets, buyers, sellers].

    A client whose purchases and debts together are above its purse buys nothing; its debts are its
    sales at prices below 0. A client whose remaining debts are above its purse makes no such sale.
    Both cuts only lower what others owe, so two passes are enough. Money that a client receives in
    a round is no part of its purse in that round.

    outcome: of the graph and the payment;   purse: the most that each client can pay, money
    """
    trades = outcome.allocation & ~(outcome.transfers.sum(2) > purse)[..., None]
    debts = torch.where(trades, outcome.prices, 0.0).clamp(max=0.0)
    return trades & ~((debts < 0) & (-debts.sum(1) > purse)[:, None])


def local(inputs: Inputs) -> Settlement:
    """Nobody shares anything."""
    return _settlement(inputs, torch.zeros_like(inputs.usable))


def fedavg(inputs: Inputs) -> Settlement:
    """Everybody goes on from the mean of all models, weighted by reported sizes.

    Source: McMahan et al., AISTATS 2017.
    """
    mean = _mixed(inputs, _shares(inputs))
    return _settlement(inputs, inputs.usable, params=mean, centre=mean)


def fedprox(inputs: Inputs, mu: float = 0.1) -> Settlement:
    """As ``fedavg``, and mu / 2 |theta - mean|^2 holds the training near the mean.

    Source: Li et al., MLSys 2020.
    """
    mean, pull = _mixed(inputs, _shares(inputs)), inputs.usable.any(2).float() * mu
    return _settlement(inputs, inputs.usable, params=mean, centre=mean, pull=pull)


def ditto(inputs: Inputs, strength: float = 1.0) -> Settlement:
    """A shared model is averaged as in ``fedavg``; everybody's own model is pulled to it.

    Source: Li et al., ICML 2021.
    """
    mean, pull = _mixed(inputs, _shares(inputs)), inputs.usable.any(2).float() * strength
    return _settlement(inputs, inputs.usable, centre=mean, pull=pull, second=mean)


def pfedgraph(inputs: Inputs, alpha: float = 0.8, strength: float = 0.01) -> Settlement:
    """Everybody goes on from a mean of its own, heavier on near models (Ye et al., ICML 2023).

    weights w_i = argmin over the simplex of sum_j alpha w_ij d_ij + |w_i - N / sum N|^2
    We differ: training is held near that mean by strength / 2 |theta - mean|^2, theirs by the
    cosine to it.
    """
    distance = torch.where(inputs.distance.isfinite(), inputs.distance, 0.0)
    weights = _simplex(_shares(inputs) - alpha / 2 * distance, _members(inputs))
    mean = _mixed(inputs, weights)
    trades = (weights > 0) & inputs.usable
    pull = trades.any(2).float() * strength
    return _settlement(inputs, trades, params=mean, centre=mean, pull=pull)


def _settlement(inputs: Inputs, trades: Tensor, **parts: Tensor) -> Settlement:
    """A settlement of these parts; by default no money moves and everybody keeps its own model."""
    nobody = torch.zeros_like(inputs.purse)
    plain = {
        "prices": torch.zeros_like(inputs.distance),
        "params": inputs.trained,
        "centre": inputs.trained,
        "pull": nobody,
        "second": inputs.trained[..., :0],
        "broke": nobody.bool(),
    }
    parts = plain | parts
    return Settlement(trades=trades, **parts | {"pull": parts["pull"].float()})


def _members(inputs: Inputs) -> Bool[Tensor, "markets buyers sellers"]:
    """Whose model counts in a client's mean: its own and all usable ones."""
    usable = inputs.usable
    return usable | torch.eye(usable.shape[1], dtype=torch.bool, device=usable.device)


def _shares(inputs: Inputs) -> PerPair:
    """Each client's shares of the data of all whose model counts: rows sum to 1."""
    sizes = _members(inputs) * inputs.terms.reported.sizes[:, None]
    return sizes / sizes.sum(-1, keepdim=True)


@full_precision()
def _mixed(inputs: Inputs, weights: PerPair) -> Parameters:
    """Means of the finite uploads; a client that gets no model keeps its own."""
    uploads = torch.where(finite(inputs.uploads)[..., None], inputs.uploads, inputs.trained)
    alone = ~inputs.usable.any(2, keepdim=True)
    return torch.where(alone, inputs.trained, weights.to(uploads.dtype) @ uploads)


def _simplex(values: PerPair, members: Bool[Tensor, "markets buyers sellers"]) -> PerPair:
    """The nearest weights >= 0 with sum 1 among the members of each row.

    Source: Duchi et al., ICML 2008.
    """
    held = values.masked_fill(~members, -1e9)
    ordered = held.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    place = torch.arange(1, values.shape[-1] + 1, device=values.device)
    last = (ordered - excess / place > 0).sum(-1, keepdim=True)
    return (held - excess.gather(-1, last - 1) / last).clamp(min=0.0)


@dataclass(frozen=True)
class Scheme:
    """A way to share.

    settle: from ``Inputs`` to a ``Settlement``
    second: whether everybody also trains a model for the others
    money:  whether models are bought and sold
    """

    settle: Callable[[Inputs], Settlement]
    second: bool = False
    money: bool = False


SCHEMES: dict[str, Scheme] = {
    "ipfl": Scheme(ipfl, money=True),
    "local": Scheme(local),
    "fedavg": Scheme(fedavg),
    "fedprox": Scheme(fedprox),
    "ditto": Scheme(ditto, second=True),
    "pfedgraph": Scheme(pfedgraph),
}
