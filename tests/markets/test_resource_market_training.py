"""What the leader's model is trained on in a resource market, what owners do with their data,
and what they measure of them.
"""

from itertools import pairwise

import pytest
import torch
from resource_market_cases import (
    FLOAT32,
    begun_again,
    market_of,
    of_role,
    one_round,
    owners,
    played,
    reports,
)

from marketenv.core import draws, rounds
from marketenv.data.text import next_characters
from marketenv.learners import Training
from marketenv.markets.resource_market import (
    CONDUCTS,
    Contributed,
    Matched,
    TrainedMatched,
    train_matched,
)
from marketenv.markets.resource_market.conduct import contributed, soundness
from marketenv.mechanisms import PREFERENCES

ALL = {"all": {"share": 1.0}}
LEARNS = {
    "training": Training(optimizer="sgd", learning_rate=0.3, momentum=0.9, batch_size=32, steps=10)
}
LEARNS |= {"learner_options": {"hidden": (16,)}, "max_cycles": 4}
CLEAN = {"noise": (0.0, 0.0)}


def params_after(market, seeds=(0,), **edits):
    """The leader's parameters after a first round."""
    now = rounds.begin(market, torch.tensor(seeds))
    return played(market, now, **edits)[0].floor.models["leader"].params[:, 0]


def first_params(market, seeds=(0,)):
    return rounds.begin(market, torch.tensor(seeds)).floor.models["leader"].params[:, 0]


def test_the_phases_of_a_round_in_their_order():
    names = lambda **more: [phase.name for phase in market_of(**more).phases]  # noqa: E731
    assert names() == ["commit", "contribute", "compute", "match", "train_matched", "pay"]
    assert names(audit="heldout") == [
        "commit",
        "contribute",
        "compute",
        "match",
        "train_matched",
        "audit",
        "pay",
    ]
    posted = ["post", "commit", "contribute", "serve", "match", "pay"]
    assert names(pricing="posted", learner=None, learner_options={}, training=None) == posted


# --- training -------------------------------------------------------------------------------------


def test_honest_rows_teach_the_model_and_junk_does_not():
    """Ten classes: a model that knows nothing is right in a tenth of cases."""
    market = market_of(**LEARNS)
    last = {}
    for conduct in ("honest", "junk", "random_labels"):
        told = reports(market, contribute={"all": {"share": 1.0, "conduct": conduct}})
        last[conduct] = float(told[-1].of(TrainedMatched).realised)
        for one, two in pairwise(told):  # what a round begins with is what the last one came to
            assert torch.equal(one.of(TrainedMatched).realised, two.of(TrainedMatched).before)
    assert last["honest"] > 0.7 and last["junk"] < 0.4 and last["random_labels"] < 0.4


def test_models_are_averaged_by_contributions():
    """One communication: theta = sum p_n theta_n, p = (.2, .6, .4) / 1.2, where theta_n is what
    owner n alone makes of it.
    """
    market, shares = market_of(), (0.2, 0.6, 0.4)
    alone = [
        params_after(market, contribute={k: {"share": share if k == n else 0.0} for k in range(3)})
        for n, share in enumerate(shares)
    ]
    together = params_after(
        market, contribute={k: {"share": share} for k, share in enumerate(shares)}
    )
    wanted = sum(share / 1.2 * one for share, one in zip(shares, alone, strict=True))
    assert torch.allclose(together, wanted, atol=1e-6)
    # the plain mean is another model
    assert not torch.allclose(together, sum(alone) / 3, atol=1e-4)


def test_weights_are_contributions_whatever_quality_is_said():
    market = market_of()
    lied = params_after(market, contribute=ALL | {0: {"share": 1.0, "report": 0.1}})
    assert torch.equal(lied, params_after(market, contribute=ALL))


def refuses(number):
    """Preferences by which an owner finds no centre acceptable."""

    def preferences(x, work, sigma):
        wanted, liked = PREFERENCES["volume"](x, work, sigma)
        wanted[:, number] = torch.inf
        return wanted, liked

    return preferences


@pytest.mark.parametrize("aggregation", ["weighted", "sequential_accept"])
def test_rows_of_owners_without_a_centre_are_not_trained_on(aggregation):
    """Owner_1 is matched to nobody: the model is the one of a market to which owner_1
    contributes nothing.
    """
    market = market_of(preferences=refuses(1), aggregation=aggregation)
    report = one_round(market, contribute=ALL)
    assert (
        report.of(Matched).centre[0].tolist()[1] == -1
        and (report.of(Matched).centre[0, [0, 2]] >= 0).all()
    )
    without = params_after(market_of(aggregation=aggregation), contribute=ALL | {1: {"share": 0.0}})
    assert torch.equal(params_after(market, contribute=ALL), without)
    if aggregation == "weighted":  # one after another owner_1 might not help anyway
        assert not torch.equal(without, params_after(market_of(), contribute=ALL))


