"""How uploaded models are shared in a round: by the paper's market, or by what it is compared
with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core.axes import Parameters, PerPair
from marketenv.core.precision import full_precision
from marketenv.mechanisms import Graph, SharingOutcome, SharingPayment, SharingTerms, share_models
from marketenv.valuation import ModelDistance, prox_centres


@dataclass(frozen=True)
class Given:
    """What a scheme decides from; models are those that the clients uploaded.

    uploads:  models; not finite: unusable, with distance inf to all    [markets, clients, params]
    trained:  everybody's own model                                     [markets, clients, params]
    start:    the model that all began with                             [markets, 1, params]
    distance: between the uploads                                       [markets, clients, clients]
    terms:    reports, discounts, gain, who is present;   purse: what each can pay
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
class Settled:
    """What a scheme decided.

    bought: whose model each client gets;   prices: money per model, 0
        without a market   [markets, buyers, sellers]
    params: where everybody's next training starts;
            centre: what was sent, its own model where nothing was: what pulls at the next training,
            and what a relay uploads   [markets, clients, params]
    pull:   how hard: strength of the proximal term, 0 for none                  [markets, clients]
    second: the models that are trained for the others
        beside one's own   [markets, clients, params], or no params
    broke:  who lost a purchase that it, or its seller, could not pay for        [markets, clients]
    """

    bought: Bool[Tensor, "markets buyers sellers"]
    prices: PerPair
    params: Parameters
    centre: Parameters
    pull: Float[Tensor, "markets clients"]
    second: Float[Tensor, "markets clients second"]
    broke: Bool[Tensor, "markets clients"]


def ipfl(given: Given) -> Settled:
    """The paper's market: a graph decides who buys whose model, a payment what for, and the bought
    ones pull at the buyer.

    The next training minimises L_i + lambda / (2 eta) |theta - centre_i|^2 from the client's own
    model; who bought nothing trains alone. Only what can be paid is traded (see ``affordable``).
    Source: arXiv 2505.02462, Algorithms 1 and 2.
    """
    outcome = share_models(given.terms, graph=given.graph, payment=given.payment)
    bought = affordable(outcome, given.purse)
    broke = (outcome.allocation & ~bought).any(2)
    centre = prox_centres(
        given.uploads, given.start, bought, given.terms.reported.sizes, given.eta, given.kind
    )
    buys = bought.any(2)
    pull = buys.float() * (given.strength / given.eta if given.eta else 0.0)
    kept = {"prices": torch.where(bought, outcome.prices, 0.0), "pull": pull, "broke": broke}
    return _settled(
        given, bought, centre=torch.where(buys[..., None], centre, given.trained), **kept
    )


def affordable(
    outcome: SharingOutcome, purse: Float64[Tensor, "markets clients"]
) -> Bool[Tensor, "markets buyers sellers"]:
    """Keep the trades after which nobody pays more than its purse: bool [markets, buyers, sellers].

    A client whose purchases and debts together are above its purse buys nothing; its debts are its
    sales at prices below 0. A client whose remaining debts are above its purse makes no such sale.
    Both cuts only lower what others owe, so two passes are enough; what a client is paid in a round
    is no part of its purse in that round.

    outcome: what the graph and the payment decided;
        purse: the most that each client can pay, money
    """
    bought = outcome.allocation & ~(outcome.transfers.sum(2) > purse)[..., None]
    debts = torch.where(bought, outcome.prices, 0.0).clamp(max=0.0)
    return bought & ~((debts < 0) & (-debts.sum(1) > purse)[:, None])


def local(given: Given) -> Settled:
    """Nobody shares anything."""
    return _settled(given, torch.zeros_like(given.usable))


def fedavg(given: Given) -> Settled:
    """Everybody goes on from the mean of all models, weighted by reported sizes (McMahan et
    al., AISTATS 2017).
    """
    mean = _mixed(given, _shares(given))
    return _settled(given, given.usable, params=mean, centre=mean)


def fedprox(given: Given, mu: float = 0.1) -> Settled:
    """As ``fedavg``, and mu / 2 |theta - mean|^2 holds the training near it (Li et al., MLSys
    2020).
    """
    mean = _mixed(given, _shares(given))
    return _settled(
        given, given.usable, params=mean, centre=mean, pull=given.usable.any(2).float() * mu
    )


def ditto(given: Given, strength: float = 1.0) -> Settled:
    """A shared model is averaged as in ``fedavg``; everybody's own model is pulled to it (Li et
    al., ICML 2021).
    """
    mean = _mixed(given, _shares(given))
    return _settled(
        given, given.usable, centre=mean, pull=given.usable.any(2).float() * strength, second=mean
    )


def pfedgraph(given: Given, alpha: float = 0.8, strength: float = 0.01) -> Settled:
    """Everybody goes on from a mean of its own, heavier on near models (Ye et al., ICML 2023).

    weights w_i = argmin over the simplex of sum_j alpha w_ij d_ij + |w_i - N / sum N|^2
    We differ: training is held near that mean by strength / 2 |theta - mean|^2, theirs by the
    cosine to it.
    """
    weights = _simplex(
        _shares(given) - alpha / 2 * torch.where(given.distance.isfinite(), given.distance, 0.0),
        _members(given),
    )
    mean = _mixed(given, weights)
    bought = (weights > 0) & given.usable
    return _settled(given, bought, params=mean, centre=mean, pull=bought.any(2).float() * strength)


def _settled(given: Given, bought: Tensor, **decided: Tensor) -> Settled:
    """What was decided, and otherwise: no money, everybody's own model, no pull, no second
    model, nobody broke.
    """
    nobody = torch.zeros_like(given.purse)
    plain = {
        "prices": torch.zeros_like(given.distance),
        "params": given.trained,
        "centre": given.trained,
        "pull": nobody,
    }
    made = plain | {"second": given.trained[..., :0], "broke": nobody.bool()} | decided
    return Settled(bought=bought, **made | {"pull": made["pull"].float()})


def _members(given: Given) -> Bool[Tensor, "markets buyers sellers"]:
    """Whose model counts in a client's mean: its own and all usable ones."""
    return given.usable | torch.eye(
        given.usable.shape[1], dtype=torch.bool, device=given.usable.device
    )


def _shares(given: Given) -> PerPair:
    """Each client's shares of the data of all whose model counts: rows sum to 1."""
    sizes = _members(given) * given.terms.reported.sizes[:, None]
    return sizes / sizes.sum(-1, keepdim=True)


@full_precision()
def _mixed(given: Given, weights: PerPair) -> Parameters:
    """Means of the uploads; models that are not finite have weight 0, and who gets none keeps
    its own.
    """
    finite = torch.where(
        given.uploads.isfinite().all(-1, keepdim=True), given.uploads, given.trained
    )
    alone = ~given.usable.any(2, keepdim=True)
    return torch.where(alone, given.trained, weights.to(finite.dtype) @ finite)


def _simplex(values: PerPair, members: Bool[Tensor, "markets buyers sellers"]) -> PerPair:
    """The nearest weights >= 0 with sum 1 among the members of each row (Duchi et al., ICML
    2008).
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

    settle: from what is given to what is shared
    second: whether everybody also trains a model for the others
    money:  whether models are bought and sold
    """

    settle: Callable[[Given], Settled]
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
