"""Models that overflow when they are merged: no purchase, no money, a reason, and everything stays finite."""

import dataclasses

import pytest
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets.exchanges import EXCHANGES
from marketenv.markets.sharing_schemes import SCHEMES, Scheme

HUGE = Training(optimizer="adam", learning_rate=1e19, batch_size=32, steps=1)
LEARNER = {"learner_options": {"hidden": (8, 8)}}
PLAIN = Training(optimizer="sgd", learning_rate=0.1, batch_size=16, steps=3)


def situations(name, seeds, **config):
    """Each round's start, end and report, all truthful."""
    market = make_market(name, **({"max_cycles": 4} | LEARNER | config))
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    now, found = rounds.begin(market, torch.as_tensor(seeds)), []
    while now.quotes is not None:
        after, report = rounds.advance(market, now, rounds.act(market, policies, now))
        found.append((now, after, report))
        now = after
    return found


def finite(report, after):
    told = (report.rewards, report.loss, report.transfers, report.cash, after.state.params, *report.infos().values())
    return all(bool(tensor.isfinite().all()) for tensor in told)


# --- the parameter market -----------------------------------------------------------------------------------------------------


def test_an_average_whose_loss_overflows_is_no_trade_and_rewards_stay_finite():
    # one step of Adam at 1e19 through three layers: each model's loss is below float32's 3.4e38, their average's is not
    found = situations("parameter_trading_v0", [19], exchange="fedavg", training=HUGE)
    assert all(finite(report, after) for _, after, report in found)
    assert (found[0][2].reason == 8).any() and not found[0][2].transfers.any()
    before, after, report = found[0]
    kept = report.reason == 8
    assert torch.equal(after.state.params[kept], before.quotes.trained[kept])  # its own model as it was trained
    assert torch.equal(report.loss[kept], before.quotes.loss[kept])
    assert torch.equal(report.accuracy[kept], before.quotes.accuracy[kept])


def overflowing(buyer, value):
    """The broker's exchange, in which one buyer's purchases merge to a model of this value."""

    def exchange(state, quotes, reports, terms):
        done = EXCHANGES["trade"](state, quotes, reports, terms)
        params = done.params.clone()
        params[:, buyer] = value
        return dataclasses.replace(done, params=params)

    return exchange


@pytest.mark.parametrize("value", [torch.inf, torch.nan, 1e30], ids=["inf", "nan", "finite, but not its loss"])
@pytest.mark.parametrize("max_purchases", [1, 3])
def test_a_purchase_that_overflows_does_not_take_place_and_the_others_do(value, max_purchases):
    config = {"training": PLAIN, "max_purchases": max_purchases}
    (before, after, report), *_ = situations("parameter_trading_v0", range(3), exchange=overflowing(0, value), **config)
    (_, plain_after, plain), *_ = situations("parameter_trading_v0", range(3), **config)
    assert plain.trades[:, 0].any() and plain.trades[:, 1:].any()
    assert report.reason[:, 0].eq(8).all() and not report.trades[:, 0].any() and not report.transfers[:, 0].any()
    assert torch.equal(report.cash[:, 0] - report.received[:, 0], before.state.ledger.cash[:, 0])
    assert torch.equal(after.state.params[:, 0], before.quotes.trained[:, 0])
    # the other buyers pay and get what they would, and money is conserved
    assert torch.equal(report.transfers[:, 1:], plain.transfers[:, 1:]) and torch.equal(report.reason[:, 1:], plain.reason[:, 1:])
    assert torch.equal(after.state.params[:, 1:], plain_after.state.params[:, 1:])
    assert torch.allclose(report.cash.sum(1), before.state.ledger.cash.sum(1)) and finite(report, after)


# --- the model-sharing market ---------------------------------------------------------------------------------------------------


def sharing(**config):
    return situations("model_sharing_v0", range(3), **({"n_agents": 4, "costs": (0.2, 0.3), "training": PLAIN} | config))


def spoiled(name, part, value, client=0):
    """A scheme of the table that would send one client this in the first round."""
    scheme = SCHEMES[name]

    def settle(given):
        done = scheme.settle(given)
        return dataclasses.replace(done, **{part: getattr(done, part).index_fill(1, torch.tensor([client]), value)})

    return Scheme(settle, scheme.second, scheme.money)


@pytest.mark.parametrize(
    ("name", "part", "value"),
    [
        *(
            (name, part, torch.inf)
            for name in ("ipfl", "fedavg", "fedprox", "pfedgraph", "ditto")
            for part in ("params", "centre")
        ),
        ("ditto", "second", torch.nan),
        ("fedavg", "params", 1e30),  # finite, but its loss overflows
        ("ditto", "second", 1e30),
    ],
)
def test_who_would_get_a_broken_model_gets_none_and_pays_nothing(name, part, value):
    found = sharing(scheme=spoiled(name, part, value))
    plain = sharing(scheme=name)
    (before, after, report), (_, plain_after, same) = found[0], plain[0]
    assert same.trades[:, 0].any() and report.reason[:, 0].eq(9).all()
    assert not report.trades[:, 0].any() and not report.transfers[:, 0].any() and not report.gain[:, 0].any()
    assert torch.equal(after.state.params[:, 0], before.quotes.trained[:, 0]) and not after.state.pull[:, 0].any()
    assert torch.equal(report.transfers[:, 1:], same.transfers[:, 1:]) and torch.equal(report.reason[:, 1:], same.reason[:, 1:])
    assert torch.equal(after.state.params[:, 1:], plain_after.state.params[:, 1:])
    for _, end, told in found:
        state = end.state
        assert finite(told, end) and state.centre.isfinite().all() and state.second.isfinite().all()
        assert torch.allclose(told.cash.sum(1), torch.zeros(3).double(), atol=1e-9)


def test_a_prox_centre_that_overflows_is_no_purchase():
    # eta = 1e39 is beyond float32's 3.4e38: every centre that pulls anywhere is inf, at a pull of 1 / 1e39
    for before, after, report in sharing(eta=1e39):
        assert not report.trades.any() and not report.transfers.any() and finite(report, after)
        assert torch.equal(after.state.centre, before.quotes.trained) and not after.state.pull.any()
    assert (report.reason == 9).any()
