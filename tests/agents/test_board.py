"""The board: who plays where, numbers by hand, learners that come back as files, pages."""

import base64
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from agents.board.budget import SPENDINGS
from agents.board.contenders import CONTENDERS
from agents.board.divisions import DIVISIONS, Division
from agents.board.judge import contenders_of, judge, units_of
from agents.board.page import board_csv, board_page
from agents.board.pages import FOLDER, OVERVIEW, RESULTS, pages, write_pages
from agents.board.results import summary
from agents.board.shown import by_rule, heat_map, plain
from agents.scenarios import SCENARIOS
from agents.stress.scenarios import play_focal, play_scenario, play_truth
from marketenv.envs.policy_files import load_trained

ROOT = Path(__file__).resolve().parents[2]
RULES = [(name, rule) for name, one in DIVISIONS.items() for rule in one.rules]
AUCTION = DIVISIONS["auction_bidder"]


# --- divisions and contenders ---------------------------------------------------------------------


@pytest.mark.parametrize("name, rule", RULES)
def test_every_rule_makes_a_market_in_which_truth_and_strategies_play(name, rule):
    division = DIVISIONS[name]
    names = contenders_of(division, rule, None)
    assert names[0] == "truthful" and names.count("truthful") == 1 and len(names) > 8
    assert {one.market for one in division.played(rule)} == {division.market_name}
    for scenario in division.played(rule):
        scenario.build()  # all of its background can play under the rule
    for key, value in division.rules[rule].items():
        assert division.arguments(rule)[key] == value


def test_all_markets_are_contested():
    assert {one.market_name for one in DIVISIONS.values()} == {
        one.market for one in SCENARIOS.values()
    }


def test_a_strategy_of_one_rule_plays_under_that_rule_alone():
    names = {rule: contenders_of(AUCTION, rule, None) for rule in AUCTION.rules}
    known = [rule for rule, one in names.items() if "first_price_equilibrium" in one]
    assert known == ["first_price"]


def test_only_markets_of_one_role_have_a_shared_policy():
    shared = [
        name
        for name, one in DIVISIONS.items()
        if "shared_ppo" in contenders_of(one, next(iter(one.rules)), None)
    ]
    assert shared == ["auction_bidder", "parameter_trader", "sharing_client"]


def test_units_have_several_seeds_only_where_a_seed_matters():
    work = units_of(AUCTION, ("shade", "ppo", "psro"), (3, 4), "quick")
    under = [(contender, seed) for rule, contender, seed in work if rule == "first_price"]
    assert under == [("truthful", 0), ("shade", 0), ("ppo", 3), ("ppo", 4), ("psro", 0)]
    assert len({unit.name() for unit in work.values()}) == len(work)


@pytest.mark.parametrize(
    "scenarios", [(), ("auction_crowd", "second_price_crowd"), ("auction_crowd", "sharing_liars")]
)
def test_a_division_of_unlike_scenarios_is_refused(scenarios):
    with pytest.raises(ValueError, match="wanted one rule at least, and scenarios of one market"):
        Division(name="odd", rules={"all": {}}, scenarios=scenarios, words="")


def test_an_unknown_budget_is_refused():
    with pytest.raises(ValueError, match="'quick'"):
        units_of(AUCTION, None, (0,), "quik")


# --- playing --------------------------------------------------------------------------------------


def played(folder, contender, division="auction_bidder", rule="first_price", steps=64, episodes=40):
    return judge(folder, division, rule, contender, 0, "quick", steps, episodes)


def test_a_strategy_earns_what_it_earns_in_the_scenario(tmp_path):
    result = played(tmp_path, "shade")["scenarios"]["auction_crowd"]
    alone = play_scenario("auction_crowd", "shade", 40)
    assert result["returns"] == alone.returns.tolist() and "everyone" not in result


def test_welfare_counts_what_the_house_takes():
    """All are truthful, so the good goes to the largest value whatever the winner pays: welfare is
    one number under both rules, and its mean is 3/4 of U[0, 1] where three bid.
    """
    first, second = (play_truth(AUCTION.played(f"{k}_price")[0], 2000) for k in ("first", "second"))
    assert torch.allclose(first.welfare, second.welfare, atol=1e-5)
    assert torch.allclose(first.welfare, first.paid, atol=1e-5)  # who pays its value gains nothing
    assert abs(float(first.welfare.mean()) - 0.75) < 4 * float(first.welfare.std()) / 2000**0.5
    assert bool((second.paid <= first.paid + 1e-5).all())


