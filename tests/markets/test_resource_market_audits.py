"""Audits of owners' data in a resource market: what each score sees of each conduct, when it is
taken, and who is paid by it.
"""

import pytest
import torch
from resource_market_cases import (
    begun_again,
    game_of,
    market_of,
    of_role,
    one_round,
    owners,
    played,
)

from marketenv.core import rounds
from marketenv.core.shards import Shards
from marketenv.learners import Training
from marketenv.markets.resource_market import AUDITS, CONDUCTS, Audited, Contributed, Paid
from marketenv.markets.resource_market import audit as auditing
from marketenv.mechanisms import QUALITY_SCALES, TripartiteGame
from marketenv.mechanisms.stackelberg import sne

ALL = {"all": {"share": 1.0}}
SEEDS = 3
NAMES = tuple(CONDUCTS)
# five epochs of two steps
FINE = Training(optimizer="adam", learning_rate=1e-3, batch_size=64, steps=10)
JUDGED = {
    **{
        "n_owners": 4,
        "n_centres": 2,
        "audit_round": 1,
        "audit_rows": 96,
        "noise": (0.0, 0.0),
        "dimensions": 8,
    },
    **{
        "training": Training(
            optimizer="sgd", learning_rate=0.3, momentum=0.9, batch_size=32, steps=10
        )
    },
    **{"learner_options": {"hidden": (16,)}},
}


def scores_by_conduct(count=SEEDS, **config):
    """Scores of owner_0 by its conduct, each summed over some seeds: the model is trained by all in
    a first round, and not by owner_0's audited rows, of which it contributes nothing.
    """
    market = market_of(**JUDGED | config)
    seeds = torch.arange(count).repeat_interleave(len(NAMES))
    now = rounds.begin(market, seeds)
    now = rounds.begun(market, played(market, now, contribute=ALL)[0])
    cheat = {0: owners(market, *NAMES * count)[0] | {"share": 0.0}}
    report = played(market, now, contribute=ALL | cheat)[1]
    return dict(
        zip(NAMES, report.of(Audited).scores[:, 0].view(count, -1).sum(0).tolist(), strict=True)
    )


def times(scores):
    return {name: score / scores["honest"] for name, score in scores.items() if name != "honest"}


WRONG = ("random_labels", "wrong_labels", "constant_label", "permuted_labels")


def test_the_loss_drop_rewards_wrong_few_and_copied_rows():
    """The page, against 128 clean samples: random labels 6.6 times, one label 31, 16 duplicated
    3.1, 16 clean ones 13 times.

    Here of 96 samples, and after one round of training: the same order, and all above honest rows.
    """
    found = times(scores_by_conduct(audit="loss_drop", audit_training=FINE))
    assert all(ratio > 1.2 for ratio in found.values()), found
    assert found["copies"] < found["random_labels"] < found["few"] < found["constant_label"]
    assert found["random_labels"] > 2 and found["constant_label"] > 6


@pytest.mark.parametrize("audit", ["heldout", "shapley"])
def test_the_controls_find_wrong_labels_worse_than_nothing_and_every_cheat_worse_than_honest_rows(
    audit,
):
    scores = scores_by_conduct(audit=audit, audit_training=FINE)
    assert scores["honest"] > 0
    found = times(scores)
    assert all(found[name] < 0 for name in WRONG), found
    assert all(ratio < 0.8 for ratio in found.values()), found
    assert all(
        found[name] > found["wrong_labels"] for name in ("few", "copies", "junk", "half_random")
    )


@pytest.mark.long
def test_distances_see_wrong_rows_and_renamed_classes_by_their_names_alone():
    """Scores are minus distances, so that a ratio above 1 is farther off. A label is seen by its
    class's moments, which a new name leaves as they are, unless names are agreed on: a vocabulary.
    """
    scores = scores_by_conduct(1, audit="wasserstein")
    assert max(scores.values()) == pytest.approx(scores["honest"]) and scores["honest"] < 0
    plain = times(scores)
    assert plain["permuted_labels"] == pytest.approx(1.0, abs=1e-6)
    assert all(ratio > 1.2 for name, ratio in plain.items() if name != "permuted_labels"), plain
    named = times(scores_by_conduct(1, audit="wasserstein", vocabulary=2.0))
    assert all(ratio > 1.1 for ratio in named.values()), named
    assert named["permuted_labels"] > named["half_random"]


# --- what a score is ------------------------------------------------------------------------------


def captured(**config):
    """A market whose audit keeps the case that it is given, and the case of its first round."""
    cases = []

    def audit(case):
        cases.append(case)
        return 0.0 * case.floor.world.size.double()

    report = one_round(
        market_of(audit=audit, audit_round=0, audit_training=FINE, **config), contribute=ALL
    )
    return cases[0], report


