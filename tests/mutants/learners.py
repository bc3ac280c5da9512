"""Wrong learners, alignments and valuations: how models are trained, scored, laid on each other
and priced.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant, of

LEARNERS, ALIGNMENT, VALUATION = "marketenv/learners", "marketenv/alignment", "marketenv/valuation"

MUTANTS: tuple[Mutant, ...] = (
    *of(
        f"{LEARNERS}/training.py",
        "tests/learners/test_learner_training.py tests/learners/test_pull.py",
        (
            "a part of a step is a whole one",
            "[:, None]).clamp(0.0, 1.0)",
            "[:, None]).clamp(0.0, 1.0).ceil()",
        ),
        (
            "pulls are not sorted with their models",
            "Pull(centre[order], strength[order])",
            "Pull(centre[order], strength)",
        ),
    ),
    *of(
        f"{LEARNERS}/stacks.py",
        "tests/learners/test_pull.py",
        (
            "models are pulled through the origin",
            "theta.flatten(1).sub(centre)",
            "theta.flatten(1).add(centre)",
        ),
    ),
    *of(
        f"{LEARNERS}/optimizers.py",
        "tests/learners/test_learner_training.py",
        (
            "a part of a step decays in full",
            "theta.mul_(1.0 - factor * step.shaped(theta))",
            "theta.mul_(1.0 - factor)",
        ),
        (
            "momentum never fades",
            "baddbmm_(left, right, beta=self.training.momentum)",
            "baddbmm_(left, right, beta=1.0)",
        ),
        (
            "Adam's squares are not corrected",
            "slope = inverse / (1.0 - self.beta2 ** count.double()).sqrt()",
            "slope = inverse",
        ),
        (
            "Adam's epsilon shrinks with the count",
            "self.epsilon * inverse",
            "self.epsilon / inverse",
        ),
    ),
    *of(
        f"{LEARNERS}/feed.py",
        "tests/learners/test_learner_training.py tests/learners/test_augmented_training.py",
        (
            "minibatches come in one order",
            'draws.fold(keys, "minibatches")',
            'draws.fold(0 * keys, "minibatches")',
        ),
        (
            "padding counts in a whole shard's mean",
            "mask.float() / shards.size[:, None]",
            "mask.float() / mask.shape[1]",
        ),
        ("every step is augmented alike", '"augment", step.number)', '"augment")'),
    ),
    *of(
        f"{LEARNERS}/objectives.py",
        "tests/learners/test_learner_scores.py",
        (
            "a share of variance may be negative",
            "1.0 - error / variance, 0.0).clamp(min=0.0)",
            "1.0 - error / variance, 0.0)",
        ),
        ("the square is not halved", "return 0.5 * (outputs", "return 1.0 * (outputs"),
        (
            "a small class counts less",
            "1.0 / counts.to(",
            "1.0 / counts.max().expand_as(counts).to(",
        ),
    ),
    *of(
        f"{LEARNERS}/live_memory.py",
        "tests/learners/test_live_memory.py",
        ("what has died is counted", "if not v[0].expired()}", "if v}"),
        ("memory is that of both", "live.most / count)", "live.most)"),
    ),
    *of(
        f"{LEARNERS}/exams.py",
        "tests/learners/test_learner_scores.py",
        (
            "a broken model keeps its accuracy",
            "torch.where(good, accuracy, 0.0)",
            "torch.where(good, accuracy, accuracy)",
        ),
        ("padding counts in an exam", "shards.size[:, None]", "mask.shape[1]"),
    ),
    *of(
        f"{LEARNERS}/linear.py",
        "tests/learners/test_learner_scores.py tests/learners/test_learner_table.py",
        (
            "variance is around 0",
            "exam.energy - exam.mean.square()",
            "exam.energy - 0 * exam.mean.square()",
        ),
    ),
    *of(
        f"{LEARNERS}/mlp.py",
        "tests/learners/test_learner_table.py tests/learners/test_learner_training.py",
        (
            "tensors of one size begin alike",
            'draws.fold(keys, "init", name), size',
            'draws.fold(keys, "init"), size',
        ),
    ),
    *of(
        f"{LEARNERS}/mlp_passes.py",
        "tests/learners/test_learner_table.py tests/learners/test_learner_training.py",
        ("the slope ignores the share", ".mul_(share[:, None])", ".mul_(share[:, None].ceil())"),
    ),
    *of(
        f"{LEARNERS}/module.py",
        "tests/learners/test_learner_training.py::test_layers_of_one_size_begin_with_numbers_of_their_own",
        (
            "tensors of one size begin alike",
            'draws.fold(keys, "init", name), p.numel()',
            'draws.fold(keys, "init"), p.numel()',
        ),
    ),
    *of(
        f"{LEARNERS}/batch_statistics.py",
        "tests/learners/test_batch_norm.py",
        ("variance is that of n - 1", "axes, correction=0", "axes, correction=1"),
    ),
    *of(
        f"{LEARNERS}/recurrent.py",
        "tests/learners/test_recurrent.py",
        (
            "the gate keeps what it should replace",
            "new + keep * (state - new)",
            "state + keep * (new - state)",
        ),
    ),
    *of(
        f"{ALIGNMENT}/alpha.py",
        "tests/alignment/test_alpha_search.py",
        (
            "a loss that is no number wins",
            "on_grid.where(on_grid.isfinite(), torch.inf)",
            "on_grid",
        ),
        (
            "weights may exceed 1",
            "nan_to_num(nan=TINY).clamp(TINY, 1.0)",
            "nan_to_num(nan=TINY).clamp(TINY)",
        ),
    ),
    *of(
        f"{ALIGNMENT}/alpha.py",
        "tests/alignment/test_alpha_by_layers.py",
        ("mirrored losses stand at the same weights", "on_grid.flip(-1)", "on_grid"),
    ),
    *of(
        f"{ALIGNMENT}/alpha_by_layers.py",
        "tests/alignment/test_alpha_by_layers.py",
        ("the way back is the way there", "= there, there.argsort(-1)", "= there, there"),
        (
            "an end that is not finite is tried",
            "on_grid.where(self.sound[..., None], torch.inf)",
            "on_grid",
        ),
        ("the end of a line is the offer", "ends = start + step if", "ends = start - step if"),
    ),
    *of(
        f"{ALIGNMENT}/merge.py",
        "tests/alignment/test_alignment_merge.py",
        (
            "the way back is the way there",
            "models[target], invert(new))",
            "models[target], new)",
        ),
        ("only who starts anew remembers", "if warm else None", "if not warm else None"),
        ("orders of a broken buyer are kept", "(sound[target] & sound[source])", "sound[source]"),
    ),
    *of(
        f"{ALIGNMENT}/weight_matching.py",
        "tests/alignment/test_weight_matching.py",
        (
            "the last start wins, not the best",
            "highest = torch.where(better, end, highest)",
            "highest = highest",
        ),
    ),
    *of(
        f"{ALIGNMENT}/one_pair.py",
        "tests/alignment/test_one_pair.py",
        (
            "scores in float32 decide whether a step counts",
            "elif name in pair.rough:",
            "elif False:",
        ),
        (
            "changed lines are added without those that they replace",
            " - source.take(before[0][changed], axis)",
            "",
        ),
        (
            "neighbours of a changed permutation are not solved again",
            "stale.update(pair.plan.neighbours[name])",
            "pass",
        ),
    ),
    *of(
        f"{VALUATION}/bounds.py",
        "tests/valuation/test_gain_bounds.py",
        (
            "the paper's lower bound takes the upper one's sign",
            "(1 - own) / (1 - beta + rc)",
            "(1 - own) / (1 - beta - rc)",
        ),
        ("a lone seller's bound is never safe", "| (alpha == 1) |", "|"),
    ),
    *of(
        f"{VALUATION}/gain.py",
        "tests/valuation/test_gain_from_trade.py",
        (
            "a useless model is worth a ratio of 1",
            "_gain(ratio, ratio - 1, usable",
            "_gain(ratio, ratio, usable",
        ),
        ("a broken model shows no gain of its own form", "usable, 1.0)", "usable, 0.0)"),
    ),
    *of(
        f"{VALUATION}/model_distance.py",
        "tests/valuation/test_model_distance.py",
        ("bought models push away", "params + eta *", "params - eta *"),
        (
            "weights are by the buyer's size",
            "trades * sizes[:, None, :] / sizes[:, :, None]",
            "trades * sizes[:, :, None] / sizes[:, None, :]",
        ),
        ("a broken model may buy", "broken[:, :, None] | broken[:, None, :]", "broken[:, None, :]"),
    ),
)
