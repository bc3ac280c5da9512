"""Wrong strategies of the resource market, and wrong words about its rounds."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of, some

TESTS = "tests/agents/test_scripted_resource_market.py"
TOLD = "tests/agents/test_resource_market_entry.py"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        "agents/scripted/resource_players.py",
        some(
            TESTS,
            "claim_owner_colluder",
            "claim_owner_defector",
            "a_strategy_changes_its_own_role_alone",
        ),
        (
            "nobody punishes a defector",
            "(last > factor**0.5 * equilibrium)",
            "(last > 9 * equilibrium)",
        ),
        (
            "colluders punish one another",
            "(last > factor**0.5 * equilibrium)",
            "(last > 0.9 * factor * equilibrium)",
        ),
        (
            "other roles are no longer truthful",
            "if move.name == self.role else observation",
            "if True else observation",
        ),
    ),
    *of(
        "agents/scripted/resource_leaders.py",
        some(
            TESTS,
            "shade_commits_to_so_many_times_the_best_payment",
            "claim_anticipating_leader",
            "claim_random_leader",
        ),
        ("half the supply is no dearer", "partial(torch.mul, 1 / HALF)", "partial(torch.mul, 1.0)"),
        (
            "who shades commits to more than it has",
            '(factor * truth).minimum(view["money"])',
            "factor * truth",
        ),
        (
            "random payments are from nothing to the best",
            "torch.lerp(truth / 2, truth",
            "torch.lerp(0 * truth, truth",
        ),
    ),
    *of(
        "agents/scripted/resource_owners.py",
        some(
            TESTS,
            "claim_sybil",
            "nobody_answers_colluders_better_than_the_defector",
            "the_best_share_keeps_to_the_cap_and_leaves_out_who_has_no_quality",
            "claim_best_replying_owner",
        ),
        ("two names contribute as one", "=2)[:, :1]", "=1)[:, :1]"),
        ("a reply counts data without their quality", 'x * view["quality"]], 1)', "x], 1)"),
        ("a reply is quality, not data", "part(best, own)", "best"),
        (
            "who replies begins at the equilibrium",
            'first(view["last_share"]), HALF * truth',
            'first(view["last_share"]), truth',
        ),
    ),
    *of(
        "agents/scripted/resource_centres.py",
        some(
            TESTS,
            "claim_centre_defector",
            "claim_price_colluder",
            "claim_price_undercutter",
            "claim_best_replying_centre",
        ),
        (
            "a reply is work, not money",
            'part(view["own_cost"] * best',
            "part(best",
        ),
        (
            "who undercuts is not punished",
            "(others < (1 - UNDERCUT / 10) * together)",
            "(others < 0 * together)",
        ),
        (
            "who has posted nothing is undercut",
            'torch.where(view["last_price"] > 0, view["last_price"], torch.inf)',
            'view["last_price"] + 1e-3',
        ),
    ),
    *of(
        "agents/markets/resource_market.py",
        some(
            TOLD,
            "facts_are_those_of_the_role_that_they_tell_of",
            "facts_tell_lies_names_and_broken_commitments",
            "what_was_said_stands_beside_what_was_true",
        ),
        ("the payment is told of owners", "committed, leader)", "committed, owner)"),
        ("reports are compared with the best", "spread(OWNER, quality)),", "owner),"),
        (
            "honest owners are told as liars",
            "contributed.conduct > 0)",
            "contributed.conduct >= 0)",
        ),
        (
            "what is said is told as true",
            "true[k], reported[k]",
            "reported[k], reported[k]",
        ),
    ),
    *of(
        "agents/markets/resource_market.py",
        some("tests/agents/papers/test_core_money.py", "books_that_add_up_hold"),
        (
            "junk is worth something",
            'types[OWNER]["quality"] * sound',
            'types[OWNER]["quality"] + 0 * sound',
        ),
        (
            "a broken commitment is owed whole",
            "report.of(Paid).kept * report.of(Committed).eta",
            "report.of(Committed).eta",
        ),
        (
            "posted prices do not count",
            "report.of(Posted).price.amin(1, keepdim=True)",
            "config.lam",
        ),
    ),
)
