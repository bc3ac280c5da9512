"""The parameter market of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023), for any number of agents.

A round: every agent trains; the broker aligns each seller to each buyer, finds the best weight of the purchase on its
own data and tells each agent its gain (``quote``); agents report bids, an ask and their next effort; the rule settles,
merged parameters are shipped and money moves (``clear``). All trades of a round use the models from before any trade.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, Aligned, alpha_grid, check_function, layer_mask, merge, no_orders
from marketenv.core import draws
from marketenv.core.checks import named_part
from marketenv.core.clock import Clock
from marketenv.core.devices import device_of
from marketenv.core.fields import Field, Fields, Money, Multiple, Share, just_above
from marketenv.core.horizon import share_played
from marketenv.core.market import Past, Report, Role, Stage
from marketenv.core.pairs import others, pairs_of
from marketenv.core.policy import uniform_random
from marketenv.core.shards import Shards
from marketenv.core.transfers import Ledger, net
from marketenv.data import Source, augmentation, make_source
from marketenv.learners import Learner, Scores, Training
from marketenv.markets import own_parts
from marketenv.markets.arguments import PAYMENT_RULE, make_learner
from marketenv.markets.exchanges import EXCHANGES, Exchange, Terms, critical_bids, critical_markups
from marketenv.markets.parameter_trading_types import (
    Options,
    ParameterTradingConfig,
    Reports,
    TradingQuotes,
    TradingReport,
    TradingState,
)
from marketenv.markets.trading_worlds import TradingWorlds, open_content
from marketenv.markets.worlds import shared_exams
from marketenv.mechanisms import MECHANISMS, Outcome
from marketenv.valuation import VALUATIONS, Gain, Trial, theorem_4_1

DEFAULT_TRAINING = {
    "classification": Training(optimizer="sgd", learning_rate=0.1, batch_size=32, steps=5),
    "regression": Training(optimizer="sgd", learning_rate=0.01, batch_size=None, steps=1),
}
ALIGNMENT = "a callable (params, layout, permutations, keys, orders) -> Aligned"
EXCHANGE = "a callable (state, quotes, reports, terms) -> Exchange"
LEAST_WEIGHT = 1e-3  # weights below it carry too little of the seller for its own gain to bound the buyer's


def bids_of(factor: float, observation: Tensor, role: Role) -> Tensor | float:
    """What bids of ``factor`` times the worth are written as: the factor, or the money where bids are money."""
    if isinstance(role.action["bid"], Multiple):
        return factor
    seen = role.observation.unpack(observation)
    return factor * seen["money_per_loss"] * seen["gain"].clamp(min=0)


def truthful(observation: Tensor, role: Role, keys: Tensor) -> Tensor:
    """Bid what a gain is worth, ask one's cost, train at full effort: float32 [markets, others + 2]."""
    return role.write(observation, bid=bids_of(1.0, observation, role), ask=0.0, effort=1.0)


POLICIES: dict[str, Any] = {"truthful": truthful, "random": uniform_random}