def test_a_loss_drop_is_of_epochs_one_and_five_by_row():
    """v = (loss after epoch 1 - loss after epoch 5) / rows, each of a throw-away copy of the
    leader's model.
    """
    case, _ = captured()
    first, last = case.tuned(1), case.tuned(5)
    rows = case.rows
    v = []
    for n in range(3):
        exam = [case.learner.exam(shard_of(rows, n))]
        losses = [float(case.learner.scores(m[:, n][:, None], exam[0]).loss) for m in (first, last)]
        v.append((losses[0] - losses[1]) / int(rows.size[0, n]))
    assert AUDITS["loss_drop"](case)[0].tolist() == pytest.approx(v, rel=1e-4, abs=1e-9)
    assert all(drop > 0 for drop in v) and rows.size.tolist() == [[128] * 3]


def shard_of(rows, owner):
    """The rows of one owner, as an exam takes them."""
    width = rows.y.shape[-1]
    return Shards(
        rows.x[0, owner], rows.y[0, owner], torch.arange(width)[None], rows.size[0, owner][None]
    )


def test_a_held_out_drop_is_of_the_leaders_examples():
    case, report = captured()
    world, turn = case.floor.world, case.floor.round
    before = float(world.score(case.start[:, None], turn).loss)
    after = world.score(case.tuned(5), turn).loss[0].double()
    assert AUDITS["heldout"](case)[0].tolist() == pytest.approx((before - after).tolist(), abs=1e-6)
    # throw-away copies leave the leader's model alone
    model = report.outcomes["train_matched"].realised
    assert float(world.score(case.start[:, None], turn).accuracy) == float(model)


def test_shapley_values_share_what_all_together_are_worth():
    """Efficiency: they sum to the fall of the loss by the mean of all owners' models, weighted
    by rows.
    """
    case, _ = captured()
    world, turn = case.floor.world, case.floor.round
    values, weight = AUDITS["shapley"](case), case.rows.size.double()
    mean = (case.tuned(5) * (weight / weight.sum(1, keepdim=True))[..., None].float()).sum(1)
    fall = world.score(case.start[:, None], turn).loss - world.score(mean[:, None], turn).loss
    assert float(values.sum()) == pytest.approx(float(fall), abs=1e-6) and float(fall) > 0


def test_a_copy_is_trained_for_five_epochs_of_its_own_rows_whoever_is_beside_it():
    """Sizes 63, 36 and 51 alone are one minibatch of 64 an epoch; beside a market of one owner of
    66, for whom it is two, they still are: in a batch as alone.
    """
    uneven = {
        "partition": "dirichlet",
        "data_options": {"alpha": 0.3, "max_examples": 250},
        "noise": (0.0, 0.0),
    }
    market = market_of(audit="loss_drop", audit_round=0, audit_training=FINE, **uneven)
    together = one_round(market, (4, 5), contribute=ALL).of(Audited).scores
    sizes = rounds.begin(market, torch.tensor([4, 5])).floor.world.size.amax(1)
    assert int(sizes.min()) <= 64 < int(sizes.max())
    for k, seed in enumerate((4, 5)):
        alone = one_round(market, (seed,), contribute=ALL).of(Audited).scores
        assert torch.allclose(together[k], alone[0], rtol=1e-3, atol=1e-8)
    case, _ = captured(**uneven)
    assert case.tuned(1).shape == (1, 3, case.learner.layout.size) and not torch.equal(
        case.tuned(1), case.tuned(5)
    )


def test_an_audit_looks_at_no_more_rows_than_it_may():
    case, _ = captured(audit_rows=17)
    assert case.rows.size.tolist() == [[17] * 3] and case.most == 17


@pytest.mark.parametrize("audit", ["loss_drop", "heldout", "shapley"])
def test_copies_that_diverge_leave_no_score_without_a_number(audit):
    wild = Training(optimizer="sgd", learning_rate=1e30, batch_size=64, steps=10)
    found = one_round(
        market_of(audit=audit, audit_round=0, audit_training=wild), contribute=ALL
    ).of(Audited)
    assert found.scores.isfinite().all() and found.audited.all()
    assert (found.quality == 1).all()  # all are alike, so all are the best


# --- when, and who is paid by it ------------------------------------------------------------------


def says(*scores):
    """An audit of one's own that always finds the same."""
    return lambda case: torch.tensor(scores).double().expand(len(case.floor.seeds), -1)


def test_the_first_audit_is_in_its_round_and_before_it_reports_count():
    market = market_of(audit=says(3.0, 1.0, 2.0), audit_round=2, max_cycles=4)
    now = rounds.begin(market, torch.tensor([0]))
    for turn in range(4):
        now, report = played(market, rounds.begun(market, now), contribute={0: {"report": 0.2}})
        found = report.of(Audited)
        assert bool(found.audited) == (turn >= 2)
        story = [line for line in report.story(list("abcdefg")) if "The audit scores" in line]
        if turn < 2:
            assert (
                not found.scores.any()
                and torch.equal(found.quality, report.of(Contributed).reported)
                and not story
            )
        else:
            assert found.scores.tolist() == [[3.0, 1.0, 2.0]]
            # .9 + .1 (v - 1) / 2
            assert found.quality[0].tolist() == pytest.approx([1.0, 0.9, 0.95], rel=1e-12)
            assert story[0] == "The audit scores owner_0 3: quality 1.000." and len(story) == 3


