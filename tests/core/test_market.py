"""What a market is made of: phases, roles, stages, fields; and what is refused when it is put
together.
"""

import dataclasses
from typing import ClassVar

import pytest
import torch
from relay_market import Draw, Offer, Replied, Reply, Ship, a_round, moves, relay_market

from marketenv.core import rounds
from marketenv.core.fields import Field, Fields, Money
from marketenv.core.ledger import Flow
from marketenv.core.market import (
    Breakpoints,
    Market,
    Move,
    Outcome,
    People,
    Phase,
    agent_names,
    move_of,
    role_of,
)

SEEDS = torch.tensor([0, 1, 2])
SEEN, DONE = Fields((Field("x"),)), Fields((Money("y"),))


class Ask(Phase):
    """One number is seen, one is done, and nothing comes of it."""

    name, moves = "ask", {"buyer": Move(SEEN, DONE)}

    def show(self, floor, own, quotes):
        return {role: {"x": floor.cash(role)} for role in self.moves}

    def act(self, floor, own, quotes, actions):
        return floor, own, Outcome()


def market_of(*phases, roles=None, **options):
    return Market(People(roles=roles or {"buyer": 2}), phases, **options)


def test_roles_stages_and_moves_of_the_relay():
    market = relay_market(carriers=1)
    assert [(role.name, role.count) for role in market.roles] == [
        ("seller", 1),
        ("buyer", 2),
        ("carrier", 1),
    ]
    assert [(stage.name, stage.movers) for stage in market.stages] == [
        ("offer", ("seller",)),
        ("reply", ("buyer",)),
        ("ship", ("seller", "carrier")),
    ]
    assert [(move.stage, move.name, move.count) for move in market.moves] == [
        ("offer", "seller", 1),
        ("reply", "buyer", 2),
        ("ship", "seller", 1),
        ("ship", "carrier", 1),
    ]
    assert (
        agent_names(market) == ("seller_0", "buyer_0", "buyer_1", "carrier_0")
        and market.people.count == 4
    )
    assert market.moves[1].agents == ("buyer_0", "buyer_1")


def test_a_role_of_count_0_is_skipped_everywhere():
    market = relay_market(carriers=0)
    assert [role.name for role in market.roles] == ["seller", "buyer"]
    assert market.stages[-1].movers == ("seller",) and agent_names(market) == (
        "seller_0",
        "buyer_0",
        "buyer_1",
    )
    _, report = a_round(market, rounds.begin(market, SEEDS))
    # nobody is there to be paid
    assert report.rewards.shape == (3, 3) and report.flows["fee"].money.shape == (3, 1, 0)


def test_a_phase_whose_movers_are_all_absent_is_played_like_one_without_movers():
    heard = []

    class Whisper(Ask):
        name, moves = "whisper", {"ghost": Move(SEEN, Fields((Money("y", 2),)))}

        def act(self, floor, own, quotes, actions):
            heard.append(tuple(actions["ghost"].shape))
            return floor, own, Outcome()

    market = market_of(Whisper(), Ask(), roles={"buyer": 2, "ghost": 0})
    assert [stage.name for stage in market.stages] == ["ask"]
    now = rounds.begin(market, SEEDS)
    assert list(now.floor.outcomes) == ["whisper"] and rounds.stage_of(market, now).name == "ask"
    assert heard == [(3, 0, 2)]  # markets, nobody, the numbers of its action


def test_moves_are_found_by_role_agent_and_stage():
    market = relay_market(carriers=1)
    assert [move.stage for move in market.moves_of("seller")] == ["offer", "ship"]
    assert move_of(market, "seller_0").stage == "offer" and move_of(
        market, "seller_0", "ship"
    ).action.slices.keys() == {"ships"}
    assert role_of(market, "buyer_1").agents == ("buyer_0", "buyer_1")
    with pytest.raises(
        ValueError,
        match=(
            r"no agent 'buyer_2'\. Did you mean 'buyer_0'\?|no agent 'buyer_2'\. Did you mean"
            r" 'buyer_1'"
        ),
    ):
        role_of(market, "buyer_2")
    with pytest.raises(ValueError, match=r"no role 'sellers'\. Did you mean 'seller'"):
        market.moves_of("sellers")
    with pytest.raises(ValueError, match=r"no stage in which buyer_0 moves 'offer'\. .*reply"):
        move_of(market, "buyer_0", "offer")


def test_a_phase_is_found_by_its_class_or_by_what_it_can_do():
    market = relay_market()
    assert market.phase(Reply) is market.phases[2]
    with pytest.raises(
        ValueError, match="relay has no phase Breakpoints: Draw, Offer, Reply, Ship"
    ):
        market.phase(Breakpoints)

    class Known(Reply):
        def breakpoints(self, floor, own, quotes, actions, who, fields):
            return None

    knowing = Market(market.people, (Draw(), Offer(), Known(), Ship()))
    assert knowing.phase(Breakpoints) is knowing.phase(Reply) is knowing.phases[2]
    twice = market_of(Ask(), named(Ask, "again"))
    assert twice.phase(Ask).name == "again"  # the latest one


