"""The one engine that everything stands on: phases and stages, who acts, who is asked, and a
batch against its singles.
"""

import dataclasses
from typing import ClassVar

import pytest
import torch
from relay_market import (
    COST,
    Draw,
    Drawn,
    Offer,
    Offered,
    Peek,
    Replied,
    Reply,
    Ship,
    Shipped,
    a_round,
    moves,
    relay_market,
)

from marketenv.core import draws, rounds, tree
from marketenv.core.market import Market, Phase, agent_names

SEEDS = torch.tensor([0, 1, 2])


def types_of(seeds=SEEDS, finished=0):
    """The buyers' types of a round, from the seeds alone."""
    return draws.uniform(draws.fold(seeds, "type", torch.full_like(seeds, finished)), 2)


def everyone(market, policy):
    return dict.fromkeys(agent_names(market), policy)


def at_stage(market, stages, seeds=SEEDS, **meant):
    """The market after so many stages of its first round."""
    now = rounds.begin(market, seeds)
    for _ in range(stages):
        now, _ = rounds.advance(market, now, moves(market, now, **meant))
    return now


# --- a round --------------------------------------------------------------------------------------


def test_a_round_by_hand():
    market = relay_market(horizon=1, carriers=1)
    now, types = rounds.begin(market, SEEDS), types_of()
    # the draw was played, the offer waits
    assert (now.at, now.playing, list(now.floor.outcomes)) == (1, True, ["draw"])
    now, report = rounds.advance(market, now, moves(market, now, price=0.75))
    # the reply is quoted the price
    assert report is None and now.at == 2 and now.quotes.tolist() == [[0.75]] * 3
    now, report = rounds.advance(market, now, moves(market, now, take=[1.0, -1.0]))
    # held until the good is shipped
    assert report is None and now.floor.cash("escrow").tolist() == [[0.75, 0]] * 3
    end, report = rounds.advance(market, now, moves(market, now, ships="good", fee=0.125))
    # the seller gets 3/4, and pays 1/8 to the carrier and the good's cost; buyer_0 has its type for
    # 3/4
    nothing = torch.zeros(3, dtype=torch.float64)
    wanted = torch.stack(
        [nothing + 0.75 - 0.125 - COST, types[:, 0] - 0.75, nothing, nothing + 0.125], 1
    )
    assert torch.allclose(report.rewards, wanted, rtol=0, atol=1e-15)
    assert report.terminated.tolist() == [True] * 3
    assert not end.playing and end.floor.round.tolist() == [1, 1, 1] and not end.floor.outcomes


def test_junk_is_worth_nothing_and_its_price_goes_back():
    market = relay_market(horizon=1, carriers=2)
    _, report = a_round(market, rounds.begin(market, SEEDS), price=0.75, ships="junk")
    assert not report.rewards.any() and report.of(Shipped).good.tolist() == [False] * 3
    # all as before, and nothing is left in the escrow
    assert report.ledger.cash.tolist() == [[1, 1, 1, 1, 1, 0, 0]] * 3
    assert (
        report.flows["hold"].money.sum(2).tolist()
        == report.flows["refund"].money.sum(1).tolist()
        == [[0.75, 0.75]] * 3
    )


def test_rewards_are_net_money_and_all_terms():
    market = relay_market(carriers=1)
    for _, _, report in rounds.play(
        market, everyone(market, market.policies["random"]), torch.arange(20)
    ):
        if report is not None:
            total = report.received - report.paid
            for by_role in report.terms.values():
                for role, value in by_role.items():
                    total[:, market.people.rows[role]] += value
            assert torch.allclose(report.rewards, total, rtol=0, atol=1e-12)


def test_a_buyer_pays_only_what_it_has():
    market = relay_market(horizon=3, cash=0.75)
    now, first = a_round(market, rounds.begin(market, SEEDS), price=0.5)
    _, second = a_round(market, now, price=0.5)  # 1/4 is left
    assert first.of(Replied).bought.all() and not second.of(Replied).bought.any()


def test_a_phase_has_a_memory_of_its_own_across_rounds():
    market = relay_market()
    now, _ = a_round(market, rounds.begin(market, SEEDS), price=0.1, take=[1.0, -1.0])
    now, _ = a_round(market, now, price=0.1, take=[1.0, 1.0])
    assert now.owns["reply"].tolist() == [[2, 1]] * 3 and now.owns.keys() == {
        "draw",
        "offer",
        "reply",
        "ship",
    }
    now, _ = rounds.advance(market, now, moves(market, now))
    seen = market.stages[1].moves["buyer"].observation.unpack(rounds.observe(market, now)["buyer"])
    assert seen["times"][..., 0].tolist() == [[2, 1]] * 3 and seen[
        "round"
    ].flatten().tolist() == pytest.approx([2 / 3] * 6)


