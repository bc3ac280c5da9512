"""By which rules models are shared: from what the clients say to who gets whose model at which
price.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.floor import Floor
from marketenv.markets.model_sharing import own_parts
from marketenv.markets.model_sharing.config import TYPES
from marketenv.markets.model_sharing.merges import sound
from marketenv.markets.model_sharing.moves import ACTION, REPORTED, STAY
from marketenv.markets.model_sharing.schemes import SCHEMES, Given, Scheme, Settled
from marketenv.markets.model_sharing.uploads import Makings, drawn_distance, make_uploads
from marketenv.markets.training import Trained
from marketenv.mechanisms import (
    ClientTypes,
    GainFamily,
    Graph,
    SharingPayment,
    SharingTerms,
    distance_discounts,
)
from marketenv.valuation import ModelDistance

CLIENT = "client"  # the role, and its models
SECOND = "second"  # models that are trained for the others, where the scheme has them


def client_types(floor: Floor) -> ClientTypes:
    """What the clients are."""
    return ClientTypes(**{name: floor.types[CLIENT][name] for name in TYPES})


@dataclass(frozen=True)
class Dealings:
    """What a market remembers of its sharing.

    start:    the model that all began with   [markets, 1, params]
    reported: what the clients said last;   bought: the last graph   [markets, buyers, sellers]
    paid, earned: money of the last round   [markets, clients]
    """

    start: Float[Tensor, "markets 1 params"]
    reported: ClientTypes
    bought: Bool[Tensor, "markets buyers sellers"]
    paid: Float64[Tensor, "markets clients"]
    earned: Float64[Tensor, "markets clients"]


@dataclass(frozen=True)
class Said:
    """What the clients' actions of a round mean.

    reported: types;   upload: number of a kind in ``UPLOADS``;   effort: of the next training
    present:  who deals;   left: who does not, since it leaves the market for good
    """

    reported: ClientTypes
    upload: Int[Tensor, "markets clients"]
    effort: Float[Tensor, "markets clients"]
    present: Bool[Tensor, "markets clients"]
    left: Bool[Tensor, "markets clients"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How models are shared; see the market's config.

    joins:   the round in which each client comes [clients];
             reports: ``once``, in that round, or ``each_round``
    scheme:  who decides;   gain, graph, payment: of its market;
             distance: between uploads, ``strength`` its price
    eta:     step of the prox centre
    """

    joins: Int[Tensor, "clients"]
    reports: str
    scheme: Scheme
    gain: GainFamily
    graph: str | Graph
    payment: str | SharingPayment
    distance: ModelDistance
    strength: float
    eta: float

    def said(
        self, floor: Floor, own: Dealings, actions: Float[Tensor, "markets clients width"]
    ) -> Said:
        """What the clients say, kept from their first round where reports are read once; the
        mean stands in for a type of 0.
        """
        types = floor.types[CLIENT]
        truth = {name: types[kind][..., None] for name, kind in REPORTED.items()}
        means = {name: meaning[..., 0] for name, meaning in ACTION.read(actions, truth).items()}
        fresh, said = (floor.round[:, None] == self.joins) | (self.reports == "each_round"), {}
        for name, kind in REPORTED.items():
            new = means[name] * torch.where(
                types[kind] > 0, types[kind], types[kind].mean(1, keepdim=True)
            )
            said[kind] = torch.where(fresh, new, getattr(own.reported, kind))
        left = floor.present & (means["stay"] == STAY.number("leave"))
        return Said(
            ClientTypes(**said),
            means["upload"].long(),
            means["effort"].float(),
            floor.present & ~left,
            left,
        )

    def given(self, floor: Floor, own: Dealings, said: Said, *purpose: int | str) -> Given:
        """What the scheme decides from: uploads, their distances, and the terms; ``purpose`` is
        the phase's (see there).
        """
        models, keys = floor.models[CLIENT], floor.keys(*purpose)
        shown = floor.models[SECOND].params if self.scheme.second else models.params
        agents = draws.agent_keys(keys, len(self.joins), "upload")
        # nothing was sent before
        centre = torch.where((floor.round[:, None] <= self.joins)[..., None], shown, models.centre)
        uploads = make_uploads(Makings(shown, own.start, centre, said.present, agents), said.upload)
        uploads = torch.where(
            floor.of(Trained, role=CLIENT).diverged[..., None], torch.nan, uploads
        )
        drawn = floor.world is None
        distance = (
            drawn_distance(keys, said.upload)
            if drawn
            else own_parts.distances(self.distance, uploads, own.start)
        )
        discounts = distance_discounts(said.reported.sizes, distance, self.strength)
        return Given(
            uploads=uploads,
            trained=models.params,
            start=own.start,
            distance=distance,
            terms=SharingTerms(said.reported, discounts, self.gain, said.present),
            purse=floor.purse(CLIENT),
            eta=self.eta,
            strength=self.strength,
            kind=self.distance,
            graph=self.graph,
            payment=self.payment,
        )

    def settled(
        self, floor: Floor, given: Given
    ) -> tuple[Settled, Bool[Tensor, "markets clients"]]:
        """What the scheme decides, and who would have got a model that is not finite."""
        done = own_parts.share(self.scheme, given)
        if floor.world is None:
            return done, torch.zeros_like(done.broke)
        second = floor.models[SECOND].params if self.scheme.second else done.second
        return sound(done, given.trained, second, floor.world, floor.round)

    def reasons(
        self, floor: Floor, given: Given, done: Settled, broken: Tensor
    ) -> Int[Tensor, "markets clients"]:
        """Why each client ended as it did, as a number of ``REASONS``."""
        money, buys = self.scheme.money, done.bought.any(2)
        reason = (
            torch.where(given.terms.reported.needs > 0, 3, 2)
            if money
            else torch.full_like(done.bought.sum(2), 8)
        )
        reason = torch.where(done.broke, 4, reason)
        reason = torch.where(buys, 0 if money else 7, reason)
        reason = torch.where(given.uploads.isfinite().all(-1), reason, 5)
        reason = torch.where(broken, 9, reason)
        reason = torch.where(floor.of(Trained, role=CLIENT).diverged, 6, reason)
        assert given.terms.present is not None
        return torch.where(given.terms.present, reason, 1)

    def knows_costs(self, floor: Floor, client: int) -> bool:
        """Whether the costs are known among which a client's best report is: by the table's rules,
        in a round that reads them, without limits of credit, and where the true cost is not 0,
        which a multiple cannot reach.
        """
        named = (
            self.scheme is SCHEMES["ipfl"]
            and isinstance(self.graph, str)
            and isinstance(self.payment, str)
        )
        read = self.reports == "each_round" or bool((floor.round == self.joins[client]).all())
        return (
            named
            and read
            and bool(
                (
                    floor.purse(CLIENT).isinf().all(1)
                    & (floor.types[CLIENT]["costs"][:, client] != 0)
                ).all()
            )
        )
