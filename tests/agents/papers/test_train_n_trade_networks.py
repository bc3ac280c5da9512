"""The studies of networks that trade run end to end at toy size, survive a kill, and print the
paper's numbers.
"""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import own_process
import pytest
import torch
from toy_images import Killed, write_images

from agents.papers.core.units import Unit
from agents.papers.train_n_trade import numbers, runs
from agents.papers.train_n_trade.images import place, read_images
from agents.papers.train_n_trade.methods import METHODS, TABLE_1, LateTrader
from agents.papers.train_n_trade.network_rows import loss_rows
from agents.papers.train_n_trade.network_studies import Neural, Table1, fig2, table1, table2
from agents.papers.train_n_trade.settings import SETTINGS
from marketenv.core.market import agent_names
from marketenv.markets.training import Train

TOY = {
    "seeds": 1,
    "rounds": 3,
    "join": 1,
    "examples": 120,
    "validation": 40,
    "test": 40,
    "workers": 1,
}

# Train 'n Trade, Table 1 and Table 2: test accuracy of agents A and B, %
PAPER_1 = {
    "mnist": {
        "out of the market": (68.50, 72.97),
        "FedAvg": (81.98, 81.98),
        "no alignment": (84.64, 84.64),
        "aligned": (86.96, 86.96),
    },
    "cifar10": {
        "out of the market": (71.14, 70.56),
        "FedAvg": (70.35, 67.85),
        "no alignment": (78.31, 78.31),
        "aligned": (79.90, 79.90),
    },
    "tinyimagenet": {
        "out of the market": (21.67, 15.89),
        "FedAvg": (19.95, 19.33),
        "no alignment": (31.28, 31.30),
        "aligned": (31.69, 31.82),
    },
}
PAPER_2 = {
    "out of the market": (71.29, 72.54),
    "layers {3, 4}": (66.28, 71.98),
    "layers {2, 3, 4}": (70.73, 73.36),
    "layers {0, 1, 2}": (74.76, 74.16),
    "layers {0, 1}": (78.86, 79.82),
    "aligned": (86.96, 86.96),
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "digits.npz", 1, 12)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "pictures.npz", 3, 8)


@pytest.fixture(scope="module")
def done(digits, pictures, tmp_path_factory):
    """All studies in one folder, and the units that each of them really did."""
    out, counts = tmp_path_factory.mktemp("out"), {}
    small = TOY | {"root": pictures, "rounds": 2, "examples": 60, "validation": 20, "test": 20}
    studies = {
        "table1": lambda: table1(Table1(out=out, root=digits, **TOY)),
        "fig2": lambda: fig2(Neural(out=out, root=digits, **TOY)),
        "table2": lambda: table2(Neural(out=out, root=digits, **TOY)),
        "table1_cifar10": lambda: table1(Table1(out=out, setting="cifar10", **small)),
    }
    with pytest.MonkeyPatch.context() as patch:
        shallow = dataclasses.replace(SETTINGS["cifar10"], options=(("depth", 10), ("width", 1)))
        patch.setitem(SETTINGS, "cifar10", shallow)
        for name, run in studies.items():
            before = len(list((out / "units").glob("*.json"))) if (out / "units").exists() else 0
            run()
            counts[name] = len(list((out / "units").glob("*.json"))) - before
    return out, counts


def read(out, name):
    return json.loads((out / f"{name}.json").read_text())


def row(facts, what):
    (found,) = [row for row in facts["rows"] if row["what"] == what]
    return found


@pytest.mark.parametrize("name", ["table1", "table2", "fig2", "table1_cifar10"])
def test_every_study_writes_json_csv_and_a_picture(done, name):
    facts = read(done[0], name)
    lines = list(csv.DictReader((done[0] / f"{name}.csv").read_text().splitlines()))
    assert [line["what"] for line in lines] == [row["what"] for row in facts["rows"]]
    assert len({row["what"] for row in facts["rows"]}) == len(facts["rows"])  # no row twice
    assert all(len(row["points"]) == row["seeds"] for row in facts["rows"])
    assert facts["scaled_down"] and facts["notes"] and facts["curves"]
    assert (done[0] / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "paper"),
    [("table1", PAPER_1["mnist"]), ("table2", PAPER_2), ("table1_cifar10", PAPER_1["cifar10"])],
)
def test_the_papers_numbers_stand_beside_ours_for_both_brokers(done, name, paper):
    facts = read(done[0], name)
    last = facts["settings"]["rounds"]
    for broker in ("broker: test data", "broker: own data"):
        for method, figures in paper.items():
            for agent, figure in zip("AB", figures, strict=True):
                assert row(facts, f"{method}, {agent}, {broker}, epoch {last}")["paper"] == figure


