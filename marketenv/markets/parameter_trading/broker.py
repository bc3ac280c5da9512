"""The broker: it aligns sellers to their buyers, weighs all purchases on trial and values them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, Aligned, Alignment, layer_mask, no_orders
from marketenv.core.axes import Parameters
from marketenv.core.floor import Floor
from marketenv.learners import Learner
from marketenv.markets.parameter_trading import own_parts
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.disclosure import Disclosure
from marketenv.markets.parameter_trading.memory import Memory, Options, altered
from marketenv.markets.parameter_trading.moves import Scales
from marketenv.markets.parameter_trading.partner_offers import partner_offers
from marketenv.markets.parameter_trading.partners import Candidates, Partners, Past, chosen
from marketenv.markets.parameter_trading.reports import Quotes
from marketenv.markets.parameter_trading.weights import Merger, Weighed
from marketenv.markets.training import Trained
from marketenv.valuation import Gain, Trial

Purpose = Callable[..., tuple[int | str, ...]]  # as ``Phase.purpose``


class Broker:
    """Quotes the agents of a role what each purchase would bring.

    alignment: how sellers' units are matched to buyers'
    weights:   at which weight models are merged
    valuation: what a purchase is worth
    partner_rule: which sellers a buyer tries, where the config lets it try a few
    """

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
        partner_rule: Callable[[Candidates], Tensor],
        device: torch.device,
    ) -> None:
        self.role, self.config, self.learner = role, config, learner
        self.alignment, self.weights, self.valuation = alignment, weights, valuation
        self.partner_rule = partner_rule
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

    def quote(self, floor: Floor, own: Memory, purpose: Purpose) -> Quotes:
        """Align sellers to their buyers, find the best weights, and value all trials.

        purpose: of the phase's random draws
        """
        models, diverged = floor.models[self.role], floor.of(Trained, role=self.role).diverged
        keys = floor.keys(*purpose("align"))
        partners, aligned = self._offers(floor, own, models.params, keys, purpose)
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
        self,
        floor: Floor,
        own: Memory,
        models: Parameters,
        keys: Int[Tensor, "markets"],
        purpose: Purpose,
    ) -> tuple[Partners, Aligned]:
        """The sellers that each buyer tries, and their models as they lie on the buyer's."""
        few, past = self.config.few_partners, own.past
        parts = (self.alignment, self.learner, models, keys)
        if few is None or past is None:
            return Partners.everybody(models[..., 0]), own_parts.aligned(*parts, own.orders)
        draw = floor.keys(*purpose("partners"))
        candidates = Candidates(models, self.mask, past.gain, draw)
        partners = chosen(own_parts.partner_scores(self.partner_rule, candidates), draw, few)
        return partners, partner_offers(*parts, partners, Partners(past.sellers), own.orders)


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
