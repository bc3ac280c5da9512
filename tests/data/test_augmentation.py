"""Augmentations against numbers counted by hand, and what each agent is shown."""

import pickle
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.data import AUGMENTATIONS, Augmentation, augmentation
from marketenv.data.augmentation import crop, flip

RAMP = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
MIRRORED = torch.tensor([[2.0, 1.0], [4.0, 3.0]])


def windows(image, pad=4):
    """All places where a window of the image's size fits into the padded image: (2 pad + 1)^2
    of them.
    """
    wide = torch.nn.functional.pad(image, (pad,) * 4)
    h, w = image.shape
    return [wide[t : t + h, le : le + w] for t in range(2 * pad + 1) for le in range(2 * pad + 1)]


# name -> all images that it can make of the ramp, and how likely the ramp itself is: a coin; one of
# 9 x 9 windows; both
WORKED = {
    "none": ([RAMP], 1.0),
    "flip": ([RAMP, MIRRORED], 1 / 2),
    "crop": (windows(RAMP), 1 / 81),
    "flip_crop": (windows(RAMP) + windows(MIRRORED), 1 / 162),
}
# images of two models: standard error of a share p is sqrt(p (1 - p) / 16200), at most .004
N = 8100


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_makes_what_it_says_as_often_as_it_says(name):
    assert name in WORKED, (
        f"augmentation {name!r} has no worked example: add one with the reason of its numbers"
    )
    possible, chance = WORKED[name]
    made = AUGMENTATIONS[name](RAMP.expand(2, N, 3, 2, 2), torch.tensor([1, 2]))
    assert made.shape == (2, N, 3, 2, 2) and made.dtype == torch.float32
    # all channels of an image are changed alike
    assert torch.equal(made, made[:, :, :1].expand_as(made))
    same = torch.stack([(made[:, :, 0] == image).all(-1).all(-1) for image in possible])
    assert bool(same.any(0).all())
    assert bool(same.any((1, 2)).all())  # each possible image is made
    whole = (made[:, :, 0] == RAMP).all(-1).all(-1).double().mean()
    assert float(whole) == pytest.approx(
        chance, abs=4 * (chance * (1 - chance) / (2 * N)) ** 0.5 + 1e-12
    )


@pytest.mark.parametrize("name", AUGMENTATIONS)
@given(
    seed=st.integers(0, 2**40),
    models=st.integers(1, 4),
    batch=st.integers(1, 6),
    more=st.integers(0, 3),
)
@settings(max_examples=15)
def test_draws_depend_on_the_key_and_the_place_alone(name, seed, models, batch, more):
    keys = draws.fold(torch.tensor(seed), torch.arange(models))
    x = draws.normal(torch.arange(models), batch + more, 2, 5, 6).float()
    was, made = x.clone(), AUGMENTATIONS[name](x, keys)
    assert torch.equal(x, was)  # and nothing that was given changes
    # padding behind a model's own images changes nothing either
    alone = AUGMENTATIONS[name](x[-1:, :batch], keys[-1:])
    assert torch.equal(alone, made[-1:, :batch])


def test_images_of_a_step_are_changed_each_by_its_own_draw():
    made = flip(RAMP.expand(1, 64, 1, 2, 2), torch.tensor([3]))[0, :, 0]
    assert len({tuple(image.flatten().tolist()) for image in made}) == 2
    placed = crop(RAMP.expand(1, 64, 1, 2, 2), torch.tensor([3]))[0, :, 0]
    assert len({tuple(image.flatten().tolist()) for image in placed}) > 5


def test_pad_bounds_the_shift():
    # pad 0 has one window; pad 1 has nine, and the centre pixel of a 3 x 3 image is seen in all of
    # them
    x = torch.zeros(1, 50, 1, 3, 3)
    x[..., 1, 1] = 1.0
    assert torch.equal(crop(x, torch.tensor([1]), pad=0), x)
    assert bool((crop(x, torch.tensor([1]), pad=1).sum((-2, -1)) == 1).all())
    with pytest.raises(ValueError, match="pad is -1"):
        crop(x, torch.tensor([1]), pad=-1)


