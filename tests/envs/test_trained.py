"""Trained policies: files without pickles that play at every door; wrong files are refused."""

import dataclasses
import json

import gymnasium
import numpy as np
import pytest
import torch
from own_markets import sound
from relay_market import relay_market
from safetensors import safe_open

from marketenv import make_market, make_sb3, make_single, make_vec, parameter_trading_v0
from marketenv.cli import main
from marketenv.core import rounds, storage
from marketenv.core.market import agent_names, move_of
from marketenv.core.policy import actions_of
from marketenv.envs.opponents import find_opponents
from marketenv.envs.policy_files import FOLDER, FORMAT, load_trained, save_policy, shipped
from marketenv.envs.seats import learner_seat
from marketenv.envs.trained import EPSILON, PolicyFacts, TrainedPolicy, field_sizes

BUYER = "reference/ppo_double_auction_buyer"
TRADER = "parameter_trading/ppo_buyer"
DOUBLE = make_market("reference_v0")
KEYS = torch.zeros(0, dtype=torch.int64)


def policy_of(market, role, stages=None, **facts):
    """A small untrained policy at its seat: weights that count up, and a scaling that is not 1."""
    seat = learner_seat(market, role, stages)
    sees, does, hidden = seat.observation.dim, seat.action.dim, 3
    facts = {
        "market": market.name,
        "role": role,
        "stages": seat.stages,
        "sees": field_sizes(seat.observation),
        "does": field_sizes(seat.action),
        "network": (hidden,),
        "activation": "tanh",
        "squashed": False,
        "clip": 10.0,
        "algorithm": "PPO",
        "steps": 0,
    } | facts
    layers = (
        (torch.linspace(-1, 1, hidden * sees).reshape(hidden, sees), torch.zeros(hidden)),
        (torch.linspace(-1, 1, does * hidden).reshape(does, hidden), torch.zeros(does)),
    )
    mean = torch.full((sees,), 0.25, dtype=torch.float64)
    box = seat.action
    policy = TrainedPolicy(PolicyFacts(**facts), layers, mean, mean + 3.75, box.low, box.high)
    return policy.at(market)


# --- what it computes -----------------------------------------------------------------------------


