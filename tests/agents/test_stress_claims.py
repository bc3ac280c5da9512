"""Rules and verdicts of claims: every path is reached by evidence whose answer is known, and by
planted markets.
"""

import dataclasses
import importlib
import json
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_market import with_phase

from agents.stress import JUDGE, SELECT, Budget
from agents.stress.claims import (
    Above,
    AtLeast,
    AtMost,
    Claim,
    Evidence,
    InMost,
    Never,
    NoGain,
    measured,
    rationality,
    truthfulness,
    verdict,
)
from agents.stress.claims.claim import (
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    NO_GAIN,
    POSITIVE,
    UNTESTED,
    WORDS,
    Effort,
)
from agents.stress.claims.truthfulness import blocks, changes
from agents.stress.deviation import Deviation
from agents.stress.kinds import families
from marketenv import make_market
from marketenv.core import draws
from marketenv.core.market import Outcome, Phase
from marketenv.mechanisms import first_price, second_price
from marketenv.mechanisms.outcome import Outcome as Settled
from marketenv.mechanisms.outcome import check_reports, sold

TINY = Effort(
    name="tiny",
    cheap=Budget(select=256, judge=512, points=5, population=6, generations=1),
    costly=Budget(select=2, judge=2, points=3, population=2, generations=1),
    seeds=2,
    rounds=1,
    digits=2,
    linear=(2, 4, 8),
    cases=400,
    steps=0,
)
SEARCH = dataclasses.replace(
    TINY, cheap=Budget(select=1024, judge=4096, points=21, population=24, generations=4)
)
ABOUT = {"id": "planted/claim", "market": "planted", "paper": "-", "place": "-", "words": "-"}


def claim(rule, conditions=("as stated",), **rest):
    return Claim(
        **ABOUT,
        statistic="-",
        unit="money",
        rule=rule,
        conditions=conditions,
        **({"experiment": around} | rest),
    )


def around(condition, effort):
    return Evidence(samples={"x": noise(0.0)}, seeds="0..39")


def noise(mean, count=40):
    """Samples whose mean is ``mean`` to rounding, with a spread of about 0.1."""
    x = 0.1 * draws.normal(draws.fold(torch.tensor(3), "noise"), count)
    return (mean + x - x.mean()).tolist()


def judged(rule, evidence):
    return verdict(claim(rule), {"as stated": evidence})


# --- rules ----------------------------------------------------------------------------------------

# 40 samples of spread .1 have an interval of about mean +- .03
PATHS = [
    (AtMost(0.1), noise(0.0), {}, HOLDS),
    (AtMost(0.1), noise(0.2), {}, FAILS),
    (AtMost(0.1), noise(0.1), {}, INCONCLUSIVE),  # the interval straddles the tolerance
    (AtMost(0.1), noise(0.0)[:19], {}, INCONCLUSIVE),  # below 20 samples there is no interval
    (AtMost(0.1), [0.0] * 255, {}, INCONCLUSIVE),  # of one value 256 are wanted
    (AtMost(0.1), [0.0] * 256, {}, HOLDS),
    (AtLeast(0.1), noise(0.2), {}, HOLDS),
    (AtLeast(0.1), noise(0.0), {}, FAILS),
    (AtLeast(0.1), noise(0.1), {}, INCONCLUSIVE),
    (Above(0.0), noise(0.1), {}, HOLDS),
    (Above(0.0), [0.0] * 256, {}, FAILS),  # no effect at all is none
    (Above(0.1), noise(0.1), {}, INCONCLUSIVE),
    (NoGain(0.1), noise(0.0), {}, NO_GAIN),  # a search may have missed something
    (NoGain(0.1), noise(0.0), {"exact": True}, HOLDS),
    (NoGain(0.1), noise(0.2), {"exact": True}, FAILS),
    (InMost(), [1.0] * 16 + [0.0] * 4, {}, HOLDS),  # 16 of 20: above .56 (Clopper and Pearson)
    (InMost(), [1.0] * 15 + [0.0] * 5, {}, HOLDS),  # above .509
    (InMost(), [1.0] * 14 + [0.0] * 6, {}, INCONCLUSIVE),  # above .457
    (InMost(), [1.0] * 5 + [0.0] * 15, {}, FAILS),  # below .491
    (InMost(), [0.0] * 6, {}, FAILS),  # 1 - .025^(1/6) = .459
    (InMost(), [0.0] * 5, {}, INCONCLUSIVE),  # .522
    (Never(0.1), [0.0] * 368, {}, HOLDS),  # 1 - .025^(1/368) = .00997
    (Never(0.1), [0.0] * 367, {}, INCONCLUSIVE),  # 1 - .025^(1/367) = .01000...
    (Never(0.1), [0.0] * 3, {"exact": True}, HOLDS),
    (Never(0.1), [0.0, 0.11], {}, FAILS),  # one sample refutes, however few there are
    (Never(0.1, rate=0.2), [0.0] * 20, {}, HOLDS),  # 1 - .025^(1/20) = .168
    (AtMost(0.1), noise(0.2), {"scale": 10.0}, HOLDS),  # the tolerance is 1
    (AtMost(0.1), noise(0.0), {"scale": 0.01}, INCONCLUSIVE),  # and here .001, inside the interval
]


