"""The demo's line-ups, tables and pictures, on numbers small enough to check by hand."""

import re
from html import escape

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

import marketenv
from agents.cli.intervals import note
from agents.demos import data, findings, line_ups, marketplace, resources, sharing, trading
from agents.demos.line_ups import OUTSIDE, DemoResults, below, differences, gap_picture, seats
from agents.markets import STRATEGIES
from scripts.demo import DemoConfig, _command, audit_of


def an_episode():
    """Two developers, two owners and one centre in two rounds."""
    names = ["developer_0", "developer_1", "owner_0", "owner_1", "centre_0"]
    kinds = {kind: np.zeros((5, 5)) for kind in ("data", "compute", "parameters")}
    kinds["data"][:2, 2:4] = [[1.0, 2.0], [0.5, 2.0]]  # owner_1 gets 4 of 5.5
    kinds["compute"][2:4, 4] = [0.25, 0.5]
    kinds["parameters"][1, 0] = 0.125
    return {
        "names": names,
        "roles": {"developer": names[:2], "owner": names[2:4], "centre": names[4:]},
        "kinds": {kind: money.tolist() for kind, money in kinds.items()},
        "utilities": dict(zip(names, [3.0, 4.0, 0.5, 1.0, 0.25], strict=True)),
        "shares": [[0.1, 0.2], [0.1, 0.4]],
        "digits": [[5] * 10, [1, 1, 1, 1, 1, 19, 19, 19, 19, 19]],  # of owner_1 95 of 100
        "centres": [[[-1, -1], [-1, -1]], [[-1, 0], [0, 0]]],
        "bought": [[0, 0], [2, 0]],
        "accuracy": [[0.1, 0.3], [0.8, 0.9]],
        "n_rounds": 2,
    }


def test_five_sentences_say_what_was_sold_and_who_earned():
    sold, worked, bought, learned, earned = marketplace.sentences(an_episode())
    assert sold == (
        "owner_1, 95 % of whose 100 images show the digits 5, 6, 7, 8 and 9, was paid most for"
        " data: 4.00 money in 2 rounds; in the mean it sold 30 % of them to each developer in a"
        " round."
    )
    assert worked == (
        "In the last round centre_0 (for owner_1) computed on what owners sold to developer_0; in"
        " all rounds owners paid the centres 0.75 money for computing."
    )
    assert bought == (
        "Developers bought each other's parameters 2 times, for 0.12 money; developer_1 paid"
        " developer_0 most of it, 0.12 money in 2 rounds."
    )
    assert learned == (
        "The developers' models began at an accuracy of 20 % on test images and ended at 85 %, in"
        " the mean."
    )
    assert earned == (
        "developer_1 earned most, 4.00 money; together earned all developers 7.00 money, all owners"
        " 1.50 money and all centres 0.25 money: payments, the value of better models, and costs."
    )


def test_sentences_of_an_episode_without_trade_say_so():
    nothing = {"centres": [[[-1, -1]] * 2], "bought": [[0, 0], [0, 0]]}
    _, worked, bought, *_ = marketplace.sentences(an_episode() | nothing)
    assert worked == "In the last round no centre computed for developer_0."
    assert bought == "No developer bought another one's parameters."


def test_in_the_demo_all_three_kinds_are_sold_and_everybody_earns(tmp_path):
    (unit,) = marketplace.units()
    result = unit.work(tmp_path, **unit.arguments)
    payments = marketplace.payments_of(result)
    assert list(payments.kinds) == ["data", "compute", "parameters"]
    assert all(money.sum() > 1.0 for money in payments.kinds.values())
    assert min(result["utilities"].values()) > 0 and result["n_rounds"] == marketplace.ROUNDS
    assert [sum(row) for row in result["digits"]] == [89, 89, 88, 88]  # of the partition
    before, after = map(np.mean, result["accuracy"])
    assert before < 0.2 and after > 0.9
    network, *panels = marketplace.drawing(result).axes
    assert network.get_title() == "money paid in 5 rounds" and len(panels) == 3
    heading, html = marketplace.section(result)
    assert "whole marketplace" in heading and html.count("<li>") == 5 and html.count("<img") == 1


