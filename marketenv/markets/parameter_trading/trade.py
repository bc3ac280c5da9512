"""The phase in which agents trade parameters by messages to a broker, which settles them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, Aligned, Alignment, layer_mask, no_orders
from marketenv.core.axes import Parameters
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.pairs import others
from marketenv.core.phase import Phase, Shown
from marketenv.learners import Learner, Scores
from marketenv.markets.models import Models
from marketenv.markets.own_parts import fresh_slots
from marketenv.markets.parameter_trading import own_parts
from marketenv.markets.parameter_trading.breakpoints import only, replies
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.disclosure import Disclosure, sale_cost
from marketenv.markets.parameter_trading.exchanges import (
    EXCHANGES,
    Inputs,
    Settlement,
    sound,
    voided,
)
from marketenv.markets.parameter_trading.memory import Memory, Options, altered
from marketenv.markets.parameter_trading.moves import Scales, traders_move, truthful
from marketenv.markets.parameter_trading.partner_offers import partner_offers
from marketenv.markets.parameter_trading.partners import (
    PARTNER_RULES,
    Candidates,
    Partners,
    Past,
    chosen,
)
from marketenv.markets.parameter_trading.reports import Messages, Quotes, Traded, read
from marketenv.markets.parameter_trading.weights import Merger, Weighed
from marketenv.markets.training import Trained
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
        self.alignment, self.weights, self.valuation = alignment, weights, valuation
        self.mechanism, self.exchange, self.partner_rule = mechanism, exchange, partner_rule
        self.moves = {role: traders_move(config, scales)}
        self.disclosure = Disclosure(
            config.disclosure, config.valuation == "error_ratio", config.money_per_loss, scales
        )
        layout, layers = learner.layout, learner.layers
        self.mask = layer_mask(layout, layers, config.layers).to(device)
        masks = [layer_mask(layout, layers, (k,)) for k in range(len(layers))]
        self.layer_masks = torch.stack(masks).to(device)

    def begin(self, floor: Floor) -> Memory:
        """No alignment yet, nothing paid, and the options of the config."""
        models, nothing = floor.models[self.role], torch.zeros_like(floor.cash(self.role))
        (n_markets, count), learner = nothing.shape, self.learner
        orders = no_orders(n_markets, count, learner.permutations, learner.layout, nothing.device)
        few, past = self.config.few_partners, None
        if few is not None:
            past = Past.none(models.effort, few)
            orders = orders[:, :1].expand(-1, count * few, -1).clone()
        return Memory(
            orders=orders,
            options=Options.of(self.config, torch.ones_like(models.effort), len(learner.layers)),
            last_paid=nothing,
            last_received=nothing,
            past=past,
        )

    # --- what is shown ----------------------------------------------------------------------------

    def quote(self, floor: Floor, own: Memory) -> Quotes:
        """Align sellers to their buyers, find the best weights, and value all trials."""
        models, diverged = floor.models[self.role], floor.of(Trained, role=self.role).diverged
        keys = floor.keys(*self.purpose("align"))
        partners, aligned = self._offers(floor, own, models.params, keys)
        changes = (own.options, self.layer_masks, keys, partners)
        offers = altered(aligned.offers, models.params, *changes)
        known = self.alignment in ALIGNMENTS.values() and own.past is None
        merger = Merger(
            floor.world,
            models.params,
            offers,
            self.mask,
            sellers=partners.sellers,
            aligned=aligned if known else None,
            changed=own.options.change_offers,
        )
        weights = own_parts.weighed(self.weights, merger)
        # an agent that has just diverged has nothing to sell
        loss = weights.loss.masked_fill(partners.theirs(diverged), torch.inf)
        trial = _trial(merger, weights.alpha, models.loss, loss, partners)
        gain = own_parts.value(self.valuation, trial)
        gain = Gain(gain.shown, torch.where(partners.tried, gain.worth, 0.0))
        alpha = partners.pairs(weights.alpha, 0.0)
        low, high = self.disclosure.bounds(gain, alpha, own.options.sabotage)
        parts = (partners, offers, aligned.orders, alpha, gain, low, high)
        return Quotes(models.params, diverged, *parts)

    def _offers(
        self, floor: Floor, own: Memory, models: Parameters, keys: Int[Tensor, "markets"]
    ) -> tuple[Partners, Aligned]:
        """The sellers that each buyer tries, and their models as they lie on the buyer's."""
        few, past = self.config.few_partners, own.past
        parts = (self.alignment, self.learner, models, keys)
        if few is None or past is None:
            return Partners.everybody(models[..., 0]), own_parts.aligned(*parts, own.orders)
        draw = floor.keys(*self.purpose("partners"))
        candidates = Candidates(models, self.mask, past.gain, draw)
        partners = chosen(own_parts.partner_scores(self.partner_rule, candidates), draw, few)
        return partners, partner_offers(*parts, partners, Partners(past.sellers), own.orders)

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
        return {self.role: fields | self._alone(floor, own)}

    def show_end(self, floor: Floor, own: Memory) -> Shown:
        """After the last round nothing is on offer any more."""
        return {self.role: self._alone(floor, own)}

    def _alone(self, floor: Floor, own: Memory) -> dict[str, Tensor]:
        """What a trader sees of itself: one number each [markets, agents]."""
        models, types = floor.models[self.role], floor.types[self.role]
        fields = {"loss": models.loss, "accuracy": models.accuracy, "cash": floor.cash(self.role)}
        fields |= {name: types[name] for name in ("money_per_loss", "effort_cost")}
        fields |= {"last_paid": own.last_paid, "last_received": own.last_received}
        return fields | {"round": floor.played[:, None].expand_as(models.loss)}

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
        settlement = self._settle(quotes, messages, self._inputs(floor))
        before = Scores(models.loss, models.accuracy)
        after = floor.world.score(settlement.params, floor.round)
        settlement, scores = sound(settlement, quotes, before, after)
        trades, prices = settlement.trades, settlement.prices
        floor = floor.pay(self.named("purchases"), self.role, self.role, prices)
        floor = floor.term(self.named("harm"), self.role, -(messages.cost * trades).sum(1))
        models = self._next(models, settlement, scores, messages.effort)
        floor = floor.but(models={**floor.models, self.role: models})
        paid, received = prices.sum(2), prices.sum(1)
        own = replace(own, orders=quotes.orders, last_paid=paid, last_received=received)
        if own.past is not None:
            own = replace(own, past=own.past.after(quotes.partners, quotes.gain.worth))
        return floor, own, self._outcome(floor, quotes, messages, settlement)

    def _settle(self, quotes: Quotes, messages: Messages, inputs: Inputs) -> Settlement:
        """What the exchange decides; bids for sellers that are not tried are void."""
        messages, only_void = voided(messages, quotes.partners.tried)
        settlement = own_parts.exchange(self.exchange, quotes, messages, inputs)
        # of the reasons: no seller offers a gain, and bids nothing
        unsaid = only_void & ((settlement.reason == 1) | (settlement.reason == 2))
        return replace(settlement, reason=torch.where(unsaid, 9, settlement.reason))

    def _outcome(
        self, floor: Floor, quotes: Quotes, messages: Messages, settlement: Settlement
    ) -> Traded:
        trades = settlement.trades
        bought, sold, reason = (
            floor.everyone(**{self.role: numbers})
            for numbers in (trades.sum(2), trades.sum(1), settlement.reason)
        )
        terms = (quotes.gain, quotes.alpha, messages.bids, messages.asks, quotes.partners.tried)
        return Traded(self.role, bought, sold, reason, *terms, trades, settlement.prices)

    def _inputs(self, floor: Floor) -> Inputs:
        most, shares = self.config.max_purchases, floor.world.shares
        return Inputs(self.mechanism, self.mask, most, shares, floor.purse(self.role), floor.round)

    def _next(
        self,
        models: Models,
        settlement: Settlement,
        scores: Scores,
        effort: Float[Tensor, "markets agents"],
    ) -> Models:
        """Models after the trade; ``after_purchase="reset"`` gives buyers a fresh optimiser."""
        slots = models.slots
        if self.config.after_purchase == "reset":
            fresh = fresh_slots(self.learner, effort.numel(), effort.device)
            buyers = settlement.trades.any(2)[..., None]
            slots = torch.where(buyers, fresh.unflatten(0, effort.shape), slots)
        scored = replace(models, loss=scores.loss, accuracy=scores.accuracy)
        return replace(scored, params=settlement.params, slots=slots, effort=effort)

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


def _trial(
    merger: Merger, alpha: Tensor, before: Tensor, after: Tensor, partners: Partners
) -> Trial:
    """What a valuation judges by: losses, and errors where the true parameters are known.

    A seller that is not tried is as useless as one whose loss is not finite.
    """
    loss_after = partners.pairs(after, torch.inf)
    optimum = merger.world.optimum
    if optimum is None:
        return Trial(before, loss_after, None, None)
    error_before = (merger.models - optimum).square().sum(-1)
    error_after = (merger.merged(alpha) - optimum[:, :, None]).square().sum(-1)
    error_after = error_after.masked_fill(after.isinf(), torch.inf)
    return Trial(before, loss_after, error_before, partners.pairs(error_after, torch.inf))
