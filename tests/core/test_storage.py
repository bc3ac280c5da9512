"""States on disk: whole or not at all."""

from __future__ import annotations

import dataclasses
import os
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from marketenv.core import storage

CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True)
class State:
    seeds: torch.Tensor
    cash: torch.Tensor


def state(n=2, agents=3):
    return State(
        torch.arange(n),
        torch.linspace(-1, 1, n * agents, dtype=torch.float64).reshape(n, agents) / 3,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("states") / "state.safetensors"
    storage.save(path, state(), {"market": "Toy", "episode": 3}, {"base": torch.tensor([5, 6])})
    return path


def test_what_was_saved_is_loaded_to_the_bit(written):
    like = State(torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.float64))
    loaded, about, extra = storage.load(written, like, CPU)
    assert torch.equal(loaded.seeds, state().seeds) and torch.equal(loaded.cash, state().cash)
    assert about == {"market": "Toy", "episode": 3} and extra["base"].tolist() == [5, 6]


def test_views_and_shared_memory_can_be_saved(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    shared = State(base.T, base.T)  # neither contiguous nor distinct in memory
    storage.save(tmp_path / "s", shared, {})
    assert torch.equal(storage.load(tmp_path / "s", shared, CPU)[0].cash, base.T)


def test_one_number_with_other_strides_can_be_saved(tmp_path):
    # one number whose strides are (1, 2): torch calls it contiguous, and cannot view its bytes
    one = torch.arange(4.0).reshape(2, 2)[:1, :1].T
    assert one.is_contiguous() and one.stride() == (1, 2)
    storage.save(tmp_path / "s", State(one, one), {})
    assert torch.equal(storage.load(tmp_path / "s", State(one, one), CPU)[0].cash, one)


@given(st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_refused(written, share):
    whole = written.read_bytes()
    cut = written.with_name("cut")
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cannot read .* it may be damaged or cut short"):
        storage.load(cut, state(), CPU)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*nowhere"):
        storage.load(tmp_path / "nowhere", state(), CPU)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    path, mark = tmp_path / "state.pkl", tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (mark.write_text, ("boom",))

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="cannot read"):
        storage.load(path, state(), CPU)
    assert not mark.exists()


@pytest.mark.parametrize("header", [None, {"format": "pt"}])
def test_another_programs_safetensors_are_refused(tmp_path, header):
    save_file({"weight": torch.zeros(3)}, str(tmp_path / "model"), header)
    with pytest.raises(ValueError, match="was not written by this library's save"):
        storage.load(tmp_path / "model", state(), CPU)


@pytest.mark.parametrize(
    ("like", "says"),
    [
        (state(agents=4), r"cash is torch.float64 \[2, 3\], wanted torch.float64 \[2, 4\]"),
        (
            dataclasses.replace(state(), cash=torch.zeros(2, 3)),
            r"cash is torch.float64 \[2, 3\], wanted torch.float32",
        ),
    ],
)
def test_a_state_of_another_shape_or_type_is_refused(written, like, says):
    with pytest.raises(ValueError, match=says):
        storage.load(written, like, CPU)


def test_a_state_of_another_market_is_refused(written):
    @dataclasses.dataclass(frozen=True)
    class Other:
        params: torch.Tensor

    with pytest.raises(ValueError, match=r"params is nothing, wanted torch.float32"):
        storage.load(written, Other(torch.zeros(2, 3)), CPU)


class Killed(Exception):
    """Stands for whatever ends a process."""


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(Killed), storage.whole_file(tmp_path / "a.json") as part:
        part.write_text("ne")
        raise Killed
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"] and (
        tmp_path / "a.json"
    ).read_text() == "old"
    with storage.whole_file(tmp_path / "a.json") as part:
        part.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"] and (
        tmp_path / "a.json"
    ).read_text() == "new"


def test_a_file_of_ones_own_beside_it_is_left_alone(tmp_path):
    (tmp_path / "a.json.part").write_text("mine")
    with (
        storage.whole_file(tmp_path / "a.json") as one,
        storage.whole_file(tmp_path / "a.json") as other,
    ):
        one.write_text("one")  # two processes that write one file do not write into each other's
        other.write_text("other")
    assert (tmp_path / "a.json.part").read_text() == "mine" and (
        tmp_path / "a.json"
    ).read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_replaced(tmp_path, there):
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept" / "a.json", tmp_path / "link"
    if there:
        target.write_text("old")
    link.symlink_to(target)
    with storage.whole_file(link) as part:
        part.write_text("new")
    assert link.is_symlink() and not target.is_symlink() and target.read_text() == "new"


