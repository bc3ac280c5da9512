"""Strategies of the resource market, by name: what each does and what it claims."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from marketenv.core.market import Market, Truthful
from marketenv.core.policy import Policy
from marketenv.markets.resource_market import Commit, Contribute
from marketenv.mechanisms.stackelberg import official_foc

from . import resource_centres as centres
from . import resource_leaders as leaders
from . import resource_owners as owners
from .strategy import Strategy

NAME = "resource_market_v0"
LEADER, OWNER, CENTRE = "leader", "owner", "centre"


def official_player(market: Market) -> Policy:
    """Leader and owners who solve the game as the authors' public code does."""
    phases = []
    for phase in market.phases:
        solver_phase = copy.copy(phase)
        if isinstance(solver_phase, Commit | Contribute):
            solver_phase.play = dataclasses.replace(solver_phase.play, solver=official_foc)
        phases.append(solver_phase)
    return Truthful(phases)


def _strategy(
    role: str | None, builder: Callable[..., Policy], summary: str, claim: str, **config: Any
) -> Strategy:
    return Strategy(
        builders={NAME: builder}, summary=summary, claim=claim, config=config, role=role
    )


def _conduct(kind: str, summary: str, claim: str) -> Strategy:
    """An owner of this conduct, in a market that knows it."""
    return _strategy(
        OWNER, partial(owners.owner, conduct=kind), summary, claim, conduct=("honest", kind)
    )


STRATEGIES: dict[str, Strategy] = {
    "fixed_leader": _strategy(
        LEADER,
        leaders.fixed_leader,
        (
            "As a leader, commits to a payment of 1 money, or to its largest possible"
            " payment if less."
        ),
        "It earns less than by the best payment, wherever that is not 1 money.",
    ),
    "random_leader": _strategy(
        LEADER,
        leaders.random_leader,
        ("As a leader, commits to a part of the best payment, drawn evenly from 0.5 to 1."),
        (
            "Its mean payment is 0.75 times the best payment, and it earns less than by the"
            " best payment."
        ),
    ),
    "anticipating_leader": _strategy(
        LEADER,
        leaders.anticipating_leader,
        (
            "As a leader, commits to the payment that is best where owners contribute half"
            " the equilibrium."
        ),
        "Against owners who collude, no other payment earns more.",
    ),
    "reneging_leader": _strategy(
        LEADER,
        leaders.reneging_leader,
        "As a leader without escrow, pays nothing in the end.",
        "It gains its whole commitment without escrow, and nothing with escrow.",
        escrow=False,
    ),
    "over_reporter": _strategy(
        OWNER,
        owners.over_reporter,
        (
            "As an owner, reports the best quality, and contributes the equilibrium share"
            " of that report."
        ),
        (
            "Among ten owners of quality 0.95 it earns 0.02645 money in place of 0.01330"
            " money once the leader believes its report."
        ),
    ),
    "sybil": _strategy(
        OWNER,
        owners.sybil,
        "As an owner, plays the equilibrium under two names.",
        (
            "Among ten equal owners it earns 0.02314 money in place of 0.01389 money once"
            " the others count its two names."
        ),
        identities=2,
    ),
    "owner_colluder": _strategy(
        OWNER,
        owners.owner_colluder,
        (
            "As an owner, contributes half the equilibrium until another owner contributes"
            " more, then the whole equilibrium for ever."
        ),
        (
            "Ten equal owners who play it earn 5.5 times the equilibrium's utility, as long"
            " as the payment stays."
        ),
    ),
    "owner_defector": _strategy(
        OWNER,
        owners.owner_defector,
        (
            "As an owner, plays the best reply to colluders in the first round, and is"
            " truthful afterwards."
        ),
        (
            "It earns 0.184 money in place of 0.0764 money once, and the equilibrium's"
            " 0.0139 money from then on."
        ),
    ),
    "best_replying_owner": _strategy(
        OWNER,
        owners.best_replying_owner,
        (
            "As an owner, contributes half the equilibrium in the first round, then the"
            " best reply to the others' last contributions."
        ),
        "Three equal owners who play it reach the equilibrium; ten never do.",
    ),
    "junk_supplier": _conduct(
        "junk",
        "As an owner, contributes noise with random labels.",
        "It is paid like an honest owner, and the leader gains nothing by it.",
    ),
    "copier": _conduct(
        "copies",
        "As an owner, contributes a sixth of its rows, each six times.",
        "By the loss drop its data count as better than honest data.",
    ),
    "skimper": _conduct(
        "few",
        "As an owner, contributes a sixth of the rows that it declares.",
        ("By the loss drop its data count as better than honest data, and as better than copies."),
    ),
    "constant_labeller": _conduct(
        "constant_label",
        "As an owner, gives all its rows one label.",
        "By the loss drop no other conduct counts as better.",
    ),
    "label_renamer": _conduct(
        "permuted_labels",
        "As an owner, renames its classes in a circle.",
        (
            "By the distance its data count as honest data without the vocabulary, and as"
            " the worst with it."
        ),
    ),
    "random_labeller": _conduct(
        "random_labels",
        "As an owner, gives its rows random labels.",
        ("By the loss drop its data count as better than honest data, by held-out loss as worse."),
    ),
    "wrong_labeller": _conduct(
        "wrong_labels",
        "As an owner, gives every row a wrong label.",
        ("By the loss drop its data count as better than honest data, by held-out loss as worse."),
    ),
    "half_random_labeller": _conduct(
        "half_random",
        "As an owner, gives every second row a random label.",
        "By the distance its data count as worse than honest data.",
    ),
    "centre_colluder": _strategy(
        CENTRE,
        centres.centre_colluder,
        (
            "As a centre, hardly works until another centre works more, then does the"
            " equilibrium's work for ever."
        ),
        "Ten equal centres who play it earn almost ten times the equilibrium's utility.",
    ),
    "centre_defector": _strategy(
        CENTRE,
        centres.centre_defector,
        (
            "As a centre, plays the best reply to colluders in the first round, and is"
            " truthful afterwards."
        ),
        ("It earns almost all fees once, and the equilibrium's part of the fees from then on."),
    ),
    "best_replying_centre": _strategy(
        CENTRE,
        centres.best_replying_centre,
        (
            "As a centre, offers half the equilibrium's work in the first round, then the"
            " best reply to the others' last offers."
        ),
        "Three equal centres who play it reach the equilibrium; ten never do.",
    ),
    "price_colluder": _strategy(
        CENTRE,
        centres.price_colluder,
        (
            "As a centre, posts the price that is best for all centres until another centre"
            " posts less, then competes."
        ),
        (
            "Ten equal centres who play it earn 0.25 money together, and the leader 0.180"
            " money in place of 0.638 money."
        ),
        pricing="posted",
    ),
    "price_undercutter": _strategy(
        CENTRE,
        centres.price_undercutter,
        (
            "As a centre, posts 1 % less than the lowest price of the last round, but at"
            " least its cost."
        ),
        (
            "Against centres who collude it takes nearly their joint profit once, and"
            " nothing from then on."
        ),
        pricing="posted",
    ),
    "official_player": _strategy(
        None,
        official_player,
        (
            "As a leader or an owner, plays what the authors' public code computes, and 0"
            " where that is negative."
        ),
        (
            "Where every owner is active, it plays the equilibrium; where one is not, a"
            " leader loses by it."
        ),
    ),
}

PLAYS: dict[str, Callable[..., Policy]] = {
    "shade": leaders.shade,
    "never_trade": leaders.never_trade,
}