def test_a_finished_episode_cannot_be_played_on():
    market = relay_market(horizon=1)
    now, _ = a_round(market, rounds.begin(market, SEEDS))
    with pytest.raises(ValueError, match="the episode is over"):
        rounds.advance(market, now, {"seller": torch.zeros(3, 1, 1)})


def test_the_horizon_ends_a_game_and_only_cuts_one_that_would_go_on():
    for cut in (False, True):
        market = relay_market(horizon=2, cut=cut)
        now, first = a_round(market, rounds.begin(market, SEEDS))
        now, last = a_round(market, now)
        assert not first.terminated.any() and last.terminated.tolist() == [not cut] * 3
        assert rounds.ended(now, last).all() and not now.playing


def test_who_storms_out_ends_its_market_after_the_round():
    market = relay_market(cut=True)
    now, report = a_round(market, rounds.begin(market, SEEDS), stay=[-1.0, 1.0])
    assert report.terminated.all() and not now.playing  # all are over: no round is begun
    other = rounds.begin(market, SEEDS)
    other, _ = rounds.advance(market, other, moves(market, other))
    actions = moves(market, other)
    actions["buyer"][1, 0, 1] = -1.0
    other, _ = rounds.advance(market, other, actions)
    other, report = rounds.advance(market, other, moves(market, other))
    assert report.terminated.tolist() == [False, True, False] and other.playing
    assert rounds.ended(other, report).tolist() == [False, True, False]


def test_a_deviation_at_one_stage_starts_from_the_situation_there():
    market = relay_market()
    start = rounds.begin(market, SEEDS)
    dear, cheap = (
        rounds.advance(market, start, moves(market, start, price=p))[0] for p in (1.0, 0.0)
    )
    assert dear.quotes.tolist() == [[1]] * 3 and cheap.quotes.tolist() == [[0]] * 3
    assert dear.floor.of(Drawn) is start.floor.of(Drawn) is cheap.floor.of(Drawn)
    assert start.floor.outcomes.keys() == {"draw"}  # the situation before is as it was
    ends = [rounds.advance(market, dear, moves(market, dear, take=t))[0] for t in (1.0, -1.0)]
    # 3 markets, two buyers at 1
    assert [end.floor.cash("escrow").sum().item() for end in ends] == [6, 0]


# --- what is seen ---------------------------------------------------------------------------------


def test_the_movers_of_a_stage_see_its_fields_and_nobody_else_sees_anything():
    market = relay_market(carriers=1)
    now, seen = rounds.begin(market, SEEDS), []
    for _ in range(3):
        seen.append(rounds.observe(market, now))
        now, _ = rounds.advance(market, now, moves(market, now, price=0.25, take=[1.0, -1.0]))
    assert [{role: tuple(s.shape[1:]) for role, s in stage.items()} for stage in seen] == [
        {"seller": (1, 1)},
        {"buyer": (2, 4)},
        {"seller": (1, 2), "carrier": (1, 1)},  # never padded
    ]
    assert all(s.dtype == torch.float32 for stage in seen for s in stage.values())
    assert torch.equal(seen[1]["buyer"][..., 0], types_of().float()) and seen[1]["buyer"][
        ..., 1
    ].unique().tolist() == [0.25]
    assert seen[2]["carrier"].tolist() == [[[1]]] * 3  # one order


def test_where_the_game_is_over_what_is_left_out_is_0_and_a_cut_cannot_be_seen():
    for cut, round_shown in ((False, 1.0), (True, 0.0)):
        market = relay_market(horizon=1, cut=cut)
        now, _ = a_round(market, rounds.begin(market, SEEDS))
        assert rounds.observe(market, now)["seller"].flatten().tolist() == [round_shown] * 3
        assert torch.equal(
            rounds.observe(market, now)["seller"], rounds.observe_end(market, now)["seller"]
        )


def test_at_a_cut_agents_see_the_round_that_nobody_plays_and_at_an_end_nothing():
    for cut in (False, True):
        market = relay_market(horizon=1, cut=cut, offer=Peek)
        now, _ = a_round(market, rounds.begin(market, SEEDS))
        wanted = types_of(finished=1).float() if cut else torch.zeros(3, 2)
        assert torch.equal(rounds.observe_end(market, now)["seller"][:, 0, :2], wanted)


