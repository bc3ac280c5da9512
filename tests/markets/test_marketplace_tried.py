"""The marketplace as a user meets it: what went wrong when it was tried out stays mended."""

import re

import numpy as np
import pytest
import torch

from marketenv import marketplace_v0
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.learners import MLP, Training
from marketenv.markets.table import make_market

SMALL = {"max_cycles": 2, "data_options": {"max_examples": 300}}
PURCHASE = {"rule": "procurement", "data_market": {"pilots": (10, 20), "mixtures": 4}}


def random_actions(env, rng):
    return {
        agent: rng.uniform(-1, 1, env.action_space(agent).shape).astype(np.float32)
        for agent in env.agents
    }


class ShortInit(MLP):
    """A learner whose first models are too short."""

    def init(self, keys):
        return super().init(keys)[:, :3]


def test_a_learner_is_refused_by_what_is_wrong_with_it_before_its_permutations_are_tried():
    learner = ShortInit((64,), 10, "classification", Training(steps=1), hidden=(4,))
    with pytest.raises(ValueError, match=r"learner.init returned parameters of shape \[4, 3\]"):
        make_market("marketplace_v0", learner=learner, **SMALL)


@pytest.mark.parametrize("trade", ["nash_bargaining", "ipfl"])
def test_a_market_of_one_developer_is_saved_and_taken_up_at_every_stage(trade, tmp_path):
    """What one developer alone has are tensors of one number, whose strides may be anything."""
    env, other = (marketplace_v0.parallel_env(n_developers=1, trade=trade, **SMALL) for _ in "ab")
    env.reset(seed=0)
    rng, steps = np.random.default_rng(0), 0
    while env.agents:
        env.save(tmp_path / "state")
        other.load(tmp_path / "state")
        assert np.array_equal(other.state(), env.state())
        actions = random_actions(env, rng)
        assert env.step(actions)[1:] == other.step(actions)[1:]  # rewards, ends and infos
        steps += 1
    assert steps == 2 * 3  # rounds of commit, contribute and compute: one alone does not trade


def test_a_round_in_words_tells_no_payment_that_is_a_rest_of_rounding():
    """The whole budget is spent here, and 1e-12 of it comes back from what was held."""
    one = {"n_developers": 1, "compute": None, "trade": None}
    market = make_market("marketplace_v0", **(SMALL | PURCHASE | one | {"max_cycles": 1}))
    names = agent_names(market)
    profile = dict.fromkeys(names, market.policies["truthful"])
    *_, (_, _, report) = rounds.play(market, profile, torch.zeros(1, dtype=torch.int64))
    returned = float(report.flows["returned"].money.sum())
    assert 0 < returned < 1e-10
    payments = [line for line in report.story(names) if re.search(r" pays .* [\d.]+$", line)]
    assert payments[0].startswith("developer_0 pays account held")
    assert all(line.startswith("account held pays owner") for line in payments[1:])
