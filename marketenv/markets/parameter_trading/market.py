"""The parameter market of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023).

It takes any number of agents. A round has three phases. ``Train``: every agent trains. ``Trade``:
the broker aligns each seller to each buyer, finds the best weight of each purchase on its own data
and shows each agent its gains; agents report bids, an ask and their next effort; the rule decides
who trades at which price, and merged parameters and money move. ``Score``: the fall of each agent's
loss becomes money.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, check_function, layer_mask
from marketenv.core import draws
from marketenv.core.checks import named_part
from marketenv.core.devices import device_of
from marketenv.core.floor import Floor
from marketenv.core.market import Market, People, Phase
from marketenv.core.shards import Shards
from marketenv.data import Source, augmentation
from marketenv.learners import Learner, Training
from marketenv.markets import own_parts
from marketenv.markets.arguments import PAYMENT_RULE, check_labels, make_learner, source_of
from marketenv.markets.models import Models
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.exchanges import EXCHANGES
from marketenv.markets.parameter_trading.moves import Scales
from marketenv.markets.parameter_trading.partners import PARTNER_RULE, PARTNER_RULES
from marketenv.markets.parameter_trading.score import Score
from marketenv.markets.parameter_trading.trade import Trade
from marketenv.markets.parameter_trading.weights import WEIGHT_RULE, WEIGHTS
from marketenv.markets.parameter_trading.worlds import TradingWorlds, open_content
from marketenv.markets.training import Train
from marketenv.markets.worlds import shared_exams
from marketenv.mechanisms import MECHANISMS
from marketenv.valuation import VALUATIONS

NAME, ROLE = "parameter_trading_v0", "trader"
DEFAULT_TRAINING = {
    "classification": Training(optimizer="sgd", learning_rate=0.1, batch_size=32, steps=5),
    "regression": Training(optimizer="sgd", learning_rate=0.01, batch_size=None, steps=1),
}
ALIGNMENT = "a callable (params, layout, permutations, keys, orders) -> Aligned"
EXCHANGE = "a callable (quotes, messages, inputs) -> Settlement"


def parameter_trading(config: ParameterTradingConfig | None = None) -> Market:
    """A batch of parameter markets; the module's text tells a round, the config its parts."""
    c = config or ParameterTradingConfig()
    if c.n_agents < 2:
        raise ValueError("n_agents is 1, wanted a whole number >= 2.")
    people, phases, source = components(c)
    cut = c.horizon == "cut"
    return Market(people, phases, horizon=c.max_cycles, cut=cut, name=NAME, config=c, source=source)


def components(c: ParameterTradingConfig) -> tuple[People, tuple[Phase, ...], Source]:
    """Who is in a parameter market, its phases, and its data; one agent alone does not trade."""
    device = device_of(c.device)
    source = source_of(c, device)
    check_labels(source, device)
    learner = _learner(c, source)
    parts = _parts(c, learner)
    trade: tuple[Phase, ...] = ()
    if c.n_agents > 1:
        scales = _scales(c, source, device)
        trade = (Trade(ROLE, c, learner, scales, device=device, **parts),)
    for offered in c.offered_layers or ():
        layer_mask(learner.layout, learner.layers, offered)  # refuses layers that the learner lacks
    if learner.permutations and parts["alignment"] is not ALIGNMENTS["none"]:
        _check_permutations(learner, source, device)
    furnish = Furnish(c, source, learner, shared_exams(source, device))
    people = People(
        roles={ROLE: c.n_agents}, cash=c.cash, credit=c.credit, furnish=furnish, device=device
    )
    return people, (Train(ROLE, learner), *trade, Score(ROLE)), source


def _parts(c: ParameterTradingConfig, learner: Learner) -> dict[str, Any]:
    """The parts of the trade, each by its name in a table or as the config gives it."""
    auto = ALIGNMENTS["weight_matching" if learner.permutations else "none"]
    alignments, valuation = ALIGNMENTS | {"auto": auto}, "a callable Trial -> Gain"
    return {
        "alignment": named_part(c.alignment, "alignment", alignments, ALIGNMENT, takes=5),
        "weights": named_part(c.alpha, "alpha", WEIGHTS, WEIGHT_RULE, takes=1),
        "valuation": named_part(c.valuation, "valuation", VALUATIONS, valuation, takes=1),
        "mechanism": named_part(c.mechanism, "mechanism", MECHANISMS, PAYMENT_RULE, takes=2),
        "partner_rule": named_part(
            c.partner_rule, "partner_rule", PARTNER_RULES, PARTNER_RULE, takes=1
        ),
        "exchange": named_part(c.exchange, "exchange", EXCHANGES, EXCHANGE, takes=3),
    }


