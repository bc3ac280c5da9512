"""Independent PPO: updates are simultaneous, runs resume to the bit, and results say who gains."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from matrix_market import COOPERATE, DEFECT, PRISONERS_DILEMMA, Constant, matrix_game
from relay_market import relay_market
from stable_baselines3.common.callbacks import BaseCallback

from agents.rl import TrainConfig, check, compare_each, load_policy, seed_folder, train
from agents.rl import checkpoint as checkpoints
from agents.rl.exact import buyer_gap, partner_gaps, seller_gap
from agents.rl.independent import learners_of
from agents.rl.monitoring import read_rows
from agents.rl.policy import learned
from agents.rl.sampled import sampled
from marketenv import make_market
from marketenv.core.market import agent_names, move_of

SMALL = {"num_envs": 8, "n_steps": 8, "batch_size": 32, "updates": 2, "network": (8,)}


def config(tmp_path, **more):
    """A run of every agent, of seconds: an iteration is 64 steps of each."""
    chosen = {
        "steps": 192,
        "evaluations": 2,
        "episodes": 2,
        "checkpoint_every": 64,
        **SMALL,
        **more,
    }
    return TrainConfig(agent="each", out=tmp_path, **chosen)


def parameters(models):
    """All numbers of each model, one after the other."""
    return {
        name: torch.cat([part.flatten() for part in model.policy.state_dict().values()])
        for name, model in models.items()
    }


# --- an iteration ---------------------------------------------------------------------------------


def test_the_order_of_the_agents_does_not_matter(tmp_path):
    market = make_market("reference_v0", game="first_price", n_buyers=3)
    settings, names = config(tmp_path).with_defaults(), agent_names(market)
    trained = []
    for order in (names, names[::-1]):
        torch.manual_seed(len(trained))  # whatever this process drew before
        learners = learners_of(settings, 0, market, order)
        for _ in range(2):
            learners.iterate()
        assert learners.steps == 2 * 64 and list(learners.models) == list(order)
        trained.append(parameters(learners.models))
    for name in names:
        assert torch.equal(trained[0][name], trained[1][name])
    assert not torch.equal(trained[0][names[0]], trained[0][names[1]])  # no twins


def test_all_updates_of_an_iteration_answer_the_policies_at_its_beginning(tmp_path):
    learners = learners_of(
        config(tmp_path).with_defaults(), 0, make_market("reference_v0"), ["buyer_0", "seller_0"]
    )
    before = sampled(learners.models["buyer_0"])
    learners.iterate()
    played, after = learners.policies["buyer_0"], sampled(learners.models["buyer_0"])
    for one in (played, after):
        same = [
            torch.equal(number, before.policy.tensors()[name])
            for name, number in one.policy.tensors().items()
            if name not in ("low", "high")
        ]
        same.append(torch.equal(one.deviation, before.deviation))
        # mean and var of what it sees, weights and biases of two layers, and the deviation
        assert same == [one is played] * 7


def test_a_sampled_policy_draws_as_the_model_does(tmp_path):
    market = make_market("reference_v0")
    learners = learners_of(config(tmp_path).with_defaults(), 0, market, ["buyer_0"])
    learners.iterate()
    model = learners.models["buyer_0"]
    policy, move = sampled(model), move_of(market, "buyer_0")
    observation, keys = torch.tensor([[0.3, 0.0, 0.0]]).repeat(4000, 1), torch.arange(4000)
    actions = policy(observation, move, keys)
    assert torch.equal(actions, policy(observation, move, keys))
    assert not torch.equal(actions, policy(observation, move, keys + 1))
    assert actions.min() >= move.action.low and actions.max() <= move.action.high
    exact = learned(model)(observation[:1], move, keys[:1])
    still = dataclasses.replace(policy, deviation=torch.zeros(1))
    assert torch.equal(still(observation[:1], move, keys[:1]), exact)
    # of a normal law that is clipped far from its median, the median is its mean, and the
    # distance from it that half of the draws keep is 0.6745 deviations; 4000 draws: 5 %
    deviation = model.policy.log_std.detach().exp().item()
    assert actions.median() == pytest.approx(float(exact), abs=0.05 * deviation)
    spread = (actions - exact).abs().median()
    assert spread == pytest.approx(0.6745 * deviation, rel=0.05)


# --- runs -----------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class Kill(BaseCallback):
    """Ends a run by an error at the start of rollout ``k``, counted over all agents."""

    def __init__(self, k):
        super().__init__()
        self.left = k

    def _on_rollout_start(self):
        self.left -= 1
        if self.left < 0:
            raise Killed

    def _on_step(self):
        return True


def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path):
    game = {"arguments": ("max_cycles=3",), "start": "truthful"}  # rollouts end within episodes
    whole, cut = (config(tmp_path / name, **game) for name in ("whole", "cut"))
    wanted = train(whole, 3)
    with pytest.raises(Killed):
        train(cut, 3, callbacks=[Kill(5)])  # in iteration 3, between buyer_0 and seller_0
    kept = checkpoints.latest(seed_folder(cut, 3))
    assert int(kept.name) == 128
    part = kept / "seller_0" / "model.zip"
    content = part.read_bytes()
    part.write_bytes(content[:100])
    words = rf"cannot read the checkpoint {re.escape(str(kept))}: .* delete this folder"
    with pytest.raises(ValueError, match=words):
        train(cut, 3)
    part.write_bytes(content)
    torch.manual_seed(99)
    result = train(cut, 3)
    assert {**result, "speed": 0} == {**wanted, "speed": 0}
    tables = [(seed_folder(one, 3) / "progress.csv").read_text() for one in (whole, cut)]
    assert tables[0] == tables[1] and len(tables[0].splitlines()) > 3
    for name in wanted["agents"]:
        first, second = (load_policy(seed_folder(one, 3) / name).tensors() for one in (whole, cut))
        assert all(torch.equal(first[part], second[part]) for part in first)
    # a finished run is not trained again, and one of more steps goes on
    assert train(cut, 3, callbacks=[Kill(0)]) == result
    with pytest.raises(Killed):
        train(dataclasses.replace(cut, steps=193), 3, callbacks=[Kill(0)])


def test_every_agent_has_a_folder_and_a_place_in_the_result(tmp_path):
    settings = config(tmp_path)
    result = train(settings, 0)
    folder = seed_folder(settings, 0)
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(result))
    assert list(result["agents"]) == ["buyer_0", "seller_0"] and result["agent"] == "each"
    utilities = [result["agents"][name]["learned"] for name in ("buyer_0", "seller_0")]
    assert np.allclose(np.sum(utilities, 0), result["welfare"]["learned"])
    row = read_rows(folder / "progress.csv")[-1]
    assert {"buyer_0/return", "seller_0/utility", "seller_0/truthful", "welfare/utility"} < set(row)
    # each learned policy is an opponent by its folder
    answer = TrainConfig(
        agent="buyer_0",
        opponents=f"run:{folder / 'seller_0'}",
        steps=64,
        evaluations=0,
        episodes=2,
        out=tmp_path / "answer",
        **SMALL,
    )
    assert len(train(answer, 0)["learned"]) == 2
    # a fresh run of one agent leaves no folder of the others behind
    train(dataclasses.replace(answer, opponents="truthful", out=tmp_path, resume=False), 0)
    assert not (folder / "seller_0").exists()


def test_prisoners_learn_to_defect(tmp_path):
    # each earns 2 more by its defection when the other defects, and 1 less otherwise... see the
    # table: defection dominates, so both end at the punishment 1, and the welfare falls from 6 to 2
    market = matrix_game(PRISONERS_DILEMMA)
    settings = config(
        tmp_path, market="any", steps=1280, evaluations=0, learning_rate=0.01, updates=5
    )
    result = train(settings, 0, market=market)
    for part in result["agents"].values():
        assert part["learned"] == [1, 1] and part["truthful"] == [0, 0]
        assert part["difference"]["mean"] == 1
    assert result["welfare"]["learned"] == [2, 2] and result["welfare"]["truthful"] == [6, 6]


def test_agents_of_several_stages_and_roles_learn_together(tmp_path):
    market = relay_market(horizon=2)
    settings = config(tmp_path, market="any", steps=64, evaluations=1)
    result = train(settings, 0, market=market)
    assert list(result["agents"]) == list(agent_names(market))
    assert all(np.isfinite(part["learned"]).all() for part in result["agents"].values())
    seller = load_policy(seed_folder(settings, 0) / "seller_0", market)
    assert seller.seat.stages == ("offer", "ship")


# --- a role ---------------------------------------------------------------------------------------


def test_the_agents_of_a_role_share_one_policy(tmp_path):
    market = relay_market(horizon=2)
    buyers = next(role.agents for role in market.roles if role.name == "buyer")
    settings = TrainConfig(
        market="any", agent="buyer", steps=64, evaluations=0, episodes=2, out=tmp_path, **SMALL
    )
    result = train(settings, 0, market=market)
    # a step of all markets is one of every buyer; a rollout of 8 rounds of 8 markets
    assert len(buyers) > 1 and result["steps"] == 64 * len(buyers)
    assert result["agent"] == "buyer" and len(result["learned"]) == 2


# --- evaluation -----------------------------------------------------------------------------------


def test_each_is_compared_with_truth_in_its_place_and_all_with_an_honest_market():
    market = matrix_game(PRISONERS_DILEMMA)  # truth is the first strategy, to cooperate
    cooperate, defect = Constant(COOPERATE, 2), Constant(DEFECT, 2)
    policies = {"player_0": defect, "player_1": cooperate}
    agents, welfare = compare_each(market, policies, 3)
    # the table: temptation 5 and sucker's 0; truth of player_0 beside a cooperator 3
    assert agents["player_0"].learned.tolist() == [5] * 3
    assert agents["player_0"].truthful.tolist() == [3] * 3
    assert agents["player_1"].learned.tolist() == agents["player_1"].truthful.tolist() == [0] * 3
    assert welfare.learned.tolist() == [5] * 3 and welfare.truthful.tolist() == [6] * 3
    assert welfare.difference.mean == -1


def test_nobody_gains_beside_the_linear_equilibrium_and_truth_is_answered_by_shading():
    # Chatterjee and Samuelson (1983) on U[0, 1]: bid 2/3 v + 1/12, ask 2/3 c + 1/4, 9/128 each
    unit = ((0.0, 1.0), (0.0, 1.0))
    bid, ask = (lambda v: 2 / 3 * v + 1 / 12), (lambda c: 2 / 3 * c + 1 / 4)
    for gap in (buyer_gap(bid, ask, *unit), seller_gap(ask, bid, *unit)):
        assert gap.payoff == pytest.approx(9 / 128, abs=1e-4)
        assert gap.exploitability == pytest.approx(0, abs=1e-4)
    truth = seller_gap(lambda c: c, lambda v: v, *unit)
    # the best ask of a truthful buyer earns 1/9, truth 1/12
    assert truth.payoff == pytest.approx(1 / 12, abs=1e-4)
    assert truth.exploitability == pytest.approx(1 / 9 - 1 / 12, abs=1e-4)
    # types on other ranges: everything trades at the middle of 2 and 1, and the best bid is 1
    gap = buyer_gap(lambda v: v * 0 + 2, lambda c: c * 0 + 1, (3.0, 4.0), (0.0, 1.0))
    assert (gap.payoff, gap.exploitability) == (pytest.approx(2), pytest.approx(0.5))


def test_exact_numbers_of_partners_are_known_in_the_double_auction_alone():
    market = make_market("reference_v0")
    truthful = dict.fromkeys(agent_names(market), market.policies["truthful"])
    numbers = partner_gaps(market, truthful)
    assert numbers["buyer_0"]["exact/payoff"] == pytest.approx(1 / 12, abs=1e-3)
    assert numbers["buyer_0"] == pytest.approx(numbers["seller_0"], abs=1e-5)
    assert partner_gaps(make_market("reference_v0", max_cycles=2), truthful) == {
        "buyer_0": {},
        "seller_0": {},
    }


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algorithm": "sac", "n_steps": 1}, "algorithm is 'sac', wanted \"ppo\""),
        ({"opponents": "random"}, "opponents is 'random', but with agent=\"each\""),
        ({"batch_size": 7}, "divisor of the rollout: n_steps 8 times 8 rows = 64"),
        ({"stages": ("ship",)}, "ship"),
        ({"arguments": ("max_cycles=3", "horizon=cut")}, "gamma is 1"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(wrong, message, tmp_path):
    settings = config(tmp_path / "out", **wrong).with_defaults()
    with pytest.raises(ValueError, match=message):
        check(settings, make_market("reference_v0", **settings.market_arguments()))
    with pytest.raises(ValueError, match=message):
        train(settings, 0)
    assert not (tmp_path / "out").exists()


def test_opponents_as_objects_are_refused_too(tmp_path):
    with pytest.raises(ValueError, match="every agent learns and nobody is an opponent"):
        train(config(tmp_path), 0, opponents={"seller_0": "random"})
