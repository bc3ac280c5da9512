"""Deviations: maps of what is reported, in families with parameters, alone and many at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_market import PRISONERS_DILEMMA, matrix_game
from relay_market import relay_market
from scripted_cases import SMALL

from agents.lineups import find_profile
from agents.stress import (
    KINDS,
    SELECT,
    Attack,
    Budget,
    Deviation,
    Family,
    Usual,
    families,
    lines,
    seeds_of,
    together,
)
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import role_of
from marketenv.markets.model_sharing import Shared
from marketenv.markets.parameter_trading import Trade
from marketenv.markets.table import MARKETS

DOUBLE = make_market("reference_v0", game="double_auction")
TRADING = make_market("parameter_trading_v0", n_agents=3, max_cycles=1)
MONEY = make_market(
    "parameter_trading_v0", n_agents=2, max_cycles=1, bid_mode="absolute", bid_max=10.0
)
SHARING = make_market("model_sharing_v0", learner=None, n_agents=4, max_cycles=1)
# client_0
SELLER = make_market(
    "model_sharing_v0", learner=None, n_agents=2, max_cycles=1, types={"needs": (0.0, 5.0)}
)
ASK_MAX = TRADING.phase(Trade).scales.ask_max
BUYER, TRADER, CLIENT = (market.moves[0] for market in (DOUBLE, TRADING, SHARING))
HONEST = {"cost": 1.0, "size": 1.0, "need": 1.0, "effort": 1.0, "upload": "honest", "stay": "stay"}


def report(**meanings):
    """A policy that reports the same, whatever it sees."""
    return lambda observation, role, keys: role.write(observation, **meanings)


def reported(deviation, role, rows=1):
    """What a deviation reports where every number that it sees is 1."""
    seen = torch.ones(rows, role.observation.dim)
    return role.read(seen, deviation(seen, role, torch.arange(rows)))


def of(role, name, base, parameters):
    return Deviation(base, families(role)[name], torch.tensor(parameters, dtype=torch.float64))


def test_every_family_that_fits_every_field_is_named():
    assert list(families(BUYER)) == ["scale price", "shift price", "affine price", "knots price"]
    assert list(families(TRADER, ("scale",))) == ["scale bid", "scale ask", "scale effort"]
    assert list(families(CLIENT, fields=("upload", "stay"))) == ["choose upload", "choose stay"]
    with pytest.raises(ValueError, match="Did you mean 'scale'"):
        families(BUYER, ("scal",))


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "money"),
    [
        ("scale price", [[0.5]], 0.3),  # .5 * .6
        ("shift price", [[0.25]], 0.85),  # .6 + .25
        ("affine price", [[0.1, 0.5]], 0.4),  # .1 + .5 * .6
        # .6 lies two fifths of the way from .5 (.2) to .75 (.7)
        ("knots price", [[0.0, 0.1, 0.2, 0.7, 1.0]], 0.4),
        ("scale price", [[2.0]], 1.0),  # 1.2 is clipped to price_max
        ("shift price", [[-0.7]], 0.0),  # and -.1 to nothing
    ],
)
def test_what_each_family_makes_of_three_fifths(name, parameters, money):
    assert float(
        reported(of(BUYER, name, report(price=0.6), parameters), BUYER)["price"]
    ) == pytest.approx(money, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "base", "parameters", "size"),
    [
        ("scale size", 1.0, [[2.0]], 2.0),
        ("scale size", 1.0, [[20.0]], 10.0),  # ten times the truth is the most that can be said
        ("scale size", 0.5, [[0.1]], 0.1),  # a tenth of it the least
        ("shift size", 1.0, [[2.0]], 3.0),  # twice the truth more
        ("affine size", 10**0.25, [[-0.2, 2.0]], 10**0.3),  # logarithms: -.2 + 2 * .25
        # the truth is the middle one of five
        ("knots size", 1.0, [[-1.0, -0.5, 0.3, 0.5, 1.0]], 10**0.3),
        # half way from the middle (.3) to the next (.5)
        ("knots size", 10**0.25, [[-1.0, -0.5, 0.3, 0.5, 1.0]], 10**0.4),
    ],
)
def test_a_multiple_is_scaled_by_factors(name, base, parameters, size):
    """A deviation of a multiple acts on the multiple: twice the truth, though its action is no
    multiple of the truth's.
    """
    changed = reported(of(CLIENT, name, report(**HONEST | {"size": base}), parameters), CLIENT)
    assert float(changed["size"]) == pytest.approx(size, rel=1e-6)


def test_a_size_of_twice_the_truth_is_what_the_market_hears():
    policy = Deviation(
        SHARING.policies["truthful"], families(CLIENT)["scale size"], torch.tensor([[2.0]]).double()
    )
    profile, now = (
        find_profile(SHARING) | {"client_0": policy},
        rounds.begin(SHARING, seeds_of(SELECT, 8)),
    )
    _, told = rounds.advance(SHARING, now, rounds.act(SHARING, profile, now))
    ratio = told.of(Shared).reported.sizes / now.floor.types["client"]["sizes"]
    torch.testing.assert_close(
        ratio, torch.tensor([2.0, 1, 1, 1]).double().expand(8, -1), atol=1e-6, rtol=0
    )


# of 10 at most, and nothing at least
@pytest.mark.parametrize(("by", "bid"), [(3.0, 5.0), (8.5, 10.0), (-2.5, 0.0)])
def test_a_bid_in_money_is_shifted_by_money(by, bid):
    role = MONEY.moves[0]
    changed = reported(of(role, "shift bid", report(bid=2.0, ask=0.0, effort=1.0), [[by]]), role)
    assert float(changed["bid"]) == pytest.approx(bid, abs=1e-5)


def test_half_an_effort_is_doubled_to_a_full_one_and_no_further():
    base = report(bid=1.0, ask=0.0, effort=0.5)
    for by, effort in ((2.0, 1.0), (1.5, 0.75), (4.0, 1.0)):
        assert float(
            reported(of(TRADER, "scale effort", base, [[by]]), TRADER)["effort"]
        ) == pytest.approx(effort, abs=1e-6)


def test_every_option_is_chosen_by_its_number():
    """-1 leaves it as it is; a search's numbers between options are rounded."""
    family, base = families(CLIENT)["choose upload"], report(**HONEST | {"upload": "copy"})
    numbers = [-1.0, *range(len(family.options)), 2.4, -0.6]
    chosen = reported(
        of(CLIENT, "choose upload", base, [[number] for number in numbers]), CLIENT, len(numbers)
    )["upload"][:, 0]
    assert chosen.tolist() == [2, *range(9), 2, 2]  # copy is the third
    assert str(of(CLIENT, "choose upload", base, [[7.0]])) == "upload: ones"


