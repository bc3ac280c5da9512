"""The walk through one round is made from the code: it says what runs now, in words and numbers."""

import re

import pytest
from markdown_pages import ROOT, cells, section

from agents.walk import page as walk
from agents.walk.shown import phase_of, rows, sentence
from agents.walk.trace import Name, traced
from marketenv.core.phase import Phase
from marketenv.mechanisms import first_price, nash_bargaining

PAGE = ROOT / "docs" / "guides" / "one_round.md"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+")
ADVICE = "the round runs otherwise now: run scripts/rewrite_walk.py and read the difference"


@pytest.fixture(scope="module")
def made():
    """The page as the code makes it now."""
    return walk.page()


@pytest.fixture(scope="module")
def played():
    """The names of the page's code after it has run, and its calls."""
    namespace = {}
    return namespace, traced(walk.CODE_OF_ROUND, namespace)


def test_the_page_is_what_the_code_makes_now(made):
    stored = PAGE.read_text("utf8")
    assert NUMBER.sub("<number>", made) == NUMBER.sub("<number>", stored), ADVICE
    # numbers are printed to four digits, and matrix products round differently from one processor
    # to the next
    numbers, expected = ([float(n) for n in NUMBER.findall(text)] for text in (made, stored))
    assert numbers == pytest.approx(expected, abs=1e-3, rel=1e-3), ADVICE
    assert len(expected) > 50


def test_each_function_stands_there_with_its_first_sentence_and_formula(made):
    _, *lines = cells(section(made, "The exchange settles"))
    trade = {line[0].split("`")[1]: line for line in lines}
    code, file, words, formula = trade["nash_bargaining"]
    assert code == "→→→→→&nbsp;`nash_bargaining`" and file.startswith("[mechanisms/bargaining.py]")
    assert words == sentence(nash_bargaining)
    assert formula == (
        "`price[b, s] = ask + power_s / (power_s + power_b) * (bid - ask) where bid > 0 and bid"
        " >= ask`"
    )


def test_a_reader_sees_few_functions_in_the_order_in_which_they_run(played):
    shown = rows(played[1])
    names = [row.name.qualname for row in shown]
    assert 10 <= len(set(names)) <= 25
    phases = ["Train.act", "Trade.quote", "Trade.show", "Trade.truthful", "Trade.act", "Score.act"]
    assert [name for name in names if name in phases] == phases
    engine = [row.name.qualname for row in shown if row.phase == ""]
    assert engine == ["begin", "act", "play_stage"]
    assert all(row.name.public and row.sentence.endswith(".") for row in shown)


def test_opening_an_episode_and_making_a_market_are_no_part_of_the_round(played):
    calls = {name.qualname for call in played[1] for name in call}
    assert {"opened", "make_market"} <= calls  # they ran
    shown = {row.name.qualname for row in rows(played[1])}
    assert not shown & {"opened", "make_market", "MLP.init", "MLP.exam", "Trade.begin"}


def test_another_payment_rule_is_another_page(monkeypatch, made):
    code = walk.CODE_OF_ROUND.replace("max_cycles=1", 'max_cycles=1, mechanism="first_price"')
    monkeypatch.setattr(walk, "CODE_OF_ROUND", code)
    other = walk.page()
    assert "`first_price`" in other and "`first_price`" not in made
    assert "`nash_bargaining`" in made and "`nash_bargaining`" not in other
    assert sentence(first_price) in other
    assert "bid 1.6028, ask 0.0000, bought for 1.6028" in other
    assert "bid 1.6028, ask 0.0000, bought for 0.8014" in made  # half of it


def test_numbers_beside_formulas_come_out(played):
    by_phase = walk.Numbers.of(played[0]).equations
    lines = [line for some in by_phase.values() for line in some]
    assert set(by_phase) == {"Train", "Trade", "Score", ""} and len(lines) == 6
    for line in lines:  # the numbers are rounded to four digits before they are multiplied
        assert eval(line.numbers) == pytest.approx(line.result, abs=2e-3), line


def test_every_word_of_the_round_stands_on_the_page_once(played, made):
    report, agents = played[0]["report"], [f"trader_{k}" for k in range(3)]
    words = walk.words_of(report, agents)
    assert [line for some in words.values() for line in some] == report.story(agents)
    assert all(made.count(line) == 1 for line in report.story(agents))


def test_calls_are_told_with_what_called_them():
    code = "import torch\nfrom marketenv.mechanisms import first_price as rule\n"
    code += "bids, asks = torch.ones(1, 1, 1).double(), torch.ones(1, 1).double()\nrule(bids, asks)"
    calls = traced(code, {})
    named = [[name.qualname for name in call] for call in calls]
    assert ["first_price", "check_reports"] in [
        [n for n in call if n[0] not in "_<"] for call in named
    ]
    assert all(phase_of(call) == "" for call in calls)
    assert phase_of((Name(Phase.__module__, "Phase.named"), calls[0][-1])) == "Phase"
