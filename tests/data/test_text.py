"""Text by speaker: speeches, windows, and who is dealt what."""

import gzip

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.data import (
    find_dataset,
    from_arrays,
    make_source,
    next_characters,
    read_npz,
    read_text,
    speeches,
)
from marketenv.data.partitions import by_group

PLAY = """A prologue that nobody speaks.

ROMEO:
But soft, what light
breaks: it is the east.

JULIET:
Ay me!

And still Juliet.

First Citizen:
Ha.

ROMEO:
She speaks.
"""
SAID = {
    "ROMEO": "But soft, what light\nbreaks: it is the east.\nShe speaks.\n",
    "JULIET": "Ay me!\nAnd still Juliet.\n",
    "First Citizen": "Ha.\n",
}


def decoded(data, said):
    """Every example as text, and its next character."""
    letters = sorted(set("".join(said.values())))
    return [
        ("".join(letters[int(i)] for i in row), letters[n])
        for row, n in zip(data.x.tolist(), data.y.tolist())
    ]


def test_speeches_are_joined_by_speaker():
    assert speeches(PLAY) == speeches(PLAY.replace("\n", "\r\n")) == SAID and list(
        speeches(PLAY)
    ) == list(SAID)


def test_a_text_without_speakers_is_refused():
    with pytest.raises(ValueError, match='begin with a line "NAME:"'):
        speeches("It was the best of times:\nno, it was the worst.".replace(":", ","))


def test_windows_share_no_character_and_know_their_speaker():
    data = next_characters(SAID, 5)
    # 57 + 25 + 4 characters in pieces of 5 + 1: 9 and 4, the last piece of each too short; "Ha.\n"
    # has 4, so none
    assert [len(said) for said in SAID.values()] == [57, 25, 4] and data.groups.tolist() == [
        0
    ] * 9 + [1] * 4
    assert decoded(data, SAID)[:2] == [("But s", "o"), ("ft, w", "h")] and decoded(data, SAID)[
        9
    ] == ("Ay me", "!")
    assert data.n_classes == len(set("".join(SAID.values()))) and data.x.dtype == torch.float32


@given(
    st.dictionaries(
        st.sampled_from("ABCDE"), st.text("abc é😀\n", min_size=1, max_size=30), min_size=1
    ),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_every_window_stands_in_its_speakers_text(said, length, stride):
    windows = {
        name: [(s[i : i + length], s[i + length]) for i in range(0, len(s) - length, stride)]
        for name, s in said.items()
    }
    if not any(windows.values()) or len(set("".join(said.values()))) < 2:
        return
    data = next_characters(said, length, stride=stride)
    found = decoded(data, said)
    names = sorted(said, key=lambda name: -len(said[name]))  # stable, as the numbers are
    assert [names[g] for g in data.groups.tolist()] == [
        name for name in names for _ in windows[name]
    ]
    assert found == [window for name in names for window in windows[name]]


@pytest.mark.parametrize(
    ("length", "stride", "message"),
    [(0, None, "length is 0"), (3, 0, "stride is 0"), (57, None, "nobody says more than 57")],
)
def test_windows_that_cannot_be_cut_are_refused(length, stride, message):
    with pytest.raises(ValueError, match=message):
        next_characters(SAID, length, stride=stride)


@pytest.mark.parametrize(
    "name", ["tinyshakespeare.txt", "shakespeare_plays.txt.gz", "text/my-shakespeare.txt.gz"]
)
def test_the_file_is_found_plain_or_gzipped(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(PLAY.encode()) if name.endswith("gz") else PLAY.encode())
    data = find_dataset("shakespeare", root=tmp_path)
    # 57 characters hold 2 pieces of 20 + 1, 25 hold 1
    assert (data.feature_shape, data.groups.tolist(), data.task) == (
        (20,),
        [0, 0, 1],
        "classification",
    )


def test_files_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no file \*shakespeare\*\.txt or .*text; put one there"):
        find_dataset("shakespeare", root=tmp_path)
    whole = gzip.compress(PLAY.encode())
    broken = whole[:10] + b"\xff" * 10 + whole[20:]  # the header is right, what it packs is not
    for content in (b"no gzip", whole[:-9], broken, gzip.compress(b"\xff\xfe\x00")):
        (tmp_path / "shakespeare.txt.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read .* wanted text in UTF-8"):
            read_text(tmp_path / "shakespeare.txt.gz")


def test_agents_get_their_own_speakers_rows_alone():
    data = next_characters({name: words * 20 for name, words in SAID.items()}, 5)
    source = make_source(data, "by_group", 2, test_size=0.1, validation_size=0.1)
    fed = source.federation(torch.tensor([1, 2]))
    groups, train = data.groups, source.split.train
    for market in range(2):
        for agent in range(2):
            mine = fed.train.index[market, agent, : int(fed.train.size[market, agent])]
            assert mine.sort().values.tolist() == train[groups[train] == agent].tolist()
    assert (groups[train] == 2).any()  # the third speaker's rows are there, and nobody's
    assert torch.equal(source.to("cpu").split.groups, groups)


def test_arrays_with_an_official_test_part_are_dealt_by_group():
    x, y, owner = np.arange(40.0)[:, None], np.arange(40) % 2, np.arange(40) // 10
    data = from_arrays(x, y, x[:6], y[:6], groups=owner)
    source = make_source(data, "by_group", 4, validation_size=0.1)
    assert source.split.groups[40:].tolist() == [-1] * 6
    fed = source.federation(torch.tensor([3]))
    owned = [
        set((fed.train.x[rows[:n], 0] // 10).tolist())
        for rows, n in zip(fed.train.index[0], fed.train.size[0].tolist())
    ]
    assert sorted(owned, key=min) == [{0.0}, {1.0}, {2.0}, {3.0}]


def test_data_without_groups_and_options_of_the_source_are_refused():
    with pytest.raises(ValueError, match="the data set has none; give from_arrays"):
        make_source("digits", "by_group", 2)
    with pytest.raises(ValueError, match=r"by_group.*'groups'.*max_size"):
        make_source("digits", "by_group", 2, groups=torch.zeros(1797).long())
    # others do not look at groups
    assert "balanced" in str(make_source(next_characters(SAID, 1), "balanced", 2).partition)


def test_the_real_plays(data_root):
    data = find_dataset(
        "shakespeare", root=data_root / "text" if (data_root / "text").is_dir() else data_root
    )
    # the file has 65 kinds of character (Karpathy's char-rnn counts them); names, left out here,
    # add none of their own
    assert data.feature_shape == (20,) and data.n_classes == 65
    # the file's 1,115,394 characters, less names, in pieces of 21
    assert 45_000 < len(data.x) < 1_115_394 / 21
    counts = torch.bincount(data.groups)
    assert (counts.diff() <= 0).all() and len(counts) > 200  # speakers by falling length
    rows = torch.arange(len(data.x))
    _, size = by_group(data.y, rows, 10, torch.tensor([0]), groups=data.groups)
    assert size[0].tolist() == counts[:10].tolist() and int(size.min()) > 500


def test_real_speakers_of_a_table(data_root):
    table = read_npz(data_root / "tabular" / "vowel.npz")
    with np.load(data_root / "tabular" / "vowel.npz", allow_pickle=False) as box:
        data = from_arrays(table.x, table.y, groups=box["speaker"])
    # 15 speakers say each of 11 vowels 6 times: 66 rows each
    assert by_group(data.y, torch.arange(990), 15, torch.tensor([0]), groups=data.groups)[
        1
    ].tolist() == [[66] * 15]