@pytest.mark.parametrize(("rule", "samples", "more", "word"), PATHS)
def test_every_rule_takes_every_way(rule, samples, more, word):
    found = judged(rule, Evidence(samples={"x": samples}, seeds="-", **more))
    assert (found.word, str(found), found.condition) == (word, word, "")
    assert bool(found.counterexample) == (word == FAILS)
    assert word in WORDS and "wanted" in found.why


def test_one_statistic_that_fails_refutes_and_one_that_is_open_leaves_it_open():
    good, bad, open_ = noise(0.0), noise(0.5), noise(0.1)
    for samples, word in (
        ({"a": good, "b": bad, "c": open_}, FAILS),
        ({"a": good, "c": open_}, INCONCLUSIVE),
    ):
        found = judged(AtMost(0.1), Evidence(samples=samples, seeds="-"))
        assert found.word == word
        # told is what decided
        assert ("b: mean 0.5" in found.why) == (word == FAILS) and "a: mean" not in found.why


def test_intervals_of_several_statistics_are_wider_so_that_they_hold_together():
    (alone,) = judged(AtMost(0.1), Evidence(samples={"a": noise(0.0)}, seeds="-")).found[0].figures
    several = (
        judged(AtMost(0.1), Evidence(samples={name: noise(0.0) for name in "abcdefgh"}, seeds="-"))
        .found[0]
        .figures
    )
    assert several[0].high > alone.high and several[0].low < alone.low and len(several) == 8


def test_conditions_share_the_chance_of_a_miss():
    """Of three conditions each gets a third of 5 %: None of 368 makes 1 % alone, none of 476
    does then.
    """
    names = ("as stated", "first", "second")
    for count, word in ((475, INCONCLUSIVE), (477, HOLDS)):
        found = verdict(
            claim(Never(0.1), names),
            {"as stated": Evidence(samples={"x": [0.0] * count}, seeds="-")},
        )
        assert found.word == word
    one = (
        verdict(claim(AtMost(0.1)), {"as stated": Evidence(samples={"x": noise(0.0)}, seeds="-")})
        .found[0]
        .figures[0]
    )
    three = (
        verdict(
            claim(AtMost(0.1), names), {"as stated": Evidence(samples={"x": noise(0.0)}, seeds="-")}
        )
        .found[0]
        .figures[0]
    )
    assert three.high > one.high and three.low < one.low


