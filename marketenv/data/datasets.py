"""The table of data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from marketenv.data.dataset import Dataset
from marketenv.data.embedded import breast_cancer, digits, german_credit
from marketenv.data.images import cifar10, fashion_mnist, mnist
from marketenv.data.text import shakespeare
from marketenv.data.tiny_imagenet import tiny_imagenet

Loader = Callable[[Path | None, bool], Dataset]  # (root, download) -> data set

DATASETS: dict[str, Loader] = {
    "digits": digits,
    "german_credit": german_credit,
    "breast_cancer": breast_cancer,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "tiny_imagenet": tiny_imagenet,
    "shakespeare": shakespeare,
}
