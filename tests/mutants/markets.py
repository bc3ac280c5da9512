"""Wrong markets: what is traded, what is told, what is paid, and by which examples models are
judged.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of, some

ROOM, TESTS = "marketenv/markets", "tests/markets"
SHARING = f"{ROOM}/model_sharing"


MUTANTS: tuple[Mutant, ...] = (
    *of(
        "marketenv/markets/model_sharing/own_parts.py",
        "tests/markets/test_market_arguments.py",
        (
            "a gain's two halves may disagree",
            "wrong = (worth > 0) & ~((near >=",
            "wrong = (worth > 1e300) & ~((near >=",
        ),
    ),
    *of(
        "marketenv/markets/arguments.py",
        "tests/markets/test_market_arguments.py",
        (
            "a ready-made learner swallows settings",
            "not isinstance(learner, str) and (learner_options",
            "False and (learner_options",
        ),
        ("an option that must be given may lack", "if name not in chosen and", "if False and"),
        (
            "data options name the market's arguments",
            "        if key in data:",
            "        if False:",
        ),
    ),
    *of(
        f"{ROOM}/reference.py",
        some(
            f"{TESTS}/test_reference.py",
            "a_double_auction_by_hand",
            "the_price_of_the_last_sale_stays_known",
            "types_are_private_and_fresh_every_round",
            "books_balance_and_truth_never_loses",
        ),
        (
            "a round without a sale forgets the last price",
            "torch.where(sold[:, 0] > 0, trade.prices.amax((1, 2)), own)",
            "trade.prices.amax((1, 2))",
        ),
        (
            "types are the same in every round",
            '*self.purpose("type"), floor.round)',
            '*self.purpose("type"))',
        ),
        ("sellers sell at no cost", "-sold * quotes", "0 * sold * quotes"),
    ),
    *of(
        f"{ROOM}/reference.py",
        some(
            f"{TESTS}/test_reference.py",
            "breakpoints_are_the_others_offers_what_lies_beside_them_and_the_ends",
        ),
        (
            "hindsight does not overbid a tie",
            "near = (met, just_above(met), -just_above(-met))",
            "near = (met,)",
        ),
        (
            "a bidder does not know the reserve",
            'others["seller"] = price.write(quotes[:, -1:])',
            'others["seller"] = others[role][:, :0]',
        ),
    ),
    *of(
        f"{SHARING}/share.py",
        some(
            f"{TESTS}/test_sharing_share.py",
            "every_client_is_shown_what_it_paid_and_what_it_earned",
            "a_type_of_nothing_is_told_by_the_markets_mean",
            "understating_a_need",
            "rewards_are_utility_less_the_cost_of_the_effort_made",
        )
        + " "
        + some(f"{TESTS}/test_sharing_leave.py", "joining_and_leaving_in_the_middle"),
        (
            "last_paid and last_received are exchanged",
            "money.sum(2), money.sum(1)",
            "money.sum(1), money.sum(2)",
        ),
        (
            "last_paid is shown in last_received's place",
            '"last_received": own.received,',
            '"last_received": own.paid,',
        ),
        (
            "truth reports the mean for a type of 0",
            "> 0).double() for name in REPORTED",
            ">= 0).double() for name in REPORTED",
        ),
        ("sales cost nothing", "gain - sale_costs(types, trades)", "gain"),
        (
            "who leaves stays for the others to see",
            "floor.but(present=messages.present, models",
            "floor.but(models",
        ),
    ),
    *of(
        f"{SHARING}/rules.py",
        some(
            f"{TESTS}/test_sharing_share.py",
            "a_quarter_of_the_box_is_a_quarter_of_the_effort",
            "a_type_of_nothing_is_told_by_the_markets_mean",
            "reports_are_read_once_or_each_round",
        )
        + " "
        + some(
            f"{TESTS}/test_sharing_money.py",
            "who_diverges_is_out_of_the_round_and_back_in_the_next",
        ),
        (
            "a diverged client's model is sold",
            "torch.where(diverged, torch.nan, make_uploads(makings, messages.upload))",
            "make_uploads(makings, messages.upload)",
        ),
        (
            "effort is mapped by its square root",
            'means["effort"].float()',
            'means["effort"].sqrt().float()',
        ),
        ("a type of 0 is always reported", "torch.where(true > 0, true, mean)", "true"),
        (
            "reports are read anew in every round",
            '| (self.reports == "each_round")\n',
            '| (self.reports != "never")\n',
        ),
    ),
    *of(
        f"{SHARING}/moves.py",
        some(f"{TESTS}/test_sharing_share.py", "understating_a_cost"),
        ("reports are within a third of the truth", "decades=1.0", "decades=0.5"),
    ),
    *of(
        f"{SHARING}/merges.py",
        some(
            f"{TESTS}/test_sharing_merges.py",
            "who_would_get_a_broken_model_gets_none_and_pays_nothing",
        ),
        (
            "a model whose loss overflows is shared",
            "            if starts:\n",
            "            if False:\n",
        ),
        (
            "who gets nobody's model pays",
            "prices=settlement.prices.masked_fill(row, 0.0)",
            "prices=settlement.prices",
        ),
    ),
    *of(
        f"{SHARING}/leave.py",
        some(
            f"{TESTS}/test_sharing_leave.py",
            "costs_and_needs_drift_on_their_own",
            "clients_are_tested_on_rows_that_judged_nobody",
            "a_best_model_is_chosen_by_the_scores_that_select_names",
            "the_best_model_and_the_last_one_have_scores_of_their_own",
            "about_half_of_the_losers_leave_where_exits_are_by_chance",
            "a_best_model_is_the_most_accurate_and_of_equals_the_one_of_least_loss",
            "joining_and_leaving_in_the_middle",
            "rounding_drives_nobody_out",
        ),
        (
            "costs and needs drift by one draw",
            "steps.unbind(-1)",
            "steps[..., :1].expand(steps.shape).unbind(-1)",
        ),
        ("nine losers of ten leave", "chance < 0.5", "chance < 0.9"),
        (
            "of equal models the one of most loss is best",
            "(scores.loss < own.loss)",
            "(scores.loss > own.loss)",
        ),
        ("who joins does not train", "torch.where(joining, 1.0,", "torch.where(joining, 0.0,"),
        (
            "the best model is chosen on validation data",
            "score(models.params, floor.round, held_out=True)",
            "score(models.params, floor.round)",
        ),
        (
            "the held-out test set is the validation set",
            "score(models, rounds, held_out=True)",
            "score(models, rounds)",
        ),
        (
            "the best model is the last one",
            '"best": own.params}',
            '"best": floor.models[AS_TRAINED].params}',
        ),
        ("rounding drives clients out", "utility < -DUST * _stakes(floor)", "utility < 0"),
        ("who has left comes back", "self.joins) & ~gone", "self.joins)"),
    ),
    *of(
        f"{SHARING}/market.py",
        some(f"{TESTS}/test_sharing_data.py", "the_scale_of_a_gain_is_the_mean_size_of_a_client"),
        ("a gain's scale is the median size", "median * math.exp(deviation**2 / 2)", "median"),
    ),
    *of(
        f"{SHARING}/opening.py",
        some(f"{TESTS}/test_sharing_data.py", "needs_are_multiples_of_the_mean_size"),
        (
            "needs do not grow with the data",
            "needs * sizes.mean(1, keepdim=True) if paper",
            "needs if paper",
        ),
    ),
    *of(
        f"{SHARING}/schemes.py",
        f"{TESTS}/test_sharing_schemes.py "
        + some(
            f"{TESTS}/test_sharing_money.py",
            "who_lacks_credit_buys_nothing_and_no_money_moves",
            "a_pull_is_made_only_where_something_pulls",
        ),
        ("the pull forgets eta", "inputs.strength / inputs.eta if", "inputs.strength if"),
        (
            "the mean forgets who has how much data",
            "_members(inputs) * inputs.terms.reported.sizes[:, None]",
            "_members(inputs).double()",
        ),
        (
            "distance counts twice in a graph of one's own",
            "alpha / 2 * distance",
            "alpha * distance",
        ),
        ("who bought nothing is pulled", "pull=buys.float()", "pull=(buys | True).float()"),
        ("nobody is told to be broke", "broke=broke,", "broke=broke & False,"),
    ),
    *of(
        f"{ROOM}/worlds.py",
        f"{TESTS}/test_worlds.py",
        (
            "a market stands in its neighbour's world",
            "order.argsort()[inverse]",
            "order.argsort()[inverse.roll(1)]",
        ),
        (
            "answers come back in the order of the groups",
            "for _, markets in self.groups]).argsort()",
            "for _, markets in self.groups])",
        ),
        ("a restart forgets the worlds that stay", "if not len(known):", "if len(known):"),
        (
            "all worlds share the first one's exams",
            "len(federation.validation.index) == 1,",
            "True,",
        ),
    ),
    *of(
        f"{SHARING}/worlds.py",
        some(
            f"{TESTS}/test_sharing_data.py",
            "data_drift_exchanges_a_growing_share_of_the_examples",
            "under_drift_scores_count_the_labels_of_the_round",
            "clients_are_scored_by_the_classes_of_their_own_labels",
        ),
        (
            "an infinite loss counts on classes that a client does not own",
            "torch.where(shares > 0, shares * losses, 0.0).sum(0)",
            "(shares * losses).sum(0)",
        ),
        (
            "data drift stops after a round",
            "self.content.drift * rounds",
            "self.content.drift * rounds.clamp(max=1)",
        ),
        (
            "all classes count alike",
            "return counts / counts.sum(0).clamp(min=1.0)",
            "return torch.ones_like(counts) / len(counts)",
        ),
    ),
    *of(
        f"{SHARING}/uploads.py",
        f"{TESTS}/test_uploads.py",
        (
            "a copy holds its own model",
            "(total - present * models.trained) / (count - present)",
            "total.expand_as(models.trained) / count",
        ),
        (
            "noise is as large as the model",
            "(models.trained - models.start).square()",
            "models.trained.square()",
        ),
        (
            "a far upload is as near as its buyer's",
            "keep[:, :, None] * keep[:, None, :]",
            "keep[:, :, None]",
        ),
    ),
)
