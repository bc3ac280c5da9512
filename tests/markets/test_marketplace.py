"""The marketplace beyond its parts: several developers, every combination of parts, money, and what
is refused.
"""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import rounds, tree
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets.marketplace import MarketplaceConfig
from marketenv.markets.marketplace.config import names_of
from marketenv.markets.resource_market import Audited, Computed, Contributed
from marketenv.markets.table import make_market
from marketenv.mechanisms import DATA_RULES, matched_fees

SEEDS = torch.arange(2)
SMALL = {
    "max_cycles": 2,
    "data_options": {"max_examples": 120},
}
PURCHASE = {"points": 16, "pilots": (4, 8), "mixtures": 2, "communications": 1}
PURCHASE |= {"selection": "uniform"}  # where data are sold by a rule
# large enough that all of it is bought and worked on
BOUGHT = {"rule": "posted", "trade": None, "max_cycles": 1, "data_options": {"max_examples": 300}}
BOUGHT |= {"data_market": {"points": 40, "pilots": (10, 20), "mixtures": 4}}
ONE_STEP = Training(steps=1)


def market_of(**config):
    small = SMALL | {"data_market": PURCHASE if config.get("rule") in DATA_RULES else {}}
    if "learner" not in config:
        small |= {"learner_options": {"hidden": (4,)}}
    return make_market("marketplace_v0", **small | config)


def reports_of(market, policy="truthful", seeds=SEEDS):
    policies = dict.fromkeys(agent_names(market), market.policies[policy])
    return [report for *_, report in rounds.play(market, policies, seeds) if report is not None]


# --- several developers ---------------------------------------------------------------------------

CONTESTS = {"learner": None, "trade": None, "max_cycles": 1}


def played(market, seeds, role, changed):
    """Utilities where the role's actions are changed by a function of them."""
    now = rounds.begin(market, seeds)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    while now.playing:
        actions = rounds.act(market, policies, now)
        if role in actions:
            actions[role] = changed(actions[role].clone())
        now, report = rounds.advance(market, now, actions)
    return report.rewards


@pytest.mark.parametrize("role", ["developer", "owner", "centre"])
def test_contests_of_several_developers_separate_so_nobody_gains_by_deviating(role):
    """An owner's costs are linear in its shares, so each contest has the closed-form equilibrium of
    one leader: what anybody does in one of them is a best reply in that one alone.
    """
    market = market_of(**CONTESTS, n_developers=3, n_owners=4, n_centres=3)
    seeds, levels = torch.arange(64), torch.linspace(-1, 1, 11)
    truth = played(market, seeds, role, lambda actions: actions)
    row = market.people.rows[role].start
    gains = []
    for place in range(1 if role == "developer" else 3):  # the payment; a share, a spend in each

        def changed(actions, place=place):
            actions[:, 0, place] = levels.repeat_interleave(len(seeds))
            return actions

        lies = played(market, seeds.repeat(len(levels)), role, changed)
        gains.append(lies.unflatten(0, (len(levels), len(seeds)))[..., row] - truth[:, row])
    gains = torch.stack(gains)
    assert float(gains.max()) < 1e-6  # actions are float32
    assert float(gains.min()) < -1e-3  # and most deviations cost


def test_developers_of_one_value_share_owners_who_earn_in_every_contest():
    """Two contests of the same owners are twice one contest."""
    types = {"quality": (0.9, 0.95, 1.0), "sigma": (1.0, 1.0)}
    config = CONTESTS | {"n_owners": 3, "resource_market": {"types": types}}
    one, two = (reports_of(market_of(**config, n_developers=n))[0] for n in (1, 2))
    assert torch.allclose(two.rewards[:, 2:], 2 * one.rewards[:, 1:], atol=1e-12)
    assert torch.equal(two.rewards[:, 0], two.rewards[:, 1])


