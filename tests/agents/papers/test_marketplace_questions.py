"""Questions put to the marketplace: what their experiments measure, on few seeds."""

import json

import pytest
import torch
from claim_cases import TINY

from agents.papers import CLAIMS, measured, verdict
from agents.papers.core.words import UNTESTED
from agents.papers.marketplace import ladder
from agents.papers.marketplace.studies import Ladder, marketplace_ladder
from marketenv import make_market
from marketenv.markets.marketplace.config import MarketplaceConfig

OURS = {name: claim for name, claim in CLAIMS.items() if name.startswith("marketplace/")}


def evidence(name, condition="as stated"):
    return measured(OURS[f"marketplace/{name}"], condition, TINY)


def test_every_question_of_the_page_has_claims():
    questions = {claim.place.partition(":")[0] for claim in OURS.values()}
    assert questions == {f"Q{k}" for k in range(1, 8)}
    assert all(claim.paper == "ours" for claim in OURS.values())


def test_paid_by_its_report_an_owner_gains_by_a_better_one_and_loses_nothing_by_junk():
    (gains,) = evidence("report_over_report")["samples"].values()
    assert min(gains) > 0
    (losses,) = evidence("report_junk")["samples"].values()
    assert losses == [0.0, 0.0]  # nobody looks at what it delivers


def test_paid_by_the_audit_junk_costs_its_owner():
    (losses,) = evidence("audit_junk")["samples"].values()
    assert min(losses) > 0


def test_a_developer_that_pays_nothing_in_the_end_gains_what_it_committed_to():
    (gains,) = evidence("reneging")["samples"].values()
    assert min(gains) > 0.5  # about 1.1 a round to four owners
    (held,) = evidence("reneging", "the payment is held")["samples"].values()
    assert held == [0.0, 0.0]  # it is not asked


def test_owners_earn_less_beside_a_reseller():
    (less,) = evidence("reseller_costs_owners")["samples"].values()
    assert min(less) > 0


@pytest.mark.parametrize("role", ["developer", "owner", "centre"])
def test_learners_want_an_effort_with_steps(role):
    claim = OURS[f"marketplace/learned_{role}"]
    assert verdict(claim, {"as stated": measured(claim, "as stated", TINY)}).word == UNTESTED


@pytest.mark.parametrize("rule", ladder.RULES)
@pytest.mark.parametrize("step", ladder.STEPS)
def test_steps_of_the_ladder_are_marketplaces(rule, step):
    config = MarketplaceConfig(**ladder.config_of(rule, step))
    assert config.sells_data == (step != ladder.NOTHING) and config.own_data
    assert config.sells_work == (step in (ladder.WITH_WORK, ladder.WITH_MODELS))


def test_welfare_is_the_sum_over_roles_and_nothing_is_sold_on_the_lowest_step():
    lowest = ladder.welfare("digits", "contest", ladder.NOTHING, "nash_bargaining", 2, 1)
    assert float(lowest.by_role["owner"].abs().max()) == 0
    assert float(lowest.by_role["centre"].abs().max()) == 0
    highest = ladder.welfare("digits", "contest", ladder.WITH_MODELS, "nash_bargaining", 2, 1)
    assert torch.allclose(sum(highest.by_role.values()), highest.total)
    assert float((highest.total - lowest.total).min()) > 0  # models learn from ten times the data


def test_a_planner_takes_the_best_share_of_those_it_tries():
    share, best = ladder.planned("digits", 2, 1)
    assert share in ladder.SHARES
    market = make_market(
        "marketplace_v0",
        **ladder.DATA["digits"],
        **ladder.config_of("contest", ladder.WITH_DATA),
        max_cycles=1,
    )
    assert best.shape == (2,) and market.people.roles["owner"] == 4
    truthful = ladder.welfare("digits", "contest", ladder.WITH_DATA, "nash_bargaining", 2, 1)
    assert float(best.mean()) > 0.9 * float(truthful.total.mean())


def test_the_study_writes_rows_and_a_picture(tmp_path):
    config = Ladder(
        out=tmp_path,
        data=("digits",),
        rules=("contest",),
        trades=("nash_bargaining",),
        seeds=2,
        rounds=1,
        workers=1,
    )
    marketplace_ladder(config)
    study = json.loads((tmp_path / "marketplace_ladder.json").read_text())
    totals = {r["what"]: r["points"] for r in study["rows"] if r["what"].endswith("everybody")}
    assert len(totals) == len(ladder.STEPS)
    same = ladder.welfare("digits", "contest", ladder.WITH_DATA, "nash_bargaining", 2, 1).total
    assert totals["digits, contest, data: everybody"] == pytest.approx(same.tolist())
    assert (tmp_path / "marketplace_ladder.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rules": ("lottery",)}, "lottery"),
        ({"data": ()}, "data is empty"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_the_study_refuses_what_it_cannot_play(arguments, words):
    with pytest.raises(ValueError, match=words):
        Ladder(**arguments)
