"""Every rule for the weight of a purchase, on one market whose best weight is known, and rules
of one's own.
"""

import dataclasses

import pytest
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.markets.parameter_trading import Traded
from marketenv.markets.parameter_trading.weights import WEIGHTS, Merger, Weighed, weighed
from marketenv.valuation import Gain

ONE = {"dimension": 1, "examples": (4, 6), "validation_size": 30, "test_size": 5, "noise": 0.0}
LINEAR = {
    "data": "linear",
    "learner": "linear",
    "data_options": ONE,
    "n_agents": 2,
    "max_cycles": 2,
}
SEEDS = torch.arange(3)

# The buyer holds 0 and the seller theta* / .32, so that the buyer's loss G (alpha / .32 - 1)^2
# theta*^2 / 2 is least at .32.
EXAMPLES = {
    "closed_form": (0.32, "the minimum of that parabola"),
    "grid": (0.35, "of .05, .15, .. .95 the nearest to .32"),
    "by_share": (0.6, "McMahan et al. 2017: the seller has 6 of their 10 examples"),
    "auto": (0.32, "the loss is quadratic, so the closed form"),
}


def merger(scale=1 / 0.32):
    """Trader 0 holds nothing, trader 1 the true parameter times ``scale``."""
    market = make_market("parameter_trading_v0", **LINEAR)
    world = rounds.opened(market, SEEDS).floor.world
    models = torch.stack([torch.zeros(3, 1), scale * world.optimum[:, 0]], 1)
    offers = models[:, None].expand(-1, 2, -1, -1)
    return Merger(world, models, offers, torch.ones(1))


def test_every_rule_has_a_worked_example():
    assert EXAMPLES.keys() == WEIGHTS.keys()


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_worked_example_of_each_rule(name):
    given, (alpha, _) = merger(), EXAMPLES[name]
    found = WEIGHTS[name](given)
    assert torch.allclose(found.alpha[:, 0, 1], torch.tensor(alpha), atol=1e-5)
    gram, optimum = given.world.content.exam.made.gram[:, 0, 0], given.world.optimum[:, 0, 0]
    loss = gram * ((alpha / 0.32 - 1) * optimum).square() / 2
    assert torch.allclose(found.loss[:, 0, 1], loss.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_shares_none_of_oneself_and_losses_are_those_of_the_merged_models(name):
    for given in (merger(), merger(-2.0)):
        found = WEIGHTS[name](given)
        off = ~torch.eye(2, dtype=torch.bool).expand(3, -1, -1)
        assert ((found.alpha >= 0) & (found.alpha <= 1)).all() and found.alpha[~off].eq(0).all()
        assert torch.allclose(
            found.loss[off], weighed(given, found.alpha).loss[off], rtol=1e-5, atol=1e-6
        )


def test_where_the_loss_is_not_quadratic_the_grid_is_taken():
    config = {"n_agents": 3, "max_cycles": 1, "learner_options": {"hidden": (4,)}}
    auto, grid = (
        make_market("parameter_trading_v0", alpha=name, **config) for name in ("auto", "grid")
    )
    one, other = (rounds.begin(market, SEEDS).quotes for market in (auto, grid))
    assert torch.equal(one.alpha, other.alpha) and torch.equal(one.gain.worth, other.gain.worth)


def test_two_agents_who_merge_by_share_hold_the_model_that_federated_averaging_gives_them():
    """Both buy: own + n_s / (n_b + n_s) (other - own) is the mean of both models, weighted by
    their data.
    """
    wanted = lambda trial: Gain(  # noqa: E731
        torch.ones_like(trial.loss_after), torch.ones_like(trial.loss_after)
    )
    market = make_market("parameter_trading_v0", alpha="by_share", valuation=wanted, **LINEAR)
    now = rounds.begin(market, SEEDS)
    after, report = rounds.play_stage(market, now, rounds.act(market, truth(market), now))
    assert report.of(Traded).bought.eq(1).all()
    mean = (now.quotes.trained * torch.tensor([0.4, 0.6])[:, None]).sum(1, keepdim=True)
    assert torch.allclose(after.floor.models["trader"].params, mean.expand(-1, 2, -1), atol=1e-5)


def truth(market):
    return dict.fromkeys(market.roles[0].agents, market.policies["truthful"])


def test_a_rule_of_ones_own_is_asked():
    halves = lambda given: weighed(given, torch.full_like(given.offers[..., 0], 0.5))  # noqa: E731
    market = make_market("parameter_trading_v0", alpha=halves, **LINEAR)
    quotes = rounds.begin(market, SEEDS).quotes
    assert quotes.alpha.eq(0.5).all()
    seen = market.moves[0].observation.unpack(
        rounds.observe(market, rounds.begin(market, SEEDS))["trader"]
    )
    assert seen["alpha"].eq(0.5).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.alpha, r"alpha returned a Tensor, wanted Weighed\(alpha, loss\)"),
        (
            lambda found: Weighed(found.alpha[:1], found.loss),
            r"alpha returned alpha of shape \[1, 2, 2\]",
        ),
        (
            lambda found: Weighed(found.alpha, found.loss[0]),
            r"alpha returned loss of shape \[2, 2\]",
        ),
        (
            lambda found: Weighed(found.alpha + 1, found.loss),
            r"alpha returned a weight of 1.*, wanted numbers from 0 to 1",
        ),
        (lambda found: Weighed(found.alpha - 1, found.loss), r"alpha returned a weight of -1"),
        (
            lambda found: Weighed(found.alpha / 0, found.loss),
            r"alpha returned a weight of (nan|inf)",
        ),
    ],
)
@pytest.mark.usefixtures("as_for_a_user")
def test_what_a_rule_of_ones_own_returns_is_refused_by_its_name(change, said):
    market = make_market(
        "parameter_trading_v0", alpha=lambda given: change(WEIGHTS["grid"](given)), **LINEAR
    )
    with pytest.raises(ValueError, match=said):
        rounds.begin(market, SEEDS)


def test_a_rule_that_edits_what_it_was_given_changes_nothing():
    def vandal(given):
        found = WEIGHTS["grid"](given)
        given.models.zero_(), given.offers.zero_()
        return found

    mine, same = (
        make_market("parameter_trading_v0", alpha=rule, **LINEAR) for rule in (vandal, "grid")
    )
    one, other = (rounds.begin(market, SEEDS) for market in (mine, same))
    assert torch.equal(one.floor.models["trader"].params, other.floor.models["trader"].params)
    assert all(
        torch.equal(getattr(one.quotes, f), getattr(other.quotes, f))
        for f in ("offers", "trained", "alpha")
    )


@pytest.mark.parametrize(
    ("alpha", "said"),
    [
        ("gird", "no alpha 'gird'. Did you mean 'grid'"),
        (0.5, "alpha is 0.5, wanted a name"),
        (lambda a, b: a, "called with 1"),
    ],
)
def test_what_is_no_rule_is_refused(alpha, said):
    with pytest.raises(ValueError, match=said):
        make_market("parameter_trading_v0", alpha=alpha, **LINEAR)


def test_a_mergers_mask_keeps_what_is_not_traded():
    given = dataclasses.replace(merger(), mask=torch.zeros(1))
    assert given.merged(torch.full((3, 2, 2), 0.5)).eq(given.models[:, :, None]).all()
