"""Wrong parts of the resource market: contests, the tripartite game, matching, fees, prices of
computing, quality scales.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

ROOM = "marketenv/mechanisms"
TESTS = "tests/mechanisms"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/contest.py",
        f"{TESTS}/test_contest.py",
        (
            "a tie at the margin takes part",
            "ordered * (place - 1) < before",
            "ordered * (place - 1) <= before",
        ),
        ("everybody is active", "fits = (place < 2) |", "fits = (place >= 0) |"),
        (
            "one contestant is active alone",
            "return active & (first.sum(-1, keepdim=True) >= 2)",
            "return active",
        ),
        (
            "the intensity counts one too many",
            "(active.sum(-1) - 1) / total",
            "active.sum(-1) / total",
        ),
        (
            "costs do not reduce interior efforts",
            "rate * prize[:, None] * (1 - costs * rate)",
            "rate * prize[:, None] * (1 - rate)",
        ),
        ("caps are forgotten", "efforts.clamp(min=0.0).minimum(caps)", "efforts.clamp(min=0.0)"),
        ("efforts may be below 0", "efforts.clamp(min=0.0).minimum(caps)", "efforts.minimum(caps)"),
        (
            "a cap of 0 counts as a rival",
            "costs.isfinite() & (caps > 0)",
            "costs.isfinite() & (caps >= 0)",
        ),
        (
            "the best response forgets the others' effort",
            "(prize[:, None] / costs).sqrt() - others.sqrt()",
            "(prize[:, None] / costs).sqrt()",
        ),
        (
            "the best response passes its cap",
            "response if caps is None else response.minimum(caps)",
            "response",
        ),
        (
            "no effort of others is no trap",
            "torch.where(alone, least, wanted",
            "torch.where(alone, 1e-3, wanted",
        ),
        (
            "nothing is worth an effort without a prize",
            "(others == 0) & (prize[:, None] > 0)",
            "(others == 0)",
        ),
        (
            "payments may sum to more than the prize",
            "return settled(efforts > 0, offers, prize).prices[:, 0]",
            "return offers * (1 + 1e-15)",
        ),
        (
            "shares of nothing are NaN",
            "torch.where(total > 0, efforts / total, 0.0)",
            "efforts / total",
        ),
        (
            "effort costs nothing",
            "proportional_shares(efforts) - spent",
            "proportional_shares(efforts)",
        ),
        (
            "a cost may be 0",
            'refuse("cost", costs, ~(costs > 0)',
            'refuse("cost", costs, ~(costs >= 0)',
        ),
    ),
    *of(
        f"{ROOM}/capped_contest.py",
        f"{TESTS}/test_contest.py {TESTS}/test_stackelberg.py",
        (
            "a cap lets nobody else in",
            "first & (rate > 0) & (capped > 0)",
            "first & (rate < 0) & (capped > 0)",
        ),
        (
            "all who wait enter at once",
            "waiting == waiting.amin(-1, keepdim=True)",
            "waiting == waiting",
        ),
        (
            "who enters counts no cost",
            "rate = cost / self.costs - (inside - 1)",
            "rate = cost / self.costs - inside",
        ),
        (
            "a cap is reached too late",
            "(self.caps + part * capped)",
            "(self.caps + 2 * part * capped)",
        ),
        (
            "the prize of an entry is that of a cap",
            "self.costs.gather(-1, who) * event, at_cap",
            "at_cap, at_cap",
        ),
        (
            "reached caps are forgotten",
            "4 * cost * (capped / positive)",
            "0 * cost * (capped / positive)",
        ),
        (
            "the last event counts before it happens",
            ".sum(-1, keepdim=True) - 1\n",
            ".sum(-1, keepdim=True).clamp(max=self.prize.shape[1] - 1)\n",
        ),
    ),
    *of(
        f"{ROOM}/stackelberg.py",
        f"{TESTS}/test_stackelberg.py {TESTS}/test_stackelberg_attacks.py",
        (
            "the leader pays without a gain",
            "torch.where(rate > 0, worth - 1 / rate, 0.0).clamp(min=0.0)",
            "torch.where(rate > 0, worth - 1 / rate, 0.0)",
        ),
        (
            "the leader stops at the first peak",
            "best, place = gains.max(-1, keepdim=True)",
            "best, place = gains[:, :1].max(-1, keepdim=True)",
        ),
        (
            "the leader takes a segment's end",
            "rising = worth[:, None] / (1 + middle) > paths.slopes(middle)",
            "rising = middle >= 0",
        ),
        (
            "the leader pays nothing for data",
            "alpha * k * total.log1p() - eta",
            "alpha * k * total.log1p()",
        ),
        ("rounding passes a cap", "return x if caps is None else x.minimum(caps)", "return x"),
        (
            "the official solver leaves out who is bad",
            "owners, centres = everybody(game.owner_costs),",
            "owners, centres = active_set(game.owner_costs),",
        ),
        (
            "the official solver ignores caps",
            "if game.caps is not None:",
            "if game.caps is None and False:",
        ),
        (
            "the centres work for the payment",
            "contest(game.unit_cost * x.sum(-1), game.centre_costs))",
            "contest(eta, game.centre_costs))",
        ),
        ("quality 0 costs NaN", "torch.where(q > 0, q / quality, 0.0)", "q / quality"),
    ),
    *of(
        f"{ROOM}/tripartite_game.py",
        f"{TESTS}/test_stackelberg.py {TESTS}/test_stackelberg_attacks.py",
        (
            "one centre is enough",
            "self.sigma.isfinite().sum(-1) >= 2",
            "self.sigma.isfinite().sum(-1) >= 1",
        ),
        (
            "quality costs nothing",
            "return self.unit_cost[:, None] / self.quality",
            "return self.unit_cost[:, None] / self.quality ** 0",
        ),
        (
            "terms of the first market count for all",
            (
                'refuse(name, value, ~(value.isfinite() & (value > 0)), "a finite number > 0")\n   '
                " return value"
            ),
            "return value[:1].expand_as(value)",
        ),
    ),
    *of(
        f"{ROOM}/equilibrium.py",
        f"{TESTS}/test_stackelberg_attacks.py",
        (
            "patience is what the agreement adds",
            "return (defection - agreement) / (",
            "return (agreement - punishment) / (",
        ),
    ),
    *of(
        f"{ROOM}/matching.py",
        f"{TESTS}/test_matching.py",
        (
            "a receiver keeps who asked first",
            "(place == best.gather(-1, target))",
            "(place <= worst)",
        ),
        ("a receiver keeps the worst", 'place, "amin")', 'worst - 1 - place, "amin")'),
        (
            "receivers accept whom they refuse",
            "acceptable & ~torch.isposinf(receivers).mT",
            "acceptable",
        ),
        (
            "proposers ask whom they refuse",
            "~torch.isposinf(proposers)",
            "torch.ones_like(proposers, dtype=torch.bool)",
        ),
        ("everybody asks once", "step = step + free\n", "step = step + others\n"),
        ("scores are ranks", "return _places(-scores)", "return _places(scores)"),
        (
            "equal scores go by the higher number",
            "_places(-scores).double()",
            "_places(-scores.flip(-1)).flip(-1).double()",
        ),
        ("-inf is acceptable", ".masked_fill(scores == -torch.inf, torch.inf)", ""),
        (
            "a pair blocks if one of them wants it",
            "(by_proposers < of_proposers) & (by_receivers < of_receivers)",
            "(by_proposers < of_proposers) | (by_receivers < of_receivers)",
        ),
        (
            "officially all centres like large owners",
            "(1 - sigma)[..., None] * x[:, None]",
            "(1 + sigma)[..., None] * x[:, None]",
        ),
    ),
    *of(
        f"{ROOM}/compute_fees.py",
        f"{TESTS}/test_compute_prices.py",
        (
            "work of all markets is mixed up",
            "d[:, None].expand(-1, owners, -1).reshape(-1, centres)",
            "d.repeat(owners, 1)",
        ),
        (
            "who has no centre pays the last",
            "torch.where(matching[..., None] == centre",
            "torch.where(matching[..., None] % d.shape[1] == centre",
        ),
        (
            "a charge may be negative",
            "~(charges.isfinite() & (charges >= 0))",
            "~charges.isfinite()",
        ),
    ),
    *of(
        f"{ROOM}/compute_prices.py",
        f"{TESTS}/test_compute_prices.py",
        ("a rival's cost does not count", "return monopoly.minimum(second)", "return monopoly"),
        (
            "centres ask for the second cost above the monopoly's price",
            "return monopoly.minimum(second)",
            "return second",
        ),
        (
            "a cartel sells below cost",
            "return cheapest.maximum(",
            "return (",
        ),
        (
            "a cartel asks the reservation price",
            "_alone(cheapest, reservation_price(quality, alpha, k))",
            "reservation_price(quality, alpha, k)",
        ),
        (
            "a tie is served twice",
            "return proportional_shares(lowest.to(prices.dtype))",
            "return lowest.to(prices.dtype)",
        ),
        ("costs are no part of the profit", "(prices - costs) * shares", "prices * shares"),
        (
            "a centre undercuts itself",
            "two.indices[:, :1], two.values[:, 1:]",
            "two.indices[:, :1], two.values[:, :1]",
        ),
        (
            "a centre undercuts below its cost",
            ".minimum((1 - step) * _rival(prices)).maximum(costs)",
            ".minimum((1 - step) * _rival(prices))",
        ),
    ),
    *of(
        f"{ROOM}/quality_scales.py",
        f"{TESTS}/test_quality_scales.py",
        ("equal scores are worst", ("/ width, 1.0\n    )"), "/ width, 0.0)"),
        ("a score passes the ends", ".clamp(0.0, 1.0)", ""),
        ("the lowest quality is 0", "1 - (1 - lowest) * (1 - unit)", "unit"),
        ("a contribution may fall", "return x.maximum(before)", "return x"),
        ("a score may be infinite", "~scores.isfinite()", "scores.isnan()"),
    ),
)
