"""An episode told in the terminal: the truth stands beside what was said, and lies are seen at
once.
"""

import os
import re
import shutil

import pytest
import torch

from agents.markets import STRATEGIES, shade
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from scripts.play import PlayConfig, beside, main


def told(capsys, **config):
    """The table of the truth: (agent, what) to (truth, said, ratio), as printed."""
    main(PlayConfig(rounds=1, **config))
    printed = capsys.readouterr().out.split("lies in bold")[1].split("episode")[0]
    rows = [line.split("  ") for line in printed.splitlines() if " and " in line]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {(agent, what): (truth, said, ratio) for agent, what, truth, said, ratio in cells}


def test_bids_stand_beside_the_worth_and_asks_beside_the_cost(capsys):
    # shade bids 2/3 of the worth; a sale costs its seller the externality of .25 per unit of the
    # buyer's gain
    rows = told(
        capsys,
        focal="shade",
        arguments=("n_agents=2", "externality=0.25", "money_per_loss=(1.0, 1.0)"),
    )
    assert set(rows) == {
        ("trader_0", "worth of trader_1's model and bid"),
        ("trader_0", "cost of selling to trader_1 and ask"),
        ("trader_1", "worth of trader_0's model and bid"),
        ("trader_1", "cost of selling to trader_0 and ask"),
    }
    assert rows["trader_0", "worth of trader_1's model and bid"][2] == "0.667"
    assert rows["trader_1", "worth of trader_0's model and bid"][2] == "1.000"
    # at one unit of money a unit of loss: the gain
    worth = float(rows["trader_1", "worth of trader_0's model and bid"][0])
    cost, ask, _ = rows["trader_0", "cost of selling to trader_1 and ask"]
    assert worth > 0 and cost == ask and float(cost) == pytest.approx(0.25 * worth, abs=1e-4)


def test_true_types_stand_beside_reported_ones(capsys):
    shared = {
        "market": "model_sharing_v0",
        "arguments": ("n_agents=3", "learner=None", "costs=(0.5, 0.5)"),
    }
    rows = told(capsys, focal="cost_liar", **shared)
    # it doubles its cost
    assert rows["client_0", "cost and report"] == ("0.5000", "1.0000", "2.000")
    assert rows["client_1", "cost and report"] == ("0.5000", "0.5000", "1.000")
    assert len(rows) == 9 and all(
        ratio == "1.000" for (agent, _), (*_, ratio) in rows.items() if agent != "client_0"
    )


def test_values_and_costs_stand_beside_bids_and_asks(capsys):
    rows = told(capsys, market="reference_v0", focal="shade")
    assert (
        rows["buyer_0", "value and bid"][2] == "0.667"
        and rows["seller_0", "cost and ask"][2] == "1.000"
    )


def test_a_round_is_told_for_each_of_the_episode_and_rounds_have_one_option(capsys):
    main(PlayConfig(market="reference_v0", rounds=2, arguments=("game=first_price", "n_buyers=3")))
    printed = capsys.readouterr().out
    assert (
        "round 2" in printed
        and "round 3" not in printed
        and "buyer_2 (truthful): utility" in printed
    )
    with pytest.raises(ValueError, match="give max_cycles by --rounds"):
        main(PlayConfig(arguments=("max_cycles=2",)))


def players(capsys, **config):
    """What every agent played, by the last lines."""
    main(
        PlayConfig(
            market="reference_v0",
            focal="shade",
            arguments=("game=first_price", "n_buyers=3"),
            **config,
        )
    )
    return re.findall(r"^(\w+) \((\w+)\): utility", capsys.readouterr().out, re.M)


def test_the_focal_agent_is_the_first_or_the_named_one_or_all_of_a_role(capsys):
    buyers = ["buyer_0", "buyer_1", "buyer_2"]
    for agent, chosen in ((None, buyers[:1]), ("buyer_2", buyers[2:]), ("buyer", buyers)):
        found = dict(players(capsys, agent=agent))
        assert [name for name, strategy in found.items() if strategy == "shade"] == chosen and set(
            buyers
        ) <= set(found)
    with pytest.raises(ValueError, match=r"no agent 'buyer_3'. Did you mean 'buyer_2'"):
        players(capsys, agent="buyer_3")