def test_tiny_imagenets_numbers_are_the_papers():
    reported = {
        METHODS[name].label: tuple(one.value for one in pair)
        for name, pair in numbers.TABLE_1["tinyimagenet"].items()
    }
    assert reported == PAPER_1["tinyimagenet"]


def test_gaps_and_leaks_are_differences_of_the_same_seeds(done):
    facts = read(done[0], "table1")
    ours = {
        (m, b): row(facts, f"{m}, A, broker: {b}, epoch 3")["points"]
        for m in PAPER_1["mnist"]
        for b in ("test data", "own data")
    }
    gap = row(facts, "aligned less out of the market, A, broker: own data")
    assert gap["points"] == [
        ours["aligned", "own data"][0] - ours["out of the market", "own data"][0]
    ]
    assert gap["paper"] == 18.46  # 86.96 - 68.50
    leak = row(facts, "test-data broker less own-data broker, FedAvg, A")
    assert leak["points"] == [ours["FedAvg", "test data"][0] - ours["FedAvg", "own data"][0]]
    assert leak["paper"] is None


def test_nothing_is_done_twice(done):
    # 4 methods x 2 brokers; the figure needs the same runs; the table of layers needs 4 subsets x 2
    # brokers more
    assert done[1] == {"table1": 8, "fig2": 0, "table2": 8, "table1_cifar10": 8}


def test_agents_train_apart_until_they_join(done):
    curves = read(done[0], "table1")["curves"]
    out, fedavg, aligned = (
        curves[f"{method}, test"] for method in ("out_of_market", "fedavg", "aligned")
    )
    # join=1: one epoch alone
    assert out["loss"][0][0] == fedavg["loss"][0][0] == aligned["loss"][0][0]
    assert fedavg["loss"][0][1] != out["loss"][0][1] != aligned["loss"][0][1]
    assert fedavg["loss"][0][1][0] == fedavg["loss"][0][1][1]  # averaged: both have one model
    assert all(alpha == [0, 0] for alpha in out["alpha"][0])  # nobody buys outside
    assert aligned["alpha"][0][0] == [0, 0] and max(aligned["alpha"][0][1]) > 0


def test_epochs_until_a_loss_count_from_one_and_end_one_past_the_last():
    loss = {(m, "test"): np.array([[3.0, 2.0, 1.0]]) for m in TABLE_1}
    loss["aligned", "test"] = np.array([[0.5, 2.0, 1.0]])
    loss["fedavg", "test"] = np.array([[3.0, 3.0, 3.0]])
    points = {row.what: row.points for row in loss_rows(loss, "test")}
    first = "first epoch at the final loss out of the market (never: 4), {}, broker: test data"
    assert points[first.format("out of the market")] == (3.0,)
    assert points[first.format("aligned")] == (1.0,)
    assert points[first.format("FedAvg")] == (4.0,)  # never: one more than there are


def test_the_market_is_the_papers(digits):
    setting = dataclasses.replace(SETTINGS["mnist"], examples=100, validation=20)
    market = runs.image_market(setting, "aligned", "test", 0, str(digits), None, "cpu")
    c, train = market.config, market.source.federation(torch.tensor([0])).train
    assert (c.n_agents, c.max_cycles, c.valuation, c.after_purchase) == (
        2,
        60,
        "relative_loss",
        "reset",
    )
    assert (
        c.training.steps == 1 and c.training.batch_size == 512 and c.training.learning_rate == 0.01
    )
    assert len(market.phase(Train).learner.layers) == 5  # 784-32-32-32-16-10
    labels = [train.y[train.index[0, k, : train.size[0, k]]] for k in (0, 1)]
    # 10 rows of each class, of which A keeps one of each of 0-4 and B one of each of 5-9
    assert (
        labels[0].bincount().tolist() == [1] * 5 + [10] * 5
        and labels[1].bincount().tolist() == [10] * 5 + [1] * 5
    )


