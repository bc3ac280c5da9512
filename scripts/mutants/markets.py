"""Wrong markets: what is traded, what is told, what is paid, and by which examples models are judged."""

from __future__ import annotations

from scripts.mutants.mutant import Mutant, of, some

ROOM, TESTS = "marketenv/markets", "tests/markets"


MUTANTS: tuple[Mutant, ...] = (
    *of(
        "marketenv/markets/own_parts.py",
        "tests/markets/test_market_arguments.py",
        ("a gain's two halves may disagree", "wrong = (worth > 0) & ~((near >=", "wrong = (worth > 1e300) & ~((near >="),
    ),
    *of(
        "marketenv/markets/arguments.py",
        "tests/markets/test_market_arguments.py",
        (
            "a ready-made learner swallows settings",
            "not isinstance(learner, str) and (learner_options",
            "False and (learner_options",
        ),
        ("an option that must be given may lack", "if name not in given and inspect", "if False and inspect"),
        ("data options name the market's arguments", "        if key in found:", "        if False:"),
    ),
    *of(
        f"{ROOM}/parameter_trading.py",
        f"{TESTS}/test_parameter_trading.py",
        ("the held-out test set is the broker's", "score(state.params, held_out=True)", "score(state.params)"),
        ("a diverged seller still sells", "loss_after.masked_fill(diverged[:, None], torch.inf)", "loss_after"),
        (
            "last_paid and last_earned are exchanged",
            "last_paid=paid,\n            last_earned=received,",
            "last_paid=received,\n            last_earned=paid,",
        ),
        (
            "last_paid and last_earned are shown in each other's place",
            '{"last_paid": state.last_paid, "last_earned": state.last_earned,',
            '{"last_paid": state.last_earned, "last_earned": state.last_paid,',
        ),
        ("the upper bound takes the lower end of the prior", "(m_high * high).clamp", "(m_low * high).clamp"),
        ("the lower bound takes the upper end of the prior", "(m_low * low).clamp", "(m_high * low).clamp"),
        ("truth bids half of the worth in money", 'return factor * seen["money_', 'return factor / 2 * seen["money_'),
        (
            "sabotage noise is alike in every market and round",
            'draws.agent_keys(keys, self.n_agents, "sabotage")',
            'draws.agent_keys(torch.zeros_like(keys), self.n_agents, "sabotage")',
        ),
        (
            "sabotage noise is alike in every round",
            'draws.agent_keys(keys, self.n_agents, "sabotage")',
            'draws.agent_keys(state.seeds, self.n_agents, "sabotage")',
        ),
        (
            "effort is mapped by its square root",
            'means["effort"][..., 0].float()',
            'means["effort"][..., 0].sqrt().float()',
        ),
        ("effort costs nothing", " - state.effort_cost * state.effort - harm", " - harm"),
        ("the next round's effort is charged", "state.effort_cost * state.effort", "state.effort_cost * reports.effort"),
        ("training is worth nothing", "(state.loss.double() - scores", "(quotes.loss.double() - scores"),
        (
            "a coalition asks its mean",
            "asks.masked_fill(~state.options.coalition, 0.0).amax(1",
            "asks.masked_fill(~state.options.coalition, 0.0).mean(1",
        ),
        ("absolute bids are twice as high", 'Money("bid", others, most=', 'Money("bid", others, most=2 * '),
        (
            "bids are multiples of what a buyer would lose, too",
            "gain.worth.double().clamp(min=0)\n\n    def _read",
            "gain.worth.double().abs()\n\n    def _read",
        ),
        ("the harm of a sale is the buyer's", "(reports.cost * done.bought).sum(1)", "(reports.cost * done.bought).sum(2)"),
        ("everybody starts its optimiser afresh", "torch.where((bought > 0)[..., None]", "torch.where((bought >= 0)[..., None]"),
        ("layers held back are offered", "bool((offered < 1).any())", "bool((offered < 0).any())"),
        (
            "every round trains on the same draws",
            'draws.fold(state.seeds, state.round), self.n_agents, "train"',
            'state.seeds, self.n_agents, "train"',
        ),
        ("bounds are told of a seller with noise", "~(noised[:, :, None] | noised[:, None])", "~noised[:, :, None]"),
        ("sellers are told their own bounds", "buyer_low=others(low.mT)", "buyer_low=others(low)"),
        (
            "a diverged agent keeps its optimiser",
            "torch.where(diverged[..., None], self._fresh_slots(diverged.shape), slots)",
            "slots",
        ),
        ("asks are twice as high", 'Money("ask", most=', 'Money("ask", most=2 * '),
    ),
    *of(
        f"{ROOM}/exchanges.py",
        f"{TESTS}/test_parameter_trading.py",
        (
            "the largest bid comes first, not the largest surplus",
            "torch.where(payable, reports.bids - reports.asks, -torch.inf)",
            "torch.where(payable, reports.bids, -torch.inf)",
        ),
        ("a second purchase is bought with the same money", "left - (pick * reports.bids).sum(2)", "left"),
        ("averaging forgets who has how much data", "(shares @ quotes.trained)", "quotes.trained.mean(1, keepdim=True)"),
        ("layers that are not traded are merged too", "alpha * terms.mask * (chosen - params)", "alpha * (chosen - params)"),
        ("later purchases are merged first", "for pick in order:", "for pick in reversed(order):"),
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
            "torch.where(sold.any(1), outcome.prices.amax((1, 2)), state.last_price)",
            "outcome.prices.amax((1, 2))",
        ),
        ("types are the same in every round", 'draws.fold(state.seeds, "type", state.round)', 'draws.fold(state.seeds, "type")'),
        ("sellers sell at no cost", "-sold.sum(1, keepdim=True) * quotes", "0 * sold.sum(1, keepdim=True) * quotes"),
    ),
    *of(
        f"{ROOM}/reference.py",
        "tests/agents/test_stress_oracles.py::test_hindsight_overbids_a_tie_that_the_lower_index_wins",
        ("hindsight does not overbid a tie", "near = (met, just_above(met), -just_above(-met))", "near = (met,)"),
    ),
    *of(
        f"{ROOM}/model_sharing.py",
        some(
            f"{TESTS}/test_model_sharing.py",
            "every_client_is_shown_what_it_paid_and_what_it_earned",
            "costs_and_needs_drift_on_their_own",
            "clients_are_tested_on_rows_that_judged_nobody",
            "a_best_model_is_chosen_by_the_scores_that_select_names",
            "the_best_model_and_the_last_one_have_scores_of_their_own",
            "needs_are_multiples_of_the_mean_size",
            "a_quarter_of_the_box_is_a_quarter_of_the_effort",
            "who_diverges_is_out_of_the_round_and_back_in_the_next",
            "understating_a_cost",
            "a_type_of_nothing_is_told_by_the_markets_mean",
            "about_half_of_the_losers_leave_where_exits_are_by_chance",
            "rewards_are_utility_less_the_cost_of_the_effort_made",
            "a_best_model_is_the_most_accurate_and_of_equals_the_one_of_least_loss",
            "joining_and_leaving_in_the_middle",
            "the_scale_of_a_gain_is_the_mean_size_of_a_client",
            "reports_are_read_once_or_each_round",
            "rounding_drives_nobody_out",
        ),
        ("a diverged client's model is sold", "torch.where(quotes.diverged[..., None], torch.nan, uploads)", "uploads"),
        (
            "last_paid and last_earned are exchanged",
            "last_paid=paid, last_earned=received",
            "last_paid=received, last_earned=paid",
        ),
        (
            "last_paid is shown in last_earned's place",
            '"last_earned": state.last_earned,',
            '"last_earned": state.last_paid,',
        ),
        ("costs and needs drift by one draw", "c.need_drift * steps[..., 1]", "c.need_drift * steps[..., 0]"),
        ("effort is mapped by its square root", 'means["effort"].float()', 'means["effort"].sqrt().float()'),
        ("reports are within a third of the truth", "decades=1.0", "decades=0.5"),
        ("a type of 0 is always reported", "torch.where(truth > 0, truth, truth.mean(1, keepdim=True))", "truth"),
        ("truth reports the mean for a type of 0", "> 0).double() for name", ">= 0).double() for name"),
        ("nine losers of ten leave", "chance < 0.5", "chance < 0.9"),
        (
            "who trains less pays for all its effort",
            "rewards=utility - state.effort_cost * effort",
            "rewards=utility - state.effort_cost",
        ),
        ("of equal models the one of most loss is best", "(scores.loss < state.best_loss)", "(scores.loss > state.best_loss)"),
        ("who joins does not train", "torch.where(joining, 1.0,", "torch.where(joining, 0.0,"),
        (
            "the best model is chosen on validation data",
            "score(quotes.trained, state.round, held_out=True)",
            "score(quotes.trained, state.round)",
        ),
        (
            "the held-out test set is the validation set",
            ".clamp(min=0), held_out=True)",
            ".clamp(min=0))",
        ),
        ("the best model is the last one", '"best": state.best}', '"best": state.trained}'),
        ("a gain's scale is the median size", "median * math.exp(deviation**2 / 2)", "median"),
        ("needs do not grow with the data", "sizes.mean(1, keepdim=True) if paper", "1.0 if paper"),
        ("reports are read anew in every round", '| (self.config.reports == "each_round")', '| (self.config.reports != "never")'),
        ("rounding drives clients out", "present & (utility < -DUST * stakes)", "present & (utility < 0)"),
    ),
    *of(
        f"{ROOM}/sharing_schemes.py",
        f"{TESTS}/test_sharing_schemes.py "
        + some(
            f"{TESTS}/test_model_sharing.py",
            "who_lacks_credit_buys_nothing_and_no_money_moves",
            "a_pull_is_made_only_where_something_pulls",
        ),
        ("the pull forgets eta", "given.strength / given.eta if", "given.strength if"),
        (
            "the mean forgets who has how much data",
            "_members(given) * given.terms.reported.sizes[:, None]",
            "_members(given).double()",
        ),
        ("distance counts twice in a graph of one's own", "alpha / 2 * torch.where", "alpha * torch.where"),
        ("who bought nothing is pulled", "pull = buys", "pull = (buys | True)"),
        ("nobody is told to be broke", '"broke": broke}', '"broke": broke & False}'),
    ),
    *of(
        f"{ROOM}/worlds.py",
        f"{TESTS}/test_worlds.py",
        ("a market stands in its neighbour's world", "order.argsort()[inverse]", "order.argsort()[inverse.roll(1)]"),
        (
            "answers come back in the order of the groups",
            "for _, markets in self.groups]).argsort()",
            "for _, markets in self.groups])",
        ),
        ("a restart forgets the worlds that stay", "if not len(kept):", "if len(kept):"),
        ("all worlds share the first one's exams", "len(federation.validation.index) == 1,", "True,"),
    ),
    *of(
        f"{ROOM}/sharing_worlds.py",
        some(
            f"{TESTS}/test_model_sharing.py",
            "data_drift_exchanges_a_growing_share_of_the_examples",
            "under_drift_scores_count_the_labels_of_the_round",
        ),
        ("data drift stops after a round", "self.content.drift * rounds", "self.content.drift * rounds.clamp(max=1)"),
        (
            "all classes count alike",
            "return counts / counts.sum(0).clamp(min=1.0)",
            "return torch.ones_like(counts) / len(counts)",
        ),
    ),
    *of(
        f"{ROOM}/uploads.py",
        f"{TESTS}/test_uploads.py",
        (
            "a copy holds its own model",
            "(total - here * models.trained) / (count - here)",
            "total.expand_as(models.trained) / count",
        ),
        ("noise is as large as the model", "(models.trained - models.start).square()", "models.trained.square()"),
        ("a far upload is as near as its buyer's", "keep[:, :, None] * keep[:, None, :]", "keep[:, :, None]"),
    ),
)
