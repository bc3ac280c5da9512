"""How the model-sharing market calls parts that a user may have written: as
``marketenv.markets.own_parts`` says.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core import tree
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.parts import made, taken
from marketenv.markets.model_sharing.schemes import SCHEMES, Given, Scheme, Settled
from marketenv.markets.own_parts import MODELS, PAIRS, check_payable
from marketenv.mechanisms import GainFamily, SharingOutcome, check_unbounded
from marketenv.valuation import DISTANCES, ModelDistance


def distances(
    kind: ModelDistance, uploads: Parameters, start: Float[Tensor, "markets 1 params"]
) -> PerPair:
    """How far apart the uploads are."""
    wanted = uploads[..., :1].expand(-1, -1, uploads.shape[1])
    between = tree.apart(kind.between, kind not in DISTANCES.values())
    return taken(
        between(uploads, start), "distance.between returned distances", wanted, PAIRS, torch.float64
    )


def share(scheme: Scheme, given: Given) -> Settled:
    """What a scheme decides.

    One of a user's own is held to what the table's keep: only usable models are bought, prices are
    0 where nothing is, nobody pays beyond its purse, and pulls are finite and >= 0.
    """
    own = scheme not in SCHEMES.values()
    done, said, one = (
        made(tree.apart(scheme.settle, own)(given), Settled, "scheme"),
        "scheme returned",
        given.purse,
    )
    second = given.trained if scheme.second else given.trained[..., :0]
    kept = Settled(
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


def _check_shared(done: Settled, given: Given) -> None:
    foreign = done.bought & ~given.usable
    if bool(foreign.any()):
        market, buyer, seller = foreign.nonzero()[0].tolist()
        raise ValueError(
            f"scheme let agent {buyer} of market {market} buy from {seller}, whose model is its"
            " own, absent or unusable; wanted bought False there: mask it with given.usable."
        )
    check_unbounded("scheme", done.bought, done.prices)
    check_payable("scheme", SharingOutcome(done.bought, done.prices).transfers, given.purse)
    wrong = ~(done.pull.isfinite() & (done.pull >= 0))
    if bool(wrong.any()):
        raise ValueError(
            f"scheme returned a pull of {float(done.pull[wrong][0]):g}, wanted finite numbers >= 0;"
            " 0 pulls nowhere."
        )


_AMOUNTS = {"marginal": "money", "beyond": "samples"}  # what each method of a gain returns


def check_gain(gain: Any) -> GainFamily:
    """Return a gain after a trial, since it is called in many places: float64 amounts, number by
    number.

    Raises ValueError for no ``GainFamily``, an own ``threshold`` (no market asks it), another shape
    or type, gradients, and markets whose amounts depend on each other.
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
    for name, given in {
        "marginal": (before, added, need),
        "beyond": (before / 100, added, need),
    }.items():
        whole, alone = (_amounts(gain, name, *(x[start:] for x in given)) for start in (0, 1))
        if not torch.allclose(whole[1:], alone, rtol=1e-9, atol=0.0, equal_nan=True):
            raise ValueError(
                f"gain.{name} returned other {_AMOUNTS[name]} for a market alone than in a batch;"
                " work number by number."
            )
    _check_inverse(gain, before, added, need)
    return gain


def _check_inverse(gain: GainFamily, before: Tensor, added: Tensor, need: Tensor) -> None:
    """Refuse a ``beyond`` that is not where the marginal gain falls to the worth, such as one that
    was inherited beside another
    ``marginal``: a millionth before it, data are worth at least so much, and a millionth after it,
        at most.
    """
    if type(gain).beyond is GainFamily.beyond:
        return
    worth = gain.marginal(before, added, need)
    found = gain.beyond(worth, added, need)
    near, far = (
        gain.marginal((found * step).clamp(1e-300, 1e300), added, need)
        for step in (1 - 1e-6, 1 + 1e-6)
    )
    wrong = (worth > 0) & ~((near >= worth * (1 - 1e-6)) & (far <= worth * (1 + 1e-6)))
    if bool(wrong.any()):
        where = tuple(wrong.nonzero()[0].tolist())
        there = gain.marginal(found, added, need)[where]
        raise ValueError(
            f"gain.beyond disagrees with gain.marginal: what is worth {float(worth[where]):g} it"
            f" puts beyond {float(found[where]):g}, where the marginal gain is {float(there):g},"
            " wanted the same worth there. Define beyond too, or subclass GainFamily, whose own"
            " beyond follows from marginal by bisection."
        )


def _check_pure(gain: GainFamily, before: Tensor) -> None:
    """Refuse methods that edit their arguments: a gain is asked in many places, on what clients
    are.
    """
    for name in ("marginal", "beyond"):
        given = (before.clone(), before.clone(), 10 * before)
        wanted = tree.copied(given)
        getattr(gain, name)(*given)
        if not all(map(torch.equal, given, wanted)):
            raise ValueError(
                f"gain.{name} edits its arguments in place, wanted them as they were: work on new"
                " tensors."
            )


def _amounts(gain: GainFamily, name: str, first: Tensor, added: Tensor, need: Tensor) -> Tensor:
    with torch.enable_grad():
        returned = getattr(gain, name)(first, added, need)
    said = f"gain.{name} returned {_AMOUNTS[name]}"
    amounts = taken(returned, said, first, "any axes of its arguments")
    if amounts is not returned:
        how = "with gradients" if returned.requires_grad else f"as {returned.dtype}"
        raise ValueError(
            f"{said} {how}, wanted torch.float64 without; keep its arguments' type and detach."
        )
    return amounts
