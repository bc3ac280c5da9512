"""The phase in which agents trade parameters by messages to a broker, which settles them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.alignment import Alignment
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.pairs import others
from marketenv.core.phase import Phase, Shown
from marketenv.learners import Learner, Scores
from marketenv.markets.models import Models
from marketenv.markets.own_parts import fresh_slots
from marketenv.markets.parameter_trading import own_parts
from marketenv.markets.parameter_trading.breakpoints import only, replies
from marketenv.markets.parameter_trading.broker import Broker
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.disclosure import sale_cost
from marketenv.markets.parameter_trading.exchanges import (
    EXCHANGES,
    Inputs,
    Settlement,
    sound,
    voided,
)
from marketenv.markets.parameter_trading.memory import Memory
from marketenv.markets.parameter_trading.moves import Scales, traders_move, truthful
from marketenv.markets.parameter_trading.partners import PARTNER_RULES, Candidates
from marketenv.markets.parameter_trading.reports import Messages, Quotes, Traded, read
from marketenv.markets.parameter_trading.weights import Merger, Weighed
from marketenv.mechanisms import MECHANISMS, Sales
from marketenv.valuation import Gain, Trial


class Trade(Phase):
    """Agents of one role buy each other's parameters, as they were before the round's purchases.

    alignment: how sellers' units are matched to buyers'
    weights:   at which weight models are merged
    valuation: what a purchase is worth;   mechanism: who pays how much;   exchange: who buys
    partner_rule: which sellers a buyer tries, where the config lets it try a few
    name:      of the phase; a second trade in a market needs another one
    """

    name, outcome = "trade", Traded

    def __init__(
        self,
        role: str,
        config: ParameterTradingConfig,
        learner: Learner,
        scales: Scales,
        *,
        alignment: Alignment,
        weights: Callable[[Merger], Weighed],
        valuation: Callable[[Trial], Gain],
        mechanism: Callable[[Tensor, Tensor], Sales],
        exchange: Callable[[Quotes, Messages, Inputs], Settlement],
        device: torch.device,
        partner_rule: Callable[[Candidates], Tensor] = PARTNER_RULES["random"],
        name: str = "trade",
    ) -> None:
        self.role, self.name = role, name
        self.config, self.learner, self.scales = config, learner, scales
        self.mechanism, self.exchange = mechanism, exchange
        self.moves = {role: traders_move(config, scales)}
        self.broker = Broker(
            role,
            config,
            learner,
            scales,
            alignment=alignment,
            weights=weights,
            valuation=valuation,
            partner_rule=partner_rule,
            device=device,
        )

    @property
    def mask(self) -> Float[Tensor, "params"]:
        """1 for parameters that are traded."""
        return self.broker.mask

    def begin(self, floor: Floor) -> Memory:
        """No alignment yet, nothing paid, and the options of the config."""
        return self.broker.begin(floor)

    # --- what is shown ----------------------------------------------------------------------------

    def quote(self, floor: Floor, own: Memory) -> Quotes:
        """The broker's trials of all purchases."""
        return self.broker.quote(floor, own, self.purpose)

    def show(self, floor: Floor, own: Memory, quotes: Quotes) -> Shown:
        """What each trader may see."""
        gain, alpha = quotes.gain, quotes.alpha
        buyer_alpha = alpha if self.config.disclosure == "full" else torch.zeros_like(alpha)
        # what a buyer sees of its sellers, then what a seller sees of its buyers
        pairs = {"gain": gain.worth, "shown": gain.shown, "alpha": alpha}
        pairs |= {"buyer_low": quotes.low.mT, "buyer_high": quotes.high.mT}
        pairs |= {"buyer_alpha": buyer_alpha.mT}
        pairs |= {"sale_cost": sale_cost(self.config.externality, gain.worth).mT}
        fields = {name: others(values) for name, values in pairs.items()}
        return {self.role: fields | _of_oneself(floor, self.role, own)}

    def show_end(self, floor: Floor, own: Memory) -> Shown:
        """After the last round nothing is on offer any more."""
        return {self.role: _of_oneself(floor, self.role, own)}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Bid what a gain is worth, ask one's cost, train at full effort."""
        return truthful(observation, move, keys)

    # --- what comes of the messages ---------------------------------------------------------------

    def act(
        self, floor: Floor, own: Memory, quotes: Quotes, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Memory, Traded]:
        """Let the exchange decide who buys, ship merged parameters, and move the money."""
        messages = self._read(floor, own, quotes, actions[self.role])
        models = floor.models[self.role]
        settlement = _settled(self.exchange, quotes, messages, self._inputs(floor))
        before = Scores(models.loss, models.accuracy)
        after = floor.world.score(settlement.params, floor.round)
        settlement, scores = sound(settlement, quotes, before, after)
        trades, prices = settlement.trades, settlement.prices
        floor = floor.pay(self.named("purchases"), self.role, self.role, prices)
        floor = floor.term(self.named("harm"), self.role, -(messages.cost * trades).sum(1))
        fresh = self.learner if self.config.after_purchase == "reset" else None
        models = _after(models, settlement, scores, messages.effort, fresh)
        floor = floor.but(models={**floor.models, self.role: models})
        paid, received = prices.sum(2), prices.sum(1)
        own = replace(own, orders=quotes.orders, last_paid=paid, last_received=received)
        if own.past is not None:
            own = replace(own, past=own.past.after(quotes.partners, quotes.gain.worth))
        numbers = (trades.sum(2), trades.sum(1), settlement.reason)
        bought, sold, reason = (floor.everyone(**{self.role: each}) for each in numbers)
        terms = (quotes.gain, quotes.alpha, messages.bids, messages.asks, quotes.partners.tried)
        return floor, own, Traded(self.role, bought, sold, reason, *terms, trades, prices)

    def _inputs(self, floor: Floor) -> Inputs:
        most, shares = self.config.max_purchases, floor.world.shares
        return Inputs(self.mechanism, self.mask, most, shares, floor.purse(self.role), floor.round)

    def _read(self, floor: Floor, own: Memory, quotes: Quotes, actions: Tensor) -> Messages:
        """The messages that the actions mean."""
        cost = sale_cost(self.config.externality, quotes.gain.worth)
        worth = self._worth(floor, quotes) if self.config.bid_mode == "gain" else None
        move, coalition = self.moves[self.role], own.options.coalition
        return read(move, actions, worth, cost, coalition, self.scales.bid_max)

    def _worth(self, floor: Floor, quotes: Quotes) -> Float64[Tensor, "markets buyers sellers"]:
        """What each buyer gains from each seller's model, money; 0 where it would lose."""
        money_per_loss = floor.types[self.role]["money_per_loss"]
        return money_per_loss[..., None] * quotes.gain.worth.double().clamp(min=0)

    def breakpoints(
        self,
        floor: Floor,
        own: Memory,
        quotes: Quotes,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Float[Tensor, "markets candidates width"] | None:
        """Actions of a trader, one of which is a best reply to the others' messages.

        Best for the utility of this round; the effort acts on later rounds only and stays. None
        where no such list is known: for exchanges and payment rules of a user's own, for several
        purchases, and for a coalition's joint ask.
        """
        known = self.exchange is EXCHANGES["trade"] and self.mechanism in MECHANISMS.values()
        if not known or self.config.max_purchases > 1 or bool(own.options.coalition.any()):
            return None
        (_, agent), move = who, self.moves[self.role]
        action, worth = actions[self.role][:, agent], self._worth(floor, quotes)
        messages = self._read(floor, own, quotes, actions[self.role])
        payable = messages.bids <= floor.purse(self.role)[..., None]
        open_ = (quotes.gain.worth > 0) & (messages.bids > 0) & payable
        exclusive = self.mechanism in (MECHANISMS["first_price"], MECHANISMS["second_price"])
        candidates = replies(move, messages, worth, open_, agent, exclusive, action)
        return only(move, fields, action, candidates)


def _of_oneself(floor: Floor, role: str, own: Memory) -> dict[str, Tensor]:
    """What a trader sees of itself: one number each [markets, agents]."""
    models, types = floor.models[role], floor.types[role]
    fields = {"loss": models.loss, "accuracy": models.accuracy, "cash": floor.cash(role)}
    fields |= {name: types[name] for name in ("money_per_loss", "effort_cost")}
    fields |= {"last_paid": own.last_paid, "last_received": own.last_received}
    return fields | {"round": floor.played[:, None].expand_as(models.loss)}


def _settled(
    exchange: Callable[[Quotes, Messages, Inputs], Settlement],
    quotes: Quotes,
    messages: Messages,
    inputs: Inputs,
) -> Settlement:
    """What the exchange decides; bids for sellers that are not tried are void."""
    messages, only_void = voided(messages, quotes.partners.tried)
    settlement = own_parts.exchange(exchange, quotes, messages, inputs)
    # of the reasons: no seller offers a gain, and bids nothing
    unsaid = only_void & ((settlement.reason == 1) | (settlement.reason == 2))
    return replace(settlement, reason=torch.where(unsaid, 9, settlement.reason))


def _after(
    models: Models,
    settlement: Settlement,
    scores: Scores,
    effort: Float[Tensor, "markets agents"],
    fresh: Learner | None,
) -> Models:
    """Models after the trade.

    fresh: the learner by which buyers get a fresh optimiser; None: they keep theirs
    """
    slots = models.slots
    if fresh is not None:
        first = fresh_slots(fresh, effort.numel(), effort.device)
        buyers = settlement.trades.any(2)[..., None]
        slots = torch.where(buyers, first.unflatten(0, effort.shape), slots)
    scored = replace(models, loss=scores.loss, accuracy=scores.accuracy)
    return replace(scored, params=settlement.params, slots=slots, effort=effort)
