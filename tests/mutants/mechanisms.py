"""Wrong mechanisms: payment rules, ask rules, priors, equilibria, collaboration graphs and what
sharing costs.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM = "marketenv/mechanisms"
TESTS = "tests/mechanisms"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/asks.py",
        f"{TESTS}/test_ask_rules.py",
        (
            "Myerson's ask is that of a price between",
            "return best_ask(prior, cost, 0.0)",
            "return best_ask(prior, cost, 0.25)",
        ),
        (
            "an ask may lie below the cost",
            "return lo.maximum(c), hi.maximum(c), c",
            "return lo, hi.maximum(c), c",
        ),
        ("the cost is no part of the margin", "> (middle - c) * prior", "> middle * prior"),
    ),
    *of(
        f"{ROOM}/bargaining.py",
        f"{TESTS}/test_nash_bargaining.py",
        ("power is the buyer's", "return power[:, None, :] / (", "return power[:, :, None] / ("),
    ),
    *of(
        f"{ROOM}/double_auction.py",
        f"{TESTS}/test_payment_rules.py",
        (
            "the weight is the ask's",
            "between(bids, asks, weight)",
            "between(bids, asks, 1 - weight)",
        ),
    ),
    *of(
        f"{ROOM}/sales.py",
        f"{TESTS}/test_payment_rules.py",
        (
            "a bid that equals the ask buys nothing",
            "(bids > 0) & (bids >= floor",
            "(bids > 0) & (bids > floor",
        ),
        (
            "who bids nothing gets what is free",
            "(bids > 0) & (bids >= floor",
            "(bids >= 0) & (bids >= floor",
        ),
        ("infinite bids are taken", "~(bids.isfinite() & (bids >= 0))", "~(bids >= 0)"),
    ),
    *of(
        f"{ROOM}/posted_price.py",
        f"{TESTS}/test_payment_rules.py",
        ("the buyer pays its bid", "asks[:, None].expand_as(bids)", "bids"),
    ),
    *of(
        f"{ROOM}/sealed_bid.py",
        f"{TESTS}/test_payment_rules.py",
        (
            "the second price may lie below the floor",
            "torch.maximum(runner_up, floor)",
            "runner_up",
        ),
        ("the reserve is forgotten", "asks.clamp(min=reserve)", "asks.clamp(min=0.0)"),
        (
            "ties go to the higher index",
            "bids.argmax(1, keepdim=True)",
            "(len(bids[0]) - 1 - bids.flip(1).argmax(1, keepdim=True))",
        ),
    ),
    *of(
        f"{ROOM}/equilibrium.py",
        f"{TESTS}/test_equilibrium.py",
        ("a bid may exceed the value", "/ (1 + weight)).minimum(values)", "/ (1 + weight))"),
        ("a bidder shades as among one more", "values * (n - 1) / n", "values * n / (n + 1)"),
        (
            "the lowest ask weighs both ends alike",
            "(1 - weight) * v1 + (1 + weight) * c0",
            "(1 + weight) * v1 + (1 - weight) * c0",
        ),
    ),
    *of(
        f"{ROOM}/priors.py",
        f"{TESTS}/test_priors.py",
        (
            "a density is not normalised",
            "self.density(p.clamp(lo, hi)) / self.mass(lo, hi)",
            "self.density(p.clamp(lo, hi))",
        ),
        (
            "the normal prior is twice as wide",
            "self.lo) / 4 if self.sd is None",
            "self.lo) / 2 if self.sd is None",
        ),
        (
            "the exponential prior falls half as fast",
            "return 2.0 / (float64",
            "return 1.0 / (float64",
        ),
    ),
    *of(
        f"{ROOM}/sharing_terms.py",
        f"{TESTS}/test_collaboration_graph.py",
        (
            "distance weighs by the buyer's size",
            "sizes[:, None, :] / sizes[:, :, None]",
            "sizes[:, :, None] / sizes[:, None, :]",
        ),
        (
            "sellers queue from the lowest threshold",
            "descending=True, stable=True",
            "descending=False, stable=True",
        ),
        (
            "who has left still sells",
            "present[:, :, None] & present[:, None, :]",
            "present[:, :, None]",
        ),
    ),
    *of(
        f"{ROOM}/collaboration_graph.py",
        f"{TESTS}/test_collaboration_graph.py",
        (
            "the queue goes on after a failure",
            "worth_it.cummin(-1).values",
            "worth_it",
            (
                "the total counts all before a place, so after a failure it is above every later"
                " threshold"
            ),
        ),
        ("who is passed by counts as bought", "torch.where(trades[-1], size, 0.0)", "size"),
        (
            "need 0 buys what is free in the exact graph",
            "_members(surplus.argmax(-1), surplus)",
            "_members(surplus.shape[-1] - 1 - surplus.flip(-1).argmax(-1), surplus)",
        ),
        (
            "what is free is bought by who needs nothing",
            "need) > terms.hurdles)",
            "need) >= terms.hurdles)",
        ),
    ),
    *of(
        f"{ROOM}/gain_families.py",
        f"{TESTS}/test_gain_families.py",
        (
            "the logarithm forgets its scale",
            "log1p(added / (self.scale + before))",
            "log1p(added / before)",
        ),
        ("Newton stops after two steps", "NEWTON_STEPS = 5", "NEWTON_STEPS = 2"),
        ("Hill's gain forgets its scale", "start = self.scale + before", "start = before"),
        (
            "what is free has no threshold",
            "return torch.where(free, torch.inf,",
            "return torch.where(free, 0.0,",
        ),
    ),
    *of(
        f"{ROOM}/sharing_payments.py",
        f"{TESTS}/test_sharing_payments.py",
        ("distance makes nothing cheaper", "worth - terms.discounts, 0.0", "worth, 0.0"),
        (
            "Clarke forgets the cost",
            "terms.reported.costs[:, None] + over_subsets",
            "0 * terms.discounts + over_subsets",
        ),
        (
            "the next in the queue lowers the critical value",
            ".maximum(at_place)",
            ".minimum(at_place)",
        ),
        ("a negative price is lost", " + (-self.prices).clamp(min=0.0).mT", ""),
    ),
    *of(
        f"{ROOM}/sharing_utilities.py",
        f"{TESTS}/test_sharing_payments.py",
        ("costs are the buyer's", "types.costs * trades.sum(-2)", "types.costs * trades.sum(-1)"),
        ("what is received does not count", "prices.sum(-1) - prices.sum(-2)", "prices.sum(-1)"),
    ),
    *of(
        f"{ROOM}/sharing_breakpoints.py",
        f"{TESTS}/test_sharing_breakpoints.py",
        (
            "breakpoints forget the discount",
            "(worth - terms.discounts[:, :, seller, None])",
            "worth",
        ),
    ),
    *of(
        f"{ROOM}/procurement.py",
        f"{TESTS}/test_procurement.py",
        ("winners are paid by the budget's share alone", ".fmin(rate * weights)", ""),
        (
            "winners are paid by the next ask alone",
            "(purse / money * share).fmin(rate * weights)",
            "rate * weights",
        ),
        (
            "an ask above the budget ends the queue",
            "(asks <= budget[:, None]), budget",
            "asks.isfinite(), budget",
        ),
        (
            "a worthless seller is bought if it is free",
            "(values > 0) & (asks",
            "(values >= 0) & (asks",
        ),
        (
            "an ask of just its share is not bought",
            "wanted * total <= purse",
            "wanted * total < purse",
        ),
        (
            "sellers come by their asks alone",
            "torch.where(wanted > 0, wanted / weights, 0.0)",
            "torch.where(wanted > 0, wanted, 0.0)",
        ),
        (
            "the queue goes on after a failure",
            ".cummin(-1).values",
            " & True",
            (
                "rates grow and shares fall along the queue, so that only rounding could buy a"
                " later one"
            ),
        ),
        (
            "the last that is bought sets the price",
            "first.sum(-1, keepdim=True))",
            "first.sum(-1, keepdim=True) - 1)",
        ),
        (
            "prices may sum to more than the budget",
            "torch.where(total > purse, paid *",
            "torch.where(total < 0, paid *",
        ),
        ("an ask may be NaN", '"ask", asks, ~(asks >= 0)', '"ask", asks, asks < 0'),
        ("a budget may be infinite", "(budget >= 0) & (budget <= LARGEST)", "budget >= 0"),
        ("rounding is taken from the seller", "prices.maximum(asks), budget", "prices, budget"),
    ),
    *of(
        f"{ROOM}/data_payments.py",
        f"{TESTS}/test_data_payments.py",
        (
            "who declines takes its offer along",
            "torch.where(accepted, offers, 0.0).cumsum",
            "offers.cumsum",
        ),
        (
            "the queue passes by an offer that is too much",
            "accepted & (spent <=",
            "accepted & (offers <=",
        ),
        (
            "a seller is paid its ask",
            "(spent <= budget[:, None]), offers, budget)",
            "(spent <= budget[:, None]), asks, budget)",
        ),
        (
            "the price per point is forgotten",
            'fix=": money per point") * values',
            'fix=": money per point") * 0 + values',
        ),
        (
            "who is offered more than the budget ends the queue",
            " & (offers <= budget[:, None])",
            "",
        ),
        (
            "a negative value takes from the others",
            "values.clamp(min=0.0)",
            "values.clamp(min=-torch.inf)",
        ),
        ("a shadow price is scaled up", "offers = values.minimum(shares)", "offers = shares"),
        ("what a rule edits changes the asks", "part not in DATA_RULES.values()", "False"),
        ("a price may lie below the ask", "(prices >= asks * (1 - rounding))", "(prices >= 0)"),
        (
            "a price may stand where nothing is bought",
            "~enough, prices != 0)",
            "~enough, prices != prices)",
        ),
        (
            "a rule may spend more than the budget",
            "over = total > budget * (1 + rounding)",
            "over = total > 2 * budget",
        ),
        ("float32 must be as exact as float64", "max(ROUNDING, 2 *", "min(ROUNDING, 2 *"),
        (
            "who asks for more than its share leaves it to the others",
            "_shares(values, budget)\n    return",
            "_shares(values * (asks < 2), budget)\n    return",
        ),
    ),
    *of(
        f"{ROOM}/hold_back.py",
        f"{TESTS}/test_hold_back.py",
        (
            "what waits is not rounded to digits",
            "(prices * share[..., None] / digit).floor() * digit",
            "prices * share[..., None]",
        ),
        (
            "what is released is not rounded to digits",
            "(waiting * part / digit).floor() * digit",
            "waiting * part",
        ),
        (
            "no promise releases nothing",
            '"markets, buyers, sellers"), 1.0)',
            '"markets, buyers, sellers"), 0.0)',
        ),
        ("a loss takes from what was paid at once", ".clamp(0.0, 1.0)", ".clamp(-1.0, 1.0)"),
        ("more than the promise releases more", ".clamp(0.0, 1.0)", ".clamp(min=0.0)"),
        ("the tolerance is forgotten", "(1 - tolerance) * promised", "promised"),
        ("a release of one's own edits the gains", "rule not in RELEASES.values()", "False"),
        ("a share may be above 1", "~((share >= 0) & (share <= 1))", "~(share >= 0)"),
        ("a part may be NaN", "~((part >= 0) & (part <= 1))", "(part < 0) | (part > 1)"),
    ),
)
