"""A client of iPFL's market that comes as two: its data, its money, and planted gains."""

import dataclasses
from functools import partial

import pytest
import torch
from claim_cases import TINY

from agents.papers.ipfl.false_names import FalseNames, as_two, earned_as_two
from agents.papers.ipfl.graphs import drawn_terms
from agents.papers.ipfl.settings import RULES, SIX
from marketenv.mechanisms import SharingTerms, share_models


def test_two_names_own_what_the_one_owned():
    """Shares of the data and of the need at the same distances, and no trade between the two."""
    terms = drawn_terms(50, SIX)
    split = as_two(terms, (0.25, 1.0))
    whole, parts = terms.reported, split.reported
    torch.testing.assert_close(parts.sizes[:, [0, SIX]].sum(1), whole.sizes[:, 0])
    torch.testing.assert_close(parts.sizes[:, 0], whole.sizes[:, 0] / 4)
    assert float(parts.needs[:, SIX].max()) == 0 and torch.equal(
        parts.costs[:, SIX], whole.costs[:, 0]
    )
    assert torch.equal(parts.sizes[:, 1:SIX], whole.sizes[:, 1:])
    # lambda N_j / N_i d: of three quarters of the seller's data so much of the discount; of a
    # quarter of the buyer's four times
    torch.testing.assert_close(split.discounts[:, 1:SIX, SIX], terms.discounts[:, 1:, 0] * 3 / 4)
    torch.testing.assert_close(split.discounts[:, 0, 1:SIX], terms.discounts[:, 0, 1:] * 4)
    assert bool(split.discounts[:, 0, SIX].isinf().all()) and not bool(
        share_models(split).allocation[:, SIX, 0].any()
    )


def test_false_names_that_pay_are_found():
    """Planted: 100 for every sale of who says that it needs nothing, so that a second name that
    only sells pays at once.
    """

    def alms(terms, trades, graph):
        return trades * 100.0 * (terms.reported.needs == 0).double()[:, None]

    planted = {"planted": {"graph": "break", "payment": alms}}
    found, plain = FalseNames(planted)("planted", TINY), FalseNames(RULES)("as stated", TINY)
    gains = {name: gain for name, gain, _ in found.tables[0]["rows"]}
    assert gains["halves, one only sells"] > max(0.0, gains["halves, both buy"])
    assert sum(found.samples["best way"]) > sum(plain.samples["best way"]) > 0


@pytest.mark.parametrize("side", ["buys", "sells"])
def test_both_names_money_and_costs_count(side):
    """Planted: 100 for every model that the second name buys, or sells; beside that nobody pays
    anything.
    """
    terms, way, paid = drawn_terms(64, SIX), (0.5, 0.5), {}

    def toll(price, split, bought, graph):
        second = torch.zeros_like(bought)
        second[:, SIX] = side == "buys"
        second[:, :, SIX] |= side == "sells"
        return (bought & second).double() * price

    for price in (0.0, 100.0):
        paid[price] = earned_as_two(terms, way, {"graph": "break", "payment": partial(toll, price)})
    bought = share_models(as_two(terms, way)).allocation
    count = (bought[:, SIX] if side == "buys" else bought[:, :, SIX]).sum(1)
    assert count.sum() > 0
    torch.testing.assert_close(
        paid[100.0] - paid[0.0], (-100.0 if side == "buys" else 100.0) * count.double()
    )


def test_a_model_that_both_names_buy_is_worth_one_copy():
    """Nobody pays: the gain is sqrt(K / N) - sqrt(K / (N + D)), D the data of the models bought."""
    terms, way = drawn_terms(64, SIX), (0.5, 0.5)
    rules = {"graph": "break", "payment": lambda split, *_: torch.zeros_like(split.discounts)}
    deals = share_models(as_two(terms, way), **rules).allocation
    assert (deals[:, 0] & deals[:, SIX]).any()
    data = ((deals[:, 0] | deals[:, SIX])[:, :SIX] * terms.reported.sizes).sum(1)
    size, cost, need = (getattr(terms.reported, name)[:, 0] for name in ("sizes", "costs", "needs"))
    gain = (need / size).sqrt() - (need / (size + data)).sqrt()
    sales = deals[:, :, [0, SIX]].sum((1, 2))
    torch.testing.assert_close(earned_as_two(terms, way, rules), gain - cost * sales)


def test_every_sale_of_either_name_costs():
    """Who needs nothing and is paid its cost for every model that either name sells is left
    with nothing.
    """
    drawn = drawn_terms(64, SIX)
    needs = drawn.reported.needs.clone()
    needs[:, 0] = 0.0
    terms = SharingTerms(
        dataclasses.replace(drawn.reported, needs=needs), drawn.discounts, drawn.gain
    )
    rules = {
        "graph": "break",
        "payment": lambda split, bought, graph: bought * split.reported.costs[:, None],
    }
    assert share_models(as_two(terms, (0.5, 0.5)), **rules).allocation[:, :, SIX].any()
    earned = earned_as_two(terms, (0.5, 0.5), rules)
    torch.testing.assert_close(earned, torch.zeros_like(earned))
