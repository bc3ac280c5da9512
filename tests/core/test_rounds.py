"""The one loop that everything stands on: stages, who acts, who is asked, and a batch against its singles."""

import dataclasses

import pytest
import torch
from relay_market import Offer, RelayMarket, Reply

from marketenv.core import draws, rounds
from marketenv.core.market import action_width, agent_names, role_of

SEEDS = torch.tensor([0, 1, 2])


def rows(price, takes, stay=1.0, n_markets=3):
    """Actions [markets, agents, width]: the seller's price action, and both buyers' (take, stay)."""
    one = torch.tensor([[price, 0.0], [takes[0], stay], [takes[1], stay]])
    return one.expand(n_markets, -1, -1).clone()


def everyone(market, policy):
    return dict.fromkeys(agent_names(market), policy)


def test_agents_are_named_role_by_role():
    market = RelayMarket()
    assert agent_names(market) == ("seller_0", "buyer_0", "buyer_1") and action_width(market) == 2
    assert role_of(market, "buyer_1").name == "buyer"
    with pytest.raises(ValueError, match=r"no agent 'buyer_2'\. Did you mean 'buyer_1'\? Known: buyer_0, buyer_1, seller_0"):
        role_of(market, "buyer_2")


def test_a_round_is_quote_act_quote_act_clear():
    market = RelayMarket(horizon=1)
    start = rounds.begin(market, SEEDS)
    assert isinstance(start.quotes, Offer) and start.past == ()
    middle, report = rounds.advance(market, start, rows(0.2, (1, 1)))
    assert report is None and isinstance(middle.quotes, Reply) and len(middle.past) == 1
    assert middle.quotes.price.tolist() == pytest.approx([0.6] * 3)  # (1 + 0.2) / 2
    end, report = rounds.advance(market, middle, rows(-1.0, (1, -1)))
    types = start.quotes.types
    # buyer_0 takes at 0.6, buyer_1 does not; the seller's second-stage row (-1) is ignored
    assert report.transfers[:, 1, 0].tolist() == pytest.approx([0.6] * 3) and report.transfers[:, 2].sum() == 0
    assert torch.allclose(report.rewards, torch.stack([types[:, 0] * 0 + 0.6, types[:, 0] - 0.6, types[:, 0] * 0], 1))
    assert end.quotes is None and end.past == () and end.state.round.tolist() == [1, 1, 1]


def test_a_finished_episode_cannot_be_played_on():
    market = RelayMarket(horizon=1)
    now = rounds.begin(market, SEEDS)
    for _ in range(2):
        now, _ = rounds.advance(market, now, rows(0, (1, 1)))
    with pytest.raises(ValueError, match="the episode is over"):
        rounds.advance(market, now, rows(0, (1, 1)))


def test_the_second_quote_depends_on_the_first_stage_and_a_deviation_leaves_the_first_quote():
    market = RelayMarket()
    start = rounds.begin(market, SEEDS)
    dear, cheap = (rounds.advance(market, start, rows(a, (0, 0)))[0] for a in (1.0, -1.0))
    assert dear.quotes.price.tolist() == [1, 1, 1] and cheap.quotes.price.tolist() == [0, 0, 0]
    assert dear.past[0][0] is start.quotes is cheap.past[0][0]


def test_observations_say_who_is_to_move_and_show_the_price_in_stage_two():
    market = RelayMarket()
    start = rounds.begin(market, SEEDS)
    assert rounds.observe(market, start)[:, :, 0].tolist() == [[1, 0, 0]] * 3
    middle, _ = rounds.advance(market, start, rows(0.0, (0, 0)))
    seen = rounds.observe(market, middle)
    assert seen[:, :, 0].tolist() == [[0, 1, 1]] * 3
    assert seen[:, 1:, 2].flatten().tolist() == [0.5] * 6  # (1 + 0) / 2
    assert seen.shape == (3, 3, 4) and bool((seen[:, 0, 2:] == 0).all())  # the seller's row is padded


def test_who_is_not_to_move_is_not_heard():
    market = RelayMarket()
    reports = []
    for noise in (0.0, 0.9):
        now = rounds.begin(market, SEEDS)
        first, second = rows(0.2, (noise, -noise)), rows(noise, (1, 1))
        now, _ = rounds.advance(market, now, first)
        reports.append(rounds.advance(market, now, second)[1])
    assert torch.equal(reports[0].rewards, reports[1].rewards)