# --- who plays ------------------------------------------------------------------------------------


def test_skipped_agents_are_not_asked_and_their_rows_stay_zero():
    market, asked = relay_market(), []

    def policy(observation, move, keys):
        asked.append((move.stage, move.name, tuple(observation.shape)))
        return observation.new_ones(len(observation), move.action.dim)

    now = at_stage(market, 1)
    actions = rounds.act(market, everyone(market, policy), now, frozenset({"buyer_0"}))
    # buyer_1 of 3 markets sees 4 numbers; the seller does not move
    assert asked == [("reply", "buyer", (3, 4))]
    assert actions["buyer"][0].tolist() == [[0, 0], [1, 1]] and list(actions) == ["buyer"]


def test_agents_that_share_a_policy_are_asked_in_one_call():
    market, asked = relay_market(carriers=3), []

    def policy(observation, move, keys):
        asked.append((move.name, len(observation), len(keys)))
        return observation.new_zeros(len(observation), move.action.dim)

    rounds.act(market, everyone(market, policy), at_stage(market, 2))
    assert asked == [("seller", 3, 3), ("carrier", 9, 9)]


def test_a_mixed_batch_plays_each_row_by_its_own_policy():
    market, now = relay_market(), at_stage(relay_market(), 1)
    policies = [market.policies["truthful"], market.policies["random"]]
    # over all agents: the seller's column is not read here
    who = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, -1]])
    mixed = rounds.act_mixed(market, policies, who, now)["buyer"]
    truth, chance = (
        rounds.act(market, everyone(market, policy), now)["buyer"] for policy in policies
    )
    assert torch.equal(mixed[0], truth[0]) and torch.equal(mixed[1], chance[1])
    assert torch.equal(mixed[2, 0], chance[2, 0]) and mixed[2, 1].tolist() == [0, 0]


def test_policies_draw_fresh_numbers_every_stage_round_and_agent():
    market = relay_market(carriers=2)
    steps = list(rounds.play(market, everyone(market, market.policies["random"]), SEEDS[:1]))
    drawn = torch.cat([a.flatten() for _, actions, _ in steps for a in actions.values()])
    # a round: 1 offer, 2 replies of 2 numbers, 1 shipment, 2 fees
    assert (
        len(drawn)
        == len(drawn.unique())
        == 8 * len([1 for *_, report in steps if report is not None])
    )


def test_keys_are_of_the_stage_and_not_of_the_phases_before_it():
    """A phase in which nobody moves may come or go: policies draw what they drew before."""
    market, more = (
        relay_market(),
        Market(relay_market().people, (Draw(), renamed(Draw), Offer(), Reply(), Ship())),
    )
    assert torch.equal(
        rounds.policy_keys(market, at_stage(market, 1)), rounds.policy_keys(more, at_stage(more, 1))
    )


def renamed(kind):
    phase = kind()
    phase.name = "again"
    return phase


def test_play_yields_every_stage_and_reports_at_the_end_of_each_round():
    market = relay_market(horizon=2)
    steps = list(rounds.play(market, everyone(market, market.policies["truthful"]), SEEDS))
    assert [report is None for _, _, report in steps] == [True, True, False] * 2
    # price 1/2, taken exactly by buyers of type >= 1/2 who can pay: cash 1 is enough for two rounds
    assert torch.equal(steps[2][2].of(Replied).bought, types_of().float() >= 0.5)
    assert torch.equal(steps[5][2].of(Replied).bought, types_of(finished=1).float() >= 0.5)
    assert steps[2][2].of(Offered).price.tolist() == [[0.5]] * 3


@pytest.mark.parametrize("policy", ["truthful", "random"])
@pytest.mark.parametrize("carriers", [0, 2])
def test_a_batch_plays_as_its_singles(policy, carriers):
    market = relay_market(carriers=carriers)
    policies = everyone(market, market.policies[policy])
    batch = list(rounds.play(market, policies, SEEDS))
    for k, seed in enumerate(SEEDS):
        for together, alone in zip(batch, rounds.play(market, policies, seed[None]), strict=False):
            for many, one in zip(together[:2], alone[:2], strict=True):
                assert many.keys() == one.keys() and all(
                    torch.equal(many[role][k], one[role][0]) for role in one
                )
            assert alone[2] is None or torch.equal(together[2].rewards[k], alone[2].rewards[0])


