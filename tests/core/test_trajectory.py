"""What was played can be kept as arrays by stage and role, and as JSON lines."""

import json

import numpy as np
import pytest
import torch
from relay_market import a_round, relay_market

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.core.trajectory import collect, describe, write_json_lines


def steps_of(market, n_markets=2, policy="random"):
    policies = dict.fromkeys(agent_names(market), market.policies[policy])
    return list(rounds.play(market, policies, torch.arange(n_markets)))


def test_arrays_hold_every_stage_of_every_round_by_role(tmp_path):
    market = relay_market(horizon=4, carriers=1)
    steps = steps_of(market)
    kept = collect(market, steps)
    shapes = {
        (stage, role): tuple(a.shape)
        for stage, roles in kept.observations.items()
        for role, a in roles.items()
    }
    assert shapes == {  # 4 rounds, 2 markets, so many of the role, the numbers that it sees
        ("offer", "seller"): (4, 2, 1, 1),
        ("reply", "buyer"): (4, 2, 2, 4),
        ("ship", "seller"): (4, 2, 1, 2),
        ("ship", "carrier"): (4, 2, 1, 1),
    }
    assert kept.actions["reply"]["buyer"].shape == (4, 2, 2, 2) and kept.rewards.shape == (4, 2, 4)
    for number in range(4):
        offer, reply, ship = steps[3 * number : 3 * number + 3]
        assert torch.equal(kept.observations["offer"]["seller"][number], offer[0]["seller"])
        assert torch.equal(kept.actions["reply"]["buyer"][number], reply[1]["buyer"])
        assert torch.equal(kept.actions["ship"]["carrier"][number], ship[1]["carrier"])
        assert torch.equal(kept.rewards[number], ship[2].rewards)
        assert torch.equal(kept.payments["hold"][number], ship[2].flows["hold"].money)
    assert kept.terminated.any(1).tolist() == [
        report.terminated.any().item() for *_, report in steps if report is not None
    ]
    kept.save(tmp_path / "played.npz")
    with np.load(tmp_path / "played.npz") as file:  # without pickle
        assert sorted(file) == [
            "actions.offer.seller",
            "actions.reply.buyer",
            "actions.ship.carrier",
            "actions.ship.seller",
            "observations.offer.seller",
            "observations.reply.buyer",
            "observations.ship.carrier",
            "observations.ship.seller",
            "parties.fee",
            "parties.hold",
            "parties.price",
            "parties.refund",
            "payments.fee",
            "payments.hold",
            "payments.price",
            "payments.refund",
            "rewards",
            "terminated",
        ]
        assert np.array_equal(file["actions.reply.buyer"], kept.actions["reply"]["buyer"].numpy())
        assert file["parties.price"].tolist() == ["escrow", "seller"] and file[
            "payments.price"
        ].shape == (4, 2, 2, 1)


def test_rewards_are_what_payments_and_terms_come_to(tmp_path):
    """In the second-price auction nobody but buyers and the operator has money; the arrays
    alone say who paid.
    """
    market = make_market("reference_v0", game="second_price", max_cycles=3)
    steps = steps_of(market, n_markets=5)
    kept = collect(market, steps)
    assert kept.parties == {"price": ("buyer", "operator")}
    worth = torch.stack([report.terms["value"]["buyer"] for _, _, report in steps])
    assert torch.equal(kept.rewards, worth - kept.payments["price"].sum(3))
    assert kept.terminated.tolist() == [[False] * 5, [False] * 5, [True] * 5]


def test_json_lines_hold_infos_and_payments_by_name(tmp_path):
    market = relay_market(carriers=1)
    _, report = a_round(
        market, rounds.begin(market, torch.tensor([0, 1])), price=0.5, take=[1.0, -1.0], fee=0.125
    )
    lines = list(describe(report, agent_names(market)))
    assert write_json_lines(tmp_path / "rounds.jsonl", lines) == 2
    read = [json.loads(line) for line in (tmp_path / "rounds.jsonl").read_text().splitlines()]
    assert read == lines
    assert read[1]["payments"] == [
        {"name": "hold", "payer": "buyer_0", "payee": "escrow_0", "money": 0.5},
        {"name": "price", "payer": "escrow_0", "payee": "seller_0", "money": 0.5},
        {"name": "fee", "payer": "seller_0", "payee": "carrier_0", "money": 0.125},
    ]  # nothing is refunded, and payments of 0 are left out
    assert list(read[1]["agents"]) == ["seller_0", "buyer_0", "buyer_1", "carrier_0"]
    assert (
        list(read[1]["agents"]["buyer_0"]) == list(market.facts)
        and read[1]["agents"]["carrier_0"]["cash"] == 1.125
    )
    for m, line in enumerate(read):
        assert sum(paid["money"] for paid in line["payments"]) == pytest.approx(
            float(report.transfers[m].sum())
        )


def test_nothing_played_a_part_of_a_round_and_nan_are_refused(tmp_path):
    market = relay_market()
    steps = steps_of(market)
    for some in ([], steps[:2], steps[:4], steps[1:4]):
        with pytest.raises(
            ValueError,
            match=(
                r"collect got .* steps and .*wanted whole rounds of 3 stages \(offer, reply, ship\)"
            ),
        ):
            collect(market, some)
    assert len(collect(market, steps[:3]).rewards) == 1
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_lines(tmp_path / "x", [{"a": float("nan")}])


def test_what_cannot_be_written_whole_leaves_the_old_file(tmp_path):
    (tmp_path / "rounds.jsonl").write_text("old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_lines(tmp_path / "rounds.jsonl", [{"a": 1.0}, {"a": float("nan")}])
    assert (tmp_path / "rounds.jsonl").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    collect(relay_market(), steps_of(relay_market())).save(tmp_path / "played")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["played.npz", "rounds.jsonl"]


def test_unlimited_cash_is_null_in_json(tmp_path):
    market = make_market("parameter_trading_v0", cash=float("inf"), max_cycles=1)
    report = steps_of(market, n_markets=1, policy="truthful")[0][2]
    assert write_json_lines(tmp_path / "x", describe(report, agent_names(market))) == 1
    assert json.loads((tmp_path / "x").read_text())["agents"]["trader_0"]["cash"] is None