def test_skipped_agents_are_not_asked_and_their_rows_stay_zero():
    market = RelayMarket()
    asked = []

    def policy(observation, role, keys):
        asked.append((role.name, len(observation)))
        return observation.new_ones(len(observation), role.action.dim)

    actions = rounds.act(market, everyone(market, policy), rounds.begin(market, SEEDS), frozenset({"buyer_0"}))
    # one call a role: the seller of 3 markets, and buyer_1 of 3 markets
    assert asked == [("seller", 3), ("buyer", 3)]
    assert actions[0].tolist() == [[1, 0], [0, 0], [1, 1]]  # the seller's second column is padding


def test_policies_see_only_their_roles_numbers():
    market = RelayMarket()
    widths = {}

    def policy(observation, role, keys):
        widths[role.name] = observation.shape[1]
        return observation.new_zeros(len(observation), role.action.dim)

    rounds.act(market, everyone(market, policy), rounds.begin(market, SEEDS))
    assert widths == {"seller": 2, "buyer": 4}


def test_a_mixed_batch_plays_each_row_by_its_own_policy():
    market = RelayMarket()
    now = rounds.begin(market, SEEDS)
    policies = [market.policies["truthful"], market.policies["random"]]
    who = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, -1]])
    mixed = rounds.act_mixed(market, policies, who, now)
    alone = [rounds.act(market, everyone(market, policy), now) for policy in policies]
    assert torch.equal(mixed[0], alone[0][0]) and torch.equal(mixed[1], alone[1][1])
    assert torch.equal(mixed[2, :2], torch.stack([alone[0][2, 0], alone[1][2, 1]])) and mixed[2, 2].sum() == 0


def test_policies_draw_fresh_numbers_every_stage_round_and_agent():
    market = RelayMarket()
    policies = everyone(market, market.policies["random"])
    drawn = torch.cat([actions[0, 1:].flatten() for _, actions, _ in rounds.play(market, policies, SEEDS[:1])])
    assert len(drawn) == len(drawn.unique()) > 8  # several stages x 2 buyers x 2 numbers, all different


def test_play_yields_every_stage_and_reports_at_the_end_of_each_round():
    market = RelayMarket(horizon=2)
    steps = list(rounds.play(market, everyone(market, market.policies["truthful"]), SEEDS))
    assert [report is None for _, _, report in steps] == [True, False, True, False]  # 2 rounds of 2 stages
    # by hand: price 1/2, taken exactly by buyers of type >= 1/2 who can pay: cash 1 is enough for two rounds
    types = draws.uniform(draws.fold(SEEDS, "type", torch.zeros_like(SEEDS)), 2)
    assert torch.equal(steps[1][2].transfers[:, 1:, 0], (types.float() >= 0.5) * 0.5)


@pytest.mark.parametrize("policy", ["truthful", "random"])
def test_a_batch_plays_as_its_singles(policy):
    market = RelayMarket()
    policies = everyone(market, market.policies[policy])
    batch = list(rounds.play(market, policies, SEEDS))
    for k, seed in enumerate(SEEDS):
        for together, alone in zip(batch, rounds.play(market, policies, seed[None]), strict=False):
            assert torch.equal(together[0][k], alone[0][0]) and torch.equal(together[1][k], alone[1][0])
            assert alone[2] is None or torch.equal(together[2].rewards[k], alone[2].rewards[0])


def test_put_restarts_the_markets_of_an_index_only():
    market = RelayMarket()
    now = rounds.begin(market, SEEDS)
    for _ in range(2):
        now, _ = rounds.advance(market, now, rows(0.0, (1, 1)))
    fresh = rounds.opened(market, SEEDS[1:] + 10)
    mixed = rounds.put(now, torch.tensor([2, 0]), fresh)
    assert mixed.state.seeds.tolist() == [12, 1, 11] and mixed.state.round.tolist() == [0, 1, 0]
    assert mixed.state.ledger.cash[0].tolist() == [1, 1, 1] and mixed.quotes is None
    again = rounds.quoted(market, mixed)
    assert torch.equal(again.quotes.types[1], now.quotes.types[1])
    assert torch.equal(again.quotes.types[0], rounds.quoted(market, fresh).quotes.types[1])


