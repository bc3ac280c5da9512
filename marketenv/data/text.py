"""Plays as data: windows of characters and the one that follows, each known by who speaks it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from marketenv.core.checks import whole
from marketenv.data.dataset import Dataset

PATTERN = "*shakespeare*.txt"  # of the file's name, plain or with .gz behind it
FOLDERS = ("", "shakespeare", "text")  # of the root, where it may lie
# characters of a window of ``shakespeare``: short, so that a recurrent network's round is cheap on
# a CPU
LENGTH = 20


def speeches(text: str) -> dict[str, str]:
    """Join what each speaker says, in order of appearance; a new speech begins on a new line.

    A speech begins after an empty line with a line "NAME:" of its own; a paragraph without one
    continues the speech before.

    Raises ValueError where there is no such line.

    >>> speeches("ROMEO:\\nAy me.\\n\\nJULIET:\\nO Romeo!\\n\\nROMEO:\\nShall I hear more?\\n")
    {'ROMEO': 'Ay me.\\nShall I hear more?\\n', 'JULIET': 'O Romeo!\\n'}
    """
    found: dict[str, list[str]] = {}
    speaker = ""
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        head, _, rest = paragraph.strip("\n").partition("\n")
        if head.rstrip().endswith(":"):
            speaker, paragraph = head.rstrip()[:-1].strip(), rest
        if speaker and paragraph.strip():
            found.setdefault(speaker, []).append(paragraph.strip("\n") + "\n")
    if not found:
        raise ValueError(
            'the text has no speakers: wanted paragraphs that begin with a line "NAME:", an empty'
            " line before each."
        )
    return {name: "".join(said) for name, said in found.items()}


def next_characters(
    said: Mapping[str, str], length: int = LENGTH, *, stride: int | None = None, name: str = "text"
) -> Dataset:
    """Cut what each speaker says into windows of characters, each labelled with the character that
    follows.

    x: numbers of ``length`` characters in a row, as floats [rows, length];
        y: number of the next one
    groups: the speaker, numbered by falling length of what is said (ties: by first appearance)
    Characters are numbered 0.. in order of their code points; there are as many classes as
    characters.

    stride: characters from one window's start to the next one's; None: length + 1, so that no two
            examples share a character and a random cut into training and test rows shows no test
            example's surroundings to training

    Raises ValueError for a length or stride below 1, and where nobody says more than ``length``
    characters.

    >>> data = next_characters({"A": "abcab", "B": "cb"}, length=1)
    >>> (
    ...     data.x.flatten().tolist(),
    ...     data.y.tolist(),
    ...     data.groups.tolist(),
    ... )  # ab, ca and cb: the last b has no next one
    ([0.0, 2.0, 2.0], [1, 0, 1], [0, 0, 1])
    """
    length = whole(length, "length", 1, fix=": characters")
    step = length + 1 if stride is None else whole(stride, "stride", 1, fix=": characters")
    spoken = [
        np.frombuffer(words.encode("utf-32-le"), np.uint32)
        for words in sorted(said.values(), key=len, reverse=True)
    ]
    parts = [
        np.lib.stride_tricks.sliding_window_view(s, length + 1)[::step]
        for s in spoken
        if len(s) > length
    ]
    if not parts:
        raise ValueError(
            f"nobody says more than {length} characters, so there is no next one; choose a shorter"
            " length."
        )
    alphabet = np.unique(np.concatenate(spoken))
    windows = torch.tensor(np.searchsorted(alphabet, np.concatenate(parts)), device="cpu")
    groups = torch.arange(len(parts), device="cpu").repeat_interleave(
        torch.tensor([len(p) for p in parts], device="cpu")
    )
    return Dataset(
        name, windows[:, :-1].float(), windows[:, -1].clone(), len(alphabet), groups=groups
    )


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, plain or gzipped; raises ValueError where it is damaged."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(
            f"cannot read {path} ({error}); wanted text in UTF-8, plain or gzipped."
        ) from error


def shakespeare(root: Path | None = None, download: bool = False) -> Dataset:
    """Shakespeare's characters, 20 at a time and the next one, by speaker: deal it by ``by_group``,
    one speaker an agent.

    Reads the first file ``*shakespeare*.txt`` or ``.txt.gz`` in the root, or in its folder
    ``shakespeare`` or ``text``, in which every speech stands under a line "NAME:"; nothing is
    downloaded. For other lengths or another play pass ``next_characters(speeches(read_text(path)),
    length)`` as data.

    Raises ValueError where there is no such file, or it has no speakers.

    Source: the task of Caldas et al., "LEAF" (2018), whose windows are of 80 characters and
    overlap. We differ: see ``stride``.
    """
    if root is None:
        raise ValueError(
            f"data 'shakespeare' lies in a file: give root=<folder> with a file {PATTERN} or"
            f" {PATTERN}.gz."
        )
    places = [Path(root) / folder for folder in FOLDERS]
    found = [
        path
        for place in places
        for end in ("", ".gz")
        for path in sorted(place.glob(PATTERN + end))
        if path.is_file()
    ]
    if not found:
        looked = ", ".join(str(place) for place in places)
        raise ValueError(
            f"no file {PATTERN} or {PATTERN}.gz in {looked}; put one there: it is not downloaded."
        )
    return next_characters(speeches(read_text(found[0])), name="shakespeare")
