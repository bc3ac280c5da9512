import pytest
import torch
from alignment_cases import forward, mlp, random_models
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.alignment import (
    ALIGNMENTS,
    PAPER_GRID,
    alpha_closed_form,
    alpha_grid,
    merge,
    no_orders,
)
from marketenv.core import draws

KEYS = torch.tensor([5, 6])


def case(n_agents=3):
    """Two markets of small MLPs with a loss callable of their own validation data."""
    layout, _, hidden = mlp(4, 6, 3)
    params = random_models(layout, KEYS, n_agents)
    x = draws.normal(draws.fold(KEYS, "x"), 1, 20, 4).float()
    y = draws.normal(draws.fold(KEYS, "y"), 1, 20, 3).float()
    offers = ALIGNMENTS["weight_matching"](
        params, layout, hidden, KEYS, no_orders(2, n_agents, hidden, layout)
    ).offers
    return params, offers, lambda models: (forward(layout, models, x) - y).square().mean((-2, -1))


def test_the_papers_grid():
    # the authors' public configuration: .05, .15, ..., .95
    assert torch.tensor(PAPER_GRID).allclose(torch.arange(10) / 10 + 0.05)


def test_grid_equals_a_plain_loop():
    own, offers, losses = case()
    mask = torch.ones(own.shape[2])
    mask[::3] = 0.0
    best = alpha_grid(losses, own, offers, mask)
    tried = torch.stack(
        [
            losses(merge(own, offers, torch.full((2, 3, 3), a), mask).flatten(1, 2))
            for a in PAPER_GRID
        ],
        -1,
    )
    tried = tried.unflatten(1, (3, 3))
    for m in range(2):
        for b in range(3):
            for s in range(3):
                values = tried[m, b, s].tolist()
                place = values.index(min(values))
                wanted = (0.0, float("inf")) if b == s else (PAPER_GRID[place], values[place])
                assert (best.alpha[m, b, s].item(), best.loss[m, b, s].item()) == pytest.approx(
                    wanted, rel=1e-5
                )


def test_a_batch_equals_its_singles():
    layout, _, _ = mlp(4, 6, 3)
    own, offers, _ = case()
    x, mask = torch.linspace(-1, 1, 20).reshape(5, 4), torch.ones(layout.size)

    def losses(models):
        return forward(layout, models, x).square().mean((-2, -1))

    batch = alpha_grid(losses, own, offers, mask)
    for m in range(2):
        single = alpha_grid(losses, own[m : m + 1], offers[m : m + 1], mask)
        assert single.alpha.equal(batch.alpha[m : m + 1])
        assert torch.allclose(single.loss, batch.loss[m : m + 1], rtol=1e-5)


@pytest.mark.parametrize("fits", [1, 7, 60])
def test_no_call_is_larger_than_the_limit(fits):
    own, offers, losses = case()
    calls = []

    def counted(models):
        calls.append(models.shape[1])
        return losses(models)

    # room for `fits` models a market, and a little
    limit = fits * own.element_size() * own.shape[0] * own.shape[2] + 3
    found = alpha_grid(counted, own, offers, torch.ones(own.shape[2]), limit_bytes=limit)
    # 3 * 2 pairs times 10 weights, the diagonal never
    assert max(calls) == fits and sum(calls) == 60
    whole = alpha_grid(losses, own, offers, torch.ones(own.shape[2]))
    assert found.alpha.equal(whole.alpha) and torch.allclose(found.loss, whole.loss, rtol=1e-5)
    calls.clear()
    alpha_grid(counted, own, offers, torch.ones(own.shape[2]), limit_bytes=1)
    assert set(calls) == {1}  # less than one model per market is not possible


