"""Every way to share models: by hand on three clients with two parameters, and the projection
by another method.
"""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sharing_market import models_of, with_models

from marketenv import make_market
from marketenv.core import rounds
from marketenv.markets.model_sharing import Shared
from marketenv.markets.model_sharing.schemes import (
    SCHEMES,
    Inputs,
    _simplex,
    affordable,
    ditto,
    fedprox,
    ipfl,
    pfedgraph,
)
from marketenv.mechanisms import (
    GAINS,
    ClientTypes,
    SharingSales,
    SharingTerms,
    distance_discounts,
)
from marketenv.valuation import DISTANCES

UPLOADS = torch.tensor([[[4.0, 0.0], [0.0, 4.0], [0.0, 8.0]]])


def money(values):
    return torch.tensor([values], dtype=torch.float64)


def made(
    uploads=UPLOADS,
    sizes=(1.0, 1.0, 2.0),
    needs=(100.0, 0.0, 0.0),
    present=None,
    purse=torch.inf,
    strength=0.0,
    **parts,
):
    """What three clients give: N = 1, 1, 2; c = 0, 1.5, 2; buyer 0 has K = 100, lambda = 0, own
    models = uploads.
    """
    start = torch.zeros(1, 1, 2)
    reported = ClientTypes(money(sizes), money([0.0, 1.5, 2.0]), money(needs))
    distance = parts.pop("distance", DISTANCES["cosine"].between(uploads, start))
    here = None if present is None else torch.tensor([present])
    terms = SharingTerms(
        reported,
        distance_discounts(reported.sizes, distance, strength),
        GAINS["inverse_sqrt"](),
        here,
    )
    trained = parts.pop("trained", UPLOADS)
    options = {"eta": 5.0, "kind": "cosine", "graph": "break", "payment": "marginal"} | parts
    return Inputs(
        uploads, trained, start, distance, terms, money([purse] * 3), strength=strength, **options
    )


MEAN = [1.0, 5.0]  # sizes 1, 1, 2 of 4: (4, 0) / 4 + (0, 4) / 4 + (0, 8) / 2
# (4, 0) + eta (N_2 / N_0) (u_2 - <u_0, u_2> u_0) / |theta_0| = (4, 0) + 5 * 2 * (0, 1) / 4
CENTRE = [4.0, 2.5]
# pfedgraph with alpha = .8: shares (1/4, 1/4, 1/2) less .4 * distances (0, 1, 1) are (.25, -.15,
# .1), which sum to .2; the nearest point of the simplex adds .8 / 3 to each: (31, 7, 22) / 60
NEAR = [31 / 60 * 4, 7 / 60 * 4 + 22 / 60 * 8]
# client 0's row of: whose models it gets, where its training starts, what holds it, how hard, the
# second model; and why
WORKED = {
    "ipfl": (
        [0, 0, 1],
        [4, 0],
        CENTRE,
        0,
        None,
        "seller 2: 10 - 10 / sqrt(3) = 4.2 > 2; then 5.8 - 5 < 1.5; u_2 = (0, 1)",
    ),
    "local": ([0, 0, 0], [4, 0], [4, 0], 0, None, "0 models"),
    "fedavg": (
        [0, 1, 1],
        MEAN,
        MEAN,
        0,
        None,
        "McMahan et al. 2017: shares 1/4, 1/4, 1/2; the mean is sent and pulls at 0",
    ),
    "fedprox": ([0, 1, 1], MEAN, MEAN, 0.1, None, "Li et al. 2020 with mu = .1 as iPFL's authors"),
    "ditto": (
        [0, 1, 1],
        [4, 0],
        MEAN,
        1.0,
        MEAN,
        "Li et al. 2021 with lambda = 1: the own model goes on, the shared one is the mean",
    ),
    "pfedgraph": ([0, 1, 1], NEAR, NEAR, 0.01, None, "Ye et al. 2023: weights (31, 7, 22) / 60"),
}


def test_every_scheme_has_a_worked_example():
    assert WORKED.keys() == SCHEMES.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())
    assert [name for name, scheme in SCHEMES.items() if scheme.money] == ["ipfl"]
    assert [name for name, scheme in SCHEMES.items() if scheme.second] == ["ditto"]


@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name):
    bought, params, centre, pull, second, reason = WORKED[name]
    inputs = made()
    result = SCHEMES[name].settle(inputs)
    assert result.trades[0, 0].int().tolist() == bought, reason
    assert result.params[0, 0].tolist() == pytest.approx(params), reason
    assert result.centre[0, 0].tolist() == pytest.approx(centre), reason
    assert float(result.pull[0, 0]) == pytest.approx(pull), reason
    assert result.second.shape[-1] == (0 if second is None else 2)
    assert second is None or result.second[0, 0].tolist() == pytest.approx(second), reason
    assert (result.prices[~result.trades] == 0).all()
    assert SCHEMES[name].money or not result.prices.any()
    assert not result.broke.any()


