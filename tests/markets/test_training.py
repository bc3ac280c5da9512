"""The training phase that markets share: efforts, second models, pulls, who is absent, and who
diverges.
"""

import dataclasses

import pytest
import torch

from marketenv import make_market
from marketenv.core import phase as phases
from marketenv.core import rounds
from marketenv.core.market import Market
from marketenv.learners import Training
from marketenv.markets.training import Train, Trained

SGD = Training(optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=16, steps=3)
SEEDS = torch.arange(3)


def market_of(training=SGD, **config):
    return make_market(
        "parameter_trading_v0", n_agents=3, max_cycles=2, training=training, **config
    )


def start(**config):
    """A market, its floor before the first training, and its training phase."""
    market = market_of(**config)
    return market, rounds.opened(market, SEEDS).floor, market.phase(Train)


def with_models(floor, name="trader", of="trader", **changes):
    return dataclasses.replace(
        floor, models={**floor.models, name: dataclasses.replace(floor.models[of], **changes)}
    )


def trained(phase, floor):
    after, own, outcome = phase.act(floor, None, None, {})
    assert own is None
    return after, outcome


def test_a_trade_trains_nothing_and_training_trades_nothing():
    market, floor, phase = start()
    after, outcome = trained(phase, floor)
    assert (
        not torch.equal(after.models["trader"].params, floor.models["trader"].params)
        and not after.flows
    )
    now = rounds.begun(market, rounds.opened(market, SEEDS))
    assert torch.equal(now.quotes.trained, after.models["trader"].params)
    assert torch.equal(outcome.loss, after.models["trader"].loss)
    # the round's start is before training
    assert torch.equal(after.models["trader"].before, floor.models["trader"].loss)


def test_effort_is_charged_at_its_price_and_the_absent_neither_train_nor_pay():
    _, floor, phase = start(effort_cost=(0.5, 0.5))
    effort = torch.tensor([1.0, 0.5, 1.0]).expand(3, -1)
    here = torch.tensor([True, True, False]).expand(3, -1)
    floor = dataclasses.replace(with_models(floor, effort=effort), present=here)
    after, outcome = trained(phase, floor)
    assert outcome.effort.tolist() == [[1.0, 0.5, 0.0]] * 3
    assert after.terms["effort"]["trader"].tolist() == [[-0.5, -0.25, 0.0]] * 3
    moved = (after.models["trader"].params != floor.models["trader"].params).any(-1)
    assert moved.tolist() == [[True, True, False]] * 3


def test_a_second_model_is_trained_by_the_same_draws_and_held_by_nothing():
    """Beside equal models without a pull it stays equal; a pull acts on the role's own alone."""
    _, floor, phase = start()
    floor = with_models(floor, "second")
    phase = Train("trader", phase.learner, second="second")
    alone, _ = trained(Train("trader", phase.learner), floor)
    after, _ = trained(phase, floor)
    assert torch.equal(after.models["second"].params, after.models["trader"].params)
    assert torch.equal(after.models["trader"].params, alone.models["trader"].params)
    own = floor.models["trader"]
    held = with_models(floor, centre=own.params, pull=torch.full_like(own.pull, 5.0))
    pulled, _ = trained(phase, held)
    assert torch.equal(pulled.models["second"].params, after.models["second"].params)
    near, far = ((x.models["trader"].params - own.params).norm() for x in (pulled, after))
    assert near < far  # drawn back to where it started


def test_a_pull_of_nothing_trains_to_the_bit_as_without():
    _, floor, phase = start()
    own = floor.models["trader"]
    held = with_models(floor, centre=own.params, pull=torch.zeros_like(own.pull))
    one, other = (trained(phase, x)[0].models["trader"].params for x in (floor, held))
    assert torch.equal(one, other)


