"""The phase in which agents trade parameters: the broker tries every purchase, agents report,
and the exchange settles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.alignment import Alignment, layer_mask, no_orders
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
from marketenv.markets.parameter_trading.exchanges import EXCHANGES, Exchange, Terms, sound
from marketenv.markets.parameter_trading.memory import Memory, Options, altered
from marketenv.markets.parameter_trading.moves import Scales, traders_move, truthful
from marketenv.markets.parameter_trading.reports import Quotes, Reports, Traded, read
from marketenv.markets.parameter_trading.weights import Merger, Weighed
from marketenv.markets.training import Trained
from marketenv.mechanisms import MECHANISMS, Outcome
from marketenv.valuation import Gain, Trial


class Trade(Phase):
    """Agents of one role buy parameters of each other; all purchases of a round use the models from
    before any of them.

    alignment, weights, valuation, mechanism, exchange: how sellers' units are matched to buyers',
        at which weight models are
    merged, what a purchase is worth, who pays how much, and who buys;
    name: of the phase, another one where there are two
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
        mechanism: Callable[[Tensor, Tensor], Outcome],
        exchange: Callable[[Quotes, Reports, Terms], Exchange],
        device: torch.device,
        name: str = "trade",
    ) -> None:
        self.role, self.config, self.learner, self.scales, self.name = (
            role,
            config,
            learner,
            scales,
            name,
        )
        self.alignment, self.weights, self.valuation = alignment, weights, valuation
        self.mechanism, self.exchange = mechanism, exchange
        self.moves = {role: traders_move(config, scales)}
        self.disclosure = Disclosure(
            config.disclosure, config.valuation == "error_ratio", config.money_per_loss, scales
        )
        layout, layers = learner.layout, learner.layers
        self.mask = layer_mask(layout, layers, config.layers).to(device)
        self.layer_masks = torch.stack(
            [layer_mask(layout, layers, (k,)) for k in range(len(layers))]
        ).to(device)

    def begin(self, floor: Floor) -> Memory:
        """No alignment yet, nothing paid, and the options of the config."""
        models, nothing = floor.models[self.role], torch.zeros_like(floor.cash(self.role))
        n_markets, count = nothing.shape
        return Memory(
            orders=no_orders(
                n_markets, count, self.learner.permutations, self.learner.layout, nothing.device
            ),
            options=Options.of(
                self.config, torch.ones_like(models.effort), len(self.learner.layers)
            ),
            last_paid=nothing,
            last_earned=nothing,
        )

    # --- what is shown ----------------------------------------------------------------------------

    def quote(self, floor: Floor, own: Memory) -> Quotes:
        """Align every seller to every buyer, find the best weights, and value every purchase."""
        models, diverged = floor.models[self.role], floor.of(Trained, role=self.role).diverged
        keys = floor.keys(*self.purpose("align"))
        offers, orders = own_parts.aligned(
            self.alignment, self.learner, models.params, keys, own.orders
        )
        offers = altered(offers, models.params, own.options, self.layer_masks, keys)
        merger = Merger(floor.world, models.params, offers, self.mask)
        found = own_parts.weighed(self.weights, merger)
        # an agent that has just diverged has nothing to sell
        loss = found.loss.masked_fill(diverged[:, None], torch.inf)
        gain = own_parts.value(self.valuation, _trial(merger, found.alpha, models.loss, loss))
        low, high = self.disclosure.bounds(gain, found.alpha, own.options.sabotage)
        return Quotes(models.params, diverged, offers, orders, found.alpha, gain, low, high)

    def show(self, floor: Floor, own: Memory, quotes: Quotes) -> Shown:
        """What each trader may see."""
        gain, alpha = quotes.gain, quotes.alpha
        told = alpha if self.config.disclosure == "full" else torch.zeros_like(alpha)
        # of the buyer; what follows is the seller's
        pairs = {"gain": gain.worth, "shown": gain.shown, "alpha": alpha}
        pairs |= {"buyer_low": quotes.low.mT, "buyer_high": quotes.high.mT, "buyer_alpha": told.mT}
        pairs |= {"sale_cost": sale_cost(self.config.externality, gain.worth).mT}
        return {
            self.role: (
                {name: others(values) for name, values in pairs.items()} | self._alone(floor, own)
            )
        }

    def show_end(self, floor: Floor, own: Memory) -> Shown:
        """After the last round nothing is on offer any more."""
        return {self.role: self._alone(floor, own)}

    def _alone(self, floor: Floor, own: Memory) -> dict[str, Tensor]:
        """What a trader sees of itself: one number each [markets, agents]."""
        models, types = floor.models[self.role], floor.types[self.role]
        seen = {"loss": models.loss, "accuracy": models.accuracy, "cash": floor.cash(self.role)}
        seen |= {name: types[name] for name in ("money_per_loss", "effort_cost")}
        finished = floor.played[:, None].expand_as(models.loss)
        return seen | {
            "last_paid": own.last_paid,
            "last_earned": own.last_earned,
            "round": finished,
        }

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Bid what a gain is worth, ask one's cost, train at full effort."""
        return truthful(observation, move, keys)

    # --- what comes of the reports ----------------------------------------------------------------

    def act(
        self, floor: Floor, own: Memory, quotes: Quotes, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Memory, Traded]:
        """Let the exchange decide who buys, ship merged parameters, and move the money."""
        reports = self._read(floor, own, quotes, actions[self.role])
        models = floor.models[self.role]
        done = own_parts.exchange(self.exchange, quotes, reports, self._terms(floor))
        before, after = (
            Scores(models.loss, models.accuracy),
            floor.world.score(done.params, floor.round),
        )
        done, scores = sound(done, quotes, before, after)
        floor = floor.pay(self.named("purchases"), self.role, self.role, done.prices)
        floor = floor.term(self.named("harm"), self.role, -(reports.cost * done.bought).sum(1))
        floor = floor.but(
            models={**floor.models, self.role: self._next(models, done, scores, reports.effort)}
        )
        own = replace(
            own, orders=quotes.orders, last_paid=done.prices.sum(2), last_earned=done.prices.sum(1)
        )
        return floor, own, self._outcome(floor, quotes, reports, done)

    def _outcome(self, floor: Floor, quotes: Quotes, reports: Reports, done: Exchange) -> Traded:
        bought, sold, reason = (
            floor.everyone(**{self.role: each})
            for each in (done.bought.sum(2), done.bought.sum(1), done.reason)
        )
        said = (quotes.gain, quotes.alpha, reports.bids, reports.asks)
        return Traded(self.role, bought, sold, reason, *said, done.bought, done.prices)

    def _terms(self, floor: Floor) -> Terms:
        most, shares = self.config.max_purchases, floor.world.shares
        return Terms(self.mechanism, self.mask, most, shares, floor.purse(self.role), floor.round)

    def _next(
        self,
        models: Models,
        done: Exchange,
        scores: Scores,
        effort: Float[Tensor, "markets agents"],
    ) -> Models:
        """Models after the trade; where told so, buyers begin with a fresh optimiser."""
        slots = models.slots
        if self.config.after_purchase == "reset":
            fresh = fresh_slots(self.learner, effort.numel(), effort.device).unflatten(
                0, effort.shape
            )
            slots = torch.where((done.bought.sum(2) > 0)[..., None], fresh, slots)
        return replace(
            models,
            params=done.params,
            slots=slots,
            loss=scores.loss,
            accuracy=scores.accuracy,
            effort=effort,
        )

    def _read(self, floor: Floor, own: Memory, quotes: Quotes, actions: Tensor) -> Reports:
        """What the actions mean, money."""
        cost = sale_cost(self.config.externality, quotes.gain.worth)
        worth = self._worth(floor, quotes) if self.config.bid_mode == "gain" else None
        return read(
            self.moves[self.role], actions, worth, cost, own.options.coalition, self.scales.bid_max
        )

    def _worth(self, floor: Floor, quotes: Quotes) -> Float64[Tensor, "markets buyers sellers"]:
        """What each buyer gains from each seller's model, money; nothing where it would lose."""
        return floor.types[self.role]["money_per_loss"][
            ..., None
        ] * quotes.gain.worth.double().clamp(min=0)

    def breakpoints(
        self,
        floor: Floor,
        own: Memory,
        quotes: Quotes,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Float[Tensor, "markets candidates width"] | None:
        """Actions of a trader among which a best reply to the others' reports always is, for the
        utility of this round.

        None where it is not known: exchanges and rules of one's own, several purchases, a
        coalition's joint ask. The effort acts on later rounds only and stays as it was.
        """
        known = self.exchange is EXCHANGES["trade"] and self.mechanism in MECHANISMS.values()
        if not known or self.config.max_purchases > 1 or bool(own.options.coalition.any()):
            return None
        (_, agent), move, done = who, self.moves[self.role], actions[self.role][:, who[1]]
        reports, worth = (
            self._read(floor, own, quotes, actions[self.role]),
            self._worth(floor, quotes),
        )
        open_ = (
            (quotes.gain.worth > 0)
            & (reports.bids > 0)
            & (reports.bids <= floor.purse(self.role)[..., None])
        )
        exclusive = self.mechanism in (MECHANISMS["first_price"], MECHANISMS["second_price"])
        return only(
            move, fields, done, replies(move, reports, worth, open_, agent, exclusive, done)
        )


def _trial(merger: Merger, alpha: Tensor, before: Tensor, after: Tensor) -> Trial:
    """What a valuation judges a purchase by: losses, and parameter errors where the true
    parameters are known.
    """
    optimum = merger.world.optimum
    if optimum is None:
        return Trial(before, after, None, None)
    error_after = (
        (merger.merged(alpha) - optimum[:, :, None])
        .square()
        .sum(-1)
        .masked_fill(after.isinf(), torch.inf)
    )
    return Trial(before, after, (merger.models - optimum).square().sum(-1), error_after)