def test_the_focal_agent_takes_turns_and_only_partners_join_it():
    focal = torch.arange(6) % 3
    truth, pair, out = seats(["truthful", "colluding_pair", OUTSIDE], focal, 3)
    one = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert torch.equal(truth, one.repeat(2, 1))
    # the partner sits two seats on
    assert torch.equal(pair, 2 * (one + one.roll(2, 1)).repeat(2, 1))
    assert torch.equal(out, torch.full((6, 3), 3))


def test_liars_stand_on_all_seeds_and_schemes_on_few():
    compared, lied = sharing.units(20, 20)
    assert {unit.arguments["seeds"] for unit in lied} == {20} and {
        unit.arguments["seeds"] for unit in compared
    } == {2}
    names = [name for unit in lied for name in unit.arguments["names"]]
    assert names == line_ups.names_of("model_sharing_v0") and "truthful" in names
    assert {unit.arguments["n_rounds"] for unit in lied} == {5} and {
        unit.arguments["n_rounds"] for unit in compared
    } == {20}


def a_tournament(names, seeds=2, n_rounds=2, n=3):
    """Every number is 100 line-up + 10 seed + round + agent / 10."""
    grid = np.indices((len(names), seeds, n_rounds, n))
    values = 100.0 * grid[0] + 10 * grid[1] + grid[2] + grid[3] / 10
    fields = ("utility", "reward", "paid", "received", "bought", "sold", "accuracy", "loss")
    money = np.ones((len(names), n, n)) - np.eye(n)
    paid = {"name": "price", "payer": "a", "payee": "b", "money": 0.5}
    round_1 = {"payments": [paid], "agents": {agent: {"cash": 1.0} for agent in "abc"}}
    lines = [{"strategy": "truthful", "seed": 0, "round": 1, **round_1}]
    return DemoResults(
        names=list(names),
        agents=tuple("abc"),
        focal=np.arange(seeds) % n,
        values=dict.fromkeys(fields, values),
        money=money,
        lines=lines,
        test_accuracy=values[:, :, -1],
    )


def test_gaps_and_rows_are_those_of_the_focal_agent():
    played = a_tournament(["truthful", "copy"])
    # two rounds, each 100 more than truth on the same seed
    assert {name: row.tolist() for name, row in played.gaps().items()} == {
        "truthful": [0.0, 0.0],
        "copy": [200.0, 200.0],
    }
    (_, earned, _, sales, others), second = sharing.liar_rows(played)
    # seed 0, agent 0: rounds 0 and 1; seed 1, agent 1: 10.1 and 11.1; mean 5.55
    assert (earned, sales) == ("5.55", "5.55") and second[1] == "105.55" and second[2] == "+100.000"
    # the other two: 0.1 + 0.2 and 1.1 + 1.2 on seed 0; 10 + 10.2 and 11 + 11.2 on seed 1; 45 over 8
    assert others == "5.625"


def test_title_and_caption_of_the_models_bought_name_the_same_seed(monkeypatch):
    titles = []
    monkeypatch.setattr(
        sharing, "draw_network", lambda axes, money, names, title: titles.append(title)
    )
    played = a_tournament(["truthful", "copy"])
    html = dict(sharing.sections({"ipfl": played}, played))[
        "Model sharing: the paper's market and others"
    ]
    (caption,) = re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", html)
    assert (
        titles[0].split(": ")[1] == "iPFL, seed 0, 2 rounds" and "iPFL, seed 0, 2 rounds" in caption
    )


def test_all_but_agents_is_black_and_grey():
    played = a_tournament(["truthful", *trading.PRICED, OUTSIDE])
    for name, (fig, _) in trading.pictures(played).items():
        colours = {to_hex(line.get_color()) for axes in fig.axes for line in axes.lines}
        assert colours <= {"#000000", "#808080"}, name


HALF = [0.0] * 10 + [1.0] * 10  # the least share of equal differences that wants 256 seeds


