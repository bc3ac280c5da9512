"""The floor is no blackboard: which part of it each phase reads, and what each phase draws, stand
in tables.

A phase hands on by its outcome, by models and by who is present; by nothing else. Who adds a market
adds a row here; who lets a phase read more sees it here first. Names: an outcome's class;
``models.`` and ``types.`` with their entries; whose cash and whose purses.
"""

from copy import copy
from dataclasses import replace
from functools import cache
from inspect import signature
from itertools import combinations, product
from typing import NamedTuple

import pytest
import torch
from data_market_cases import SMALL as SOLD
from relay_market import Draw, Offer, Reply, Ship, relay_market
from resource_market_cases import SMALL as SHARED_OUT
from spies import METHODS, play, played, watch

from marketenv import make_market
from marketenv.core.market import Market, Outcome, People, Phase
from marketenv.core.within import Within
from marketenv.markets.table import MARKETS

ROUNDS = 2
DATA = {"partition", "order"}  # a partition's draws; then those of a network's first parameters
LAYERS = {f"init layer{k}.{part}" for k in (0, 1) for part in ("weight", "bias")}
WORLDS = {"data drift"}  # drawn by what all phases share, the same for each


class Row(NamedTuple):
    """The arguments a market is played with; what its phases read; what they, and who furnishes the
    floor, draw.

    alike: purposes for which several phases draw the same numbers on purpose
    """

    played: tuple[dict, ...]
    reads: dict[str, set[str]]
    draws: dict[str, set[str]]
    alike: frozenset[str] = frozenset()


