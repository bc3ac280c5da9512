"""Whole episodes as readable text: what a market plays changes only on purpose
(scripts/rewrite_playthroughs.py).
"""

import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from marketenv.envs import MARKETS

FOLDER = Path(__file__).parent / "playthroughs"
SCRIPT = runpy.run_path(
    str(Path(__file__).resolve().parents[2] / "scripts" / "rewrite_playthroughs.py")
)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+")
ADVICE = (
    "if the market is meant to play otherwise, run scripts/rewrite_playthroughs.py and read the"
    " difference"
)


@cache
def playthrough(name):
    return SCRIPT["playthrough"](name)


def words_and_numbers(text):
    """The text with its decimal numbers taken out, and those numbers."""
    return NUMBER.sub("<number>", text).splitlines(), [float(n) for n in NUMBER.findall(text)]


def test_every_environment_has_a_playthrough():
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(SCRIPT["EPISODES"]) == set(MARKETS)


@pytest.mark.parametrize("name", SCRIPT["EPISODES"])
def test_it_is_played_as_it_was(name):
    stored, played = (FOLDER / f"{name}.txt").read_text(encoding="utf8"), playthrough(name)
    (words, numbers), (expected_words, expected) = (
        words_and_numbers(played),
        words_and_numbers(stored),
    )
    assert words == expected_words, ADVICE
    # numbers are printed to four digits, and matrix products round differently from one processor
    # to the next
    assert numbers == pytest.approx(expected, abs=1e-3, rel=1e-3), ADVICE
    assert len(numbers) > 50


def test_the_comparison_sees_a_changed_number_and_a_changed_word():
    stored = (FOLDER / "reference_v0.txt").read_text(encoding="utf8")
    words, numbers = words_and_numbers(stored)
    assert words_and_numbers(stored.replace("pays", "owes"))[0] != words
    first = NUMBER.search(stored)
    changed = stored[: first.start()] + f"{float(first[0]) + 0.01:.4f}" + stored[first.end() :]
    assert words_and_numbers(changed)[0] == words and words_and_numbers(changed)[
        1
    ] != pytest.approx(numbers, abs=1e-3)


@pytest.mark.long
def test_the_script_writes_what_the_tests_read(tmp_path, capsys):
    SCRIPT["main"](SCRIPT["PlaythroughConfig"](out=tmp_path))
    for name in SCRIPT["EPISODES"]:
        assert (tmp_path / f"{name}.txt").read_text(encoding="utf8") == playthrough(name)
    assert capsys.readouterr().out.count("wrote ") == len(SCRIPT["EPISODES"])
