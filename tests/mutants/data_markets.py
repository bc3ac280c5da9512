"""Wrong data markets: who sells what, what a delivery is, who is caught, and who is paid."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of, some

ROOMS, TESTS = "marketenv/markets", "tests/markets"
ROOM = f"{ROOMS}/data_market"
ROUNDS, CONDUCT = f"{TESTS}/test_data_market_rounds.py", f"{TESTS}/test_data_market_conduct.py"
BATCHES, SCENARIOS = (
    f"{TESTS}/test_data_market_batches.py",
    f"{TESTS}/test_data_market_scenarios.py",
)

OUTSIDE = f"{TESTS}/test_data_market_outside_option.py"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{ROOM}/conduct.py",
        some(
            CONDUCT,
            "what_is_done_to_the_delivery_alone_is_not_in_the_pilot",
            "labels_are_renamed_or_wrong_and_features_move_to_the_buyers",
            "padded_and_repeated_rows_are_copies",
            "a_seller_pays_for_different_right_rows",
        ),
        (
            "a pilot holds the bait too",
            "if delivered and bool((conduct.bait",
            "if bool((conduct.bait",
        ),
        (
            "classes are renamed in the pilot only",
            'if delivered else "always"',
            'if not delivered else "always"',
        ),
        ("copies are different rows", "* unique // declared", "% train.size[..., None]"),
        (
            "a renamed label costs its labelling",
            "torch.where(self.permute > 0, 1.0, self.flip)",
            "self.flip",
        ),
    ),
    *of(
        f"{ROOMS}/federated.py",
        some(ROUNDS, "quotas_follow_the_mixture_and_end_at_what_is_declared"),
        ("who declares less sells as much", ".long().minimum(most[:, None])", ".long()"),
    ),
    *of(
        f"{ROOMS}/federated.py",
        some(SCENARIOS, "fedprox_pulls_each_sellers_training_back_to_the_shared_model"),
        ("fedprox pulls nobody", "if self.strength else None", "if False else None"),
    ),
    *of(
        f"{ROOM}/select.py",
        some(
            ROUNDS,
            "a_settlement_by_hand",
            "who_is_paid_less_than_its_reserve_does_not_sell",
            "a_chance_of_an_audit_is_a_chance_for_each_delivery",
        ),
        (
            "a reserve binds nobody",
            "(sales.prices[:, 0] >= offered.reserve * points)",
            "(sales.prices[:, 0] >= 0)",
        ),
        (
            "the fee comes on top of the whole budget",
            "money / ((1 + self.fee) * CUSHION**2)",
            "money / CUSHION**2",
        ),
        (
            "who sold nothing is audited",
            'self._audits(floor, meaning["verify"]) & sells',
            'self._audits(floor, meaning["verify"])',
        ),
    ),
    *of(
        f"{ROOM}/train_selected.py",
        some(OUTSIDE, "a_buyer_never_loses_accuracy_by_a_purchase"),
        (
            "the buyer takes any model",
            "delivery & (accuracy > outside_option)",
            "delivery & (accuracy > -1)",
        ),
    ),
    *of(
        f"{ROOM}/forecast.py",
        some(OUTSIDE, "no_coalition_of_sellers_is_worth_less_than_the_outside_option"),
        (
            "a coalition is worth less than nothing",
            "return predicted.maximum(outside_option)",
            "return predicted",
        ),
    ),
    *of(
        f"{ROOM}/deliver.py",
        some(
            ROUNDS,
            "a_settlement_by_hand",
            "a_reward_is_net_money_and_named_terms",
            "a_caught_seller_is_paid_nothing_and_its_name_suffers",
            "what_is_held_back_is_released_for_what_is_realised",
            "reputations_and_cash_are_carried_over_and_types_stay",
        ),
        (
            "a caught seller is paid",
            "at_once = torch.where(caught[:, None], 0.0, parts.at_once)",
            "at_once = parts.at_once",
        ),
        (
            "a caught seller keeps its name",
            "new = torch.where(caught, 0.0, kept)",
            "new = kept.expand_as(old)",
        ),
        (
            "who sold nothing gets a name for it",
            "return torch.where(sold, (1",
            "return torch.where(sold | True, (1",
        ),
        ("audits are free", "self.audit_cost * selected.audited", "0.0 * selected.audited"),
        (
            "memory is the weight of the past",
            "(1 - self.memory) * old + self.memory * new",
            "self.memory * old + (1 - self.memory) * new",
        ),
        ("noise costs as much as rows", "rows * (1 - conduct.bait) *", "rows *"),
    ),
    *of(
        f"{ROOM}/deliver.py",
        some(CONDUCT, "an_audit_catches_who_delivers_other_rows_than_it_showed"),
        (
            "who is not audited is caught",
            "return selected.audited & (apart >",
            "return (selected.points > 0) & (apart >",
        ),
        (
            "audits look at pilots",
            "delivered=True, pseudo=self.distances.pseudo)",
            "delivered=False, pseudo=self.distances.pseudo)",
        ),
    ),
    *of(
        f"{ROOMS}/distances.py",
        some(CONDUCT, "a_pilot_lies_nearer_the_more_of_it_is_spoofed_or_moved")
        + " "
        + some(
            CONDUCT,
            "no_labels_are_seen_where_features_alone_are_measured",
            "with_a_vocabulary_renamed_classes_lie_farther_off",
        )
        + " "
        + some(
            SCENARIOS,
            "labels_are_hidden_where_the_corruption_says_so_and_only_pseudo_labels_are_others",
        ),
        (
            "nothing can be spoofed",
            "< spoof[..., None])[..., None], fake, parts)",
            "< -spoof[..., None])[..., None], fake, parts)",
        ),
        (
            "features alone see labels by their moments",
            'covariance = "none" if self.labels == "features" else',
            'covariance = "none" if False else',
        ),
        ("a vocabulary says nothing", "else self.vocabulary * unit", "else 0.0 * unit"),
        (
            "all labels are guessed",
            "torch.where(rows.labelled.bool(), rows.y, nearest",
            "torch.where(rows.labelled.bool() & False, rows.y, nearest",
        ),
    ),
    *of(
        f"{ROOMS}/distances.py",
        some(BATCHES, "a_round_measures_on_from_the_last_one"),
        (
            "a mixture begins where another one ended",
            "start = start.masked_fill(apart > 0, 0.0)",
            "start = start.clone()",
        ),
    ),
    *of(
        f"{ROOM}/pilot.py",
        some(BATCHES, "a_round_measures_on_from_the_last_one"),
        (
            "every round measures from nothing",
            "own = replace(own, potentials=potentials)",
            "own = replace(own)",
        ),
    ),
    *of(
        f"{ROOMS}/data_worlds.py",
        some(SCENARIOS, "the_principal_components_are_the_buyers_and_have_a_mean_variance_of_one"),
        (
            "features are as large as pixels",
            "basis=components.matrix / scale[:, None, None]",
            "basis=components.matrix",
        ),
        (
            "the baseline is the rarest class",
            "(hits.sum(1) / count).amax(-1)",
            "(hits.sum(1) / count).amin(-1)",
        ),
    ),
    *of(
        "agents/scripted/data_market.py",
        some(
            "tests/agents/test_scripted_data_market.py",
            "shade_spends_a_part_of_what_the_gain_is_worth",
        ),
        (
            "who shades spends the truth",
            '(self.budget * meanings["budget"])',
            '(1.0 * meanings["budget"])',
        ),
    ),
)