@pytest.mark.parametrize(
    ("gaps", "head", "noted"),
    [
        ({"copy": np.arange(19.0)}, "gain over truth (mean)", True),
        ({"copy": np.arange(20.0)}, "gain over truth [95 %]", False),
        ({"copy": np.arange(20.0), "never_trade": np.array(HALF)}, "gain over truth [95 %]", True),
        ({"never_trade": np.array(HALF)}, "gain over truth (mean)", True),
    ],
)
def test_a_column_promises_intervals_only_where_there_are_some(gaps, head, noted, monkeypatch):
    gaps |= {"truthful": np.zeros(20)}  # of truth itself no difference is shown
    played = a_tournament(["truthful", "copy"])
    monkeypatch.setattr(DemoResults, "gaps", lambda self: gaps)
    assert trading.head_of(played)[2] == sharing.liar_head(played)[2] == head
    found = differences(gaps)
    assert all(("[" in str(one)) == (one.low is not None) for one in found.values())
    said = "wants at least 20, 256 where half of them or more give one and the same difference"
    assert (said in note(found.values(), "seeds")) == (said in below(gaps)) == noted


def test_reports_of_few_seeds_say_how_many_an_interval_wants():
    played = a_tournament(["truthful", *trading.PRICED, OUTSIDE])
    first, second = (
        trading.sections(played, trading.pictures(played))[0][1],
        sharing.sections({"ipfl": played}, played)[1][1],
    )
    for html in (first, second):
        assert (
            "gain over truth (mean)" in html
            and "an interval wants at least 20" in html
            and "[95 %]" not in html
        )


@pytest.mark.parametrize(("seeds", "bars"), [(19, 0), (20, 1)])
def test_differences_are_points_and_from_twenty_seeds_on_intervals_too(seeds, bars):
    row = np.linspace(-1, 2, seeds)
    fig, caption = gap_picture({"truthful": 0 * row, "copy": row, "equal": 0 * row}, "t", "money")
    (axes,) = fig.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["copy", "equal"]
    assert sorted(axes.lines[0].get_xdata()) == row.tolist()
    assert len([line for line in axes.lines if line.get_gid() == "interval"]) == bars
    assert ("too few seeds" in caption) == (not bars)


def test_a_cheat_is_told_by_what_it_earns_under_each_guard():
    """Strategy k earns k + 10 g under guard g on the first seed and 2 more on the second, so
    that the mean is 1 more.
    """
    results = [
        {
            "earned": [[k + 10.0 * g, k + 10.0 * g + 2] for k in range(len(data.SELLERS))],
            "accuracy": [[0.25, 0.75]] * len(data.SELLERS),
        }
        for g in range(len(data.GUARDS))
    ]
    rows = data.rows(results)
    assert rows[1] == ("price_shader", "2.00", "12.00", "22.00", "32.00", "0.500") and len(
        rows
    ) == len(data.SELLERS)
    heading, html = data.section(results)
    assert (
        heading == "Data market: one seller cheats"
        and "mean over 2 seeds" in html
        and "120 digits" in html
    )


def test_in_the_demo_an_audit_takes_all_from_who_delivers_noise(tmp_path):
    """Two seeds on digits: noise is paid without a guard, and not with one; honest sellers earn
    alike.
    """
    free, audited = (
        data.play(tmp_path, (*data.SMALL, *data.GUARDS[name]), 2)
        for name in ("no guard", "all audited")
    )
    noise, truth = data.SELLERS.index("bait_and_switch"), 0
    assert all(
        one > other for one, other in zip(free["earned"][noise], free["earned"][truth], strict=True)
    )
    assert (
        audited["earned"][noise] == [0.0, 0.0] and audited["earned"][truth] == free["earned"][truth]
    )