def test_models_without_slots_begin_every_round_with_a_fresh_optimiser():
    _, floor, phase = start()
    own = floor.models["trader"]
    anew = with_models(floor, slots=own.slots[..., :0])
    used = with_models(floor, slots=torch.ones_like(own.slots))
    fresh, first, carried = (trained(phase, x)[0].models["trader"] for x in (anew, floor, used))
    # the first round's are fresh
    assert fresh.slots.shape[-1] == 0 and torch.equal(fresh.params, first.params)
    # the momentum moves it
    assert first.slots.any() and not torch.equal(carried.params, first.params)


@pytest.mark.parametrize("spoiled", ["trader", "second"])
def test_whose_training_diverges_is_reset_in_both_models_and_nobody_else(spoiled):
    """Parameters of 1e38 overflow in the first layer's products: no number of theirs stays
    finite.
    """
    _, floor, phase = start()
    floor = with_models(floor, "second")
    own = floor.models[spoiled].params
    huge = own.clone()
    huge[:, 1] = 1e38
    floor = with_models(floor, spoiled, spoiled, params=huge)
    after, outcome = trained(Train("trader", phase.learner, second="second"), floor)
    assert outcome.diverged.tolist() == [[False, True, False]] * 3
    for name in ("trader", "second"):
        assert torch.equal(after.models[name].params[:, 1], floor.models[name].params[:, 1])
        assert after.models[name].slots[:, 1].eq(0).all() and after.models[name].slots[:, 0].any()
        assert not torch.equal(after.models[name].params[:, 0], floor.models[name].params[:, 0])


def test_a_second_training_phase_draws_numbers_of_its_own_and_names_its_cost():
    market, floor, phase = start()
    again = Train("trader", phase.learner, name="more")
    one, other = (trained(x, floor)[0] for x in (phase, again))
    assert not torch.equal(one.models["trader"].params, other.models["trader"].params)
    assert other.terms.keys() == {"effort of more"}
    chain = Market(market.people, (phase, again, *market.phases[1:]), horizon=1)
    truth = dict.fromkeys(chain.roles[0].agents, chain.policies["truthful"])
    now = rounds.begin(chain, SEEDS)
    _, report = rounds.play_stage(chain, now, rounds.act(chain, truth, now))
    # the latest, from whose models the trade goes on
    assert report.of(Trained) is report.outcomes["more"]
    assert torch.equal(now.floor.models["trader"].loss, report.outcomes["more"].loss)
    assert not torch.equal(report.outcomes["train"].loss, report.outcomes["more"].loss)
    charged = report.terms["effort"]["trader"] + report.terms["effort of more"]["trader"]
    assert torch.equal(charged, -2 * now.floor.types["trader"]["effort_cost"])


def test_without_a_learner_nothing_is_trained_and_efforts_are_paid():
    _, floor, _ = start()
    phase = Train("trader", None)
    after, outcome = trained(phase, dataclasses.replace(floor, world=None))
    assert torch.equal(after.models["trader"].params, floor.models["trader"].params)
    assert torch.equal(after.terms["effort"]["trader"], -floor.types["trader"]["effort_cost"])
    assert not outcome.diverged.any()
    with pytest.raises(ValueError, match="learner is None, so there are no models to test"):
        phase.test_scores(floor, None)


def test_it_says_who_trained_at_which_effort_to_which_loss():
    _, floor, phase = start()
    _, outcome = trained(phase, with_models(floor, effort=torch.full((3, 3), 0.25)))
    lines = outcome.story(["trader_0", "trader_1", "trader_2"])
    assert (
        lines[1] == f"trader_1 trains at effort 0.25 to a loss of {float(outcome.loss[0, 1]):.4f}."
        and len(lines) == 3
    )


def test_it_is_the_phase_that_knows_test_scores():
    market, floor, phase = start()
    assert market.phase(phases.Tested) is phase
    found = phase.test_scores(floor, None)
    assert found.loss.shape == (3, 3) and not torch.equal(found.loss, floor.models["trader"].loss)