class Careless(RelayMarket):
    """The toy market with one tensor of its report changed."""

    def __init__(self, **changed):
        super().__init__()
        self.changed = changed

    def clear(self, state, past):
        new, report = super().clear(state, past)
        return new, dataclasses.replace(report, **{name: change(getattr(report, name)) for name, change in self.changed.items()})


def second_stage(market):
    return rounds.advance(market, rounds.begin(market, SEEDS), rows(0.0, (1, 1)))[0]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("rewards", lambda t: t[0], r"reported rewards of shape \[3\] float64, wanted \[3, 3\] float64 \(markets, agents\)"),
        ("rewards", lambda t: t.tolist(), "reported rewards as a list"),
        ("transfers", lambda t: t[:, :2], r"reported transfers of shape \[3, 2, 3\]"),
        ("transfers", lambda t: t[:1], r"reported transfers of shape \[1, 3, 3\]"),
        ("terminated", lambda t: t.any(), r"reported terminated of shape \[\] bool, wanted \[3\] bool \(markets\)"),
        ("terminated", lambda t: t.float(), "float32 is not converted; compute it as bool"),
    ],
)
def test_a_report_that_would_be_broadcast_is_refused(name, change, said):
    market = Careless(**{name: change})
    with pytest.raises(ValueError, match="the market's clear .*" + said):
        rounds.advance(market, second_stage(market), rows(0.0, (1, 1)))


def test_money_in_float32_and_with_gradients_is_taken():
    market = Careless(rewards=lambda t: t.float().requires_grad_(), transfers=lambda t: t.float())
    _, report = rounds.advance(market, second_stage(market), rows(0.0, (1, 1)))
    _, plain = rounds.advance(RelayMarket(), second_stage(RelayMarket()), rows(0.0, (1, 1)))
    assert report.rewards.dtype == report.transfers.dtype == torch.float64 and not report.rewards.requires_grad
    assert torch.allclose(report.rewards, plain.rewards, rtol=1e-6)


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("change", [lambda t: t[0], lambda t: t[:, :1], lambda t: t[..., :1], lambda t: t.bool()])
def test_actions_of_another_shape_are_refused_and_nothing_changes(change):
    market = RelayMarket()
    now = rounds.begin(market, SEEDS)
    with pytest.raises(ValueError, match=r"advance was given actions of shape .*wanted \[3, 3, 2\] float32"):
        rounds.advance(market, now, change(rows(0.0, (1, 1))))


def test_gradients_of_actions_end_in_each_stage():
    market = RelayMarket()
    now = rounds.begin(market, SEEDS)
    for _ in range(2):
        now, report = rounds.advance(market, now, rows(0.2, (1, 1)).requires_grad_())
        assert not rounds.observe(market, now).requires_grad
    assert not report.rewards.requires_grad and not now.state.ledger.cash.requires_grad


def test_a_policy_that_keeps_its_gradients_plays_as_without():
    market, net = RelayMarket(), torch.nn.ModuleDict({"seller": torch.nn.Linear(2, 1), "buyer": torch.nn.Linear(4, 2)})

    def policy(observation, role, keys):
        assert torch.is_grad_enabled() and not observation.requires_grad
        return net[role.name](observation).tanh()

    def silent(observation, role, keys):
        return policy(observation, role, keys).detach()

    played = [list(rounds.play(market, everyone(market, part), SEEDS)) for part in (policy, silent)]
    for (seen, actions, report), (_, same, plain) in zip(*played, strict=True):
        assert not seen.requires_grad and not actions.requires_grad and torch.equal(actions, same)
        assert report is None or (torch.equal(report.rewards, plain.rewards) and not report.rewards.requires_grad)
    assert torch.is_grad_enabled()


def test_a_reward_that_is_no_number_is_refused():
    class Endless(RelayMarket):
        def clear(self, state, past):
            new, report = super().clear(state, past)
            return new, dataclasses.replace(report, rewards=report.rewards / 0)

    market = Endless()
    now = rounds.begin(market, torch.tensor([1, 2]))
    now, _ = rounds.advance(market, now, torch.zeros(2, 3, 2))
    with pytest.raises(ValueError, match=r"a reward of .* to agent \d of market 0, wanted a finite number"):
        rounds.advance(market, now, torch.zeros(2, 3, 2))
