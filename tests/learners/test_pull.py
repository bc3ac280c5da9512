"""What draws models to points of their own: against autograd with the term in the loss, and in
closed form.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import blobs, build, data_for, lines, start

from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, MLP, Linear, Pull, Training, stacks
from marketenv.learners.reference import loop_train

TRAININGS = {
    "sgd": {"batch_size": 7},
    "decay": {"batch_size": 7, "weight_decay": 0.1},
    "momentum and decay": {"momentum": 0.9, "weight_decay": 0.1},
    "adam and decay": {
        "batch_size": 7,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "weight_decay": 0.1,
    },
}
EFFORTS = {"full": [1.0, 1.0, 1.0], "sorted anew": [0.4, 1.0, 0.0], "equal parts": [0.7, 0.7, 0.7]}


def images():
    data = blobs(features=16)
    return Shards(data.x.view(-1, 1, 4, 4), data.y, data.index, data.size)


KINDS = {
    "mlp": lambda t: (build("mlp", training=t, hidden=(8, 6)), blobs()),
    "mlp without hidden units": lambda t: (build("mlp", "regression", t, hidden=()), lines()),
    "linear": lambda t: (build("linear", "regression", t, init_rule="normal"), lines(noise=0.5)),
    "cnn loop": lambda t: (
        LEARNERS["cnn"]((1, 4, 4), 3, "classification", t, width=2, engine="loop"),
        images(),
    ),
    "cnn vmap": lambda t: (
        LEARNERS["cnn"]((1, 4, 4), 3, "classification", t, width=2, engine="vmap"),
        images(),
    ),
}


def pull_of(learner, strength):
    """A centre of its own for every model, far from where models start."""
    return Pull(3.0 + learner.init(torch.arange(len(strength)) + 50), torch.tensor(strength))


def assert_pulled_as_by_autograd(kind, settings_, effort):
    """A pulled round equals autograd with the term in the loss, and changes no argument."""
    own = {**settings_, "batch_size": None} if kind == "linear" else settings_
    learner, shards = KINDS[kind](Training(**own, steps=2))
    keys, params, slots, _ = start(learner, 3)
    pull = pull_of(learner, [0.5, 0.2, 1.0])
    given_now = [t.clone() for t in (params, slots, pull.centre, pull.strength)]
    new, held = learner.train(
        params, slots, learner.prepare(shards), torch.tensor(effort), keys, pull
    )
    new_loop, held_loop = loop_train(
        learner, params, slots, shards, torch.tensor(effort), keys, pull
    )
    torch.testing.assert_close(new, new_loop, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(held, held_loop, atol=1e-4, rtol=1e-4)
    free = torch.cat(
        learner.train(params, slots, learner.prepare(shards), torch.tensor(effort), keys), 1
    )
    # Adam's steps hide a pull that its means show
    felt = (torch.cat([new, held], 1) - free).abs().amax(1) > 1e-4
    assert felt.tolist() == [e > 0 for e in effort]
    assert all(
        torch.equal(was, now)
        for was, now in zip(given_now, (params, slots, pull.centre, pull.strength), strict=True)
    )


@pytest.mark.parametrize("effort", EFFORTS.values(), ids=EFFORTS)
@pytest.mark.parametrize("settings_", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_pulled_round_equals_autograd_with_the_term_in_the_loss(kind, settings_, effort):
    assert_pulled_as_by_autograd(kind, settings_, effort)


def test_tensors_worked_on_inside_the_bank_are_pulled_too(monkeypatch):
    monkeypatch.setattr(stacks, "LARGE", 1)
    for settings_ in TRAININGS.values():
        assert_pulled_as_by_autograd("mlp", settings_, [0.4, 1.0, 0.0])


@given(
    st.floats(0.01, 1.0),
    st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=4),
    st.integers(1, 6),
)
@settings(max_examples=40)
def test_without_a_gradient_models_close_in_on_their_centre(rate, shares, steps):
    # x = y = 0 gives gradient 0, so theta_t - centre = (theta_0 - centre) (1 - rate * strength)^t;
    # strength = share / rate
    n, learner = (
        len(shares),
        Linear((2,), 1, "regression", Training(learning_rate=rate, steps=steps)),
    )
    nothing = Shards(
        torch.zeros(1, 2), torch.zeros(1), torch.zeros(n, 1).long(), torch.ones(n).long()
    )
    params, centre, share = (
        torch.ones(n, 2),
        torch.tensor([[3.0, -1.0]]).repeat(n, 1),
        torch.tensor(shares),
    )
    new, _ = learner.train(
        params,
        torch.zeros(n, 0),
        learner.prepare(nothing),
        torch.ones(n),
        torch.arange(n),
        Pull(centre, share / rate),
    )
    wanted = centre + (params - centre) * (1.0 - share[:, None]) ** steps
    torch.testing.assert_close(new, wanted, atol=1e-5, rtol=1e-5)


def test_a_step_of_rate_times_strength_one_lands_on_the_centre():
    # an mlp with x = 0 and y = its output bias has gradient 0 everywhere; rate * strength = 0.5 * 2
    # = 1 moves all the way, weight 1/2 (effort 0.5 of one step) half of it
    learner = MLP((2,), 1, "regression", Training(learning_rate=0.5, steps=1), hidden=(3,))
    params, centre = (
        torch.ones(2, learner.layout.size),
        torch.arange(2.0 * learner.layout.size).view(2, -1),
    )
    # closed units: the output is the last bias, 1
    params[:, learner.layout.slices["layer0.bias"]] = -1.0
    shards = Shards(
        torch.zeros(1, 2), torch.ones(1), torch.zeros(2, 1).long(), torch.ones(2).long()
    )
    pull = Pull(centre, torch.full((2,), 2.0))
    new, _ = learner.train(
        params,
        torch.zeros(2, 0),
        learner.prepare(shards),
        torch.tensor([0.5, 1.0]),
        torch.arange(2),
        pull,
    )
    torch.testing.assert_close(new, torch.stack([(params[0] + centre[0]) / 2, centre[1]]))


@pytest.mark.parametrize("kind", KINDS)
def test_no_pull_and_none_are_the_same_bits_and_strength_zero_the_same_numbers(kind):
    learner, shards = KINDS[kind](Training(steps=3))
    keys, params, slots, _ = start(learner, 3)
    material, effort = learner.prepare(shards), torch.tensor([0.4, 1.0, 0.0])
    plain = learner.train(params, slots, material, effort, keys)[0]
    assert torch.equal(plain, learner.train(params, slots, material, effort, keys, None)[0])
    idle = learner.train(params, slots, material, effort, keys, pull_of(learner, [0.0, 0.0, 0.0]))[
        0
    ]
    torch.testing.assert_close(idle, plain, atol=1e-6, rtol=1e-6)


def test_a_strong_pull_holds_a_model_near_its_centre():
    # at the minimum of loss + strength/2 |theta - centre|^2 the distance is |slope of the loss| /
    # strength, so it falls
    learner = build("linear", "regression", Training(steps=400, learning_rate=0.05))
    params, shards, effort = torch.zeros(3, 5), data_for("regression"), torch.ones(3)
    pull = Pull(torch.ones(3, 5), torch.tensor([0.0, 1.0, 10.0]))
    new, _ = learner.train(
        params, torch.zeros(3, 0), learner.prepare(shards), effort, torch.arange(3), pull
    )
    apart = (new - 1.0).norm(dim=1)
    assert apart[0] > apart[1] > apart[2] > 0
    stats = learner.prepare(shards)  # closed form: (G + strength I) theta = c + strength * centre
    ridge = stats.gram + pull.strength[:, None, None] * torch.eye(5)
    exact = torch.linalg.solve(ridge, stats.cross + pull.strength[:, None])
    torch.testing.assert_close(new[1:], exact[1:], atol=1e-3, rtol=1e-3)


NAN = float("nan")
WRONG = {
    "negative": (
        lambda: Pull(torch.zeros(3, 4), torch.tensor([0.1, -2.0, 0.0])),
        "strength has -2, wanted finite",
    ),
    "nan strength": (
        lambda: Pull(torch.zeros(3, 4), torch.tensor([0.1, NAN, 0.0])),
        "strength has nan",
    ),
    "endless strength": (
        lambda: Pull(torch.zeros(3, 4), torch.tensor([0.1, float("inf"), 0.0])),
        "strength has inf",
    ),
    "nan centre": (
        lambda: Pull(torch.tensor([[0.0], [NAN]]), torch.ones(2)),
        "not finite for model 1",
    ),
    "fewer strengths": (lambda: Pull(torch.zeros(3, 4), torch.ones(2)), r"\[3, 4\] and \[2\]"),
    "one centre": (lambda: Pull(torch.zeros(4), torch.ones(4)), r"wanted \[models, params\]"),
}


@pytest.mark.parametrize("call, message", WRONG.values(), ids=WRONG)
def test_wrong_pulls_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pull_of_other_models_is_refused(kind):
    learner, shards = KINDS[kind](Training())
    keys, params, slots, effort = start(learner, 3)
    for shape in ((2, learner.layout.size), (3, learner.layout.size + 1)):
        with pytest.raises(ValueError, match=r"pull\.centre has shape .* wanted \[3, "):
            learner.train(
                params,
                slots,
                learner.prepare(shards),
                effort,
                keys,
                Pull(torch.zeros(shape), torch.ones(shape[0])),
            )
