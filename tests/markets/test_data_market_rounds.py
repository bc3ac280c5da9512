"""A round of the data market by hand: who moves when, quotas, prices, settlement, reputations."""

import pytest
import torch
from data_market_cases import LOUD, market_of, one_round, parts, played

from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.markets.data_market import Select
from marketenv.mechanisms import DataRule, Sales

AUDITED = LOUD | {"verify": 1.0}
BAIT = {"bait": 1.0}


def money_of(report):
    """Every payment of the first market by name, summed over payers: one number a payee."""
    return {name: flow.money[0].sum(0).tolist() for name, flow in report.flows.items()}


def quarter(promised, realised):
    """A quarter of what waits is released, whatever was realised."""
    return torch.full_like(realised, 0.25)


def test_sellers_move_first_and_the_buyer_after_the_pilots():
    market = market_of()
    assert agent_names(market) == ("seller_0", "seller_1", "seller_2", "buyer_0")
    assert [stage.movers for stage in market.stages] == [("seller",), ("buyer",)]
    assert [phase.name for phase in market.phases] == [
        "offer",
        "pilot",
        "select",
        "train_selected",
        "deliver",
    ]


def test_a_settlement_by_hand():
    """The buyer offers half of 500; a fee of 1/4 on top leaves 200 for 16 points, so 12.5 a point.

    Of 16 points in three equal parts the first seller gets the one that is left over: 6, 5, 5.
    Prices are 75, 62.5, 62.5. Of these 60 % are paid at once, of the rest a quarter where anything
    was promised. The fee is a quarter of what is paid.
    """
    market = market_of(rule="posted", fee=0.25, release=quarter)
    start = rounds.begin(market, torch.tensor([4]))
    now, report = played(market, start, buyer=LOUD | {"budget": 0.5, "hold_back": 0.4})
    offered, _, selected, trained, delivered = parts(report)
    assert selected.points.tolist() == [[6, 5, 5]] and selected.budget.tolist() == pytest.approx(
        [200.0], rel=1e-6
    )
    assert selected.prices[0, 0].tolist() == pytest.approx([75.0, 62.5, 62.5], rel=1e-6)
    # or all that waits would be released
    assert float(selected.predicted) > float(start.floor.world.baseline)
    paid = [0.7 * 75.0, 0.7 * 62.5, 0.7 * 62.5]  # .6 + .4 / 4
    found = money_of(report)
    assert list(found) == ["held", "price", "released", "fee", "returned"]
    assert found["held"] == pytest.approx([250.0], rel=1e-6)
    assert found["price"] == pytest.approx([45.0, 37.5, 37.5], rel=1e-6)
    assert found["released"] == pytest.approx([7.5, 6.25, 6.25], rel=1e-6)
    assert found["fee"] == pytest.approx([35.0], rel=1e-6) and found["returned"] == pytest.approx(
        [75.0], rel=1e-6
    )
    cash = report.ledger.cash[0].tolist()
    assert cash[:4] == pytest.approx([*(500 + money for money in paid), 500 - 175], rel=1e-6)
    assert cash[4] == 0.0 and cash[5] == pytest.approx(35.0, rel=1e-6)  # held, platform
    types = now.floor.types["seller"]
    assert types["last_paid"][0].tolist() == pytest.approx(paid, rel=1e-6)
    assert offered.ask[0].tolist() == pytest.approx(types["cost"][0].tolist(), rel=1e-6)  # truth
    assert not delivered.caught.any() and trained.realised.shape == (1,)


def test_a_reward_is_net_money_and_named_terms():
    """Seller: money less cost per different row; buyer: what accuracy beyond the baseline is
    worth, audits, money.
    """
    market = market_of(rule="posted", audit_cost=2.0)
    before = rounds.begin(market, torch.tensor([0, 1]))
    _, report = played(market, before, {2: BAIT}, AUDITED | {"budget": 0.2})
    _, _, selected, trained, _ = parts(report)
    types, gain = before.floor.types, trained.realised - before.floor.world.baseline
    assert set(report.terms) == {"value", "audits", "cost"}
    rows = torch.tensor([6.0, 5.0, 0.0]).double()  # noise costs its seller nothing
    assert torch.allclose(report.terms["cost"]["seller"], -types["seller"]["cost"] * rows)
    # three audits
    assert torch.equal(report.terms["audits"]["buyer"], torch.full((2, 1), -6.0).double())
    worth = types["buyer"]["money_per_accuracy"] * gain[:, None]
    wanted = (
        torch.cat([report.terms["cost"]["seller"], worth - 6.0], 1) + report.received - report.paid
    )
    assert torch.allclose(report.rewards, wanted)
    assert bool((selected.points > 0).all())