def test_the_market_charges_and_pulls_by_lambda_over_eta():
    result = ipfl(made(strength=1.0, distance=torch.zeros(1, 3, 3).double()))
    assert float(result.pull[0, 0]) == pytest.approx(1 / 5)  # lambda 1, eta 5
    assert result.pull[0, 1:].tolist() == [0, 0]  # who bought nothing trains alone
    assert float(result.prices[0, 0, 2]) == pytest.approx(10 - 10 / 3**0.5)  # g(3) - g(1), K = 100
    assert ipfl(
        made(strength=1.0, eta=0.0, distance=torch.zeros(1, 3, 3).double())
    ).pull.tolist() == [[0, 0, 0]]


def test_the_prox_centre_starts_at_the_upload():
    """The broker knows uploads only, so who shows another model is sent the centre of that one;
    it trains on from its own.
    """
    own = torch.tensor([[[-3.0, 9.0], [0.0, 4.0], [0.0, 8.0]]])
    result = ipfl(made(trained=own))
    assert result.centre[0, 0].tolist() == pytest.approx(CENTRE)
    # and who bought nothing keeps its own
    assert torch.equal(result.params, own) and torch.equal(result.centre[0, 1:], own[0, 1:])


def test_who_cannot_pay_all_buys_nothing():
    # the one model costs 10 - 10 / sqrt(3) = 4.2265
    rich, poor = ipfl(made(purse=4.23)), ipfl(made(purse=4.22))
    assert rich.trades[0, 0, 2] and not rich.broke.any()
    assert (
        not poor.trades.any()
        and not poor.prices.any()
        and poor.broke[0].tolist() == [True, False, False]
    )
    assert torch.equal(poor.centre, UPLOADS) and not poor.pull.any()


@pytest.mark.parametrize("name", SCHEMES)
def test_a_model_that_is_not_finite_reaches_nobody(name):
    uploads = UPLOADS.clone()
    uploads[0, 2] = torch.nan
    result = SCHEMES[name].settle(made(uploads))
    assert not result.trades[0, 2].any() and not result.trades[0, :, 2].any()
    assert all(
        getattr(result, part).isfinite().all()
        for part in ("params", "centre", "second", "prices", "pull")
    )
    # it goes on from its own
    assert torch.equal(result.params[0, 2], UPLOADS[0, 2]) and result.pull[0, 2] == 0
    if name == "fedavg":
        assert result.params[0, 0].tolist() == [2, 2]  # shares 1/2 and 1/2 of (4, 0) and (0, 4)


@pytest.mark.parametrize("name", SCHEMES)
def test_who_is_absent_gives_and_gets_nothing(name):
    result = SCHEMES[name].settle(made(present=(True, True, False), needs=(100.0, 100.0, 100.0)))
    assert not result.trades[0, 2].any() and not result.trades[0, :, 2].any()
    assert torch.equal(result.params[0, 2], UPLOADS[0, 2]) and torch.equal(
        result.centre[0, 2], UPLOADS[0, 2]
    )
    assert result.pull[0, 2] == 0


def test_ditto_shares_the_second_models_and_keeps_the_own_ones():
    own = UPLOADS + 1
    result = ditto(made(trained=own), strength=0.3)
    assert torch.equal(result.params, own)
    assert result.second[0].tolist() == [MEAN] * 3 == result.centre[0].tolist()
    assert result.pull.tolist() == [[pytest.approx(0.3)] * 3]


def test_fedprox_pulls_by_its_mu():
    assert fedprox(made(), mu=0.7).pull.tolist() == [[pytest.approx(0.7)] * 3]


def nearest(values, members):
    """The projection on the simplex by bisection of the shift: weights max(v - shift, 0) with
    sum 1.
    """
    chosen = [v for v, m in zip(values, members, strict=True) if m]
    low, high = min(chosen) - 1.0, max(chosen)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if sum(max(v - middle, 0.0) for v in chosen) > 1 else (low, middle)
        )
    return [max(v - low, 0.0) if m else 0.0 for v, m in zip(values, members, strict=True)]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=1, max_size=8))
def test_the_simplex_projection_is_the_nearest_point(row):
    values, members = [v for v, _ in row], [True, *(m for _, m in row[1:])]
    found = _simplex(torch.tensor([[values]], dtype=torch.float64), torch.tensor([[members]]))[0, 0]
    assert found.tolist() == pytest.approx(nearest(values, members), abs=1e-9)
    assert float(found.sum()) == pytest.approx(1)


