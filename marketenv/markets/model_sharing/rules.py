"""The rules of sharing: from the clients' actions to who gets whose model at which price."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.core.bank import finite
from marketenv.core.floor import Floor
from marketenv.markets.model_sharing import own_parts
from marketenv.markets.model_sharing.config import TYPES
from marketenv.markets.model_sharing.merges import sound
from marketenv.markets.model_sharing.moves import ACTION, REPORTED, STAY
from marketenv.markets.model_sharing.schemes import SCHEMES, Inputs, Scheme, Settlement
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
SECOND = "second"  # models that clients train for the others, where the scheme has them


def client_types(floor: Floor) -> ClientTypes:
    """The clients' true types."""
    return ClientTypes(**{name: floor.types[CLIENT][name] for name in TYPES})


@dataclass(frozen=True)
class Dealings:
    """What a market remembers of its sharing.

    start:    the model that all begin with   [markets, 1, params]
    reported: the types that the clients reported last
    trades:   the last graph   [markets, buyers, sellers]
    paid, received: money of the last round   [markets, clients]
    """

    start: Float[Tensor, "markets 1 params"]
    reported: ClientTypes
    trades: Bool[Tensor, "markets buyers sellers"]
    paid: Float64[Tensor, "markets clients"]
    received: Float64[Tensor, "markets clients"]


@dataclass(frozen=True)
class Messages:
    """What the clients say by their actions.

    reported: types;   upload: number of a kind in ``UPLOADS``;   effort: of the next training
    present:  who takes part;   left: who leaves the market for good in this round
    """

    reported: ClientTypes
    upload: Int[Tensor, "markets clients"]
    effort: Float[Tensor, "markets clients"]
    present: Bool[Tensor, "markets clients"]
    left: Bool[Tensor, "markets clients"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How models are shared; see the market's config.

    joins:    the round in which each client joins   [clients]
    reports:  ``once``, in that round, or ``each_round``
    scheme:   decides who gets whose model;   gain, graph, payment: of the paper's scheme
    distance: between uploads;   strength: its price;   eta: step of the prox centre
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

    def messages(
        self, floor: Floor, own: Dealings, actions: Float[Tensor, "markets clients width"]
    ) -> Messages:
        """Read messages from actions.

        Where types are reported once, the reports of a client's first round stay. A type of 0 is
        reported as a multiple of the market's mean.
        """
        types = floor.types[CLIENT]
        truth = {name: types[kind][..., None] for name, kind in REPORTED.items()}
        means = {name: meaning[..., 0] for name, meaning in ACTION.read(actions, truth).items()}
        fresh = (floor.round[:, None] == self.joins) | (self.reports == "each_round")
        reported = {}
        for name, kind in REPORTED.items():
            true, mean = types[kind], types[kind].mean(1, keepdim=True)
            new = means[name] * torch.where(true > 0, true, mean)
            reported[kind] = torch.where(fresh, new, getattr(own.reported, kind))
        left = floor.present & (means["stay"] == STAY.number("leave"))
        return Messages(
            reported=ClientTypes(**reported),
            upload=means["upload"].long(),
            effort=means["effort"].float(),
            present=floor.present & ~left,
            left=left,
        )

    def inputs(
        self, floor: Floor, own: Dealings, messages: Messages, *purpose: int | str
    ) -> Inputs:
        """What the scheme decides from: uploads, their distances, and the terms.

        purpose: of the phase's random draws
        """
        models, keys = floor.models[CLIENT], floor.keys(*purpose)
        uploads = self._uploads(floor, own, messages, keys)
        if floor.world is None:
            distance = drawn_distance(keys, messages.upload)
        else:
            distance = own_parts.distances(self.distance, uploads, own.start)
        reported = messages.reported
        discounts = distance_discounts(reported.sizes, distance, self.strength)
        return Inputs(
            uploads=uploads,
            trained=models.params,
            start=own.start,
            distance=distance,
            terms=SharingTerms(reported, discounts, self.gain, messages.present),
            purse=floor.purse(CLIENT),
            eta=self.eta,
            strength=self.strength,
            kind=self.distance,
            graph=self.graph,
            payment=self.payment,
        )

    def _uploads(
        self, floor: Floor, own: Dealings, messages: Messages, keys: Int[Tensor, "markets"]
    ) -> Parameters:
        """The uploaded models; NaN for a client whose training diverged."""
        models = floor.models[CLIENT]
        shown = floor.models[SECOND].params if self.scheme.second else models.params
        first_round = (floor.round[:, None] <= self.joins)[..., None]  # no centre was sent before
        centre = torch.where(first_round, shown, models.centre)
        agents = draws.agent_keys(keys, len(self.joins), "upload")
        makings = Makings(shown, own.start, centre, messages.present, agents)
        diverged = floor.of(Trained, role=CLIENT).diverged[..., None]
        return torch.where(diverged, torch.nan, make_uploads(makings, messages.upload))

    def settlement(
        self, floor: Floor, inputs: Inputs
    ) -> tuple[Settlement, Bool[Tensor, "markets clients"]]:
        """What the scheme decides, and which clients would get a model that is not finite."""
        settlement = own_parts.share(self.scheme, inputs)
        if floor.world is None:
            return settlement, torch.zeros_like(settlement.broke)
        second = floor.models[SECOND].params if self.scheme.second else settlement.second
        return sound(settlement, inputs.trained, second, floor.world, floor.round)

    def reasons(
        self, floor: Floor, inputs: Inputs, settlement: Settlement, broken: Tensor
    ) -> Int[Tensor, "markets clients"]:
        """Why each client ends as it does, as a number of ``REASONS``."""
        terms, money = inputs.terms, self.scheme.money
        reason = torch.where(terms.reported.needs > 0, 3, 2)
        reason = reason if money else torch.full_like(reason, 8)
        reason = torch.where(settlement.broke, 4, reason)
        reason = torch.where(settlement.trades.any(2), 0 if money else 7, reason)
        reason = torch.where(finite(inputs.uploads), reason, 5)
        reason = torch.where(broken, 9, reason)
        reason = torch.where(floor.of(Trained, role=CLIENT).diverged, 6, reason)
        assert terms.present is not None
        return torch.where(terms.present, reason, 1)

    def knows_costs(self, floor: Floor, client: int) -> bool:
        """Whether a finite list of costs is known that holds a client's best report.

        It is where the table's rules decide, in a round that reads reports, without limits of
        credit, and where the true cost is not 0: no multiple of 0 is another cost.
        """
        by_name = isinstance(self.graph, str) and isinstance(self.payment, str)
        reads = self.reports == "each_round" or bool((floor.round == self.joins[client]).all())
        if not (self.scheme is SCHEMES["ipfl"] and by_name and reads):
            return False
        unlimited = floor.purse(CLIENT).isinf().all(1)
        return bool((unlimited & (floor.types[CLIENT]["costs"][:, client] != 0)).all())
