"""Money of the data market adds up, whatever is played under whatever rules."""

import pytest
import torch
from data_market_cases import market_of, parts
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from marketenv.core import rounds
from marketenv.markets.data_market import CONDUCT, SELECTIONS
from marketenv.markets.data_market.config import ALGORITHMS, LABELS, OUTSIDE_OPTIONS
from marketenv.mechanisms import DATA_RULES, RELEASES
from marketenv.valuation import FORMS

SEEDS = torch.tensor([0, 1])
CHOICES = {
    "rule": list(DATA_RULES),
    "release": list(RELEASES),
    "selection": list(SELECTIONS),
    "estimator": list(FORMS),
    "algorithm": list(ALGORITHMS),
    "labels": list(LABELS),
    "covariance": ["diagonal", "full", "none"],
    "distance": ["fast", "exact", "sliced", "auto"],
    "private": [False, True],
    "alignment": ["auto", "none"],
    "conduct": [None, (), ("bait",), ("declared", "distinct"), tuple(CONDUCT)],
    "fee": [0.0, 0.25, 1.0],
    "credit": [0.0, 50.0],
    "cash": [0.0, 500.0],
    "vocabulary": [0.0, 1.0],
    "outside_option": list(OUTSIDE_OPTIONS),
    "n_sellers": [1, 3, 5],
    "calibration": ["each_round", "first_round"],
    "money_per_accuracy": [(0.0, 0.0), (50.0, 5000.0)],
    "cost_per_point": [(0.0, 0.0), (0.02, 0.1), (5.0, 20.0)],
}
UNLABELED = {"corruption": "unlabeled", "corruption_options": {"rate": 0.5}}


def drawn(now, market, seed, spread):
    """Actions of the movers, drawn from their boxes; with a spread above 1 most lie at an end."""
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for role, move in rounds.stage_of(market, now).moves.items():
        numbers = spread * (
            2 * torch.rand(len(now.floor.seeds), move.count, move.action.dim, generator=draw) - 1
        )
        made[role] = numbers.clamp(-1.0, 1.0)
    return made


def check_round(market, start, report):
    """What holds of every round; start: where it began."""
    c, (offered, _, selected, _, delivered) = market.config, parts(report)
    cash, before = report.ledger.cash, start.floor.ledger.cash
    held, platform = report.rows["held"], report.rows["platform"]
    assert (cash[:, held] == 0).all()
    assert torch.allclose(cash.sum(1), before.sum(1), rtol=1e-12, atol=1e-9)
    assert (cash >= -c.credit - 1e-9).all() and (cash[:, platform] >= before[:, platform]).all()
    points, prices = selected.points, selected.prices[:, 0]
    asked, least = offered.ask * points, offered.reserve * points
    assert ((prices >= asked * (1 - 1e-9)) & (prices >= least * (1 - 1e-9)))[points > 0].all()
    assert (prices[points == 0] == 0).all() and (points <= offered.conduct.declared).all()
    assert (points.sum(1) <= c.points).all()
    assert (prices.sum(1) <= selected.budget * (1 + 1e-12)).all()
    paid = report.flows["price"].received + report.flows["released"].received
    assert (paid <= prices * (1 + 1e-12) + 1e-12).all() and not paid[delivered.caught].any()
    assert (
        not (delivered.caught & ~selected.audited).any()
        and (selected.audited <= (points > 0)).all()
    )
    flows = {name: flow.money.sum((1, 2)) for name, flow in report.flows.items()}
    spent = flows["price"] + flows["released"] + flows["fee"] + flows["returned"]
    assert torch.allclose(flows["held"], spent, rtol=1e-12, atol=1e-9)
    assert torch.allclose(
        flows["fee"], c.fee * (flows["price"] + flows["released"]), rtol=1e-9, atol=1e-9
    )
    terms = torch.zeros_like(report.rewards)
    for by_role in report.terms.values():
        for role, value in by_role.items():
            terms[:, report.rows[role]] += value
    assert torch.allclose(
        report.rewards, report.net[:, : terms.shape[1]] + terms, rtol=1e-9, atol=1e-9
    )
    assert (report.terms["cost"]["seller"] <= 0).all()
    names = delivered.reputation[:, report.rows["seller"]]
    assert (
        ((names >= 0) & (names <= 1)).all()
        and (delivered.kept >= 0).all()
        and (delivered.kept <= 1).all()
    )


def play(market, seed, spread):
    now = rounds.opened(market, SEEDS)
    for turn in range(market.horizon):
        start = now = rounds.begun(market, now)
        report = None
        while report is None:
            now, report = rounds.play_stage(
                market, now, drawn(now, market, seed + 7 * turn + now.at, spread)
            )
        check_round(market, start, report)
    return report


# to shrink a market takes minutes
@pytest.mark.long
@settings(max_examples=12, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(
    st.fixed_dictionaries({}, optional={n: st.sampled_from(v) for n, v in CHOICES.items()}),
    st.integers(0, 999),
    st.data(),
)
def test_money_adds_up_for_every_combination_of_parts_and_whatever_is_played(chosen, seed, data):
    """By random actions and by those at the ends of their boxes, on clean data and on data of
    which half has no label.
    """
    bad = data.draw(st.sampled_from([{}, UNLABELED]))
    market = market_of(anchors=3, data_options=bad, **chosen)
    play(market, seed, data.draw(st.sampled_from([1.0, 5.0])))


@pytest.mark.parametrize("rule", DATA_RULES)
@pytest.mark.parametrize("release", RELEASES)
def test_every_rule_sells_something_and_every_release_returns_what_it_keeps(rule, release):
    """Each rule where sellers ask their cost of nothing and the buyer has all to spend, with
    everything held back.
    """
    market = market_of(rule=rule, release=release, cost_per_point=(0.0, 0.0), fee=0.1)
    now = rounds.begin(market, torch.arange(6))
    start = now
    actions = drawn(now, market, 0, 0.0)  # middle of the box: asks of the cost
    now, _ = rounds.play_stage(market, now, actions)
    # the whole budget, all audited, all held back
    actions = {"buyer": torch.ones_like(drawn(now, market, 0, 0.0)["buyer"])}
    _, report = rounds.play_stage(market, now, actions)
    check_round(market, start, report)
    assert parts(report)[2].points.any() and not report.flows["price"].money.any()
