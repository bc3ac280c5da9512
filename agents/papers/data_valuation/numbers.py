"""What the paper and its readers report, each number once, with its place."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.reported import Reported

PAPER = "Li, Yang, Jia, Pan, arXiv 2509.18104"
TRIANGLE = "Li, Pan, arXiv 2404.06787 (TriangleWad)"
FEDWAD = "Rakotomamonjy et al., ICLR 2024 (FedWaD)"
READ = "read from a public review of the paper"
DIGITISED = "digitised from a figure of the paper, +-0.05"
DERIVED = "measured before this library existed"


# --- accuracy and distance ------------------------------------------------------------------------

R2 = Reported(
    0.88,
    f"{READ}: r^2 of extrapolated against realised accuracy; the summary calls 0.88 a correlation",
)
ALGORITHMS = ("FedAvg", "FedNova", "FedProx", "SCAFFOLD")
# of CombineWad with accuracy on CIFAR-10, by federated algorithm and training points
CORRELATIONS = {
    (algorithm, points): Reported(r, DIGITISED)
    for algorithm, pair in zip(
        ALGORITHMS, ((-0.39, -0.36), (-0.70, -0.75), (-0.73, -0.81), (-0.69, -0.69)), strict=True
    )
    for points, r in zip((4000, 6000), pair, strict=True)
}
# correlation with accuracy on the embedded digits, 66 mixtures of three sellers, 100 and 200 points
DIGITS = {
    "CombineWad": Reported(-0.87, DERIVED),
    "AggWad": Reported(0.28, DERIVED),
}
SCALING = {  # of accuracies extrapolated from 100 and 200 points to 800, digits, 66 mixtures
    "r": Reported(0.878, DERIVED),
    "R^2": Reported(0.77, DERIVED),
    "MAE": Reported(7.1, DERIVED),  # points of accuracy, %
}
SLICED = Reported(
    0.954, f"{DERIVED}: correlation of the additive sliced distance with the exact one"
)

# --- private distances ----------------------------------------------------------------------------

# relative error of TriangleWad, %, of Gaussians of 500 points in 10 dimensions, by (sigma, t,
# shift)
TRIANGLE_ERRORS = {
    (1.0, 0.5, 1.0): Reported(18.0, DERIVED),
    (1.0, 0.5, 3.0): Reported(8.0, DERIVED),
    (0.1, 0.1, 1.0): Reported(0.6, DERIVED),
}
RECONSTRUCTED = {  # rows found again from what is uploaded, %, by (sigma, t)
    (0.1, 0.5): Reported(92.0, DERIVED),
    (1.0, 0.9): Reported(58.0, DERIVED),
}
FEDWAD_ERRORS = {  # relative error after 10 iterations, %, S = n = 500, shift 1, 8 seeds
    "random t": Reported(2.6, f"{DERIVED}: 0.4 to 5.4 over 8 seeds"),
    "fixed t": Reported(24.5, DERIVED),
}

# --- what a seller may try ------------------------------------------------------------------------


@dataclass(frozen=True)
class Exploit:
    """Results of one strategy of seller 0; a leave-one-out value of None is not reported."""

    wad: float
    predicted: float
    true: float
    leave_one_out: float | None


EXPLOITS = {  # digits; measured before this library existed
    "honest": Exploit(1.440, 0.854, 0.908, 0.304),
    "permutes its labels": Exploit(1.440, 0.854, 0.533, 0.304),
    "random labels": Exploit(1.666, 0.721, 0.537, 0.172),
    "duplicates x5": Exploit(1.882, 0.595, 0.540, 0.046),
    "20 unique points": Exploit(2.150, 0.438, 0.646, -0.111),
    "noise delivered": Exploit(1.764, 0.664, 0.523, None),
}