def test_what_refutes_is_told_by_the_experiment_or_else_by_the_samples():
    told = judged(
        AtMost(0.1), Evidence(samples={"x": noise(0.5)}, seeds="-", counterexample="seed 7 loses 1")
    )
    assert told.counterexample == "seed 7 loses 1"
    held = judged(
        AtMost(1.0), Evidence(samples={"x": noise(0.5)}, seeds="-", counterexample="seed 7 loses 1")
    )
    assert not held.counterexample  # the worst case of what holds is no counterexample
    assert (
        "x: mean 0.5"
        in judged(AtMost(0.1), Evidence(samples={"x": noise(0.5)}, seeds="-")).counterexample
    )


# --- verdicts of several conditions ---------------------------------------------------------------

GOOD, BAD, OPEN, NONE = noise(0.0), noise(0.5), noise(0.1), None


@pytest.mark.parametrize(
    ("stated", "first", "second", "said"),
    [
        (GOOD, BAD, BAD, "holds"),
        (BAD, GOOD, GOOD, "fails as stated; holds under: first"),  # the first that is listed
        (BAD, BAD, GOOD, "fails as stated; holds under: second"),
        # shown there, undecided as stated
        (OPEN, GOOD, BAD, "inconclusive as stated; holds under: first"),
        (NONE, BAD, GOOD, "not tested as stated; holds under: second"),
        (BAD, BAD, BAD, "fails"),
        # the claim as the paper states it is refuted whatever comes of the others
        (BAD, OPEN, NONE, "fails"),
        (OPEN, BAD, BAD, "inconclusive"),
        (NONE, BAD, NONE, "not tested as stated; fails under: first"),
        # what refutes is told before what is undecided
        (NONE, OPEN, BAD, "not tested as stated; fails under: second"),
        (NONE, OPEN, NONE, "not tested as stated; inconclusive under: first"),
        (NONE, NONE, NONE, "not tested here"),
    ],
)
def test_a_verdict_is_what_its_conditions_come_to(stated, first, second, said):
    names = ("as stated", "first", "second")
    evidence = {
        name: Evidence(samples={"x": x}, seeds="-")
        for name, x in zip(names, (stated, first, second), strict=True)
        if x
    }
    found = verdict(claim(AtMost(0.1), names), evidence)
    assert str(found) == said
    assert [one.condition for one in found.found] == list(names)
    assert bool(found.counterexample) == (
        stated is BAD or said.startswith("not tested as stated; fails")
    )
    if found.condition:
        assert "as stated: " in found.why  # what became of the claim itself is told too
        assert found.kind == said.partition(":")[0] and f"{found.kind}: {found.condition}" == said


@pytest.mark.parametrize(
    ("stated", "corrected", "narrower", "said"),
    [
        # that another formula holds does not mend the one that was printed
        (BAD, GOOD, BAD, "fails"),
        (BAD, GOOD, GOOD, "fails as stated; holds under: narrower"),
        (OPEN, GOOD, BAD, "inconclusive"),
        (NONE, BAD, NONE, "not tested here"),  # nor does it refute that one
        (GOOD, BAD, BAD, "holds"),
    ],
)
def test_a_correction_is_told_and_never_makes_the_claim_hold(stated, corrected, narrower, said):
    names, samples = ("as stated", "corrected", "narrower"), (stated, corrected, narrower)
    evidence = {
        name: Evidence(samples={"x": x}, seeds="-")
        for name, x in zip(names, samples, strict=True)
        if x
    }
    found = verdict(claim(AtMost(0.1), names, corrections=("corrected",)), evidence)
    assert str(found) == said
    assert f"Corrected, corrected: {'holds' if corrected is GOOD else 'fails'}, wanted" in found.why