def test_pfedgraph_weights_beat_all_others_of_a_grid():
    inputs = made(
        distance=torch.tensor([[[0.0, 0.3, 0.6], [0.3, 0.0, 0.1], [0.6, 0.1, 0.0]]]).double()
    )
    basis = dataclasses.replace(
        inputs, uploads=torch.eye(3)[None], trained=torch.eye(3)[None], start=torch.zeros(1, 1, 3)
    )  # the mean shows the weights
    weights = pfedgraph(basis).params[0].double()
    shares, steps = torch.tensor([0.25, 0.25, 0.5]).double(), torch.arange(0, 101).double() / 100
    pairs = torch.cartesian_prod(steps, steps)
    grid = torch.cat([pairs, 1 - pairs.sum(1, keepdim=True)], 1)
    grid = grid[grid[:, 2] >= 0]
    for i in range(3):
        cost = lambda w, d=inputs.distance[0, i]: (  # noqa: E731
            (0.8 * w * d).sum(-1) + (w - shares).square().sum(-1)
        )
        assert cost(weights[i]) <= cost(grid).min() + 1e-6


def test_with_alpha_0_pfedgraph_starts_where_fedavg_does():
    assert torch.allclose(
        pfedgraph(made(), alpha=0.0).params, SCHEMES["fedavg"].settle(made()).params
    )


def test_who_is_alone_keeps_the_model_that_it_trains_for_the_others():
    """Under Ditto a client with nobody to share with goes on with both of its models, not with
    one in place of the other.
    """
    market = make_market("model_sharing_v0", n_agents=2, scheme="ditto", joins=(0, 9), max_cycles=2)
    now = rounds.begin(market, torch.arange(1))
    trained, second = models_of(now).params, models_of(now, "second").params + 1.0
    after, report = rounds.play_stage(
        market, with_models(now, "second", params=second), {"client": torch.zeros(1, 2, 6)}
    )
    assert torch.equal(models_of(after, "second").params[:, 0], second[:, 0])
    assert torch.equal(models_of(after).params[:, 0], trained[:, 0])
    assert report.of(Shared).reason.tolist() == [[8, 1]]  # alone, and not there yet


AFFORDABLE = [  # prices, buyers by sellers; purses; what is kept; why
    ([[0, 2, 3], [0, 0, 0], [0, 0, 0]], [5, 0, 0], [(0, 1), (0, 2)], "2 + 3 = 5 can just be paid"),
    (
        [[0, 2, 3], [0, 0, 1], [0, 0, 0]],
        [4, 9, 0],
        [(1, 2)],
        "client 0 cannot pay 5 from 4: it buys nothing",
    ),
    (
        [[0, 0, 0], [-2, 0, 0], [-3, 0, 0]],
        [5, 0, 0],
        [(1, 0), (2, 0)],
        "client 0 owes 5 on its sales, and holds 5",
    ),
    (
        [[0, 1, 0], [-2, 0, 0], [-3, 0, 0]],
        [5, 0, 0],
        [(1, 0), (2, 0)],
        "5 of debts and 1: the purchase goes, the debts stay",
    ),
    (
        [[0, 1, 0], [-2, 0, 0], [-3, 0, 0]],
        [4, 0, 0],
        [],
        "debts of 5 from 4: then it does not sell at these prices either",
    ),
    (
        [[0, 1, 4], [-2, 0, 4], [-3, 0, 0]],
        [4, 3, 0],
        [(2, 0)],
        "client 1 buys nothing, so client 0 owes 3 of its 4",
    ),
]


@pytest.mark.parametrize(
    ("prices", "purse", "kept", "reason"), AFFORDABLE, ids=[row[-1] for row in AFFORDABLE]
)
def test_what_cannot_be_paid_is_not_traded(prices, purse, kept, reason):
    prices = money(prices)
    outcome = SharingSales(prices != 0, prices)
    assert [tuple(pair) for pair in affordable(outcome, money(purse))[0].nonzero().tolist()] == kept


@settings(max_examples=200)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 6), holds=st.floats(0, 10))
def test_nobody_owes_more_than_its_purse_and_who_can_pay_is_not_cut(seed, clients, holds):
    generator = torch.Generator().manual_seed(seed)
    prices = 3 * torch.randn(4, clients, clients, dtype=torch.float64, generator=generator)
    trades = torch.rand(4, clients, clients, generator=generator) < 0.6
    purse = holds * torch.rand(4, clients, dtype=torch.float64, generator=generator)
    outcome = SharingSales(trades, torch.where(trades, prices, 0.0))
    kept = affordable(outcome, purse)
    left = SharingSales(kept, torch.where(kept, prices, 0.0))
    assert not (kept & ~trades).any() and (left.transfers.sum(2) <= purse).all()
    solvent = outcome.transfers.sum(2) <= purse
    between = solvent[:, :, None] & solvent[:, None, :]
    assert torch.equal(kept[between], trades[between])