# --- a situation is a tree ------------------------------------------------------------------------


def test_rows_and_put_take_markets_of_a_situation_in_mid_round():
    market = relay_market()
    now = at_stage(market, 2, price=0.25)
    some = tree.rows(now, torch.tensor([2, 0, 0]))
    assert some.floor.seeds.tolist() == [2, 0, 0] and some.floor.flows["hold"].money.shape == (
        3,
        2,
        2,
    )
    _, report = a_round(market, some)
    _, whole = a_round(market, now)
    assert torch.equal(report.rewards, whole.rewards[[2, 0, 0]])
    other = at_stage(market, 2, seeds=torch.tensor([7]), price=0.5)
    _, mixed = a_round(market, tree.put(now, torch.tensor([1]), other))
    assert torch.equal(mixed.rewards[[0, 2]], whole.rewards[[0, 2]])
    assert torch.equal(mixed.rewards[1:2], a_round(market, other)[1].rewards)


def test_a_put_restarts_the_markets_of_an_index_only():
    market = relay_market()
    now, _ = rounds.play_stage(market, at_stage(market, 2), moves(market, at_stage(market, 2)))
    assert not now.playing  # the round is over and the next one has not begun
    mixed = tree.put(now, torch.tensor([2, 0]), rounds.opened(market, SEEDS[1:] + 10))
    assert mixed.floor.seeds.tolist() == [12, 1, 11] and mixed.floor.round.tolist() == [0, 1, 0]
    assert mixed.floor.ledger.cash[0].tolist() == [1, 1, 1, 0, 0] and mixed.owns[
        "reply"
    ].tolist() == [[0, 0], [1, 1], [0, 0]]
    again = rounds.begun(market, mixed)
    assert torch.equal(
        again.floor.of(Drawn).types,
        torch.cat(
            [types_of(torch.tensor([12])), types_of(SEEDS[1:2], 1), types_of(torch.tensor([11]))]
        ),
    )


@pytest.mark.parametrize("stages", range(3))
def test_a_round_is_resumed_from_its_beginning_and_its_moves(stages):
    market = relay_market(carriers=1)
    start = rounds.opened(market, SEEDS)
    now, made = rounds.begun(market, start), []
    for _ in range(stages):
        made.append(rounds.act(market, everyone(market, market.policies["random"]), now))
        now, _ = rounds.advance(market, now, made[-1])
    again = rounds.resume(market, start, made, over=False)
    held, wanted = tree.leaves(again), tree.leaves(now)
    assert held.keys() == wanted.keys() and all(
        torch.equal(held[name], wanted[name]) for name in held
    )
    assert (again.at, again.playing) == (now.at, now.playing)
    assert rounds.resume(market, start, (), over=True) is start


# --- what actions may be --------------------------------------------------------------------------


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t[0],
            (
                r"advance was given actions of buyer of shape \[2, 2\] float32, wanted \[3, 2, 2\]"
                r" float32"
            ),
        ),
        (lambda t: t[:, :1], r"of shape \[3, 1, 2\]"),
        (lambda t: t[..., :1], r"of shape \[3, 2, 1\]"),
        (lambda t: t.bool(), "bool is not converted"),
        (lambda t: t.tolist(), "as a list"),
        (lambda t: t.to("meta"), "it lies on meta, wanted cpu"),
        (
            lambda t: t * torch.nan,
            (
                r"given actions of buyer: 'take' is nan at index \[0, 0, 0\], wanted a number in"
                r" \[-1, 1\]"
            ),
        ),
        (lambda t: t * torch.tensor([1.0, torch.inf]), r"'stay' is inf at index \[0, 0, 1\]"),
        (lambda t: t * 1.00001, "'take' is 1.00001"),
    ],
)
def test_actions_that_cannot_be_are_refused_and_nothing_changes(change, said):
    market, now = relay_market(), at_stage(relay_market(), 1)
    actions = moves(market, now)
    with pytest.raises(ValueError, match=said):
        rounds.advance(market, now, {"buyer": change(actions["buyer"])})
    assert (
        now.floor.outcomes.keys() == {"draw", "offer"}
        and rounds.advance(market, now, actions)[0].playing
    )


