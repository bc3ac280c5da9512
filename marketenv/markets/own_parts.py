"""How the markets call parts that a user may have written: apart from the market's memory, and with all they return checked.

What is refused is refused by the part's name, before anything of the market changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.alignment import ALIGNMENTS, Aligned, Alignment
from marketenv.core import tree
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.parts import made, taken
from marketenv.core.shards import Shards
from marketenv.core.transfers import Ledger
from marketenv.learners import MLP, Learner, Linear, ModuleLearner, Pull, Scores
from marketenv.learners.recurrent import CharacterLearner
from marketenv.markets.exchanges import EXCHANGES, Exchange, Terms
from marketenv.markets.parameter_trading_types import REASONS, Reports, TradingQuotes, TradingState
from marketenv.markets.sharing_schemes import SCHEMES, Given, Scheme, Shared
from marketenv.mechanisms import GainFamily, SharingOutcome, check_unbounded, fair_prices
from marketenv.valuation import DISTANCES, VALUATIONS, Gain, ModelDistance, Trial

PAIRS = "markets, buyers, sellers"
MODELS = "markets, agents, params"
Models = Float[Tensor, "models params"]
LEARNER_TYPES = (Linear, MLP, ModuleLearner, CharacterLearner)  # what the learners' table makes


# --- learners ---------------------------------------------------------------------------------------------------------------


def is_own(learner: Learner) -> bool:
    """Whether a learner is a user's own; a class that inherits from one of ours is."""
    return type(learner) not in LEARNER_TYPES


def prepare(learner: Learner, shards: Shards) -> Any:
    """What a learner makes of examples to train on; one of a user's own gets a copy, since it may scale them in place."""
    return learner.prepare(tree.copied(shards) if is_own(learner) else shards)


def exam(learner: Learner, shards: Shards) -> Any:
    """What a learner makes of examples to score on; one of a user's own gets a copy, since it may scale them in place."""
    return learner.exam(tree.copied(shards) if is_own(learner) else shards)


def first_models(learner: Learner, keys: Int[Tensor, "models"]) -> Models:
    """Fresh parameters, one model a key; ValueError where they are not finite."""
    wanted = keys[:, None].expand(-1, learner.layout.size)
    params = taken(
        tree.apart(learner.init, is_own(learner))(keys),
        "learner.init returned parameters",
        wanted,
        "models, params",
        torch.float32,
    )
    if not bool(params.isfinite().all()):
        raise ValueError("learner.init returned parameters that are not finite, wanted finite numbers to start training from.")
    return params


def fresh_slots(learner: Learner, n_models: int, device: torch.device) -> Float[Tensor, "models slots"]:
    """Optimiser numbers before the first step."""
    wanted, said = torch.empty(1, 1, device=device).expand(n_models, learner.slots), "learner.fresh_slots returned numbers"
    return taken(tree.apart(learner.fresh_slots, is_own(learner))(n_models, device), said, wanted, "models, slots", torch.float32)


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

    def lesson(params: Any, slots: Any, effort: Any, keys: Any, **more: Any) -> Any:
        return learner.train(params, slots, material, effort, keys, **more)  # the material is the learner's, and is not copied

    done = tree.apart(lesson, is_own(learner))(params, slots, effort, keys, **more)
    if not isinstance(done, tuple) or len(done) != 2:
        raise ValueError(f"learner.train returned a {type(done).__name__}, wanted (params, slots).")
    return (
        taken(done[0], "learner.train returned parameters", params, "models, params"),
        taken(done[1], "learner.train returned optimiser numbers", slots, "models, slots"),
    )


def scores(learner: Learner, models: Float[Tensor, "markets k params"], exam: Any) -> Scores:
    """Loss and accuracy of every model on an exam."""
    asked = tree.apart(lambda models: learner.scores(models, exam), is_own(learner))
    found, axes = made(asked(models), Scores, "learner.scores"), "markets, models"
    said = (f"learner.scores returned {name}" for name in Scores._fields)
    return Scores(*(taken(part, words, models[..., 0], axes, torch.float32) for part, words in zip(found, said, strict=True)))


def losses(learner: Learner, models: Float[Tensor, "markets k params"], exam: Any) -> Float[Tensor, "markets k"]:
    """Losses of many models; a learner that can give them alone is asked for no more."""
    alone = getattr(learner, "losses", None)
    if alone is None:
        return scores(learner, models, exam).loss
    asked = tree.apart(lambda models: alone(models, exam), is_own(learner))
    return taken(asked(models), "learner.losses returned losses", models[..., 0], "markets, models", torch.float32)