def test_a_trained_policy_is_a_strategy_too(capsys):
    """The trained buyer bids about 2/3 of its value, the best answer to a truthful seller."""
    name = "trained:reference/ppo_double_auction_buyer"
    rows = told(capsys, market="reference_v0", focal=name)
    ratios = [float(ratio) for (agent, _), (*_, ratio) in rows.items() if agent == "buyer_0"]
    assert len(ratios) == 1 and 0.5 < ratios[0] < 0.85
    with pytest.raises(ValueError, match="plays reference_v0 only, not parameter_trading_v0"):
        main(PlayConfig(focal=name))


@pytest.mark.parametrize("option", ["focal", "others"])
def test_a_strategy_of_another_market_is_told_in_plain_words(option):
    with pytest.raises(ValueError) as refusal:
        main(PlayConfig(market="marketenv/reference-v0", **{option: "cost_liar"}))
    assert str(refusal.value).startswith(
        f"--{option} is 'cost_liar', which plays model_sharing_v0 and marketplace_v0 only, not"
        " reference_v0. Give --market model_sharing_v0, or one that plays reference_v0: truthful,"
        " random, never_trade, shade, myerson_seller, "
    )
    assert "saboteur" not in str(refusal.value)  # it plays the parameter market alone


@pytest.mark.parametrize("agent", ["centre_0", "centre"])
def test_a_strategy_of_another_role_is_refused_before_it_changes_nothing(agent):
    config = PlayConfig(market="resource_market_v0", focal="junk_supplier", agent=agent, rounds=1)
    words = f"--agent is '{agent}', wanted an agent of the role 'owner'.* Give --agent owner_0,"
    with pytest.raises(ValueError, match=words):
        main(config)


def test_what_two_strategies_need_of_one_part_of_the_marketplace_is_joined(capsys):
    """The other leader would hold its payment, and the sybil would have one name, if not."""
    arguments = ("learner=None", "trade=None", "resource_market={'lam': 0.9}")
    parts = {"focal": "sybil", "others": "reneging_leader", "arguments": arguments}
    main(PlayConfig(market="marketplace_v0", rounds=1, **parts))
    told = capsys.readouterr().out
    assert "under 2 names" in told and "account escrow" not in told


def test_the_strategy_that_is_named_instead_is_played(capsys):
    main(
        PlayConfig(
            market="model_sharing_v0",
            focal="cost_liar",
            rounds=1,
            arguments=("n_agents=3", "learner=None"),
        )
    )
    assert "client_0 (cost_liar): utility" in capsys.readouterr().out


ROUNDS = {  # as many as it takes until truthful actions were not exact, by market
    "reference_v0": 200,
    "parameter_trading_v0": 2,
    "model_sharing_v0": 2,
}
ARGUMENTS = {
    "parameter_trading_v0": {"n_agents": 3, "bid_mode": "absolute"},
    "model_sharing_v0": {"n_agents": 3, "learner": None},
}


def marked(name, strategy):
    """Of everything that was said in an episode where all play a strategy: whether it is shown
    as a lie.
    """
    market = make_market(name, max_cycles=ROUNDS[name], **ARGUMENTS.get(name, {}))
    names, lies = agent_names(market), []
    policies, now = (
        dict.fromkeys(names, strategy.build(market)),
        rounds.begin(market, torch.tensor([0])),
    )
    while now.playing:
        before, (now, report) = now, rounds.advance(market, now, rounds.act(market, policies, now))
        lies += [row.style == "bold" for row in beside(market, before, report, names).rows]
    return lies


@pytest.mark.parametrize("name", ROUNDS)
def test_no_truthful_report_is_shown_as_a_lie(name):
    assert not any(marked(name, STRATEGIES["truthful"]))