@pytest.mark.parametrize("squashed", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_actions_are_those_of_the_formula(squashed, activation):
    policy = policy_of(DOUBLE, "buyer", squashed=squashed, activation=activation, clip=0.5)
    observation = torch.tensor([[0.3, 0.0, 0.0], [0.9, 9.0, 0.0], [0.25, 0.25, 0.25]])
    x = ((observation.double().numpy() - 0.25) / np.sqrt(4 + EPSILON)).clip(-0.5, 0.5)
    (first, _), (last, _) = (tuple(part.double().numpy() for part in one) for one in policy.layers)
    hidden = {"tanh": np.tanh, "relu": lambda z: z.clip(0)}[activation](x @ first.T)
    wanted = hidden @ last.T
    wanted = np.tanh(wanted) if squashed else wanted.clip(-1, 1)  # the box is [-1, 1]
    actions = policy(observation, DOUBLE.moves[0], KEYS)
    assert actions.numpy() == pytest.approx(wanted, abs=1e-6) and actions.dtype == torch.float32
    # where it sees its mean it sees 0, and then it does 0: it has no biases
    assert actions[2].tolist() == [0.0]


def test_it_draws_nothing_and_needs_no_keys():
    policy = policy_of(DOUBLE, "buyer")
    observation = torch.rand(4, 3)
    one, other = (policy(observation, DOUBLE.moves[0], keys) for keys in (KEYS, torch.arange(4)))
    assert torch.equal(one, other) and not policy.draws


def test_a_batch_and_its_rows_agree():
    policy = policy_of(DOUBLE, "buyer")
    observation = torch.rand(50, 3)
    together = policy(observation, DOUBLE.moves[0], KEYS)
    for k in range(50):
        alone = policy(observation[k : k + 1], DOUBLE.moves[0], KEYS)
        assert torch.allclose(alone[0], together[k], atol=1e-6)


def test_a_policy_of_one_of_several_stages_is_truthful_in_the_others():
    market = relay_market()
    policy, truth = policy_of(market, "seller", ("ship",)), market.policies["truthful"]
    for stage, same in (("offer", True), ("ship", False)):
        move = move_of(market, "seller_0", stage)
        observation = torch.rand(5, move.observation.dim)
        actions, wanted = (part(observation, move, KEYS) for part in (policy, truth))
        assert torch.equal(actions, wanted) == same


def test_a_policy_of_several_stages_sees_the_flag_of_its_turn(tmp_path):
    market = relay_market()
    policy = policy_of(market, "seller")
    assert tuple(policy.facts.sees)[:1] == ("offer.turn",)
    save_policy(tmp_path / "two.safetensors", policy)
    again = load_trained(tmp_path / "two.safetensors", market)
    for stage in ("offer", "ship"):
        move = move_of(market, "seller_0", stage)
        observation = torch.rand(5, move.observation.dim)
        view = policy.seat.see(stage, observation)
        wanted = policy.seat.do(stage, policy.act(view))
        assert torch.equal(again(observation, move, KEYS), wanted)
        assert bool((view[:, 0] == 1).all()) == (stage == "offer")  # the flag of the first stage


@pytest.mark.gpu
def test_on_a_gpu_it_acts_as_on_the_cpu():
    policy, observation = policy_of(DOUBLE, "buyer"), torch.rand(50, 3)
    there = policy(observation.cuda(), DOUBLE.moves[0], KEYS)
    assert there.is_cuda
    assert torch.allclose(there.cpu(), policy(observation, DOUBLE.moves[0], KEYS), atol=1e-5)


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_policy(path, policy_of(DOUBLE, "buyer", seed=3, arguments={"values": (0, 1)}))
    return path


def test_a_file_gives_back_the_policy_to_the_bit(file):
    policy, again = policy_of(DOUBLE, "buyer"), load_trained(file, DOUBLE)
    for name, tensor in policy.tensors().items():
        assert (
            torch.equal(tensor, again.tensors()[name])
            and tensor.dtype == again.tensors()[name].dtype
        )
    assert again.facts == dataclasses.replace(policy.facts, seed=3, arguments={"values": (0, 1)})
    assert again.seat == policy.seat


def test_a_file_holds_no_pickle(file):
    with safe_open(str(file), "pt") as content:
        header = content.metadata()
    assert header["format"] == FORMAT and json.loads(header["about"])["role"] == "buyer"


def rewritten(file, facts=None, **tensors):
    """The same file with other facts and tensors, and a checksum that fits; None leaves one out."""
    about, content = storage.read(file, FORMAT)
    content = {name: part for name, part in (content | tensors).items() if part is not None}
    about = {name: part for name, part in (about | (facts or {})).items() if part is not ...}
    storage.write(file, content, about, FORMAT)


NAN = float("nan")


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("facts", "tensors", "says"),
    [
        ({}, {"bias_0": torch.full((3,), NAN)}, r"bias_0 is \[nan, nan, nan\], wanted finite"),
        ({}, {"var": torch.tensor([1.0, -1.0, 1.0]).double()}, "var is .* at least 0"),
        ({}, {"mean": None}, "its tensors lack mean and have too much: nothing"),
        ({}, {"weight_1": None, "bias_1": None}, "its tensors lack bias_1, weight_1"),
        ({}, {"weight_2": torch.zeros(1)}, "lack nothing and have too much: weight_2"),
        (
            {},
            {"weight_0": torch.zeros(3, 4)},
            r"weight_0 is float32 \[3, 4\], wanted float32 \[3, 3\]",
        ),
        ({}, {"mean": torch.zeros(3)}, r"mean is float32 \[3\], wanted float64 \[3\]"),
        ({}, {"low": torch.ones(1), "high": torch.zeros(1)}, r"low is \[1.0\] and high \[0.0\]"),
        ({"network": [4]}, {}, r"bias_0 is float32 \[3\], wanted float32 \[4\]"),
        ({"role": ...}, {}, "its facts lack role and have too much: nothing"),
        ({"colour": "red"}, {}, "its facts lack nothing and have too much: colour"),
        ({"activation": "tan"}, {}, "no activation 'tan'. Did you mean 'tanh'"),
        ({"clip": 0}, {}, "clip is 0, wanted a finite number > 0"),
        ({"steps": "many"}, {}, "steps is 'many', wanted a whole number"),
        ({"sees": 3}, {}, "sees is 3, wanted a mapping"),
        ({"does": {"price": "one"}}, {}, r"does\['price'\] is 'one', wanted a whole number >= 1"),
        (
            {"sees": {"type": 1, "last_price": 2}},
            {},
            "it sees type .1., last_price .2., and a buyer",
        ),
        (
            {"does": {"bid": 1}},
            {},
            r"it does bid \(1\), and a buyer of this market does price \(1\)",
        ),
        (
            {"stages": ["bidding"]},
            {},
            "it moves as a buyer in bidding, and the stages of this market",
        ),
        (
            {"role": "trader"},
            {},
            "it moves as a trader in auction, and the stages .* buyer: auction",
        ),
        (
            {"market": "parameter_trading_v0"},
            {},
            "trained in parameter_trading_v0, .* reference_v0",
        ),
        ({}, {"high": torch.full((1,), 2.0)}, r"actions lie in \[-1.0\] to \[2.0\], those of this"),
    ],
)
def test_a_wrong_file_is_refused_with_what_came_and_what_was_wanted(file, facts, tensors, says):
    rewritten(file, facts, **tensors)
    with pytest.raises(ValueError, match=says) as error:
        load_trained(file, DOUBLE)
    assert "mine.safetensors" in str(error.value)


