"""The page of findings is what the kept verdicts say, and never says what they do not."""

import json
import re
from pathlib import Path

import pytest

from agents.papers import CLAIMS
from agents.papers.core.headlines import Headline, Measured, Slot, page, section
from agents.papers.core.verdict_tables import KEPT
from agents.papers.findings import FINDINGS, INTRO
from scripts.reproduce import STUDIES

DOCS = Path(__file__).parents[3] / "docs"
NOW = json.loads((DOCS / KEPT).read_text("utf8"))


def test_the_page_is_written_from_the_verdicts_that_are_kept():
    assert (DOCS / "findings.md").read_text("utf8") == page(INTRO, FINDINGS, NOW)
    assert len(FINDINGS) == 12


@pytest.mark.parametrize("headline", FINDINGS, ids=lambda one: one.title[:40])
def test_a_finding_names_claims_a_page_and_studies_that_exist_and_no_number_of_its_own(headline):
    assert {claim for claim, _ in headline.claims.values()} <= CLAIMS.keys()
    title, path = re.fullmatch(r"\[(.+)\]\((.+)\)", headline.page).groups()
    assert title.casefold() in (DOCS / path).read_text("utf8").splitlines()[0].casefold()
    assert set(headline.studies) <= STUDIES.keys()
    assert all((DOCS / f"papers/pictures/{name}.png").exists() for name in headline.studies)
    words = re.sub(r"\{[^}]*\}", "", headline.text)
    # 10 to 60 owners are the claim's words
    assert set(re.findall(r"\d+", words)) <= {"10", "60"}
    used = set(re.findall(r"\{(\w+)\.", headline.text))
    assert used == headline.claims.keys()


@pytest.mark.parametrize("headline", FINDINGS, ids=lambda one: one.title[:40])
def test_a_finding_is_refused_when_any_of_its_verdicts_changes(headline):
    for claim, verdict in headline.claims.values():
        other = "holds" if verdict != "holds" else "fails"
        changed = NOW | {claim: NOW[claim] | {"verdict": other}}
        with pytest.raises(ValueError, match=rf"of {claim}; the verdict is now '{other}'"):
            headline.filled(changed)


def test_every_number_of_a_kept_verdict_is_read_and_written_as_it_is():
    counts = 0
    for one in NOW.values():
        slot = Slot(one["verdict"], one["found"], one["budget"])
        parts = [slot.stated] if " samples" in one["found"] else []
        parts += [slot.under] if "; under the condition: " in one["found"] else []
        for part in parts:
            number = f"greatest {part.value}" if part.greatest else part.value
            number += f" [{part.low}, {part.high}]" if part.low else ""
            assert f"{part.name}: {number} {part.unit}, " in one["found"]
            counts += 1
    assert counts > len(NOW)


COST = (
    "as stated: gain of a: 0.5 [0.25, 0.75] money, 20 samples (and 1 more); under the condition:"
    " gain of a: -0.2 [-0.3, -1e-05] money, 20 samples"
)


def test_slots_take_numbers_apart():
    slot = Slot("fails as stated; holds under: patience", COST, "quick")
    assert slot.condition == "patience" and slot.stated.name == "gain of a"
    assert slot.stated.gain == slot.stated.number == "0.5 [0.25, 0.75] money"
    assert slot.stated.bare == "0.5 [0.25, 0.75]"
    assert slot.under.number == "-0.2 [-0.3, -1e-05] money"
    assert slot.under.loss == "0.2 [1e-05, 0.3] money"  # the ends change places
    greatest = Measured.of("loss of a: x: greatest 1e-16 of W2, or of k, 40 samples")
    assert (greatest.most, greatest.name) == ("1e-16 of W2, or of k", "loss of a: x")


@pytest.mark.parametrize(
    ("found", "part", "wanted"),
    [
        ("a: -1 [-2, 1] money, 20 samples", "gain", "an interval above 0"),
        ("a: -1 [-2, 1] money, 20 samples", "loss", "an interval below 0"),
        ("a: 1 [0.5, 2] money, 20 samples", "loss", "an interval below 0"),
        ("a: 1 money, 20 samples", "number", "a mean with an interval"),
        ("a: greatest 1 money, 20 samples", "gain", "a mean with an interval"),
        ("a: 1 [0.5, 2] money, 20 samples", "most", "the greatest sample"),
    ],
)
def test_a_number_that_does_not_fit_its_sentence_is_refused(found, part, wanted):
    headline = Headline(
        title="A title",
        text=f"{{x.stated.{part}}}",
        claims={"x": ("p/x", "holds")},
        page="[p](p.md)",
    )
    with pytest.raises(ValueError, match=f"A title.*wants {wanted}"):
        headline.filled({"p/x": {"verdict": "holds", "found": found, "budget": "quick"}})


@pytest.mark.parametrize(
    ("claim", "slot", "wanted"),
    [
        ("p/z", "x.stated.gain", "no verdict of a claim 'p/z'"),
        ("p/x", "x.stated.gan", "no attribute 'gan'"),
        ("p/x", "y.stated.gain", "'y'"),
    ],
)
def test_a_sentence_about_what_is_not_there_is_refused_by_its_title(claim, slot, wanted):
    found = "a: 1 [0.5, 2] money, 20 samples"
    headline = Headline(
        title="A title", text=f"{{{slot}}}", claims={"x": (claim, "holds")}, page="p.md"
    )
    with pytest.raises(ValueError, match=f"'A title' cannot be written: .*{wanted}"):
        headline.filled({"p/x": {"verdict": "holds", "found": found, "budget": "quick"}})


@pytest.mark.parametrize("found", ["a: nan [nan, nan] money, 2 samples", "a: 1 [-inf, inf] x"])
def test_an_interval_that_is_not_finite_is_no_number(found):
    with pytest.raises(ValueError, match="names no number"):
        Measured.of(found)


def test_words_without_a_number_are_refused():
    with pytest.raises(ValueError, match="names no number"):
        Measured.of("the premise is true in 0.025 % of the cases")


def test_a_section_has_sentences_picture_table_and_a_command_for_each_budget():
    kept = {
        "p/x": {"verdict": "holds", "found": "a: 1 [0.5, 2] money, 20 samples", "budget": "quick"},
        "p/y": {"verdict": "fails", "found": "|b|: 3 [2, 4] %, 20 samples", "budget": "full"},
    }
    claims = {"x": ("p/x", "holds"), "y": ("p/y", "fails")}
    headline = Headline(
        title="T",
        text="X {x.verdict}, {x.stated.gain}.",
        claims=claims,
        page="[a page](p.md)",
        studies=("s",),
    )
    assert section(3, headline, kept) == (
        "## 3. T\n\nX holds, 1 [0.5, 2] money.\n\nMore: [a page](p.md).\n\n"
        "![s](papers/pictures/s.png)\n\n"
        "| claim | verdict | number, 95 % interval, unit | budget |\n|---|---|---|---|\n"
        "| `p/x` | holds | a: 1 [0.5, 2] money, 20 samples | quick |\n"
        "| `p/y` | fails | \\|b\\|: 3 [2, 4] %, 20 samples | full |\n\n"
        '    python scripts/audit.py --budget quick --claims "p/x"\n'
        '    python scripts/audit.py --budget full --claims "p/y"\n'
        "    python scripts/reproduce.py s"
    )
