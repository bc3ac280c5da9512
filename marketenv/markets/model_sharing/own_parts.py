"""How model sharing calls parts of a user's own: see ``marketenv.markets.own_parts``."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core import tree
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.parts import made, taken
from marketenv.markets.model_sharing.schemes import SCHEMES, Inputs, Scheme, Settlement
from marketenv.markets.own_parts import MODELS, PAIRS, check_payable
from marketenv.mechanisms import GainFamily, SharingSales, check_unbounded
from marketenv.valuation import DISTANCES, ModelDistance


def distances(
    kind: ModelDistance, uploads: Parameters, start: Float[Tensor, "markets 1 params"]
) -> PerPair:
    """How far apart the uploads are."""
    wanted = uploads[..., :1].expand(-1, -1, uploads.shape[1])
    between = tree.apart(kind.between, kind not in DISTANCES.values())
    what = "distance.between returned distances"
    return taken(between(uploads, start), what, wanted, PAIRS, torch.float64)


def share(scheme: Scheme, inputs: Inputs) -> Settlement:
    """The settlement of a scheme, in the types and shapes that the market goes on with.

    A scheme of a user's own must keep what those of the table keep: only usable models are bought,
    prices are 0 where nothing is bought, no client pays beyond its purse, and pulls are finite and
    >= 0. Raises ValueError elsewhere.
    """
    own, what = scheme not in SCHEMES.values(), "scheme returned"
    returned = made(tree.apart(scheme.settle, own)(inputs), Settlement, "scheme")
    one, pair, trained = inputs.purse, inputs.distance, inputs.trained
    second = trained if scheme.second else trained[..., :0]
    settlement = Settlement(
        trades=taken(returned.trades, f"{what} trades", pair, PAIRS, torch.bool),
        prices=taken(returned.prices, f"{what} prices", pair, PAIRS),
        params=taken(returned.params, f"{what} params", trained, MODELS),
        centre=taken(returned.centre, f"{what} centre", trained, MODELS),
        pull=taken(returned.pull, f"{what} pull", one, "markets, agents", torch.float32),
        second=taken(returned.second, f"{what} second", second, MODELS),
        broke=taken(returned.broke, f"{what} broke", one, "markets, agents", torch.bool),
    )
    if own:
        _check(settlement, inputs)
    return settlement


def _check(settlement: Settlement, inputs: Inputs) -> None:
    """Refuse a settlement that breaks a rule of ``share``."""
    trades, prices, pull = settlement.trades, settlement.prices, settlement.pull
    unusable = trades & ~inputs.usable
    if bool(unusable.any()):
        market, buyer, seller = unusable.nonzero()[0].tolist()
        raise ValueError(
            f"scheme let agent {buyer} of market {market} buy from {seller}, whose model is its"
            " own, absent or unusable; wanted trades False there: mask them with inputs.usable."
        )
    check_unbounded("scheme", trades, prices)
    check_payable("scheme", SharingSales(trades, prices).transfers, inputs.purse)
    wrong = ~(pull.isfinite() & (pull >= 0))
    if bool(wrong.any()):
        raise ValueError(
            f"scheme returned a pull of {float(pull[wrong][0]):g}, wanted finite numbers >= 0;"
            " 0 pulls nowhere."
        )


_AMOUNTS = {"marginal": "money", "beyond": "samples"}  # what each method of a gain returns


def check_gain(gain: Any) -> GainFamily:
    """Return a gain after a trial: it must map float64 amounts to float64 amounts one by one.

    Raises ValueError for anything but a ``GainFamily``, for a ``threshold`` of its own (no market
    calls it), another shape or type, gradients, and amounts that depend on other markets.
    """
    if not isinstance(gain, GainFamily):
        raise ValueError(
            f"gain is a {type(gain).__name__}, wanted a GainFamily: subclass it with value and"
            " marginal."
        )
    if type(gain).threshold is not GainFamily.threshold:
        raise ValueError(
            "gain.threshold is never asked; define gain.beyond in its place, which returns"
            " threshold - added."
        )
    before = torch.arange(1.0, 25.0, dtype=torch.float64).view(2, 3, 4)
    _check_pure(gain, before)
    added, need = before[..., :1], 10 * before[..., :1]
    arguments = {"marginal": (before, added, need), "beyond": (before / 100, added, need)}
    for name, some in arguments.items():
        whole, alone = (_amounts(gain, name, *(x[start:] for x in some)) for start in (0, 1))
        if not torch.allclose(whole[1:], alone, rtol=1e-9, atol=0.0, equal_nan=True):
            raise ValueError(
                f"gain.{name} returned other {_AMOUNTS[name]} for a market alone than in a batch;"
                " work number by number."
            )
    _check_inverse(gain, before, added, need)
    return gain


def _check_inverse(gain: GainFamily, before: Tensor, added: Tensor, need: Tensor) -> None:
    """Refuse a ``beyond`` that is not where the marginal gain falls to the worth.

    Such a ``beyond`` is often inherited beside another ``marginal``. The test: a millionth before
    it data are worth at least so much, and a millionth after it at most.
    """
    if type(gain).beyond is GainFamily.beyond:
        return
    worth = gain.marginal(before, added, need)
    size = gain.beyond(worth, added, need)
    near, far = (
        gain.marginal((size * step).clamp(1e-300, 1e300), added, need)
        for step in (1 - 1e-6, 1 + 1e-6)
    )
    wrong = (worth > 0) & ~((near >= worth * (1 - 1e-6)) & (far <= worth * (1 + 1e-6)))
    if bool(wrong.any()):
        where = tuple(wrong.nonzero()[0].tolist())
        there = gain.marginal(size, added, need)[where]
        raise ValueError(
            f"gain.beyond disagrees with gain.marginal: what is worth {float(worth[where]):g} it"
            f" puts beyond {float(size[where]):g}, where the marginal gain is {float(there):g},"
            " wanted the same worth there. Define beyond too, or subclass GainFamily, whose own"
            " beyond follows from marginal by bisection."
        )


def _check_pure(gain: GainFamily, before: Tensor) -> None:
    """Refuse methods that edit their arguments, which are the clients' types."""
    for name in ("marginal", "beyond"):
        arguments = (before.clone(), before.clone(), 10 * before)
        wanted = tree.copied(arguments)
        getattr(gain, name)(*arguments)
        if not all(map(torch.equal, arguments, wanted)):
            raise ValueError(
                f"gain.{name} edits its arguments in place, wanted them as they were: work on new"
                " tensors."
            )


def _amounts(gain: GainFamily, name: str, first: Tensor, added: Tensor, need: Tensor) -> Tensor:
    with torch.enable_grad():
        returned = getattr(gain, name)(first, added, need)
    what = f"gain.{name} returned {_AMOUNTS[name]}"
    amounts = taken(returned, what, first, "any axes of its arguments")
    if amounts is not returned:
        how = "with gradients" if returned.requires_grad else f"as {returned.dtype}"
        raise ValueError(
            f"{what} {how}, wanted torch.float64 without; keep its arguments' type and detach."
        )
    return amounts