@pytest.mark.parametrize("contender", CONTENDERS)
def test_every_learner_and_search_plays(contender, tmp_path):
    result = played(tmp_path, contender, "auction_bidder", "second_price")
    returns = result["scenarios"]["auction_crowd"]["returns"]
    assert len(returns) == 40 and torch.tensor(returns).isfinite().all()
    assert not list(tmp_path.iterdir())  # no checkpoint is left
    learns = contender not in ("cross_entropy", "psro")
    assert (result["file"] is not None) == learns


def weights(policy):
    """All numbers of a policy's network."""
    return [part for layer in policy.layers for part in layer]


def test_a_learner_comes_back_as_the_policy_that_played(tmp_path):
    result = played(tmp_path, "ppo")
    file = tmp_path / "mine.safetensors"
    file.write_bytes(base64.b64decode(result["file"]))
    scenario = AUCTION.played("first_price")[0]
    policy = load_trained(file, scenario.build()[0])
    assert policy.facts.role == "buyer" and policy.facts.steps >= 64
    again = play_focal(scenario, [policy], 40)[0]
    assert again.returns.tolist() == result["scenarios"]["auction_crowd"]["returns"]
    second = played(tmp_path, "ppo")  # a seed fixes it to the bit
    assert second["scenarios"] == result["scenarios"]
    file.write_bytes(base64.b64decode(second["file"]))
    assert all(map(torch.equal, weights(load_trained(file)), weights(policy)))


# --- numbers by hand ------------------------------------------------------------------------------

SMALL = dataclasses.replace(AUCTION, rules={"one": {}, "two": {"game": "second_price"}})


def result(returns, welfare=None, everyone=None, words=""):
    """A unit's result; one number stands for all of 40 episodes."""
    returns = returns if isinstance(returns, list) else [returns] * 40
    one = {"returns": returns, "welfare": [welfare or 1.0] * 40, "paid": [0.5] * 40}
    return {
        "words": words,
        "file": None,
        "scenarios": {
            "auction_crowd": one | ({} if everyone is None else {"everyone": [everyone] * 40})
        },
    }


@pytest.fixture(scope="module")
def small():
    """Truth earns 1; a shader 1.5 in odd episodes and 1.1 in even ones under one rule; a learner of
    two seeds earns 2 and 3 there, and 0 under the other rule.
    """
    alternating = [1.1, 1.5] * 20
    results = {
        ("one", "truthful", 0): result(1.0, 3.0, everyone=4.0),
        ("two", "truthful", 0): result(1.0, 2.0, everyone=0.0),
        ("one", "shade", 0): result(alternating),
        ("two", "shade", 0): result(0.5),
        ("one", "ppo", 0): result(2.0, words="bids 0.6"),
        ("one", "ppo", 7): result(3.0, words="bids 0.7"),
        ("two", "ppo", 0): result(0.0),
        ("two", "ppo", 7): result(0.0),
        ("one", "saint", 0): result(1.0 + 1e-8),
        ("two", "saint", 0): result(1.0),
        ("one", "first_price_equilibrium", 0): result(9.0),
    }
    about = {"budget": "quick", "seeds": [0, 7], "command": "python scripts/leaderboard.py"}
    return json.loads(json.dumps(summary(SMALL, results) | about))


def cell(division, rule, contender):
    return by_rule(division)[contender][rule]


def test_gains_are_over_truth_and_seeds_count_by_their_mean(small):
    assert cell(small, "one", "ppo")["utility"][0] == 2.5
    assert cell(small, "one", "ppo")["gain"][0] == 1.5
    assert cell(small, "one", "shade")["gain"][0] == pytest.approx(0.3)
    assert cell(small, "one", "ppo")["seeds"] == {"0": "bids 0.6", "7": "bids 0.7"}


def test_the_best_is_chosen_in_some_episodes_and_regrets_are_taken_in_others(small):
    """Under rule one the best earns 9 in even episodes; the shader earns 1.5 in odd ones."""
    assert cell(small, "one", "shade")["regret"][0] == pytest.approx(9 - 1.5)
    assert cell(small, "one", "first_price_equilibrium")["regret"] == [0.0, None, None]
    assert cell(small, "two", "shade")["regret"][0] == 0.5


def test_a_best_that_was_lucky_in_the_even_episodes_has_a_regret_below_0_for_others():
    lucky, steady = [5.0, 0.0] * 20, 2.0
    results = {
        ("one", "truthful", 0): result(steady, everyone=1.0),
        ("one", "shade", 0): result(lucky),
    }
    one = summary(dataclasses.replace(SMALL, rules={"one": {}}), results)
    assert cell(one, "one", "truthful")["regret"][0] == -2.0


def test_efficiency_is_a_part_of_the_welfare_of_truth_where_that_is_above_0(small):
    assert cell(small, "one", "truthful")["efficiency"][0] == 0.75
    assert cell(small, "two", "truthful")["efficiency"] is None


