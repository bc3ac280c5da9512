"""The page with a slider over rounds: every round is there, with its picture, tables and words."""

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from agents.viewer import Viewer
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.fields import Field, Fields, Share
from marketenv.core.market import Market, Move, Outcome, People, Phase, agent_names
from marketenv.render import Slide, episode_page, payments_figure

PURSE = Field("purse", 1, 0.0, 1.0, "what one has, money")
PART = Share("part", unit="of the purse", text="what one gives away")


def report_of(name, **config):
    """The last report of one episode of truthful agents."""
    market = make_market(name, max_cycles=1, **config)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    played = [report for *_, report in rounds.play(market, policies, torch.tensor([0])) if report]
    return played[-1], agent_names(market)


def a_slide(number, **more):
    return Slide(heading=f"round {number}", picture="<img>", words="1 < 2", **more)


def test_every_slide_has_its_picture_words_and_tables_and_text_is_escaped():
    slides = [a_slide(1, tables=[("a & b", "<i>cells</i>")]), a_slide(2, below=[("c", "<b>d</b>")])]
    page = episode_page("title <", "intro", slides, [("Episode", "<p>all</p>")])
    assert page.count('class="slide"') == 2 and page.count("<img>") == 2
    assert page.count("<pre>1 &lt; 2</pre>") == 2 and "title &lt;" in page
    assert "<h4>a &amp; b</h4><i>cells</i>" in page
    assert '<div class="below"><h4>c</h4><b>d</b></div>' in page
    assert 'min="0" step="1" value="0" aria-label="round" max="1"' in page
    assert page.index("Rounds</h2>") < page.index("round 1") < page.index("Episode</h2><p>all</p>")


def test_a_page_stands_alone_and_shows_all_rounds_where_no_script_runs():
    page = episode_page("t", "i", [a_slide(1), a_slide(2)])
    assert not re.search(r"(?:src|href)=\"http|@import|url\(", page)
    # the controls are hidden until the script shows them, and no slide is hidden before it runs
    assert page.count(" hidden>") == 1 and '<div class="controls" hidden>' in page


def test_a_page_without_rounds_is_refused():
    with pytest.raises(ValueError, match="slides is empty, wanted at least one round"):
        episode_page("t", "i", [])


def test_the_network_of_a_round_stands_alone():
    report, agents = report_of("reference_v0", game="first_price", n_buyers=3)
    fig = payments_figure(report, agents)
    (axes,) = fig.axes
    assert axes.get_title() == "money paid"
    texts = {text.get_text() for text in axes.texts}
    assert {*agents, "account\noperator"} <= texts
    amount = float(report.paid[0].max())  # the winner pays its bid
    assert amount > 0 and any(text.startswith(f"{amount:.2f}") for text in texts)


def test_the_network_of_several_kinds_has_its_columns_and_no_panel_of_utilities():
    report, agents = report_of("marketplace_v0", learner=None, trade=None)
    (axes,) = payments_figure(report, agents).axes
    heads = [text.get_text() for text in axes.texts if text.get_weight() == "bold"]
    assert heads == ["developers", "owners", "centres"] and axes.get_title() == "money paid"


@dataclass(frozen=True)
class Given(Outcome):
    part: torch.Tensor  # [markets, givers]


class Gift(Phase):
    """Givers pay dues, and what they give to takers, of whom there are none."""

    name, outcome = "gift", Given
    moves: ClassVar = {"giver": Move(Fields((PURSE,)), Fields((PART,)))}

    def show(self, floor, own, quotes):
        return {"giver": {"purse": torch.ones(len(floor.seeds), floor.count("giver"))}}

    def truthful(self, observation, move, keys):
        return move.write(observation, part=0.5)

    def act(self, floor, own, quotes, actions):
        part = PART.read(actions["giver"])[..., 0].double()
        gifts = part[..., None].expand(-1, -1, floor.count("taker")) / 2
        floor = floor.pay("gifts", "giver", "taker", gifts)
        return floor.pay("dues", "giver", "club", part[..., None] / 2), own, Given(part)


def test_a_role_without_agents_gets_no_payment_on_the_page():
    people = People(roles={"giver": 2, "taker": 0}, accounts={"club": 1}, cash=1.0)
    market = Market(people, (Gift(),), horizon=1, name="gifts")
    names = agent_names(market)
    now = rounds.begin(market, torch.tensor([0]))
    policies = dict.fromkeys(names, market.policies["truthful"])
    _, report = rounds.advance(market, now, rounds.act(market, policies, now))
    viewer = Viewer(market, dict.fromkeys(names, "truthful"))
    viewer.add(now, report)
    page = viewer.page(0)
    assert page.count(">dues</td>") == 2 and ">gifts</td>" not in page
