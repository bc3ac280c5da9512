"""Purchases that merge to a model that overflows: no trade, no money, a reason, and everything
stays finite.
"""

import dataclasses

import pytest
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets.parameter_trading import Scored, Traded
from marketenv.markets.parameter_trading.exchanges import EXCHANGES
from marketenv.markets.training import Trained

HUGE = Training(optimizer="adam", learning_rate=1e19, batch_size=32, steps=1)
PLAIN = Training(optimizer="sgd", learning_rate=0.1, batch_size=16, steps=3)


def situations(seeds, **config):
    """Each round's trade as it was quoted, its end, and its report, all truthful."""
    market = make_market(
        "parameter_trading_v0",
        **({"max_cycles": 4, "learner_options": {"hidden": (8, 8)}} | config),
    )
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    now, found = rounds.begin(market, torch.as_tensor(seeds)), []
    for _ in range(market.horizon):
        after, report = rounds.play_stage(market, now, rounds.act(market, policies, now))
        found.append((now, after, report))
        now = rounds.begun(market, after)
    return found


def models(now):
    return now.floor.models["trader"]


def finite(report, after):
    told = (
        report.rewards,
        report.transfers,
        report.ledger.cash,
        models(after).params,
        *report.infos().values(),
    )
    return all(bool(tensor.isfinite().all()) for tensor in told)


def test_an_average_whose_loss_overflows_is_no_trade_and_rewards_stay_finite():
    # one step of Adam at 1e19 through three layers: each model's loss is below float32's 3.4e38,
    # their average's is not
    found = situations([19], exchange="fedavg", training=HUGE)
    assert all(finite(report, after) for _, after, report in found)
    before, after, report = found[0]
    kept = report.of(Traded).reason == 8
    assert kept.any() and not report.transfers.any()
    # its own model as it was trained
    assert torch.equal(models(after).params[kept], before.quotes.trained[kept])
    assert torch.equal(report.of(Scored).loss[kept], report.of(Trained).loss[kept])
    assert torch.equal(report.of(Scored).accuracy[kept], report.of(Trained).accuracy[kept])


def overflowing(buyer, value):
    """The broker's exchange, in which one buyer's purchases merge to a model of this value."""

    def exchange(quotes, messages, inputs):
        settlement = EXCHANGES["trade"](quotes, messages, inputs)
        params = settlement.params.clone()
        params[:, buyer] = value
        return dataclasses.replace(settlement, params=params)

    return exchange


@pytest.mark.parametrize(
    "value", [torch.inf, torch.nan, 1e30], ids=["inf", "nan", "finite, but not its loss"]
)
@pytest.mark.parametrize("max_purchases", [1, 3])
def test_a_purchase_that_overflows_does_not_take_place_and_the_others_do(value, max_purchases):
    config = {"training": PLAIN, "max_purchases": max_purchases}
    (before, after, report), *_ = situations(range(3), exchange=overflowing(0, value), **config)
    (_, plain_after, plain), *_ = situations(range(3), **config)
    broken, sound = report.of(Traded), plain.of(Traded)
    assert sound.trades[:, 0].any() and sound.trades[:, 1:].any()
    assert (
        broken.reason[:, 0].eq(8).all()
        and not broken.trades[:, 0].any()
        and not report.transfers[:, 0].any()
    )
    assert torch.equal(
        report.ledger.cash[:, 0] - report.received[:, 0], before.floor.cash("trader")[:, 0]
    )
    assert torch.equal(models(after).params[:, 0], before.quotes.trained[:, 0])
    # the other buyers pay and get what they would, and money is conserved
    assert torch.equal(report.transfers[:, 1:], plain.transfers[:, 1:]) and torch.equal(
        broken.reason[:, 1:], sound.reason[:, 1:]
    )
    assert torch.equal(models(after).params[:, 1:], models(plain_after).params[:, 1:])
    assert torch.allclose(report.ledger.cash.sum(1), before.floor.cash("trader").sum(1)) and finite(
        report, after
    )
