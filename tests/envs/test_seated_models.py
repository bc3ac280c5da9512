"""Models of stable-baselines3 as opponents in a market of three stages: each plays at the seat
at which it was trained.
"""

import numpy as np
import pytest
import torch
from relay_doors import CARRIER, SELLER, relay
from relay_learners import rows, vector
from relay_market import Offered, Shipped, relay_market
from stable_baselines3 import PPO

from marketenv.envs import MarketVectorEnv
from marketenv.envs.opponents import SeatedModel, find_opponents

# what a seller sees of both stages in round one: flag, round; flag, orders, round
OFFER, SHIP = [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]


class Model:
    """Sees and fills the spaces that it is given, as it is told to."""

    def __init__(self, observation_space, action_space, answer):
        self.observation_space, self.action_space, self.answer, self.seen = (
            observation_space,
            action_space,
            answer,
            [],
        )

    def predict(self, observation, deterministic):
        self.seen.append(observation)
        return np.repeat(np.array([self.answer], dtype=np.float32), len(observation), 0), None


def seller(answer, stages=None, levels=None):
    """A model that was trained at the door of a seller in these stages."""
    env = rows(SELLER, 1, stages, levels=levels)
    return Model(env.observation_space, env.action_space, answer)


def a_round(model):
    """The price and the shipping of a round against this seller, whose buyer_0 buys and whose
    buyer_1 does not.
    """
    env = vector("buyer_0", 1, opponents={"seller": model}, horizon=1)
    env.reset(seed=0)
    env.step(np.array([[1, 1]], dtype=np.float32))
    return float(env.report.of(Offered).price), bool(env.report.of(Shipped).good)


# a price of -0.6 in the box is (1 - .6) / 2 = .2; a truthful seller asks .5 and ships the good
@pytest.mark.parametrize(
    ("stages", "levels", "answer", "plays"),
    [
        (None, None, [-0.6, -1.0], (0.2, False)),
        (None, None, [-0.6, 1.0], (0.2, True)),
        # level 2 of 0, 1, 2 is the largest price, option 0 is junk
        (("ship", "offer"), 3, [2, 0], (1.0, False)),
        (("ship",), None, [-1.0], (0.5, False)),  # it never learned to offer: the truth
        (("offer",), None, [-0.6], (0.2, True)),  # it never learned to ship
    ],
)
def test_a_model_plays_the_stages_that_it_learned(stages, levels, answer, plays):
    price, good = a_round(seller(answer, stages, levels))
    assert (pytest.approx(price), good) == plays


def test_it_sees_what_its_door_showed():
    model = seller([-0.6, 1.0])
    a_round(model)
    _, offer, ship, *_ = model.seen  # the first is the question whether it keeps a memory
    # one or two orders
    assert offer.tolist() == [OFFER] and ship[0].tolist() in ([0, 0, 1, 1, 0], [0, 0, 1, 2, 0])


def test_a_model_of_the_parallel_form_sees_turn_flags():
    env = relay()
    # a fee of (1 + .5) / 2 * .2 = .15
    model = Model(env.observation_space(CARRIER), env.action_space(CARRIER), [0.5])
    policy = find_opponents({CARRIER: model}, env.market)[CARRIER]
    (move,) = env.market.moves_of("carrier")
    assert policy(torch.tensor([[2.0]]), move, torch.arange(1)).tolist() == [[0.5]]
    assert model.seen[-1].tolist() == [[1.0, 2.0]]  # the flag, and two orders


def test_a_trained_model_of_several_stages_plays_as_it_predicts():
    model = PPO(
        "MlpPolicy", rows(SELLER, 2), n_steps=4, batch_size=8, n_epochs=1, device="cpu", seed=0
    ).learn(8)
    market = relay_market(carriers=1)
    offer, ship = market.moves_of("seller")
    predicted = model.predict(np.array([OFFER, SHIP], dtype=np.float32), deterministic=True)[0]
    policy = SeatedModel(model, market)
    assert float(policy(torch.zeros(1, 1), offer, torch.arange(1))) == pytest.approx(
        predicted[0, 0], abs=1e-6
    )
    assert float(policy(torch.zeros(1, 2), ship, torch.arange(1))) == pytest.approx(
        predicted[1, 1], abs=1e-6
    )


def test_a_model_that_fits_no_seat_is_refused_with_what_there_is():
    buyer = rows("buyer", 1)
    model = Model(buyer.observation_space, buyer.action_space, [0.0, 0.0])
    said = (
        r"(?s)the model sees Box.*\(4,\).*which is no seat of a seller.*offer, ship: Box.*\(5,\).*;"
        r" offer: Box.*; ship: Box"
    )
    for name in ("seller", SELLER):
        with pytest.raises(ValueError, match=said):
            MarketVectorEnv(relay_market(carriers=1), 1, "buyer_0", {name: model})
    # who of them the model shall be is asked when somebody moves
    everybody = vector("buyer_0", 1, opponents=model)
    with pytest.raises(ValueError, match="no seat of a seller"):
        everybody.reset(seed=0)


def test_boxes_of_another_market_are_no_seat_where_there_are_several():
    model = seller([0.0, 0.0])
    model.observation_space = type(model.observation_space)(-9, 9, model.observation_space.shape)
    with pytest.raises(
        ValueError, match="Build the market with the arguments that it was trained with"
    ):
        find_opponents({"seller": model}, relay_market(carriers=1))
