"""Floor 1, data: data sets, partitions among agents, and the sources that give every market its examples."""

from marketenv.data.augmentation import AUGMENTATIONS, Augmentation, augmentation
from marketenv.data.dataset import Dataset, from_arrays
from marketenv.data.datasets import DATASETS
from marketenv.data.federation import Federation, Source
from marketenv.data.linear import SyntheticLinear
from marketenv.data.npz import read_npz
from marketenv.data.partitioned import PartitionedSource
from marketenv.data.partitions import PARTITIONS
from marketenv.data.sources import find_dataset, make_source
from marketenv.data.splitting import Split, split
from marketenv.data.text import next_characters, read_text, speeches

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "PARTITIONS",
    "Augmentation",
    "Dataset",
    "Federation",
    "PartitionedSource",
    "Source",
    "Split",
    "SyntheticLinear",
    "augmentation",
    "find_dataset",
    "from_arrays",
    "make_source",
    "next_characters",
    "read_npz",
    "read_text",
    "speeches",
    "split",
]
