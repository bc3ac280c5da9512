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
from marketenv.markets.model_sharing.moves import ACTION, REPORTED, seen
from marketenv.markets.model_sharing.reports import Shared
from marketenv.markets.model_sharing.rules import (
    CLIENT,
    SECOND,
    Dealings,
    Rules,
    Said,
    client_types,
)
from marketenv.markets.model_sharing.schemes import Settled
from marketenv.markets.models import Models
from marketenv.mechanisms import SharingOutcome, cost_breakpoints, gains, sale_costs, utilities

AS_TRAINED = "trained"  # the clients' models as last trained, before anything was shared


class Share(Phase):
    """Clients report their types, upload a model and choose their next effort; a scheme decides who
    gets whose model.

    Who says that it leaves does so before anything is sold. Buyers pay at once, and the next
    training starts from, or is pulled to, what was sent. What a client gains by the models less
    what its sales cost is its term ``worth``.

    rules: who gets whose model at which price;   effort_cost: the largest of a full effort, money
    name: of the phase, another one where there are two
    """

    name, outcome = "share", Shared

    def __init__(self, rules: Rules, effort_cost: float, name: str = "share") -> None:
        self.rules, self.name = rules, name
        self.moves = {CLIENT: Move(seen(len(rules.joins) - 1, effort_cost), ACTION)}

    def begin(self, floor: Floor) -> Dealings:
        """Nobody has bought anything, and what is not yet reported is the truth."""
        types, pairs = client_types(floor), floor.present[:, :, None] & floor.present[:, None]
        nothing = torch.zeros_like(types.sizes)
        return Dealings(
            floor.models[CLIENT].params[:, :1], types, torch.zeros_like(pairs), nothing, nothing
        )

    def show(self, floor: Floor, own: Dealings, quotes: None) -> Shown:
        """Own types, scores and presence, and what one bought, sold, paid and earned in the
        last round.
        """
        types, models = floor.types[CLIENT], floor.models[CLIENT]
        mean = {
            name: types[name].mean(1, keepdim=True).clamp(min=1e-12) for name in ("sizes", "needs")
        }
        told = {
            "size": types["sizes"] / mean["sizes"],
            "cost": types["costs"],
            "need": types["needs"] / mean["needs"],
            "effort_cost": types["effort_cost"],
            "loss": models.loss,
            "accuracy": models.accuracy,
            "bought": others(own.bought),
            "sold": others(own.bought.mT),
            "last_paid": own.paid,
            "last_earned": own.earned,
            "present": floor.present,
            "round": floor.played[:, None].expand_as(own.paid),
        }
        return {CLIENT: told}

    def show_end(self, floor: Floor, own: Dealings) -> Shown:
        """After the last round the last scores stand."""
        return self.show(floor, own, None)

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Report one's types, upload one's model, train at full effort and stay: [markets, 6]."""
        # 0 is told as 0
        types = {
            name: (observation[..., move.observation.slices[name]] > 0).double()
            for name in REPORTED
        }
        return move.write(observation, **types, effort=1.0, upload="honest", stay="stay")

    def act(
        self, floor: Floor, own: Dealings, quotes: None, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Dealings, Shared]:
        """Take reports and uploads, let the scheme decide, move the money, and send what the
        next training starts with.
        """
        rules, said = self.rules, self.rules.said(floor, own, actions[CLIENT])
        given = rules.given(floor, own, said, *self.purpose())
        done, broken = rules.settled(floor, given)
        types = client_types(floor)
        gain, money = (
            gains(types, rules.gain, done.bought),
            SharingOutcome(done.bought, done.prices).transfers,
        )
        outcome = Shared(
            utility=utilities(types, rules.gain, done.bought, done.prices),
            gain=gain,
            bought=done.bought.sum(2),
            sold=done.bought.sum(1),
            present=said.present,
            left=said.left,
            upload=said.upload,
            reason=rules.reasons(floor, given, done, broken),
            distance=given.distance,
            discounts=given.terms.discounts,
            prices=done.prices,
            trades=done.bought,
            reported=said.reported,
        )
        floor = floor.but(present=said.present, models=_sent(floor, said, done))
        floor = floor.pay(self.named("price"), CLIENT, CLIENT, money).term(
            self.named("worth"), CLIENT, gain - sale_costs(types, done.bought)
        )
        return (
            floor,
            Dealings(own.start, said.reported, done.bought, money.sum(2), money.sum(1)),
            outcome,
        )

    def breakpoints(
        self,
        floor: Floor,
        own: Dealings,
        quotes: None,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Float[Tensor, "markets candidates width"] | None:
        """Actions among which a client's best report of its cost is, all else as it was, for the
        utility of this round.

        None where more than the cost may change, for graphs, payments and schemes of one's own,
        where credit is limited (a buyer may go broke in between), where reports are not read in
        this round, and where the true cost is 0, which a multiple cannot reach.
        """
        if tuple(fields or ()) != ("cost",) or not self.rules.knows_costs(floor, who[1]):
            return None
        rules, agent, cost = self.rules, who[1], ACTION["cost"]
        terms = rules.given(
            floor, own, rules.said(floor, own, actions[CLIENT]), *self.purpose()
        ).terms
        points = cost_breakpoints(terms, agent, str(rules.graph)).clamp(min=1e-12)
        least, most = cost.range
        met = cost.write((points / floor.types[CLIENT]["costs"][:, agent, None]).nan_to_num(most))
        truth_and_ends = cost.write(points.new_tensor([least, 1.0, most])).expand(len(met), -1)
        costs = torch.cat([met, just_above(met), -just_above(-met), truth_and_ends], 1)
        kept = actions[CLIENT][:, agent, None, 1:].expand(-1, costs.shape[1], -1)
        return torch.cat([costs[..., None], kept], 2)


def _sent(floor: Floor, said: Said, done: Settled) -> dict[str, Models]:
    """The models after the sharing: where the next trainings start, what holds them, and what
    was trained in this round.
    """
    before = floor.models[CLIENT]
    after = dataclasses.replace(
        before.held(done.centre, done.pull), params=done.params, effort=said.effort
    )
    models = {
        **floor.models,
        CLIENT: after,
        AS_TRAINED: before.held(before.params[..., :0], 0 * done.pull),
    }
    if SECOND in models:
        second = torch.where(done.bought.any(2, keepdim=True), done.second, models[SECOND].params)
        models[SECOND] = dataclasses.replace(models[SECOND], params=second)
    return models