class ParameterTradingMarket:
    """A batch of parameter markets; see the module's text for a round and the config for its parts."""

    report_type: type[Report] = TradingReport
    stages: tuple[Stage, ...] = (Stage("trade", ("trader",)),)
    policies: dict[str, Any] = POLICIES

    def __init__(self, config: ParameterTradingConfig | None = None) -> None:
        self.config = c = config or ParameterTradingConfig()
        self.device, self.horizon, self.n_agents = device_of(c.device), c.max_cycles, c.n_agents
        self.cut = c.horizon == "cut"
        options = {"root": c.root, "download": c.download, **c.data_options}
        self.source: Source = make_source(c.data, c.partition, c.n_agents, **options).to(self.device)
        self._shared = shared_exams(self.source, self.device)
        self.learner: Learner = self._learner()
        alignments = ALIGNMENTS | {"auto": ALIGNMENTS["weight_matching" if self.learner.permutations else "none"]}
        self.alignment = named_part(c.alignment, "alignment", alignments, ALIGNMENT, takes=5)
        self.valuation: Callable[[Trial], Gain] = named_part(
            c.valuation, "valuation", VALUATIONS, "a callable Trial -> Gain", takes=1
        )
        self.mechanism: Callable[[Tensor, Tensor], Outcome] = named_part(
            c.mechanism, "mechanism", MECHANISMS, PAYMENT_RULE, takes=2
        )
        self.exchange: Callable[..., Exchange] = named_part(c.exchange, "exchange", EXCHANGES, EXCHANGE, takes=4)
        self.mask = layer_mask(self.learner.layout, self.learner.layers, c.layers).to(self.device)
        useless = self._loss_of_guessing()
        self.largest = max(100.0, 10 * useless)  # bound of losses and gains that anybody is told; beyond it is "useless"
        self.bid_max = c.money_per_loss[1] * useless if c.bid_max is None else c.bid_max
        self.ask_max = 0.1 * self.bid_max if c.ask_max is None else c.ask_max
        for offered in c.offered_layers or ():
            layer_mask(self.learner.layout, self.learner.layers, offered)  # refuses layers that the learner lacks
        if self.learner.permutations and self.alignment is not ALIGNMENTS["none"]:
            self._check_permutations()

    def _loss_of_guessing(self) -> float:
        """Loss of a model that knows only how often each label comes (equally often), or the targets' mean."""
        if self.source.task == "classification":
            return math.log(self.source.n_outputs)
        _, y, mask = self.source.federation(torch.zeros(1, dtype=torch.int64, device=self.device)).validation.padded()
        targets = y[mask].double()
        spread = float(targets.var()) if len(targets) > 1 else 0.0
        if spread == 0 and self.config.bid_max is None:
            raise ValueError(
                f"the targets of the broker's {len(targets)} examples do not differ, so that nothing says what the largest bid "
                "is; pass bid_max=<money>, or a larger validation_size."
            )
        return spread / 2

    def _learner(self) -> Learner:
        c, source = self.config, self.source
        augment = augmentation(c.augmentation, c.n_agents, source.feature_shape)
        training = c.training or DEFAULT_TRAINING[source.task]
        if augment is not None:
            if not isinstance(c.learner, str):
                raise ValueError(f"augmentation is {c.augmentation!r}, but the learner is ready-made: set its Training.augment.")
            training = dataclasses.replace(training, augment=augment)
        return make_learner(c.learner, source, training, c.learner_options)

    def _check_permutations(self) -> None:
        """Refuse, by name, permutations that change what a model computes, before any of them is used.

        On random examples and models in which no two numbers are alike: equal ones, as biases are at first, hide errors.
        """
        learner, source, device = self.learner, self.source, self.device
        keys = draws.fold(torch.arange(4, device=device), "permutations")
        x = draws.normal(keys[0], 8, *source.feature_shape).float()
        y = torch.arange(8, device=device) % source.n_outputs
        y = y if source.task == "classification" else draws.normal(keys[1], 8).float()
        exam = learner.exam(Shards(x, y, torch.arange(8, device=device)[None], torch.tensor([8], device=device)))
        views = learner.layout.views(learner.init(keys))
        for name, tensor in views.items():
            spread = 0.5 * tensor.square().mean().sqrt()
            noise = draws.normal(draws.fold(keys, name), *tensor.shape[1:]).to(tensor)
            views[name] = tensor + torch.where(spread > 0, spread, 0.5) * noise
        models = learner.layout.flat(views)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 rounds to a thousandth, the check to 1e-5
            check_function(
                lambda p: own_parts.scores(learner, p[None], exam).loss[0], learner.layout, learner.permutations or {}, models
            )

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """Traders: what each sees by name (``others`` in the order of agents without itself), and what it may do."""
        others, (_, m_high), (_, cost_high) = self.n_agents - 1, self.config.money_per_loss, self.config.effort_cost
        seen = Fields(
            (
                Field("loss", 1, 0.0, self.largest, "own loss on the broker's data"),
                Field("accuracy", 1, 0.0, 1.0, "own accuracy (regression: share of variance explained)"),
                Field("gain", others, -self.largest, self.largest, "own gain from each seller, in the unit that money prices"),
                Field("shown", others, -self.largest, self.largest, "the same in the form that the valuation discloses"),
                Field("alpha", others, 0.0, 1.0, "best weight of each seller's parameters"),
                Field("buyer_low", others, 0.0, self.bid_max, "least that each buyer may value one's model at, money"),
                Field("buyer_high", others, 0.0, self.bid_max, "most that each buyer may value one's model at, money"),
                Field("buyer_alpha", others, 0.0, 1.0, "weight at which each buyer would merge it (0 unless disclosed)"),
                Field("money_per_loss", 1, 0.0, max(m_high, 1e-6), "own type: money per unit of loss"),
                Field("effort_cost", 1, 0.0, max(cost_high, 1e-6), "own type: money per full effort"),
                Field("sale_cost", others, 0.0, self.bid_max, "what a sale to each buyer costs oneself, money"),
                Field("cash", 1, -1e6, 1e6, "money in hand"),
                Field("last_paid", 1, 0.0, 1e6, "money paid in the last round"),
                Field("last_earned", 1, 0.0, 1e6, "money received in the last round"),
                Field("round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"),
            )
        )
        bid: Field = Money("bid", others, most=self.bid_max, text="one bid per seller")
        if self.config.bid_mode == "gain":
            bid = Multiple("bid", others, most=2.0, of="gain", unit="times the worth", text="one bid per seller, at most bid_max")
        does = Fields(
            (
                bid,
                Money("ask", most=self.ask_max, unit="money above cost", text="one ask, above one's own cost of the sale"),
                Share("effort", unit="of full effort", text="effort of the next training: the share of its steps that are done"),
            )
        )
        return (Role("trader", self.n_agents, seen, does),)

    def reset(self, seeds: Int[Tensor, "markets"]) -> TradingState:
        """Draw data, types and first models, and score the models; effort is 1 for the first training."""
        c, n = self.config, self.n_agents
        keys = draws.agent_keys(seeds, n, "first model")
        params = own_parts.first_models(self.learner, keys.flatten()).unflatten(0, keys.shape)
        types = draws.uniform(draws.agent_keys(seeds, n, "types"), 2)
        world = self.open_worlds(seeds)
        scores = world.score(params)
        if not bool(scores.loss.isfinite().all()):
            raise ValueError("a first model's loss is not finite, so that no trade has a value; scale the features and targets.")
        ones = torch.ones(len(seeds), n, dtype=torch.float32, device=self.device)
        low, high = (types.new_tensor([c.money_per_loss[k], c.effort_cost[k]]) for k in (0, 1))
        drawn, nothing = low + (high - low) * types, torch.zeros_like(types[..., 0])
        return TradingState(
            seeds=seeds,
            round=torch.zeros_like(seeds),
            params=params,
            slots=self._fresh_slots(keys.shape),
            loss=scores.loss,
            accuracy=scores.accuracy,
            effort=ones,
            money_per_loss=drawn[..., 0],
            effort_cost=drawn[..., 1],
            ledger=Ledger(nothing + c.cash, nothing + c.credit),
            last_paid=nothing,
            last_earned=nothing,
            orders=self._no_orders(len(seeds)),
            options=self._options(ones),
            world=world,
        )

    def quote(self, state: TradingState, past: Past) -> TradingQuotes:
        """Train everybody, align every seller to every buyer, find the best weights, and value every trade."""
        clock = Clock(self.device)
        trained, slots, scores, diverged = self._train(state)
        clock.lap("train")
        offers, orders = self._offers(state, trained)
        alpha, loss_after = self._best_weights(trained, offers, state.world)
        loss_after = loss_after.masked_fill(diverged[:, None], torch.inf)  # who has just diverged has nothing to sell
        clock.lap("align")
        gain = own_parts.value(self.valuation, self._trial(trained, offers, alpha, scores.loss, loss_after, state.world))
        low, high = self._disclose(state, gain, alpha)
        clock.lap("value")
        return TradingQuotes(
            trained, slots, diverged, scores.loss, scores.accuracy, offers, orders, alpha, gain, low, high, clock.seconds
        )

    def observe(self, state: TradingState, past: Past, quotes: TradingQuotes | None) -> Float[Tensor, "markets agents dim"]:
        """What each trader may see; after the last round nothing is on offer any more."""
        pairs = state.loss.new_zeros(len(state.seeds), self.n_agents, self.n_agents)
        loss, accuracy = (state.loss, state.accuracy) if quotes is None else (quotes.loss, quotes.accuracy)
        gain, shown, alpha, low, high = (
            (pairs,) * 5 if quotes is None else (quotes.gain.worth, quotes.gain.shown, quotes.alpha, quotes.low, quotes.high)
        )
        weights = alpha if self.config.disclosure == "full" else pairs
        alone = {"money_per_loss": state.money_per_loss, "effort_cost": state.effort_cost, "cash": state.ledger.cash}
        alone |= {"last_paid": state.last_paid, "last_earned": state.last_earned, "loss": loss, "accuracy": accuracy}
        finished = share_played(self, state.round)[:, None].expand(-1, self.n_agents)
        return self.roles[0].observation.pack(
            gain=others(gain),
            shown=others(shown),
            alpha=others(alpha),
            buyer_low=others(low.mT),
            buyer_high=others(high.mT),
            buyer_alpha=others(weights.mT),
            sale_cost=others(self._sale_cost(gain).mT),
            **{name: values[..., None] for name, values in (alone | {"round": finished}).items()},
        )

    def clear(self, state: TradingState, past: Past) -> tuple[TradingState, TradingReport]:
        """Let the exchange decide who buys, ship merged parameters, move the money, and value what it came to."""
        ((quotes, actions),) = past
        clock = Clock(self.device)
        reports = self._read(state, quotes, actions)
        terms = Terms(self.mechanism, self.mask, self.config.max_purchases, state.world.shares)
        done, scores = self._sound(quotes, own_parts.exchange(self.exchange, state, quotes, reports, terms), state.world)
        transfers = done.prices * done.bought
        ledger = state.ledger.settle(transfers)
        paid, received = transfers.sum(2), transfers.sum(1)
        value = state.money_per_loss * (state.loss.double() - scores.loss.double())
        harm = (reports.cost * done.bought).sum(1)
        utility = value + net(transfers) - state.effort_cost * state.effort - harm
        bought, sold = done.bought.sum(2), done.bought.sum(1)
        slots = quotes.slots
        if self.config.after_purchase == "reset":
            slots = torch.where((bought > 0)[..., None], self._fresh_slots(bought.shape), slots)
        clock.lap("settle")
        new = dataclasses.replace(
            state,
            round=state.round + 1,
            params=done.params,
            slots=slots,
            loss=scores.loss,
            accuracy=scores.accuracy,
            effort=reports.effort,
            ledger=ledger,
            last_paid=paid,
            last_earned=received,
            orders=quotes.orders,
        )
        report = TradingReport(
            rewards=utility,
            transfers=transfers,
            terminated=torch.zeros_like(state.round, dtype=torch.bool),
            seconds=quotes.seconds | clock.seconds,
            utility=utility,
            value=value,
            paid=paid,
            received=received,
            effort=state.effort,
            bought=bought,
            sold=sold,
            trained_loss=quotes.loss,
            loss=scores.loss,
            accuracy=scores.accuracy,
            diverged=quotes.diverged,
            cash=ledger.cash,
            reason=done.reason,
            gain=quotes.gain,
            alpha=quotes.alpha,
            bids=reports.bids,
            asks=reports.asks,
            trades=done.bought,
        )
        return new, report

    def test_scores(self, state: TradingState) -> Scores:
        """Loss and accuracy [markets, agents] on the held-out test set, which no agent and no broker ever sees."""
        return state.world.score(state.params, held_out=True)

    def breakpoints(self, state: TradingState, past: Past, agent: int) -> Float[Tensor, "markets candidates width"] | None:
        """Actions among which a best reply of an agent to the others' reports always is, for the utility of this round.

        None where it is not known: exchanges and rules of one's own, several purchases, a coalition's joint ask. The effort
        acts on later rounds only and stays as it was. past: this round's quotes and the actions of all agents
        """
        known = self.exchange is EXCHANGES["trade"] and self.mechanism in MECHANISMS.values()
        if not known or self.config.max_purchases > 1 or bool(state.options.coalition.any()):
            return None
        ((quotes, actions),) = past
        reports = self._read(state, quotes, actions)
        bids = critical_bids(reports, agent, exclusive=self.mechanism in (MECHANISMS["first_price"], MECHANISMS["second_price"]))
        bid, ask, worth = self.roles[0].action["bid"], self.roles[0].action["ask"], self._worth(state, quotes)[:, agent, :, None]
        met = bid.write(bids / worth.clamp(min=1e-300) if self.config.bid_mode == "gain" else bids)
        met = torch.cat([met[:, :agent], met[:, agent + 1 :]], 1)
        met = torch.cat([met, just_above(met)], 2)  # float32 may have rounded it below the ask
        alone = torch.eye(met.shape[1], dtype=torch.bool, device=self.device)[:, None]
        buys = torch.where(alone, met[..., None], bid.low).flatten(1, 2)  # a purchase is of one seller: nothing to the others
        buys = torch.cat([buys, torch.full_like(buys[:, :1], bid.low)], 1)
        open_ = (quotes.gain.worth > 0) & (reports.bids > 0) & state.ledger.affordable(reports.bids)
        asks = ask.write(critical_markups(reports, agent, open_))
        asks = torch.cat([asks, -just_above(-asks), asks.new_tensor([ask.low, ask.high]).expand(len(asks), -1)], 1)
        shape = (len(asks), buys.shape[1], asks.shape[1])
        parts = buys[:, :, None].expand(*shape, -1), asks[:, None, :, None].expand(*shape, 1)
        effort = actions[:, agent, -1:][:, None, None].expand(*shape, 1)
        return torch.cat([*parts, effort], 3).flatten(1, 2)

    def open_worlds(self, seeds: Int[Tensor, "markets"]) -> TradingWorlds:
        """What the seeds fix for good: everybody's data, laid out for the learner."""
        return TradingWorlds.of(partial(open_content, self.source, self.learner, self._shared), seeds)

    def _options(self, ones: Tensor) -> Options:
        c, layers = self.config, len(self.learner.layers)
        noise = torch.tensor(c.sabotage, dtype=torch.float32, device=self.device)
        chosen = c.offered_layers or (None,) * self.n_agents
        offered = [[layers_ is None or k in layers_ for k in range(layers)] for layers_ in chosen]
        members = [agent in c.coalition for agent in range(self.n_agents)]
        return Options(
            sabotage=ones * noise,
            offered=torch.tensor(offered, dtype=torch.float32, device=self.device).expand(len(ones), -1, -1),
            coalition=torch.tensor(members, device=self.device).expand(len(ones), -1),
        )

    def _no_orders(self, n_markets: int) -> Int[Tensor, "markets pairs units"]:
        return no_orders(n_markets, self.n_agents, self.learner.permutations, self.learner.layout, self.device)

    def _fresh_slots(self, shape: torch.Size) -> Float[Tensor, "markets agents slots"]:
        return own_parts.fresh_slots(self.learner, shape.numel(), self.device).unflatten(0, shape)

    @cached_property
    def _layer_masks(self) -> Float[Tensor, "layers params"]:
        """Which parameters each layer holds, one row a layer."""
        learner = self.learner
        return torch.stack([layer_mask(learner.layout, learner.layers, (k,)) for k in range(len(learner.layers))]).to(self.device)

    def _train(self, state: TradingState) -> tuple[Tensor, Tensor, Scores, Tensor]:
        """Train everybody for one round; an agent whose training diverges is reset to its last finite parameters."""
        keys = draws.agent_keys(draws.fold(state.seeds, state.round), self.n_agents, "train")
        models, held, material = state.params.flatten(0, 1), state.slots.flatten(0, 1), state.world.material()
        params, slots = own_parts.train(self.learner, models, held, material, state.effort.flatten(), keys.flatten())
        params, slots = params.view_as(state.params), slots.view_as(state.slots)
        scores = state.world.score(params)
        diverged = ~(params.isfinite().all(-1) & scores.loss.isfinite())
        if diverged.any():
            params = torch.where(diverged[..., None], state.params, params)
            slots = torch.where(diverged[..., None], self._fresh_slots(diverged.shape), slots)
            scores = state.world.score(params)
        return params, slots, scores, diverged

    def _sound(self, quotes: TradingQuotes, done: Exchange, world: TradingWorlds) -> tuple[Exchange, Scores]:
        """The exchange and its scores; purchases that merge to a model that is not finite do not take place.

        Their buyer keeps the model that it trained, and no money moves for them.
        """
        scores = world.score(done.params)
        broken = ~(done.params.isfinite().all(-1) & scores.loss.isfinite())
        if not bool(broken.any()):
            return done, scores
        row = broken[..., None]
        params, reason = torch.where(row, quotes.trained, done.params), torch.where(broken, 8, done.reason)
        kept = Exchange(params, done.bought & ~row, done.prices.masked_fill(row, 0.0), reason)
        before = (quotes.loss, quotes.accuracy)
        return kept, Scores(*(torch.where(broken, old, new) for old, new in zip(before, scores, strict=True)))

    def _offers(self, state: TradingState, trained: Tensor) -> Aligned:
        """Every seller's model as each buyer would get it: aligned, with its owner's noise, only the layers it offers."""
        keys = draws.fold(state.seeds, state.round, "align")
        offers, orders = own_parts.aligned(self.alignment, self.learner, trained, keys, state.orders)
        sabotage, offered = state.options.sabotage, state.options.offered
        if bool((sabotage > 0).any()):
            noise = draws.normal(draws.agent_keys(keys, self.n_agents, "sabotage"), trained.shape[-1]).float()
            scale = sabotage[..., None] * trained.square().mean(-1, keepdim=True).sqrt()
            offers = offers + (scale * noise)[:, None]
        if bool((offered < 1).any()):
            offers = trained[:, :, None] + (offered @ self._layer_masks)[:, None] * (offers - trained[:, :, None])
        return Aligned(offers, orders)

    def _best_weights(self, trained: Tensor, offers: Tensor, world: TradingWorlds) -> tuple[Tensor, Tensor]:
        """The broker's weight of each purchase and the buyer's loss after it: [markets, buyers, sellers] each."""
        closed = self.config.alpha == "closed_form" or (self.config.alpha == "auto" and world.quadratic)
        if not closed:
            limit = 2**24 if self.device.type == "cpu" else 2**29  # a CPU wants pieces near its cache, a GPU large ones
            best = alpha_grid(world.loss, trained, offers, self.mask, limit_bytes=limit)
            return best.alpha, best.loss
        if not world.quadratic:
            raise ValueError('alpha="closed_form" wants a learner whose loss is quadratic (learner="linear"); use alpha="grid".')
        alpha = world.best_weights(trained, offers, self.mask)
        return alpha, world.loss(merge(trained, offers, alpha, self.mask).flatten(1, 2)).view_as(alpha)

    def _trial(self, own: Tensor, offers: Tensor, alpha: Tensor, before: Tensor, after: Tensor, world: TradingWorlds) -> Trial:
        optimum = world.optimum
        if optimum is None:
            return Trial(before, after, None, None)
        merged = merge(own, offers, alpha, self.mask)
        error_after = (merged - optimum[:, :, None]).square().sum(-1).masked_fill(after.isinf(), torch.inf)
        return Trial(before, after, (own - optimum).square().sum(-1), error_after)

    def _disclose(self, state: TradingState, gain: Gain, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of what each buyer may value each seller's model at, money, as far as the seller is told.

        ``full``: the buyer's gain times the prior of m. ``bounds``: with the error ratio the sharp interval of Theorem 4.1
        less 1, times that prior. Otherwise, and for ``none``, the prior's own interval [0, ask_max].
        """
        (m_low, m_high), zero = self.config.money_per_loss, torch.zeros_like(gain.worth)
        if self.config.disclosure == "full":
            low = high = gain.worth
        elif self.config.disclosure == "bounds" and self.config.valuation == "error_ratio":
            # the seller s of a sale to b knows its own gain from b (shown[s, b]) and both weights
            low, high = (bound - 1 for bound in theorem_4_1(gain.shown.mT, alpha.mT, alpha, form="sharp"))
            noised = state.options.sabotage > 0  # the theorem speaks of the models themselves
            told = (alpha.mT > LEAST_WEIGHT) & ~(noised[:, :, None] | noised[:, None])
            low, high = torch.where(told, low, 0.0), torch.where(told, high, self.largest).clamp(max=self.largest)
        else:
            return zero, zero + self.ask_max
        return (m_low * low).clamp(0, self.bid_max).to(zero), (m_high * high).clamp(0, self.bid_max).to(zero)

    def _sale_cost(self, worth: Tensor) -> Float64[Tensor, "markets buyers sellers"]:
        """What a sale costs its seller, money: externality times the buyer's gain."""
        return self.config.externality * worth.double().clamp(min=0)

    def _worth(self, state: TradingState, quotes: TradingQuotes) -> Float64[Tensor, "markets buyers sellers"]:
        """What each buyer gains from each seller's model, money; nothing where it would lose."""
        return state.money_per_loss[..., None] * quotes.gain.worth.double().clamp(min=0)

    def _read(self, state: TradingState, quotes: TradingQuotes, actions: Tensor) -> Reports:
        """Turn actions into money: bids, asks above cost (set together inside a coalition), and the next effort."""
        means = self.roles[0].action.read(actions)
        bids = pairs_of(means["bid"])
        if self.config.bid_mode == "gain":
            bids = bids * self._worth(state, quotes)
        bids = bids.clamp(0, self.bid_max)
        asks = means["ask"][..., 0]
        together = asks.masked_fill(~state.options.coalition, 0.0).amax(1, keepdim=True)
        asks = torch.where(state.options.coalition, together, asks)
        cost = self._sale_cost(quotes.gain.worth)
        return Reports(bids, asks, cost + asks[:, None], cost, means["effort"][..., 0].float())