def test_standings_put_those_who_played_most_first(small):
    """Mean gains: the learner (1.5 - 1) / 2, the shader (0.3 - 0.5) / 2; the equilibrium gains 8,
    but plays under one rule. Who earns as truth does but for rounding is named apart.
    """
    rows = [(one["contender"], one["gain"][0], one["cells"]) for one in small["standings"]]
    assert [name for name, *_ in rows] == ["ppo", "truthful", "shade", "first_price_equilibrium"]
    assert [gain for _, gain, _ in rows] == pytest.approx([0.25, 0.0, -0.1, 8.0])
    assert [cells for *_, cells in rows] == [2, 2, 2, 1]
    assert small["same"] == ["saint"] and "saint" not in by_rule(small)


def test_cells_above_and_below_truth_are_counted_where_intervals_say_so():
    noise = [0.1, -0.1] * 128
    results = {
        ("one", "truthful", 0): result([0.0] * 256, everyone=1.0),
        ("one", "shade", 0): result([1.0 + x for x in noise]),
        ("one", "random", 0): result([-1.0 + x for x in noise]),
        ("one", "never_trade", 0): result(noise),
    }
    for one in results.values():
        for name, values in one["scenarios"]["auction_crowd"].items():
            one["scenarios"]["auction_crowd"][name] = (values * 7)[:256]
    rows = summary(dataclasses.replace(SMALL, rules={"one": {}}), results)["standings"]
    counts = {row["contender"]: (row["above"], row["below"]) for row in rows}
    assert counts == {"shade": (1, 0), "random": (0, 1), "never_trade": (0, 0), "truthful": (0, 0)}


def test_a_rule_without_truth_is_refused():
    with pytest.raises(ValueError, match="no result of truth under 'two'"):
        summary(SMALL, {("one", "truthful", 0): result(1.0, everyone=1.0)})


# --- pages ----------------------------------------------------------------------------------------


def test_pages_name_every_contender_rule_and_command(small):
    board = {"divisions": {"auction_bidder": small}}
    texts = pages(board)
    assert set(texts) == {OVERVIEW, f"{FOLDER}/reference.md"}
    html, page = board_page(board), texts[f"{FOLDER}/reference.md"]
    for word in ("ppo", "shade", "first_price_equilibrium", "one", "two", "bids 0.6; or bids 0.7"):
        assert word in html and word in page
    assert "python scripts/leaderboard.py" in texts[OVERVIEW]
    assert "play as truth does in this place: saint" in page


def test_the_csv_has_a_line_for_every_cell_of_the_standings(small):
    lines = board_csv({"divisions": {"auction_bidder": small}}).splitlines()
    assert len(lines) == 1 + 2 + 2 + 2 + 1
    assert lines[1].startswith("auction_bidder,one,auction_crowd,ppo,40,0 7,2.5,")


def test_the_picture_has_a_number_for_every_cell(small):
    texts = [text.get_text() for text in heat_map(small).axes[0].texts]
    assert texts == ["1.5", "-1", "0", "0", "0.3", "-0.5", "8"]


def test_written_pages_come_with_the_results_that_they_show(small, tmp_path):
    board = {"divisions": {"auction_bidder": small}}
    write_pages(board, tmp_path)
    kept = json.loads((tmp_path / FOLDER / RESULTS).read_text("utf8"))
    for name, text in pages(kept).items():
        assert (tmp_path / name).read_text("utf8") == text
    assert (tmp_path / FOLDER / "pictures" / "auction_bidder.png").exists()


def test_budgets_grow():
    steps = [one.share for one in SPENDINGS.values()]
    assert steps == sorted(steps) and steps[-1] == 1.0


def test_the_documentation_shows_the_results_that_are_kept():
    docs = ROOT / "docs"
    kept = json.loads((docs / FOLDER / RESULTS).read_text("utf8"))
    assert list(kept["divisions"]) == list(DIVISIONS)
    texts = pages(kept)
    assert {name for name in texts if name != OVERVIEW} == {
        path.relative_to(docs).as_posix() for path in (docs / FOLDER).glob("*.md")
    }
    for name, text in texts.items():
        assert (docs / name).read_text("utf8") == text, f"{name} is older than its results"
    for name in kept["divisions"]:
        assert (docs / FOLDER / "pictures" / f"{name}.png").exists()


def test_words_change_chances_of_a_mixture_and_what_rounding_leaves_over_alone():
    words = "76% 1: keep 50% of it, 24% truthful; budget"
    assert plain(words) == "76 %: keep 50% of it, 24 %: truthful; ended by its budget"
    assert plain("50% of it") == "50% of it"
    assert plain("truth 1.3e-100, bid 2e-06") == "truth 0, bid 2e-06"
