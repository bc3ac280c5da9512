"""Every distance of the table: a worked example, autograd as the reference of its pull, and
what must hold for all models.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import DISTANCES, prox_centres

# theta^0 = (1, 1); updates (3, 4), (4, 3), (0, 0), (-3, -4)
START = torch.tensor([[[1.0, 1.0]]]).double()
MODELS = START + torch.tensor([[[3.0, 4.0], [4.0, 3.0], [0.0, 0.0], [-3.0, -4.0]]]).double()
WORKED = {  # name: (distances of model 0 to all four, where they come from)
    "cosine": (
        [0.0, 0.04, 1.0, 2.0],
        "arXiv 2505.02462: 1 - (3 * 4 + 4 * 3) / 25; no update: 1; the opposite one: 1 + 1",
    ),
    "squared_l2": ([0.0, 2.0, 25.0, 100.0], "||theta_i - theta_j||^2: 1 + 1, 9 + 16, 36 + 64"),
}
EVERY = pytest.mark.parametrize("name", sorted(DISTANCES))


def models(seed, markets=2, agents=4, size=7):
    key = torch.tensor(seed)
    return draws.normal(key, markets, agents, size), draws.normal(
        draws.fold(key, 1), markets, 1, size
    )


def test_every_distance_has_a_worked_example():
    assert WORKED.keys() == DISTANCES.keys()
    assert all(any(ch.isdigit() for ch in reason) for _, reason in WORKED.values())


@EVERY
def test_worked_example(name):
    wanted, reason = WORKED[name]
    for dtype, close in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        found = DISTANCES[name].between(MODELS.to(dtype), START.to(dtype))
        assert found.dtype == torch.float64 and found[0, 0].tolist() == pytest.approx(
            wanted, rel=close, abs=close
        ), reason


def plain(name, a, b, start):
    """The distance of two models by its definition, as autograd reads it."""
    if name == "squared_l2":
        return ((a - b) ** 2).sum()
    u, v = a - start, b - start
    return 1 - (u @ v) / (u.norm() * v.norm())


@EVERY
@settings(max_examples=20)
@given(seed=st.integers(0, 2**40))
def test_all_pairs_at_once_are_the_definition(name, seed):
    params, start = models(seed)
    found = DISTANCES[name].between(params, start)
    for m in range(2):
        for i in range(4):
            for j in range(4):
                wanted = plain(name, params[m, i], params[m, j], start[m, 0])
                assert float(found[m, i, j]) == pytest.approx(float(wanted), abs=1e-12)
    assert (
        torch.equal(found, found.mT)
        and (found >= 0).all()
        and not found.diagonal(dim1=-2, dim2=-1).any()
    )
    assert name != "cosine" or (found <= 2).all()


@EVERY
@settings(max_examples=20)
@given(seed=st.integers(0, 2**40))
def test_the_pull_is_autograds(name, seed):
    params, start = models(seed)
    weights = draws.uniform(torch.tensor(seed), 2, 4, 4)
    for m in range(2):
        for i in range(4):
            theta = params[m, i].clone().requires_grad_()
            # the own model is held fixed too: d(theta_i, theta_i) has gradient 0 at its minimum
            total = sum(
                weights[m, i, j] * plain(name, theta, params[m, j], start[m, 0]) for j in range(4)
            )
            (slope,) = torch.autograd.grad(total, theta)
            assert torch.allclose(
                DISTANCES[name].pull(params, start, weights)[m, i], -slope, rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_leaves_the_distance_between_0_and_2(dtype):
    # copies, multiples and opposites of one update, whose cosines round to a little more than 1 and
    # less than -1
    params = (
        draws.normal(torch.tensor(11), 200, 1, 7)
        * torch.tensor([1.0, 1.0, 3.0, -1.0, -7.0]).double()[:, None]
    )
    found = DISTANCES["cosine"].between(params.to(dtype), torch.zeros(200, 1, 7, dtype=dtype))
    assert (found >= 0).all() and (found <= 2).all()
    assert torch.allclose(
        found[:, 0], torch.tensor([0.0, 0.0, 0.0, 2.0, 2.0]).double(), rtol=0, atol=1e-6
    )


def test_an_update_without_length_has_distance_one_and_no_pull():
    params, start = models(1)
    params[0, 2] = start[0, 0] + 1e-14  # a length of 2.6e-14, below 1e-12
    params[1, 0] = params[1, 3] = start[1, 0]
    distance = DISTANCES["cosine"].between(params, start)
    assert distance[0, 2].tolist() == [1, 1, 0, 1] and float(distance[1, 0, 3]) == 1.0
    pull = DISTANCES["cosine"].pull(params, start, torch.ones(2, 4, 4).double())
    assert not pull[0, 2].any() and not pull[1, 0].any() and pull[0, 0].any()
    weights = torch.zeros(2, 4, 4).double()
    weights[0, 0, 2] = 1.0  # nor does it pull at others
    assert not DISTANCES["cosine"].pull(params, start, weights).any()


@EVERY
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_model_is_unusable_and_spoils_nothing(name, value):
    params, start = models(2)
    weights = draws.uniform(torch.tensor(3), 2, 4, 4)
    weights[0, :, 1] = 0.0  # nobody buys it
    between, pull = (
        DISTANCES[name].between(params, start),
        DISTANCES[name].pull(params, start, weights),
    )
    params[0, 1, 3] = value
    broken, pulled = (
        DISTANCES[name].between(params, start),
        DISTANCES[name].pull(params, start, weights),
    )
    assert broken[0, 1].tolist() == broken[0, :, 1].tolist() == [math.inf, 0, math.inf, math.inf]
    whole = torch.tensor([0, 2, 3])
    assert torch.allclose(
        broken[0][whole][:, whole], between[0][whole][:, whole], rtol=0, atol=1e-12
    )
    assert (
        torch.allclose(pulled[0, whole], pull[0, whole], rtol=0, atol=1e-12)
        and pulled.isfinite().all()
    )


@EVERY
def test_each_agent_may_have_its_own_start(name):
    params, start = models(4)
    starts = start.expand_as(params).contiguous()
    assert torch.equal(
        DISTANCES[name].between(params, starts), DISTANCES[name].between(params, start)
    )


@EVERY
@settings(max_examples=20)
@given(seed=st.integers(0, 2**40), eta=st.floats(0.0, 5.0))
def test_a_prox_centre_is_one_gradient_step(name, seed, eta):
    params, start = models(seed)
    bought = (draws.uniform(torch.tensor(seed), 2, 4, 4) < 0.5) & ~torch.eye(4, dtype=torch.bool)
    sizes = 0.5 + draws.uniform(torch.tensor(seed + 1), 2, 4)
    centres = prox_centres(params, start, bought, sizes, eta, name)
    for m in range(2):
        for i in range(4):
            theta = params[m, i].clone().requires_grad_()
            edges = bought[m, i].nonzero().flatten().tolist()
            far = sum(
                (
                    sizes[m, j] / sizes[m, i] * plain(name, theta, params[m, j], start[m, 0])
                    for j in edges
                ),
                0 * theta.sum(),
            )
            (slope,) = torch.autograd.grad(far, theta)
            assert torch.allclose(centres[m, i], params[m, i] - eta * slope, rtol=0, atol=1e-11)


def test_a_prox_centre_by_hand():
    # updates (2, 0) and (0, 1), sizes 1 and 3: gradient of 1 - cos at theta_0 is -(0, 1) / 2, times
    # 3 and eta = .1
    params = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    bought = torch.tensor([[[False, True], [False, False]]])
    centres = prox_centres(
        params, torch.zeros(1, 1, 2), bought, torch.tensor([[1.0, 3.0]]).double(), 0.1
    )
    assert centres.dtype == torch.float32 and centres.flatten().tolist() == pytest.approx(
        [2.0, 0.15, 0.0, 1.0], abs=1e-7
    )


def test_a_small_step_brings_the_models_closer():
    params, start = models(5, 20)
    bought = ~torch.eye(4, dtype=torch.bool).expand(20, 4, 4)
    for distance in DISTANCES.values():
        centres = prox_centres(params, start, bought, torch.ones(20, 4).double(), 1e-3, distance)
        assert (
            distance.between(centres, start).sum((1, 2))
            < distance.between(params, start).sum((1, 2))
        ).all()


@EVERY
def test_float32_stays_near_float64(name):
    params, start = models(6, 2, 30, 500)
    whole = DISTANCES[name].between(params, start)
    assert torch.allclose(
        DISTANCES[name].between(params.float(), start.float()), whole, rtol=1e-5, atol=1e-6
    )


@EVERY
def test_a_batch_is_its_singles(name):
    params, start = models(7, 3)
    whole = DISTANCES[name].between(params, start)
    for m in range(3):
        assert torch.allclose(
            DISTANCES[name].between(params[m : m + 1], start[m : m + 1])[0],
            whole[m],
            rtol=0,
            atol=1e-13,
        )


def test_a_thousand_models_need_no_tensor_of_pairs_by_params():
    params, start = models(8, 1, 1000, 400)  # [m, m, P] would be 3.2 GB
    bought = ~torch.eye(1000, dtype=torch.bool)[None]
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        prox_centres(params, start, bought, torch.ones(1, 1000).double(), 0.1)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 100e6  # a [m, m] matrix is 8 MB, all models 3.2 MB


def test_bad_options_are_refused():
    params, start = models(9)
    bought, sizes = torch.ones(2, 4, 4, dtype=torch.bool), torch.ones(2, 4).double()
    for eta in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="eta is"):
            prox_centres(params, start, bought, sizes, eta)
    for size in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="finite sizes > 0"):
            prox_centres(params, start, bought, sizes * size, 1.0)
    with pytest.raises(ValueError, match="Did you mean 'cosine'"):
        prox_centres(params, start, bought, sizes, 1.0, "cosin")
    # jaxtyping's own error is a TypeError
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        prox_centres(params, start[:1], bought[:1], sizes, 1.0)


def test_tensors_follow_their_inputs():
    # torch's default device is "meta" here: a tensor made without a device would land there and
    # fail
    params, start = models(10)
    bought, sizes = torch.ones(2, 4, 4, dtype=torch.bool), torch.ones(2, 4).double()
    for distance in DISTANCES.values():
        wanted = (
            prox_centres(params, start, bought, sizes, 1.0, distance),
            distance.between(params, start),
        )
        with torch.device("meta"):
            found = (
                prox_centres(params, start, bought, sizes, 1.0, distance),
                distance.between(params, start),
            )
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_squares_that_overflow_make_a_model_unusable_and_never_nan():
    """1e25 squared is beyond float32, so both lengths are inf and their difference unknown; the
    third pair is 5^2.
    """
    models = torch.tensor([[[1e25, 0.0], [1e25, 1.0], [3.0, 0.0], [0.0, 4.0]]])
    distance = DISTANCES["squared_l2"].between(models, torch.zeros(1, 1, 2))[0]
    assert (
        distance[0, 1].isinf()
        and distance[0, 2].isinf()
        and float(distance[2, 3]) == pytest.approx(25)
    )
