"""Money and broken models in model sharing: purses, credit, trainings that diverge, models that
overflow.
"""

import dataclasses
import math
from typing import Any

import pytest
import torch
from sharing_market import (
    LEGAL,
    THREE,
    episode,
    market_of,
    models_of,
    one_round,
    told,
    trained_market,
    truth,
    with_models,
)

from marketenv.core import rounds
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names
from marketenv.learners import Training
from marketenv.markets import training
from marketenv.markets.model_sharing import Shared
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.markets.training import Train, Trained
from marketenv.mechanisms import GRAPHS, SHARING_PAYMENTS


def test_who_lacks_credit_buys_nothing_and_no_money_moves():
    rich, poor, least = (
        one_round(market_of(n_agents=3, types=THREE, strength=0.0, credit=c))
        for c in (3.0, 2.9, 0.0)
    )
    assert rich.reason.tolist() == [[0, 2, 2]] and rich.cash[0].tolist() == pytest.approx(
        [-2.9289, 2.9289, 0], abs=6e-5
    )
    for report in (poor, least):  # the price is 2.9289
        assert report.reason.tolist() == [[4, 2, 2]] and not report.trades.any()
        assert not report.cash.any() and not report.transfers.any() and not report.utility.any()


def test_cash_never_falls_below_its_credit():
    for _, _, report in episode(
        market_of(credit=4.0, cash=1.0, max_cycles=6, n_agents=6), range(50)
    ):
        assert report.cash.min() >= -4 - 1e-9
        assert torch.allclose(
            report.cash.sum(1), torch.full((50,), 6.0, dtype=torch.float64), atol=1e-9
        )


def everybody(terms):
    return terms.pairs


def anybody(terms):
    """Whatever is not for sale, and oneself, may be named too: it is left out."""
    return torch.ones_like(terms.pairs)


def half(terms, trades, graph):
    """A payment of one's own: half of what a model adds, less the discount, which may be below
    0.
    """
    return (
        SHARING_PAYMENTS["marginal"](terms, trades, graph)
        - 0.5 * terms.reported.costs[:, None] * trades
    )


MONEY = [
    *LEGAL,
    *[(own, pay) for own in (everybody, anybody) for pay in ("marginal", half)],
    *[(g, half) for g in GRAPHS],
]


@pytest.mark.parametrize("policy", ["truthful", "random"])
@pytest.mark.parametrize(("graph", "payment"), MONEY)
def test_no_purse_is_overdrawn_and_no_batch_stops(graph, payment, policy):
    """strength 5 makes distant models worth less than their discount: prices below 0, which the
    seller owes the buyer.
    """
    market = market_of(
        graph=graph,
        payment=payment,
        strength=5.0,
        cash=0.0,
        credit=5.0,
        max_cycles=3,
        reports="each_round",
    )
    batch, players = Batch(market, 200), dict.fromkeys(agent_names(market), market.policies[policy])
    batch.reset(0)
    for turn in range(3):
        report = told(batch.step(batch.act(players)).report)
        assert report.cash.min() >= -5 - 1e-9 and report.cash.sum(1).abs().max() < 1e-9
        assert (
            not report.trades.diagonal(dim1=1, dim2=2).any()
            and report.discounts[report.trades].isfinite().all()
        )
        if graph is everybody and turn == 0:
            # what this test is for does happen
            assert (report.prices < 0).any() and (report.reason == 4).any()


def isolated(market, now, *edits):
    """Play the rest of a round; client 0 must be out of it and all the others in it."""
    after, report = rounds.play_stage(market, now, truth(market, now, edits))
    report = told(report)
    assert (
        not report.trades[:, 0].any()
        and not report.trades[:, :, 0].any()
        and not report.transfers[:, 0].any()
    )
    assert (
        report.trades[:, 1:].any()
        and report.rewards.isfinite().all()
        and report.cash.isfinite().all()
    )
    assert models_of(after).centre.isfinite().all()
    assert all(models.params.isfinite().all() for models in after.floor.models.values())
    return after, report


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "local"])
def test_who_diverges_is_out_of_the_round_and_back_in_the_next(scheme):
    market = trained_market(scheme=scheme, costs=(0.2, 0.3))
    now = rounds.begin(market, torch.arange(3))
    first = torch.zeros(3, 4, dtype=torch.bool)
    first[:, 0] = True
    outcomes = now.floor.outcomes | {
        "train": dataclasses.replace(now.floor.of(Trained), diverged=first)
    }
    after, report = isolated(
        market, dataclasses.replace(now, floor=dataclasses.replace(now.floor, outcomes=outcomes))
    )
    assert report.reason[:, 0].eq(6).all() and not report.reason[:, 1:].eq(6).any()
    now = rounds.begun(market, after)
    _, report = rounds.play_stage(market, now, truth(market, now))
    assert report.of(Shared).trades[:, 0].any() and models_of(now).params.isfinite().all()


