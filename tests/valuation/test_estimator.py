"""The performance estimator: fits by hand, planted coefficients, another solver, and what holds
for all pilots.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws, tree
from marketenv.valuation import FORMS, enumerate_mixtures, fit_estimator
from marketenv.valuation.mixtures import checked_mixtures

EVERY = pytest.mark.parametrize("form", sorted(FORMS))
GRID = enumerate_mixtures(3, 10)
# three pilots, each of one seller, at the distances 0, 1 and 2: score 1, 0, 0
LONE = torch.eye(3), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0])
# name: (terms of three sellers that are free to be fitted, rank among 66 mixtures, where they come
# from)
WORKED = {
    "projektor": (
        [
            "W",
            "p1",
            "p1W",
            "p1^2",
            "p1^2W",
            "p2",
            "p2W",
            "p2^2",
            "p2^2W",
            "p3",
            "p3W",
            "p3^2",
            "p3^2W",
        ],
        12,
        "Kang et al. 2023: 2 (2 * 3 + 1) terms, two of which follow from p1 + p2 + p3 = 1",
    ),
    "projektor7": (
        ["W", "p1", "p1W", "p1^2W", "p2", "p2W", "p2^2W"],
        8,
        "the public code of arXiv 2509.18104: seven regressors, all independent, and the intercept",
    ),
    "ot_only": (["W"], 2, "arXiv 2509.18104: distance alone, 1 term and the intercept"),
}
ALONE = {
    "projektor": [1.0, 0.0, 0.0],
    "projektor7": [1.0, 0.0, 0.0],
    "ot_only": [5 / 6, 1 / 3, -1 / 6],
}


def words(form, sellers=3):
    """The terms of a form but its intercept, in words: read from the mask, in the order of
    Estimator.coefficients.
    """
    names = [f"p{i + 1}^2" for i in range(sellers)] + [f"p{i + 1}" for i in range(sellers)] + [""]
    return sorted(
        n + w
        for w, row in zip(("W", ""), form(sellers), strict=True)
        for n, kept in zip(names, row)
        if kept and n + w
    )


def pilots(seed, *batch, noise=0.05, p=GRID):
    """Distances in [1, 2] and scores that fall with them, by markets that differ."""
    key = torch.tensor(seed)
    wad = 1 + draws.uniform(key, *batch, len(p))
    return wad, 1 - 0.3 * wad + noise * draws.normal(draws.fold(key, "noise"), *batch, len(p))


def test_every_form_has_a_worked_example():
    assert WORKED.keys() == FORMS.keys() == ALONE.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
def test_worked_example(form):
    terms, rank, reason = WORKED[form]
    assert words(FORMS[form]) == sorted(terms), reason
    wad, score = pilots(1)
    assert int(fit_estimator(GRID, wad, score, form).rank) == rank, reason
    # ot_only through (0, 1), (1, 0), (2, 0): slope -1/2, mean 1/3 at W = 1; the others have terms
    # enough to meet each score
    fit = fit_estimator(*LONE, form)
    assert fit.predict(*LONE[:2]).tolist() == pytest.approx(ALONE[form], abs=1e-12)


def test_what_a_fit_says_of_itself():
    fit = fit_estimator(*LONE, "ot_only")
    # residuals 1/6, -1/3, 1/6: squares sum to 1/6, of 2/3 about the mean; one pilot more than
    # coefficients
    assert (
        float(fit.r2) == pytest.approx(3 / 4)
        and float(fit.spread) == pytest.approx(math.sqrt(1 / 6))
        and int(fit.rank) == 2
    )
    assert fit.coefficients.flatten().tolist() == pytest.approx(
        [0] * 6 + [-0.5] + [0] * 6 + [5 / 6]
    )
    # as many coefficients as pilots: the scores are met, and nothing is left to judge by
    full = fit_estimator(*LONE)
    assert (
        float(full.r2) == pytest.approx(1.0)
        and float(full.spread) == math.inf
        and int(full.rank) == 3
    )


@pytest.mark.parametrize("sellers", [1, 2, 4, 5])
def test_projektor7_of_other_sellers_leaves_out_the_last(sellers):
    terms = words(FORMS["projektor7"], sellers)
    assert (
        len(terms) == 3 * sellers - 2
        and not any(f"p{sellers}" in term for term in terms)
        and "W" in terms
    )


@pytest.mark.parametrize(("sellers", "rank"), [(2, 6), (3, 12), (4, 16), (5, 20)])
def test_what_pilots_determine_of_the_full_form(sellers, rank):
    """4S: in each half one term follows from the sum of shares; for two sellers p2^2 = 1 - 2 p1
    + p1^2 follows as well.
    """
    p = enumerate_mixtures(sellers, 6)
    wad, score = pilots(2, p=p)
    assert int(fit_estimator(p, wad, score).rank) == rank


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), sellers=st.integers(2, 4))
def test_planted_coefficients_are_predicted_where_nobody_was(form, seed, sellers):
    """Coefficients themselves are not unique; what they say of every mixture is."""
    grid, key = enumerate_mixtures(sellers, 7), torch.tensor(seed)
    mask = FORMS[form](sellers).double()
    planted = mask * draws.normal(draws.fold(key, "planted"), 2, 2 * sellers + 1)

    def score(p, wad):
        powers = torch.cat([p**2, p, torch.ones(*p.shape[:-1], 1)], -1)
        return (powers @ planted[0]) * wad + powers @ planted[1] + 0.7

    wad = 1 + draws.uniform(key, len(grid))
    fit = fit_estimator(grid, wad, score(grid, wad), form)
    new = -draws.uniform(draws.fold(key, "new"), 9, sellers).log()
    new, far = new / new.sum(-1, keepdim=True), 4 * draws.uniform(draws.fold(key, "far"), 9)
    assert torch.allclose(fit.predict(new, far), score(new, far), atol=1e-8)
    assert float(fit.r2) == pytest.approx(1.0) and float(fit.spread) < 1e-10


@EVERY
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_numpys_least_squares_predict_the_same(form, seed):
    wad, score = pilots(seed)
    kept = FORMS[form](3).numpy()

    def design(p, w):
        powers = np.concatenate([p**2, p, np.ones((len(p), 1))], 1)
        return np.concatenate(
            [(powers * w[:, None])[:, kept[0]], powers[:, kept[1]], np.ones((len(p), 1))], 1
        )

    weights = np.linalg.lstsq(design(GRID.numpy(), wad.numpy()), score.numpy(), rcond=1e-12)[0]
    fit = fit_estimator(GRID, wad, score, form)
    fine, far = enumerate_mixtures(3, 7), 1 + draws.uniform(torch.tensor(seed + 9), 36)
    wanted = design(fine.numpy(), far.numpy()) @ weights
    assert fit.predict(fine, far).tolist() == pytest.approx(wanted.tolist(), abs=1e-10)
    residuals = score.numpy() - design(GRID.numpy(), wad.numpy()) @ weights
    assert float(fit.r2) == pytest.approx(
        1 - (residuals**2).sum() / ((score - score.mean()) ** 2).sum().item()
    )
    assert float(fit.spread) == pytest.approx(
        math.sqrt((residuals**2).sum() / (66 - int(fit.rank)))
    )


@EVERY
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**40),
    count=st.sampled_from([1, 3, 8, 40]),
    unit=st.sampled_from([1e-5, 0.1, 3.0, 1e5]),
)
def test_units_change_no_prediction(form, seed, count, unit):
    """Also where pilots are few and the least norm decides: W in another unit, scores in
    another unit and from another zero.
    """
    p = GRID[draws.permutation(torch.tensor(seed), 66)[:count]]
    wad, score = pilots(seed, p=p)
    far = wad.mean() * torch.ones(66).double()
    plain = fit_estimator(p, wad, score, form).predict(GRID, far)
    scaled = fit_estimator(p, unit * wad, score, form).predict(GRID, unit * far)
    moved = fit_estimator(p, wad, unit * score - 2, form).predict(GRID, far)
    size = float(plain.abs().max())
    assert torch.allclose(scaled, plain, atol=1e-6 * size)
    assert torch.allclose(moved, unit * plain - 2, atol=1e-6 * (2 + unit * size))


@pytest.mark.parametrize(
    ("form", "alike"), [("projektor", True), ("ot_only", True), ("projektor7", False)]
)
def test_who_is_last_matters_to_projektor7_alone(form, alike):
    wad, score = pilots(5)
    order = [2, 0, 1]
    fits = fit_estimator(GRID, wad, score, form), fit_estimator(GRID[:, order], wad, score, form)
    same = torch.allclose(
        fits[0].predict(GRID, wad), fits[1].predict(GRID[:, order], wad), atol=1e-9
    )
    assert same == alike


@EVERY
def test_a_batch_is_its_singles_and_rows_are_markets(form):
    wad, score = pilots(7, 4)
    whole = fit_estimator(GRID, wad, score, form)  # one grid for all markets
    assert whole.coefficients.shape == (
        4,
        2,
        7,
    ) and whole.r2.shape == whole.spread.shape == whole.rank.shape == (4,)
    assert list(tree.leaves(whole)) == ["coefficients", "r2", "spread", "rank"]
    for m in range(4):
        alone = fit_estimator(GRID, wad[m], score[m], form)
        assert torch.allclose(alone.predict(GRID, wad[m]), whole.predict(GRID, wad)[m], atol=1e-9)
        assert alone.spread == pytest.approx(whole.spread[m]) and alone.rank == whole.rank[m]
        row = tree.rows(whole, torch.tensor([m]))
        assert torch.allclose(
            row.predict(GRID, wad[m]), whole.predict(GRID, wad)[m][None], atol=1e-12
        )


@EVERY
def test_pilots_that_differ_in_nothing_teach_the_mean(form):
    p, score = torch.full((4, 3), 1 / 3), torch.tensor([0.1, 0.1, 0.4, 0.6])
    fit = fit_estimator(p, torch.full((4,), 1.44), score, form)
    assert int(fit.rank) == 1 and float(
        fit.predict(GRID, torch.linspace(0, 9, 66))[5]
    ) == pytest.approx(0.3)
    assert float(fit.r2) == pytest.approx(0.0, abs=1e-12)
    assert float(fit.spread) == pytest.approx(math.sqrt((0.04 + 0.04 + 0.01 + 0.09) / 3))
    # and equal scores leave nothing to explain
    equal = fit_estimator(GRID, pilots(1)[0], torch.full((66,), 0.1), form)
    assert float(equal.r2) == 0.0 and float(equal.predict(GRID, pilots(2)[0])[7]) == pytest.approx(
        0.1
    )


def test_a_seller_in_no_pilot_is_no_reason_for_a_prediction():
    p = torch.cat([enumerate_mixtures(2, 5), torch.zeros(6, 1)], -1)
    wad, score = pilots(3, p=p)
    fit = fit_estimator(p, wad, score, "projektor")
    assert fit.coefficients[:, [2, 5]].tolist() == [[0.0, 0.0], [0.0, 0.0]]


@EVERY
@settings(max_examples=10)
@given(seed=st.integers(0, 2**40))
def test_slopes_are_those_of_the_prediction(form, seed):
    """Central differences are exact for quadratics, along directions in which the shares still
    sum to 1.
    """
    wad, score = pilots(seed, 2)
    fit = fit_estimator(GRID, wad, score, form)
    p, far = (
        torch.tensor([[0.3, 0.2, 0.5]]).double().expand(2, 1, 3),
        torch.full((2, 1), 1.3).double(),
    )
    by_share, by_wad = fit.slopes(p, far)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        step = 1e-2 * (torch.eye(3)[i] - torch.eye(3)[j]).double()
        rise = (fit.predict(p + step, far) - fit.predict(p - step, far)) / 2e-2
        assert torch.allclose(by_share[..., i] - by_share[..., j], rise, atol=1e-9)
    rise = (fit.predict(p, far + 0.5) - fit.predict(p, far - 0.5)) / 1.0
    assert torch.allclose(by_wad, rise, atol=1e-9)


def test_a_form_of_ones_own():
    def squares(n_sellers):
        terms = torch.zeros(2, 2 * n_sellers + 1, dtype=torch.bool)
        terms[1, :n_sellers] = True
        return terms

    score = (GRID**2) @ torch.tensor([1.0, 2.0, 3.0]).double()
    fit = fit_estimator(GRID, torch.ones(66), score, squares)
    # three squares and the intercept
    assert float(fit.r2) == pytest.approx(1.0) and int(fit.rank) == 4
    with pytest.raises(
        ValueError, match=r"form returned terms of shape \[3\] bool, wanted \[2, 7\]"
    ):
        fit_estimator(GRID, torch.ones(66), score, lambda n: torch.ones(n, dtype=torch.bool))


def test_bad_pilots_are_refused(as_for_a_user):
    wad, score = pilots(1)
    for bad, told in ((math.nan, "wad holds nan"), (math.inf, "wad holds inf")):
        with pytest.raises(ValueError, match=told):
            fit_estimator(GRID, wad * bad, score)
    with pytest.raises(ValueError, match="score holds nan"):
        fit_estimator(GRID, wad, score * math.nan)
    with pytest.raises(
        ValueError, match=r"p holds \(0, 0, 2\) with the sum 2; wanted shares >= 0 that sum to 1"
    ):
        fit_estimator(2 * GRID, wad, score)
    with pytest.raises(ValueError, match=r"p holds \(-0.1, 0, 1.1\)"):
        fit_estimator(torch.tensor([[-0.1, 0.0, 1.1]]), wad[:1], score[:1])
    with pytest.raises(ValueError, match=r"p \[66, 3\], wad \[65\] and score \[66\] do not fit"):
        fit_estimator(GRID, wad[:65], score)
    with pytest.raises(ValueError, match="with one pilot or more"):
        fit_estimator(GRID[:0], wad[:0], score[:0])
    with pytest.raises(ValueError, match=r"no form 'projector'. Did you mean 'projektor'"):
        fit_estimator(GRID, wad, score, "projector")
    fit = fit_estimator(GRID, wad, score)
    with pytest.raises(ValueError, match="do not fit an estimator of 3 sellers"):
        fit.predict(enumerate_mixtures(2, 4), wad[:5])
    with pytest.raises(ValueError, match="do not fit an estimator of 3 sellers"):
        fit.predict(GRID, wad[:5])
    with pytest.raises(ValueError, match="p holds"):
        fit.slopes(GRID * 0.9, wad)


def test_shares_in_float32_are_mixtures():
    # their sum misses 1 by 5e-8
    assert checked_mixtures(torch.full((1000,), 1e-3)).dtype == torch.float64
    with pytest.raises(
        ValueError, match=r"first holds \(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...\) with the sum 500"
    ):
        checked_mixtures(torch.full((1000,), 0.5), "first")


def test_the_guide_lists_the_forms():
    page = (Path(__file__).parents[2] / "docs/guides/estimating_performance.md").read_text("utf8")
    assert re.findall(r"^\| `(\w+)` \|", page.split("| Form |")[1].split("\n\n")[0], re.M) == list(
        FORMS
    )
