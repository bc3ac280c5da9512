"""Floor 1, data: data sets, partitions among agents, and the sources of a market's examples."""

from marketenv.data.augmentation import AUGMENTATIONS, Augmentation, augmentation
from marketenv.data.corruptions import CORRUPTIONS, CorruptedSource
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
from marketenv.data.wrong_features import (
    SHIFTS,
    Moments,
    covariate_shift,
    feature_noise,
    moments,
    toward,
)
from marketenv.data.wrong_labels import (
    FLIPS,
    cycles,
    pairwise_flips,
    permuted_labels,
    symmetric_flips,
)
from marketenv.data.wrong_rows import duplicated, noise_rows

__all__ = [
    "AUGMENTATIONS",
    "CORRUPTIONS",
    "DATASETS",
    "FLIPS",
    "PARTITIONS",
    "SHIFTS",
    "Augmentation",
    "CorruptedSource",
    "Dataset",
    "Federation",
    "Moments",
    "PartitionedSource",
    "Source",
    "Split",
    "SyntheticLinear",
    "augmentation",
    "covariate_shift",
    "cycles",
    "duplicated",
    "feature_noise",
    "find_dataset",
    "from_arrays",
    "make_source",
    "moments",
    "next_characters",
    "noise_rows",
    "pairwise_flips",
    "permuted_labels",
    "read_npz",
    "read_text",
    "speeches",
    "split",
    "symmetric_flips",
    "toward",
]
