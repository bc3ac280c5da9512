"""The training script end to end at toy size."""

import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import exit_code

from agents.rl import TrainConfig, train
from marketenv import make_market

ROOT = Path(__file__).resolve().parents[2]
TOY = [
    "--num-envs",
    "4",
    "--n-steps",
    "4",
    "--batch-size",
    "8",
    "--updates",
    "1",
    "--episodes",
    "2",
    "--evaluations",
    "2",
]


def test_help_lists_every_field_with_what_it_means(capsys):
    assert exit_code("train", "--help") == 0
    told = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    for field in dataclasses.fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in told
        text = TrainConfig.__doc__.split(f"        {field.name}: ")[1].split("\n")[0]
        assert " ".join(text.split()[:3]) in told


def test_two_seeds_side_by_side_write_all_files_and_go_on(tmp_path, capsys):
    more = ("--steps", "64", "--seeds", "0", "1", "--workers", "2", "--out", tmp_path)
    assert exit_code("train", *TOY, *more) == 0
    printed = capsys.readouterr().out
    assert "exact/payoff" in printed and "price / type" in printed and "steps a second" in printed
    assert re.search(r"all seeds, steps.*128/128", printed)  # one bar for both
    found = json.loads((tmp_path / "result.json").read_text())["seeds"]
    assert [result["seed"] for result in found] == [0, 1] and found[0]["learned"] != found[1][
        "learned"
    ]
    assert (tmp_path / "learning.png").read_bytes().startswith(b"\x89PNG")
    for seed in (0, 1):
        folder = tmp_path / f"seed_{seed}"
        names = {path.name for path in folder.iterdir()}
        wanted = {
            "policy.safetensors",
            "result.json",
            "progress.csv",
            "speed.csv",
            "tensorboard",
            "checkpoints",
            "lock",
        }
        assert names == wanted and list((folder / "tensorboard").glob("events.*"))
    toy = {
        "num_envs": 4,
        "n_steps": 4,
        "batch_size": 8,
        "updates": 1,
        "episodes": 2,
        "evaluations": 2,
        "steps": 64,
    }
    config = TrainConfig(**toy, out=tmp_path)
    # taken up from its folder: nothing is left to train
    assert json.loads(json.dumps(train(config, 1))) == found[1]
    alone = json.loads(json.dumps(train(dataclasses.replace(config, out=tmp_path / "alone"), 1)))
    # and a run alone gives the same numbers
    assert {**alone, "speed": 0} == {**found[1], "speed": 0}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_script", ROOT / "scripts" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "settings",
    [
        {"market": "parameter_trading_v0", "arguments": ("n_agents=2", "max_cycles=2")},
        {"arguments": ("game=first_price",), "num_envs": 4},
    ],
)
def test_everybody_can_learn_one_policy(settings, script, tmp_path, capsys):
    plain = {
        "num_envs": 2,
        "n_steps": 2,
        "batch_size": 8,
        "updates": 1,
        "episodes": 2,
        "evaluations": 1,
        "steps": 16,
    }
    script.main(TrainConfig(**{**plain, **settings}, agent="all", out=tmp_path))
    printed = capsys.readouterr().out
    assert (
        "difference (mean)" in printed
        and "one back to truth (mean)" in printed
        and "[95 %]" not in printed
    )
    assert "stands on too few episodes: an interval wants at least 20" in " ".join(printed.split())
    (found,) = json.loads((tmp_path / "result.json").read_text())["seeds"]
    # two pairs make no interval
    assert found["agent"] == "all" and found["deviation_to_truth"]["low"] is None
    assert (tmp_path / "learning.png").is_file()


