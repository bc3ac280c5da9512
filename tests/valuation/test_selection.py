"""Which mixture is bought: gradients by finite differences, optima in closed form, enumeration
as the reference.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import (
    FORMS,
    Estimator,
    enumerate_mixtures,
    fit_estimator,
    project_to_simplex,
    select_enumerated,
    select_gradient,
    shadow_price,
)

EVERY = pytest.mark.parametrize("form", sorted(FORMS))
GRID = enumerate_mixtures(3, 10)
# score = 1 - W: two pilots say so
FALLS = fit_estimator(torch.eye(2), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]), "ot_only")


def to_point(point):
    """Distance of a mixture to a point, as W^2 = |p - point|^2 has it, and its slopes (p -
    point) / W.
    """

    def distance(p):
        apart = p - point[..., None, :]
        wad = apart.square().sum(-1).clamp(min=1e-24).sqrt()
        return wad, apart / wad[..., None]

    return distance


def falls(sellers):
    """The estimator score = 1 - W for any number of sellers."""
    p = torch.eye(sellers)[[0, 1]]
    return fit_estimator(p, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]), "ot_only")


def fitted(seed, form, *batch):
    """An estimator of random scores, and the distance to a random point outside the simplex."""
    key = torch.tensor(seed)
    distance = to_point(1.5 + draws.uniform(draws.fold(key, "point"), *batch, 3))
    wad = distance(GRID)[0]
    score = draws.normal(draws.fold(key, "score"), *batch, 66)
    return fit_estimator(GRID, wad, score, form), distance


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_shadow_prices_are_finite_differences_of_the_score(form, seed):
    """Along e_i - 1/3: the others give way alike. W moves with the mixture, which the direct
    part alone would miss.
    """
    coefficients = FORMS[form](3) * draws.normal(
        draws.fold(torch.tensor(seed), "coefficients"), 2, 2, 7
    )
    fit = Estimator(
        coefficients, torch.ones(2).double(), torch.zeros(2).double(), torch.ones(2).long()
    )
    distance = to_point(1.5 + draws.uniform(draws.fold(torch.tensor(seed), "point"), 2, 3))
    p = (0.1 + draws.uniform(torch.tensor(seed), 2, 4, 3)).double()
    p = p / p.sum(-1, keepdim=True)
    wad, wad_slopes = distance(p)
    prices = shadow_price(fit, p, wad, wad_slopes)
    assert prices.shape == (2, 4, 3) and torch.allclose(
        prices.sum(-1), torch.zeros(2, 4).double(), atol=1e-9
    )
    # potentials have no zero
    assert torch.allclose(shadow_price(fit, p, wad, wad_slopes + 5), prices, atol=1e-7)
    for i in range(3):
        step = 1e-5 * (torch.eye(3).double()[i] - 1 / 3)
        high, low = (fit.predict(q, distance(q)[0]) for q in (p + step, p - step))
        size = 1 + prices.abs().max()
        assert torch.allclose((high - low) / 2e-5, prices[..., i], atol=1e-5 * float(size))


def test_a_shadow_price_by_hand():
    # L = 1 - W and dW/dp = (0, 4): g = (0, -4), less its mean -2
    prices = shadow_price(
        FALLS, torch.eye(2), torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 4.0], [0.0, 4.0]])
    )
    assert prices.flatten().tolist() == pytest.approx([2.0, -2.0, 2.0, -2.0])


@settings(max_examples=8)
@given(seed=st.integers(0, 2**40), sellers=st.sampled_from([2, 3, 10]), capped=st.booleans())
def test_the_ascent_finds_the_mixture_nearest_to_a_point(seed, sellers, capped):
    """With the score 1 - W and W the distance to a point, the best mixture is the point's
    projection: each market has its own.
    """
    key = torch.tensor(seed)
    point = draws.normal(key, 4, sellers)
    caps = (
        (2 + draws.uniform(draws.fold(key, "caps"), 4, sellers)) / (2 * sellers) if capped else None
    )
    found = select_gradient(
        falls(sellers), torch.full((4, 1, sellers), 1 / sellers), to_point(point), caps, steps=60
    )
    wanted = project_to_simplex(point, caps)
    assert torch.allclose(found.p, wanted, atol=1e-3)
    best = 1 - (point - wanted).norm(dim=-1)
    assert torch.allclose(found.predicted, best, atol=1e-5) and torch.allclose(
        found.wad, 1 - found.predicted
    )
    assert (found.p >= 0).all() and torch.allclose(found.p.sum(-1), torch.ones(4).double())
    assert caps is None or (found.p <= caps).all()


@EVERY
@settings(max_examples=8)
@given(seed=st.integers(0, 2**40))
def test_from_every_listed_mixture_the_ascent_is_at_least_as_good_as_the_list(form, seed):
    fit, distance = fitted(seed, form, 3)
    listed = select_enumerated(fit, GRID, distance(GRID)[0])
    climbed = select_gradient(fit, GRID, distance, steps=5)
    assert (climbed.predicted >= listed.predicted - 1e-9).all()
    assert torch.allclose(
        climbed.predicted, fit.predict(climbed.p[:, None], climbed.wad[:, None])[:, 0], atol=1e-9
    )
    # what is told of a mixture is that mixture's
    assert torch.allclose(distance(climbed.p[:, None])[0][:, 0], climbed.wad)


@EVERY
def test_more_steps_are_never_worse_and_a_batch_is_its_singles(form):
    fit, distance = fitted(11, form, 3)
    few, many = (select_gradient(fit, GRID[[20, 40]], distance, steps=steps) for steps in (1, 30))
    assert (many.predicted >= few.predicted).all()
    for m in range(3):
        alone_fit = type(fit)(fit.coefficients[m], fit.r2[m], fit.spread[m], fit.rank[m])
        key = torch.tensor(11)
        own = to_point((1.5 + draws.uniform(draws.fold(key, "point"), 3, 3))[m])
        alone = select_gradient(alone_fit, GRID[[20, 40]], own, steps=30)
        assert torch.allclose(alone.p, many.p[m], atol=1e-9) and torch.allclose(
            alone.predicted, many.predicted[m], atol=1e-9
        )


def test_listed_mixtures_are_compared_by_score_and_caps():
    # seller 0 alone is nearest
    p, wad = enumerate_mixtures(2, 4), torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])
    assert select_enumerated(FALLS, p, wad).p.tolist() == [1.0, 0.0]
    within = select_enumerated(FALLS, p, wad, torch.tensor([0.5, 1.0]))
    assert (
        within.p.tolist() == [0.5, 0.5]
        and float(within.predicted) == pytest.approx(-1.0)
        and float(within.wad) == 2.0
    )
    tenths = enumerate_mixtures(2, 10)
    # .30000000000000004
    steps = select_enumerated(FALLS, tenths, 1 - tenths[:, 0], torch.tensor([0.1 + 0.2, 1.0]))
    assert steps.p.tolist() == pytest.approx([0.3, 0.7])
    # two markets, with caps of their own; equal scores: the first in the list
    both = select_enumerated(
        FALLS, p, torch.stack([wad, torch.ones(5)]), torch.tensor([[0.25, 1.0], [1.0, 1.0]])
    )
    assert both.p.tolist() == [[0.25, 0.75], [0.0, 1.0]]


def test_a_thousand_sellers_are_climbed_at_once():
    point = draws.uniform(torch.tensor(3), 2, 1000) / 500
    caps = torch.full((1000,), 0.01).double()
    found = select_gradient(
        falls(1000), torch.full((2, 1, 1000), 1e-3), to_point(point), caps, steps=60
    )
    assert torch.allclose(found.p, project_to_simplex(point, caps), atol=1e-6)


def test_flat_scores_stay_where_they_started():
    flat = fit_estimator(torch.eye(3), torch.ones(3), torch.full((3,), 0.5), "ot_only")
    start = torch.tensor([[0.2, 0.3, 0.5]]).double()
    found = select_gradient(flat, start, to_point(torch.zeros(3).double()))
    assert found.p.tolist() == pytest.approx(start[0].tolist()) and float(found.predicted) == 0.5


def test_starts_are_moved_within_the_caps():
    flat = fit_estimator(torch.eye(3), torch.ones(3), torch.full((3,), 0.5), "ot_only")
    found = select_gradient(
        flat, torch.eye(3)[:1], to_point(torch.zeros(3).double()), torch.tensor([0.4, 0.5, 0.5])
    )
    assert found.p.tolist() == pytest.approx([0.4, 0.3, 0.3])


def test_what_has_no_answer_is_refused(as_for_a_user):
    start, near = torch.full((1, 3), 1 / 3), to_point(torch.zeros(3).double())
    fit = falls(3)
    with pytest.raises(ValueError, match=r"caps sum to 0.6, so no mixture is within them"):
        select_gradient(fit, start, near, torch.tensor([0.2, 0.2, 0.2]))
    with pytest.raises(ValueError, match="no listed mixture is within the caps"):
        select_enumerated(fit, torch.eye(3), torch.ones(3), torch.tensor([0.5, 0.5, 0.5]))
    with pytest.raises(ValueError, match=r"caps \[2\] do not fit 3 sellers"):
        select_enumerated(fit, torch.eye(3), torch.ones(3), torch.tensor([1.0, 1.0]))
    with pytest.raises(ValueError, match="steps is 0"):
        select_gradient(fit, start, near, steps=0)
    with pytest.raises(ValueError, match="starts holds"):
        select_gradient(fit, 2 * start, near)
    with pytest.raises(ValueError, match=r"starts \[1, 2\] do not fit an estimator of 3 sellers"):
        select_gradient(fit, torch.tensor([[0.5, 0.5]]), near)
    with pytest.raises(ValueError, match=r"distance returned dW/dp of shape \[1\]"):
        select_gradient(fit, start, lambda p: (near(p)[0], near(p)[0]))
    for part in (0, 1):  # from the first place on, or only from where it climbs to
        for broken in (lambda p: torch.ones_like(p, dtype=torch.bool), lambda p: p > 0.5):

            def distance(p, part=part, broken=broken):
                pair = list(to_point(torch.tensor([2.0, 0.0, 0.0]).double())(p))
                pair[part] = torch.where(
                    broken(p) if part else broken(p).any(-1), math.nan, pair[part]
                )
                return tuple(pair)

            with pytest.raises(ValueError, match="not finite"):
                select_gradient(fit, torch.tensor([[0.45, 0.35, 0.2]]), distance)
    with pytest.raises(ValueError, match=r"wad_slopes \[1, 2\] do not fit p \[1, 3\]"):
        shadow_price(fit, start, torch.ones(1), torch.ones(1, 2))
    with pytest.raises(ValueError, match="wad_slopes holds inf"):
        shadow_price(fit, start, torch.ones(1), torch.full((1, 3), math.inf))


def test_a_distance_that_edits_what_it_is_given_changes_nothing():
    start, near = torch.full((1, 3), 1 / 3), to_point(torch.tensor([1.0, 0.0, 0.0]).double())

    def greedy(p):
        answer = near(p.clone())
        p.zero_()
        return answer

    assert (
        select_gradient(falls(3), start, greedy).p.tolist()
        == select_gradient(falls(3), start, near).p.tolist()
    )
