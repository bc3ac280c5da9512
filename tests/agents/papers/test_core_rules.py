"""Rules of claims: evidence whose verdict is known reaches every path."""

import pytest
from claim_cases import claim, judged, noise

from agents.papers import (
    Above,
    AtLeast,
    AtMost,
    Evidence,
    InMost,
    Never,
    NoGain,
    verdict,
)
from agents.papers.core.words import FAILS, HOLDS, INCONCLUSIVE, NO_GAIN, WORDS


def statistics(found):
    """The judged statistics of the claim as stated."""
    return found.findings[0].statistics


# 40 samples of spread .1 have an interval of about mean +- .03
PATHS = [
    (AtMost(0.1), noise(0.0), {}, HOLDS),
    (AtMost(0.1), noise(0.2), {}, FAILS),
    (AtMost(0.1), noise(0.1), {}, INCONCLUSIVE),  # the interval straddles the tolerance
    (AtMost(0.1), noise(0.0)[:19], {}, INCONCLUSIVE),  # below 20 samples there is no interval
    (AtMost(0.1), [0.0] * 255, {}, INCONCLUSIVE),  # of one value 256 are wanted
    (AtMost(0.1), [0.0] * 256, {}, HOLDS),
    (AtLeast(0.1), noise(0.2), {}, HOLDS),
    (AtLeast(0.1), noise(0.0), {}, FAILS),
    (AtLeast(0.1), noise(0.1), {}, INCONCLUSIVE),
    (Above(0.0), noise(0.1), {}, HOLDS),
    (Above(0.0), [0.0] * 256, {}, FAILS),  # no effect at all is none
    (Above(0.1), noise(0.1), {}, INCONCLUSIVE),
    (NoGain(0.1), noise(0.0), {}, NO_GAIN),  # a search may have missed something
    (NoGain(0.1), noise(0.0), {"exact": True}, HOLDS),
    (NoGain(0.1), noise(0.2), {"exact": True}, FAILS),
    (InMost(), [1.0] * 16 + [0.0] * 4, {}, HOLDS),  # 16 of 20: above .56 (Clopper and Pearson)
    (InMost(), [1.0] * 15 + [0.0] * 5, {}, HOLDS),  # above .509
    (InMost(), [1.0] * 14 + [0.0] * 6, {}, INCONCLUSIVE),  # above .457
    (InMost(), [1.0] * 5 + [0.0] * 15, {}, FAILS),  # below .491
    (InMost(), [0.0] * 6, {}, FAILS),  # 1 - .025^(1/6) = .459
    (InMost(), [0.0] * 5, {}, INCONCLUSIVE),  # .522
    (Never(0.1), [0.0] * 368, {}, HOLDS),  # 1 - .025^(1/368) = .00997
    (Never(0.1), [0.0] * 367, {}, INCONCLUSIVE),  # 1 - .025^(1/367) = .01000...
    (Never(0.1), [0.0] * 3, {"exact": True}, HOLDS),
    (Never(0.1), [0.0, 0.11], {}, FAILS),  # one sample refutes, however few there are
    (Never(0.1, rate=0.2), [0.0] * 20, {}, HOLDS),  # 1 - .025^(1/20) = .168
    (AtMost(0.1), noise(0.2), {"scale": 10.0}, HOLDS),  # the tolerance is 1
    (AtMost(0.1), noise(0.0), {"scale": 0.01}, INCONCLUSIVE),  # and here .001, inside the interval
]


@pytest.mark.parametrize(("rule", "samples", "more", "word"), PATHS)
def test_every_rule_takes_every_way(rule, samples, more, word):
    found = judged(rule, Evidence(samples={"x": samples}, seeds="-", **more))
    assert (found.word, str(found), found.condition) == (word, word, "")
    assert bool(found.counterexample) == (word == FAILS)
    assert word in WORDS and "wanted" in found.why


def test_one_statistic_that_fails_refutes_and_one_that_is_open_leaves_it_open():
    good, bad, open_ = noise(0.0), noise(0.5), noise(0.1)
    for samples, word in (
        ({"a": good, "b": bad, "c": open_}, FAILS),
        ({"a": good, "c": open_}, INCONCLUSIVE),
    ):
        found = judged(AtMost(0.1), Evidence(samples=samples, seeds="-"))
        assert found.word == word
        # told is what decided
        assert ("b: mean 0.5" in found.why) == (word == FAILS) and "a: mean" not in found.why


def test_intervals_of_several_statistics_are_wider_so_that_they_hold_together():
    (alone,) = (
        judged(AtMost(0.1), Evidence(samples={"a": noise(0.0)}, seeds="-")).findings[0].statistics
    )
    several = (
        judged(AtMost(0.1), Evidence(samples={name: noise(0.0) for name in "abcdefgh"}, seeds="-"))
        .findings[0]
        .statistics
    )
    assert several[0].high > alone.high and several[0].low < alone.low and len(several) == 8


def test_conditions_share_the_chance_of_a_miss():
    """Of three conditions each gets a third of 5 %: None of 368 makes 1 % alone, none of 476
    does then.
    """
    names = ("as stated", "first", "second")
    for count, word in ((475, INCONCLUSIVE), (477, HOLDS)):
        found = verdict(
            claim(Never(0.1), names),
            {"as stated": Evidence(samples={"x": [0.0] * count}, seeds="-")},
        )
        assert found.word == word
    evidence = {"as stated": Evidence(samples={"x": noise(0.0)}, seeds="-")}
    (one,) = statistics(verdict(claim(AtMost(0.1)), evidence))
    (three,) = statistics(verdict(claim(AtMost(0.1), names), evidence))
    assert three.high > one.high and three.low < one.low


def test_what_refutes_is_told_by_the_experiment_or_else_by_the_samples():
    told = judged(
        AtMost(0.1), Evidence(samples={"x": noise(0.5)}, seeds="-", counterexample="seed 7 loses 1")
    )
    assert told.counterexample == "seed 7 loses 1"
    held = judged(
        AtMost(1.0), Evidence(samples={"x": noise(0.5)}, seeds="-", counterexample="seed 7 loses 1")
    )
    assert not held.counterexample  # the worst case of what holds is no counterexample
    assert (
        "x: mean 0.5"
        in judged(AtMost(0.1), Evidence(samples={"x": noise(0.5)}, seeds="-")).counterexample
    )


def test_a_sample_at_the_tolerance_is_not_above_it():
    assert judged(Never(0.1), Evidence(samples={"x": [0.1] * 368}, seeds="-")).word == HOLDS
