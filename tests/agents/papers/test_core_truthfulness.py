"""Claims about truth and taking part: in planted markets the best deviation is known."""

import dataclasses
import importlib
from functools import partial

import pytest
import torch
from claim_cases import ABOUT, SEARCH, TINY
from matrix_market import with_phase

from agents.papers import measured, rationality, truthfulness, verdict
from agents.papers.core.lines import changes
from agents.papers.core.samples import blocks
from agents.papers.core.words import FAILS, HOLDS, INCONCLUSIVE, NO_GAIN, UNTESTED
from agents.stress import JUDGE, SELECT
from agents.stress.deviation import Deviation
from agents.stress.kinds import families
from marketenv import make_market
from marketenv.core.market import Outcome, Phase
from marketenv.mechanisms import first_price, second_price
from marketenv.mechanisms.sales import Sales, check_reports, sold


def test_blocks_are_means_of_equal_runs_and_keep_short_lists():
    x = torch.arange(10, dtype=torch.float64)
    assert blocks(x, 10) == x.tolist()
    assert blocks(x, 3) == [1.5, 5.5]  # runs of 4; the last 2 have no full run
    assert sum(blocks(x[:8], 2)) / 2 == pytest.approx(float(x[:8].mean()))


def auction(game="second_price", **changes):
    return lambda condition, effort: make_market("reference_v0", game=game, **changes)


MARKET = make_market("reference_v0", game="second_price")
BASE, FAMILY = MARKET.policies["truthful"], families(MARKET.moves[0])["scale price"]


def truth(build, effort=SEARCH, conditions=("as stated",), **search):
    asked = truthfulness(
        **ABOUT, build=build, who=("buyer",), conditions=conditions, scale=1 / 6, **search
    )
    return verdict(asked, {name: measured(asked, name, effort) for name in asked.conditions})


def test_truth_holds_where_all_bids_that_matter_were_tried():
    """Vickrey 1961: no bid earns more, whatever the others bid; the breakpoints are all there
    is to try.
    """
    assert str(truth(auction(), ex_post=True)) == "holds"


def test_a_search_alone_never_says_that_truth_holds():
    assert str(truth(auction())) == NO_GAIN


def test_hindsight_is_no_proof_where_a_market_goes_on():
    """Breakpoints are of the first round: with a second one something may have been left out."""
    assert str(truth(auction(max_cycles=2), ex_post=True)) == NO_GAIN


def pays_own_bid(share, bids, asks):
    """The highest bid wins and pays a share of itself: with .9 the best answer to truth is 5/9
    of the value, not the value.
    """
    won = first_price(bids, asks)
    return sold(won.allocation, share * bids)


def test_a_winner_that_pays_nine_tenths_of_its_bid_is_flagged():
    """A bid b against U[0, 1] earns b (v - .9 b): best at v / 1.8, which brings v^2 / 3.6;
    truth brings .1 v^2.
    """
    found = truth(auction(mechanism=partial(pays_own_bid, 0.9)))
    assert found.word == FAILS and "buyer_0: " in found.counterexample
    (statistic,) = found.findings[0].statistics
    assert statistic.low <= (1 / 3.6 - 0.1) / 3 <= statistic.high  # E[v^2] = 1/3


def peeks(bids, asks):
    """A second-price auction whose reserve is half the winner's own bid: what a bidder says
    sets what it pays.
    """
    check_reports(bids, asks)
    won = second_price(bids, asks)
    return sold(won.allocation, won.prices.maximum(bids / 2))


def test_a_price_that_peeks_at_the_bid_is_flagged():
    """Against U[0, 1] a bid b < 1 pays max(b / 2, x) for x < b: E = v b - 5 b^2 / 8, best at .8
    v; gain .4 v^2 - .375 v^2.
    """
    found = truth(auction(mechanism=peeks))
    assert found.word == FAILS
    (statistic,) = found.findings[0].statistics
    # E[v^2] = 1/3; what a search finds is at most the best
    assert statistic.high > 0.025 / 6 and statistic.low <= 0.025 / 3