def test_quotas_follow_the_mixture_and_end_at_what_is_declared():
    """5/8 and 3/8 of 16 points are 10 and 6; who declares few rows sells no more, and nobody
    fills the gap.
    """
    market = market_of(rule="posted")
    buyer = {"budget": 1.0, "mixture": torch.tensor([[1.0, 0.6, 0.0]]).double()}
    assert parts(one_round(market, buyer=buyer))[2].points.tolist() == [[10, 6, 0]]
    size = int(rounds.begin(market, torch.tensor([0])).floor.world.size[0, 0])
    few = {0: {"declared": 4 / size}}  # four points; it has hundreds of rows
    assert size > 100
    assert parts(one_round(market, few, buyer))[2].points.tolist() == [[4, 6, 0]]


def test_who_is_paid_less_than_its_reserve_does_not_sell():
    """200 for 16 points are 12.5 a point: a reserve of 1.26 times a cost of 10 is above that,
    one of 1.24 is below.
    """
    market = market_of(rule="posted", cost_per_point=(10.0, 10.0))
    buyer = LOUD | {"budget": 0.4}
    dear, fair = ({1: {"reserve": price}} for price in (1.26, 1.24))
    assert parts(one_round(market, dear, buyer))[2].points.tolist() == [[6, 0, 5]]
    assert parts(one_round(market, fair, buyer))[2].points.tolist() == [[6, 5, 5]]
    report = one_round(market, dear, buyer)
    assert report.flows["price"].received[0].tolist() == pytest.approx([75.0, 0.0, 62.5], rel=1e-6)
    # what is not bought is not held
    assert report.flows["held"].money.item() == pytest.approx(137.5, rel=1e-6)


def test_a_caught_seller_is_paid_nothing_and_its_name_suffers():
    """memory .5: 1 becomes (1 + kept) / 2 for who delivered, 1/2 for who is caught, and stays
    for who sold nothing.
    """
    market = market_of(rule="posted")
    buyer = AUDITED | {"mixture": torch.tensor([[1.0, 1.0, 0.0]]).double()}
    report = one_round(market, {0: BAIT, 2: BAIT}, buyer)
    delivered = parts(report)[4]
    assert delivered.caught.tolist() == [[True, False, False]]  # seller_2 sold nothing
    received, kept = report.flows["price"].received[0], float(delivered.kept)
    assert received[0] == 0 and received[1] > 0 and received[2] == 0
    assert delivered.reputation[0].tolist() == [0.5, 0.5 + 0.5 * kept, 1.0, 0.0]


def test_reputations_and_cash_are_carried_over_and_types_stay():
    market = market_of(rule="posted", memory=0.25)
    now = rounds.begin(market, torch.tensor([0]))
    seen = []
    for _ in range(2):
        after, report = played(market, now, {0: BAIT}, AUDITED | {"budget": 0.1})
        seen.append(float(parts(report)[4].reputation[0, 0]))
        assert torch.equal(after.floor.types["seller"]["cost"], now.floor.types["seller"]["cost"])
        now = after if float(after.floor.round) == market.horizon else rounds.begun(market, after)
        assert torch.equal(now.floor.ledger.cash, report.ledger.cash)
    assert seen == [0.75, 0.75 * 0.75]


@pytest.mark.parametrize("release", ["proportional", "all_or_nothing"])
def test_what_is_held_back_is_released_for_what_is_realised(release):
    """Held back wholly: everything paid is the released part of the promise, and all of it
    where nothing was promised.
    """
    market = market_of(rule="posted", release=release)
    start = rounds.begin(market, torch.arange(6))
    report = played(market, start, buyer=LOUD | {"hold_back": 1.0})[1]
    _, _, selected, trained, _ = parts(report)
    baseline = start.floor.world.baseline
    promised, realised = selected.predicted - baseline, trained.realised - baseline
    part = (
        (realised / promised).clamp(0, 1)
        if release == "proportional"
        else (realised >= 0.9 * promised).double()
    )
    part = torch.where(promised > 0, part, 1.0)
    assert 0 < int((part < 1).sum()) < 6 and not report.flows["price"].money.any()
    assert torch.allclose(report.flows["released"].received, part[:, None] * selected.prices[:, 0])