def the_game():
    """What is kept of the game with each leader, in two markets and three payments."""
    names = ["leader_0", "owner_0", "centre_0", "escrow_0"]
    money = [[0.0, 0.0, 0.0, 2.0], [0.0] * 4, [0.0] * 4, [0.0, 2.0, 0.0, 0.0]]
    matches = [[False] * 3, [False, False, True], [False] * 3]
    curve = {"etas": [0.0, 1.0, 2.0], "curve": [0.0, 0.5, 0.25], "best": 1.5}
    means = [[1.5, 0.5, 0.25, 0.125], [1.0, 0.4, 0.2, 0.1], [0.75, 0.3, 0.1, 0.05]]
    return {"means": means, "money": money, "names": names, "matches": matches, **curve}


def test_leaders_and_cheats_of_the_resource_market_are_told_by_their_means():
    """Strategy k earns k + 10 a under audit a on the first seed and 2 more on the second, so
    that the mean is 1 more.
    """
    rows = resources.leader_rows(the_game())
    assert rows[0] == ("truthful", "1.5000", "0.5000", "0.2500", "0.1250") and [
        row[0] for row in rows
    ] == [*resources.LEADERS]
    found = [
        [[k + 10.0 * a, k + 10.0 * a + 2] for k in range(len(resources.OWNERS))]
        for a in range(len(resources.AUDITS))
    ]
    assert resources.owner_rows(found)[1] == (
        "over_reporter",
        "2.0000",
        "12.0000",
        "22.0000",
        "32.0000",
    )
    (leader, _), (cheat, html) = resources.sections(the_game(), found)
    assert (
        leader == "Resource market: the leader's payment"
        and cheat == "Resource market: one owner cheats"
    )
    assert "mean over 2 seeds" in html