def taken_at_its_word(bids, asks, *, seen=0.5):
    """The buyer's value is read off its report and half of it is charged: whoever reports less
    pays less.
    """
    check_reports(bids, asks)
    return Sales(bids > 0, torch.where(bids > 0, seen * bids, 0.0))


def test_a_valuation_that_peeks_at_the_report_is_flagged():
    """It sells to any bid, at half of what the bid says the good is worth. A bid next to 0
    saves nearly all of v / 2.
    """
    found = truth(auction(game="second_price", n_buyers=1, mechanism=taken_at_its_word))
    assert found.word == FAILS
    (statistic,) = found.findings[0].statistics
    assert statistic.low > 0.2  # of E[v] / 2 = 1/4


def best_among_the_truthful(bids, asks):
    """Second price; but where the other bids less than any value is, which no truthful bidder
    does, the winner pays its bid.
    """
    check_reports(bids, asks)
    won = second_price(bids, asks)
    lies = (bids < 0.2).any(1, keepdim=True)
    return sold(won.allocation, torch.where(lies, bids, won.prices))


def test_a_best_reply_to_truth_is_not_taken_for_dominant():
    """Against U[0, 1] a fifth of the wins cost the own bid: d less brings d / 5 - d^2 / 2, at
    best .02; nothing against truth.
    """
    build = auction(mechanism=best_among_the_truthful, values=(0.2, 1.0))
    assert str(truth(build, ex_post=True)) == NO_GAIN
    found = truth(build, ex_post=True, against=("random",))
    assert found.word == FAILS and "against random" in found.counterexample
    names = [statistic.name for statistic in found.findings[0].statistics if statistic.mean > 0.005]
    assert names == ["gain of buyer_0 against random", "ex-post regret of buyer_0 against random"]


def test_truth_holds_under_a_condition_that_was_listed():
    """First price as stated; second price under the condition: it alone makes truth best."""

    def build(condition, effort):
        return auction("second_price" if condition == "second price" else "first_price")(
            condition, effort
        )

    found = truth(build, conditions=("as stated", "three bidders", "second price"), ex_post=True)
    assert str(found) == "fails as stated; holds under: second price"
    assert [one.word for one in found.findings] == [FAILS, FAILS, HOLDS]


def test_what_changes_nothing_is_not_judged():
    """At truth nothing gains: the best real deviation is judged, which loses a little, and not
    truth itself.
    """
    found = truthfulness(**ABOUT, build=auction(), who=("buyer",))
    (table,) = measured(found, "as stated", SEARCH)["tables"]
    assert len(table["rows"]) == 3 and all(row[2] < 0 for row in table["rows"])
    assert not changes(BASE, BASE) and not changes(
        Deviation(BASE, FAMILY, torch.ones(1, 1).double()), BASE
    )
    assert changes(Deviation(BASE, FAMILY, torch.zeros(1, 1).double()), BASE)


def test_reports_are_not_tested_where_no_money_moves():
    """With nothing sold there is nothing to gain, whoever says what."""

    def nothing(bids, asks):
        check_reports(bids, asks)
        return Sales(torch.zeros_like(bids, dtype=torch.bool), torch.zeros_like(bids))

    found = truth(auction(mechanism=nothing))
    assert found.word == UNTESTED and "no money moves" in found.why


def test_a_line_is_tried_in_the_range_that_the_claim_names():
    found = truthfulness(
        **ABOUT,
        build=auction("first_price"),
        who=("buyer",),
        lines=(("scale price", 0.8, 1.0),),
        attackers=(),
    )
    evidence = measured(found, "as stated", TINY)
    (series,) = evidence["series"]
    # 1, which changes nothing, is always there
    assert (min(series["parameters"]), max(series["parameters"])) == (0.8, 1.0)
    # the best answer, half, is out of this range
    assert evidence["tables"][0]["rows"][0][1] == "price 0.8 times what it was"
    with pytest.raises(ValueError, match="Did you mean 'scale price'"):
        measured(
            dataclasses.replace(
                found,
                experiment=dataclasses.replace(
                    found.experiment, lines=(("scale prize", 0.0, 1.0),)
                ),
            ),
            "as stated",
            TINY,
        )


