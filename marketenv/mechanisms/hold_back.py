"""Delivery hold-back: a share of each price waits until the promised gain has been measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import tree
from marketenv.core.axes import PerPair
from marketenv.core.checks import named_part, number
from marketenv.core.parts import taken
from marketenv.mechanisms.procurement import check_money, unit
from marketenv.mechanisms.sales import refuse

PerBuyer = Float64[Tensor, "markets buyers"]


@dataclass(frozen=True)
class HeldBack:
    """Where the money of every price ends: three parts >= 0 whose sum is the price, to the bit.

    at_once:  to the seller, whatever it delivered          float64 [markets, buyers, sellers]
    released: to the seller, for what it delivered          float64 [markets, buyers, sellers]
    returned: back to the buyer                             float64 [markets, buyers, sellers]
    """

    at_once: PerPair
    released: PerPair
    returned: PerPair


def hold_back(
    prices: PerPair,
    share: PerBuyer,
    promised: PerBuyer | PerPair,
    realised: PerBuyer | PerPair,
    *,
    release: str | Release = "proportional",
) -> HeldBack:
    """Split prices into what is paid at once, what the delivery releases, and what it does not.

    at_once = (1 - h) price,   released = h price * part(promised, realised),   returned = the rest

    prices: money >= 0 that was agreed                              [markets, buyers, sellers]
    share:  h, the share that waits, in [0, 1]                      [markets, buyers]
    promised, realised: the gain that was predicted and the gain that was measured, in one unit, of
        the whole delivery [markets, buyers], or of each seller [markets, buyers, sellers]
    release: a name of ``RELEASES`` or a function of its shape; a promise <= 0 releases all

    All three parts are whole numbers of the price's last binary digit, so that nothing is lost.
    Truthful in the delivery: more gain never costs a seller money. A rule that is truthful in the
    ask stays so for a seller that delivers its promise. A seller that expects only the part f of
    its price should ask cost / f, not its cost. One measure for all sellers makes the honest ones
    pay for another's bait.
    Raises ValueError for shapes that disagree, another dtype, and numbers out of these ranges.
    Source: ours.

    >>> price, half = torch.tensor([[[8.0]]]).double(), torch.tensor([[0.5]]).double()
    >>> split = hold_back(price, half, promised=0.4 * half, realised=0.1 * half)
    >>> float(split.at_once), float(split.released), float(split.returned)  # a quarter of the gain
    (4.0, 1.0, 3.0)
    """
    _check(prices, share, promised, realised)
    gains = (gain.reshape(*share.shape, -1).expand_as(prices) for gain in (promised, realised))
    part = _released(release, *gains)
    digit = unit(prices)
    waiting = (prices * share[..., None] / digit).floor() * digit
    released = (waiting * part / digit).floor() * digit
    return HeldBack(prices - waiting, released, waiting - released)


def _released(release: str | Release, promised: Tensor, realised: Tensor) -> Tensor:
    """The part of what waits that is released: [markets, buyers, sellers]."""
    wanted = "a callable (promised, realised) -> part"
    rule = named_part(release, "release", RELEASES, wanted, takes=2)
    rule = tree.apart(rule, rule not in RELEASES.values())
    what, gain = "release returned the part", promised > 0
    part = rule(torch.where(gain, promised, 1.0), realised)
    part = torch.where(gain, taken(part, what, realised, "markets, buyers, sellers"), 1.0)
    refuse(what, part, ~((part >= 0) & (part <= 1)), "a number from 0 to 1")
    return part


def proportional(promised: PerPair, realised: PerPair) -> PerPair:
    """Release what was realised of the promise: min(1, max(0, realised / promised)).

    promised: gain > 0;   realised: gain;   both, and the part: [markets, buyers, sellers]
    """
    return (realised / promised).clamp(0.0, 1.0)


def all_or_nothing(promised: PerPair, realised: PerPair, *, tolerance: float = 0.1) -> PerPair:
    """Release all where at least (1 - tolerance) of the promise was realised, else nothing.

    promised: gain > 0;   realised: gain;   both, and the part: [markets, buyers, sellers]
    tolerance: the share of the promise that may be missing, in [0, 1]; a measured gain is noisy

    Raises ValueError for another tolerance.
    """
    tolerance = number(tolerance, "tolerance", 0.0, 1.0, fix=", the share that may be missing")
    return (realised >= (1 - tolerance) * promised).to(promised.dtype)


def _check(prices: Tensor, share: Tensor, promised: Tensor, realised: Tensor) -> None:
    shapes = [list(x.shape) for x in (prices, share, promised, realised)]
    gains = (shapes[0], shapes[0][:2])
    if prices.dim() != 3 or shapes[1] != gains[1] or not all(x in gains for x in shapes[2:]):
        raise ValueError(
            f"prices {shapes[0]}, share {shapes[1]}, promised {shapes[2]} and realised {shapes[3]} "
            "do not fit; wanted prices [markets, buyers, sellers], share [markets, buyers], and "
            "gains of either shape."
        )
    check_money(prices=prices, share=share, promised=promised, realised=realised)
    for name, gain in (("promised", promised), ("realised", realised)):
        refuse(f"{name} gain", gain, ~gain.isfinite(), "a finite number")
    refuse("price", prices, ~(prices.isfinite() & (prices >= 0)), "a finite amount >= 0")
    refuse("share", share, ~((share >= 0) & (share <= 1)), "a number from 0 to 1")


Release = Callable[[Tensor, Tensor], Tensor]

RELEASES: dict[str, Release] = {"proportional": proportional, "all_or_nothing": all_or_nothing}