def test_another_width_names_the_arguments_of_the_training(tmp_path):
    market = make_market("parameter_trading_v0", n_agents=3)
    path = tmp_path / "three.safetensors"
    save_policy(path, policy_of(market, "trader", arguments={"n_agents": 3}))
    with pytest.raises(ValueError, match="Build the market as it was trained: with n_agents=3"):
        load_trained(path, make_market("parameter_trading_v0", n_agents=4))


def test_a_damaged_file_is_refused(file):
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="may be damaged or cut short"):
        load_trained(file)
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    file.write_bytes(flipped)
    with pytest.raises(ValueError, match="does not match its checksum"):
        load_trained(file)
    with pytest.raises(ValueError, match="cannot read"):
        load_trained(file.with_name("nowhere.safetensors"))


def test_another_format_is_refused(file):
    about, tensors = storage.read(file, FORMAT)
    storage.write(file, tensors, about, "marketenv-policy-2")
    with pytest.raises(ValueError, match=f"format 'marketenv-policy-2', wanted '{FORMAT}'"):
        load_trained(file)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("reference/ppo_double_auction_byer", f"Did you mean '{BUYER}'"),
        ("ppo_buyer", f"Did you mean '{TRADER}'"),
        ("", "no trained policy ''"),
    ],
)
def test_an_unknown_name_gets_its_neighbour(name, says):
    with pytest.raises(ValueError, match=says):
        make_vec("reference_v0", 2, agent="seller_0", opponents=f"trained:{name}")


# --- doors ----------------------------------------------------------------------------------------


def test_it_plays_its_role_alone(file):
    part = f"trained:{file}"
    everybody = find_opponents(part, DOUBLE)
    for role, same in (("buyer", False), ("seller", True)):
        move = move_of(DOUBLE, f"{role}_0")
        observation = torch.rand(5, 3)
        actions = actions_of(everybody[f"{role}_0"], observation, move, KEYS)
        assert torch.equal(actions, DOUBLE.policies["truthful"](observation, move, KEYS)) == same
    for name in ("seller", "seller_0"):
        with pytest.raises(ValueError, match="is a buyer's, and a seller shall play it"):
            find_opponents({name: part}, DOUBLE)
    with pytest.raises(ValueError, match="nobody plays a seller's 'auction' for it"):
        load_trained(file)(torch.rand(5, 3), move_of(DOUBLE, "seller_0"), KEYS)


def test_a_policy_for_all_others_is_refused_where_its_whole_role_learns():
    """Everybody would be truthful, and the learner would never meet it."""
    buyer, bidder = f"trained:{BUYER}", "trained:reference/ppo_first_price_bidder"
    for opponents in (buyer, {"buyer": buyer}, {"buyer": buyer, "seller": "random"}):
        with pytest.raises(ValueError, match=r"no other agent is a buyer.* of the role seller"):
            make_vec("reference_v0", 2, agent="buyer_0", opponents=opponents)
    with pytest.raises(ValueError, match=r"no other agent is a buyer.*Leave it out: every agent"):
        make_vec("reference_v0", 2, opponents=bidder, game="first_price", n_buyers=1)
    make_vec("reference_v0", 2, agent="seller_0", opponents={"buyer": buyer})
    make_vec(
        "reference_v0",
        2,
        agent="buyer_0",
        opponents=bidder,
        game="first_price",
        n_buyers=2,
    )