def test_ties_go_to_the_smaller_weight():
    own, offers, _ = case()
    best = alpha_grid(
        lambda models: models.sum(-1) * 0 + 2.0, own, offers, torch.ones(own.shape[2])
    )
    off = ~torch.eye(3, dtype=torch.bool)
    assert (best.alpha[:, off] == PAPER_GRID[0]).all() and (best.loss[:, off] == 2.0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_losses_that_are_not_finite_never_win(bad):
    own, offers = torch.zeros(1, 2, 1), torch.ones(1, 2, 2, 1)
    # merged = alpha; a loss of -alpha would choose .95, but above .5 it is broken
    best = alpha_grid(
        lambda models: (-models[..., 0]).masked_fill(models[..., 0] > 0.5, bad),
        own,
        offers,
        torch.ones(1),
    )
    assert best.alpha[0, 0, 1].item() == pytest.approx(0.45) and best.loss[
        0, 0, 1
    ].item() == pytest.approx(-0.45)
    none = alpha_grid(lambda models: models[..., 0] * bad, own, offers, torch.ones(1))
    assert none.alpha[0, 0, 1].item() == pytest.approx(0.05) and none.loss[0, 0, 1].item() == float(
        "inf"
    )


def test_a_broken_offer_harms_no_other():
    own, offers, losses = case()
    clean = alpha_grid(losses, own, offers, torch.ones(own.shape[2]))
    offers[0, 1, 2, 0] = torch.nan
    best = alpha_grid(losses, own, offers, torch.ones(own.shape[2]))
    assert best.alpha[0, 1, 2].item() == pytest.approx(0.05) and best.loss[0, 1, 2].item() == float(
        "inf"
    )
    others = torch.ones(2, 3, 3, dtype=torch.bool)
    others[0, 1, 2] = False
    assert best.alpha[others].equal(clean.alpha[others]) and best.loss[others].equal(
        clean.loss[others]
    )


def test_one_agent_has_nothing_to_try():
    best = alpha_grid(
        lambda models: 1 / 0, torch.zeros(2, 1, 3), torch.zeros(2, 1, 1, 3), torch.ones(3)
    )
    assert best.alpha.tolist() == [[[0.0]]] * 2 and best.loss.tolist() == [[[float("inf")]]] * 2


@pytest.mark.parametrize(
    "grid", [(), (0.0, 0.5), (0.5, 1.1), (0.5, 0.5), (0.5, 0.2), (0.1, float("nan"))]
)
def test_wrong_grids_are_refused(grid):
    own, offers, losses = case()
    with pytest.raises(ValueError, match="increasing weights"):
        alpha_grid(losses, own, offers, torch.ones(own.shape[2]), grid=grid)


def test_losses_of_another_shape_are_refused():
    own, offers, _ = case()
    with pytest.raises(ValueError, match=r"losses returned \[2\]"):
        alpha_grid(lambda models: models.mean((1, 2)), own, offers, torch.ones(own.shape[2]))


def linear(d, n_agents, owners=2):
    """Validation data of linear models as float32 Gram matrices, and random models."""
    x = draws.normal(draws.fold(KEYS[:owners], "x"), 30, d)
    y = draws.normal(draws.fold(KEYS[:owners], "y"), 30)
    gram, cross = (x.mT @ x / 30).float(), (x.mT @ y[..., None]).squeeze(-1).float() / 30
    return gram, cross, draws.normal(KEYS, n_agents, d).float() * 0.3


def half_mse(gram, cross, models):
    """The quadratic itself, float64: 1/2 theta^T G theta - c^T theta for models [markets, k, d]."""
    g, c, models = gram.double(), cross.double(), models.double()
    return 0.5 * ((models @ g) * models).sum(-1) - (models * c[:, None]).sum(-1)


@pytest.mark.parametrize("owners", [1, 2])
def test_closed_form_equals_a_fine_grid(owners):
    gram, cross, own = linear(4, 5, owners)
    offers, mask = own[:, None].expand(-1, 5, -1, -1), torch.ones(4)
    mask[1] = 0.0
    alpha = alpha_closed_form(gram, cross, own, offers, mask)
    fine = tuple((k + 1) / 2000 for k in range(2000))
    best = alpha_grid(lambda models: half_mse(gram, cross, models), own, offers, mask, grid=fine)
    inner = (alpha > 0.001) & (alpha < 1)
    assert inner.sum() > 10
    assert (alpha - best.alpha).abs().max() <= 1 / 2000  # the grid's own width


def test_closed_form_by_hand():
    # loss 1/2 * 2 t^2 - 3 t has its minimum at t = 1.5. From 1 to 3 that is a quarter of the way;
    # from 3 to 1 three quarters; from 1 to 1 the loss is flat: the least weight, 1e-6
    own = torch.tensor([[[1.0], [3.0], [1.0]]])
    alpha = alpha_closed_form(
        torch.tensor([[[2.0]]]),
        torch.tensor([[3.0]]),
        own,
        own[:, None].expand(-1, 3, -1, -1),
        torch.ones(1),
    )
    wanted = torch.tensor([[0.0, 0.25, 1e-6], [0.75, 0.0, 0.75], [1e-6, 0.25, 0.0]])
    assert torch.allclose(alpha[0], wanted, rtol=1e-6, atol=0.0)


def test_a_direction_that_is_flat_but_for_rounding_is_flat():
    # one row of data x leaves every direction orthogonal to it flat; in floating point v^T G v is
    # then 1e-16 or so of either sign, and dividing the rounding of the slope by it would give any
    # weight at all
    x, v = draws.normal(torch.arange(50), 3), draws.normal(torch.arange(50, 100), 3)
    v -= x * (x * v).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True)
    own = draws.normal(torch.arange(100, 150), 1, 3).repeat(1, 2, 1)
    alpha = alpha_closed_form(
        x[:, :, None] * x[:, None],
        0.7 * x,
        own,
        (own + v[:, None])[:, None].repeat(1, 2, 1, 1),
        torch.ones(3),
    )
    assert (alpha[:, 0, 1] == 1e-6).all()