# --- parts of the parameter market --------------------------------------------------------------------------------------------


def aligned(
    alignment: Alignment,
    learner: Learner,
    trained: Parameters,
    keys: Int[Tensor, "markets"],
    orders: Int[Tensor, "markets pairs units"],
) -> Aligned:
    """Offers and orders that an alignment of these models returns."""
    align = tree.apart(alignment, alignment not in ALIGNMENTS.values())
    offers, found = made(align(trained, learner.layout, learner.permutations, keys, orders), Aligned, "alignment")
    wanted = trained[:, None].expand(-1, trained.shape[1], -1, -1)
    return Aligned(
        taken(offers, "alignment returned offers", wanted, f"{PAIRS}, params"),
        taken(found, "alignment returned orders", orders, "markets, pairs, units"),
    )


def value(valuation: Callable[[Trial], Gain], trial: Trial) -> Gain:
    """What every purchase would bring its buyer; ValueError for NaN, which would be shown as the largest gain."""
    own = valuation not in VALUATIONS.values()
    gain, like = made(tree.apart(valuation, own)(trial), Gain, "valuation"), trial.loss_after
    shown, worth = (taken(getattr(gain, x), f"valuation returned {x}", like, PAIRS) for x in ("shown", "worth"))
    if own and bool((shown.isnan() | worth.isnan()).any()):
        raise ValueError("valuation returned NaN, wanted numbers: give the value of a useless model where a loss is not finite.")
    return Gain(shown, worth)


def exchange(
    rule: Callable[..., Exchange], state: TradingState, quotes: TradingQuotes, reports: Reports, terms: Terms
) -> Exchange:
    """Who ends the round with which parameters, who bought what, at which price, and why not.

    One of a user's own is held to what the table's keep: prices from 0 to the bid, 0 where nothing is sold, no purchase from
    oneself, nobody beyond its cash and credit, reasons that are known.
    """
    own = rule not in EXCHANGES.values()
    done, said = made(tree.apart(rule, own)(state, quotes, reports, terms), Exchange, "exchange"), "exchange returned"
    kept = Exchange(
        params=taken(done.params, f"{said} params", quotes.trained, MODELS),
        bought=taken(done.bought, f"{said} bought", reports.bids, PAIRS, torch.bool),
        prices=taken(done.prices, f"{said} prices", reports.bids, PAIRS),
        reason=taken(done.reason, f"{said} reason", quotes.diverged, "markets, agents", torch.int64),
    )
    return _kept_to_bids(kept, done.prices.dtype, state, reports) if own else kept


def _kept_to_bids(done: Exchange, computed: torch.dtype, state: TradingState, reports: Reports) -> Exchange:
    itself = done.bought.diagonal(dim1=1, dim2=2)
    if bool(itself.any()):
        market, agent = itself.nonzero()[0].tolist()
        raise ValueError(f"exchange let agent {agent} of market {market} buy from itself, wanted bought False there.")
    prices = fair_prices("exchange", done.bought, done.prices, reports.bids, computed)
    _check_payable("exchange", prices, state.ledger)
    unknown = (done.reason < 0) | (done.reason >= len(REASONS))
    if bool(unknown.any()):
        raise ValueError(
            f"exchange returned a reason of {int(done.reason[unknown][0])}, wanted numbers of REASONS: 0 to {len(REASONS) - 1}."
        )
    return dataclasses.replace(done, prices=prices)


def _check_payable(part: str, transfers: Tensor, ledger: Ledger) -> None:
    """Refuse what the books would refuse, by the part's name."""
    try:
        ledger.settle(transfers)
    except ValueError as error:
        raise ValueError(f"{part} returned prices that cannot be paid: {error}") from error


# --- parts of the model-sharing market ------------------------------------------------------------------------------------------


def distances(kind: ModelDistance, uploads: Parameters, start: Float[Tensor, "markets 1 params"]) -> PerPair:
    """How far apart the uploads are."""
    wanted = uploads[..., :1].expand(-1, -1, uploads.shape[1])
    between = tree.apart(kind.between, kind not in DISTANCES.values())
    return taken(between(uploads, start), "distance.between returned distances", wanted, PAIRS, torch.float64)