@pytest.mark.parametrize(
    ("samples", "shares", "word"),
    [
        # 5 % of the cases tell of the promise, the others of nothing
        (GOOD, [0.0, 0.1], "premise hardly ever true"),
        # what breaks the promise where the premise fails refutes nothing
        (BAD, [0.05] * 3, "premise hardly ever true"),
        (OPEN, [0.0], "premise hardly ever true"),
        (GOOD, [0.1], "holds"),  # a tenth
        (BAD, [1.0, 0.5], "fails"),
    ],
)
def test_a_promise_whose_premise_hardly_ever_holds_does_not_hold(samples, shares, word):
    found = judged(AtMost(0.1), Evidence(samples={"x": samples}, seeds="-", premise=shares))
    assert str(found) == word and word in WORDS
    assert (
        f"the premise is true in {100 * sum(shares) / len(shares):.2g} % of the cases" in found.why
    )
    assert bool(found.counterexample) == (word == FAILS)


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([GOOD, BAD, OPEN, NONE]), min_size=3, max_size=3),
    st.sampled_from([0.1, 0.3]),
)
def test_a_verdict_depends_on_its_evidence_alone_and_plain_data_say_the_same(samples, tolerance):
    names = ("as stated", "first", "second")
    evidence = {
        name: Evidence(samples={"x": x}, seeds="-")
        for name, x in zip(names, samples, strict=True)
        if x
    }
    asked = claim(AtMost(tolerance), names)
    plain = {
        name: json.loads(json.dumps(one.plain(), allow_nan=False)) for name, one in evidence.items()
    }
    other = dataclasses.replace(asked, words="said otherwise", experiment=None, why="not now")
    assert verdict(asked, evidence) == verdict(asked, plain) == verdict(other, evidence)
    found = verdict(asked, evidence)
    assert (found.word in POSITIVE) == any(one.word in POSITIVE for one in found.found)


def test_a_first_condition_that_is_not_as_stated_is_named():
    for samples, word in ((GOOD, "holds"), (BAD, "fails"), (OPEN, "inconclusive")):
        found = verdict(
            claim(AtMost(0.1), ("digits",)), {"digits": Evidence(samples={"x": samples}, seeds="-")}
        )
        assert (
            str(found) == f"not tested as stated; {word} under: digits" and found.stated == UNTESTED
        )


def test_an_error_as_stated_is_raised_and_what_was_measured_elsewhere_still_counts():
    """Who collects evidence may go on without it: it counts as not tested, and the verdict
    names the other condition.
    """

    def breaks(condition, effort):
        if condition == "as stated":
            raise RuntimeError("broken")
        return around(condition, effort)

    asked, before = (
        claim(AtMost(0.1), ("as stated", "first"), experiment=breaks),
        torch.get_num_threads(),
    )
    with pytest.raises(RuntimeError, match="broken"):
        measured(asked, "as stated", TINY)
    assert torch.get_num_threads() == before
    found = verdict(asked, {"first": measured(asked, "first", TINY)})
    assert (
        str(found) == "not tested as stated; holds under: first" and found.found[0].word == UNTESTED
    )


def test_what_cannot_be_measured_says_why():
    silent = claim(AtMost(0.1), experiment=None, why="its appendix is not at hand")
    evidence = measured(silent, "as stated", TINY)
    found = verdict(silent, {"as stated": evidence})
    assert (found.word, found.why) == (UNTESTED, "its appendix is not at hand")


