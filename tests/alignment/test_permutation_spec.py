import pytest
import torch
from alignment_cases import forward, learner_of, mlp, random_models
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from marketenv.alignment import check_function, check_spec, invert, permute, random_orders
from marketenv.core import draws
from marketenv.core.bank import Layout

LAYOUT, _, HIDDEN = mlp(3, 4, 5, 2)


def test_lengths_of_an_mlp():
    # the widths of its two hidden layers
    assert check_spec(LAYOUT, HIDDEN) == {"hidden_0": 4, "hidden_1": 5}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"h": ()}, ["'h'", "at least one"]),
        ({"h": (("weight_9", 0),)}, ["'h'", "weight_9", "unknown tensor"]),
        ({"h": (("bias_0", 1),)}, ["('bias_0', 1)", "out of range", "(4,)"]),
        ({"h": (("bias_0", -1),)}, ["('bias_0', -1)", "out of range"]),
        ({"h": (("weight_0", 0), ("weight_1", 0))}, ["('weight_1', 0)", "length 5", "4"]),
        ({"h": (("weight_0", 0), ("weight_0", 0))}, ["('weight_0', 0)", "used twice", "'h'"]),
        (
            {"h": (("weight_0", 0),), "g": (("weight_0", 0),)},
            ["'g'", "('weight_0', 0)", "used twice", "'h'"],
        ),
    ],
)
def test_a_wrong_spec_is_refused_by_name(spec, words):
    with pytest.raises(ValueError) as error:
        check_spec(LAYOUT, spec)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_one_tensor_may_be_reordered_twice_by_one_permutation():
    square = Layout((("w", (3, 3)),))
    spec = {"h": (("w", 0), ("w", 1))}
    # P W P^T for the order (1, 2, 0): entry [i, j] of the result is W[order[i], order[j]]; W = 0..8
    # in rows of three
    found = permute(square, spec, torch.arange(9.0)[None], {"h": torch.tensor([[1, 2, 0]])})
    assert found.tolist() == [[4.0, 5.0, 3.0, 7.0, 8.0, 6.0, 1.0, 2.0, 0.0]]


def test_convolutions_have_axes_of_any_number():
    layout = Layout((("conv", (2, 2, 1, 3)),))
    # [out, in, 1, 3]; swapping the inputs swaps the threes within each output
    flat = torch.arange(12.0)[None]
    found = permute(layout, {"h": (("conv", 1),)}, flat, {"h": torch.tensor([[1, 0]])})
    assert found.tolist() == [[3.0, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=6), st.integers(0, 2**31))
def test_a_reordered_network_computes_the_same_and_can_be_put_back(widths, seed):
    layout, _, hidden = mlp(*widths)
    keys = torch.tensor([seed, seed + 1])
    models, orders = random_models(layout, keys), random_orders(layout, hidden, keys)
    moved = permute(layout, hidden, models, orders)
    x = torch.linspace(-1, 1, 5 * widths[0]).reshape(5, -1)
    before, after = forward(layout, models, x), forward(layout, moved, x)
    # float32 sums in another order
    assert (before - after).abs().max() <= 1e-5 * max(1.0, float(before.abs().max()))
    assert permute(layout, hidden, moved, invert(orders)).equal(models)


def test_random_orders_are_keyed_and_differ_by_name():
    layout, _, hidden = mlp(3, 50, 50, 2)
    together = random_orders(layout, hidden, torch.tensor([1, 2]))
    alone = random_orders(layout, hidden, torch.tensor([2]))
    assert all(together[name][1].equal(alone[name][0]) for name in hidden)
    assert not together["hidden_0"][0].equal(together["hidden_1"][0])  # by chance once in 50! cases


@pytest.mark.parametrize("orders", [{}, {"hidden_0": torch.zeros(1, 4, dtype=torch.int64)}])
def test_missing_orders_are_refused(orders):
    with pytest.raises(ValueError, match="one order per permutation"):
        permute(LAYOUT, HIDDEN, torch.zeros(1, LAYOUT.size), orders)


def test_orders_of_another_length_are_refused():
    short = {
        "hidden_0": torch.zeros(1, 3, dtype=torch.int64),
        "hidden_1": torch.zeros(1, 5, dtype=torch.int64),
    }
    with pytest.raises(ValueError, match=r"'hidden_0': \[1, 3\]"):
        permute(LAYOUT, HIDDEN, torch.zeros(1, LAYOUT.size), short)


def model_of(kind):
    """Layout, permutations, outputs as a function of parameters, and two models of
    all-different random parameters.
    """
    learner, shape = learner_of(kind)
    models, x = (
        random_models(learner.layout, torch.arange(2)),
        draws.normal(torch.tensor(5), 4, *shape).float(),
    )
    if kind == "mlp":
        return (
            learner.layout,
            learner.permutations,
            lambda flat: _outputs_of_mlp(learner, flat, x),
            models,
        )
    call = lambda flat: functional_call(learner.module, learner.layout.views(flat), x)  # noqa: E731
    return (
        learner.layout,
        learner.permutations,
        lambda flat: torch.stack([call(one) for one in flat]),
        models,
    )


