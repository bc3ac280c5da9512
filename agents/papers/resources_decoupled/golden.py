"""The numbers that were derived beforehand, measured again, each to its last printed digit."""

from __future__ import annotations

import torch

from marketenv.mechanisms import (
    bertrand_price,
    collusive_price,
    leader_optimum,
    leader_utility,
    posted_profits,
    stackelberg,
)

from ..core.effort import Effort
from ..core.evidence import Evidence
from .agreements import centres, owners
from .misreports import by_report, elasticity, split_up
from .numbers import GOLDEN
from .settings import ALPHA, OWNERS, K, equals
from .utilities import answered

UNLIKE = torch.tensor([[1.0, 0.97, 0.95, 0.92, 0.90, 0.60]]).double()
SAVED = torch.tensor([[1.0, 0.9]]).double()
QUALITY = 0.95  # quality of all, of whom one reports 1


def measure() -> dict[str, float]:
    """What this library finds for each of them, by name."""
    return _equilibria() | _deviations() | _agreements()


def _equilibria() -> dict[str, float]:
    ten, six = stackelberg(equals(OWNERS), equals(OWNERS)), stackelberg(UNLIKE, UNLIKE)
    two, fixed = (
        answered(leader_optimum(SAVED, ALPHA, K, 1.0), SAVED),
        answered(torch.ones(1).double(), SAVED),
    )
    return {
        "eta*": float(ten.eta),
        "U_s": float(ten.leader),
        "x": float(ten.x[0, 0]),
        "U_n": float(ten.owners[0, 0]),
        "eta*, two owners": float(stackelberg(equals(2), equals(2)).eta),
        "six unlike owners: eta*": float(six.eta),
        "six unlike owners: total effort": float((UNLIKE * six.x).sum()),
        "six unlike owners: U_s": float(six.leader),
        "two owners of the saved results: U_s": float(two.leader),
        "two owners of the saved results: mean U_n": float(two.owners),
        "two owners of the saved results, eta = 1: U_s": float(fixed.leader),
        "two owners of the saved results, eta = 1: mean U_n": float(fixed.owners),
    }


def _deviations() -> dict[str, float]:
    ten, qualities = stackelberg(equals(OWNERS), equals(OWNERS)), equals(OWNERS, QUALITY)
    reports = by_report(qualities, torch.tensor([QUALITY, 1.0]).double())
    (one, two), (_, fixed) = split_up(equals(OWNERS)), split_up(equals(OWNERS), fixed=True)
    gain = leader_utility(0 * ten.eta, ten.x.sum(-1)) - ten.leader
    return {
        "the leader keeps its payment: gain": float(gain),
        "elasticity of U_n in the reported quality": elasticity(OWNERS),
        "all 0.95, all report it: U_n": float(reports.owners[0, 0, 0]),
        "all 0.95, one reports 1: its U_n": float(reports.owners[1, 0, 0]),
        "all 0.95, all report it: U_s": float(reports.leader[0, 0]),
        "all 0.95, one reports 1: U_s on the true data": float(reports.leader[1, 0]),
        "one identity: U_n": float(one),
        "two identities: U_n": float(two),
        "two identities, eta held: U_n": float(fixed),
    }


def _agreements() -> dict[str, float]:
    supply, work = owners(equals(OWNERS)), centres()
    costs, quality = equals(2), equals(OWNERS)
    price = collusive_price(costs, quality, ALPHA, K)
    profits = posted_profits(price[:, None].expand(1, 2), costs, quality, ALPHA, K)
    served = {
        r: stackelberg(quality, costs, ALPHA, K, rho=float(r))
        for r in (bertrand_price(costs, quality, ALPHA, K), price)
    }
    competed, colluded = served.values()
    return {
        "owners on half the supply: times U_n": float((supply.agreed / supply.usual)[0, 0]),
        "owners on half the supply: best breach": float(supply.breach[0, 0]),
        "owners on half the supply: patience": float(supply.patience[0, 0]),
        "centres on no work: times U_m": float((work.agreed / work.usual)[0, 0]),
        "collusive price": float(price),
        "collusive price: joint profit": float(profits.sum()),
        "Bertrand price: U_s": float(competed.leader),
        "collusive price: U_s": float(colluded.leader),
    }


def unit(digits: str) -> float:
    """One unit of the last printed digit: "0.250" has 0.001."""
    return float(f"1e-{len(digits.partition('.')[2])}")


def as_printed(condition: str, effort: Effort) -> Evidence:
    """Distance of measured from derived numbers beyond rounding, in units of the last digit."""
    measurements = measure()
    apart = {
        name: abs(measurements[name] - float(digits)) / unit(digits) - 0.5
        for name, digits in GOLDEN.items()
    }
    rows = [[name, digits, measurements[name]] for name, digits in GOLDEN.items()]
    return Evidence(
        samples={"beyond rounding": list(apart.values())},
        seeds="closed forms; no chance",
        exact=True,
        counterexample=max(apart, key=apart.__getitem__),
        tables=[
            {
                "title": "derived and measured",
                "head": ["number", "derived", "measured"],
                "rows": rows,
            }
        ],
    )