def test_pictures_of_the_resource_market_show_its_numbers():
    network, curve = resources.game_picture(the_game()).axes
    numbers = [text.get_text() for text in network.texts if text.get_bbox_patch() is not None]
    # one account
    assert sorted(numbers) == ["2.00", "2.00"] and len(network.collections[1].get_offsets()) == 1
    points = {
        line.get_label(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in curve.lines
        if line.get_marker() in "Ds"
    }
    # on the curve, straight between its points
    assert points == {"equilibrium": (1.5, 0.375), "fixed": (1.0, 0.5)}
    found = [[[float(k), k + 2.0] for k in range(len(resources.OWNERS))] for _ in resources.AUDITS]
    panels = resources.audit_picture(found).axes
    assert [axes.get_title() for axes in panels] == list(resources.AUDITS)
    for axes in panels:
        means = [line.get_xdata()[0] for line in axes.lines if line.get_gid() == "mean"]
        assert means == [k + 1.0 for k in range(len(resources.OWNERS))]
        # one scale, on which no dot is cut off: 0 to the last strategy's k + 2
        low, high = axes.get_xlim()
        assert low < 0 and len(resources.OWNERS) + 1 < high and (low, high) == panels[0].get_xlim()


def test_in_the_demo_no_payment_is_better_than_the_equilibriums(tmp_path):
    """And with every leader the game is the closed form's: what is paid, and what all earn."""
    game = resources.lead(tmp_path, 16)
    paid, earned, _, _ = zip(*game["means"], strict=True)
    assert earned[0] > earned[1] > 0 and earned[0] > earned[2] > 0  # FIXED, RANDOM
    assert paid[1] == pytest.approx(1.0) and 0.5 * paid[0] < paid[2] < paid[0]
    best = int(np.argmax(game["curve"]))
    # the nearest of the curve's payments, 0 to alpha k
    assert abs(game["etas"][best] - game["best"]) <= 2.5 / 100
    assert game["names"][-2:] == ["account escrow", "account fees"]
    assert sum(map(sum, game["matches"])) == 5  # every owner has a centre


def test_in_the_demo_reports_are_believed_and_the_loss_drop_pays_for_copies(tmp_path):
    """Two seeds on digits. By report 1.0 earns what it earns of ten owners of .95: .02645 in
    place of .01330.
    """
    said, dropped, held = (
        resources.cheat(tmp_path, (*resources.TRAINED, *resources.AUDITS[name]), 2)
        for name in NAMES
    )
    truth, boast, copies, junk = map(
        resources.OWNERS.index, ("truthful", "over_reporter", "copier", "junk_supplier")
    )
    assert said[truth] == pytest.approx([0.013304] * 2, rel=1e-4) and said[boast] == pytest.approx(
        [0.026455] * 2, rel=1e-4
    )
    assert said[junk] == said[truth]  # nobody looks
    # the loss drop pays for rows that are alike
    assert np.mean(dropped[copies]) > 2 * np.mean(dropped[truth])
    assert (
        np.mean(held[copies]) < np.mean(held[truth]) / 2
        and np.mean(held[junk]) < np.mean(held[truth]) / 4
    )


NAMES = ("as reported", "loss drop", "held out")


# --- the head of the page -------------------------------------------------------------------------


def the_findings():
    """Five sentences: in the tournaments copy earns 200 more than truth on every seed."""
    played = a_tournament(["truthful", "copy", OUTSIDE])
    cheats = [{"earned": [[1.0], [3.0 - 2 * g], *[[0.0]] * 7]} for g in range(len(data.GUARDS))]
    audited = [[[1.0], [2.0], [0.5], *[[0.0]] * 4] for _ in resources.AUDITS]
    return findings.sentences(played, played, cheats, the_game(), audited)


def test_five_findings_are_filled_from_the_episodes():
    trade, strategies, liars, guards, audits = the_findings()
    # accuracies: 100 line-up + 10 seed + 1 + agent / 10; means 6.1 and 206.1, in percent
    assert "test accuracy of 610.0 %, and at 20610.0 %" in trade
    assert "of 1 strategies copy gains most over truth, +200.000 money" in strategies
    assert "Model-sharing market" in liars and "on 2 seeds" in liars
    assert guards == (
        "Data market: with no guard the seller price_shader earns 3.00 money and a truthful one"
        " 1.00 money; with all audited they earn 1.00 and 1.00 money."
    )
    assert "earns 0.5000 money by the equilibrium's payment and 0.4000 money by a fixed" in audits
    assert audits.endswith("1 (as reported), 1 (loss drop), 1 (held out), 1 (Wasserstein).")


def test_a_finding_says_so_where_no_strategy_gains():
    played = a_tournament(["copy", "truthful"])  # copy earns 200 less
    assert findings._of_strategies(played, "A market", "money") == (
        "A market: no strategy of 1 earns more than truth."
    )
    cheats = [{"earned": [[1.0], *[[0.0]] * 8]}] * len(data.GUARDS)
    assert "no false seller earns more" in findings._of_guards(cheats)


def test_the_head_of_the_page_links_to_the_audit_and_says_how_it_was_made():
    html = findings.front(["a < b"], "python scripts/demo.py --seeds 2", audited=True)
    assert "<li>a &lt; b</li>" in html and 'href="audit/report.html"' in html
    assert "python scripts/demo.py --seeds 2" in html and marketenv.__version__ in html
    assert "href" not in findings.front([], "", audited=False)


def test_the_command_on_the_page_has_what_is_not_the_default():
    assert _command(DemoConfig(workers=1)) == "python scripts/demo.py"
    config = DemoConfig(seeds=2, arguments=("n_agents=5", "a=(1, 2)"))
    line = "python scripts/demo.py --seeds 2 --arguments n_agents=5 'a=(1, 2)'"
    assert _command(config) == line
    assert _command(DemoConfig(audit=())) == "python scripts/demo.py --audit"


def test_the_audit_of_the_demo_takes_its_processes_claims_and_folder(tmp_path):
    audit = audit_of(DemoConfig(workers=3, audit=("reference/*",), out=tmp_path))
    assert (audit.workers, audit.claims, audit.out) == (3, ("reference/*",), tmp_path / "audit")


def test_every_strategy_of_the_page_has_a_line_of_meaning():
    names = [*line_ups.names_of(trading.MARKET), OUTSIDE, *data.SELLERS, *resources.OWNERS]
    html = line_ups.meanings(names)
    for name in set(names) - {OUTSIDE}:
        assert f"<dt><code>{name}</code></dt><dd>{escape(STRATEGIES[name].summary)}</dd>" in html
    assert html.count("<dt>") == len(set(names))
