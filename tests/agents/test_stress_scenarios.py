"""Scenarios and the leaderboard: focal returns beside truth, in numbers that theory knows, and
files that say the same.
"""

import csv
import dataclasses
import math
import sys

import pytest
import torch

from agents.lineups import MixedStrategy
from agents.markets import STRATEGIES, shade
from agents.scenarios import SCENARIOS, Scenario
from agents.stress.leaderboard import HEAD, ScenarioResult, leaderboard, standings, write
from agents.stress.scenarios import Focal, play_policies, play_scenario
from marketenv.core.market import agent_names
from marketenv.markets.reference import truthful

BOARD = sys.modules["agents.stress.leaderboard"]  # the package's own name for it is the function
REFERENCE = [name for name, one in SCENARIOS.items() if one.market == "reference_v0"]
MANY = 4000


def changed(name, **changes):
    return dataclasses.replace(SCENARIOS[name], **changes)


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_played(name):
    """Everybody has a part, chances sum to 1, and truth beside truth is exactly 0."""
    scenario = SCENARIOS[name]
    market, others = scenario.build()
    assert scenario.name == name and set(others) | set(scenario.focal) == set(agent_names(market))
    assert all(math.isclose(sum(mix.values()), 1) for mix in scenario.background.values())
    found = play_scenario(name, "truthful", 3)
    assert found.normalised.eq(0).all() and found.beside_truth.mean == 0.0
    assert found.scale > 0 and found.returns.isfinite().all()


def test_all_markets_are_there_and_truth_is_held_out():
    """What learners train against by default, truth, is in no background; every strategy there
    is a scripted one.
    """
    assert {one.market for one in SCENARIOS.values()} == {
        "reference_v0",
        "parameter_trading_v0",
        "model_sharing_v0",
        "data_market_v0",
        "resource_market_v0",
        "marketplace_v0",
    }
    names = {name for one in SCENARIOS.values() for mix in one.background.values() for name in mix}
    assert "truthful" not in names and names <= set(STRATEGIES)


# --- numbers that theory knows --------------------------------------------------------------------


def within(samples, expected):
    return abs(float(samples.mean()) - expected) <= 4 * float(samples.std()) / len(samples) ** 0.5


def test_first_price_shaders_by_hand():
    """U[0, 1], own bid v/2: against 2w/3 it wins for w < 3v/4 and earns int v/2 3v/4 = 1/8, against
    w/2 1/6; half of each.

    Truth earns nothing in a first-price auction.
    """
    found = play_scenario("first_price_shaders", "first_price_equilibrium", MANY)
    assert within(found.returns, (1 / 8 + 1 / 6) / 2)
    assert found.truthful.abs().max() < 1e-6  # actions are float32
    # its scale is 1/6
    assert found.score.mean == pytest.approx(float(found.returns.mean()) * 6, abs=1e-5)


def test_a_seller_among_shaders_by_hand():
    """A truthful seller meets bids of 2v/3 and gets half of what is between: E[(2v/3 - c)^+] /
    2 = E[(2v/3)^2] / 4 = 1/27.
    """
    scenario = changed("double_auction_seller", background={"buyer": {"shade": 1.0}})
    assert within(play_scenario(scenario, "truthful", MANY).returns, 1 / 27)


def test_nothing_beats_truth_in_the_second_price_crowd():
    """Truth is dominant (Vickrey 1961), seed by seed."""
    played = play_policies(
        "second_price_crowd", {name: name for name in ("shade", "random", "never_trade")}, 500
    )
    for found in played.values():
        assert bool((found.normalised <= 1e-5).all()) and found.beside_truth.mean < 0


def test_per_capita_is_the_mean_of_the_focal_agents():
    """Two buyers bid half their values and nobody else bids: per head half of int int max(v, w)
    / 2 = 1/3, so 1/6.
    """
    scenario = changed("first_price_majority", background={"buyer_2": {"never_trade": 1.0}})
    half = shade(0.5)
    found = play_scenario(scenario, half, MANY)
    assert within(found.returns, 1 / 6)
    # one of the two wins, and keeps half of at most 1
    assert float(found.returns.max()) <= 1 / 4 + 1e-6


def test_policies_share_seeds_and_background():
    """A policy's numbers do not depend on who else is judged in the batch."""
    alone = play_scenario("first_price_majority", "shade", 40)
    among = play_policies("first_price_majority", {"random": "random", "shade": "shade"}, 40)[
        "shade"
    ]
    assert torch.equal(alone.returns, among.returns) and torch.equal(alone.truthful, among.truthful)


def test_scale_is_what_truth_earns_where_none_is_named():
    found = play_scenario(changed("second_price_crowd", scale=None), "shade", 100)
    assert found.scale == float(found.truthful.abs().mean())


def test_intervals_are_paired():
    """The difference to truth varies less than the returns themselves."""
    found = play_scenario("double_auction_buyer", "linear_equilibrium", 1000)
    paired, alone = found.beside_truth, found.per_capita
    assert paired.high - paired.low < alone.high - alone.low


