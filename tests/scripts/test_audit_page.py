"""The audit's page in a real browser: it opens offline, shows every claim and every picture,
and its links lead somewhere.
"""

import json
import os
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from agents.papers.core.audit_contents import COLOURS, MEANINGS
from agents.papers.core.audit_page import _seeds, rounded
from agents.papers.core.pictures import PICTURES
from scripts.audit import AuditConfig, main

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures_once):
    """An audit of the planted claims, one of which cannot be run."""
    out, failures = tmp_path_factory.mktemp("audit"), tmp_path_factory.mktemp("failures") / "lines"
    failures.write_text("once\ntwice")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_FAILURES", str(failures))
        assert (
            main(AuditConfig(module="planted_claims:CLAIMS", budget="quick", out=out, workers=1))
            == 1
        )
    return out


@pytest.fixture(scope="module")
def opened(folder):
    """The page in a browser, and what it asked for and complained of."""
    sync = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install 'marketenv[test]'"
    )
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install Debian's chromium")
    asked, complaints = [], []
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((folder / "report.html").as_uri())
        yield page, asked, complaints
        browser.close()


UNFOLD = "for (const part of document.querySelectorAll('details')) part.open = true"
SHOWN = "[...document.querySelectorAll('{}')].filter(one => one.checkVisibility()).length"


def shown(page, what):
    """How many of the page's elements of this kind are shown."""
    return page.evaluate(SHOWN.format(what))


def test_the_page_has_a_row_and_a_section_for_every_claim(folder, opened):
    page, claims = opened[0], json.loads((folder / "claims.json").read_text())["claims"]
    assert page.title() == "Audit of the claims"
    rows = page.locator(".summary tbody tr")
    assert rows.count() == len(claims) == 8
    told = [row.split("\t")[:3] for row in rows.all_inner_texts()]
    assert {(name.strip(), verdict.strip(), words.strip()) for name, verdict, words in told} == {
        (name.split("/")[1], one["verdict"], one["words"]) for name, one in claims.items()
    }
    assert page.locator("section h2").all_inner_texts() == [
        "Market: east",
        "Market: west",
        *(c for c in listed(folder)),
    ]


def listed(folder):
    """Ids in the table's order."""
    from agents.papers.core.audit import find_claims

    return list(find_claims("planted_claims:CLAIMS"))


def test_a_line_is_drawn_on_the_scale_of_its_parameter():
    """Factors by their powers, options by their names, and what changes nothing as itself."""
    for told, kind, ticks in (
        # no formulas: the page sets none
        ({"parameters": [0.1, 1.0, 10.0], "powers": True}, "log", ["0.1", "1", "10"]),
        (
            {"parameters": [-1.0, 0.0, 1.0], "powers": False, "options": ["honest", "ones"]},
            "linear",
            ["as it was", "honest", "ones"],
        ),
    ):
        _, axes = plt.subplots()
        draw, _ = PICTURES["regret"]
        draw(
            axes,
            told
            | {
                "mean": [0, 1, 2],
                "low": [None] * 3,
                "high": [None] * 3,
                "title": "-",
                "x": "size",
                "y": "money",
            },
        )
        assert axes.get_xscale() == kind and axes.get_xlabel() == "size"
        axes.figure.canvas.draw()
        low, high = axes.get_xlim()
        shown = [
            label.get_text()
            for label in axes.get_xticklabels()
            if low <= label.get_position()[0] <= high
        ]
        assert shown == ticks and not any(
            label.get_text() for label in axes.get_xticklabels(minor=True)
        )
        plt.close()


def test_every_word_of_a_verdict_has_a_colour_of_its_own(opened):
    """A verdict of two words has two colours: what fails as stated is as red as what fails."""
    opened[0].evaluate(UNFOLD)
    seen = opened[0].evaluate(
        "[...document.querySelectorAll('.verdict span')].map("
        "part => [part.innerText.split(/[:;]/)[0].trim(), getComputedStyle(part).backgroundColor])"
    )
    parts = {part for part, _ in seen}
    assert parts == {
        *(
            "holds",
            "holds under",
            "fails",
            "fails as stated",
            "inconclusive",
            "no gain above eps found",
        ),
        *(
            "no gain above eps found under",
            "not tested here",
            "not tested as stated",
            "could not be run",
        ),
    }
    words = ("holds", "fails", "inconclusive", "no gain", "not tested", "could not be run")
    colours = [{colour for part, colour in seen if part.startswith(word)} for word in words]
    assert all(len(one) == 1 for one in colours) and len(set.union(*colours)) == len(words)


def test_all_pictures_are_there(folder, opened):
    widths = opened[0].evaluate("[...document.images].map(image => image.naturalWidth)")
    claims = json.loads((folder / "claims.json").read_text())["claims"]
    drawn = [
        len(part["evidence"]["series"])
        for one in claims.values()
        for part in one["found"].values()
        if part["evidence"]
    ]
    # seven conditions with one picture of each kind
    assert len(widths) == sum(drawn) == 28 and min(widths) > 300


