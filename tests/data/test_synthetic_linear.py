"""Synthetic linear tasks: shapes, noise and distances are those of the paper's Figures 3 and 4."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.data import Source, SyntheticLinear, linear

SEEDS = torch.tensor([4, 0, 9])


def residuals(fed, market, agent):
    """Labels of an agent less what its true parameters say."""
    rows = fed.train.index[market, agent, : int(fed.train.size[market, agent])]
    return fed.train.y[rows] - fed.train.x[rows] @ fed.optimum[market, agent]


def test_figure_3():
    # Paper, Figure 3: d 1000, 500 and 800 examples, label noise of variance .5 for B; here with
    # 1,000 validation rows
    source = SyntheticLinear(n_agents=2, dimension=1000, examples=(500, 800), noise=(0.0, 0.5**0.5))
    fed = source.federation(torch.tensor([1]))
    assert fed.train.size.tolist() == [[500, 800]] and fed.train.index.shape == (1, 2, 800)
    assert fed.optimum.shape == (
        1,
        2,
        1000,
    ) and fed.validation.size.tolist() == fed.test.size.tolist() == [1000]
    # A's labels are exact but for float32 rounding of sums near sqrt(1000) = 32 (eps 4e-6 each,
    # some dozen of them)
    assert residuals(fed, 0, 0).abs().max() < 1e-3
    # B's noise has variance .5; the variance of 800 normal draws has standard error .5 sqrt(2/800)
    # = .025, four are .1
    assert float(residuals(fed, 0, 1).var()) == pytest.approx(0.5, abs=0.1)
    # features and parameters are standard normal: 1.3e6 and 1e3 draws, so means lie within
    # 4/sqrt(n) = .0035 and .13
    rows = fed.train.index[0].flatten()
    assert abs(float(fed.train.x[rows].mean())) < 0.0035 and float(
        fed.train.x[rows].std()
    ) == pytest.approx(1, abs=0.0035)
    assert float(fed.optimum[0, 0].square().mean()) == pytest.approx(1, abs=4 * (2 / 1000) ** 0.5)
    assert torch.equal(fed.optimum[0, 0], fed.optimum[0, 1])  # distance 0: one task


@pytest.mark.long
def test_figure_3_at_full_size():
    # n_z = 10,000: the zero model's loss E[y^2] is |theta|^2, its mean over rows has relative error
    # sqrt(2/10,000) = 1.4 %
    source = SyntheticLinear(
        n_agents=2,
        dimension=1000,
        examples=(500, 800),
        noise=(0.0, 0.5**0.5),
        validation=10_000,
        test=10_000,
    )
    fed = source.federation(torch.tensor([1, 2]))
    for part in (fed.validation, fed.test):
        loss = part.y[part.index].square().mean(-1) / fed.optimum[:, 0].square().sum(-1)
        assert (loss - 1).abs().max() < 0.06


@settings(max_examples=25)
@given(distance=st.floats(0.0, 4.0), seed=st.integers(-(2**60), 2**60), n_agents=st.integers(2, 4))
def test_tasks_lie_at_the_distance_that_was_asked(distance, seed, n_agents):
    source = SyntheticLinear(
        n_agents=n_agents, dimension=6, distance=distance, examples=2, validation=2, test=2
    )
    optimum = source.federation(torch.tensor([seed])).optimum[0].double()
    away = (optimum[1:] - optimum[0]).norm(dim=-1) / optimum[0].norm()
    assert torch.allclose(away, torch.full_like(away, distance), atol=1e-5)


def test_directions_are_random():
    # the angle between two agents' directions: mean cosine 0, in d = 50 its deviation is
    # 1/sqrt(50); over 400 markets the mean's standard error is .0071, four of them .03
    fed = SyntheticLinear(
        n_agents=3, dimension=50, distance=1.0, examples=1, validation=1, test=1
    ).federation(torch.arange(400))
    away = fed.optimum[:, 1:] - fed.optimum[:, :1]
    cosine = torch.cosine_similarity(away[:, 0], away[:, 1], dim=-1)
    assert abs(float(cosine.mean())) < 0.03 and 0.11 < float(cosine.std()) < 0.18


def test_validation_and_test_take_the_agents_tasks_in_turn_without_noise():
    fed = SyntheticLinear(
        n_agents=3, dimension=4, noise=2.0, distance=1.0, validation=7, test=5
    ).federation(SEEDS)
    for part in (fed.validation, fed.test):
        x, y, mask = part.padded()
        assert mask.all()
        task = torch.arange(x.shape[1]) % 3
        assert torch.allclose((x * fed.optimum[:, task]).sum(-1), y, atol=1e-5)
        assert not torch.allclose((x * fed.optimum[:, (task + 1) % 3]).sum(-1), y, atol=0.1)


def test_no_owner_shares_a_row():
    fed = SyntheticLinear(
        n_agents=2, dimension=2, examples=(3, 6), validation=5, test=4
    ).federation(SEEDS)
    rows = [part.index[part.mask] for part in (fed.train, fed.validation, fed.test)]
    every = torch.cat(rows)
    assert len(every) == len(every.unique()) == len(fed.train.x) == 3 * (3 + 6 + 5 + 4)
    assert len(fed.train.x.unique(dim=0)) == len(every)  # nor do two rows hold the same draw


def test_padding_stays_with_its_owner():
    fed = SyntheticLinear(n_agents=2, dimension=2, examples=(3, 6)).federation(SEEDS)
    for market in fed.train.index.tolist():
        assert set(market[0][3:]) <= set(market[0][:3])


@settings(max_examples=10)
@given(seeds=st.lists(st.integers(-(2**60), 2**60), min_size=2, max_size=4, unique=True))
def test_a_market_alone_draws_what_it_draws_in_a_batch(seeds):
    source = SyntheticLinear(
        n_agents=2, dimension=3, examples=(4, 2), noise=0.5, distance=0.3, validation=3, test=3
    )
    whole = source.federation(torch.tensor(seeds))
    for market, seed in enumerate(seeds):
        alone = source.federation(torch.tensor([seed]))
        for part in ("train", "validation", "test"):
            (x, y, _), (x1, y1, _) = getattr(whole, part).padded(), getattr(alone, part).padded()
            assert torch.equal(x[market], x1[0]) and torch.allclose(y[market], y1[0], atol=1e-6)
        assert torch.equal(alone.optimum[0], whole.optimum[market])
    assert not torch.equal(whole.optimum[0], whole.optimum[1])


def test_blocks_of_drawing_change_no_number(monkeypatch):
    source = SyntheticLinear(n_agents=2, dimension=5, noise=1.0, validation=20, test=20)
    whole = source.federation(SEEDS)
    monkeypatch.setattr(linear, "CHUNK", 40)
    parts = source.federation(SEEDS)
    assert torch.equal(whole.train.x, parts.train.x) and torch.allclose(
        whole.train.y, parts.train.y, atol=1e-6
    )


def test_more_examples_keep_the_first_ones():
    few, many = (
        SyntheticLinear(n_agents=2, dimension=3, examples=n).federation(SEEDS).train.padded()[0]
        for n in (4, 9)
    )
    assert torch.equal(few, many[:, :, :4])


def test_the_leak_makes_validation_the_test():
    fed = SyntheticLinear(n_agents=2, dimension=3, broker_data="test").federation(SEEDS)
    assert torch.equal(fed.validation.index, fed.test.index)
    honest = SyntheticLinear(n_agents=2, dimension=3).federation(SEEDS)
    assert not set(honest.validation.index.flatten().tolist()) & set(
        honest.test.index.flatten().tolist()
    )


def test_it_is_a_source():
    source = SyntheticLinear(n_agents=2, dimension=3)
    assert isinstance(source, Source) and source.to("cpu") == source
    assert (source.feature_shape, source.n_outputs, source.task, source.n_agents) == (
        (3,),
        1,
        "regression",
        2,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_agents": 0}, "n_agents is 0, wanted a whole number >= 1"),
        ({"dimension": 0}, "dimension is 0"),
        ({"validation": 0}, "validation is 0"),
        ({"test": 0}, "test is 0"),
        ({"examples": (1, 2, 3)}, "examples is .1, 2, 3., wanted a tuple of 2 numbers"),
        ({"examples": (1, 0)}, r"examples\[1\] is 0, wanted a whole number >= 1"),
        (
            {"noise": (0.1,)},
            "noise is .0.1,., wanted a tuple of 2 numbers >= 0, one for each agent, or one for all",
        ),
        ({"noise": -0.5}, "noise is -0.5, wanted a finite number >= 0"),
        ({"noise": (0.0, float("nan"))}, r"noise\[1\] is nan"),
        ({"distance": float("inf")}, "distance is inf"),
        ({"broker_data": "tests"}, "Did you mean 'test'"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SyntheticLinear(**{"n_agents": 2, **options})
    assert dataclasses.is_dataclass(SyntheticLinear)


def test_everybody_trains_on_its_own_task():
    """Without noise every label of agent a is <x, theta_a>; the others' parameters are as far
    from those as theta_0 is long.
    """
    fed = SyntheticLinear(n_agents=3, dimension=4, examples=(5, 7, 9), distance=1.0).federation(
        torch.arange(2)
    )
    for market in range(2):
        for agent in range(3):
            rows = fed.train.index[market, agent, : int(fed.train.size[market, agent])]
            wanted = fed.train.x[rows].double() @ fed.optimum[market, agent].double()
            assert torch.allclose(fed.train.y[rows].double(), wanted, atol=1e-5)