SMALL = {name: value for name, value in SOLD.items() if name != "max_cycles"}
UNLABELED = {"data_options": {"corruption": "unlabeled", "corruption_options": {"rate": 0.5}}}
SHARING_TYPES = {f"types.client.{name}" for name in ("costs", "sizes", "needs", "effort_cost")}
SHOWN = {"goods", "flip", "other class", "toward"}
GOODS = SHOWN | {"noise rows", "which", "row", "label"}
FIRST = LAYERS | {"buyer's model"}
RESOURCES = {name: value for name, value in SHARED_OUT.items() if name != "max_cycles"}
KNOWN_OF_OWNERS = {
    f"types.owner.{name}" for name in ("standing", "identities", "cap", "last_share")
}
CONDUCT = {"rows", "flip", "other class", "random label", "noise rows", "which", "row", "label"}
TABLE = {
    "reference_v0": Row(
        played=({}, {"game": "first_price"}, {"game": "second_price", "horizon": "cut"}),
        reads={"auction": set()},
        draws={"people": set(), "auction": {"type"}},
    ),
    "parameter_trading_v0": Row(
        played=(
            {"n_agents": 2},
            {"n_agents": 3, "sabotage": 0.1, "horizon": "cut", "disclosure": "full"},
            {"n_agents": 3, "partners": 1},
        ),
        reads={
            "train": {"models.trader", "present", "types.trader.effort_cost", "world"},
            "trade": {
                "Trained",
                "models.trader",
                "types.trader.effort_cost",
                "types.trader.money_per_loss",
                "cash of trader",
                "purse of trader",
                "world",
            },
            "score": {"models.trader", "types.trader.money_per_loss"},
        },
        draws={
            "people": DATA | LAYERS | {"class_imbalance", "by class", "first model", "types"},
            "train": {"train", "minibatches"},
            "trade": {"align", "partners", "weight_matching", "sabotage"},
            "score": set(),
        },
    ),
    "model_sharing_v0": Row(
        played=(
            {"n_agents": 3},
            {"n_agents": 3, "scheme": "ditto", "select": "test", "data_drift": 0.1},
            {
                "n_agents": 3,
                "learner": None,
                "cost_drift": 0.1,
                "exits": "ir_prob",
                "horizon": "cut",
            },
        ),
        reads={
            "train": {
                "models.client",
                "models.second",
                "present",
                "types.client.effort_cost",
                "world",
            },
            "share": {
                "Trained",
                "models.client",
                "models.second",
                "present",
                "purse of client",
                "world",
                *SHARING_TYPES,
            },
            "leave": {
                "Shared",
                "models.client",
                "models.trained",
                "present",
                "types.client.costs",
                "world",
            },
        },
        draws={
            "people": (
                DATA
                | LAYERS
                | {
                    "dirichlet",
                    "dirichlet shares",
                    "gamma",
                    "boost",
                    "later",
                    "first model",
                    "costs",
                    "needs",
                    "sizes",
                    "effort cost",
                }
            ),
            "train": {"train", "minibatches", "data drift"},
            "share": {"upload", "shuffle", "distance", "data drift"},
            "leave": {"exit", "drift", "data drift"},
        },
    ),
    "data_market_v0": Row(
        played=(
            SMALL,
            SMALL
            | {
                "private": True,
                "anchors": 2,
                "selection": "random",
                "rule": "shapley",
                "horizon": "cut",
                "outside_option": "model",
            },
            SMALL
            | {
                "n_sellers": 5,
                "mixtures": 3,
                "rule": "posted",
                "labels": "pseudo",
                **UNLABELED,
            },
        ),
        reads={
            "offer": {
                *(f"types.seller.{name}" for name in ("cost", "reputation", "last_paid")),
                "purse of buyer",
                "world",
            },
            "pilot": {"Offered", "models.buyer", "world"},
            "select": {
                "Offered",
                "Piloted",
                "types.buyer.money_per_accuracy",
                "types.seller.reputation",
                "purse of buyer",
            },
            "train_selected": {"Offered", "Piloted", "Selected", "models.buyer", "world"},
            "deliver": {
                "Offered",
                "Piloted",
                "Selected",
                "TrainedOnPurchase",
                "types.buyer.money_per_accuracy",
                "types.seller.cost",
                "types.seller.reputation",
                "cash of held",
                "world",
            },
        },
        draws={
            "people": (
                DATA
                | FIRST
                | {
                    "class_blocks",
                    "by class",
                    "rounding",
                    "corruption",
                    "unlabeled",
                    "hidden",
                    "types",
                }
            ),
            "offer": set(),
            "pilot": (
                SHOWN
                | FIRST
                | {"anchors", "mixtures", "random", "selection", "pilot", "minibatches"}
            ),
            "select": {"audit", "values"},
            "train_selected": GOODS | FIRST | {"train", "minibatches"},
            "deliver": GOODS | {"anchors"},
        },
        # a pilot, a delivery and its audit are of the same rows, and all models of a market begin
        # as one
        alike=frozenset(GOODS | FIRST | {"anchors"}),
    ),
    "resource_market_v0": Row(
        played=(
            RESOURCES | {"escrow": False, "audit": "shapley", "audit_round": 0, "n_owners": 11},
            RESOURCES
            | {
                "audit": "wasserstein",
                "aggregation": "sequential_accept",
                "rank": True,
                "horizon": "cut",
            },
            {
                "n_owners": 3,
                "n_centres": 3,
                "learner": None,
                "pricing": "posted",
                "identities": 2,
                "ratchet": True,
            },
        ),
        reads={
            "post": {
                "types.centre.cost",
                "types.centre.last_price",
                "types.owner.standing",
                "types.owner.identities",
                "purse of centre",
            },
            "commit": {"Posted", "types.centre.sigma", "purse of leader", *KNOWN_OF_OWNERS},
            "contribute": {
                "Posted",
                "Committed",
                "types.owner.quality",
                "purse of owner",
                *KNOWN_OF_OWNERS,
            },
            "compute": {
                "Contributed",
                "types.centre.cost",
                "types.centre.last_work",
                "purse of centre",
            },
            "serve": {"Posted", "Contributed", "types.centre.cost"},
            # present says how many agents there are
            "match": {"Contributed", "Computed", "types.centre.sigma", "present"},
            "train_matched": {"Contributed", "Matched", "models.leader", "world"},
            "audit": {"Contributed", "models.leader", "world"},
            "pay": {
                "Audited",
                "Committed",
                "Computed",
                "Contributed",
                "Matched",
                "TrainedMatched",
                "cash of escrow",
                "cash of fees",
                "purse of leader",
            },
        },
        draws={
            "people": (
                DATA
                | LAYERS
                | {"balanced", "noise", "rate", "feature noise", "row", "leader's model", "types"}
            ),
            **{
                phase: set()
                for phase in ("post", "commit", "contribute", "compute", "serve", "match", "pay")
            },
            "train_matched": CONDUCT | {"train", "minibatches"},
            "audit": CONDUCT | {"rows audit", "audit", "audit orders", "shapley", "minibatches"},
        },
    ),
}

