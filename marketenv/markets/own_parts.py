"""How the markets call parts that a user may have written: with all they return checked, by the part's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.alignment import Aligned
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.parts import made, taken
from marketenv.learners import Learner, Pull, Scores
from marketenv.markets.exchanges import Exchange, Terms
from marketenv.markets.parameter_trading_types import Reports, TradingQuotes, TradingState
from marketenv.markets.sharing_schemes import Given, Scheme, Shared
from marketenv.mechanisms import GainFamily
from marketenv.valuation import VALUATIONS, Gain, ModelDistance, Trial

PAIRS = "markets, buyers, sellers"
MODELS = "markets, agents, params"
Models = Float[Tensor, "models params"]


# --- learners ---------------------------------------------------------------------------------------------------------------


def first_models(learner: Learner, keys: Int[Tensor, "models"]) -> Models:
    """Fresh parameters, one model a key; ValueError where they are not finite."""
    wanted = keys[:, None].expand(-1, learner.layout.size)
    params = taken(learner.init(keys), "learner.init returned parameters", wanted, "models, params", torch.float32)
    if not bool(params.isfinite().all()):
        raise ValueError("learner.init returned parameters that are not finite, wanted finite numbers to start training from.")
    return params


def fresh_slots(learner: Learner, n_models: int, device: torch.device) -> Float[Tensor, "models slots"]:
    """Optimiser numbers before the first step."""
    wanted, said = torch.empty(1, 1, device=device).expand(n_models, learner.slots), "learner.fresh_slots returned numbers"
    return taken(learner.fresh_slots(n_models, device), said, wanted, "models, slots", torch.float32)


def train(
    learner: Learner,
    params: Models,
    slots: Float[Tensor, "models slots"],
    material: Any,
    effort: Float[Tensor, "models"],
    keys: Int[Tensor, "models"],
    pull: Pull | None = None,
) -> tuple[Models, Float[Tensor, "models slots"]]:
    """One round of training; a learner that knows no pull is only given one where something pulls."""
    more = {} if pull is None else {"pull": pull}
    done = learner.train(params, slots, material, effort, keys, **more)
    if not isinstance(done, tuple) or len(done) != 2:
        raise ValueError(f"learner.train returned a {type(done).__name__}, wanted (params, slots).")
    return (
        taken(done[0], "learner.train returned parameters", params, "models, params"),
        taken(done[1], "learner.train returned optimiser numbers", slots, "models, slots"),
    )


def scores(learner: Learner, models: Float[Tensor, "markets k params"], exam: Any) -> Scores:
    """Loss and accuracy of every model on an exam."""
    found, axes = made(learner.scores(models, exam), Scores, "learner.scores"), "markets, models"
    said = (f"learner.scores returned {name}" for name in Scores._fields)
    return Scores(*(taken(part, words, models[..., 0], axes, torch.float32) for part, words in zip(found, said, strict=True)))


def losses(learner: Learner, models: Float[Tensor, "markets k params"], exam: Any) -> Float[Tensor, "markets k"]:
    """Losses of many models; a learner that can give them alone is asked for no more."""
    alone = getattr(learner, "losses", None)
    if alone is None:
        return scores(learner, models, exam).loss
    return taken(alone(models, exam), "learner.losses returned losses", models[..., 0], "markets, models", torch.float32)


# --- parts of the parameter market --------------------------------------------------------------------------------------------


def aligned(returned: Any, trained: Parameters, orders: Int[Tensor, "markets pairs units"]) -> Aligned:
    """Offers and orders that an alignment of these models returned."""
    offers, found = made(returned, Aligned, "alignment")
    wanted = trained[:, None].expand(-1, trained.shape[1], -1, -1)
    return Aligned(
        taken(offers, "alignment returned offers", wanted, f"{PAIRS}, params"),
        taken(found, "alignment returned orders", orders, "markets, pairs, units"),
    )


def value(valuation: Callable[[Trial], Gain], trial: Trial) -> Gain:
    """What every purchase would bring its buyer; ValueError for NaN, which would be shown as the largest gain."""
    gain, like = made(valuation(trial), Gain, "valuation"), trial.loss_after
    shown, worth = (taken(getattr(gain, x), f"valuation returned {x}", like, PAIRS) for x in ("shown", "worth"))
    if valuation not in VALUATIONS.values() and bool((shown.isnan() | worth.isnan()).any()):
        raise ValueError("valuation returned NaN, wanted numbers: give the value of a useless model where a loss is not finite.")
    return Gain(shown, worth)


def exchange(
    rule: Callable[..., Exchange], state: TradingState, quotes: TradingQuotes, reports: Reports, terms: Terms
) -> Exchange:
    """Who ends the round with which parameters, who bought what, at which price, and why not."""
    done, said = made(rule(state, quotes, reports, terms), Exchange, "exchange"), "exchange returned"
    return Exchange(
        params=taken(done.params, f"{said} params", quotes.trained, MODELS),
        bought=taken(done.bought, f"{said} bought", reports.bids, PAIRS, torch.bool),
        prices=taken(done.prices, f"{said} prices", reports.bids, PAIRS),
        reason=taken(done.reason, f"{said} reason", quotes.diverged, "markets, agents", torch.int64),
    )


# --- parts of the model-sharing market ------------------------------------------------------------------------------------------


def distances(kind: ModelDistance, uploads: Parameters, start: Float[Tensor, "markets 1 params"]) -> PerPair:
    """How far apart the uploads are."""
    wanted = uploads[..., :1].expand(-1, -1, uploads.shape[1])
    return taken(kind.between(uploads, start), "distance.between returned distances", wanted, PAIRS, torch.float64)


def share(scheme: Scheme, given: Given) -> Shared:
    """What a scheme decides."""
    done, said, one = made(scheme.settle(given), Shared, "scheme"), "scheme returned", given.purse
    second = given.trained if scheme.second else given.trained[..., :0]
    return Shared(
        bought=taken(done.bought, f"{said} bought", given.distance, PAIRS, torch.bool),
        prices=taken(done.prices, f"{said} prices", given.distance, PAIRS),
        params=taken(done.params, f"{said} params", given.trained, MODELS),
        centre=taken(done.centre, f"{said} centre", given.trained, MODELS),
        pull=taken(done.pull, f"{said} pull", one, "markets, agents", torch.float32),
        second=taken(done.second, f"{said} second", second, MODELS),
        broke=taken(done.broke, f"{said} broke", one, "markets, agents", torch.bool),
    )


_AMOUNTS = {"marginal": "money", "beyond": "samples"}  # what each method of a gain returns


def check_gain(gain: Any) -> GainFamily:
    """Return a gain after a trial, since it is called in many places: float64 amounts, number by number.

    Raises ValueError for no ``GainFamily``, an own ``threshold`` (no market asks it), another shape or type, gradients, and
    markets whose amounts depend on each other.
    """
    if not isinstance(gain, GainFamily):
        raise ValueError(f"gain is a {type(gain).__name__}, wanted a GainFamily: subclass it with value and marginal.")
    if type(gain).threshold is not GainFamily.threshold:
        raise ValueError("gain.threshold is never asked; define gain.beyond in its place, which returns threshold - added.")
    before = torch.arange(1.0, 25.0, dtype=torch.float64).view(2, 3, 4)
    added, need = before[..., :1], 10 * before[..., :1]
    for name, given in {"marginal": (before, added, need), "beyond": (before / 100, added, need)}.items():
        whole, alone = (_amounts(gain, name, *(x[start:] for x in given)) for start in (0, 1))
        if not torch.allclose(whole[1:], alone, rtol=1e-9, atol=0.0, equal_nan=True):
            raise ValueError(
                f"gain.{name} returned other {_AMOUNTS[name]} for a market alone than in a batch; work number by number."
            )
    return gain


def _amounts(gain: GainFamily, name: str, first: Tensor, added: Tensor, need: Tensor) -> Tensor:
    with torch.enable_grad():
        returned = getattr(gain, name)(first, added, need)
    said = f"gain.{name} returned {_AMOUNTS[name]}"
    amounts = taken(returned, said, first, "any axes of its arguments")
    if amounts is not returned:
        how = "with gradients" if returned.requires_grad else f"as {returned.dtype}"
        raise ValueError(f"{said} {how}, wanted torch.float64 without; keep its arguments' type and detach.")
    return amounts