def named(kind, name):
    phase = kind()
    phase.name = name
    return phase


def test_facts_are_those_of_every_market_and_then_those_of_the_phases_each_once():
    assert relay_market().facts == ("utility", "paid", "received", "cash", "takes")

    class Told(Outcome):
        FACTS: ClassVar = ("paid", "mood")

    class Tell(Ask):
        outcome = Told

    assert market_of(Tell(), named(Tell, "again")).facts == (
        *("utility", "paid", "received", "cash", "mood"),
        *("paid of again", "mood of again"),  # a second phase of a kind tells its own
    )


class Moody(Outcome):
    FACTS: ClassVar = ("mood",)


class Humour(Ask):
    name, outcome = "humour", Moody


class Temper(Ask):
    name, outcome = "temper", Moody


def test_a_fact_that_two_phases_tell_is_refused_and_one_of_them_may_be_named_otherwise():
    with pytest.raises(
        ValueError,
        match=(
            r"phases 'humour' and 'temper' both tell the fact 'mood', wanted every fact once:"
            r" rename"
        ),
    ):
        market_of(Humour(), Temper())
    assert market_of(Humour(), named(Temper, "evening")).facts[4:] == ("mood", "mood of evening")


def test_a_phase_that_names_itself_and_whose_class_has_no_name_is_the_usual_one():
    class Unnamed(Phase):
        moves, outcome = Ask.moves, Moody

    phase = named(Unnamed, "free")
    assert (phase.named("mood"), phase.purpose("draw", 3)) == ("mood", ("draw", 3))
    other = named(Temper, "evening")
    assert (other.named("mood"), other.purpose("draw", 3)) == (
        "mood of evening",
        ("draw", 3, "evening"),
    )


def test_the_facts_of_a_report_are_the_markets_facts():
    market = relay_market()
    _, report = a_round(market, rounds.begin(market, SEEDS), take=[1.0, -1.0])
    infos = report.infos()
    assert tuple(infos) == market.facts and all(values.shape == (3, 3) for values in infos.values())
    assert infos["takes"].tolist() == [[0, 1, 0]] * 3  # the seller takes nothing, buyer_0 does
    assert infos["cash"].tolist() == [[1.5, 0.5, 1.0]] * 3  # 1 each; buyer_0 pays 1/2
    assert (
        infos["paid"].tolist() == [[0, 0.5, 0]] * 3
        and infos["received"].tolist() == [[0.5, 0, 0]] * 3
    )


def test_truth_is_told_by_the_phase_of_the_stage():
    market = relay_market(carriers=1)
    truth, seeds = market.policies["truthful"], torch.tensor([3])
    steps = list(rounds.play(market, dict.fromkeys(agent_names(market), truth), seeds))
    meant = [
        {role: market.stages[k].moves[role].action.read(a) for role, a in acts.items()}
        for k, (_, acts, _) in enumerate(steps[:3])
    ]
    types = steps[1][0]["buyer"][..., 0]
    assert meant[0]["seller"]["price"].item() == 0.5 and meant[2]["carrier"][
        "fee"
    ].item() == pytest.approx(0.1)
    assert (meant[1]["buyer"]["take"][..., 0] > 0).tolist() == (types >= 0.5).tolist() and meant[2][
        "seller"
    ]["ships"].item() == 1


@pytest.mark.parametrize("names", [("ask", "ask"), ("", "ask")])
def test_phases_have_names_of_their_own(names):
    with pytest.raises(ValueError, match="wanted every name once: rename one of the two"):
        market_of(*(named(Ask, name) for name in names))


def test_a_role_that_nobody_has_is_refused_with_its_neighbour():
    with pytest.raises(
        ValueError, match=r"no role of phase 'ask' 'buyer'\. Did you mean 'buyers'\? Known: buyers"
    ):
        market_of(Ask(), roles={"buyers": 2})


@pytest.mark.parametrize("phases", [(), (Draw(),), (Ask(),)])
def test_a_chain_in_which_nobody_moves_is_refused(phases):
    with pytest.raises(ValueError, match=r"nobody moves in .*wanted a phase with movers"):
        Market(People(roles={"buyer": 0}), phases)


def test_a_role_that_moves_nowhere_is_refused():
    with pytest.raises(
        ValueError,
        match=(
            "clerk moves in no phase, wanted every role to move: leave it out, or make it an"
            " account"
        ),
    ):
        market_of(Ask(), roles={"buyer": 1, "clerk": 1})
    market_of(Ask(), roles={"buyer": 1, "clerk": 0})


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("horizon", [0, -1, 1.5, True, float("nan")])
def test_rounds_are_counted_in_whole_numbers_from_1(horizon):
    with pytest.raises(ValueError, match=r"horizon is .*, wanted a whole number >= 1"):
        market_of(Ask(), horizon=horizon)