@pytest.mark.parametrize("distance", ["cosine", "squared_l2"])
def test_an_upload_that_overflows_is_out_of_the_round(distance):
    market = trained_market(costs=(0.2, 0.3), distance=distance, strength=1e-3)
    now = rounds.begin(market, torch.arange(3))
    trained = models_of(now).params.clone()
    trained[:, 0] = 2e38  # finite, but ten times as much is not: float32 ends at 3.4e38
    after, report = isolated(market, with_models(now, params=trained), (0, "upload", "scaled"))
    assert report.reason[:, 0].eq(5).all() and report.upload[:, 0].eq(4).all()
    assert report.distance[:, 0, 1:].isinf().all()
    for _ in range(2):
        now = rounds.begun(market, after)
        assert rounds.observe(market, now)["client"].isfinite().all()
        after, report = rounds.play_stage(
            market, now, truth(market, now, ((0, "upload", "scaled"),))
        )
        assert models_of(after).params.isfinite().all() and report.rewards.isfinite().all()
        assert report.of(Shared).trades[:, 1:, 1:].any()


@pytest.mark.parametrize("distance", ["cosine", "squared_l2"])
def test_a_huge_model_that_is_finite_stops_no_market(distance):
    """Its squared length overflows float32; whatever its distance is, it is a number or inf."""
    market = trained_market(costs=(0.2, 0.3), distance=distance, strength=1e-3, n_agents=5)
    now = rounds.begin(market, torch.arange(3))
    trained = models_of(now).params.clone()
    trained[:, :2] = 1e25
    now = with_models(now, params=trained)
    after, report = rounds.play_stage(market, now, truth(market, now))
    shared = report.of(Shared)
    assert (
        not shared.distance.isnan().any()
        and shared.trades[:, 2:, 2:].any()
        and report.rewards.isfinite().all()
    )
    assert (
        models_of(after).centre[:, 2:].isfinite().all()
        and models_of(rounds.begun(market, after)).params.isfinite().all()
    )


def test_where_everybody_diverges_everybody_goes_back_to_the_start():
    market = trained_market(
        training=Training(optimizer="sgd", learning_rate=1e30, batch_size=16, steps=3)
    )
    for before, after, report in episode(market, range(2)):
        assert (
            before.floor.of(Trained).diverged.all()
            and report.reason.eq(6).all()
            and not report.transfers.any()
        )
        assert torch.equal(
            models_of(after).params, before.owns["share"].start.expand_as(models_of(after).params)
        )
        assert report.loss.isfinite().all()


@dataclasses.dataclass
class Overflowing:
    """A learner that ends a client's training with finite numbers that are too large to compute
    with.
    """

    learner: Any
    clients: int
    client: int = 0

    def __getattr__(self, name):
        return getattr(self.learner, name)

    def train(self, *args, **more):
        params, slots = self.learner.train(*args, **more)
        return (
            params.unflatten(0, (-1, self.clients))
            .index_fill(1, torch.tensor([self.client]), 1e30)
            .flatten(0, 1),
            slots,
        )


def test_a_model_whose_outputs_overflow_counts_as_diverged():
    plain, seeds = trained_market(costs=(0.2, 0.3)), torch.arange(2)
    market = market_of(costs=(0.2, 0.3), learner=Overflowing(plain.phase(Train).learner, 4))
    honest, now, start = (
        rounds.begin(plain, seeds),
        rounds.begin(market, seeds),
        rounds.opened(market, seeds),
    )
    assert now.floor.of(Trained).diverged.tolist() == [[True, False, False, False]] * 2
    assert torch.equal(models_of(now).params[:, 0], models_of(start).params[:, 0])
    assert torch.equal(models_of(now).params[:, 1:], models_of(honest).params[:, 1:])
    # judged again, by what it goes on from: everybody's first model knows nothing of ten classes,
    # whose loss is log 10
    assert models_of(now).loss[:, 0] == pytest.approx(torch.full((2,), math.log(10)), abs=0.5)
    _, report = isolated(market, now)
    assert report.reason[:, 0].eq(6).all() and torch.equal(report.loss, models_of(now).loss)


def test_where_even_the_last_finite_model_overflows_all_that_is_told_is_finite():
    market = trained_market(costs=(0.2, 0.3))
    start = rounds.opened(market, torch.arange(2))
    huge = models_of(start).params.index_fill(1, torch.tensor([0]), 1e30)
    now = rounds.begun(market, with_models(start, params=huge))
    assert (
        now.floor.of(Trained).diverged[:, 0].all()
        and rounds.observe(market, now)["client"].isfinite().all()
    )
    after, report = isolated(market, now)
    assert report.loss[:, 0].eq(100).all()  # the observation's bound
    loss = market.moves[0].observation.slices["loss"]
    assert rounds.observe_end(market, after)["client"][:, 0, loss].eq(100).all()
    assert report.infos()["loss"].isfinite().all() and report.reason[:, 0].eq(6).all()


@pytest.mark.parametrize("scheme", ["ipfl", "fedavg"])
def test_a_pull_is_made_only_where_something_pulls(scheme, monkeypatch):
    made, real = [], training.Pull
    monkeypatch.setattr(training, "Pull", lambda *given: made.append(given) or real(*given))
    market = trained_market(scheme=scheme)
    now = rounds.begin(market, torch.arange(2))
    assert not made  # in the first round nobody has bought anything
    now, _ = rounds.advance(market, now, truth(market, now))
    assert bool(made) == bool((models_of(now).pull > 0).any()) == (scheme == "ipfl")