def test_every_link_leads_to_a_place_on_the_page(opened):
    page = opened[0]
    broken = page.evaluate(
        "[...document.querySelectorAll('a')].map(link => link.getAttribute('href'))"
        ".filter(href => !href.startsWith('#') || !document.getElementById(href.slice(1)))"
    )
    # two in a row of the table, one in the contents, one back
    assert page.locator("a").count() >= 4 * 8 and broken == []
    page.evaluate("window.scrollTo(0, 0)")
    page.locator(".summary a.verdict", has_text="could not be run").click()
    top = page.evaluate("document.getElementById('planted-breaks').getBoundingClientRect().top")
    assert (
        page.url.endswith("#planted-breaks")
        and abs(top) < 800
        and page.evaluate("window.scrollY") > 0
    )


def test_the_page_asks_nobody_and_complains_of_nothing(opened):
    _, asked, complaints = opened
    assert asked and all(url.startswith(("file:", "data:")) for url in asked) and complaints == []


def test_the_page_fits_its_window_and_tells_failures_seeds_and_counterexamples(opened):
    page = opened[0]
    page.evaluate(UNFOLD)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    text = page.inner_text("body")
    for words in (
        "planted: twice",
        "seeds\n0..63",
        "seed 3 gains 1.2",
        "it needs a moon",
        "<script>",
        "It fails, <always>.",
    ):
        assert words in text


def test_the_file_names_no_other_place(folder):
    text = Path(folder / "report.html").read_text()
    assert "http://" not in text and "https://" not in text and "<script" not in text


def test_evidence_is_folded_until_it_is_opened(opened):
    page = opened[0]
    page.reload()
    assert shown(page, "img") == 0 and shown(page, ".evidence > summary") == 8
    assert "seed 3 gains 1.2" not in page.inner_text("body")
    page.locator("#planted-fails .evidence > summary").click()
    assert shown(page, "img") == 4 and "seed 3 gains 1.2" in page.inner_text("#planted-fails")


def test_the_legend_explains_every_word_of_a_verdict(opened):
    page = opened[0]
    assert MEANINGS.keys() == COLOURS.keys()
    assert page.locator(".legend dt").all_inner_texts() == list(COLOURS)
    assert page.locator(".legend dd").all_inner_texts() == list(MEANINGS.values())


@pytest.mark.parametrize(("width", "position"), [(1280, "fixed"), (400, "sticky")])
def test_the_contents_stay_in_sight_and_list_every_claim(width, position, folder, opened):
    page = opened[0]
    page.set_viewport_size({"width": width, "height": 700})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    nav = "document.querySelector('.contents')"
    assert page.evaluate(f"getComputedStyle({nav}).position") == position
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    top, bottom = page.evaluate(f"[{nav}.getBoundingClientRect()].flatMap(a => [a.top, a.bottom])")
    assert -1 < top < bottom <= 701 and page.evaluate("window.scrollY") > 0
    names = [f"#{name.replace('/', '-')}" for name in listed(folder)]
    links = page.locator(".contents [data-verdict]").all()
    assert [link.get_attribute("href") for link in links] == names
    page.set_viewport_size({"width": 1280, "height": 720})


def test_filters_leave_the_claims_of_a_verdict_or_a_market_in_table_contents_and_sections(
    folder, opened
):
    """At 1280 pixels, where the contents are always open."""
    page, claims = opened[0], json.loads((folder / "claims.json").read_text())["claims"]
    page.reload()
    of_verdict, of_market = page.locator("select[name=verdict]"), page.locator("[name=market]")
    parts = (".claim", ".summary tbody tr", ".contents [data-verdict]")
    holds = {name for name, one in claims.items() if "holds" in one["verdict"]}
    east = {name for name, one in claims.items() if one["market"] == "east"}
    assert 0 < len(holds & east) < len(east) < 8
    of_verdict.select_option("verdict-holds")
    assert [shown(page, part) for part in parts] == [len(holds)] * 3
    of_market.select_option("market-east")
    assert [shown(page, part) for part in parts] == [len(holds & east)] * 3
    of_market.select_option("market-west")
    assert [shown(page, part) for part in parts] == [len(holds - east)] * 3
    of_verdict.select_option("")
    assert [shown(page, part) for part in parts] == [8 - len(east)] * 3
    of_market.select_option("")
    assert [shown(page, part) for part in parts] == [8] * 3


def test_a_print_holds_all_claims_and_neither_contents_nor_filters(opened):
    page = opened[0]
    page.reload()
    page.emulate_media(media="print")
    assert (shown(page, ".contents"), shown(page, ".claim")) == (0, 8)
    page.emulate_media(media="screen")


def test_seeds_are_short_and_numbers_have_four_digits():
    assert _seeds("JUDGE + 0..19") == "JUDGE + 0..19"
    folded = "<details><summary>JUDGE + 0..19</summary>means of blocks; 2 each</details>"
    assert _seeds("JUDGE + 0..19; means of blocks; 2 each") == folded
    text = "asks [0.9690707310570351, -1.25], key 15000, 1.234567e-05 and 3.5"
    assert rounded(text) == "asks [0.9691, -1.25], key 15000, 1.235e-05 and 3.5"
