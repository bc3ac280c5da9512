"""Plays as data: windows of characters, the next character, and the speaker of each."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from marketenv.core.checks import whole
from marketenv.data.dataset import Dataset

PATTERN = "*shakespeare*.txt"  # of the file's name, plain or with .gz behind it
FOLDERS = ("", "shakespeare", "text")  # of the root, where the file may lie
# characters of a window of ``shakespeare``; few, for a cheap round of a recurrent network on a CPU
LENGTH = 20


def speeches(text: str) -> dict[str, str]:
    """Join the speeches of each speaker, in order of appearance; each begins on a new line.

    A speech begins after an empty line with a line "NAME:" of its own; a paragraph without such a
    line continues the speech before.

    Raises ValueError where there is no such line.

    >>> speeches("ROMEO:\\nAy me.\\n\\nJULIET:\\nO Romeo!\\n\\nROMEO:\\nShall I hear more?\\n")
    {'ROMEO': 'Ay me.\\nShall I hear more?\\n', 'JULIET': 'O Romeo!\\n'}
    """
    parts: dict[str, list[str]] = {}
    speaker = ""
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        head, _, rest = paragraph.strip("\n").partition("\n")
        if head.rstrip().endswith(":"):
            speaker, paragraph = head.rstrip()[:-1].strip(), rest
        if speaker and paragraph.strip():
            parts.setdefault(speaker, []).append(paragraph.strip("\n") + "\n")
    if not parts:
        raise ValueError(
            'the text has no speakers: wanted paragraphs that begin with a line "NAME:", an empty'
            " line before each."
        )
    return {name: "".join(texts) for name, texts in parts.items()}


def next_characters(
    texts: Mapping[str, str], length: int = LENGTH, *, stride: int | None = None, name: str = "text"
) -> Dataset:
    """Cut each speaker's text into windows of characters, labelled with the next character.

    x: numbers of ``length`` characters in a row, as floats [rows, length]
    y: number of the next character
    groups: the speaker, numbered by falling length of the text (ties: by first appearance)
    Characters are numbered 0.. in order of their code points; there are as many classes as
    characters.

    texts:  by speaker, as ``speeches`` returns them
    stride: characters from one window's start to the next one's; None: length + 1, so that no two
            examples share a character: in a random cut into training and test rows, training then
            sees no character of a test example

    Raises ValueError for a length or stride below 1, and where no text has more than ``length``
    characters.

    >>> data = next_characters({"A": "abcab", "B": "cb"}, length=1)
    >>> data.x.flatten().tolist(), data.y.tolist()  # ab, ca and cb: the last b has no next one
    ([0.0, 2.0, 2.0], [1, 0, 1])
    >>> data.groups.tolist()
    [0, 0, 1]
    """
    length = whole(length, "length", 1, fix=": characters")
    step = length + 1 if stride is None else whole(stride, "stride", 1, fix=": characters")
    longest = sorted(texts.values(), key=len, reverse=True)
    codes = [np.frombuffer(text.encode("utf-32-le"), np.uint32) for text in longest]
    view = np.lib.stride_tricks.sliding_window_view
    parts = [view(one, length + 1)[::step] for one in codes if len(one) > length]
    if not parts:
        raise ValueError(
            f"nobody says more than {length} characters, so there is no next one; choose a shorter"
            " length."
        )
    alphabet = np.unique(np.concatenate(codes))
    windows = torch.tensor(np.searchsorted(alphabet, np.concatenate(parts)), device="cpu")
    counts = torch.tensor([len(part) for part in parts], device="cpu")
    groups = torch.arange(len(parts), device="cpu").repeat_interleave(counts)
    x, y = windows[:, :-1].float(), windows[:, -1].clone()
    return Dataset(name, x, y, len(alphabet), groups=groups)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, plain or gzipped; raises ValueError where it is damaged."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ValueError(
            f"cannot read {path} ({error}); wanted text in UTF-8, plain or gzipped."
        ) from error


def shakespeare(root: Path | None = None, download: bool = False) -> Dataset:
    """Shakespeare's characters, 20 in a row and the next one, by speaker.

    The partition ``by_group`` deals one speaker to each agent. This reads the first file
    ``*shakespeare*.txt`` or ``.txt.gz`` in the root, or in its folder ``shakespeare`` or ``text``,
    in which every speech stands under a line "NAME:"; nothing is downloaded. For other lengths or
    another play pass ``next_characters(speeches(read_text(path)), length)`` as data.

    Raises ValueError where there is no such file, or it has no speakers.

    Source: the task of Caldas et al., "LEAF" (2018), whose windows are of 80 characters and
    overlap. We differ: see ``stride``.
    """
    if root is None:
        raise ValueError(
            f"data 'shakespeare' lies in a file: give root=<folder> with a file {PATTERN} or"
            f" {PATTERN}.gz."
        )
    folders = [Path(root) / folder for folder in FOLDERS]
    patterns = [(folder, PATTERN + end) for folder in folders for end in ("", ".gz")]
    paths = [path for folder, pattern in patterns for path in sorted(folder.glob(pattern))]
    files = [path for path in paths if path.is_file()]
    if not files:
        places = ", ".join(map(str, folders))
        raise ValueError(
            f"no file {PATTERN} or {PATTERN}.gz in {places}; put one there: it is not downloaded."
        )
    return next_characters(speeches(read_text(files[0])), name="shakespeare")