@pytest.mark.parametrize(
    ("basis", "by_audit"), [("auto", True), ("audited", True), ("reported", False)]
)
def test_owners_are_paid_by_the_basis_and_known_by_the_audit(basis, by_audit):
    """Equal contributions of .5: payments are as qualities, by the audit 1 : .9 : .95, by
    reports .2 : 1 : 1.
    """
    market = market_of(audit=says(3.0, 1.0, 2.0), audit_round=0, basis=basis)
    edits = {"all": {"share": 0.5, "report": 1.0}, 0: {"report": 0.2}}
    now, report = played(
        market, rounds.begin(market, torch.tensor([0])), contribute=edits, commit={0: {"eta": 1.0}}
    )
    wanted = torch.tensor([1.0, 0.9, 0.95] if by_audit else [0.2, 1.0, 1.0]).double()
    money = report.flows["payment"].money[0, 0]
    assert money.tolist() == pytest.approx((wanted / wanted.sum()).tolist(), rel=1e-5)
    assert report.of(Paid).quality[0].tolist() == pytest.approx(wanted.tolist(), rel=1e-5)
    standing = now.floor.types["owner"]["standing"]
    assert torch.equal(standing, report.of(Audited).quality)
    second = played(market, rounds.begun(market, now))[1]
    solved = sne(TripartiteGame(standing, torch.ones(1, 3).double()))
    assert float(second.outcomes["commit"].eta) == pytest.approx(float(solved.eta), rel=2e-6)


def test_without_an_audit_auto_is_what_owners_report():
    edits = {"all": {"share": 0.5, "report": 1.0}, 0: {"report": 0.2}}
    quality = one_round(game_of(), contribute=edits).of(Paid).quality
    assert quality[0].tolist() == pytest.approx([0.2, 1.0, 1.0], abs=1e-6)


def test_an_audit_makes_a_cheat_poorer_and_the_leader_does_not_gain_by_what_it_was_sold():
    """By held-out drops constant labels come to .9, the least of the scale, and honest rows to
    more; reports pay the cheat 1.
    """
    paid = {}
    for name in (None, "heldout"):
        market = market_of(**JUDGED, audit=name, audit_training=FINE)
        now = begun_again(market, contribute=ALL)
        cheat = {0: {"share": 1.0, "conduct": "constant_label", "report": 1.0}}
        report = played(market, now, contribute=ALL | cheat)[1]
        paid[name] = float(of_role(report, "owner")[0, 0])
        assert float(report.of(Paid).quality[0, 0]) == pytest.approx(
            1.0 if name is None else 0.9, abs=1e-6
        )
    assert paid["heldout"] < paid[None]


def test_an_audit_of_ones_own_without_a_finite_score_is_refused():
    with pytest.raises(ValueError, match="no finite score at all for a market, wanted one or more"):
        one_round(market_of(audit=says(*(torch.nan,) * 3), audit_round=0))


@pytest.mark.parametrize(
    ("scores", "counted"),
    [
        ((torch.nan, 1.0, 2.0), [1.0, 1.0, 2.0]),
        ((torch.inf, 1.0, -torch.inf), [1.0, 1.0, 1.0]),
    ],
)
def test_a_score_that_is_not_finite_counts_as_the_worst_finite_one(scores, counted):
    found = one_round(market_of(audit=says(*scores), audit_round=0)).of(Audited)
    assert found.scores[0].tolist() == counted and found.quality.isfinite().all()


@pytest.mark.parametrize("scale", QUALITY_SCALES)
def test_scores_come_to_quality_by_the_scale(scale):
    found = one_round(market_of(audit=says(0.5, 1.0, 0.0), audit_round=0, scale=scale)).of(Audited)
    assert torch.equal(found.quality, QUALITY_SCALES[scale](found.scores))
    assert found.quality[0].tolist() == pytest.approx([0.95, 1.0, 0.9], rel=1e-12)


def test_more_owners_than_values_are_counted_exactly_for_are_audited_by_orders_that_are_drawn():
    found = one_round(market_of(n_owners=11, audit="shapley", audit_round=0), contribute=ALL).of(
        Audited
    )
    assert (
        found.scores.shape == (1, 11)
        and found.scores.isfinite().all()
        and len(found.scores.unique()) == 11
    )


@pytest.mark.parametrize("count", [4, 11])
def test_shapley_values_are_the_same_however_many_models_of_coalitions_are_made_at_once(
    monkeypatch, count
):
    """All 16 coalitions of four owners, or those along 64 orders of eleven, by no more than
    three models at once.
    """
    asked = []

    def counted(case, models):
        asked.append(models.shape[1])
        return held_out(case, models)

    case, _ = captured(n_owners=count)
    wanted, held_out = AUDITS["shapley"](case), auditing.AuditCase.held_out_loss
    monkeypatch.setattr(auditing.AuditCase, "held_out_loss", counted)
    monkeypatch.setattr(auditing, "ENTRIES", 3 * case.start.numel() + 1)
    assert torch.allclose(AUDITS["shapley"](case), wanted, atol=2e-7)  # losses are float32
    assert max(asked) == 3 and sum(asked) == (2**4 if count == 4 else 64 * 12)
