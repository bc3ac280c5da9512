"""Verdicts of several conditions, and what is refused."""

import dataclasses
import json

import pytest
import torch
from claim_cases import TINY, around, claim, judged, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.papers import (
    AtMost,
    Evidence,
    InMost,
    measured,
    verdict,
)
from agents.papers.core.words import FAILS, POSITIVE, UNTESTED, WORDS

# --- verdicts of several conditions ---------------------------------------------------------------

GOOD, BAD, OPEN, NONE = noise(0.0), noise(0.5), noise(0.1), None


@pytest.mark.parametrize(
    ("stated", "first", "second", "said"),
    [
        (GOOD, BAD, BAD, "holds"),
        (BAD, GOOD, GOOD, "fails as stated; holds under: first"),  # the first that is listed
        (BAD, BAD, GOOD, "fails as stated; holds under: second"),
        # shown there, undecided as stated
        (OPEN, GOOD, BAD, "inconclusive as stated; holds under: first"),
        (NONE, BAD, GOOD, "not tested as stated; holds under: second"),
        (BAD, BAD, BAD, "fails"),
        # the claim as the paper states it is refuted whatever comes of the others
        (BAD, OPEN, NONE, "fails"),
        (OPEN, BAD, BAD, "inconclusive"),
        (NONE, BAD, NONE, "not tested as stated; fails under: first"),
        # what refutes is told before what is undecided
        (NONE, OPEN, BAD, "not tested as stated; fails under: second"),
        (NONE, OPEN, NONE, "not tested as stated; inconclusive under: first"),
        (NONE, NONE, NONE, "not tested here"),
    ],
)
def test_a_verdict_is_what_its_conditions_come_to(stated, first, second, said):
    names = ("as stated", "first", "second")
    evidence = {
        name: Evidence(samples={"x": x}, seeds="-")
        for name, x in zip(names, (stated, first, second), strict=True)
        if x
    }
    found = verdict(claim(AtMost(0.1), names), evidence)
    assert str(found) == said
    assert [one.condition for one in found.findings] == list(names)
    assert bool(found.counterexample) == (
        stated is BAD or said.startswith("not tested as stated; fails")
    )
    if found.condition:
        assert "as stated: " in found.why  # what became of the claim itself is told too
        assert found.kind == said.partition(":")[0] and f"{found.kind}: {found.condition}" == said


@pytest.mark.parametrize(
    ("stated", "corrected", "narrower", "said"),
    [
        # that another formula holds does not mend the one that was printed
        (BAD, GOOD, BAD, "fails"),
        (BAD, GOOD, GOOD, "fails as stated; holds under: narrower"),
        (OPEN, GOOD, BAD, "inconclusive"),
        (NONE, BAD, NONE, "not tested here"),  # nor does it refute that one
        (GOOD, BAD, BAD, "holds"),
    ],
)
def test_a_correction_is_told_and_never_makes_the_claim_hold(stated, corrected, narrower, said):
    names, samples = ("as stated", "corrected", "narrower"), (stated, corrected, narrower)
    evidence = {
        name: Evidence(samples={"x": x}, seeds="-")
        for name, x in zip(names, samples, strict=True)
        if x
    }
    found = verdict(claim(AtMost(0.1), names, corrections=("corrected",)), evidence)
    assert str(found) == said
    assert f"Corrected, corrected: {'holds' if corrected is GOOD else 'fails'}, wanted" in found.why