# --- what may be focal ----------------------------------------------------------------------------


def test_policies_come_in_many_ways(monkeypatch):
    """By name, as a strategy, as a policy, as a mixture of one, and from a run's folder: all
    are the same here.
    """
    monkeypatch.setattr(
        "agents.lineups.load_learned", lambda name, market: {"run:results/mine": truthful}[name]
    )
    parts = {
        "name": "truthful",
        "strategy": STRATEGIES["truthful"],
        "policy": truthful,
        "run": "run:results/mine",
    }
    parts["mixture"] = MixedStrategy((truthful,), (1.0,))
    played = play_policies("second_price_crowd", parts, 20)
    assert all(found.normalised.abs().max() < 1e-6 for found in played.values())


def test_a_mixture_draws_once_an_episode():
    """Half truth and half nothing earns on each seed what one of them earns."""
    scenario = SCENARIOS["second_price_crowd"]
    market, _ = scenario.build()
    nothing = STRATEGIES["never_trade"].build(market)
    found = play_policies(scenario, {"mixed": MixedStrategy((truthful, nothing), (0.5, 0.5))}, 200)[
        "mixed"
    ]
    same = (found.returns - found.truthful).abs() < 1e-9
    won = found.truthful > 1e-6
    assert bool((same | (found.returns.abs() < 1e-9)).all())
    # about 80 wins: four standard errors of a coin are .22
    assert 0.3 < float(same[won].double().mean()) < 0.7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"focal": ("buyer_9",)}, "no agent or role 'buyer_9'. Did you mean 'buyer_"),
        ({"focal": ("buyer",)}, "wanted agents' names as focal"),
        ({"focal": ()}, "wanted agents' names as focal"),
        ({"background": {}}, "both or neither"),
        ({"background": {"buyer": {"shade": 1.0}, "buyer_0": {"shade": 1.0}}}, "both or neither"),
        ({"background": {"buyer": {"shad": 1.0}}}, "no policy 'shad'. Did you mean 'shade'"),
        ({"background": {"buyer": {"shade": 0.5}}}, "sum 1"),
        ({"market": "reference_v1"}, "no market 'reference_v1'. Did you mean 'reference_v0'"),
        (
            {"market": "bounty"},
            (
                "no market 'bounty'. Known: data_market_v0, marketplace_v0, model_sharing_v0,"
                " parameter_trading_v0, reference_v0"
            ),
        ),
    ],
)
def test_wrong_scenarios_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        changed("second_price_crowd", **changes).build()


def test_wrong_requests_are_refused():
    with pytest.raises(
        ValueError, match=r"no scenario 'second_price'. Did you mean 'second_price_crowd'"
    ):
        play_scenario("second_price", "truthful")
    with pytest.raises(ValueError, match=r"no policy 'shad'. Did you mean 'shade'"):
        play_scenario("second_price_crowd", "shad")
    with pytest.raises(ValueError, match="give the scenario a scale"):
        play_scenario(changed("first_price_shaders", scale=None), "shade", 100)


# --- the leaderboard ------------------------------------------------------------------------------


def row(policy, scenario, returns, scale=1.0):
    returns = torch.as_tensor(returns, dtype=torch.float64)
    return ScenarioResult(
        policy, SCENARIOS[scenario], Focal(returns, torch.zeros_like(returns), scale)
    )


def test_standings_by_hand():
    """a: (1 + 3 / 2) / 2 = 1.25;  b: (2 + 0) / 2 = 1;  c: 9, in one scenario only, so it comes
    last.
    """
    first, second = REFERENCE[:2]
    rows = [row("b", first, [2.0]), row("b", second, [0.0]), row("c", first, [9.0])]
    rows += [row("a", first, [1.0]), row("a", second, [3.0], scale=2.0)]
    found = standings(rows)
    assert [(one.rank, one.policy, one.scenarios, one.score.mean) for one in found] == [
        (1, "a", 2, 1.25),
        (2, "b", 2, 1.0),
        (3, "c", 1, 9.0),
    ]


def test_a_policy_may_play_some_scenarios_only():
    told = []
    rows = leaderboard(
        {"truth": "truthful", "equilibrium": {"first_price_shaders": "first_price_equilibrium"}},
        ["first_price_shaders", "second_price_crowd"],
        30,
        progress=lambda *facts: told.append(facts),
    )
    assert [(one.policy, one.scenario.name) for one in rows] == [
        ("truth", "first_price_shaders"),
        ("equilibrium", "first_price_shaders"),
        ("truth", "second_price_crowd"),
    ]
    assert told == [("first_price_shaders", 1, 2), ("second_price_crowd", 2, 2)]
    with pytest.raises(ValueError, match="plays the game 'first_price'"):
        leaderboard({"equilibrium": "first_price_equilibrium"}, ["second_price_crowd"], 3)


