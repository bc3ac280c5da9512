"""Convolutional networks: what they compute, that their permutations change nothing and miss
nothing, and that they align.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from marketenv.alignment import layer_mask, match, permute, random_orders
from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, NORMS, Training, small_cnn, wide_resnet
from marketenv.learners.residual_networks import PreActivation, resnet_blocks

SMALL = [(3, 12, 12), (1, 8, 8)]
# name -> (entry of LEARNERS, options, the tensor that reads the images)
KINDS = {
    "cnn": ("cnn", {}, "conv1.weight"),
    "resnet": ("resnet", {"depth": 10}, "stem.weight"),
    "deeper resnet": ("resnet", {"depth": 16}, "stem.weight"),
    "wider resnet": ("resnet", {"depth": 10, "width": 2}, "stem.weight"),
    "cnn with group norms": ("cnn", {"norm": "group"}, "conv1.weight"),
    "cnn with batch norms": ("cnn", {"norm": "batch"}, "conv1.weight"),
    "resnet with batch norms": ("resnet", {"depth": 10, "norm": "batch"}, "stem.weight"),
}
ENTRIES = ("cnn", "resnet")


def build(kind, shape=(1, 8, 8), training=None, **more):
    name, options, _ = KINDS[kind]
    return LEARNERS[name](
        shape, 3, "classification", training or Training(steps=1), **options, **more
    )


def model(learner, seed=0, models=1):
    """Parameters of which no two are alike, norms and biases too: at their first ones and zeros
    no order would show.
    """
    keys = torch.arange(models) + 100 * seed
    return (
        learner.init(keys)
        + 0.3 * draws.normal(draws.fold(keys, "away"), learner.layout.size).float()
    )


def images(shape, rows=4):
    return draws.normal(torch.arange(rows), *shape).float()


def answers(learner, params, x):
    with torch.no_grad():
        return torch.stack([learner.forward(learner.layout.views(flat), x) for flat in params])


def moved(learner, permutations, seed):
    """How far a random reordering moves the answers, as a share of the largest, and whether it
    moved parameters.
    """
    params, x = model(learner, seed), images(learner.feature_shape)
    orders = random_orders(learner.layout, permutations, torch.tensor([seed]))
    other = permute(learner.layout, permutations, params, orders)
    before, after = answers(learner, params, x), answers(learner, other, x)
    return float((before - after).abs().max() / before.abs().max()), not torch.equal(params, other)


def check_complete(layout, permutations, first, last="linear"):
    """Every axis of every tensor lies in one permutation, but kernels, input channels and
    classes.
    """
    axes = {(name, axis) for name, shape in layout.shapes for axis in range(min(2, len(shape)))}
    fixed = {(first, 1), (f"{last}.weight", 0), (f"{last}.bias", 0)}
    listed = [place for places in permutations.values() for place in places]
    missing, wrong = sorted(axes - fixed - set(listed)), sorted(set(listed) - (axes - fixed))
    if missing or wrong or len(listed) != len(set(listed)):
        raise ValueError(
            f"permutations miss {missing} and should not name {wrong}; wanted every axis once."
        )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SMALL)
@pytest.mark.parametrize("kind", KINDS)
def test_permuted_networks_compute_the_same(kind, shape, seed):
    learner = build(kind, shape)
    difference, changed = moved(learner, learner.permutations, seed)
    assert changed and difference < 1e-5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "deeper resnet"])
def test_a_permutation_that_misses_an_axis_is_seen(kind):
    # the test above must be able to fail: without any one of its axes a spec changes what the
    # network computes
    learner = build(kind)
    for name, places in learner.permutations.items():
        for place in places:
            if "batch" in kind and place[0].startswith("conv") and place[0].endswith("bias"):
                continue  # a batch norm takes off whatever a bias before it adds
            planted = learner.permutations | {
                name: tuple(other for other in places if other != place)
            }
            assert moved(learner, planted, 1)[0] > 1e-4, f"{name} without {place} went unseen"
            with pytest.raises(ValueError, match=rf"miss \[\('{place[0]}', {place[1]}\)\]"):
                check_complete(learner.layout, planted, KINDS[kind][2])


@pytest.mark.parametrize("kind", KINDS)
def test_permutations_are_complete(kind):
    learner = build(kind)
    check_complete(learner.layout, learner.permutations, KINDS[kind][2])


@given(st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=9)
def test_permutations_of_any_depth_and_width_are_complete(n, width):
    # three streams, 3 n insides, and the stem's own where the first group is wider than it
    learner = LEARNERS["resnet"]((1, 4, 4), 2, "classification", depth=6 * n + 4, width=width)
    check_complete(learner.layout, learner.permutations, "stem.weight")
    assert len(learner.permutations) == 3 + 3 * n + (width > 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "deeper resnet"])
def test_a_planted_permutation_is_recovered(kind):
    learner = build(kind)
    target, keys = model(learner, models=2), torch.tensor([7, 8])
    orders = random_orders(learner.layout, learner.permutations, keys)
    source = permute(learner.layout, learner.permutations, target, orders)
    found = match(learner.layout, learner.permutations, target, source, keys)
    assert not torch.equal(source, target)
    assert torch.equal(permute(learner.layout, learner.permutations, source, found), target)


# --- shapes and numbers ---------------------------------------------------------------------------


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_golden_parameters_of_the_papers_resnet():
    # stem 3*16*9 = 432
    # group 1, three blocks of norms 2*16 each and convolutions 16*16*9: 3 (32 + 2304 + 32 + 2304) =
    # 14016 group 2: (32 + 16*32*9 + 64 + 32*32*9 + 16*32) + 2 (64 + 9216 + 64 + 9216) = 14432 +
    # 37120 = 51552 group 3: (64 + 32*64*9 + 128 + 64*64*9 + 32*64) + 2 (128 + 36864 + 128 + 36864)
    # = 57536 + 147968 = 205504 norm 128, linear 64*10 + 10 = 650; together 272282
    assert (
        count(wide_resnet((3, 32, 32), 10, depth=22, width=1))
        == 432 + 14016 + 51552 + 205504 + 128 + 650
        == 272282
    )


def test_golden_parameters_of_a_wider_resnet():
    # width 2, depth 10: stem 3*16*9 = 432 of its own 16 channels, so that group 1 needs a shortcut
    # as well
    # 32 + 16*32*9 + 64 + 32*32*9 + 16*32 = 14432;  64 + 32*64*9 + 128 + 64*64*9 + 32*64 = 57536
    # 128 + 64*128*9 + 256 + 128*128*9 + 64*128 = 229760;  norm 256, linear 128*10 + 10 = 1290
    assert (
        count(wide_resnet((3, 8, 8), 10, depth=10, width=2))
        == 432 + 14432 + 57536 + 229760 + 256 + 1290
    )


def test_golden_parameters_of_the_cnn():
    # 3*8*9 + 8 = 224, 8*16*9 + 16 = 1168, 16*10 + 10 = 170
    assert count(small_cnn((3, 12, 12), 10)) == 224 + 1168 + 170


def test_blocks_of_the_papers_resnet():
    # depth 22 = 6 * 3 + 4: three blocks a group, strides 1, 2, 2, channels 16, 32, 64 times 6 for
    # the paper's width
    blocks = resnet_blocks(22, 6)
    assert [b.outputs for b in blocks] == [96] * 3 + [192] * 3 + [384] * 3
    assert [b.stride for b in blocks] == [1, 1, 1, 2, 1, 1, 2, 1, 1]
    assert [b.shortcut for b in blocks] == [True, False, False] * 3
    # 16 channels stay 16
    assert [b.shortcut for b in resnet_blocks(22)] == [False] * 3 + [True, False, False] * 2


def test_strides_quarter_the_image():
    net = wide_resnet((1, 12, 12), 3, depth=10)
    # stem and three blocks: 12 / 2 / 2
    assert net[:4](torch.zeros(2, 1, 12, 12)).shape == (2, 64, 3, 3)


def kernel(conv, values):
    """Fill a convolution with kernels that are zero but for their centre, one value per output."""
    with torch.no_grad():
        middle = conv.weight.shape[-1] // 2
        conv.weight.zero_()[..., middle, middle] = torch.tensor(values)[:, None]


def test_golden_cnn():
    # an image of twos: conv1 passes it on, its average is 2; conv2 makes 3 * 2 and max(-2, 0);
    # linear: (1 * 6 + 5 * 0 + 0.5, 0 * 6 + 1 * 0 + 0) = (6.5, 0)
    net = small_cnn((1, 2, 2), 2, width=1)
    kernel(net.conv1, [1.0])
    kernel(net.conv2, [3.0, -1.0])
    with torch.no_grad():
        net.linear.weight.copy_(torch.tensor([[1.0, 5.0], [0.0, 1.0]]))
        net.linear.bias.copy_(torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(net(torch.full((1, 1, 2, 2), 2.0)), torch.tensor([[6.5, 0.0]]))


def test_golden_block():
    # pixels -1, 1 have mean 0 and variance 1: a = (0, 1), conv1 passes it on; mean 1/2, deviation
    # 1/2: norm2 gives (-1, 1), its positive part (0, 1), conv2 (0, 3); with x itself: (-1, 4)
    block = PreActivation(1, 1)
    kernel(block.conv1, [1.0])
    kernel(block.conv2, [3.0])
    torch.testing.assert_close(
        block(torch.tensor([[[[-1.0, 1.0]]]])), torch.tensor([[[[-1.0, 4.0]]]]), atol=1e-3, rtol=0
    )


def test_golden_shortcut():
    # stride 2 keeps the first pixel; convolutions of zeros add nothing; the shortcut sees a =
    # max(x, 0), not x: for (1, -1) it is 1 times (2, 5), for (-1, 1) it is 0
    block = PreActivation(1, 2, stride=2, shortcut=True)
    kernel(block.conv1, [0.0, 0.0])
    kernel(block.conv2, [0.0, 0.0])
    kernel(block.shortcut, [2.0, 5.0])
    x = torch.tensor([[[[1.0, -1.0]]], [[[-1.0, 1.0]]]])
    torch.testing.assert_close(
        block(x).flatten(1), torch.tensor([[2.0, 5.0], [0.0, 0.0]]), atol=1e-4, rtol=0
    )


def test_golden_head_of_the_resnet():
    # nothing leaves a stem of zeros, so the last norm shows its bias: linear sums 64 channels of
    # 0.5 and leaves out those of -1
    net = wide_resnet((1, 4, 4), 2, depth=10)
    with torch.no_grad():
        net.stem.weight.zero_()
        net.norm.bias.fill_(0.5)
        net.linear.weight.copy_(torch.tensor([1.0, 2.0])[:, None].expand(2, 64))
        torch.testing.assert_close(net(images((1, 4, 4), 1)), torch.tensor([[32.0, 64.0]]))
        net.norm.bias.fill_(-1.0)
        torch.testing.assert_close(net(images((1, 4, 4), 1)), torch.zeros(1, 2))


# name -> what the norm makes of channels (0, 2) and (4, 4) of two pixels in one example, beside an
# example of zeros. group: mean 2.5, variance (6.25 + .25 + 2.25 + 2.25) / 4 = 2.75; batch: channel
# 0 holds 0, 2, 0, 0: mean .5, variance .75; channel 1 holds 4, 4, 0, 0: mean 2, variance 4
NORMED = {
    "none": [[0.0, 2.0], [4.0, 4.0]],
    "group": [[-2.5 / 2.75**0.5, -0.5 / 2.75**0.5], [1.5 / 2.75**0.5] * 2],
    "batch": [[-0.5 / 0.75**0.5, 1.5 / 0.75**0.5], [1.0, 1.0]],
}


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_has_a_worked_example(name):
    assert name in NORMED, (
        f"norm {name!r} has no worked example: add one with the reason of its numbers"
    )
    x = torch.stack([torch.tensor([[0.0, 2.0], [4.0, 4.0]])[:, None], torch.zeros(2, 1, 2)])
    # a fresh module is in training mode: the batch's own statistics
    made = NORMS[name](2)(x)[0, :, 0]
    torch.testing.assert_close(made, torch.tensor(NORMED[name]), atol=1e-4, rtol=1e-4)


def test_modules_with_batch_norms_start_with_torchs_own_statistics():
    for net in (
        small_cnn((1, 8, 8), 3, norm="batch"),
        wide_resnet((1, 8, 8), 3, depth=10, norm="batch"),
    ):
        kept = dict(net.named_buffers())
        assert len(kept) == 3 * sum(isinstance(part, nn.BatchNorm2d) for part in net.modules()) > 0
        for name, values in kept.items():  # mean 0, variance 1, no batch seen
            assert bool((values == float(name.endswith("var"))).all())


# --- as learners ----------------------------------------------------------------------------------


def stripes(shape, models=2, rows=12):
    """Images of noise whose first rows are bright, whose last rows are, or neither: one class
    each.
    """
    labels = torch.arange(models * rows) % 3
    x = 0.3 * images(shape, models * rows)
    half = shape[1] // 2
    x[labels == 0, :, :half] += 1.0
    x[labels == 1, :, half:] += 2.0
    return Shards(
        x, labels, torch.arange(models * rows).view(models, rows), torch.full((models,), rows)
    )


@pytest.mark.parametrize("shape", SMALL)
@pytest.mark.parametrize("kind", ["cnn", "resnet"])
def test_a_step_reduces_the_loss(kind, shape):
    learner, shards = build(kind, shape, Training(learning_rate=0.02, steps=1)), stripes(shape)
    keys = torch.arange(2)
    params = learner.init(keys)
    new, _ = learner.train(
        params, learner.fresh_slots(2), learner.prepare(shards), torch.ones(2), keys
    )
    before, after = (learner.scores(p[:, None], learner.exam(shards)).loss for p in (params, new))
    assert bool((after < before).all()) and bool(after.isfinite().all())


@pytest.mark.parametrize(
    "kind", ["cnn", "resnet", "cnn with batch norms", "resnet with batch norms"]
)
def test_loop_and_vmap_agree(kind):
    shards, keys, found = stripes((1, 8, 8)), torch.arange(2), []
    for engine in ("loop", "vmap"):
        learner = build(kind, engine=engine)
        params = learner.init(keys)
        new, _ = learner.train(
            params, learner.fresh_slots(2), learner.prepare(shards), torch.ones(2), keys
        )
        found.append((new, learner.scores(new[:, None], learner.exam(shards)).loss))
    for one, other in zip(*found, strict=True):
        # sums in another order, through eight convolutions
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ENTRIES)
def test_first_parameters_follow_he_and_depend_on_settings_alone(name):
    # weights: mean 0, variance 2 / inputs (He et al., ICCV 2015, eq. 10); norms 1, biases 0;
    # whatever the global generator is at
    torch.manual_seed(1)
    one = LEARNERS[name]((3, 8, 8), 3, "classification")
    torch.manual_seed(2)
    other = LEARNERS[name]((3, 8, 8), 3, "classification")
    keys = torch.arange(2)
    drawn = one.init(keys)
    assert torch.equal(drawn, other.init(keys)) and bool((drawn[0] != drawn[1]).any())
    for tensor, p in one.module.state_dict().items():
        if p.dim() == 1:
            assert bool((p == float(tensor.endswith("weight"))).all())
        else:
            assert float(p.mean()) == pytest.approx(0, abs=1e-6)
            assert float(p.var(correction=0)) == pytest.approx(2 / p[0].numel(), rel=1e-4)


def test_layers_can_be_traded_alone():
    # layer 0 of the ResNet is its stem of 1*16*9 numbers; the last is norm 2*64 and linear 64*3 +
    # 3; a CNN has three layers
    learner = build("resnet")
    assert len(learner.layers) == 5  # stem, three blocks, head
    assert float(layer_mask(learner.layout, learner.layers, (0,)).sum()) == 144
    assert float(layer_mask(learner.layout, learner.layers, (4,)).sum()) == 128 + 195
    assert build("cnn").layers[1] == ("conv2.weight", "conv2.bias")
    for kind in KINDS:
        found = build(kind)
        assert float(layer_mask(found.layout, found.layers, None).sum()) == found.layout.size


REFUSED = {
    "flat images": (
        lambda: small_cnn((64,), 3),
        r"feature_shape is \(64,\), wanted \(channels, height, width\).*'mlp'",
    ),
    "a column": (lambda: small_cnn((1, 8, 1), 3), "sides >= 2"),
    "flat images of a resnet": (
        lambda: wide_resnet((28, 28), 3),
        r"wanted \(channels, height, width\)",
    ),
    "no pixels": (
        lambda: wide_resnet((3, 0, 4), 3),
        r"feature_shape\[1\] is 0, wanted a whole number >= 1",
    ),
    "width of the cnn": (
        lambda: small_cnn((1, 8, 8), 3, width=0),
        "width is 0, wanted a whole number >= 1",
    ),
    "depth": (lambda: wide_resnet((1, 8, 8), 3, depth=20), r"depth is 20, wanted depth = 6 n \+ 4"),
    "no blocks": (lambda: wide_resnet((1, 8, 8), 3, depth=4), "depth is 4"),
    "width": (lambda: wide_resnet((1, 8, 8), 3, width=0), "width is 0"),
    "norm": (
        lambda: small_cnn((1, 8, 8), 3, norm="bach"),
        "Did you mean 'batch'. Known: batch, group, none",
    ),
    "no norm in a resnet": (
        lambda: wide_resnet((1, 8, 8), 3, depth=10, norm="none"),
        "no norm 'none'.* Known: batch, group",
    ),
    "task": (
        lambda: LEARNERS["cnn"]((1, 8, 8), 3, "clasification"),
        "Did you mean 'classification'",
    ),
    "engine": (
        lambda: LEARNERS["resnet"]((1, 8, 8), 3, "classification", depth=10, engine="vnap"),
        "Did you mean 'vmap'",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="widht"):
        LEARNERS["cnn"]((1, 8, 8), 3, "classification", widht=4)


@pytest.mark.parametrize("kind", ["cnn", "resnet"])
def test_regression_has_one_output(kind):
    name, options, _ = KINDS[kind]
    learner = LEARNERS[name]((1, 4, 4), 1, "regression", **options)
    assert answers(learner, model(learner), images((1, 4, 4))).shape == (1, 4, 1)
    assert isinstance(learner.module, nn.Sequential)