def test_a_developer_pays_from_its_own_escrow_alone():
    market = market_of(**CONTESTS, n_developers=2)
    committed = reports_of(market)[0].flows["commitment"]
    assert committed.money.shape == (2, 2, 2)  # markets, developers, rows of the escrow
    assert bool((committed.money[:, 0, 1] == 0).all() and (committed.money[:, 1, 0] == 0).all())
    assert bool((committed.money.diagonal(dim1=1, dim2=2) > 0).all())


def test_developers_see_the_same_owners_and_begin_with_models_of_their_own():
    market = market_of(n_developers=2, rule="procurement", own_data=True)
    floor = rounds.opened(market, SEEDS).floor
    owners = floor.world.parts["data_market"]
    assert owners.size.shape == (2, 4)
    params = floor.models["developer"].params
    assert params.shape[:2] == (2, 2) and not torch.equal(params[:, 0], params[:, 1])
    types = floor.types["developer"]
    assert not torch.equal(types["money_per_loss"][:, 0], types["money_per_loss"][:, 1])
    rate = torch.log(torch.tensor(10.0)).double() / 0.9  # ten digits
    assert torch.allclose(types["money_per_accuracy"], rate * types["money_per_loss"])


# --- every combination ----------------------------------------------------------------------------


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(
    rule=st.sampled_from([None, "contest", *DATA_RULES]),
    compute=st.sampled_from([None, "contest", "posted", "matched"]),
    trade=st.sampled_from([None, "nash_bargaining", "posted_price", "ipfl"]),
    own_data=st.booleans(),
    developers=st.integers(1, 3),
    owners=st.sampled_from([0, 2, 3]),
    centres=st.sampled_from([0, 2]),
    policy=st.sampled_from(["truthful", "random"]),
)
def test_money_is_conserved_and_no_escrow_keeps_any(
    rule, compute, trade, own_data, developers, owners, centres, policy
):
    parts = {"rule": rule, "compute": compute, "trade": trade, "own_data": own_data}
    counts = {"n_developers": developers, "n_owners": owners, "n_centres": centres}
    try:
        market = market_of(**parts, **counts, training=ONE_STEP)
    except ValueError as error:
        assert "nobody moves" in str(error)  # one developer alone that buys nothing
        return
    for report in reports_of(market, policy):
        assert bool((report.ledger.net.sum(1).abs() < 1e-9).all())
        assert torch.allclose(report.net, report.ledger.net, atol=1e-9)
        for name in market.people.empty:
            assert bool((report.ledger.cash[:, market.people.rows[name]] == 0).all())
        assert bool(report.rewards.isfinite().all())
        assert set(report.infos()) == set(market.facts)
        assert report.story(agent_names(market))


@pytest.mark.parametrize("quality", ["wasserstein", "heldout", "loss_drop", "shapley"])
def test_an_audit_of_every_developer_scores_owners_by_its_own_model(quality):
    market = market_of(quality=quality, max_cycles=2)
    audited = reports_of(market)[1].of(Audited)
    assert audited.scores.shape == (4, 4)  # markets x developers, owners


def test_a_batch_is_its_markets_alone():
    market = market_of(own_data=True, max_cycles=1)
    together = reports_of(market, seeds=torch.tensor([5, 9]))[0]
    for k, seed in enumerate([5, 9]):
        alone = reports_of(market, seeds=torch.tensor([seed]))[0]
        assert torch.allclose(together.rewards[k], alone.rewards[0], atol=1e-5)


def test_markets_restart_one_by_one():
    market = market_of(own_data=True)
    batch = rounds.begin(market, torch.tensor([1, 2]))

    fresh = rounds.begin(market, torch.tensor([7]))
    put = tree.put(batch, torch.tensor([1]), fresh)
    seen, alone = rounds.observe(market, put), rounds.observe(market, fresh)
    for role, value in alone.items():
        assert torch.allclose(seen[role][1], value[0], atol=1e-6)


def test_a_market_can_be_pickled_in_the_middle_of_a_round():
    market = market_of(n_developers=2)
    now = rounds.begin(market, SEEDS)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    now, _ = rounds.advance(market, now, rounds.act(market, policies, now))
    other, then = pickle.loads(pickle.dumps((market, now)))
    for role, value in rounds.observe(market, now).items():
        assert torch.equal(value, rounds.observe(other, then)[role])