PURCHASE = {n: v for n, v in SMALL.items() if n not in ("training", "learner_options")}
TINY = {"n_developers": 2, "n_owners": 3, "n_centres": 2, "own_data": True}
TINY |= {"data_options": {"max_examples": 120}, "learner_options": {"hidden": (4,)}}
TINY |= {"training": SMALL["training"]}
BOUGHT, SHARED, TRADED, WORKED = (
    TABLE[f"{name}_v0"]
    for name in ("data_market", "model_sharing", "parameter_trading", "resource_market")
)
OWN = {  # phases of the marketplace alone
    "charge": {"Posted", "Selected", "purse of owner"},
    "work_at_home": {"Contributed", "cash of centre"},
    "pay_work": {"Computed", "Contributed", "Matched", "cash of fees"},
}
# what a phase reads and draws in its own market, less that for which it is asked nothing here
TABLE["marketplace_v0"] = Row(
    played=(
        TINY | {"quality": "wasserstein"},
        TINY | {"own_data": False, "n_owners": 2},
        TINY
        | {"rule": "procurement", "compute": "posted", "trade": "ipfl", "data_market": PURCHASE},
        {"n_owners": 2, "compute": None, "learner": None},
    ),
    reads={
        **{**WORKED.reads, **BOUGHT.reads, **SHARED.reads, **TRADED.reads, **OWN},
        **{phase: WORKED.reads[phase] - {"Posted"} for phase in ("commit", "contribute")},
        "pay": WORKED.reads["pay"] - {"TrainedMatched", "purse of leader"},
        "train": TRADED.reads["train"] - {"world"},
        "train_own": (TRADED.reads["train"] | SHARED.reads["train"]) - {"models.second"},
        "share": SHARED.reads["share"] - {"models.second"},
    },
    draws={
        **{**WORKED.draws, **BOUGHT.draws, **SHARED.draws, **TRADED.draws},
        **{phase: set() for phase in (*OWN, "leave", "train")},
        "train_own": {"train train_own", "minibatches"},
        "people": (
            WORKED.draws["people"]
            | {"copy", "needs", "costs", "effort cost", "first model", "buyer's model"}
        ),
        "audit": CONDUCT | {"rows audit"},
        "trade": TRADED.draws["trade"] - {"sabotage", "partners"},
        "pilot": BOUGHT.draws["pilot"] - {"anchors"},
        "deliver": BOUGHT.draws["deliver"] - {"anchors"},
        "share": {"upload"},
    },
    alike=BOUGHT.alike,
)


PLAYED = [(name, number) for name, row in TABLE.items() for number in range(len(row.played))]


@cache
def market_of(name, number):
    """The market of a row's arguments."""
    return make_market(name, max_cycles=ROUNDS, **TABLE[name].played[number])


@cache
def log_of(name, number, policy="random"):
    """What the phases of a market read and draw in an episode."""
    return watched_play(market_of(name, number), policy)


def watched_play(market, policy="random"):
    with pytest.MonkeyPatch.context() as patch:
        log = watch(market, patch)
        play(market, policy)
        return copy(log)


def noted(name):
    """What the phases of a market read and draw in all its plays, by random and by truthful
    policies.
    """
    reads, drawn = {}, {}
    for number, policy in product(range(len(TABLE[name].played)), ("random", "truthful")):
        log = log_of(name, number, policy)
        for phase in ("people", *names_of(market_of(name, number))):
            reads.setdefault(phase, set()).update(log.reads[phase])
            drawn.setdefault(phase, set()).update(log.drawn[phase])
    return reads, drawn


def names_of(market):
    return [phase.name for phase in market.phases]


def test_every_market_of_the_library_has_a_row():
    assert TABLE.keys() == MARKETS.keys()


@pytest.mark.long
@pytest.mark.parametrize("name", MARKETS)
def test_phases_read_and_draw_what_the_table_says_and_nothing_else(name):
    reads, drawn = noted(name)
    reads.pop("people")
    assert reads == TABLE[name].reads
    assert drawn == TABLE[name].draws


@pytest.mark.parametrize("name", MARKETS)
def test_no_phase_reads_payments_terms_or_the_books_of_others(name):
    """What was paid and what it was worth are for the report: a phase that reads them would
    judge what another one decided.
    """
    for reads in TABLE[name].reads.values():
        assert not reads & {"flows", "terms", "outcomes", "ledger", "ended"}


