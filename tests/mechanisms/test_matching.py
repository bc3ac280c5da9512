"""Deferred acceptance: textbook rows, every stable matching by brute force, and who can gain by
a false list.
"""

import itertools
import math

import pytest
import torch
from data_cases import money
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.mechanisms import PREFERENCES, blocking_pairs, deferred_acceptance, preference_ranks

INF = math.inf
CYCLE = (
    torch.tensor([[[0, 1, 2], [2, 0, 1], [1, 2, 0]]]),
    torch.tensor([[[2, 0, 1], [1, 2, 0], [0, 1, 2]]]),
)

WORKED = {  # name: (ranks of proposers, ranks of receivers, matching, where it comes from)
    "everybody's first": (
        *(x[0].tolist() for x in CYCLE),
        [0, 1, 2],
        "Gale and Shapley 1962, example 1: each gets its first",
    ),
    "receivers propose": (
        *(x[0].tolist() for x in CYCLE[::-1]),
        [1, 2, 0],
        "the same example: receivers get their firsts",
    ),
    "one list for all": (
        [[0, 1], [0, 1]],
        [[1, 0], [1, 0]],
        [1, 0],
        "receiver 0 prefers proposer 1, who is its first too",
    ),
    "more proposers": (
        [[0], [0], [0]],
        [[2, 0, 1]],
        [-1, 0, -1],
        "the one receiver keeps the best of three",
    ),
    "more receivers": ([[2, 0, 1]], [[0], [0], [0]], [1], "the one proposer gets its first"),
    "an unacceptable receiver": (
        [[INF, 0], [INF, 1]],
        [[0, 1], [1, 0]],
        [-1, 1],
        "both want 1 alone, and 1 prefers proposer 1",
    ),
    "an unacceptable proposer": (
        [[0, 1], [0, 1]],
        [[INF, 0], [1, 0]],
        [1, 0],
        "0 is refused by its first, and takes its second",
    ),
    "the best rank of all": (
        [[-INF, 1], [0, 1]],
        [[-INF, 1], [0, 1]],
        [0, 1],
        "0 and 0 are each other's first",
    ),
    "ties go to the lower number": (
        [[0, 0], [0, 0]],
        [[5, 5], [5, 5]],
        [0, 1],
        "0 before 1 on every list",
    ),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name):
    proposers, receivers, matching, reason = WORKED[name]
    assert (
        deferred_acceptance(torch.tensor([proposers]), torch.tensor([receivers]))[0].tolist()
        == matching
    ), reason


# --- by brute force -------------------------------------------------------------------------------


def random_ranks(seed, markets, proposers, receivers, refusals=0.15):
    """Strict lists in random order, some of whose entries are unacceptable."""
    scores = [
        draws.uniform(draws.fold(torch.tensor(seed), k), markets, proposers, receivers)
        for k in range(4)
    ]
    scores = [torch.where(scores[k + 2] < refusals, -INF, scores[k]) for k in range(2)]
    return preference_ranks(scores[0]), preference_ranks(scores[1].mT.contiguous())


def all_matchings(proposers, receivers):
    choices = itertools.product(range(-1, receivers), repeat=proposers)
    return [c for c in choices if len({r for r in c if r >= 0}) == sum(r >= 0 for r in c)]


def stable(matching, wanted, liked):
    """Whether nobody has an unacceptable partner and no pair would rather have each other: one
    market, lists of lists.
    """
    holder = {r: p for p, r in enumerate(matching) if r >= 0}
    mine = [wanted[p][r] if r >= 0 else INF for p, r in enumerate(matching)]
    theirs = [liked[r][holder[r]] if r in holder else INF for r in range(len(liked))]
    if any(r >= 0 and INF in (mine[p], theirs[r]) for p, r in enumerate(matching)):
        return False
    pairs = itertools.product(range(len(wanted)), range(len(liked)))
    return not any(wanted[p][r] < mine[p] and liked[r][p] < theirs[r] for p, r in pairs)