def test_closed_form_is_clipped():
    # the same loss: from 0 to 1 the minimum lies beyond the offer (weight 1), from 2 to 3 behind
    # the buyer (weight 1e-6)
    own, to = torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[[9.0], [1.0]], [[3.0], [9.0]]]])
    alpha = alpha_closed_form(
        torch.tensor([[[2.0]]]), torch.tensor([[3.0]]), own, to, torch.ones(1)
    )
    assert torch.allclose(alpha[0], torch.tensor([[0.0, 1.0], [1e-6, 0.0]]), rtol=1e-6, atol=0.0)


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_closed_form_is_never_beaten_on_the_segment(seed, d):
    keys = torch.tensor([seed])
    # fewer rows than unknowns now and then: flat directions
    x = draws.normal(draws.fold(keys, "x"), 4, d)
    gram, cross = x.mT @ x, draws.normal(draws.fold(keys, "c"), 4)[:, None, :].matmul(x)[:, 0]
    own = draws.normal(keys, 2, d)
    offers, mask = own[:, None].expand(-1, 2, -1, -1), torch.ones(d)
    alpha = alpha_closed_form(gram, cross, own, offers, mask)
    reached = half_mse(gram, cross, merge(own, offers, alpha, mask).flatten(1, 2))
    assert ((alpha >= 0) & (alpha <= 1)).all() and (alpha[:, [0, 1], [1, 0]] >= 1e-6).all()
    for other in torch.linspace(0.01, 1, 25).tolist():
        tried = half_mse(
            gram, cross, merge(own, offers, torch.full_like(alpha, other), mask).flatten(1, 2)
        )
        off = torch.tensor([1, 2])  # the two pairs off the diagonal
        assert (reached[:, off] <= tried[:, off] + 1e-6 * (1 + tried[:, off].abs())).all()


def test_closed_form_alone_and_with_a_broken_offer():
    gram, cross, own = linear(4, 3)
    offers, mask = own[:, None].expand(-1, 3, -1, -1).clone(), torch.ones(4)
    clean = alpha_closed_form(gram, cross, own, offers, mask)
    alone = alpha_closed_form(gram[1:], cross[1:], own[1:], offers[1:], mask)
    assert torch.allclose(alone, clean[1:], rtol=1e-6)
    offers[0, 1, 2, 0] = torch.inf
    alpha = alpha_closed_form(gram, cross, own, offers, mask)
    assert alpha[0, 1, 2].item() == pytest.approx(1e-6)
    clean[0, 1, 2] = alpha[0, 1, 2]
    assert alpha.equal(clean)


def test_owners_of_several_markets_each_are_as_if_each_market_had_its_own():
    gram, cross, own = linear(4, 3)  # of two markets
    own = torch.cat([own, 2 * own])[[0, 2, 1, 3]]  # two of each owner, side by side
    offers, mask = own[:, None].expand(-1, 3, -1, -1), torch.ones(4)
    each = torch.tensor([0, 0, 1, 1])
    shared, apart = (
        alpha_closed_form(*data, own, offers, mask)
        for data in ((gram, cross), (gram[each], cross[each]))
    )
    assert torch.allclose(shared, apart)


def test_markets_are_shared_out_evenly_among_owners():
    gram, cross, own = linear(4, 2)
    with pytest.raises(ValueError, match=r"3 and 3 owners, .* 2 markets"):
        alpha_closed_form(
            gram[[0, 0, 0]],
            cross[[0, 0, 0]],
            own,
            own[:, None].expand(-1, 2, -1, -1),
            torch.ones(4),
        )


@pytest.mark.parametrize("name", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_results_are_made_on_the_device_of_the_models(name):
    gram, cross, own = (tensor.to(name) for tensor in linear(4, 3))
    # a mask from layer_mask lies on the CPU
    offers, mask = own[:, None].expand(-1, 3, -1, -1), torch.ones(4)
    alpha = alpha_closed_form(gram, cross, own, offers, mask)
    assert alpha.device.type == merge(own, offers, alpha, mask).device.type == name