def test_measuring_sets_one_thread_and_gives_the_others_back():
    seen, before = [], torch.get_num_threads()

    def look(condition, effort):
        seen.append(torch.get_num_threads())
        return around(condition, effort)

    torch.set_num_threads(2)
    try:
        measured(claim(AtMost(0.1), experiment=look), "as stated", TINY)
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Evidence(samples={}), "a reason why there are none"),
        (lambda: Evidence(samples={"x": []}), "finite points"),
        (lambda: Evidence(samples={"x": [float("nan")]}), "finite points"),
        (lambda: Evidence(samples={"x": [1.0]}, untested="no"), "a reason why there are none"),
        (lambda: Evidence(samples={"x": [1.0]}, scale=0.0), "scale is 0.0"),
        (lambda: Evidence(samples={"x": [1.0]}, premise=[1.5]), "shares of the cases"),
        (lambda: claim(AtMost(), ("a", "b"), corrections=("a",)), "conditions after its first"),
        (lambda: claim(AtMost(), ("a", "b"), corrections=("c",)), "conditions after its first"),
        (lambda: judged(InMost(), Evidence(samples={"x": [0.0, 0.5]})), "1 for a run that shows"),
        (lambda: claim(AtMost(), ()), "one or more"),
        (lambda: claim(AtMost(), ("a", "a")), "each once"),
        (lambda: claim(AtMost(), experiment=None), "a reason"),
        (lambda: claim(AtMost(), why="but it has one"), "a reason"),
        (
            lambda: verdict(claim(AtMost()), {"as state": Evidence(untested="-")}),
            "Did you mean 'as stated'",
        ),
        (lambda: measured(claim(AtMost()), "never", TINY), "no condition of planted/claim"),
        (lambda: measured(claim(AtMost()), "as stated", "quik"), "Did you mean 'quick'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_blocks_are_means_of_equal_runs_and_keep_short_lists():
    x = torch.arange(10, dtype=torch.float64)
    assert blocks(x, 10) == x.tolist()
    assert blocks(x, 3) == [1.5, 5.5]  # runs of 4; the last 2 have no full run
    assert sum(blocks(x[:8], 2)) / 2 == pytest.approx(float(x[:8].mean()))


# --- planted markets ------------------------------------------------------------------------------


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
    (figure,) = found.found[0].figures
    assert figure.low <= (1 / 3.6 - 0.1) / 3 <= figure.high  # E[v^2] = 1/3


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
    (figure,) = found.found[0].figures
    # E[v^2] = 1/3; what a search finds is at most the best
    assert figure.high > 0.025 / 6 and figure.low <= 0.025 / 3


def taken_at_its_word(bids, asks, *, seen=0.5):
    """The buyer's value is read off its report and half of it is charged: whoever reports less
    pays less.
    """
    check_reports(bids, asks)
    return Settled(bids > 0, torch.where(bids > 0, seen * bids, 0.0))


def test_a_valuation_that_peeks_at_the_report_is_flagged():
    """It sells to any bid, at half of what the bid says the good is worth. A bid next to 0
    saves nearly all of v / 2.
    """
    found = truth(auction(game="second_price", n_buyers=1, mechanism=taken_at_its_word))
    assert found.word == FAILS
    (figure,) = found.found[0].figures
    assert figure.low > 0.2  # of E[v] / 2 = 1/4


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
    names = [figure.name for figure in found.found[0].figures if figure.mean > 0.005]
    assert names == ["gain of buyer_0 against random", "ex-post regret of buyer_0 against random"]


def test_truth_holds_under_a_condition_that_was_listed():
    """First price as stated; second price under the condition: it alone makes truth best."""

    def build(condition, effort):
        return auction("second_price" if condition == "second price" else "first_price")(
            condition, effort
        )

    found = truth(build, conditions=("as stated", "three bidders", "second price"), ex_post=True)
    assert str(found) == "fails as stated; holds under: second price"
    assert [one.word for one in found.found] == [FAILS, FAILS, HOLDS]


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
        return Settled(torch.zeros_like(bids, dtype=torch.bool), torch.zeros_like(bids))

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
    (figure,) = found.found[0].figures
    assert str(found) == INCONCLUSIVE and figure.low < 1 / 12 < figure.high


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
        figure.low <= 1 / 3 <= figure.high for figure in found.found[0].figures
    )
    fair = rationality(**ABOUT, build=auction(), scale=1.0)
    assert str(verdict(fair, {"as stated": measured(fair, "as stated", TINY)})) == "holds"


def test_what_is_chosen_on_some_seeds_is_judged_on_others(monkeypatch):
    """The best of many on the seeds that it was chosen on flatters itself."""
    # the package has a function of this name
    module = importlib.import_module("agents.stress.claims.truthfulness")
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


def test_a_sample_at_the_tolerance_is_not_above_it():
    assert judged(Never(0.1), Evidence(samples={"x": [0.1] * 368}, seeds="-")).word == HOLDS
