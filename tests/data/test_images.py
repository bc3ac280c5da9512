"""MNIST, Fashion-MNIST and CIFAR-10 from files, and the import of torchvision."""

import gzip
import hashlib
import importlib.util
import pickle

import numpy as np
import own_process
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.data import find_dataset, vision
from marketenv.data.images import IDX_FILES, from_torchvision, read_idx

wants_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"
)


def idx_bytes(array):
    """An array of bytes in idx form."""
    return (
        bytes([0, 0, 8, array.ndim])
        + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
        + array.tobytes()
    )


def write_tiny(folder, gz):
    """Write 20 and 10 tiny-set pictures of 28x28; returns the training images and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    bytes_of = np.random.default_rng(1).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 10
    for stem, array in zip(IDX_FILES, (bytes_of, labels, bytes_of[:10], labels[:10])):
        raw = idx_bytes(array)
        (folder / (stem + ".gz" * gz)).write_bytes(gzip.compress(raw) if gz else raw)
    return bytes_of, labels


@settings(max_examples=30)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), gz=st.booleans())
def test_idx_files_come_back_as_written(tmp_path_factory, shape, gz):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if gz else "a")
    path.write_bytes(gzip.compress(idx_bytes(array)) if gz else idx_bytes(array))
    assert torch.equal(read_idx(path), torch.tensor(array))


@pytest.mark.parametrize(
    "raw", [b"", b"\0\0", b"\0\0\x0d\1\0\0\0\0", b"\0\0\x08\2\0\0", b"\0\0\x08\1\0\0\0\5abc"]
)
def test_damaged_idx_files_are_refused(tmp_path, raw):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(ValueError, match="no whole idx file"):
        read_idx(tmp_path / "a")
    whole = gzip.compress(b"abc" * 50)
    # cut short; and the header is right, but what it packs is not
    for content in (whole[:-9], whole[:10] + b"\xff" * 10 + whole[20:]):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(ValueError, match="cannot read"):
            read_idx(tmp_path / "a.gz")


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mnist", "."),
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("fashion_mnist", "fashion_mnist"),
    ],
)
def test_idx_files_are_found_where_they_may_lie(tmp_path, name, place, gz):
    pictures, labels = write_tiny(tmp_path / place, gz)
    data = find_dataset(name, root=str(tmp_path))
    assert data.feature_shape == (1, 28, 28) and len(data.x_test) == 10 and data.n_classes == 10
    assert (
        torch.equal(data.x[:, 0], torch.tensor(pictures) / 255)
        and data.y.tolist() == labels.tolist()
    )


def test_missing_files_are_named(tmp_path):
    write_tiny(tmp_path / "mnist", True)
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        ValueError, match=r"mnist lacks train-labels-idx1-ubyte \(plain or .gz.*download=True"
    ):
        find_dataset("mnist", root=tmp_path)


@wants_torchvision
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_torchvisions_own_class_reads_the_same(tmp_path, name, folder):
    # torchvision wants the plain files, not .gz, and downloads nothing where they are
    write_tiny(tmp_path / folder / "raw", False)
    ours, theirs = (
        find_dataset(name, root=tmp_path),
        from_torchvision(name, folder, tmp_path, download=True),
    )
    assert torch.equal(ours.x, theirs.x) and torch.equal(ours.y, theirs.y)
    assert torch.equal(ours.x_test, theirs.x_test) and torch.equal(ours.y_test, theirs.y_test)


@pytest.mark.long
@wants_torchvision
def test_real_mnist_both_ways(tmp_path, data_root):
    ours = find_dataset("mnist", root=data_root / "mnist")
    # LeCun's page: 60,000 and 10,000, these counts a digit; mean pixel .1307 and deviation .3081,
    # as every tutorial normalises by
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (len(ours.x), len(ours.x_test), torch.bincount(ours.y).tolist()) == (
        60000,
        10000,
        counts,
    )
    assert float(ours.x.mean()) == pytest.approx(0.1307, abs=5e-5) and float(
        ours.x.std()
    ) == pytest.approx(0.3081, abs=5e-5)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in IDX_FILES:
        (raw / stem).write_bytes(gzip.decompress((data_root / "mnist" / f"{stem}.gz").read_bytes()))
    theirs = from_torchvision("mnist", "MNIST", tmp_path, download=True)
    assert torch.equal(ours.x, theirs.x) and torch.equal(ours.y_test, theirs.y_test)


@wants_torchvision
def test_cifar10_is_read_by_torchvisions_own_class(tmp_path, monkeypatch):
    CIFAR10 = vision.import_datasets().CIFAR10
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    bytes_of = np.random.default_rng(2).integers(0, 256, (20, 3072), dtype=np.uint8)
    labels = (np.arange(20) % 10).tolist()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    # only the list of files and checksums is ours: the check itself is torchvision's
    monkeypatch.setattr(
        CIFAR10, "train_list", [write("data_batch_1", {"data": bytes_of, "labels": labels})]
    )
    monkeypatch.setattr(
        CIFAR10, "test_list", [write("test_batch", {"data": bytes_of[:10], "labels": labels[:10]})]
    )
    name, md5 = write("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    data = find_dataset("cifar10", root=tmp_path)
    # a batch file stores each picture as 1,024 red, then green, then blue bytes, row by row:
    # channels first already
    assert (
        torch.equal(data.x, torch.tensor(bytes_of.reshape(20, 3, 32, 32)) / 255)
        and data.y.tolist() == labels
    )
    (folder / "test_batch").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"'cifar10' cannot be read .*corrupted.*download=True"):
        find_dataset("cifar10", root=tmp_path)


@wants_torchvision
def test_cifar10_without_files_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"'cifar10' cannot be read .*give download=True"):
        find_dataset("cifar10", root=tmp_path)


@wants_torchvision
def test_download_is_asked_of_torchvision_only_where_files_are_absent(tmp_path, monkeypatch):
    asked = []

    def maker(root, train, download):
        asked.append((root, train, download))
        raise OSError("no network here")

    monkeypatch.setattr(vision.import_datasets(), "MNIST", maker)
    with pytest.raises(ValueError, match=r"no network here.*check the connection"):
        find_dataset("mnist", root=tmp_path, download=True)
    assert asked == [(str(tmp_path), True, True)]
    write_tiny(tmp_path, True)
    assert len(find_dataset("mnist", root=tmp_path, download=True).x) == 20 and len(asked) == 1


@pytest.mark.long
@wants_torchvision
def test_torchvision_imports_in_a_fresh_process(tmp_path):
    # where the plain import fails for want of compiled operators, ours succeeds, and the data sets
    # work
    code = (
        "import importlib, sys, warnings\nwarnings.simplefilter('error')\nassert 'torchvision' not"
        " in sys.modules\ntry:\n    import torchvision\n    print('plain import works')\nexcept"
        " RuntimeError as error:\n    assert 'torchvision::nms does not exist' in str(error),"
        " error\nfrom marketenv.data.vision import"
        " import_datasets\nprint(import_datasets().MNIST.__name__, import_datasets() is"
        " import_datasets())"
    )
    exit_code = own_process.ended(own_process.begin_code(code, output=tmp_path), 120)
    assert exit_code == 0, (tmp_path / "stderr").read_text()
    assert (tmp_path / "stdout").read_text().splitlines()[-1] == "MNIST True"


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'torchvision'"), RuntimeError("some other failure")]
)
def test_other_import_failures_say_what_to_install(monkeypatch, error):
    def fail(name):
        raise error

    declared = []
    monkeypatch.setattr(vision.importlib, "import_module", fail)
    monkeypatch.setattr(vision, "_declare_operators", lambda: declared.append(1))
    with pytest.raises(ValueError, match=r"torchvision cannot be imported .*marketenv\[vision\]"):
        vision.import_datasets()
    assert not declared  # the declaration is only for the failure that it cures


def test_the_cure_is_tried_once_for_the_failure_that_it_cures(monkeypatch):
    calls, declared = [], []

    def first_fails(name):
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        return torch

    monkeypatch.setattr(vision.importlib, "import_module", first_fails)
    monkeypatch.setattr(vision, "_declare_operators", lambda: declared.append(1))
    assert vision.import_datasets() is torch and len(calls) == 2 and declared == [1]