@pytest.mark.parametrize("aggregation", ["weighted", "sequential_accept"])
def test_without_contributions_the_model_stays_as_it_is(aggregation):
    """In the first market of the batch alone; the second one trains beside it."""
    market = market_of(aggregation=aggregation, **LEARNS)
    share = torch.tensor([[0.0], [1.0]]).double()
    after = params_after(market, (0, 0), contribute={"all": {"share": share}})
    assert torch.equal(after[0], first_params(market)[0]) and not torch.equal(after[1], after[0])
    empty = one_round(market, contribute={"all": {"share": 0.0}})
    assert torch.equal(empty.of(TrainedMatched).realised, empty.of(TrainedMatched).before)


def test_a_model_that_diverges_stays_at_its_last_finite_parameters():
    wild = Training(optimizer="sgd", learning_rate=1e30, batch_size=16, steps=3)
    market = market_of(training=wild)
    after = params_after(market, contribute=ALL)
    assert after.isfinite().all() and torch.equal(after, first_params(market))


def test_one_after_another_only_what_raises_the_accuracy_on_the_leaders_examples_is_kept():
    """Owner_0 helps; owners 1 and 2 bring one label for all rows, which harms: the model is
    owner_0's alone.
    """
    market = market_of(aggregation="sequential_accept", **LEARNS)
    harm = {"share": 1.0, "conduct": "constant_label"}
    edits = {0: {"share": 1.0}, 1: harm, 2: harm}
    alone = params_after(
        market, contribute={0: {"share": 1.0}, 1: {"share": 0.0}, 2: {"share": 0.0}}
    )
    assert torch.equal(params_after(market, contribute=edits), alone)
    # harms less than owner_1, whose model was dropped
    less = edits | {2: {"share": 1.0, "conduct": "junk"}}
    assert torch.equal(params_after(market, contribute=less), alone)
    assert not torch.equal(alone, first_params(market))
    for report in reports(market, contribute=edits):
        assert (report.of(TrainedMatched).realised >= report.of(TrainedMatched).before).all()
    mean = market_of(**LEARNS)
    assert not torch.equal(
        params_after(mean, contribute=edits), params_after(mean, contribute={0: {"share": 1.0}})
    )


def test_the_accuracy_that_counts_is_of_the_leaders_examples_and_another_one_tests():
    market = market_of(gain="accuracy", alpha=7.0)
    now, report = played(market, rounds.begin(market, torch.tensor([0])), contribute=ALL)
    trained, model = report.of(TrainedMatched), now.floor.models["leader"].params
    scores = now.floor.world.score(model, now.floor.round)
    assert float(trained.realised) == float(scores.accuracy) and float(trained.loss[0, 0]) == float(
        scores.loss
    )
    rise = float(trained.realised - trained.before)
    assert rise != 0 and float(report.terms["gain"]["leader"]) == pytest.approx(
        7.0 * rise, rel=1e-12
    )
    tested = rounds.test_scores(market, now)
    assert tested.accuracy.shape == (1, 1) and float(tested.loss) != float(scores.loss)
    story = "\n".join(report.story(list("abcdefg")))
    assert (
        f"goes from an accuracy of {float(trained.before):.3f} to {float(trained.realised):.3f}"
        in story
    )


def test_every_round_draws_rows_anew_and_a_full_share_is_all_of_them():
    """A share of .25 of 359 rows is 90 of them, rounded up; others in the second round."""
    market = market_of(**CLEAN)
    first = rounds.begin(market, torch.tensor([0])).floor
    keys = [draws.agent_keys(draws.fold(first.seeds, turn, "rows"), 3) for turn in (0, 1)]
    honest, size = torch.zeros(1, 3, dtype=torch.int64), first.world.size
    part = (0.25 * size).ceil().long()
    one, two = (contributed(first.world.train, honest, ("honest",), part, 10, key) for key in keys)
    assert one.size.tolist() == part.tolist() and not torch.equal(one.x, two.x)
    whole = contributed(first.world.train, honest, ("honest",), size, 10, keys[0])
    own = first.world.train.x[first.world.train.index]
    for n, rows in enumerate(size[0].tolist()):
        assert sorted(map(tuple, whole.x[0, n, :rows].tolist())) == sorted(
            map(tuple, own[0, n, :rows].tolist())
        )


