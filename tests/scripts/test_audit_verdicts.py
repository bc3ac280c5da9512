"""The documentation's tables of verdicts are what an audit computed, of the claims as they
stand.
"""

import json

import own_process
import pytest

from agents.papers import CLAIMS, EFFORTS, WORDS, Evidence, measured, verdict
from agents.papers.core.audited import Audited, plain
from agents.papers.core.verdict_tables import KEPT, NOT_RUN, PAGES, filled, summarized, table
from scripts.verdicts import ROOT, VerdictsConfig, main

DOCS = ROOT / "docs"
KEPT_NOW = json.loads((DOCS / KEPT).read_text())


@pytest.mark.parametrize("paper", list(PAGES))
def test_a_page_shows_the_verdicts_that_are_kept(paper):
    page = (DOCS / PAGES[paper]).read_text()
    assert filled(page, paper, KEPT_NOW) == page


def test_every_claim_has_a_verdict_in_its_present_words():
    assert {name: one["words"] for name, one in KEPT_NOW.items()} == {
        name: claim.words for name, claim in CLAIMS.items()
    }
    assert {name.partition("/")[0] for name in KEPT_NOW} == set(PAGES)
    for name, one in KEPT_NOW.items():
        if one["verdict"] == NOT_RUN:
            continue
        kind, _, condition = one["verdict"].partition(": ")
        assert kind.split("; ")[-1].removesuffix(" under") in WORDS and one["budget"] in EFFORTS
        assert not condition or condition in set(CLAIMS[name].conditions) - set(
            CLAIMS[name].corrections
        )


def audited(names):
    """A claims.json of what the quick budget finds."""
    found = []
    for name in names:
        claim = CLAIMS[name]
        evidence = {
            condition: measured(claim, condition, "quick") for condition in claim.conditions
        }
        found.append(Audited(claim, verdict(claim, evidence), evidence, {}, {}))
    return json.loads(json.dumps(plain(found, "quick")))


def test_samples_are_judged_anew_and_told_with_their_units():
    evidence = audited(["reference/accounts", "reference/first_price_gain"])
    for one in evidence["claims"].values():
        one["verdict"] = "typed by hand"
    short = summarized(evidence)
    assert [one["verdict"] for one in short.values()] == ["holds", "holds"]
    text = table("reference", short)
    # the other: of cash
    found = (
        "what is not explained of utilities: greatest 0 money, 1024 samples (and 1 more) | quick |"
    )
    assert "2 claims: 2 holds." in text and found in text
    page = "a\n<!-- verdicts of reference -->\nold\n<!-- end of verdicts -->\nb\n"
    assert filled(page, "reference", short) == page.replace("old", f"\n{text}")
    with pytest.raises(ValueError, match="no place for verdicts"):
        filled("a page", "reference", short)
    evidence["claims"]["reference/accounts"]["conditions"].append("another")
    with pytest.raises(ValueError, match="run the audit again"):
        summarized(evidence)


def test_words_with_a_bar_do_not_break_a_row():
    short = {
        "x/y": {"words": "|a| is 1.", "verdict": "holds", "found": "1 money", "budget": "quick"}
    }
    assert table("x", short).splitlines()[-1] == "| y | \\|a\\| is 1. | holds | 1 money | quick |"


# --- the command line -----------------------------------------------------------------------------

# samples above 0 break either
ACCOUNTS, RATIONALITY = "reference/accounts", "reference/rationality"


def made_up(file, budget, **breaches):
    """Write a claims.json of 300 equal samples a claim, enough to decide (256 where they are
    one value): money.
    """
    names, claims = {"accounts": ACCOUNTS, "rationality": RATIONALITY}, {}
    for short, breach in breaches.items():
        claim = CLAIMS[names[short]]
        evidence = Evidence(samples={"x": [breach] * 300}, seeds="made up", exact=True).plain()
        found = {condition: {"evidence": evidence} for condition in claim.conditions}
        claims[claim.id] = {"errors": {}, "conditions": list(claim.conditions), "found": found}
    file.write_text(json.dumps({"budget": budget, "claims": claims}))
    return file