def test_two_fields_of_one_name_are_refused_before_there_is_a_market():
    with pytest.raises(ValueError, match="fields are named price, price, wanted every name once"):
        Move(SEEN, Fields((Money("price"), Money("price"))))


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("people", "said"),
    [
        ({"roles": {"a": 1}, "accounts": {"a": 1}}, "wanted counts >= 0, and no name twice"),
        ({"roles": {"a": -1}}, "count of 'a' is -1, wanted a whole number >= 0"),
        ({"roles": {"a": 1.5}}, "count of 'a' is 1.5, wanted a whole number >= 0"),
        ({"roles": ["a"]}, r"roles is \['a'\], wanted counts by name"),
        ({"roles": {"a b": 1}}, "wanted counts by name"),
        ({"roles": {"a": 2, "a_1": 3}}, "'a_1' names a role or account, wanted another name"),
        ({"roles": {"all": 2}}, "'all' names a role or account, wanted another name"),
        ({"roles": {"a": 1}, "cash": float("nan")}, "cash is nan"),
        ({"roles": {"a": 1}, "credit": -9}, "credit is -9"),
        (
            {"roles": {"a": 1}, "accounts": {"e": 1}, "empty": "e"},
            "empty is 'e', wanted several names",
        ),
        (
            {"roles": {"a": 1}, "accounts": {"pot": 1}, "empty": ("pit",)},
            r"no account 'pit'\. Did you mean 'pot'",
        ),
        ({"roles": {"a": 1}, "operators": ("a",)}, "no account 'a'"),
    ],
)
def test_people_that_cannot_be_are_refused(people, said):
    with pytest.raises(ValueError, match=said):
        People(**people)


def test_people_open_with_cash_credit_and_rows_in_order():
    people = People(
        roles={"a": 2, "none": 0},
        accounts={"pot": 1, "bank": 2},
        operators=("bank",),
        cash=3.0,
        credit=1.0,
    )
    floor = people.open(torch.tensor([7, 8]), horizon=4, cut=False)
    assert people.rows == {
        "a": slice(0, 2),
        "none": slice(2, 2),
        "pot": slice(2, 3),
        "bank": slice(3, 5),
    }
    assert floor.ledger.cash.tolist() == [[3, 3, 0, 0, 0]] * 2  # accounts begin with nothing
    assert (
        floor.ledger.credit.tolist() == [[1, 1, 0, torch.inf, torch.inf]] * 2
        and not floor.ledger.net.any()
    )
    assert (
        floor.present.tolist() == [[True, True]] * 2
        and not floor.ended.any()
        and floor.round.tolist() == [0, 0]
    )


def test_people_may_furnish_the_floor():
    def furnish(floor):
        return dataclasses.replace(
            floor, types={"buyer": {"size": floor.seeds[:, None].expand(-1, 2).double()}}
        )

    market = Market(People(roles={"buyer": 2}, furnish=furnish), (Ask(),))
    assert rounds.opened(market, SEEDS).floor.types["buyer"]["size"].tolist() == [
        [0, 0],
        [1, 1],
        [2, 2],
    ]


def test_the_story_tells_every_phases_part_then_the_money_then_the_utilities():
    market = relay_market(carriers=1)
    _, report = a_round(market, rounds.begin(market, SEEDS), take=[1.0, -1.0], price=0.25)
    story = report.story(agent_names(market))
    assert story[0] == "The good is shipped." and report.of(Replied).bought[0].tolist() == [
        True,
        False,
    ]
    assert (
        "account escrow pays seller_0 0.2500." in story
        and "buyer_0 pays account escrow 0.2500." in story
    )
    assert "seller_0 pays carrier_0 0.1000." in story
    # 0.25 - 0.1 for the carrier - 0.1, the good's cost
    assert story[-1].startswith("Utility: seller_0 +0.0500, ")


def test_the_story_leaves_out_what_a_hold_leaves_over_by_rounding():
    market = relay_market(carriers=1)
    _, report = a_round(market, rounds.begin(market, SEEDS), take=[1.0, -1.0], price=0.25)
    for left, is_told in ((2e-16, False), (2e-9, True)):
        flows = {
            **report.flows,
            "left": Flow(
                "escrow", "buyer", torch.tensor([[[left, 0.0]]]).double().expand(3, -1, -1)
            ),
        }
        story = dataclasses.replace(report, flows=flows).story(agent_names(market))
        assert ("account escrow pays buyer_0 0.0000." in story) == is_told


def test_moves_in_words_say_what_they_mean():
    market = relay_market()
    now = rounds.begin(market, SEEDS)
    assert (
        market.moves[0]
        .action.read(moves(market, now, price=0.25)["seller"])["price"]
        .flatten()
        .tolist()
        == [0.25] * 3
    )
