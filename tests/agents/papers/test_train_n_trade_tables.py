"""The experiments of tables 1 and 2: when agents enter the market, signs, and missing data."""

import dataclasses

import pytest
import torch

from agents.papers import AS_STATED, EFFORTS, measure
from agents.papers.train_n_trade import accuracy
from agents.papers.train_n_trade.images import local
from agents.papers.train_n_trade.methods import METHODS, Ending, played
from agents.papers.train_n_trade.settings import DIGITS, digits
from marketenv.markets.parameter_trading import Scored, Traded
from marketenv.markets.training import Trained

TINY = dataclasses.replace(EFFORTS["quick"], name="tiny", seeds=2, digits=2)


def test_mnist_waits_for_its_folder_and_the_full_effort(monkeypatch):
    monkeypatch.delenv("MARKETENV_DATA", raising=False)
    assert local("mnist") is None
    evidence = measure("train_n_trade/table_1_order_mnist", AS_STATED, "quick")
    assert "MARKETENV_DATA" in evidence["untested"] and not evidence["samples"]


def test_differences_of_methods_have_their_sign(monkeypatch):
    """Planted: 30 % right by trading, 20 % without: 10 points more."""

    def planted(options, method, seeds):
        share = torch.full((len(seeds), 2), 0.3 if METHODS[method].trades else 0.2).double()
        return Ending(share, share, [])

    monkeypatch.setattr(accuracy, "played", planted)
    monkeypatch.setattr(accuracy, "_losses", lambda *_: {})
    pairs = (("out_of_market", "aligned"),)
    (points,) = accuracy.compared(pairs, False, "digits", DIGITS, TINY).samples.values()
    assert points == pytest.approx([10.0] * 2)


def test_agents_join_the_market_after_a_twelfth_of_the_rounds():
    """Of 12 rounds the first is played outside: no trade, and no averaging, which gives
    everybody another model than its own.
    """
    options = digits(DIGITS, dataclasses.replace(TINY, digits=12))
    aligned, averaged = (
        played(options, method, torch.arange(2)).reports for method in ("aligned", "fedavg")
    )
    trades = [report.of(Traded).trades.any() for report in aligned]
    assert not trades[0] and trades[1]
    own = [torch.equal(report.of(Scored).loss, report.of(Trained).loss) for report in averaged]
    assert own[0] and not any(own[1:])
