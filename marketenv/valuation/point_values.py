"""What single training points do to the distance between a seller's data and the buyer's."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.valuation.mixtures import finite


def calibrated_gradients(
    potentials: Float[Tensor, "*batch n"], present: Bool[Tensor, "*batch n"] | None = None
) -> Float64[Tensor, "*batch n"]:
    """How fast the distance rises if one point gains weight and all others lose it alike.

    g_i = f_i - sum_(j != i) f_j / (n - 1) = n / (n - 1) (f_i - mean f);   sum_i g_i = 0

    potentials: the points' optimal dual
        potentials f   [.., n]; a constant added to all changes nothing
    present: which rows are points, the others are padding, get 0 and may hold
        anything   [.., n], None: all
    Returns float64 [.., n] in the unit of the potentials: of squared distance where the transport
    minimised W^2, and then divided by 2 W it is that of W.

    **Positive: more of this point moves the data away from the buyer's**, as a wrong label does;
    negative: it moves them nearer. A point's value is therefore -g_i.

    Raises ValueError for potentials that are not finite, and for fewer than two points, which have
    no others. Source: Just et al., ICLR 2023 (LAVA), the calibrated gradient of their section 3.2.

    >>> calibrated_gradients(torch.tensor([3.0, 0.0, 0.0]))  # 3 - 0, 0 - 3 / 2
    tensor([ 3.0000, -1.5000, -1.5000], dtype=torch.float64)
    """
    present = torch.ones_like(potentials, dtype=torch.bool) if present is None else present
    if potentials.ndim == 0 or present.shape != potentials.shape:
        raise ValueError(
            f"present {list(present.shape)} does not fit potentials {list(potentials.shape)};"
            " wanted [.., n] both."
        )
    potentials = finite(torch.where(present, potentials, 0.0), "potentials")
    # whole numbers divide in the default type
    n = present.sum(-1, keepdim=True, dtype=torch.float64)
    if not bool((n >= 2).all()):
        raise ValueError(
            f"potentials {list(potentials.shape)} hold {int(n.amin())} points, wanted 2 or more:"
            " one has no others."
        )
    return torch.where(
        present, n / (n - 1) * (potentials - potentials.sum(-1, keepdim=True) / n), 0.0
    )
