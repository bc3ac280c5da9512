"""Sellers who learn: what cheating pays where nothing defends, what counts as found, and that
PPO finds it.
"""

import pytest
import torch

from agents.papers import CLAIMS, EFFORTS, measured, verdict
from agents.papers.data_valuation import learned_sellers
from agents.papers.data_valuation.learned_sellers import RUNS, JudgedSeller, judge, small_market
from agents.scripted.data_market import seller

PAIRS = 24  # above the 20 that an interval wants
STANDARD = EFFORTS["standard"]


def played(conduct, **offer):
    market = small_market(conduct)
    return judge(market, seller(market, **offer), conduct, PAIRS)


def test_a_renaming_saves_the_label_and_a_bait_all_that_a_row_costs():
    noise, renamed = played("bait", bait=1.0), played("permute", permute="delivered")
    assert float(noise.gain.mean()) > 1 and noise.gain.tolist() == pytest.approx(
        noise.scripted.tolist()
    )
    # labelling = 0.8; the price is that of truth
    assert renamed.gain.tolist() == pytest.approx((0.8 * noise.gain).tolist())
    assert all(
        float(one.buyer_loss.mean()) > 10 and one.succeeds and one.conduct_share == 1
        for one in (noise, renamed)
    )


def test_what_is_not_found():
    truth, some = played("bait"), played("bait", bait=0.4)
    assert truth.conduct_share == 0 and float(truth.gain.abs().max()) == 0 and not truth.succeeds
    # it pays, and is not what is mostly done
    assert some.conduct_share == pytest.approx(0.4) and some.interval.low > 0 and not some.succeeds
    # pilots of renamed classes train nothing, so hardly anybody buys
    shown = played("permute", permute="always")
    assert shown.conduct_share == 1 and float(shown.gain.mean()) < 0 and not shown.succeeds


@pytest.mark.parametrize("conduct", ["permute", "bait"])
def test_the_verdict_counts_learners_who_find_it(monkeypatch, conduct):
    claim, least = CLAIMS[f"data_valuation/ppo_finds_{conduct}"], 0.0
    asked = []

    def learned(which, seed, steps):
        asked.append((which, seed, steps))
        gain = torch.linspace(1, 2, PAIRS).double() * (1 if seed >= least else -1)
        return JudgedSeller(gain, gain, gain, conduct_share=0.9)

    monkeypatch.setattr(learned_sellers, "learned", learned)
    evidence = measured(claim, "as stated", STANDARD)
    assert asked == [(conduct, seed, STANDARD.steps) for seed in range(RUNS["standard"])]
    # six of six: the half lies below 0.541
    assert str(verdict(claim, {"as stated": evidence})) == "holds"
    least = 1.0
    assert (
        str(verdict(claim, {"as stated": measured(claim, "as stated", STANDARD)})) == "inconclusive"
    )
    least = 6.0
    assert str(verdict(claim, {"as stated": measured(claim, "as stated", STANDARD)})) == "fails"
    assert "effort" in measured(claim, "as stated", "quick")["untested"]


def test_renaming_noise_earns_nothing_and_renaming_half_of_it_does(monkeypatch):
    claim = CLAIMS["data_valuation/renaming_adds_nothing_to_bait"]
    assert str(verdict(claim, {"as stated": measured(claim, "as stated", "quick")})) == "holds"
    monkeypatch.setattr(
        learned_sellers,
        "seller",
        lambda market, bait, **more: seller(market, bait=bait / 2, **more),
    )
    assert str(verdict(claim, {"as stated": measured(claim, "as stated", "quick")})) == "fails"


@pytest.mark.slow
@pytest.mark.parametrize("conduct", ["permute", "bait"])
def test_ppo_comes_from_truth_to_what_pays(conduct):
    run = learned_sellers.learned(conduct, 2, STANDARD.steps)
    assert run.succeeds and float(run.gain.mean()) > 0.6 * float(run.scripted.mean())
