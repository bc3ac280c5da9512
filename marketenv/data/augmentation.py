"""Augmentation: random changes of images before a model learns from them, by agent.

Every entry of ``AUGMENTATIONS`` is called as ``change(x, keys)``:

x:    images of a step                    float [models, batch, channels, height, width]
keys: one random key a model and step     int64 [models]

and returns images of the same shape. It draws from the keys alone, each image by its place in the
batch, so a model sees the same images alone and in a batch of thousands. A user's own function of
that form may stand in place of a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import named_part, whole

Images = Float[Tensor, "models batch channels height width"]
Keys = Int[Tensor, "models"]
Change = Callable[[Tensor, Tensor], Tensor]
SIDES = ("top", "left")


def none(x: Images, keys: Keys) -> Images:
    """Leave every image as it is."""
    return x


def flip(x: Images, keys: Keys) -> Images:
    """Mirror every image left to right with chance 1/2.

    >>> x = torch.tensor([1.0, 2.0]).expand(1, 4, 1, 1, 2)
    >>> flip(x, torch.tensor([2]))[0, :, 0, 0].tolist()
    [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0]]
    """
    mirrored = draws.uniform(draws.fold(keys, "flip"), x.shape[1]) < 0.5
    return torch.where(mirrored[..., None, None, None], x.flip(-1), x)


def crop(x: Images, keys: Keys, pad: int = 4) -> Images:
    """Pad every image by zeros and cut a window of its own size out at random.

    The window's top and left are uniform on 0..2 pad, each image's its own: a shift by at most pad
    pixels either way.

    pad: zeros on each side, >= 0; for images smaller than 32 x 32 bind a smaller one:
        functools.partial(crop, pad=1)

    Source: He et al., "Deep residual learning for image recognition" (2016), section 4.2.

    >>> crop(torch.ones(1, 1, 1, 2, 2), torch.tensor([1]), pad=1)[0, 0, 0].tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    pad = whole(pad, "pad", 0, fix=": pixels")
    batch, channels, height, width = x.shape[1:]
    wide = torch.nn.functional.pad(x, (pad,) * 4)
    ends = (draws.integers(draws.fold(keys, "crop", s), 2 * pad + 1, batch) for s in SIDES)
    top, left = (end[..., None] for end in ends)
    rows = (top + torch.arange(height, device=x.device))[:, :, None, :, None]
    columns = (left + torch.arange(width, device=x.device))[:, :, None, None]
    tall = wide.gather(3, rows.expand(-1, -1, channels, -1, wide.shape[-1]))
    return tall.gather(4, columns.expand(-1, -1, channels, height, -1))


def flip_crop(x: Images, keys: Keys) -> Images:
    """Mirror with chance 1/2, then pad by 4 and crop.

    This is the usual recipe for CIFAR-10 (He et al. 2016, section 4.2).
    """
    return crop(flip(x, keys), keys)


AUGMENTATIONS: dict[str, Change] = {
    "none": none,
    "flip": flip,
    "crop": crop,
    "flip_crop": flip_crop,
}


def _change(name: Any) -> Change:
    """An entry of AUGMENTATIONS by its name, or a function like them."""
    wanted = "a callable change(images, keys) -> images"
    change: Change = named_part(name, "augmentation", AUGMENTATIONS, wanted, takes=2)
    return change


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of every agent, as training wants it: augment(x, keys, models) -> x.

    Model number k is agent k mod n_agents; its images are changed by ``names[k mod n_agents]``.

    names: one entry of AUGMENTATIONS, or function like them, for each agent

    Raises ValueError for unknown names, another number of them than n_agents, and features that are
    no images.

    >>> augment, models = Augmentation(("flip", "none"), 2), torch.arange(4)
    >>> augment(torch.zeros(4, 3, 1, 2, 2), torch.arange(4), models).shape
    torch.Size([4, 3, 1, 2, 2])
    """

    names: tuple[str | Change, ...]
    n_agents: int

    def __post_init__(self) -> None:
        if len(self.names) != self.n_agents or not self.names:
            raise ValueError(
                f"augmentation has {len(self.names)} names {self.names}, wanted {self.n_agents}:"
                " one for each agent, or one name for all, without a tuple."
            )
        for name in self.names:
            _change(name)

    def __call__(
        self, x: Float[Tensor, "models batch *features"], keys: Keys, models: Keys
    ) -> Tensor:
        """Change a step's images of the models with these numbers.

        x: [models, batch, channels, height, width]
        """
        check_images(tuple(x.shape[2:]))
        kinds, images = list(dict.fromkeys(self.names)), x
        of_agent = torch.tensor([kinds.index(name) for name in self.names], device=x.device)
        number = of_agent[models % self.n_agents]
        # computed for all models and used where it belongs, so that nothing waits for a GPU
        for k, kind in enumerate(kinds):
            # a copy for each: an agent's function may write into its images
            changed = _change(kind)(x.clone() if len(kinds) > 1 else x, keys)
            if changed.shape != x.shape:
                raise ValueError(
                    f"augmentation {kind!r} made {list(changed.shape)} of images {list(x.shape)},"
                    " wanted the same."
                )
            mine = (number == k).view(-1, 1, 1, 1, 1)
            images = changed if len(kinds) == 1 else torch.where(mine, changed, images)
        return images


def augmentation(names: Any, n_agents: int, feature_shape: tuple[int, ...]) -> Augmentation | None:
    """Make the ``augment`` of a training: None where no image is changed.

    names:         a name in AUGMENTATIONS or a function like them for all agents, or a tuple of
                   one for each
    feature_shape: (channels, height, width)

    Raises ValueError as ``Augmentation`` does, and for features that are no images.

    >>> augmentation("flip", 2, (3, 32, 32)), augmentation("none", 2, (64,))
    (Augmentation(names=('flip', 'flip'), n_agents=2), None)
    """
    each = tuple(names) if isinstance(names, tuple | list) else (names,) * n_agents
    augment = Augmentation(each, n_agents)
    if all(name in ("none", none) for name in each):
        return None
    check_images(feature_shape)
    return augment


def check_images(feature_shape: tuple[int, ...]) -> None:
    """Refuse features that are not (channels, height, width)."""
    if len(feature_shape) != 3:
        raise ValueError(
            f"features have shape {feature_shape}, wanted images (channels, height, width) to"
            ' augment; reshape them, or choose augmentation "none".'
        )
