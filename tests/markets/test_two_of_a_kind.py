"""Chains that hold a phase twice: each draws, books and tells under a name of its own."""

import torch

from marketenv import make_market
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import Market, People, agent_names
from marketenv.markets.parameter_trading import Score, Trade
from marketenv.markets.reference import Auction, Auctioned, ReferenceConfig
from marketenv.markets.training import Train, Trained

SEEDS = torch.arange(4)
LINEAR = {
    "data": "linear",
    "learner": "linear",
    "partition": "balanced",
    "data_options": {"dimension": 8},
}


def two_auctions():
    """A morning and an evening of one day: the same buyers bid twice."""
    config = ReferenceConfig(game="first_price")
    people = People(
        roles={"buyer": 2, "seller": 0}, accounts={"operator": 1}, operators=("operator",)
    )
    return Market(people, (Auction(config), Auction(config, name="evening")), horizon=2, name="day")


def two_trades():
    """Parameters are traded and scored, and then traded and scored again."""
    market = make_market(
        "parameter_trading_v0", n_agents=3, max_cycles=2, externality=0.1, **LINEAR
    )
    train, trade, score = market.phases
    again = Trade(
        trade.role,
        trade.config,
        trade.learner,
        trade.scales,
        alignment=trade.broker.alignment,
        weights=trade.broker.weights,
        valuation=trade.broker.valuation,
        mechanism=trade.mechanism,
        exchange=trade.exchange,
        device=market.device,
        name="resale",
    )
    return Market(
        market.people,
        (train, trade, score, again, Score("trader", name="last")),
        horizon=2,
        name="twice",
    )


def a_round(market, policy="truthful", seeds=SEEDS):
    policies, now, report = (
        dict.fromkeys(agent_names(market), market.policies[policy]),
        rounds.begin(market, seeds),
        None,
    )
    while report is None:
        now, report = rounds.advance(market, now, rounds.act(market, policies, now))
    return now, report


def test_two_auctions_draw_sell_and_are_paid_apart():
    market = two_auctions()
    assert market.facts == ("utility", "paid", "received", "cash", "traded", "traded of evening")
    now, report = a_round(market)
    morning, evening = report.outcomes["auction"], report.outcomes["evening"]
    assert report.of(Auctioned) is evening
    assert not (morning.types[:, :2] == evening.types[:, :2]).any()  # 8 values of 2 ** 52 each
    # truth in a first-price auction: the higher value
    sold = [auction.offers[:, :2].amax(1) for auction in (morning, evening)]
    prices = [report.flows[name].money.sum((1, 2)) for name in ("price", "price of evening")]
    assert all(torch.equal(price, most) for price, most in zip(prices, sold, strict=True))
    # each remembers its own last price
    assert [own.tolist() for own in now.owns.values()] == [most.tolist() for most in sold]
    worth = sum(report.terms[name]["buyer"] for name in ("value", "value of evening"))
    assert torch.allclose(report.rewards, worth - report.paid, rtol=0, atol=1e-12)
    assert torch.equal(report.infos()["traded of evening"], evening.traded) and torch.equal(
        report.infos()["traded"], morning.traded
    )


def test_the_first_of_two_draws_what_it_draws_alone():
    _, alone = a_round(make_market("reference_v0", game="first_price", max_cycles=2))
    _, report = a_round(two_auctions())
    assert torch.equal(report.outcomes["auction"].types, alone.of(Auctioned).types)


def test_two_trades_and_two_scores_name_their_money_their_values_and_their_facts():
    market = two_trades()
    assert [stage.name for stage in market.stages] == ["trade", "resale"]
    now, report = a_round(market)
    assert set(report.flows) == {"purchases", "purchases of resale"}
    assert set(report.terms) == {"effort", "harm", "value", "harm of resale", "value of last"}
    done, infos = report.outcomes, report.infos()
    assert infos.keys() == set(market.facts) and len(market.facts) == 4 + 1 + 2 * (3 + 3)
    for fact in ("bought", "sold", "reason"):
        assert torch.equal(infos[fact], getattr(done["trade"], fact))
        assert torch.equal(infos[f"{fact} of resale"], getattr(done["resale"], fact))
    before, middle, after = report.outcomes["train"].loss, done["score"].loss, done["last"].loss
    # nobody buys what makes it worse
    assert bool((middle <= before + 1e-6).all()) and bool((after <= middle + 1e-6).all())
    worth = now.floor.types["trader"]["money_per_loss"]
    assert torch.allclose(
        done["last"].value, worth * (middle.double() - after.double()), rtol=0, atol=1e-12
    )
    assert now.owns["trade"].last_paid.tolist() == report.flows["purchases"].paid.tolist()
    assert (
        now.owns["resale"].last_paid.tolist() == report.flows["purchases of resale"].paid.tolist()
    )
    assert market.phases[1].purpose("align") == ("align",) and market.phases[3].purpose(
        "align"
    ) == ("align", "resale")


def test_a_chain_of_two_trades_is_saved_between_them_and_goes_on_to_the_bit(tmp_path):
    one, two = Batch(two_trades(), 3), Batch(two_trades(), 3)
    policies = dict.fromkeys(agent_names(one.market), one.market.policies["random"])
    one.reset(0)
    one.step(one.act(policies))
    one.save(tmp_path / "state")
    two.load(tmp_path / "state")
    for _ in range(3):
        turns = [batch.step(batch.act(policies), restart=True) for batch in (one, two)]
        assert torch.equal(turns[0].rewards, turns[1].rewards)
    held, wanted = tree.leaves(two.now), tree.leaves(one.now)
    assert held.keys() == wanted.keys() and all(
        torch.equal(held[name], wanted[name]) for name in wanted
    )


class Other(Train):
    """The training of the others, which comes after that of the traders."""

    def act(self, floor, own, quotes, actions):
        floor, own, outcome = super().act(floor, own, quotes, actions)
        return (
            floor,
            own,
            Trained("other", outcome.effort, ~outcome.diverged, outcome.loss, outcome.accuracy),
        )


def test_a_trade_reads_the_training_of_its_own_role():
    """Where all others diverged last, the traders' models are for sale nevertheless."""
    market = two_trades()
    train, *rest = market.phases
    chain = Market(
        market.people,
        (train, Other("trader", None, name="others"), *rest),
        horizon=2,
        name="others",
    )
    (_, report), (_, alone) = a_round(chain), a_round(market)
    assert report.of(Trained).diverged.all() and alone.outcomes["trade"].trades.any()
    assert torch.equal(report.outcomes["trade"].trades, alone.outcomes["trade"].trades)