# --- what is refused ------------------------------------------------------------------------------

POSTED, AUGMENTED = {"rule": "posted"}, {"augmentation": "flip"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"rule": "contset"}, "Did you mean 'contest'"),
        ({"trade": "bargaining"}, "no trade 'bargaining'"),
        ({"compute": "free"}, "no compute 'free'"),
        ({"quality": "wassertein"}, "wasserstein"),
        ({"n_developers": 0}, "n_developers is 0"),
        ({"learner": None, "rule": "shapley", "training": None}, "learner is None"),
        ({"rule": "shapley", "quality": "wasserstein"}, "wanted 'reported'"),
        ({"data_market": {"rule": "posted"}}, "pass rule=..."),
        ({"data_market": {"ponits": 3}, "rule": "posted"}, "points"),
        ({"data_market": {"n_sellers": 3}}, "pass n_owners=..."),
        ({"resource_market": {"audit": "shapley"}}, "pass quality=..."),
        ({"resource_market": {"pricing": "posted"}}, "pass compute=..."),
        ({"parameter_trading": {"n_agents": 3}}, "pass n_developers=..."),
        ({"parameter_trading": {"mechanism": "posted_price"}}, "pass trade=..."),
        ({"model_sharing": {"n_agents": 3}}, "pass n_developers=..."),
        ({"data_market": {"points": 40}}, "'points', which nobody reads with rule 'contest'"),
        ({"rule": None, "resource_market": {"lam": 0.9}}, "'lam', which nobody reads.*compute="),
        ({"trade": "ipfl", "parameter_trading": {"partners": 1}}, "pass a trade of parameters"),
        ({"trade": None, "parameter_trading": {"sabotage": 0.1}}, "'sabotage', which nobody"),
        ({"trade": None, "model_sharing": {"graph": "exact"}}, "pass trade='ipfl'"),
        ({"learner": None, "parameter_trading": {"partners": 1}}, "and a learner"),
        ({"partners": 1}, r"pass parameter_trading=\{'partners': ...\} instead"),
        ({"n_sellers": 3}, "pass n_owners=... instead"),
        (
            {"vocabulary": 1.0},
            r"data_market=\{.*\} or resource_market=\{'vocabulary': ...\} instead",
        ),
        ({"partnrs": 1}, "Did you mean 'partition'"),
        ({"money_per_loss": (5.0, float("nan"))}, "money_per_loss"),
        ({"n_developers": 1, "rule": None}, "nobody moves"),
        (POSTED | {"resource_market": {"alpha": 3.0}}, "'alpha', which nobody reads.*'posted'"),
        ({"compute": None, "resource_market": {"fees": "matched"}}, "'fees', .*compute None"),
        ({"compute": "matched", "resource_market": {"fees": "proportional"}}, "compute 'matched'"),
        ({"parameter_trading": AUGMENTED}, "'augmentation', .*own_data False"),
        ({"trade": "ipfl", "own_data": True, "parameter_trading": AUGMENTED}, "trade 'ipfl'"),
        (
            {"trade": None, "learner": None, "parameter_trading": AUGMENTED},
            "'augmentation', .*learner None",
        ),
        # of a value in a part, where it stands
        (POSTED | {"data_market": {"points": -3}}, r"^data_market\['points'\] is -3, wanted"),
        (POSTED | {"data_market": {"points": 10}}, r"^data_market\['pilots'\] are .* points 10"),
        (POSTED | {"data_market": {"estimator": "x"}}, r"^no data_market\['estimator'\] 'x'"),
        ({"resource_market": {"caps": 3}}, r"^resource_market\['caps'\] is 3"),
        (
            {"resource_market": {"types": {"quality": (1.0, 2.0)}}},
            r"^resource_market\['types'\]\['quality'\]\[1\] is 2.0",
        ),
        (
            {"learner": None, "resource_market": {"quality": (3.0, 4.0)}},
            r"^resource_market\['quality'\] is \(3.0, 4.0\), wanted an interval",
        ),
        ({"parameter_trading": {"partners": 0}}, r"^parameter_trading\['partners'\] is 0"),
        ({"parameter_trading": {"alpha": "x"}}, r"^no parameter_trading\['alpha'\] 'x'"),
        (
            {"parameter_trading": {"coalition": (4,)}},
            r"^parameter_trading\['coalition'\]\[0\] is 4",
        ),
        (
            {"parameter_trading": {"offered_layers": ((0,), (9,))}},
            r"^the model has 2 layers, and \[9\]",
        ),
        (
            {"trade": "ipfl", "model_sharing": {"joins": (3,)}},
            r"^model_sharing\['joins'\] is \(3,\)",
        ),
        ({"trade": "ipfl", "model_sharing": {"payment": 5}}, r"^model_sharing\['payment'\] is 5"),
        # what the marketplace gives a part keeps its own name
        (
            {"quality": "shapley", "resource_market": {"scale": "fixed"}},
            "^quality is 'shapley' and its scale 'fixed'",
        ),
        ({"learner_options": {"hiden": 3}}, "^no entry of learner_options 'hiden'"),
    ],
)
def test_what_cannot_be_a_marketplace_is_refused(config, words):
    with pytest.raises(ValueError, match=words):
        make_market("marketplace_v0", **config)


