"""What tests of claims share: small efforts, a claim about nothing, and samples of a known mean."""

import dataclasses

import torch

from agents.papers import Claim, Evidence, verdict
from agents.papers.core.effort import Effort
from agents.stress import Budget
from marketenv.core import draws

TINY = Effort(
    name="tiny",
    cheap=Budget(select=256, judge=512, points=5, population=6, generations=1),
    costly=Budget(select=2, judge=2, points=3, population=2, generations=1),
    seeds=2,
    rounds=1,
    digits=2,
    linear=(2, 4, 8),
    cases=400,
    steps=0,
)
# to walk through all claims: whether they run, not what they find
LEAST = dataclasses.replace(
    TINY,
    cheap=Budget(select=16, judge=32, points=3, population=2, generations=1),
    costly=Budget(select=2, judge=2, points=2, population=2, generations=1),
    cases=40,
)
SEARCH = dataclasses.replace(
    TINY, cheap=Budget(select=1024, judge=4096, points=21, population=24, generations=4)
)
ABOUT = {"id": "planted/claim", "market": "planted", "paper": "-", "place": "-", "words": "-"}


def claim(rule, conditions=("as stated",), **rest):
    return Claim(
        **ABOUT,
        statistic="-",
        unit="money",
        rule=rule,
        conditions=conditions,
        **({"experiment": around} | rest),
    )


def around(condition, effort):
    return Evidence(samples={"x": noise(0.0)}, seeds="0..39")


def noise(mean, count=40):
    """Samples whose mean is ``mean`` to rounding, with a spread of about 0.1."""
    x = 0.1 * draws.normal(draws.fold(torch.tensor(3), "noise"), count)
    return (mean + x - x.mean()).tolist()


def judged(rule, evidence):
    return verdict(claim(rule), {"as stated": evidence})