def share(scheme: Scheme, given: Given) -> Shared:
    """What a scheme decides.

    One of a user's own is held to what the table's keep: only usable models are bought, prices are 0 where nothing is, nobody
    pays beyond its purse, and pulls are finite and >= 0.
    """
    own = scheme not in SCHEMES.values()
    done, said, one = made(tree.apart(scheme.settle, own)(given), Shared, "scheme"), "scheme returned", given.purse
    second = given.trained if scheme.second else given.trained[..., :0]
    kept = Shared(
        bought=taken(done.bought, f"{said} bought", given.distance, PAIRS, torch.bool),
        prices=taken(done.prices, f"{said} prices", given.distance, PAIRS),
        params=taken(done.params, f"{said} params", given.trained, MODELS),
        centre=taken(done.centre, f"{said} centre", given.trained, MODELS),
        pull=taken(done.pull, f"{said} pull", one, "markets, agents", torch.float32),
        second=taken(done.second, f"{said} second", second, MODELS),
        broke=taken(done.broke, f"{said} broke", one, "markets, agents", torch.bool),
    )
    if own:
        _check_shared(kept, given)
    return kept


def _check_shared(done: Shared, given: Given) -> None:
    foreign = done.bought & ~given.usable
    if bool(foreign.any()):
        market, buyer, seller = foreign.nonzero()[0].tolist()
        raise ValueError(
            f"scheme let agent {buyer} of market {market} buy from {seller}, whose model is its own, absent or unusable; wanted "
            "bought False there: mask it with given.usable."
        )
    check_unbounded("scheme", done.bought, done.prices)
    _check_payable(
        "scheme", SharingOutcome(done.bought, done.prices).transfers, Ledger(given.purse, torch.zeros_like(given.purse))
    )
    wrong = ~(done.pull.isfinite() & (done.pull >= 0))
    if bool(wrong.any()):
        raise ValueError(
            f"scheme returned a pull of {float(done.pull[wrong][0]):g}, wanted finite numbers >= 0; 0 pulls nowhere."
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
    _check_pure(gain, before)
    added, need = before[..., :1], 10 * before[..., :1]
    for name, given in {"marginal": (before, added, need), "beyond": (before / 100, added, need)}.items():
        whole, alone = (_amounts(gain, name, *(x[start:] for x in given)) for start in (0, 1))
        if not torch.allclose(whole[1:], alone, rtol=1e-9, atol=0.0, equal_nan=True):
            raise ValueError(
                f"gain.{name} returned other {_AMOUNTS[name]} for a market alone than in a batch; work number by number."
            )
    _check_inverse(gain, before, added, need)
    return gain


def _check_inverse(gain: GainFamily, before: Tensor, added: Tensor, need: Tensor) -> None:
    """Refuse a ``beyond`` that is not where the marginal gain falls to the worth, such as one that was inherited beside another
    ``marginal``: a millionth before it, data are worth at least so much, and a millionth after it, at most.
    """
    if type(gain).beyond is GainFamily.beyond:
        return
    worth = gain.marginal(before, added, need)
    found = gain.beyond(worth, added, need)
    near, far = (gain.marginal((found * step).clamp(1e-300, 1e300), added, need) for step in (1 - 1e-6, 1 + 1e-6))
    wrong = (worth > 0) & ~((near >= worth * (1 - 1e-6)) & (far <= worth * (1 + 1e-6)))
    if bool(wrong.any()):
        where = tuple(wrong.nonzero()[0].tolist())
        there = gain.marginal(found, added, need)[where]
        raise ValueError(
            f"gain.beyond disagrees with gain.marginal: what is worth {float(worth[where]):g} it puts beyond "
            f"{float(found[where]):g}, where the marginal gain is {float(there):g}, wanted the same worth there. Define beyond "
            "too, or subclass GainFamily, whose own beyond follows from marginal by bisection."
        )


def _check_pure(gain: GainFamily, before: Tensor) -> None:
    """Refuse methods that edit their arguments: a gain is asked in many places, on what clients are."""
    for name in ("marginal", "beyond"):
        given = (before.clone(), before.clone(), 10 * before)
        wanted = tree.copied(given)
        getattr(gain, name)(*given)
        if not all(map(torch.equal, given, wanted)):
            raise ValueError(f"gain.{name} edits its arguments in place, wanted them as they were: work on new tensors.")


def _amounts(gain: GainFamily, name: str, first: Tensor, added: Tensor, need: Tensor) -> Tensor:
    with torch.enable_grad():
        returned = getattr(gain, name)(first, added, need)
    said = f"gain.{name} returned {_AMOUNTS[name]}"
    amounts = taken(returned, said, first, "any axes of its arguments")
    if amounts is not returned:
        how = "with gradients" if returned.requires_grad else f"as {returned.dtype}"
        raise ValueError(f"{said} {how}, wanted torch.float64 without; keep its arguments' type and detach.")
    return amounts
