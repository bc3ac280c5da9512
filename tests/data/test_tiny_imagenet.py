"""Tiny ImageNet from a folder made up of a few small pictures."""

import importlib.util

import numpy as np
import pytest
import torch

from marketenv.data import find_dataset, make_source, tiny_imagenet

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("PIL") is None, reason="Pillow is not installed"
)
KINDS = ("n02", "n01", "n10")  # not in order: labels are 0 for n01, 1 for n02, 2 for n10


def save(path, colour, mode="RGB", side=64):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side), colour).save(path, "JPEG", quality=95)


def folder(root, each=4, tests=6):
    """Class k of n01, n02, n10 is of brightness 60 (k + 1): red for n01, grey pictures for n02,
    blue for n10.
    """
    colours = {"n01": (60, 0, 0), "n02": 120, "n10": (0, 0, 180)}
    for kind in KINDS:
        for i in range(each):
            save(
                root / "train" / kind / "images" / f"{kind}_{i}.JPEG",
                colours[kind],
                "L" if kind == "n02" else "RGB",
            )
        (root / "train" / kind / f"{kind}_boxes.txt").write_text("n_0.JPEG\t0\t0\t63\t63\n")
    lines = []
    for i in range(tests):
        kind = KINDS[i % 3]
        save(
            root / "val" / "images" / f"val_{i}.JPEG",
            colours[kind],
            "L" if kind == "n02" else "RGB",
        )
        lines.append(f"val_{i}.JPEG\t{kind}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("place", [".", "tiny-imagenet-200"])
def test_pictures_labels_and_test_part(tmp_path, place):
    folder(tmp_path / place)
    data = find_dataset("tiny_imagenet", root=str(tmp_path))
    assert (data.x.shape, data.x_test.shape, data.n_classes) == ((12, 3, 64, 64), (6, 3, 64, 64), 3)
    # class folders in rising order of their names
    assert data.y.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.y_test.tolist() == [1, 0, 2, 1, 0, 2]  # as the annotations say
    # plain colours outlive JPEG up to a few steps of 255: red .235 of n01, three equal channels
    # .471 of n02, blue .706 of n10
    wanted = torch.tensor([[60, 0, 0], [120, 120, 120], [0, 0, 180]]) / 255
    means = data.x.mean((2, 3))
    assert float((means - wanted[data.y]).abs().max()) < 0.02
    assert torch.equal(data.x[4:8, 0], data.x[4:8, 2])  # grey pictures
    assert float((data.x_test.mean((2, 3)) - wanted[data.y_test]).abs().max()) < 0.02


def test_other_folders_are_no_classes_and_empty_classes_are_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "train" / ".cache").mkdir()
    assert find_dataset("tiny_imagenet", root=str(tmp_path)).n_classes == 3
    for picture in (tmp_path / "train" / "n01" / "images").iterdir():
        picture.unlink()
    with pytest.raises(ValueError, match="n01 holds no pictures"):
        find_dataset("tiny_imagenet", root=str(tmp_path))


def test_pixels_lie_where_they_should(tmp_path):
    from PIL import Image

    folder(tmp_path, each=1)
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :, 1] = 200  # the upper half green
    Image.fromarray(picture).save(
        tmp_path / "train" / "n01" / "images" / "n01_0.JPEG", "JPEG", quality=100, subsampling=0
    )
    x = find_dataset("tiny_imagenet", root=tmp_path).x[0]
    assert float(x[1, :30].min()) > 0.7 and float(x[1, 34:].max()) < 0.1 and float(x[0].max()) < 0.1


def test_a_source_of_it(tmp_path):
    source = make_source(
        "tiny_imagenet", "balanced", n_agents=2, root=folder(tmp_path), validation_size=2
    )
    assert (source.feature_shape, source.n_outputs, source.task) == (
        (3, 64, 64),
        3,
        "classification",
    )
    # the whole of val is the test part
    assert source.split.sizes == {"train": 10, "validation": 2, "test": 6}
    assert source.federation(torch.tensor([1])).train.size.tolist() == [[5, 5]]
    few = make_source(
        "tiny_imagenet", "balanced", n_agents=2, root=tmp_path, validation_size=2, max_examples=6
    )
    assert few.split.sizes["train"] == 4


def test_download_is_refused():
    with pytest.raises(ValueError, match=r"not downloaded for you.*download it yourself"):
        find_dataset("tiny_imagenet", root=".", download=True)


def plant(root, what):
    """Spoil one thing of a good folder; returns what the message must name."""
    first, notes = (
        root / "train" / "n02" / "images" / "n02_1.JPEG",
        root / "val" / "val_annotations.txt",
    )
    if what == "no picture":
        first.write_bytes(b"no picture")
    elif what == "cut short":
        first.write_bytes(first.read_bytes()[:200])
    elif what == "other size":
        save(first, (1, 2, 3), side=32)
    elif what == "no notes":
        notes.unlink()
    elif what == "strange notes":
        notes.write_text("val_0.JPEG n01\n")
    elif what == "other class":
        notes.write_text("val_0.JPEG\tn99\t0\t0\t1\t1\n")
    elif what.startswith("file "):
        notes.write_text(f"{what.removeprefix('file ')}\tn01\t0\t0\t1\t1\n")
    elif what == "missing test picture":
        (root / "val" / "images" / "val_3.JPEG").unlink()
    elif what == "no test pictures":
        notes.write_text("")


SPOILED = {
    "no picture": r"cannot read .*n02_1\.JPEG .*unpack the archive again",
    "cut short": r"cannot read .*n02_1\.JPEG",
    "other size": r"n02_1\.JPEG is 32 x 32, wanted 64 x 64",
    "no notes": r"no file .*val_annotations\.txt",
    "strange notes": r"has the line 'val_0\.JPEG n01', wanted a file, a tab and a class",
    "other class": "n99.*a class of train",
    "file ../../train/n01/images/n01_0.JPEG": (
        r"names the file '\.\./\.\./train.*wanted one in .*images by its name"
    ),
    "file /etc/hostname": "names the file '/etc/hostname'",
    "file ..": r"names the file '\.\.'",
    "file deeper/val_0.JPEG": "names the file 'deeper/val_0.JPEG'",
    "file ..\\val_0.JPEG": "names the file",
    "file ": "names the file ''",
    "missing test picture": r"cannot read .*val_3\.JPEG",
    "no test pictures": "holds no pictures",
}


@pytest.mark.parametrize("what", SPOILED)
def test_damage_is_named(tmp_path, what):
    plant(folder(tmp_path), what)
    with pytest.raises(ValueError, match=SPOILED[what]):
        find_dataset("tiny_imagenet", root=tmp_path)


def test_absent_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no folder train"):
        find_dataset("tiny_imagenet", root=tmp_path / "nowhere")
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="holds no folder train with classes"):
        find_dataset("tiny_imagenet", root=tmp_path)


def test_without_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    def fail(name):
        raise ImportError("No module named 'PIL'")

    folder(tmp_path)
    monkeypatch.setattr(tiny_imagenet, "import_module", fail)
    with pytest.raises(ValueError, match=r"Pillow cannot be imported .*marketenv\[vision\]"):
        find_dataset("tiny_imagenet", root=tmp_path)
