"""The documentation's tables of verdicts are what an audit computed, of the claims as they stand."""

import json

import pytest

from agents.stress.claims import CLAIMS, EFFORTS, WORDS, measured, verdict
from scripts.audits.evidence import Audited, plain
from scripts.audits.verdicts import KEPT, NOT_RUN, PAGES, filled, summarized, table

KEPT_NOW = json.loads(KEPT.read_text())


@pytest.mark.parametrize("paper", list(PAGES))
def test_a_page_shows_the_verdicts_that_are_kept(paper):
    page = PAGES[paper].read_text()
    assert filled(page, paper, KEPT_NOW) == page


def test_every_claim_has_a_verdict_in_its_present_words():
    assert {name: one["words"] for name, one in KEPT_NOW.items()} == {name: claim.words for name, claim in CLAIMS.items()}
    assert {name.partition("/")[0] for name in KEPT_NOW} == set(PAGES)
    for name, one in KEPT_NOW.items():
        if one["verdict"] == NOT_RUN:
            continue
        kind, _, condition = one["verdict"].partition(": ")
        assert kind.split("; ")[-1].removesuffix(" under") in WORDS and one["budget"] in EFFORTS
        assert not condition or condition in set(CLAIMS[name].conditions) - set(CLAIMS[name].corrections)


def audited(names):
    """A claims.json of what the quick budget finds."""
    found = []
    for name in names:
        claim = CLAIMS[name]
        evidence = {condition: measured(claim, condition, "quick") for condition in claim.conditions}
        found.append(Audited(claim, verdict(claim, evidence), evidence, {}, {}))
    return json.loads(json.dumps(plain(found, "quick")))


def test_samples_are_judged_anew_and_told_with_their_units():
    evidence = audited(["reference/accounts", "reference/first_price_gain"])
    for one in evidence["claims"].values():
        one["verdict"] = "typed by hand"
    short = summarized(evidence)
    assert [one["verdict"] for one in short.values()] == ["holds", "holds"]
    text = table("reference", short)
    assert "2 claims: 2 holds." in text and "greatest 0 money, 1024 samples | quick |" in text
    page = "a\n<!-- verdicts of reference -->\nold\n<!-- end of verdicts -->\nb\n"
    assert filled(page, "reference", short) == page.replace("old", f"\n{text}")
    with pytest.raises(ValueError, match="no place for verdicts"):
        filled("a page", "reference", short)
    evidence["claims"]["reference/accounts"]["conditions"].append("another")
    with pytest.raises(ValueError, match="run the audit again"):
        summarized(evidence)


def test_words_with_a_bar_do_not_break_a_row():
    short = {"x/y": {"words": "|a| is 1.", "verdict": "holds", "found": "1 money", "budget": "quick"}}
    assert table("x", short).splitlines()[-1] == "| y | \\|a\\| is 1. | holds | 1 money | quick |"