def test_no_more_rows_are_trained_on_than_are_contributed(monkeypatch):
    """Shares .25, 0 and 1 of their rows, rounded up to whole ones."""
    asked = []

    def spy(train, conduct, names, rows, *more):
        asked.append(rows)
        return contributed(train, conduct, names, rows, *more)

    monkeypatch.setattr(train_matched, "contributed", spy)
    market = market_of()
    size = rounds.begin(market, torch.tensor([0])).floor.world.size[0].tolist()
    one_round(market, contribute={k: {"share": share} for k, share in enumerate((0.25, 0.0, 1.0))})
    assert asked[0].tolist() == [[-(-size[0] // 4), 0, size[2]]]


# --- what owners do with their data ---------------------------------------------------------------


def rows_of(name, count=60):
    """An owner's rows by its conduct and the honest ones of the same draw; the other two owners
    are honest.
    """
    world = rounds.begin(market_of(**CLEAN), torch.tensor([0])).floor.world
    names = ("honest", name)
    rows, keys = torch.full((1, 3), count), draws.agent_keys(torch.tensor([5]), 3)
    made = [
        contributed(world.train, torch.tensor([[k, 0, 0]]), names, rows, 10, keys) for k in (0, 1)
    ]
    for one in made:
        assert torch.equal(one.x[:, 1:], made[0].x[:, 1:]) and torch.equal(
            one.y[:, 1:], made[0].y[:, 1:]
        )
    return made


def test_labels_are_changed_as_the_conduct_says_and_rows_stay():
    changed = {name: rows_of(name) for name in CONDUCTS if CONDUCTS[name].change}
    for honest, wrong in changed.values():
        assert torch.equal(honest.x, wrong.x) and wrong.size.tolist() == [[60, 60, 60]]
    labels = {name: (honest.y[0, 0], wrong.y[0, 0]) for name, (honest, wrong) in changed.items()}
    honest, one = labels["constant_label"]
    assert (one == 0).all() and (honest != 0).any()
    honest, renamed = labels["permuted_labels"]
    assert torch.equal(renamed, (honest + 1) % 10)
    honest, wrong = labels["wrong_labels"]
    assert (wrong != honest).all() and len(wrong.unique()) == 10
    honest, half = labels["half_random"]
    # 9 of 10 of 30
    assert (
        torch.equal(half[::2], honest[::2]) and 20 <= int((half[1::2] != honest[1::2]).sum()) <= 30
    )
    honest, drawn = labels["random_labels"]
    assert 45 <= int((drawn != honest).sum()) < 60  # 54 of 60 expected, deviation 2.3


def test_junk_has_the_moments_of_the_rows_and_labels_at_random():
    honest, junk = rows_of("junk", 300)
    assert (junk.x[0, 0] != honest.x[0, 0]).any(-1).all() and len(junk.y[0, 0].unique()) == 10
    # 4 deviations of .5 / sqrt(300)
    assert torch.allclose(junk.x[0, 0].mean(0), honest.x[0, 0].mean(0), atol=0.12)
    assert not torch.equal(junk.y[0, 0], honest.y[0, 0])


def test_few_are_a_sixth_of_the_rows_and_copies_are_those_again_and_again():
    """60 / 6 = 10 to the row: 1/6 as a float32 would make 11 of it."""
    honest, few = rows_of("few")
    assert few.size.tolist() == [[10, 60, 60]] and torch.equal(
        few.x[0, 0, :10], honest.x[0, 0, :10]
    )
    _, copies = rows_of("copies")
    assert copies.size.tolist() == [[60, 60, 60]]
    assert (
        torch.equal(copies.x[0, 0], honest.x[0, 0, :10].repeat(6, 1))
        and len(copies.x[0, 0].unique(dim=0)) == 10
    )


def test_true_quality_is_what_is_of_use():
    """All of honest rows, half where every second label is random, a sixth of few and of
    copies, nothing of the rest.
    """
    names = tuple(CONDUCTS)
    sound = dict(
        zip(names, soundness(torch.arange(len(names))[None], names)[0].tolist(), strict=True)
    )
    nothing = dict.fromkeys(
        ("junk", "random_labels", "wrong_labels", "constant_label", "permuted_labels"), 0.0
    )
    assert (
        sound
        == {
            "honest": 1.0,
            "half_random": 0.5,
            "few": pytest.approx(1 / 6),
            "copies": pytest.approx(1 / 6),
        }
        | nothing
    )
    market = market_of()
    report = one_round(market, (0,) * len(names), contribute=owners(market, *names))
    given, quality = (
        report.of(Contributed),
        rounds.begin(market, torch.tensor([0])).floor.types["owner"]["quality"],
    )
    assert given.true[:, 0].tolist() == pytest.approx(
        [sound[name] * float(quality[0, 0]) for name in names]
    )
    assert (given.true[:, 1:] == quality[:, 1:]).all() and torch.allclose(
        given.reported, quality.expand(9, -1), atol=1e-6
    )


def test_junk_of_everybody_is_worth_nothing_to_the_leader_and_is_paid_in_full():
    report = one_round(market_of(), contribute={"all": {"conduct": "junk"}})
    honest = one_round(market_of())
    assert not report.terms["gain"]["leader"].any()
    assert torch.equal(report.flows["payment"].money, honest.flows["payment"].money)
    assert float(of_role(report, "leader")) == pytest.approx(
        -float(report.flows["payment"].money.sum()), rel=1e-9
    )


def test_a_contribution_in_training_depends_on_nothing_of_another_market():
    """Beside a market that gives more rows, and another conduct, this one trains the same."""
    market = market_of()
    for name in CONDUCTS:
        both = owners(market, name, "honest")[0]
        shares = torch.tensor([[0.1], [1.0]]).double()
        together = params_after(
            market, (4, 5), contribute={"all": {"share": shares}, 0: both | {"share": shares}}
        )
        alone = params_after(
            market, (4,), contribute={"all": {"share": 0.1}, 0: {"share": 0.1, "conduct": name}}
        )
        assert torch.allclose(together[0], alone[0], atol=1e-6), name


# --- noise, and what owners measure ---------------------------------------------------------------


def test_quality_is_one_minus_the_squared_error_on_its_scale():
    """Of the noise that each owner's rows got, and of nothing else: v = 1 - MSE, f = .9 + .1 (v
    - min) / (max - min).
    """
    market = market_of(n_owners=4)
    floor = rounds.begin(market, torch.tensor([3, 8])).floor
    clean = market.source.federation(torch.tensor([3, 8])).train
    noisy, rows = floor.world.train, clean.size
    for world in range(2):
        v = []
        for n in range(4):
            k = int(rows[world, n])
            error = (
                noisy.x[noisy.index[world, n, :k]].double()
                - clean.x[clean.index[world, n, :k]].double()
            )
            v.append(1 - error.square().mean())
            assert torch.equal(
                noisy.y[noisy.index[world, n, :k]], clean.y[clean.index[world, n, :k]]
            )
        v = torch.stack(v)
        assert floor.world.measured[world].tolist() == pytest.approx(v.tolist(), abs=1e-9)
        f = 0.9 + 0.1 * (v - v.min()) / (v.max() - v.min())
        assert floor.types["owner"]["quality"][world].tolist() == pytest.approx(
            f.tolist(), abs=1e-6
        )


def test_noise_is_of_the_deviation_that_is_given():
    """All owners of .1: an MSE of .01; up to .1: MSEs of u^2 / 100, all different."""
    same = rounds.begin(market_of(noise=(0.1, 0.1)), torch.tensor([0])).floor.world.measured
    assert (1 - same)[0].tolist() == pytest.approx([0.01] * 3, rel=0.05)
    some = 1 - rounds.begin(market_of(n_owners=50), torch.tensor([0])).floor.world.measured
    deviations = some[0].sqrt()
    # uniform on (0, .1): mean .05
    assert float(deviations.max()) <= 0.105 and 0.035 < float(deviations.mean()) < 0.065
    assert len(deviations.unique()) == 50


def test_without_noise_all_are_of_the_best_quality_and_rows_are_the_sources():
    market = market_of(**CLEAN)
    floor = rounds.begin(market, torch.tensor([0])).floor
    assert (floor.types["owner"]["quality"] == 1).all() and (floor.world.measured == 1).all()
    clean = market.source.federation(torch.tensor([0])).train
    assert torch.equal(floor.world.train.x[floor.world.train.index], clean.x[clean.index])


def test_quality_by_a_fixed_scale_and_by_ones_own():
    """v = 1 - .01 on a scale from 0 to 1 from .9 up: .9 + .1 * .99 = .999."""
    fixed = rounds.begin(market_of(scale="fixed", noise=(0.1, 0.1)), torch.tensor([0])).floor.types[
        "owner"
    ]["quality"]
    assert fixed[0].tolist() == pytest.approx([0.999] * 3, abs=1e-4)
    own = rounds.begin(market_of(scale=lambda v: 0 * v + 0.25), torch.tensor([0])).floor.types[
        "owner"
    ]
    assert own["quality"].tolist() == own["standing"].tolist() == [[0.25] * 3]


def test_given_types_stand_in_the_place_of_what_is_measured():
    floor = rounds.begin(market_of(types={"quality": (0.3, 0.2, 0.1)}), torch.tensor([0])).floor
    assert (
        floor.types["owner"]["quality"].tolist() == [[0.3, 0.2, 0.1]]
        and (floor.world.measured < 1).all()
    )


SAID = {
    "A": "the quick brown fox jumps over the lazy dog and " * 3,
    "B": "aaab" * 30,
    "C": "to be or not to be that is the question " * 3,
}
TEXT = {
    **{
        "data": next_characters(SAID, 4),
        "partition": "by_group",
        "measure": "text",
        "noise": (0.0, 0.0),
    },
    **{
        "data_options": {"validation_size": 10, "test_size": 5},
        "learner": "recurrent",
        "learner_options": {"hidden": 4},
    },
}


def test_owners_of_texts_measure_how_many_different_characters_they_have():
    """v = different characters / characters of the rows that an owner owns: least where all is
    'a' and 'b'.
    """
    floor = rounds.begin(market_of(**TEXT), torch.tensor([0])).floor
    train, v = floor.world.train, []
    for n in range(3):
        rows = train.x[train.index[0, n, : int(train.size[0, n])]]
        v.append(len(rows.unique()) / rows.numel())
    assert floor.world.measured[0].tolist() == pytest.approx(v, rel=1e-12)
    said = {
        int(train.x[train.index[0, n, : int(train.size[0, n])]].unique().numel()): v[n]
        for n in range(3)
    }
    assert said[2] == min(v) and float(floor.types["owner"]["quality"].min()) == pytest.approx(0.9)


@pytest.mark.parametrize("name", CONDUCTS)
def test_texts_stay_texts_whatever_an_owner_does(name):
    """A recurrent network takes numbers of characters alone: junk is made of an owner's
    characters too.
    """
    market = market_of(**TEXT, audit="heldout", audit_round=0)
    report = one_round(market, contribute=ALL | {0: {"share": 1.0, "conduct": name}})
    assert report.rewards.isfinite().all()
    world = rounds.begin(market, torch.tensor([0])).floor.world
    rows, keys = world.size, draws.agent_keys(torch.tensor([5]), 3)
    goods = contributed(
        world.train,
        torch.zeros(1, 3, dtype=torch.int64),
        (name,),
        rows,
        world.content.n_classes,
        keys,
        text=True,
    )
    for n in range(3):
        own = world.train.x[world.train.index[0, n, : int(world.size[0, n])]]
        x = goods.x[0, n, : int(goods.size[0, n])]
        assert torch.equal(x, x.round()) and x.min() >= own.min() and x.max() <= own.max()


def test_what_is_no_text_is_not_measured_as_one():
    with pytest.raises(
        ValueError,
        match=(
            r"measure is 'text' and features hold 0\.\d+, wanted numbers of characters: pass"
            r" measure"
        ),
    ):
        rounds.begin(market_of(measure="text", **CLEAN), torch.tensor([0]))


def test_contributions_of_the_last_round_are_seen():
    market = market_of(**LEARNS)
    now = begun_again(market, contribute=ALL)
    shown = (
        rounds.stage_of(market, now)
        .moves["leader"]
        .observation.unpack(rounds.observe(market, now)["leader"][0, 0])
    )
    assert shown["last_share"].tolist() == pytest.approx([1.0] * 3, **FLOAT32)


def test_owners_contribute_rows_whose_labels_they_know():
    """Half of the labels are hidden: half of the rows are left, all with labels of the source's
    own.
    """
    hidden = {"corruption": "unlabeled", "corruption_options": {"rate": 0.5}}
    plain, market = market_of(), market_of(data_options=hidden)
    all_rows, rows = (rounds.begin(m, torch.tensor([0])).floor.world for m in (plain, market))
    assert rows.size.tolist() == [[int(size) - round(float(size) / 2) for size in all_rows.size[0]]]
    known = market.source.federation(torch.tensor([0])).supervised
    assert torch.equal(
        rows.train.y[rows.train.index], known.y[known.index[..., : rows.train.index.shape[-1]]]
    )
    assert one_round(market, contribute=ALL).rewards.isfinite().all()
    with pytest.raises(ValueError, match="agent 0 of market 0 knows no label at all"):
        market_of(data_options=hidden | {"corruption_options": {"rate": 1.0}})