def test_a_line_that_changes_no_report_is_refused():
    """At cost 0 nothing is asked, and no multiple of nothing is anything."""
    free = lambda condition, effort: make_market("parameter_trading_v0", n_agents=2, max_cycles=1)  # noqa: E731
    asked = truthfulness(
        **ABOUT,
        build=free,
        who=("trader_0",),
        lines=(("scale ask", 0.0, 2.0),),
        attackers=(),
        costly=True,
    )
    with pytest.raises(
        ValueError,
        match="'scale ask' from 0 to 2 changes no report; lines that do: scale bid, shift ask",
    ):
        measured(asked, "as stated", TINY)


def test_few_seeds_decide_nothing():
    few = dataclasses.replace(TINY, cheap=dataclasses.replace(TINY.cheap, judge=19))
    assert str(truth(auction("first_price"), few)) == INCONCLUSIVE


def test_a_gain_within_its_noise_of_the_tolerance_decides_nothing():
    """Who pays a share s of its bid b = v / (2 s) gains v^2 (1 / (4 s) - (1 - s)) on truth:
    (1/4) / 3 where all of it is paid.
    """
    found = truth(auction("first_price"), tolerance=0.5)  # 1/12 is half of 1/6
    (statistic,) = found.findings[0].statistics
    assert str(found) == INCONCLUSIVE and statistic.low < 1 / 12 < statistic.high


class Charge(Phase):
    """Whoever pays loses as much once more."""

    name = "charge"

    def act(self, floor, own, quotes, actions):
        return floor.term("charge", "buyer", -floor.flows["price"].paid), own, Outcome()


def test_who_takes_part_may_lose_and_is_found():
    """Who wins pays twice: a bidder of its value v wins with chance v and loses v then, E[v^2]
    = 1/3 in the mean.
    """

    def twice(condition, effort):
        return with_phase(auction("first_price")(condition, effort), Charge())

    asked = rationality(**ABOUT, build=twice)
    found = verdict(asked, {"as stated": measured(asked, "as stated", TINY)})
    assert found.word == FAILS and "loses" in found.counterexample
    mean = rationality(**ABOUT, build=twice, signed=True)
    found = verdict(mean, {"as stated": measured(mean, "as stated", TINY)})
    assert found.word == FAILS and all(
        statistic.low <= 1 / 3 <= statistic.high for statistic in found.findings[0].statistics
    )
    fair = rationality(**ABOUT, build=auction(), scale=1.0)
    assert str(verdict(fair, {"as stated": measured(fair, "as stated", TINY)})) == "holds"


def test_what_is_chosen_on_some_seeds_is_judged_on_others(monkeypatch):
    """The best of many on the seeds that it was chosen on flatters itself."""
    # the package has a function of this name
    module = importlib.import_module("agents.papers.core.truthfulness")
    blocks, real = [], module.Attack

    def note(market, profile, agents, seeds, *rest):
        blocks.append(int(seeds[0]))
        return real(market, profile, agents, seeds, *rest)

    monkeypatch.setattr(module, "Attack", note)
    truth(auction(), TINY)
    assert blocks == [SELECT, JUDGE]


def test_who_takes_part_meets_others_that_lie():
    """Second price: against one who bids its value truth earns E[(v - x)+] = 1/6, against one
    who bids nothing E[v] = 1/2.
    """
    for others, worth in ((None, 1 / 6), ("never_trade", 1 / 2)):
        asked = rationality(**ABOUT, build=auction(), others=others)
        # 2 x 4096 draws: 3 % is 4 errors
        assert measured(asked, "as stated", SEARCH)["scale"] == pytest.approx(worth, rel=0.05)
