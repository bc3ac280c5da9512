"""Data sets: the embedded ones, a user's own arrays, and .npz files."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.data import DATASETS, Dataset, find_dataset, from_arrays, make_source, read_npz
from marketenv.data.embedded import standardise

# name -> rows, feature shape, class counts, needs files. Counts: UCI pages of the three embedded
# sets and LeCun's, Zalando's, Krizhevsky's and Le's pages of the others (equal classes in the last
# three).
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
FACTS = {
    "digits": (1797, (64,), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], False),
    "german_credit": (1000, (61,), [700, 300], False),
    "breast_cancer": (569, (30,), [212, 357], False),
    "mnist": (60000, (1, 28, 28), MNIST_COUNTS, True),
    "fashion_mnist": (60000, (1, 28, 28), [6000] * 10, True),
    "cifar10": (50000, (3, 32, 32), [5000] * 10, True),
    "tiny_imagenet": (100000, (3, 64, 64), [500] * 200, True),
    # as many rows as the user's file has windows: counted in test_text.py
    "shakespeare": (0, (20,), [], True),
}


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_its_facts(name):
    rows, shape, counts, needs_files = FACTS[name]
    assert sum(counts) == rows
    if needs_files:
        with pytest.raises(ValueError, match="give root=<"):
            find_dataset(name)
        return
    data = find_dataset(name)
    assert (len(data.x), data.feature_shape, data.task) == (rows, shape, "classification")
    assert torch.bincount(data.y).tolist() == counts and data.n_classes == len(counts)


def test_digits_are_scaled_pixels():
    x = find_dataset("digits").x
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)
    # the first digit's top row is 0 0 5 13 9 1 0 0 sixteenths (scikit-learn's documentation prints
    # it)
    assert (x[0, :8] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_german_credit_is_one_hot_and_standardised():
    x = find_dataset("german_credit").x
    assert (
        x[:, :7].mean(0).abs().max() < 1e-5
        and (x[:, :7].std(0, correction=0) - 1).abs().max() < 1e-5
    )
    assert set(x[:, 7:].unique().tolist()) == {0.0, 1.0}
    assert (x[:, 7:].sum(1) == 13).all()  # one level of each of 13 categories
    # UCI: the first loan has checking A11, the first of 4 levels, and history A34, the fifth of 5
    assert x[0, 7:16].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1]


def test_breast_cancer_is_standardised():
    x = find_dataset("breast_cancer").x
    assert x.mean(0).abs().max() < 1e-5 and (x.std(0, correction=0) - 1).abs().max() < 1e-5


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 100.0), shift=st.floats(-100.0, 100.0))
def test_standardising_ignores_shift_and_scale(seed, scale, shift):
    x = torch.rand(20, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert torch.allclose(standardise(x), standardise(x * scale + shift), atol=1e-6)


def test_arrays_of_any_number_type():
    for make in (np.asarray, torch.tensor, list):
        data = from_arrays(make([[0.5, 1.0], [2.0, 3.0]]), make([1, 0]))
        assert data.x.dtype == torch.float32 and data.y.tolist() == [1, 0] and data.n_classes == 2
    assert from_arrays(np.ones((2, 1), ">f8"), np.array([0, 1], np.uint16)).y.dtype == torch.int64
    assert from_arrays(np.ones((2, 1)), np.array([False, True])).n_classes == 2


def test_float_targets_make_a_regression():
    data = from_arrays(np.ones((3, 2)), np.array([0.5, 1.0, 2.0]))
    assert (data.n_classes, data.task, data.y.dtype) == (0, "regression", torch.float32)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((2, 28, 28), (1, 28, 28)),
        ((2, 32, 30, 3), (3, 32, 30)),
        ((2, 8, 8, 1), (1, 8, 8)),
        ((2, 3, 8, 8), (3, 8, 8)),
        ((2, 784), (784,)),
    ],
)
def test_byte_images_become_channels_first_in_zero_to_one(shape, wanted):
    x = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype(np.uint8)
    data = from_arrays(x, [0, 1])
    assert data.feature_shape == wanted
    if shape[-1] == 3:  # pixel (row 1, column 2) of channel 0 of example 1: its byte / 255
        assert float(data.x[1, 0, 1, 2]) == pytest.approx(x[1, 1, 2, 0] / 255, abs=1e-7)
    assert float(data.x.max()) <= 1.0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((3, 2)), [0, 1], r"shapes \[3, 2\] and \[2\]"),
        (np.ones((0, 2)), np.zeros(0, int), "labels are \\[\\], wanted integers 0..C-1"),
        (
            np.array([[1.0], [np.nan]]),
            [0, 1],
            "x has NaN or infinite numbers in 1 rows, the first is row 1",
        ),
        (np.array([[1.0], [np.inf]]), [0, 1], "NaN or infinite"),
        (np.array([[1.0], [1e300]]), [0, 1], "x has 1e\\+300, which float32 cannot hold"),
        (np.ones((2, 1)), [0.5, np.nan], "y has NaN"),
        (np.ones((2, 1)), [1, 2], r"labels are \[1, 2\], wanted integers 0..C-1 .* np.unique"),
        (np.ones((2, 1)), [-1, 0], r"labels are \[-1, 0\]"),
        (np.ones((2, 1)), [0, 0], "n_classes is 1, wanted at least 2"),
        (np.ones((2, 1)), [[0], [1]], r"y has shape \[2, 1\], wanted \[rows\]"),
        (np.ones(2), [0, 1], r"x has shape \[2\], wanted \[rows, \*features\]"),
        (np.array([["a"], ["b"]]), [0, 1], "x has type <U1, wanted an array of real numbers"),
        (np.ones((2, 1)), np.array(["cat", "dog"]), "y has type <U3"),
        (torch.ones(2, 1, dtype=torch.complex64), [0, 1], "complex"),
        (np.ones((2, 1)) * 1j, [0, 1], "x has type complex128"),
        (np.ones((2, 1), object), [0, 1], "x has type object"),
        (torch.eye(2).to_sparse(), [0, 1], r"x is a sparse tensor.*x\.to_dense"),
        (
            np.ma.array([[1.0], [2.0]], mask=[[True], [False]]),
            [0, 1],
            "x is masked in places.*drop or fill",
        ),
        ([np.ma.array([1.0], mask=[True]), np.ma.array([2.0])], [0, 1], "x is masked"),
        (np.ones((2, 1)), np.ma.array([0, 1], mask=[True, False]), "y is masked"),
        (
            np.array([[2**63], [1]], dtype=np.uint64),
            [0, 1],
            r"x has 9223372036854775808, wanted numbers below 2\*\*63",
        ),
        (torch.tensor([[2**63], [1]], dtype=torch.uint64), [0, 1], r"wanted numbers below 2\*\*63"),
        (np.ones((2, 1)), [0.5, 1e300], "y has 1e\\+300, which float32 cannot hold; scale y"),
        (np.ones((2, 1)), [0.5, -1e19], r"targets reach 1e\+19, wanted at most 1e\+18: scale them"),
    ],
)
def test_bad_arrays_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(x, y)


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        # the nearest number of 11 bits to 0.1
        (np.array([[0.1], [2.0]], dtype=np.float16), [0.0999755859375, 2.0]),
        (torch.tensor([[0.1], [2.0]], dtype=torch.bfloat16), [0.10009765625, 2.0]),  # and of 8 bits
        (np.array([[0.5], [2.0]], dtype=np.longdouble), [0.5, 2.0]),
        (np.array([[0.5], [2.0]], dtype=">f8"), [0.5, 2.0]),
        (np.array([[2.0], [0.5]])[::-1], [0.5, 2.0]),  # backwards through memory
        (np.array([[True], [False]]), [1.0, 0.0]),
        (torch.tensor([[True], [False]]), [1.0, 0.0]),
        (np.array([[70000], [3]], dtype=np.uint32), [70000.0, 3.0]),
        (torch.tensor([[70000], [3]], dtype=torch.uint32), [70000.0, 3.0]),
        (np.ma.array([[0.5], [2.0]], mask=False), [0.5, 2.0]),  # nothing is masked
        (torch.tensor([[0.5], [2.0]], requires_grad=True), [0.5, 2.0]),
    ],
)
def test_other_number_types_are_converted(x, wanted):
    data = from_arrays(x, [0, 1])
    assert (
        data.x.dtype == torch.float32
        and data.x[:, 0].tolist() == wanted
        and not data.x.requires_grad
    )


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, np.uint64])
def test_labels_of_any_integer_type(kind):
    data = from_arrays(np.ones((2, 1)), np.array([0, 1]).astype(kind))
    assert data.y.dtype == torch.int64 and (data.y.tolist(), data.n_classes) == ([0, 1], 2)


@pytest.mark.parametrize("make", [from_arrays, lambda x, y: Dataset("mine", x, y, 2)])
def test_a_users_tensors_are_copied(make):
    x, y = torch.arange(40.0).view(20, 2), torch.arange(20) % 2
    data = make(x, y)
    source = make_source(data, "balanced", 2)
    wanted = from_arrays(np.arange(40.0).reshape(20, 2), np.arange(20) % 2)
    x += 100.0
    y.fill_(0)
    split = source.split
    assert (
        torch.equal(split.x, wanted.x)
        and torch.equal(split.y, wanted.y)
        and torch.equal(split.labels, wanted.y)
    )
    if make is from_arrays:
        assert torch.equal(data.x, wanted.x) and torch.equal(data.y, wanted.y)


def test_bad_test_parts_are_refused():
    x, y = np.ones((2, 1)), [0, 1]
    with pytest.raises(ValueError, match="one of x_test and y_test"):
        from_arrays(x, y, x)
    with pytest.raises(ValueError, match="both integers or both floats"):
        from_arrays(x, y, x, [0.5, 1.5])
    with pytest.raises(ValueError, match=r"features \[1\] but x_test has \[2\]"):
        from_arrays(x, y, np.ones((2, 2)), y)


def test_a_data_set_checks_itself():
    x = torch.ones(2, 1)
    with pytest.raises(ValueError, match=r"labels run from 0 to 2, wanted 0..1"):
        Dataset("mine", x, torch.tensor([0, 2]), 2)
    with pytest.raises(ValueError, match="wanted float32 features and float32 targets"):
        Dataset("mine", x, torch.tensor([0, 2]), 0)
    with pytest.raises(
        ValueError, match=r"torch\.float64, wanted float32 features and float32 targets"
    ):
        Dataset("mine", x, torch.tensor([0.5, 2.0], dtype=torch.float64), 0)
    with pytest.raises(ValueError, match="one of x_test and y_test"):
        Dataset("mine", x, torch.tensor([0, 1]), 2, x_test=x)
    # absent classes are fine when said
    assert Dataset("mine", x, torch.tensor([0, 2]), 10).n_classes == 10


def test_npz_layouts(tmp_path):
    x, y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    for names in (("x", "y"), ("images", "labels"), ("x_train", "y_train")):
        np.savez(tmp_path / "a.npz", extra=np.array(["note"]), **dict(zip(names, (x, y))))
        data = read_npz(tmp_path / "a.npz")
        assert (
            torch.equal(data.x, torch.tensor(x).float())
            and data.x_test is None
            and data.name == "a.npz"
        )
    np.savez(tmp_path / "b.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    assert len(read_npz(tmp_path / "b.npz").x_test) == 1
    assert (
        find_dataset(str(tmp_path / "b.npz")).n_classes
        == find_dataset(tmp_path / "b.npz").n_classes
        == 2
    )


def test_groups_come_with_the_rows(tmp_path):
    x, y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    assert from_arrays(x, y).groups is None
    assert from_arrays(x, y, groups=np.array([5, 0, 5, 2], np.uint8)).groups.tolist() == [
        5,
        0,
        5,
        2,
    ]
    np.savez(tmp_path / "a.npz", x=x, y=y, groups=[1, 1, 0, 0])
    assert read_npz(tmp_path / "a.npz").groups.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 1, 1], r"groups are torch.int64 \[3\], wanted int64 \[4\]"),
        ([[0, 1, 1, 1]], r"\[1, 4\], wanted int64 \[4\]"),
        ([0, -1, 1, 1], "groups has -1, wanted numbers >= 0"),
        ([0.0, 1.0, 1.0, 1.0], "wanted integers: number the owners"),
        (["a", "b", "b", "b"], "groups has type <U1"),
    ],
)
def test_bad_groups_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(np.ones((4, 2)), [0, 1, 0, 1], groups=groups)


def test_npz_files_that_are_refused(tmp_path):
    bad = tmp_path / "bad.npz"
    with pytest.raises(ValueError, match="no file"):
        read_npz(bad)
    np.savez(bad, data=np.ones(3), target=np.ones(3))
    with pytest.raises(ValueError, match="holds data, target, wanted one of: x_train, y_train"):
        read_npz(bad)
    np.savez(bad, x=np.array([{}, {}], dtype=object), y=np.array([0, 1]))
    with pytest.raises(ValueError, match="without objects"):
        read_npz(bad)
    for content in (b"", b"no zip at all", b"PK\x03\x04cut short"):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match="cannot read"):
            read_npz(bad)
    with bad.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match="cannot read"):
        read_npz(bad)


# file -> rows, official test rows, feature shape, classes (the folder's own table of contents)
FILES = {
    "small/mnist_6k_1k.npz": (6000, 1000, (1, 28, 28), 10),
    "small/fashion_mnist_6k_1k.npz": (6000, 1000, (1, 28, 28), 10),
    "small/cifar10_8k_2k.npz": (8000, 2000, (3, 32, 32), 10),
    "small/digits_8x8.npz": (1797, 0, (1, 8, 8), 10),
    "tabular/vowel.npz": (990, 0, (9,), 11),
    "tabular/letter.npz": (20000, 0, (16,), 26),
}


@pytest.mark.parametrize("file", FILES)
def test_real_npz_files(data_root, file):
    data = read_npz(data_root / file)
    tests = 0 if data.x_test is None else len(data.x_test)
    assert (len(data.x), tests, data.feature_shape, data.n_classes) == FILES[file]
    if data.feature_shape[0] in (1, 3):
        assert float(data.x.min()) >= 0.0 and 0.0 < float(data.x.max()) <= 1.0


def test_real_npz_of_another_layout_is_refused(data_root):
    with pytest.raises(ValueError, match="holds meta, x_cat, x_num, y, wanted one of"):
        read_npz(data_root / "tabular" / "german_credit.npz")


def test_unknown_data_names_get_a_neighbour():
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        find_dataset("digit")
    with pytest.raises(ValueError, match="data is 3, wanted a name"):
        find_dataset(3)