def test_every_agent_can_learn_a_policy_of_its_own(script, tmp_path, capsys):
    toy = {"num_envs": 4, "n_steps": 4, "batch_size": 8, "updates": 1, "evaluations": 1}
    config = TrainConfig(agent="each", steps=16, episodes=2, seeds=(0, 1), **toy, out=tmp_path)
    script.main(config)
    printed = capsys.readouterr().out
    # a row of earnings for each agent and seed, and two of behaviour
    assert printed.count("buyer_0") == printed.count("seller_0") == 2 + 4
    assert "welfare, the sum of all utilities, per episode" in printed
    assert "exact/exploitability" in printed
    assert (tmp_path / "learning.png").read_bytes().startswith(b"\x89PNG")
    assert script.steps_done(config.with_defaults()) == 2 * 16
    assert {path.parent.name for path in tmp_path.rglob("policy.safetensors")} == {
        "buyer_0",
        "seller_0",
    }


def test_a_picture_of_a_role_that_learned_is_drawn(script, tmp_path):
    config = TrainConfig(
        agent="seller",
        num_envs=4,
        n_steps=4,
        batch_size=8,
        steps=16,
        evaluations=1,
        episodes=2,
        out=tmp_path,
    )
    script.main(config)
    assert (tmp_path / "learning.png").is_file()


def test_a_picture_without_evaluations_is_drawn_too(script, tmp_path):
    config = TrainConfig(
        agent="seller_0",
        num_envs=4,
        n_steps=4,
        batch_size=8,
        steps=16,
        evaluations=0,
        episodes=2,
        out=tmp_path,
    )
    script.main(config)
    assert (tmp_path / "learning.png").is_file()


def test_steps_of_all_seeds_are_added_up(script, tmp_path):
    config = TrainConfig(
        seeds=(0, 1),
        num_envs=4,
        n_steps=4,
        batch_size=8,
        steps=32,
        evaluations=0,
        episodes=2,
        out=tmp_path,
    )
    assert script.steps_done(config) == 0
    train(config, 1)
    assert script.steps_done(config) == 32


def test_intervals_stand_in_a_column_that_says_so(script):
    found = {"mean": 1.0, "low": 0.5, "high": 1.5}
    one = {
        "seed": 0,
        "learned_mean": 2.0,
        "truthful_mean": 1.0,
        "difference": found,
        "deviation_to_truth": None,
        "exact": {},
    }
    few = one | {"seed": 1, "difference": {"mean": 1.0, "low": None, "high": None}}
    heads = {
        len(rows): [column.header for column in script.earnings(rows).columns]
        for rows in ([one, few], [few])
    }
    assert heads == {
        2: ["seed", "learned", "truthful", "difference [95 %]"],
        1: ["seed", "learned", "truthful", "difference (mean)"],
    }
    assert list(script.earnings([one, few]).columns[3].cells) == [
        "+1.000 [+0.500, +1.500]",
        "+1.000",
    ]


DOUBLE = {"truth", "best against truth", "linear equilibrium"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({}, DOUBLE),
        # A = (v1 / 2 + 3 c0 / 2) / 2 = 1/4 at weight 1/2 (Chatterjee and Samuelson 1983): a lowest
        # value above has no such line
        ({"values": (0.3, 1.0)}, DOUBLE - {"linear equilibrium"}),
        ({"mechanism": "posted_price"}, {"truth"}),
        ({"max_cycles": 2}, {"truth"}),
        ({"game": "first_price"}, {"truth", "equilibrium"}),
        ({"game": "first_price", "reserve": 0.3}, {"truth"}),
        ({"game": "first_price", "mechanism": "second_price"}, {"truth"}),
        ({"game": "second_price"}, {"truth"}),
    ],
)
def test_theory_is_drawn_for_the_game_that_is_played(script, arguments, wanted):
    market = make_market("reference_v0", **arguments)
    for role in market.roles:
        assert set(script.known_prices(market, role.name)) == wanted


def test_without_the_learning_library_the_script_says_what_to_install():
    code = "import runpy, sys; sys.modules['stable_baselines3'] = None; sys.argv[1:] = ['--help']; "
    code += "runpy.run_path('scripts/train.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (
        done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    )
    assert "pip install 'marketenv[sb3,scripts]'" in done.stderr


def test_a_wrong_name_ends_with_its_neighbour(capsys):
    code, told = exit_code("train", "--market", "reference_v1"), capsys.readouterr().err
    assert code == 2 and "Did you mean 'reference_v0'" in told and "Traceback" not in told