def test_each_agent_is_shown_its_own():
    # models 0..5 of 3 agents: agent 0 is mirrored sometimes, agent 1 never, agent 2 is doubled by a
    # function of the user's
    double = lambda x, keys: 2 * x  # noqa: E731
    made = Augmentation(("flip", "none", double), 3)
    x, keys = RAMP.expand(6, 40, 1, 2, 2), torch.arange(6)
    seen = made(x, keys, torch.arange(6))
    assert torch.equal(seen[[1, 4]], x[[1, 4]]) and torch.equal(seen[[2, 5]], 2 * x[[2, 5]])
    assert torch.equal(seen[[0, 3]], flip(x, keys)[[0, 3]]) and not torch.equal(
        seen[[0, 3]], x[[0, 3]]
    )
    order = torch.tensor([5, 0, 2, 1])  # sorted by effort, the number says who it is
    assert torch.equal(
        made(x[:4], keys[order], order), torch.stack([2 * x[0], flip(x, keys)[0], 2 * x[0], x[0]])
    )


def test_a_name_for_all_and_names_for_each():
    assert augmentation("crop", 2, (1, 8, 8)) == Augmentation(("crop", "crop"), 2)
    assert augmentation(("crop", "none"), 2, (1, 8, 8)).names == ("crop", "none")
    assert (
        augmentation("none", 3, (64,)) is None and augmentation(("none", "none"), 2, (64,)) is None
    )
    one = partial(crop, pad=1)
    assert augmentation(one, 2, (1, 8, 8)).names == (one, one)


def test_it_travels_between_processes():
    made = augmentation("flip_crop", 2, (3, 8, 8))
    assert pickle.loads(pickle.dumps(made)) == made and hash(made) == hash(
        augmentation("flip_crop", 2, (3, 8, 8))
    )


REFUSED = {
    "unknown": (
        lambda: augmentation("flipp", 2, (1, 8, 8)),
        "no augmentation 'flipp'. Did you mean 'flip'",
    ),
    "unknown in a tuple": (
        lambda: augmentation(("none", "corp"), 2, (1, 8, 8)),
        "Did you mean 'crop'",
    ),
    "too few": (lambda: augmentation(("flip",), 2, (1, 8, 8)), "1 names .* wanted 2"),
    "none at all": (lambda: augmentation((), 0, (1, 8, 8)), "0 names"),
    "flat": (lambda: augmentation("flip", 2, (64,)), r"shape \(64,\), wanted images"),
    "flat for one": (lambda: augmentation(("none", "flip"), 2, (64,)), "wanted images"),
    "no function": (lambda: augmentation(7, 2, (1, 8, 8)), "."),
    "flat in use": (
        lambda: Augmentation(("flip",), 1)(
            torch.zeros(1, 2, 64), torch.zeros(1).long(), torch.zeros(1).long()
        ),
        "images",
    ),
}


def blank(x, keys):
    """An unkind function: it writes into what it was given."""
    return x.mul_(0)


def test_what_one_agents_function_writes_is_not_shown_to_another():
    x, numbers = torch.ones(2, 3, 1, 2, 2), torch.arange(2)
    for names in ((blank, "none"), ("none", blank)):
        seen = Augmentation(names, 2)(x.clone(), numbers, numbers)
        assert [float(part.mean()) for part in seen] == [
            0.0 if name is blank else 1.0 for name in names
        ]


def test_a_function_of_another_shape_is_refused_in_company_too():
    def small(x, keys):
        return x[..., :1, :1]

    with pytest.raises(ValueError, match=r"made \[2, 3, 1, 1, 1\] of images \[2, 3, 1, 2, 2\]"):
        Augmentation((small, "none"), 2)(
            torch.ones(2, 3, 1, 2, 2), torch.arange(2), torch.arange(2)
        )


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_wrong_augmentations_are_refused(call, message):
    with pytest.raises(Exception, match=message) as caught:
        call()
    # a wrong type is refused by the type check of test runs first
    assert caught.type is ValueError or message == "."