@pytest.mark.parametrize("roles", [(), ("seller",), ("buyer", "seller"), ("buyers",)])
def test_actions_are_wanted_of_those_who_move_and_of_nobody_else(roles):
    market, now = relay_market(), at_stage(relay_market(), 1)
    given = {role: torch.zeros(3, 2, 2) for role in roles}
    with pytest.raises(
        ValueError,
        match=(
            r"advance was given actions of .*, wanted buyer: the roles that move in stage 'reply'"
        ),
    ):
        rounds.advance(market, now, given)


def test_actions_that_rounding_left_just_outside_their_box_count_as_its_end():
    market, now = relay_market(), at_stage(relay_market(), 0)
    after, _ = rounds.advance(market, now, {"seller": torch.full((3, 1, 1), 1 + 5e-7)})
    assert after.floor.of(Offered).price.tolist() == [[1.0]] * 3


def test_gradients_of_actions_end_in_each_stage():
    market = relay_market(carriers=1)
    now, report = rounds.begin(market, SEEDS), None
    while report is None:
        now, report = rounds.advance(
            market, now, {r: a.requires_grad_() for r, a in moves(market, now).items()}
        )
        assert not any(seen.requires_grad for seen in rounds.observe(market, now).values())
    assert not report.rewards.requires_grad and not now.floor.ledger.cash.requires_grad


def test_a_policy_that_keeps_its_gradients_plays_as_without():
    market = relay_market(carriers=1)
    nets = torch.nn.ModuleDict(
        {
            f"{m.stage} {m.name}": torch.nn.Linear(m.observation.dim, m.action.dim)
            for m in market.moves
        }
    )

    def policy(observation, move, keys):
        assert torch.is_grad_enabled() and not observation.requires_grad
        return nets[f"{move.stage} {move.name}"](observation).tanh()

    def silent(observation, move, keys):
        return policy(observation, move, keys).detach()

    played = [list(rounds.play(market, everyone(market, part), SEEDS)) for part in (policy, silent)]
    for (_, actions, report), (_, same, plain) in zip(*played, strict=True):
        assert all(
            not actions[role].requires_grad and torch.equal(actions[role], same[role])
            for role in same
        )
        assert report is None or (
            torch.equal(report.rewards, plain.rewards) and not report.rewards.requires_grad
        )
    assert torch.is_grad_enabled()


# --- what a phase of one's own may get wrong ------------------------------------------------------


def careless(act=None, show=None, **parts):
    """The relay whose buyers' stage does, or shows, something wrong."""

    class Wrong(Reply):
        def act(self, floor, own, quotes, actions):
            result = super().act(floor, own, quotes, actions)
            return result if act is None else act(*result)

        def show(self, floor, own, quotes):
            shown = super().show(floor, own, quotes)
            return shown if show is None else show(shown)

    for name, part in parts.items():
        setattr(Wrong, name, part)
    return Market(relay_market().people, (Draw(), Offer(), Wrong(), Ship()), name="careless")


@dataclasses.dataclass(frozen=True)
class Moody(Replied):
    """A reply that tells one fact more than its phase says."""

    FACTS: ClassVar = ("takes", "mood")
    mood: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Loose(Replied):
    """A reply with a fact of any shape."""

    FACTS: ClassVar = ("takes",)


def changed(**parts):
    return lambda floor, own, outcome: (dataclasses.replace(floor, **parts), own, outcome)


