"""scripts/leaderboard.py from its arguments to its files, at toy size."""

import csv
import dataclasses
import json

import pytest
from in_process import exit_code

from marketenv.envs.policy_files import load_trained

TOY = ["--divisions", "double_auction_buyer", "--contenders", "shade", "ppo", "--budget", "quick"]
TOY += ["--steps", "64", "--episodes", "24", "--workers", "1"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    assert exit_code("leaderboard", *TOY, "--out", folder) == 0
    return folder


def board(folder):
    return json.loads((folder / "board.json").read_text("utf8"))["divisions"]


def test_all_files_are_there_and_agree(out):
    division = board(out)["double_auction_buyer"]
    with (out / "board.csv").open(encoding="utf8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["contender"] for line in lines} == {"truthful", "shade", "ppo"}
    assert len(lines) == len(division["cells"]) == 6
    assert {cell["episodes"] for cell in division["cells"]} == {24}
    page = (out / "board.html").read_text("utf8")
    assert "double_auction_buyer" in page and "http" not in page  # it opens offline
    policies = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.safetensors"))
    one = load_trained(out / policies[0])
    assert one.facts.command == division["command"] and one.facts.algorithm == "PPO"
    folder = "policies/double_auction_buyer"
    assert policies == [
        f"{folder}/{rule}/ppo_0.safetensors" for rule in ("double_auction", "posted_price")
    ]


def test_the_same_command_does_no_work_again(out, monkeypatch):
    before = (out / "board.json").read_bytes()
    files = {path: path.stat().st_mtime_ns for path in (out / "units").glob("*.json")}
    assert exit_code("leaderboard", *TOY, "--out", out) == 0
    assert (out / "board.json").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in (out / "units").glob("*.json")} == files


def test_the_command_on_the_page_gives_the_same_numbers(out, tmp_path):
    command = board(out)["double_auction_buyer"]["command"].split()
    assert command[:2] == ["python", "scripts/leaderboard.py"]
    assert exit_code("leaderboard", *command[2:], "--workers", "1", "--out", tmp_path) == 0
    assert board(tmp_path) == board(out)


def test_a_division_that_is_played_later_joins_the_board_and_its_pages(out, tmp_path):
    more = ["--divisions", "auction_bidder", "--contenders", "shade", "--budget", "quick"]
    more += ["--episodes", "24", "--docs", tmp_path]
    first = board(out)["double_auction_buyer"]
    assert exit_code("leaderboard", *more, "--workers", "1", "--out", out) == 0
    assert list(board(out)) == ["auction_bidder", "double_auction_buyer"]
    assert board(out)["double_auction_buyer"] == first
    page = (tmp_path / "board" / "reference.md").read_text("utf8")
    assert "## auction_bidder" in page and "## double_auction_buyer" in page
    assert (tmp_path / "board.md").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--divisions", "auction_bider"], "auction_bidder"),
        (["--contenders", "shad"], "'shade'"),
        (["--budget", "quik"], "'quick'"),
        (["--seeds", "1", "1"], "different whole numbers"),
        (["--seeds", str(2**32)], "2**32 - 1"),
        (["--episodes", "1"], "--episodes is 1, wanted a whole number >= 2"),
        (["--docs", "no_such_folder"], "--docs is no_such_folder, wanted a folder that exists"),
        (["--steps", "0"], "--steps"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(arguments, words, tmp_path, capsys):
    assert exit_code("leaderboard", *arguments, "--out", tmp_path / "new") == 2
    assert words in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_list_names_divisions_and_contenders(capsys, tmp_path):
    assert exit_code("leaderboard", "--list", "--out", tmp_path / "new") == 0
    shown = capsys.readouterr().out
    assert "parameter_trader" in shown and "independent_ppo" in shown and "free_rider" in shown
    assert "double_auction_buyer " in shown and not (tmp_path / "new").exists()


def test_list_names_the_contenders_that_know_a_market(capsys):
    assert exit_code("leaderboard", "--list", "--divisions", "auction_bidder") == 0
    shown = capsys.readouterr().out
    assert "shade" in shown and "psro" in shown and "free_rider" not in shown


def test_a_contender_that_can_play_nowhere_is_refused(tmp_path, capsys):
    words = ["--divisions", "auction_bidder", "--contenders", "shade", "size_liar"]
    assert exit_code("leaderboard", *words, "--out", tmp_path) == 2
    error = capsys.readouterr().err
    assert "size_liar cannot play in auction_bidder" in error and "shade" not in error


CHEAP = ["--divisions", "double_auction_buyer", "--contenders", "shade", "--budget", "quick"]
CHEAP += ["--episodes", "24", "--workers", "1", "--tries", "1"]


@pytest.mark.parametrize("text", ["{broken", "[]", '{"divisions": {"auction_bidder": {}}}'])
def test_a_damaged_board_is_refused_before_any_work_and_kept(text, tmp_path, capsys):
    (tmp_path / "board.json").write_text(text)
    assert exit_code("leaderboard", *CHEAP, "--out", tmp_path) == 2
    assert "board.json is damaged: it holds no board" in capsys.readouterr().err
    assert (tmp_path / "board.json").read_text() == text and not (tmp_path / "units").exists()


def test_a_former_board_may_name_what_is_no_more(tmp_path, capsys):
    """A contender that is gone keeps its numbers; a division that is gone is left out, aloud."""
    assert exit_code("leaderboard", *CHEAP, "--out", tmp_path) == 0
    one = board(tmp_path)["double_auction_buyer"]
    older = json.loads(json.dumps(one).replace('"shade"', '"shader_of_old"'))
    former = {"double_auction_seller": older, "division_of_old": one}
    (tmp_path / "board.json").write_text(json.dumps({"divisions": former}))
    assert exit_code("leaderboard", *CHEAP, "--out", tmp_path) == 1
    assert "division_of_old: a former run played it" in capsys.readouterr().out
    assert list(board(tmp_path)) == ["double_auction_buyer", "double_auction_seller"]
    page = (tmp_path / "board.html").read_text("utf8")
    assert "shader_of_old" in page and "No contender any more." in page


def test_a_division_in_which_truth_fails_leaves_the_others(tmp_path, capsys, monkeypatch):
    from agents.board import judge

    play = judge.play_truth

    def broken(scenario, pairs):
        if scenario.name == "double_auction_buyer":
            raise ValueError("broken on purpose")
        return play(scenario, pairs)

    monkeypatch.setattr(judge, "play_truth", broken)
    both = [*CHEAP[:2], "auction_bidder", *CHEAP[2:], "--out", tmp_path]
    assert exit_code("leaderboard", *both) == 1
    shown = capsys.readouterr().out
    assert "double_auction_buyer: truth did not play under double_auction; posted_price" in shown
    assert list(board(tmp_path)) == ["auction_bidder"]


def test_a_contender_that_earns_no_finite_amount_is_named_and_left_out(
    tmp_path, capsys, monkeypatch
):
    from agents.board import judge

    play = judge.play_focal

    def overflowing(scenario, parts, pairs):
        [one] = play(scenario, parts, pairs)
        wrong = float("nan") if parts == ["shade"] else 1.0
        return [dataclasses.replace(one, returns=one.returns * wrong)]

    monkeypatch.setattr(judge, "play_focal", overflowing)
    assert exit_code("leaderboard", *CHEAP, "--out", tmp_path) == 1
    assert "shade 0: it earns amounts that are no finite numbers" in capsys.readouterr().out
    [cells] = [one["cells"] for one in board(tmp_path).values()]
    assert {cell["contender"] for cell in cells} == {"truthful"}


def test_a_contender_that_fails_is_named_and_the_others_stay(tmp_path, capsys, monkeypatch):
    from agents.board import contenders

    def broken(task):
        raise ValueError("this search is broken on purpose")

    one = dataclasses.replace(contenders.CONTENDERS["cross_entropy"], prepare=broken)
    monkeypatch.setitem(contenders.CONTENDERS, "cross_entropy", one)
    words = ["--divisions", "double_auction_buyer", "--contenders", "shade", "cross_entropy"]
    words += ["--budget", "quick", "--episodes", "24", "--workers", "1", "--tries", "1"]
    assert exit_code("leaderboard", *words, "--out", tmp_path) == 1
    assert "broken on purpose" in capsys.readouterr().out
    names = {cell["contender"] for cell in board(tmp_path)["double_auction_buyer"]["cells"]}
    assert names == {"truthful", "shade"}