def _outputs_of_mlp(learner, flat, x):
    return torch.stack([learner.forward(learner.layout.views(one), x) for one in flat])


def without(spec, name, place):
    return spec | {name: tuple(p for p in spec[name] if p != place)}


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet"])
def test_right_specs_pass(kind):
    layout, spec, outputs, models = model_of(kind)
    check_function(outputs, layout, spec, models)
    # losses [models] do as well
    check_function(lambda flat: outputs(flat).square().mean((-2, -1)), layout, spec, models)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_every_missing_place_is_named(kind):
    layout, spec, outputs, models = model_of(kind)
    for name, places in spec.items():
        for place in places:
            with pytest.raises(ValueError) as error:
                check_function(outputs, layout, without(spec, name, place), models)
            words = str(error.value)
            assert words.startswith(
                f"permutation {name!r} changes what the model computes (outputs differ by "
            )
            assert f"it misses {place}; list it too." in words


@pytest.mark.parametrize(
    ("name", "place"),
    # a norm's bias inside a block, the stream's way through a shortcut, the last norm: the least
    # visible places
    [
        ("group1_block1", ("group1_block1.norm2.bias", 0)),
        ("group1", ("group2_block1.shortcut.weight", 1)),
        ("group3", ("norm.bias", 0)),
    ],
)
def test_a_missing_place_of_a_resnet_is_named(name, place):
    layout, spec, outputs, models = model_of("resnet")
    with pytest.raises(ValueError, match="changes what the model computes") as error:
        check_function(outputs, layout, without(spec, name, place), models)
    assert f"{name!r}" in str(error.value) and f"it misses {place}" in str(error.value)


@pytest.mark.parametrize(
    ("kind", "name", "place"),
    [
        ("mlp", "hidden0", ("layer2.bias", 0)),  # of length 8, as hidden0 and hidden2 are
        ("wide kernel", "h", ("conv", 3)),
        ("resnet", "group1_block1", ("stem.weight", 0)),
    ],
)
def test_a_place_that_does_not_belong_is_named(kind, name, place):
    layout, spec, outputs, models = _wide_kernel() if kind == "wide kernel" else model_of(kind)
    with pytest.raises(ValueError) as error:
        check_function(outputs, layout, {name: (*spec[name], place)}, models)
    assert f"permutation {name!r}" in str(error.value)
    assert f"it lists {place}, which does not belong to it; take it out." in str(error.value)


def _wide_kernel():
    """A convolution of 4 channels with a kernel 4 wide, over the whole image, then a linear
    layer.
    """
    layout = Layout((("conv", (4, 1, 2, 4)), ("linear", (3, 4))))
    x = draws.normal(torch.tensor(1), 5, 1, 2, 4).float()

    def outputs(flat):
        views = layout.views(flat)
        hidden = torch.einsum("mochw,nchw->mno", views["conv"], x).relu()
        return hidden @ views["linear"].mT

    return (
        layout,
        {"h": (("conv", 0), ("linear", 1))},
        outputs,
        random_models(layout, torch.arange(2)),
    )


def test_a_place_listed_by_the_wrong_permutation_is_named_with_its_owner():
    layout, spec, outputs, models = model_of("mlp")  # hidden0 and hidden2 are both 8 wide
    place = ("layer0.bias", 0)
    wrong = without(spec, "hidden0", place) | {"hidden2": (*spec["hidden2"], place)}
    with pytest.raises(ValueError, match=r"it misses .* list it too, and take it from 'hidden2'"):
        check_function(outputs, layout, wrong, models)


def test_two_errors_at_once_have_no_single_remedy():
    layout, _, outputs, models = model_of("mlp")
    wrong = {"hidden0": (("layer0.weight", 0),)}
    check_function(outputs, layout, {}, models)
    with pytest.raises(ValueError, match="'hidden0' changes"):
        check_function(outputs, layout, wrong, models)
    # two are missing and one is too many
    twice = {"hidden2": (("layer2.weight", 0), ("layer0.bias", 0))}
    with pytest.raises(ValueError, match="neither adding nor taking out a single"):
        check_function(outputs, layout, twice, models)


def test_what_is_alike_cannot_be_seen():
    # a missing bias changes nothing while all biases are 0: the reason why the models have to be
    # random throughout
    layout, spec, outputs, models = model_of("mlp")
    wrong = without(spec, "hidden1", ("layer1.bias", 0))
    layout.views(models)["layer1.bias"].zero_()
    check_function(outputs, layout, wrong, models)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_scores_that_tell_nothing_are_refused(bad):
    layout, spec, _, models = model_of("mlp")
    with pytest.raises(ValueError, match="wanted finite numbers, not all 0"):
        check_function(lambda flat: torch.full((len(flat), 3), bad), layout, spec, models)