def test_a_pure_seller_who_needs_nothing_can_say_that_it_needs_something():
    """A multiple of nothing is nothing, so it is no use to scale it; what is added is heard as
    a part of the market's mean.
    """
    attack = Attack(SELLER, find_profile(SELLER), ("client_0",), seeds_of(SELECT, 4))
    found, other = (
        attack_of(SELLER, agent).lines(attack.bases())["client"]
        for agent in ("client_0", "client_1")
    )
    assert (
        [name for name in found if "need" in name] == ["shift need"]
        and "scale need" in other
        and "shift need" not in other
    )
    assert (found["shift need"].low, found["shift need"].high) == ((0.0,), (2.0,))
    policy = Deviation(attack.bases()[0], found["shift need"], torch.tensor([[0.5]]).double())
    _, told = rounds.advance(
        SELLER,
        attack.start,
        rounds.act(SELLER, find_profile(SELLER) | {"client_0": policy}, attack.start),
    )
    torch.testing.assert_close(
        told.of(Shared).reported.needs[:, 0], torch.full((4,), 1.25).double(), atol=1e-6, rtol=0
    )  # .5 * (0 + 5) / 2


# --- what stays as it is --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=6), st.sampled_from([0.0, 1.0]))
def test_the_identity_changes_nothing(kind, actions, truth):
    """Also where the types are 0, of which no multiple can be told."""
    base = lambda observation, role, keys: torch.tensor(actions)[None, : role.action.dim]  # noqa: E731
    for role in (CLIENT, TRADER, BUYER):
        seen = torch.full((1, role.observation.dim), truth)
        for family in families(role, (kind,)).values():
            kept = Deviation(base, family, torch.tensor([family.identity]).double())(
                seen, role, torch.arange(1)
            )
            torch.testing.assert_close(
                kept[0], torch.tensor(actions)[: role.action.dim], atol=2e-6, rtol=0
            )


def test_a_family_changes_its_own_field_alone():
    """A trader's action is two bids, an ask and an effort; what is not changed is not even
    rounded.
    """
    actions = torch.tensor([[0.1, 0.2, -1.0, 1 / 3]])
    ask = of(TRADER, "shift ask", lambda *_: actions, [[ASK_MAX / 4]])
    changed = ask(torch.ones(1, TRADER.observation.dim), TRADER, torch.arange(1))
    assert torch.equal(changed[:, [0, 1, 3]], actions[:, [0, 1, 3]])
    # a quarter of the way from -1 to 1
    assert float(changed[0, 2]) == pytest.approx(-0.5, abs=1e-6)