def test_small_lies_are_shown_as_lies():
    lies = marked("reference_v0", shade(0.999))
    # a value is off by a thousandth of itself, and nine in ten of U[0, 1] are above 0.1: off by
    # 1e-4 of the range
    assert sum(lies) > 0.9 * len(lies) / 2 and not any(lies[1::2])  # sellers stay truthful


# --- the page of an episode -----------------------------------------------------------------------

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def written(tmp_path):
    """The page of an episode of two rounds in which one buyer shades its bid."""
    file = tmp_path / "new" / "episode.html"
    arguments = ("game=first_price", "n_buyers=3")
    main(PlayConfig(market="reference_v0", focal="shade", rounds=2, html=file, arguments=arguments))
    return file


def test_the_page_shows_the_rounds_that_the_terminal_shows(tmp_path, capsys):
    file = written(tmp_path)
    page, printed = file.read_text("utf8"), capsys.readouterr().out
    assert page.count('class="slide"') == page.count("data:image/png;base64,") == 2
    assert f"The episode is in {file}" in printed
    for line in printed.splitlines():
        if "type" in line or line.startswith("Utility: "):
            assert line in page
    bold = [f"<b>{cell}</b>" for cell in ("buyer_0", "value and bid", "0.667")]
    assert all(page.count(cell) == 2 for cell in bold) and "<b>buyer_1</b>" not in page
    utilities = re.findall(r"(buyer_\d) \((\w+)\): utility (\S+)", printed)
    rows = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in utilities)
    assert len(utilities) == 3 and rows in page.replace(' class="words"', "")


def test_an_episode_is_the_same_with_and_without_a_page(tmp_path, capsys):
    written(tmp_path)
    with_page = capsys.readouterr().out.partition("The episode is in")[0]
    arguments = ("game=first_price", "n_buyers=3")
    main(PlayConfig(market="reference_v0", focal="shade", rounds=2, arguments=arguments))
    assert capsys.readouterr().out == with_page


def test_a_page_that_cannot_be_written_is_refused_before_the_episode(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"--html: .* is no file. Give another --html"):
        main(PlayConfig(market="reference_v0", html=tmp_path))
    assert capsys.readouterr().out == ""


@pytest.mark.long
def test_slider_buttons_and_arrow_keys_go_from_round_to_round(tmp_path, capsys):
    sync = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install 'marketenv[test]'"
    )
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install Debian's chromium")
    arguments = {"market": "model_sharing_v0", "arguments": ("learner=None",)}
    main(PlayConfig(rounds=3, html=tmp_path / "page.html", **arguments))
    complaints, requests = [], []
    with sync.sync_playwright() as play:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = play.chromium.launch(executable_path=BROWSER, args=options)
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((tmp_path / "page.html").as_uri())
        shown = [seen_rounds(page)]
        for press in (
            lambda: page.keyboard.press("ArrowRight"),
            lambda: page.get_by_label("next round").click(),
            lambda: page.keyboard.press("ArrowRight"),  # beyond the last round there is none
            lambda: page.get_by_label("round before").click(),
            lambda: page.get_by_label("round", exact=True).fill("0"),
            lambda: page.keyboard.press("ArrowRight"),  # the slider has the focus: one step still
        ):
            press()
            shown.append(seen_rounds(page))
        widths = {}
        for width in (400, 1280):  # no page is wider than the window
            page.set_viewport_size({"width": width, "height": 800})
            widths[width] = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert shown == [[f"round {k}"] for k in (1, 2, 3, 3, 2, 1, 2)]
    assert widths == {400: 400, 1280: 1280} and not complaints
    assert all(url.startswith(("file:", "data:")) for url in requests)


def seen_rounds(page):
    """Headings of the slides that can be seen; the words beside the slider are of the same one."""
    headings = page.locator(".slide h3:visible").all_text_contents()
    assert page.locator(".controls output").text_content() == f"{headings[0]} of 3"
    return headings
