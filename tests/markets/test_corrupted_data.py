"""Markets whose agents own bad data: reached by ``data_options``, and learned from as far as
there are labels.
"""

import pytest
import torch

from marketenv.core import rounds, tree
from marketenv.data import CORRUPTIONS
from marketenv.envs import make_market, make_parallel
from marketenv.learners import Training
from marketenv.markets.training import Train
from marketenv.markets.worlds import shared_exams

TRADING, SHARING = "parameter_trading_v0", "model_sharing_v0"
TRAINED = (TRADING, SHARING)
X, Y = torch.arange(480.0).view(120, 4) / 480, torch.arange(120) % 3
SMALL = {
    "n_agents": 3,
    "data": (X, Y),
    "partition": "balanced",
    "max_cycles": 2,
    "training": Training(steps=2),
}
RATE = (0.0, 0.2, 0.5)
SEEDS = torch.tensor([3, 4])


def small(name, corruption=None, rate=RATE, **more):
    options = (
        {}
        if corruption is None
        else {"corruption": corruption, "corruption_options": {"rate": rate}}
    )
    return make_market(name, **SMALL | {"data_options": options} | more)


def params(market):
    (role,) = market.people.roles
    return rounds.begin(market, SEEDS).floor.models[role].params


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("name", TRAINED)
def test_only_agents_of_bad_data_learn_otherwise(name, corruption):
    bad, clean = params(small(name, corruption)), params(small(name))
    assert torch.equal(bad[:, 0], clean[:, 0]) and not torch.equal(bad[:, 2], clean[:, 2])


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("name", TRAINED)
def test_worlds_of_bad_data_are_joined_and_split_without_a_change(name, corruption):
    """A batch in which one market restarts trains on what fresh batches of the same seeds train
    on.
    """
    market = small(name, corruption)
    before, fresh = rounds.begin(market, SEEDS), rounds.begin(market, torch.tensor([9]))
    mixed = tree.put(before.floor, torch.tensor([0]), fresh.floor)
    anew = rounds.begin(market, torch.tensor([9, 4]))
    (role,) = market.people.roles
    assert torch.allclose(mixed.models[role].params, anew.floor.models[role].params, atol=1e-5)
    scores = [
        floor.world.score(anew.floor.models[role].params, floor.round)
        for floor in (mixed, anew.floor)
    ]
    assert torch.allclose(scores[0].loss, scores[1].loss, atol=1e-5)
    effort, keys = torch.ones(6), torch.arange(6)
    models, lessons = anew.floor.models[role].params.flatten(0, 1), []
    for floor in (mixed, anew.floor):
        material = floor.world.material(floor.round)
        learner = market.phase(Train).learner
        lessons.append(learner.train(models, learner.fresh_slots(6), material, effort, keys)[0])
    assert torch.allclose(*lessons, atol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_a_whole_episode_is_played(name):
    env = make_parallel(
        name,
        **SMALL
        | {"data_options": {"corruption": "unlabeled", "corruption_options": {"rate": RATE}}},
    )
    env.reset(seed=0)
    while env.agents:
        _, rewards, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert len(rewards) == 3


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_exams_are_shared_as_those_of_clean_data(corruption):
    for more in ({}, {"data": "linear", "learner": "linear", "training": None}):
        if more and CORRUPTIONS[corruption].classes:
            continue
        market = small(TRADING, corruption, **more)
        assert shared_exams(market.source, market.device) == (
            (False, False) if more else (True, True)
        )


def test_hidden_labels_make_the_data_of_a_trader_smaller():
    # 72 training rows, 24 each; round(.2 * 24) = 5 and 12 labels are hidden
    world = rounds.opened(small(TRADING, "unlabeled"), SEEDS).floor.world
    assert world.content.sizes.tolist() == [[24, 19, 12]] * 2


def test_hidden_labels_make_the_size_of_a_client_smaller():
    market = small(SHARING, "unlabeled")
    now = rounds.opened(market, SEEDS)
    assert now.floor.world.content.train.size.tolist() == [[24, 19, 12]] * 2
    assert now.floor.types["client"]["sizes"].tolist() == [[24, 19, 12]] * 2


@pytest.mark.parametrize("name", TRAINED)
def test_an_agent_that_knows_no_label_is_refused_where_the_market_is_made(name):
    with pytest.raises(ValueError, match="agent 2 of market 0 knows no label at all"):
        small(name, "unlabeled", rate=(0, 0, 1))


@pytest.mark.parametrize("corruption", ["mislabeled", "feature_noise", "covariate_shift"])
def test_changed_rows_do_not_drift(corruption):
    for rate in (1e-9, 0.5):  # so rare that the first seeds have none
        with pytest.raises(
            ValueError,
            match=(
                r"data_drift is 0.5, but every seed draws examples of its own.* and a corruption do"
            ),
        ):
            small(SHARING, corruption, rate=rate, data_drift=0.5)


def test_hidden_labels_drift_with_the_rows():
    market = small(SHARING, "unlabeled", rate=0.5, data_drift=1.0)
    world = rounds.opened(market, SEEDS).floor.world
    owned = world.owned(torch.tensor([0, 1]))
    federation = market.source.federation(SEEDS)
    for market_number in range(2):
        for agent in range(3):
            n = int(owned.size[market_number, agent])
            hidden = federation.train.index[market_number, agent][
                ~federation.labelled[market_number, agent]
            ]
            rows = set(owned.index[market_number, agent, :n].tolist())
            # others are hidden later
            assert n == 12 and bool(rows & set(hidden.tolist())) == (market_number == 1)