def test_several_rows_play_run_by_run():
    """Six markets and two rows of parameters: the first three are scaled by .5, the last three
    by 1.5.
    """
    both = reported(of(BUYER, "scale price", report(price=0.4), [[0.5], [1.5]]), BUYER, rows=6)[
        "price"
    ]
    torch.testing.assert_close(
        both[:, 0], torch.tensor([0.2] * 3 + [0.6] * 3).double(), atol=1e-6, rtol=0
    )


def test_families_together_are_applied_in_turn():
    both = together(
        [
            families(TRADER)["scale bid"],
            families(TRADER)["shift effort"],
            families(TRADER)["scale effort"],
        ]
    )
    assert (both.low, both.high, both.identity) == (
        (0.0, -1.0, 0.0),
        (2.0, 1.0, 2.0),
        (1.0, 0.0, 1.0),
    )
    base = report(bid=torch.tensor([0.4, 0.8]), ask=0.0, effort=1.0)
    changed = reported(Deviation(base, both, torch.tensor([[0.5, -0.75, 2.0]]).double()), TRADER)
    torch.testing.assert_close(
        changed["bid"], torch.tensor([[0.2, 0.4]]).double(), atol=1e-6, rtol=0
    )
    assert float(changed["effort"]) == pytest.approx(0.5, abs=1e-6)  # (1 - .75) * 2


def test_a_family_of_ones_own_may_read_the_observation():
    """Bid the truth below a value of one half and nothing above it."""

    def rule(reports, parameters, observation, role):
        return {"price": torch.where(observation[:, :1] <= parameters, reports["price"], 0.0)}

    small = Family("stay small", (0.0,), (1.0,), (1.0,), rule)
    values = torch.tensor([[0.2], [0.8]])
    seen = BUYER.observation.pack(
        type=values, last_price=torch.zeros(2, 1), round=torch.zeros(2, 1)
    )
    bids = Deviation(DOUBLE.policies["truthful"], small, torch.tensor([[0.5]]).double())(
        seen, BUYER, torch.arange(2)
    )
    torch.testing.assert_close((bids + 1) / 2, torch.tensor([[0.2], [0.0]]))


# --- lines ----------------------------------------------------------------------------------------


def test_a_line_holds_the_identity_and_wants_one_parameter():
    line = families(BUYER)["scale price"].line(4)[:, 0]
    torch.testing.assert_close(line, torch.tensor([0, 2 / 3, 1, 4 / 3, 2]).double())
    with pytest.raises(ValueError, match="2 parameters; a line wants a family of one"):
        families(BUYER)["affine price"].line(4)


def test_factors_are_spaced_by_their_powers_and_options_by_one():
    torch.testing.assert_close(
        families(CLIENT)["scale size"].line(5)[:, 0],
        10 ** torch.tensor([-1, -0.5, 0, 0.5, 1]).double(),
    )
    assert families(CLIENT)["choose upload"].line(5)[:, 0].tolist() == [-1, *range(9)]


@pytest.mark.parametrize("points", range(2, 42))
@pytest.mark.parametrize("name", ["scale price", "shift price"])
def test_points_next_to_the_identity_give_way_to_it(name, points):
    """torch's seven points of [0, 2] have 1 + 2e-16 among them; a line of other ends has a
    point that is hardly another.
    """
    family = families(BUYER)[name]
    for high in (family.high[0], 0.9 * family.high[0]):
        line = Family(family.name, family.low, (high,), family.identity, family.apply).line(points)[
            :, 0
        ]
        step = (high - family.low[0]) / (points - 1)
        assert family.identity[0] in line.tolist() and bool((line.diff() > step / 4 - 1e-6).all())


def usual(role, **reports):
    """One report a field, and the ends of what can be said."""
    return {
        field.name: Usual(
            *(torch.tensor([float(x)]).double() for x in (reports[field.name], *field.range))
        )
        for field in role.action.items
    }


def test_a_line_ends_where_everything_is_clipped():
    """From half an effort: k in [0, 1 / .5]; from a bid of 3/4 of the worth: k up to 2, which
    is far from 2 times the worth.
    """
    found = lines(TRADER, usual(TRADER, bid=0.75, ask=0.0, effort=0.5))
    ends = {name: (*family.low, *family.high) for name, family in found.items()}
    assert ends == {
        # up to 1.5 times the worth, so that more is told by what is added:
        "scale bid": (0.0, 2.0),
        "shift bid": (-0.75, 1.25),
        "shift ask": (0.0, ASK_MAX),  # nothing is no use to scale
        "scale effort": (0.0, 2.0),  # which reaches both ends, so that nothing is left to shift
    }
    assert list(lines(TRADER, usual(TRADER, bid=1.0, ask=0.0, effort=1.0), ("effort",))) == [
        "scale effort"
    ]


