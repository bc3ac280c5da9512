"""The room's tables: every entry has a worked example; and what a learner refuses."""

import math
import pickle

import pytest
import torch
from learner_cases import blobs, build, data_for, lines, start
from torch import nn

from agents.benchmarks import learners as learners_speed
from marketenv.core.shards import Shards
from marketenv.learners import (
    LEARNERS,
    MLP,
    OPTIMIZERS,
    Learner,
    Linear,
    ModuleLearner,
    Training,
    linear,
    mlp,
)
from marketenv.learners.objectives import OBJECTIVES, Objective
from marketenv.learners.optimizers import Optimizer

# name -> (task, options, parameters after one step of 0.1 from zeros at x = 2, y = 1 (or class 1 of
# 2), and why)
WORKED = {
    # half MSE, no bias: gradient x (0 - y) = -2
    "linear": ("regression", {}, [0.2]),
    # linear classifier: softmax 1/2, slope (1/2, -1/2), times x = 2 for the weights, 1 for the
    # biases
    "mlp": ("classification", {"hidden": ()}, [-0.1, 0.1, -0.05, 0.05]),
    # half MSE with a bias: weight 0.1 * 2, bias 0.1 * 1
    "module": ("regression", {"module": nn.Linear(1, 1)}, [0.2, 0.1]),
    # zero weights show the linear layer nothing, so only its biases move, by 0.1 times the slope
    # (1/2, -1/2); before them lie conv1 1*1*9 + 1, conv2 2*1*9 + 2, linear 2*2: 34 numbers
    "cnn": ("classification", {"width": 1}, [0.0] * 34 + [-0.05, 0.05]),
    # the same, but norms of weight 0 pass nothing on; 144 + (32 + 2304 + 32 + 2304) + (32 + 4608 +
    # 64 + 9216 + 512) + (64 + 18432 + 128 + 36864 + 2048) + 128 + 2*64 = 77040 numbers of stem,
    # three blocks, norm, linear
    "resnet": ("classification", {"depth": 10}, [0.0] * 77040 + [-0.05, 0.05]),
    # character 2 of 3; weights 0 leave the state at h = (1 - 1/2) tanh(0) + 1/2 * 0 = 0, so only
    # the last biases move, as above; before them lie 3 numbers of characters, 3 + 3 of the inputs'
    # gates, 3 + 3 of the state's, 2 of the linear layer
    "recurrent": (
        "classification",
        {"hidden": 1, "embedding": 1, "characters": 3},
        [0.0] * 17 + [-0.05, 0.05],
    ),
}
SHAPES = {"cnn": (1, 2, 2), "resnet": (1, 2, 2)}  # of one example, where it is not (1,)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_has_a_worked_step_and_keeps_the_contract(name):
    assert name in WORKED, (
        f"learner {name!r} has no worked example: add one with the reason of its numbers"
    )
    task, options, wanted = WORKED[name]
    shape, outputs = SHAPES.get(name, (1,)), 2 if task == "classification" else 1
    learner = LEARNERS[name](shape, outputs, task, Training(learning_rate=0.1, steps=1), **options)
    assert isinstance(learner, Learner)
    y = torch.tensor([1]) if task == "classification" else torch.tensor([1.0])
    shards = Shards(torch.full((1, *shape), 2.0), y, torch.tensor([[0]]), torch.tensor([1]))
    keys, drawn, slots, effort = start(learner, 1)
    new, held = learner.train(torch.zeros_like(drawn), slots, learner.prepare(shards), effort, keys)
    torch.testing.assert_close(new, torch.tensor([wanted]))
    assert drawn.dtype == new.dtype == torch.float32 and drawn.shape == (1, learner.layout.size)
    assert held.shape == slots.shape == (1, learner.slots)
    assert [n for layer in learner.layers for n in layer] == [n for n, _ in learner.layout.shapes]
    scores = learner.scores(new[None], learner.exam(shards))
    assert (
        scores.loss.shape == scores.accuracy.shape == (1, 1) and scores.loss.dtype == torch.float32
    )
    pickle.loads(pickle.dumps(learner))


# the MLP's widths below; the CNN's width and twice that; the ResNet's streams and the insides of
# its three blocks
LENGTHS = {
    "mlp": {"hidden0": {4}, "hidden1": {3}},
    "cnn": {"hidden0": {1}, "hidden1": {2}},
    "resnet": {f"group{g}{part}": {8 * 2**g} for g in (1, 2, 3) for part in ("", "_block1")},
}