@dataclass(frozen=True, eq=False)
class Furnish:
    """Draws data and types and scores first models at the start of an episode; a callable.

    shared: whether all markets share their validation, and their test examples
    """

    config: ParameterTradingConfig
    source: Source
    learner: Learner
    shared: tuple[bool, bool]

    def __call__(self, floor: Floor) -> Floor:
        """The furnished floor; ValueError for first models whose losses are not finite."""
        keys = draws.agent_keys(floor.seeds, self.config.n_agents, "first model")
        params = own_parts.first_models(self.learner, keys.flatten()).unflatten(0, keys.shape)
        opening = partial(open_content, self.source, self.learner, self.shared)
        world = TradingWorlds.of(opening, floor.seeds)
        scores = world.score(params, floor.round)
        if not bool(scores.loss.isfinite().all()):
            raise ValueError(
                "a first model's loss is not finite, so that no trade has a value; scale the"
                " features and targets."
            )
        slots = own_parts.fresh_slots(self.learner, keys.numel(), keys.device)
        slots = slots.unflatten(0, keys.shape)
        models = {ROLE: Models.first(params, slots, scores.loss, scores.accuracy)}
        types = {ROLE: self._types(floor)}
        return dataclasses.replace(floor, world=world, models=models, types=types)

    def _types(self, floor: Floor) -> dict[str, Float64[Tensor, "markets agents"]]:
        """Money per unit of loss, and per full effort, uniform in the config's intervals."""
        c = self.config
        uniform = draws.uniform(draws.agent_keys(floor.seeds, c.n_agents, "types"), 2)
        low, high = (uniform.new_tensor([c.money_per_loss[k], c.effort_cost[k]]) for k in (0, 1))
        types = low + (high - low) * uniform
        return {"money_per_loss": types[..., 0], "effort_cost": types[..., 1]}


# --- parts that follow from the data --------------------------------------------------------------


def _learner(c: ParameterTradingConfig, source: Source) -> Learner:
    augment = augmentation(c.augmentation, c.n_agents, source.feature_shape)
    training = c.training or DEFAULT_TRAINING[source.task]
    if augment is not None:
        if not isinstance(c.learner, str):
            raise ValueError(
                f"augmentation is {c.augmentation!r}, but the learner is ready-made: set its"
                " Training.augment."
            )
        training = dataclasses.replace(training, augment=augment)
    return make_learner(c.learner, source, training, c.learner_options)


def _scales(c: ParameterTradingConfig, source: Source, device: torch.device) -> Scales:
    """The largest loss, bid and ask: of the config, or by the loss of guessing."""
    guessing = _loss_of_guessing(c, source, device)
    bid_max = c.money_per_loss[1] * guessing if c.bid_max is None else c.bid_max
    ask_max = 0.1 * bid_max if c.ask_max is None else c.ask_max
    return Scales(max(100.0, 10 * guessing), bid_max, ask_max)


def _loss_of_guessing(c: ParameterTradingConfig, source: Source, device: torch.device) -> float:
    """Loss of a model that gives every class the same chance, or predicts the targets' mean."""
    if source.task == "classification":
        return math.log(source.n_outputs)
    seed = torch.zeros(1, dtype=torch.int64, device=device)
    _, y, mask = source.federation(seed).validation.padded()
    targets = y[mask].double()
    spread = float(targets.var()) if len(targets) > 1 else 0.0
    if spread == 0 and c.bid_max is None:
        raise ValueError(
            f"the targets of the broker's {len(targets)} examples do not differ, so that nothing"
            " says what the largest bid is; pass bid_max=<money>, or a larger validation_size."
        )
    return spread / 2


def _check_permutations(learner: Learner, source: Source, device: torch.device) -> None:
    """Refuse, by name, permutations that change what a model computes, before any is used.

    The test takes random examples, and models in which no two numbers are equal: equal numbers, as
    first biases are, hide errors.
    """
    keys = draws.fold(torch.arange(4, device=device), "permutations")
    x = draws.normal(keys[0], 8, *source.feature_shape).float()
    y = torch.arange(8, device=device) % source.n_outputs
    y = y if source.task == "classification" else draws.normal(keys[1], 8).float()
    index, size = torch.arange(8, device=device)[None], torch.tensor([8], device=device)
    exam = own_parts.exam(learner, Shards(x, y, index, size))
    views = learner.layout.views(own_parts.first_models(learner, keys))
    for name, tensor in views.items():
        spread = 0.5 * tensor.square().mean().sqrt()
        noise = draws.normal(draws.fold(keys, name), *tensor.shape[1:]).to(tensor)
        views[name] = tensor + torch.where(spread > 0, spread, 0.5) * noise
    models = learner.layout.flat(views)

    def losses(params: Float[Tensor, "models params"]) -> Float[Tensor, "models"]:
        return own_parts.scores(learner, params[None], exam).loss[0]

    # TF32 rounds to a thousandth, the check to 1e-5
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        check_function(losses, learner.layout, learner.permutations or {}, models)