def test_what_is_chosen_anyway_is_the_identity_of_its_line():
    found = lines(CLIENT, usual(CLIENT, **HONEST | {"upload": 2, "stay": 1}))
    assert found["choose upload"].line(41)[:, 0].tolist() == list(range(9)) and found[
        "choose upload"
    ].identity == (2.0,)
    assert found["choose stay"].line(41)[:, 0].tolist() == [0, 1] and found[
        "choose stay"
    ].identity == (1.0,)


def test_a_line_says_what_its_parameter_is():
    found = lines(CLIENT, usual(CLIENT, **HONEST | {"upload": 0, "stay": 1}))
    assert {name: family.unit for name, family in found.items()} == {
        **dict.fromkeys(("scale cost", "scale size", "scale need"), "times the truth"),
        "scale effort": "of full effort",
        "choose upload": "",
        "choose stay": "",
    }
    liar = lines(CLIENT, usual(CLIENT, **HONEST | {"size": 3.0, "upload": 0, "stay": 1}))
    assert liar["scale size"].unit == "times what it was" and liar["scale size"].high == (10 / 3,)


GAMES = {
    game: ("reference_v0", {"game": game})
    for game in ("double_auction", "first_price", "second_price")
}
CASES = {
    **GAMES,
    "trading": ("parameter_trading_v0", {"n_agents": 3, "max_cycles": 1}),
    "trading for money": (
        "parameter_trading_v0",
        {"n_agents": 2, "max_cycles": 1, "bid_mode": "absolute", "externality": 0.5},
    ),
    "sharing": ("model_sharing_v0", {"learner": None, "n_agents": 4, "max_cycles": 1}),
    "sharing with a pure seller": (
        "model_sharing_v0",
        {"learner": None, "n_agents": 2, "types": {"needs": (0.0, 5.0)}},
    ),
    "sharing with a free seller": (
        "model_sharing_v0",
        {"learner": None, "n_agents": 2, "types": {"costs": (0.0, 1.0)}},
    ),
    "data": ("data_market_v0", SMALL["data_market_v0"] | {"max_cycles": 1, "n_sellers": 1}),
    "resources": (
        "resource_market_v0",
        SMALL["resource_market_v0"] | {"identities": 2, "rank": True, "n_owners": 2},
    ),
    "resources without escrow": (
        "resource_market_v0",
        SMALL["resource_market_v0"] | {"escrow": False, "pricing": "posted"},
    ),
    "marketplace": ("marketplace_v0", SMALL["marketplace_v0"] | {"n_developers": 2}),
}
TOYS = {"relay": relay_market(carriers=1), "matrix": matrix_game(PRISONERS_DILEMMA)}


def attack_of(market, agent, play="truthful"):
    return Attack(market, find_profile(market, play), (agent,), seeds_of(SELECT, 16))


def test_every_market_is_walked():
    assert {name for name, _ in CASES.values()} == set(MARKETS)


@pytest.mark.parametrize("play", ["truthful", "random"])
@pytest.mark.parametrize("case", [*CASES, *TOYS])
def test_no_family_plays_truth_twice(case, play):
    """On the grid's lines no two points play the same on all seeds, and every line has a real
    deviation.

    Whoever plays at random reports something else on every seed, so that its lines are as long as
    they can be.
    """
    market = TOYS[case] if case in TOYS else make_market(CASES[case][0], **CASES[case][1])
    agents = [agent for role in market.roles for agent in role.agents[:2]]
    for agent in agents:
        attack = attack_of(market, agent, play)
        moves, (base,) = {move.stage: move for move in attack.moves_of(agent)}, attack.bases()
        found = attack.lines((base,))[role_of(market, agent).name]
        fields = {(stage, field) for stage, move in moves.items() for field in move.action.slices}
        # no field of any stage is forgotten
        assert {(family.stage, family.field) for family in found.values()} == fields
        for name, family in found.items():
            points, move = family.line(Budget().points), moves[family.stage]
            seen, keys = attack.policy_inputs(agent, family.stage)
            copies = seen.repeat(len(points), 1), move, keys.repeat(len(points))  # a point each
            played, unchanged = (
                policy(*copies).unflatten(0, (len(points), len(seen))).flatten(1)
                for policy in (Deviation(base, family, points), base)
            )
            twice = (played[:, None] == played).all(-1).triu(1).nonzero().tolist()
            assert len(points) > 1 and not twice, (agent, name, points[:, 0].tolist(), twice)
            (same,) = (points[:, 0] == family.identity[0]).nonzero()
            assert torch.equal(played[same], unchanged[same]), (agent, name)