@pytest.mark.parametrize(("name", "number"), PLAYED)
def test_no_two_phases_and_no_two_rounds_draw_by_one_key(name, number):
    log = log_of(name, number)
    phases, but = names_of(market_of(name, number)), WORLDS | TABLE[name].alike
    for one, two in combinations(["people", *phases], 2):
        assert not all_keys(log, one, but) & all_keys(log, two, but)
    for phase in phases:
        for one, two in combinations(log.keys(phase, but=but).values(), 2):
            assert not one & two


def all_keys(log, phase, but=WORLDS):
    return set().union(*log.keys(phase, but=but).values())


# --- a second phase of one kind -------------------------------------------------------------------


NOT_TWICE = ("deliver", "pay", "charge", "pay_work")  # a purchase is settled once
KINDS = [
    (name, number, kind)
    for name, number in PLAYED
    for kind in names_of(market_of(name, number))
    if kind not in NOT_TWICE
]


@cache
def log_of_twins(name, number):
    """What is drawn where every phase, but the settlements, is followed by a twin."""
    market, phases = market_of(name, number), []
    for phase in market.phases:
        phases += [phase] if phase.name in NOT_TWICE else [phase, twin_of(phase)]
    return watched_play(Market(market.people, tuple(phases), horizon=ROUNDS))


@pytest.mark.parametrize(("name", "number", "kind"), KINDS)
def test_a_second_phase_of_a_kind_draws_by_keys_of_its_own(name, number, kind):
    log, but = log_of_twins(name, number), WORLDS | TABLE[name].alike
    one, two = all_keys(log, kind, but), all_keys(log, f"{kind} again", but)
    assert bool(one) == bool(two) and not one & two


def twin_of(phase):
    """The same phase under another name; one of a smaller market is played by the same people."""
    twin = copy(played(phase))
    twin.name = f"{twin.name} again"
    return Within(twin, phase.inside) if isinstance(phase, Within) else twin


def test_every_kind_of_phase_may_be_named_otherwise():
    markets = [market_of(name, number) for name, number in PLAYED]
    for kind in {type(played(phase)) for market in markets for phase in market.phases}:
        assert signature(kind).parameters["name"].default == kind.name
    with pytest.raises(ValueError, match="wanted every name once"):
        Market(markets[0].people, markets[0].phases * 2)


# --- the spies ------------------------------------------------------------------------------------


def test_the_spies_note_what_the_relay_reads_by_hand(monkeypatch):
    market = relay_market(carriers=1)
    log = watch(market, monkeypatch)
    play(market)
    assert dict(log.reads) == {
        # the price, one's type, whether it can be paid, who left
        "reply": {"Offered", "Drawn", "purse of buyer", "ended"},
        "ship": {"Replied", "Drawn", "cash of escrow", "purse of seller"},
    }
    assert {phase: set(drawn) for phase, drawn in log.drawn.items()} == {"draw": {"type"}}


class Nosy(Phase):
    """It reads what no phase should."""

    name = "nosy"

    def act(self, floor, own, quotes, actions):
        paid, done, here = floor.flows["hold"], floor.outcomes["reply"], floor.present.sum()
        assert paid is not None and done is not None and here and floor.ledger.net.any() is not None
        return floor, own, Outcome()


def test_the_spies_note_what_no_phase_should_read(monkeypatch):
    market = Market(relay_market().people, (Draw(), Offer(), Reply(), Nosy(), Ship()))
    log = watch(market, monkeypatch)
    play(market)
    assert log.reads["nosy"] == {"flows", "outcomes", "present", "ledger"}


def test_copying_a_part_of_the_floor_is_not_reading_it_and_an_entry_is_read_by_its_name(
    monkeypatch,
):
    class Passes(Nosy):
        def act(self, floor, own, quotes, actions):
            models = {**floor.models, "b": floor.models["a"] + 1}
            types = {
                **floor.types,
                "seller": dict(floor.types["seller"], size=floor.types["seller"]["size"] + 1),
            }
            return replace(floor, models=models, types=types), own, Outcome()

    def furnish(floor):
        zero = torch.zeros(2)
        return replace(
            floor, models={"a": zero, "b": zero}, types={"seller": {"size": zero, "need": zero}}
        )

    people = People(
        roles={"seller": 1, "buyer": 2, "carrier": 0},
        accounts={"escrow": 2},
        cash=1.0,
        furnish=furnish,
    )
    market = Market(people, (Draw(), Offer(), Reply(), Passes(), Ship()))
    log = watch(market, monkeypatch)
    play(market)
    assert log.reads["nosy"] == {"models.a", "types.seller.size"}
    assert METHODS == ("begin", "quote", "show", "show_end", "act")