@pytest.mark.parametrize(("proposers", "receivers"), [(3, 3), (4, 2), (2, 4)])
def test_it_is_the_stable_matching_that_every_proposer_likes_best(proposers, receivers):
    wanted, liked = random_ranks(proposers, 80, proposers, receivers)
    found, several = deferred_acceptance(wanted, liked), 0
    assert not blocking_pairs(found, wanted, liked).any()
    for m in range(80):
        lists = wanted[m].tolist(), liked[m].tolist()
        options = [c for c in all_matchings(proposers, receivers) if stable(c, *lists)]
        best = [
            min((lists[0][p][c[p]] if c[p] >= 0 else INF) for c in options)
            for p in range(proposers)
        ]
        mine = [lists[0][p][r] if r >= 0 else INF for p, r in enumerate(found[m].tolist())]
        assert tuple(found[m].tolist()) in options and mine == best
        several += len(options) > 1
        # the tensors' test of stability is the definition
        for matching in all_matchings(proposers, receivers)[::7]:
            blocked = bool(
                blocking_pairs(torch.tensor([matching]), wanted[m : m + 1], liked[m : m + 1]).any()
            )
            partners = all(
                r < 0 or (lists[0][p][r] < INF and lists[1][r][p] < INF)
                for p, r in enumerate(matching)
            )
            assert stable(matching, *lists) == (partners and not blocked)
    # where one matching alone is stable, the best of them is no test
    assert several >= 5 or proposers != receivers


def gains_by_lists(proposing):
    """In how many of 300 markets of three and three somebody of a side gets a better partner by
    a false list.
    """
    wanted, liked = random_ranks(11, 300, 3, 3, refusals=0.0)
    truth = deferred_acceptance(wanted, liked)
    gained = torch.zeros(300, dtype=torch.bool)
    for agent, order in itertools.product(range(3), itertools.permutations(range(3))):
        for cut in (0, 1):  # the whole list, or its last entry called unacceptable
            told = (wanted if proposing else liked).clone()
            told[:, agent] = torch.tensor(
                [INF if cut and place == 2 else place for place in order]
            ).double()
            found = (
                deferred_acceptance(told, liked) if proposing else deferred_acceptance(wanted, told)
            )
            gained |= partner(found, wanted, liked, agent, proposing) < partner(
                truth, wanted, liked, agent, proposing
            )
    return int(gained.sum())


def partner(matching, wanted, liked, agent, proposing):
    """True rank of an agent's partner, inf for none: [markets]."""
    pair = matching[..., None] == torch.arange(3)
    ranks = (
        torch.where(pair, wanted, INF)[:, agent]
        if proposing
        else torch.where(pair.mT, liked, INF)[:, agent]
    )
    return ranks.amin(-1)


def test_proposers_never_gain_by_a_false_list_and_receivers_may():
    assert gains_by_lists(proposing=True) == 0 and gains_by_lists(proposing=False) > 20


# --- properties -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=st.integers(0, 2**40), proposers=st.integers(0, 7), receivers=st.integers(0, 7))
def test_nobody_blocks_and_nobody_is_matched_twice(seed, proposers, receivers):
    wanted, liked = random_ranks(seed, 12, proposers, receivers)
    found = deferred_acceptance(wanted, liked)
    assert not blocking_pairs(found, wanted, liked).any()
    for m in range(12):
        partners = [r for r in found[m].tolist() if r >= 0]
        assert len(set(partners)) == len(partners)
        # alone as in the batch
        assert torch.equal(deferred_acceptance(wanted[m : m + 1], liked[m : m + 1])[0], found[m])


@settings(max_examples=30)
@given(seed=st.integers(0, 2**40))
def test_only_the_order_of_ranks_counts_and_ties_leave_it_stable(seed):
    key = torch.tensor(seed)
    # ties on every list
    coarse = [draws.integers(draws.fold(key, k), 3, 8, 5, 5) for k in range(2)]
    found = deferred_acceptance(*coarse)
    assert not blocking_pairs(found, *coarse).any()
    assert torch.equal(found, deferred_acceptance(*(x.exp() for x in coarse)))
    assert torch.equal(found, deferred_acceptance(*(preference_ranks(-x.double()) for x in coarse)))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**40), proposers=st.integers(1, 6), receivers=st.integers(1, 6))
def test_where_all_agree_the_steps_would_give_the_same_matching(seed, proposers, receivers):
    # two markets in which all agree, some ranks equal, alone and beside a third one in which two
    # proposers differ, so that all three are matched step by step
    keys = torch.tensor([seed, seed + 1])
    of_receivers = draws.integers(draws.fold(keys, "receivers"), 4, receivers).double()
    of_proposers = draws.integers(draws.fold(keys, "proposers"), 4, proposers).double()
    ranks = (
        of_receivers[:, None].expand(-1, proposers, -1),
        of_proposers[:, None].expand(-1, receivers, -1),
    )
    third = [torch.zeros_like(side[:1]) for side in ranks]
    third[0][0, 0] = INF
    together = deferred_acceptance(*(torch.cat(pair) for pair in zip(ranks, third, strict=True)))
    assert torch.equal(deferred_acceptance(*ranks), together[:2])