@pytest.mark.parametrize(
    ("samples", "shares", "word"),
    [
        # 5 % of the cases tell of the promise, the others of nothing
        (GOOD, [0.0, 0.1], "premise hardly ever true"),
        # what breaks the promise where the premise fails refutes nothing
        (BAD, [0.05] * 3, "premise hardly ever true"),
        (OPEN, [0.0], "premise hardly ever true"),
        (GOOD, [0.1], "holds"),  # a tenth
        (BAD, [1.0, 0.5], "fails"),
    ],
)
def test_a_promise_whose_premise_hardly_ever_holds_does_not_hold(samples, shares, word):
    found = judged(AtMost(0.1), Evidence(samples={"x": samples}, seeds="-", premise=shares))
    assert str(found) == word and word in WORDS
    assert (
        f"the premise is true in {100 * sum(shares) / len(shares):.2g} % of the cases" in found.why
    )
    assert bool(found.counterexample) == (word == FAILS)


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([GOOD, BAD, OPEN, NONE]), min_size=3, max_size=3),
    st.sampled_from([0.1, 0.3]),
)
def test_a_verdict_depends_on_its_evidence_alone_and_plain_data_say_the_same(samples, tolerance):
    names = ("as stated", "first", "second")
    evidence = {
        name: Evidence(samples={"x": x}, seeds="-")
        for name, x in zip(names, samples, strict=True)
        if x
    }
    asked = claim(AtMost(tolerance), names)
    plain = {
        name: json.loads(json.dumps(one.plain(), allow_nan=False)) for name, one in evidence.items()
    }
    other = dataclasses.replace(asked, words="said otherwise", experiment=None, why="not now")
    assert verdict(asked, evidence) == verdict(asked, plain) == verdict(other, evidence)
    found = verdict(asked, evidence)
    assert (found.word in POSITIVE) == any(one.word in POSITIVE for one in found.findings)


def test_a_first_condition_that_is_not_as_stated_is_named():
    for samples, word in ((GOOD, "holds"), (BAD, "fails"), (OPEN, "inconclusive")):
        found = verdict(
            claim(AtMost(0.1), ("digits",)), {"digits": Evidence(samples={"x": samples}, seeds="-")}
        )
        assert (
            str(found) == f"not tested as stated; {word} under: digits" and found.stated == UNTESTED
        )


@pytest.fixture
def two_threads():
    """Two threads, where tests have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_an_error_as_stated_is_raised_and_what_was_measured_elsewhere_still_counts():
    """Who collects evidence may go on without it: it counts as not tested, and the verdict
    names the other condition.
    """

    def breaks(condition, effort):
        if condition == "as stated":
            raise RuntimeError("broken")
        return around(condition, effort)

    asked = claim(AtMost(0.1), ("as stated", "first"), experiment=breaks)
    with pytest.raises(RuntimeError, match="broken"):
        measured(asked, "as stated", TINY)
    assert torch.get_num_threads() == 2
    found = verdict(asked, {"first": measured(asked, "first", TINY)})
    assert (
        str(found) == "not tested as stated; holds under: first"
        and found.findings[0].word == UNTESTED
    )


def test_what_cannot_be_measured_says_why():
    silent = claim(AtMost(0.1), experiment=None, why="its appendix is not at hand")
    evidence = measured(silent, "as stated", TINY)
    found = verdict(silent, {"as stated": evidence})
    assert (found.word, found.why) == (UNTESTED, "its appendix is not at hand")


@pytest.mark.usefixtures("two_threads")
def test_measuring_sets_one_thread_and_gives_the_others_back():
    seen = []

    def look(condition, effort):
        seen.append(torch.get_num_threads())
        return around(condition, effort)

    measured(claim(AtMost(0.1), experiment=look), "as stated", TINY)
    assert seen == [1] and torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Evidence(samples={}), "a reason why there are none"),
        (lambda: Evidence(samples={"x": []}), "finite points"),
        (lambda: Evidence(samples={"x": [float("nan")]}), "finite points"),
        (lambda: Evidence(samples={"x": [1.0]}, untested="no"), "a reason why there are none"),
        (lambda: Evidence(samples={"x": [1.0]}, scale=0.0), "scale is 0.0"),
        (lambda: Evidence(samples={"x": [1.0]}, premise=[1.5]), "shares of the cases"),
        (lambda: claim(AtMost(), ("a", "b"), corrections=("a",)), "conditions after its first"),
        (lambda: claim(AtMost(), ("a", "b"), corrections=("c",)), "conditions after its first"),
        (lambda: judged(InMost(), Evidence(samples={"x": [0.0, 0.5]})), "1 for a run that shows"),
        (lambda: claim(AtMost(), ()), "one or more"),
        (lambda: claim(AtMost(), ("a", "a")), "each once"),
        (lambda: claim(AtMost(), experiment=None), "a reason"),
        (lambda: claim(AtMost(), why="but it has one"), "a reason"),
        (
            lambda: verdict(claim(AtMost()), {"as state": Evidence(untested="-")}),
            "Did you mean 'as stated'",
        ),
        (lambda: measured(claim(AtMost()), "never", TINY), "no condition of planted/claim"),
        (lambda: measured(claim(AtMost()), "as stated", "quik"), "Did you mean 'quick'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