def test_permissions_are_those_of_any_new_file_and_stay(tmp_path):
    path, plain = tmp_path / "state", tmp_path / "plain"
    plain.write_text("")
    storage.save(path, state(), {})
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    storage.save(path, state(), {})
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("place", ["no/such/x", ".", "pipe", "plain/x"])
def test_where_no_file_can_be_written_nothing_is(tmp_path, place):
    (tmp_path / "plain").write_text("a file, no folder")
    os.mkfifo(tmp_path / "pipe")  # stands for a device, which must never be replaced by a file
    with pytest.raises(
        ValueError, match=r"cannot write .*\. Wanted the path of a file, in a folder that exists"
    ):
        storage.save(tmp_path / place, state(), {})
    assert (
        sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "plain"]
        and (tmp_path / "pipe").is_fifo()
    )


def test_files_of_another_format_are_refused_in_words(tmp_path):
    save_file(
        {"extra.base": torch.zeros(2)}, str(tmp_path / "old"), {"format": "marketenv-state-1"}
    )
    with pytest.raises(
        ValueError, match=r"format 'marketenv-state-1', wanted .* or by another release"
    ):
        storage.load(tmp_path / "old", state(), CPU)


@pytest.mark.parametrize("about", ["", "[]", "null", "{", "[" * 100_000, '"text"'])
def test_a_header_without_facts_is_refused(tmp_path, about):
    tensors = {f"state.{name}": tensor for name, tensor in vars(state()).items()}
    header = {
        "format": storage.FORMAT,
        "about": about,
        "sha256": storage._fingerprint(tensors, about),
    }
    save_file(tensors, str(tmp_path / "forged"), header)
    with pytest.raises(ValueError, match="holds no facts"):
        storage.load(tmp_path / "forged", state(), CPU)


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "market.safetensors"
    storage.save(path, state(), {"round": 1})
    before = path.read_bytes()

    def fails(tensors, file, metadata):
        with open(file, "wb") as part:
            part.write(b"half")
        raise Killed

    monkeypatch.setattr(storage, "save_file", fails)
    with pytest.raises(Killed):
        storage.save(path, state(), {"round": 2})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_header_that_was_changed_is_refused(tmp_path):
    """The facts stand in the header, beside the tensors: the checksum is of both."""
    path = tmp_path / "state.safetensors"
    storage.save(path, state(), {"market": "Toy", "episode": 3})
    with safe_open(str(path), "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    (name,) = [name for name, text in header.items() if '"episode": 3' in text]
    save_file(
        tensors, str(path), header | {name: header[name].replace('"episode": 3', '"episode": 4')}
    )
    with pytest.raises(ValueError, match="damaged"):
        storage.load(path, state(), CPU)


def test_tensors_under_another_name_are_refused(tmp_path):
    """The same numbers in the same order, of which one got another name: the checksum is of the
    names too.
    """
    path = tmp_path / "state.safetensors"
    storage.save(path, state(), {}, {"base": torch.tensor([5, 6])})
    with safe_open(str(path), "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(
        {name.replace("base", "basis"): tensor for name, tensor in tensors.items()},
        str(path),
        header,
    )
    with pytest.raises(ValueError, match="damaged"):
        storage.load(path, state(), CPU)


def test_a_disk_that_is_full_leaves_the_old_file_whole(tmp_path, monkeypatch):
    """The new file takes the old one's place when all of it is written, and not before."""
    path, now = tmp_path / "state.safetensors", state()
    storage.save(path, now, {"episode": 3})

    def full(tensors, name, *rest):
        with open(name, "wb") as file:
            file.write(b"the first half")
        raise OSError("no space left on device")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        storage.save(path, dataclasses.replace(now, cash=2 * now.cash), {"episode": 4})
    loaded, about, _ = storage.load(path, now, CPU)
    assert torch.equal(loaded.cash, now.cash) and about == {"episode": 3}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