def test_two_hundred_by_two_hundred():
    wanted, liked = random_ranks(1, 2, 200, 200, refusals=0.0)
    found = deferred_acceptance(wanted, liked)
    assert (found >= 0).all() and not blocking_pairs(found, wanted, liked).any()


# --- preferences, and refusals --------------------------------------------------------------------

X, D, SIGMA = money([[0.2, 0.5, 0.1]]), money([[3.0, 7.0]]), money([[0.5, 2.0]])
PREFERRED = {  # name: (what every owner ranks, what the centres rank, where it comes from)
    "volume": ([1, 0], [[1, 0, 2], [1, 0, 2]], "d = 7 before 3; x = .5, .2, .1"),
    "official": (
        [1, 0],
        [[1, 0, 2], [1, 2, 0]],
        "sigma = 2 before .5; .5 x is largest at .5, and - x at .1",
    ),
}


def test_every_preference_has_a_worked_row():
    assert PREFERRED.keys() == PREFERENCES.keys()


@pytest.mark.parametrize("name", PREFERRED)
def test_preferences(name):
    wanted, liked, reason = PREFERRED[name]
    found = PREFERENCES[name](X, D, SIGMA)
    assert found[0].tolist() == [[wanted] * 3], reason
    assert found[1].tolist() == [liked], reason
    assert not blocking_pairs(deferred_acceptance(*found), *found).any()


# name: (x of three owners, d of three centres, sigma, matching by volume, where it comes from)
TIES = {
    "equal work": (
        [0.1, 0.3, 0.2],
        [1, 1, 1],
        [1, 1, 1],
        [2, 0, 1],
        "all want 0, 1, 2 in this order; centres take the largest",
    ),
    "equal contributions": (
        [0.2, 0.2, 0.2],
        [1, 3, 2],
        [1, 1, 1],
        [1, 2, 0],
        "all want 1, 2, 0; centres take the lower number",
    ),
    "two are idle": (
        [0.0, 0.3, 0.0],
        [2, 1, 0],
        [1, 1, 1],
        [1, 0, 2],
        "owner 1 gets the best; of the idle ones the lower number",
    ),
    "no contributions": (
        [0.0, 0.0, 0.0],
        [0, 0, 0],
        [1, 1, 1],
        [0, 1, 2],
        "by number on both sides",
    ),
}


@pytest.mark.parametrize("name", TIES)
def test_ties_of_preferences_go_by_number_and_block_nothing(name):
    x, d, sigma, matching, reason = TIES[name]
    terms = money([x]), money([d]), money([sigma])
    ranks = PREFERENCES["volume"](*terms)
    assert deferred_acceptance(*ranks)[0].tolist() == matching, reason
    for preferences in PREFERENCES.values():
        ranks = preferences(*terms)
        assert not blocking_pairs(deferred_acceptance(*ranks), *ranks).any()
    # ties left open: no pair is blocked either
    scores = terms[1][:, None].expand(-1, 3, -1), terms[0][:, None].expand(-1, 3, -1)
    assert not blocking_pairs(
        deferred_acceptance(*(-score for score in scores)), *(-score for score in scores)
    ).any()


def test_officially_a_centre_of_sigma_one_likes_all_alike():
    assert PREFERENCES["official"](X, D, torch.ones_like(SIGMA))[1].tolist() == [[[0, 1, 2]] * 2]


NAN = torch.full((1, 2, 2), math.nan)
BAD = {
    "proposers \\[1, 2, 2\\] and receivers \\[1, 2, 3\\] do not fit": (
        torch.zeros(1, 2, 2),
        torch.zeros(1, 2, 3),
    ),
    "proposers \\[2, 2\\] and": (torch.zeros(2, 2), torch.zeros(2, 2)),
    "proposers' rank nan at index \\[0, 0, 0\\]; wanted a number": (NAN, torch.zeros(1, 2, 2)),
    "receivers' rank nan": (torch.zeros(1, 2, 2), NAN),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", BAD)
def test_ranks_that_are_none_are_refused(message):
    with pytest.raises(ValueError, match=message):
        deferred_acceptance(*BAD[message])


def test_scores_become_places_of_a_list():
    scores = torch.tensor([[[2.0, 5.0, 2.0, -INF], [INF, 0.0, -1.0, -2.0]]])
    assert preference_ranks(scores).tolist() == [[[1, 0, 2, INF], [0, 1, 2, 3]]]


def test_scores_that_are_none_are_refused():
    with pytest.raises(
        ValueError, match=r"score nan at index \[0, 0, 0\]; wanted a number, the higher the better"
    ):
        preference_ranks(NAN)