@pytest.mark.parametrize("name", LEARNERS)
def test_permutations_name_axes_of_one_length(name):
    task, options, _ = WORKED[name]
    options = {"hidden": (4, 3)} if name == "mlp" else options
    learner = LEARNERS[name](
        SHAPES.get(name, (1,)), 2 if task == "classification" else 1, task, Training(), **options
    )
    shapes = dict(learner.layout.shapes)
    lengths = {
        n: {shapes[t][axis] for t, axis in pairs}
        for n, pairs in (learner.permutations or {}).items()
    }
    assert all(len(found) == 1 for found in lengths.values())
    assert (learner.permutations is None) == (name in ("module", "recurrent"))
    assert lengths == LENGTHS.get(name, {})


# optimizer -> (slots of a model with 7 parameters, why)
SLOTS = {"sgd": 0, "adam": 2 * 7 + 1}  # nothing to keep; two means per parameter and a count


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_says_what_it_keeps(name):
    learner = Linear((7,), 1, "regression", Training(optimizer=name))
    assert learner.slots == SLOTS[name] and isinstance(
        OPTIMIZERS[name](learner.training), Optimizer
    )
    # one velocity per parameter
    assert Linear((7,), 1, "regression", Training(momentum=0.9)).slots == 7


# task -> (loss of output 0 at label or target 1, why)
# two equal classes; (0 - 1)^2 / 2
LOSS_AT_ZERO = {"classification": math.log(2), "regression": 0.5}


@pytest.mark.parametrize("task", OBJECTIVES)
def test_every_task_has_a_worked_loss(task):
    assert isinstance(OBJECTIVES[task], Objective)
    outputs = torch.zeros(1, 2 if task == "classification" else 1, 1)
    assert OBJECTIVES[task].losses(outputs, torch.ones(1, 1).long()).item() == pytest.approx(
        LOSS_AT_ZERO[task]
    )


# init -> bounds of weights and biases at 24 inputs: sqrt(6/24) = 0.5 and 0; 1/sqrt(24) for both
BOUNDS = {"he": (0.5, 0.0), "torch": (24**-0.5, 24**-0.5)}