def test_the_quality_of_owners_is_an_argument_of_the_resource_market():
    """What a contest pays for has the same name in the marketplace."""
    market = market_of(**CONTESTS, resource_market={"quality": (0.2, 0.3)})
    quality = rounds.opened(market, SEEDS).floor.types["owner"]["quality"]
    assert 0.2 < float(quality.min()) < float(quality.max()) < 0.3


def test_where_no_centres_are_left_no_fees_are_paid_whatever_their_rule():
    """One configuration serves from zero centres up, and owners bear the cost of their work."""
    fees = {"resource_market": {"fees": "matched"}}
    none, matched = (reports_of(market_of(**CONTESTS, n_centres=0, **c))[0] for c in ({}, fees))
    assert torch.equal(none.rewards, matched.rewards)


COUNTING = [  # choices, an argument of a part, another value, whether it counts
    (CONTESTS, "resource_market", "alpha", 3.0, True),
    (CONTESTS, "resource_market", "sigma", (0.3, 0.4), True),
    (CONTESTS | {"compute": None}, "resource_market", "lam", 0.5, True),
    (CONTESTS | {"compute": None}, "resource_market", "eps", 0.5, False),
    (CONTESTS | {"compute": None}, "resource_market", "rank", True, False),
    (POSTED | {"trade": None}, "resource_market", "lam", 0.5, True),
    (POSTED | {"trade": None}, "resource_market", "sigma", (0.3, 0.4), True),
    (POSTED | {"trade": None}, "resource_market", "caps", 0.3, False),
    (POSTED | {"trade": None}, "resource_market", "k", 0.9, False),
    ({"rule": None}, "parameter_trading", "sabotage", 2.0, True),
    ({"rule": None, "trade": "ipfl", "learner": None}, "model_sharing", "costs", (5.0, 6.0), True),
]


@pytest.mark.parametrize(("choices", "part", "name", "value", "counts"), COUNTING)
def test_an_argument_is_taken_where_it_changes_a_round_and_refused_where_not(
    monkeypatch, choices, part, name, value, counts
):
    def rewards(**parts):
        market = market_of(**choices | {"max_cycles": 1} | parts)
        plays = [reports_of(market, policy) for policy in ("truthful", "random")]
        return torch.stack([report.rewards for (report,) in plays])

    own = {"data_market": PURCHASE} if choices.get("rule") == "posted" else {}
    given = own | {part: own.get(part, {}) | {name: value}}
    if not counts:
        with pytest.raises(ValueError, match=f"{part} has '{name}', which nobody reads"):
            market_of(**choices | given)
        monkeypatch.setattr(MarketplaceConfig, "_read_of", lambda self, part: names_of(part))
    assert torch.equal(rewards(**given), rewards(**own)) is not counts


