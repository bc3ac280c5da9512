"""What was played can be kept as arrays and as JSON lines."""

import json

import numpy as np
import pytest
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.core.trajectory import collect, describe, write_json_lines


def steps_of(n_rounds=3, n_markets=2):
    market = make_market("reference_v0", max_cycles=n_rounds)
    policies = dict.fromkeys(agent_names(market), market.policies["random"])
    return list(rounds.play(market, policies, torch.arange(n_markets)))


def test_arrays_hold_every_step(tmp_path):
    steps = steps_of()
    kept = collect(steps)
    assert kept.observations.shape == (3, 2, 2, 3) and kept.actions.shape == (3, 2, 2, 1)
    assert torch.equal(kept.rewards[1], steps[1][2].rewards)
    assert kept.terminated.tolist() == [[False, False], [False, False], [True, True]]
    kept.save(tmp_path / "played.npz")
    with np.load(tmp_path / "played.npz") as file:
        assert np.array_equal(file["actions"], kept.actions.numpy())


def test_json_lines_hold_payments_and_infos(tmp_path):
    report = steps_of()[0][2]
    lines = list(describe(report, ["buyer_0", "seller_0"]))
    assert write_json_lines(tmp_path / "rounds.jsonl", lines) == 2
    read = [json.loads(line) for line in (tmp_path / "rounds.jsonl").read_text().splitlines()]
    assert read == lines
    for m, line in enumerate(read):
        assert line["agents"]["buyer_0"]["utility"] == float(report.utility[m, 0])
        assert sum(money for _, _, money in line["payments"]) == pytest.approx(float(report.transfers[m].sum()))


def test_nothing_played_and_nan_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no steps"):
        collect([])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_lines(tmp_path / "x", [{"a": float("nan")}])


def test_what_cannot_be_written_whole_leaves_the_old_file(tmp_path):
    (tmp_path / "rounds.jsonl").write_text("old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_lines(tmp_path / "rounds.jsonl", [{"a": 1.0}, {"a": float("nan")}])
    assert (tmp_path / "rounds.jsonl").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    collect(steps_of()).save(tmp_path / "played")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["played.npz", "rounds.jsonl"]


def test_unlimited_cash_is_null_in_json(tmp_path):
    market = make_market("parameter_trading_v0", cash=float("inf"), max_cycles=1)
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    report = next(rounds.play(market, policies, torch.tensor([0])))[2]
    assert write_json_lines(tmp_path / "x", describe(report, agent_names(market))) == 1
    assert json.loads((tmp_path / "x").read_text())["agents"]["trader_0"]["cash"] is None