@pytest.mark.parametrize("given", [f"trained:{BUYER}", {"buyer": f"trained:{BUYER}"}])
def test_a_shipped_policy_plays_at_every_door_of_a_learner(given):
    """The seller's rewards of the first round are those of the policy's own bids."""
    policy = load_trained(BUYER, DOUBLE)
    everybody = {"buyer_0": policy, "seller_0": DOUBLE.policies["truthful"]}
    ((*_, report),) = rounds.play(DOUBLE, everybody, torch.arange(7, 11))
    wanted = report.rewards[:, 1].numpy()
    truth = {"agent": "seller_0", "opponents": given}
    vector = make_vec("reference_v0", 4, **truth)
    observations, _ = vector.reset(seed=7)
    seller = move_of(DOUBLE, "seller_0")
    actions = DOUBLE.policies["truthful"](torch.as_tensor(observations), seller, KEYS).numpy()
    assert vector.step(actions)[1] == pytest.approx(wanted, abs=1e-6)
    batch = make_sb3("reference_v0", 4, **truth)
    batch.seed(7)
    batch.reset()
    assert batch.step(actions)[1] == pytest.approx(wanted, abs=1e-6)
    for env in (make_single("reference_v0", **truth), gymnasium.make(vector.spec.id, **truth)):
        env.reset(seed=7)
        assert env.step(actions[0])[1] == pytest.approx(wanted[0], abs=1e-6)
    assert len(np.unique(wanted)) > 1


def test_it_acts_for_an_agent_of_a_pettingzoo_market():
    market = make_market("parameter_trading_v0")
    policy, env = load_trained(TRADER, market), parameter_trading_v0.parallel_env(max_cycles=2)
    observations, _ = env.reset(seed=0)
    move = move_of(market, "trader_0")
    while env.agents:
        rows = torch.stack([torch.as_tensor(observations[agent]) for agent in env.agents])
        actions = dict(zip(env.agents, policy(rows, move, KEYS).numpy(), strict=True))
        observations, rewards, *_ = env.step(actions)
    assert all(np.isfinite(reward) for reward in rewards.values())


def test_a_market_of_ones_own_has_policies_too(tmp_path):
    market = sound()
    role = market.roles[0].name
    save_policy(tmp_path / "own.safetensors", policy_of(market, role))
    everybody = find_opponents({role: f"trained:{tmp_path / 'own.safetensors'}"}, market)
    assert set(everybody) == set(agent_names(market))


# --- what the package ships -----------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_policy_is_small_and_says_how_it_was_trained(name):
    file = shipped()[name]
    facts = load_trained(name).facts
    assert file.parent.parent == FOLDER and file.stat().st_size < 50_000
    assert facts.market == f"{file.parent.name}_v0" and facts.steps > 0
    scripts = ("python scripts/train.py", "python scripts/leaderboard.py")
    assert facts.command.startswith(scripts) and "run:" not in facts.command
    assert f"--seeds {facts.seed}" in facts.command
    utility = facts.utility
    assert utility["low"] <= utility["difference"] <= utility["high"] and utility["pairs"] >= 20
    difference = utility["learned"] - utility["truthful"]
    assert utility["difference"] == pytest.approx(difference, abs=1e-9)
    market = make_market(facts.market, **facts.arguments)
    assert load_trained(name, market).seat.name == facts.role


def test_the_buyer_of_the_double_auction_bids_two_thirds_of_its_value():
    """The best answer to a truthful seller with costs U[0, 1] bids 2/3 of the value."""
    policy, move = load_trained(BUYER, DOUBLE), move_of(DOUBLE, "buyer_0")
    values = torch.linspace(0.2, 0.9, 8)[:, None]
    zeros = torch.zeros_like(values)
    observation = move.observation.pack(type=values, last_price=zeros, round=zeros)
    bids = move.read(observation, policy(observation, move, KEYS))["price"]
    assert bids.numpy() == pytest.approx(2 / 3 * values.numpy(), abs=0.08)


def test_the_command_names_the_shipped_policies(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "trained policies: trained:" in shown and f"trained:{BUYER}" in shown
    assert main(["show", "reference_v0"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    facts = load_trained(BUYER).facts
    assert f"trained:{BUYER} buyer, PPO, {facts.steps} steps, defaults; utility" in shown
    assert (
        f"{facts.utility['learned']:.3f} money, truth {facts.utility['truthful']:.3f} money"
        in shown
    )
