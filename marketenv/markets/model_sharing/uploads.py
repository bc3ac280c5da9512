"""Kinds of upload of a client: honest, lazy and hostile models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters, PerPair

SCALE = 10.0  # by which the scaled upload stretches its update


@dataclass(frozen=True)
class Makings:
    """What an upload can be made of.

    trained: every client's own model                                  [markets, clients, params]
    start:   the model that all begin with                             [markets, 1, params]
    centre:  what each client was sent last; if nothing, its own model [markets, clients, params]
    present: who is in the market                                      [markets, clients]
    keys:    of random uploads                                         [markets, clients]
    """

    trained: Parameters
    start: Float[Tensor, "markets 1 params"]
    centre: Parameters
    present: Bool[Tensor, "markets clients"]
    keys: Int[Tensor, "markets clients"]

    def noise(self) -> Parameters:
        """Standard normal numbers in the shape of the models."""
        keys = draws.fold(self.keys, "upload")
        return draws.normal(keys, self.trained.shape[-1]).to(self.trained)


@dataclass(frozen=True)
class Upload:
    """A kind of upload.

    make:       from ``Makings`` to what everybody would upload   [markets, clients, params]
    keep, far:  where distances are drawn and nobody trains, a distance d becomes keep * d, but at
                least far
    text:       what it is, in a few words
    """

    make: Callable[[Makings], Tensor]
    keep: float
    far: float
    text: str


def _copy(models: Makings) -> Tensor:
    present = models.present[..., None].to(models.trained)
    total, count = (present * models.trained).sum(1, keepdim=True), present.sum(1, keepdim=True)
    return (total - present * models.trained) / (count - present).clamp(min=1.0)


def _noise(models: Makings) -> Tensor:
    size = (models.trained - models.start).square().mean(-1, keepdim=True).sqrt()
    return models.trained + size * models.noise()


def _shuffled(models: Makings) -> Tensor:
    keys, width = draws.fold(models.keys, "shuffle"), models.trained.shape[-1]
    return models.trained.gather(-1, draws.permutation(keys, width))


# The distances without models (keep, far) are ours: an upload that has nothing to do with the
# others stands at a right angle to them.
UPLOADS: dict[str, Upload] = {
    "honest": Upload(lambda m: m.trained, 1.0, 0.0, "the trained model"),
    "relay": Upload(
        lambda m: m.centre,
        0.5,
        0.0,
        "the prox centre or mean that it was sent last; its own last model if none",
    ),
    "copy": Upload(_copy, 0.5, 0.0, "the mean of the others' models"),
    "noise": Upload(_noise, 1.0, 0.5, "the trained model with noise as large as its update"),
    "scaled": Upload(
        lambda m: m.start + SCALE * (m.trained - m.start), 1.0, 0.0, "its update, ten times as long"
    ),
    "shuffled": Upload(_shuffled, 0.0, 1.0, "the trained model's numbers in random order"),
    "gauss": Upload(lambda m: m.noise(), 0.0, 1.0, "standard normal numbers"),
    "ones": Upload(lambda m: torch.ones_like(m.trained), 0.0, 1.0, "ones"),
    "sign_flip": Upload(lambda m: -m.trained, 0.0, 1.0, "the trained model with all signs turned"),
}


def make_uploads(models: Makings, kind: Int[Tensor, "markets clients"]) -> Parameters:
    """What every client uploads by the number of its kind; unused kinds are not computed."""
    uploads = models.trained
    for number, upload in enumerate(UPLOADS.values()):
        chosen = kind == number
        if number and bool(chosen.any()):
            uploads = torch.where(chosen[..., None], upload.make(models), uploads)
    return uploads


def drawn_distance(keys: Int[Tensor, "markets"], kind: Int[Tensor, "markets clients"]) -> PerPair:
    """Distances without models: uniform on (0, 1) for honest uploads, else as ``UPLOADS`` says.

    Returns symmetric float64 [markets, clients, clients] with 0 on the diagonal.
    """
    n = kind.shape[1]
    upper = draws.uniform(draws.fold(keys, "distance"), n, n).triu(1)
    keep = upper.new_tensor([upload.keep for upload in UPLOADS.values()])[kind]
    far = upper.new_tensor([upload.far for upload in UPLOADS.values()])[kind]
    near: Float64[Tensor, "markets clients clients"] = (
        (upper + upper.mT) * keep[:, :, None] * keep[:, None, :]
    )
    itself = torch.eye(n, dtype=torch.bool, device=kind.device)
    return near.maximum(far[:, :, None]).maximum(far[:, None, :]).masked_fill(itself, 0.0)
