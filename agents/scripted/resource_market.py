"""Strategies of the resource market: leaders and owners who depart from the equilibrium, and
those who answer them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.market import Market, Truthful
from marketenv.core.policy import Policy
from marketenv.markets.resource_market import Commit, Contribute
from marketenv.mechanisms import contest_response
from marketenv.mechanisms.stackelberg import official_foc

from . import resource_centres as centres
from .resource_players import Player, Rule, Seen, broken, first, part
from .strategy import Strategy

NAME = "resource_market_v0"
LEADER, OWNER, CENTRE = "leader", "owner", "centre"
HALF = 0.5  # of the equilibrium's contributions, to which owners who collude keep


# --- leaders --------------------------------------------------------------------------------------


def leader(market: Market, **does: float | Rule) -> Policy:
    """A leader that is truthful where nothing else is said."""
    return Player(market.policies["truthful"], LEADER, does=does)


def constant_payment(eta: float, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    """The same payment whatever is known, as far as there is money."""
    return seen["money"].clamp(max=eta)


def random_payment(seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    """A part from half to all of the best payment, each equally likely."""
    share = draws.uniform(draws.fold(keys, "payment"), 1)
    return torch.lerp(truth / 2, truth, share.to(truth))


def shaded_payment(factor: float, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    """So many times the best payment, as far as there is money."""
    return (factor * truth).minimum(seen["money"])


def shade(factor: float, market: Market) -> Policy:
    """A leader that commits to ``factor`` times the best payment."""
    return leader(market, eta=partial(shaded_payment, factor))


def never_trade(market: Market) -> Policy:
    """A leader that commits to nothing, for which owners contribute nothing."""
    return leader(market, eta=0.0)


def anticipating_leader(market: Market) -> Policy:
    """A leader for whom owners contribute half the equilibrium: as if a unit of data cost them
    twice as much.
    """
    return Player(market.policies["truthful"], LEADER, {"unit_cost": partial(torch.mul, 1 / HALF)})


fixed_leader = partial(leader, eta=partial(constant_payment, 1.0))
random_leader = partial(leader, eta=random_payment)
reneging_leader = partial(leader, pay=0.0)


# --- owners ---------------------------------------------------------------------------------------


def owner(market: Market, **does: float | str | Rule) -> Policy:
    """An owner that is truthful where nothing else is said; ValueError for a conduct that the
    market does not know.
    """
    known = market.phase(Contribute).conduct
    if does.get("conduct", known[0]) not in known:
        wanted = (known[0], does["conduct"])
        raise ValueError(
            f"conduct is to be {does['conduct']!r}, this market's are {known}; build it with"
            f" conduct={wanted}."
        )
    return Player(market.policies["truthful"], OWNER, does=does)


def over_reporter(market: Market) -> Policy:
    """An owner that takes its data for the best there are: it says so, and contributes what the
    equilibrium then says.
    """
    return Player(market.policies["truthful"], OWNER, {"own_quality": torch.ones_like})


def sybil(market: Market) -> Policy:
    """An owner that plays the equilibrium under two names; ValueError where the market lets
    none have two.
    """
    phase = market.phase(Contribute)
    if phase.play.identities < 2:
        raise ValueError(
            "sybil wants two names, this market gives one; build it with identities=2."
        )
    return owner(market, share=partial(_two_names, phase), identities="2")


def owner_colluder(market: Market, factor: float = HALF) -> Policy:
    """An owner that contributes ``factor`` times the equilibrium, as long as all others keep to
    that.
    """
    return owner(market, share=partial(_colluding_share, market.phase(Contribute), factor))


def owner_defector(market: Market, factor: float = HALF) -> Policy:
    """An owner that answers colluders best in the first round, and is truthful afterwards."""
    return owner(market, share=partial(_defecting_share, market.phase(Contribute), factor))


def best_replying_owner(market: Market) -> Policy:
    """An owner that answers what the others contributed in the last round."""
    return owner(market, share=partial(_replying_share, market.phase(Contribute)))


def _two_names(phase: Contribute, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    return part(phase.solved(seen, identities=2)[:, :1], seen["own_cap"])


def _colluding_share(
    phase: Contribute, factor: float, seen: Seen, truth: Tensor, keys: Tensor
) -> Tensor:
    return torch.where(
        broken(seen["last_share"], phase.solved(seen)[:, 1:], factor), truth, factor * truth
    )


def _defecting_share(
    phase: Contribute, factor: float, seen: Seen, truth: Tensor, keys: Tensor
) -> Tensor:
    reply = best_share(phase, seen, factor * phase.solved(seen)[:, 1:])
    return torch.where(first(seen["last_share"]), reply, truth)


def _replying_share(phase: Contribute, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    return torch.where(
        first(seen["last_share"]), HALF * truth, best_share(phase, seen, seen["last_share"])
    )


def best_share(
    phase: Contribute, seen: Seen, x: Float64[Tensor, "markets rest"]
) -> Float64[Tensor, "markets 1"]:
    """The exact best part of its cap that an owner can contribute if the others contribute this.

    phase: that says by which quality owners are paid;   seen: what the owner sees
    x: shares of their data that the others contribute
    """
    own = seen["own_standing" if phase.audited else "own_quality"]
    quality = torch.cat([own, seen["quality"]], 1)
    q = torch.cat([torch.zeros_like(own), x * seen["quality"]], 1)
    best = contest_response(seen["eta"][:, 0], seen["unit_cost"].clamp(min=1e-300) / quality, q)[
        :, :1
    ]
    return part(part(best, own), seen["own_cap"])


# --- everybody ------------------------------------------------------------------------------------


def official_player(market: Market) -> Policy:
    """Leader and owners who solve the game as the authors' public code does."""
    phases = []
    for phase in market.phases:
        known = copy.copy(phase)
        if isinstance(known, Commit | Contribute):
            known.play = dataclasses.replace(known.play, solver=official_foc)
        phases.append(known)
    return Truthful(phases)