@pytest.mark.parametrize("name", mlp.INITS)
def test_every_init_of_an_mlp_is_uniform_within_its_bounds(name):
    learner = MLP((24,), 10, "classification", hidden=(50,), init_rule=name)
    views = learner.layout.views(learner.init(torch.arange(40)))
    for part, bound in zip(("weight", "bias"), BOUNDS[name], strict=True):
        draws = views[f"layer0.{part}"]
        assert float(draws.abs().max()) == pytest.approx(bound, rel=0.01)
        # of a uniform draw
        assert float(draws.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_linear_starts_at_zero_or_at_normal_numbers():
    assert set(linear.INITS) == {"zeros", "normal"}
    keys = torch.arange(50)
    assert Linear((40,), 1, "regression").init(keys).abs().max() == 0
    normal = Linear((40,), 1, "regression", init_rule="normal").init(keys)
    assert float(normal.mean()) == pytest.approx(0, abs=0.1) and float(
        normal.std()
    ) == pytest.approx(1, abs=0.1)


def test_module_starts_with_its_own_means_and_deviations():
    net = nn.Sequential(nn.Linear(30, 40), nn.LayerNorm(40), nn.Linear(40, 3))
    learner = ModuleLearner((30,), 3, "classification", module=net)
    views = learner.layout.views(learner.init(torch.arange(30)))
    # nothing random in the module
    assert bool((views["1.weight"] == 1).all()) and bool((views["1.bias"] == 0).all())
    assert float(views["0.weight"].std()) == pytest.approx(
        float(net[0].weight.detach().std()), rel=0.05
    )
    assert not torch.equal(views["0.weight"][0], views["0.weight"][1])


@pytest.mark.parametrize("name", LEARNERS)
def test_a_model_depends_on_its_key_alone_and_no_global_generator_moves(name):
    task, options, _ = WORKED[name]
    options = {"init_rule": "normal"} if name == "linear" else options
    shape, outputs = SHAPES.get(name, (1,)), 2 if task == "classification" else 1
    before = torch.random.get_rng_state()
    learner = LEARNERS[name](shape, outputs, task, Training(batch_size=None), **options)
    few, many = learner.init(torch.tensor([5])), learner.init(torch.tensor([1, 5, 9]))
    assert torch.equal(few[0], many[1]) and torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("engine", ["loop", "vmap"])
@pytest.mark.parametrize(
    "training",
    [Training(steps=3), Training(steps=3, batch_size=6, momentum=0.5)],
    ids=["full", "batches"],
)
def test_module_equals_mlp(engine, training):
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    one = build("mlp", training=training, hidden=(8,))
    other = ModuleLearner((5,), 3, "classification", training, module=net, engine=engine)
    keys, params, slots, _ = start(one, 3)
    effort = torch.tensor([0.5, 1.0, 0.9])
    trained = [
        learner.train(params, slots, learner.prepare(blobs()), effort, keys)
        for learner in (one, other)
    ]
    for a, b in zip(*trained, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    mine, its = (learner.scores(params[:, None], learner.exam(blobs())) for learner in (one, other))
    torch.testing.assert_close(mine.loss, its.loss, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_convolutions_train(engine):
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
    )
    learner = ModuleLearner(
        (1, 4, 4), 2, "classification", Training(steps=30, batch_size=8), module=net, engine=engine
    )
    flat = blobs(owners=2, features=16, classes=2)
    shards = Shards(flat.x.view(-1, 1, 4, 4), flat.y, flat.index, flat.size)
    keys, params, slots, effort = start(learner, 2)
    trained, _ = learner.train(params, slots, learner.prepare(shards), effort, keys)
    # separable blobs
    assert bool((learner.scores(trained[:, None], learner.exam(shards)).accuracy > 0.95).all())
    assert learner.layers == (
        ("0.weight", "0.bias"),
        ("1.weight", "1.bias"),
        ("4.weight", "4.bias"),
    )


class Recurrent(nn.Module):
    """Reads 5 features as a sequence."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(1, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.cell(x[..., None])[0][:, -1])


def test_recurrent_modules_run_in_the_loop_and_are_named_under_vmap():
    learner = ModuleLearner((5,), 3, "classification", Training(steps=1), module=Recurrent())
    keys, params, slots, effort = start(learner, 3)
    assert not torch.equal(
        learner.train(params, slots, learner.prepare(blobs()), effort, keys)[0], params
    )
    stacked = ModuleLearner(
        (5,), 3, "classification", Training(steps=1), module=Recurrent(), engine="vmap"
    )
    with pytest.raises(ValueError, match=r"cell is a nn\.LSTM.*matrix products"):
        stacked.train(params, slots, learner.prepare(blobs()), effort, keys)


BAD_MODULES = {
    "dropout": (nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 3)), "0 is a Dropout that drops units"),
    "no parameters": (nn.ReLU(), "wanted at least one"),
    "64 bits": (nn.Linear(5, 3).double(), "float32"),
    "frozen": (nn.Linear(5, 3).requires_grad_(False), "trainable"),
    "wrong outputs": (nn.Linear(5, 4), r"wanted \(2, 3\)"),
}


@pytest.mark.parametrize("module, message", BAD_MODULES.values(), ids=BAD_MODULES)
def test_modules_that_cannot_be_merged_or_repeated_are_refused(module, message):
    with pytest.raises(ValueError, match=message):
        ModuleLearner((5,), 3, "classification", module=module)


def test_a_module_is_copied():
    net = nn.Linear(5, 3)
    learner = ModuleLearner((5,), 3, "classification", module=net)
    first = learner.init(torch.tensor([0]))
    nn.init.zeros_(net.weight)
    assert torch.equal(learner.init(torch.tensor([0])), first)


REFUSED = {
    "task": (lambda: build("mlp", "clasification"), "Did you mean 'classification'"),
    "optimizer": (lambda: build("mlp", training=Training(optimizer="adan")), "Did you mean 'adam'"),
    "momentum of adam": (
        lambda: build("mlp", training=Training(optimizer="adam", momentum=0.9)),
        "only SGD has it",
    ),
    "init": (lambda: build("mlp", init_rule="hee"), "Did you mean 'he'"),
    "widths": (lambda: build("mlp", hidden=(0,)), r"hidden\[0\] is 0, wanted a whole number >= 1"),
    "one class": (lambda: MLP((5,), 1, "classification"), ">= 2"),
    "two targets": (lambda: MLP((5,), 2, "regression"), "wanted 1"),
    "no features": (lambda: MLP((0,), 2, "classification"), "feature_shape"),
    "linear classes": (lambda: Linear((5,), 3, "classification"), "hidden=()"),
    "batch norm of single examples": (
        lambda: ModuleLearner(
            (5,),
            3,
            "classification",
            Training(batch_size=1),
            module=nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)),
        ),
        "batch_size is 1, .* 2 examples or more",
    ),
    "linear minibatches": (
        lambda: Linear((5,), 1, "regression", Training(batch_size=4)),
        "training=Training.batch_size=None",
    ),
    "engine": (
        lambda: ModuleLearner((5,), 3, "classification", module=nn.Linear(5, 3), engine="vnap"),
        "Did you mean 'vmap'",
    ),
    "permutations": (
        lambda: ModuleLearner(
            (5,), 3, "classification", module=nn.Linear(5, 3), permutations={"p": (("wieght", 0),)}
        ),
        "Did you mean 'weight'",
    ),
    "rate": (lambda: Training(learning_rate=float("nan")), "learning_rate"),
    "momentum": (lambda: Training(momentum=1.0), "momentum"),
    "decay": (lambda: Training(weight_decay=-1.0), "weight_decay"),
    "batch": (lambda: Training(batch_size=0), "batch_size"),
    "steps": (lambda: Training(steps=0), "effort 0"),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def with_x(shards, value):
    x = shards.x.clone()
    x[0, 0] = value
    return Shards(x, shards.y, shards.index, shards.size)


def others(shards):
    return shards.y, shards.index, shards.size


BAD_SHARDS = {
    "features": (lambda: blobs(features=4), "classification", "built for"),
    "nan": (lambda: with_x(blobs(), torch.nan), "classification", "NaN"),
    "labels": (lambda: blobs(classes=4), "classification", r"0\.\.2"),
    "float labels": (lines, "classification", "integers"),
    "empty": (
        lambda: Shards(blobs().x, blobs().y, blobs().index, torch.tensor([0, 1, 1])),
        "classification",
        "sizes",
    ),
    "owners": (
        lambda: Shards(blobs().x, blobs().y, blobs().index[None], blobs().size[None]),
        "classification",
        r"flat\(\)",
    ),
    "a row too many": (
        lambda: Shards(blobs().x, blobs().y, blobs().index + 1, blobs().size),
        "classification",
        r"row numbers run from 1 to 72, wanted 0\.\.71",  # 3 owners of 24 rows
    ),
    "a row from the end": (
        lambda: Shards(blobs().x, blobs().y, blobs().index - 1, blobs().size),
        "classification",
        "from -1 to 70",
    ),
    "other features": (
        lambda: Shards(blobs().x.double(), *others(blobs())),
        "classification",
        r"features are torch\.float64",
    ),
    "other targets": (
        lambda: Shards(lines().x, lines().y.double(), *others(lines())[1:]),
        "regression",
        r"targets torch\.float64, wanted torch\.float32",
    ),
    "large targets": (
        lambda: Shards(lines().x, lines().y * 1e20, lines().index, lines().size),
        "regression",
        r"beyond 1e\+18",
    ),
    "nan targets": (
        lambda: Shards(lines().x, lines().y * torch.nan, lines().index, lines().size),
        "regression",
        "targets",
    ),
}


@pytest.mark.parametrize("shards, task, message", BAD_SHARDS.values(), ids=BAD_SHARDS)
def test_wrong_data_are_refused(shards, task, message):
    learner = build("mlp", task)
    with pytest.raises(ValueError, match=message):
        learner.prepare(shards())
    with pytest.raises(ValueError, match=message):
        learner.exam(shards())


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_wrong_arguments_of_a_round_are_refused(kind):
    task = "classification" if kind == "mlp" else "regression"
    learner = build(kind, task)
    keys, params, slots, effort = start(learner, 3)
    material = learner.prepare(data_for(task))
    for bad in (
        torch.tensor([0.5, 1.1, 0.0]),
        torch.tensor([0.5, torch.nan, 0.0]),
        torch.tensor([-0.1, 1.0, 1.0]),
    ):
        with pytest.raises(ValueError, match=r"wanted numbers in \[0, 1\]"):
            learner.train(params, slots, material, bad, keys)
    with pytest.raises(ValueError, match="fresh_slots"):
        learner.train(params[:, :-1], slots, material, effort, keys)
    with pytest.raises(ValueError, match="fresh_slots"):
        learner.train(params, torch.zeros(3, 4), material, effort, keys)
    with pytest.raises(ValueError, match="another learner"):
        learner.scores(params[None, :, :-1], learner.exam(data_for(task, owners=1)))
    with pytest.raises(ValueError, match="one exam each, or 1"):
        learner.scores(params[None], learner.exam(data_for(task, owners=2)))


def test_benchmarks_run_small_and_compare_equals():
    small = {"models": 2, "batch": 4, "steps": 1, "repeats": 1, "threads": (1,)}
    rows = [row for case in learners_speed.cases() for row in case(**small)]
    assert all(set(row) == {"name", "value", "unit"} and row["value"] >= 0 for row in rows)
    apart = [row["value"] for row in rows if "difference" in row["name"]]
    assert len(apart) == 2 and max(apart) < 1e-5  # without and with a pull
    # 2 models, batch 4, widths 2-3-1: forward and weight gradients 2 (2*3 + 3*1), slope below the
    # last 3*1: 21 products
    assert learners_speed._products(2, 4, (2, 3, 1))[1] == 2 * 2 * 4 * 21