def test_owners_sell_data_where_nobody_sells_work_and_bear_its_cost():
    """Idle centres stand in for those that do the work, so contributions are the same; what owners
    paid as fees is a cost of their own.
    """
    types = {"types": {"quality": (0.9, 0.95, 1.0)}}
    config = CONTESTS | {"n_owners": 3, "resource_market": types}
    home, away = (reports_of(market_of(**config, compute=c))[0] for c in (None, "contest"))
    assert torch.equal(home.of(Contributed).x, away.of(Contributed).x)
    assert float(home.of(Contributed).x.sum()) > 0
    owners = slice(2, 5)
    assert torch.allclose(home.rewards[:, :5], away.rewards[:, :5], atol=1e-12)
    own_work = -home.terms["own_work"]["owner"]
    assert torch.allclose(own_work, away.paid[:, owners], atol=1e-12)


# --- what lies between the copies -----------------------------------------------------------------


def test_an_owner_that_deals_with_two_developers_spends_no_more_than_it_has():
    market = market_of(**CONTESTS, n_developers=2, cash=0.1)
    (report,) = reports_of(market, "random", torch.arange(16))
    paid = report.paid[:, market.people.rows["owner"]]
    assert float(paid.max()) <= 0.1 and float(paid.mean()) > 0.05  # most would spend more


def test_payments_between_agents_of_all_copies_are_added_up():
    inside = market_of(**CONTESTS, n_developers=2, n_owners=2).phases[0].inside
    money = torch.arange(8.0).double().view(4, 2, 1)  # 2 markets x 2 copies, owners, one centre
    assert inside.money("owner", "centre", money)[:, :, 0].tolist() == [[2.0, 4.0], [10.0, 12.0]]


def test_every_copy_draws_numbers_of_its_own():
    market = market_of(**CONTESTS, n_developers=3)
    floor = rounds.opened(market, SEEDS).floor
    seeds = market.phases[0].inside.inner(floor).seeds
    assert len(seeds.unique()) == 6 and torch.equal(seeds[::3], SEEDS)


def test_centres_bear_the_cost_of_work_on_data_that_are_sold():
    market = market_of(**BOUGHT)
    (report,) = reports_of(market)
    centres = market.people.rows["centre"]
    cost = report.of(Computed).cost.unflatten(0, (2, 2)).sum(1)  # of both developers' copies
    assert float(cost.min()) > 0
    assert torch.allclose(report.terms["work"]["centre"], -cost)
    assert torch.allclose(report.rewards[:, centres], report.received[:, centres] - cost)


def half_to_the_matched(charges, work, matching):
    """Half of what an owner owes goes to its centre, and half comes back."""
    return matched_fees(charges, work, matching) / 2


def test_a_fee_rule_of_ones_own_divides_what_owners_owe_for_data_that_are_sold():
    market = market_of(**BOUGHT, resource_market={"fees": half_to_the_matched})
    flows = reports_of(market)[0].flows
    charge, fee = (flows[name].money.sum((1, 2)) for name in ("charge", "fee"))
    assert float(charge.min()) > 0
    assert torch.allclose(fee, charge / 2)
    assert torch.allclose(flows["fee_back"].money.sum((1, 2)), charge / 2)


# --- words ----------------------------------------------------------------------------------------


def told(**config):
    """All rounds in words, one line below the other."""
    market = market_of(**config)
    reports = reports_of(market, seeds=torch.tensor([5]))
    return "\n".join(line for one in reports for line in one.story(agent_names(market)))


def test_the_worth_of_contributions_is_told_where_it_is_the_developers_utility():
    """Where models are trained, the fall of its loss is."""
    assert "The contributions are worth" in told(learner=None, trade=None)
    assert "The contributions are worth" not in told(trade=None)


def test_a_training_is_told_of_developers_that_have_data_to_train_on():
    assert "developer_0 trains at effort 1.00" in told(own_data=True)
    assert "trains at effort" not in told()
    assert "trains at effort" not in told(learner=None, trade="ipfl")