def test_a_trader_joins_after_the_epochs_it_was_told(digits):
    sizes = {"examples": 100, "validation": 20, "rounds": 9, "join": 5}
    setting = dataclasses.replace(SETTINGS["mnist"], **sizes)
    market = runs.image_market(setting, "aligned", "validation", 0, str(digits), None, "cpu")
    move, width = market.moves[0], market.moves[0].observation.dim
    out, inside = (lambda o, r, k, v=v: torch.full((len(o), 3), v) for v in (-1.0, 0.0))
    policy = LateTrader(out, inside, (5 - 0.5) / 9)
    observation = torch.zeros(10, width)
    observation[:, move.observation.slices["round"]] = (torch.arange(10) / 9)[:, None]
    assert (
        policy(observation, move, torch.zeros(10, dtype=torch.int64))[:, 0].tolist()
        == [-1.0] * 5 + [0.0] * 5
    )
    assert agent_names(market) == ("trader_0", "trader_1")


def test_images_are_averaged_and_standardised(pictures):
    plain = read_images(str(pictures), None, 1, None)
    small = read_images(str(pictures), None, 2, ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
    # the first pixel is the mean of its 2 x 2 block, less 1/2, in quarters
    assert small.x.shape[1:] == (3, 4, 4)
    assert torch.isclose(small.x[0, 0, 0, 0], (plain.x[0, 0, :2, :2].mean() - 0.5) / 0.25)


# --- killed and resumed ---------------------------------------------------------------------------


def test_a_study_that_fails_inside_a_unit_goes_on_and_ends_with_the_same_bytes(
    digits, done, tmp_path, monkeypatch
):
    monkeypatch.setattr(runs, "EVERY", 0.0)  # a checkpoint after every epoch
    rounds, round_facts = [], runs.round_facts

    def fails(market, batch):
        rounds.append(int(batch.running().floor.round))
        if len(rounds) == 8:  # epoch 2 of the third unit
            raise Killed
        return round_facts(market, batch)

    monkeypatch.setattr(runs, "round_facts", fails)
    config = Table1(out=tmp_path, root=digits, **TOY)
    with pytest.raises(Killed):
        table1(config)
    assert len(list((tmp_path / "units").glob("*.json"))) == 2
    assert len(list((tmp_path / "units").glob("*/state.safetensors"))) == 1
    table1(config)
    assert rounds[8:10] == [2, 3]  # taken up after epoch 1, not begun again
    assert (tmp_path / "table1.json").read_bytes() == (done[0] / "table1.json").read_bytes()
    assert (tmp_path / "table1.csv").read_bytes() == (done[0] / "table1.csv").read_bytes()


SLOW_STUDY = """
import time
from pathlib import Path
from agents.papers.train_n_trade import runs
from agents.papers.train_n_trade.network_studies import Table1, table1
runs.EVERY, round_facts = 0.0, runs.round_facts
def slow(market, batch):
    time.sleep(0.2)
    return round_facts(market, batch)
runs.round_facts = slow
table1(Table1(root=Path({root!r}), out=Path({out!r}), **{sizes!r}))
"""


def test_a_study_killed_by_the_system_goes_on(digits, done, tmp_path, tmp_path_factory):
    code = SLOW_STUDY.format(root=str(digits), out=str(tmp_path), sizes=TOY)
    child = own_process.begin_code(code, output=tmp_path_factory.mktemp("printed"))
    try:
        own_process.wait(lambda: list(tmp_path.glob("units/*/state.safetensors")), child)
        assert list(tmp_path.glob("units/*/state.safetensors"))
    finally:
        child.kill()
        child.join()
    assert not (tmp_path / "table1.json").exists()
    table1(Table1(out=tmp_path, root=digits, **TOY))
    assert (tmp_path / "table1.json").read_bytes() == (done[0] / "table1.json").read_bytes()


# --- what is refused, and what makes new work -----------------------------------------------------


def test_changed_settings_are_other_units(tmp_path):
    same = {
        "method": "aligned",
        "broker": "test",
        "seed": 0,
        "data": "mnist",
        "root": None,
        "device": "cpu",
    }
    units = [Unit(runs.trade, same | {"setting": SETTINGS["mnist"]})]
    changes = (
        {"rounds": 50},
        {"join": 4},
        {"learning_rate": 0.02},
        {"examples": 100},
        {"batch": 256},
        {"pixels": None},
    )
    units += [
        Unit(runs.trade, same | {"setting": dataclasses.replace(SETTINGS["mnist"], **c)})
        for c in changes
    ]
    units += [
        Unit(runs.trade, units[0].arguments | c)
        for c in ({"seed": 1}, {"broker": "validation"}, {"method": "fedavg"})
    ]
    assert len({unit.name() for unit in units}) == len(units)
    assert units[0].name() == Unit(runs.trade, dict(reversed(units[0].arguments.items()))).name()


def test_more_seeds_keep_the_old_ones(digits, done, tmp_path):
    names = {path.name for path in (done[0] / "units").glob("*.json")}
    fig2(Neural(out=done[0], root=digits, **TOY | {"seeds": 2}))
    assert len(list((done[0] / "units").glob("*.json"))) == len(names) + 8
    fig2(Neural(out=done[0], root=digits, **TOY))  # as it was, for whoever looks next


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Table1(setting="cifar"), "Did you mean 'cifar10'"),
        (lambda: Table1(rounds=0), "rounds is 0, wanted >= 1"),
        (lambda: Neural(join=-1), "join is -1, wanted >= 0"),
        (lambda: Neural(workers=-1), "workers is -1"),
    ],
)
def test_wrong_arguments_are_refused_with_the_fix(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_data_is_refused_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKETENV_DATA", str(tmp_path / "nothing"))
    with pytest.raises(
        ValueError, match=r"no data for 'tinyimagenet': give --root FOLDER \(or an .npz file\)\."
    ):
        table1(Table1(out=tmp_path, setting="tinyimagenet"))
    with pytest.raises(ValueError, match=r"no data for 'mnist': .* or --download"):
        fig2(Neural(out=tmp_path))
    with pytest.raises(ValueError, match=r"tiny-imagenet-200|train"):
        table1(Table1(out=tmp_path, setting="tinyimagenet", root=tmp_path))


def test_images_of_other_channels_are_refused(pictures, tmp_path):
    with pytest.raises(ValueError, match="wanted images with 1 channels"):
        table1(Table1(out=tmp_path, root=pictures, **TOY))


def test_nobody_trades_where_joining_comes_after_the_end(digits, tmp_path):
    with pytest.raises(ValueError, match="join is 3 and rounds is 3, wanted join < rounds"):
        table2(Neural(out=tmp_path, root=digits, **TOY | {"join": 3}))


def test_data_is_found_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKETENV_DATA", str(tmp_path))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "cifar10_8k_2k.npz").touch()
    (tmp_path / "mnist").mkdir()
    small = str(tmp_path / "small" / "cifar10_8k_2k.npz")
    assert place("mnist", "mnist") == ("mnist", str(tmp_path / "mnist"))
    assert place("cifar10", "cifar10") == (small, None)
    assert place("cifar10", "cifar10", Path("/x")) == ("cifar10", "/x")
    downloads = ("cifar10", str(tmp_path / "data"))
    assert place("cifar10_full", "cifar10", None, True, tmp_path) == downloads  # not the small file
    assert place("mnist", "mnist", Path("/x/y.npz")) == ("/x/y.npz", None)


def test_mnist_has_the_papers_sizes(data_root):
    root = str(data_root / "mnist")
    market = runs.image_market(SETTINGS["mnist"], "fedavg", "test", 0, "mnist", root, "cpu")
    # the authors' class counts 5923, 6742, ..., with a tenth of five of them: 32,463 and 33,537 of
    # 60,000
    assert market.source.federation(torch.tensor([0])).train.size.tolist() == [[32463, 33537]]
    assert market.config.training.steps == 66  # 33,537 / 512 = 65.5
