"""Play in the resource market: what can be worked out, the order of audits and conducts, and
cheats that turn the claims.
"""

import dataclasses

import pytest
import torch

from agents.papers import CLAIMS, EFFORTS, measured, verdict
from agents.papers.resources_decoupled import accuracy, audits, commitment, market_claims, numbers
from agents.papers.resources_decoupled.market import (
    DEVIANT,
    LEADER,
    changed_conduct,
    played,
    uniform_part,
)
from marketenv.markets.resource_market import AUDITS, CONDUCTS

TINY = dataclasses.replace(EFFORTS["quick"], name="tiny")
GAME = {
    "learner": None,
    "n_owners": 10,
    "n_centres": 10,
    "max_cycles": 2,
    "types": {"quality": (1.0,) * 10},
}


def test_who_changes_nothing_earns_the_equilibrium_and_deviants_are_where_they_should_be():
    found = played(GAME, [(LEADER, {}), (DEVIANT, {"share": 0.0})], 2)
    assert found.rewards.shape == (2, 2, 2, 21)
    assert found.of(LEADER)[0, 0].tolist() == pytest.approx([0.638437] * 2, abs=1e-5)
    assert found.of(DEVIANT)[:, 0].flatten().tolist() == pytest.approx([1 / 72] * 4, abs=1e-6)
    assert not found.of(DEVIANT)[:, 1].any() and bool((found.of("owner_1")[:, 1] > 1 / 72).all())


def test_a_random_leader_pays_between_half_of_eta_and_eta():
    paid = {
        name: played(GAME, [(LEADER, changes)], 40).rewards[..., 1:11].sum(-1)
        for name, changes in accuracy.PAYMENTS.items()
    }
    # owners earn eta (1 - K)^2 each: their sum is eta / 10
    assert paid["equilibrium"].flatten().tolist() == pytest.approx([25 / 180] * 80, abs=1e-5)
    assert paid["FIXED"].flatten().tolist() == pytest.approx([0.1] * 80, abs=1e-5)
    share = paid["RANDOM"] / paid["equilibrium"]
    assert 0.5 <= float(share.min()) < 0.55 and 0.95 < float(share.max()) <= 1.0 + 1e-6
    assert uniform_part(torch.ones(3, 1, 1), torch.arange(3)).shape == (3, 1, 1)


def test_without_escrow_the_leader_gains_all_that_it_keeps():
    # 1.3889
    assert commitment.gain(False, 2, (1.0,) * 10).tolist() == pytest.approx([25 / 18] * 2, abs=1e-5)
    assert commitment.gain(True, 2).tolist() == [0.0, 0.0]  # it has no such move
    whole = CLAIMS["resources_decoupled/word_is_kept"]
    found = verdict(
        whole, {condition: measured(whole, condition, TINY) for condition in whole.conditions}
    )
    assert str(found) == f"fails as stated; holds under: {commitment.HELD}"


@pytest.fixture(scope="module")
def earned():
    return {
        name: audits.earned(name, 2) for name in (audits.NOTHING, audits.LOSS_DROP, audits.HELD_OUT)
    }


def means(found):
    return {name: float(own.mean()) for name, (own, _) in found.items()}


def test_reports_are_paid_in_full_whatever_is_delivered(earned):
    own = means(earned[audits.NOTHING])
    # clean data: all have quality 1
    assert own == pytest.approx(dict.fromkeys(CONDUCTS, 1 / 72), abs=1e-6)
    leader = {name: float(one.mean()) for name, (_, one) in earned[audits.NOTHING].items()}
    # nine tenths of the data are left of sum q = 1.25: 2.5 ln 2.125 - 25 / 18
    assert leader["junk"] == pytest.approx(
        2.5 * torch.tensor(2.125).log().item() - 25 / 18, abs=1e-5
    )


def test_the_papers_audit_pays_bad_data_more_and_a_control_less(earned):
    own, control = means(earned[audits.LOSS_DROP]), means(earned[audits.HELD_OUT])
    for name in ("junk", "random_labels", "constant_label", "permuted_labels", "few"):
        assert own[name] > 2 * own[audits.HONEST], name
        assert control[name] < 0.5 * control[audits.HONEST], name


def test_evidence_is_about_nine_tenths_of_honesty(monkeypatch):
    fake = {"honest": 10.0, "junk": 8.0, "copies": 9.5}
    monkeypatch.setattr(
        audits,
        "earned",
        lambda defence, n: {k: (torch.full((n,), v).double(),) * 2 for k, v in fake.items()},
    )
    evidence = audits.worse_earns_less("as stated", TINY, audits.LOSS_DROP)
    assert evidence.samples == {"junk": [1.0] * 2, "copies": [-0.5] * 2} and evidence.scale == 10.0
    for costly in audits.COSTLY:
        assert "effort" in audits.worse_earns_less("as stated", TINY, costly).untested


def test_every_audit_and_conduct_has_its_place():
    assert {one["audit"] for one in audits.DEFENCES.values() if "audit" in one} == set(AUDITS)
    assert set(numbers.AUDITED) <= set(CONDUCTS) and audits.DIGITS["n_owners"] == 10
    assert changed_conduct("junk") == {"conduct": list(CONDUCTS).index("junk")}
    assert {claim.id for claim in market_claims.CLAIMS} <= set(CLAIMS)


def test_accuracy_is_measured_after_every_round_and_paired(monkeypatch):
    found = {
        name: accuracy.accuracies("digits", name, 2, 2)
        for name in (accuracy.WITH, accuracy.WITHOUT)
    }
    with_it, without = (one["equilibrium"] for one in found.values())
    assert with_it.shape == (2, 2) and bool((with_it[1] > 0.4).all())
    assert torch.equal(with_it[0], without[0])  # the first audit comes after the first round
    assert bool((found[accuracy.WITHOUT]["equilibrium"] != found[accuracy.WITHOUT]["FIXED"]).any())
    monkeypatch.setattr(
        accuracy,
        "accuracies",
        lambda d, name, r, n, s: {"equilibrium": torch.full((r, n), 0.5 + (name == accuracy.WITH))},
    )
    (more,) = accuracy.adjustment_helps("digits", TINY).samples.values()
    assert more == [100.0] * 2
    assert "effort" in accuracy.adjustment_helps(f"digits, {accuracy.SEQUENTIAL}", TINY).untested
