"""The study of barriers runs end to end at toy size, survives a kill, and works out its rows."""

import json

import pytest
from toy_images import Killed, write_images

from agents.papers.train_n_trade import barriers
from agents.papers.train_n_trade.barrier_studies import Barrier, barrier, barrier_rows
from agents.papers.train_n_trade.numbers import BARRIERS

LABEL = barriers.NETWORKS["mlp"].label


def toy(out, root):
    sizes = {"seeds": 2, "examples": 100, "test": 40, "epochs": 2, "width": 8, "workers": 1}
    return Barrier(root=root, out=out, networks=("mlp", "cnn"), **sizes)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "digits.npz", 1, 12)


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    """The folder of the study done once, without a break."""
    out = tmp_path_factory.mktemp("out")
    barrier(toy(out, digits))
    return out


def test_the_study_plays_each_pair_of_each_network(whole):
    facts = json.loads((whole / "barrier.json").read_text())
    assert len(list((whole / "units").glob("*.json"))) == 4  # 2 networks x 2 pairs
    assert len({row["what"] for row in facts["rows"]}) == len(facts["rows"]) == 16  # no row twice
    assert all(len(row["points"]) == row["seeds"] for row in facts["rows"])
    assert facts["scaled_down"] and facts["notes"] and facts["curves"]
    lines = (whole / "barrier.csv").read_text().splitlines()
    assert len(lines) == 17 and lines[1].startswith(f'"{LABEL}')
    assert (whole / "barrier.png").read_bytes().startswith(b"\x89PNG")


def test_the_ends_of_a_path_are_the_models_and_alignment_keeps_them(whole):
    for pairs in json.loads((whole / "barrier.json").read_text())["curves"].values():
        for pair in pairs:
            naive, aligned = pair["naive"], pair["aligned"]
            assert naive["loss"][0] == aligned["loss"][0]  # weight 0: the first model itself
            # a permuted model computes what it did
            assert abs(naive["loss"][-1] - aligned["loss"][-1]) < 1e-5
            assert naive["accuracy"][-1] == aligned["accuracy"][-1]


def test_barriers_are_worked_out_of_the_path():
    path = [1.0, 0, 0, 0, 0, 5.0, 0, 0, 0, 0, 2.0]
    pair = {way: {"loss": path, "accuracy": path} for way in ("naive", "aligned")}
    rows = {
        row.what.removeprefix(f"{LABEL}: "): row
        for row in barrier_rows(barriers.NETWORKS["mlp"], [pair], BARRIERS["mlp"])
    }
    assert rows["barrier, aligned"].points == (3.5,)  # 5 - (1 + 2) / 2
    assert rows["loss of the trained models"].points == (1.5,)
    assert rows["barrier, aligned"].source == "our goal: <= 0.05"
    # noted for Git Re-Basin's MLP of 512 units: its ends, and its midpoint after permutation
    reported = {what: row.paper for what, row in rows.items() if row.paper is not None}
    assert reported == {
        "accuracy of the trained models": 99.1,
        "loss of the trained models": 0.035,
        "accuracy at the midpoint, aligned": 82.4,
        "loss at the midpoint, aligned": 0.573,
    }
    assert rows["accuracy at the midpoint, naive"].paper is None


def test_twins_go_on_from_their_last_epoch(digits, whole, tmp_path, monkeypatch):
    beats, beat = [], barriers.beat

    def fails(folder, epoch):
        beats.append(epoch)
        if len(beats) == 3:  # after epoch 1 of the second pair
            raise Killed
        beat(folder, epoch)

    monkeypatch.setattr(barriers, "beat", fails)
    with pytest.raises(Killed):
        barrier(toy(tmp_path, digits))
    barrier(toy(tmp_path, digits))
    assert beats[3] == 2  # and not epoch 1 again
    assert (tmp_path / "barrier.json").read_bytes() == (whole / "barrier.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"networks": ("mpl",)}, "Did you mean 'mlp'"),
        ({"networks": ()}, "networks is empty"),
        ({"width": 0}, "width is 0, wanted >= 1"),
    ],
)
def test_wrong_arguments_are_refused_with_the_fix(arguments, message):
    with pytest.raises(ValueError, match=message):
        Barrier(**arguments)


def test_missing_data_is_refused_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.delenv("MARKETENV_DATA", raising=False)
    with pytest.raises(ValueError, match="no data for 'mnist'"):
        barrier(Barrier(out=tmp_path))