def test_a_strategy_plays_in_the_markets_that_it_knows():
    chosen = ["first_price_shaders", "sharing_liars"]
    rows = leaderboard(
        {"shade": "shade", "liar": STRATEGIES["undercutter"], "truth": "truthful"}, chosen, 30
    )
    assert [(one.policy, one.scenario.name) for one in rows] == [
        ("shade", "first_price_shaders"),
        ("truth", "first_price_shaders"),
        ("liar", "sharing_liars"),
        ("truth", "sharing_liars"),
    ]
    with pytest.raises(ValueError, match="'shade' plays in none of sharing_liars"):
        leaderboard({"truth": "truthful", "shade": "shade"}, ["sharing_liars"], 3)


def test_files_hold_the_rows(tmp_path):
    rows = leaderboard(
        {"truth": "truthful", "<b>shade": "shade"},
        ["first_price_shaders", "second_price_crowd"],
        300,
    )
    places = write(rows, tmp_path / "new")
    with (tmp_path / "new" / "leaderboard.csv").open(encoding="utf8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == HEAD and len(lines) == len(rows) == 4
    for line in lines:
        (mine,) = (
            r for r in rows if (r.policy, r.scenario.name) == (line["policy"], line["scenario"])
        )
        assert (
            float(line["score"]) == mine.result.score.mean
            and float(line["return"]) == mine.result.per_capita.mean
        )
        assert (
            float(line["difference_low"])
            <= float(line["difference"])
            <= float(line["difference_high"])
        )
        assert int(line["rank"]) == next(one.rank for one in places if one.policy == line["policy"])
    assert [int(line["rank"]) for line in lines] == sorted(int(line["rank"]) for line in lines)
    page = (tmp_path / "new" / "leaderboard.html").read_text(encoding="utf8")
    assert page.startswith("<!doctype html>") and "data:image/png;base64," in page
    assert "<b>shade" not in page and "&lt;b&gt;shade" in page  # names are escaped
    assert "http" not in page.split("base64,")[0]  # nothing is fetched
    assert all(
        SCENARIOS[name].words in page for name in ("first_price_shaders", "second_price_crowd")
    )


@pytest.mark.parametrize("name", ["=2+2", "+1", "-1", "@sum", "\t=1"])
def test_a_name_in_the_csv_is_no_formula(name):
    """A spreadsheet runs a cell that begins with one of = + - @; behind an apostrophe it is
    text.
    """
    cells = BOARD._cells(row(name, REFERENCE[0], [1.0, 2.0]), 1)
    assert dict(zip(HEAD, cells, strict=True))["policy"] == f"'{name}"


def test_a_name_that_matplotlib_would_take_for_a_formula_is_drawn_as_it_is(tmp_path):
    write(
        [row(r"$\frac$", REFERENCE[0], [1.0, 2.0]), row("$x$", REFERENCE[0], [1.0, 2.0])], tmp_path
    )
    assert r"$\frac$" in (tmp_path / "leaderboard.html").read_text(encoding="utf8")


def test_where_the_page_fails_no_file_is_written(tmp_path, monkeypatch):
    def broken(places):
        raise RuntimeError("no picture")

    monkeypatch.setattr(BOARD, "_bars", broken)
    with pytest.raises(RuntimeError, match="no picture"):
        write([row("a", REFERENCE[0], [1.0, 2.0])], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_files_are_the_same_for_the_same_rows(tmp_path):
    rows = leaderboard({"truth": "truthful", "shade": "shade"}, ["first_price_shaders"], 30)
    for name in "ab":
        write(rows, tmp_path / name)
    for file in ("leaderboard.csv", "leaderboard.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_policy_of_an_unknown_scenario_is_refused():
    with pytest.raises(
        ValueError,
        match=r"no scenario of 'shade' 'first_price'. Did you mean 'first_price_shaders'",
    ):
        leaderboard({"shade": {"first_price": "shade"}}, ["first_price_shaders"], 3)


def test_no_interval_is_an_empty_cell(tmp_path):
    write([row("a", REFERENCE[0], [1.0, 2.0])], tmp_path)
    with (tmp_path / "leaderboard.csv").open(encoding="utf8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["score_low"] == line["return_high"] == "" and float(line["score"]) == 1.5


def test_wrong_rows_are_refused(tmp_path):
    first, second = REFERENCE[:2]
    with pytest.raises(ValueError, match="two rows"):
        standings([row("a", first, [1.0]), row("a", first, [1.0])])
    with pytest.raises(ValueError, match="different numbers of episodes"):
        standings([row("a", first, [1.0]), row("a", second, [1.0, 2.0])])
    with pytest.raises(ValueError, match="no rows"):
        write([], tmp_path)
    with pytest.raises(ValueError, match="no scenario 'first_price'"):
        leaderboard({"truth": "truthful"}, ["first_price"], 3)


def test_scenarios_of_ones_own_are_ranked_too():
    mine = Scenario(
        name="mine",
        market="reference_v0",
        arguments={"game": "second_price"},
        focal=("buyer_0",),
        background={"buyer_1": {"never_trade": 1.0}},
        words="Nobody else bids.",
    )
    (found,) = leaderboard({"truth": "truthful"}, [mine], 1000)
    # the whole value, at a price of 0
    assert found.scenario is mine and within(found.result.returns, 1 / 2)
