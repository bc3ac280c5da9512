"""Scores of an owner's data: reports beforehand, and measures of a training on the data.

Higher is better. The quality scales of ``marketenv.mechanisms`` turn scores into the f by which
owners are paid.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.valuation.mixtures import finite

Mask = Bool[Tensor, "*batch n"] | Float[Tensor, "*batch n"]
PerOwner = Float64[Tensor, "*batch owners"]
DIVERGED = " Leave out owners whose training diverged, and give them the worst score of the others."


def image_quality(
    original: Float[Tensor, "..."], shown: Float[Tensor, "..."], mask: Mask | None = None
) -> Float64[Tensor, "..."]:
    """How near an owner's images are to what they were before they were spoiled.

    v = 1 - MSE = 1 - mean over rows and features of (shown - original)^2

    original, shown: of equal shape                                        [.., n, *features]
    mask: above 0 or True where a row counts; the others may hold anything [.., n]
        None: all rows count, and features are the last axis alone         [.., n, d]
    Returns float64 [..], at most 1; at least 0 for values in [0, 1].

    Only the owner knows its originals, so it is the owner's own report; it sees no wrong label.
    Raises ValueError for shapes that disagree, values that are not finite, and an owner without
    rows. Source: self-report of image quality in the public code of arXiv 2501.14588.

    >>> image_quality(
    ...     torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.5]])
    ... )  # 1 - (1/4 + 1/4) / 4
    tensor(0.8750, dtype=torch.float64)
    """
    if original.shape != shown.shape or original.ndim < 2:
        raise ValueError(
            f"original {list(original.shape)} and shown {list(shown.shape)} do not fit; wanted [..,"
            " n, *features] both."
        )
    # before those of the features
    axes = original.ndim - 1 if mask is None else min(max(mask.ndim, 1), original.ndim - 1)
    counted = _counted(mask, original, "shown", axes)
    errors = (shown.double() - original.double()).square().flatten(counted.ndim).mean(-1)
    errors = finite(torch.where(counted, errors, 0.0), "the squared error of original and shown")
    return 1 - errors.sum(-1) / counted.sum(-1, dtype=torch.float64)


def lexical_diversity(
    tokens: Int[Tensor, "*batch n length"], mask: Mask | None = None
) -> Float64[Tensor, "*batch"]:
    """How many different words an owner's text has for its length: the type-token ratio.

    v = distinct tokens / tokens, over all rows that count

    tokens: any whole numbers; rows hold no padding                        [.., n, length]
    mask: above 0 or True where a row counts, None: all                    [.., n]
    Returns float64 [..], in (0, 1].

    It falls with the number of rows (a text said twice has half of it), so compare owners of equal
    size. Raises ValueError for shapes that disagree and an owner without rows.
    Source: Johnson, Psychological Monographs 56 (1944); lexical diversity as the report of text
    quality: arXiv 2501.14588.

    >>> lexical_diversity(torch.tensor([[1, 2, 1], [2, 1, 3]]))  # 1, 2, 3 in six places
    tensor(0.5000, dtype=torch.float64)
    """
    if tokens.ndim < 2 or not tokens.shape[-1]:
        raise ValueError(
            f"tokens have shape {list(tokens.shape)}; wanted [.., n, length], a token or more in"
            " each row."
        )
    counted = _counted(mask, tokens, "tokens", tokens.ndim - 1)
    words, places = tokens.flatten(-2), counted.repeat_interleave(tokens.shape[-1], -1)
    # a word of a row that counts
    known = words.masked_fill(~places, torch.iinfo(words.dtype).min).amax(-1, keepdim=True)
    ordered = torch.where(places, words, known).sort(-1).values
    distinct = 1 + (ordered[..., 1:] != ordered[..., :-1]).sum(-1)
    return distinct.double() / places.sum(-1)


def loss_drop(
    first: Float[Tensor, "*batch owners"],
    last: Float[Tensor, "*batch owners"],
    size: Int[Tensor, "*batch owners"] | Float[Tensor, "*batch owners"],
) -> PerOwner:
    """Fall of the training loss on an owner's own data, for each of its rows: the audit of QD-RDFL.

    v_n = (first_n - last_n) / |D_n|,   0 where |D_n| = 0

    first, last: mean training loss of the first and the last epoch (there epoch 1 and 5) of
        fine-tuning a throw-away copy of the global model on the owner's rows alone; anything where
        it has none   [.., owners]
    size: |D_n|, rows that the owner delivered, >= 0   [.., owners]
    Returns float64 [.., owners], loss a row.

    **It rewards small, redundant and mislabelled data.** The division favours who delivers little,
    copies are learned fast, and rows that the global model already knows have no loss left to lose,
    while wrong labels have much. ``held_out_drop`` and Shapley values are the controls.
    Raises ValueError for shapes that disagree, losses that are not finite, and sizes below 0.
    Source: arXiv 2501.14588, form of the public code.

    >>> loss_drop(
    ...     torch.tensor([0.9, 0.9]), torch.tensor([0.5, 0.5]), torch.tensor([100, 20])
    ... )  # the same fall on fewer rows
    tensor([0.0040, 0.0200], dtype=torch.float64)
    """
    if not first.shape == last.shape == size.shape:
        raise ValueError(
            f"first {list(first.shape)}, last {list(last.shape)} and size {list(size.shape)} do not"
            " fit; wanted [.., owners]."
        )
    rows = finite(size, "size")
    if bool((rows < 0).any()):
        raise ValueError(f"size holds {float(rows[rows < 0][0]):g}; wanted delivered rows >= 0.")
    losses = [
        finite(torch.where(rows > 0, loss, 0.0), name, DIVERGED)
        for loss, name in ((first, "first"), (last, "last"))
    ]
    return (losses[0] - losses[1]) / rows.clamp(min=torch.finfo(torch.float64).tiny)


def held_out_drop(
    before: Float[Tensor, "*batch"], after: Float[Tensor, "*batch owners"]
) -> PerOwner:
    """How far each owner's own update lowers the loss on data that no owner has.

    v_n = L(global model) - L(model after training on the owner's rows alone),
    L on the developer's validation data

    before: loss of the global model [..];   after: loss of each owner's model [.., owners]
    Returns float64 [.., owners], in units of loss; below 0 where the owner's data do harm.

    An owner is judged alone: two owners with the same rows get the full score each, by Shapley
    values they share it. Raises ValueError for shapes that disagree and losses that are not finite.
    Source: ours, as a control of ``loss_drop``.

    >>> held_out_drop(torch.tensor(0.75), torch.tensor([0.5, 1.0]))
    tensor([ 0.2500, -0.2500], dtype=torch.float64)
    """
    if after.ndim == 0 or before.shape != after.shape[:-1]:
        raise ValueError(
            f"before {list(before.shape)} and after {list(after.shape)} do not fit; wanted [..] and"
            " [.., owners]."
        )
    return finite(before, "before")[..., None] - finite(after, "after", DIVERGED)


def _counted(mask: Tensor | None, values: Tensor, name: str, axes: int) -> Tensor:
    """Which rows count, by the first ``axes`` axes of the values; every owner has a row."""
    rows = values.shape[:axes]
    counted = torch.ones(rows, dtype=torch.bool, device=values.device) if mask is None else mask > 0
    if counted.shape != rows:
        raise ValueError(
            f"mask {list(counted.shape)} does not fit {name} {list(values.shape)}; wanted [.., n],"
            " one a row."
        )
    if not bool(counted.any(-1).all()):
        raise ValueError(
            f"an owner has no row that counts in {name} {list(values.shape)}; wanted one or more of"
            " every owner."
        )
    return counted
