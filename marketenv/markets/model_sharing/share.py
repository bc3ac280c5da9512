"""The phase in which clients report, upload and buy each other's models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core.fields import just_above
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.pairs import others
from marketenv.core.phase import Phase, Shown
from marketenv.markets.model_sharing.moves import ACTION, REPORTED, observation_fields
from marketenv.markets.model_sharing.reports import Shared
from marketenv.markets.model_sharing.rules import (
    CLIENT,
    SECOND,
    Dealings,
    Messages,
    Rules,
    client_types,
)
from marketenv.markets.model_sharing.schemes import Settlement
from marketenv.markets.models import Models
from marketenv.mechanisms import SharingSales, cost_breakpoints, gains, sale_costs, utilities

AS_TRAINED = "trained"  # the clients' models as last trained, before anything was shared


class ShareModels(Phase):
    """Clients report types and upload models; a scheme decides who gets whose model.

    A client that leaves does so before anything is sold. Buyers pay at once, and the next training
    starts from, or is pulled to, what they are sent. A client's gain by the models less the cost of
    its sales is its term ``worth``.

    rules: who gets whose model at which price;   effort_cost: the largest of a full effort, money
    name:  of the phase; a second one in a market needs another name
    """

    name, outcome = "share", Shared

    def __init__(self, rules: Rules, effort_cost: float, name: str = "share") -> None:
        self.rules, self.name = rules, name
        self.moves = {CLIENT: Move(observation_fields(len(rules.joins) - 1, effort_cost), ACTION)}

    def begin(self, floor: Floor) -> Dealings:
        """No trade yet, and true types where nothing is reported yet."""
        types, start = client_types(floor), floor.models[CLIENT].params[:, :1]
        pairs = floor.present[:, :, None] & floor.present[:, None]
        nothing = torch.zeros_like(types.sizes)
        return Dealings(start, types, torch.zeros_like(pairs), nothing, nothing)

    def show(self, floor: Floor, own: Dealings, quotes: None) -> Shown:
        """Own types, scores and presence, and one's trades and money of the last round."""
        types, models = floor.types[CLIENT], floor.models[CLIENT]
        sizes, needs = types["sizes"], types["needs"]
        fields = {
            "size": sizes / sizes.mean(1, keepdim=True).clamp(min=1e-12),
            "cost": types["costs"],
            "need": needs / needs.mean(1, keepdim=True).clamp(min=1e-12),
            "effort_cost": types["effort_cost"],
            "loss": models.loss,
            "accuracy": models.accuracy,
            "bought": others(own.trades),
            "sold": others(own.trades.mT),
            "last_paid": own.paid,
            "last_received": own.received,
            "present": floor.present,
            "round": floor.played[:, None].expand_as(own.paid),
        }
        return {CLIENT: fields}

    def show_end(self, floor: Floor, own: Dealings) -> Shown:
        """After the last round the last scores stand."""
        return self.show(floor, own, None)

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Report one's types, upload one's model, train at full effort and stay: [markets, 6]."""
        slices = move.observation.slices
        # a type of 0 is reported as 0 times the mean
        types = {name: (observation[..., slices[name]] > 0).double() for name in REPORTED}
        return move.write(observation, **types, effort=1.0, upload="honest", stay="stay")

    def act(
        self, floor: Floor, own: Dealings, quotes: None, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Dealings, Shared]:
        """Read messages, let the scheme decide, move the money, and send models."""
        rules, types = self.rules, client_types(floor)
        messages = rules.messages(floor, own, actions[CLIENT])
        inputs = rules.inputs(floor, own, messages, *self.purpose())
        settlement, broken = rules.settlement(floor, inputs)
        trades, prices = settlement.trades, settlement.prices
        gain, money = gains(types, rules.gain, trades), SharingSales(trades, prices).transfers
        outcome = Shared(
            utility=utilities(types, rules.gain, trades, prices),
            gain=gain,
            bought=trades.sum(2),
            sold=trades.sum(1),
            present=messages.present,
            left=messages.left,
            upload=messages.upload,
            reason=rules.reasons(floor, inputs, settlement, broken),
            distance=inputs.distance,
            discounts=inputs.terms.discounts,
            prices=prices,
            trades=trades,
            reported=messages.reported,
        )
        floor = floor.but(present=messages.present, models=_sent(floor, messages, settlement))
        floor = floor.pay(self.named("price"), CLIENT, CLIENT, money)
        floor = floor.term(self.named("worth"), CLIENT, gain - sale_costs(types, trades))
        dealings = Dealings(own.start, messages.reported, trades, money.sum(2), money.sum(1))
        return floor, dealings, outcome

    def breakpoints(
        self,
        floor: Floor,
        own: Dealings,
        quotes: None,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Float[Tensor, "markets candidates width"] | None:
        """Actions of a client, one of which is its best report of the cost, all else unchanged.

        Best for the utility of this round. None where more than the cost may change, and where
        ``Rules.knows_costs`` says no (with limited credit a buyer may go broke between the points).
        """
        if tuple(fields or ()) != ("cost",) or not self.rules.knows_costs(floor, who[1]):
            return None
        rules, agent, cost = self.rules, who[1], ACTION["cost"]
        messages = rules.messages(floor, own, actions[CLIENT])
        terms = rules.inputs(floor, own, messages, *self.purpose()).terms
        points = cost_breakpoints(terms, agent, str(rules.graph)).clamp(min=1e-12)
        least, most = cost.range
        true_cost = floor.types[CLIENT]["costs"][:, agent, None]
        exact = cost.write((points / true_cost).nan_to_num(most))
        truth_and_ends = cost.write(points.new_tensor([least, 1.0, most])).expand(len(exact), -1)
        costs = torch.cat([exact, just_above(exact), -just_above(-exact), truth_and_ends], 1)
        rest = actions[CLIENT][:, agent, None, 1:].expand(-1, costs.shape[1], -1)
        return torch.cat([costs[..., None], rest], 2)


def _sent(floor: Floor, messages: Messages, settlement: Settlement) -> dict[str, Models]:
    """The models after the sharing, and those of this round's training beside them."""
    before, pull = floor.models[CLIENT], settlement.pull
    after = before.held(settlement.centre, pull)
    after = dataclasses.replace(after, params=settlement.params, effort=messages.effort)
    as_trained = before.held(before.params[..., :0], 0 * pull)
    models = {**floor.models, CLIENT: after, AS_TRAINED: as_trained}
    if SECOND in models:
        buys, old = settlement.trades.any(2, keepdim=True), models[SECOND]
        second = torch.where(buys, settlement.second, old.params)
        models[SECOND] = dataclasses.replace(old, params=second)
    return models