@pytest.fixture
def docs(tmp_path):
    """A documentation in which accounts hold by a standard audit, and nothing is known of
    rationality.
    """
    for name in (*PAGES.values(), KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((DOCS / name).read_text())
    known = KEPT_NOW | {
        RATIONALITY: {
            "words": CLAIMS[RATIONALITY].words,
            "verdict": NOT_RUN,
            "found": "-",
            "budget": "-",
        }
    }
    known[ACCOUNTS] = {
        "words": CLAIMS[ACCOUNTS].words,
        "verdict": "holds",
        "found": "all of it",
        "budget": "standard",
    }
    (tmp_path / KEPT).write_text(json.dumps(known))
    return tmp_path


def now(docs):
    """Verdict and budget of the two claims; the others are as they were, and the page says what
    the file says.
    """
    kept = json.loads((docs / KEPT).read_text())
    assert list(kept) == list(CLAIMS) and all(
        kept[name] == KEPT_NOW[name] for name in set(CLAIMS) - {ACCOUNTS, RATIONALITY}
    )
    for paper, name in PAGES.items():
        assert filled((docs / name).read_text(), paper, kept) == (docs / name).read_text()
    return [(kept[name]["verdict"], kept[name]["budget"]) for name in (ACCOUNTS, RATIONALITY)]


@pytest.mark.parametrize(
    ("budgets", "smaller", "accounts"),
    [
        (["standard"], False, ("fails", "standard")),  # newer of the same budget
        (["full"], False, ("fails", "full")),  # larger
        (["quick"], False, ("holds", "standard")),  # smaller: what is kept is worth more
        (["quick"], True, ("fails", "quick")),
        (["full", "standard"], False, ("fails", "full")),  # in whatever order they are given
        (["standard", "full"], False, ("fails", "full")),
        ([], False, ("holds", "standard")),
    ],
)
def test_newer_or_larger_evidence_of_a_claim_replaces_its_verdict_alone(
    budgets, smaller, accounts, docs, capsys
):
    files = tuple(made_up(docs / f"{budget}.json", budget, accounts=1.0) for budget in budgets)
    main(VerdictsConfig(evidence=files, docs=docs, smaller=smaller))
    assert now(docs) == [accounts, (NOT_RUN, "-")]
    said = capsys.readouterr().out
    assert (f"    {ACCOUNTS}: that of budget" in said) == (
        budgets in (["quick"], ["full", "standard"]) and not smaller
    )


def test_of_two_files_of_one_budget_the_later_counts_and_what_was_never_run_takes_any(docs, capsys):
    first = made_up(docs / "first.json", "quick", accounts=0.0, rationality=1.0)
    second = made_up(docs / "second.json", "quick", rationality=0.0)
    main(VerdictsConfig(evidence=(first, second), docs=docs))
    assert now(docs) == [("holds", "standard"), ("holds", "quick")]
    assert f"{first}: 1 of 2 verdicts taken." in capsys.readouterr().out
    main(VerdictsConfig(evidence=(second, first), docs=docs))
    assert now(docs) == [("holds", "standard"), ("fails", "quick")]


def test_a_verdict_of_a_claim_that_said_something_else_is_replaced_by_any(docs):
    known = json.loads((docs / KEPT).read_text())
    known[ACCOUNTS]["words"] = "Something else."
    (docs / KEPT).write_text(json.dumps(known))
    main(VerdictsConfig(evidence=(made_up(docs / "quick.json", "quick", accounts=1.0),), docs=docs))
    assert now(docs)[0] == ("fails", "quick")


BAD = {
    "no JSON": ("{", "holds no evidence, wanted a claims.json"),
    "another file": ('{"a": 1}', "holds no evidence, wanted a claims.json"),
    "a list": ("[]", "holds no evidence, wanted a claims.json"),
    "another budget": ('{"budget": "huge", "claims": {}}', "no budget 'huge'"),
    "another claim": (
        '{"budget": "full", "claims": {"reference/acounts": {}}}',
        "Did you mean 'reference/accounts'",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_of_something_else_is_refused_by_its_name_before_anything_is_written(bad, docs):
    text, said = BAD[bad]
    (docs / "bad.json").write_text(text)
    before = (docs / KEPT).read_text()
    good = made_up(docs / "good.json", "full", accounts=1.0)
    with pytest.raises(ValueError, match=r"bad\.json") as refusal:
        main(VerdictsConfig(evidence=(good, docs / "bad.json"), docs=docs))
    assert said in str(refusal.value) and (docs / KEPT).read_text() == before


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"reference/accounts": []}', '{"reference/accounts": {"words": "a"}}']
)
@pytest.mark.parametrize("given", [True, False], ids=["evidence", "no evidence"])
def test_damaged_verdicts_are_refused_by_their_file_before_anything_is_written(text, given, docs):
    (docs / KEPT).write_text(text)
    page = (docs / PAGES["reference"]).read_text()
    files = (made_up(docs / "full.json", "full", accounts=1.0),) if given else ()
    with pytest.raises(ValueError, match=r"verdicts\.json holds no verdicts, wanted a file that"):
        main(VerdictsConfig(evidence=files, docs=docs))
    assert (docs / KEPT).read_text() == text and (docs / PAGES["reference"]).read_text() == page


def test_a_page_without_a_place_is_refused_before_anything_is_written(docs):
    (docs / PAGES["ipfl"]).write_text("no place")
    before = (docs / KEPT).read_text()
    with pytest.raises(ValueError, match="no place for verdicts"):
        main(
            VerdictsConfig(evidence=(made_up(docs / "full.json", "full", accounts=1.0),), docs=docs)
        )
    assert (docs / KEPT).read_text() == before


def test_the_script_takes_files_and_a_folder(docs, tmp_path):
    file = made_up(docs / "full.json", "full", accounts=1.0)
    child = own_process.begin("verdicts", "--evidence", file, "--docs", docs, output=tmp_path)
    assert own_process.ended(child) == 0, (tmp_path / "stderr").read_text()
    assert (tmp_path / "stdout").read_text() == f"{file}: 1 of 1 verdicts taken.\n"
    assert now(docs)[0] == ("fails", "full")