WRONG_ACTS = {
    "nothing": (
        lambda f, o, x: None,
        "act of phase 'reply' returned a NoneType, wanted (floor, own, outcome)",
    ),
    "the floor alone": (
        lambda f, o, x: f,
        "act of phase 'reply' returned a Floor, wanted (floor, own, outcome)",
    ),
    "two of three": (
        lambda f, o, x: (f, x),
        "act of phase 'reply' returned a tuple of 2, wanted (floor, own, outcome)",
    ),
    "four": (lambda f, o, x: (f, o, x, x), "returned a tuple of 4"),
    "another order": (
        lambda f, o, x: (x, o, f),
        "act of phase 'reply' returned a Replied, wanted Floor(seeds, round, ",
    ),
    "no floor": (lambda f, o, x: (None, o, x), "act of phase 'reply' returned None, wanted Floor("),
    "no outcome": (
        lambda f, o, x: (f, o, None),
        "act of phase 'reply' returned None, wanted Replied(bought, takes)",
    ),
    "another outcome": (
        lambda f, o, x: (f, o, Offered(x.takes)),
        "act of phase 'reply' returned a Offered, wanted Replied(",
    ),
    "a fact that it did not declare": (
        lambda f, o, x: (f, o, Moody(x.bought, x.takes, x.takes)),
        "gave a Moody with the facts takes, mood, wanted takes: say outcome = Moody in Wrong",
    ),
    "a fact without a row an agent": (
        lambda f, o, x: (f, o, Loose(x.bought, x.takes[:, 1:])),
        (
            "act of phase 'reply' gave the fact 'takes' of shape [3, 2] float64, wanted [3, 3]"
            " float64 (markets, agents)"
        ),
    ),
    "a fact that is a list": (
        lambda f, o, x: (f, o, Loose(x.bought, x.takes.tolist())),
        "gave the fact 'takes' as a list",
    ),
    "ends that are numbers": (
        changed(ended=torch.zeros(3)),
        (
            "act of phase 'reply' gave ended of shape [3] float32, wanted [3] bool (markets):"
            " float32 is not converted"
        ),
    ),
    "one end for all": (
        changed(ended=torch.tensor(True)),
        "gave ended of shape [] bool, wanted [3] bool",
    ),
    "an end that is no tensor": (changed(ended=True), "gave ended as a bool"),
    "presence by market": (
        changed(present=torch.ones(3, 1, dtype=torch.bool)),
        "gave present of shape [3, 1] bool, wanted [3, 3]",
    ),
    "a debt": (
        lambda f, o, x: (f.pay("tip", "buyer", "seller", torch.full((3, 2, 1), 9.0)), o, x),
        "buyer_0 of market 0 would pay 9.5 (hold, tip) from a purse of 1",
    ),
    "a theft": (
        lambda f, o, x: (f.pay("tip", "buyer", "seller", torch.full((3, 2, 1), -9.0)), o, x),
        "a payment 'tip' is -9.0, wanted a finite amount >= 0",
    ),
    "other seeds": (
        changed(seeds=torch.arange(3)),
        "act of phase 'reply' changed seeds of the floor, wanted it as it was",
    ),
    "an edit in place that is refused": (
        lambda f, o, x: (f.seeds.add_(1), o.add_(1), None)[2:],
        "act of phase 'reply' returned a tuple of 1, wanted (floor, own, outcome)",
    ),
    "a memory of another structure": (
        lambda f, o, x: (f, None, x),
        "gave a memory of nothing, wanted {",
    ),
    "a memory that is a list": (
        lambda f, o, x: (f, [o], x),
        "gave a memory of what is no tree of tensors",
    ),
    "an end that is taken back, beside a wrong world": (
        changed(world=torch.zeros(3)),
        "changed world of the floor",
    ),
    "a model that nobody furnished": (
        changed(models={"buyer": torch.zeros(3, 2)}),
        "gave models of another structure",
    ),
    "an outcome without the market axis": (
        lambda f, o, x: (f, o, dataclasses.replace(x, bought=torch.tensor(True))),
        "gave 'bought' of its outcome of shape [], wanted 3 markets first",
    ),
    "a fact with an imaginary part": (
        lambda f, o, x: (f, o, Loose(x.bought, x.takes * 1j)),
        "gave the fact 'takes'",
    ),
    "another round": (
        changed(round=torch.ones(3, dtype=torch.int64)),
        "changed round of the floor",
    ),
    "money by hand": (
        lambda f, o, x: (dataclasses.replace(f, flows={}, ledger=f.ledger.new_round()), o, x),
        "changed ledger of the floor, wanted it as it was: pay by floor.pay",
    ),
    "money by hand beside a payment": (
        lambda f, o, x: (dataclasses.replace(f, ledger=f.ledger.new_round()), o, x),
        "the ledger is not what the flows make of it, wanted payments by floor.pay alone",
    ),
    "unlimited credit": (
        lambda f, o, x: (
            dataclasses.replace(
                f, ledger=dataclasses.replace(f.ledger, credit=f.ledger.credit + 9)
            ),
            o,
            x,
        ),
        "the ledger is not what the flows make of it",
    ),
    "an outcome of another phase": (
        changed(outcomes={}),
        "changed outcomes['draw'], outcomes['offer'] of the floor",
    ),
    "a name twice": (
        lambda f, o, x: (f.pay("hold", "buyer", "escrow", torch.zeros(3, 2, 2)), o, x),
        "are booked already",
    ),
    "a payment on another device": (
        lambda f, o, x: (
            f.pay("tip", "buyer", "seller", torch.zeros(3, 2, 1, device="meta")),
            o,
            x,
        ),
        (
            "payments 'tip' came of shape [3, 2, 1] float32, wanted [3, 2, 1] float64 (markets,"
            " buyer, seller): it lies on meta"
        ),
    ),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("kind", WRONG_ACTS)
def test_what_a_phase_may_not_give_back_is_refused_in_words_and_nothing_changes(kind):
    act, said = WRONG_ACTS[kind]
    market = careless(act)
    now = at_stage(market, 1)
    before = {name: tensor.clone() for name, tensor in tree.leaves(now).items()}
    with pytest.raises(ValueError) as error:
        rounds.advance(market, now, moves(market, now))
    assert said in str(error.value)
    after = tree.leaves(now)
    assert after.keys() == before.keys() and all(
        torch.equal(after[name], before[name]) for name in before
    )


WRONG_SHOWS = {
    "nothing": (
        lambda s: None,
        (
            "show of phase 'reply' gave buyer no fields by name, wanted {'buyer': {'type', 'price',"
            " 'times', 'round'}}"
        ),
    ),
    "fields without a role": (
        lambda s: s["buyer"],
        "show of phase 'reply' gave buyer nothing, wanted type, price, times, round",
    ),
    "a tensor": (
        lambda s: {"buyer": torch.zeros(3, 2, 4)},
        "show of phase 'reply' gave buyer no fields by name",
    ),
    "a field too few": (
        lambda s: {"buyer": without(s["buyer"], "times")},
        "gave buyer type, price, round, wanted type, price, times, round",
    ),
    "a field too many": (
        lambda s: {"buyer": s["buyer"] | {"cost": torch.zeros(3, 2)}},
        "gave buyer type, price, times, round, cost, wanted type, price, times, round",
    ),
    "another shape": (
        lambda s: {"buyer": s["buyer"] | {"price": torch.zeros(3)}},
        (
            "show of phase 'reply' gave buyer 'price' of shape [3] float32, wanted [3, 2, 1]"
            " float64 (markets, agents, numbers)"
        ),
    ),
    "two numbers for one": (
        lambda s: {"buyer": s["buyer"] | {"price": torch.zeros(3, 2, 2)}},
        "gave buyer 'price' of shape [3, 2, 2]",
    ),
    "a number": (lambda s: {"buyer": s["buyer"] | {"price": 0.5}}, "gave buyer 'price' as a float"),
    "another device": (
        lambda s: {"buyer": s["buyer"] | {"price": torch.zeros(3, 2, device="meta")}},
        "it lies on meta, wanted cpu",
    ),
}


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("kind", WRONG_SHOWS)
def test_what_a_phase_may_not_show_is_refused_by_role_and_field(kind):
    show, said = WRONG_SHOWS[kind]
    market = careless(show=show)
    with pytest.raises(ValueError) as error:
        rounds.observe(market, at_stage_without_looking(market))
    assert said in str(error.value)


def at_stage_without_looking(market):
    """The buyers' stage, by actions that need no observation."""
    return rounds.advance(market, rounds.begin(market, SEEDS), {"seller": torch.zeros(3, 1, 1)})[0]


@pytest.mark.usefixtures("as_for_a_user")
def test_what_shows_the_end_may_leave_fields_out_but_invent_none():
    class Invents(Offer):
        def show_end(self, floor, own):
            return {"seller": {"mood": torch.zeros(3, 1)}}

    class Silent(Offer):
        def show_end(self, floor, own):
            return {}

    for kind in (Invents, Silent):
        market = Market(relay_market().people, (Draw(), kind(), Reply(), Ship()))
        now, _ = a_round(market, rounds.begin(market, SEEDS))
        if kind is Silent:
            assert not rounds.observe(market, now)["seller"].any()
        else:
            with pytest.raises(
                ValueError, match="show of phase 'offer' gave seller mood, wanted round"
            ):
                rounds.observe(market, now)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_reward_that_is_no_number_is_refused(bad):
    def worth(floor, own, outcome):
        return (
            floor.term("joy", "buyer", torch.tensor([[0.0, 0.0], [0.0, bad], [0.0, 0.0]]).double()),
            own,
            outcome,
        )

    market = careless(worth)
    now = at_stage(market, 2)
    with pytest.raises(
        ValueError, match=rf"a reward of {bad} to buyer_1 of market 1, wanted a finite number"
    ):
        rounds.advance(market, now, moves(market, now))


def test_numbers_in_float32_and_with_gradients_are_taken():
    def tip(floor, own, outcome):
        return (
            floor.pay("tip", "buyer", "seller", torch.full((3, 2, 1), 0.125, requires_grad=True)),
            own,
            outcome,
        )

    _, report = a_round(careless(tip), rounds.begin(careless(tip), SEEDS))
    _, plain = a_round(relay_market(), rounds.begin(relay_market(), SEEDS))
    assert (
        report.flows["tip"].money.dtype == report.rewards.dtype == torch.float64
        and not report.rewards.requires_grad
    )
    assert torch.allclose(
        report.rewards - plain.rewards,
        torch.tensor([0.25, -0.125, -0.125]).double(),
        rtol=0,
        atol=1e-15,
    )


class Bare(Phase):
    """A phase of which nothing is written but its name and its movers."""

    name, moves = "bare", Offer.moves

    def show(self, floor, own, quotes):
        return {"seller": {"round": floor.played[:, None]}}


def test_a_phase_without_act_or_truth_says_what_is_wanted():
    people = dataclasses.replace(relay_market().people, roles={"seller": 1})
    market = Market(people, (Bare(),))
    now = rounds.begin(market, SEEDS)
    with pytest.raises(
        NotImplementedError,
        match=r"Bare has movers, wanted truthful\(self, observation, move, keys\) -> actions",
    ):
        rounds.act(market, everyone(market, market.policies["truthful"]), now)
    with pytest.raises(
        NotImplementedError,
        match=r"Bare has no act\(self, floor, own, quotes, actions\) -> floor, own, outcome",
    ):
        rounds.advance(market, now, {"seller": torch.zeros(3, 1, 1)})


class Editor(Reply):
    """A reply that edits in place whatever it is given, and plays as before."""

    def act(self, floor, own, quotes, actions):
        result = super().act(floor, own.clone(), quotes, {"buyer": actions["buyer"].clone()})
        for tensor in (
            floor.seeds,
            floor.ledger.cash,
            own,
            quotes,
            actions["buyer"],
            floor.of(Offered).price,
        ):
            tensor.zero_()
        return result


def test_an_edit_in_place_changes_nothing_of_the_markets():
    plain, market = (
        relay_market(),
        Market(relay_market().people, (Draw(), Offer(), Editor(), Ship()), horizon=3, name="relay"),
    )
    now, told = rounds.begin(market, SEEDS), rounds.begin(plain, SEEDS)
    for _ in range(6):
        kept = {name: tensor.clone() for name, tensor in tree.leaves(now).items()}
        acted = moves(market, now)
        (after, report), (after_plain, wanted) = (
            rounds.advance(market, now, acted),
            rounds.advance(plain, told, acted),
        )
        assert all(torch.equal(tensor, kept[name]) for name, tensor in tree.leaves(now).items())
        assert report is None or torch.equal(report.rewards, wanted.rewards)
        now, told = after, after_plain


def test_what_is_over_stays_over_and_shows_nothing_of_a_round_that_nobody_plays():
    class Forgets(Ship):
        def act(self, floor, own, quotes, actions):
            floor, own, outcome = super().act(floor, own, quotes, actions)
            return dataclasses.replace(floor, ended=torch.zeros_like(floor.ended)), own, outcome

    market = Market(
        relay_market().people,
        (Draw(), Peek(), Reply(), Forgets()),
        horizon=1,
        cut=True,
        name="relay",
    )
    now = rounds.begin(market, SEEDS)
    now, _ = rounds.advance(market, now, moves(market, now))
    storms = {"buyer": torch.tensor([1.0, -1.0]).expand(3, 2, 2).contiguous()}
    now, _ = rounds.advance(market, now, storms)
    now, report = rounds.advance(market, now, moves(market, now))
    assert report.terminated.all() and not rounds.observe(market, now)["seller"].any()


def test_a_phase_that_shows_nan_is_refused():
    market = careless(
        show=lambda shown: {
            "buyer": shown["buyer"] | {"price": shown["buyer"]["price"] * torch.nan}
        }
    )
    now = at_stage_without_looking(market)
    with pytest.raises(
        ValueError,
        match=r"show of phase 'reply' gave buyer NaN as 'price', wanted numbers in \[0, 1\]",
    ):
        rounds.observe(market, now)


def test_seeds_of_other_types_are_refused():
    with pytest.raises(ValueError, match=r"wanted int64 \[markets\], such as torch\.arange\(8\)"):
        rounds.begin(relay_market(), torch.tensor([0, 1], dtype=torch.int32))
