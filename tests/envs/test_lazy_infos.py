"""Infos that are made when they are read: to every reader they are a dict, made once."""

import copy
import json
import pickle

import pytest

from marketenv.envs.lazy_infos import LazyInfos

PLAIN = {"utility": [0.5], "cash": [3.0]}


def counted():
    """Lazy infos, and the calls of their maker."""
    calls = []
    return LazyInfos(lambda: calls.append(1) or dict(PLAIN)), calls


READERS = {
    "item": lambda infos: infos["cash"] == [3.0],
    "get": lambda infos: infos.get("cash") == [3.0] and infos.get("none", 7) == 7,
    "in": lambda infos: "cash" in infos and "none" not in infos,
    "truth": bool,
    "length": lambda infos: len(infos) == 2,
    "loop": lambda infos: list(infos) == ["utility", "cash"],
    "reversed": lambda infos: list(reversed(infos)) == ["cash", "utility"],
    "items": lambda infos: dict(infos.items()) == PLAIN,
    "equal": lambda infos: infos == PLAIN,
    "equal in a list": lambda infos: [infos] == [PLAIN],
    "unequal": lambda infos: (infos != PLAIN) is False,
    "repr": lambda infos: repr(infos) == repr(PLAIN),
    "dict": lambda infos: dict(infos) == PLAIN,
    "unpacked": lambda infos: {**infos, "step": 1} == PLAIN | {"step": 1},
    "keywords": lambda infos: (lambda **given: given)(**infos) == PLAIN,
    "or": lambda infos: infos | {"step": 1} == PLAIN | {"step": 1},
    "or from the right": lambda infos: {"step": 1} | infos == {"step": 1} | PLAIN,
    "into another": lambda infos: _updated(infos) == PLAIN,
    "copy": lambda infos: infos.copy() == PLAIN,
    "deep copy": lambda infos: copy.deepcopy(infos) == PLAIN,
    "pickle": lambda infos: pickle.loads(pickle.dumps(infos)) == PLAIN,
    "json": lambda infos: json.loads(json.dumps(infos)) == PLAIN,
    "json without C": lambda infos: json.loads(json.dumps(infos, indent=1)) == PLAIN,
    "pop": lambda infos: infos.pop("cash") == [3.0] and list(infos) == ["utility"],
    "default": lambda infos: infos.setdefault("cash", 9) == [3.0],
    "match": lambda infos: _matched(infos) == [3.0],
}


def _updated(infos):
    other = {}
    other.update(infos)
    return other


def _matched(infos):
    match infos:
        case {"cash": cash}:
            return cash


@pytest.mark.parametrize("reads", READERS.values(), ids=READERS)
def test_every_reader_finds_the_whole_dict_which_is_made_once(reads):
    infos, calls = counted()
    assert isinstance(infos, dict) and not calls
    assert reads(infos) and reads(counted()[0])
    len(infos)
    assert calls == [1]


def test_changes_come_after_the_infos_that_were_made():
    infos, _ = counted()
    infos["cash"] = 4.0
    infos["step"] = 1
    assert infos == {"utility": [0.5], "cash": 4.0, "step": 1}
    infos, _ = counted()
    infos |= {"cash": 4.0}
    infos.update(step=1)
    del infos["utility"]
    assert infos == {"cash": 4.0, "step": 1}
    infos, _ = counted()
    infos.clear()
    assert infos == {}


def test_no_method_of_a_dict_passes_the_infos_by():
    own = {"__init__", "__new__", "__reduce__", "__getattribute__", "__class_getitem__"}
    same = {"__sizeof__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "fromkeys", "__doc__"}
    forgotten = [name for name in vars(dict) if vars(LazyInfos).get(name) is None]
    assert set(forgotten) <= own | same