def test_without_a_purchase_nothing_moves_and_the_baseline_is_all():
    """The accuracy is that of always saying the commonest class, so that nothing was promised
    and nothing is lost.
    """
    report = one_round(market_of(), buyer={"budget": 0.0})
    _, _, selected, trained, delivered = parts(report)
    assert not selected.points.any() and not report.transfers.any() and not report.rewards.any()
    assert float(delivered.kept) == 1.0 and float(trained.realised) == float(selected.predicted)


def test_a_market_whose_buyer_wants_nobody_buys_of_nobody():
    assert not parts(one_round(market_of(rule="posted"), buyer={"budget": 1.0, "mixture": 0.0}))[
        2
    ].points.any()


def test_a_chance_of_an_audit_is_a_chance_for_each_delivery():
    """.3 of 2 x 150 deliveries are audited: 90 with a deviation of 8; nobody is audited who
    sold nothing.
    """
    market = market_of(rule="posted", pilots=(1, 2), points=2)
    buyer = LOUD | {"verify": 0.3, "mixture": torch.tensor([[1.0, 1.0, 0.0]]).double()}
    audited = parts(one_round(market, buyer=buyer, seeds=range(150)))[2].audited
    assert not audited[:, 2].any() and abs(int(audited.sum()) - 90) < 4 * 7.9
    both = audited[:, 0] & audited[:, 1]  # .09 of 150 are 13.5, with a deviation of 3.5
    assert abs(int(both.sum()) - 13.5) < 4 * 3.5


def test_a_rule_of_ones_own_is_told_what_it_asks_for():
    told = {}

    def pay(asks, values, budget):
        told.update(asks=asks, values=values, budget=budget)
        return Sales(asks[:, None] < torch.inf, asks[:, None].clamp(max=1e9))

    rule = DataRule("points", pay, "Not truthful in the ask, which is paid.")
    market = market_of(rule=rule)
    before = rounds.begin(market, torch.tensor([0]))
    _, report = played(market, before)
    cost = before.floor.types["seller"]["cost"][0]
    points = torch.tensor([6.0, 5.0, 5.0]).double()
    assert torch.allclose(told["asks"][0], cost * points) and float(
        told["budget"]
    ) == pytest.approx(500.0)
    # the budget spread over 16
    assert told["values"][0].tolist() == pytest.approx((points * 500 / 16).tolist(), rel=1e-6)
    assert torch.allclose(report.flows["price"].received[0], cost * points)


def test_a_round_is_told_in_words():
    market = market_of(rule="posted")
    report = one_round(market, {0: BAIT, 1: {"permute": "always"}}, AUDITED)
    told = "\n".join(
        line for outcome in report.outcomes.values() for line in outcome.story(agent_names(market))
    )
    assert "bait 1.00" in told and "classes renamed: always" in told and "seller_2 offers" in told
    assert (
        "The audit catches seller_0: it is paid nothing." in told
        and "seller_1 sells 5 points for" in told
    )


@pytest.mark.parametrize(("mixture", "times"), [(None, 1), ([[1.0, 0.2, 0.0]], 2)])
def test_values_of_the_recommended_purchase_are_computed_once(mixture, times, monkeypatch):
    """They are the quote's; those of another purchase are computed for it."""
    calls, compute = [], Select._values

    def counted(self, floor, accuracy, points):
        calls.append(compute(self, floor, accuracy, points))
        return calls[-1]

    monkeypatch.setattr(Select, "_values", counted)
    market = market_of(rule="shapley")
    now = rounds.begin(market, torch.tensor([0, 1]))
    worth = now.floor.types["buyer"]["money_per_accuracy"]
    other = {} if mixture is None else {"mixture": torch.tensor(mixture).double()}
    _, report = played(market, now, buyer={"budget": 0.5, **other})
    assert len(calls) == times and torch.equal(parts(report)[2].values, calls[-1] * worth)
    assert times == 1 or not torch.equal(*calls)
