"""Claims about models that are trained: who buys from attackers, and what sharing brings."""

from __future__ import annotations

from ..core.claim import Claim
from ..core.rules import Above, AtLeast, Never
from .attackers import Isolation, effort_unpaid
from .numbers import PAPER
from .schemes import above_local, most_welfare
from .settings import DRAWN, GIVEN_AWAY, ON_DIGITS
from .wording import OURS, about

ATTACKS = {
    "shuffle": "a model whose numbers are shuffled",
    "gauss": "random numbers",
    "ones": "a model of ones",
    "sign_flip": "a model with all signs turned",
    "noise": "a model with noise as large as its update",
    "copy": "the mean of the others' models",
    "relay_rider": "the model that it was sent last",
}
PAPERS = ("shuffle", "gauss", "ones", "sign_flip")  # the others are free-riders of our own
# times its data that an attacker says it has, where not its own size alone
CLAIMED = {"shuffle": (1.0, 3.0, 10.0)}


def isolated(attack: str, model: str) -> Claim:
    """A claim that hardly anybody buys from a client that uploads such a model."""
    named, claimed = attack in PAPERS, CLAIMED.get(attack, (1.0,))
    more = ", however much data it claims," if len(claimed) > 1 else ""
    return Claim(
        **about(
            f"isolates_{attack}",
            "theorem 3" if named else "theorem 3 put to an upload that the paper does not name",
            f"A client that uploads {model}{more} is isolated: hardly anybody buys from it.",
            PAPER if named else OURS,
        ),
        # at most one of nine buyers, in no episode; 40 episodes are enough to say so
        rule=Never(0.12, rate=0.15),
        unit="of the others",
        statistic=(
            "share of the others that buy from the attacker, mean of the rounds after the first,"
            " an episode"
        ),
        conditions=(*ON_DIGITS, GIVEN_AWAY),
        experiment=Isolation(attack, claimed),
    )


SHARING = (
    *(isolated(*attack) for attack in ATTACKS.items()),
    Claim(
        **about(
            "above_local",
            "experiments",
            "Clients end with a higher test accuracy than by training alone.",
        ),
        rule=Above(),
        unit="of the test rows",
        statistic="mean test accuracy at the last round less that of training alone, same seeds",
        conditions=ON_DIGITS,
        experiment=above_local,
    ),
    Claim(
        **about(
            "highest_utility",
            "experiments",
            "No other way of sharing has a higher sum of utilities.",
        ),
        rule=Above(),
        unit="money",
        statistic="summed utility of a round less the baseline's, mean over rounds, same seeds",
        conditions=(*ON_DIGITS, DRAWN),
        experiment=most_welfare,
    ),
    Claim(
        **about(
            "effort_is_not_paid",
            "open question 3",
            "A client that trains once and then uploads what it was sent earns nine tenths of an"
            " honest client or more.",
            OURS,
        ),
        rule=AtLeast(),
        unit="money",
        statistic="utility less nine tenths of what it earns as an honest client, an episode",
        conditions=(*ON_DIGITS, GIVEN_AWAY),
        experiment=effort_unpaid,
    ),
)
