"""Learning to move in some stages of a round: of the relay market, whose numbers can be worked out
by hand.

Truth asks 1/2, and a buyer buys where its type, uniform on [0, 1], is at least that. The seller
then earns 1/2 less ``COST`` for each buyer where it ships the good, and nothing where it ships
junk.
"""

import itertools
import json

import numpy as np
import pytest
import torch
from relay_market import COST, Offered, Shipped, relay_market
from stable_baselines3.common.vec_env import VecNormalize

from agents.rl import TrainConfig, load_policy, train
from agents.rl.algorithms import ALGORITHMS
from agents.rl.policy import learned
from agents.rl.start import imitate
from agents.rl.training import check
from marketenv.core import rounds
from marketenv.core.market import agent_names, move_of
from marketenv.envs.sb3 import MarketSB3Env
from marketenv.envs.vector import MarketVectorEnv

STAGES = ("ship",)


def config(tmp_path, algorithm="ppo", stages=STAGES, **more):
    """A run of seconds: 16 markets, of which each plays 3 rounds an episode."""
    small = {
        "num_envs": 16,
        "steps": 512,
        "n_steps": 8,
        "batch_size": 32,
        "updates": 4,
        "network": (8,),
        "evaluations": 0,
    }
    small |= {"n_steps": 1, "updates": 8, "entropy": 0.01} if algorithm == "sac" else {}
    chosen = (
        small | {"market": "any", "agent": "seller_0", "episodes": 4, "learning_rate": 0.01} | more
    )
    return TrainConfig(algorithm=algorithm, stages=stages, out=tmp_path / "out", **chosen)


def market(horizon=3):
    return relay_market(horizon=horizon)


def played(policy, seeds):
    """The reports of an episode in which the policy is the seller, and all others tell the
    truth.
    """
    game = market()
    policies = dict.fromkeys(agent_names(game), game.policies["truthful"]) | {"seller_0": policy}
    return [report for *_, report in rounds.play(game, policies, seeds) if report is not None]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_seller_learns_to_ship_what_it_is_paid_for_and_offers_truthfully(algorithm, tmp_path):
    result = train(config(tmp_path, algorithm), 0, market=market())
    policy = load_policy(tmp_path / "out" / "seed_0", market())
    # it sees orders and the round, and no flags
    assert policy.seat.stages == STAGES and len(policy.mean) == 2
    reports = played(policy, torch.arange(50))
    assert all(bool((report.of(Offered).price == 0.5).all()) for report in reports)
    sold = torch.cat([report.flows["hold"].money.sum((1, 2)) > 0 for report in reports])
    good = torch.cat([report.of(Shipped).good for report in reports])
    assert sold.sum() > 50 and good[sold].double().mean() > 0.9  # 3/4 of 150 rounds sell
    assert len(result["learned"]) == 4 and max(result["learned"]) > 0


def test_both_of_a_sellers_stages_are_learned_where_none_is_named(tmp_path):
    train(config(tmp_path, stages=None, steps=128), 0, market=market())
    policy = load_policy(tmp_path / "out" / "seed_0", market())
    # a flag and the round; a flag, orders and the round
    assert policy.seat.stages == ("offer", "ship") and len(policy.mean) == 5
    prices = torch.cat([report.of(Offered).price for report in played(policy, torch.arange(4))])
    assert not bool((prices == 0.5).any())  # a network's prices, which no truth gives exactly


def test_what_it_earns_while_it_trains_is_what_the_evaluation_finds(tmp_path):
    """Learned in one stage, evaluated in all: the same policy at the door and as any policy
    earns the same.
    """
    train(config(tmp_path, steps=128), 0, market=market())
    policy = load_policy(tmp_path / "out" / "seed_0", market())
    door = MarketVectorEnv(market(), 8, "seller_0", stages=STAGES)
    seen, _ = door.reset(seed=5)
    move, total = move_of(market(), "seller_0", "ship"), np.zeros(8)
    for _ in range(3):
        actions = policy(torch.as_tensor(seen), move, torch.zeros(8, dtype=torch.int64))
        seen, rewards, *_ = door.step(actions.numpy())
        total += rewards
    utility = sum(report.rewards[:, 0] for report in played(policy, torch.arange(5, 13)))
    assert total == pytest.approx(utility.numpy(), abs=1e-12) and 0 < total.max() <= 3 * 2 * (
        0.5 - COST
    )


@pytest.mark.parametrize(("stages", "dim"), [(STAGES, 2), (("offer",), 1), (None, 5)])
def test_a_search_from_truth_begins_with_the_truth_of_its_stages(stages, dim, tmp_path):
    game = market(horizon=2)
    envs = VecNormalize(MarketSB3Env(game, 32, "seller_0", stages=stages), gamma=1.0)
    model = ALGORITHMS["ppo"].build(config(tmp_path, stages=stages).with_defaults(), 0, envs)
    assert imitate(model, envs, game.policies["truthful"]) < 0.2
    policy = learned(model)
    assert envs.observation_space.shape == (dim,) and policy.seat.stages == (
        stages or ("offer", "ship")
    )
    truth = game.policies["truthful"]
    for move, seen in itertools.product(game.moves_of("seller"), (0.0, 1.0)):
        observation, keys = (
            torch.full((1, move.observation.dim), seen),
            torch.zeros(1, dtype=torch.int64),
        )
        error = (policy(observation, move, keys) - truth(observation, move, keys)).abs().max()
        # where it learned nothing it is the truth itself
        assert error < 0.5 and (error == 0 or move.stage in policy.seat.stages)


def test_a_run_of_stages_goes_on_to_more_steps_and_is_none_of_other_stages(tmp_path):
    for steps in (128, 256):
        train(config(tmp_path, steps=steps), 0, market=market())
    train(config(tmp_path / "whole", steps=256), 0, market=market())
    one, other = (
        json.loads((folder / "out" / "seed_0" / "result.json").read_text())
        for folder in (tmp_path, tmp_path / "whole")
    )
    assert one["learned"] == other["learned"] and one["settings"]["stages"] == ["ship"]
    with pytest.raises(
        ValueError, match=r"a run of other settings: stages \['ship'\], not \['offer'\]"
    ):
        train(config(tmp_path, stages=("offer",), steps=256), 0, market=market())


def test_a_policy_of_some_stages_that_nobody_completes_says_so(tmp_path):
    train(config(tmp_path, steps=128), 0, market=market())
    alone = load_policy(tmp_path / "out" / "seed_0")
    move = move_of(market(), "seller_0", "offer")
    with pytest.raises(
        ValueError,
        match="learned to move as a seller in ship, and nobody plays a seller's 'offer' for it",
    ):
        alone(torch.zeros(1, 1), move, torch.zeros(1, dtype=torch.int64))


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("stages", "says"),
    [
        (("reply",), r"no stage in which sellers move 'reply'"),
        ((), r"stages is \(\), wanted one or more of offer, ship"),
        ("ship", r"stages is 'ship', wanted a tuple of names of stages"),
        ((1,), r"stages\[0\] is 1, wanted text"),
    ],
)
def test_other_stages_are_refused_before_anything_is_written(stages, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        check(config(tmp_path, stages=stages).with_defaults(), market())
    assert not (tmp_path / "out").exists()
