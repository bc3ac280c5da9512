"""Wrong judges: searches for deviations, meta-games, rankings, and the experiments and verdicts
of claims.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of, some

ROOM, CLAIMS, TESTS = "agents/stress", "agents/papers", "tests/agents"
CORE = f"{CLAIMS}/core"
TRADING = f"{CLAIMS}/train_n_trade"


MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/best_response.py",
        some(
            f"{TESTS}/test_stress_oracles.py",
            "choosing_and_judging_on_the_same_seeds_flatters",
            "the_best_attacker_is_the_one_that_the_choosing_seeds_chose",
        ),
        (
            "a deviation is judged where it was chosen",
            "seeds_of(JUDGE, budget.judge, repeat)",
            "seeds_of(SELECT, budget.judge, repeat)",
        ),
        (
            "the best of many is chosen by its judges",
            "max(deviations, key=lambda one: one.selected)",
            "max(deviations, key=lambda one: float(one.gains.mean()))",
        ),
    ),
    *of(
        f"{ROOM}/exact.py",
        some(
            f"{TESTS}/test_stress_oracles.py",
            "hindsight_about_one_report_leaves_the_others_as_they_were",
        ),
        (
            "hindsight changes all fields",
            "_moved(move.action, fields)",
            "_moved(move.action, None)",
        ),
    ),
    *of(
        f"{ROOM}/exact.py",
        f"{TESTS}/test_stress_stages.py",
        (
            "who moves later is believed to stay as it was",
            "and move.stage == market.stages[-1].name",
            "and move.stage",
        ),
    ),
    *of(
        f"{ROOM}/exact.py",
        f"{TESTS}/test_stress_hindsight.py",
        (
            "options are not combined in hindsight",
            ", *_options(own, move.action, fields)]",
            "]",
        ),
        ("hindsight forgets the truth", "honest[:, None],", ""),
        (
            "breakpoints outside the box are believed",
            "return box.check(",
            "return (lambda named, said: named)(",
        ),
    ),
    *of(
        f"{ROOM}/search.py",
        some(
            f"{TESTS}/test_stress_oracles.py",
            "the_best_point_of_a_search_is_one_that_was_tried",
            "first_price_best_answer_to_truth_is_the_closed_form",
            "double_auction_shading_gains_a_third",
        ),
        ("the best point ever seen is forgotten", "return best, centre", "return centre, centre"),
    ),
    *of(
        f"{ROOM}/leaderboard.py",
        some(
            f"{TESTS}/test_stress_scenarios.py",
            "standings_by_hand",
            "a_policy_may_play_some_scenarios_only",
        ),
        (
            "few scenarios make no difference",
            "(-one[1], -one[2].mean, one[0])",
            "(-one[2].mean, one[0])",
        ),
    ),
    *of(
        f"{ROOM}/scenarios.py",
        some(
            f"{TESTS}/test_stress_scenarios.py",
            "first_price_shaders_by_hand",
            "a_seller_among_shaders_by_hand",
            "intervals_are_paired",
        ),
        (
            "every policy has its own scale",
            "Focal(one.returns, truth.returns, scale)",
            "Focal(one.returns, truth.returns, float(one.returns.abs().mean()))",
        ),
    ),
    *of(
        f"{ROOM}/scenarios.py",
        some("tests/agents/test_board.py", "welfare_counts_what_the_house_takes"),
        (
            "the house's money is no welfare",
            "(results.utility + results.paid - results.received).sum(2)",
            "results.utility.sum(2)",
        ),
    ),
    *of(
        "agents/board/results.py",
        some(
            "tests/agents/test_board.py",
            "the_best_is_chosen_in_some_episodes_and_regrets_are_taken_in_others",
            "a_best_that_was_lucky_in_the_even_episodes_has_a_regret_below_0_for_others",
            "standings_put_those_who_played_most_first",
            "efficiency_is_a_part_of_the_welfare_of_truth_where_that_is_above_0",
        ),
        (
            "a regret is taken where the best was chosen",
            '(best - one["returns"])[1::2]',
            '(best - one["returns"])[::2]',
        ),
        (
            "one good game makes a champion",
            'key=lambda row: (-row["cells"], -row["gain"][0])',
            'key=lambda row: -row["gain"][0]',
        ),
        (
            "efficiency is not a ratio",
            'efficiency(one["welfare"], one["everyone"])',
            'efficiency(one["welfare"], one["welfare"])',
        ),
    ),
    *of(
        f"{ROOM}/estimation.py",
        some(
            f"{TESTS}/test_stress_meta_game.py",
            "a_strategy_gets_the_mean_of_all_seats",
            "volunteers_dilemma_of_three",
            "first_price_equilibrium_survives",
            "reduced_regrets_are_those_of_the_whole_tensor",
        ),
        (
            "seats are not drawn",
            (
                'start + draws.permutation(draws.fold(seeds, "meta-game seats", role.name),'
                " role.count)"
            ),
            "start + torch.arange(role.count).expand(len(seeds), -1)",
        ),
    ),
    *of(
        f"{ROOM}/meta_game.py",
        some(
            f"{TESTS}/test_stress_meta_game.py",
            "a_strategy_gets_the_mean_of_all_seats",
            "volunteers_dilemma_of_three",
            "first_price_equilibrium_survives",
            "reduced_regrets_are_those_of_the_whole_tensor",
        ),
        (
            "profiles count once, however many ways lead there",
            "(log.exp().round()[:, None] * counts / torch.cat(sizes, 1)).round().T",
            "(counts > 0).double().T",
        ),
    ),
    *of(
        f"{ROOM}/psro.py",
        some(
            f"{TESTS}/test_stress_psro.py",
            "no_eps_is_small_enough_for_noise",
            "too_few_seeds_never_converge",
            "first_price_auction_goes_to_its_equilibrium",
        ),
        (
            "means close the loop without their interval",
            "gain.high is not None and gain.high < eps",
            "gain.high is not None and gain.mean < eps",
        ),
    ),
    *of(
        f"{ROOM}/deviation.py",
        f"{TESTS}/test_stress_deviation.py",
        (
            "runs of several rows are mixed",
            (
                "repeat_interleave(\n"
                "            len(observation) // len(self.parameters), 0\n"
                "        )"
            ),
            "repeat(len(observation) // len(self.parameters), 1)",
        ),
        (
            "what stays as it is is rounded",
            ("torch.where(\n                new == before[name], actions"),
            "torch.where(new != new, actions",
        ),
        (
            "points stay that hardly differ from the truth",
            "0.25 * (high - low)",
            "1e-9 * (high - low)",
        ),
        (
            "factors are spaced evenly",
            "low, high, same = low.log10(), high.log10(), same.log10()",
            "pass",
        ),
    ),
    *of(
        f"{ROOM}/deviation.py",
        f"{TESTS}/test_stress_stages.py",
        (
            "a policy is one's own in every stage",
            "if self.stage not in (None, move.stage)",
            "if self.stage == move.name",
        ),
    ),
    *of(
        f"{ROOM}/attack.py",
        f"{TESTS}/test_stress_stages.py",
        (
            "words never name the stage",
            "return len(self.market.moves_of(role_of(self.market, agent).name)) > 1",
            "return False",
        ),
    ),
    *of(
        f"{ROOM}/kinds.py",
        f"{TESTS}/test_stress_deviation.py",
        (
            "a line goes on where all is clipped",
            "high=(min(family.high[0], most),)",
            "high=(family.high[0],)",
        ),
        (
            "the same is scaled and shifted",
            "one.low < one.high and not _by_scaling(one, every, usual)",
            "one.low < one.high",
        ),
        ("a line may hold nothing but truth", "if one.low < one.high and not", "if not"),
        (
            "multiples are bent as they are",
            "clamp(min=TINY).log10() if _by_powers(field) else reports",
            "clamp(min=TINY)",
        ),
    ),
    *of(
        "agents/lineups.py",
        f"{TESTS}/test_lineups.py",
        (
            "markets that are over go on earning",
            "amounts[:, over] = 0.0",
            "amounts[:, over] *= 1.0",
        ),
    ),
    *of(
        f"{CORE}/rules.py",
        f"{TESTS}/papers/test_core_rules.py",
        ("intervals hold one by one", "len(evidence.samples) * conditions", "1 + 0 * conditions"),
        ("a sample at the tolerance refutes", "statistic.most > eps", "statistic.most >= eps"),
        (
            "no effect is one",
            "True if statistic.low > eps else False if statistic.high <= eps",
            "True if statistic.low >= eps else False if statistic.high < eps",
        ),
    ),
    *of(
        f"{CLAIMS}/ipfl/attackers.py",
        some(
            f"{TESTS}/papers/test_ipfl_attackers.py",
            "an_attacker_is_watched_after_the_first_round_only",
            "a_rider_is_held_to_nine_tenths",
            "an_attacker_claims_more_data_than_it_has",
        ),
        ("isolation counts the first, honest round", "_, *later = shared(", "later = shared("),
        ("a rider is held to eight tenths", "rider - 0.9 * honest", "rider - 0.8 * honest"),
        (
            "an attacker claims its own size only",
            "dataclasses.replace(policy, size=size)",
            "policy",
        ),
    ),
    *of(
        f"{CLAIMS}/ipfl/schemes.py",
        some(
            f"{TESTS}/papers/test_ipfl_attackers.py",
            "training_alone_is_beaten_by_what_is_better_and_by_nothing_else",
        ),
        (
            "accuracy is compared with the wrong side",
            'accuracy["ipfl"] - accuracy["local"]',
            'accuracy["local"] - accuracy["ipfl"]',
        ),
    ),
    *of(
        f"{CLAIMS}/ipfl/false_names.py",
        some(
            f"{TESTS}/papers/test_ipfl_false_names.py",
            "two_names_own_what_the_one_owned",
            "both_names_money_and_costs_count",
            "every_sale_of_either_name_costs",
            "a_model_that_both_names_buy_is_worth_one_copy",
            "false_names_that_pay_are_found",
        ),
        (
            "a model that both names buy is worth two copies",
            "outcome.allocation[:, own].any(1)",
            "outcome.allocation[:, own].sum(1)",
        ),
        (
            "the second name pays nothing",
            "- outcome.prices[:, own].sum((1, 2))",
            "- outcome.prices[:, 0].sum(1)",
        ),
        (
            "the second name sells for nothing",
            "outcome.prices[:, :, own].sum((1, 2)) -",
            "outcome.prices[:, :, 0].sum(1) -",
        ),
        (
            "sales of the second name cost nothing",
            "outcome.allocation[:, :, own].sum((1, 2))",
            "outcome.allocation[:, :, 0].sum(1)",
        ),
        (
            "two names deal with each other",
            "away[:, [0, SIX], [SIX, 0]] = torch.inf",
            "away = away + 0",
        ),
    ),
    *of(
        f"{TRADING}/theorem_41.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_theorems.py",
            "gains_on_either_side_of_their_bounds_are_told",
            "both_halves_of_theorem_4_1_are_told_apart",
            "the_theorems_arithmetic_by_hand",
            "quick_verdicts_are_those_that_theory_knows",
        ),
        ("no gain lies below the lower bound", 'low / facts["gain"]', '0 * low / facts["gain"]'),
        (
            "no gain lies above the upper bound",
            'parts = facts["gain"] / high',
            'parts = 0 * facts["gain"] / high',
        ),
        (
            "the best weight is the other's",
            "((errors.a - errors.ab) /",
            "((errors.b - errors.ab) /",
        ),
    ),
    *of(
        f"{TRADING}/asks.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_theorems.py",
            "myersons_ask_in_the_middle_loses_what_the_closed_form_says",
            "quick_verdicts_are_those_that_theory_knows",
        ),
        (
            "the middle earns as much again",
            "(0.0 if takes_it else 0.5) * between",
            "(0.0 if takes_it else 1.0) * between",
        ),
    ),
    *of(
        f"{TRADING}/theorem_51.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_theorems.py",
            "theorem_5_1_counts_only_what_its_first_part_is_about",
            "theorem_5_1_counts_steps_below_one_over_l_and_rounds_that_gain",
            "quick_verdicts_are_those_that_theory_knows",
        ),
        (
            "a step of any length counts",
            'RATE * one["smoothness"] < 1',
            'RATE * one["smoothness"] < 1e9',
        ),
        (
            "a promise counts after a round without a gain",
            "known = promised <= np.minimum.accumulate(good, -1).sum(-1)[:, None]",
            "known = promised <= n_rounds",
        ),
        (
            "rounds without a gain are those that lose",
            "without = gain <= 0",
            "without = gain < -1e9",
        ),
    ),
    *of(
        f"{TRADING}/descent.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_theorems.py",
            "the_theorems_arithmetic_by_hand",
            "quick_verdicts_are_those_that_theory_knows",
        ),
        (
            "twice the gain is once",
            "rate * goals[..., None] + 2 * delta",
            "rate * goals[..., None] + delta",
        ),
    ),
    *of(
        f"{TRADING}/related_tasks.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_linear.py",
            "figure_4_falls_where_the_nearer_task_brings_more",
        ),
        ("the order of figure 4 is reversed", "-saved.diff(dim=0)", "saved.diff(dim=0)"),
    ),
    *of(
        f"{TRADING}/linear_experiments.py",
        some(f"{TESTS}/papers/test_train_n_trade_linear.py", "falls_have_their_sign"),
        ("a fall is told as a rise", "1 - inside / outside", "1 - outside / inside"),
        ("figure 3 has one side only", "(-off).tolist()", "off.tolist()"),
    ),
    *of(
        f"{TRADING}/accuracy.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_tables.py", "differences_of_methods_have_their_sign"
        ),
        (
            "methods are compared the other way round",
            "ends[more].accuracy - ends[less].accuracy",
            "ends[less].accuracy - ends[more].accuracy",
        ),
    ),
    *of(
        f"{TRADING}/methods.py",
        some(
            f"{TESTS}/papers/test_train_n_trade_tables.py",
            "agents_join_the_market_after_a_twelfth_of_the_rounds",
        ),
        (
            "agents trade from the first round on",
            "(join - 0.5) / market.horizon",
            "(0 * join - 0.5) / market.horizon",
        ),
        ("averaging begins at once", "(inputs.round < join)", "(inputs.round < 0)"),
    ),
    *of(
        f"{CORE}/truthfulness.py",
        some(
            f"{TESTS}/papers/test_core_truthfulness.py",
            "what_is_chosen_on_some_seeds_is_judged_on_others",
            "hindsight_is_no_proof_where_a_market_goes_on",
        ),
        (
            "a deviation is judged where it was chosen",
            "judged = Attack(market, profile, agents, seeds_of(JUDGE,",
            "judged = Attack(market, profile, agents, seeds_of(SELECT,",
        ),
        (
            "hindsight proves rounds to come",
            "hindsight.exact and market.horizon == 1",
            "hindsight.exact",
        ),
    ),
    *of(
        f"{CORE}/rationality.py",
        some(
            f"{TESTS}/papers/test_core_truthfulness.py",
            "who_takes_part_meets_others_that_lie",
        ),
        (
            "others never lie",
            "rest = self.play if self.others is None else self.others",
            "rest = self.play",
        ),
    ),
    *of(
        f"{CORE}/lines.py",
        some(
            f"{TESTS}/papers/test_core_truthfulness.py",
            "what_changes_nothing_is_not_judged",
        ),
        ("what changes nothing is judged", "identity[0]).abs() > SAME", "identity[0]).abs() > -1"),
    ),
)
