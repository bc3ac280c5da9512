"""A folder a paper: its numbers, settings, experiments, claims, figures and studies, each once.

Experiments give evidence and no verdict; a claim is evidence and a rule, a study evidence and a
picture. ``core`` holds what works for any paper, ``table`` all claims.
"""

from .core.claim import Claim, measured
from .core.effort import EFFORTS, Effort
from .core.evidence import Evidence
from .core.money import Books, accounts, balance
from .core.rationality import rationality
from .core.rules import Above, AtLeast, AtMost, InMost, Never, NoGain, Rule
from .core.truthfulness import truthfulness
from .core.verdict import Finding, Verdict, verdict
from .core.words import AS_STATED, WORDS
from .table import CLAIMS, measure

__all__ = [
    "AS_STATED",
    "CLAIMS",
    "EFFORTS",
    "WORDS",
    "Above",
    "AtLeast",
    "AtMost",
    "Books",
    "Claim",
    "Effort",
    "Evidence",
    "Finding",
    "InMost",
    "Never",
    "NoGain",
    "Rule",
    "Verdict",
    "accounts",
    "balance",
    "measure",
    "measured",
    "rationality",
    "truthfulness",
    "verdict",
]