def _strategy(
    role: str | None, builder: Callable[..., Policy], summary: str, claim: str, **config: Any
) -> Strategy:
    return Strategy(
        builders={NAME: builder}, summary=summary, claim=claim, config=config, role=role
    )


def _conduct(kind: str, summary: str, claim: str) -> Strategy:
    """An owner of this conduct, in a market that knows it."""
    return _strategy(OWNER, partial(owner, conduct=kind), summary, claim, conduct=("honest", kind))


STRATEGIES: dict[str, Strategy] = {
    "fixed_leader": _strategy(
        LEADER,
        fixed_leader,
        "As a leader commits to a payment of 1, or to all that it may.",
        "It earns less than the best payment would, wherever that is not 1.",
    ),
    "random_leader": _strategy(
        LEADER,
        random_leader,
        "As a leader commits to half the best payment up to all of it, drawn evenly.",
        "Its payment has a mean of .75 times the best, and it earns less than the best would.",
    ),
    "anticipating_leader": _strategy(
        LEADER,
        anticipating_leader,
        "As a leader commits to what is best where owners contribute half the equilibrium.",
        "Against owners who collude it earns more than any other payment would.",
    ),
    "reneging_leader": _strategy(
        LEADER,
        reneging_leader,
        "As a leader without escrow pays nothing in the end.",
        "Without escrow it gains its whole commitment; with escrow it gains nothing.",
        escrow=False,
    ),
    "over_reporter": _strategy(
        OWNER,
        over_reporter,
        "As an owner says that its data are of the best quality, and contributes what that calls"
        " for.",
        "Among ten owners of quality .95 it earns .02645 in place of .01330 once the leader"
        " believes it.",
    ),
    "sybil": _strategy(
        OWNER,
        sybil,
        "As an owner plays the equilibrium under two names.",
        "Among ten equal owners it earns .02314 in place of .01389 once the others know of its"
        " names.",
        identities=2,
    ),
    "owner_colluder": _strategy(
        OWNER,
        owner_colluder,
        "As an owner contributes half the equilibrium until another one contributes more, then all"
        " of it for ever.",
        "Ten equal owners who play it earn 5.5 times as much, as long as the payment stays.",
    ),
    "owner_defector": _strategy(
        OWNER,
        owner_defector,
        "As an owner answers those who collude best in the first round, and is truthful"
        " afterwards.",
        "It earns .184 in place of .0764 once, and the equilibrium's .0139 from then on.",
    ),
    "best_replying_owner": _strategy(
        OWNER,
        best_replying_owner,
        "As an owner answers best what the others contributed in the last round, after half the"
        " equilibrium in the first.",
        "Three equal owners who play it come to the equilibrium; ten never do.",
    ),
    "junk_supplier": _conduct(
        "junk",
        "As an owner contributes noise with labels at random as if it were its data.",
        "It is paid as an honest owner, and the leader gains nothing by it.",
    ),
    "copier": _conduct(
        "copies",
        "As an owner contributes a sixth of its rows, each six times.",
        "By the loss drop its data are better than honest ones.",
    ),
    "skimper": _conduct(
        "few",
        "As an owner contributes a sixth of the rows that it says.",
        "By the loss drop its data are better than honest ones, more so than copies are.",
    ),
    "constant_labeller": _conduct(
        "constant_label",
        "As an owner gives all its rows one label.",
        "By the loss drop no other conduct is better than this one.",
    ),
    "label_renamer": _conduct(
        "permuted_labels",
        "As an owner renames its classes one after another.",
        "By the distance its data are as good as honest ones without the vocabulary, and the worst"
        " with it.",
    ),
    "random_labeller": _conduct(
        "random_labels",
        "As an owner gives its rows labels at random.",
        "By the loss drop its data are better than honest ones, by held-out loss they are worse.",
    ),
    "wrong_labeller": _conduct(
        "wrong_labels",
        "As an owner gives every row a wrong label.",
        "By the loss drop its data are better than honest ones, by held-out loss they are worse.",
    ),
    "half_random_labeller": _conduct(
        "half_random",
        "As an owner gives every second row a label at random.",
        "By the distance its data are worse than honest ones.",
    ),
    "centre_colluder": _strategy(
        CENTRE,
        centres.centre_colluder,
        "As a centre does next to no work until another one does more, then the equilibrium's for"
        " ever.",
        "Ten equal centres who play it earn almost ten times as much.",
    ),
    "centre_defector": _strategy(
        CENTRE,
        centres.centre_defector,
        "As a centre answers those who collude best in the first round, and is truthful"
        " afterwards.",
        "It earns almost all fees once, and the equilibrium's part of them from then on.",
    ),
    "best_replying_centre": _strategy(
        CENTRE,
        centres.best_replying_centre,
        "As a centre answers best what the others offered in the last round, after half the"
        " equilibrium in the first.",
        "Three equal centres who play it come to the equilibrium; ten never do.",
    ),
    "price_colluder": _strategy(
        CENTRE,
        centres.price_colluder,
        "As a centre posts the price that is best for all centres until another one posts less,"
        " then competes.",
        "Ten equal centres who play it earn .25 together, and the leader .180 in place of .638.",
        pricing="posted",
    ),
    "price_undercutter": _strategy(
        CENTRE,
        centres.price_undercutter,
        "As a centre posts a little less than the lowest price of the last round, at least its"
        " cost.",
        "Against centres who collude it takes nearly their joint profit once, and nothing from"
        " then on.",
        pricing="posted",
    ),
    "official_player": _strategy(
        None,
        official_player,
        "As a leader or an owner plays what the authors' public code computes, and nothing where"
        " that is below nothing.",
        "Where everybody is active it plays the equilibrium; where somebody is not, a leader loses"
        " by it.",
    ),
}

PLAYS: dict[str, Callable[..., Policy]] = {"shade": shade, "never_trade": never_trade}
